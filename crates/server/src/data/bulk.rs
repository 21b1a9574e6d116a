//! Many objects at once: all of them or none.
//!
//! Wire: data-api 2.8. Which objects a bulk change or deletion is about is said by a condition.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::find::find_table;
use super::grow::{self, Tables, Tries};
use super::ids::{self, Kind};
use super::save;
use super::write::{self, By, How, MOST, Sent};
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::ids::UserId;
use crate::password::Door;
use crate::roles::{self, Decision, Operation};
use crate::schema::{Maker, PASSWORD, Table, USERS, record, values};
use crate::server::Server;
use crate::store::{self, query};
use crate::users::update;
use crate::users::update::Rights;
use crate::users::write::{self as accounts, Change};
use crate::web::{Answer, Body, Caller, Names, Pairs, Reply, State};

/// The condition that all objects meet.
const EVERYTHING: &str = "1=1";

/// Adds objects and answers with their ids.
pub async fn create(
    State(server): State<Server>,
    caller: Caller,
    names: Names,
    Body(body): Body,
) -> Reply {
    let change = Change::new(server, caller.app.clone(), caller.author());
    save_list(change, By::Caller(&caller), names.get("table"), (How::Create, body)).await
}

/// Changes the objects that are there by their ids, adds the others, and answers with the ids.
pub async fn upsert(
    State(server): State<Server>,
    caller: Caller,
    names: Names,
    Body(body): Body,
) -> Reply {
    let change = Change::new(server, caller.app.clone(), caller.author());
    save_list(change, By::Caller(&caller), names.get("table"), (How::Upsert, body)).await
}

/// Writes the objects of a JSON array and answers with their ids. Fails with 8044 for anything else,
/// and as the writing of each does.
pub async fn save_list(
    change: Change,
    by: By<'_>,
    table: &str,
    (how, body): (How, Option<Value>),
) -> Reply {
    let Some(Value::Array(list)) = body else { return Err(Error::bad_list()) };
    if list.len() > MOST {
        return Err(Error::bad_list());
    }
    let mut sent = Vec::with_capacity(list.len());
    for (index, one) in list.into_iter().enumerate() {
        let Value::Object(body) = one else { return Err(Error::bad_list().at(index)) };
        sent.push(Sent::new(body).map_err(|it| it.at(index))?);
    }
    Answer::json(&write::many(change, by, table, (how, sent)).await?)
}

/// Changes the objects that the condition names, all in the same way, and tells how many.
pub async fn update(
    State(server): State<Server>,
    caller: Caller,
    names: Names,
    pairs: Pairs,
    body: Body,
) -> Reply {
    let table = names.get("table");
    if roles::may(&caller, Operation::Update, table) != Decision::Allow {
        let users = table == USERS;
        return Err(if users { Error::denied() } else { Error::update_denied(table) });
    }
    let known = find_table(&caller.app, table)?;
    let changes = body.object()?;
    is_bulk_change(&known, &changes)?;
    let clause = pairs.get("where").unwrap_or_default();
    ids::read(&known, clause, caller.asked.at)?;
    let change = Change::new(server, caller.app.clone(), caller.author());
    let mut tries = Tries::new(change);
    loop {
        let change = &tries.change;
        let tried = if table == USERS {
            update_users(change, &caller, clause, &changes).await
        } else {
            update_rows(change, table, clause, &changes).await
        };
        if let Some(count) = tries.settle(tried).await? {
            return Answer::json(&count);
        }
    }
}

/// Fails with 1001 for no change, 1036 for what only the server sets, and 3098 for what proves who a
/// user is.
fn is_bulk_change(table: &Table, changes: &Map<String, Value>) -> Result<()> {
    if changes.is_empty() {
        return Err(Error::nothing_to_change());
    }
    let of_system =
        |it: &&String| table.column(it).is_some_and(|column| column.maker == Maker::System);
    let system: Vec<&str> = changes.keys().filter(of_system).map(String::as_str).collect();
    if !system.is_empty() {
        return Err(Error::system_columns(&system.join(", ")));
    }
    let identity = table.identity().map(|it| it.name.as_str());
    let proof = |it: &&String| identity == Some(it.as_str()) || *it == PASSWORD;
    match changes.keys().find(proof).filter(|_| table.is_users()) {
        Some(name) => Err(Error::bulk_identity(name)),
        None => Ok(()),
    }
}

async fn update_rows(
    change: &Change,
    name: &str,
    clause: &str,
    changes: &Map<String, Value>,
) -> Result<u64> {
    let table = change.schema.table(name).ok_or_else(|| Error::no_such_table(name))?;
    let filter = ids::read(table, clause, change.author.at)?.filter;
    let unknown = write::unknown(change, Some(table), name, changes)?;
    let cells = record::of_changed(table, changes)?;
    let (keep, name, changes) = (change.clone(), name.to_owned(), changes.clone());
    let clause = clause.to_owned();
    let write = change.app.realm.data.write(move |tx| {
        let keep = &grow::hold(tx, &keep, &name, Tables::by(&unknown))?;
        let table = grow::with_columns(tx, keep, &name, &unknown)?;
        let mut cells = grow::cells(&table, &cells, &unknown)?;
        if let Some(column) = table.column("updated") {
            cells.push((column, values::to_stored(column, &keep.author.at.0.into())?));
        }
        let count = query::update(tx, &table, &filter, &cells)?;
        if count > 0 {
            let what = json!({ "table": name, "count": count, "where": clause, "after": changes });
            let random = &keep.server.random;
            events::record(tx, random, &keep.author, Event::ObjectUpdated, &name, &what)?;
        }
        Ok::<_, Error>(count)
    });
    write.await
}

/// Each user by the rules of accounts.
async fn update_users(
    change: &Change,
    caller: &Caller,
    clause: &str,
    changes: &Map<String, Value>,
) -> Result<u64> {
    let table = change.users()?.clone();
    let filter = ids::read(&table, clause, change.author.at)?.filter;
    let (looked_at, which) = (Arc::clone(&table), filter.clone());
    let most = MOST as u64 + 1;
    let read = change.app.realm.data.read(move |db| query::ids(db, &looked_at, &which, most));
    let mut edits = Vec::new();
    for id in not_too_many(read.await?)? {
        let rights = Rights::of(caller, Door::Update, &id);
        let known = (id.as_str(), Error::no_such_object as fn(&str) -> Error);
        match update::prepare(change, &rights, known, changes, hashes::Lane::Bulk).await {
            Err(gone) if gone.code == 1000 => {}
            prepared => edits.push(prepared?),
        }
    }
    let keep = change.clone();
    let write = change.app.realm.data.write(move |tx| {
        let unknown = edits.first().map(|it| it.unknown.as_slice()).unwrap_or_default();
        let keep = &grow::hold(tx, &keep, USERS, Tables::by(unknown))?;
        let schema = grow::grown(tx, keep, USERS, unknown)?;
        let keep = &Change { schema, ..keep.clone() };
        store::schema::hold_lists(tx, &table)?;
        // Who no longer meets the condition is left alone.
        let there: HashSet<String> =
            query::lock(tx, &table, &filter, u64::MAX)?.into_iter().collect();
        let mut count = 0;
        for edit in edits.iter().filter(|it| there.contains(it.id.as_str())) {
            accounts::update(tx, keep, std::slice::from_ref(edit))?;
            count += 1;
        }
        Ok::<_, Error>(count)
    });
    write.await
}

/// Fails with 3038 if they are too many for one call.
fn not_too_many(users: Vec<String>) -> Result<Vec<String>> {
    if users.len() > MOST {
        let message = "More than 1000 users meet the condition. Name fewer of them";
        return Err(Error::bad_parameter(message));
    }
    Ok(users)
}

/// Deletes the objects that the condition in the body names, and tells how many.
pub async fn delete(
    State(server): State<Server>,
    caller: Caller,
    names: Names,
    body: Body,
) -> Reply {
    let body = body.object()?;
    let clause = body.get("where").and_then(Value::as_str).unwrap_or_default();
    delete_where(server, &caller, names.get("table"), clause).await
}

/// The same with the condition in the query.
pub async fn delete_by_query(
    State(server): State<Server>,
    caller: Caller,
    names: Names,
    pairs: Pairs,
) -> Reply {
    let clause = pairs.get("where").unwrap_or_default();
    delete_where(server, &caller, names.get("table"), clause).await
}

async fn delete_where(server: Server, caller: &Caller, table: &str, clause: &str) -> Reply {
    if roles::may(caller, Operation::Delete, table) != Decision::Allow {
        let users = table == USERS;
        return Err(if users { Error::denied() } else { Error::delete_denied(table) });
    }
    let known = find_table(&caller.app, table)?;
    let which = ids::read(&known, clause, caller.asked.at)?;
    let change = Change::new(server, caller.app.clone(), caller.author());
    if table == USERS {
        return Answer::json(&delete_users(&change, clause).await?);
    }
    match which.kind {
        Kind::All => Answer::json(&delete_rows(&change, table, EVERYTHING).await?),
        Kind::Ids(ids) => Answer::json(&save::delete_these(&change, table, ids).await?),
        Kind::Some => Answer::json(&delete_rows(&change, table, clause).await?),
    }
}

/// Deletes the users who meet the condition when their rows are locked. Fails with 3038 if they are
/// too many for one call.
async fn delete_users(change: &Change, clause: &str) -> Result<u64> {
    let mut tries = Tries::new(change.clone());
    loop {
        let tried = users_deleted(&tries.change, clause).await;
        if let Some(count) = tries.settle(tried).await? {
            return Ok(count as u64);
        }
    }
}

async fn users_deleted(change: &Change, clause: &str) -> Result<usize> {
    let table = change.users()?.clone();
    let filter = ids::read(&table, clause, change.author.at)?.filter;
    let keep = change.clone();
    let write = change.app.realm.data.write(move |tx| {
        let keep = &grow::hold(tx, &keep, USERS, Tables::Stay)?;
        let users = not_too_many(query::lock(tx, &table, &filter, MOST as u64 + 1)?)?;
        let users: Vec<UserId> = users.into_iter().map(|it| UserId(it.into())).collect();
        accounts::delete(tx, keep, &users)
    });
    write.await
}

/// Deletes all objects of a table and tells how many there were. Fails with 1009, and with 3038 for
/// more users than one call may delete.
pub async fn delete_all(change: &Change, name: &str) -> Result<u64> {
    let table = change.schema.table(name).ok_or_else(|| Error::no_such_table(name))?;
    if table.is_users() {
        return delete_users(change, EVERYTHING).await;
    }
    delete_rows(change, name, EVERYTHING).await
}

/// Deletes the rows of any table but `Users` that meet the condition, in one statement.
pub async fn delete_rows(change: &Change, name: &str, clause: &str) -> Result<u64> {
    let mut tries = Tries::new(change.clone());
    loop {
        let tried = rows_deleted(&tries.change, name, clause).await;
        if let Some(count) = tries.settle(tried).await? {
            return Ok(count);
        }
    }
}

async fn rows_deleted(change: &Change, name: &str, clause: &str) -> Result<u64> {
    let table = change.schema.table(name).cloned();
    let table = table.ok_or_else(|| Error::no_such_table(name))?;
    let filter = ids::read(&table, clause, change.author.at)?.filter;
    let (keep, clause) = (change.clone(), clause.to_owned());
    let write = change.app.realm.data.write(move |tx| {
        let keep = &grow::hold(tx, &keep, &table.name, Tables::Stay)?;
        let count = query::delete(tx, &table, &filter)?;
        if count > 0 {
            let what = json!({ "table": table.name, "count": count, "where": clause });
            let random = &keep.server.random;
            events::record(tx, random, &keep.author, Event::ObjectDeleted, &table.name, &what)?;
        }
        Ok::<_, Error>(count)
    });
    write.await
}
