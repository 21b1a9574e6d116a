//! Random properties and random values: at every door the server takes exactly what a plain model
//! takes, and stores exactly what the model says. The model shares no code with the server.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "whole numbers stay within 2^53 here, and the model says so first"
)]

use std::collections::BTreeSet;

use http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use server::ids::Random;
use server::settings::Profile;

use crate::harness::{Desk, HORSE, Reply, TestApp, TestServer, text};

/// Schemas that are tried; `USHER_MODEL_CASES` asks for more. Each is tried with [`ROWS`] bodies.
const SCHEMAS: usize = 15;
const ROWS: usize = 7;
/// What the random numbers are made of: the same in every run, unless `USHER_MODEL_SEED` says
/// otherwise.
const SEED: u8 = 42;

/// The largest whole number that JSON keeps exact.
const MOST: i64 = (1 << 53) - 1;

#[derive(Clone, Debug)]
struct Property {
    name: String,
    kind: &'static str,
    size: Option<u32>,
    required: bool,
    unique: bool,
    indexed: bool,
    default: Option<Value>,
    rules: Vec<Rule>,
}

/// A rule about values: what the Console is told, and what it means.
#[derive(Clone, Copy, Debug)]
struct Rule {
    regex: Option<&'static str>,
    validator: Option<(&'static str, &'static str)>,
    kinds: &'static [&'static str],
    passes: fn(&str, f64) -> bool,
}

const MATCHABLE: &[&str] = &["STRING", "TEXT", "FILE_REF", "INT", "DOUBLE"];

const RULES: &[Rule] = &[
    Rule {
        regex: Some("[a-c]+"),
        validator: None,
        kinds: MATCHABLE,
        passes: |it, _| !it.is_empty() && it.chars().all(|it| ('a'..='c').contains(&it)),
    },
    Rule {
        regex: Some(r"^\d{1,3}$"),
        validator: None,
        kinds: MATCHABLE,
        passes: |it, _| (1..=3).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_digit()),
    },
    Rule {
        regex: Some("(a|ab)(c|bcd)*"),
        validator: None,
        kinds: MATCHABLE,
        passes: |it, _| {
            let rest = |mut it: &str| {
                while let Some(less) = it.strip_prefix("bcd").or(it.strip_prefix('c')) {
                    it = less;
                }
                it.is_empty()
            };
            it.strip_prefix('a').is_some_and(rest) || it.strip_prefix("ab").is_some_and(rest)
        },
    },
    Rule {
        regex: None,
        validator: Some(("length", r#"{"min": 2, "max": 5}"#)),
        kinds: &["STRING", "TEXT"],
        passes: |it, _| (2..=5).contains(&it.chars().count()),
    },
    Rule {
        regex: None,
        validator: Some(("number-range", r#"{"min": -3, "max": 99.5}"#)),
        kinds: &["INT", "DOUBLE"],
        passes: |_, it| (-3.0..=99.5).contains(&it),
    },
    Rule {
        regex: None,
        validator: Some(("one-of", r#"{"values": ["abc", "1", 2, "true"]}"#)),
        kinds: &["STRING", "TEXT", "INT", "DOUBLE"],
        passes: |it, _| ["abc", "1", "2", "true"].contains(&it),
    },
    Rule {
        regex: None,
        validator: Some(("slug", "{}")),
        kinds: &["STRING"],
        passes: |it, _| {
            let small = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
            it.split('-').all(|it| !it.is_empty() && it.chars().all(small))
        },
    },
    Rule {
        regex: None,
        validator: Some(("date-range", r#"{"from": 0, "to": "2001-09-09T01:46:40Z"}"#)),
        kinds: &["DATETIME"],
        passes: |_, it| (0.0..=1e12).contains(&it),
    },
];

/// Texts that are instants, and which.
const INSTANTS: &[(&str, i64)] = &[
    ("1970-01-01T00:00:00Z", 0),
    ("2001-09-09T01:46:40.5Z", 1_000_000_000_500),
    ("2001-09-09T03:46:40+02:00", 1_000_000_000_000),
    ("2023-11-14T22:13:20", 1_700_000_000_000),
    ("-5", -5),
    ("1700000000000", 1_700_000_000_000),
];

fn value() -> impl Strategy<Value = Value> {
    let words = [
        "",
        " ",
        "a",
        "abc",
        "ab",
        "abbcd",
        "acbcd",
        "1",
        "2",
        "42",
        "007",
        " 12 ",
        "-3",
        "0.5",
        "1e3",
        "true",
        "false",
        "null",
        "a-b",
        "-",
        "é",
        "١",
        "x\u{7}",
        "a\nb",
        "{}",
        "[1]",
        "9007199254740992",
        "NaN",
    ];
    let instants: Vec<&str> = INSTANTS.iter().map(|it| it.0).collect();
    prop_oneof![
        2 => Just(Value::Null),
        2 => select(vec![json!(""), json!(" ")]),
        6 => select(words.to_vec()).prop_map(|it| json!(it)),
        2 => select(instants).prop_map(|it| json!(it)),
        2 => "\\PC{0,12}".prop_map(|it| json!(it)),
        1 => Just(json!("long".repeat(130))),
        1 => Just(json!("é".repeat(21_001))),
        2 => any::<bool>().prop_map(|it| json!(it)),
        4 => (-5..120_i64).prop_map(|it| json!(it)),
        1 => select(vec![MOST, -MOST, 1_000_000_000_000, 253_402_300_800_000, -62_135_596_800_001])
            .prop_map(|it| json!(it)),
        3 => select(vec![0.5, 2.0, -1.25, 99.5, 99.6, 1e300]).prop_map(|it| json!(it)),
        1 => select(vec![json!([]), json!([1, "a", null]), json!({ "a": { "b": [true] } }), json!({})]),
    ]
}

fn property(index: usize) -> impl Strategy<Value = Property> {
    let kinds =
        ["STRING", "STRING", "TEXT", "FILE_REF", "INT", "DOUBLE", "BOOLEAN", "DATETIME", "JSON"];
    (
        select(kinds.to_vec()),
        prop::option::of(select(vec![1_u32, 3, 5, 500, 501])),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
        prop::option::weighted(0.3, value()),
        vec(select(RULES), 0..3),
    )
        .prop_map(move |(kind, size, required, unique, indexed, default, mut rules)| {
            // One expression and one ready-made validator at most.
            let (mut regex, mut validator) = (0, 0);
            rules.retain(|it| {
                let count = if it.regex.is_some() { &mut regex } else { &mut validator };
                *count += 1;
                *count == 1
            });
            let name = format!("p{index}");
            Property { name, kind, size, required, unique, indexed, default, rules }
        })
}

impl Property {
    /// What the Console is sent.
    fn wish(&self) -> Value {
        let mut wish = json!({
            "name": self.name,
            "dataType": self.kind,
            "dataSize": self.size,
            "required": self.required,
            "unique": self.unique,
            "indexed": self.indexed,
            "defaultValue": self.default,
        });
        for rule in &self.rules {
            if let Some(regex) = rule.regex {
                wish["customRegex"] = json!(regex);
            }
            if let Some((id, params)) = rule.validator {
                let params: Value = serde_json::from_str(params).unwrap();
                wish["validator"] = json!({ "id": id, "params": params });
            }
        }
        wish
    }

    fn is_text(&self) -> bool {
        ["STRING", "TEXT", "FILE_REF"].contains(&self.kind)
    }

    fn size(&self) -> u32 {
        self.size.unwrap_or(if self.kind == "TEXT" { 21_000 } else { 500 })
    }

    /// Whether the Console takes it.
    fn can_be(&self) -> bool {
        let plain = ["TEXT", "JSON"].contains(&self.kind);
        let default = self.default();
        !(plain && (self.unique || self.indexed)
            || self.unique && default != Ok(None)
            || self.is_text() && self.kind != "TEXT" && self.size() > 500
            || default.is_err()
            || self.rules.iter().any(|it| !it.kinds.contains(&self.kind)))
    }

    /// The default as it will be stored.
    fn default(&self) -> Result<Option<Value>, u64> {
        let Some(default) = self.default.clone() else { return Ok(None) };
        let read = match (&default, self.kind) {
            (Value::String(it), "BOOLEAN") if it == "true" => json!(true),
            (Value::String(it), "BOOLEAN") if it == "false" => json!(false),
            (Value::String(it), "JSON") => {
                // Whole numbers that JSON does not keep exact are no JSON here.
                let exact = |it: &Value| it.as_i64().is_none_or(|it| it.abs() <= MOST);
                serde_json::from_str(it).ok().filter(exact).unwrap_or(default)
            }
            _ => default,
        };
        let chars = read.to_string().chars().count();
        if chars > 502 {
            return Err(3038);
        }
        self.stored(&read)
    }

    /// What is stored for a value, as an answer shows it; or the code of the refusal.
    fn stored(&self, value: &Value) -> Result<Option<Value>, u64> {
        let (shown, as_text, as_number) = match (self.kind, value) {
            (_, Value::Null) => return Ok(None),
            ("JSON", it) => return Ok(Some(it.clone())),
            (_, it) if self.is_text() => {
                let it = match it {
                    Value::String(it) => it.clone(),
                    Value::Number(it) => it.to_string(),
                    Value::Bool(it) => it.to_string(),
                    _ => return Err(1007),
                };
                let long = it.chars().count() > self.size() as usize;
                let odd = self.kind != "TEXT" && it.chars().any(char::is_control);
                if long || odd {
                    return Err(8023);
                }
                (json!(it), it, 0.0)
            }
            ("INT", it) => {
                let it = whole(it).ok_or(1007_u64)?;
                (json!(it), it.to_string(), it as f64)
            }
            ("DATETIME", it) => {
                let known = it.as_str().and_then(|it| INSTANTS.iter().find(|known| known.0 == it));
                let it = known.map(|it| it.1).or_else(|| whole(it)).ok_or(1110_u64)?;
                if !(-62_135_596_800_000..=253_402_300_799_999).contains(&it) {
                    return Err(1110);
                }
                (json!(it), it.to_string(), it as f64)
            }
            ("DOUBLE", it) => {
                let it = match it {
                    Value::Number(it) => it.as_f64(),
                    Value::String(it) => it.trim().parse().ok().filter(|it: &f64| it.is_finite()),
                    _ => None,
                };
                let it = it.ok_or(1007_u64)?;
                let exact = it.fract() == 0.0 && it.abs() <= MOST as f64;
                let shown = if exact { json!(it as i64) } else { json!(it) };
                (shown.clone(), shown.to_string(), it)
            }
            ("BOOLEAN", Value::Bool(it)) => return Ok(Some(json!(it))),
            _ => return Err(1007),
        };
        if self.rules.iter().all(|it| (it.passes)(&as_text, as_number)) {
            Ok(Some(shown))
        } else {
            Err(8023)
        }
    }
}

/// A whole number, or a text of one.
fn whole(value: &Value) -> Option<i64> {
    let it = match value {
        Value::Number(it) => it
            .as_i64()
            .or_else(|| it.as_f64().filter(|it| it.fract() == 0.0).map(|it| it as i64))?,
        Value::String(it) => it.trim().parse().ok()?,
        _ => return None,
    };
    (it.unsigned_abs() <= MOST.unsigned_abs()).then_some(it)
}

/// What a table holds, as far as it matters: the values of unique properties.
#[derive(Default)]
struct Taken(BTreeSet<(String, String)>);

/// What becomes of a body: what is stored, or the code of the refusal. Of what is not sent a guest
/// who becomes a member keeps what the record holds.
fn verdict(
    properties: &[Property],
    body: &Map<String, Value>,
    (taken, held): (&Taken, &Map<String, Value>),
) -> Result<Vec<(String, Value)>, u64> {
    let kept = |it: &Property| match body.get(&it.name) {
        None => held.get(&it.name).filter(|it| !it.is_null()),
        Some(_) => None,
    };
    for property in properties.iter().filter(|it| it.required) {
        match body.get(&property.name) {
            None if kept(property).is_some() => {}
            None | Some(Value::Null) if property.default() == Ok(None) => {
                return Err(3012);
            }
            Some(Value::String(it)) if it.trim().is_empty() => return Err(3045),
            _ => {}
        }
    }
    let mut row = Vec::new();
    for property in properties {
        if let Some(value) = kept(property) {
            row.push((property.name.clone(), value.clone()));
            continue;
        }
        let sent = property.stored(body.get(&property.name).unwrap_or(&Value::Null))?;
        let value = sent.or(property.default().unwrap()).unwrap_or(Value::Null);
        row.push((property.name.clone(), value));
    }
    let mut unique = properties.iter().zip(&row).filter(|it| it.0.unique && !it.1.1.is_null());
    if unique.any(|it| taken.0.contains(&(it.1.0.clone(), it.1.1.to_string()))) {
        return Err(1155);
    }
    Ok(row)
}

/// What becomes of a row by a change: only what is sent changes, and `null` empties.
fn changed(
    properties: &[Property],
    body: &Map<String, Value>,
    row: &[(String, Value)],
    (taken, users): (&Taken, bool),
) -> Result<Vec<(String, Value)>, u64> {
    let mut after = row.to_vec();
    for (name, value) in body {
        let place = properties.iter().position(|it| it.name == *name).unwrap();
        let empty = value.as_str().is_some_and(|it| it.trim().is_empty());
        if properties[place].required && value.is_null() {
            return Err(if users { 3045 } else { 1137 });
        }
        if properties[place].required && empty {
            return Err(if users { 3045 } else { 1165 });
        }
        after[place].1 = properties[place].stored(value)?.unwrap_or(Value::Null);
    }
    for (index, (name, value)) in after.iter().enumerate() {
        let another = properties[index].unique && !value.is_null() && *value != row[index].1;
        if another && taken.0.contains(&(name.clone(), value.to_string())) {
            return Err(1155);
        }
    }
    Ok(after)
}

/// Changes a user or an object through one of the doors, and compares.
async fn change(
    (app, desk): (&TestApp, &Desk),
    (properties, taken): (&[Property], &mut Taken),
    (table, id, row): (&str, &str, &[(String, Value)]),
    (door, body): (usize, &Map<String, Value>),
) -> bool {
    let (sent, mut with_id) = (Value::from(body.clone()), Value::from(body.clone()));
    with_id["objectId"] = json!(id);
    let one = format!("/data/{table}/{id}");
    let reply = match door % 6 {
        0 if table == "Users" => app.call(Method::PUT, &format!("/users/{id}")).body(sent),
        0 | 1 => app.call(Method::PUT, &one).body(sent),
        2 => app.call(Method::PUT, &format!("/data/{table}")).body(with_id),
        3 => app.call(Method::PUT, &format!("/data/{table}/upsert")).body(with_id),
        4 => app.call(Method::PUT, &format!("/data/bulkupsert/{table}")).body(json!([with_id])),
        _ => desk.to(app, Method::PUT, &one).body(sent),
    };
    let reply = reply.send().await;
    let what = format!("update {} of {row:?} with {}: {properties:?}", door % 6, json!(body));
    let nothing = table != "Users" && body.is_empty() && [0, 1, 5].contains(&(door % 6));
    let expected = match changed(properties, body, row, (taken, table == "Users")) {
        _ if nothing => Err(1001),
        expected => expected,
    };
    let (code, after) = match &expected {
        Err(code) => (*code, row),
        Ok(after) => (0, &after[..]),
    };
    assert_eq!(reply.code(), code, "{what}\n{reply:?}");
    let read = app.get(&one).send().await.ok();
    for (index, (name, value)) in after.iter().enumerate() {
        assert_eq!(read[name], *value, "{name} in {what}");
        if properties[index].unique && *value != row[index].1 {
            taken.0.remove(&(name.clone(), row[index].1.to_string()));
            if !value.is_null() {
                taken.0.insert((name.clone(), value.to_string()));
            }
        }
    }
    expected.is_ok()
}

/// A random body of some of these properties.
fn body_of(properties: &[Property], runner: &mut TestRunner) -> Map<String, Value> {
    let count = properties.len();
    let body = vec((0..count.max(1), value()), 0..=count).new_tree(runner).unwrap().current();
    let named = |(index, value): (usize, Value)| Some((properties.get(index)?.name.clone(), value));
    body.into_iter().filter_map(named).collect()
}

/// A guest; there may be none where few values are possible and each can be there but once.
async fn guest(app: &TestApp) -> Option<(String, String)> {
    let reply = app.post("/users/register/guest", json!({})).send().await;
    if reply.code() == 1155 {
        return None;
    }
    let guest = reply.ok();
    Some((text(&guest["objectId"]), text(&guest["user-token"])))
}

async fn send(
    (door, guest): (&str, Option<&(String, String)>),
    app: &TestApp,
    desk: &Desk,
    body: &Map<String, Value>,
) -> Reply {
    let mut body = body.clone();
    if door.starts_with("Users") {
        let email = format!("{}@x.de", Random::system().opaque());
        body.insert("email".to_owned(), json!(email));
        body.insert("password".to_owned(), json!(HORSE));
    }
    match door {
        "Users: register" => app.post("/users/register", body.into()).send().await,
        "Users: guest" => {
            let (id, token) = guest.unwrap();
            body.insert("objectId".to_owned(), json!(id));
            app.post("/users/register", body.into()).token(token).send().await
        }
        "Users: data" => app.post("/data/Users", body.into()).send().await,
        "Users: console" => {
            desk.to(app, Method::POST, "/data/Users").body(body.into()).send().await
        }
        "Thing: data" => app.post("/data/Thing", body.into()).send().await,
        _ => desk.to(app, Method::POST, "/data/Thing").body(body.into()).send().await,
    }
}

const DOORS: &[&str] = &[
    "Users: register",
    "Users: guest",
    "Users: data",
    "Users: console",
    "Thing: data",
    "Thing: console",
];

fn from_environment(name: &str, usual: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    let asked = std::env::var(name);
    asked.ok().and_then(|it| it.parse().ok()).unwrap_or(usual)
}

#[tokio::test]
async fn at_every_door_the_server_takes_and_stores_what_a_plain_model_says() {
    let server = TestServer::compat().await;
    let desk = server.desk().await;
    let seed = u8::try_from(from_environment("USHER_MODEL_SEED", SEED.into())).unwrap();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut made, mut taken_in, mut refused) = (0, 0, 0);
    for case in 0..from_environment("USHER_MODEL_CASES", SCHEMAS) {
        let app = server.new_app(&format!("Case {case}"), Profile::Compat).await;
        let tables = json!({ "name": "Thing" });
        desk.to(&app, Method::POST, "/data/tables").body(tables).send().await.ok();
        let count = 1 + case % 5;
        let mut properties = Vec::new();
        for index in 0..count {
            let property = property(index).new_tree(&mut runner).unwrap().current();
            for table in ["Users", "Thing"] {
                let path = format!("/data/tables/{table}/columns");
                let reply = desk.to(&app, Method::POST, &path).body(property.wish()).send().await;
                let expected = if property.can_be() { 0 } else { 3038 };
                assert_eq!(reply.code(), expected, "case {case}: {property:?}: {reply:?}");
            }
            if property.can_be() {
                properties.push(property);
                made += 1;
            }
        }
        let (mut users, mut things) = (Taken::default(), Taken::default());
        for _ in 0..ROWS {
            let body = body_of(&properties, &mut runner);
            for door in DOORS {
                let taken = if door.starts_with("Users") { &mut users } else { &mut things };
                let guest = if *door == "Users: guest" { guest(&app).await } else { None };
                if *door == "Users: guest" && guest.is_none() {
                    continue;
                }
                let held = match &guest {
                    Some((id, token)) => app.read(id, token).await.ok(),
                    None => json!({}),
                };
                let held = held.as_object().unwrap();
                let expected = verdict(&properties, &body, (taken, held));
                let reply = send((door, guest.as_ref()), &app, &desk, &body).await;
                let what = format!("case {case}, {door}: {properties:?}\n{}", json!(body));
                let expected = expected.map_err(|code| match code {
                    3012 if door.starts_with("Thing") => 1137,
                    3045 if door.starts_with("Thing") => 1165,
                    code => code,
                });
                match expected {
                    Err(code) => {
                        assert_eq!(reply.code(), code, "{what}\n{reply:?}");
                        refused += 1;
                    }
                    Ok(row) => {
                        assert_eq!(reply.code(), 0, "{what}\n{reply:?}");
                        let answer = reply.json();
                        let table = &door[..5];
                        let path = format!("/data/{table}/{}", text(&answer["objectId"]));
                        let read = app.get(&path).send().await.ok();
                        for (name, value) in &row {
                            assert_eq!(answer[name], *value, "{name} in {what}");
                            assert_eq!(read[name], *value, "{name} read back in {what}");
                            let unique = properties.iter().any(|it| it.name == *name && it.unique);
                            if unique && !value.is_null() {
                                taken.0.insert((name.clone(), value.to_string()));
                            }
                        }
                        taken_in += 1;
                        let body = body_of(&properties, &mut runner);
                        let id = text(&answer["objectId"]);
                        let done = change(
                            (&app, &desk),
                            (&properties, taken),
                            (table, &id, &row),
                            (taken_in, &body),
                        );
                        *(if done.await { &mut taken_in } else { &mut refused }) += 1;
                    }
                }
            }
        }
    }
    // A model that refuses everything would agree with a server that does.
    assert!(made > 5 && taken_in > 20 && refused > 20, "{made} {taken_in} {refused}");
}
