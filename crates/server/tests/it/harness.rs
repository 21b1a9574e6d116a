//! A server for a test, and people to talk to it.
