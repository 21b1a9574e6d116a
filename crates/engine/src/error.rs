//! Everything that a unit of work can fail with, the same for both engines.

use std::error::Error as StdError;

/// What went wrong. No text here carries a value of a row or of a parameter: an error may be
/// logged. Names of tables, columns and constraints may appear.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row with the same key exists.
    #[error("not unique: {constraint}")]
    Unique {
        /// PostgreSQL: the name of the constraint or index. SQLite: `table.column, table.column`,
        /// or `index 'name'` for an index on an expression.
        constraint: String,
    },
    /// A foreign key points at a row that does not exist, or a row is still pointed at.
    #[error("foreign key violated: {constraint}")]
    ForeignKey {
        /// PostgreSQL: the name of the constraint. SQLite does not tell: empty.
        constraint: String,
    },
    /// A column that must have a value was given none.
    #[error("no value for {column}")]
    NotNull {
        /// `table.column`.
        column: String,
    },
    /// The queue is full, or the work waited in it longer than it may run.
    #[error("the database has more work than it can queue")]
    Overloaded,
    /// The work took longer than its deadline; nothing of it was kept.
    #[error("the database work took longer than it may")]
    Deadline,
    /// A lock was not had within the time set by [`Tx::lock_timeout`](crate::Tx::lock_timeout).
    #[error("a lock was not had in time")]
    Locked,
    /// Deadlock or serialisation failure, after the last retry.
    #[error("the transaction met another one too often")]
    Conflict,
    /// The database cannot be reached or does not work; nothing of the work was kept.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The connection broke while the commit was under way: it may have happened or not.
    #[error("the connection was lost during the commit: {0}")]
    OutcomeUnknown(String),
    /// No such table, column or place.
    #[error("undefined: {0}")]
    Undefined(String),
    /// The disk is full; reads go on.
    #[error("the database has no space left")]
    NoSpace,
    /// A stored text is not UTF-8, or a text to be stored has a NUL, which PostgreSQL cannot hold.
    #[error("a text is not valid UTF-8 without NUL")]
    NotUtf8,
    /// A value has another type than it was asked for as.
    #[error("{column} is {found}, not {expected}")]
    Type {
        /// Name or index of the column or parameter.
        column: String,
        /// What was asked for.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A calculation in a statement leaves the range of numbers or dates.
    #[error("a calculation leaves the range of numbers")]
    Range,
    /// The closure panicked; nothing of it was kept.
    #[error("the unit of work panicked")]
    Panicked,
    /// A statement failed, but the closure answered `Ok`. What went before cannot be kept then:
    /// PostgreSQL refuses it. [`Tx::savepoint`](crate::Tx::savepoint) is the way to try a statement.
    #[error("a statement of the transaction failed and the closure went on")]
    Aborted,
    /// `read` or `write` was called inside of a closure, or a statement inside of a row reader.
    #[error("{0}")]
    Nested(&'static str),
    /// The cell is closing or closed.
    #[error("the database is closed")]
    Closed,
    /// Anything else: a statement that is wrong, a broken file.
    #[error("{0}")]
    Other(Box<dyn StdError + Send + Sync>),
}

/// What the calls of this crate answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into().into())
    }

    /// The same error for one more of the callers that it hit.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Unique { constraint } => Self::Unique { constraint: constraint.clone() },
            Self::ForeignKey { constraint } => Self::ForeignKey { constraint: constraint.clone() },
            Self::NotNull { column } => Self::NotNull { column: column.clone() },
            Self::Overloaded => Self::Overloaded,
            Self::Deadline => Self::Deadline,
            Self::Locked => Self::Locked,
            Self::Conflict => Self::Conflict,
            Self::Unavailable(cause) => Self::Unavailable(cause.clone()),
            Self::OutcomeUnknown(cause) => Self::OutcomeUnknown(cause.clone()),
            Self::Undefined(what) => Self::Undefined(what.clone()),
            Self::NoSpace => Self::NoSpace,
            Self::NotUtf8 => Self::NotUtf8,
            Self::Type { column, expected, found } => {
                Self::Type { column: column.clone(), expected, found: found.clone() }
            }
            Self::Range => Self::Range,
            Self::Panicked => Self::Panicked,
            Self::Aborted => Self::Aborted,
            Self::Nested(what) => Self::Nested(what),
            Self::Closed => Self::Closed,
            Self::Other(cause) => Self::other(cause.to_string()),
        }
    }
}
