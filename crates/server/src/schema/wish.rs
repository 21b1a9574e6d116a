//! What a developer wants a column to be: read from the Console, judged without the database.
//!
//! Wire: users-api 5.2 and 6.5, data-api 1.2. What is missing in a request stays as it is.

use serde_json::{Map, Value, json};

use super::validators::{Checks, Chosen, MATCHABLE};
use super::{Column, Kind, Maker, NewColumn, PASSWORD, Table, names, patterns};
use super::{STRING_SIZE, TEXT_SIZE, validators, values};
use crate::error::{Error, Result};

/// The longest default, in characters.
const LONGEST_DEFAULT: usize = 500;
/// The most characters of a number, as a text.
const NUMBER_SIZE: u32 = 32;
/// Names that clients send along with objects, and so no column can have.
const ACCOMPANYING: &[&str] = &["___class", "___jsonclass", "__meta"];

/// What was asked of a rule that a column can be without.
#[derive(Clone, Debug, Default)]
enum Asked<T> {
    /// Nothing: it stays.
    #[default]
    Nothing,
    /// That it be gone.
    None,
    /// That it be this.
    Some(T),
}

impl<T> Asked<T> {
    fn apply(self, to: &mut Option<T>) {
        match self {
            Self::Nothing => {}
            Self::None => *to = None,
            Self::Some(it) => *to = Some(it),
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The name; another one renames the column.
    pub name: Option<String>,
    kind: Option<Kind>,
    size: Option<u32>,
    required: Option<bool>,
    unique: Option<bool>,
    indexed: Option<bool>,
    /// Whether users log in with it.
    pub identity: Option<bool>,
    default: Option<Value>,
    regex: Asked<String>,
    validator: Asked<Chosen>,
    /// Whether a validator that rows fail is refused.
    pub refuse_failing: bool,
    /// What it was read from.
    pub sent: Map<String, Value>,
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::bad_parameter(what)
}

/// Reads a column object. Fails with 3038, and with 3039 for the name `id`.
pub fn read(body: &Map<String, Value>) -> Result<Wish> {
    let flag = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(it)) => Ok(Some(*it)),
        Some(_) => Err(bad(format!("{name} must be true or false"))),
    };
    let text = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(it)) => Ok(Some(it.as_str())),
        Some(_) => Err(bad(format!("{name} must be a text"))),
    };
    let name = text("name")?;
    if let Some(name) = name {
        is_name(name)?;
    }
    let word = text("dataType")?.or(text("type")?);
    let kind = word.map(kind).transpose()?;
    let size = match body.get("dataSize") {
        None | Some(Value::Null) => None,
        Some(it) => {
            let size = it.as_u64().and_then(|it| u32::try_from(it).ok()).filter(|it| *it > 0);
            Some(size.ok_or_else(|| bad("dataSize must be a whole number from 1 on"))?)
        }
    };
    let regex = match body.get("customRegex") {
        None => Asked::Nothing,
        Some(Value::Null) => Asked::None,
        Some(Value::String(it)) if it.is_empty() => Asked::None,
        Some(Value::String(it)) => Asked::Some(it.clone()),
        Some(_) => return Err(bad("customRegex must be a text or null")),
    };
    let validator = match body.get("validator") {
        None => Asked::Nothing,
        Some(Value::Null) => Asked::None,
        Some(it) => {
            let chosen = serde_json::from_value::<Chosen>(it.clone());
            Asked::Some(chosen.map_err(|_| bad("validator must be {\"id\": …, \"params\": {…}}"))?)
        }
    };
    let refuse_failing = match text("onFailing")? {
        None | Some("keep") => false,
        Some("refuse") => true,
        Some(_) => return Err(bad("onFailing must be keep or refuse")),
    };
    Ok(Wish {
        name: name.map(str::to_owned),
        kind,
        size,
        required: flag("required")?,
        unique: flag("unique")?,
        indexed: flag("indexed")?,
        identity: flag("identity")?,
        default: body.get("defaultValue").cloned(),
        regex,
        validator,
        refuse_failing,
        sent: body.clone(),
    })
}

/// Refuses what cannot be the name of a column or a table.
pub fn is_name(name: &str) -> Result<()> {
    if name.eq_ignore_ascii_case("id") {
        return Err(Error::property_id());
    }
    if !names::allowed(name) || ACCOMPANYING.contains(&name) {
        return Err(bad(
            "A name is a letter or underscore, then letters, digits and underscores, 45 at most",
        ));
    }
    Ok(())
}

/// Words that stand where the name of a table stands in a path.
const NO_TABLES: &[&str] = &["bulk", "bulkupsert"];

/// Refuses what cannot be the name of a table: 1135, 1154, and as [`is_name`] does.
pub fn table_name(name: &str) -> Result<()> {
    is_name(name)?;
    match name {
        "GeoPoint" => Err(Error::geo_point()),
        name if NO_TABLES.contains(&name) => Err(Error::reserved_table(name)),
        _ => Ok(()),
    }
}

fn not_verdict(table: &Table, name: &str) -> Result<()> {
    if table.is_users() && names::is_verdict(name) {
        return Err(bad(format!("{name} is for the server to say: users could write a property")));
    }
    Ok(())
}

/// The type of that word. Fails with 3038.
pub fn kind(word: &str) -> Result<Kind> {
    let word = if word == "EXTENDED_STRING" { "TEXT" } else { word };
    Kind::parse(word).ok_or_else(|| {
        bad("dataType must be STRING, TEXT, EXTENDED_STRING, INT, DOUBLE, BOOLEAN, DATETIME, JSON or FILE_REF")
    })
}

fn not_id(kind: Kind) -> Result<()> {
    if kind == Kind::StringId {
        return Err(bad("Only objectId is a STRING_ID"));
    }
    Ok(())
}

/// The new column of that wish. Fails with 3038.
pub fn new_column(table: &Table, wish: Wish) -> Result<NewColumn> {
    let name = wish.name.clone().ok_or_else(|| bad("A column needs a name"))?;
    if table.column(&name).is_some() {
        return Err(bad(format!("{} has a property {name} already", table.name)));
    }
    not_verdict(table, &name)?;
    let kind = wish.kind.ok_or_else(|| bad("A column needs a dataType"))?;
    not_id(kind)?;
    if wish.identity == Some(true) {
        return Err(bad("Make the column first, fill it, and make it the identity then"));
    }
    let blank = Column::blank(&name, kind, Maker::Developer);
    let made = changed(table, &blank, wish)?;
    Ok(NewColumn {
        name: made.name,
        kind: made.kind,
        size: made.size,
        rules: made.rules,
        identity: false,
        default: made.default,
        custom_regex: made.custom_regex,
        validator: made.validator,
        maker: Maker::Developer,
    })
}

/// What `column` becomes by that wish, but for the mark of the identity. Fails with 3038 for what
/// no column can be and for what is protected.
pub fn changed(table: &Table, column: &Column, wish: Wish) -> Result<Column> {
    let mut new = Column { checks: Checks::default(), ..column.clone() };
    let renamed = wish.name.filter(|it| *it != column.name);
    if let Some(name) = renamed {
        if is_fixed(table, column) {
            return Err(protected(&column.name));
        }
        if table.column(&name).is_some() {
            return Err(bad(format!("{} has a property {name} already", table.name)));
        }
        not_verdict(table, &name)?;
        new.name = name;
    }
    if let Some(kind) = wish.kind.filter(|it| *it != column.kind) {
        not_id(kind)?;
        new.kind = kind;
        new.size = kind.size();
    }
    if let Some(size) = wish.size {
        let most = match new.kind {
            Kind::Text => TEXT_SIZE,
            Kind::String | Kind::FileRef => STRING_SIZE,
            // Consoles send a size along with every type.
            _ => 0,
        };
        if most > 0 && size > most {
            return Err(bad(format!("A {} has {most} characters at most", new.kind.as_str())));
        }
        if most > 0 {
            new.size = Some(size);
        }
    }
    new.rules.required = wish.required.unwrap_or(new.rules.required);
    new.rules.unique = wish.unique.unwrap_or(new.rules.unique);
    new.rules.indexed = wish.indexed.unwrap_or(new.rules.indexed);
    wish.regex.apply(&mut new.custom_regex);
    wish.validator.apply(&mut new.validator);
    match wish.default {
        None => {}
        Some(Value::Null) => new.default = None,
        Some(value) => new.default = Some(typed_default(&new, &value)?),
    }
    is_sound(table, column, &new)?;
    Ok(new)
}

/// A default in the type of its column. Consoles send texts: `"true"`, `"3"`, JSON.
fn typed_default(column: &Column, value: &Value) -> Result<Value> {
    let refused = |it: Error| bad(format!("The default cannot be used: {}", it.message));
    let value = match (column.kind, value) {
        (Kind::Boolean, Value::String(text)) if text == "true" => json!(true),
        (Kind::Boolean, Value::String(text)) if text == "false" => json!(false),
        (Kind::Json, Value::String(text)) => {
            crate::json::read(text.as_bytes()).unwrap_or_else(|_| value.clone())
        }
        _ => value.clone(),
    };
    if value.to_string().chars().count() > LONGEST_DEFAULT + 2 {
        return Err(bad(format!("A default has {LONGEST_DEFAULT} characters at most")));
    }
    let stored = values::to_stored(column, &value).map_err(refused)?;
    Ok(values::to_json(column.kind, &stored))
}

fn protected(name: &str) -> Error {
    bad(format!("{name} belongs to the system and cannot be changed so"))
}

/// Whether a column can be neither renamed nor dropped.
fn is_fixed(table: &Table, column: &Column) -> bool {
    let kept = [PASSWORD, "blUserLocale"];
    column.maker == Maker::System || (table.is_users() && kept.contains(&column.name.as_str()))
}

/// Refuses to drop what the table cannot be without.
pub fn may_drop(table: &Table, column: &Column) -> Result<()> {
    if is_fixed(table, column) {
        return Err(protected(&column.name));
    }
    if column.identity {
        return Err(bad(format!(
            "Users log in with {}. Make another property the identity first",
            column.name
        )));
    }
    Ok(())
}

fn is_sound(table: &Table, old: &Column, new: &Column) -> Result<()> {
    let name = &new.name;
    let same = old.name == new.name
        && (old.kind, old.size, old.rules) == (new.kind, new.size, new.rules)
        && (&old.default, &old.custom_regex) == (&new.default, &new.custom_regex)
        && old.validator == new.validator;
    if same {
        return Ok(());
    }
    if old.maker == Maker::System {
        return Err(protected(name));
    }
    if table.is_users() && old.name == PASSWORD {
        let other = (old.kind, old.size, old.rules) != (new.kind, new.size, new.rules);
        if other || new.default.is_some() {
            return Err(protected(name));
        }
    }
    if new.identity {
        if !(new.rules.required && new.rules.unique) {
            return Err(bad(format!("Users log in with {name}: it is required and unique")));
        }
        if new.kind != old.kind {
            return Err(bad(format!("Users log in with {name}: its type cannot change")));
        }
        if new.default.is_some() {
            return Err(bad(format!("Users log in with {name}: it can have no default")));
        }
    }
    let indexable = !matches!(new.kind, Kind::Text | Kind::Json);
    if !indexable && (new.rules.unique || new.rules.indexed) {
        let kind = new.kind.as_str();
        return Err(bad(format!("A {kind} can be neither unique nor indexed")));
    }
    if new.rules.unique && new.default.is_some() {
        return Err(bad(format!("{name} cannot be unique and have a default")));
    }
    can_check(new)?;
    if let Some(default) = &new.default {
        values::to_stored(new, default)
            .map_err(|it| bad(format!("The default cannot be used: {}", it.message)))?;
    }
    Ok(())
}

/// Refuses an expression or a validator that a column of that type cannot have. Fails with 3038.
pub fn can_check(new: &Column) -> Result<()> {
    if let Some(pattern) = &new.custom_regex {
        if !MATCHABLE.contains(&new.kind) {
            let kind = new.kind.as_str();
            return Err(bad(format!("A {kind} cannot be matched against an expression")));
        }
        let cannot = |it: String| bad(format!("The expression cannot be used: {it}"));
        patterns::compile(pattern).map_err(cannot)?;
        patterns::is_quick(pattern, new.size.unwrap_or(NUMBER_SIZE)).map_err(cannot)?;
    }
    if let Some(chosen) = &new.validator {
        validators::read(chosen, new.kind)
            .map_err(|it| bad(format!("The validator cannot be used: {it}")))?;
    }
    Ok(())
}
