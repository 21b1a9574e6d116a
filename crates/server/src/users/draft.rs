//! From what a client sends to what a new user will be: every check that needs no database.

use serde_json::{Map, Value};

use super::write::Change;
use crate::error::{Error, Result};
use crate::password::{self, Blocklist, Door, Measure};
use crate::schema::identity::{self, Canonical};
use crate::schema::{Column, Kind, PASSWORD, Table, names, record, values};
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

/// What an application asks of its users.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Its settings.
    pub settings: &'a Settings,
    /// How strict it is.
    pub profile: Profile,
    /// Its name.
    pub app: &'a str,
    /// The passwords that everybody tries first.
    pub list: &'a Blocklist,
}

impl<'a> Rules<'a> {
    /// Those in force for a change.
    pub fn of(change: &'a Change) -> Self {
        let app = &*change.app;
        let list = &change.server.blocklist;
        Self { settings: &app.settings, profile: app.profile, app: &app.name, list }
    }

    /// What the password of a user with that identity and name is measured by.
    pub fn measure(&self, identity: &'a str, name: &'a str) -> Measure<'a> {
        let Self { settings, profile, app, list } = *self;
        Measure { profile, rules: &settings.passwords, list, app, identity, name }
    }
}

/// Checks `body` in the order of users-api 2.2, 2 to 8. The `kept` properties have a value already:
/// a guest's, who becomes a member.
///
/// Fails with 3011, 3013, 3045, 3039, 3012, 3040, 1007 or 8023.
pub fn draft(
    door: Door,
    (table, rules): (&Table, &Rules<'_>),
    body: &Map<String, Value>,
    kept: &[String],
) -> Result<Draft> {
    let text = body.get(PASSWORD).and_then(Value::as_str).unwrap_or_default();
    if text.is_empty() {
        return Err(Error::no_password());
    }
    let column = table.identity().ok_or_else(|| Error::internal("no column is the identity"))?;
    let shown = match body.get(&column.name) {
        None | Some(Value::Null) => return Err(Error::no_identity(&column.name)),
        Some(value) if value.as_str().is_some_and(|it| it.trim().is_empty()) => {
            return Err(Error::empty(&column.name));
        }
        Some(value) if !value.is_string() && !value.is_number() => {
            return Err(Error::wrong_type(&column.name));
        }
        Some(value) => value,
    };
    if body.contains_key("id") {
        return Err(Error::property_id());
    }
    record::is_complete(table, body, kept)?;
    let settings = rules.settings;
    if settings.registration.email_confirmation_required {
        let email = body.get("email").and_then(Value::as_str).unwrap_or_default();
        if !identity::is_address(email.trim()) {
            return Err(Error::not_an_address());
        }
    }
    let (canonical, shown) = identity_of(column, shown)?;
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let password = password::accept(door, &rules.measure(&shown, name), text)?;
    if let Some(column) = table.column(PASSWORD) {
        values::check_text(column, text)?;
    }
    let mut body = body.clone();
    body.insert(column.name.clone(), Value::String(shown));
    let cells = record::of_new(table, &body, kept)?;
    let mut unknown = Vec::new();
    for (name, value) in body.iter().filter(|it| table.column(it.0).is_none()) {
        unknown.extend(new_property_of_user(settings, name, value)?);
    }
    Ok(Draft { cells, unknown, identity: canonical, password })
}

/// An identity, a text or a number, in its canonical form and as it is shown. Fails with 1007 and
/// 8023.
pub fn identity_of(column: &Column, value: &Value) -> Result<(Canonical, String)> {
    let typed = match value {
        // A number is told apart by its value, not by how it is written.
        Value::String(_) if column.kind == Kind::Int => match values::to_stored(column, value)? {
            engine::Value::Int(number) => number.to_string(),
            _ => return Err(Error::wrong_type(&column.name)),
        },
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(Error::wrong_type(&column.name)),
    };
    let refused = |it: identity::Refusal| {
        Error::refused_value(format!("The value of {} cannot be used: {it}", column.name))
    };
    let canonical = identity::canonical(&typed).map_err(refused)?;
    Ok((canonical, identity::display(&typed).map_err(refused)?.to_owned()))
}

/// The same as [`new_property`] for a user: what clients take for a verdict of the server becomes no
/// column that they can write (security I-6).
pub fn new_property_of_user(
    settings: &Settings,
    name: &str,
    value: &Value,
) -> Result<Option<(String, Value)>> {
    if names::is_verdict(name) {
        return Ok(None);
    }
    new_property(settings, name, value)
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
