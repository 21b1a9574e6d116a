//! SQLite and PostgreSQL behind one synchronous interface.
//!
//! A [`Cell`] is one SQLite data directory or one PostgreSQL cluster; a [`Database`] is the data of
//! one [`Scope`] in it. A unit of work is a closure that gets a [`Db`] or a [`Tx`] and runs on a
//! thread that owns the connection: it commits if it answers `Ok`, and is undone if not.
//!
//! Tables are not known here. All that differs between the engines is in [`Dialect`] and in the
//! translation of SQL written by hand (`translate.rs`).

mod calc;
mod cell;
mod civil;
mod db;
mod dialect;
mod error;
mod faults;
mod postgres;
mod row;
mod scope;
mod sqlite;
mod translate;
mod value;
mod work;

pub use calc::{Calc, Wanted, Wild};
pub use cell::{Cell, Database, PostgresOptions, SqliteOptions, Stats};
pub use db::{Db, Tx};
pub use dialect::{Dialect, Kind, Watch};
pub use error::{Error, Result};
pub use faults::{Faults, Hooks, Seen};
pub use row::Row;
pub use scope::{Place, Scope};
pub use value::{Bound, Built, Flow, FromRow, ToValue, Value, ValueRef};
pub use work::QueueStats;
