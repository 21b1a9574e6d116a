//! Login with an identity and a password, or, for server code, with an object id.
//!
//! Wire: users-api 2.6 (`POST …/users/login`).

use serde_json::{Map, Value, json};

use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::ids::UserId;
use crate::password::renewed;
use crate::schema::identity;
use crate::server::Server;
use crate::sessions::{self, Ticket, Via};
use crate::store::{self, Tx, credentials, failures, identities, objects};
use crate::users::write;
use crate::web::{Answer, Body, Caller, Reply, State, text};

/// Logs a user in. Answers with the user and `user-token`.
///
/// Fails with 3034, 3006, 3003 for a wrong identity or password, 3036 for a locked account, 2014
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
    let Some((user, hash, verdict)) = weigh(server, caller, known, password).await? else {
        return Err(Error::wrong_login());
    };
    let renewed = renewed(&server.passwords, &server.random, password, verdict).await;
    let renewed = renewed.map(|it| it.as_str().to_owned());
    let proof = Proof { identity: known.to_owned(), hash, renewed };
    open(server, caller, user, (Via::Password, Some(proof))).await
}

/// Checks a password, at whichever door: the user who has the identity, the stored hash and what it
/// says of the password. `None` for a wrong one, which has been counted, by the one counter that the
/// account has (security T-1). Fails with 3036 while the account is locked.
pub async fn weigh(
    server: &Server,
    caller: &Caller,
    known: &str,
    password: &str,
) -> Result<Option<(UserId, String, hashes::Verdict)>> {
    let wanted = known.to_owned();
    let found = caller.app.realm.data.read(move |db| {
        let locked = failures::locked_until(db, &wanted)?;
        let user = identities::user(db, identities::LOGIN, &wanted)?;
        let hash = match &user {
            Some(user) => credentials::hash(db, user)?,
            None => None,
        };
        Ok::<_, Error>((locked, user, hash))
    });
    let (locked, user, hash) = found.await?;
    let locks = caller.app.settings.login.failed_logins_lock > 0;
    if locks && locked.is_some_and(|it| it > caller.asked.at) {
        return Err(Error::locked());
    }

    // A stranger's password is checked too, against a hash that nobody knows: the time that a
    // refusal takes must not tell who has an account (ASVS 5.0, 6.3.8).
    let stored = hash.as_deref().map(hashes::PasswordHash::parse).transpose()?;
    let typed = hashes::Password::new(password);
    let verdict = server.passwords.check(hashes::Lane::Interactive, typed, stored).await?;
    let (Some(user), Some(hash), hashes::Verdict::Match { .. }) = (user, hash, verdict) else {
        failed(server, caller, known.to_owned()).await?;
        return Ok(None);
    };
    Ok(Some((user, hash, verdict)))
}

/// By what a user was recognised.
struct Proof {
    identity: String,
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
            failures::forget(tx, &proof.identity)?;
            if let Some(renewed) = &proof.renewed {
                write::renew_hash(tx, &user, &proof.hash, renewed)?;
            }
        }
        let mut out = Vec::new();
        objects::write_one(tx, &table, user.as_str(), &mut out)?;
        Ok::<_, Error>(Some(out))
    });
    let Some(mut out) = write.await? else { return Ok(None) };
    close_with_token(&mut out, token.reveal());
    Ok(Some(Answer::json_text(out)))
}

/// Ends the object that is open in `out` with the token.
pub fn close_with_token(out: &mut Vec<u8>, token: &str) {
    out.extend_from_slice(b",\"user-token\":");
    crate::schema::values::write_text(token, out);
    out.push(b'}');
}

/// Counts a failure, whether somebody has the identity or not.
async fn failed(server: &Server, caller: &Caller, identity: String) -> Result<()> {
    let rules = &caller.app.settings.login;
    let (most, minutes) = (i64::from(rules.failed_logins_lock), rules.lockout_minutes);
    if most == 0 {
        return Ok(());
    }
    let (author, random) = (caller.author(), server.random.clone());
    let count = move |tx: &Tx<'_>| {
        let now = author.at;
        if failures::count(tx, &identity, now)? == most {
            let until = match minutes.filter(|it| *it > 0) {
                Some(minutes) => Millis(now.0 + i64::from(minutes) * 60_000),
                None => Millis(i64::MAX),
            };
            failures::lock(tx, &identity, until)?;
            let about = identities::user(tx, identities::LOGIN, &identity)?;
            let about = about.as_ref().map_or("", UserId::as_str);
            let change = json!({ "failures": most });
            events::record(tx, &random, &author, Event::AccountLocked, about, &change)?;
        }
        Ok::<_, Error>(())
    };
    caller.app.realm.data.write(count).await
}
