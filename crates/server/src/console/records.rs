//! Records as developers write them: the rights are the developer's, the rules are everybody's.
//!
//! Wire: users-api 6.5, data-api 1.6.

use serde_json::{Map, Value};

use crate::data::write::{self, By, How, Sent};
use crate::data::{self, bulk, clear, save};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::schema::USERS;
use crate::server::Server;
use crate::store::objects;
use crate::users;
use crate::users::write::Change;
use crate::web::{Answer, Body, Desk, Names, Pairs, Reply, State};

fn change(server: Server, desk: &Desk) -> Result<Change> {
    Ok(Change::new(server, desk.app()?.clone(), desk.author()))
}

/// `POST /{app}/console/data/{table}`.
pub async fn create(State(server): State<Server>, desk: Desk, names: Names, body: Body) -> Reply {
    let sent = Sent::new(body.object()?)?;
    let change = change(server, &desk)?;
    let made = write::one(change, By::Developer, names.get("table"), (How::Create, sent));
    Ok(Answer::json_text(made.await?))
}

/// `POST /{app}/console/data/bulk/{table}`.
pub async fn create_many(
    State(server): State<Server>,
    desk: Desk,
    names: Names,
    Body(body): Body,
) -> Reply {
    let change = change(server, &desk)?;
    bulk::save_list(change, By::Developer, names.get("table"), (How::Create, body)).await
}

/// `PUT /{app}/console/data/bulkupsert/{table}`.
pub async fn upsert_many(
    State(server): State<Server>,
    desk: Desk,
    names: Names,
    Body(body): Body,
) -> Reply {
    let change = change(server, &desk)?;
    bulk::save_list(change, By::Developer, names.get("table"), (How::Upsert, body)).await
}

/// `PUT /{app}/console/data/{table}/{id}`.
pub async fn update(State(server): State<Server>, desk: Desk, names: Names, body: Body) -> Reply {
    let table = names.get("table");
    let sent = save::changed(table, names.get("id").to_owned(), body)?;
    let change = change(server, &desk)?;
    let changed = write::one(change, By::Developer, table, (How::Change, sent));
    Ok(Answer::json_text(changed.await?))
}

/// `DELETE /{app}/console/data/{table}/{id}`.
pub async fn delete(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let (table, id, change) = (names.get("table"), names.get("id"), change(server, &desk)?);
    if table == USERS {
        return users::delete::one(&change, id).await;
    }
    data::find_table(&change.app, table)?;
    save::delete_one(&change, table, id).await
}

/// `DELETE /{app}/console/data/tables/{table}/records`: those of the list that are there.
pub async fn delete_many(
    State(server): State<Server>,
    desk: Desk,
    names: Names,
    Body(body): Body,
) -> Reply {
    let wrong = || Error::bad_parameter("Send a JSON array of at most 1000 {\"objectId\": …}");
    let list = body.as_ref().and_then(Value::as_array).filter(|it| it.len() <= write::MOST);
    let ids: Option<Vec<String>> = list.ok_or_else(wrong)?.iter().map(id).collect();
    let mut ids = ids.ok_or_else(wrong)?;
    let (table, change) = (names.get("table"), change(server, &desk)?);
    if table == USERS {
        ids.sort_unstable();
        let users = ids.into_iter().map(|it| UserId(it.into())).collect();
        users::delete::all(&change, users).await?;
    } else {
        data::find_table(&change.app, table)?;
        save::delete_these(&change, table, ids).await?;
    }
    Answer::json(&true)
}

/// `DELETE /{app}/console/data/tables/{table}/all`: all records.
pub async fn delete_all(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    clear::all(&change(server, &desk)?, names.get("table")).await?;
    Answer::json(&true)
}

/// `POST /{app}/console/data/{table}/find`.
pub async fn find(desk: Desk, names: Names, body: Body) -> Reply {
    data::console_find((desk.app()?, desk.asked.at), names.get("table"), &body.object()?).await
}

/// `POST /{app}/console/data/{table}/count`.
pub async fn count(desk: Desk, names: Names, body: Body) -> Reply {
    data::console_count((desk.app()?, desk.asked.at), names.get("table"), &body.object()?).await
}

/// `GET /{app}/console/data/{table}/count`.
pub async fn count_by_get(desk: Desk, names: Names, pairs: Pairs) -> Reply {
    data::console_count((desk.app()?, desk.asked.at), names.get("table"), &data::query(&pairs))
        .await
}

/// `POST /{app}/console/data/tables-counters`: how many records each of the tables has. Those that
/// are not there are left out.
pub async fn counters(desk: Desk, body: Body) -> Reply {
    let (app, body) = (desk.app()?, body.object()?);
    let wrong = || Error::bad_parameter("Send tables, a list of the names of tables");
    let wanted = body.get("tables").and_then(Value::as_array).ok_or_else(wrong)?;
    let schema = app.schema();
    let mut tables = Vec::new();
    for name in wanted {
        tables.extend(schema.table(name.as_str().ok_or_else(wrong)?).cloned());
    }
    // Each by itself: a long count of one table does not take the time of the others.
    let mut counts = Map::new();
    for table in tables {
        let name = table.name.to_string();
        let count = app.realm.data.read(move |db| objects::count(db, &table)).await?;
        counts.insert(name, count.into());
    }
    Answer::json(&counts)
}

/// `GET /{app}/console/data/{table}/{id}/{column}/retrieve-value`: one value.
pub async fn value(desk: Desk, names: Names) -> Reply {
    let (app, id) = (desk.app()?, names.get("id").to_owned());
    let table = data::find_table(app, names.get("table"))?;
    let column = names.get("column");
    let column = table.shown(column).ok_or_else(|| Error::no_such_column(column, &table.name))?;
    let wanted = id.clone();
    let read = app.realm.data.read(move |db| {
        let column = &table.columns[column];
        let read = objects::read(db, &table, &[column], &wanted)?;
        Ok::<_, Error>(read.get(&column.name).cloned())
    });
    Answer::json(&read.await?.ok_or_else(|| Error::no_such_object(&id))?)
}

fn id(record: &Value) -> Option<String> {
    record.get("objectId").and_then(Value::as_str).map(str::to_owned)
}
