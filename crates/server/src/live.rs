//! Sessions in memory: what makes a session check a look-up that neither reads nor writes a
//! database.
//!
//! **Invariant:** what was revoked before a check began is never found here by it. A loader notes
//! what has been revoked before it reads the database, and what it read is kept only if nothing of
//! that user was revoked meanwhile.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use quick_cache::sync::Cache;

use crate::apps::{Lifetime, Realm};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::secret::{Token, TokenHash};
use crate::server::Server;
use crate::store;
use crate::store::sessions::Stored;
use crate::store::users::Status;

/// What a token is worth.
pub enum Verdict {
    /// It is a live session's.
    Live(Arc<Session>),
    /// It was one, and the account is disabled.
    Disabled,
    /// It is unknown, ended or expired.
    Dead,
}

/// Tells what `token` is worth, and notes its use: the session lives on from now.
///
/// A session in memory costs a hash and a look-up. Anything else is read from the database, and so
/// is everything while this node does not know what others have changed.
pub async fn check(
    server: &Server,
    realm: &Realm,
    lifetime: Lifetime,
    token: &Token,
) -> Result<Verdict> {
    let verdict = look(server, realm, lifetime, token).await?;
    if let Verdict::Live(session) = &verdict {
        let now = server.clock.now();
        let due = Millis(now.0 + lifetime.slack().millis() / 2);
        server.live.touch(realm, session, now, due);
    }
    Ok(verdict)
}

/// The same without noting a use.
pub async fn look(
    server: &Server,
    realm: &Realm,
    lifetime: Lifetime,
    token: &Token,
) -> Result<Verdict> {
    let now = server.clock.now();
    let hash = token.digest();
    let cached = server.live.get(realm, &hash);
    if let Some(session) = &cached
        && server.lease.is_fresh()
        && !session.ended()
        && session.is_alive(lifetime, now)
        && (!server.lease.is_shared() || now.0 - session.read_at.0 < REREAD)
    {
        server.metrics.session_hits.add();
        return Ok(Verdict::Live(Arc::clone(session)));
    }
    server.metrics.session_misses.add();
    let mark = server.live.mark();
    let platform = realm.platform;
    let read = realm.data.read(move |db| {
        let Some(stored) = store::sessions::by_hash(db, &hash)? else { return Ok(None) };
        let status = if platform {
            let developer = store::developers::by_id(db, &stored.user)?;
            developer.map(|it| if it.enabled { Status::Enabled } else { Status::Disabled })
        } else {
            store::users::status(db, &stored.user)?
        };
        Ok::<_, Error>(Some((stored, status)))
    });
    let Some((mut stored, status)) = read.await? else {
        server.live.drop_session(realm, &hash);
        return Ok(Verdict::Dead);
    };
    let status = match status {
        Some(Status::Disabled) => return Ok(Verdict::Disabled),
        None | Some(Status::Pending) => return Ok(Verdict::Dead),
        Some(status) => status,
    };
    if stored.ended.is_some() {
        return Ok(Verdict::Dead);
    }
    // A use that is known here and has yet to be written counts.
    let known = cached.filter(|it| !it.ended()).map(|it| it.last_seen());
    stored.last_seen = known.map_or(stored.last_seen, |it| it.max(stored.last_seen));
    if !alive(lifetime, stored.last_seen, stored.expires, now) {
        server.live.drop_session(realm, &hash);
        return Ok(Verdict::Dead);
    }
    Ok(Verdict::Live(server.live.keep(realm, &mark, stored, status, now)))
}

/// How long a session is believed without being read anew, in milliseconds, where several nodes
/// share the data.
const REREAD: i64 = 60_000;

/// Whether a session last used at `last` lives at `now`. Its last use may have been nearly a slack
/// later than what the database knows, so it gets that much more: it never ends too early. Whoever
/// counts live sessions counts by the same rule.
fn alive(lifetime: Lifetime, last: Millis, expires: Option<Millis>, now: Millis) -> bool {
    let most = lifetime.idle.millis() + lifetime.slack().millis();
    now.0 - last.0 <= most && expires.is_none_or(|it| now < it)
}

/// A live session, shared by all requests that come with its token.
pub struct Session {
    /// The digest of its token.
    pub hash: TokenHash,
    /// Public id, for lists and revocation.
    pub id: String,
    /// Whose it is.
    pub user: Arc<UserState>,
    /// When it began.
    pub created: Millis,
    /// When it ends however much it is used.
    pub expires: Option<Millis>,
    /// The way in.
    pub via: String,
    /// When this was read from the database.
    pub read_at: Millis,
    last_seen: AtomicI64,
    touched: AtomicBool,
    ended: AtomicBool,
}

impl Session {
    /// The last use that is known here.
    pub fn last_seen(&self) -> Millis {
        Millis(self.last_seen.load(Ordering::Relaxed))
    }

    /// Whether it was ended, on this node or, as far as is known, elsewhere.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn is_alive(&self, lifetime: Lifetime, now: Millis) -> bool {
        alive(lifetime, self.last_seen(), self.expires, now)
    }

    /// Notes a use; true if this is the first since the last writing down.
    fn touch(&self, now: Millis) -> bool {
        self.last_seen.fetch_max(now.0, Ordering::Relaxed);
        !self.touched.load(Ordering::Relaxed) && !self.touched.swap(true, Ordering::Relaxed)
    }
}

/// What all sessions of one user share.
pub struct UserState {
    /// The user's id.
    pub id: Arc<str>,
    status: AtomicU8,
    sessions: Mutex<Vec<Weak<Session>>>,
}

impl UserState {
    /// Whether the user is a guest.
    pub fn is_guest(&self) -> bool {
        self.status.load(Ordering::Relaxed) == Status::Guest as u8
    }
}

/// A use that has yet to be written down.
pub struct Touch {
    /// The application, by its data.
    pub realm: Realm,
    /// The session.
    pub session: Arc<Session>,
    /// When it must be written at the latest.
    pub due: Millis,
}

impl Touch {
    /// The time to write. Later uses make a touch of their own.
    pub fn take(&self) -> Millis {
        self.session.touched.store(false, Ordering::Relaxed);
        self.session.last_seen()
    }
}

const SHARDS: usize = 64;

/// All sessions in memory, bounded in number.
pub struct Live {
    sessions: Cache<(u64, TokenHash), Arc<Session>>,
    users: Vec<Mutex<Users>>,
    touches: Mutex<Vec<Touch>>,
}

#[derive(Default)]
struct Users {
    /// Counts revocations.
    revoked: u64,
    by_id: HashMap<(u64, Arc<str>), Weak<UserState>>,
}

/// What had been revoked when a loader began.
pub struct Mark([u64; SHARDS]);

impl Live {
    /// Room for `most` sessions.
    pub fn new(most: usize) -> Self {
        Self {
            sessions: Cache::new(most),
            users: (0..SHARDS).map(|_| Mutex::default()).collect(),
            touches: Mutex::default(),
        }
    }

    /// The session with that digest, if it is in memory.
    pub fn get(&self, realm: &Realm, hash: &TokenHash) -> Option<Arc<Session>> {
        self.sessions.get(&(realm.serial, *hash))
    }

    /// How many sessions are in memory.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// To be taken before the database is read for [`Live::keep`].
    pub fn mark(&self) -> Mark {
        let mut mark = [0; SHARDS];
        for (shard, users) in mark.iter_mut().zip(&self.users) {
            *shard = lock(users).revoked;
        }
        Mark(mark)
    }

    /// The session as read from the database, kept for later requests unless something of its user
    /// was revoked since `mark`. Whoever asked may use it: it was alive when it was read.
    pub fn keep(
        &self,
        realm: &Realm,
        mark: &Mark,
        stored: Stored,
        status: Status,
        now: Millis,
    ) -> Arc<Session> {
        let shard = shard(&stored.user);
        let mut users = lock(&self.users[shard]);
        let fresh = users.revoked == mark.0[shard];
        let user =
            if fresh { users.state(realm.serial, &stored.user) } else { state(&stored.user) };
        user.status.store(status as u8, Ordering::Relaxed);
        let session = Arc::new(Session {
            hash: stored.hash,
            id: stored.id,
            user: Arc::clone(&user),
            created: stored.created,
            expires: stored.expires,
            via: stored.via,
            read_at: now,
            last_seen: AtomicI64::new(stored.last_seen.0),
            touched: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        if fresh {
            let key = (realm.serial, session.hash);
            // Two requests may load the same session at once; the uses that the first has noted
            // must not be lost with it.
            if let Some(other) = self.sessions.get(&key).filter(|it| !it.ended()) {
                session.last_seen.fetch_max(other.last_seen().0, Ordering::Relaxed);
            }
            let mut sessions = lock(&user.sessions);
            // What was read anew or thrown out is dropped now and then, when the list has doubled.
            if sessions.len() == sessions.capacity() {
                sessions.retain(|it| it.strong_count() > 0);
            }
            sessions.push(Arc::downgrade(&session));
            drop(sessions);
            self.sessions.insert(key, Arc::clone(&session));
        }
        session
    }

    /// Drops a session that turned out to be dead.
    pub fn drop_session(&self, realm: &Realm, hash: &TokenHash) {
        self.sessions.remove(&(realm.serial, *hash));
    }

    /// Ends all sessions of a user in memory but the one with digest `kept`. Call it after the
    /// commit that revoked them, before the answer. Those that live on are read anew.
    pub fn revoke_user(&self, serial: u64, user: &str, kept: Option<&TokenHash>) {
        let mut users = lock(&self.users[shard(user)]);
        users.revoked += 1;
        let key = (serial, Arc::from(user));
        let Some(state) = users.by_id.get(&key).and_then(Weak::upgrade) else { return };
        let mut sessions = lock(&state.sessions);
        sessions.retain(|it| {
            let Some(session) = it.upgrade() else { return false };
            if Some(&session.hash) == kept {
                return true;
            }
            session.ended.store(true, Ordering::Release);
            self.sessions.remove(&(serial, session.hash));
            false
        });
    }

    /// Ends everything in memory: what lives on is read anew.
    pub fn revoke_all(&self) {
        for users in &self.users {
            let mut users = lock(users);
            users.revoked += 1;
            for state in users.by_id.values().filter_map(Weak::upgrade) {
                for session in lock(&state.sessions).drain(..).filter_map(|it| it.upgrade()) {
                    session.ended.store(true, Ordering::Release);
                }
            }
            users.by_id.clear();
        }
        self.sessions.clear();
    }

    /// Notes a use of `session` at `now`, to be written down by `due`.
    pub fn touch(&self, realm: &Realm, session: &Arc<Session>, now: Millis, due: Millis) {
        if session.touch(now) {
            let session = Arc::clone(session);
            lock(&self.touches).push(Touch { realm: realm.clone(), session, due });
        }
    }

    /// The uses that must be written by `until`; the others stay.
    pub fn take_touches(&self, until: Millis) -> Vec<Touch> {
        let mut touches = lock(&self.touches);
        let (due, later) =
            std::mem::take(&mut *touches).into_iter().partition(|it| it.due <= until);
        *touches = later;
        due
    }

    /// Puts back uses that could not be written.
    pub fn return_touches(&self, failed: Vec<Touch>) {
        // Whoever was used again meanwhile has a touch of its own by now, and it tells more.
        let alone = |it: &Touch| !it.session.touched.swap(true, Ordering::Relaxed);
        lock(&self.touches).extend(failed.into_iter().filter(alone));
    }

    /// When the use that has waited longest to be written should have been.
    pub fn oldest_touch(&self) -> Option<Millis> {
        lock(&self.touches).iter().map(|it| it.due).min()
    }

    /// How many uses wait to be written.
    pub fn waiting_touches(&self) -> usize {
        lock(&self.touches).len()
    }
}

impl Users {
    fn state(&mut self, serial: u64, user: &str) -> Arc<UserState> {
        // Users without a session are dropped now and then, when the table has doubled.
        if self.by_id.len() == self.by_id.capacity() {
            self.by_id.retain(|_, it| it.strong_count() > 0);
        }
        let key = (serial, Arc::from(user));
        if let Some(state) = self.by_id.get(&key).and_then(Weak::upgrade) {
            return state;
        }
        let state = state(user);
        self.by_id.insert(key, Arc::downgrade(&state));
        state
    }
}

fn state(user: &str) -> Arc<UserState> {
    let status = AtomicU8::new(Status::Enabled as u8);
    Arc::new(UserState { id: user.into(), status, sessions: Mutex::default() })
}

/// The same user falls into the same shard whatever the application: a revocation in one may cost
/// another a second reading, never a wrong answer.
fn shard(user: &str) -> usize {
    user.bytes().fold(7usize, |sum, it| sum.wrapping_mul(31).wrapping_add(usize::from(it))) % SHARDS
}

/// A panic while one of these was held leaves nothing half-changed that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
