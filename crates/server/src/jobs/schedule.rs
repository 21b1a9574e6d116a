//! The scheduler: finds work that is due, runs it, keeps its leases, and gives them back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outbox::Dispatcher;
use super::{Kind, Sink, Work, enqueue, rules};
use crate::clock::{Millis, boot_millis};
use crate::error::{Error, Result};
use crate::ids::AppId;
use crate::server::{Server, Tally};
use crate::store::jobs::{self, Job, New};
use crate::store::{self, Database, Tx, outbox};

/// Jobs at a time on one node.
const SLOTS: usize = 8;
/// How often the database is asked where several processes share it. A process that is alone looks
/// at its clock twice as often, and at the database when something is due.
const POLL: Duration = Duration::from_secs(1);
/// The least time between two looks, however often the bell rings.
const BREATH: Duration = Duration::from_millis(20);
/// How often work is counted, in milliseconds.
const COUNT_EVERY: i64 = 10_000;
/// How long a place that could not be read is left alone.
const LATER: i64 = 5_000;
/// How long a job waits that this version does not know: another node may.
const UNKNOWN_WAITS: i64 = 60_000;

/// Starts to run jobs and deliveries, beside the requests, until the server stops.
pub async fn start(server: &Server, kinds: Vec<Kind>, sinks: Vec<Sink>) -> Result<()> {
    let crew = Arc::new(Crew {
        server: server.clone(),
        dispatcher: Dispatcher::new(server, sinks),
        kinds,
        slots: Arc::new(Semaphore::new(SLOTS)),
        owner: server.random.opaque(),
    });
    crew.plan().await?;
    server.background.run_to_end(keep_running(Arc::clone(&crew)));
    if !server.lease.is_shared() {
        server.background.run(async move { crew.find_unfinished().await });
    }
    Ok(())
}

struct Crew {
    server: Server,
    dispatcher: Dispatcher,
    kinds: Vec<Kind>,
    slots: Arc<Semaphore>,
    /// The name of this process in the rows that it holds.
    owner: String,
}

async fn keep_running(crew: Arc<Crew>) {
    let server = &crew.server;
    let mut counted = Counted::default();
    while !server.background.is_stopping() {
        for place in crew.places().await {
            crew.visit(&place, &mut counted).await;
        }
        let pause = if server.lease.is_shared() { POLL } else { POLL / 2 };
        tokio::select! {
            () = server.background.stopping() => {}
            () = tokio::time::sleep(pause) => {}
            () = server.agenda.rings() => tokio::time::sleep(BREATH).await,
        }
    }
}

/// When the work of which place was last counted.
type Counted = std::collections::HashMap<Arc<str>, Millis>;

impl Crew {
    /// Puts the timetable's jobs where none is waiting. A process that is alone with its data takes
    /// back what its predecessor held.
    async fn plan(&self) -> Result<()> {
        let (server, alone) = (self.server.clone(), !self.server.lease.is_shared());
        let periodic: Vec<_> =
            self.kinds.iter().filter_map(|it| Some((it.name, it.every?))).collect();
        let now = server.clock.now();
        let owner = self.owner.clone();
        let write = move |tx: &Tx<'_>| {
            if alone {
                jobs::release_all(tx, &owner)?;
                outbox::release_all(tx)?;
            }
            for (kind, every) in &periodic {
                let run_at = now + *every;
                let new = New { kind, payload: "", dedupe: Some(kind), run_at };
                enqueue(tx, &server, &new)?;
            }
            Ok::<_, Error>(())
        };
        let platform = &self.server.apps.platform.data;
        platform.write(write).await?;
        self.server.agenda.note(&platform.scope().id, now);
        Ok(())
    }

    /// Looks once into every application's file for work that a stopped process has left, one
    /// after the other, so that requests are not held up.
    async fn find_unfinished(&self) {
        let server = &self.server;
        let mut from: Arc<str> = Arc::from("");
        loop {
            let after = Arc::clone(&from);
            let platform = &server.apps.platform.data;
            let page = platform.read(move |db| store::apps::active_after(db, &after, 500)).await;
            let Ok(page) = page else {
                tokio::time::sleep(POLL).await;
                continue;
            };
            let Some(last) = page.last() else { return };
            from = Arc::clone(&last.id.0);
            for app in page {
                if let Err(error) = self.take_back(&app.id).await {
                    self.unreadable(&app.id.0, &error);
                }
            }
        }
    }

    async fn take_back(&self, app: &AppId) -> Result<()> {
        let data = self.server.apps.data(app);
        let any = |db: &store::Db<'_>| {
            let forever = Millis(i64::MAX);
            Ok::<_, Error>(jobs::next(db, forever)?.or(outbox::next(db, forever)?).is_some())
        };
        if data.read(any).await? {
            let owner = self.owner.clone();
            let release = move |tx: &Tx<'_>| {
                jobs::release_all(tx, &owner)?;
                outbox::release_all(tx)
            };
            data.write(release).await?;
            self.server.agenda.note(&app.0, Millis(0));
        }
        Ok(())
    }

    /// Where something may be due: one place for all where the tables are shared.
    async fn places(&self) -> Vec<Database> {
        let server = &self.server;
        let platform = &server.apps.platform.data;
        if server.lease.is_shared() {
            return vec![platform.clone()];
        }
        let due = server.agenda.take_due(server.clock.now());
        let mut places = Vec::new();
        for app in due {
            if app.is_empty() {
                places.push(platform.clone());
            } else if let Some(data) = self.place(&app).await {
                places.push(data);
            }
        }
        places
    }

    /// The rows of an application, which may be of an earlier version.
    async fn place(&self, app: &Arc<str>) -> Option<Database> {
        match self.server.apps.ready(&AppId(Arc::clone(app))).await {
            Ok(data) => Some(data),
            Err(error) => {
                self.unreadable(app, &error);
                None
            }
        }
    }

    /// Notes to look again, unless the application is gone.
    fn unreadable(&self, app: &Arc<str>, error: &Error) {
        if error.is_undefined() {
            self.server.agenda.forget(app);
            return;
        }
        tracing::warn!(%app, cause = %error, "jobs cannot be read; tried again");
        self.server.agenda.keep(app, Millis(self.server.clock.now().0 + LATER));
    }

    /// Takes what is due at a place and that there is room for, and notes when to look again.
    async fn visit(self: &Arc<Self>, place: &Database, counted: &mut Counted) {
        let app = &place.scope().id;
        let now = self.server.clock.now();
        let count = counted.get(app).is_none_or(|it| (now.0 - it.0).abs() >= COUNT_EVERY);
        match self.take(place, count).await {
            Ok(next) => {
                if let Some(at) = next {
                    self.server.agenda.keep(app, at);
                }
                // A place where nothing waits may be counted at once when something does.
                if next.is_none() {
                    counted.remove(app);
                } else if count {
                    counted.insert(Arc::clone(app), now);
                }
            }
            Err(error) => self.unreadable(app, &error),
        }
    }

    /// The same; tells when the next thing is due.
    async fn take(self: &Arc<Self>, place: &Database, count: bool) -> Result<Option<Millis>> {
        let (server, app, mut uncounted) = (&self.server, &place.scope().id, count);
        loop {
            let count = std::mem::take(&mut uncounted);
            let now = server.clock.now();
            let look = place.read(move |db| {
                let tally = if count { Some(tally(db)?) } else { None };
                Ok::<_, Error>((jobs::next(db, now)?, outbox::next(db, now)?, tally))
            });
            let (job, delivery, tally) = look.await?;
            if let Some(tally) = tally {
                server.agenda.count(app, tally);
            }
            let due = |it: Option<Millis>| it.is_some_and(|it| it <= now);
            let jobs = if due(job) { self.take_jobs(place, now).await? } else { 0 };
            let deliveries =
                if due(delivery) { self.dispatcher.take(place, now).await? } else { 0 };
            if jobs + deliveries == 0 || server.background.is_stopping() {
                // What is due and found no room is looked at again when there is some.
                return Ok(job.into_iter().chain(delivery).min());
            }
        }
    }

    async fn take_jobs(self: &Arc<Self>, place: &Database, now: Millis) -> Result<usize> {
        // Nobody else takes a slot, so what is free stays free.
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(0);
        if free == 0 {
            return Ok(0);
        }
        let owner = self.owner.clone();
        let claim = move |tx: &Tx<'_>| jobs::claim(tx, &owner, (now, now + rules::LEASE), free);
        let (began, taken) = (boot_millis(), place.write(claim).await?);
        let count = taken.len();
        for job in taken {
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { break };
            let data = data_of(&self.server, place, &job.app);
            let crew = Arc::clone(self);
            self.server.background.run_to_end(crew.carry_out(data, job, began, slot));
        }
        Ok(count)
    }

    async fn carry_out(
        self: Arc<Self>,
        data: Database,
        job: Job,
        began: i64,
        slot: OwnedSemaphorePermit,
    ) {
        let (server, place) = (&self.server, Arc::clone(&data.scope().id));
        let kind = self.kinds.iter().find(|it| it.name == job.kind);
        let end = match kind {
            None => End::Unknown,
            Some(kind) if !rules::may_run(job.attempts, kind.tries) => {
                End::Failed("the server ended during the last try".to_owned(), kind)
            }
            Some(kind) => self.run(kind, &data, &job, began).await,
        };
        if let Err(error) = self.note_end(&data, &job, end).await {
            // Its lease runs out, and it is tried again.
            tracing::warn!(job = %job.id, kind = %job.kind, cause = %error, "the end of a job could not be noted");
        }
        drop(slot);
        server.agenda.note(&place, server.clock.now());
    }

    async fn run<'k>(&self, kind: &'k Kind, data: &Database, job: &Job, began: i64) -> End<'k> {
        let server = &self.server;
        let work = Work { server: server.clone(), data: data.clone(), job: job.clone() };
        let handler = AssertUnwindSafe(async { (kind.run)(work).await }).catch_unwind();
        tokio::select! {
            done = handler => match done {
                Ok(Ok(())) => End::Done(kind),
                Ok(Err(error)) => End::Failed(error.to_string(), kind),
                Err(_) => {
                    server.metrics.panics.add();
                    End::Failed(PANICKED.to_owned(), kind)
                }
            },
            () = self.keep_lease(data, job, began) => End::Lost,
            () = server.background.stopping() => End::Stopped,
        }
    }

    /// Renews the lease again and again; returns when it is lost.
    async fn keep_lease(&self, data: &Database, job: &Job, began: i64) {
        let mut renewed = began;
        let left = |renewed: i64| {
            let left = rules::LEASE.millis() - (boot_millis() - renewed);
            Duration::from_millis(u64::try_from(left).unwrap_or(0))
        };
        loop {
            tokio::time::sleep(rules::HEARTBEAT.min(left(renewed))).await;
            let began = boot_millis();
            if rules::is_lost(renewed, began) {
                return;
            }
            let (job, lease) = (job.clone(), self.server.clock.now() + rules::LEASE);
            let renewal = data.write(move |tx| jobs::renew(tx, &job, lease));
            match tokio::time::timeout(left(renewed), renewal).await {
                Ok(Ok(true)) => renewed = began,
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => {
                    let error: Error = error;
                    tracing::warn!(cause = %error, "a lease could not be renewed");
                }
            }
        }
    }

    async fn note_end(&self, data: &Database, job: &Job, end: End<'_>) -> Result<()> {
        let server = self.server.clone();
        let now = server.clock.now();
        let keep = job.clone();
        match end {
            End::Done(kind) => {
                let (name, every) = (kind.name, kind.every);
                let done = move |tx: &Tx<'_>| {
                    if let (true, Some(every)) = (jobs::done(tx, &keep)?, every) {
                        let (payload, run_at) = (keep.payload.as_str(), now + every);
                        let next = New { kind: name, payload, dedupe: Some(name), run_at };
                        enqueue(tx, &server, &next)?;
                    }
                    Ok(())
                };
                data.write(done).await
            }
            End::Failed(error, kind) => {
                let random = u64::from_le_bytes(server.random.bytes());
                let (tries, given_up) = (kind.tries, kind.given_up);
                let cause = error.clone();
                let failed = move |tx: &Tx<'_>| {
                    let Some(attempts) = jobs::tries(tx, &keep)? else { return Ok(None) };
                    let next = rules::next_try(attempts, tries, now, random);
                    if jobs::failed(tx, &keep, &error, (now, next))? && next.is_none() {
                        given_up(tx, &server, &keep.payload)?;
                    }
                    Ok::<_, Error>(Some((attempts, next.is_none())))
                };
                if let Some((attempt, last)) = data.write(failed).await? {
                    let (id, kind) = (&job.id, kind.name);
                    tracing::warn!(job = %id, kind, attempt, last, %cause, "a job failed");
                }
                Ok(())
            }
            End::Unknown => {
                let at = Millis(now.0 + UNKNOWN_WAITS);
                let why = "this version of the server does not know jobs of this kind";
                data.write(move |tx| jobs::give_back(tx, &keep, at, why)).await.map(|_| ())
            }
            End::Stopped => {
                data.write(move |tx| jobs::give_back(tx, &keep, now, "")).await.map(|_| ())
            }
            End::Lost => Ok(()),
        }
    }
}

/// How a try ended.
enum End<'k> {
    Done(&'k Kind),
    Failed(String, &'k Kind),
    Unknown,
    Lost,
    Stopped,
}

fn tally(db: &store::Db<'_>) -> Result<Tally> {
    let (jobs, jobs_failed, oldest_job) = jobs::counts(db)?;
    let (deliveries, deliveries_failed, oldest_delivery) = outbox::counts(db)?;
    Ok(Tally { jobs, jobs_failed, oldest_job, deliveries, deliveries_failed, oldest_delivery })
}

/// The rows of the application that something taken at `place` belongs to.
pub(super) fn data_of(server: &Server, place: &Database, app: &str) -> Database {
    if *app == *place.scope().id { place.clone() } else { server.apps.data(&AppId(app.into())) }
}

/// What stands for a panic where developers read it: its words may hold what somebody has sent.
pub(super) const PANICKED: &str = "the work panicked; the log of the server tells where";
