//! The developer's own account: the name and the password.
//!
//! Wire: users-api 6.1 (`PUT /console/home/myaccount/`). The names of the two passwords are ours.

use serde_json::{Map, Value, json};

use super::developers::{accept, accept_name, by_email, shown};
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::password::{self, Door};
use crate::schema::identity;
use crate::server::Server;
use crate::sessions::{self, brake};
use crate::store::{self, Tx};
use crate::web::{Answer, Body, Desk, Reply, State};

/// Changes what the body names: `name`, and `password` with the `oldPassword`. The rest of what
/// [`super::developers::account`] shows may come along.
///
/// A new password ends the developer's other sessions (security PW-10). Fails with 20060 where the
/// old one is wrong, which counts like a wrong login, 999 after too many of them, 8023, 3045 and
/// 3038.
pub async fn update(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let body = body.object()?;
    let mut developer = desk.developer.clone();
    let other = |email: &str| {
        let canonical = identity::canonical(email);
        canonical.is_ok_and(|it| it.as_str() != developer.email)
    };
    if word(&body, "email")?.is_some_and(other) {
        return Err(Error::bad_parameter("The address cannot be changed here: it must be proved"));
    }
    let before = developer.name.clone();
    if let Some(name) = word(&body, "name")? {
        accept_name(name)?;
        name.trim().clone_into(&mut developer.name);
    }
    let (new, old) = (word(&body, "password")?, word(&body, "oldPassword")?.unwrap_or_default());
    let (hash, passed) = match new.filter(|it| !it.is_empty()) {
        None => (None, None),
        Some(new) => {
            let known = (developer.email.as_str(), developer.name.as_str());
            let accepted = accept(&server, Door::ConsoleAccount, known, new)?;
            let passed = prove(&server, &desk, old).await?;
            match password::hash(
                &server.passwords,
                hashes::Lane::Interactive,
                &server.random,
                accepted,
            )
            .await
            {
                Ok(hash) => (Some(hash.as_str().to_owned()), Some(passed)),
                Err(error) => {
                    passed.settle().await?; // it was right
                    return Err(error);
                }
            }
        }
    };
    let proof = passed.as_ref().map(|it| (it.hash.clone(), it.mark.clone()));
    let (keep, author, kept) = (server.clone(), desk.author(), desk.token.digest());
    let edited = developer.clone();
    let write = move |tx: &Tx<'_>| {
        let (id, now) = (&edited.id, author.at);
        if store::developers::lock(tx, &id.0)? != Some(true) {
            return Err(Error::no_console_session());
        }
        let record = |event: Event, what: &Value| {
            events::record(tx, &keep.random, &author, event, &id.0, what)
        };
        if edited.name != before {
            store::developers::rename(tx, id, &edited.name)?;
            let what = json!({ "before": { "name": before }, "after": { "name": edited.name } });
            record(Event::DeveloperUpdated, &what)?;
        }
        let (Some(new), Some((old, mark))) = (&hash, &proof) else { return Ok(()) };
        if !store::developers::renew(tx, id, old, new)? {
            // Somebody has changed it since it was checked.
            return Err(Error::wrong_old_password());
        }
        brake::forgive(tx, mark)?;
        brake::new_password(tx, &keep, (&id.0, &author), true)?;
        let ended = store::sessions::delete_of_user(tx, &id.0, Some(&kept))?;
        sessions::revoked(tx, &keep, &id.0, now)?;
        let what = json!({ "sessions": ended, "addresses": [edited.email_shown] });
        record(Event::DeveloperPasswordChanged, &what)
    };
    let written = server.apps.platform.data.write(write).await;
    match (passed, &written) {
        (Some(passed), Ok(())) => passed.finish(),
        // It was right, whatever else was in the way.
        (Some(passed), Err(_)) => passed.settle().await?,
        (None, _) => {}
    }
    written?;
    Answer::json(&shown(&developer))
}

/// Checks the old password, as often as the brake allows.
async fn prove(server: &Server, desk: &Desk, old: &str) -> Result<brake::Passed> {
    if old.is_empty() {
        return Err(Error::wrong_old_password());
    }
    let door = brake::Door::desk(server, desk);
    let passed = brake::check(server, &door, (&desk.developer.email, by_email), old).await?;
    passed.ok_or_else(Error::wrong_old_password)
}

/// A text of the body; `None` if it is absent or null. Fails with 3038 for anything else.
fn word<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::bad_parameter(format!("{name} must be a text"))),
    }
}
