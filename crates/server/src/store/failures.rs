//! The `sys.failures` table: wrong passwords in a row, by canonical identity.
//!
//! Counted whether or not somebody has the identity, so that a lock tells nothing about who has an
//! account.

use super::{Db, Tx};
use crate::clock::Millis;
use crate::error::Result;

/// Until when the identity is locked; `None` if it is not.
pub fn locked_until(db: &Db<'_>, identity: &str) -> Result<Option<Millis>> {
    let sql = "select locked from sys.failures where app_id = ?1 and identity = ?2";
    let found = db.row(sql, &[&db.app(), &identity], |row| row.get::<Option<i64>>("locked"))?;
    Ok(found.flatten().map(Millis))
}

/// Counts a failure and tells how many there have been in a row. A lock that has run out begins a
/// new row.
pub fn count(tx: &Tx<'_>, identity: &str, now: Millis) -> Result<i64> {
    let sql = "insert into sys.failures (app_id, identity, count, last)
               values (?1, ?2, 1, ?3)
               on conflict (app_id, identity) do update set
                   count = case when sys.failures.locked is not null
                                 and sys.failures.locked <= ?3
                                then 1 else sys.failures.count + 1 end,
                   locked = case when sys.failures.locked <= ?3
                                 then null else sys.failures.locked end,
                   last = ?3
               returning count";
    Ok(tx.row(sql, &[&tx.app(), &identity, &now], |row| row.get("count"))?.unwrap_or(0))
}

/// Locks the identity.
pub fn lock(tx: &Tx<'_>, identity: &str, until: Millis) -> Result<()> {
    let sql = "update sys.failures set locked = ?1 where app_id = ?2 and identity = ?3";
    tx.exec(sql, &[&until, &tx.app(), &identity])?;
    Ok(())
}

/// Forgets the failures of an identity.
pub fn forget(tx: &Tx<'_>, identity: &str) -> Result<()> {
    let sql = "delete from sys.failures where app_id = ?1 and identity = ?2";
    tx.exec(sql, &[&tx.app(), &identity])?;
    Ok(())
}

/// Forgets up to `most` failures that are older than `before` and lock nobody at `now`.
pub fn sweep(tx: &Tx<'_>, before: Millis, now: Millis, most: u32) -> Result<u64> {
    let sql = "delete from sys.failures where app_id = ?1 and identity in (
                   select identity from sys.failures
                   where app_id = ?1 and last < ?2 and (locked is null or locked <= ?3)
                   limit ?4)";
    Ok(tx.exec(sql, &[&tx.app(), &before, &now, &i64::from(most)])?)
}
