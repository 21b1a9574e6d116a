//! Developers: making them, logging in to the Console.
//!
//! Wire: users-api 6.1.

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::events::{self, Actor, Author, Event};
use crate::ids::DeveloperId;
use crate::password::{self, Measure};
use crate::schema::identity;
use crate::server::Server;
use crate::sessions;
use crate::sessions::brake::{self, Door};
use crate::settings::{Passwords, Profile};
use crate::store::{self, Tx, developers::Developer};
use crate::web::{Answer, Asked, Body, Desk, Reply, State, text};

/// A developer who is about to be made.
pub struct NewDeveloper {
    developer: Developer,
    hash: String,
}

/// Checks and hashes what a new developer needs. Fails with 3040, 3045, 3011 or 8023.
pub async fn prepare(
    server: &Server,
    door: password::Door,
    (email, name, secret): (&str, &str, &str),
) -> Result<NewDeveloper> {
    let canonical = identity::canonical(email).ok().filter(|it| identity::is_address(it.as_str()));
    let canonical = canonical.ok_or_else(Error::not_an_address)?;
    accept_name(name)?;
    let accepted = accept(server, door, (canonical.as_str(), name), secret)?;
    let hash =
        password::hash(&server.passwords, hashes::Lane::Interactive, &server.random, accepted)
            .await?;
    let now = server.clock.now();
    let developer = Developer {
        id: DeveloperId(server.random.object_id(now).into()),
        email: canonical.as_str().to_owned(),
        email_shown: email.trim().to_owned(),
        name: name.trim().to_owned(),
        enabled: true,
        created: now,
    };
    Ok(NewDeveloper { developer, hash: hash.as_str().to_owned() })
}

/// Checks the name of a developer. Fails with 3045 and 3038.
pub fn accept_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::empty("name"));
    }
    if name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Error::bad_parameter("A name has at most 100 characters, all of them visible"));
    }
    Ok(())
}

/// The password of a developer with that address and name, if it will do. Fails as
/// [`password::accept`].
pub fn accept(
    server: &Server,
    door: password::Door,
    (identity, name): (&str, &str),
    secret: &str,
) -> Result<hashes::Password> {
    let (profile, rules, list) = (Profile::Standard, &Passwords::default(), &server.blocklist);
    let measure = Measure { profile, rules, list, app: "Usher", identity, name };
    password::accept(door, &measure, secret)
}

/// Adds a developer. Fails with 20012 when the address is taken.
pub fn insert(
    tx: &Tx<'_>,
    server: &Server,
    author: &Author,
    new: &NewDeveloper,
) -> Result<DeveloperId> {
    if !store::developers::insert(tx, &new.developer, &new.hash)? {
        return Err(Error::developer_exists());
    }
    let id = &new.developer.id;
    events::record(tx, &server.random, author, Event::DeveloperCreated, &id.0, &json!({}))?;
    Ok(id.clone())
}

/// `usher developer add`.
pub async fn add(server: &Server, email: &str, name: &str, secret: &str) -> Result<DeveloperId> {
    let new = prepare(server, password::Door::DeveloperCommand, (email, name, secret)).await?;
    let author = operator(server);
    let keep = server.clone();
    server.apps.platform.data.write(move |tx| insert(tx, &keep, &author, &new)).await
}

/// `usher developer reset`: sets the password of a developer who cannot come in any more, opens the
/// account where strangers have closed it, forgets the places that it knows, and ends its sessions,
/// in one transaction. Gives the id.
///
/// Fails with 3040 for what is no address, 20061 for an unknown one, and 8023.
pub async fn reset(server: &Server, email: &str, secret: &str) -> Result<DeveloperId> {
    let canonical = identity::canonical(email).map_err(|_| Error::not_an_address())?;
    let canonical = canonical.as_str().to_owned();
    let (data, wanted) = (&server.apps.platform.data, canonical.clone());
    let found = data.read(move |db| store::developers::by_email(db, &wanted)).await?;
    let (developer, _) = found.ok_or_else(Error::no_such_developer)?;
    let known = (canonical.as_str(), developer.name.as_str());
    let accepted = accept(server, password::Door::DeveloperCommand, known, secret)?;
    let hash =
        password::hash(&server.passwords, hashes::Lane::Interactive, &server.random, accepted)
            .await?;
    let (keep, author, id) = (server.clone(), operator(server), developer.id.clone());
    let write = move |tx: &Tx<'_>| {
        if store::developers::lock(tx, &id.0)?.is_none() {
            return Err(Error::no_such_developer());
        }
        store::developers::set_hash(tx, &id, hash.as_str())?;
        brake::recovered(tx, &canonical, &id.0)?;
        let ended = store::sessions::delete_of_user(tx, &id.0, None)?;
        sessions::revoked(tx, &keep, &id.0, author.at)?;
        let what = json!({ "sessions": ended, "addresses": [developer.email_shown] });
        let event = Event::DeveloperPasswordChanged;
        events::record(tx, &keep.random, &author, event, &id.0, &what)
    };
    data.write(write).await?;
    Ok(developer.id)
}

/// The author of what a command on the machine changes.
pub fn operator(server: &Server) -> Author {
    Author {
        kind: Actor::Operator,
        id: String::new(),
        request: String::new(),
        address: String::new(),
        at: server.clock.now(),
    }
}

/// `POST /console/home/login`. The key of the session is in the header `auth-key`. Fails with 9005.
pub async fn login(State(server): State<Server>, asked: Asked, body: Body) -> Reply {
    let body = body.object()?;
    let email = text(&body, "login").unwrap_or_default();
    let secret = text(&body, "password").unwrap_or_default();
    let canonical = identity::canonical(email).map(|it| it.as_str().to_owned());
    let canonical = canonical.unwrap_or_default();
    let canonical = if canonical.is_empty() { email.trim().to_owned() } else { canonical };
    let door = Door::console(&server, &asked);
    let passed = brake::check(&server, &door, (&canonical, by_email), secret).await?;
    let passed = passed.ok_or_else(Error::wrong_console_login)?;
    let wanted = passed.user.clone();
    let developer = server.apps.platform.data.read(move |db| store::developers::by_id(db, &wanted));
    let developer = developer.await?.ok_or_else(Error::wrong_console_login)?;
    let renewed =
        password::renewed(&server.passwords, &server.random, secret, passed.verdict).await;
    if let Some(new) = renewed {
        let (id, old) = (developer.id.clone(), passed.hash.clone());
        let renew = move |tx: &Tx<'_>| store::developers::renew(tx, &id, &old, new.as_str());
        server.apps.platform.data.write(renew).await?;
    }
    let token =
        sessions::open_console(&server, &asked, &developer.id.0, passed.mark.clone()).await?;
    passed.finish();
    let value = HeaderValue::from_str(token.reveal()).map_err(Error::internal)?;
    let answer = Answer::json(&shown(&developer))?;
    Ok(answer.with_header(HeaderName::from_static("auth-key"), value))
}

/// The developer with that canonical address, for [`brake::check`].
pub fn by_email(db: &store::Db<'_>, email: &str) -> Result<Option<(String, Option<String>)>> {
    let found = store::developers::by_email(db, email)?;
    Ok(found.map(|(developer, hash)| (developer.id.0.to_string(), Some(hash))))
}

/// `GET /console/home/myaccount`: the client goes on with the `authKey` in it.
pub async fn account(desk: Desk) -> Reply {
    let mut shown = shown(&desk.developer);
    shown["authKey"] = desk.token.reveal().into();
    Answer::json(&shown)
}

/// `DELETE /console/home/logout`.
pub async fn logout(State(server): State<Server>, desk: Desk) -> Reply {
    sessions::close(&server, &server.apps.platform, &desk.token, desk.author()).await?;
    Ok(Answer::empty())
}

/// A developer as the Console shows one.
pub fn shown(developer: &Developer) -> Value {
    json!({ "id": developer.id, "name": developer.name, "email": developer.email_shown })
}
