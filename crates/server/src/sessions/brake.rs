//! The brake on guessing and flooding (security section 4).
//!
//! **Invariant:** [`check`] is the one place where a password is evaluated, at whatever door it was
//! typed. It counts the attempt *before* that, by the account's canonical identity, whether somebody
//! has it or not, so that neither attempts at the same moment nor spellings nor doors get more out of
//! it than one limit; and no answer tells who has an account.

mod turns;

use std::sync::Arc;

use hashes::{Lane, Password, PasswordHash};
use serde_json::json;
use tokio::time::Instant;

use crate::address::{Group, Source};
use crate::apps::Realm;
use crate::buckets::{
    ACCOUNT_MEMORY, AT_HOME, EVALUATED, Guesses, PLACE_MEMORY, Rate, Say, Tally, Verdict, decide,
};
use crate::clock::{Millis, Seconds};
use crate::error::{Error, Result};
use crate::events::{self, Actor, Author, Event};
use crate::secret::Token;
use crate::server::{AccountKey, Server, SourceKey, What};
use crate::settings::{Limit, Profile, Settings};
use crate::store::{Db, Tx, attempts, failures, sessions, sources};
use crate::web::{Asked, Caller, Desk};

/// What is counted of sources in the database.
const GUESS: &str = "guess";
const REGISTRATION: &str = "registration";
/// How often it is written down where a user is.
const NOTE_AGAIN: Seconds = Seconds(24 * 3600);

/// How the user with a canonical identity is found: the id, and the hash of the password if there
/// is one.
pub type Find = fn(&Db<'_>, &str) -> Result<Option<(String, Option<String>)>>;

/// Where a password was typed, and what is allowed there.
#[derive(Clone)]
pub struct Door {
    realm: Realm,
    guesses: Guesses,
    /// How long a lock lasts; absent: until somebody opens it.
    lock_time: Option<Seconds>,
    /// Wrong passwords from one source; `None` where the source is the owner's own server.
    source: Option<Rate>,
    asked: Asked,
    token: Option<Token>,
    author: Author,
}

impl Door {
    /// A door of the caller's application.
    pub fn of(server: &Server, caller: &Caller) -> Self {
        let (app, set) = (&caller.app, &server.brakes.set);
        let limit = |it: Limit| it.value(set, &app.settings, app.profile);
        let login = &app.settings.login;
        let lock_time = login.lockout_minutes.filter(|it| *it > 0);
        let guesses = Guesses {
            place: limit(Limit::Place),
            account: limit(Limit::Account),
            lock: login.failed_logins_lock,
        };
        let source = Limit::Source.rate(limit(Limit::Source));
        Self {
            realm: app.realm.clone(),
            guesses,
            lock_time: lock_time.map(|it| Seconds(it.saturating_mul(60))),
            source: (!caller.is_server_code()).then_some(source),
            asked: caller.asked.clone(),
            token: caller.token.clone(),
            author: caller.author(),
        }
    }

    /// The login to the Console.
    pub fn console(server: &Server, asked: &Asked) -> Self {
        let (none, set) = (Settings::default(), &server.brakes.set);
        let limit = |it: Limit| it.value(set, &none, Profile::Standard);
        let (place, account) = (limit(Limit::Place), limit(Limit::Account));
        Self {
            realm: server.apps.platform.clone(),
            guesses: Guesses { place, account, lock: 0 },
            lock_time: None,
            source: Some(Limit::Source.rate(limit(Limit::Source))),
            asked: asked.clone(),
            token: asked.auth_key.clone(),
            author: asked.author(Actor::Nobody, ""),
        }
    }

    /// A developer who is logged in to the Console and proves it again.
    pub fn desk(server: &Server, desk: &Desk) -> Self {
        let door = Self::console(server, &desk.asked);
        Self { token: Some(desk.token.clone()), author: desk.author(), ..door }
    }

    fn app(&self) -> Arc<str> {
        Arc::clone(&self.realm.data.scope().id)
    }

    fn group(&self) -> Group {
        self.asked.source.group()
    }
}

/// By what the account knows the place of an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It does not.
    Not,
    /// Its user has come in from that source.
    Source,
    /// The client has shown a session of it, so it is a device that nobody else has.
    Device,
}

/// What is known before an attempt.
struct Found {
    user: Option<(String, Option<String>)>,
    verdict: Verdict,
    /// The source, or a session of the account that the client has shown.
    place: String,
    known: Known,
    /// Whether there has been no wrong password.
    is_first: bool,
    /// Whether one is being evaluated, at whatever node.
    busy: bool,
    /// Whether to write down that the user came in from here.
    note: bool,
}

/// An attempt that was counted and is being evaluated. Whoever goes away meanwhile has made one.
struct Counted {
    server: Server,
    account: AccountKey,
    source: Option<(SourceKey, Rate)>,
    /// Whether the database counts the source, too.
    is_shared: bool,
    was_right: bool,
    /// Whether it is counted there, or in memory alone as yet.
    in_database: bool,
    /// How many there are with this one.
    number: i64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some((key, rate)) = &self.source {
            self.server.brakes.settle(key, *rate, self.was_right);
        }
        self.server.brakes.leave(&self.account, self.in_database);
    }
}

/// A password that was right: whose, and what it was checked against.
pub struct Passed {
    /// The id of the user.
    pub user: String,
    /// The stored hash.
    pub hash: String,
    /// Whether that hash is to be renewed.
    pub verdict: hashes::Verdict,
    /// What to forget now, by [`forgive`].
    pub mark: Mark,
    realm: Realm,
    /// `None`: it was beyond the limits, and had a turn.
    counted: Option<Counted>,
}

/// What is forgotten once a password was right.
#[derive(Clone)]
pub struct Mark {
    identity: String,
    place: String,
    user: String,
    /// Where the user is, if that is worth noting.
    source: Option<String>,
    /// What the database is to give back to the source.
    back: Option<(String, Rate)>,
    now: Millis,
}

impl Passed {
    /// Gives the attempt back, after a transaction that has called [`forgive`].
    pub fn finish(mut self) {
        if let Some(counted) = &mut self.counted {
            counted.was_right = true;
        }
    }

    /// Gives the attempt back where nothing else is to be written: the password was right, but the
    /// user may not come in, or that was all to know.
    pub async fn settle(self) -> Result<()> {
        let mark = Mark { source: None, ..self.mark.clone() };
        self.realm.data.write(move |tx| forgive(tx, &mark)).await?;
        self.finish();
        Ok(())
    }
}

/// Forgets the wrong passwords before a right one: those in a row of the account, and those from
/// this place. What was tried at other places is not forgotten there.
pub fn forgive(tx: &Tx<'_>, mark: &Mark) -> Result<()> {
    failures::forget(tx, &mark.identity)?;
    attempts::forget(tx, &mark.identity, &mark.place)?;
    if let Some(source) = &mark.source {
        attempts::note_place(tx, &mark.user, source, mark.now)?;
    }
    match &mark.back {
        Some((source, rate)) => sources::give_back(tx, (GUESS, source), *rate),
        None => Ok(()),
    }
}

/// Forgets all wrong passwords of an identity: its owner has recovered the account, or a developer
/// has opened it.
pub fn forgive_all(tx: &Tx<'_>, identity: &str) -> Result<()> {
    let key = key(identity);
    failures::forget(tx, &key)?;
    attempts::forget_all(tx, &key)
}

/// The same, and forgets the places that the account knows: whoever recovers it need not be whoever
/// has used it before.
pub fn recovered(tx: &Tx<'_>, identity: &str, user: &str) -> Result<()> {
    attempts::forget_places(tx, user, None)?;
    forgive_all(tx, identity)
}

/// Forgets the places of a user whose password is new, as well: whoever had the old one may have come
/// in from them. Where the user's own session has set it, `by_user`, that place stays.
pub fn new_password(
    tx: &Tx<'_>,
    server: &Server,
    (user, author): (&str, &Author),
    by_user: bool,
) -> Result<()> {
    let here = Source::written(&author.address, &server.limits.proxies).filter(|_| by_user);
    attempts::forget_places(tx, user, here.map(|it| it.group().to_string()).as_deref())
}

/// Forgets the places of a user who is being deleted: whoever comes after inherits nothing.
pub fn gone(tx: &Tx<'_>, user: &str) -> Result<()> {
    attempts::forget_places(tx, user, None)
}

/// Notes where a user has registered, so that others cannot keep the user out from there before the
/// first login.
pub fn registered(tx: &Tx<'_>, user: &str, from: Option<Group>, now: Millis) -> Result<()> {
    from.map_or(Ok(()), |it| attempts::note_place(tx, user, &it.to_string(), now))
}

/// Checks a password for `identity`, which is canonical or cannot be anybody's; `None` if it is
/// wrong.
///
/// Fails with 999 and the time to wait where too many were wrong, and with 3036 where the
/// application locks accounts. Attempts beyond a limit wait for those before them, which may turn
/// out right, as long as one may wait for a hash. At an address from which the account has been used
/// they wait in line for a turn; one that is wrong then is refused like any other beyond a limit.
pub async fn check(
    server: &Server,
    door: &Door,
    (identity, find): (&str, Find),
    password: &str,
) -> Result<Option<Passed>> {
    let account = (door.app(), key(identity));
    let began = Instant::now();
    let due = began + server.brakes.patience;
    let mut waiting = None;
    let (found, counted) = loop {
        // Nothing is counted that could not be evaluated.
        server.passwords.room(Lane::Interactive)?;
        let mark = server.brakes.mark(&account);
        let found = look(door, (&account.1, server.lease.is_shared()), identity, find).await?;
        let refusal = match admit(server, door, (&account, mark), &found).await? {
            Ok(counted) => break (found, counted),
            Err(refusal) => refusal,
        };
        if refusal.error.code == Error::locked().code {
            if refusal.busy && server.brakes.changed(due).await {
                continue;
            }
            return Err(refusal.error);
        }
        let waits = match waiting.take() {
            Some(waits) => waits,
            None => turns::Waiting::begin(door, (&account, &found), began).await?,
        };
        let waits = waiting.insert(waits);
        let mut has_turn = waits.has_turn(server, door, password).await?;
        if !has_turn {
            if refusal.busy && server.brakes.changed(due).await {
                continue;
            }
            has_turn = waits.turn(server, door, password).await?;
        }
        if has_turn && let Some(passed) = at_turn(server, door, &account, found, password).await {
            return Ok(Some(passed));
        }
        let waits = waiting.take();
        return Err(match waits {
            Some(waits) => waits.refuse(refusal.error).await,
            None => refusal.error,
        });
    };
    drop(waiting);
    evaluate_counted(server, door, (account, counted), found, password).await
}

async fn evaluate_counted(
    server: &Server,
    door: &Door,
    (account, mut counted): (AccountKey, Counted),
    found: Found,
    password: &str,
) -> Result<Option<Passed>> {
    let evaluated = evaluate(server, &found, password).await;
    let back = counted.source.as_ref().filter(|_| counted.is_shared);
    let back = back.map(|it| (it.0.2.to_string(), it.1));
    match (evaluated, &found.user) {
        (Ok(verdict @ hashes::Verdict::Match { .. }), Some((user, Some(hash)))) => {
            let mut passed = passed(door, (account.1, &found), (user, hash), verdict);
            (passed.mark.back, passed.counted) = (back, Some(counted));
            Ok(Some(passed))
        }
        (Ok(_), user) => {
            let user = user.as_ref().map(|it| it.0.clone()).unwrap_or_default();
            if !counted.in_database {
                let (key, place) = (account.1.clone(), found.place);
                let now = door.asked.at;
                let write = move |tx: &Tx<'_>| {
                    let all = failures::lock_tally(tx, &key, now)?;
                    let here = attempts::tally(tx, &key, &place)?;
                    count(tx, (&key, &place), (all, here), now)
                };
                door.realm.data.write(write).await?;
            }
            if counted.is_shared {
                let key = account.1.clone();
                door.realm.data.write(move |tx| failures::fly(tx, &key, -1)).await?;
            }
            lock(server, door, &account.1, counted.number, user).await?;
            Ok(None)
        }
        (Err(error), _) => {
            // It was not evaluated, so it was none.
            counted.was_right = true;
            if counted.in_database {
                take_back(door, account.1.clone(), found.place, back).await?;
            }
            Err(error)
        }
    }
}

/// Evaluates an attempt beyond the limits whose turn it is. Whatever else becomes of it, it is
/// refused like all others that are beyond them.
async fn at_turn(
    server: &Server,
    door: &Door,
    account: &AccountKey,
    found: Found,
    password: &str,
) -> Option<Passed> {
    let verdict = evaluate(server, &found, password).await.ok()?;
    let hashes::Verdict::Match { .. } = verdict else { return None };
    let (user, hash) = found.user.as_ref().map(|it| (it.0.clone(), it.1.clone()))?;
    Some(passed(door, (account.1.clone(), &found), (&user, &hash?), verdict))
}

fn passed(
    door: &Door,
    (identity, found): (String, &Found),
    (user, hash): (&str, &str),
    verdict: hashes::Verdict,
) -> Passed {
    let mark = Mark {
        identity,
        place: found.place.clone(),
        user: user.to_owned(),
        source: found.note.then(|| door.group().to_string()),
        back: None,
        now: door.asked.at,
    };
    let (user, hash, realm) = (user.to_owned(), hash.to_owned(), door.realm.clone());
    Passed { user, hash, verdict, mark, realm, counted: None }
}

/// The identity as a key: texts that are longer than an index takes by their digest.
fn key(identity: &str) -> String {
    if identity.len() <= 320 {
        return identity.to_owned();
    }
    let digest = Token::from_client(identity).digest();
    digest.0.iter().fold("sha256:".to_owned(), |text, it| format!("{text}{it:02x}"))
}

async fn look(
    door: &Door,
    (key, shared): (&str, bool),
    identity: &str,
    find: Find,
) -> Result<Found> {
    let (key, identity) = (key.to_owned(), identity.to_owned());
    let (source, guesses, now) = (door.group().to_string(), door.guesses, door.asked.at);
    let shown = door.token.as_ref().map(Token::digest);
    let read = door.realm.data.read(move |db| {
        let user = find(db, &identity)?;
        let id = user.as_ref().map_or("", |it| &it.0);
        let session = match &shown {
            Some(hash) => sessions::by_hash(db, hash)?,
            None => None,
        };
        let session = session.filter(|it| it.user == id && it.ended.is_none());
        // As many questions for nobody as for somebody.
        let came = attempts::came_from(db, id, &source)?.filter(|it| *it + AT_HOME > now);
        let place = session.as_ref().map(|it| format!("session:{}", it.id));
        let known = match (&place, came) {
            (Some(_), _) => Known::Device,
            (None, Some(_)) => Known::Source,
            (None, None) => Known::Not,
        };
        let place = place.unwrap_or_else(|| source.clone());
        let seen = failures::with_flying(db, &key)?;
        let (account, here) = (seen.0, attempts::tally(db, &key, &place)?);
        let verdict = decide(account, here, guesses, known == Known::Device, now);
        let is_first = account.count == 0 && here.count == 0;
        // Each statement sees another moment: what has changed meanwhile may have made room.
        let busy = shared && verdict != Verdict::Go && {
            let later = failures::with_flying(db, &key)?;
            seen != later || (later.1 > 0 && account.last + EVALUATED > now)
        };
        let note = came.is_none_or(|it| it + NOTE_AGAIN <= now);
        Ok::<_, Error>(Found { user, verdict, place, known, is_first, busy, note })
    });
    read.await
}

/// Why an attempt is not made now, and whether one that is being evaluated may change that.
struct Refusal {
    error: Error,
    busy: bool,
}

async fn admit(
    server: &Server,
    door: &Door,
    (account, mark): (&AccountKey, u64),
    found: &Found,
) -> Result<Result<Counted, Refusal>> {
    let brakes = &server.brakes;
    if let Some(error) = refusal(found.verdict) {
        return Ok(Err(Refusal { error, busy: found.busy || brakes.is_busy(account) }));
    }
    let mut source = None;
    // Whoever shows a session of the account is not one of those who share its source.
    if let Some(rate) = door.source.filter(|_| found.known != Known::Device) {
        let key = (Arc::clone(&account.0), What::Guess, door.group());
        if let Say::Later(wait) = brakes.take(&key, rate, door.asked.at) {
            let error = Error::too_many_requests().again_in(wait);
            return Ok(Err(Refusal { error, busy: brakes.is_source_busy(&key) }));
        }
        source = Some((key, rate));
    }
    // A process that is alone with its data counts the first attempt in memory: a login that goes
    // right the first time costs no second commit, and what a kill forgets is one attempt.
    let first = found.is_first && door.guesses.lock == 0 && !server.lease.is_shared();
    let in_database = !(first && brakes.enter_uncounted(account, mark));
    let uncounted = if in_database { brakes.enter(account) } else { 0 };
    let (server, account) = (server.clone(), account.clone());
    let is_shared = server.lease.is_shared();
    let bucket = source.as_ref().filter(|_| is_shared);
    let bucket = bucket.map(|it: &(SourceKey, Rate)| (it.0.2.to_string(), it.1));
    let mut counted =
        Counted { server, account, source, is_shared, was_right: true, in_database, number: 0 };
    if !in_database {
        counted.was_right = false;
        return Ok(Ok(counted));
    }
    let (key, place) = (counted.account.1.clone(), found.place.clone());
    let (guesses, own, now) = (door.guesses, found.known == Known::Device, door.asked.at);
    let write = door.realm.data.write(move |tx| {
        let (all, here) =
            (failures::lock_tally(tx, &key, now)?, attempts::tally(tx, &key, &place)?);
        let verdict = decide(
            all.and(uncounted, now, ACCOUNT_MEMORY),
            here.and(uncounted, now, PLACE_MEMORY),
            guesses,
            own,
            now,
        );
        if verdict != Verdict::Go {
            return Ok((verdict, 0, is_shared && failures::with_flying(tx, &key)?.1 > 0));
        }
        if let Some((source, rate)) = &bucket
            && let Some(wait) = sources::take(tx, (GUESS, source), *rate, now)?
        {
            return Ok((Verdict::Later(wait), 0, false));
        }
        if is_shared {
            failures::fly(tx, &key, 1)?;
        }
        Ok::<_, Error>((verdict, count(tx, (&key, &place), (all, here), now)?, true))
    });
    let (verdict, number, busy) = write.await?;
    if let Some(error) = refusal(verdict) {
        let account = counted.account.clone();
        let server = counted.server.clone();
        drop(counted);
        return Ok(Err(Refusal { error, busy: busy || server.brakes.is_busy(&account) }));
    }
    (counted.was_right, counted.number) = (false, number);
    Ok(Ok(counted))
}

/// Counts one more, and tells how many there are in a row.
fn count(
    tx: &Tx<'_>,
    (key, place): (&str, &str),
    (all, here): (Tally, Tally),
    now: Millis,
) -> Result<i64> {
    let all = all.at(now, ACCOUNT_MEMORY).counted(now);
    failures::set(tx, key, all)?;
    attempts::set(tx, key, place, here.at(now, PLACE_MEMORY).counted(now))?;
    Ok(all.count)
}

fn refusal(verdict: Verdict) -> Option<Error> {
    match verdict {
        Verdict::Go => None,
        Verdict::Locked(wait) => Some(Error::locked().again_in(wait)),
        Verdict::Later(wait) => Some(Error::too_many_requests().again_in(wait)),
    }
}

/// A stranger's password is checked too, against a hash that nobody knows: the time that a refusal
/// takes must not tell who has an account (ASVS 5.0, 6.3.8).
async fn evaluate(server: &Server, found: &Found, password: &str) -> Result<hashes::Verdict> {
    let stored = found.user.as_ref().and_then(|it| it.1.as_deref());
    let stored = stored.map(PasswordHash::parse).transpose()?;
    let typed = Password::new(password);
    Ok(server.passwords.check(Lane::Interactive, typed, stored).await?)
}

/// Locks the account where the application says so and this was one too many.
async fn lock(server: &Server, door: &Door, key: &str, number: i64, about: String) -> Result<()> {
    let most = i64::from(door.guesses.lock);
    if most == 0 || number < most {
        return Ok(());
    }
    let (key, author, random) = (key.to_owned(), door.author.clone(), server.random.clone());
    let until = door.lock_time.map_or(Millis(i64::MAX), |it| author.at + it);
    let write = move |tx: &Tx<'_>| {
        let tally = failures::lock_tally(tx, &key, author.at)?;
        // Another may have been right meanwhile, or have locked it.
        if tally.count < most || tally.locked.is_some() {
            return Ok(());
        }
        failures::set(tx, &key, Tally { locked: Some(until), ..tally })?;
        let change = json!({ "failures": most });
        events::record(tx, &random, &author, Event::AccountLocked, &about, &change)
    };
    door.realm.data.write(write).await
}

async fn take_back(
    door: &Door,
    key: String,
    place: String,
    back: Option<(String, Rate)>,
) -> Result<()> {
    let now = door.asked.at;
    let write = move |tx: &Tx<'_>| {
        let mut all = failures::lock_tally(tx, &key, now)?;
        let mut here = attempts::tally(tx, &key, &place)?;
        (all.count, here.count) = ((all.count - 1).max(0), (here.count - 1).max(0));
        failures::set(tx, &key, all)?;
        failures::fly(tx, &key, -1)?;
        attempts::set(tx, &key, &place, here)?;
        match &back {
            Some((source, rate)) => sources::give_back(tx, (GUESS, source), *rate),
            None => Ok(()),
        }
    };
    door.realm.data.write(write).await
}

/// Counts a registration or a guest. Fails with 999 where the source has made too many. The
/// server-code key is the owner's own server, which speaks for many.
pub async fn registration(server: &Server, caller: &Caller) -> Result<()> {
    if caller.is_server_code() {
        return Ok(());
    }
    let (app, now) = (&caller.app, caller.asked.at);
    let many = Limit::Registrations.value(&server.brakes.set, &app.settings, app.profile);
    let rate = Limit::Registrations.rate(many);
    let id = Arc::clone(&app.realm.data.scope().id);
    let (group, refused) = (caller.asked.source.group(), Error::too_many_requests);
    let key = (id, What::Registration, group);
    if let Say::Later(wait) = server.brakes.take(&key, rate, now) {
        return Err(refused().again_in(wait));
    }
    server.brakes.settle(&key, rate, false);
    if !server.lease.is_shared() {
        return Ok(());
    }
    let source = group.to_string();
    let take = move |tx: &Tx<'_>| sources::take(tx, (REGISTRATION, &source), rate, now);
    let full = app.realm.data.write(take).await?;
    full.map_or(Ok(()), |it| Err(refused().again_in(it)))
}
