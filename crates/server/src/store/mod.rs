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
pub mod attempts;
pub mod changes;
pub mod columns;
pub mod conditions;
pub mod credentials;
pub mod developers;
pub mod domains;
pub mod events;
pub mod failures;
pub mod identities;
pub mod identity_change;
pub mod jobs;
pub mod keys;
pub mod migrate;
pub mod objects;
pub mod outbox;
pub mod query;
pub mod schema;
pub mod schema_work;
pub mod sessions;
pub mod settings;
pub mod setup;
pub mod sources;
pub mod touched;
pub mod users;

pub use engine::{Database, Db, Row, Tx};

use crate::clock::Millis;
use crate::error::Result;

/// Of a table of work, of all applications in it: how many rows wait, how many were given up, and
/// since when the oldest that waits has been due.
fn count_by_state(db: &Db<'_>, table: &str) -> Result<(i64, i64, Option<Millis>)> {
    let sql = format!(
        "select (select count(*) from {table} where state = 'waiting') as waiting,
                (select count(*) from {table} where state = 'failed') as failed,
                (select min(run_at) from {table} where state = 'waiting') as oldest"
    );
    let read = |row: &Row<'_>| {
        let oldest = row.get::<Option<i64>>("oldest")?.map(Millis);
        Ok((row.get("waiting")?, row.get("failed")?, oldest))
    };
    Ok(db.row(&sql, &[], read)?.unwrap_or((0, 0, None)))
}

impl engine::ToValue for Millis {
    fn to_value(&self) -> engine::Value {
        engine::Value::Int(self.0)
    }
}
