//! Identities on their way: the values of another property, gathered in `sys.identities` under a
//! kind of their own until logins go by them.

use super::{Db, Tx};
use crate::error::Result;

/// The kind that logins go by.
pub fn login_kind(db: &Db<'_>) -> Result<String> {
    let sql = "select login_kind from sys.schemas where app_id = ?1";
    Ok(db.row(sql, &[&db.app()], |row| row.get("login_kind"))?.unwrap_or_default())
}

/// Has logins go by another kind.
pub fn set_login_kind(tx: &Tx<'_>, kind: &str) -> Result<()> {
    let sql = "update sys.schemas set login_kind = ?2 where app_id = ?1";
    tx.exec(sql, &[&tx.app(), &kind])?;
    Ok(())
}

/// Gathers one value; who has it already if somebody else does.
pub fn stage(tx: &Tx<'_>, kind: &str, value: &str, user: &str) -> Result<Option<String>> {
    let sql = "insert into sys.identities (app_id, kind, value, user_id)
               values (?1, ?2, ?3, ?4) on conflict (app_id, kind, value) do nothing";
    if tx.exec(sql, &[&tx.app(), &kind, &value, &user])? == 1 {
        return Ok(None);
    }
    let sql = "select user_id from sys.identities where app_id = ?1 and kind = ?2 and value = ?3";
    let owner = tx.row(sql, &[&tx.app(), &kind, &value], |row| row.get::<String>("user_id"))?;
    Ok(owner.filter(|it| it != user))
}

/// Forgets what was gathered of a user.
pub fn unstage(tx: &Tx<'_>, kind: &str, user: &str) -> Result<()> {
    let sql = "delete from sys.identities where app_id = ?1 and kind = ?2 and user_id = ?3";
    tx.exec(sql, &[&tx.app(), &kind, &user])?;
    Ok(())
}

/// Removes values of a kind that nobody logs in with; false when none are left.
pub fn clear(tx: &Tx<'_>, kind: &str, most: i64) -> Result<bool> {
    let sql = "delete from sys.identities where app_id = ?1 and kind = ?2 and value in (
                   select value from sys.identities where app_id = ?1 and kind = ?2 limit ?3)";
    Ok(tx.exec(sql, &[&tx.app(), &kind, &most])? > 0)
}
