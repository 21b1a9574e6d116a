//! The ready-made validators of property values, one entry each, and the check of a column's own.
//!
//! Wire: users-api 5.5. Every value that is stored passes [`check`], since it is part of
//! [`to_stored`](super::values::to_stored); `null` passes always.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, OnceLock};

use engine::Value as Stored;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Column, Kind, identity, patterns, values};

/// A validator as a property has it: an entry of [`VALIDATORS`], and what it was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The id of the entry.
    pub id: String,
    /// Its parameters, by name.
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// A ready-made validator.
pub struct Validator {
    /// On the wire and in the store; it never changes.
    pub id: &'static str,
    /// In the Console's menu.
    pub name: &'static str,
    /// The same as an expression, where one can say it: older Consoles fill it in.
    pub regex: Option<&'static str>,
    /// The types of columns that it can stand at.
    pub kinds: &'static [Kind],
    /// What it can be told.
    pub params: &'static [Param],
    /// Whether a value passes.
    pub passes: fn(&Given<'_>, &Params) -> bool,
    /// What is wrong with one that does not, after "The value of …".
    pub says: &'static str,
}

/// A parameter of a validator.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: ParamKind,
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A number.
    Number,
    /// A whole number from 0 on.
    Length,
    /// An instant: milliseconds or an ISO 8601 text.
    Date,
    /// A list of texts and numbers, 1 to 500.
    Values,
    /// 4 or 6.
    IpVersion,
}

impl ParamKind {
    /// The word for clients.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Length => "length",
            Self::Date => "date",
            Self::Values => "values",
            Self::IpVersion => "ipVersion",
        }
    }
}

/// Parameters that have been read.
#[derive(Debug, Default)]
pub struct Params {
    least: Option<f64>,
    most: Option<f64>,
    values: BTreeSet<String>,
}

/// A value as a validator sees it.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    /// A text.
    Text(&'a str),
    /// A number, or an instant in milliseconds.
    Number(f64),
}

impl<'a> Given<'a> {
    fn text(&self) -> &'a str {
        match self {
            Self::Text(it) => it,
            Self::Number(_) => "",
        }
    }

    fn is_within(&self, params: &Params) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a text is never so long")]
        let size = match self {
            Self::Text(it) => it.chars().count() as f64,
            Self::Number(it) => *it,
        };
        params.least.is_none_or(|it| it <= size) && params.most.is_none_or(|it| size <= it)
    }
}

const TEXTS: &[Kind] = &[Kind::String, Kind::Text];
const STRINGS: &[Kind] = &[Kind::String];
const NUMBERS: &[Kind] = &[Kind::Int, Kind::Double];
/// Types whose values an owner's expression can be matched against.
pub const MATCHABLE: &[Kind] = &[Kind::String, Kind::Text, Kind::FileRef, Kind::Int, Kind::Double];

const SSN: &str = r"^(\d{3}-?\d{2}-?\d{4}|XXX-XX-XXXX)$";
const EMAIL: &str = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}$";
const URL: &str = r"^(https?|ftp)://(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(:\d{1,5})?([/?#]\S*)?$";
const US_PHONE: &str = r"^(\+?1[ .-]?)?(\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-]?)[2-9]\d{2}[ .-]?\d{4}$";
const E164: &str = r"^\+[1-9]\d{6,14}$";
const UUID: &str = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";
const SLUG: &str = r"^[a-z0-9]+(-[a-z0-9]+)*$";

/// Every ready-made validator.
pub const VALIDATORS: &[Validator] = &[
    Validator {
        id: "email",
        name: "Email address",
        regex: Some(EMAIL),
        kinds: STRINGS,
        params: &[],
        passes: |it, _| identity::is_address(it.text()),
        says: "is not an e-mail address",
    },
    Validator {
        id: "url",
        name: "URL",
        regex: Some(URL),
        kinds: &[Kind::String, Kind::Text, Kind::FileRef],
        params: &[],
        passes: |it, _| matches(URL, it),
        says: "is not a URL that begins with http, https or ftp",
    },
    Validator {
        id: "us-ssn",
        name: "US social security number",
        regex: Some(SSN),
        kinds: STRINGS,
        params: &[],
        passes: |it, _| matches(SSN, it),
        says: "is not a US social security number",
    },
    Validator {
        id: "us-phone",
        name: "US phone number",
        regex: Some(US_PHONE),
        kinds: STRINGS,
        params: &[],
        passes: |it, _| matches(US_PHONE, it),
        says: "is not a US phone number",
    },
    Validator {
        id: "e164",
        name: "International phone number",
        regex: Some(E164),
        kinds: STRINGS,
        params: &[],
        passes: |it, _| matches(E164, it),
        says: "is not a phone number that begins with + and the country's number",
    },
    Validator {
        id: "number-range",
        name: "Number within a range",
        regex: None,
        kinds: NUMBERS,
        params: &[
            Param { name: "min", kind: ParamKind::Number },
            Param { name: "max", kind: ParamKind::Number },
        ],
        passes: |it, params| it.is_within(params),
        says: "is out of range",
    },
    Validator {
        id: "length",
        name: "Length of text",
        regex: None,
        kinds: TEXTS,
        params: &[
            Param { name: "min", kind: ParamKind::Length },
            Param { name: "max", kind: ParamKind::Length },
        ],
        passes: |it, params| it.is_within(params),
        says: "is too short or too long",
    },
    Validator {
        id: "credit-card",
        name: "Credit card number",
        regex: None,
        kinds: STRINGS,
        params: &[],
        passes: |it, _| is_card_number(it.text()),
        says: "is not a credit card number",
    },
    Validator {
        id: "ip",
        name: "IP address",
        regex: None,
        kinds: STRINGS,
        params: &[Param { name: "version", kind: ParamKind::IpVersion }],
        passes: |it, params| match it.text().parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => params.least != Some(6.0),
            Ok(IpAddr::V6(_)) => params.least != Some(4.0),
            Err(_) => false,
        },
        says: "is not an IP address of that version",
    },
    Validator {
        id: "uuid",
        name: "UUID",
        regex: Some(UUID),
        kinds: STRINGS,
        params: &[],
        passes: |it, _| matches(UUID, it),
        says: "is not a UUID",
    },
    Validator {
        id: "slug",
        name: "Slug",
        regex: Some(SLUG),
        kinds: STRINGS,
        params: &[],
        passes: |it, _| matches(SLUG, it),
        says: "is not small letters, digits and single hyphens between them",
    },
    Validator {
        id: "date-range",
        name: "Date within a range",
        regex: None,
        kinds: &[Kind::DateTime],
        params: &[
            Param { name: "from", kind: ParamKind::Date },
            Param { name: "to", kind: ParamKind::Date },
        ],
        passes: |it, params| it.is_within(params),
        says: "is out of range",
    },
    Validator {
        id: "one-of",
        name: "One of a list",
        regex: None,
        kinds: &[Kind::String, Kind::Text, Kind::Int, Kind::Double],
        params: &[Param { name: "values", kind: ParamKind::Values }],
        passes: |it, params| match it {
            Given::Text(text) => params.values.contains(*text),
            Given::Number(number) => params.values.contains(&values::number_text(*number)),
        },
        says: "is not one of the values that are allowed",
    },
];

/// Whether an entry's own expression, which is one of the constants above, matches.
fn matches(pattern: &'static str, given: &Given<'_>) -> bool {
    static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
        let all = VALIDATORS.iter().filter_map(|it| it.regex);
        all.filter_map(|it| Some((it, patterns::compile(it).ok()?))).collect()
    });
    COMPILED.iter().any(|it| it.0 == pattern && it.1.is_match(given.text()))
}

/// ISO/IEC 7812: 12 to 19 digits, in groups with blanks or hyphens between, and the check digit of
/// Luhn.
fn is_card_number(text: &str) -> bool {
    let grouped = text.starts_with(|it: char| it.is_ascii_digit())
        && text.ends_with(|it: char| it.is_ascii_digit())
        && !text.as_bytes().windows(2).any(|it| it.iter().all(|it| b" -".contains(it)));
    let mut digits = Vec::with_capacity(19);
    for letter in text.chars() {
        match letter.to_digit(10) {
            Some(digit) => digits.push(digit),
            None if letter == ' ' || letter == '-' => {}
            None => return false,
        }
        if digits.len() > 19 {
            return false;
        }
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    grouped && digits.len() >= 12 && sum.is_multiple_of(10)
}

/// What a column has to check, made at the first value and kept with the column.
#[derive(Clone, Debug, Default)]
pub struct Checks(Arc<OnceLock<Ready>>);

#[derive(Debug)]
struct Ready {
    pattern: Option<Regex>,
    validator: Option<(&'static str, Params)>,
    /// The expression or the validator cannot be read by this version: nothing passes.
    broken: bool,
}

/// What it costs at the worst to check one character of a value of that column, in places of its
/// expression.
pub fn weight(column: &Column) -> u64 {
    let own = column.custom_regex.as_deref().map_or(0, patterns::weight);
    // The ready-made ones are ours, and small.
    own.max(20)
}

/// Why a value does not pass, after "The value of …".
///
/// `stored` is what the column would store. `None`: it passes.
pub fn check(column: &Column, stored: &Stored) -> Option<&'static str> {
    if column.custom_regex.is_none() && column.validator.is_none() {
        return None;
    }
    let ready = column.checks.0.get_or_init(|| {
        let pattern = column.custom_regex.as_deref().map(patterns::compile);
        let validator = column.validator.as_ref().map(|it| read(it, column.kind));
        let broken = matches!(pattern, Some(Err(_))) || matches!(validator, Some(Err(_)));
        Ready {
            pattern: pattern.and_then(Result::ok),
            validator: validator.and_then(Result::ok).map(|it| (it.0.id, it.1)),
            broken,
        }
    });
    let number;
    let (text, given) = match stored {
        Stored::Text(text) => (text.as_str(), Given::Text(text)),
        #[expect(clippy::cast_precision_loss, reason = "whole numbers stay within 2⁵³")]
        Stored::Int(it) => {
            number = it.to_string();
            (number.as_str(), Given::Number(*it as f64))
        }
        Stored::Real(it) => {
            number = values::number_text(*it);
            (number.as_str(), Given::Number(*it))
        }
        Stored::Null | Stored::Bool(_) | Stored::Json(_) | Stored::Bytes(_) => return None,
    };
    if ready.broken {
        return Some("cannot be checked: this server does not know the validator");
    }
    if ready.pattern.as_ref().is_some_and(|it| !it.is_match(text)) {
        return Some("does not have the form that is asked for");
    }
    let (id, params) = ready.validator.as_ref()?;
    let entry = VALIDATORS.iter().find(|it| it.id == *id)?;
    (!(entry.passes)(&given, params)).then_some(entry.says)
}

/// The entry and its parameters. The error is the reason, for whoever chose it.
pub fn read(chosen: &Chosen, kind: Kind) -> Result<(&'static Validator, Params), String> {
    let entry = VALIDATORS
        .iter()
        .find(|it| it.id == chosen.id)
        .ok_or_else(|| "there is no validator of this id".to_owned())?;
    if !entry.kinds.contains(&kind) {
        let kinds: Vec<_> = entry.kinds.iter().map(|it| it.as_str()).collect();
        return Err(format!("{} stands at columns of type {} only", entry.id, kinds.join(", ")));
    }
    if let Some(odd) = chosen.params.keys().find(|it| entry.params.iter().all(|p| p.name != **it)) {
        return Err(format!("{} has no parameter {odd}", entry.id));
    }
    let mut params = Params::default();
    for (place, param) in entry.params.iter().enumerate() {
        let value = chosen.params.get(param.name).filter(|it| !it.is_null());
        let Some(value) = value else { continue };
        let number = match param.kind {
            ParamKind::Values => {
                params.values = texts(value).ok_or_else(|| {
                    "values must be a list of 1 to 500 texts and numbers".to_owned()
                })?;
                continue;
            }
            kind => number(kind, value)
                .ok_or_else(|| format!("{} must be {}", param.name, wanted(kind)))?,
        };
        *(if place == 0 { &mut params.least } else { &mut params.most }) = Some(number);
    }
    let told = params.least.is_some() || params.most.is_some() || !params.values.is_empty();
    if !entry.params.is_empty() && entry.id != "ip" && !told {
        let names: Vec<_> = entry.params.iter().map(|it| it.name).collect();
        return Err(format!("{} needs {}", entry.id, names.join(" or ")));
    }
    if params.least.zip(params.most).is_some_and(|(least, most)| least > most) {
        return Err(format!("{} admits nothing: its bounds are the wrong way round", entry.id));
    }
    Ok((entry, params))
}

fn wanted(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::Number => "a number",
        ParamKind::Length => "a whole number from 0 on",
        ParamKind::Date => "an instant in milliseconds or as ISO 8601 text",
        ParamKind::Values => "a list",
        ParamKind::IpVersion => "4 or 6",
    }
}

#[expect(clippy::cast_precision_loss, reason = "instants stay within 2⁵³")]
fn number(kind: ParamKind, value: &Value) -> Option<f64> {
    match kind {
        ParamKind::Date => values::instant(value).map(|it| it as f64),
        ParamKind::Length => value.as_u64().filter(|it| *it <= 21_000).map(|it| it as f64),
        ParamKind::IpVersion => value.as_f64().filter(|it| [4.0, 6.0].contains(it)),
        ParamKind::Number | ParamKind::Values => value.as_f64(),
    }
}

fn texts(value: &Value) -> Option<BTreeSet<String>> {
    let list = value.as_array().filter(|it| (1..=500).contains(&it.len()))?;
    list.iter()
        .map(|it| match it {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => number.as_f64().map(values::number_text),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Maker;
    use super::*;

    fn column(id: &str, params: &Value, kind: Kind) -> Column {
        let params = params.as_object().cloned().unwrap_or_default();
        let validator = Some(Chosen { id: id.to_owned(), params });
        Column { validator, ..Column::blank("p", kind, Maker::Developer) }
    }

    fn takes(column: &Column, value: &Value) -> bool {
        values::to_stored(column, value).is_ok()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases is long")]
    fn each_validator_takes_what_it_is_for_and_nothing_else() {
        let none = json!({});
        for (id, params, kind, good, bad) in [
            (
                "email",
                &none,
                Kind::String,
                json!(["ann@example.com", "a.b+c@x-y.co.uk", "ann@exämple.de"]),
                json!(["", "ann", "ann@", "@x.de", "a b@x.de", "a@b@c.de", "ann@localhost"]),
            ),
            (
                "url",
                &none,
                Kind::String,
                json!(["http://a.de", "https://a.de:8080/x?y#z", "ftp://a", "http://[::1]/"]),
                json!([
                    "a.de",
                    "http://",
                    "http:///x",
                    "javascript:alert(1)",
                    "http://a b",
                    "http://u:p@a"
                ]),
            ),
            (
                "us-ssn",
                &none,
                Kind::String,
                json!(["123-45-6789", "123456789", "XXX-XX-XXXX"]),
                json!(["12-345-6789", "123-45-678", "xxx-xx-xxxx", "١٢٣-45-6789", "123-45-67890"]),
            ),
            (
                "us-phone",
                &none,
                Kind::String,
                json!([
                    "(212) 555-0123",
                    "212-555-0123",
                    "2125550123",
                    "+1 212 555 0123",
                    "1.212.555.0123"
                ]),
                json!([
                    "112-555-0123",
                    "212-155-0123",
                    "555-0123",
                    "+44 212 555 0123",
                    "212-555-01234"
                ]),
            ),
            (
                "e164",
                &none,
                Kind::String,
                json!(["+491701234567", "+12125550123"]),
                json!([
                    "491701234567",
                    "+0491701234",
                    "+1",
                    "+1234567890123456",
                    "+49 170 1234567"
                ]),
            ),
            (
                "number-range",
                &json!({ "min": -1, "max": 2.5 }),
                Kind::Double,
                json!([-1, 0, 2.5]),
                json!([-1.01, 2.51, 1e300]),
            ),
            ("number-range", &json!({ "min": 18 }), Kind::Int, json!([18, "19"]), json!([17])),
            (
                "length",
                &json!({ "min": 2, "max": 3 }),
                Kind::String,
                json!(["ab", "äöü", "👩👩", 12]),
                json!(["", "a", "abcd"]),
            ),
            (
                "credit-card",
                &none,
                Kind::String,
                json!(["4111111111111111", "4111 1111 1111 1111", "3782-822463-10005"]),
                json!([
                    "4111111111111112",
                    "4111",
                    "0",
                    "4111  1111 1111 1111",
                    "-4111111111111111",
                    "٤111111111111111"
                ]),
            ),
            (
                "ip",
                &none,
                Kind::String,
                json!(["127.0.0.1", "::1"]),
                json!(["1.2.3", "256.1.1.1", "1.2.3.4/8", ""]),
            ),
            ("ip", &json!({ "version": 4 }), Kind::String, json!(["127.0.0.1"]), json!(["::1"])),
            (
                "ip",
                &json!({ "version": 6 }),
                Kind::String,
                json!(["fe80::1"]),
                json!(["127.0.0.1"]),
            ),
            (
                "uuid",
                &none,
                Kind::String,
                json!([
                    "3D3A7947-6D3E-42E0-9785-DE80F9F56F82",
                    "3d3a7947-6d3e-42e0-9785-de80f9f56f82"
                ]),
                json!(["3D3A79476D3E42E09785DE80F9F56F82", "3D3A7947-6D3E-42E0-9785-DE80F9F56F8G"]),
            ),
            (
                "slug",
                &none,
                Kind::String,
                json!(["a", "a-b-2"]),
                json!(["", "A", "a--b", "-a", "a_b", "ä"]),
            ),
            (
                "date-range",
                &json!({ "from": "2000-01-01T00:00:00Z", "to": 1_700_000_000_000_i64 }),
                Kind::DateTime,
                json!([1_700_000_000_000_i64, "2000-01-01T00:00:00Z"]),
                json!([1_700_000_000_001_i64, "1999-12-31T23:59:59Z"]),
            ),
            (
                "one-of",
                &json!({ "values": ["red", 2, 0.5] }),
                Kind::String,
                json!(["red", "2", 2, 0.5]),
                json!(["Red", "", 3]),
            ),
            ("one-of", &json!({ "values": [1, "2"] }), Kind::Int, json!([1, 2, "1"]), json!([3])),
        ] {
            let column = column(id, params, kind);
            assert!(read(column.validator.as_ref().unwrap(), kind).is_ok(), "{id}");
            for (list, expected) in [(good, true), (bad, false)] {
                for value in list.as_array().unwrap() {
                    assert_eq!(takes(&column, value), expected, "{id} {params} {value}");
                }
            }
            assert!(takes(&column, &Value::Null), "{id} leaves null alone");
        }
        for entry in VALIDATORS {
            assert!(entry.regex.is_none_or(|it| patterns::compile(it).is_ok()), "{}", entry.id);
            assert!(entry.kinds.iter().all(|it| *it != Kind::Json), "{}", entry.id);
        }
    }

    #[test]
    fn a_validator_that_this_version_does_not_know_lets_nothing_pass() {
        for (regex, validator) in [
            (Some("(?=a)".to_owned()), None),
            (None, Some(Chosen { id: "from-the-future".to_owned(), params: Map::new() })),
        ] {
            let blank = Column::blank("p", Kind::String, Maker::Developer);
            let column = Column { custom_regex: regex, validator, ..blank };
            assert!(!takes(&column, &json!("a")) && takes(&column, &Value::Null));
        }
    }

    #[test]
    fn every_ready_made_validator_is_done_with_the_longest_value_in_a_moment() {
        let began = std::time::Instant::now();
        for entry in VALIDATORS {
            for unit in ["a", "1", "-", "1-", "a.", "@", "+1", ":", "é"] {
                let text = unit.repeat(21_000);
                (entry.passes)(&Given::Text(&text), &Params::default());
            }
        }
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn no_value_makes_a_validator_panic(text in "\\PC{0,60}", number in any::<f64>()) {
            for entry in VALIDATORS {
                (entry.passes)(&Given::Text(&text), &Params::default());
                (entry.passes)(&Given::Number(number), &Params::default());
            }
        }

        #[test]
        fn a_card_number_with_its_check_digit_passes_and_with_another_does_not(
            digits in proptest::collection::vec(0..10_u32, 11..18),
            other in 1..10_u32,
        ) {
            let sum: u32 = digits.iter().rev().enumerate().map(|(place, digit)| {
                if place % 2 == 1 { *digit } else { digit * 2 / 10 + digit * 2 % 10 }
            }).sum();
            let check = (10 - sum % 10) % 10;
            let text: String = digits.iter().map(u32::to_string).collect();
            let (right, wrong) = (format!("{text}{check}"), format!("{text}{}", (check + other) % 10));
            prop_assert!(is_card_number(&right));
            prop_assert!(!is_card_number(&wrong));
        }
    }
}
