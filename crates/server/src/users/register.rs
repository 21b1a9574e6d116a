//! Registration, and the conversion of a guest.
//!
//! Wire: users-api 2.2 and 2.5 (`POST …/users/register`).

use serde_json::{Map, Value};

use super::draft::{self, Rules};
use super::write::{self, Change, NewUser};
use crate::data::grow::{self, Tables, Tries};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::ids::UserId;
use crate::live::{self, Verdict};
use crate::password::{self, Door};
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
    create((&change, Some(&caller)), (door, status, Event::UserRegistered), guest, body).await
}

/// Makes a user of `body`, or converts the guest. `from` is the client that asks for it; in the
/// Console there is none.
pub async fn create(
    (change, from): (&Change, Option<&Caller>),
    (door, status, event): (Door, Status, Event),
    guest: Option<UserId>,
    body: Map<String, Value>,
) -> Reply {
    if let Some(caller) = from {
        brake::registration(&change.server, caller)?;
    }
    let (mut tries, mut hash) = (Tries::new(change.clone()), None);
    loop {
        let how = (door, status, event);
        let tried = made((&tries.change, from), how, guest.as_ref(), (&body, &mut hash));
        if let Some(made) = tries.settle(tried.await).await? {
            return Ok(Answer::json_text(made));
        }
    }
}

async fn made(
    (change, from): (&Change, Option<&Caller>),
    (door, status, event): (Door, Status, Event),
    guest: Option<&UserId>,
    (body, known): (&Map<String, Value>, &mut Option<hashes::PasswordHash>),
) -> Result<Vec<u8>> {
    let (server, app) = (&change.server, &change.app);
    let draft = draft::draft(door, (change.users()?, &Rules::of(change)), body)?;
    // What takes long is done once, however often the tables change meanwhile.
    let hash = match known.take() {
        Some(hash) => hash,
        None => password::hash(&server.passwords, &server.random, draft.password).await?,
    };
    *known = Some(hash.clone());
    let converts = guest.is_some();
    let id =
        guest.cloned().unwrap_or_else(|| UserId(server.random.object_id(change.author.at).into()));
    let user = NewUser {
        id,
        cells: draft.cells,
        unknown: draft.unknown,
        identity: Some(draft.identity),
        password: Some(hash),
        status,
    };
    let keep = change.clone();
    let place = from.filter(|it| !it.is_server_code()).map(|it| it.asked.source.group());
    let write = app.realm.data.write(move |tx| {
        grow::hold(tx, &keep, Tables::by(&user.unknown))?;
        let table = if converts {
            write::convert_guest(tx, &keep, &user)?
        } else {
            write::insert(tx, &keep, &user, event)?
        };
        brake::registered(tx, user.id.as_str(), place, keep.author.at)?;
        let mut out = Vec::new();
        objects::write_one(tx, &table, user.id.as_str(), &mut out)?;
        out.push(b'}');
        Ok::<_, Error>(out)
    });
    write.await
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
