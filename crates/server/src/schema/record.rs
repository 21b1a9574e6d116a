//! A new object or a change of one, as far as it can be judged without the database: what is
//! missing, what comes by default, what each column stores.

use serde_json::{Map, Value};

use super::{Column, Maker, PASSWORD, Table, values};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::ids::Random;

/// Values of columns, by name.
pub type Cells = Vec<(String, engine::Value)>;

/// Refuses a new object that lacks a value: 3012 for a required property that is not there, 3045
/// for one that is an empty text. The `kept` properties have a value already.
pub fn is_complete(table: &Table, body: &Map<String, Value>, kept: &[String]) -> Result<()> {
    // A password that is missing has a code of its own.
    let apart = |it: &Column| it.name == PASSWORD && table.is_users();
    let required = |it: &&Column| it.rules.required && it.maker != Maker::System && !apart(it);
    for column in table.columns.iter().filter(required) {
        match body.get(&column.name) {
            None if kept.contains(&column.name) => {}
            None | Some(Value::Null) if column.default.is_none() => {
                return Err(Error::required(&column.name));
            }
            Some(Value::String(text)) if text.trim().is_empty() => {
                return Err(Error::empty(&column.name));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the columns of a new object store: what was sent, and the defaults of what was not, but for
/// the `kept` properties, which stay as they are. What clients cannot write is left out, and what the
/// table lacks is for the caller to judge.
///
/// Fails like [`values::to_stored`].
pub fn of_new(table: &Table, body: &Map<String, Value>, kept: &[String]) -> Result<Cells> {
    let mut cells = Vec::with_capacity(body.len());
    for column in table.columns.iter().filter(|it| it.maker != Maker::System) {
        if column.name == PASSWORD && table.is_users() {
            continue;
        }
        if !body.contains_key(&column.name) && kept.contains(&column.name) {
            continue;
        }
        let sent = body.get(&column.name).filter(|it| !it.is_null());
        if let Some(value) = sent.or(column.default.as_ref()) {
            cells.push((column.name.clone(), values::to_stored(column, value)?));
        } else if body.contains_key(&column.name) {
            cells.push((column.name.clone(), engine::Value::Null));
        }
    }
    Ok(cells)
}

/// What the columns of a new guest store (users-api 2.4): no identity, address or name, the defaults
/// of the others, and a random value where one is required. Validators are not asked.
pub fn of_guest(table: &Table, random: &Random, now: Millis) -> Result<Cells> {
    let mut cells = Vec::new();
    for column in table.columns.iter().filter(|it| it.maker != Maker::System) {
        if column.identity || ["email", "name", PASSWORD].contains(&&*column.name) {
            continue;
        }
        if let Some(default) = &column.default {
            cells.push((column.name.clone(), values::to_stored(column, default)?));
        } else if column.rules.required {
            cells.push((column.name.clone(), any_value(column, random, now)));
        }
    }
    Ok(cells)
}

/// A value of the column's kind that nobody else is likely to have.
fn any_value(column: &Column, random: &Random, now: Millis) -> engine::Value {
    let number = u32::from_le_bytes(random.bytes());
    match column.kind.stored() {
        engine::Kind::Bool => engine::Value::Bool(false),
        engine::Kind::Time => engine::Value::Int(now.0),
        engine::Kind::Int => engine::Value::Int(number.into()),
        engine::Kind::Double => engine::Value::Real(number.into()),
        engine::Kind::Json => engine::Value::Text("{}".to_owned()),
        engine::Kind::Text => {
            let text = random.opaque();
            let most = column.size.map_or(text.len(), |it| usize::try_from(it).unwrap_or(0));
            engine::Value::Text(text.chars().take(most).collect())
        }
    }
}

/// What the columns of an object store after a change: what was sent, and nothing else. A required
/// property cannot become empty (3045).
pub fn of_changed(table: &Table, body: &Map<String, Value>) -> Result<Cells> {
    let mut cells = Vec::with_capacity(body.len());
    for (name, value) in body {
        let Some(column) = table.column(name).filter(|it| it.maker != Maker::System) else {
            continue;
        };
        if column.name == PASSWORD && table.is_users() {
            continue;
        }
        let empty = match value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            _ => false,
        };
        if column.rules.required && empty {
            return Err(Error::empty(name));
        }
        cells.push((name.clone(), values::to_stored(column, value)?));
    }
    Ok(cells)
}
