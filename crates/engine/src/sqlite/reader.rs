//! A thread that reads: it has a read-only connection for each place that it met lately.

use std::sync::Arc;

use hashlink::LruCache;
use tokio::sync::mpsc::UnboundedSender;

use super::Connection;
use super::files::{Files, Purpose};
use crate::db::{Common, Link};
use crate::error::Result;
use crate::scope::Place;
use crate::work::{Counters, Job, Next, Queue, Ran};

/// Asks a reader to close its connection to a place; the sender is dropped when it has.
pub(crate) struct Forget {
    pub(crate) place: Place,
    pub(crate) done: UnboundedSender<()>,
}

pub(crate) struct Reader {
    number: usize,
    queue: Arc<Queue<Forget>>,
    files: Arc<Files>,
    common: Arc<Common>,
    counters: Arc<Counters>,
    open: LruCache<Place, Connection>,
}

impl Reader {
    pub(crate) fn new(
        number: usize,
        queue: Arc<Queue<Forget>>,
        files: &Arc<Files>,
        common: &Arc<Common>,
        counters: &Arc<Counters>,
        open: usize,
    ) -> Self {
        Self {
            number,
            queue,
            files: Arc::clone(files),
            common: Arc::clone(common),
            counters: Arc::clone(counters),
            open: LruCache::new(open),
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            match self.queue.next(self.number, &self.counters) {
                Next::Job(job) => self.read(job),
                Next::Note(Forget { place, done }) => {
                    drop(self.open.remove(&place));
                    drop(done);
                }
                Next::End => return,
            }
        }
    }

    fn read(&mut self, job: Job) {
        let Some(mut job) = job.fresh() else { return };
        let place = job.scope.place.clone();
        let connection = match self.connection(&place) {
            Ok(it) => it,
            Err(error) => return job.answer_with(error),
        };
        connection.limit(job.deadline);
        let ran = match connection.run("begin deferred") {
            Ok(()) => job.run(Link::Sqlite(&connection), &self.common),
            Err(error) => {
                job.fail(error);
                Ran::Failed
            }
        };
        connection.rest();
        let ended = connection.is_idle() || connection.run("rollback").is_ok();
        // An effect is for a write; a read has none.
        if ended && !matches!(ran, Ran::Panicked) {
            self.open.insert(place, connection);
        }
        job.answer();
    }

    fn connection(&mut self, place: &Place) -> Result<Connection> {
        match self.open.remove(place) {
            Some(connection) => Ok(connection),
            None => self.files.open(place, Purpose::Read),
        }
    }
}
