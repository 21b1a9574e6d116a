//! Registration, and the conversion of a guest.
//!
//! Wire: users-api 2.2 and 2.5 (`POST …/users/register`).

use std::sync::Arc;

use hashes::Lane;
use serde_json::{Map, Value};

use super::draft::{self, Rules};
use super::write::{self, Change, NewUser};
use crate::address::Group;
use crate::apps::App;
use crate::data::grow::{self, Tables, Tries};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::ids::UserId;
use crate::live::{self, Verdict};
use crate::password::{self, Door};
use crate::schema::USERS;
use crate::server::Server;
use crate::sessions::brake;
use crate::store::users::Status;
use crate::store::{self, objects};
use crate::web::{Answer, Body, Caller, Reply, State, text};

/// Registers a user. Answers with the user, without a password and without a token: registering
/// does not log in.
pub async fn register(State(server): State<Server>, caller: Caller, body: Body) -> Reply {
    if !caller.app.settings.registration.user_registration_enabled {
        return Err(Error::registration_off());
    }
    let body = body.object()?;
    let guest = guest(&server, &caller, &body).await?;
    let door = if guest.is_some() { Door::ConvertGuest } else { Door::Register };
    let pending = caller.app.settings.registration.email_confirmation_required;
    let status = if pending { Status::Pending } else { Status::Enabled };
    let change = Change::new(server, caller.app.clone(), caller.author());
    brake::registration(&change.server, &caller).await?;
    let place = place_of(&caller);
    let mut tries = Tries::new(change);
    loop {
        let how = (door, status, Lane::Interactive);
        let made = made(&tries.change, how, (guest.as_ref(), place), &body).await;
        if let Some(made) = tries.settle(made).await? {
            return Ok(Answer::json_text(made));
        }
    }
}

async fn made(
    change: &Change,
    how: (Door, Status, Lane),
    (guest, place): (Option<&UserId>, Option<Group>),
    body: &Map<String, Value>,
) -> Result<Vec<u8>> {
    let kept = match guest {
        Some(id) => filled(&change.app, id).await?,
        None => Vec::new(),
    };
    let mut user = prepare(change, how, body, &kept).await?;
    let converts = guest.is_some();
    if let Some(guest) = guest {
        user.id = guest.clone();
    }
    write(change, Arc::new(user), (Event::UserRegistered, place, converts)).await
}

/// Where the caller is, to be noted with a user who is made: nowhere if it is the owner's server.
pub fn place_of(caller: &Caller) -> Option<Group> {
    (!caller.is_server_code()).then(|| caller.asked.source.group())
}

/// A user as `body` has it, with a new id and the password hashed: every check that needs no
/// database. The `kept` properties have a value already.
pub async fn prepare(
    change: &Change,
    (door, status, lane): (Door, Status, Lane),
    body: &Map<String, Value>,
    kept: &[String],
) -> Result<NewUser> {
    let server = &change.server;
    let draft = draft::draft(door, (change.users()?, &Rules::of(change)), body, kept)?;
    let hash = password::hash(&server.passwords, lane, &server.random, draft.password).await?;
    Ok(NewUser {
        id: UserId(server.random.object_id(change.author.at).into()),
        cells: draft.cells,
        unknown: draft.unknown,
        identity: Some(draft.identity),
        password: Some(hash),
        status,
    })
}

/// Adds the user, or converts the guest, and gives what an answer says.
async fn write(
    change: &Change,
    user: Arc<NewUser>,
    (event, place, converts): (Event, Option<Group>, bool),
) -> Result<Vec<u8>> {
    let keep = change.clone();
    let write = change.app.realm.data.write(move |tx| {
        let keep = &grow::hold(tx, &keep, USERS, Tables::by(&user.unknown))?;
        brake::registered(tx, user.id.as_str(), place, keep.author.at)?;
        let table = if converts {
            write::convert_guest(tx, keep, &user)?
        } else {
            write::insert(tx, keep, &user, event)?
        };
        let mut out = Vec::new();
        objects::write_one(tx, &table, user.id.as_str(), &mut out)?;
        out.push(b'}');
        Ok::<_, Error>(out)
    });
    write.await
}

/// The properties that a guest has a value of.
async fn filled(app: &App, id: &UserId) -> Result<Vec<String>> {
    let (table, wanted) = (app.users()?, id.clone());
    let row = app.realm.data.read(move |db| {
        let mut out = Vec::new();
        let found = objects::write_one(db, &table, wanted.as_str(), &mut out)?;
        out.push(b'}');
        Ok::<_, Error>(found.then_some(out))
    });
    let Some(row) = row.await? else { return Ok(Vec::new()) };
    let row: Map<String, Value> = serde_json::from_slice(&row).map_err(Error::internal)?;
    Ok(row.into_iter().filter(|it| !it.1.is_null()).map(|it| it.0).collect())
}

/// The guest whom the body names. Naming one needs the guest's own live token or the server-code
/// key: who merely saw the id must not take the account. An id that is no guest's means nothing.
async fn guest(
    server: &Server,
    caller: &Caller,
    body: &Map<String, Value>,
) -> Result<Option<UserId>> {
    let Some(id) = text(body, "objectId").map(str::to_owned) else { return Ok(None) };
    let data = &caller.app.realm.data;
    let asked = id.clone();
    let status = data.read(move |db| store::users::status(db, &asked)).await?;
    if status != Some(Status::Guest) {
        return Ok(None);
    }
    let mut own = caller.is_server_code();
    if let Some(token) = &caller.token {
        let (realm, lifetime) = (&caller.app.realm, caller.lifetime());
        let verdict = live::look(server, realm, lifetime, token).await?;
        own |= matches!(verdict, Verdict::Live(session) if *session.user.id == *id);
    }
    if own { Ok(Some(UserId(id.into()))) } else { Err(Error::not_your_user()) }
}
