//! Applications: making, naming, removing them, their keys and domains.
//!
//! Wire: users-api 6.2 and 6.3.

use serde_json::{Map, Value, json};

use super::keys;
use crate::clock::{Millis, Seconds};
use crate::cluster;
use crate::error::{Error, Result};
use crate::events::{self, Author, Event};
use crate::ids::{AppId, DeveloperId};
use crate::jobs::{self, Work};
use crate::schema::{USERS, user_columns};
use crate::secret::Token;
use crate::server::Server;
use crate::settings::{Profile, Settings};
use crate::store::apps::{App, State as Stage};
use crate::store::changes::Kind;
use crate::store::domains::Domain;
use crate::store::jobs::New;
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

/// The job that removes what was left half made or half removed.
pub const CLEAR: &str = "app.clear";

/// How long whoever makes or removes an application has for it, before a job takes over.
const GRACE: Seconds = Seconds(60);

/// After that time no node has a removed application in memory any more: its lease has run out.
const UNSEEN: Seconds = Seconds(5);

/// Makes an application that is ready to be used. Fails with 3038 for a name that is empty or too
/// long, and 20013 for one that the owner has used.
///
/// It is in state `creating` until it is complete. Whatever goes wrong before, the failure of this
/// server included, ends with its removal: here, or by the job that the first transaction leaves.
pub async fn make(
    server: &Server,
    author: Author,
    (owner, name, profile): (&DeveloperId, &str, Profile),
) -> Result<Made> {
    let name = accept_name(name)?;
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
        let (token, key) = keys::fresh(server, &app.id, device);
        keys.push((device, token));
        stored.push(key);
    }
    let (row, keep) = (app.clone(), server.clone());
    let insert = move |tx: &Tx<'_>| {
        if !store::apps::insert(tx, &row)? {
            return Err(Error::app_exists());
        }
        stored.iter().try_for_each(|it| store::keys::insert(tx, &row.id, it, now))?;
        clear_later(tx, &keep, &row.id, now + GRACE)
    };
    server.apps.platform.data.write(insert).await?;
    if let Err(error) = complete(server, author, &app).await {
        if let Err(cause) = clear(server, &app.id).await {
            let app = &app.id.0;
            tracing::warn!(%app, %cause, "a half-made application could not be removed; a job will");
        }
        return Err(error);
    }
    Ok(Made { app, keys })
}

/// The name of an application as it is stored. Fails with 3038 for one that is empty or too long,
/// or that has a control character.
pub fn accept_name(name: &str) -> Result<&str> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Error::bad_parameter("The name of an application has 1 to 100 characters"));
    }
    Ok(name)
}

/// Makes the rows of an application, and makes it active.
async fn complete(server: &Server, author: Author, app: &App) -> Result<()> {
    let (now, profile) = (app.created, app.profile);
    server.apps.make_place(&app.id).await?;
    let (random, settings, by) = (server.random.clone(), Settings::of(profile), author.id.clone());
    let fill = move |tx: &Tx<'_>| {
        store::settings::insert(tx, 0, &settings, &by, now)?;
        store::schema::raise_version(tx)?;
        store::schema::create_table(tx, &random, USERS, &user_columns(), now)
    };
    server.apps.data(&app.id).write(fill).await?;
    let (id, keep) = (app.id.clone(), server.clone());
    let activate = move |tx: &Tx<'_>| {
        if !store::apps::set_state(tx, &id, Stage::Creating, Stage::Active)? {
            return Err(Error::internal("it took so long that the application was removed again"));
        }
        store::jobs::withdraw(tx, CLEAR, &id.0)?;
        cluster::tell(tx, &keep, (Kind::App, &id.0, ""), now)?;
        let change = json!({ "profile": profile.as_str() });
        events::record(tx, &keep.random, &author, Event::AppCreated, &id.0, &change)
    };
    server.apps.platform.data.write(activate).await
}

/// Removes an application for good: from the moment of the first commit nobody reaches it here, and
/// its name and its domains are free. Its rows are removed now; where other nodes may still have it
/// in memory, by a job when none has, so that whoever asks them meets a whole application or none.
pub async fn remove(server: &Server, author: Author, id: &AppId) -> Result<()> {
    let (app, keep) = (id.clone(), server.clone());
    let hide = move |tx: &Tx<'_>| {
        if store::apps::set_state(tx, &app, Stage::Active, Stage::Deleting)? {
            cluster::tell(tx, &keep, (Kind::App, &app.0, ""), author.at)?;
            events::record(tx, &keep.random, &author, Event::AppDeleted, &app.0, &json!({}))?;
            // Another application may have them from now on, wherever the rest goes later.
            for domain in store::domains::of_app(tx, &app)? {
                store::domains::delete(tx, &app, &domain.id)?;
                cluster::tell(tx, &keep, (Kind::Domain, &app.0, &domain.host), author.at)?;
            }
            let wait = if keep.lease.is_shared() { UNSEEN } else { GRACE };
            clear_later(tx, &keep, &app, author.at + wait)?;
        }
        Ok::<_, Error>(())
    };
    server.apps.platform.data.write(hide).await?;
    if server.lease.is_shared() { Ok(()) } else { clear(server, id).await }
}

fn clear_later(tx: &Tx<'_>, server: &Server, id: &AppId, run_at: Millis) -> Result<()> {
    let (payload, dedupe) = (&*id.0, Some(&*id.0));
    jobs::enqueue(tx, server, &New { kind: CLEAR, payload, dedupe, run_at })
}

/// How many rows are removed in one transaction.
const CHUNK: u32 = 5000;

/// Removes what there is of an application, unless it is active. Repeatable, and by several at once.
async fn clear(server: &Server, id: &AppId) -> Result<()> {
    let platform = &server.apps.platform.data;
    let app = id.clone();
    let stop = move |tx: &Tx<'_>| {
        // Whoever is still making it finds that it is too late.
        store::apps::set_state(tx, &app, Stage::Creating, Stage::Deleting)?;
        let state = store::apps::by_id(tx, &app)?.map(|it| it.state);
        Ok::<_, Error>(state == Some(Stage::Active))
    };
    if platform.write(stop).await? {
        return Ok(());
    }
    server.apps.drop_place(id).await?;
    loop {
        let app = id.clone();
        if !platform.write(move |tx| store::apps::delete_shared_rows(tx, &app, CHUNK)).await? {
            break;
        }
    }
    server.agenda.forget(&id.0);
    let app = id.clone();
    platform.write(move |tx| store::apps::delete(tx, &app)).await
}

/// The job: what a request has begun is finished, whatever became of the request.
pub async fn finish(work: Work) -> Result<()> {
    clear(&work.server, &AppId(work.job.payload.as_str().into())).await
}

/// Has the jobs that finish applications run now. Only for a process that is alone with its data:
/// nobody else can be at it.
pub async fn clear_at_once(server: &Server) -> Result<()> {
    let now = server.clock.now();
    server.apps.platform.data.write(move |tx| store::jobs::hurry(tx, CLEAR, now)).await
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
    let name = accept_name(text(&body, "appName").unwrap_or_default())?.to_owned();
    let (app, author, keep) = (desk.app()?.id.clone(), desk.author(), server.clone());
    let write = move |tx: &Tx<'_>| {
        if !store::apps::rename(tx, &app, &name)? {
            return Err(Error::app_exists());
        }
        cluster::tell(tx, &keep, (Kind::App, &app.0, ""), author.at)?;
        let change = json!({ "after": { "name": name } });
        events::record(tx, &keep.random, &author, Event::AppRenamed, &app.0, &change)?;
        store::apps::by_id(tx, &app)
    };
    let renamed = server.apps.platform.data.write(write).await?;
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
    let keys = app.keys.iter().map(|it| keys::shown(&server, &app.id, it));
    let keys = keys.collect::<Result<Vec<Value>>>()?;
    Answer::json(&json!({
        "appName": app.name,
        "profile": app.profile.as_str(),
        "apiKeys": keys,
    }))
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
    let shown = shown_domain(&domain);
    let (author, keep) = (desk.author(), server.clone());
    let write = move |tx: &Tx<'_>| {
        if !store::domains::insert(tx, &domain, author.at)? {
            return Err(Error::domain_taken());
        }
        cluster::tell(tx, &keep, (Kind::Domain, &domain.app.0, &domain.host), author.at)?;
        let change = json!({ "after": { "domain": domain.host, "apiKeyId": domain.api_key_id } });
        events::record(tx, &keep.random, &author, Event::DomainChanged, &domain.app.0, &change)
    };
    server.apps.platform.data.write(write).await?;
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
    let (author, keep) = (desk.author(), server.clone());
    let write = move |tx: &Tx<'_>| {
        let before = store::domains::by_id(tx, &id, &wanted)?.ok_or_else(no_such_domain)?;
        let mut after = before.clone();
        after.host = host.clone().unwrap_or(after.host);
        after.api_key_id = key.clone().unwrap_or(after.api_key_id);
        if !store::domains::update(tx, &after)? {
            return Err(Error::domain_taken());
        }
        for it in [&before, &after] {
            cluster::tell(tx, &keep, (Kind::Domain, &id.0, &it.host), author.at)?;
        }
        let change = json!({
            "before": { "domain": before.host, "apiKeyId": before.api_key_id },
            "after": { "domain": after.host, "apiKeyId": after.api_key_id },
        });
        events::record(tx, &keep.random, &author, Event::DomainChanged, &id.0, &change)?;
        Ok(after)
    };
    let after = server.apps.platform.data.write(write).await?;
    Answer::json(&shown_domain(&after))
}

/// `DELETE /{app}/console/settings/custom-domain/{id}`. Fails with 3038.
pub async fn delete_domain(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let (app, id) = (desk.app()?.id.clone(), names.get("id").to_owned());
    let (author, keep) = (desk.author(), server.clone());
    let write = move |tx: &Tx<'_>| {
        let gone = store::domains::delete(tx, &app, &id)?.ok_or_else(no_such_domain)?;
        cluster::tell(tx, &keep, (Kind::Domain, &app.0, &gone.host), author.at)?;
        let change = json!({ "before": { "domain": gone.host, "apiKeyId": gone.api_key_id } });
        events::record(tx, &keep.random, &author, Event::DomainChanged, &app.0, &change)
    };
    server.apps.platform.data.write(write).await?;
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

fn shown_domain(domain: &Domain) -> Value {
    json!({ "id": domain.id, "domain": domain.host, "apiKeyId": domain.api_key_id })
}
