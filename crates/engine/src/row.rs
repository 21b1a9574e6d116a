//! One row of an answer.

use crate::error::{Error, Result};
use crate::postgres;
use crate::value::{FromRow, ValueRef};

/// A row; valid until the next one is read.
#[derive(Debug)]
pub struct Row<'r>(Source<'r>);

#[derive(Debug)]
enum Source<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl<'r> Row<'r> {
    pub(crate) fn sqlite(row: &'r rusqlite::Row<'r>) -> Self {
        Self(Source::Sqlite(row))
    }

    pub(crate) fn postgres(row: &'r tokio_postgres::Row) -> Self {
        Self(Source::Postgres(row))
    }
}

impl Row<'_> {
    /// The value of the column named exactly `column`. Give an expression a name with `as`: the
    /// engines choose different ones. Fails with [`Error::Undefined`] without such a column, and
    /// with [`Error::Type`] for a value of another type.
    pub fn get<T: FromRow>(&self, column: &str) -> Result<T> {
        let index = (0..self.len())
            .find(|index| self.name(*index) == column)
            .ok_or_else(|| Error::Undefined(format!("column {column} of the answer")))?;
        let value = self.at(index)?;
        T::from_value(value).ok_or_else(|| Error::Type {
            column: column.to_owned(),
            expected: T::EXPECTS,
            found: value.kind().to_owned(),
        })
    }

    /// The value of the column at `index`, counted from 0, lent by its run-time type. Fails with
    /// [`Error::NotUtf8`] for a text that is not UTF-8.
    pub fn at(&self, index: usize) -> Result<ValueRef<'_>> {
        let none = || Error::Undefined(format!("column {index} of the answer"));
        match self.0 {
            Source::Sqlite(row) => match row.get_ref(index).map_err(|_| none())? {
                rusqlite::types::ValueRef::Null => Ok(ValueRef::Null),
                rusqlite::types::ValueRef::Integer(it) => Ok(ValueRef::Int(it)),
                rusqlite::types::ValueRef::Real(it) => Ok(ValueRef::Real(it)),
                rusqlite::types::ValueRef::Text(it) => {
                    str::from_utf8(it).map(ValueRef::Text).map_err(|_| Error::NotUtf8)
                }
                rusqlite::types::ValueRef::Blob(it) => Ok(ValueRef::Bytes(it)),
            },
            Source::Postgres(row) if index < row.len() => postgres::value_at(row, index),
            Source::Postgres(_) => Err(none()),
        }
    }

    /// How many columns there are.
    #[expect(clippy::len_without_is_empty, reason = "a row without columns is of no use")]
    pub fn len(&self) -> usize {
        match self.0 {
            Source::Sqlite(row) => row.as_ref().column_count(),
            Source::Postgres(row) => row.len(),
        }
    }

    /// The name of the column at `index`; empty if there is none.
    pub fn name(&self, index: usize) -> &str {
        match self.0 {
            Source::Sqlite(row) => row.as_ref().column_name(index).unwrap_or_default(),
            Source::Postgres(row) => row.columns().get(index).map_or("", |it| it.name()),
        }
    }
}
