//! Every change of a user: the row, its identity, its password and its event, in one transaction.

use std::sync::Arc;

use hashes::PasswordHash;
use serde_json::{Map, Value, json};

use crate::apps::App;
use crate::data::grow;
use crate::error::{Error, Result};
use crate::events::{self, Author, Event};
use crate::ids::UserId;
use crate::schema::identity::Canonical;
use crate::schema::{Column, Schema, Table, USERS, values};
use crate::secret::TokenHash;
use crate::server::Server;
use crate::sessions::{self, brake};
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
    /// The tables that what is written was checked against.
    pub schema: Arc<Schema>,
}

impl Change {
    /// A change of `app` as it is now.
    pub fn new(server: Server, app: Arc<App>, author: Author) -> Self {
        let schema = app.schema();
        Self { server, app, author, schema }
    }

    /// The table of users.
    pub fn users(&self) -> Result<&Arc<Table>> {
        self.schema.table(USERS).ok_or_else(|| Error::internal("an application has no users"))
    }
}

/// Adds a user. Fails with 3033 when somebody has the identity: by a constraint of the database, so
/// of many at the same moment one wins.
///
/// Gives the table as it is then.
pub fn insert(tx: &Tx<'_>, change: &Change, user: &NewUser, event: Event) -> Result<Arc<Table>> {
    let table = grow::with_columns(tx, change, USERS, &user.unknown)?;
    claim_new(tx, &table, user)?;
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
    events::record(tx, &change.server.random, &change.author, event, id, &what)?;
    Ok(table)
}

/// Makes a guest a regular user: the same record, with an identity and a password. The guest's
/// sessions end, as at every change of what a login proves.
///
/// Fails with 3029 if the user is no guest any more, and with 3033. Gives the table as it is then.
pub fn convert_guest(tx: &Tx<'_>, change: &Change, user: &NewUser) -> Result<Arc<Table>> {
    let id = user.id.as_str();
    // In the order in which all others take these locks.
    let table = grow::with_columns(tx, change, USERS, &user.unknown)?;
    if store::users::lock(tx, id)? != Some(Status::Guest) {
        return Err(Error::not_your_user());
    }
    claim_new(tx, &table, user)?;
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
    events::record(tx, &change.server.random, &change.author, Event::GuestConverted, id, &what)?;
    Ok(table)
}

/// What changes of one user.
pub struct Edit {
    /// Who.
    pub id: UserId,
    /// The new values of columns, by name; the identity's own among them.
    pub cells: Vec<(String, engine::Value)>,
    /// Properties that the table lacks.
    pub unknown: Vec<(String, Value)>,
    /// The identity, if the request has it, new or not.
    pub identity: Option<Identity>,
    /// Whether it may be a new one.
    pub may_set_identity: bool,
    /// The hash of the new password.
    pub password: Option<String>,
    /// The status to be.
    pub status: Option<Status>,
    /// The owner to be.
    pub owner: Option<String>,
    /// The session that outlives a new password.
    pub kept: Option<TokenHash>,
}

/// What a request says that the identity is.
pub enum Identity {
    /// This; its value is among the cells.
    Is(Canonical),
    /// Nothing.
    Nothing,
}

/// Changes users, each by its own edit, and gives the table as it is then.
///
/// Fails with 3030 for a user who is not there; 3045, 3029 and 3018 for an identity that is taken
/// away, may not be set, or is somebody else's; 3038 for a guest who would get one or a password;
/// 1155; and as [`set_status`] does.
pub fn update(tx: &Tx<'_>, change: &Change, edits: &[Edit]) -> Result<Arc<Table>> {
    let unknown: Vec<_> = edits.iter().flat_map(|it| it.unknown.iter().cloned()).collect();
    let table = grow::with_columns(tx, change, USERS, &unknown)?;
    lock(tx, &table, edits.iter().map(|it| it.id.as_str()))?;
    edits.iter().try_for_each(|it| update_one(tx, change, &table, it))?;
    Ok(table)
}

/// Locks several users in the order in which all do.
fn lock<'a>(tx: &Tx<'_>, table: &Table, users: impl Iterator<Item = &'a str>) -> Result<()> {
    let users: Vec<&str> = users.collect();
    if users.len() > 1 {
        objects::lock(tx, table, &users)?;
    }
    Ok(())
}

fn update_one(tx: &Tx<'_>, change: &Change, table: &Table, edit: &Edit) -> Result<()> {
    let (id, now) = (edit.id.as_str(), change.author.at);
    let status = store::users::lock(tx, id)?.ok_or_else(Error::no_such_user_to_update)?;
    let identity = match &edit.identity {
        Some(Identity::Is(canonical)) => Some(canonical),
        Some(Identity::Nothing) | None => None,
    };
    same_identity(table, &edit.cells, identity)?;
    if let Some(identity) = &edit.identity {
        set_identity(tx, table, edit, status, identity)?;
    }
    let mut cells = grow::cells(table, &edit.cells, &edit.unknown)?;
    let changed: Vec<&Column> = cells.iter().map(|it| it.0).collect();
    let before = objects::read(tx, table, &changed, id)?;
    let told = if edit.password.is_some() { address(tx, table, id)? } else { None };
    let owner = edit.owner.as_deref().map(Value::from);
    for (name, value) in [("updated", Some(Value::from(now.0))), ("ownerId", owner)] {
        if let (Some(column), Some(value)) = (table.column(name), value) {
            cells.push((column, values::to_stored(column, &value)?));
        }
    }
    objects::update(tx, table, id, &cells)?;
    let after = objects::read(tx, table, &changed, id)?;
    let what = difference(before, after);
    events::record(tx, &change.server.random, &change.author, Event::UserUpdated, id, &what)?;
    if let Some(status) = edit.status {
        set_status(tx, change, &edit.id, status)?;
    }
    match &edit.password {
        Some(_) if status == Status::Guest => Err(guest_stays()),
        Some(hash) => {
            let now = address(tx, table, id)?.filter(|it| told.as_ref() != Some(it));
            let addresses: Vec<String> = told.into_iter().chain(now).collect();
            set_password(tx, change, (&edit.id, hash), (edit.kept.as_ref(), &addresses))
        }
        None => Ok(()),
    }
}

/// Where mail reaches the user at this moment of the transaction.
fn address(tx: &Tx<'_>, table: &Table, id: &str) -> Result<Option<String>> {
    let Some(column) = table.column("email") else { return Ok(None) };
    Ok(match objects::value(tx, table, column, id)? {
        engine::Value::Text(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    })
}

/// Makes `identities` say what the row is about to. A text that stays as it is is no change; one
/// that is only spelt differently is: mail goes to what is stored.
fn set_identity(
    tx: &Tx<'_>,
    table: &Table,
    edit: &Edit,
    status: Status,
    identity: &Identity,
) -> Result<()> {
    let column = table.identity().ok_or_else(|| Error::internal("no column is the identity"))?;
    let before = objects::value(tx, table, column, edit.id.as_str())?;
    let Identity::Is(canonical) = identity else {
        let empty = before == engine::Value::Null;
        return if empty { Ok(()) } else { Err(Error::empty(&column.name)) };
    };
    if edit.cells.iter().any(|it| it.0 == column.name && it.1 == before) {
        return Ok(());
    }
    if !edit.may_set_identity {
        return Err(Error::not_recent());
    }
    if status == Status::Guest {
        return Err(guest_stays());
    }
    forget_failures(tx, &edit.id)?;
    identities::release(tx, identities::LOGIN, &edit.id)?;
    if claim(tx, canonical, &edit.id)? { Ok(()) } else { Err(Error::identity_taken_on_update()) }
}

fn guest_stays() -> Error {
    Error::bad_parameter("A guest gets an identity and a password by registering")
}

/// Sets a new password: whoever is logged in by the old one is not any more, but for the session
/// that made the change, and wrong passwords are forgotten (security PW-10).
///
/// Mail to the owner is made from the event, at the addresses from before and after this change:
/// whoever takes over an account and its address at once is told on.
fn set_password(
    tx: &Tx<'_>,
    change: &Change,
    (user, hash): (&UserId, &str),
    (kept, addresses): (Option<&TokenHash>, &[String]),
) -> Result<()> {
    let (id, now) = (user.as_str(), change.author.at);
    credentials::set(tx, user, hash, now)?;
    forget_failures(tx, user)?;
    brake::new_password(tx, &change.server, (id, &change.author), kept.is_some())?;
    let mut ended = 0;
    if !change.app.settings.passwords.keep_sessions {
        ended = store::sessions::delete_of_user(tx, id, kept)?;
        sessions::revoked(tx, &change.server, id, now)?;
    }
    let what = json!({ "sessions": ended, "addresses": addresses });
    events::record(tx, &change.server.random, &change.author, Event::PasswordChanged, id, &what)
}

/// Opens an account that wrong passwords have closed or locked. Fails with 3057 for an unknown user.
pub fn unlock(tx: &Tx<'_>, change: &Change, user: &UserId) -> Result<()> {
    let id = user.as_str();
    store::users::lock(tx, id)?.ok_or_else(Error::no_such_user_id)?;
    forget_failures(tx, user)?;
    let (random, author) = (&change.server.random, &change.author);
    events::record(tx, random, author, Event::AccountUnlocked, id, &json!({}))
}

/// Forgets the wrong passwords, and the locks, of whatever the user logs in with.
fn forget_failures(tx: &Tx<'_>, user: &UserId) -> Result<()> {
    let identity = identities::of_user(tx, identities::LOGIN, user)?;
    identity.map_or(Ok(()), |it| brake::forgive_all(tx, &it))
}

/// The properties that are not what they were: `{"before": {…}, "after": {…}}`.
pub fn difference(mut before: Map<String, Value>, mut after: Map<String, Value>) -> Value {
    before.retain(|name, value| after.get(name) != Some(value));
    after.retain(|name, _| before.contains_key(name));
    json!({ "before": before, "after": after })
}

/// Deletes those of `users` who are there, with their sessions, identities, passwords and wrong
/// passwords, and tells how many there were. Nothing is left for whoever gets the same id or
/// identity (security I-7). What they own stays.
pub fn delete(tx: &Tx<'_>, change: &Change, users: &[UserId]) -> Result<usize> {
    // Nobody else is gathering identities for good meanwhile, or changing the tables.
    store::schema::hold(tx)?;
    let table = grow::with_columns(tx, change, USERS, &[])?;
    lock(tx, &table, users.iter().map(UserId::as_str))?;
    let (now, mut deleted) = (change.author.at, 0);
    for user in users {
        let id = user.as_str();
        let Some(status) = store::users::lock(tx, id)? else { continue };
        forget_failures(tx, user)?;
        brake::gone(tx, id)?;
        identities::release_all(tx, user)?;
        credentials::delete(tx, user)?;
        let ended = store::sessions::delete_of_user(tx, id, None)?;
        sessions::revoked(tx, &change.server, id, now)?;
        objects::delete(tx, &table, id)?;
        let what = json!({ "before": { "userStatus": status.as_str() }, "sessions": ended });
        events::record(tx, &change.server.random, &change.author, Event::UserDeleted, id, &what)?;
        deleted += 1;
    }
    Ok(deleted)
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

/// Refuses what was prepared while another property was the identity (20041): its value would be
/// claimed for the wrong one. Every writer of a user calls it before it writes, with the table as it
/// stays until its transaction ends ([`grow::hold`]).
pub fn same_identity(
    table: &Table,
    cells: &[(String, engine::Value)],
    identity: Option<&Canonical>,
) -> Result<()> {
    let name = &table.identity().ok_or_else(Error::identity_changed)?.name;
    let text = match cells.iter().find(|it| it.0 == *name).map(|it| &it.1) {
        Some(engine::Value::Text(text)) => Some(text.clone()),
        Some(engine::Value::Int(number)) => Some(number.to_string()),
        _ => None,
    };
    let written = text.and_then(|it| crate::schema::identity::canonical(&it).ok());
    if written.as_ref() == identity { Ok(()) } else { Err(Error::identity_changed()) }
}

/// Gives the identity to the user; false if it is somebody's. Wrong passwords that were counted
/// while it was nobody's are forgotten.
fn claim(tx: &Tx<'_>, identity: &Canonical, user: &UserId) -> Result<bool> {
    let claimed = identities::claim(tx, identities::LOGIN, identity.as_str(), user)?;
    if claimed {
        brake::forgive_all(tx, identity.as_str())?;
    }
    Ok(claimed)
}

fn claim_new(tx: &Tx<'_>, table: &Table, user: &NewUser) -> Result<()> {
    same_identity(table, &user.cells, user.identity.as_ref())?;
    match &user.identity {
        Some(identity) if !claim(tx, identity, &user.id)? => Err(Error::user_exists()),
        _ => Ok(()),
    }
}
