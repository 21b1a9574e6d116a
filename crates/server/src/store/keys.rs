//! The `control.api_keys` table.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::AppId;
use crate::secret::TokenHash;

/// An API key as stored: its digest for look-up, and a sealed copy for developers.
#[derive(Clone, Debug)]
pub struct Key {
    /// Opaque, for the Console.
    pub id: String,
    /// Its name; the same as `device` for the seven that every application has.
    pub name: String,
    /// The kind of client that uses it: `JS`, `REST`, `IOS`, `ANDROID`, `WP`, `AS`, `BL`, or the name
    /// that a developer has chosen.
    pub device: String,
    /// The digest.
    pub hash: TokenHash,
    /// The sealed text.
    pub sealed: String,
}

fn read(row: &Row<'_>) -> engine::Result<Key> {
    Ok(Key {
        id: row.get("id")?,
        name: row.get("name")?,
        device: row.get("device")?,
        hash: super::sessions::read_hash(row)?,
        sealed: row.get("sealed")?,
    })
}

/// The keys of an application, by name.
pub fn of_app(db: &Db<'_>, app: &AppId) -> Result<Vec<Key>> {
    let sql = "select id, name, device, hash, sealed from control.api_keys
               where app_id = ?1 order by name";
    Ok(db.rows(sql, &[&app.0], read)?)
}

/// Adds one.
pub fn insert(tx: &Tx<'_>, app: &AppId, key: &Key, now: Millis) -> Result<()> {
    let sql = "insert into control.api_keys (id, app_id, name, device, hash, sealed, created)
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    tx.exec(sql, &[&key.id, &app.0, &key.name, &key.device, &key.hash.0, &key.sealed, &now])?;
    Ok(())
}

/// Adds one that a developer wants; false if the application has one of that name.
pub fn add(tx: &Tx<'_>, app: &AppId, key: &Key, now: Millis) -> Result<bool> {
    let sql = "insert into control.api_keys (id, app_id, name, device, hash, sealed, created)
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict (app_id, name) do nothing";
    let args: [&dyn engine::ToValue; 7] =
        [&key.id, &app.0, &key.name, &key.device, &key.hash.0, &key.sealed, &now];
    Ok(tx.exec(sql, &args)? == 1)
}

/// Gives a key another name; false if the application has one of that name.
pub fn rename(tx: &Tx<'_>, app: &AppId, id: &str, name: &str) -> Result<bool> {
    let sql = "update control.api_keys set name = ?1 where app_id = ?2 and id = ?3";
    match tx.exec(sql, &[&name, &app.0, &id]) {
        Err(engine::Error::Unique { .. }) => Ok(false),
        renamed => Ok(renamed? == 1),
    }
}

/// Removes a key, and with it the domains that stand for it; false if it is not there.
pub fn delete(tx: &Tx<'_>, app: &AppId, id: &str) -> Result<bool> {
    let sql = "delete from control.api_keys where app_id = ?1 and id = ?2";
    Ok(tx.exec(sql, &[&app.0, &id])? == 1)
}

/// Gives a key a new secret; false if it is not a key of the application.
pub fn replace(tx: &Tx<'_>, app: &AppId, id: &str, hash: &TokenHash, sealed: &str) -> Result<bool> {
    let sql = "update control.api_keys set hash = ?1, sealed = ?2 where app_id = ?3 and id = ?4";
    Ok(tx.exec(sql, &[&hash.0, &sealed, &app.0, &id])? == 1)
}
