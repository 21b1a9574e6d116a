//! All SQL of the server, one file per table.
//!
//! **Invariant:** SQL is written nowhere else, and nothing here knows of HTTP. A query is one text
//! for both engines, with `?1`, `?2` for its values; where the engines differ, the fragment comes
//! from the dialect, never from an `if` at the query. `sys.…` and `control.…` name our own tables,
//! `app.…` those of the application at hand.
//!
//! A unit of work is a closure. It runs from its first statement to its commit on the thread that
//! owns the connection, so a transaction costs one hop and never waits for the network of a client.
//! It may run again after a deadlock, so it changes nothing but the database.

pub mod apps;
pub mod changes;
pub mod credentials;
pub mod developers;
pub mod domains;
pub mod events;
pub mod failures;
pub mod identities;
pub mod jobs;
pub mod keys;
pub mod migrate;
pub mod objects;
pub mod outbox;
pub mod schema;
pub mod sessions;
pub mod settings;
pub mod setup;
pub mod users;

pub use engine::{Database, Db, Row, Tx};

use crate::clock::Millis;

impl engine::ToValue for Millis {
    fn to_value(&self) -> engine::Value {
        engine::Value::Int(self.0)
    }
}
