//! Settings of an application, and its records as the Console shows them.
//!
//! Wire: users-api 6.4 and 6.5.

use serde_json::{Value, json};

use crate::cluster;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::server::Server;
use crate::sessions;
use crate::settings::{Settings, merge};
use crate::store::changes::Kind;
use crate::store::{self, Tx};
use crate::web::{Answer, Body, Desk, Reply, State};

/// Changes the settings in force, and makes the next request see it.
async fn change(
    server: &Server,
    desk: &Desk,
    edit: impl Fn(&mut Settings) -> Result<()> + Send + 'static,
) -> Result<Settings> {
    let app = desk.app()?;
    let (author, keep, profile) = (desk.author(), server.clone(), app.profile);
    let id = app.id.clone();
    let write = move |tx: &Tx<'_>| {
        let found = store::settings::current(tx)?;
        let (version, before) = found.unwrap_or_else(|| (0, Settings::of(profile)));
        let mut settings = before.clone();
        edit(&mut settings)?;
        settings.check()?;
        if settings == before {
            return Ok(settings);
        }
        if !store::settings::insert(tx, version, &settings, &author.id, author.at)? {
            return Err(Error::settings_changed());
        }
        cluster::tell(tx, &keep, (Kind::App, &id.0, ""), author.at)?;
        let what = json!({ "before": before, "after": settings });
        events::record(tx, &keep.random, &author, Event::SettingsChanged, &id.0, &what)?;
        Ok(settings)
    };
    app.realm.data.write(write).await
}

pub async fn registration(desk: Desk) -> Reply {
    Answer::json(&desk.app()?.settings.registration)
}

pub async fn set_registration(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let sent = body.object()?;
    let edit = move |it: &mut Settings| {
        it.registration = merge(&it.registration, &sent)?;
        Ok(())
    };
    Answer::json(&change(&server, &desk, edit).await?.registration)
}

pub async fn login(desk: Desk) -> Reply {
    Answer::json(&desk.app()?.settings.login)
}

pub async fn set_login(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let sent = body.object()?;
    let edit = move |it: &mut Settings| {
        it.login = merge(&it.login, &sent)?;
        Ok(())
    };
    Answer::json(&change(&server, &desk, edit).await?.login)
}

pub async fn data(desk: Desk) -> Reply {
    Answer::json(&desk.app()?.settings.data)
}

pub async fn set_data(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let sent = body.object()?;
    let edit = move |it: &mut Settings| {
        it.data = merge(&it.data, &sent)?;
        Ok(())
    };
    Answer::json(&change(&server, &desk, edit).await?.data)
}

pub async fn passwords(desk: Desk) -> Reply {
    Answer::json(&desk.app()?.settings.passwords)
}

pub async fn set_passwords(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let sent = body.object()?;
    let edit = move |it: &mut Settings| {
        it.passwords = merge(&it.passwords, &sent)?;
        Ok(())
    };
    Answer::json(&change(&server, &desk, edit).await?.passwords)
}

pub async fn calls(desk: Desk) -> Reply {
    Answer::json(&desk.app()?.settings.calls)
}

pub async fn set_calls(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let sent = body.object()?;
    let edit = move |it: &mut Settings| {
        it.calls = merge(&it.calls, &sent)?;
        Ok(())
    };
    Answer::json(&change(&server, &desk, edit).await?.calls)
}

pub async fn set_origins(State(server): State<Server>, desk: Desk, Body(body): Body) -> Reply {
    let wrong = || Error::bad_parameter("Send a JSON array of origins");
    let list = body.as_ref().and_then(Value::as_array).ok_or_else(wrong)?;
    let origins: Option<Vec<String>> =
        list.iter().map(|it| it.as_str().map(str::to_owned)).collect();
    let origins = origins.ok_or_else(wrong)?;
    let edit = move |it: &mut Settings| {
        it.origins.clone_from(&origins);
        Ok(())
    };
    change(&server, &desk, edit).await?;
    Ok(Answer::empty())
}

pub async fn logout_all(State(server): State<Server>, desk: Desk) -> Reply {
    sessions::close_all(&server, &desk.app()?.realm, desk.author()).await?;
    Ok(Answer::empty())
}
