//! Saving and deleting one object: in `Users` by the rules of accounts, in any other table by its
//! columns.
//!
//! Wire: data-api 2.1, 2.2, users-api 2.12, 2.13 and 2.18.

use serde_json::json;

use super::grow::{self, Tables, Tries};
use super::write::{self, By, How, Sent};
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::roles::{self, Decision, Operation};
use crate::schema::USERS;
use crate::server::Server;
use crate::store::objects;
use crate::users;
use crate::users::write::Change;
use crate::web::{Answer, Body, Caller, Names, Reply, State};

/// Adds an object, or changes the one whose `objectId` the body has, and answers with it.
pub async fn save(State(server): State<Server>, caller: Caller, names: Names, body: Body) -> Reply {
    let sent = Sent::new(body.object()?)?;
    let how = if sent.id.is_some() { How::Change } else { How::Create };
    written(server, &caller, names.get("table"), (how, sent)).await
}

/// Adds an object, with the `objectId` of the body if it has one, and answers with it.
pub async fn create(
    State(server): State<Server>,
    caller: Caller,
    names: Names,
    body: Body,
) -> Reply {
    let sent = Sent::new(body.object()?)?;
    written(server, &caller, names.get("table"), (How::Create, sent)).await
}

/// Changes the object with the `objectId` of the body, or adds it, and answers with it.
pub async fn upsert(
    State(server): State<Server>,
    caller: Caller,
    names: Names,
    body: Body,
) -> Reply {
    let sent = Sent::new(body.object()?)?;
    let how = if sent.id.is_some() { How::Upsert } else { How::Create };
    written(server, &caller, names.get("table"), (how, sent)).await
}

/// Changes the object that the path names, and answers with it.
pub async fn update(
    State(server): State<Server>,
    caller: Caller,
    names: Names,
    body: Body,
) -> Reply {
    let (table, id) = (names.get("table"), names.get("id").to_owned());
    let sent = changed(table, id, body)?;
    written(server, &caller, table, (How::Change, sent)).await
}

/// A change of the object with that id. Fails with 1001 if it changes nothing; a user may be sent
/// as it is.
pub fn changed(table: &str, id: String, body: Body) -> Result<Sent> {
    let body = body.object()?;
    if body.is_empty() && table != USERS {
        return Err(Error::nothing_to_change());
    }
    Ok(Sent { id: Some(id), body })
}

async fn written(server: Server, caller: &Caller, table: &str, what: (How, Sent)) -> Reply {
    let change = Change::new(server, caller.app.clone(), caller.author());
    Ok(Answer::json_text(write::one(change, By::Caller(caller), table, what).await?))
}

/// Deletes an object and tells when.
pub async fn delete(State(server): State<Server>, caller: Caller, names: Names) -> Reply {
    let (table, id) = (names.get("table"), names.get("id"));
    if table == USERS {
        return users::delete::by_caller(server, &caller, id).await;
    }
    if roles::may(&caller, Operation::Delete, table) != Decision::Allow {
        return Err(Error::delete_denied(table));
    }
    delete_one(&Change::new(server, caller.app.clone(), caller.author()), table, id).await
}

/// Deletes an object of any table but `Users`, which the author of `change` may delete, and tells
/// when.
pub async fn delete_one(change: &Change, table: &str, id: &str) -> Reply {
    if delete_these(change, table, vec![id.to_owned()]).await? == 0 {
        return Err(Error::no_such_object(id));
    }
    Answer::json(&json!({ "deletionTime": change.author.at.0 }))
}

/// Deletes those of the objects that are there, in one transaction, and tells how many. The table is
/// any but `Users`.
pub async fn delete_these(change: &Change, table: &str, ids: Vec<String>) -> Result<usize> {
    let mut tries = Tries::new(change.clone());
    loop {
        let tried = deleted(&tries.change, table, ids.clone()).await;
        if let Some(count) = tries.settle(tried).await? {
            return Ok(count);
        }
    }
}

async fn deleted(change: &Change, name: &str, ids: Vec<String>) -> Result<usize> {
    let table = change.schema.table(name).cloned();
    let table = table.ok_or_else(|| Error::no_such_table(name))?;
    let keep = change.clone();
    let write = change.app.realm.data.write(move |tx| {
        let keep = &grow::hold(tx, &keep, &table.name, Tables::Stay)?;
        let wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
        let there = objects::lock(tx, &table, &wanted)?;
        for id in &there {
            objects::delete(tx, &table, id)?;
            let what = json!({ "table": table.name });
            let random = &keep.server.random;
            events::record(tx, random, &keep.author, Event::ObjectDeleted, id, &what)?;
        }
        Ok::<_, Error>(there.len())
    });
    write.await
}
