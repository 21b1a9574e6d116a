//! Sessions for people: lists without a token, and ending them one by one or all.

use serde::Serialize;
use serde_json::json;

use super::revoked;
use crate::apps::{Lifetime, Realm};
use crate::clock::Millis;
use crate::error::Result;
use crate::events::{self, Author, Event};
use crate::secret::TokenHash;
use crate::server::Server;
use crate::store;
use crate::store::sessions::Stored;

/// A session as it is shown: never its token (users-api 6.7).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The id by which it can be ended.
    pub id: String,
    /// When it began.
    pub created: Millis,
    /// Its last use.
    pub last_access: Millis,
    /// When it ends unless it is used.
    pub expires: Millis,
    /// The kind of client.
    pub device_type: String,
    /// Where it began.
    pub ip: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// Whether it is the one that asks, where that can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<bool>,
}

/// Where sessions live, and for how long.
pub type Place<'a> = (&'a Realm, Lifetime);

/// From when on a session counts as alive.
fn since(lifetime: Lifetime, now: Millis) -> Millis {
    now - lifetime.idle - lifetime.slack()
}

/// Up to so many live sessions of a user whose ids come after the one given, oldest first.
pub async fn page_of_user(
    server: &Server,
    (realm, lifetime): Place<'_>,
    user: &str,
    (after, most): (String, u32),
) -> Result<Vec<Shown>> {
    let (user, now) = (user.to_owned(), server.clock.now());
    let read = realm.data.read(move |db| {
        store::sessions::page_of_user(db, &user, (since(lifetime, now), now), (&after, most))
    });
    let page = read.await?;
    Ok(page.into_iter().map(|it| shown(server, realm, lifetime, it)).collect())
}

fn shown(server: &Server, realm: &Realm, lifetime: Lifetime, stored: Stored) -> Shown {
    // A use that has yet to be written counts.
    let known = server.live.get(realm, &stored.hash).map(|it| it.last_seen());
    let last_access = known.map_or(stored.last_seen, |it| it.max(stored.last_seen));
    let idle = last_access + lifetime.idle;
    Shown {
        id: stored.id,
        created: stored.created,
        last_access,
        expires: stored.expires.map_or(idle, |it| it.min(idle)),
        device_type: stored.device,
        ip: stored.address,
        user_agent: stored.agent,
        current: None,
    }
}

/// A user and how many live sessions there are.
pub type Counted = (String, i64);

/// Up to so many users with live sessions whose ids come after the one given, in order of the ids.
pub async fn users_with(
    server: &Server,
    (realm, lifetime): Place<'_>,
    (after, most): (String, u32),
) -> Result<Vec<Counted>> {
    let now = server.clock.now();
    let read = realm.data.read(move |db| {
        store::sessions::users_with(db, (since(lifetime, now), now), (&after, most))
    });
    read.await
}

/// Ends one session of a user; false if the user has no live one with that id.
pub async fn close_one(
    server: &Server,
    (realm, lifetime): Place<'_>,
    (user, id): (&str, &str),
    author: Author,
) -> Result<bool> {
    let (user, id) = (user.to_owned(), id.to_owned());
    let keep = server.clone();
    let write = realm.data.write(move |tx| {
        let since = since(lifetime, author.at);
        let found = store::sessions::by_id(tx, &user, &id, (since, author.at))?;
        let Some(hash) = found else { return Ok(false) };
        store::sessions::delete(tx, &hash)?;
        revoked(tx, &keep, &user, author.at)?;
        let change = json!({ "session": id });
        events::record(tx, &keep.random, &author, Event::SessionClosed, &user, &change)?;
        Ok(true)
    });
    write.await
}

/// Ends the sessions of these users, but the one with the digest `kept`. Ids of nobody do no harm.
pub async fn close_users(
    server: &Server,
    realm: &Realm,
    users: Vec<String>,
    kept: Option<TokenHash>,
    author: Author,
) -> Result<()> {
    let keep = server.clone();
    let write = realm.data.write(move |tx| {
        for user in &users {
            let ended = store::sessions::delete_of_user(tx, user, kept.as_ref())?;
            if ended == 0 {
                continue;
            }
            revoked(tx, &keep, user, author.at)?;
            let change = json!({ "sessions": ended });
            events::record(tx, &keep.random, &author, Event::SessionClosed, user, &change)?;
        }
        Ok(())
    });
    write.await
}
