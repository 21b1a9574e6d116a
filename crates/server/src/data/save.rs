//! Adding an object: to `Users` by the rules of accounts, to any other table by its columns.
//!
//! Wire: data-api 2.1, users-api 2.18. Changing an object comes with the whole data service.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::grow;
use crate::apps::App;
use crate::error::{Error, Result};
use crate::events::{self, Author, Event};
use crate::password::Door;
use crate::roles::{self, Decision, Operation};
use crate::schema::{Table, USERS, record, values};
use crate::server::Server;
use crate::settings::Settings;
use crate::store::objects;
use crate::store::users::Status;
use crate::users::draft::new_property;
use crate::users::register;
use crate::users::write::Change;
use crate::web::{Answer, Body, Caller, Names, Reply, State};

/// Adds an object and answers with it.
pub async fn save(State(server): State<Server>, caller: Caller, names: Names, body: Body) -> Reply {
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
    if users {
        let how = (Door::CreateObject, Status::Enabled, Event::UserCreated);
        return register::create(&server, &caller, how, None, body).await;
    }
    let owner = caller.user().map(str::to_owned);
    create(&server, &caller.app, (caller.author(), owner), name, &body).await
}

/// Adds an object of any table but `Users` and answers with it; whether it may be is decided.
pub async fn create(
    server: &Server,
    app: &Arc<App>,
    (author, owner): (Author, Option<String>),
    name: &str,
    body: &Map<String, Value>,
) -> Reply {
    let schema = app.schema();
    let table = schema.table(name).map(|it| &**it);
    let (known, unknown) = sort_out(&app.settings, table, body)?;
    let id = server.random.object_id(author.at);
    let (change, table_name) =
        (Change { server: server.clone(), app: app.clone(), author }, name.to_owned());
    let write = app.realm.data.write(move |tx| {
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
    Ok(Answer::json_text(write.await?))
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
