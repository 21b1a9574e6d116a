//! What a closure gets: a connection to read from, and a transaction.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::faults::Hooks;
use crate::postgres;
use crate::row::Row;
use crate::scope::Scope;
use crate::sqlite;
use crate::translate::Translator;
use crate::value::{Bound, Built, Flow, ToValue, ValueRef, check};

/// What runs after a commit.
pub(crate) type Effect = Box<dyn FnOnce() + Send>;

/// What all statements of a cell share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) translator: Translator,
    pub(crate) hooks: Hooks,
}

/// The connection behind a unit of work.
#[derive(Clone, Copy)]
pub(crate) enum Link<'c> {
    Sqlite(&'c sqlite::Connection),
    Postgres(&'c postgres::Session),
}

/// A connection to read from, within one scope.
///
/// SQL written by hand is one text for both engines; see the table in `translate.rs`: `?1` for
/// values, `sys.NAME`, `control.NAME` and `app."NAME"` for tables. A parameter whose type the
/// statement does not show needs a cast for PostgreSQL: `cast(?1 as bigint) is null`.
///
/// On SQLite all reads of one closure see the same moment. On PostgreSQL each statement sees the
/// moment at which it began.
pub struct Db<'c> {
    link: Link<'c>,
    common: &'c Common,
    scope: &'c Scope,
    /// A row is being read: a second statement would wait for the first for ever.
    reading: Cell<bool>,
    /// A statement failed; PostgreSQL takes no more of this transaction, so neither does SQLite.
    failed: Cell<bool>,
}

impl fmt::Debug for Db<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("scope", self.scope).finish_non_exhaustive()
    }
}

impl Db<'_> {
    /// The rows that `sql` finds, or returns of what it changes, each read by `read`.
    pub fn rows<T>(
        &self,
        sql: &str,
        args: &[&dyn ToValue],
        read: impl Fn(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.query(sql, args, &mut |row| {
            rows.push(read(row)?);
            Ok(Flow::Continue)
        })?;
        Ok(rows)
    }

    /// The first of these rows, if there is one.
    pub fn row<T>(
        &self,
        sql: &str,
        args: &[&dyn ToValue],
        read: impl Fn(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut first = None;
        self.query(sql, args, &mut |row| {
            first = Some(read(row)?);
            Ok(Flow::Stop)
        })?;
        Ok(first)
    }

    /// Runs a statement that was made at run time, and lends each of its rows to `row`. No other
    /// statement may run meanwhile. The first error of `row` ends it.
    pub fn each(&self, q: &Built, row: &mut dyn FnMut(&Row<'_>) -> Result<Flow>) -> Result<()> {
        let values: Vec<ValueRef<'_>> = q.values.iter().map(Into::into).collect();
        self.run(&q.sql, &values, row)
    }

    /// The engine's way to say things.
    pub fn dialect(&self) -> Dialect {
        self.common.translator.dialect()
    }

    /// Whose data this is.
    pub fn scope(&self) -> &Scope {
        self.scope
    }

    /// What the system tables hold as `app_id`.
    pub fn app(&self) -> &str {
        &self.scope.id
    }

    fn query(
        &self,
        sql: &str,
        args: &[&dyn ToValue],
        row: &mut dyn FnMut(&Row<'_>) -> Result<Flow>,
    ) -> Result<()> {
        let sql = self.common.translator.translate(sql, &self.scope.place)?;
        let bound: Vec<Bound<'_>> = args.iter().map(|it| it.bound()).collect();
        let values: Vec<ValueRef<'_>> = bound.iter().map(Bound::as_ref).collect();
        self.run(&sql, &values, row)
    }

    fn run(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        row: &mut dyn FnMut(&Row<'_>) -> Result<Flow>,
    ) -> Result<()> {
        check(values)?;
        let mut refused = None;
        self.statement(sql, |link| {
            self.reading.set(true);
            let mut visit = |it: &Row<'_>| match row(it) {
                Ok(flow) => flow,
                Err(error) => {
                    refused = Some(error);
                    Flow::Stop
                }
            };
            let done = match link {
                Link::Sqlite(connection) => connection.query(sql, values, &mut visit),
                Link::Postgres(session) => session.query(sql, values, &mut visit),
            };
            self.reading.set(false);
            done
        })?;
        refused.map_or(Ok(()), Err)
    }

    fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64> {
        check(values)?;
        self.statement(sql, |link| match link {
            Link::Sqlite(connection) => connection.execute(sql, values),
            Link::Postgres(session) => session.execute(sql, values),
        })
    }

    /// What goes before and after every statement.
    fn statement<T>(&self, sql: &str, run: impl FnOnce(Link<'_>) -> Result<T>) -> Result<T> {
        if self.reading.get() {
            return Err(Error::Nested("a statement was run while the rows of another were read"));
        }
        let done = self.common.hooks.before(sql).and_then(|()| run(self.link));
        if done.is_err() {
            self.failed.set(true);
        }
        done
    }
}

/// A transaction: a connection that may write, too. It commits if its closure answers `Ok`.
///
/// A statement that fails spoils the whole transaction, as PostgreSQL has it: answer its error.
/// What may fail is tried within a [`savepoint`](Self::savepoint).
pub struct Tx<'c> {
    db: Db<'c>,
    effects: RefCell<Vec<Effect>>,
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("scope", self.db.scope).finish_non_exhaustive()
    }
}

impl<'c> Deref for Tx<'c> {
    type Target = Db<'c>;

    fn deref(&self) -> &Self::Target {
        &self.db
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn new(link: Link<'c>, common: &'c Common, scope: &'c Scope) -> Self {
        let (reading, failed) = (Cell::new(false), Cell::new(false));
        let db = Db { link, common, scope, reading, failed };
        Self { db, effects: RefCell::default() }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.db.failed.get()
    }

    pub(crate) fn into_effects(self) -> Vec<Effect> {
        self.effects.into_inner()
    }
}

impl Tx<'_> {
    /// Runs `sql` and tells how many rows it changed.
    pub fn exec(&self, sql: &str, args: &[&dyn ToValue]) -> Result<u64> {
        let sql = self.db.common.translator.translate(sql, &self.db.scope.place)?;
        let bound: Vec<Bound<'_>> = args.iter().map(|it| it.bound()).collect();
        let values: Vec<ValueRef<'_>> = bound.iter().map(Bound::as_ref).collect();
        self.db.execute(&sql, &values)
    }

    /// The same for a statement that was made at run time.
    pub fn exec_built(&self, q: &Built) -> Result<u64> {
        let values: Vec<ValueRef<'_>> = q.values.iter().map(Into::into).collect();
        self.db.execute(&q.sql, &values)
    }

    /// Runs the statements of a migration, one after the other, without values.
    pub fn batch(&self, sql: &str) -> Result<()> {
        let sql = self.db.common.translator.translate_once(sql, &self.db.scope.place)?;
        self.plain(&sql)
    }

    /// Has `effect` run once the commit has succeeded, before the caller is answered. It must be
    /// quick and must not use the database. A rollback or a retry drops it.
    pub fn after_commit(&self, effect: impl FnOnce() + Send + 'static) {
        self.effects.borrow_mut().push(Box::new(effect));
    }

    /// Runs `f`; if it fails, what it did is undone and the transaction goes on as it was before.
    /// A deadline, a lost connection or a deadlock still ends the whole transaction.
    pub fn savepoint<T, E: From<Error>>(
        &self,
        f: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let effects = self.effects.borrow().len();
        if self.db.failed.get() {
            return Err(Error::Aborted.into());
        }
        self.plain("savepoint inner_part")?;
        let done = match f(self) {
            Ok(_) if self.db.failed.get() => Err(Error::Aborted.into()),
            done => done,
        };
        if done.is_ok() {
            self.plain("release savepoint inner_part")?;
        } else {
            self.effects.borrow_mut().truncate(effects);
            let undo = "rollback to savepoint inner_part; release savepoint inner_part";
            self.plain(undo)?;
            self.db.failed.set(false);
        }
        done
    }

    /// Until the transaction ends, a statement waits at most `longest` for a lock, then it fails
    /// with [`Error::Locked`]; for DDL beside traffic. SQLite has no such locks.
    pub fn lock_timeout(&self, longest: Duration) -> Result<()> {
        match self.db.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => {
                self.plain(&format!("set local lock_timeout = {}", longest.as_millis()))
            }
        }
    }

    /// Waits until no other transaction holds the lock `key`, and holds it until the end of this
    /// one: for migrations and the like. On SQLite there is but one writer.
    pub fn exclusive(&self, key: i64) -> Result<()> {
        match self.db.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => self.plain(&format!("select pg_advisory_xact_lock({key})")),
        }
    }

    /// Waits until no other transaction holds the lock `key` [exclusively](Self::exclusive), and
    /// holds it until the end of this one beside any number of others. Who waits to have it alone is
    /// not overtaken. On SQLite there is but one writer.
    pub fn shared(&self, key: i64) -> Result<()> {
        match self.db.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => self.plain(&format!("select pg_advisory_xact_lock_shared({key})")),
        }
    }

    fn plain(&self, sql: &str) -> Result<()> {
        self.db.statement(sql, |link| match link {
            Link::Sqlite(connection) => connection.batch(sql),
            Link::Postgres(session) => session.batch(sql),
        })
    }
}
