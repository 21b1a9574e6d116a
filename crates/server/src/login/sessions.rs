//! Sessions as people see them: a user lists and ends the own ones, without ever seeing a token.
//!
//! Ours: `GET`, `DELETE …/users/sessions`, `DELETE …/users/sessions/{id}` (security S-12).

use crate::error::Error;
use crate::server::Server;
use crate::sessions::{self, Shown};
use crate::web::{Answer, Caller, Names, Reply, State, Who, cookies};

/// The most sessions of one answer.
const MOST: u32 = 1000;

/// Lists the caller's live sessions, oldest first.
pub async fn list(State(server): State<Server>, caller: Caller) -> Reply {
    let user = caller.user().ok_or_else(Error::not_logged_in)?;
    let own = current(&caller);
    let place = (&caller.app.realm, caller.lifetime());
    let all = sessions::page_of_user(&server, place, user, (String::new(), MOST)).await?;
    let shown = all.into_iter().map(|it| {
        let current = Some(it.id == own);
        Shown { current, ..it }
    });
    Answer::json(&shown.collect::<Vec<_>>())
}

/// Ends one of the caller's sessions. Fails with 1000 for one that is not the caller's, or not alive.
pub async fn end(State(server): State<Server>, caller: Caller, names: Names) -> Reply {
    let user = caller.user().ok_or_else(Error::not_logged_in)?;
    let (id, author) = (names.get("id"), caller.author());
    let place = (&caller.app.realm, caller.lifetime());
    let ended = sessions::close_one(&server, place, (user, id), author).await?;
    if !ended {
        return Err(Error::no_such_object(id));
    }
    let cookie = if id == current(&caller) { cookies::without_session(&caller) } else { None };
    Ok(Answer::empty().with_headers(cookie))
}

/// Ends all of the caller's sessions but this one.
pub async fn end_others(State(server): State<Server>, caller: Caller) -> Reply {
    let Who::User(session) = &caller.who else { return Err(Error::not_logged_in()) };
    let (user, realm) = (session.user.id.to_string(), &caller.app.realm);
    sessions::close_users(&server, realm, vec![user], Some(session.hash), caller.author()).await?;
    Ok(Answer::empty())
}

fn current(caller: &Caller) -> &str {
    match &caller.who {
        Who::User(session) => &session.id,
        Who::Nobody => "",
    }
}
