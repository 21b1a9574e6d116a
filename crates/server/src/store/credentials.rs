//! The `sys.credentials` table: password hashes, out of reach of every query of a client.

use super::{Db, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::UserId;

/// The hash of a user's password in PHC form; `None` for a guest or a social user.
pub fn hash(db: &Db<'_>, user: &UserId) -> Result<Option<String>> {
    let sql = "select hash from sys.credentials where app_id = ?1 and user_id = ?2";
    Ok(db.row(sql, &[&db.app(), &user.as_str()], |row| row.get("hash"))?)
}

/// Sets the hash of a user's password.
pub fn set(tx: &Tx<'_>, user: &UserId, hash: &str, now: Millis) -> Result<()> {
    let sql = "insert into sys.credentials (app_id, user_id, hash, changed_at)
               values (?1, ?2, ?3, ?4)
               on conflict (app_id, user_id)
               do update set hash = excluded.hash, changed_at = excluded.changed_at";
    tx.exec(sql, &[&tx.app(), &user.as_str(), &hash, &now])?;
    Ok(())
}

/// Replaces a hash by a stronger one of the same password, unless it has changed meanwhile.
pub fn renew(tx: &Tx<'_>, user: &UserId, old: &str, new: &str) -> Result<bool> {
    let sql = "update sys.credentials set hash = ?1
               where app_id = ?2 and user_id = ?3 and hash = ?4";
    Ok(tx.exec(sql, &[&new, &tx.app(), &user.as_str(), &old])? == 1)
}

/// Removes a user's password.
pub fn delete(tx: &Tx<'_>, user: &UserId) -> Result<()> {
    let sql = "delete from sys.credentials where app_id = ?1 and user_id = ?2";
    tx.exec(sql, &[&tx.app(), &user.as_str()])?;
    Ok(())
}
