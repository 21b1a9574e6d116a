//! One connection to one file: its set-up, its statements, its deadline, its errors.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::ffi;
use rusqlite::types::{ToSqlOutput, ValueRef as SqlValueRef};
use rusqlite::{OpenFlags, ToSql};

use super::files::{Files, Purpose};
use super::functions;
use crate::error::{Error, Result};
use crate::row::Row;
use crate::value::{Flow, ValueRef};
use crate::work::{Counters, LONG};

/// Steps of SQLite's machine between two looks at the clock: some 0.01 ms. A step that compares long
/// texts with a pattern takes a thousand times as long.
const STEPS: i32 = 1_000;
/// Statements that a connection remembers.
const STATEMENTS: usize = 128;

/// A connection; it closes when it is dropped.
pub(crate) struct Connection {
    inner: rusqlite::Connection,
    timer: Arc<Timer>,
    counters: Arc<Counters>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// When the running unit of work must end.
struct Timer {
    start: Instant,
    /// Microseconds from the start; `u64::MAX`: never.
    end: AtomicU64,
}

impl Timer {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX - 1)
    }

    fn is_over(&self) -> bool {
        let end = self.end.load(Ordering::Relaxed);
        end != u64::MAX && self.now() > end
    }
}

impl Connection {
    /// Opens a file that exists.
    pub(crate) fn open(path: &Path, purpose: Purpose, files: &Files) -> Result<Self> {
        let access = match purpose {
            Purpose::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Purpose::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut inner = rusqlite::Connection::open_with_flags(path, flags).map_err(failure)?;
        let timer = Arc::new(Timer { start: Instant::now(), end: AtomicU64::new(u64::MAX) });
        set_up(&mut inner, purpose, files, &timer).map_err(failure)?;
        files.counters.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Self { inner, timer, counters: Arc::clone(&files.counters) })
    }

    /// From now until [`rest`](Self::rest) statements end after `longest` in sum.
    pub(crate) fn limit(&self, longest: Duration) {
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        self.timer.end.store(self.timer.now().saturating_add(longest), Ordering::Relaxed);
    }

    /// No deadline until the next one.
    pub(crate) fn rest(&self) {
        self.timer.end.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether no transaction is open; SQLite ends one by itself for some errors.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.is_autocommit()
    }

    /// Runs a statement of our own, such as `commit`.
    pub(crate) fn run(&self, sql: &str) -> Result<()> {
        self.execute(sql, &[]).map(drop)
    }

    /// Writes the journal into the file, as far as readers let it.
    pub(crate) fn checkpoint(&self) {
        // What stays in the journal is found at the next start.
        let _ = self.inner.pragma_query(None, "wal_checkpoint(truncate)", |_| Ok(()));
    }

    /// Runs several statements.
    pub(crate) fn batch(&self, sql: &str) -> Result<()> {
        self.in_time()?;
        self.inner.execute_batch(sql).map_err(failure)
    }

    /// Runs a statement, and lends each of its rows to `visit`.
    pub(crate) fn query(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        visit: &mut dyn FnMut(&Row<'_>) -> Flow,
    ) -> Result<()> {
        self.in_time()?;
        self.prepared(sql, |statement| {
            bind(statement, values)?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().map_err(failure)? {
                if visit(&Row::sqlite(row)) == Flow::Stop {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Runs a statement and tells how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64> {
        self.in_time()?;
        self.prepared(sql, |statement| {
            bind(statement, values)?;
            // SQLite would tell the number of an earlier statement for one that changes no rows.
            let before = self.inner.total_changes();
            let mut rows = statement.raw_query();
            while rows.next().map_err(failure)?.is_some() {}
            drop(rows);
            Ok(if self.inner.total_changes() == before { 0 } else { self.inner.changes() })
        })
    }

    /// Lends a statement: one that is remembered, unless it is long.
    fn prepared<T>(
        &self,
        sql: &str,
        run: impl FnOnce(&mut rusqlite::Statement<'_>) -> Result<T>,
    ) -> Result<T> {
        if sql.len() > LONG {
            return run(&mut self.inner.prepare(sql).map_err(failure)?);
        }
        run(&mut *self.inner.prepare_cached(sql).map_err(failure)?)
    }

    fn in_time(&self) -> Result<()> {
        if self.timer.is_over() { Err(Error::Deadline) } else { Ok(()) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn set_up(
    connection: &mut rusqlite::Connection,
    purpose: Purpose,
    files: &Files,
    timer: &Arc<Timer>,
) -> rusqlite::Result<()> {
    connection.busy_timeout(files.busy)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // With these on, a column that does not exist would be read as a text.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    match purpose {
        Purpose::Write => {
            connection.pragma_update(None, "journal_mode", "wal")?;
            let synchronous = if files.durable { "full" } else { "off" };
            connection.pragma_update(None, "synchronous", synchronous)?;
            // A burst must not leave a large journal for ever.
            connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
        }
        Purpose::Read => connection.pragma_update(None, "query_only", true)?,
    }
    functions::register(connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    let timer = Arc::clone(timer);
    connection.progress_handler(STEPS, Some(move || timer.is_over()))
}

struct Bind<'v>(ValueRef<'v>);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            ValueRef::Null => SqlValueRef::Null,
            ValueRef::Bool(it) => SqlValueRef::Integer(it.into()),
            ValueRef::Int(it) => SqlValueRef::Integer(it),
            ValueRef::Real(it) => SqlValueRef::Real(it),
            ValueRef::Text(it) => SqlValueRef::Text(it.as_bytes()),
            ValueRef::Bytes(it) => SqlValueRef::Blob(it),
        }))
    }
}

fn bind(statement: &mut rusqlite::Statement<'_>, values: &[ValueRef<'_>]) -> Result<()> {
    let (wanted, given) = (statement.parameter_count(), values.len());
    if wanted != given {
        return Err(Error::other(format!("the statement takes {wanted} values, not {given}")));
    }
    for (index, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, Bind(*value)).map_err(failure)?;
    }
    Ok(())
}

/// What an error of SQLite means to a caller. The engine's own words are kept only where they
/// cannot quote a value.
pub(crate) fn failure(error: rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => by_code(code, message.unwrap_or_default()),
        rusqlite::Error::SqlInputError { error, msg, .. } => by_code(error, msg),
        rusqlite::Error::Utf8Error(..) => Error::NotUtf8,
        other => Error::Other(Box::new(other)),
    }
}

fn by_code(code: ffi::Error, message: String) -> Error {
    let after_colon = || message.split_once(": ").map_or("", |it| it.1).to_owned();
    match code.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => return Error::Unique { constraint: after_colon() },
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
            return Error::ForeignKey { constraint: String::new() };
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => return Error::NotNull { column: after_colon() },
        _ => {}
    }
    match code.extended_code & 0xff {
        ffi::SQLITE_FULL => Error::NoSpace,
        ffi::SQLITE_INTERRUPT => Error::Deadline,
        ffi::SQLITE_BUSY
        | ffi::SQLITE_LOCKED
        | ffi::SQLITE_CANTOPEN
        | ffi::SQLITE_IOERR
        | ffi::SQLITE_NOMEM => Error::Unavailable(format!("SQLite: {code}")),
        ffi::SQLITE_ERROR if message == functions::RANGE => Error::Range,
        ffi::SQLITE_ERROR if is_undefined(&message) => Error::Undefined(message),
        // A wrong statement: the message quotes its text, and a text has no values in it.
        ffi::SQLITE_ERROR if !message.starts_with("fts5") && !message.contains("JSON") => {
            Error::other(format!("SQLite: {message}"))
        }
        _ => Error::other(format!("SQLite: {code} (code {})", code.extended_code)),
    }
}

fn is_undefined(message: &str) -> bool {
    message.contains("no such table")
        || message.contains("no such column")
        || message.contains("has no column named")
}
