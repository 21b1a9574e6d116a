//! Checking the password of whoever is logged in, for server code.
//!
//! Wire: users-api 2.16 (`POST …/users/verifypassword`, and as a client spells it).

use serde_json::json;

use super::password::by_identity;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::server::Server;
use crate::sessions::brake::{self, Door};
use crate::store::identities;
use crate::web::{Answer, Body, Caller, Reply, State, text};

/// Tells whether the password is that of the logged-in user. A wrong one counts like one at a
/// login, and a right one ends the row of wrong ones.
///
/// Fails with 3121 without a session, 999 after too many wrong ones, and 3036 while the account is
/// locked.
pub async fn verify(State(server): State<Server>, caller: Caller, body: Body) -> Reply {
    let body = body.object()?;
    let user = caller.user().ok_or_else(Error::nobody_to_verify)?.to_owned();
    let valid = match text(&body, "password") {
        Some(password) => is_valid(&server, &caller, UserId(user.into()), password).await?,
        None => false,
    };
    Answer::json(&json!({ "valid": valid }))
}

async fn is_valid(server: &Server, caller: &Caller, user: UserId, password: &str) -> Result<bool> {
    let data = &caller.app.realm.data;
    let identity = data.read(move |db| identities::of_user(db, identities::LOGIN, &user));
    let Some(identity) = identity.await? else { return Ok(false) }; // a guest has no password
    let door = Door::of(server, caller);
    match brake::check(server, &door, (&identity, by_identity), password).await? {
        None => Ok(false),
        Some(passed) => passed.settle().await.map(|()| true),
    }
}
