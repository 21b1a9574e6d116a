//! Applications: making, naming, removing them, their keys and domains.
//!
//! Wire: users-api 6.2 and 6.3.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::events::{self, Author, Event};
use crate::ids::{AppId, DeveloperId};
use crate::schema::{USERS, user_columns};
use crate::secret::Token;
use crate::server::Server;
use crate::settings::{Profile, Settings};
use crate::store::apps::{App, State as Stage};
use crate::store::changes::{self, Kind};
use crate::store::domains::Domain;
use crate::store::keys::Key;
use crate::store::{self, Tx};
use crate::web::{Answer, Body, Desk, Names, Reply, State, host, text};

/// The kinds of API keys that every application has.
pub const DEVICES: [&str; 7] = ["ANDROID", "IOS", "JS", "REST", "WP", "AS", "BL"];

/// An application that was made, with its keys in clear.
pub struct Made {
    /// The application.
    pub app: App,
    /// Kind of client and key.
    pub keys: Vec<(&'static str, Token)>,
}

/// Makes an application that is ready to be used. Fails with 3038 for a name that is empty or too
/// long, and 20013 for one that the owner has used.
///
/// A crash in between leaves it in state `creating`, and the next start removes it.
pub async fn make(
    server: &Server,
    author: Author,
    (owner, name, profile): (&DeveloperId, &str, Profile),
) -> Result<Made> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Error::bad_parameter("The name of an application has 1 to 100 characters"));
    }
    let now = server.clock.now();
    let app = App {
        id: AppId(server.random.opaque().into()),
        name: name.to_owned(),
        owner: owner.clone(),
        profile,
        state: Stage::Creating,
        created: now,
    };
    let mut keys = Vec::new();
    let mut stored = Vec::new();
    for device in DEVICES {
        let (token, key) = new_key(server, &app.id, device);
        keys.push((device, token));
        stored.push(key);
    }
    let (row, platform) = (app.clone(), &server.apps.platform.data);
    let insert = move |tx: &Tx<'_>| {
        if !store::apps::insert(tx, &row)? {
            return Err(Error::app_exists());
        }
        stored.iter().try_for_each(|it| store::keys::insert(tx, &row.id, it, now))
    };
    platform.write(insert).await?;
    server.apps.make_place(&app.id).await?;
    let (random, settings, by) = (server.random.clone(), Settings::of(profile), author.id.clone());
    let fill = move |tx: &Tx<'_>| {
        store::settings::insert(tx, 0, &settings, &by, now)?;
        store::schema::raise_version(tx)?;
        store::schema::create_table(tx, &random, USERS, &user_columns(), now)
    };
    server.apps.data(&app.id).write(fill).await?;
    let (id, random, at) = (app.id.clone(), server.random.clone(), author.clone());
    let activate = move |tx: &Tx<'_>| {
        store::apps::set_state(tx, &id, Stage::Creating, Stage::Active)?;
        changes::append(tx, &id.0, Kind::App, "", now)?;
        let change = json!({ "profile": profile.as_str() });
        events::record(tx, &random, &at, Event::AppCreated, &id.0, &change)
    };
    platform.write(activate).await?;
    server.apps.forget(&app.id);
    Ok(Made { app, keys })
}

fn new_key(server: &Server, app: &AppId, device: &str) -> (Token, Key) {
    let id = server.random.opaque();
    let token = Token::new(&server.random);
    let place = format!("{}/api-keys/{id}", app.0);
    let key = Key {
        name: device.to_owned(),
        device: device.to_owned(),
        hash: token.digest(),
        sealed: server.sealer.seal(&server.random, &place, token.reveal()),
        id,
    };
    (token, key)
}

/// Removes an application for good: from the moment of the first commit nobody reaches it; what is
/// left of it is removed now, or after a crash at the next start.
pub async fn remove(server: &Server, author: Author, id: &AppId) -> Result<()> {
    let (app, random) = (id.clone(), server.random.clone());
    let hide = move |tx: &Tx<'_>| {
        if store::apps::set_state(tx, &app, Stage::Active, Stage::Deleting)? {
            changes::append(tx, &app.0, Kind::App, "", author.at)?;
            events::record(tx, &random, &author, Event::AppDeleted, &app.0, &json!({}))?;
        }
        Ok::<_, Error>(())
    };
    server.apps.platform.data.write(hide).await?;
    server.apps.forget(id);
    clear(server, id).await
}

async fn clear(server: &Server, id: &AppId) -> Result<()> {
    server.apps.drop_place(id).await?;
    let app = id.clone();
    let delete = move |tx: &Tx<'_>| {
        store::apps::delete_shared_rows(tx, &app)?;
        store::apps::delete(tx, &app)
    };
    server.apps.platform.data.write(delete).await
}

/// Removes what a server that was stopped in the middle left half made or half removed. Only for a
/// process that is alone with its data, or that knows that nobody is at work.
pub async fn clear_unfinished(server: &Server) -> Result<()> {
    let unfinished = server.apps.platform.data.read(store::apps::unfinished).await?;
    for app in unfinished {
        tracing::info!(app = %app.id.0, "an unfinished application is removed");
        clear(server, &app.id).await?;
    }
    Ok(())
}

/// `GET /console/applications`.
pub async fn list(State(server): State<Server>, desk: Desk) -> Reply {
    let id = desk.developer.id.clone();
    let read = server.apps.platform.data.read(move |db| store::apps::of_developer(db, &id));
    let apps: Vec<Value> = read.await?.iter().map(shown).collect();
    Answer::json(&apps)
}

/// `POST /console/applications`.
pub async fn create(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let body = body.object()?;
    let name = text(&body, "appName").unwrap_or_default();
    let profile = match text(&body, "profile") {
        None => server.new_app_profile,
        Some(it) => Profile::parse(it)
            .ok_or_else(|| Error::bad_parameter("profile must be standard or compat"))?,
    };
    let made = make(&server, desk.author(), (&desk.developer.id, name, profile)).await?;
    Answer::json(&shown(&made.app))
}

/// `PUT /{app}/console/application`.
pub async fn rename(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let body = body.object()?;
    let name = text(&body, "appName").unwrap_or_default().trim().to_owned();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Error::bad_parameter("The name of an application has 1 to 100 characters"));
    }
    let (id, author, random) = (desk.app()?.id.clone(), desk.author(), server.random.clone());
    let app = id.clone();
    let write = move |tx: &Tx<'_>| {
        if !store::apps::rename(tx, &app, &name)? {
            return Err(Error::app_exists());
        }
        changes::append(tx, &app.0, Kind::App, "", author.at)?;
        let change = json!({ "after": { "name": name } });
        events::record(tx, &random, &author, Event::AppRenamed, &app.0, &change)?;
        store::apps::by_id(tx, &app)
    };
    let renamed = server.apps.platform.data.write(write).await?;
    server.apps.forget(&id);
    Answer::json(&renamed.as_ref().map(shown))
}

/// `DELETE /{app}/console/application`.
pub async fn delete(State(server): State<Server>, desk: Desk) -> Reply {
    remove(&server, desk.author(), &desk.app()?.id).await?;
    Ok(Answer::empty())
}

/// `GET /{app}/console/appsettings`.
pub async fn settings(State(server): State<Server>, desk: Desk) -> Reply {
    let app = desk.app()?;
    let keys = app.keys.iter().map(|it| shown_key(&server, &app.id, it));
    let keys = keys.collect::<Result<Vec<Value>>>()?;
    Answer::json(&json!({
        "appName": app.name,
        "profile": app.profile.as_str(),
        "apiKeys": keys,
    }))
}

/// `POST /{app}/console/apikey/{id}/regenerate`.
pub async fn regenerate(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let app = desk.app()?;
    let old = app.keys.iter().find(|it| it.id == names.get("id"));
    let old = old.ok_or_else(|| Error::bad_parameter("There is no such API key"))?;
    let (token, key) = new_key(&server, &app.id, &old.device);
    let place = format!("{}/api-keys/{}", app.id.0, old.id);
    let sealed = server.sealer.seal(&server.random, &place, token.reveal());
    let key = Key { id: old.id.clone(), name: old.name.clone(), sealed, ..key };
    let shown = shown_key(&server, &app.id, &key)?;
    let (id, author, random) = (app.id.clone(), desk.author(), server.random.clone());
    let write = move |tx: &Tx<'_>| {
        store::keys::replace(tx, &id, &key.id, &key.hash, &key.sealed)?;
        changes::append(tx, &id.0, Kind::App, "", author.at)?;
        let change = json!({ "key": key.id });
        events::record(tx, &random, &author, Event::KeyRegenerated, &id.0, &change)
    };
    server.apps.platform.data.write(write).await?;
    server.apps.forget(&app.id);
    Answer::json(&shown)
}

/// `GET /{app}/console/settings/custom-domain`.
pub async fn domains(State(server): State<Server>, desk: Desk) -> Reply {
    let id = desk.app()?.id.clone();
    let read = server.apps.platform.data.read(move |db| store::domains::of_app(db, &id));
    let domains: Vec<Value> = read.await?.iter().map(shown_domain).collect();
    Answer::json(&domains)
}

/// `POST /{app}/console/settings/custom-domain`. Fails with 3038 and 20014.
pub async fn create_domain(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let (app, body) = (desk.app()?, body.object()?);
    let (host, key) = (host_in(&body)?, key_in(&body, app)?);
    let id = server.random.opaque();
    let domain = Domain { id, host, app: app.id.clone(), api_key_id: key };
    let (shown, about) = (shown_domain(&domain), domain.host.clone());
    let (author, random) = (desk.author(), server.random.clone());
    let write = move |tx: &Tx<'_>| {
        if !store::domains::insert(tx, &domain, author.at)? {
            return Err(Error::domain_taken());
        }
        changes::append(tx, &domain.app.0, Kind::Domain, &domain.host, author.at)?;
        let change = json!({ "after": { "domain": domain.host, "apiKeyId": domain.api_key_id } });
        events::record(tx, &random, &author, Event::DomainChanged, &domain.app.0, &change)
    };
    server.apps.platform.data.write(write).await?;
    server.apps.forget_host(&about);
    Answer::json(&shown)
}

/// `PUT /{app}/console/settings/custom-domain/{id}`: another host, another key, or both. Fails with
/// 3038 and 20014.
pub async fn update_domain(
    State(server): State<Server>,
    desk: Desk,
    names: Names,
    body: Body,
) -> Reply {
    let (app, body) = (desk.app()?, body.object()?);
    let host = body.contains_key("domain").then(|| host_in(&body)).transpose()?;
    let key = body.contains_key("apiKeyId").then(|| key_in(&body, app)).transpose()?;
    let (id, wanted) = (app.id.clone(), names.get("id").to_owned());
    let (author, random) = (desk.author(), server.random.clone());
    let write = move |tx: &Tx<'_>| {
        let before = store::domains::by_id(tx, &id, &wanted)?.ok_or_else(no_such_domain)?;
        let mut after = before.clone();
        after.host = host.clone().unwrap_or(after.host);
        after.api_key_id = key.clone().unwrap_or(after.api_key_id);
        if !store::domains::update(tx, &after)? {
            return Err(Error::domain_taken());
        }
        for it in [&before, &after] {
            changes::append(tx, &id.0, Kind::Domain, &it.host, author.at)?;
        }
        let change = json!({
            "before": { "domain": before.host, "apiKeyId": before.api_key_id },
            "after": { "domain": after.host, "apiKeyId": after.api_key_id },
        });
        events::record(tx, &random, &author, Event::DomainChanged, &id.0, &change)?;
        Ok((before, after))
    };
    let (before, after) = server.apps.platform.data.write(write).await?;
    server.apps.forget_host(&before.host);
    server.apps.forget_host(&after.host);
    Answer::json(&shown_domain(&after))
}

/// `DELETE /{app}/console/settings/custom-domain/{id}`. Fails with 3038.
pub async fn delete_domain(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let (app, id) = (desk.app()?.id.clone(), names.get("id").to_owned());
    let (author, random) = (desk.author(), server.random.clone());
    let write = move |tx: &Tx<'_>| {
        let gone = store::domains::delete(tx, &app, &id)?.ok_or_else(no_such_domain)?;
        changes::append(tx, &app.0, Kind::Domain, &gone.host, author.at)?;
        let change = json!({ "before": { "domain": gone.host, "apiKeyId": gone.api_key_id } });
        events::record(tx, &random, &author, Event::DomainChanged, &app.0, &change)?;
        Ok::<_, Error>(gone)
    };
    let gone = server.apps.platform.data.write(write).await?;
    server.apps.forget_host(&gone.host);
    Ok(Answer::empty())
}

fn host_in(body: &Map<String, Value>) -> Result<String> {
    let host = text(body, "domain").and_then(host::of_setting);
    host.ok_or_else(|| {
        Error::bad_parameter("domain must be a host name without scheme, port and path")
    })
}

fn key_in(body: &Map<String, Value>, app: &crate::apps::App) -> Result<String> {
    let key = text(body, "apiKeyId").filter(|id| app.keys.iter().any(|it| it.id == *id));
    let wrong = || Error::bad_parameter("apiKeyId must be the id of one of the API keys");
    key.map(str::to_owned).ok_or_else(wrong)
}

fn no_such_domain() -> Error {
    Error::bad_parameter("There is no such domain")
}

fn shown(app: &App) -> Value {
    json!({
        "id": app.id,
        "name": app.name,
        "version": env!("CARGO_PKG_VERSION"),
        "created": app.created,
        "ownerDeveloperId": app.owner,
        "profile": app.profile.as_str(),
        "type": "general",
    })
}

fn shown_key(server: &Server, app: &AppId, key: &Key) -> Result<Value> {
    let secret = server.sealer.open(&format!("{}/api-keys/{}", app.0, key.id), &key.sealed)?;
    Ok(json!({
        "id": key.id,
        "name": key.name,
        "deviceType": key.device,
        "apiKey": secret.reveal(),
    }))
}

fn shown_domain(domain: &Domain) -> Value {
    json!({ "id": domain.id, "domain": domain.host, "apiKeyId": domain.api_key_id })
}
