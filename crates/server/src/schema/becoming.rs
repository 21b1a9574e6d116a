//! A column on its way to what it will be: what is written meanwhile must fit both.
//!
//! A change of a column with many rows is a job. From its beginning on every writer obeys what the
//! column will be, too; so when the job has seen each row once, all of them fit.

use engine::Value as Stored;
use serde_json::{Map, Value, json};

use super::{Column, Kind, Rules, values};
use crate::error::{Error, Result};

/// What a column will be, as the catalog keeps it.
pub fn to_json(next: &Column) -> Value {
    json!({
        "name": next.name,
        "physical": next.physical,
        "type": next.kind.as_str(),
        "size": next.size,
        "required": next.rules.required,
        "unique": next.rules.unique,
        "indexed": next.rules.indexed,
        "default": next.default,
        "customRegex": next.custom_regex,
        "validator": next.validator,
    })
}

/// What `column` will be. `None` for a type that is unknown here: a newer node is at work.
pub fn from_json(column: &Column, json: &Map<String, Value>) -> Option<Column> {
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    let flag = |name: &str| json.get(name).and_then(Value::as_bool).unwrap_or_default();
    let size = json.get("size").and_then(Value::as_u64).and_then(|it| u32::try_from(it).ok());
    let validator = json.get("validator").filter(|it| !it.is_null()).cloned();
    Some(Column {
        name: text("name")?,
        physical: text("physical")?,
        kind: Kind::parse(&text("type")?)?,
        size,
        rules: Rules {
            required: flag("required"),
            unique: flag("unique"),
            indexed: flag("indexed"),
        },
        default: json.get("default").filter(|it| !it.is_null()).cloned(),
        custom_regex: text("customRegex"),
        validator: validator.and_then(|it| serde_json::from_value(it).ok()),
        becoming: None,
        checks: super::validators::Checks::default(),
        ..column.clone()
    })
}

/// What `next` stores for a value of a column of type `from`. The error says why it cannot, to
/// follow "its value …".
pub fn convert(from: Kind, value: &Stored, next: &Column) -> Result<Stored, String> {
    let no = || format!("cannot become a {}", next.kind.as_str());
    let json = match (from, value, next.kind) {
        (_, Stored::Null, _) => return Ok(Stored::Null),
        (Kind::Json, Stored::Json(text) | Stored::Text(text), to) if to.is_text() => {
            Value::from(text.as_str())
        }
        (from, Stored::Text(text), Kind::Json) if from.is_text() => {
            crate::json::read(text.as_bytes()).map_err(|_| no())?
        }
        (from, Stored::Text(text), Kind::Boolean) if from.is_text() => {
            match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => Value::from(true),
                "false" | "0" => Value::from(false),
                _ => return Err(no()),
            }
        }
        (from, value, to) => match (values::to_json(from, value), to) {
            (Value::Number(it), Kind::Boolean) if it.as_f64() == Some(0.0) => Value::from(false),
            (Value::Number(it), Kind::Boolean) if it.as_f64() == Some(1.0) => Value::from(true),
            (Value::Bool(it), Kind::Int | Kind::Double) => Value::from(i64::from(it)),
            (json, _) => json,
        },
    };
    values::converted(next, &json).map_err(|it| {
        let said = format!("The value of {} ", next.name);
        let why = it.message.strip_prefix(&said).map(str::to_owned);
        why.filter(|_| !it.is_unfit()).unwrap_or_else(no)
    })
}

/// Refuses a value that what the column is becoming could not take (8023).
pub fn check(column: &Column, value: &Stored) -> Result<()> {
    let Some(next) = &column.becoming else { return Ok(()) };
    match convert(column.kind, value, next) {
        Ok(_) => Ok(()),
        Err(why) => {
            let name = &column.name;
            let message = format!("The value of {name} {why}, and the column is about to be one");
            Err(Error::refused_value(message))
        }
    }
}

/// What goes into the new place of a column beside `value` in the old one. An object without a value
/// gets the default of what must have one.
pub fn beside(column: &Column, value: &Stored) -> Option<(String, Stored)> {
    let next = column.becoming.as_ref().filter(|it| it.physical != column.physical)?;
    let stored = match value {
        Stored::Null if next.rules.required => default(next),
        value => convert(column.kind, value, next).unwrap_or(Stored::Null),
    };
    Some((next.physical.clone(), stored))
}

/// What the column stores for an object without a value.
pub fn default(column: &Column) -> Stored {
    let stored = column.default.as_ref().map(|it| values::converted(column, it));
    stored.and_then(Result::ok).unwrap_or(Stored::Null)
}

#[cfg(test)]
mod tests {
    use super::super::Maker;
    use super::*;

    #[test]
    fn a_value_becomes_what_it_means_in_another_type_or_stays_and_says_why() {
        let text = |it: &str| Stored::Text(it.to_owned());
        for (from, value, to, expected) in [
            (Kind::Int, Stored::Int(3), Kind::Double, Some(Stored::Real(3.0))),
            (Kind::Double, Stored::Real(3.0), Kind::Int, Some(Stored::Int(3))),
            (Kind::Double, Stored::Real(3.5), Kind::Int, None),
            (Kind::String, text("42"), Kind::Int, Some(Stored::Int(42))),
            (Kind::String, text("x"), Kind::Int, None),
            (Kind::String, text("0.5"), Kind::Double, Some(Stored::Real(0.5))),
            (Kind::Double, Stored::Real(0.5), Kind::String, Some(text("0.5"))),
            (Kind::Double, Stored::Real(3.0), Kind::String, Some(text("3"))),
            (Kind::Boolean, Stored::Bool(true), Kind::String, Some(text("true"))),
            (Kind::Boolean, Stored::Int(1), Kind::String, Some(text("true"))),
            (Kind::String, text("FALSE"), Kind::Boolean, Some(Stored::Bool(false))),
            (Kind::String, text("no"), Kind::Boolean, None),
            (Kind::Int, Stored::Int(1), Kind::Boolean, Some(Stored::Bool(true))),
            (Kind::Int, Stored::Int(2), Kind::Boolean, None),
            (Kind::Boolean, Stored::Bool(true), Kind::Int, Some(Stored::Int(1))),
            (Kind::Json, Stored::Json("{\"a\":1}".to_owned()), Kind::Text, Some(text("{\"a\":1}"))),
            (Kind::String, text("[1]"), Kind::Json, Some(Stored::Json("[1]".to_owned()))),
            (Kind::String, text("[1"), Kind::Json, None),
            (Kind::DateTime, Stored::Int(5), Kind::String, Some(text("5"))),
            (
                Kind::String,
                text("2023-11-14T22:13:20Z"),
                Kind::DateTime,
                Some(Stored::Int(1_700_000_000_000)),
            ),
            (Kind::String, text("soon"), Kind::DateTime, None),
            (Kind::Text, text(&"x".repeat(501)), Kind::String, None),
            (Kind::Text, text("a\nb"), Kind::String, None),
            (Kind::Int, Stored::Null, Kind::String, Some(Stored::Null)),
        ] {
            let next = Column::blank("p", to, Maker::Developer);
            assert_eq!(convert(from, &value, &next).ok(), expected, "{from:?} {value:?} {to:?}");
        }
    }

    #[test]
    fn what_the_catalog_keeps_is_read_back() {
        let mut next = Column::blank("p", Kind::Int, Maker::Developer);
        next.physical = "c1".to_owned();
        next.rules = Rules { required: true, unique: false, indexed: true };
        next.default = Some(json!(7));
        next.custom_regex = Some("[0-9]".to_owned());
        let old = Column::blank("old", Kind::String, Maker::Developer);
        let read = from_json(&old, to_json(&next).as_object().unwrap()).unwrap();
        assert_eq!(to_json(&read), to_json(&next));
        assert_eq!(default(&read), Stored::Int(7));
    }
}
