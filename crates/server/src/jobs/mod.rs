//! Work that outlives a request: jobs, their timetable, and deliveries to the world outside.
//!
//! A job is a row that the transaction of a request writes ([`enqueue`]). Some node takes it, runs
//! the function of its kind, and removes the row. A node that dies loses its lease, and another one
//! takes over where the last checkpoint stands.
//!
//! **Invariant:** every job is run at least once, or stays to be seen as failed; and a chunk that
//! is written by [`Work::chunk`] counts once. What else a job does must be repeatable.

mod outbox;
pub mod rules;
mod schedule;
mod sweep;

pub use outbox::{Parcel, Sink, send};
pub use schedule::start;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::clock::Seconds;
use crate::error::{Error, Result};
use crate::server::Server;
use crate::store::jobs::{self, Job, New};
use crate::store::{Database, Tx};

/// A kind of work. Features list theirs, as they list their routes.
#[derive(Clone)]
pub struct Kind {
    /// What stands in the rows; it never changes.
    pub name: &'static str,
    /// How often it is tried without getting on, before it is given up.
    pub tries: i64,
    /// For what is done again and again: the time from the end of one round to the next.
    pub every: Option<Seconds>,
    run: Arc<dyn Fn(Work) -> BoxFuture<'static, Result<()>> + Send + Sync>,
    given_up: GivenUp,
}

/// What is written down when a job is given up, by its payload.
type GivenUp = fn(&Tx<'_>, &Server, &str) -> Result<()>;

impl Kind {
    /// Work that is done when somebody asks for it.
    pub fn new<F, R>(name: &'static str, tries: i64, run: F) -> Self
    where
        F: Fn(Work) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        let run = Arc::new(move |work| -> BoxFuture<'static, Result<()>> { Box::pin(run(work)) });
        Self { name, tries, every: None, run, given_up: |_, _, _| Ok(()) }
    }

    /// The same work; `given_up` is part of the transaction that gives it up.
    #[must_use]
    pub fn or_else(self, given_up: GivenUp) -> Self {
        Self { given_up, ..self }
    }

    /// Work that the timetable asks for; it is never given up. Nodes that share the data take turns:
    /// a round is one job, and one node has it.
    pub fn every<F, R>(name: &'static str, every: Seconds, run: F) -> Self
    where
        F: Fn(Work) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        Self { every: Some(every), ..Self::new(name, i64::MAX, run) }
    }
}

/// The server's own timetable.
pub fn timetable() -> Vec<Kind> {
    vec![
        Kind::every("sweep.platform", Seconds(600), sweep::platform),
        Kind::every("sweep.apps", Seconds(3600), sweep::apps_in_use),
        Kind::every("sweep.all-apps", Seconds(24 * 3600), sweep::all_apps),
    ]
}

/// What a job's function gets.
#[derive(Clone)]
pub struct Work {
    /// The server.
    pub server: Server,
    /// The rows of the application whose job it is, or the platform's.
    pub data: Database,
    /// The job: what it is about, and where it stands.
    pub job: Job,
}

/// How far a job has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the next try goes on.
    pub checkpoint: String,
    /// How much is done, per mille.
    pub progress: u16,
}

impl Work {
    /// Does a part of the job in a transaction, and writes down how far the job has got in the
    /// same one: the part counts once. Fails if another node has the job by now, or if somebody has
    /// cancelled it; then the part does not count, and the function should return the error.
    pub async fn chunk(
        &mut self,
        part: impl Fn(&Tx<'_>) -> Result<Mark> + Send + 'static,
    ) -> Result<()> {
        let job = self.job.clone();
        let write = move |tx: &Tx<'_>| {
            let mark = part(tx)?;
            if !jobs::checkpoint(tx, &job, &mark.checkpoint, i64::from(mark.progress))? {
                return Err(Error::internal("the job is not this node's any more"));
            }
            Ok(mark)
        };
        self.job.checkpoint = self.data.write(write).await?.checkpoint;
        Ok(())
    }
}

/// Adds a job to the application or the platform whose transaction this is, and wakes the
/// scheduler after the commit. With a `dedupe` text nothing happens while there is an unfinished
/// job of the kind with the same, one that is running included.
pub fn enqueue(tx: &Tx<'_>, server: &Server, job: &New<'_>) -> Result<()> {
    let now = server.clock.now();
    if jobs::insert(tx, &server.random.object_id(now), job, now)? {
        let (server, app, at) = (server.clone(), Arc::clone(&tx.scope().id), job.run_at);
        tx.after_commit(move || server.agenda.note(&app, at));
    }
    Ok(())
}

/// Takes a job back, whether or not it is running: from the commit on none of its chunks counts
/// any more. False if there is none.
pub fn cancel(tx: &Tx<'_>, id: &str) -> Result<bool> {
    jobs::delete(tx, id)
}
