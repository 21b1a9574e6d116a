//! Login with an identity and a password, or, for server code, with an object id.
//!
//! Wire: users-api 2.6 (`POST …/users/login`).

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::password::renewed;
use crate::schema::identity;
use crate::secret::Token;
use crate::server::Server;
use crate::sessions::brake::{self, Door};
use crate::sessions::{self, Ticket, Via};
use crate::store::{self, Db, credentials, identities, objects};
use crate::users::write;
use crate::web::{Answer, Body, Caller, Reply, State, cookies, text};

/// Logs a user in. Answers with the user and `user-token`.
///
/// Fails with 3034, 3006, 3003 for a wrong identity or password, 999 and 3036 as [`brake::check`], 2014
/// for an object id without the server-code key, and with whatever [`sessions::open`] refuses.
pub async fn login(State(server): State<Server>, caller: Caller, body: Body) -> Reply {
    let body = body.object()?;
    if let Some(id) = body.get("objectId").filter(|_| !body.contains_key("login")) {
        return by_object_id(&server, &caller, id).await;
    }
    if !caller.app.settings.login.login_enabled {
        return Err(Error::login_off());
    }
    let (login, password) = credentials(&body)?;

    // An identity that cannot exist is counted and checked like any other, under its own text.
    let canonical = identity::canonical(&login);
    let known = canonical.as_ref().map_or(login.trim(), |it| it.as_str()).to_owned();
    for _ in 0..MOST_CHECKS {
        if let Some(answer) = check(&server, &caller, &known, &password).await? {
            return Ok(answer);
        }
    }
    Err(Error::wrong_login())
}

/// How often a password is checked whose stored hash changes while it is being checked. Hashes are
/// renewed once, and nobody changes a password twice within a login.
const MOST_CHECKS: usize = 3;

/// Checks the password and opens a session; `None` if the stored hash was replaced meanwhile, by
/// another login that renewed it or by a change of the password: only another check can tell.
async fn check(
    server: &Server,
    caller: &Caller,
    known: &str,
    password: &str,
) -> Result<Option<Answer>> {
    let door = Door::of(server, caller);
    let passed = brake::check(server, &door, (known, by_identity), password).await?;
    let passed = passed.ok_or_else(Error::wrong_login)?;
    let renewed = renewed(&server.passwords, &server.random, password, passed.verdict).await;
    let renewed = renewed.map(|it| it.as_str().to_owned());
    let user = UserId(passed.user.as_str().into());
    let proof = Proof { mark: passed.mark.clone(), hash: passed.hash.clone(), renewed };
    let opened = open(server, caller, user, (Via::Password, Some(proof))).await;
    match &opened {
        Ok(Some(_)) => passed.finish(),
        // It was right, whatever else is in the way.
        Ok(None) | Err(_) => passed.settle().await?,
    }
    opened
}

/// The user with that identity, for [`brake::check`].
pub fn by_identity(db: &Db<'_>, identity: &str) -> Result<Option<(String, Option<String>)>> {
    let Some(user) = identities::user(db, identities::LOGIN, identity)? else {
        // As many questions for nobody as for somebody.
        credentials::hash(db, &UserId("".into()))?;
        return Ok(None);
    };
    Ok(Some((user.as_str().to_owned(), credentials::hash(db, &user)?)))
}

/// By what a user was recognised.
struct Proof {
    /// What to forget.
    mark: brake::Mark,
    /// The stored hash that the password was checked against.
    hash: String,
    /// A stronger hash of the same password, to replace it.
    renewed: Option<String>,
}

/// The identity, which may be a number, and the password.
fn credentials(body: &Map<String, Value>) -> Result<(String, String)> {
    let login = match body.get("login") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let password = text(body, "password").unwrap_or_default();
    if login.trim().is_empty() || password.is_empty() {
        return Err(Error::login_incomplete());
    }
    Ok((login, password.to_owned()))
}

async fn by_object_id(server: &Server, caller: &Caller, id: &Value) -> Reply {
    if !caller.is_server_code() {
        return Err(Error::object_id_login());
    }
    let id = id.as_str().filter(|it| !it.is_empty()).ok_or_else(Error::no_such_user_id)?;
    let (user, asked) = (UserId(id.into()), id.to_owned());
    let read = caller.app.realm.data.read(move |db| store::users::status(db, &asked));
    read.await?.ok_or_else(Error::no_such_user_id)?;
    let opened = open(server, caller, user, (Via::ObjectId, None)).await?;
    opened.ok_or_else(Error::wrong_login)
}

/// Opens the session and answers with the user, all in one transaction. `None` if the hash that the
/// password was checked against is not the stored one any more.
async fn open(
    server: &Server,
    caller: &Caller,
    user: UserId,
    (via, proof): (Via, Option<Proof>),
) -> Result<Option<Answer>> {
    let (mut ticket, token) = Ticket::new(server, caller, user.as_str(), via);
    ticket.proved = proof.as_ref().map(|it| it.hash.clone());
    let table = caller.app.users()?;
    let write = caller.app.realm.data.write(move |tx| {
        if let Err(refusal) = sessions::open(tx, &ticket) {
            // This one comes before anything is written.
            let unproved = proof.is_some() && refusal.code == Error::wrong_login().code;
            let changed = unproved && credentials::hash(tx, &user)? != ticket.proved;
            return if changed { Ok(None) } else { Err(refusal) };
        }
        if let Some(proof) = &proof {
            brake::forgive(tx, &proof.mark)?;
            if let Some(renewed) = &proof.renewed {
                write::renew_hash(tx, &user, &proof.hash, renewed)?;
            }
        }
        let mut out = Vec::new();
        objects::write_one(tx, &table, user.as_str(), &mut out)?;
        Ok::<_, Error>(Some(out))
    });
    let Some(out) = write.await? else { return Ok(None) };
    Ok(Some(logged_in(caller, out, &token)))
}

/// The answer to a login: the user, an object that is open in `out`, with the token; and the token
/// as a cookie, where the application says so.
pub fn logged_in(caller: &Caller, mut out: Vec<u8>, token: &Token) -> Answer {
    out.extend_from_slice(b",\"user-token\":");
    crate::schema::values::write_text(token.reveal(), &mut out);
    out.push(b'}');
    Answer::json_text(out).with_headers(cookies::with_session(caller, token))
}
