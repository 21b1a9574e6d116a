//! Everything a request may reach.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher as _, DefaultHasher, Hash, Hasher as _, RandomState};
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::Cell;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::Group;
use crate::apps::Apps;
use crate::buckets::{Buckets, Rate, Say};
use crate::clock::{Clock, Millis, boot_millis};
use crate::config::Limits;
use crate::ids::Random;
use crate::lines::{Lines, Wish};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::password::Blocklist;
use crate::secret::Sealer;
use crate::settings::Limits as Set;

/// The running server. Cheap to clone: every part is shared.
#[derive(Clone)]
pub struct Server(Arc<Parts>);

/// What a server is made of.
pub struct Parts {
    /// The only source of time.
    pub clock: Clock,
    /// The only source of randomness.
    pub random: Random,
    /// Seals secrets that must be read back.
    pub sealer: Sealer,
    /// The applications and their data.
    pub apps: Apps,
    /// Where the data lies.
    pub cell: Cell,
    /// Sessions in memory.
    pub live: Live,
    /// Hashing and checking of passwords, off the request threads.
    pub passwords: hashes::Pool,
    /// Passwords that nobody may have.
    pub blocklist: Blocklist,
    /// How much a request may ask for.
    pub limits: Limits,
    /// Where clients reach the server, without a slash at the end.
    pub public_url: String,
    /// The profile of a new application whose maker names none.
    pub new_app_profile: crate::settings::Profile,
    /// The API reference, as JSON.
    pub openapi: bytes::Bytes,
    /// Counters.
    pub metrics: Metrics,
    /// What runs beside the requests.
    pub background: Background,
    /// Where jobs and deliveries wait.
    pub agenda: Agenda,
    /// Attempts from each source, and those that are being evaluated.
    pub brakes: Arc<Brakes>,
    /// How far this node knows of what others have changed.
    pub lease: Lease,
}

impl Server {
    /// A server of these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Server {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Tasks that run beside the requests and end when the server stops.
#[derive(Clone, Default)]
pub struct Background {
    tasks: TaskTracker,
    drain: CancellationToken,
    stop: CancellationToken,
}

impl Background {
    /// Runs `task` until it ends by itself or the server stops: then it is dropped where it waits.
    pub fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let both = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        };
        self.tasks.spawn(both);
    }

    /// Runs `task`, which ends by itself soon after [`Background::stopping`] says so.
    pub fn run_to_end(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Says that the server is about to stop: it is not ready any more, and still answers.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Begins to stop: no new connection is taken.
    pub fn begin_stop(&self) {
        self.drain.cancel();
        self.stop.cancel();
    }

    /// Waits until the server begins to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the server is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Stops all tasks and waits for them.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// How far this node knows of what others have changed.
///
/// A session in memory is honoured only while a poll of the change log that *began* less than two
/// seconds ago has succeeded. So what is revoked anywhere is refused everywhere two seconds after
/// the commit at the latest, whatever is lost on the way.
#[derive(Clone)]
pub struct Lease {
    /// When the last successful poll began, on the clock that counts sleep; `None`: this process is
    /// alone with its data.
    began: Option<Arc<AtomicI64>>,
    /// How long that poll took, in milliseconds.
    took: Arc<AtomicI64>,
}

/// How long one poll lasts, in milliseconds.
pub const LEASE: i64 = 2000;

impl Lease {
    /// For a process that is alone with its data: it always knows everything.
    pub fn alone() -> Self {
        Self { began: None, took: Arc::default() }
    }

    /// For one of several: it knows nothing until it has polled.
    pub fn shared() -> Self {
        Self { began: Some(Arc::new(AtomicI64::new(i64::MIN / 2))), took: Arc::default() }
    }

    /// Whether what is in memory may be believed.
    pub fn is_fresh(&self) -> bool {
        let Some(began) = &self.began else { return true };
        boot_millis() - began.load(Ordering::Acquire) < LEASE
    }

    /// Whether other processes share the data.
    pub fn is_shared(&self) -> bool {
        self.began.is_some()
    }

    /// Notes a successful poll that began at `began`, on [`boot_millis`].
    pub fn renew(&self, poll_began: i64) {
        if let Some(began) = &self.began {
            began.fetch_max(poll_began, Ordering::Release);
            self.took.store(boot_millis() - poll_began, Ordering::Relaxed);
        }
    }

    /// How long the last successful poll took, in milliseconds: how far this node was behind the
    /// others when it knew.
    pub fn lag(&self) -> i64 {
        self.took.load(Ordering::Relaxed)
    }

    /// Milliseconds since the last successful poll began; 0 for a process that is alone.
    pub fn age(&self) -> i64 {
        self.began.as_ref().map_or(0, |it| boot_millis() - it.load(Ordering::Acquire))
    }
}

/// What is counted by source alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Passwords that were wrong.
    Guess,
    /// Registrations and guests.
    Registration,
}

/// An application (the platform: empty), what is counted there, and of which source.
pub type SourceKey = (Arc<str>, What, Group);

/// How many sources are counted at once.
const SOURCES: usize = 100_000;

/// Attempts from each source, on this node, and the accounts whose passwords are being evaluated.
/// What is counted by account is in the database.
pub struct Brakes {
    /// The limits that the operator has set.
    pub set: Set,
    /// How long an attempt waits for those before it.
    pub patience: Duration,
    /// How many identities, and places, each application counts in its database.
    pub most_counts: u32,
    sources: Mutex<Buckets<SourceKey>>,
    /// Apart from those, so that many callers push out no guesser. It counts microseconds: a limit
    /// may be thousands a second.
    calls: Mutex<Buckets<(Arc<str>, Option<Group>)>>,
    in_flight: Mutex<Flights>,
    lines: Mutex<Lines<LineKey>>,
    bell: Notify,
    /// Makes digests of passwords that wait, for this process alone.
    hasher: RandomState,
}

/// How many lines there are at once.
const LINES: usize = 10_000;

/// An account, and the place from which it is tried.
pub type LineKey = (AccountKey, String);

/// An application (the platform: empty), and an identity as it is counted there.
pub type AccountKey = (Arc<str>, String);

/// How many passwords of each account are being evaluated.
#[derive(Default)]
struct Flights {
    /// All of them, and those that are not counted in the database yet: one at most.
    by_account: HashMap<AccountKey, (u32, u32)>,
    /// Counts the attempts on all accounts; see [`Brakes::enter_uncounted`].
    entered: HashMap<u64, u64>,
}

impl Flights {
    /// Accounts share one of these; then one of them counts what it need not.
    fn entered(&mut self, account: &AccountKey) -> &mut u64 {
        let mut hasher = DefaultHasher::new();
        account.hash(&mut hasher);
        self.entered.entry(hasher.finish() % 4096).or_default()
    }
}

impl Brakes {
    /// Nothing has been counted.
    pub fn new(set: Set, patience: Duration, most_counts: u32) -> Self {
        let sources = Mutex::new(Buckets::new(SOURCES));
        let calls = Mutex::new(Buckets::new(SOURCES));
        let (in_flight, lines) = (Mutex::default(), Mutex::new(Lines::new(LINES)));
        let (bell, hasher) = (Notify::new(), RandomState::new());
        Self { set, patience, most_counts, sources, calls, in_flight, lines, bell, hasher }
    }

    /// Puts an attempt in line; `None` if there is no room.
    pub fn enter_line(
        self: &Arc<Self>,
        key: LineKey,
        (agent, password): (&str, &str),
        now: Millis,
    ) -> Option<InLine> {
        let wish: Wish = (self.hasher.hash_one(agent), self.hasher.hash_one(password));
        let id = lock(&self.lines).enter(&key, wish, now)?;
        Some(InLine { brakes: Arc::clone(self), key, id, now })
    }

    /// Counts an attempt of a source; [`Brakes::settle`] follows.
    pub fn take(&self, key: &SourceKey, rate: Rate, now: Millis) -> Say {
        lock(&self.sources).take(key, rate, now)
    }

    /// Counts a call of an application's API, by one source or by all together, of which so many may
    /// come in a minute. If this is one too many, tells after how many milliseconds it is not.
    pub fn call(
        &self,
        who: &(Arc<str>, Option<Group>),
        per_minute: u32,
        now: Millis,
    ) -> Option<i64> {
        let rate = Rate { burst: per_minute, period: (60_000_000 / i64::from(per_minute)).max(1) };
        let mut calls = lock(&self.calls);
        match calls.take(who, rate, Millis(now.0.saturating_mul(1000))) {
            Say::Later(wait) => Some((wait + 999) / 1000),
            Say::Go => {
                calls.settle(who, rate, false);
                None
            }
        }
    }

    /// Ends an attempt of a source, and gives it back if it was right.
    pub fn settle(&self, key: &SourceKey, rate: Rate, was_right: bool) {
        lock(&self.sources).settle(key, rate, was_right);
    }

    /// Whether attempts of a source are being evaluated.
    pub fn is_source_busy(&self, key: &SourceKey) -> bool {
        lock(&self.sources).is_busy(key)
    }

    /// How many sources are known.
    pub fn sources(&self) -> usize {
        lock(&self.sources).len()
    }

    /// To be taken before the counts of an account are read, for [`Brakes::enter_uncounted`].
    pub fn mark(&self, account: &AccountKey) -> u64 {
        *lock(&self.in_flight).entered(account)
    }

    /// Notes that a password of an account is being evaluated, and tells how many are that the
    /// database does not count yet.
    pub fn enter(&self, account: &AccountKey) -> u32 {
        let mut in_flight = lock(&self.in_flight);
        *in_flight.entered(account) += 1;
        let flying = in_flight.by_account.entry(account.clone()).or_default();
        flying.0 += 1;
        flying.1
    }

    /// Notes the same of one that the database need not count before it proves wrong; false if it
    /// must, because there has been another since `mark`.
    pub fn enter_uncounted(&self, account: &AccountKey, mark: u64) -> bool {
        let mut in_flight = lock(&self.in_flight);
        let entered = in_flight.entered(account);
        if *entered != mark {
            return false;
        }
        *entered += 1;
        let alone = !in_flight.by_account.contains_key(account);
        if alone {
            in_flight.by_account.insert(account.clone(), (1, 1));
        }
        alone
    }

    /// Notes that one is not any more.
    pub fn leave(&self, account: &AccountKey, was_counted: bool) {
        let mut in_flight = lock(&self.in_flight);
        if let Some(flying) = in_flight.by_account.get_mut(account) {
            flying.0 -= 1;
            flying.1 -= u32::from(!was_counted);
            if flying.0 == 0 {
                in_flight.by_account.remove(account);
            }
        }
        drop(in_flight);
        self.bell.notify_waiters();
    }

    /// Whether passwords of an account are being evaluated on this node.
    pub fn is_busy(&self, account: &AccountKey) -> bool {
        lock(&self.in_flight).by_account.contains_key(account)
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        lock(&self.lines).len()
    }

    /// Waits until an attempt has ended that may make room for others; false if it is `due` first.
    pub async fn changed(&self, due: Instant) -> bool {
        // An attempt that has ended between the refusal and here rings no more.
        let soon = due.min(Instant::now() + Duration::from_millis(100));
        let _ = tokio::time::timeout_at(soon, self.bell.notified()).await;
        Instant::now() < due
    }
}

/// An attempt that stands in line, until this is dropped.
pub struct InLine {
    brakes: Arc<Brakes>,
    key: LineKey,
    id: u64,
    now: Millis,
}

impl InLine {
    /// Whether the next turn is its own, and how many milliseconds later, as far as is known here.
    pub fn turn(&mut self, now: Millis) -> Option<i64> {
        self.now = now;
        lock(&self.brakes.lines).line(&self.key)?.turn(self.id, now)
    }

    /// Notes when the next turn is.
    pub fn wait_until(&self, due: Millis) {
        if let Some(line) = lock(&self.brakes.lines).line(&self.key) {
            line.set_due(due);
        }
    }

    /// It has its turn now, and the next one comes then.
    pub fn takes_turn(self, next: Millis) {
        if let Some(line) = lock(&self.brakes.lines).line(&self.key) {
            line.served(self.id);
            line.set_due(next);
        }
        // Dropped now, under a number that it has no more.
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        if let Some(line) = lock(&self.brakes.lines).line(&self.key) {
            line.leave(self.id, self.now);
        }
    }
}

/// Where jobs and deliveries wait, as far as this process knows, and how many.
///
/// Where several processes share the data it is but a bell: the database itself is asked. A process
/// that is alone with its data knows who waits, and opens no application's file in vain.
pub struct Agenda {
    shared: bool,
    due: Mutex<HashMap<Arc<str>, Millis>>,
    tallies: Mutex<HashMap<Arc<str>, Tally>>,
    bell: Notify,
}

/// How much work there is, of one application or of all. An oldest time is since when the work has
/// been due that has waited longest; it may be in the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that wait or run.
    pub jobs: i64,
    /// Jobs that were given up.
    pub jobs_failed: i64,
    /// Since when the oldest job has been due.
    pub oldest_job: Option<Millis>,
    /// Deliveries that wait or are being made.
    pub deliveries: i64,
    /// Deliveries that were given up.
    pub deliveries_failed: i64,
    /// Since when the oldest delivery has been due.
    pub oldest_delivery: Option<Millis>,
}

impl Agenda {
    /// An empty one; `shared` says whether other processes share the data.
    pub fn new(shared: bool) -> Self {
        let (due, tallies) = (Mutex::default(), Mutex::default());
        Self { shared, due, tallies, bell: Notify::new() }
    }

    /// Notes that something of the application (the platform: empty) is due at `at`, and wakes the
    /// scheduler. To be called after the commit that wrote it.
    pub fn note(&self, app: &Arc<str>, at: Millis) {
        self.keep(app, at);
        self.bell.notify_one();
    }

    /// The same without waking it.
    pub fn keep(&self, app: &Arc<str>, at: Millis) {
        if !self.shared {
            let mut due = lock(&self.due);
            let known = due.entry(Arc::clone(app)).or_insert(at);
            *known = at.min(*known);
        }
    }

    /// The applications of which something is due by `now`. They are known no more.
    pub fn take_due(&self, now: Millis) -> Vec<Arc<str>> {
        let mut due = lock(&self.due);
        let ready: Vec<_> = due.iter().filter(|it| *it.1 <= now).map(|it| it.0.clone()).collect();
        for app in &ready {
            due.remove(app);
        }
        ready
    }

    /// Waits until something was noted.
    pub async fn rings(&self) {
        self.bell.notified().await;
    }

    /// Keeps what was counted; an application without any work costs no memory.
    pub fn count(&self, app: &Arc<str>, tally: Tally) {
        let mut tallies = lock(&self.tallies);
        if tally == Tally::default() {
            tallies.remove(app);
        } else {
            tallies.insert(Arc::clone(app), tally);
        }
    }

    /// Forgets an application that is gone.
    pub fn forget(&self, app: &str) {
        lock(&self.due).remove(app);
        lock(&self.tallies).remove(app);
    }

    /// How much work there is in all, as it was last counted: some seconds ago.
    pub fn tally(&self) -> Tally {
        let older = |a: Option<Millis>, b: Option<Millis>| a.into_iter().chain(b).min();
        lock(&self.tallies).values().fold(Tally::default(), |sum, it| Tally {
            jobs: sum.jobs + it.jobs,
            jobs_failed: sum.jobs_failed + it.jobs_failed,
            oldest_job: older(sum.oldest_job, it.oldest_job),
            deliveries: sum.deliveries + it.deliveries,
            deliveries_failed: sum.deliveries_failed + it.deliveries_failed,
            oldest_delivery: older(sum.oldest_delivery, it.oldest_delivery),
        })
    }
}

/// A panic while one of these was held leaves nothing half-changed that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
