//! A unit of work on its way: the closure, its caller, and the queue between them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::db::{Common, Effect, Link, Tx};
use crate::error::{Error, Result};
use crate::scope::Scope;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Statements with more bytes than this are not remembered: clients can make any number of them, and
/// one may take a megabyte when it is ready to run.
pub(crate) const LONG: usize = 16 * 1024;

/// Whether this thread runs a closure now: then nobody would be left to run another.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

/// A closure, without its types.
pub(crate) trait Work: Send {
    /// Whether the caller has gone away.
    fn is_abandoned(&self) -> bool;
    /// Runs the closure, keeps what it says, and tells whether that was `Ok`.
    fn run(&mut self, tx: &Tx<'_>) -> bool;
    /// Forgets what it said: it failed after all.
    fn fail(&mut self, error: Error);
    /// Tells the caller.
    fn answer(self: Box<Self>);
}

struct Unit<F, T, E> {
    f: F,
    said: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Work for Unit<F, T, E>
where
    F: Fn(&Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }

    fn run(&mut self, tx: &Tx<'_>) -> bool {
        self.said = None;
        let said = (self.f)(tx);
        let ok = said.is_ok();
        self.said = Some(said);
        ok
    }

    fn fail(&mut self, error: Error) {
        self.said = Some(Err(error.into()));
    }

    fn answer(self: Box<Self>) {
        let said = self.said.unwrap_or_else(|| Err(Error::Closed.into()));
        // A caller that has gone away meanwhile does not want to know.
        let _ = self.caller.send(said);
    }
}

/// Which counters a job counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Read,
    Write,
    /// Statements that PostgreSQL takes outside of a transaction only.
    Alone,
}

/// A unit of work with what is to be known about it.
pub(crate) struct Job {
    work: Box<dyn Work>,
    pub(crate) scope: Scope,
    pub(crate) lane: Lane,
    /// The longest that it may wait, and the longest that it may run.
    pub(crate) deadline: Duration,
    queued: Instant,
}

/// How one run of a closure ended.
pub(crate) enum Ran {
    /// It said `Ok` and no statement had failed.
    Done(Vec<Effect>),
    /// It said `Err`, or could not be kept; the job knows what to answer.
    Failed,
    /// It panicked; the connection is not to be trusted.
    Panicked,
}

/// A job, and where its answer will come.
pub(crate) fn job<T, E>(
    scope: Scope,
    lane: Lane,
    deadline: Duration,
    f: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, E>>)
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (caller, answer) = oneshot::channel();
    let work = Box::new(Unit { f, said: None, caller });
    (Job { work, scope, lane, deadline, queued: Instant::now() }, answer)
}

impl Job {
    /// The job, if it is still worth running; its caller may have gone away or waited too long.
    pub(crate) fn fresh(self) -> Option<Self> {
        if self.work.is_abandoned() {
            return None;
        }
        if self.queued.elapsed() > self.deadline {
            self.answer_with(Error::Overloaded);
            return None;
        }
        Some(self)
    }

    /// Runs the closure once.
    pub(crate) fn run(&mut self, link: Link<'_>, common: &Common) -> Ran {
        let tx = Tx::new(link, common, &self.scope);
        let work = &mut self.work;
        INSIDE.set(true);
        let ran = catch_unwind(AssertUnwindSafe(|| work.run(&tx)));
        INSIDE.set(false);
        match ran {
            Ok(true) if self.lane == Lane::Write && tx.has_failed() => {
                work.fail(Error::Aborted);
                Ran::Failed
            }
            Ok(true) => Ran::Done(tx.into_effects()),
            Ok(false) => Ran::Failed,
            Err(_) => {
                work.fail(Error::Panicked);
                Ran::Panicked
            }
        }
    }

    pub(crate) fn fail(&mut self, error: Error) {
        self.work.fail(error);
    }

    pub(crate) fn answer(self) {
        self.work.answer();
    }

    pub(crate) fn answer_with(mut self, error: Error) {
        self.work.fail(error);
        self.work.answer();
    }
}

/// Runs what is to follow a commit. An effect that panics does not take its caller's answer.
pub(crate) fn run_effects(effects: Vec<Effect>) {
    for effect in effects {
        let _ = catch_unwind(AssertUnwindSafe(effect));
    }
}

/// Counters of one lane.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    length: AtomicUsize,
    taken: AtomicU64,
    refused: AtomicU64,
    waited_micros: AtomicU64,
    longest_micros: AtomicU64,
}

/// The state of a queue. Counts and sums are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Units of work that wait now.
    pub length: usize,
    /// Units taken out of the queue.
    pub taken: u64,
    /// Units refused because it was full.
    pub refused: u64,
    /// How long the taken units waited, in sum.
    pub waited: Duration,
    /// The longest that one of them waited.
    pub longest: Duration,
}

impl Gauge {
    pub(crate) fn joined(&self) {
        self.length.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn left(&self, job: &Job) {
        let waited = u64::try_from(job.queued.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.length.fetch_sub(1, Ordering::Relaxed);
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.waited_micros.fetch_add(waited, Ordering::Relaxed);
        self.longest_micros.fetch_max(waited, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> QueueStats {
        QueueStats {
            length: self.length.load(Ordering::Relaxed),
            taken: self.taken.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            waited: Duration::from_micros(self.waited_micros.load(Ordering::Relaxed)),
            longest: Duration::from_micros(self.longest_micros.load(Ordering::Relaxed)),
        }
    }
}

/// The counters of a cell.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) reads: Gauge,
    pub(crate) writes: Gauge,
    pub(crate) commits: AtomicU64,
    pub(crate) committed: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) connections: AtomicUsize,
}

impl Counters {
    pub(crate) fn gauge(&self, lane: Lane) -> &Gauge {
        match lane {
            Lane::Read => &self.reads,
            Lane::Write | Lane::Alone => &self.writes,
        }
    }

    pub(crate) fn committed(&self, units: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.committed.fetch_add(units as u64, Ordering::Relaxed);
    }
}

/// A bounded queue that several threads take from; each can also be sent notes of its own, which
/// it gets first.
pub(crate) struct Queue<N> {
    state: Mutex<State<N>>,
    wake: Condvar,
    limit: usize,
}

struct State<N> {
    jobs: VecDeque<Job>,
    notes: Vec<VecDeque<N>>,
    open: bool,
}

/// What a thread is to do next.
pub(crate) enum Next<N> {
    Job(Job),
    Note(N),
    /// The queue is closed and empty.
    End,
}

impl<N> Queue<N> {
    pub(crate) fn new(limit: usize, threads: usize) -> Self {
        let notes = (0..threads).map(|_| VecDeque::new()).collect();
        let state = State { jobs: VecDeque::new(), notes, open: true };
        Self { state: Mutex::new(state), wake: Condvar::new(), limit }
    }

    fn state(&self) -> MutexGuard<'_, State<N>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job, or answers it at once.
    pub(crate) fn push(&self, job: Job, counters: &Counters) {
        let gauge = counters.gauge(job.lane);
        let mut state = self.state();
        if !state.open {
            drop(state);
            return job.answer_with(Error::Closed);
        }
        if state.jobs.len() >= self.limit {
            drop(state);
            gauge.refused();
            return job.answer_with(Error::Overloaded);
        }
        gauge.joined();
        state.jobs.push_back(job);
        drop(state);
        self.wake.notify_one();
    }

    /// Sends each thread a note. They are dropped if the queue is closed.
    pub(crate) fn notify(&self, note: impl Fn() -> N) {
        let mut state = self.state();
        if state.open {
            state.notes.iter_mut().for_each(|it| it.push_back(note()));
        }
        drop(state);
        self.wake.notify_all();
    }

    /// Waits for something to do.
    pub(crate) fn next(&self, thread: usize, counters: &Counters) -> Next<N> {
        let mut state = self.state();
        loop {
            if let Some(note) = state.notes.get_mut(thread).and_then(VecDeque::pop_front) {
                return Next::Note(note);
            }
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                counters.gauge(job.lane).left(&job);
                return Next::Job(job);
            }
            if !state.open {
                return Next::End;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets no more in; the threads end when it is empty.
    pub(crate) fn close(&self) {
        self.state().open = false;
        self.wake.notify_all();
    }
}

/// Waits for threads to end without holding up the caller's executor.
pub(crate) async fn join(threads: Vec<JoinHandle<()>>) {
    let (done, ended) = oneshot::channel::<()>();
    let wait = move || {
        for thread in threads {
            // One that has panicked has ended, too.
            let _ = thread.join();
        }
        drop(done);
    };
    if Builder::new().name("join".to_owned()).spawn(wait).is_ok() {
        let _ = ended.await;
    }
}
