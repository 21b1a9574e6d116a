//! A thread with a connection of its own: takes a unit of work, runs it, commits, tries again.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::connect::Connector;
use super::session::{Session, State};
use crate::db::{Common, Effect, Link};
use crate::error::{Error, Result};
use crate::work::{Counters, Job, Lane, Next, Queue, Ran, run_effects};

/// How often a unit of work runs again after a deadlock or a serialisation failure.
const RETRIES: u32 = 3;
/// A connection is replaced after 20 minutes, a quarter more or less: so that after a failover the
/// load finds its way to the new server, and not all come at once.
const LIFETIME: Duration = Duration::from_mins(20);
/// At the least, for a commit or a rollback.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Runs until the queue is closed and empty.
pub(crate) fn run(
    number: usize,
    queue: &Queue<()>,
    connector: Arc<Connector>,
    common: &Common,
    counters: &Arc<Counters>,
) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let mut worker = runtime.map(|runtime| Worker {
        runtime: Rc::new(runtime),
        connector,
        common,
        counters: Arc::clone(counters),
        session: None,
    });
    loop {
        match (queue.next(number, counters), &mut worker) {
            (Next::Job(job), Ok(worker)) => worker.work(job),
            (Next::Job(job), Err(error)) => {
                job.answer_with(Error::Unavailable(format!("no runtime: {error}")));
            }
            (Next::Note(()), _) => {}
            (Next::End, _) => break,
        }
    }
}

struct Worker<'w> {
    runtime: Rc<Runtime>,
    connector: Arc<Connector>,
    common: &'w Common,
    counters: Arc<Counters>,
    session: Option<Session>,
}

/// How one try of a unit of work ended. The job knows what to answer.
enum Tried {
    Done(Vec<Effect>),
    Failed,
    /// Failed, and the connection is lost or not to be trusted; nothing was kept.
    Broken,
    /// Nothing was kept; another try may get through, after a lost connection but once.
    Lost,
    Conflict,
}

impl Worker<'_> {
    fn work(&mut self, job: Job) {
        let Some(mut job) = job.fresh() else { return };
        let until = Instant::now() + job.deadline;
        let (mut losses, mut conflicts) = (0, 0);
        loop {
            let session = match self.session(until) {
                Ok(session) => session,
                Err(error) => return job.answer_with(error),
            };
            session.start(until);
            let tried = match job.lane {
                Lane::Read | Lane::Alone => read(&session, &mut job, self.common),
                Lane::Write => write(&session, &mut job, self.common),
            };
            match tried {
                Tried::Lost | Tried::Broken => drop(session),
                _ => self.session = Some(session),
            }
            match tried {
                Tried::Done(effects) => {
                    if job.lane == Lane::Write {
                        self.counters.committed(1);
                    }
                    run_effects(effects);
                    return job.answer();
                }
                Tried::Lost if losses < 1 => losses += 1,
                Tried::Conflict if conflicts < RETRIES => {
                    conflicts += 1;
                    // Whoever met in a deadlock should not meet again at once.
                    std::thread::sleep(Duration::from_micros(random() % (3000 << conflicts)));
                }
                Tried::Lost | Tried::Conflict | Tried::Failed | Tried::Broken => {
                    return job.answer();
                }
            }
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The thread's connection, a new one if need be.
    fn session(&mut self, until: Instant) -> Result<Session> {
        match self.session.take() {
            Some(session) if session.is_good() => return Ok(session),
            // An old one ends here, before the new one begins.
            other => drop(other),
        }
        let spread = u64::try_from(LIFETIME.as_millis() / 2).unwrap_or(1);
        let lifetime = LIFETIME * 3 / 4 + Duration::from_millis(random() % spread);
        Session::connect(&self.runtime, &self.connector, &self.counters, until, lifetime)
    }
}

/// Runs a unit that reads. Each statement stands alone: there is nothing to begin or to end.
fn read(session: &Session, job: &mut Job, common: &Common) -> Tried {
    match job.run(Link::Postgres(session), common) {
        Ran::Panicked => Tried::Broken,
        ran => match (session.state(), ran) {
            (State::Lost, _) => Tried::Lost,
            (State::Overdue, _) => Tried::Broken,
            (State::Sound, Ran::Done(effects)) => Tried::Done(effects),
            (State::Sound, _) if session.is_transient() => Tried::Conflict,
            (State::Sound, _) => Tried::Failed,
        },
    }
}

/// Runs a unit in a transaction.
fn write(session: &Session, job: &mut Job, common: &Common) -> Tried {
    let begin = "begin isolation level read committed";
    if let Err(error) = common.hooks.before(begin).and_then(|()| session.batch(begin)) {
        let lost = session.state();
        job.fail(error);
        return match lost {
            State::Sound => Tried::Failed,
            State::Lost => Tried::Lost,
            State::Overdue => Tried::Broken,
        };
    }
    let ran = job.run(Link::Postgres(session), common);
    match (session.state(), ran) {
        (_, Ran::Panicked) | (State::Overdue, _) => Tried::Broken,
        (State::Lost, _) => Tried::Lost,
        // The closure may have wrapped the error, or may have gone on: only a new try counts.
        (State::Sound, _) if session.is_transient() => roll_back(session, Tried::Conflict),
        (State::Sound, Ran::Failed) => roll_back(session, Tried::Failed),
        (State::Sound, Ran::Done(effects)) => commit(session, job, common, effects),
    }
}

fn commit(session: &Session, job: &mut Job, common: &Common, effects: Vec<Effect>) -> Tried {
    if let Err(error) = common.hooks.before("commit") {
        job.fail(error);
        return roll_back(session, Tried::Failed);
    }
    session.limit(Instant::now() + job.deadline.max(LAST_WORD));
    match (session.batch("commit"), session.state()) {
        (Ok(()), _) => Tried::Done(effects),
        (Err(_), State::Sound) if session.is_transient() => Tried::Conflict,
        // The server has said no, to a deferred constraint for one: it is rolled back.
        (Err(error), State::Sound) => {
            job.fail(error);
            Tried::Failed
        }
        (Err(error), State::Lost | State::Overdue) => {
            job.fail(Error::OutcomeUnknown(error.to_string()));
            Tried::Broken
        }
    }
}

fn roll_back(session: &Session, tried: Tried) -> Tried {
    session.limit(Instant::now() + LAST_WORD);
    match (session.batch("rollback"), tried) {
        (Ok(()), tried) => tried,
        // The server undoes it when it sees the connection end.
        (Err(_), Tried::Conflict) => Tried::Lost,
        (Err(_), _) => Tried::Broken,
    }
}

/// A number that differs each time; nobody needs to be unable to guess it.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
