//! Sessions: who is logged in, since when, from where.
//!
//! **Invariant:** every way in ends in [`open`]; nothing else adds a session.

pub mod brake;
mod people;

pub use people::{Place, Shown, close_one, close_users, page_of_user, users_with};

use serde_json::json;

use crate::apps::{Lifetime, Realm};
use crate::clock::Millis;
use crate::cluster;
use crate::error::{Error, Result};
use crate::events::{self, Author, Event};
use crate::ids::Random;
use crate::live::Touch;
use crate::roles;
use crate::secret::{Token, TokenHash};
use crate::server::Server;
use crate::settings::{Login, OnLimit};
use crate::store::changes::Kind;
use crate::store::sessions::Stored;
use crate::store::users::Status;
use crate::store::{self, Tx};
use crate::web::{Asked, Caller};

/// The way a user came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Identity and password.
    Password,
    /// The server-code key and the object id.
    ObjectId,
    /// As a guest, just made.
    Guest,
}

impl Via {
    fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::ObjectId => "object-id",
            Self::Guest => "guest",
        }
    }
}

/// A session that is about to be opened: all that can be prepared before the transaction.
#[derive(Clone)]
pub struct Ticket {
    server: Server,
    lifetime: Lifetime,
    rules: Login,
    author: Author,
    stored: Stored,
    via: Via,
    /// The hash that the password was checked against.
    pub proved: Option<String>,
}

impl Ticket {
    /// A ticket for `user` of the caller's application, and the token for the answer.
    pub fn new(server: &Server, caller: &Caller, user: &str, via: Via) -> (Self, Token) {
        let device = caller.key.device.clone();
        let lifetime = caller.lifetime();
        let (stored, token) = fresh(server, &caller.asked, user, (via.as_str(), device), lifetime);
        let mut author = caller.author();
        if author.id.is_empty() {
            author = caller.asked.author(events::Actor::User, user);
        }
        let ticket = Self {
            server: server.clone(),
            lifetime,
            rules: caller.app.settings.login.clone(),
            author,
            stored,
            via,
            proved: None,
        };
        (ticket, token)
    }
}

fn fresh(
    server: &Server,
    asked: &Asked,
    user: &str,
    (via, device): (&str, String),
    lifetime: Lifetime,
) -> (Stored, Token) {
    let token = Token::new(&server.random);
    let now = asked.at;
    let stored = Stored {
        hash: token.digest(),
        id: server.random.object_id(now),
        user: user.to_owned(),
        created: now,
        last_seen: now,
        expires: lifetime.age.map(|it| now + it),
        ended: None,
        via: via.to_owned(),
        device,
        address: asked.source.to_string(),
        agent: asked.agent.to_string(),
        level: 1,
        provider: None,
    };
    (stored, token)
}

/// Opens a session inside of `tx`: decides whether the user, who has been recognised, may come in
/// *now*.
///
/// Fails with 3090 for a disabled account, 3087 for one that is not confirmed, 3003 when the user
/// or the password is not what was checked any more, and 3002 or 3044 when there are as many live
/// sessions as the application allows.
pub fn open(tx: &Tx<'_>, ticket: &Ticket) -> Result<()> {
    let (user, now) = (ticket.stored.user.as_str(), ticket.stored.created);
    let status = match store::users::lock(tx, user)? {
        Some(Status::Enabled) => Status::Enabled,
        Some(Status::Guest) if ticket.via == Via::Guest => Status::Guest,
        Some(Status::Disabled) => return Err(Error::disabled()),
        Some(Status::Pending) => return Err(Error::not_confirmed()),
        Some(Status::Guest) | None => return Err(Error::wrong_login()),
    };
    if ticket.proved.is_some() {
        // The password may have changed while its hash was being checked.
        let id = crate::ids::UserId(user.into());
        if store::credentials::hash(tx, &id)? != ticket.proved {
            return Err(Error::wrong_login());
        }
    }
    make_room(tx, ticket, (user, status), now)?;
    store::sessions::insert(tx, &ticket.stored)?;
    store::users::note_login(tx, user, now)?;
    let change = json!({ "via": ticket.via.as_str(), "session": ticket.stored.id });
    events::record(tx, &ticket.server.random, &ticket.author, Event::SessionOpened, user, &change)
}

/// How many sessions a user has at most where the application does not limit them; the oldest end.
pub const MOST_SESSIONS: u32 = 1000;

/// Counts the live sessions of a user, whose row is locked, and applies the application's rule.
fn make_room(
    tx: &Tx<'_>,
    ticket: &Ticket,
    (user, status): (&str, Status),
    now: Millis,
) -> Result<()> {
    let rules = &ticket.rules;
    let most = rules.most_logins(roles::of(status));
    if rules.enable_multiple_logins && most == 0 {
        // Nobody needs more, and a client that never logs out must not fill the store.
        if store::sessions::keep_newest(tx, user, MOST_SESSIONS - 1)? > 0 {
            revoked(tx, &ticket.server, user, now)?;
        }
        return Ok(());
    }
    let since = now - ticket.lifetime.idle - ticket.lifetime.slack();
    let alive = store::sessions::alive(tx, user, since, now)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if !rules.enable_multiple_logins {
        if rules.logout_last_user && !alive.is_empty() {
            return Err(Error::already_logged_in());
        }
        if store::sessions::delete_of_user(tx, user, None)? > 0 {
            revoked(tx, &ticket.server, user, now)?;
        }
    } else if most > 0 && alive.len() >= most {
        if rules.on_limit_reached == OnLimit::Refuse {
            return Err(Error::too_many_logins());
        }
        for oldest in &alive[..=alive.len() - most] {
            store::sessions::delete(tx, oldest)?;
        }
        revoked(tx, &ticket.server, user, now)?;
    }
    Ok(())
}

/// Tells everybody who holds sessions of `user` in memory that some have ended: this node before
/// the answer, the others within their next poll.
pub fn revoked(tx: &Tx<'_>, server: &Server, user: &str, now: Millis) -> Result<()> {
    cluster::tell(tx, server, (Kind::User, tx.app(), user), now)
}

/// Ends the session of that token, if there is one.
pub async fn close(server: &Server, realm: &Realm, token: &Token, author: Author) -> Result<()> {
    let hash = token.digest();
    let keep = server.clone();
    realm
        .data
        .write(move |tx| {
            let Some(stored) = store::sessions::by_hash(tx, &hash)? else { return Ok(()) };
            store::sessions::delete(tx, &hash)?;
            revoked(tx, &keep, &stored.user, author.at)?;
            let change = json!({ "session": stored.id });
            let mut author = author.clone();
            if author.kind == events::Actor::Nobody {
                // Whoever shows the token is the user, also where a token is not asked for.
                (author.kind, author.id) = (events::Actor::User, stored.user.clone());
            }
            events::record(tx, &keep.random, &author, Event::SessionClosed, &stored.user, &change)
        })
        .await
}

/// Ends all sessions of an application.
pub async fn close_all(server: &Server, realm: &Realm, author: Author) -> Result<()> {
    let keep = server.clone();
    realm
        .data
        .write(move |tx| {
            let ended = store::sessions::delete_all(tx)?;
            cluster::tell(tx, &keep, (Kind::Sessions, tx.app(), ""), author.at)?;
            let change = json!({ "sessions": ended });
            events::record(tx, &keep.random, &author, Event::AllSessionsClosed, "", &change)
        })
        .await
}

/// Opens a session of the Console for a developer whose password was right.
pub async fn open_console(
    server: &Server,
    asked: &Asked,
    developer: &str,
    mark: brake::Mark,
) -> Result<Token> {
    let way = ("password", "CONSOLE".to_owned());
    let (stored, token) = fresh(server, asked, developer, way, Lifetime::CONSOLE);
    let author = asked.author(events::Actor::Developer, developer);
    let random: Random = server.random.clone();
    let open = move |tx: &Tx<'_>| {
        if store::developers::lock(tx, &stored.user)? != Some(true) {
            return Err(Error::wrong_console_login());
        }
        brake::forgive(tx, &mark)?;
        store::sessions::insert(tx, &stored)?;
        let change = json!({ "session": stored.id });
        events::record(tx, &random, &author, Event::SessionOpened, &stored.user, &change)
    };
    server.apps.platform.data.write(open).await?;
    Ok(token)
}

/// Writes the uses of sessions that are due by `until` into the database, a thousand a time. What
/// cannot be written is kept for the next time.
pub async fn flush(server: &Server, until: Millis) {
    let mut by_realm: Vec<(Realm, Vec<Touch>)> = Vec::new();
    for touch in server.live.take_touches(until) {
        match by_realm.iter_mut().find(|it| it.0.serial == touch.realm.serial) {
            Some(group) => group.1.push(touch),
            None => by_realm.push((touch.realm.clone(), vec![touch])),
        }
    }
    for (realm, mut touches) in by_realm {
        while !touches.is_empty() {
            let rest = touches.split_off(touches.len().min(1000));
            let rows: Vec<(TokenHash, Millis)> =
                touches.iter().map(|it| (it.session.hash, it.take())).collect();
            let write = realm.data.write(move |tx| {
                rows.iter().try_for_each(|it| store::sessions::touch(tx, &it.0, it.1))
            });
            if let Err(error) = write.await {
                let error: Error = error;
                // Uses of what is gone are of no use to anybody.
                if !error.is_undefined() {
                    tracing::warn!(cause = %error, "uses of sessions could not be written; tried again");
                    server.live.return_touches(touches);
                }
            }
            touches = rest;
        }
    }
}

/// Writes due uses every half second until the server stops. A writing that has begun is finished:
/// uses that were taken out of memory would be lost with it.
pub async fn keep_flushing(server: Server) {
    while !server.background.is_stopping() {
        tokio::select! {
            () = server.background.stopping() => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(500)) => {}
        }
        flush(&server, server.clock.now()).await;
    }
}
