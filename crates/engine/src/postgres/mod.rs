//! PostgreSQL: threads that own a connection each and share one queue.
//!
//! No session state is used and every name is qualified, so a pooler in transaction mode (PgBouncer
//! 1.21 or newer) may stand between. READ COMMITTED; what must hold is held by constraints and row
//! locks.

mod connect;
mod error;
mod session;
mod types;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use connect::Connector;
pub(crate) use session::Session;
pub(crate) use types::value_at;

use crate::cell::{Database, PostgresOptions};
use crate::db::{Common, Tx};
use crate::error::{Error, Result};
use crate::scope::Place;
use crate::work::{Counters, Job, Queue};

const OLDEST: i64 = 14_00_00;
const PER_CORE: usize = 4;
const MOST: usize = 32;
/// Schemas are made and dropped one at a time; the number is only to be like no other.
const SCHEMA_LOCK: i64 = 0x7573_6865_7200;

pub(crate) struct Engine {
    counters: Arc<Counters>,
    queue: Arc<Queue<()>>,
    poller: Arc<Queue<()>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    pub(crate) fn start(
        options: &PostgresOptions,
        common: &Arc<Common>,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        let connector = Arc::new(Connector::new(&options.url)?);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = match options.connections {
            0 => (PER_CORE * cores).min(MOST),
            count => count,
        };
        let limit = options.queue.max(1);
        let engine = Self {
            counters: Arc::clone(counters),
            queue: Arc::new(Queue::new(limit, count)),
            poller: Arc::new(Queue::new(limit, 1)),
            threads: Mutex::default(),
        };
        let spawn = |name: String, queue: &Arc<Queue<()>>, number: usize| {
            let (queue, connector) = (Arc::clone(queue), Arc::clone(&connector));
            let (common, counters) = (Arc::clone(common), Arc::clone(counters));
            let run = move || worker::run(number, &queue, connector, &common, &counters);
            let thread = Builder::new().name(name).spawn(run);
            let thread = thread.map_err(|it| Error::Unavailable(format!("no thread: {it}")))?;
            engine.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
            Ok::<_, Error>(())
        };
        for number in 0..count {
            spawn(format!("postgres-{number}"), &engine.queue, number)?;
        }
        spawn("postgres-poll".to_owned(), &engine.poller, 0)?;
        Ok(engine)
    }

    pub(crate) fn push(&self, job: Job, poller: bool) {
        let queue = if poller { &self.poller } else { &self.queue };
        queue.push(job, &self.counters);
    }

    pub(crate) async fn close(&self) {
        self.shut();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        crate::work::join(threads).await;
    }

    fn shut(&self) {
        self.queue.close();
        self.poller.close();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shut();
    }
}

/// Connects, and sees that the server is one that we can work with.
pub(crate) async fn check(database: &Database) -> Result<()> {
    let sql = "select cast(current_setting('server_version_num') as bigint) as version,
                      current_setting('server_version') as name,
                      current_setting('server_encoding') as encoding";
    let found = database.read(move |db| {
        db.row(sql, &[], |row| {
            let version: i64 = row.get("version")?;
            Ok((version, row.get::<String>("name")?, row.get::<String>("encoding")?))
        })
    });
    let Some((version, name, encoding)) = found.await? else {
        return Err(Error::other("PostgreSQL does not tell its version"));
    };
    if version < OLDEST {
        return Err(Error::other(format!("PostgreSQL {name} is too old. Use 14 or newer")));
    }
    if encoding != "UTF8" {
        return Err(Error::other(format!(
            "the database has the encoding {encoding}. Create one with encoding UTF8"
        )));
    }
    Ok(())
}

/// Makes the schemas of a place: an application's own, or those of the platform and of the shared
/// system tables.
pub(crate) async fn create_place(database: &Database) -> Result<()> {
    let schemas: Vec<String> = match database.scope().place {
        Place::Control => vec!["control".to_owned(), "sys".to_owned()],
        Place::App(_) => database.dialect().schema(database.scope()).into_iter().collect(),
    };
    let create = move |tx: &Tx<'_>| {
        tx.exclusive(SCHEMA_LOCK)?;
        for schema in &schemas {
            // `if not exists` would ask for the right to create one that is there already.
            let sql = "select 1 as one from pg_namespace where nspname = ?1";
            if tx.row(sql, &[schema], |_| Ok(()))?.is_none() {
                tx.batch(&format!("create schema {}", tx.dialect().quote(schema)))?;
            }
        }
        Ok::<_, Error>(())
    };
    database.write(create).await
}

/// Drops an application's schema with all that is in it.
pub(crate) async fn drop_place(database: &Database) -> Result<()> {
    let Some(schema) = database.dialect().schema(database.scope()) else { return Ok(()) };
    let sql = format!("drop schema if exists {} cascade", database.dialect().quote(&schema));
    let database = database.with_deadline(Duration::from_mins(1));
    let drop = move |tx: &Tx<'_>| {
        // Of two who drop it at once the second would fail on what the first has removed.
        tx.exclusive(SCHEMA_LOCK)?;
        tx.batch(&sql)
    };
    database.write(drop).await
}
