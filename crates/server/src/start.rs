//! Start and stop: from a configuration to a server that answers, and back.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use engine::{Cell, Hooks};

use crate::apps::Apps;
use crate::clock::Clock;
use crate::config::Config;
use crate::console::apps;
use crate::error::Result;
use crate::ids::Random;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::password::Blocklist;
use crate::secret::{SealError, Sealer};
use crate::server::{Agenda, Background, Brakes, Lease, Parts, Server};
use crate::web::{self, Outer};
use crate::{cluster, jobs, router, sessions, store};

/// How many applications and sessions are kept in memory.
const APPS: usize = 1000;
const SESSIONS: usize = 500_000;

/// What tests put in place of the real things.
#[derive(Clone)]
pub struct Instruments {
    /// The source of time.
    pub clock: Clock,
    /// The source of randomness.
    pub random: Random,
    /// Faults and witnesses of the storage.
    pub hooks: Hooks,
    /// Whether each commit reaches the disk before it is answered.
    pub durable: bool,
}

impl Default for Instruments {
    fn default() -> Self {
        let (clock, random) = (Clock::system(), Random::system());
        Self { clock, random, hooks: Hooks::default(), durable: true }
    }
}

/// The right to use a data directory, held until it is dropped. The kernel takes it back when the
/// process dies, however it dies.
pub struct Hold(#[expect(dead_code, reason = "held, not read")] File);

/// Takes the data directory for this process, and makes it if it is not there; `None` while another
/// process has it. The error is one line.
pub fn hold(dir: &Path) -> Result<Option<Hold>, String> {
    let shown = dir.display();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|it| format!("cannot make the data directory {shown}: {it}"))?;
    let mut options = File::options();
    options.create(true).write(true).truncate(false).mode(0o600);
    let file = options.open(dir.join("usher.lock"));
    let cannot =
        |it: &dyn std::fmt::Display| format!("cannot use the data directory {shown}: {it}");
    let mut file = file.map_err(|it| cannot(&it))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(it)) => return Err(cannot(&it)),
    }
    let _ = writeln!(file, "{}", std::process::id());
    Ok(Some(Hold(file)))
}

/// The line that refuses a second process.
pub fn held(dir: &Path) -> String {
    format!("another usher runs in {}. Stop it, or use another --data-dir", dir.display())
}

/// Sees that the master key can be used, if one is given: before anything is made. The error is one
/// line.
pub fn check_key(config: &Config) -> Result<(), String> {
    given_key(config).map_or(Ok(()), |it| it.map(drop).map_err(|it| it.to_string()))
}

fn given_key(config: &Config) -> Option<Result<Sealer, SealError>> {
    match (&config.master_key, &config.master_key_file) {
        (Some(text), _) => Some(Sealer::from_text(text)),
        (None, Some(path)) => Some(Sealer::from_file(path)),
        (None, None) => None,
    }
}

/// Builds a server and brings its database up to this version. The error is one line.
pub async fn build(
    config: &Config,
    public_url: &str,
    instruments: Instruments,
) -> Result<Server, String> {
    let blocklist = match &config.password_blocklist {
        Some(path) => Blocklist::with_file(path)?,
        None => Blocklist::default(),
    };
    let random = instruments.random;
    let sealer =
        given_key(config).unwrap_or_else(|| Sealer::of_directory(&config.data_dir, &random));
    let sealer = sealer.map_err(|it| it.to_string())?;
    let (cell, lease) = match &config.database_url {
        None => {
            let mut options = engine::SqliteOptions::new(config.data_dir.clone());
            options.durable = instruments.durable;
            options.deadline = config.limits.database_time;
            options.hooks = instruments.hooks;
            (Cell::sqlite(options).map_err(|it| it.to_string())?, Lease::alone())
        }
        Some(url) => {
            let mut options = engine::PostgresOptions::new(url);
            options.deadline = config.limits.database_time;
            options.connections = config.limits.database_connections;
            options.hooks = instruments.hooks;
            let cell = Cell::postgres(options).await;
            (
                cell.map_err(|it| format!("database-url: cannot use PostgreSQL: {it}"))?,
                Lease::shared(),
            )
        }
    };
    let passwords = hashes::Pool::start(config.hashing).map_err(|it| it.to_string())?;
    let routes = router::routes();
    let ids: Vec<&'static str> = routes.iter().map(|it| it.id).collect();
    let server = Server::new(Parts {
        clock: instruments.clock,
        random,
        sealer,
        apps: Apps::new(cell.clone(), APPS, lease.clone()),
        cell,
        live: Live::new(SESSIONS),
        passwords,
        blocklist,
        limits: config.limits.clone(),
        public_url: public_url.to_owned(),
        new_app_profile: config.new_app_profile,
        openapi: web::openapi::document(&routes).to_string().into(),
        metrics: Metrics::new(&ids),
        background: Background::default(),
        brakes: Arc::new(Brakes::new(config.brakes, config.hashing.max_wait, config.counts)),
        agenda: Agenda::new(lease.is_shared()),
        lease,
    });
    let unusable = |it: crate::error::Error| format!("the database cannot be used: {it}");
    server.apps.start().await.map_err(unusable)?;
    if server.lease.is_shared() {
        // Before anything looks at the time: a clock that is wrong by hours would take what is
        // others' for left behind.
        let read = server.apps.platform.data.read(store::changes::now);
        server.clock.correct_to(read.await.map_err(unusable)?);
    }
    Ok(server)
}

/// Starts what runs beside the requests, and gives the door to them.
pub async fn run(server: &Server) -> Result<Arc<Outer>> {
    if server.lease.is_shared() {
        let poller = server.cell.poller();
        server.background.run(cluster::keep_polling(server.clone(), poller));
    } else {
        apps::clear_at_once(server).await?;
    }
    jobs::start(server, router::jobs(), router::sinks()).await?;
    server.background.run_to_end(sessions::keep_flushing(server.clone()));
    Ok(Arc::new(Outer::new(server, &router::routes())))
}

/// Stops what runs beside the requests, gives back the jobs that are not done, writes what is in
/// memory, and closes the database.
pub async fn stop(server: &Server) {
    server.background.stop().await;
    sessions::flush(server, crate::clock::Millis(i64::MAX)).await;
    server.passwords.close().await;
    server.cell.close().await;
}
