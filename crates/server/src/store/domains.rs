//! The `control.domains` table: host names that stand for an application and one of its keys.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::AppId;

/// A host name as stored.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Opaque, for the Console.
    pub id: String,
    /// Lower case, without a port.
    pub host: String,
    /// The application it stands for.
    pub app: AppId,
    /// The key it stands for.
    pub api_key_id: String,
}

fn read(row: &Row<'_>) -> engine::Result<Domain> {
    Ok(Domain {
        id: row.get("id")?,
        host: row.get("host")?,
        app: AppId(row.get::<String>("app_id")?.into()),
        api_key_id: row.get("api_key_id")?,
    })
}

/// The domain of that host name.
pub fn by_host(db: &Db<'_>, host: &str) -> Result<Option<Domain>> {
    let sql = "select id, host, app_id, api_key_id from control.domains where host = ?1";
    Ok(db.row(sql, &[&host], read)?)
}

/// The domains of an application, oldest first.
pub fn of_app(db: &Db<'_>, app: &AppId) -> Result<Vec<Domain>> {
    let sql = "select id, host, app_id, api_key_id from control.domains
               where app_id = ?1 order by created, id";
    Ok(db.rows(sql, &[&app.0], read)?)
}

/// Adds one; false if the host is taken.
pub fn insert(tx: &Tx<'_>, domain: &Domain, now: Millis) -> Result<bool> {
    let sql = "insert into control.domains (id, host, app_id, api_key_id, created)
               values (?1, ?2, ?3, ?4, ?5) on conflict (host) do nothing";
    let app = &domain.app.0;
    Ok(tx.exec(sql, &[&domain.id, &domain.host, &app, &domain.api_key_id, &now])? == 1)
}

/// The domain of an application with that id.
pub fn by_id(db: &Db<'_>, app: &AppId, id: &str) -> Result<Option<Domain>> {
    let sql = "select id, host, app_id, api_key_id from control.domains
               where app_id = ?1 and id = ?2";
    Ok(db.row(sql, &[&app.0, &id], read)?)
}

/// Changes host and key of a domain; false if another domain has the host.
pub fn update(tx: &Tx<'_>, domain: &Domain) -> Result<bool> {
    let sql = "update control.domains set host = ?1, api_key_id = ?2
               where app_id = ?3 and id = ?4
                 and not exists (select 1 from control.domains where host = ?1 and id <> ?4)";
    let args: [&dyn engine::ToValue; 4] =
        [&domain.host, &domain.api_key_id, &domain.app.0, &domain.id];
    // Of two at the same moment the second meets the constraint.
    match tx.exec(sql, &args) {
        Err(engine::Error::Unique { .. }) => Ok(false),
        updated => Ok(updated? == 1),
    }
}

/// Removes a domain of the application; gives what it was.
pub fn delete(tx: &Tx<'_>, app: &AppId, id: &str) -> Result<Option<Domain>> {
    let sql = "delete from control.domains where app_id = ?1 and id = ?2
               returning id, host, app_id, api_key_id";
    Ok(tx.rows(sql, &[&app.0, &id], read)?.pop())
}
