//! A cell: one SQLite data directory or one PostgreSQL cluster; and a database in it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::db::{Common, Db, Tx};
use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::faults::Hooks;
use crate::scope::Scope;
use crate::translate::Translator;
use crate::work::{Counters, Job, Lane, QueueStats, is_inside, job};
use crate::{postgres, sqlite};

/// One SQLite data directory or one PostgreSQL cluster, with the threads that own its
/// connections. A clone is the same cell; when the last one and the last [`Database`] is gone, the
/// threads end.
#[derive(Clone)]
pub struct Cell(Arc<Inner>);

struct Inner {
    common: Arc<Common>,
    counters: Arc<Counters>,
    deadline: Duration,
    engine: Engine,
}

enum Engine {
    Sqlite(sqlite::Engine),
    Postgres(postgres::Engine),
}

/// How a SQLite cell is set up.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The data directory; it is made if it does not exist.
    pub dir: PathBuf,
    /// Threads that write; an application always has the same one.
    pub writers: usize,
    /// Threads that read.
    pub readers: usize,
    /// Applications open for writing at once, and as many connections for reading.
    pub open_apps: usize,
    /// Units of work that wait: for each writing thread, and for the reading ones together.
    pub queue: usize,
    /// Whether a commit is on the disk before it is answered. Only a test can do without.
    pub durable: bool,
    /// How long a unit of work may run.
    pub deadline: Duration,
    /// For tests.
    pub hooks: Hooks,
}

impl SqliteOptions {
    /// The usual set-up for the data directory `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            writers: 4,
            readers: 4,
            open_apps: 256,
            queue: 4096,
            durable: true,
            deadline: Duration::from_secs(5),
            hooks: Hooks::default(),
        }
    }
}

/// How a PostgreSQL cell is set up.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://…` or `host=… user=…`; secret. Beside what libpq and tokio-postgres share:
    /// `sslmode` is `disable`, `prefer`, `require`, `verify-ca` or `verify-full`, and
    /// `sslrootcert` names a PEM file. Certificates are always verified, with the host's name;
    /// `prefer`, the default, is TLS for every host but a Unix socket and loopback.
    pub url: String,
    /// Threads, each with a connection; 0 for 4 per core, at most 32.
    pub connections: usize,
    /// Units of work that wait.
    pub queue: usize,
    /// How long a unit of work may run.
    pub deadline: Duration,
    /// For tests.
    pub hooks: Hooks,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("url", &"[secret]")
            .field("connections", &self.connections)
            .field("queue", &self.queue)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// The usual set-up for the cluster and database that `url` names.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 0,
            queue: 4096,
            deadline: Duration::from_secs(5),
            hooks: Hooks::default(),
        }
    }
}

/// The state of a cell. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reads.
    pub reads: QueueStats,
    /// Writes.
    pub writes: QueueStats,
    /// Transactions committed.
    pub commits: u64,
    /// Units of work in them; divided by `commits`: the size of a group.
    pub committed: u64,
    /// Units run again after a deadlock or a lost connection.
    pub retries: u64,
    /// Connections open now.
    pub connections: usize,
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cell").field(&self.dialect()).finish()
    }
}

impl Cell {
    /// Opens a data directory, and makes it if it does not exist (mode 0700). That no other process
    /// has it is for the caller to see to.
    pub fn sqlite(options: SqliteOptions) -> Result<Self> {
        let common = common(Dialect::Sqlite, options.hooks.clone());
        let counters = Arc::new(Counters::default());
        let deadline = options.deadline;
        let engine = sqlite::Engine::start(options, &common, &counters)?;
        Ok(Self(Arc::new(Inner { common, counters, deadline, engine: Engine::Sqlite(engine) })))
    }

    /// Connects to a cluster once, to see that it fits: version 14 or newer, encoding UTF-8.
    /// Later a connection is made when it is needed.
    pub async fn postgres(options: PostgresOptions) -> Result<Self> {
        let common = common(Dialect::Postgres, options.hooks.clone());
        let counters = Arc::new(Counters::default());
        let deadline = options.deadline;
        let engine = postgres::Engine::start(&options, &common, &counters)?;
        let engine = Engine::Postgres(engine);
        let cell = Self(Arc::new(Inner { common, counters, deadline, engine }));
        postgres::check(&cell.database(Scope::control())).await?;
        Ok(cell)
    }

    /// The engine's way to say things.
    pub fn dialect(&self) -> Dialect {
        self.0.common.translator.dialect()
    }

    /// The data of `scope`; that it exists shows at the first use.
    pub fn database(&self, scope: Scope) -> Database {
        let (cell, deadline) = (Arc::clone(&self.0), self.0.deadline);
        Database { cell, scope, deadline, poller: false }
    }

    /// The platform's data, over a connection of its own that never waits behind other work: for
    /// the poll of the change log. On SQLite it waits with the other reads.
    pub fn poller(&self) -> Database {
        Database { poller: true, ..self.database(Scope::control()) }
    }

    /// Makes the place of `scope`, if it is not there: a folder, or a schema.
    pub async fn create_place(&self, scope: &Scope) -> Result<()> {
        scope.place.app()?;
        match &self.0.engine {
            Engine::Sqlite(engine) => engine.create_place(&scope.place).await,
            Engine::Postgres(_) => postgres::create_place(&self.database(scope.clone())).await,
        }
    }

    /// Removes the place of an application with all that is in it, if it is there. Work on it that
    /// waits fails. What lies in shared system tables is the caller's to delete.
    pub async fn drop_place(&self, scope: &Scope) -> Result<()> {
        if scope.place.app()?.is_none() {
            return Err(Error::other("the platform's own data is never dropped"));
        }
        match &self.0.engine {
            Engine::Sqlite(engine) => engine.drop_place(&scope.place).await,
            Engine::Postgres(_) => postgres::drop_place(&self.database(scope.clone())).await,
        }
    }

    /// How busy it is.
    pub fn stats(&self) -> Stats {
        let counters = &self.0.counters;
        Stats {
            reads: counters.reads.stats(),
            writes: counters.writes.stats(),
            commits: counters.commits.load(Ordering::Relaxed),
            committed: counters.committed.load(Ordering::Relaxed),
            retries: counters.retries.load(Ordering::Relaxed),
            connections: counters.connections.load(Ordering::Relaxed),
        }
    }

    /// Takes no more work, finishes what is queued, writes SQLite's journals into their files, and
    /// returns when the threads have ended. Repeatable.
    pub async fn close(&self) {
        match &self.0.engine {
            Engine::Sqlite(engine) => engine.close().await,
            Engine::Postgres(engine) => engine.close().await,
        }
    }
}

fn common(dialect: Dialect, hooks: Hooks) -> Arc<Common> {
    Arc::new(Common { translator: Translator::new(dialect), hooks })
}

impl Inner {
    fn push(&self, job: Job, poller: bool) {
        match &self.engine {
            Engine::Sqlite(engine) => engine.push(job),
            Engine::Postgres(engine) => engine.push(job, poller),
        }
    }
}

/// The data of one scope. A unit of work is a closure: it runs on the thread that owns the
/// connection. It does database work only, and is short. Nothing in it waits: no network, no
/// hashing, no [`read`](Self::read) or [`write`](Self::write). It may run more than once.
#[derive(Clone)]
pub struct Database {
    cell: Arc<Inner>,
    scope: Scope,
    deadline: Duration,
    poller: bool,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Database {
    /// Whose data this is.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The engine's way to say things.
    pub fn dialect(&self) -> Dialect {
        self.cell.common.translator.dialect()
    }

    /// The same data for work that may run for `deadline`, for jobs.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Runs `f`, which only reads.
    ///
    /// Fails with what `f` fails with; and with [`Error::Overloaded`], [`Error::Deadline`],
    /// [`Error::Unavailable`], [`Error::Undefined`] (the place does not exist),
    /// [`Error::Panicked`] and [`Error::Closed`], as all of this crate does.
    pub async fn read<T, E>(
        &self,
        f: impl Fn(&Db<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(Lane::Read, move |tx| f(tx)).await
    }

    /// Runs `f` in a transaction, and commits if it answers `Ok`. When the answer comes, the commit
    /// is durable and its [effects](Tx::after_commit) have run.
    ///
    /// If the caller goes away, `f` is skipped or finished, never left half done. Fails as
    /// [`read`](Self::read) does, and with [`Error::NoSpace`] and [`Error::OutcomeUnknown`].
    pub async fn write<T, E>(
        &self,
        f: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(Lane::Write, f).await
    }

    /// Runs `f` so that each of its statements stands alone: what PostgreSQL takes outside of a
    /// transaction only, such as the building of an index beside traffic. Nothing is undone if it
    /// fails half-way, so it must be repeatable. On SQLite it is a transaction like others.
    ///
    /// Fails as [`read`](Self::read) does.
    pub async fn alone<T, E>(
        &self,
        f: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let lane = match self.dialect() {
            Dialect::Sqlite => Lane::Write,
            Dialect::Postgres => Lane::Alone,
        };
        self.run(lane, f).await
    }

    async fn run<T, E>(
        &self,
        lane: Lane,
        f: impl Fn(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        if is_inside() {
            let what = "read or write was called inside of a unit of work";
            return Err(Error::Nested(what).into());
        }
        let (job, answer) = job(self.scope.clone(), lane, self.deadline, f);
        self.cell.push(job, self.poller);
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }
}
