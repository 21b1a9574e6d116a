//! Records as developers write them: the rights are the developer's, the rules are everybody's.
//!
//! Wire: users-api 6.5. Changing and deleting is for `Users` alone as yet.

use serde_json::Value;

use crate::data;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::ids::UserId;
use crate::password::Door;
use crate::schema::USERS;
use crate::server::Server;
use crate::store::users::Status;
use crate::users::write::Change;
use crate::users::{self, register, update};
use crate::web::{Answer, Body, Desk, Names, Reply, State};

/// The most records that one request deletes.
const MOST: usize = 1000;

fn change(server: Server, desk: &Desk) -> Result<Change> {
    Ok(Change::new(server, desk.app()?.clone(), desk.author()))
}

/// `POST /{app}/console/data/{table}`.
pub async fn create(State(server): State<Server>, desk: Desk, names: Names, body: Body) -> Reply {
    let (table, change) = (names.get("table"), change(server, &desk)?);
    if table != USERS {
        let body = body.object()?;
        return data::create_plain(&change, None, table, &body).await;
    }
    let how = (Door::ConsoleCreate, Status::Enabled, Event::UserCreated);
    register::create((&change, None), how, None, body.object()?).await
}

/// `PUT /{app}/console/data/{table}/{id}`.
pub async fn update(State(server): State<Server>, desk: Desk, names: Names, body: Body) -> Reply {
    update::only_users(names.get("table"))?;
    update::by_developer(&change(server, &desk)?, names.get("id"), &body.object()?).await
}

/// `DELETE /{app}/console/data/{table}/{id}`.
pub async fn delete(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    update::only_users(names.get("table"))?;
    users::delete::one(&change(server, &desk)?, names.get("id")).await
}

/// `DELETE /{app}/console/data/tables/{table}/records`: those of the list who are there.
pub async fn delete_many(
    State(server): State<Server>,
    desk: Desk,
    names: Names,
    Body(body): Body,
) -> Reply {
    update::only_users(names.get("table"))?;
    let wrong = || Error::bad_parameter("Send a JSON array of at most 1000 {\"objectId\": …}");
    let list = body.as_ref().and_then(Value::as_array).filter(|it| it.len() <= MOST);
    let ids: Option<Vec<UserId>> = list.ok_or_else(wrong)?.iter().map(id).collect();
    users::delete::all(&change(server, &desk)?, ids.ok_or_else(wrong)?).await?;
    Answer::json(&true)
}

fn id(record: &Value) -> Option<UserId> {
    record.get("objectId").and_then(Value::as_str).map(|it| UserId(it.into()))
}
