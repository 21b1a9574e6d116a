//! Rows of any table of an application. Identifiers come from the catalog, values are bound.

use std::collections::HashSet;

use engine::{Built, Flow, Value as Stored};
use sea_query::{
    Alias, Asterisk, Expr, ExprTrait as _, Func, LockType, Order, PostgresQueryBuilder, Query,
    QueryStatementWriter, SelectStatement, SimpleExpr, SqliteQueryBuilder, TableRef, Value,
};

use serde_json::{Map, Value as Json};

use super::{Db, Row, Tx};
use crate::error::{Error, Result};
use crate::schema::{Column, Table, values};

/// A column with the value that goes into it.
pub type Cell<'a> = (&'a Column, Stored);

/// Adds a row. Fails with 1101 if a row has the id, and with 1155 if one has another value that must
/// be unique.
pub fn insert(tx: &Tx<'_>, table: &Table, cells: &[Cell<'_>]) -> Result<()> {
    let mut query = Query::insert();
    query.into_table(place(tx, table));
    query.columns(cells.iter().map(|it| Alias::new(&it.0.physical)));
    query.values_panic(cells.iter().map(|it| bound(&it.1)));
    match tx.exec_built(&built(tx, &query)) {
        Err(engine::Error::Unique { constraint }) if constraint.contains("objectId") => {
            Err(Error::id_taken())
        }
        done => done.map(|_| ()).map_err(Error::from),
    }
}

/// Those of these ids that rows have. The rows stay as they are until the transaction ends; they
/// are locked in one order, so that two who want the same ones do not wait for each other.
pub fn lock(tx: &Tx<'_>, table: &Table, ids: &[&str]) -> Result<HashSet<String>> {
    let mut query = by_ids(tx, table, ids);
    query.order_by(Alias::new("objectId"), Order::Asc).lock(LockType::Update);
    texts(tx, &query)
}

/// Those of these ids that rows have.
pub fn existing(db: &Db<'_>, table: &Table, ids: &[&str]) -> Result<HashSet<String>> {
    texts(db, &by_ids(db, table, ids))
}

fn by_ids(db: &Db<'_>, table: &Table, ids: &[&str]) -> SelectStatement {
    let mut query = Query::select();
    query.column(Alias::new("objectId")).from(place(db, table));
    query.and_where(is_one_of(ids.iter().copied()));
    query
}

/// Whether a row has one of these ids. The list is never empty: what stands for an empty one has
/// values of a type that PostgreSQL cannot tell.
fn is_one_of<'a>(ids: impl Iterator<Item = &'a str>) -> SimpleExpr {
    Expr::col(Alias::new("objectId")).is_in(ids.chain([""]))
}

fn texts(db: &Db<'_>, query: &SelectStatement) -> Result<HashSet<String>> {
    let mut found = HashSet::new();
    db.each(&built(db, query), &mut |row| {
        if let engine::ValueRef::Text(it) = row.at(0)? {
            found.insert(it.to_owned());
        }
        Ok(Flow::Continue)
    })?;
    Ok(found)
}

/// Changes the row with that id; false if there is none.
pub fn update(tx: &Tx<'_>, table: &Table, id: &str, cells: &[Cell<'_>]) -> Result<bool> {
    let mut query = Query::update();
    query.table(place(tx, table));
    query.values(places(cells).iter().map(|it| (Alias::new(&it.0), bound(&it.1))));
    query.and_where(Expr::col(Alias::new("objectId")).eq(id));
    Ok(tx.exec_built(&built(tx, &query))? == 1)
}

/// What a change sets, by the physical names.
pub(super) fn places(cells: &[Cell<'_>]) -> Vec<(String, Stored)> {
    cells.iter().map(|it| (it.0.physical.clone(), it.1.clone())).collect()
}

/// Removes the row with that id; false if there is none.
pub fn delete(tx: &Tx<'_>, table: &Table, id: &str) -> Result<bool> {
    let mut query = Query::delete();
    query.from_table(place(tx, table));
    query.and_where(Expr::col(Alias::new("objectId")).eq(id));
    Ok(tx.exec_built(&built(tx, &query))? == 1)
}

/// Removes the rows with these ids and tells how many there were.
pub fn delete_these(tx: &Tx<'_>, table: &Table, ids: &[String]) -> Result<u64> {
    let mut query = Query::delete();
    query.from_table(place(tx, table)).and_where(is_one_of(ids.iter().map(String::as_str)));
    Ok(tx.exec_built(&built(tx, &query))?)
}

/// Writes the row with that id as a JSON object, without the closing brace, so that the caller can
/// add to it; false if there is none.
pub fn write_one(db: &Db<'_>, table: &Table, id: &str, out: &mut Vec<u8>) -> Result<bool> {
    let writer = Writer::new(table);
    let mut query = Query::select();
    writer.select(&mut query);
    query.from(place(db, table));
    query.and_where(Expr::col(Alias::new("objectId")).eq(id));
    let mut found = false;
    db.each(&built(db, &query), &mut |row| {
        found = true;
        writer.open_object(row, out)?;
        Ok(Flow::Stop)
    })?;
    Ok(found)
}

/// The values of these columns of the row with that id, by name; empty if there is no such row.
pub fn read(
    db: &Db<'_>,
    table: &Table,
    columns: &[&Column],
    id: &str,
) -> Result<Map<String, Json>> {
    let mut query = Query::select();
    query.columns(columns.iter().map(|it| Alias::new(&it.physical)));
    query.from(place(db, table));
    query.and_where(Expr::col(Alias::new("objectId")).eq(id));
    let mut read = Map::new();
    if !columns.is_empty() {
        db.each(&built(db, &query), &mut |row| {
            for (index, column) in columns.iter().enumerate() {
                let value = Stored::from(row.at(index)?);
                read.insert(column.name.clone(), values::to_json(column.kind, &value));
            }
            Ok(Flow::Stop)
        })?;
    }
    Ok(read)
}

/// One value of the row with that id; null if there is no such row.
pub fn value(db: &Db<'_>, table: &Table, column: &Column, id: &str) -> Result<Stored> {
    let mut query = Query::select();
    query.column(Alias::new(&column.physical)).from(place(db, table));
    query.and_where(Expr::col(Alias::new("objectId")).eq(id));
    let mut found = Stored::Null;
    db.each(&built(db, &query), &mut |row| {
        found = row.at(0)?.into();
        Ok(Flow::Stop)
    })?;
    Ok(found)
}

/// How many rows the table has.
pub fn count(db: &Db<'_>, table: &Table) -> Result<i64> {
    let mut query = Query::select();
    query.expr(Func::count(Expr::col(Asterisk))).from(place(db, table));
    let mut count = 0;
    db.each(&built(db, &query), &mut |row| {
        if let engine::ValueRef::Int(it) = row.at(0)? {
            count = it;
        }
        Ok(Flow::Stop)
    })?;
    Ok(count)
}

/// Writes rows as JSON objects: what is the same in all of them is made once.
struct Writer<'a> {
    columns: Vec<(&'a Column, Vec<u8>)>,
    end: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(table: &'a Table) -> Self {
        let key = |it: &'a Column| {
            let mut key = Vec::with_capacity(it.name.len() + 3);
            values::write_text(&it.name, &mut key);
            key.push(b':');
            (it, key)
        };
        let mut end = b"\"___class\":".to_vec();
        values::write_text(&table.name, &mut end);
        let shown = table.columns.iter().filter(|it| table.shows(it));
        Self { columns: shown.map(key).collect(), end }
    }

    /// Selects what is written; at least one column, since an empty list is no SQL.
    fn select(&self, query: &mut SelectStatement) {
        if self.columns.is_empty() {
            query.column(Alias::new(".seq"));
        }
        query.columns(self.columns.iter().map(|it| Alias::new(&it.0.physical)));
    }

    fn open_object(&self, row: &Row<'_>, out: &mut Vec<u8>) -> engine::Result<()> {
        out.push(b'{');
        for (index, (column, key)) in self.columns.iter().enumerate() {
            out.extend_from_slice(key);
            values::write_json(column.kind, row.at(index)?, out);
            out.push(b',');
        }
        out.extend_from_slice(&self.end);
        Ok(())
    }
}

/// The table in the database, qualified where the engine wants it.
pub(super) fn place(db: &Db<'_>, table: &Table) -> TableRef {
    use sea_query::IntoTableRef as _;
    match db.dialect().schema(db.scope()) {
        Some(schema) => (Alias::new(schema), Alias::new(&table.physical)).into_table_ref(),
        None => Alias::new(&table.physical).into_table_ref(),
    }
}

pub(super) fn bound(value: &Stored) -> SimpleExpr {
    let value = match value {
        Stored::Null => Value::String(None),
        Stored::Bool(it) => Value::Bool(Some(*it)),
        Stored::Int(it) => Value::BigInt(Some(*it)),
        Stored::Real(it) => Value::Double(Some(*it)),
        Stored::Text(it) | Stored::Json(it) => Value::String(Some(it.clone())),
        Stored::Bytes(it) => Value::Bytes(Some(it.clone())),
    };
    SimpleExpr::Value(value)
}

/// A statement in the words of the engine, with its values.
pub(super) fn built(db: &Db<'_>, query: &impl QueryStatementWriter) -> Built {
    let (sql, values) = match db.dialect() {
        engine::Dialect::Sqlite => query.build(SqliteQueryBuilder),
        engine::Dialect::Postgres => query.build(PostgresQueryBuilder),
    };
    Built { sql, values: values.0.into_iter().map(stored).collect() }
}

fn stored(value: Value) -> Stored {
    match value {
        Value::Bool(Some(it)) => Stored::Bool(it),
        Value::BigInt(Some(it)) => Stored::Int(it),
        Value::Int(Some(it)) => Stored::Int(it.into()),
        Value::BigUnsigned(Some(it)) => Stored::Int(i64::try_from(it).unwrap_or(i64::MAX)),
        Value::Double(Some(it)) => Stored::Real(it),
        Value::String(Some(it)) => Stored::Text(it),
        Value::Bytes(Some(it)) => Stored::Bytes(it),
        // Only the kinds above are ever bound; all else is a null of one of them.
        _ => Stored::Null,
    }
}
