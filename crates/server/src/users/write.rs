//! Every change of a user: the row, its identity, its password and its event, in one transaction.

use std::sync::Arc;

use hashes::PasswordHash;
use serde_json::{Value, json};

use crate::apps::App;
use crate::data::grow;
use crate::error::{Error, Result};
use crate::events::{self, Author, Event};
use crate::ids::UserId;
use crate::schema::identity::Canonical;
use crate::schema::{USERS, values};
use crate::server::Server;
use crate::sessions;
use crate::store::users::Status;
use crate::store::{self, Tx, credentials, identities, objects};

/// A user that is about to be written.
pub struct NewUser {
    /// The id: a new one, or the guest's.
    pub id: UserId,
    /// The values of columns, by name.
    pub cells: Vec<(String, engine::Value)>,
    /// Properties that the table lacks.
    pub unknown: Vec<(String, Value)>,
    /// What the user logs in with; a guest has nothing.
    pub identity: Option<Canonical>,
    /// The hash of the password; a guest has none.
    pub password: Option<PasswordHash>,
    /// Whether the user may log in.
    pub status: Status,
}

/// Where a change happens and who makes it.
#[derive(Clone)]
pub struct Change {
    /// The server.
    pub server: Server,
    /// The application.
    pub app: Arc<App>,
    /// Who.
    pub author: Author,
}

/// Adds a user. Fails with 3033 when somebody has the identity: by a constraint of the database, so
/// of many at the same moment one wins.
pub fn insert(tx: &Tx<'_>, change: &Change, user: &NewUser, event: Event) -> Result<()> {
    let table = grow::with_columns(tx, change, USERS, &user.unknown)?;
    claim(tx, user)?;
    let now = change.author.at;
    let id = user.id.as_str();
    let mut cells = grow::cells(&table, &user.cells, &user.unknown)?;
    for (name, value) in [
        ("objectId", Value::from(id)),
        ("ownerId", Value::from(id)),
        ("created", Value::from(now.0)),
        ("userStatus", Value::from(user.status.as_str())),
        ("accountType", Value::from("BACKENDLESS")),
        ("socialAccount", Value::from("BACKENDLESS")),
    ] {
        if let Some(column) = table.column(name) {
            cells.push((column, values::to_stored(column, &value)?));
        }
    }
    objects::insert(tx, &table, &cells)?;
    if let Some(hash) = &user.password {
        credentials::set(tx, &user.id, hash.as_str(), now)?;
    }
    let what = json!({ "after": { "userStatus": user.status.as_str() } });
    events::record(tx, &change.server.random, &change.author, event, id, &what)
}

/// Makes a guest a regular user: the same record, with an identity and a password. The guest's
/// sessions end, as at every change of what a login proves.
///
/// Fails with 3029 if the user is no guest any more, and with 3033.
pub fn convert_guest(tx: &Tx<'_>, change: &Change, user: &NewUser) -> Result<()> {
    let id = user.id.as_str();
    // In the order in which all others take these locks.
    let table = grow::with_columns(tx, change, USERS, &user.unknown)?;
    if store::users::lock(tx, id)? != Some(Status::Guest) {
        return Err(Error::not_your_user());
    }
    claim(tx, user)?;
    let now = change.author.at;
    let mut cells = grow::cells(&table, &user.cells, &user.unknown)?;
    for (name, value) in
        [("updated", Value::from(now.0)), ("userStatus", Value::from(user.status.as_str()))]
    {
        if let Some(column) = table.column(name) {
            cells.push((column, values::to_stored(column, &value)?));
        }
    }
    objects::update(tx, &table, id, &cells)?;
    if let Some(hash) = &user.password {
        credentials::set(tx, &user.id, hash.as_str(), now)?;
    }
    store::sessions::delete_of_user(tx, id, None)?;
    sessions::revoked(tx, &change.server, id, now)?;
    let what = json!({
        "before": { "userStatus": Status::Guest.as_str() },
        "after": { "userStatus": user.status.as_str() },
    });
    events::record(tx, &change.server.random, &change.author, Event::GuestConverted, id, &what)
}

/// Moves a user to another status. A disabled user's sessions end at once, and stay ended.
///
/// Fails with 3057 for an unknown user and 3038 for a move that there is not (users-api 2.14).
pub fn set_status(tx: &Tx<'_>, change: &Change, user: &UserId, to: Status) -> Result<()> {
    let id = user.as_str();
    let from = store::users::lock(tx, id)?.ok_or_else(Error::no_such_user_id)?;
    match (from, to) {
        (from, to) if from == to => return Ok(()),
        (Status::Enabled | Status::Pending, Status::Disabled)
        | (Status::Disabled | Status::Pending, Status::Enabled) => {}
        (from, to) => {
            let (from, to) = (from.as_str(), to.as_str());
            return Err(Error::bad_parameter(format!("A user cannot go from {from} to {to}")));
        }
    }
    let now = change.author.at;
    store::users::set_status(tx, user, to, now)?;
    if to == Status::Disabled {
        store::sessions::end_of_user(tx, id, now)?;
    }
    sessions::revoked(tx, &change.server, id, now)?;
    let what = json!({
        "before": { "userStatus": from.as_str() },
        "after": { "userStatus": to.as_str() },
    });
    events::record(tx, &change.server.random, &change.author, Event::StatusChanged, id, &what)
}

/// Replaces the hash of a password by a stronger one of the same password, unless it has changed
/// meanwhile (security PW-2). For whoever owns it nothing changes, so there is no event.
pub fn renew_hash(tx: &Tx<'_>, user: &UserId, old: &str, new: &str) -> Result<()> {
    credentials::renew(tx, user, old, new)?;
    Ok(())
}

fn claim(tx: &Tx<'_>, user: &NewUser) -> Result<()> {
    let Some(identity) = &user.identity else { return Ok(()) };
    if identities::claim(tx, identities::LOGIN, identity.as_str(), &user.id)? {
        Ok(())
    } else {
        Err(Error::user_exists())
    }
}
