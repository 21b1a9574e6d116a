//! The threads that hash: one a core, each keeping its memory, behind a bounded queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Version};
use subtle::ConstantTimeEq;
use tokio::sync::{oneshot, watch};
use zeroize::{Zeroize, Zeroizing};

use crate::queue::{Queue, Waiting};
use crate::{Error, Params, Password, PasswordHash, TooWeak};

/// How the pool is set up.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// Hashes at a time. More than there are cores lose: each needs a core and its cache.
    pub threads: usize,
    /// The cost of new hashes; stored hashes that cost less are renewed.
    pub params: Params,
    /// How long one may wait for a thread. What would take longer is refused.
    pub max_wait: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            params: Params::default(),
            max_wait: Duration::from_secs(5),
        }
    }
}

/// Who waits for a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A person.
    Interactive,
    /// A job, such as an import. It gets at most every second turn while persons wait.
    Bulk,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password is the account's.
    Match {
        /// Whether the stored hash is weaker than those that the pool makes, and is to be replaced
        /// now that the password is at hand (ASVS 5.0, 11.2.2).
        renew: bool,
    },
    /// It is not, or there is no account.
    Mismatch,
}

/// What the pool has done and has to do, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// How many wait for a thread.
    pub queued: usize,
    /// How long the one that has waited longest has waited.
    pub longest_wait: Duration,
    /// Passwords hashed or checked since the start.
    pub done: u64,
    /// Passwords refused since the start because the wait was, or would have been, too long.
    pub refused: u64,
    /// Passwords not hashed because whoever asked was gone when the turn came.
    pub skipped: u64,
}

/// A handle to the pool. Clones share it; when the last one goes the threads end.
///
/// Memory for hashing is bounded: each thread keeps what one hash of the pool's own parameters
/// needs, at least [`Params::memory_kib`], and only one thread at a time runs a stored hash that
/// needs much more.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    running: watch::Receiver<usize>,
}

struct Shared {
    state: Mutex<State>,
    work_came: Condvar,
    params: Params,
    checks: AtomicU64,
    done: AtomicU64,
    /// Held by the one thread that runs an unusually large hash.
    large: Mutex<()>,
    /// How many threads are running.
    running: watch::Sender<usize>,
}

struct State {
    queue: Queue<Job>,
    closed: bool,
}

/// A password on its way to a thread.
enum Job {
    Hash {
        password: Password,
        salt: [u8; 16],
        reply: oneshot::Sender<Result<PasswordHash, Error>>,
    },
    Check {
        password: Password,
        stored: Option<PasswordHash>,
        reply: oneshot::Sender<Result<Verdict, Error>>,
    },
}

const OUTPUT_BYTES: usize = 32;
/// A thread that had nothing to do for so long overwrites its memory.
const IDLE: Duration = Duration::from_millis(500);
/// Above so much memory, and above the pool's own, only one hash runs at a time: 64 MiB.
const LARGE_KIB: u32 = 64 * 1024;

impl Pool {
    /// Starts the threads. Fails with [`TooWeak`] for parameters that new hashes must not have
    /// (ASVS 5.0, 11.4.2), and when there is no thread to run on.
    pub fn start(options: PoolOptions) -> Result<Pool, TooWeak> {
        let PoolOptions { threads, params, max_wait } = options;
        params.check()?;
        start(threads, params, max_wait)
    }

    /// Hashes a new password with Argon2id, 32 bytes of output. `salt` comes from a random
    /// generator fit for secrets, anew for each call. Fails with [`Error::Overloaded`] and
    /// [`Error::Stopped`].
    ///
    /// A caller that drops the future takes its password out of the queue.
    pub async fn hash(
        &self,
        lane: Lane,
        password: Password,
        salt: [u8; 16],
    ) -> Result<PasswordHash, Error> {
        let (reply, answer) = oneshot::channel();
        self.push(lane, Job::Hash { password, salt, reply })?;
        answer.await.unwrap_or(Err(Error::Stopped))
    }

    /// Checks `password` against a stored hash. Without one it does the same work and answers
    /// [`Verdict::Mismatch`], so that the time of a refusal does not tell who has an account
    /// (ASVS 5.0, 6.3.8); a mismatch with a cheaper, older hash is brought up to the same work for
    /// the same reason. Fails with [`Error::Overloaded`] and [`Error::Stopped`].
    ///
    /// A caller that drops the future takes its password out of the queue.
    pub async fn check(
        &self,
        lane: Lane,
        password: Password,
        stored: Option<PasswordHash>,
    ) -> Result<Verdict, Error> {
        let (reply, answer) = oneshot::channel();
        self.push(lane, Job::Check { password, stored, reply })?;
        answer.await.unwrap_or(Err(Error::Stopped))
    }

    /// Fails with [`Error::Overloaded`] if a password would be refused now: whoever has work to do
    /// before a check asks first.
    pub fn room(&self, lane: Lane) -> Result<(), Error> {
        let room = self.inner.shared.lock().queue.room(lane);
        room.map_err(|retry_after| Error::Overloaded { retry_after })
    }

    /// Checks done since the start, those without a stored hash included: a metric, and what tests
    /// count instead of timing a login.
    pub fn checks(&self) -> u64 {
        self.inner.shared.checks.load(Ordering::Relaxed)
    }

    /// The cost of the hashes that this pool makes.
    pub fn params(&self) -> Params {
        self.inner.shared.params
    }

    /// What the pool has done and has to do.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        let now = Instant::now();
        let state = shared.lock();
        Stats {
            queued: state.queue.len(),
            longest_wait: state.queue.longest_wait(now),
            done: shared.done.load(Ordering::Relaxed),
            refused: state.queue.refused(),
            skipped: state.queue.skipped(),
        }
    }

    /// Ends the pool and returns when its threads have ended. What is being hashed is finished;
    /// what waits, and what comes later, gets [`Error::Stopped`].
    pub async fn close(&self) {
        self.inner.shared.close();
        let mut running = self.inner.running.clone();
        // An error says that the other side is gone, and with it every thread.
        let _ = running.wait_for(|it| *it == 0).await;
    }

    fn push(&self, lane: Lane, job: Job) -> Result<(), Error> {
        let shared = &self.inner.shared;
        let work = job.work(&shared.params);
        let mut state = shared.lock();
        if state.closed {
            return Err(Error::Stopped);
        }
        let pushed = state.queue.push(lane, job, work, Instant::now());
        drop(state);
        pushed.map_err(|retry_after| Error::Overloaded { retry_after })?;
        shared.work_came.notify_one();
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; if one ever does, the queue is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.work_came.notify_all();
    }

    /// The next job, or `None` when the pool is closed. After a while without work it overwrites
    /// `memory`, which still holds what was derived from the last password.
    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.queue.pop(Instant::now()) {
                return Some(job);
            }
            if memory.is_wiped() {
                state = self.work_came.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.work_came.wait_timeout(state, IDLE);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if timeout.timed_out() {
                drop(state);
                memory.wipe();
                state = self.lock();
            }
        }
    }
}

fn start(threads: usize, params: Params, max_wait: Duration) -> Result<Pool, TooWeak> {
    let (sender, receiver) = watch::channel(0);
    let shared = Arc::new(Shared {
        state: Mutex::new(State { queue: Queue::new(threads, max_wait), closed: false }),
        work_came: Condvar::new(),
        params,
        checks: AtomicU64::new(0),
        done: AtomicU64::new(0),
        large: Mutex::new(()),
        running: sender,
    });
    // From here on an early return closes the pool and ends the threads that run already.
    let pool = Pool { inner: Arc::new(Inner { shared: shared.clone(), running: receiver }) };
    if threads == 0 {
        return Err(TooWeak::Threads);
    }
    for number in 0..threads {
        shared.running.send_modify(|it| *it += 1);
        let running = Running(shared.clone());
        let name = format!("hashes-{number}");
        // When the thread does not start, `running` is dropped with its closure.
        let spawned = thread::Builder::new().name(name).spawn(move || {
            // A panic costs the one job that it met, never the thread (its caller is answered
            // `Stopped`, because the reply went with it).
            while catch_unwind(AssertUnwindSafe(|| work(&running.0))).is_err() {}
        });
        spawned.map_err(|_| TooWeak::Threads)?;
    }
    Ok(pool)
}

/// One running thread; the count goes down when it ends, however it ends.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|it| *it -= 1);
    }
}

/// What each thread does until the pool is closed.
fn work(shared: &Shared) {
    let mut memory = Memory::default();
    while let Some(job) = shared.next(&mut memory) {
        if job.is_gone() {
            continue;
        }
        let started = Instant::now();
        let work = job.run(shared, &mut memory);
        shared.lock().queue.note_pace(work, started.elapsed());
    }
    memory.wipe();
}

impl Job {
    /// The blocks that this job computes at most. A mismatch never costs less than a hash of the
    /// pool's own parameters.
    fn work(&self, ours: &Params) -> u64 {
        match self {
            Job::Check { stored: Some(stored), .. } => stored.params.work().max(ours.work()),
            Job::Hash { .. } | Job::Check { stored: None, .. } => ours.work(),
        }
    }

    /// Hashes and answers. Returns the blocks that it computed.
    fn run(self, shared: &Shared, memory: &mut Memory) -> u64 {
        let most = self.work(&shared.params);
        match self {
            Job::Hash { password, salt, reply } => {
                let digest = memory.argon2id(shared, shared.params, &password, &salt, OUTPUT_BYTES);
                let hash = digest.map(|it| PasswordHash::new(shared.params, &salt, it));
                shared.done.fetch_add(1, Ordering::Relaxed);
                // Whoever asked may be gone by now; then the answer goes nowhere.
                let _ = reply.send(hash);
                most
            }
            Job::Check { password, stored, reply } => {
                let verdict = memory.check(shared, &password, stored.as_ref());
                // Counted before the answer, so that whoever has the answer sees the count.
                shared.checks.fetch_add(1, Ordering::Relaxed);
                shared.done.fetch_add(1, Ordering::Relaxed);
                // A match with a cheap, older hash has nothing to make up.
                let work = match (&verdict, &stored) {
                    (Ok(Verdict::Match { .. }), Some(stored)) => stored.params.work(),
                    _ => most,
                };
                let _ = reply.send(verdict);
                work
            }
        }
    }
}

impl Waiting for Job {
    fn is_gone(&self) -> bool {
        match self {
            Job::Hash { reply, .. } => reply.is_closed(),
            Job::Check { reply, .. } => reply.is_closed(),
        }
    }

    fn refuse(self, retry_after: Duration) {
        let refusal = Error::Overloaded { retry_after };
        // Whoever asked may have gone this very moment.
        match self {
            Job::Hash { reply, .. } => drop(reply.send(Err(refusal))),
            Job::Check { reply, .. } => drop(reply.send(Err(refusal))),
        }
    }
}

/// The memory that Argon2 fills, kept from one hash to the next: to have it anew from the system,
/// page by page, makes a hash a tenth slower or more (`examples/speed.rs` measures it).
#[derive(Default)]
struct Memory {
    blocks: Vec<Block>,
    dirty: bool,
}

impl Memory {
    fn check(
        &mut self,
        shared: &Shared,
        password: &Password,
        stored: Option<&PasswordHash>,
    ) -> Result<Verdict, Error> {
        let ours = shared.params;
        let Some(stored) = stored else {
            self.argon2id(shared, ours, password, &[0; 16], OUTPUT_BYTES)?;
            return Ok(Verdict::Mismatch);
        };
        let length = stored.digest.len();
        let digest = self.argon2id(shared, stored.params, password, &stored.salt, length)?;
        if digest.ct_eq(&stored.digest).into() {
            let short = stored.salt.len() < 16 || length < OUTPUT_BYTES;
            return Ok(Verdict::Match { renew: short || stored.params.weaker_than(&ours) });
        }
        self.make_up(shared, stored.params, password)?;
        Ok(Verdict::Mismatch)
    }

    /// Does the work that a hash of the pool's own parameters would have cost above one of
    /// `spent`, so that accounts with an older hash do not stand out by a quick refusal.
    fn make_up(
        &mut self,
        shared: &Shared,
        spent: Params,
        password: &Password,
    ) -> Result<(), Error> {
        let ours = shared.params;
        let missing = ours.work().saturating_sub(spent.work()) / u64::from(ours.iterations);
        let memory_kib = u32::try_from(missing).unwrap_or(u32::MAX);
        if memory_kib >= 8 {
            let filler = Params { memory_kib, iterations: ours.iterations, parallelism: 1 };
            self.argon2id(shared, filler, password, &[0; 16], OUTPUT_BYTES)?;
        }
        Ok(())
    }

    fn argon2id(
        &mut self,
        shared: &Shared,
        params: Params,
        password: &Password,
        salt: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let Params { memory_kib, iterations, parallelism } = params;
        let needs = argon2::Params::new(memory_kib, iterations, parallelism, Some(length))
            .map_err(|_| Error::Malformed)?;
        let ours_kib = shared.params.memory_kib;
        let large = memory_kib > ours_kib.max(LARGE_KIB);
        let turn = large.then(|| shared.large.lock().unwrap_or_else(PoisonError::into_inner));

        let kept = ours_kib as usize;
        if self.blocks.len() < needs.block_count() {
            self.blocks.resize(needs.block_count().max(kept), Block::new());
        }
        self.dirty = true;
        let mut digest = Zeroizing::new(vec![0; length]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, needs);
        let blocks = self.blocks.as_mut_slice();
        let text = password.reveal().as_bytes();
        let hashed = argon2.hash_password_into_with_memory(text, salt, &mut digest, blocks);

        if self.blocks.len() > kept {
            self.blocks.iter_mut().skip(kept).for_each(Zeroize::zeroize);
            self.blocks.truncate(kept);
            self.blocks.shrink_to_fit();
        }
        drop(turn);
        hashed.map(|()| digest).map_err(|_| Error::Malformed)
    }

    fn is_wiped(&self) -> bool {
        !self.dirty
    }

    fn wipe(&mut self) {
        self.blocks.iter_mut().for_each(Zeroize::zeroize);
        self.dirty = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use proptest::prelude::*;
    use tokio::task::JoinSet;

    use super::*;

    const SALT: [u8; 16] = *b"sixteen bytes!!!";
    const MATCH: Result<Verdict, Error> = Ok(Verdict::Match { renew: false });
    const OLD_MATCH: Result<Verdict, Error> = Ok(Verdict::Match { renew: true });
    const NO_MATCH: Result<Verdict, Error> = Ok(Verdict::Mismatch);

    /// Costs next to nothing: for tests of everything except the cost.
    const CHEAP: Params = Params { memory_kib: 8, iterations: 1, parallelism: 1 };
    /// The cheapest that the pool would start with outside of a test.
    const FLOOR: Params = Params { memory_kib: 12 * 1024, iterations: 3, parallelism: 1 };

    fn pool(params: Params) -> Pool {
        start(2, params, Duration::from_mins(1)).unwrap()
    }

    impl Pool {
        async fn hash_now(&self, password: &str) -> PasswordHash {
            self.hash(Lane::Interactive, password.into(), SALT).await.unwrap()
        }

        async fn check_now(&self, password: &str, stored: &PasswordHash) -> Result<Verdict, Error> {
            self.check(Lane::Interactive, password.into(), Some(stored.clone())).await
        }
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_and_no_other() {
        let options = PoolOptions { threads: 1, params: FLOOR, ..PoolOptions::default() };
        let pool = Pool::start(options).unwrap();
        let hash = pool.hash_now("correct horse").await;
        assert!(
            hash.as_str().starts_with("$argon2id$v=19$m=12288,t=3,p=1$c2l4dGVlbiBieXRlcyEhIQ$")
        );
        let stored = PasswordHash::parse(hash.as_str()).unwrap();
        assert_eq!(stored.digest.len(), 32);
        assert_eq!(pool.check_now("correct horse", &stored).await, MATCH);
        assert_eq!(pool.check_now("correct horsf", &stored).await, NO_MATCH);
        assert_eq!(pool.check(Lane::Interactive, "correct horse".into(), None).await, NO_MATCH);
        assert_eq!(pool.checks(), 3);
        assert_eq!(pool.stats().done, 4);
    }

    #[tokio::test]
    async fn the_hash_is_the_one_that_other_programs_make() {
        // From the test values of the reference implementation (github.com/P-H-C/phc-winner-argon2).
        let known = [
            (
                "password",
                "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            ),
            (
                "password",
                "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
            ),
            (
                "differentpassword",
                "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$C4TWUs9rDEvq7w3+J4umqA32aWKB1+DSiRuBfYxFj94",
            ),
        ];
        let pool = pool(CHEAP);
        for (password, text) in known {
            let stored = PasswordHash::parse(text).unwrap();
            // The salt is shorter than ours, so it is renewed.
            assert_eq!(pool.check_now(password, &stored).await, OLD_MATCH, "{text}");
            assert_eq!(pool.check_now("Password", &stored).await, NO_MATCH);
        }
    }

    #[tokio::test]
    async fn a_weaker_hash_asks_to_be_renewed_and_its_refusal_costs_as_much_as_ours() {
        let weak = pool(Params { memory_kib: 8, iterations: 1, parallelism: 1 });
        let ours = pool(Params { memory_kib: 4_096, iterations: 2, parallelism: 1 });
        let old = weak.hash_now("secret").await;
        assert_eq!(ours.check_now("secret", &old).await, OLD_MATCH);
        assert_eq!(ours.check_now("wrong", &old).await, NO_MATCH);
        let new = ours.hash_now("secret").await;
        assert_eq!(ours.check_now("secret", &new).await, MATCH);
        // The other way round nothing gets weaker.
        assert_eq!(weak.check_now("secret", &new).await, MATCH);

        // The filler work: what a refusal of the old hash leaves to do, in blocks.
        let mut memory = Memory::default();
        let shared = &ours.inner.shared;
        memory.make_up(shared, new.params, &"wrong".into()).unwrap();
        assert!(memory.is_wiped(), "nothing to make up after a hash of the same cost");
        memory.make_up(shared, old.params, &"wrong".into()).unwrap();
        assert!(!memory.is_wiped());
    }

    #[tokio::test]
    async fn a_hash_with_more_memory_than_ours_is_checked_and_its_memory_given_back() {
        let pool = pool(CHEAP);
        let mut memory = Memory::default();
        let shared = &pool.inner.shared;
        let big = Params { memory_kib: 70 * 1024, iterations: 1, parallelism: 1 };
        let digest = memory.argon2id(shared, big, &"secret".into(), &SALT, 32).unwrap();
        assert_eq!(memory.blocks.len(), 8);
        assert!(memory.blocks.capacity() < 1024);
        let stored = PasswordHash::new(big, &SALT, digest);
        let mut both = JoinSet::new();
        for password in ["secret", "wrong"] {
            let (pool, stored) = (pool.clone(), stored.clone());
            both.spawn(async move { pool.check_now(password, &stored).await });
        }
        let verdicts = both.join_all().await;
        assert!(verdicts.contains(&MATCH) && verdicts.contains(&NO_MATCH));
    }

    #[tokio::test]
    async fn blanks_case_and_the_last_character_count() {
        let pool = pool(CHEAP);
        let hash = pool.hash_now("caf\u{e9} ").await;
        assert_eq!(pool.check_now("cafe\u{301} ", &hash).await, MATCH);
        for other in ["caf\u{e9}", " caf\u{e9} ", "Caf\u{e9} ", "cafe ", "caf\u{e9}\u{a0}", ""] {
            assert_eq!(pool.check_now(other, &hash).await, NO_MATCH, "{other}");
        }
        let long = "a".repeat(5_000);
        let hash = pool.hash_now(&format!("{long}b")).await;
        assert_eq!(pool.check_now(&format!("{long}b"), &hash).await, MATCH);
        assert_eq!(pool.check_now(&format!("{long}c"), &hash).await, NO_MATCH);
        assert_eq!(pool.check_now(&long, &hash).await, NO_MATCH);
    }

    #[tokio::test]
    async fn weak_parameters_do_not_start() {
        let with = |params, threads| PoolOptions { threads, params, ..PoolOptions::default() };
        let refused = Pool::start(with(CHEAP, 1)).err();
        assert!(matches!(refused, Some(TooWeak::Memory { floor_kib: 47_104, .. })));
        assert_eq!(Pool::start(with(FLOOR, 0)).err(), Some(TooWeak::Threads));
    }

    /// Keeps the only thread of `pool` busy with a first check until the sender is dropped: that
    /// check needs so much memory that it waits for the turn of large hashes, which is taken.
    async fn occupied(
        pool: &Pool,
    ) -> (mpsc::Sender<()>, oneshot::Receiver<Result<Verdict, Error>>) {
        let (taken, is_taken) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let shared = pool.inner.shared.clone();
        thread::spawn(move || {
            let _turn = shared.large.lock().unwrap();
            taken.send(()).unwrap();
            let _ = released.recv();
        });
        is_taken.recv().unwrap();

        let big = Params { memory_kib: 65 * 1024, iterations: 1, parallelism: 1 };
        let stored = Some(PasswordHash::new(big, &SALT, Zeroizing::new(vec![0; 32])));
        let (reply, answer) = oneshot::channel();
        let first = Job::Check { password: "first".into(), stored, reply };
        pool.push(Lane::Interactive, first).unwrap();
        until(|| pool.stats().queued == 0).await;
        (release, answer)
    }

    async fn until(what: impl Fn() -> bool) {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn one_who_hangs_up_is_not_hashed() {
        let pool = start(1, CHEAP, Duration::from_mins(1)).unwrap();
        let (turn, first) = occupied(&pool).await;
        let mut gone = JoinSet::new();
        for _ in 0..5 {
            let pool = pool.clone();
            gone.spawn(async move { pool.check(Lane::Interactive, "gone".into(), None).await });
        }
        until(|| pool.stats().queued == 5).await;
        assert!(pool.stats().longest_wait > Duration::ZERO);
        gone.shutdown().await;
        drop(turn);
        assert_eq!(first.await.unwrap(), NO_MATCH);
        assert_eq!(pool.check(Lane::Bulk, "still here".into(), None).await, NO_MATCH);
        until(|| pool.stats().skipped == 5).await;
        assert_eq!((pool.checks(), pool.stats().done, pool.stats().queued), (2, 2, 0));
    }

    #[tokio::test]
    async fn one_who_waited_too_long_is_refused_and_not_hashed() {
        let pool = start(1, CHEAP, Duration::from_millis(20)).unwrap();
        let (turn, first) = occupied(&pool).await;
        let mut late = JoinSet::new();
        let second = pool.clone();
        late.spawn(async move { second.check(Lane::Interactive, "late".into(), None).await });
        until(|| pool.stats().longest_wait > Duration::from_millis(25)).await;
        drop(turn);
        let refused = late.join_next().await.unwrap().unwrap();
        assert_eq!(refused, Err(Error::Overloaded { retry_after: Duration::from_secs(1) }));
        assert_eq!(first.await.unwrap(), NO_MATCH);
        assert_eq!((pool.checks(), pool.stats().refused), (1, 1));
    }

    #[tokio::test]
    async fn a_storm_is_bounded_and_everyone_gets_an_answer() {
        let pool = start(1, FLOOR, Duration::from_millis(100)).unwrap();
        let mut storm = JoinSet::new();
        for _ in 0..200 {
            let pool = pool.clone();
            storm.spawn(async move { pool.check(Lane::Interactive, "storm".into(), None).await });
        }
        let answers = storm.join_all().await;
        let served = answers.iter().filter(|it| **it == NO_MATCH).count() as u64;
        let refused = answers.len() as u64 - served;
        assert!(served >= 1 && refused >= 100, "{served} served, {refused} refused");
        assert_eq!((pool.checks(), pool.stats().refused), (served, refused));
    }

    #[tokio::test]
    async fn closing_answers_everyone_and_ends_the_threads() {
        let pool = start(1, CHEAP, Duration::from_mins(1)).unwrap();
        let (turn, first) = occupied(&pool).await;
        let mut waiting = JoinSet::new();
        let second = pool.clone();
        waiting.spawn(async move { second.check(Lane::Interactive, "second".into(), None).await });
        until(|| pool.stats().queued == 1).await;
        pool.inner.shared.close();
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), Err(Error::Stopped));
        drop(turn);
        pool.close().await;
        // What was being hashed was finished, and no thread is left.
        assert_eq!(first.await.unwrap(), NO_MATCH);
        assert_eq!(*pool.inner.running.borrow(), 0);
        let late = pool.hash(Lane::Interactive, "late".into(), SALT).await;
        assert_eq!(late.err(), Some(Error::Stopped));
        pool.close().await;
    }

    #[tokio::test]
    async fn the_threads_end_when_the_last_handle_goes() {
        let pool = start(3, CHEAP, Duration::from_mins(1)).unwrap();
        let mut running = pool.inner.running.clone();
        let clone = pool.clone();
        drop(pool);
        assert_eq!(clone.check(Lane::Interactive, "x".into(), None).await, NO_MATCH);
        assert_eq!(*running.borrow(), 3);
        drop(clone);
        // An error says that even the counter is gone.
        let _ = running.wait_for(|it| *it == 0).await;
    }

    #[tokio::test]
    async fn idle_threads_overwrite_their_memory() {
        let pool = start(1, CHEAP, Duration::from_mins(1)).unwrap();
        let mut memory = Memory::default();
        let shared = &pool.inner.shared;
        memory.argon2id(shared, CHEAP, &"secret".into(), &SALT, 32).unwrap();
        assert!(memory.blocks.iter().any(|it| it.as_ref().iter().any(|word| *word != 0)));
        memory.wipe();
        assert!(memory.blocks.iter().all(|it| it.as_ref().iter().all(|word| *word == 0)));
        // A wiped memory hashes as before.
        let hash = pool.hash_now("secret").await;
        tokio::time::sleep(IDLE + Duration::from_millis(100)).await;
        assert_eq!(pool.check_now("secret", &hash).await, MATCH);
    }

    #[test]
    fn the_gate_of_one_hash_does_not_depend_on_what_was_in_memory_before() {
        let pool = pool(CHEAP);
        let shared = &pool.inner.shared;
        let (mut used, salts) = (Memory::default(), [[1; 16], [2; 16]]);
        for _ in 0..2 {
            for salt in salts {
                let params = Params { memory_kib: 100, iterations: 2, parallelism: 3 };
                let of = |it: &mut Memory| it.argon2id(shared, params, &"x".into(), &salt, 32);
                let fresh = of(&mut Memory::default()).unwrap();
                assert_eq!(*of(&mut used).unwrap(), *fresh);
                used.argon2id(shared, CHEAP, &"y".into(), &salt, 16).unwrap();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_password_matches_its_hash_and_no_neighbour(
            text in "\\PC{1,30}",
            salt in any::<[u8; 16]>(),
            at in any::<prop::sample::Index>(),
        ) {
            let pool = pool(CHEAP);
            let mut memory = Memory::default();
            let shared = &pool.inner.shared;
            let digest = memory.argon2id(shared, CHEAP, &Password::new(&text), &salt, 32).unwrap();
            let written = PasswordHash::new(CHEAP, &salt, digest);
            let stored = PasswordHash::parse(written.as_str()).unwrap();
            let mut verdict = |it: &str| memory.check(shared, &Password::new(it), Some(&stored));
            prop_assert_eq!(verdict(&text), MATCH);

            let changed: Vec<char> = text.chars().collect();
            let mut shorter = changed.clone();
            shorter.remove(at.index(changed.len()));
            let shorter: String = shorter.into_iter().collect();
            prop_assert_eq!(verdict(&shorter), NO_MATCH);
            prop_assert_eq!(verdict(&format!("{text}x")), NO_MATCH);
        }
    }
}
