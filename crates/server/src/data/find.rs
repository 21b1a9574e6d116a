//! Reading objects: one, a page, how many.
//!
//! Wire: data-api 2.3 to 2.7. Groups and relations are refused with 1017 until they are compiled.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::select::{self, How, Query};
use crate::apps::App;
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::roles::{self, Decision, Operation};
use crate::schema::{Schema, Table};
use crate::store::query::Plan;
use crate::web::{Answer, Body, Caller, Names, Pairs, Reply};

/// Objects of a page that says nothing of its size.
const PAGE: u64 = 10;
/// The same in the Console.
const CONSOLE_PAGE: u64 = 15;
/// The furthest offset.
const FURTHEST: u64 = 1_000_000_000;

/// A page of objects; the query is in the body.
pub async fn post_find(caller: Caller, names: Names, body: Body) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    page(&caller.app, caller.asked.at, &table, (&body.object()?, PAGE)).await
}

/// A page of objects; the query is in the address.
pub async fn get_find(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    page(&caller.app, caller.asked.at, &table, (&query(&pairs), PAGE)).await
}

/// How many objects; the query is in the body.
pub async fn count(caller: Caller, names: Names, body: Body) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    count_of(&caller.app, caller.asked.at, &table, &body.object()?).await
}

/// How many objects; the query is in the address.
pub async fn count_by_get(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    count_of(&caller.app, caller.asked.at, &table, &query(&pairs)).await
}

/// The object that came first.
pub async fn first(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    at_an_end(&caller, &names, &pairs, false).await
}

/// The object that came last.
pub async fn last(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    at_an_end(&caller, &names, &pairs, true).await
}

/// The first or last object in the order of insertion, or the first by an order of the caller's.
/// Fails with 1010 if there is none.
async fn at_an_end(caller: &Caller, names: &Names, pairs: &Pairs, last: bool) -> Reply {
    let table = readable(caller, names.get("table"))?;
    let query = query(pairs);
    refuse_groups(&query)?;
    let how = How { with_id: id_comes_along(&caller.app), oldest_first: !last, distinct: false };
    let query = select::read(&query, how)?;
    let found = rows(&caller.app, caller.asked.at, &table, (&query, 1, 0)).await?;
    one(found).ok_or_else(|| Error::no_objects(&table.table.name))
}

/// The only object of a page of one.
fn one(mut page: Vec<u8>) -> Option<Answer> {
    if page == b"[]" {
        return None;
    }
    page.pop();
    page.remove(0);
    Some(Answer::json_text(page))
}

/// One object by its id, with all of its properties or some.
pub async fn read(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    let mut query = query(&pairs);
    let mut id = names.get("id");
    // Clients in Swift leave the question mark out.
    if let Some((before, props)) = id.split_once("&props=") {
        query.insert("props".to_owned(), props.into());
        id = before;
    }
    by_id(&caller, names.get("table"), id, &query).await
}

/// The same with the id in the query, as clients of tables with other keys ask.
pub async fn read_by_key(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    let id = pairs.get("objectId").unwrap_or_default();
    by_id(&caller, names.get("table"), id, &query(&pairs)).await
}

/// One whole object. Fails with 1009 and 1000, and with 2000 or 1013 where the caller may not see
/// it, there or not.
pub async fn read_one(caller: &Caller, table: &str, id: &str) -> Reply {
    by_id(caller, table, id, &Map::new()).await
}

async fn by_id(caller: &Caller, table: &str, id: &str, query: &Map<String, Value>) -> Reply {
    let decision = roles::may(caller, Operation::Find, table);
    let own = decision == Decision::Own && caller.user() == Some(id);
    if decision != Decision::Allow && !own {
        return Err(denied(table));
    }
    let table = known(&caller.app, table)?;
    if id.is_empty() {
        return Err(Error::no_key());
    }
    refuse(query, &["loadRelations"])?;
    let how = How { with_id: id_comes_along(&caller.app), ..How::default() };
    let mut shown = query.clone();
    shown.retain(|name, _| name != "where" && name != "sortBy");
    let query = select::read(&shown, how)?.of(id);
    let found = rows(&caller.app, caller.asked.at, &table, (&query, 1, 0)).await?;
    one(found).ok_or_else(|| Error::no_such_object(id))
}

/// A page of rows for the Console, where the rights of the developer have been checked.
pub async fn console_find(
    (app, now): (&Arc<App>, Millis),
    table: &str,
    query: &Map<String, Value>,
) -> Reply {
    page(app, now, &known(app, table)?, (query, CONSOLE_PAGE)).await
}

/// How many rows, for the Console.
pub async fn console_count(
    (app, now): (&Arc<App>, Millis),
    table: &str,
    query: &Map<String, Value>,
) -> Reply {
    count_of(app, now, &known(app, table)?, query).await
}

/// A table of one version of an application's tables.
struct Known {
    schema: Arc<Schema>,
    table: Arc<Table>,
}

fn known(app: &App, name: &str) -> Result<Known> {
    let schema = app.schema();
    let table = schema.table(name).cloned().ok_or_else(|| Error::no_such_table(name))?;
    Ok(Known { schema, table })
}

fn readable(caller: &Caller, table: &str) -> Result<Known> {
    match roles::may(caller, Operation::Find, table) {
        Decision::Allow => known(&caller.app, table),
        Decision::Own | Decision::Deny => Err(denied(table)),
    }
}

fn denied(table: &str) -> Error {
    if table == crate::schema::USERS { Error::denied() } else { Error::find_denied(table) }
}

/// The table of that name. Fails with 1009.
pub fn find_table(app: &App, name: &str) -> Result<Arc<Table>> {
    app.schema().table(name).cloned().ok_or_else(|| Error::no_such_table(name))
}

fn id_comes_along(app: &App) -> bool {
    app.settings.data.include_object_id_by_default
}

async fn page(
    app: &App,
    now: Millis,
    table: &Known,
    (query, usual): (&Map<String, Value>, u64),
) -> Reply {
    refuse_groups(query)?;
    let distinct = flag(query, "distinct")?;
    let with_id = id_comes_along(app) && !distinct;
    let size = number(query, "pageSize", Error::bad_page_size)?.unwrap_or(usual);
    let offset = number(query, "offset", Error::bad_offset)?.unwrap_or(0);
    if offset > FURTHEST {
        return Err(Error::bad_offset());
    }
    if size == 0 {
        return Err(Error::bad_page_size());
    }
    if size > 100 {
        return Err(Error::page_too_large());
    }
    let query = select::read(query, How { with_id, distinct, oldest_first: false })?;
    Ok(Answer::json_text(rows(app, now, table, (&query, size, offset)).await?))
}

/// A page of rows, as a JSON array.
async fn rows(
    app: &App,
    now: Millis,
    known: &Known,
    (query, size, offset): (&Query, u64, u64),
) -> Result<Vec<u8>> {
    let plan = app.plans.get(plan_key(app, known, "find", query), || {
        let (select, recipes) = query.select(&known.table)?;
        let data = &app.realm.data;
        Ok(Plan::page((data.dialect(), data.scope()), &known.table, &select, recipes))
    })?;
    let given = query.given(&plan.recipes, now)?;
    let read = app.realm.data.read(move |db| {
        let mut out = Vec::new();
        plan.write_page(db, &given, (size, offset), &mut out)?;
        Ok::<_, Error>(out)
    });
    read.await.map_err(Error::of_query)
}

/// The key of a plan: whose, of which version of which table, for what, and the shape of the query.
/// No name has a NUL or a slash in it, so no two keys run into each other.
fn plan_key(app: &App, known: &Known, purpose: &str, query: &Query) -> String {
    let (app, version, table) = (&app.id.0, known.schema.version, &known.table.name);
    format!("{app}/{version}/{table}/{purpose}/{}", query.shape())
}

async fn count_of(app: &App, now: Millis, known: &Known, query: &Map<String, Value>) -> Reply {
    refuse_groups(query)?;
    let query = select::read_condition(query)?;
    let plan = app.plans.get(plan_key(app, known, "count", &query), || {
        let (condition, recipes) = query.filter(&known.table)?;
        let data = &app.realm.data;
        let place = (data.dialect(), data.scope());
        Ok(Plan::count(place, &known.table, condition.as_ref(), recipes))
    })?;
    let given = query.given(&plan.recipes, now)?;
    let count = app.realm.data.read(move |db| plan.read_count(db, &given)).await;
    Answer::json(&count.map_err(Error::of_query)?)
}

/// What a query string says, like a body.
pub fn query(pairs: &Pairs) -> Map<String, Value> {
    let mut query = Map::new();
    for name in ["where", "having", "groupBy", "loadRelations", "distinct", "pageSize", "offset"] {
        if let Some(value) = pairs.get(name) {
            query.insert(name.to_owned(), value.into());
        }
    }
    for name in ["props", "property", "excludeProps", "sortBy"] {
        let all: Vec<Value> = pairs.all(name).map(Value::from).collect();
        if !all.is_empty() {
            query.insert(name.to_owned(), all.into());
        }
    }
    query
}

/// Says no rather than answering something else than what was asked.
fn refuse_groups(query: &Map<String, Value>) -> Result<()> {
    refuse(query, &["having", "groupBy", "loadRelations"])
}

fn refuse(query: &Map<String, Value>, names: &[&str]) -> Result<()> {
    for name in names {
        let asked = match query.get(*name) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) => true,
        };
        // Every relation column, of which there are none.
        let all = *name == "loadRelations" && query.get(*name).is_some_and(|it| it == "*");
        if asked && !all {
            return Err(Error::where_clause(format!("{name} is not available yet (position 1)")));
        }
    }
    Ok(())
}

fn flag(query: &Map<String, Value>, name: &str) -> Result<bool> {
    match query.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(it)) => Ok(*it),
        Some(Value::String(it)) if it.is_empty() || it == "false" => Ok(false),
        Some(Value::String(it)) if it == "true" => Ok(true),
        Some(_) => Err(Error::bad_selection(format!("{name} must be true or false"))),
    }
}

fn number(query: &Map<String, Value>, name: &str, bad: fn() -> Error) -> Result<Option<u64>> {
    let read = match query.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    read.map(Some).ok_or_else(bad)
}
