//! The `sys.outbox` table: what must leave the server because of an event, until it has left.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;

/// A delivery that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The same at every try, so that a receiver can tell a repetition.
    pub id: String,
    /// The event that made it necessary.
    pub event: String,
    /// Who delivers it: `mail`, `webhook`, …
    pub sink: String,
    /// What the sink needs, as JSON.
    pub payload: String,
    /// Tries so far.
    pub attempts: i64,
}

/// Adds a delivery, to be tried from `now` on.
pub fn insert(tx: &Tx<'_>, delivery: &Delivery, now: Millis) -> Result<()> {
    let sql = "insert into sys.outbox (app_id, id, event_id, sink, payload, created, run_at,
                   attempts, lease_until, state, error)
               values (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0, 0, 'waiting', '')";
    tx.exec(
        sql,
        &[&tx.app(), &delivery.id, &delivery.event, &delivery.sink, &delivery.payload, &now],
    )?;
    Ok(())
}

/// Takes up to `most` deliveries that are due and that no node holds, until `lease`.
pub fn claim(tx: &Tx<'_>, now: Millis, lease: Millis, most: u32) -> Result<Vec<Delivery>> {
    let skip = tx.dialect().skip_locked();
    let sql = format!(
        "update sys.outbox set lease_until = ?1, attempts = attempts + 1
         where app_id = ?2 and id in (
             select id from sys.outbox
             where app_id = ?2 and state = 'waiting' and run_at <= ?3 and lease_until <= ?3
             order by run_at limit ?4{skip})
         returning id, event_id, sink, payload, attempts"
    );
    let read = |row: &Row<'_>| {
        Ok(Delivery {
            id: row.get("id")?,
            event: row.get("event_id")?,
            sink: row.get("sink")?,
            payload: row.get("payload")?,
            attempts: row.get("attempts")?,
        })
    };
    Ok(tx.rows(&sql, &[&lease, &tx.app(), &now, &i64::from(most)], read)?)
}

/// Removes a delivery that has arrived.
pub fn done(tx: &Tx<'_>, id: &str) -> Result<()> {
    tx.exec("delete from sys.outbox where app_id = ?1 and id = ?2", &[&tx.app(), &id])?;
    Ok(())
}

/// Notes a try that failed: the next one is at `next`, or there is none.
pub fn failed(tx: &Tx<'_>, id: &str, error: &str, next: Option<Millis>) -> Result<()> {
    let state = if next.is_some() { "waiting" } else { "failed" };
    let sql = "update sys.outbox set state = ?1, run_at = ?2, lease_until = 0, error = ?3
               where app_id = ?4 and id = ?5";
    tx.exec(sql, &[&state, &next.map_or(0, |it| it.0), &error, &tx.app(), &id])?;
    Ok(())
}

/// How many deliveries wait.
pub fn waiting(db: &Db<'_>) -> Result<i64> {
    let sql = "select count(*) as n from sys.outbox where app_id = ?1 and state = 'waiting'";
    Ok(db.row(sql, &[&db.app()], |row| row.get("n"))?.unwrap_or(0))
}
