//! The server: users, sessions and applications behind the Backendless REST API.
//!
//! A newcomer starts at [`router`], which lists every feature, and follows one of them down:
//! `router` → feature → `store`. Nothing points back up.

pub mod address;
pub mod apps;
pub mod buckets;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod console;
pub mod control;
pub mod data;
pub mod error;
pub mod events;
pub mod health;
pub mod ids;
pub mod jobs;
pub mod json;
pub mod lines;
pub mod live;
pub mod login;
pub mod metrics;
pub mod password;
pub mod reference;
pub mod roles;
pub mod router;
pub mod schema;
pub mod scrape;
pub mod secret;
pub mod server;
pub mod sessions;
pub mod settings;
pub mod start;
pub mod store;
pub mod users;
pub mod web;
