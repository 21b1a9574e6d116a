//! Enabling and disabling a user.
//!
//! Wire: users-api 2.14 (`PUT …/users/{id}/status`).

use std::sync::Arc;

use super::write::{self, Change};
use crate::apps::App;
use crate::error::{Error, Result};
use crate::events::Author;
use crate::ids::UserId;
use crate::server::Server;
use crate::store::users::Status;
use crate::web::{Answer, Body, Caller, Names, Reply, State, text};

/// Sets the status that the body names.
pub async fn put(State(server): State<Server>, caller: Caller, names: Names, body: Body) -> Reply {
    let body = body.object()?;
    let status = text(&body, "userStatus").unwrap_or_default();
    set_status(&server, &caller.app, caller.author(), names.get("id"), status).await?;
    Ok(Answer::empty())
}

/// Sets the status of a user of `app`. Fails with 3038 for an unknown word, and as
/// [`write::set_status`] does.
pub async fn set_status(
    server: &Server,
    app: &Arc<App>,
    author: Author,
    user: &str,
    status: &str,
) -> Result<()> {
    let status = Status::parse(status).ok_or_else(unknown_word)?;
    let user = UserId(user.into());
    let change = Change::new(server.clone(), Arc::clone(app), author);
    app.realm.data.write(move |tx| write::set_status(tx, &change, &user, status)).await
}

/// The refusal of a word that is no status.
pub fn unknown_word() -> Error {
    Error::bad_parameter("userStatus must be ENABLED or DISABLED")
}
