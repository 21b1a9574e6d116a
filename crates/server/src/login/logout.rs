//! The way out, and the question whether one is in.
//!
//! Wire: users-api 2.8 (`GET …/users/logout`) and 2.9 (`GET …/users/isvalidusertoken/{token}`).

use crate::live::{self, Verdict};
use crate::secret::Token;
use crate::server::Server;
use crate::sessions;
use crate::web::{Answer, Caller, Names, Reply, State, cookies};

/// Ends the session. A missing or dead token is fine: the caller is out, as asked.
pub async fn logout(State(server): State<Server>, caller: Caller) -> Reply {
    if let Some(token) = &caller.token {
        sessions::close(&server, &caller.app.realm, token, caller.author()).await?;
    }
    Ok(Answer::empty().with_headers(cookies::without_session(&caller)))
}

/// Tells whether the token in the path is alive. Asking does not prolong it.
pub async fn is_valid(State(server): State<Server>, caller: Caller, names: Names) -> Reply {
    let token = Token::from_client(names.get("token"));
    let (realm, lifetime) = (&caller.app.realm, caller.lifetime());
    let verdict = live::look(&server, realm, lifetime, &token).await?;
    Answer::json(&matches!(verdict, Verdict::Live(_)))
}
