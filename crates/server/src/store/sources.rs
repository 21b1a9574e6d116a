//! The table `sys.sources`: the buckets of sources, where several nodes share the data.

use super::{Db, Tx};
use crate::buckets::Rate;
use crate::clock::Millis;
use crate::error::Result;

/// When the bucket of a source is full again.
pub fn full_at(db: &Db<'_>, what: &str, source: &str) -> Result<Millis> {
    let sql = "select full_at from sys.sources where app_id = ?1 and what = ?2 and source = ?3";
    let found = db.row(sql, &[&db.app(), &what, &source], |row| row.get::<i64>("full_at"))?;
    Ok(Millis(found.unwrap_or_default()))
}

/// Counts one attempt; if there is no room, gives the milliseconds until there is. The row stays
/// locked until `tx` ends, and it is the last that a transaction locks.
pub fn take(
    tx: &Tx<'_>,
    (what, source): (&str, &str),
    rate: Rate,
    now: Millis,
) -> Result<Option<i64>> {
    let sql = "insert into sys.sources (app_id, what, source, full_at) values (?1, ?2, ?3, ?4)
               on conflict (app_id, what, source) do update set full_at = sys.sources.full_at
               returning full_at";
    let read = |row: &super::Row<'_>| row.get::<i64>("full_at");
    let found = tx.row(sql, &[&tx.app(), &what, &source, &now], read)?;
    match rate.take(Millis(found.unwrap_or_default()), now) {
        Err(wait) => Ok(Some(wait)),
        Ok(full_at) => {
            let sql = "update sys.sources set full_at = ?1
                       where app_id = ?2 and what = ?3 and source = ?4";
            tx.exec(sql, &[&full_at, &tx.app(), &what, &source])?;
            Ok(None)
        }
    }
}

/// Gives one attempt back.
pub fn give_back(tx: &Tx<'_>, (what, source): (&str, &str), rate: Rate) -> Result<()> {
    let sql = "update sys.sources set full_at = full_at - ?1
               where app_id = ?2 and what = ?3 and source = ?4";
    tx.exec(sql, &[&rate.period, &tx.app(), &what, &source])?;
    Ok(())
}

/// Forgets up to `most` buckets that are full at `now`.
pub fn sweep(tx: &Tx<'_>, now: Millis, most: u32) -> Result<u64> {
    let sql = "delete from sys.sources where app_id = ?1 and (what, source) in (
                   select what, source from sys.sources
                   where app_id = ?1 and full_at < ?2 limit ?3)";
    Ok(tx.exec(sql, &[&tx.app(), &now, &i64::from(most)])?)
}
