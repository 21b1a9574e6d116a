//! Rows of any table of an application. Identifiers come from the catalog, values are bound.

use engine::{Built, Flow, Value as Stored};
use sea_query::{
    Alias, Asterisk, Expr, ExprTrait as _, Func, Order, PostgresQueryBuilder, Query,
    QueryStatementWriter, SimpleExpr, SqliteQueryBuilder, TableRef, Value,
};

use serde_json::{Map, Value as Json};

use super::{Db, Row, Tx};
use crate::error::Result;
use crate::schema::{Column, Table, values};

/// A column with the value that goes into it.
pub type Cell<'a> = (&'a Column, Stored);

/// Which rows, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Columns to sort by, each with whether the largest comes first.
    pub sort: Vec<(Column, bool)>,
    /// Rows at most.
    pub size: u64,
    /// Rows to leave out before them.
    pub offset: u64,
}

/// Adds a row.
pub fn insert(tx: &Tx<'_>, table: &Table, cells: &[Cell<'_>]) -> Result<()> {
    let mut query = Query::insert();
    query.into_table(place(tx, table));
    query.columns(cells.iter().map(|it| Alias::new(&it.0.physical)));
    query.values_panic(cells.iter().map(|it| bound(&it.1)));
    tx.exec_built(&built(tx, &query))?;
    Ok(())
}

/// Changes the row with that id; false if there is none.
pub fn update(tx: &Tx<'_>, table: &Table, id: &str, cells: &[Cell<'_>]) -> Result<bool> {
    let mut query = Query::update();
    query.table(place(tx, table));
    query.values(cells.iter().map(|it| (Alias::new(&it.0.physical), bound(&it.1))));
    query.and_where(Expr::col(Alias::new("objectId")).eq(id));
    Ok(tx.exec_built(&built(tx, &query))? == 1)
}

/// Removes the row with that id; false if there is none.
pub fn delete(tx: &Tx<'_>, table: &Table, id: &str) -> Result<bool> {
    let mut query = Query::delete();
    query.from_table(place(tx, table));
    query.and_where(Expr::col(Alias::new("objectId")).eq(id));
    Ok(tx.exec_built(&built(tx, &query))? == 1)
}

/// Writes the row with that id as a JSON object, without the closing brace, so that the caller can
/// add to it; false if there is none.
pub fn write_one(db: &Db<'_>, table: &Table, id: &str, out: &mut Vec<u8>) -> Result<bool> {
    let columns: Vec<&Column> = table.shown().collect();
    let mut query = Query::select();
    query.columns(columns.iter().map(|it| Alias::new(&it.physical)));
    query.from(place(db, table));
    query.and_where(Expr::col(Alias::new("objectId")).eq(id));
    let mut found = false;
    db.each(&built(db, &query), &mut |row| {
        found = true;
        write_open_object(row, table, &columns, out)?;
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
    let mut out = Vec::new();
    if !columns.is_empty() {
        db.each(&built(db, &query), &mut |row| {
            write_open_object(row, table, columns, &mut out)?;
            out.push(b'}');
            Ok(Flow::Stop)
        })?;
    }
    let mut read: Map<String, Json> =
        if out.is_empty() { Map::new() } else { serde_json::from_slice(&out)? };
    read.remove("___class");
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

/// Writes one page of rows as a JSON array.
pub fn write_page(
    db: &Db<'_>,
    table: &Table,
    columns: &[&Column],
    page: &Page,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut query = Query::select();
    query.columns(columns.iter().map(|it| Alias::new(&it.physical)));
    query.from(place(db, table));
    for (column, descending) in &page.sort {
        let order = if *descending { Order::Desc } else { Order::Asc };
        query.order_by(Alias::new(&column.physical), order);
    }
    // Rows that are alike in all of these stand in the order in which they came.
    query.order_by(Alias::new(".seq"), Order::Asc);
    query.limit(page.size).offset(page.offset);
    out.push(b'[');
    let mut first = true;
    db.each(&built(db, &query), &mut |row| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_open_object(row, table, columns, out)?;
        out.push(b'}');
        Ok(Flow::Continue)
    })?;
    out.push(b']');
    Ok(())
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

fn write_open_object(
    row: &Row<'_>,
    table: &Table,
    columns: &[&Column],
    out: &mut Vec<u8>,
) -> engine::Result<()> {
    out.push(b'{');
    for (index, column) in columns.iter().enumerate() {
        values::write_text(&column.name, out);
        out.push(b':');
        values::write_json(column.kind, row.at(index)?, out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"___class\":");
    values::write_text(&table.name, out);
    Ok(())
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
