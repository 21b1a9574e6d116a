//! The server about itself: is it alive, is it ready, what can it do; and `/info` for clients.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::server::Server;
use crate::store;
use crate::web::{Access, Answer, Caller, Reply, Route, State, Token, get};

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let all = (Access::Anybody, Token::Ignored);
    vec![
        get(("alive", "/healthz", "Answers while the process lives"), all, alive),
        get(("ready", "/readyz", "Answers while the server can serve"), all, ready),
        get(("openapi", "/openapi.json", "Describes this API"), all, openapi),
        get(("info", "/info", "What a client asks first"), (Access::AnyKey, Token::Optional), info),
    ]
}

async fn alive() -> Reply {
    Ok(Answer::text("alive\n"))
}

/// 200 while the storage answers, this node knows of changes elsewhere, and nobody has asked it to
/// stop; else 503.
async fn ready(State(server): State<Server>) -> Reply {
    if server.background.is_draining() || !server.lease.is_fresh() {
        return Err(Error::overloaded(1));
    }
    server.apps.platform.data.read(store::developers::any).await?;
    Ok(Answer::text("ready\n"))
}

async fn info(State(server): State<Server>, caller: Caller) -> Reply {
    let place = format!("{}/api-keys/{}", caller.app.id.0, caller.key.id);
    let key = server.sealer.open(&place, &caller.key.sealed)?;
    Answer::json(&json!({
        "appId": caller.app.id,
        "apiKey": key.reveal(),
        "rtURL": server.public_url,
        "loggers": [],
    }))
}

async fn openapi() -> Reply {
    Answer::json(&document())
}

/// The `OpenAPI` document, made from the route table.
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in crate::router::routes() {
        let parameters: Vec<Value> = route
            .path
            .split('/')
            .filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| {
                json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
            })
            .collect();
        let error = json!({ "$ref": "#/components/responses/Error" });
        let operation = json!({
            "operationId": route.id,
            "summary": route.summary,
            "parameters": parameters,
            "security": security(&route),
            "responses": { "200": { "description": "Done" }, "default": error },
        });
        let path = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        // That of this document: which version of the program runs is nobody's business (ASVS 5.0,
        // 13.4.6).
        "info": { "title": "Usher", "version": "1" },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "user": { "type": "apiKey", "in": "header", "name": "user-token" },
                "developer": { "type": "apiKey", "in": "header", "name": "auth-key" },
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["code", "message"],
                    "properties": {
                        "code": { "type": "integer" },
                        "message": { "type": "string" },
                        "errorData": { "type": "object" },
                    },
                },
            },
            "responses": {
                "Error": {
                    "description": "A refusal",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
                },
            },
        },
    })
}

fn security(route: &Route) -> Value {
    match (route.access, route.token) {
        (Access::Developer | Access::Member, _) => json!([{ "developer": [] }]),
        (_, Token::Required) => json!([{ "user": [] }]),
        (_, Token::Optional) => json!([{}, { "user": [] }]),
        (_, Token::Ignored) => json!([]),
    }
}
