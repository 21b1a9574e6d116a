//! The `sys.settings` table: every version of an application's settings, the newest in force.

use super::{Db, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::settings::Settings;

/// The settings in force and their version; `None` before the first have been written.
pub fn current(db: &Db<'_>) -> Result<Option<(i64, Settings)>> {
    let sql = "select version, body from sys.settings where app_id = ?1
               order by version desc limit 1";
    let found = db.row(sql, &[&db.app()], |row| {
        Ok((row.get::<i64>("version")?, row.get::<String>("body")?))
    })?;
    let Some((version, body)) = found else { return Ok(None) };
    Ok(Some((version, serde_json::from_str(&body)?)))
}

/// Writes the version after `before`; false if somebody else has written it already.
pub fn insert(
    tx: &Tx<'_>,
    before: i64,
    settings: &Settings,
    by: &str,
    now: Millis,
) -> Result<bool> {
    let body = serde_json::to_string(settings)?;
    let sql = "insert into sys.settings (app_id, version, body, changed_at, changed_by)
               values (?1, ?2, ?3, ?4, ?5) on conflict (app_id, version) do nothing";
    Ok(tx.exec(sql, &[&tx.app(), &(before + 1), &body, &now, &by])? == 1)
}
