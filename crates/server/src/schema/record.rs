//! A new object or a change of one, as far as it can be judged without the database: what is
//! missing, what comes by default, what each column stores.

use serde_json::{Map, Value};

use super::{Column, Maker, PASSWORD, Table, identity, values};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::ids::Random;

/// Values of columns, by name.
pub type Cells = Vec<(String, engine::Value)>;

/// Refuses a new object that lacks a value: 3012 for a required property of a user that is not
/// there, 3045 for one that is an empty text; 1137 and 1165 in any other table. The `kept` properties
/// have a value already.
pub fn is_complete(table: &Table, body: &Map<String, Value>, kept: &[String]) -> Result<()> {
    // A password that is missing has a code of its own.
    let apart = |it: &Column| it.name == PASSWORD && table.is_users();
    let required = |it: &&Column| it.rules.required && it.maker != Maker::System && !apart(it);
    for column in table.columns.iter().filter(required) {
        match body.get(&column.name) {
            None if kept.contains(&column.name) => {}
            None | Some(Value::Null) if column.default.is_none() => {
                return Err(if table.is_users() {
                    Error::required(&column.name)
                } else {
                    Error::null_required(&column.name)
                });
            }
            Some(Value::String(text)) if text.trim().is_empty() => {
                return Err(empty(table, &column.name));
            }
            _ => {}
        }
    }
    Ok(())
}

fn empty(table: &Table, name: &str) -> Error {
    if table.is_users() { Error::empty(name) } else { Error::empty_required(name) }
}

/// What the columns of a new object store: what was sent, and the defaults of what was not, but for
/// the `kept` properties, which stay as they are. What clients cannot write is left out, and what the
/// table lacks is for the caller to judge.
///
/// Fails like [`values::to_stored`].
pub fn of_new(table: &Table, body: &Map<String, Value>, kept: &[String]) -> Result<Cells> {
    let mut cells = Stored::default();
    for column in table.columns.iter().filter(|it| it.maker != Maker::System) {
        if column.name == PASSWORD && table.is_users() {
            continue;
        }
        if !body.contains_key(&column.name) && kept.contains(&column.name) {
            continue;
        }
        let sent = body.get(&column.name).filter(|it| !it.is_null());
        if let Some(value) = sent.or(column.default.as_ref()) {
            cells.add(table, column, value)?;
        } else if body.contains_key(&column.name) {
            cells.all.push((column.name.clone(), engine::Value::Null));
        }
    }
    cells.done()
}

/// What the columns of a new guest store (users-api 2.4): no identity, address or name, the defaults
/// of the others, but for those that only one can have, and a random value where one is required.
/// Validators are not asked.
pub fn of_guest(table: &Table, random: &Random, now: Millis) -> Result<Cells> {
    let mut cells = Vec::new();
    for column in table.columns.iter().filter(|it| it.maker != Maker::System) {
        if column.identity || ["email", "name", PASSWORD].contains(&&*column.name) {
            continue;
        }
        let default = column.default.as_ref().filter(|_| !column.rules.unique);
        if let Some(default) = default {
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
/// property cannot become empty: 3045 for a user, 1137 and 1165 in any other table.
pub fn of_changed(table: &Table, body: &Map<String, Value>) -> Result<Cells> {
    let mut cells = Stored::default();
    for (name, value) in body {
        let Some(column) = table.column(name).filter(|it| it.maker != Maker::System) else {
            continue;
        };
        if column.name == PASSWORD && table.is_users() {
            continue;
        }
        let blank = value.as_str().is_some_and(|it| it.trim().is_empty());
        if column.rules.required && value.is_null() && !table.is_users() {
            return Err(Error::null_required(name));
        }
        if column.rules.required && (blank || value.is_null()) {
            return Err(empty(table, name));
        }
        cells.add(table, column, value)?;
    }
    cells.done()
}

/// What a column of the table stores of a value. An address of mail with characters that cannot be
/// seen or that pass for others is refused, as for identities (security I-3): people read it before
/// they write to it.
///
/// Fails like [`values::to_stored`].
pub fn stored(table: &Table, column: &Column, value: &Value) -> Result<engine::Value> {
    if table.is_users() && column.name == "email" && !column.identity {
        let text = value.as_str().map(str::trim).filter(|it| !it.is_empty());
        if let Some(Err(why)) = text.map(identity::canonical) {
            let what = format!("The value of email cannot be used: {why}");
            return Err(Error::refused_value(what));
        }
    }
    values::to_stored(column, value)
}

/// Cells, and the properties that have a value of a wrong type: the refusal names all of them.
#[derive(Default)]
struct Stored {
    all: Cells,
    wrong: Vec<String>,
}

impl Stored {
    fn add(&mut self, table: &Table, column: &Column, value: &Value) -> Result<()> {
        match stored(table, column, value) {
            Ok(stored) => self.all.push((column.name.clone(), stored)),
            Err(error) if error.is_wrong_type() => self.wrong.push(column.name.clone()),
            // The first refusal counts, and only those of a wrong type are gathered.
            Err(_) if !self.wrong.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn done(self) -> Result<Cells> {
        if self.wrong.is_empty() {
            return Ok(self.all);
        }
        Err(Error::wrong_type(&self.wrong.join(", ")))
    }
}
