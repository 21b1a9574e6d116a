//! The `sys.identities` table: what users log in with, unique in its canonical form.

use super::{Db, Tx};
use crate::error::Result;
use crate::ids::UserId;

/// The kind of the identity property; each provider of social logins has its own. In the table it
/// stands for the kind that `sys.schemas` names: that changes when another property becomes the
/// identity, so a login goes by the new one from the commit on.
pub const LOGIN: &str = "login";

/// The user who has that canonical value.
pub fn user(db: &Db<'_>, kind: &str, value: &str) -> Result<Option<UserId>> {
    let sql = "select user_id from sys.identities
               where app_id = ?1 and value = ?3 and kind = case when ?2 = 'login'
                   then coalesce((select login_kind from sys.schemas where app_id = ?1), 'login')
                   else ?2 end";
    let read = |row: &super::Row<'_>| Ok(UserId(row.get::<String>("user_id")?.into()));
    Ok(db.row(sql, &[&db.app(), &kind, &value], read)?)
}

/// Claims a value for a user; false if it is taken, be it by a transaction that is still running:
/// `on conflict` waits for that one and then tells the truth.
pub fn claim(tx: &Tx<'_>, kind: &str, value: &str, user: &UserId) -> Result<bool> {
    let sql = "insert into sys.identities (app_id, kind, value, user_id)
               values (?1, case when ?2 = 'login'
                   then coalesce((select login_kind from sys.schemas where app_id = ?1), 'login')
                   else ?2 end, ?3, ?4) on conflict (app_id, kind, value) do nothing";
    Ok(tx.exec(sql, &[&tx.app(), &kind, &value, &user.as_str()])? == 1)
}

/// What a user has of that kind.
pub fn of_user(db: &Db<'_>, kind: &str, user: &UserId) -> Result<Option<String>> {
    let sql = "select value from sys.identities where app_id = ?1 and user_id = ?2
               and kind = case when ?3 = 'login'
                   then coalesce((select login_kind from sys.schemas where app_id = ?1), 'login')
                   else ?3 end";
    Ok(db.row(sql, &[&db.app(), &user.as_str(), &kind], |row| row.get("value"))?)
}

/// Gives up what a user has of that kind.
pub fn release(tx: &Tx<'_>, kind: &str, user: &UserId) -> Result<()> {
    let sql = "delete from sys.identities where app_id = ?1 and user_id = ?2
               and kind = case when ?3 = 'login'
                   then coalesce((select login_kind from sys.schemas where app_id = ?1), 'login')
                   else ?3 end";
    tx.exec(sql, &[&tx.app(), &user.as_str(), &kind])?;
    Ok(())
}

/// Gives up all identities of a user.
pub fn release_all(tx: &Tx<'_>, user: &UserId) -> Result<()> {
    let sql = "delete from sys.identities where app_id = ?1 and user_id = ?2";
    tx.exec(sql, &[&tx.app(), &user.as_str()])?;
    Ok(())
}
