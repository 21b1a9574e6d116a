//! A thread that writes: it takes the work of one place after the other, and commits in groups.
//!
//! A group is up to 128 closures or 10 ms of work of one place in one transaction, each in a
//! savepoint. What fails rolls back its own savepoint. All are answered after the commit, in their
//! order; if the commit fails, all fail. So the disk is waited for once for many.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashlink::LruCache;

use super::Connection;
use super::files::{Files, Purpose};
use crate::db::{Common, Effect, Link};
use crate::error::{Error, Result};
use crate::scope::Place;
use crate::work::{Counters, Job, Lane, Ran, run_effects};

const GROUP_SIZE: usize = 128;
const GROUP_TIME: Duration = Duration::from_millis(10);

/// Something for the thread itself, such as closing a file.
type Note = Box<dyn FnOnce(&mut Writer) + Send>;

/// The queue of one writer: a line for each place, and the places take turns.
pub(crate) struct Line {
    state: Mutex<State>,
    wake: Condvar,
    limit: usize,
}

struct State {
    lines: HashMap<Place, VecDeque<Job>>,
    turns: VecDeque<Place>,
    length: usize,
    notes: VecDeque<Note>,
    open: bool,
}

enum Next {
    Job(Job),
    Note(Note),
    End,
}

impl Line {
    pub(crate) fn new(limit: usize) -> Self {
        let state = State {
            lines: HashMap::new(),
            turns: VecDeque::new(),
            length: 0,
            notes: VecDeque::new(),
            open: true,
        };
        Self { state: Mutex::new(state), wake: Condvar::new(), limit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job, or answers it at once.
    pub(crate) fn push(&self, job: Job, counters: &Counters) {
        let mut state = self.state();
        if !state.open {
            drop(state);
            return job.answer_with(Error::Closed);
        }
        if state.length >= self.limit {
            drop(state);
            counters.writes.refused();
            return job.answer_with(Error::Overloaded);
        }
        counters.writes.joined();
        state.length += 1;
        let place = job.scope.place.clone();
        if let Some(line) = state.lines.get_mut(&place) {
            line.push_back(job);
        } else {
            state.lines.insert(place.clone(), VecDeque::from([job]));
            state.turns.push_back(place);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Queues a note, or drops it if the writer ends.
    pub(crate) fn send(&self, note: Note) {
        let mut state = self.state();
        if state.open {
            state.notes.push_back(note);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Lets no more in; the writer ends when all is done.
    pub(crate) fn close(&self) {
        self.state().open = false;
        self.wake.notify_one();
    }

    /// Waits for something to do. The place of a job moves to the end of the turns.
    fn next(&self) -> Next {
        let mut state = self.state();
        loop {
            if let Some(note) = state.notes.pop_front() {
                return Next::Note(note);
            }
            if let Some(place) = state.turns.pop_front() {
                // Back to the end first: if that was its last job, `take` takes the turn away.
                state.turns.push_back(place.clone());
                if let Some(job) = state.take(&place) {
                    return Next::Job(job);
                }
                continue;
            }
            if !state.open {
                return Next::End;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next job of `place`, if one waits.
    fn more(&self, place: &Place) -> Option<Job> {
        self.state().take(place)
    }
}

impl State {
    fn take(&mut self, place: &Place) -> Option<Job> {
        let line = self.lines.get_mut(place);
        let job = line.and_then(VecDeque::pop_front);
        if job.is_some() {
            self.length -= 1;
        }
        if self.lines.get(place).is_none_or(VecDeque::is_empty) {
            self.lines.remove(place);
            self.turns.retain(|it| it != place);
        }
        job
    }
}

pub(crate) struct Writer {
    line: Arc<Line>,
    files: Arc<Files>,
    common: Arc<Common>,
    counters: Arc<Counters>,
    open: LruCache<Place, Connection>,
}

/// A closure that has run in the open transaction.
struct Done {
    job: Job,
    effects: Vec<Effect>,
    keep: bool,
}

impl Writer {
    pub(crate) fn new(
        line: Arc<Line>,
        files: &Arc<Files>,
        common: &Arc<Common>,
        counters: &Arc<Counters>,
        open: usize,
    ) -> Self {
        Self {
            line,
            files: Arc::clone(files),
            common: Arc::clone(common),
            counters: Arc::clone(counters),
            open: LruCache::new(open),
        }
    }

    pub(crate) fn run(mut self) {
        let line = Arc::clone(&self.line);
        loop {
            match line.next() {
                Next::Job(job) => {
                    self.counters.gauge(Lane::Write).left(&job);
                    self.write(job);
                }
                Next::Note(note) => note(&mut self),
                Next::End => break,
            }
        }
        while let Some((_, connection)) = self.open.remove_lru() {
            connection.checkpoint();
        }
    }

    /// Closes the connection to a place.
    pub(crate) fn forget(&mut self, place: &Place) {
        drop(self.open.remove(place));
    }

    /// Runs `first` and what else waits for its place.
    fn write(&mut self, first: Job) {
        let place = first.scope.place.clone();
        let mut waiting = VecDeque::from([first]);
        let mut room = GROUP_SIZE;
        while !waiting.is_empty() {
            self.transaction(&place, &mut waiting, room);
            // What is still waiting lost its transaction to another's fault. It runs once more, by
            // itself, so that this comes to an end.
            room = 0;
        }
    }

    /// One transaction with all that waits, and up to `room` jobs more. A job leaves `waiting` for
    /// good when it is answered.
    fn transaction(&mut self, place: &Place, waiting: &mut VecDeque<Job>, room: usize) {
        let began = self.begin(place);
        let connection = match began {
            Ok(it) => it,
            Err(error) => {
                return waiting.drain(..).for_each(|job| job.answer_with(error.copy()));
            }
        };
        let start = Instant::now();
        let mut done: Vec<Done> = Vec::new();
        let mut taken = waiting.len();
        let mut sound = true;
        while let Some(job) = waiting.pop_front().or_else(|| {
            let more = taken < room && start.elapsed() < GROUP_TIME;
            let job = if more { self.line.more(place) } else { None };
            taken += usize::from(job.is_some());
            job.inspect(|job| self.counters.gauge(Lane::Write).left(job))
        }) {
            let Some(mut job) = job.fresh() else { continue };
            let ran = self.run_one(&connection, &mut job);
            if connection.is_idle() {
                // SQLite has ended the whole transaction: a deadline, a full disk. The others are
                // not to blame; they have been undone, so they run again.
                if let Ran::Done(_) = ran {
                    job.fail(Error::Unavailable("SQLite ended the transaction".to_owned()));
                }
                job.answer();
                done.into_iter().rev().for_each(|it| waiting.push_front(it.job));
                return;
            }
            let (effects, keep) = match ran {
                Ran::Done(effects) => (effects, true),
                Ran::Failed => (Vec::new(), false),
                Ran::Panicked => {
                    sound = false;
                    (Vec::new(), false)
                }
            };
            done.push(Done { job, effects, keep });
        }
        let kept = done.iter().filter(|it| it.keep).count();
        match self.end(&connection, kept) {
            Ok(()) => {
                for Done { job, effects, .. } in done {
                    run_effects(effects);
                    job.answer();
                }
            }
            Err(error) => {
                for it in done {
                    it.job.answer_with(error.copy());
                }
                sound = sound && (connection.is_idle() || connection.run("rollback").is_ok());
            }
        }
        if sound {
            self.open.insert(place.clone(), connection);
        }
    }

    fn begin(&mut self, place: &Place) -> Result<Connection> {
        let connection = match self.open.remove(place) {
            Some(connection) => connection,
            None => self.files.open(place, Purpose::Write)?,
        };
        self.common.hooks.before("begin immediate")?;
        connection.run("begin immediate")?;
        Ok(connection)
    }

    /// Commits, if there is something to keep.
    fn end(&self, connection: &Connection, kept: usize) -> Result<()> {
        if kept == 0 {
            return connection.run("rollback");
        }
        self.common.hooks.before("commit")?;
        connection.run("commit")?;
        self.counters.committed(kept);
        Ok(())
    }

    /// Runs one closure in a savepoint, which is released or undone afterwards.
    fn run_one(&self, connection: &Connection, job: &mut Job) -> Ran {
        if let Err(error) = connection.run("savepoint unit_of_work") {
            job.fail(error);
            return Ran::Failed;
        }
        connection.limit(job.deadline);
        let ran = job.run(Link::Sqlite(connection), &self.common);
        connection.rest();
        let ran = match ran {
            Ran::Done(effects) => match connection.run("release unit_of_work") {
                Ok(()) => return Ran::Done(effects),
                Err(error) => {
                    job.fail(error);
                    Ran::Failed
                }
            },
            other => other,
        };
        if !connection.is_idle() {
            let undone = connection.run("rollback to unit_of_work");
            if undone.and_then(|()| connection.run("release unit_of_work")).is_err() {
                // Then the whole transaction is given up, and the others of the group run again.
                let _ = connection.run("rollback");
            }
        }
        ran
    }
}
