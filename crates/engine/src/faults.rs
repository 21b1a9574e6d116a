//! Aids for tests: statements that fail on purpose, and a look at every statement.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Gets the text of a statement.
pub type Seen = Arc<dyn Fn(&str) + Send + Sync>;

/// What a cell calls on its way; nothing by default.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Makes a statement fail.
    pub faults: Option<Arc<Faults>>,
    /// Gets the text of each statement as it is sent to the engine.
    pub seen: Option<Seen>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl Hooks {
    /// Tells the hooks of a statement that is about to run, and fails if it is to fail.
    pub(crate) fn before(&self, sql: &str) -> Result<()> {
        if let Some(seen) = &self.seen {
            seen(sql);
        }
        self.faults.as_ref().map_or(Ok(()), |it| it.count())
    }
}

/// Counts statements, and makes one fail: of a write its begin, each statement of the closure and
/// the commit (once for a whole group on SQLite); of a read each statement.
#[derive(Debug, Default)]
pub struct Faults {
    /// Statements until the one that fails; 0 or less: none will.
    left: AtomicI64,
    total: AtomicU64,
}

impl Faults {
    /// The `n`-th statement from now, counted from 1, fails once with [`Error::Unavailable`]; 0
    /// lets all pass.
    pub fn fail_at(&self, n: u32) {
        self.left.store(i64::from(n), Ordering::SeqCst);
    }

    /// Whether the statement that is to fail has yet to come.
    pub fn is_armed(&self) -> bool {
        self.left.load(Ordering::SeqCst) > 0
    }

    /// How many statements there have been.
    pub fn statements(&self) -> u64 {
        self.total.load(Ordering::SeqCst)
    }

    /// Lets all statements pass again.
    pub fn disarm(&self) {
        self.fail_at(0);
    }

    fn count(&self) -> Result<()> {
        self.total.fetch_add(1, Ordering::SeqCst);
        if self.left.load(Ordering::SeqCst) > 0 && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            return Err(Error::Unavailable("a test asked this statement to fail".to_owned()));
        }
        Ok(())
    }
}
