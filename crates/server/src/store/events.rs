//! The `sys.events` table: what happened, in the transaction that made it true.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;

/// An event as stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Sorts by time.
    pub id: String,
    /// When.
    pub at: Millis,
    /// What: `user.registered`, `session.opened`, …
    pub kind: String,
    /// What kind of actor: `nobody`, `user`, `server-code`, `developer`, `operator`, `system`.
    pub by_kind: String,
    /// Who.
    pub by_id: String,
    /// Whom or what it is about.
    pub about: String,
    /// What was and what is, as JSON.
    pub change: String,
    /// The request that did it.
    pub request: String,
    /// The address that the request came from.
    pub address: String,
}

/// Adds an event.
pub fn insert(tx: &Tx<'_>, event: &Stored) -> Result<()> {
    let sql = "insert into sys.events
                   (app_id, id, at, kind, by_kind, by_id, about, change, request, address)
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    tx.exec(
        sql,
        &[
            &tx.app(),
            &event.id,
            &event.at,
            &event.kind,
            &event.by_kind,
            &event.by_id,
            &event.about,
            &event.change,
            &event.request,
            &event.address,
        ],
    )?;
    Ok(())
}

/// The newest events first, at most so many.
pub fn newest(db: &Db<'_>, most: u32) -> Result<Vec<Stored>> {
    let sql = "select id, at, kind, by_kind, by_id, about, change, request, address
               from sys.events where app_id = ?1 order by id desc limit ?2";
    let read = |row: &Row<'_>| {
        Ok(Stored {
            id: row.get("id")?,
            at: Millis(row.get("at")?),
            kind: row.get("kind")?,
            by_kind: row.get("by_kind")?,
            by_id: row.get("by_id")?,
            about: row.get("about")?,
            change: row.get("change")?,
            request: row.get("request")?,
            address: row.get("address")?,
        })
    };
    Ok(db.rows(sql, &[&db.app(), &i64::from(most)], read)?)
}
