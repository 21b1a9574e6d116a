//! From what a client sends to what a new user will be: every check that needs no database.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::password::{self, Door};
use crate::schema::identity::{self, Canonical};
use crate::schema::{Kind, PASSWORD, Table, names, record, values};
use crate::settings::{Profile, Settings};

/// A user who is about to be.
pub struct Draft {
    /// The values of columns that are there, by name.
    pub cells: Vec<(String, engine::Value)>,
    /// Properties that the table lacks, and that it will get.
    pub unknown: Vec<(String, Value)>,
    /// What the user logs in with.
    pub identity: Canonical,
    /// What the user proves it with.
    pub password: hashes::Password,
}

/// Checks `body` in the order of users-api 2.2, 2 to 8.
///
/// Fails with 3011, 3013, 3045, 3039, 3012, 3040, 1007 or 8023.
pub fn draft(
    door: Door,
    (table, settings, profile): (&Table, &Settings, Profile),
    body: &Map<String, Value>,
) -> Result<Draft> {
    let text = body.get(PASSWORD).and_then(Value::as_str).unwrap_or_default();
    if text.is_empty() {
        return Err(Error::no_password());
    }
    let column = table.identity().ok_or_else(|| Error::internal("no column is the identity"))?;
    let shown = match body.get(&column.name) {
        None | Some(Value::Null) => return Err(Error::no_identity(&column.name)),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(Error::wrong_type(&column.name)),
    };
    if shown.trim().is_empty() {
        return Err(Error::empty(&column.name));
    }
    if body.contains_key("id") {
        return Err(Error::property_id());
    }
    record::is_complete(table, body)?;
    if settings.registration.email_confirmation_required {
        let email = body.get("email").and_then(Value::as_str).unwrap_or_default();
        if !identity::is_address(email.trim()) {
            return Err(Error::not_an_address());
        }
    }
    let refused = |it: identity::Refusal| {
        Error::refused_value(format!("The value of {} cannot be used: {it}", column.name))
    };
    let canonical = identity::canonical(&shown).map_err(refused)?;
    let shown = identity::display(&shown).map_err(refused)?.to_owned();
    let password = password::accept(door, profile, text)?;
    if let Some(column) = table.column(PASSWORD) {
        values::check_text(column, text)?;
    }
    let mut body = body.clone();
    body.insert(column.name.clone(), Value::String(shown));
    let cells = record::of_new(table, &body)?;
    let mut unknown = Vec::new();
    for (name, value) in body.iter().filter(|it| table.column(it.0).is_none()) {
        unknown.extend(new_property(settings, name, value)?);
    }
    Ok(Draft { cells, unknown, identity: canonical, password })
}

/// A property that the table lacks: it becomes a column with dynamic schema, and is dropped
/// without it. What clients send along with every object is no property.
pub fn new_property(
    settings: &Settings,
    name: &str,
    value: &Value,
) -> Result<Option<(String, Value)>> {
    let accompanying = ["___class", "___jsonclass", "__meta", "user-token"].contains(&name);
    if accompanying || !settings.data.dynamic_schema || Kind::guess(value).is_none() {
        return Ok(None);
    }
    if !names::allowed(name) {
        return Err(Error::bad_parameter(
            "A property's name is a letter or underscore, then letters, digits and underscores, 45 at most",
        ));
    }
    Ok(Some((name.to_owned(), value.clone())))
}
