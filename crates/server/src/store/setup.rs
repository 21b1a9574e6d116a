//! The `control.setup_links` table: the one-time link by which the first developer comes in.

use super::{Db, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::secret::TokenHash;

/// Makes `hash` the one link there is, good until `expires`.
pub fn replace(tx: &Tx<'_>, hash: &TokenHash, expires: Millis) -> Result<()> {
    tx.exec("delete from control.setup_links", &[])?;
    let sql = "insert into control.setup_links (hash, expires) values (?1, ?2)";
    tx.exec(sql, &[&hash.0, &expires])?;
    Ok(())
}

/// Whether the link may still be used.
pub fn is_open(db: &Db<'_>, hash: &TokenHash, now: Millis) -> Result<bool> {
    let sql = "select expires from control.setup_links where hash = ?1 and expires > ?2";
    Ok(db.row(sql, &[&hash.0, &now], |row| row.get::<i64>("expires"))?.is_some())
}

/// Spends the link: of several at the same moment exactly one gets true.
pub fn spend(tx: &Tx<'_>, hash: &TokenHash, now: Millis) -> Result<bool> {
    let sql = "delete from control.setup_links where hash = ?1 and expires > ?2";
    Ok(tx.exec(sql, &[&hash.0, &now])? == 1)
}

/// Forgets links that can be used no more.
pub fn sweep(tx: &Tx<'_>, now: Millis) -> Result<u64> {
    Ok(tx.exec("delete from control.setup_links where expires <= ?1", &[&now])?)
}
