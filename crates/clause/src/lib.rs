//! The where language: text of a client in, a typed tree out. It comes with the data service; until
//! then conditions are refused with code 1017.
