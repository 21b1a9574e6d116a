//! Adding an object: to `Users` by the rules of accounts, to any other table by its columns.
//!
//! Wire: data-api 2.1, users-api 2.12, 2.13 and 2.18. Users can be changed and deleted; plain objects
//! with the whole data service.

use serde_json::{Map, Value};

use super::grow::{self, Tables, Tries};
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::password::Door;
use crate::roles::{self, Decision, Operation};
use crate::schema::{Table, USERS, record, values};
use crate::server::Server;
use crate::settings::Settings;
use crate::store::objects;
use crate::store::users::Status;
use crate::users;
use crate::users::draft::new_property;
use crate::users::register;
use crate::users::write::Change;
use crate::web::{Answer, Body, Caller, Names, Reply, State};

/// Adds an object, or changes the user whose `objectId` the body has, and answers with it.
pub async fn save(state: State<Server>, caller: Caller, names: Names, Body(body): Body) -> Reply {
    let id = body.as_ref().and_then(|it| it.get("objectId")).and_then(Value::as_str);
    match id.map(str::to_owned) {
        Some(id) if names.get("table") == USERS => {
            change(&state.0, &caller, USERS, &id, Body(body)).await
        }
        _ => create(state, caller, names, Body(body)).await,
    }
}

/// Changes a user and answers with the user.
pub async fn update(state: State<Server>, caller: Caller, names: Names, body: Body) -> Reply {
    change(&state.0, &caller, names.get("table"), names.get("id"), body).await
}

async fn change(server: &Server, caller: &Caller, table: &str, id: &str, body: Body) -> Reply {
    let body = body.object()?;
    if table != USERS {
        if roles::may(caller, Operation::Update, table) == Decision::Deny {
            return Err(Error::update_denied(table));
        }
        users::update::only_users(table)?;
    }
    if !roles::may_user(caller, Operation::Update, id) {
        return Err(Error::denied());
    }
    users::update::by_caller(server, caller, (Door::Update, Error::no_such_object), id, &body).await
}

/// Deletes a user and tells when.
pub async fn delete(State(server): State<Server>, caller: Caller, names: Names) -> Reply {
    let table = names.get("table");
    if table != USERS {
        if roles::may(&caller, Operation::Delete, table) == Decision::Deny {
            return Err(Error::delete_denied(table));
        }
        users::update::only_users(table)?;
    }
    users::delete::by_caller(server, &caller, names.get("id")).await
}

/// Adds an object and answers with it.
pub async fn create(
    State(server): State<Server>,
    caller: Caller,
    names: Names,
    body: Body,
) -> Reply {
    let name = names.get("table");
    let users = name == USERS;
    if roles::may(&caller, Operation::Create, name) != Decision::Allow {
        return Err(if users { Error::denied() } else { Error::create_denied(name) });
    }
    let body = body.object()?;
    if body.get("objectId").is_some_and(|it| !it.is_null()) {
        let message = "Changing an object, and choosing its objectId, are not available yet";
        return Err(Error::bad_parameter(message));
    }
    let change = Change::new(server, caller.app.clone(), caller.author());
    if users {
        let how = (Door::CreateObject, Status::Enabled, Event::UserCreated);
        return register::create((&change, Some(&caller)), how, None, body).await;
    }
    let owner = caller.user().map(str::to_owned);
    create_plain(&change, owner, name, &body).await
}

/// Adds an object of any table but `Users` and answers with it; whether it may be is decided.
pub async fn create_plain(
    change: &Change,
    owner: Option<String>,
    name: &str,
    body: &Map<String, Value>,
) -> Reply {
    let mut tries = Tries::new(change.clone());
    loop {
        let tried = made(&tries.change, owner.clone(), name, body).await;
        if let Some(made) = tries.settle(tried).await? {
            return Ok(Answer::json_text(made));
        }
    }
}

async fn made(
    change: &Change,
    owner: Option<String>,
    name: &str,
    body: &Map<String, Value>,
) -> Result<Vec<u8>> {
    let app = &change.app;
    let table = change.schema.table(name).map(|it| &**it);
    let (known, unknown) = sort_out(&app.settings, table, body)?;
    let id = change.server.random.object_id(change.author.at);
    let (change, table_name) = (change.clone(), name.to_owned());
    let tables = if table.is_none() { Tables::Grow } else { Tables::by(&unknown) };
    let write = app.realm.data.write(move |tx| {
        grow::hold(tx, &change, tables)?;
        let table = grow::with_columns(tx, &change, &table_name, &unknown)?;
        let mut cells = grow::cells(&table, &known, &unknown)?;
        for (name, value) in [
            ("objectId", Value::from(id.as_str())),
            ("ownerId", owner.clone().map_or(Value::Null, Value::from)),
            ("created", Value::from(change.author.at.0)),
        ] {
            if let Some(column) = table.column(name) {
                cells.push((column, values::to_stored(column, &value)?));
            }
        }
        objects::insert(tx, &table, &cells)?;
        let what = serde_json::json!({ "table": table_name });
        let random = &change.server.random;
        events::record(tx, random, &change.author, Event::ObjectCreated, &id, &what)?;
        let mut out = Vec::new();
        objects::write_one(tx, &table, &id, &mut out)?;
        out.push(b'}');
        Ok::<_, Error>(out)
    });
    write.await
}

type SortedOut = (Vec<(String, engine::Value)>, Vec<(String, Value)>);

/// The properties that the table has, as it stores them, and those that it will get. Fails with
/// 3012 and 3045 for what is missing, and like [`values::to_stored`].
fn sort_out(
    settings: &Settings,
    table: Option<&Table>,
    body: &Map<String, Value>,
) -> Result<SortedOut> {
    let known = match table {
        None => Vec::new(),
        Some(table) => {
            record::is_complete(table, body)?;
            record::of_new(table, body)?
        }
    };
    let mut unknown = Vec::new();
    for (name, value) in
        body.iter().filter(|it| table.is_none_or(|table| table.column(it.0).is_none()))
    {
        if !["objectId", "ownerId", "created", "updated"].contains(&name.as_str()) {
            unknown.extend(new_property(settings, name, value)?);
        }
    }
    Ok((known, unknown))
}
