//! Checking the password of whoever is logged in (users-api 2.16).
