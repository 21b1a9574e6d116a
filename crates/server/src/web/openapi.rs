//! The API reference: the `OpenAPI` document of a list of routes. What a route does not say itself
//! follows from who may call it.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value, json};

use super::routes::{Access, Group, Route, Token};
use super::shape::{named, object, text, time};
use crate::error::REFERENCE;
use crate::schema::{Kind, Maker, NewColumn, PASSWORD, common_columns, user_columns};

/// What must be known before the first call.
const INTRODUCTION: &str = "\
The REST API of Usher, compatible with the public Backendless protocol.\n\n\
An application is reached under `/{app}/{key}`, with its id and one of its API keys, or, by a domain \
of its own, under `/api`. A key identifies a client; it authorises nothing, but for the server-code \
key. A user's session is the header `user-token`, a developer's the header `auth-key`.\n\n\
A refusal is `{\"code\": …, \"message\": …, \"errorData\": {…}}`. Each route lists its own codes; any \
may also answer with those that hold for all, such as 999 (too many requests) or 20001 (busy): the \
answer `default`.";

/// The codes that any route may answer with: what is wrong with the request as such, or with the
/// server.
pub const EVERYWHERE: &[u32] =
    &[999, 20000, 20001, 20002, 20003, 20004, 20005, 20006, 20007, 20008, 20009, 20010, 20015];

/// The parts of the API, in the order of the document.
const TAGS: &[(&str, &str)] = &[
    ("Users", "Accounts and sessions of an application's users"),
    ("Data", "Objects of an application's tables"),
    ("Application", "What a client asks about the application"),
    ("Console", "What developers do, with a developer's session"),
    ("Server", "The server itself"),
];

/// The document for `routes`.
pub fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route);
    }
    let tags: Vec<Value> =
        TAGS.iter().map(|it| json!({ "name": it.0, "description": it.1 })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Usher",
            // That of this document: which program runs is nobody's business (ASVS 5.0, 13.4.6).
            "version": "1",
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This server" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "user": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "user-token",
                    "description": "The token of a user's session, from a login",
                },
                "developer": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "auth-key",
                    "description": "The key of a developer's session, from a login to the Console",
                },
            },
            "schemas": schemas(),
            "responses": {
                "Error": {
                    "description": format!("A refusal or a failure\n\n{}", lines(EVERYWHERE)),
                    "content": { "application/json": { "schema": named("Error") } },
                },
            },
        },
    })
}

/// The part of the API that a route belongs to.
pub fn tag(route: &Route) -> &'static str {
    match route.group {
        Group::Console => "Console",
        Group::Server => "Server",
        Group::App => match route.path.split('/').nth(3) {
            Some("users") => "Users",
            Some("data") => "Data",
            _ => "Application",
        },
    }
}

/// The codes that a route answers with: its own, and those of its access and its token.
pub fn codes(route: &Route) -> Vec<u32> {
    let mut codes = match route.access {
        Access::Anybody => Vec::new(),
        Access::AnyKey => vec![999, 2002],
        Access::ServerCode(refusal) => vec![999, 2002, refusal().code],
        Access::Developer => vec![9007],
        Access::Member => vec![9007, 2001],
    };
    match (route.group, route.token) {
        (Group::App, Token::Required) => codes.extend([3028, 3064, 3090]),
        (Group::App, Token::Optional) => codes.extend([3064, 3090]),
        _ => {}
    }
    // With a session cookie alone.
    if route.group == Group::App && route.token != Token::Ignored && route.method != Method::GET {
        codes.push(20017);
    }
    codes.extend(route.refuses);
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "tags": [tag(route)],
        "operationId": route.id,
        "summary": route.summary,
        "parameters": parameters(route),
    });
    if let Some((kind, schema)) = &route.takes {
        operation["requestBody"] = json!({ "content": { *kind: { "schema": schema } } });
    }
    let mut done = json!({ "description": "Done" });
    if let Some((kind, schema)) = &route.gives {
        done["content"] = json!({ *kind: { "schema": schema } });
    }
    let mut responses = Map::from_iter([("200".to_owned(), done)]);
    for (status, codes) in by_status(&codes(route)) {
        let refusal = json!({
            "description": lines(&codes),
            "content": { "application/json": { "schema": named("Error") } },
        });
        responses.insert(status.to_string(), refusal);
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Error" }));
    operation["responses"] = Value::Object(responses);
    operation["security"] = match (route.access, route.token) {
        (Access::Developer | Access::Member, _) => json!([{ "developer": [] }]),
        (_, Token::Required) => json!([{ "user": [] }]),
        (_, Token::Optional) => json!([{}, { "user": [] }]),
        (_, Token::Ignored) => json!([]),
    };
    operation
}

/// A line for each code: when it comes.
fn lines(codes: &[u32]) -> String {
    let all = codes.iter().flat_map(|code| REFERENCE.iter().filter(move |it| it.2 == *code));
    all.map(|it| format!("- {}: {}", it.2, it.4.trim())).collect::<Vec<_>>().join("\n")
}

/// Codes by HTTP status.
fn by_status(codes: &[u32]) -> BTreeMap<u16, Vec<u32>> {
    let mut statuses: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
    for code in codes {
        if let Some((_, status, ..)) = REFERENCE.iter().find(|it| it.2 == *code) {
            statuses.entry(status.as_u16()).or_default().push(*code);
        }
    }
    statuses
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        let meaning = match (name, route.access) {
            ("app", _) => "The id of the application",
            ("key", Access::ServerCode(_)) => "The application's server-code API key",
            ("key", _) => "One of the application's API keys",
            ("table", _) => "The name of a table",
            ("identity", _) => "What the user logs in with",
            ("token", _) => "The token of a session",
            ("secret", _) => "The secret of the set-up link",
            _ => "The id",
        };
        json!({
            "name": name, "in": "path", "required": true, "description": meaning, "schema": text(),
        })
    });
    let in_query = route.query.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "description": meaning, "schema": text() })
    });
    in_path.chain(in_query).collect()
}

/// The shapes that have a name.
fn schemas() -> Value {
    let shown: Vec<NewColumn> =
        user_columns().into_iter().filter(|it| it.name != PASSWORD).collect();
    let mut new = user_columns();
    new.retain(|it| it.maker == Maker::Preset);
    let mut new_user = row(&new, "");
    let required: Vec<&str> =
        new.iter().filter(|it| it.rules.required).map(|it| it.name.as_str()).collect();
    new_user["required"] = json!(required);
    let token = object(&[("user-token", text(), "The token of the new session")]);
    let code = json!({ "type": "integer" });
    let more = json!({ "type": "object" });
    json!({
        "User": row(&shown, "A user, with whatever properties the application has given to users"),
        "NewUser": new_user,
        "LoggedIn": { "allOf": [named("User"), token] },
        "Object": row(&common_columns(), "An object, with the properties of its table"),
        "Error": object(&[
            ("code", code, "What happened, for programs"),
            ("message", text(), "What happened and what to do, for people"),
            ("errorData", more, "More; requestId when the operator should look"),
        ]),
    })
}

fn row(columns: &[NewColumn], meaning: &str) -> Value {
    let mut properties = Map::new();
    for column in columns {
        let mut schema = match column.kind {
            Kind::Boolean => json!({ "type": ["boolean", "null"] }),
            Kind::Int => json!({ "type": ["integer", "null"] }),
            Kind::Double => json!({ "type": ["number", "null"] }),
            Kind::DateTime => json!({ "type": ["integer", "null"], "format": time()["format"] }),
            Kind::Json => json!({}),
            Kind::StringId => text(),
            Kind::String | Kind::Text | Kind::FileRef => json!({ "type": ["string", "null"] }),
        };
        if let Some(most) = column.kind.size() {
            schema["maxLength"] = json!(most);
        }
        properties.insert(column.name.clone(), schema);
    }
    let mut row =
        json!({ "type": "object", "properties": properties, "additionalProperties": true });
    if !meaning.is_empty() {
        row["description"] = json!(meaning);
        row["properties"]["___class"] = json!({ "type": "string", "description": "Its table" });
    }
    row
}
