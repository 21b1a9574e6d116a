//! What an error of PostgreSQL means to a caller.

use std::error::Error as _;
use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

use crate::error::Error;

/// A value that cannot be bound to a parameter of its type.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) expected: &'static str,
    pub(crate) found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the parameter is {}, not {}", self.found, self.expected)
    }
}

impl std::error::Error for Mismatch {}

/// What `error` means. The server's words are kept only where they cannot quote a value.
pub(crate) fn failure(error: &tokio_postgres::Error) -> Error {
    if let Some(db) = error.as_db_error() {
        return by_state(db);
    }
    if is_lost(error) {
        return Error::Unavailable(cause(error));
    }
    match error.source().and_then(|it| it.downcast_ref::<Mismatch>()) {
        Some(it) => Error::Type {
            column: "a parameter".to_owned(),
            expected: it.expected,
            found: it.found.clone(),
        },
        None => Error::other(format!("PostgreSQL: {}", cause(error))),
    }
}

/// Whether the connection is of no more use.
pub(crate) fn is_lost(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(db) => is_shutdown(db.code()),
        None => {
            error.is_closed()
                || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
        }
    }
}

/// A deadlock, a serialisation failure, or a plan that the server has thrown away: what another try
/// may well get through.
pub(crate) fn is_transient(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|it| {
        *it == SqlState::T_R_SERIALIZATION_FAILURE || *it == SqlState::T_R_DEADLOCK_DETECTED
    }) || is_stale(error)
}

/// A prepared statement is gone (a pooler) or answers in another shape (DDL).
pub(crate) fn is_stale(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|it| {
        *it.code() == SqlState::INVALID_SQL_STATEMENT_NAME
            || (*it.code() == SqlState::FEATURE_NOT_SUPPORTED
                && it.routine() == Some("RevalidateCachedQuery"))
    })
}

/// The words of the error and of what caused it, without a server's message.
pub(crate) fn cause(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return state(db);
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn state(db: &DbError) -> String {
    format!("PostgreSQL: SQLSTATE {}", db.code().code())
}

fn is_shutdown(code: &SqlState) -> bool {
    // Connection exceptions; shutdown, crash and start of the server.
    code.code().starts_with("08")
        || [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW]
            .contains(code)
}

fn by_state(db: &DbError) -> Error {
    let constraint = || db.constraint().unwrap_or_default().to_owned();
    let code = db.code();
    match code {
        it if *it == SqlState::UNIQUE_VIOLATION => Error::Unique { constraint: constraint() },
        it if *it == SqlState::FOREIGN_KEY_VIOLATION => {
            Error::ForeignKey { constraint: constraint() }
        }
        it if *it == SqlState::NOT_NULL_VIOLATION => Error::NotNull {
            column: format!(
                "{}.{}",
                db.table().unwrap_or_default(),
                db.column().unwrap_or_default()
            ),
        },
        it if *it == SqlState::T_R_SERIALIZATION_FAILURE
            || *it == SqlState::T_R_DEADLOCK_DETECTED =>
        {
            Error::Conflict
        }
        it if *it == SqlState::QUERY_CANCELED => Error::Deadline,
        it if *it == SqlState::LOCK_NOT_AVAILABLE => Error::Locked,
        it if *it == SqlState::DISK_FULL => Error::NoSpace,
        it if *it == SqlState::NUMERIC_VALUE_OUT_OF_RANGE
            || *it == SqlState::DATETIME_FIELD_OVERFLOW =>
        {
            Error::Range
        }
        it if *it == SqlState::CHARACTER_NOT_IN_REPERTOIRE
            || *it == SqlState::UNTRANSLATABLE_CHARACTER =>
        {
            Error::NotUtf8
        }
        it if *it == SqlState::UNDEFINED_TABLE
            || *it == SqlState::UNDEFINED_COLUMN
            || *it == SqlState::INVALID_SCHEMA_NAME =>
        {
            Error::Undefined(db.message().to_owned())
        }
        it if is_shutdown(it) => Error::Unavailable(state(db)),
        // Out of resources, of connections among them.
        it if it.code().starts_with("53") => Error::Unavailable(state(db)),
        // A wrong statement: the message quotes its text, and a text has no values in it.
        it if it.code().starts_with("42") => {
            Error::other(format!("{}: {}", state(db), db.message()))
        }
        // A wrong password or an unknown database or role, at the connection.
        it if it.code().starts_with("28") || it.code().starts_with("3D") => {
            Error::Unavailable(format!("{}: {}", state(db), db.message()))
        }
        _ => Error::other(state(db)),
    }
}
