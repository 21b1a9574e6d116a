//! SQLite: threads that own connections. Writers commit in groups, readers share a queue.
//!
//! **Invariant:** one thread at a time has a file open for writing, and a file is deleted only when
//! no thread of ours has it open.

mod connection;
mod files;
mod functions;
mod reader;
mod writer;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use tokio::sync::{mpsc, oneshot};

pub(crate) use connection::Connection;
use files::Files;
use writer::Line;

use crate::cell::SqliteOptions;
use crate::db::Common;
use crate::error::{Error, Result};
use crate::scope::Place;
use crate::work::{Counters, Job, Lane, Queue};

/// Older ones can corrupt a database in WAL mode (sqlite.org/wal.html, "the WAL-reset bug").
const OLDEST: i32 = 3_051_003;

pub(crate) struct Engine {
    files: Arc<Files>,
    counters: Arc<Counters>,
    lines: Vec<Arc<Line>>,
    readers: Arc<Queue<reader::Forget>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    pub(crate) fn start(
        options: SqliteOptions,
        common: &Arc<Common>,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        if rusqlite::version_number() < OLDEST {
            return Err(Error::other(format!(
                "SQLite {} has a fault that can corrupt a database. Build with 3.51.3 or newer",
                rusqlite::version()
            )));
        }
        let (writers, readers) = (options.writers.max(1), options.readers.max(1));
        let (queue, open_apps) = (options.queue.max(1), options.open_apps);
        let files = Arc::new(Files::new(options, Arc::clone(counters))?);
        let mut engine = Self {
            files: Arc::clone(&files),
            counters: Arc::clone(counters),
            lines: Vec::new(),
            readers: Arc::new(Queue::new(queue, readers)),
            threads: Mutex::default(),
        };
        for number in 0..writers {
            let line = Arc::new(Line::new(queue));
            engine.lines.push(Arc::clone(&line));
            let open = open_apps.div_ceil(writers).max(1);
            let writer = writer::Writer::new(line, &files, common, counters, open);
            engine.spawn(format!("sqlite-write-{number}"), move || writer.run())?;
        }
        for number in 0..readers {
            let open = open_apps.div_ceil(readers).max(1);
            let queue = Arc::clone(&engine.readers);
            let reader = reader::Reader::new(number, queue, &files, common, counters, open);
            engine.spawn(format!("sqlite-read-{number}"), move || reader.run())?;
        }
        Ok(engine)
    }

    fn spawn(&self, name: String, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = Builder::new().name(name).spawn(run);
        let thread = thread.map_err(|it| Error::Unavailable(format!("no thread: {it}")))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    pub(crate) fn push(&self, job: Job) {
        match job.lane {
            Lane::Read => self.readers.push(job, &self.counters),
            Lane::Write | Lane::Alone => self.line(&job.scope.place).push(job, &self.counters),
        }
    }

    /// The writer of a place, always the same.
    fn line(&self, place: &Place) -> &Line {
        let mut hasher = DefaultHasher::new();
        place.hash(&mut hasher);
        let count = self.lines.len() as u64;
        let index = usize::try_from(hasher.finish() % count).unwrap_or(0);
        &self.lines[index]
    }

    pub(crate) async fn create_place(&self, place: &Place) -> Result<()> {
        let (files, new) = (Arc::clone(&self.files), place.clone());
        self.on_writer(place, move |_| files.create(&new)).await
    }

    pub(crate) async fn drop_place(&self, place: &Place) -> Result<()> {
        // From here on nobody opens it anew, until the bar falls with its last holder.
        let bar = self.files.bar(place.clone());
        let (done, mut acknowledged) = mpsc::unbounded_channel::<()>();
        self.readers.notify(|| reader::Forget { place: place.clone(), done: done.clone() });
        drop(done);
        while acknowledged.recv().await.is_some() {}
        let (files, old) = (Arc::clone(&self.files), place.clone());
        let delete = move |writer: &mut writer::Writer| {
            writer.forget(&old);
            let deleted = files.delete(&old);
            drop(bar);
            deleted
        };
        self.on_writer(place, delete).await
    }

    /// Runs `task` on the thread that writes to `place`.
    async fn on_writer(
        &self,
        place: &Place,
        task: impl FnOnce(&mut writer::Writer) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (answer, done) = oneshot::channel();
        self.line(place).send(Box::new(move |writer| drop(answer.send(task(writer)))));
        done.await.unwrap_or(Err(Error::Closed))
    }

    pub(crate) async fn close(&self) {
        self.shut();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        crate::work::join(threads).await;
    }

    fn shut(&self) {
        self.lines.iter().for_each(|it| it.close());
        self.readers.close();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shut();
    }
}
