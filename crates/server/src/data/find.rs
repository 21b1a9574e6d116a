//! Reading objects: one, a page, how many.
//!
//! Wire: data-api 2.3 to 2.6. Conditions, groups and relations are refused with 1017 until they
//! are compiled.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::apps::App;
use crate::error::{Error, Result};
use crate::roles::{self, Decision, Operation};
use crate::schema::{Column, Table};
use crate::store::objects::{self, Page};
use crate::web::{Answer, Body, Caller, Names, Pairs, Reply};

pub async fn post_find(caller: Caller, names: Names, body: Body) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    page(&caller.app, table, &body.object()?).await
}

pub async fn get_find(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    page(&caller.app, table, &query(&pairs)).await
}

pub async fn count(caller: Caller, names: Names, body: Body) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    count_of(&caller.app, table, &body.object()?).await
}

pub async fn count_by_get(caller: Caller, names: Names, pairs: Pairs) -> Reply {
    let table = readable(&caller, names.get("table"))?;
    count_of(&caller.app, table, &query(&pairs)).await
}

pub async fn read(caller: Caller, names: Names) -> Reply {
    read_one(&caller, names.get("table"), names.get("id")).await
}

/// One object. Fails with 1009 and 1000, and with 2000 or 1013 where the caller may not see it,
/// there or not.
pub async fn read_one(caller: &Caller, table: &str, id: &str) -> Reply {
    let decision = roles::may(caller, Operation::Find, table);
    let own = decision == Decision::Own && caller.user() == Some(id);
    if decision != Decision::Allow && !own {
        return Err(denied(table));
    }
    let table = find_table(&caller.app, table)?;
    let wanted = id.to_owned();
    let read = caller.app.realm.data.read(move |db| {
        let mut out = Vec::new();
        let found = objects::write_one(db, &table, &wanted, &mut out)?;
        Ok::<_, Error>(found.then_some(out))
    });
    let mut out = read.await?.ok_or_else(|| Error::no_such_object(id))?;
    out.push(b'}');
    Ok(Answer::json_text(out))
}

/// A page of rows for the Console, where the rights of the developer have been checked.
pub async fn console_find(app: &Arc<App>, table: &str, query: &Map<String, Value>) -> Reply {
    page(app, find_table(app, table)?, query).await
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

fn find_table(app: &App, name: &str) -> Result<Arc<Table>> {
    app.schema().table(name).cloned().ok_or_else(|| Error::no_such_table(name))
}

async fn page(app: &App, table: Arc<Table>, query: &Map<String, Value>) -> Reply {
    refuse_conditions(query)?;
    let columns = columns(&table, query)?;
    let page = Page {
        sort: sort(&table, query)?,
        size: number(query, "pageSize", Error::bad_page_size)?.unwrap_or(10),
        offset: number(query, "offset", Error::bad_offset)?.unwrap_or(0),
    };
    if page.size > 100 {
        return Err(Error::page_too_large());
    }
    let read = app.realm.data.read(move |db| {
        let columns: Vec<&Column> = columns.iter().collect();
        let mut out = Vec::new();
        objects::write_page(db, &table, &columns, &page, &mut out)?;
        Ok::<_, Error>(out)
    });
    Ok(Answer::json_text(read.await?))
}

async fn count_of(app: &App, table: Arc<Table>, query: &Map<String, Value>) -> Reply {
    refuse_conditions(query)?;
    let count = app.realm.data.read(move |db| objects::count(db, &table)).await?;
    Answer::json(&count)
}

fn query(pairs: &Pairs) -> Map<String, Value> {
    let mut query = Map::new();
    for name in ["where", "having", "groupBy", "loadRelations", "sortBy", "pageSize", "offset"] {
        if let Some(value) = pairs.get(name) {
            query.insert(name.to_owned(), value.into());
        }
    }
    let props: Vec<&str> = pairs.all("props").chain(pairs.all("property")).collect();
    if !props.is_empty() {
        query.insert("props".to_owned(), props.join(",").into());
    }
    query
}

/// Says no rather than answering something else than what was asked.
fn refuse_conditions(query: &Map<String, Value>) -> Result<()> {
    let empty = |it: &Value| match it {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    for name in ["where", "having", "groupBy", "loadRelations", "distinct"] {
        if query.get(name).is_some_and(|it| !empty(it)) {
            return Err(Error::where_clause(format!("{name} is not available yet (position 1)")));
        }
    }
    Ok(())
}

fn names(query: &Map<String, Value>, name: &str) -> Vec<String> {
    let split = |it: &str| it.split(',').map(|it| it.trim().to_owned()).collect::<Vec<_>>();
    let all = match query.get(name) {
        Some(Value::String(text)) => split(text),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).flat_map(split).collect(),
        _ => Vec::new(),
    };
    let mut once = Vec::new();
    for name in all {
        if !name.is_empty() && !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

fn column(table: &Table, name: &str) -> Result<Column> {
    let found = table.shown().find(|it| it.name == name);
    found.cloned().ok_or_else(|| Error::no_such_column(name, &table.name))
}

fn columns(table: &Table, query: &Map<String, Value>) -> Result<Vec<Column>> {
    let names = names(query, "props");
    if names.is_empty() || names.iter().any(|it| it == "*") {
        return Ok(table.shown().cloned().collect());
    }
    names.iter().map(|it| column(table, it)).collect()
}

fn sort(table: &Table, query: &Map<String, Value>) -> Result<Vec<(Column, bool)>> {
    let one = |text: &String| {
        let (name, order) = text.split_once(' ').unwrap_or((text.as_str(), "asc"));
        let descending = match order.trim().to_ascii_lowercase().as_str() {
            "asc" | "" => false,
            "desc" => true,
            _ => return Err(Error::bad_order()),
        };
        Ok((column(table, name)?, descending))
    };
    names(query, "sortBy").iter().map(one).collect()
}

fn number(query: &Map<String, Value>, name: &str, bad: fn() -> Error) -> Result<Option<u64>> {
    let read = match query.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    let read = read.filter(|it| *it <= 1_000_000_000 && (name != "pageSize" || *it > 0));
    read.map(Some).ok_or_else(bad)
}
