//! The `control.developers` table: who manages applications in the Console.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::DeveloperId;

/// A developer as stored, without the password hash.
#[derive(Clone, Debug)]
pub struct Developer {
    /// The id.
    pub id: DeveloperId,
    /// The address in its canonical form: what one logs in with.
    pub email: String,
    /// The address as it was typed.
    pub email_shown: String,
    /// The name.
    pub name: String,
    /// Whether the account may be used.
    pub enabled: bool,
    /// When it was made.
    pub created: Millis,
}

fn read(row: &Row<'_>) -> engine::Result<Developer> {
    Ok(Developer {
        id: DeveloperId(row.get::<String>("id")?.into()),
        email: row.get("email")?,
        email_shown: row.get("email_shown")?,
        name: row.get("name")?,
        enabled: row.get::<String>("status")? == "ENABLED",
        created: Millis(row.get("created")?),
    })
}

/// The developer with that id.
pub fn by_id(db: &Db<'_>, id: &str) -> Result<Option<Developer>> {
    let sql = "select id, email, email_shown, name, status, created
               from control.developers where id = ?1";
    Ok(db.row(sql, &[&id], read)?)
}

/// The developer with that canonical address, and the password hash.
pub fn by_email(db: &Db<'_>, email: &str) -> Result<Option<(Developer, String)>> {
    let sql = "select id, email, email_shown, name, status, created, password_hash
               from control.developers where email = ?1";
    Ok(db.row(sql, &[&email], |row| Ok((read(row)?, row.get("password_hash")?)))?)
}

/// Whether the account may be used; `None` if it is gone. The row stays locked until `tx` ends, so
/// that a login never slips past a disabling.
pub fn lock(tx: &Tx<'_>, id: &str) -> Result<Option<bool>> {
    let lock = tx.dialect().for_update();
    let sql = format!("select status from control.developers where id = ?1{lock}");
    Ok(tx.row(&sql, &[&id], |row| Ok(row.get::<String>("status")? == "ENABLED"))?)
}

/// Whether there is any.
pub fn any(db: &Db<'_>) -> Result<bool> {
    let sql = "select id from control.developers limit 1";
    Ok(db.row(sql, &[], |row| row.get::<String>("id"))?.is_some())
}

/// Adds one; false if the address is taken.
pub fn insert(tx: &Tx<'_>, developer: &Developer, password_hash: &str) -> Result<bool> {
    let sql = "insert into control.developers
                   (id, email, email_shown, name, password_hash, status, created)
               values (?1, ?2, ?3, ?4, ?5, 'ENABLED', ?6) on conflict (email) do nothing";
    let made = tx.exec(
        sql,
        &[
            &developer.id.0,
            &developer.email,
            &developer.email_shown,
            &developer.name,
            &password_hash,
            &developer.created,
        ],
    )?;
    Ok(made == 1)
}

/// Sets the name.
pub fn rename(tx: &Tx<'_>, id: &DeveloperId, name: &str) -> Result<()> {
    tx.exec("update control.developers set name = ?1 where id = ?2", &[&name, &id.0])?;
    Ok(())
}

/// Sets the hash of the password.
pub fn set_hash(tx: &Tx<'_>, id: &DeveloperId, hash: &str) -> Result<()> {
    let sql = "update control.developers set password_hash = ?1 where id = ?2";
    tx.exec(sql, &[&hash, &id.0])?;
    Ok(())
}

/// Replaces the hash of a password, unless it is not the old one any more.
pub fn renew(tx: &Tx<'_>, id: &DeveloperId, old: &str, new: &str) -> Result<bool> {
    let sql = "update control.developers set password_hash = ?1
               where id = ?2 and password_hash = ?3";
    Ok(tx.exec(sql, &[&new, &id.0, &old])? == 1)
}

/// The ids of the first two: enough to tell whether there is just one.
pub fn first_two(db: &Db<'_>) -> Result<Vec<DeveloperId>> {
    let sql = "select id from control.developers order by created, id limit 2";
    Ok(db.rows(sql, &[], |row| Ok(DeveloperId(row.get::<String>("id")?.into())))?)
}
