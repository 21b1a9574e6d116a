//! Values: from JSON to what a column stores, and back.
//!
//! Wire: users-api 5.1, data-api 1.2. A value of another type is converted as documented or
//! refused, never interpreted (ASVS 5.0, 15.3.5).

use engine::{Value as Stored, ValueRef};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Column, Kind, validators};
use crate::error::{Error, Result};

/// The largest whole number that JSON keeps exact: 2⁵³−1.
const MOST: i64 = (1 << 53) - 1;
/// The years 1 to 9999, in milliseconds.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// What `column` stores for `value`. Fails with 1007 and the name of the property when the value is
/// of another type, with 1110 when it is no date, and with 8023 when it is too long or its column's validator refuses it.
///
/// This is the one way from JSON to a stored value: whatever writes comes through here.
pub fn to_stored(column: &Column, value: &Value) -> Result<Stored> {
    let stored = converted(column, value)?;
    match validators::check(column, &stored) {
        None => Ok(stored),
        Some(why) => Err(Error::refused_value(format!("The value of {} {why}", column.name))),
    }
}

/// Refuses a text that the validator of `column` refuses, for a text that is not stored as it is:
/// a password. Fails with 8023.
pub fn check_text(column: &Column, text: &str) -> Result<()> {
    match validators::check(column, &Stored::Text(text.to_owned())) {
        None => Ok(()),
        Some(why) => Err(Error::refused_value(format!("The value of {} {why}", column.name))),
    }
}

/// What `column` stores for a value that a column of kind `from` has stored; its validators are not
/// asked. Fails with 1007 and 8023 for what cannot be converted without a loss.
pub fn converted_to(column: &Column, from: Kind, stored: &Stored) -> Result<Stored> {
    let texts = [Kind::StringId, Kind::String, Kind::Text, Kind::FileRef];
    let value = match (column.kind, stored) {
        (_, Stored::Null) => return Ok(Stored::Null),
        (to, Stored::Text(it) | Stored::Json(it)) if from == Kind::Json && texts.contains(&to) => {
            // The engines keep it in forms of their own; clients see this one.
            let json =
                crate::json::read(it.as_bytes()).map_err(|_| Error::wrong_type(&column.name))?;
            return text_within(column, json.to_string());
        }
        (Kind::Json, Stored::Text(it)) if texts.contains(&from) => {
            // A text that is JSON is meant so; another one becomes a JSON text.
            crate::json::read(it.as_bytes()).unwrap_or_else(|_| Value::from(it.as_str()))
        }
        (Kind::Boolean, Stored::Text(it)) if it.trim() == "true" => Value::from(true),
        (Kind::Boolean, Stored::Text(it)) if it.trim() == "false" => Value::from(false),
        _ => to_json(from, stored),
    };
    converted(column, &value)
}

fn converted(column: &Column, value: &Value) -> Result<Stored> {
    let wrong = || Error::wrong_type(&column.name);
    let stored = match (column.kind, value) {
        (_, Value::Null) => return Ok(Stored::Null),
        (Kind::Json, value) => Stored::Json(value.to_string()),
        (Kind::StringId | Kind::String | Kind::Text | Kind::FileRef, value) => {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(bool) => bool.to_string(),
                _ => return Err(wrong()),
            };
            return text_within(column, text);
        }
        (Kind::Int, Value::Number(number)) => Stored::Int(whole(number).ok_or_else(wrong)?),
        (Kind::Int, Value::String(text)) => {
            let number = text.trim().parse::<i64>().map_err(|_| wrong())?;
            Stored::Int(
                Some(number)
                    .filter(|it| it.unsigned_abs() <= MOST.unsigned_abs())
                    .ok_or_else(wrong)?,
            )
        }
        (Kind::Double, Value::Number(number)) => Stored::Real(number.as_f64().ok_or_else(wrong)?),
        (Kind::Double, Value::String(text)) => {
            let number = text.trim().parse::<f64>().map_err(|_| wrong())?;
            Stored::Real(Some(number).filter(|it| it.is_finite()).ok_or_else(wrong)?)
        }
        (Kind::Boolean, Value::Bool(bool)) => Stored::Bool(*bool),
        (Kind::DateTime, value) => {
            Stored::Int(instant(value).ok_or_else(|| Error::bad_date(&column.name))?)
        }
        _ => return Err(wrong()),
    };
    Ok(stored)
}

fn text_within(column: &Column, text: String) -> Result<Stored> {
    let most = column.size.or(column.kind.size()).unwrap_or(super::TEXT_SIZE) as usize;
    if text.chars().count() > most {
        let name = &column.name;
        let message = format!("The value of {name} is longer than {most} characters. Shorten it");
        return Err(Error::refused_value(message));
    }
    // Long texts may have line breaks and tabs; a control character in a short one is a mistake or
    // an attack on whoever prints it (ASVS 5.0, 2.2.1).
    if column.kind != Kind::Text && text.chars().any(char::is_control) {
        let name = &column.name;
        return Err(Error::refused_value(format!("The value of {name} has a control character")));
    }
    Ok(Stored::Text(text))
}

fn whole(number: &serde_json::Number) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "checked to be whole and in range, where both are exact"
    )]
    let from_real = |it: f64| (it.fract() == 0.0 && it.abs() <= MOST as f64).then_some(it as i64);
    let whole = number.as_i64().or_else(|| number.as_f64().and_then(from_real));
    whole.filter(|it| it.unsigned_abs() <= MOST.unsigned_abs())
}

/// Milliseconds from a number, a decimal text or a date as clients write them (data-api 3.6; without
/// a zone: UTC).
pub fn instant(value: &Value) -> Option<i64> {
    let millis = match value {
        Value::Number(number) => whole(number)?,
        Value::String(text) => {
            let text = text.trim();
            if let Ok(millis) = text.parse::<i64>() {
                millis
            } else if let Ok(time) = text.parse::<jiff::Timestamp>() {
                time.as_millisecond()
            } else if let Ok(time) = text.parse::<DateTime>() {
                time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond()
            } else {
                clause::date(text)?
            }
        }
        _ => return None,
    };
    TIMES.contains(&millis).then_some(millis)
}

/// Writes a stored value as JSON.
pub fn write_json(kind: Kind, value: ValueRef<'_>, out: &mut Vec<u8>) {
    match (kind, value) {
        (_, ValueRef::Null | ValueRef::Bytes(_)) => out.extend_from_slice(b"null"),
        (Kind::Boolean, ValueRef::Int(it)) => write_bool(it != 0, out),
        (_, ValueRef::Bool(it)) => write_bool(it, out),
        (_, ValueRef::Int(it)) => out.extend_from_slice(it.to_string().as_bytes()),
        (_, ValueRef::Real(it)) => write_number(it, out),
        (Kind::Json, ValueRef::Text(it)) => out.extend_from_slice(it.as_bytes()),
        (_, ValueRef::Text(it)) => write_text(it, out),
    }
}

/// The day of a time, as an answer shows it: 2023-11-14.
pub fn day_text(millis: i64) -> String {
    let days = jiff::Span::new().try_days(millis.div_euclid(86_400_000));
    let day = days.and_then(|it| jiff::civil::date(1970, 1, 1).checked_add(it));
    day.map_or_else(|_| millis.to_string(), |it| it.to_string())
}

fn write_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// A number as an answer shows it.
pub fn number_text(value: f64) -> String {
    let mut out = Vec::new();
    write_number(value, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// A stored value as JSON.
pub fn to_json(kind: Kind, value: &Stored) -> Value {
    let mut out = Vec::new();
    write_json(kind, ValueRef::from(value), &mut out);
    serde_json::from_slice(&out).unwrap_or_default()
}

/// Whole numbers are written as integers: clients in typed languages read `3`, not `3.0`.
fn write_number(value: f64, out: &mut Vec<u8>) {
    #[expect(clippy::cast_precision_loss, reason = "2⁵³−1 is exact")]
    let whole = value.fract() == 0.0 && value.abs() <= MOST as f64;
    if whole {
        #[expect(clippy::cast_possible_truncation, reason = "just checked")]
        let integer = value as i64;
        out.extend_from_slice(integer.to_string().as_bytes());
    } else {
        // Not finite becomes null: JSON has no word for it.
        let _ = serde_json::to_writer(out, &value);
    }
}

/// Writes `text` as a JSON string.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing a string into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Maker;
    use super::*;

    fn column(kind: Kind) -> Column {
        Column::blank("p", kind, Maker::Developer)
    }

    #[test]
    fn a_value_is_converted_as_documented_or_refused() {
        let big = json!(9_007_199_254_740_992_i64);
        for (kind, value, expected) in [
            (Kind::String, json!("a"), Some("\"a\"")),
            (Kind::String, json!(3), Some("\"3\"")),
            (Kind::String, json!(true), Some("\"true\"")),
            (Kind::String, json!({}), None),
            (Kind::String, json!("a\u{7}"), None),
            (Kind::Text, json!("a\nb"), Some("\"a\\nb\"")),
            (Kind::Int, json!(3), Some("3")),
            (Kind::Int, json!(3.0), Some("3")),
            (Kind::Int, json!(3.5), None),
            (Kind::Int, json!("42"), Some("42")),
            (Kind::Int, big, None),
            (Kind::Int, json!("-9223372036854775808"), None),
            (Kind::Int, json!(true), None),
            (Kind::Double, json!(3), Some("3")),
            (Kind::Double, json!(0.5), Some("0.5")),
            (Kind::Double, json!("1e400"), None),
            (Kind::Boolean, json!(true), Some("true")),
            (Kind::Boolean, json!(1), None),
            (Kind::Boolean, json!("true"), None),
            (Kind::DateTime, json!(1_700_000_000_123_i64), Some("1700000000123")),
            (Kind::DateTime, json!("1700000000123"), Some("1700000000123")),
            (Kind::DateTime, json!("2023-11-14T22:13:20.123Z"), Some("1700000000123")),
            (Kind::DateTime, json!("2023-11-14T23:13:20.123+01:00"), Some("1700000000123")),
            (Kind::DateTime, json!("2023-11-14T22:13:20.123"), Some("1700000000123")),
            (Kind::DateTime, json!("yesterday"), None),
            (Kind::DateTime, json!(253_402_300_800_000_i64), None),
            (Kind::Json, json!({ "a": [1] }), Some("{\"a\":[1]}")),
            (Kind::String, json!(null), Some("null")),
        ] {
            let stored = to_stored(&column(kind), &value);
            let written = stored.ok().map(|it| {
                let mut out = Vec::new();
                write_json(kind, ValueRef::from(&it), &mut out);
                String::from_utf8(out).unwrap()
            });
            assert_eq!(written.as_deref(), expected, "{kind:?} {value}");
        }
    }
}
