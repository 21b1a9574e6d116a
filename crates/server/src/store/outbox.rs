//! The `sys.outbox` table: what must leave the server because of an event, until it has left.
//!
//! As with jobs, what takes and counts deliveries sees those of all applications in the table.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;

/// A delivery that is about to be added.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// The event that made it necessary.
    pub event: &'a str,
    /// Who delivers it: the name of an entry of `router::sinks`.
    pub sink: &'a str,
    /// What the sink needs.
    pub payload: &'a str,
}

/// A delivery that a node has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whose it is; empty for the platform.
    pub app: String,
    /// The same at every try, so that a receiver can tell a repetition.
    pub id: String,
    /// The event that made it necessary.
    pub event: String,
    /// Who delivers it.
    pub sink: String,
    /// What the sink needs.
    pub payload: String,
    /// Which try this is. It never falls, so who holds an older one is too late.
    pub attempts: i64,
    /// When it was added.
    pub created: Millis,
}

/// A delivery as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// Who delivers it.
    pub sink: String,
    /// `waiting`, also while it is tried, or `failed`.
    pub state: String,
    /// When it is due, or when it was given up.
    pub run_at: Millis,
    /// Tries so far.
    pub attempts: i64,
    /// Why the last try failed.
    pub error: String,
}

/// Adds a delivery, to be tried from `now` on.
pub fn insert(tx: &Tx<'_>, id: &str, new: &New<'_>, now: Millis) -> Result<()> {
    let sql = "insert into sys.outbox (app_id, id, event_id, sink, payload, created, run_at,
                   attempts, lease_until, state, error)
               values (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0, 0, 'waiting', '')";
    tx.exec(sql, &[&tx.app(), &id, &new.event, &new.sink, &new.payload, &now])?;
    Ok(())
}

/// When the next delivery is due that nobody holds at `now`.
pub fn next(db: &Db<'_>, now: Millis) -> Result<Option<Millis>> {
    let sql = "select min(run_at) as at from sys.outbox
               where state = 'waiting' and lease_until <= ?1";
    let at = db.row(sql, &[&now], |row| row.get::<Option<i64>>("at"))?;
    Ok(at.flatten().map(Millis))
}

/// Takes up to `most` deliveries that are due and that nobody holds, until `lease`; none of the
/// sinks in `busy`.
pub fn claim(
    tx: &Tx<'_>,
    (now, lease): (Millis, Millis),
    most: u32,
    busy: &[&str],
) -> Result<Vec<Delivery>> {
    let (lock, skip) = (tx.dialect().for_update(), tx.dialect().skip_locked());
    let others = (4..).take(busy.len()).map(|it| format!(" and sink <> ?{it}"));
    let others: String = others.collect();
    let sql = format!(
        "with due as materialized (
             select app_id as due_app, id as due_id from sys.outbox
             where state = 'waiting' and run_at <= ?2 and lease_until <= ?2{others}
             order by run_at, id limit ?3{lock}{skip})
         update sys.outbox set lease_until = ?1, attempts = attempts + 1
         from due where app_id = due_app and id = due_id
         returning app_id, id, event_id, sink, payload, attempts, created"
    );
    let most = i64::from(most);
    let mut args: Vec<&dyn engine::ToValue> = vec![&lease, &now, &most];
    args.extend(busy.iter().map(|it| it as &dyn engine::ToValue));
    let read = |row: &Row<'_>| {
        Ok(Delivery {
            app: row.get("app_id")?,
            id: row.get("id")?,
            event: row.get("event_id")?,
            sink: row.get("sink")?,
            payload: row.get("payload")?,
            attempts: row.get("attempts")?,
            created: Millis(row.get("created")?),
        })
    };
    Ok(tx.rows(&sql, &args, read)?)
}

/// Removes a delivery that has arrived, whoever holds it by now.
pub fn done(tx: &Tx<'_>, delivery: &Delivery) -> Result<()> {
    let sql = "delete from sys.outbox where app_id = ?1 and id = ?2";
    tx.exec(sql, &[&delivery.app, &delivery.id])?;
    Ok(())
}

/// Notes a try that failed: the next one is at `next`, or there is none, and the delivery stays to
/// be seen as failed. False if somebody else holds it by now.
pub fn failed(
    tx: &Tx<'_>,
    delivery: &Delivery,
    error: &str,
    (now, next): (Millis, Option<Millis>),
) -> Result<bool> {
    let sql = "update sys.outbox set state = ?1, run_at = ?2, lease_until = 0, error = ?3
               where app_id = ?4 and id = ?5 and attempts = ?6 and state = 'waiting'";
    let state = if next.is_some() { "waiting" } else { "failed" };
    let at = next.unwrap_or(now);
    let (app, id) = (&delivery.app, &delivery.id);
    Ok(tx.exec(sql, &[&state, &at, &error, app, id, &delivery.attempts])? == 1)
}

/// Gives a delivery back untried or interrupted.
pub fn give_back(tx: &Tx<'_>, delivery: &Delivery) -> Result<bool> {
    let sql = "update sys.outbox set lease_until = 0
               where app_id = ?1 and id = ?2 and attempts = ?3 and state = 'waiting'";
    Ok(tx.exec(sql, &[&delivery.app, &delivery.id, &delivery.attempts])? == 1)
}

/// Takes all deliveries from whoever held them. Only for a process that is alone with its data.
pub fn release_all(tx: &Tx<'_>) -> Result<()> {
    tx.exec("update sys.outbox set lease_until = 0 where lease_until > 0", &[])?;
    Ok(())
}

/// Forgets deliveries that were given up before `before`, up to `most` of them.
pub fn sweep(tx: &Tx<'_>, before: Millis, most: u32) -> Result<u64> {
    let sql = "delete from sys.outbox where app_id = ?1 and id in (
                   select id from sys.outbox
                   where app_id = ?1 and state = 'failed' and run_at < ?2 limit ?3)";
    Ok(tx.exec(sql, &[&tx.app(), &before, &i64::from(most)])?)
}

/// The newest deliveries first, at most so many.
pub fn newest(db: &Db<'_>, most: u32) -> Result<Vec<Shown>> {
    let sql = "select id, sink, state, run_at, attempts, error from sys.outbox
               where app_id = ?1 order by created desc, id desc limit ?2";
    let read = |row: &Row<'_>| {
        Ok(Shown {
            id: row.get("id")?,
            sink: row.get("sink")?,
            state: row.get("state")?,
            run_at: Millis(row.get("run_at")?),
            attempts: row.get("attempts")?,
            error: row.get("error")?,
        })
    };
    Ok(db.rows(sql, &[&db.app(), &i64::from(most)], read)?)
}

/// How many deliveries wait, how many were given up, and since when the oldest has been due.
pub fn counts(db: &Db<'_>) -> Result<(i64, i64, Option<Millis>)> {
    super::count_by_state(db, "sys.outbox")
}
