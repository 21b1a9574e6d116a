//! The `sys.failures` table: wrong passwords in a row from everywhere, by canonical identity.
//!
//! Counted whether or not somebody has the identity, so that a limit or a lock tells nothing about
//! who has an account.

use super::{Db, Row, Tx};
use crate::buckets::Tally;
use crate::clock::Millis;
use crate::error::Result;

fn read(row: &Row<'_>) -> engine::Result<Tally> {
    let locked = row.get::<Option<i64>>("locked")?.map(Millis);
    Ok(Tally { count: row.get("count")?, last: Millis(row.get("last")?), locked })
}

/// How many there have been, with the row locked until `tx` ends: of two attempts at the same moment the second
/// waits here until it can count the first. PostgreSQL needs this; SQLite has one writer.
pub fn lock_tally(tx: &Tx<'_>, identity: &str, now: Millis) -> Result<Tally> {
    let sql = "insert into sys.failures (app_id, identity, count, last) values (?1, ?2, 0, ?3)
               on conflict (app_id, identity) do update set count = sys.failures.count
               returning count, last, locked";
    Ok(tx.row(sql, &[&tx.app(), &identity, &now], read)?.unwrap_or_default())
}

/// Sets how many.
pub fn set(tx: &Tx<'_>, identity: &str, tally: Tally) -> Result<()> {
    let sql = "update sys.failures set count = ?1, last = ?2, locked = ?3
               where app_id = ?4 and identity = ?5";
    let locked = tally.locked.map(|it| it.0);
    tx.exec(sql, &[&tally.count, &tally.last, &locked, &tx.app(), &identity])?;
    Ok(())
}

/// How many there have been, and how many are being evaluated at all nodes, as of one moment. After a kill
/// it may tell of some that are not, until somebody was right.
pub fn with_flying(db: &Db<'_>, identity: &str) -> Result<(Tally, i64)> {
    let sql = "select count, last, locked, flying from sys.failures
               where app_id = ?1 and identity = ?2";
    let both = |row: &Row<'_>| Ok((read(row)?, row.get("flying")?));
    Ok(db.row(sql, &[&db.app(), &identity], both)?.unwrap_or_default())
}

/// Notes that so many more are.
pub fn fly(tx: &Tx<'_>, identity: &str, more: i64) -> Result<()> {
    let sql = "update sys.failures
               set flying = case when flying + ?1 < 0 then 0 else flying + ?1 end
               where app_id = ?2 and identity = ?3";
    tx.exec(sql, &[&more, &tx.app(), &identity])?;
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

/// How many identities are counted.
pub fn many(db: &Db<'_>) -> Result<i64> {
    let sql = "select count(*) as many from sys.failures where app_id = ?1";
    Ok(db.row(sql, &[&db.app()], |row| row.get("many"))?.unwrap_or_default())
}

/// Up to `most` identities that were tried no more often than that and are not locked, and when:
/// those first whose last attempt is oldest.
pub fn least(db: &Db<'_>, tried: i64, most: u32) -> Result<Vec<(String, Millis)>> {
    let sql = "select identity, last from sys.failures
               where app_id = ?1 and count <= ?2 and locked is null order by last limit ?3";
    let read = |row: &Row<'_>| Ok((row.get("identity")?, Millis(row.get("last")?)));
    Ok(db.rows(sql, &[&db.app(), &tried, &i64::from(most)], read)?)
}

/// Forgets an identity, unless it was tried after that.
pub fn forget_unless_tried(tx: &Tx<'_>, identity: &str, last: Millis) -> Result<()> {
    let sql = "delete from sys.failures where app_id = ?1 and identity = ?2 and last = ?3";
    tx.exec(sql, &[&tx.app(), &identity, &last])?;
    Ok(())
}
