//! One connection, and what a thread does over it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use hashlink::LruCache;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};
use tokio_postgres::{Client, Statement};

use super::connect::Connector;
use super::error::{failure, is_lost, is_stale, is_transient};
use super::types::Param;
use crate::error::{Error, Result};
use crate::row::Row;
use crate::value::{Flow, ValueRef};
use crate::work::{Counters, LONG};

/// Statements that a connection remembers.
const STATEMENTS: usize = 256;
/// For the server to hear that a statement is to be cancelled.
const CANCEL: Duration = Duration::from_secs(1);

/// A connection. Its socket is served only while the thread waits in here.
pub(crate) struct Session {
    runtime: Rc<Runtime>,
    connector: Arc<Connector>,
    counters: Arc<Counters>,
    client: Client,
    wire: JoinHandle<()>,
    statements: RefCell<LruCache<Box<str>, Statement>>,
    /// When it is to be replaced.
    ends: Instant,
    /// When the running unit of work must end.
    until: Cell<Instant>,
    state: Cell<State>,
    /// Another try may get through.
    transient: Cell<bool>,
}

/// What a connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Sound,
    /// The other side is gone.
    Lost,
    /// A statement was given up; it may still run.
    Overdue,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects before `until`; the connection is to be replaced after `lifetime`.
    pub(crate) fn connect(
        runtime: &Rc<Runtime>,
        connector: &Arc<Connector>,
        counters: &Arc<Counters>,
        until: Instant,
        lifetime: Duration,
    ) -> Result<Self> {
        let longest = until.saturating_duration_since(Instant::now());
        let (client, wire) = runtime.block_on(connector.connect(longest))?;
        let wire = runtime.spawn(async {
            // Whoever waits for an answer over it gets the error, too.
            let _ = wire.await;
        });
        counters.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            runtime: Rc::clone(runtime),
            connector: Arc::clone(connector),
            counters: Arc::clone(counters),
            client,
            wire,
            statements: RefCell::new(LruCache::new(STATEMENTS)),
            ends: Instant::now() + lifetime,
            until: Cell::new(until),
            state: Cell::new(State::Sound),
            transient: Cell::new(false),
        })
    }

    /// Whether it can take another unit of work.
    pub(crate) fn is_good(&self) -> bool {
        self.state.get() == State::Sound && !self.client.is_closed() && Instant::now() < self.ends
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// Whether a statement failed so that another try may get through.
    pub(crate) fn is_transient(&self) -> bool {
        self.transient.get()
    }

    /// From now on statements must end before `until`.
    pub(crate) fn limit(&self, until: Instant) {
        self.until.set(until);
    }

    /// A new unit of work.
    pub(crate) fn start(&self, until: Instant) {
        self.until.set(until);
        self.transient.set(false);
    }

    /// Runs several statements.
    pub(crate) fn batch(&self, sql: &str) -> Result<()> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Runs a statement, and lends each of its rows to `visit`.
    pub(crate) fn query(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        visit: &mut dyn FnMut(&Row<'_>) -> Flow,
    ) -> Result<()> {
        self.wait(async {
            let statement = self.prepare(sql).await?;
            let values = values.iter().map(|it| Param(*it)).collect::<Vec<_>>();
            let rows = self.client.query_raw(&statement, &values).await?;
            let mut rows = pin!(rows);
            let mut flow = Flow::Continue;
            // What is not wanted any more is read nevertheless: an error may come after it, and
            // would undo the transaction unseen.
            while let Some(row) = rows.try_next().await? {
                if flow == Flow::Continue {
                    flow = visit(&Row::postgres(&row));
                }
            }
            Ok(())
        })
    }

    /// Runs a statement and tells how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64> {
        self.wait(async {
            let statement = self.prepare(sql).await?;
            let values = values.iter().map(|it| Param(*it)).collect::<Vec<_>>();
            self.client.execute_raw(&statement, &values).await
        })
    }

    async fn prepare(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(known) = self.statements.borrow_mut().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        if sql.len() > LONG {
            return Ok(statement);
        }
        self.statements.borrow_mut().insert(sql.into(), statement.clone());
        Ok(statement)
    }

    /// Waits for the server, but not beyond the deadline.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        match self.state.get() {
            State::Sound => {}
            State::Lost => return Err(Error::Unavailable("the connection was lost".to_owned())),
            State::Overdue => return Err(Error::Deadline),
        }
        let until = self.until.get();
        match self.runtime.block_on(async { timeout_at(until.into(), answer).await }) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                if is_lost(&error) {
                    self.state.set(State::Lost);
                }
                if is_transient(&error) {
                    self.transient.set(true);
                }
                if is_stale(&error) {
                    self.statements.borrow_mut().clear();
                }
                Err(failure(&error))
            }
            Err(_) => {
                self.state.set(State::Overdue);
                self.cancel();
                Err(Error::Deadline)
            }
        }
    }

    /// Asks the server to give up what it does for us; a courtesy, the connection goes anyway.
    fn cancel(&self) {
        let token = self.client.cancel_token();
        let tls = self.connector.tls();
        self.runtime.block_on(async {
            let _ = timeout(CANCEL, token.cancel_query(tls)).await;
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
        // The socket closes when the runtime next looks at its tasks; let it look.
        self.wire.abort();
        self.runtime.block_on(tokio::task::yield_now());
    }
}
