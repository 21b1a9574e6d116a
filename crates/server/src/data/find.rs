//! Reading objects: one, a page, how many.
//!
//! Wire: data-api 2.3 to 2.7. Conditions, groups and relations are refused with 1017 until they
//! are compiled.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::select;
use crate::apps::App;
use crate::error::{Error, Result};
use crate::roles::{self, Decision, Operation};
use crate::schema::Table;
use crate::store::objects::{self, Page};
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
    page(&caller.app, table, &body.object()?, PAGE).await
}

/// A page of objects; the query is in the address.
pub async fn get_find(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    page(&caller.app, table, &query(&pairs), PAGE).await
}

/// How many objects; the query is in the body.
pub async fn count(caller: Caller, names: Names, body: Body) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    count_of(&caller.app, table, &body.object()?).await
}

/// How many objects; the query is in the address.
pub async fn count_by_get(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    count_of(&caller.app, table, &query(&pairs)).await
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
    refuse_conditions(&query)?;
    let page = Page {
        shown: select::shown(&table, &query, id_comes_along(&caller.app))?,
        sort: select::sort(&table, &query)?,
        oldest_first: !last,
        size: 1,
        ..Page::default()
    };
    let name = Arc::clone(&table.name);
    let read = caller.app.realm.data.read(move |db| {
        let mut out = Vec::new();
        objects::write_page(db, &table, &page, &mut out)?;
        Ok::<_, Error>(out)
    });
    let mut out = read.await?;
    if out == b"[]" {
        return Err(Error::no_objects(&name));
    }
    out.pop();
    out.remove(0);
    Ok(Answer::json_text(out))
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
    let table = find_table(&caller.app, table)?;
    if id.is_empty() {
        return Err(Error::no_key());
    }
    refuse(query, &["loadRelations"])?;
    let shown = select::shown(&table, query, id_comes_along(&caller.app))?;
    let wanted = id.to_owned();
    let read = caller.app.realm.data.read(move |db| {
        let mut out = Vec::new();
        let found = objects::write_some(db, &table, &shown, &wanted, &mut out)?;
        Ok::<_, Error>(found.then_some(out))
    });
    let mut out = read.await?.ok_or_else(|| Error::no_such_object(id))?;
    out.push(b'}');
    Ok(Answer::json_text(out))
}

/// A page of rows for the Console, where the rights of the developer have been checked.
pub async fn console_find(app: &Arc<App>, table: &str, query: &Map<String, Value>) -> Reply {
    page(app, find_table(app, table)?, query, CONSOLE_PAGE).await
}

/// How many rows, for the Console.
pub async fn console_count(app: &Arc<App>, table: &str, query: &Map<String, Value>) -> Reply {
    count_of(app, find_table(app, table)?, query).await
}

fn readable(caller: &Caller, table: &str) -> Result<Arc<Table>> {
    match roles::may(caller, Operation::Find, table) {
        Decision::Allow => find_table(&caller.app, table),
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

async fn page(app: &App, table: Arc<Table>, query: &Map<String, Value>, usual: u64) -> Reply {
    refuse_conditions(query)?;
    let distinct = flag(query, "distinct")?;
    let page = Page {
        shown: select::shown(&table, query, id_comes_along(app) && !distinct)?,
        sort: select::sort(&table, query)?,
        oldest_first: false,
        distinct,
        size: number(query, "pageSize", Error::bad_page_size)?.unwrap_or(usual),
        offset: number(query, "offset", Error::bad_offset)?.unwrap_or(0),
    };
    if page.size == 0 {
        return Err(Error::bad_page_size());
    }
    if page.size > 100 {
        return Err(Error::page_too_large());
    }
    let unseen = |by: &(usize, bool)| page.shown.iter().all(|it| it.column != by.0);
    if distinct && page.sort.iter().any(unseen) {
        let message = "With distinct, sort by columns that props has";
        return Err(Error::bad_selection(message));
    }
    let read = app.realm.data.read(move |db| {
        let mut out = Vec::new();
        objects::write_page(db, &table, &page, &mut out)?;
        Ok::<_, Error>(out)
    });
    Ok(Answer::json_text(read.await?))
}

async fn count_of(app: &App, table: Arc<Table>, query: &Map<String, Value>) -> Reply {
    refuse_conditions(query)?;
    let count = app.realm.data.read(move |db| objects::count(db, &table)).await?;
    Answer::json(&count)
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
fn refuse_conditions(query: &Map<String, Value>) -> Result<()> {
    refuse(query, &["where", "having", "groupBy", "loadRelations"])
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
    read.filter(|it| *it <= FURTHEST).map(Some).ok_or_else(bad)
}
