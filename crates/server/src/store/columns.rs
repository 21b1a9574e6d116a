//! Changes of tables and columns that are there, and what a change needs to know of their rows.
//!
//! A column keeps its physical name when it is renamed, and what is dropped stays in the database
//! for a while: requests that began before go on.

use engine::{Built, Flow, Value as Stored};
use sea_query::{Alias, Asterisk, Cond, Expr, ExprTrait as _, Func, Order, Query, SelectStatement};

use super::objects::{bound, built, place};
use super::{Db, Tx, schema};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::Random;
use crate::schema::{Column, Kind, Table, names};

/// Writes down what a column has become: all but its maker and its place.
pub fn update(tx: &Tx<'_>, column: &Column) -> Result<()> {
    let sql = "update sys.columns set name = ?3, physical = ?4, type = ?5, size = ?6,
                   is_required = ?7, is_unique = ?8, is_indexed = ?9, is_identity = ?10,
                   default_value = ?11, custom_regex = ?12, validator = ?13
               where app_id = ?1 and id = ?2";
    let validator = column.validator.as_ref().map(serde_json::to_string).transpose()?;
    tx.exec(
        sql,
        &[
            &tx.app(),
            &column.id,
            &column.name,
            &column.physical,
            &column.kind.as_str(),
            &column.size.map(i64::from),
            &column.rules.required,
            &column.rules.unique,
            &column.rules.indexed,
            &column.identity,
            &column.default.as_ref().map(ToString::to_string),
            &column.custom_regex,
            &validator,
        ],
    )?;
    Ok(())
}

/// Takes a column out of the catalog; gives the id by which [`drop_now`] drops it for good.
pub fn delete(
    tx: &Tx<'_>,
    random: &Random,
    table: &Table,
    column: &Column,
    now: Millis,
) -> Result<String> {
    set_index(tx, table, column, Index::None)?;
    let sql = "delete from sys.columns where app_id = ?1 and id = ?2";
    tx.exec(sql, &[&tx.app(), &column.id])?;
    drop_later(tx, random, &table.physical, Some(&column.physical), now)
}

/// Gives a column a new place of its kind, empty; gives its name, and the id by which [`drop_now`]
/// drops the old place.
pub fn replace(
    tx: &Tx<'_>,
    random: &Random,
    (table, column): (&Table, &Column),
    kind: Kind,
    now: Millis,
) -> Result<(String, String)> {
    set_index(tx, table, column, Index::None)?;
    let taken = schema::taken(tx, table)?;
    let physical = names::physical(&column.name, &taken.iter().map(String::as_str));
    let kind = tx.dialect().column_type(kind.stored());
    let quoted = tx.dialect().quote(&physical);
    let dropped = drop_later(tx, random, &table.physical, Some(&column.physical), now)?;
    let table = tx.dialect().quote(&table.physical);
    tx.batch(&format!("ALTER TABLE app.{table} ADD COLUMN {quoted} {kind};"))?;
    Ok((physical, dropped))
}

/// Renames a table; its physical name stays.
pub fn rename_table(tx: &Tx<'_>, table: &Table, name: &str) -> Result<()> {
    let sql = "update sys.tables set name = ?3 where app_id = ?1 and id = ?2";
    tx.exec(sql, &[&tx.app(), &table.id, &name])?;
    Ok(())
}

/// Takes a table out of the catalog; gives the id by which [`drop_now`] drops it for good.
pub fn delete_table(tx: &Tx<'_>, random: &Random, table: &Table, now: Millis) -> Result<String> {
    let sql = "delete from sys.columns where app_id = ?1 and table_id = ?2";
    tx.exec(sql, &[&tx.app(), &table.id])?;
    tx.exec("delete from sys.tables where app_id = ?1 and id = ?2", &[&tx.app(), &table.id])?;
    drop_later(tx, random, &table.physical, None, now)
}

fn drop_later(
    tx: &Tx<'_>,
    random: &Random,
    table: &str,
    column: Option<&str>,
    now: Millis,
) -> Result<String> {
    let id = random.opaque();
    let sql = "insert into sys.dropped (app_id, id, table_name, column_name, at)
               values (?1, ?2, ?3, ?4, ?5)";
    tx.exec(sql, &[&tx.app(), &id, &table, &column, &now])?;
    Ok(id)
}

/// Drops what was taken out of the catalog before. Repeatable.
pub fn drop_now(tx: &Tx<'_>, id: &str) -> Result<()> {
    let sql = "delete from sys.dropped where app_id = ?1 and id = ?2
               returning table_name, column_name";
    let read =
        |row: &super::Row<'_>| Ok((row.get::<String>("table_name")?, row.get("column_name")?));
    let found: Option<(String, Option<String>)> = tx.row(sql, &[&tx.app(), &id], read)?;
    let Some((table, column)) = found else { return Ok(()) };
    let table = tx.dialect().quote(&table);
    let Some(column) = column else {
        // Its columns that waited went with it.
        tx.batch(&format!("DROP TABLE IF EXISTS app.{table};"))?;
        return Ok(());
    };
    let exists = "select id from sys.dropped where app_id = ?1 and table_name = ?2
                  and column_name is null";
    let bare = table.trim_matches('"').replace("\"\"", "\"");
    if tx.row(exists, &[&tx.app(), &bare], |row| row.get::<String>("id"))?.is_none() {
        let quoted = tx.dialect().quote(&column);
        tx.batch(&format!("ALTER TABLE app.{table} DROP COLUMN {quoted};"))?;
    }
    Ok(())
}

/// What keeps a column's values unique or makes them quick to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// Nothing.
    None,
    /// An index.
    Plain,
    /// A constraint.
    Unique,
}

/// Makes the index of a column be that one. Fails with 1155 if rows have the same value.
pub fn set_index(tx: &Tx<'_>, table: &Table, column: &Column, index: Index) -> Result<()> {
    let dialect = tx.dialect();
    let [unique, plain] = ["uq", "ix"].map(|it| dialect.quote(&format!("{it}_{}", column.id)));
    let quoted = dialect.quote(&column.physical);
    let table = dialect.quote(&table.physical);
    for (kind, key) in [(Index::Unique, &unique), (Index::Plain, &plain)] {
        if kind != index {
            tx.batch(&format!("DROP INDEX IF EXISTS app.{key};"))?;
        }
    }
    match index {
        Index::None => {}
        Index::Plain => {
            let key = plain;
            tx.batch(&format!("CREATE INDEX IF NOT EXISTS {key} ON app.{table} ({quoted});"))?;
        }
        Index::Unique => {
            let key = unique;
            tx.batch(&format!(
                "CREATE UNIQUE INDEX IF NOT EXISTS {key} ON app.{table} ({quoted});"
            ))?;
        }
    }
    Ok(())
}

/// Which rows of a table are asked about.
#[derive(Clone, Copy, Debug)]
pub enum Rows {
    /// All.
    All,
    /// Those without a value.
    Empty,
    /// Those with a value.
    Filled,
    /// Those with a text of more characters.
    Longer(u32),
}

/// How many of those rows there are; guests do not count, since no rule of a column is theirs.
pub fn count(db: &Db<'_>, table: &Table, column: &Column, rows: Rows) -> Result<i64> {
    let mut query = Query::select();
    query.expr(Func::count(Expr::col(Asterisk))).from(place(db, table));
    query.cond_where(which(table, column, rows));
    one_number(db, &built(db, &query))
}

/// The ids of the first of those rows.
pub fn first(
    db: &Db<'_>,
    table: &Table,
    column: &Column,
    rows: Rows,
    most: u64,
) -> Result<Vec<String>> {
    let mut query = Query::select();
    query.column(Alias::new("objectId")).from(place(db, table));
    query.cond_where(which(table, column, rows));
    query.order_by(Alias::new(".seq"), Order::Asc).limit(most);
    texts(db, &query)
}

/// Gives every row without a value, but guests, this one.
pub fn fill(tx: &Tx<'_>, table: &Table, column: &Column, value: &Stored) -> Result<()> {
    let mut query = Query::update();
    query.table(place(tx, table)).value(Alias::new(&column.physical), bound(value));
    query.cond_where(which(table, column, Rows::Empty));
    tx.exec_built(&built(tx, &query))?;
    Ok(())
}

/// Values that several rows have: how many such values there are, and of the first of them the ids
/// of the first rows.
pub fn duplicates(
    db: &Db<'_>,
    table: &Table,
    column: &Column,
    most: u64,
) -> Result<(i64, Vec<Vec<String>>)> {
    let name = || Expr::col(Alias::new(&column.physical));
    let mut groups = Query::select();
    groups.column(Alias::new(&column.physical)).from(place(db, table));
    groups.and_where(name().is_not_null()).group_by_col(Alias::new(&column.physical));
    groups.and_having(Func::count(Expr::col(Asterisk)).gt(1_i64));
    let mut total = Query::select();
    total.expr(Func::count(Expr::col(Asterisk)));
    total.from_subquery(groups.clone(), Alias::new("several"));
    let total = one_number(db, &built(db, &total))?;
    if total == 0 {
        return Ok((0, Vec::new()));
    }
    groups.order_by(Alias::new(&column.physical), Order::Asc).limit(most);
    let mut values = Vec::new();
    db.each(&built(db, &groups), &mut |row| {
        values.push(Stored::from(row.at(0)?));
        Ok(Flow::Continue)
    })?;
    let mut listed = Vec::new();
    for value in values {
        let mut ids = Query::select();
        ids.column(Alias::new("objectId")).from(place(db, table));
        ids.and_where(name().eq(bound(&value)));
        ids.order_by(Alias::new(".seq"), Order::Asc).limit(5);
        listed.push(texts(db, &ids)?);
    }
    Ok((total, listed))
}

/// A row as a scan sees it.
pub struct Scanned {
    /// Its place in the order of insertion.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// The value of the column.
    pub value: Stored,
}

/// Where a scan goes on.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// After that place in the order of insertion.
    After(i64),
    /// From the first that was written since then, all of them.
    Since(Millis),
}

/// The next rows and their values in a column; guests are left out.
pub fn scan(
    db: &Db<'_>,
    table: &Table,
    column: &Column,
    from: From,
    most: u64,
) -> Result<Vec<Scanned>> {
    let mut query = Query::select();
    query.columns([".seq", "objectId", &column.physical].map(Alias::new)).from(place(db, table));
    query.cond_where(which(table, column, Rows::All));
    match from {
        From::After(seq) => {
            query.and_where(Expr::col(Alias::new(".seq")).gt(seq));
            query.order_by(Alias::new(".seq"), Order::Asc).limit(most);
        }
        From::Since(at) => {
            let late = |name: &str| Expr::col(Alias::new(name)).gte(at.0);
            query.cond_where(Cond::any().add(late("created")).add(late("updated")));
        }
    }
    let mut found = Vec::new();
    db.each(&built(db, &query), &mut |row| {
        let (engine::ValueRef::Int(seq), engine::ValueRef::Text(id)) = (row.at(0)?, row.at(1)?)
        else {
            return Ok(Flow::Continue);
        };
        found.push(Scanned { seq, id: id.to_owned(), value: Stored::from(row.at(2)?) });
        Ok(Flow::Continue)
    })?;
    Ok(found)
}

/// Lets nobody else write into the table until the transaction ends.
pub fn lock_writes(tx: &Tx<'_>, table: &Table) -> Result<()> {
    let table = tx.dialect().table(tx.scope(), &table.physical);
    Ok(tx.batch(&tx.dialect().lock_writes(&table))?)
}

fn which(table: &Table, column: &Column, rows: Rows) -> Cond {
    let value = || Expr::col(Alias::new(&column.physical));
    let mut cond = Cond::all();
    if table.is_users() {
        let status = || Expr::col(Alias::new("userStatus"));
        cond = cond.add(Cond::any().add(status().is_null()).add(status().ne("GUEST")));
    }
    match rows {
        Rows::All => cond,
        Rows::Empty => cond.add(value().is_null()),
        Rows::Filled => cond.add(value().is_not_null()),
        Rows::Longer(most) => cond.add(Expr::expr(Func::char_length(value())).gt(i64::from(most))),
    }
}

fn one_number(db: &Db<'_>, query: &Built) -> Result<i64> {
    let mut number = 0;
    db.each(query, &mut |row| {
        if let engine::ValueRef::Int(it) = row.at(0)? {
            number = it;
        }
        Ok(Flow::Stop)
    })?;
    Ok(number)
}

fn texts(db: &Db<'_>, query: &SelectStatement) -> Result<Vec<String>> {
    let mut found = Vec::new();
    db.each(&built(db, query), &mut |row| {
        if let engine::ValueRef::Text(it) = row.at(0)? {
            found.push(it.to_owned());
        }
        Ok(Flow::Continue)
    })?;
    Ok(found)
}
