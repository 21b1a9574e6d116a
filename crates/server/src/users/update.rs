//! Changing a user: what may be changed, by whom, and what it becomes.
//!
//! Wire: users-api 2.12 (`PUT …/users/{id}`), and the same through the data API and the Console.

use std::sync::Arc;

use hashes::Lane;
use serde_json::{Map, Value};

use super::draft::{Rules, identity_of, new_property_of_user};
use super::write::{self, Change, Edit, Identity};
use crate::data::grow::{self, Tables, Tries};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::password::{self, Door};
use crate::roles::{self, Operation};
use crate::schema::{Column, Maker, PASSWORD, Table, USERS, identity, record, values};
use crate::secret::TokenHash;
use crate::server::Server;
use crate::settings::Profile;
use crate::store::users::Status;
use crate::store::{self, objects};
use crate::web::{Answer, Body, Caller, Names, Reply, State, Who};

/// Changes a user. Fails with 3028 or 3029 where the caller may not, 3030 for an unknown id, and
/// as [`edit`] and [`write::update`] do.
pub async fn put(State(server): State<Server>, caller: Caller, names: Names, body: Body) -> Reply {
    let id = names.get("id");
    if !roles::may_user(&caller, Operation::Update, id) {
        let nobody = caller.user().is_none();
        return Err(if nobody { Error::not_logged_in() } else { Error::not_your_user() });
    }
    let unknown = |_: &str| Error::no_such_user_to_update();
    by_caller(&server, &caller, (Door::Update, unknown), id, &body.object()?).await
}

/// Changes a user for a caller whose right to change that user has been checked.
pub async fn by_caller(
    server: &Server,
    caller: &Caller,
    (door, unknown): (Door, fn(&str) -> Error),
    id: &str,
    body: &Map<String, Value>,
) -> Reply {
    let change = Change::new(server.clone(), caller.app.clone(), caller.author());
    save(change, Rights::of(caller, door, id), unknown, id, body).await
}

/// What a request may do to the user whom it changes, beside setting properties.
#[derive(Clone)]
pub struct Rights {
    /// The door of a new password.
    door: Door,
    /// Whether it may set password and identity.
    secrets: bool,
    /// Whether it may set the status.
    status: bool,
    /// The owner that the record gets.
    owner: Option<String>,
    /// The session that outlives a new password: the one that sets it.
    kept: Option<TokenHash>,
}

impl Default for Rights {
    fn default() -> Self {
        Self { door: Door::Update, secrets: false, status: false, owner: None, kept: None }
    }
}

impl Rights {
    /// Those of a caller who may change the user with that id.
    pub fn of(caller: &Caller, door: Door, id: &str) -> Self {
        let mut rights = Self { door, secrets: caller.is_server_code(), ..Self::default() };
        if let Who::User(session) = &caller.who {
            if *session.user.id == *id {
                let age = caller.asked.at.0 - session.created.0;
                rights.secrets |= age <= caller.app.settings.passwords.recent_login.millis();
                rights.kept = Some(session.hash);
            }
            // As the original: who changes a user becomes its owner (security C-5).
            if caller.app.profile == Profile::Compat {
                rights.owner = Some(session.user.id.to_string());
            }
        }
        rights
    }

    /// Those of a developer: any property, and the status.
    pub fn of_developer() -> Self {
        Self { door: Door::ConsoleUpdate, secrets: true, status: true, ..Self::default() }
    }
}

async fn save(
    change: Change,
    rights: Rights,
    unknown: fn(&str) -> Error,
    id: &str,
    body: &Map<String, Value>,
) -> Reply {
    let mut tries = Tries::new(change);
    loop {
        let tried = saved(&tries.change, &rights, (id, unknown), body).await;
        if let Some(saved) = tries.settle(tried).await? {
            return Ok(Answer::json_text(saved));
        }
    }
}

async fn saved(
    change: &Change,
    rights: &Rights,
    known: (&str, fn(&str) -> Error),
    body: &Map<String, Value>,
) -> Result<Vec<u8>> {
    let edit = prepare(change, rights, known, body, Lane::Interactive).await?;
    let keep = change.clone();
    let write = change.app.realm.data.write(move |tx| {
        let keep = &grow::hold(tx, &keep, USERS, Tables::by(&edit.unknown))?;
        let table = write::update(tx, keep, std::slice::from_ref(&edit))?;
        let mut out = Vec::new();
        objects::write_one(tx, &table, edit.id.as_str(), &mut out)?;
        out.push(b'}');
        Ok::<_, Error>(out)
    });
    write.await
}

/// What `body` changes of the user with that id, with the new password hashed. Fails with `unknown`
/// if there is no such user, and as [`edit`] does.
pub async fn prepare(
    change: &Change,
    rights: &Rights,
    (id, unknown): (&str, fn(&str) -> Error),
    body: &Map<String, Value>,
    lane: Lane,
) -> Result<Edit> {
    let (app, server, wanted) = (&change.app, &change.server, id.to_owned());
    let table = Arc::clone(change.users()?);
    let found = app.realm.data.read(move |db| {
        let known = |it: &&Column| it.identity || it.name == "name";
        let known: Vec<&Column> = table.columns.iter().filter(known).collect();
        let status = store::users::status(db, &wanted)?;
        Ok::<_, Error>(match status {
            Some(_) => Some(objects::read(db, &table, &known, &wanted)?),
            None => None,
        })
    });
    let known = found.await?.ok_or_else(|| unknown(id))?;
    let (mut edit, password) = edit(change, rights, (id, &known), body)?;
    if let Some(password) = password {
        let hash = password::hash(&server.passwords, lane, &server.random, password).await?;
        edit.password = Some(hash.as_str().to_owned());
    }
    Ok(edit)
}

/// What `body` changes, and the new password, which has yet to be hashed: every check that needs
/// no database. What the server keeps itself is left out, whoever sends it.
///
/// Fails with 3039, 3045, 3040, 1007, 8023, 3038, and 3029 for a password where it may not be set.
fn edit(
    change: &Change,
    rights: &Rights,
    (id, known): (&str, &Map<String, Value>),
    body: &Map<String, Value>,
) -> Result<(Edit, Option<hashes::Password>)> {
    let settings = &change.app.settings;
    let table: &Table = change.users()?;
    let mut edit = Edit {
        id: UserId(id.into()),
        cells: Vec::new(),
        unknown: Vec::new(),
        identity: None,
        may_set_identity: rights.secrets,
        password: None,
        status: None,
        owner: rights.owner.clone(),
        kept: rights.kept,
    };
    if body.contains_key("id") {
        return Err(Error::property_id());
    }
    for (name, value) in body {
        let empty = value.is_null() || value.as_str().is_some_and(|it| it.trim().is_empty());
        match table.column(name) {
            _ if name == PASSWORD => {}
            Some(it) if it.maker == Maker::System => {}
            Some(it) if it.identity && empty => edit.identity = Some(Identity::Nothing),
            Some(it) if it.identity => {
                let (canonical, shown) = identity_of(it, value)?;
                edit.cells.push((name.clone(), values::to_stored(it, &Value::String(shown))?));
                edit.identity = Some(Identity::Is(canonical));
            }
            Some(it) if it.rules.required && empty => return Err(Error::empty(name)),
            Some(it) => edit.cells.push((name.clone(), record::stored(table, it, value)?)),
            None => edit.unknown.extend(new_property_of_user(settings, name, value)?),
        }
    }
    if settings.registration.email_confirmation_required {
        let address = |it: &Value| identity::is_address(it.as_str().unwrap_or_default().trim());
        if !body.get("email").is_none_or(address) {
            return Err(Error::not_an_address());
        }
    }
    if rights.status
        && let Some(word) = body.get("userStatus").filter(|it| !it.is_null())
    {
        let status = word.as_str().and_then(Status::parse);
        edit.status = Some(status.ok_or_else(super::status::unknown_word)?);
    }
    let password = match body.get(PASSWORD) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(_)) if !rights.secrets => return Err(Error::not_recent()),
        Some(Value::String(text)) => {
            // What the user will be called from now on counts, and else what it is.
            let says = |name: &str| {
                let value = body.get(name).filter(|it| !it.is_null()).or_else(|| known.get(name));
                value.map(as_text).unwrap_or_default()
            };
            let identity = table.identity().map(|it| says(&it.name)).unwrap_or_default();
            let name = says("name");
            let rules = Rules::of(change);
            let password = password::accept(rights.door, &rules.measure(&identity, &name), text)?;
            if let Some(column) = table.column(PASSWORD) {
                values::check_text(column, text)?;
            }
            Some(password)
        }
        Some(_) => return Err(Error::wrong_type(PASSWORD)),
    };
    Ok((edit, password))
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
