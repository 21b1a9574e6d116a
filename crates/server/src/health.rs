//! The server about itself: is it alive, is it ready, what can it do; and `/info` for clients.

use serde_json::json;

use crate::error::Error;
use crate::server::Server;
use crate::store;
use crate::web::shape::{any, list, object, text};
use crate::web::{Access, Answer, Caller, Reply, Route, State, Token, get};

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let all = (Access::Anybody, Token::Ignored);
    let client = (Access::AnyKey, Token::Optional);
    let told = object(&[
        ("appId", text(), "The application"),
        ("apiKey", text(), "The key that the request came with"),
        ("rtURL", text(), "Where the server is reached"),
        ("loggers", list(&any()), "Always empty"),
    ]);
    vec![
        get(("alive", "/healthz", "Answers while the process lives"), all, alive)
            .gives_as("text/plain", text()),
        get(("ready", "/readyz", "Answers while the server can serve"), all, ready)
            .gives_as("text/plain", text())
            .refuses(&[20001]),
        get(("openapi", "/openapi.json", "Describes this API"), all, openapi).gives(object(&[])),
        get(("info", "/info", "What a client asks first"), client, info).gives(told),
    ]
}

async fn alive() -> Reply {
    Ok(Answer::text("alive\n"))
}

/// 200 while the storage answers, this node knows of changes elsewhere, and nobody has asked it to
/// stop; else 503.
async fn ready(State(server): State<Server>) -> Reply {
    if server.background.is_draining() {
        return Err(Error::draining());
    }
    if !server.lease.is_fresh() {
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

async fn openapi(State(server): State<Server>) -> Reply {
    Ok(Answer::json_text(server.openapi.clone()))
}
