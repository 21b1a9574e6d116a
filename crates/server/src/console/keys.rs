//! API keys: the seven of every application, and those that a developer adds.
//!
//! Wire: users-api 1.4 and 6.3. A key identifies a kind of client; it gives no rights but those of
//! its kind.

use serde_json::{Value, json};

use super::apps::DEVICES;
use crate::apps::App;
use crate::cluster;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::ids::AppId;
use crate::secret::Token;
use crate::server::Server;
use crate::store::changes::Kind;
use crate::store::keys::Key;
use crate::store::{self, Tx};
use crate::web::{Answer, Body, Desk, Names, Reply, State, text};

/// How many keys an application has at most.
const MOST: usize = 100;

/// A key of a kind, and its text for whoever is to use it.
pub fn fresh(server: &Server, app: &AppId, device: &str) -> (Token, Key) {
    let id = server.random.opaque();
    let token = Token::new(&server.random);
    let key = Key {
        name: device.to_owned(),
        device: device.to_owned(),
        hash: token.digest(),
        sealed: server.sealer.seal(&server.random, &place(app, &id), token.reveal()),
        id,
    };
    (token, key)
}

/// A key as developers see it, with its text.
pub fn shown(server: &Server, app: &AppId, key: &Key) -> Result<Value> {
    let secret = server.sealer.open(&place(app, &key.id), &key.sealed)?;
    Ok(json!({
        "id": key.id,
        "name": key.name,
        "deviceType": key.device,
        "apiKey": secret.reveal(),
    }))
}

fn place(app: &AppId, key: &str) -> String {
    format!("{}/api-keys/{key}", app.0)
}

fn found<'a>(app: &'a App, names: &Names) -> Result<&'a Key> {
    app.keys.iter().find(|it| it.id == names.get("id")).ok_or_else(no_such_key)
}

fn no_such_key() -> Error {
    Error::bad_parameter("There is no such API key")
}

/// The name of a key that a developer adds. What the seven are called, and what scripts look the
/// server-code key up by, is theirs.
fn accept_name(name: &str) -> Result<&str> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 45 || name.chars().any(char::is_control) {
        return Err(Error::bad_parameter("The name of an API key has 1 to 45 characters"));
    }
    let taken = DEVICES.iter().chain(&["CodeRunner", "CloudCode"]);
    if taken.into_iter().any(|it| it.eq_ignore_ascii_case(name)) {
        return Err(Error::bad_parameter("An API key of this kind is there already"));
    }
    Ok(name)
}

/// `POST /{app}/console/apikey`: a key with a name of its own. Fails with 3038.
pub async fn create(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let (app, body) = (desk.app()?, body.object()?);
    let name = accept_name(text(&body, "name").unwrap_or_default())?;
    let (_, key) = fresh(&server, &app.id, name);
    let answer = shown(&server, &app.id, &key)?;
    let (id, author, keep) = (app.id.clone(), desk.author(), server.clone());
    let write = move |tx: &Tx<'_>| {
        let there = store::keys::of_app(tx, &id)?;
        if there.len() >= MOST {
            return Err(Error::bad_parameter("An application has at most 100 API keys"));
        }
        if !store::keys::add(tx, &id, &key, author.at)? {
            return Err(Error::bad_parameter("There is an API key of this name already"));
        }
        cluster::tell(tx, &keep, (Kind::App, &id.0, ""), author.at)?;
        let change = json!({ "after": { "key": key.id, "name": key.name } });
        events::record(tx, &keep.random, &author, Event::KeyChanged, &id.0, &change)
    };
    server.apps.platform.data.write(write).await?;
    Answer::json(&answer)
}

/// `GET /{app}/console/apikey/{id}`. Fails with 3038.
pub async fn read(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let app = desk.app()?;
    Answer::json(&shown(&server, &app.id, found(app, &names)?)?)
}

/// `PUT /{app}/console/apikey/{id}`: another name, for a key that a developer has added. Fails with
/// 3038.
pub async fn rename(State(server): State<Server>, desk: Desk, names: Names, body: Body) -> Reply {
    let (app, body) = (desk.app()?, body.object()?);
    let mut key = own(found(app, &names)?)?.clone();
    key.name = accept_name(text(&body, "name").unwrap_or_default())?.to_owned();
    let answer = shown(&server, &app.id, &key)?;
    let (id, author, keep) = (app.id.clone(), desk.author(), server.clone());
    let write = move |tx: &Tx<'_>| {
        if !store::keys::rename(tx, &id, &key.id, &key.name)? {
            return Err(Error::bad_parameter("There is an API key of this name already"));
        }
        cluster::tell(tx, &keep, (Kind::App, &id.0, ""), author.at)?;
        let change = json!({ "after": { "key": key.id, "name": key.name } });
        events::record(tx, &keep.random, &author, Event::KeyChanged, &id.0, &change)
    };
    server.apps.platform.data.write(write).await?;
    Answer::json(&answer)
}

/// `DELETE /{app}/console/apikey/{id}`: from now on nobody gets in with it. The seven stay; they can
/// be given a new secret. Fails with 3038.
pub async fn delete(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let app = desk.app()?;
    let key = own(found(app, &names)?)?.clone();
    let (id, author, keep) = (app.id.clone(), desk.author(), server.clone());
    let write = move |tx: &Tx<'_>| {
        // Host names that stand for it stand for nothing any more.
        for domain in store::domains::of_app(tx, &id)? {
            if domain.api_key_id == key.id {
                cluster::tell(tx, &keep, (Kind::Domain, &id.0, &domain.host), author.at)?;
            }
        }
        if !store::keys::delete(tx, &id, &key.id)? {
            return Err(no_such_key());
        }
        cluster::tell(tx, &keep, (Kind::App, &id.0, ""), author.at)?;
        let change = json!({ "before": { "key": key.id, "name": key.name } });
        events::record(tx, &keep.random, &author, Event::KeyChanged, &id.0, &change)
    };
    server.apps.platform.data.write(write).await?;
    Ok(Answer::empty())
}

/// The key, if a developer has added it.
fn own(key: &Key) -> Result<&Key> {
    if DEVICES.contains(&key.device.as_str()) {
        let message = "This API key belongs to the application. It can be given a new secret";
        return Err(Error::bad_parameter(message));
    }
    Ok(key)
}

/// `POST /{app}/console/apikey/{id}/regenerate`: a new secret; the old one is worth nothing from now
/// on. Fails with 3038.
pub async fn regenerate(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let app = desk.app()?;
    let old = found(app, &names)?;
    let token = Token::new(&server.random);
    let sealed = server.sealer.seal(&server.random, &place(&app.id, &old.id), token.reveal());
    let key = Key { hash: token.digest(), sealed, ..old.clone() };
    let answer = shown(&server, &app.id, &key)?;
    let (id, author, keep) = (app.id.clone(), desk.author(), server.clone());
    let write = move |tx: &Tx<'_>| {
        if !store::keys::replace(tx, &id, &key.id, &key.hash, &key.sealed)? {
            return Err(no_such_key());
        }
        cluster::tell(tx, &keep, (Kind::App, &id.0, ""), author.at)?;
        let change = json!({ "key": key.id });
        events::record(tx, &keep.random, &author, Event::KeyRegenerated, &id.0, &change)
    };
    server.apps.platform.data.write(write).await?;
    Answer::json(&answer)
}
