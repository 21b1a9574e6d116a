//! Changes of tables and columns that are there, and what a change needs to know of their rows.
//!
//! A column keeps its physical name when it is renamed, and what is dropped stays in the database
//! for a while: requests that began before go on.

use engine::{Built, Flow, Value as Stored};
use sea_query::{
    Alias, Asterisk, Cond, Expr, ExprTrait as _, Func, LockType, Order, Query, SelectStatement,
};

use super::objects::{bound, built, place};
use super::{Db, Row, Tx, schema};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::Random;
use crate::schema::{Column, Table, becoming, names};

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

/// Makes a place for what a column will be, empty, and gives its name.
pub fn add_place(tx: &Tx<'_>, table: &Table, next: &Column) -> Result<String> {
    let taken = schema::taken(tx, table)?;
    let physical = names::physical(&next.name, &taken.iter().map(String::as_str));
    let kind = tx.dialect().column_type(next.kind.stored());
    let quoted = tx.dialect().quote(&physical);
    let table = tx.dialect().quote(&table.physical);
    tx.batch(&format!("ALTER TABLE app.{table} ADD COLUMN {quoted} {kind};"))?;
    Ok(physical)
}

/// Has a place of a column dropped for good by [`drop_now`]; gives the id for that.
pub fn drop_place(
    tx: &Tx<'_>,
    random: &Random,
    table: &Table,
    place: &Column,
    now: Millis,
) -> Result<String> {
    set_index(tx, table, place, Index::None)?;
    drop_later(tx, random, &table.physical, Some(&place.physical), now)
}

/// Writes down what a column will be, or that it stays what it is.
pub fn set_becoming(tx: &Tx<'_>, column: &Column, next: Option<&Column>) -> Result<()> {
    let sql = "update sys.columns set becoming = ?3 where app_id = ?1 and id = ?2";
    let json = next.map(|it| becoming::to_json(it).to_string());
    tx.exec(sql, &[&tx.app(), &column.id, &json])?;
    Ok(())
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

/// The names of a column's indexes, quoted: the unique one and the plain one. Another place of the
/// same column has others.
fn index_names(db: &Db<'_>, column: &Column) -> [String; 2] {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let place = column.physical.bytes().fold(0x811c_9dc5, mix);
    ["uq", "ix"].map(|it| db.dialect().quote(&format!("{it}_{}_{place:08x}", column.id)))
}

/// Makes the index of a column be that one. Fails with 1155 if rows have the same value.
pub fn set_index(tx: &Tx<'_>, table: &Table, column: &Column, index: Index) -> Result<()> {
    let [unique, plain] = index_names(tx, column);
    for (kind, key) in [(Index::Unique, &unique), (Index::Plain, &plain)] {
        if kind != index {
            tx.batch(&format!("DROP INDEX IF EXISTS app.{key};"))?;
        }
    }
    create_index(tx, table, column, index, "")
}

/// Builds the index of a column beside those who write, if the engine can; else in a transaction.
/// Stands alone (see `Database::alone`). Repeatable: what a try before has left is built anew.
/// Fails with 1155 if rows have the same value.
pub fn build_index(tx: &Tx<'_>, table: &Table, column: &Column, index: Index) -> Result<()> {
    let lock = tx.dialect().concurrently();
    let [unique, plain] = index_names(tx, column);
    let key = if index == Index::Unique { unique } else { plain };
    tx.batch(&format!("DROP INDEX{lock} IF EXISTS app.{key};"))?;
    create_index(tx, table, column, index, lock)
}

/// Drops the indexes of a column beside those who write. Stands alone, too.
pub fn drop_index(tx: &Tx<'_>, column: &Column) -> Result<()> {
    let lock = tx.dialect().concurrently();
    for key in index_names(tx, column) {
        tx.batch(&format!("DROP INDEX{lock} IF EXISTS app.{key};"))?;
    }
    Ok(())
}

fn create_index(
    tx: &Tx<'_>,
    table: &Table,
    column: &Column,
    index: Index,
    lock: &str,
) -> Result<()> {
    let dialect = tx.dialect();
    let [unique, plain] = index_names(tx, column);
    let quoted = dialect.quote(&column.physical);
    let table = dialect.quote(&table.physical);
    let sql = match index {
        Index::None => return Ok(()),
        Index::Plain => {
            let (key, columns) = (plain, dialect.index_columns(&quoted));
            format!("CREATE INDEX{lock} IF NOT EXISTS {key} ON app.{table} ({columns});")
        }
        Index::Unique => {
            let key = unique;
            format!("CREATE UNIQUE INDEX{lock} IF NOT EXISTS {key} ON app.{table} ({quoted});")
        }
    };
    Ok(tx.batch(&sql)?)
}

/// How many rows there are; guests do not count, since no rule of a column is theirs.
pub fn count(db: &Db<'_>, table: &Table) -> Result<i64> {
    let mut query = Query::select();
    query.expr(Func::count(Expr::col(Asterisk))).from(place(db, table));
    query.cond_where(no_guests(table));
    one_number(db, &built(db, &query))
}

/// Whether the table has more rows than that, guests included. It looks at no more of them.
pub fn has_more(db: &Db<'_>, table: &Table, than: i64) -> Result<bool> {
    let mut query = Query::select();
    query.column(Alias::new(".seq")).from(place(db, table));
    query.limit(1).offset(u64::try_from(than).unwrap_or_default());
    let mut found = false;
    db.each(&built(db, &query), &mut |_| {
        found = true;
        Ok(Flow::Stop)
    })?;
    Ok(found)
}

/// The place of the latest row in the order of insertion.
pub fn last_place(db: &Db<'_>, table: &Table) -> Result<i64> {
    let mut query = Query::select();
    query.column(Alias::new(".seq")).from(place(db, table));
    query.order_by(Alias::new(".seq"), Order::Desc).limit(1);
    one_number(db, &built(db, &query))
}

/// The ids of the next rows, up to a place in the order of insertion.
pub fn ids_up_to(db: &Db<'_>, table: &Table, last: i64, most: u64) -> Result<Vec<String>> {
    let mut query = Query::select();
    query.column(Alias::new("objectId")).from(place(db, table));
    query.and_where(Expr::col(Alias::new(".seq")).lte(last));
    query.order_by(Alias::new(".seq"), Order::Asc).limit(most);
    texts(db, &query)
}

/// Gives the row at that place in the order of insertion a value.
pub fn set_value(
    tx: &Tx<'_>,
    table: &Table,
    column: &Column,
    (seq, value): (i64, &Stored),
) -> Result<()> {
    let mut query = Query::update();
    query.table(place(tx, table)).value(Alias::new(&column.physical), bound(value));
    query.and_where(Expr::col(Alias::new(".seq")).eq(seq));
    tx.exec_built(&built(tx, &query))?;
    Ok(())
}

/// The next rows with their values in a column, guests included and marked. They stay as they are
/// until the transaction ends.
pub fn take(
    tx: &Tx<'_>,
    table: &Table,
    column: &Column,
    (after, most): (i64, u64),
) -> Result<Vec<(Scanned, bool)>> {
    let mut query = Query::select();
    query.columns([".seq", "objectId", &column.physical].map(Alias::new)).from(place(tx, table));
    if table.is_users() {
        query.column(Alias::new("userStatus"));
    }
    query.and_where(Expr::col(Alias::new(".seq")).gt(after));
    query.order_by(Alias::new(".seq"), Order::Asc).limit(most).lock(LockType::Update);
    let mut found = Vec::new();
    tx.each(&built(tx, &query), &mut |row| {
        if let Some(scanned) = read_scanned(row)? {
            let guest = table.is_users() && row.at(3)? == engine::ValueRef::Text("GUEST");
            found.push((scanned, guest));
        }
        Ok(Flow::Continue)
    })?;
    Ok(found)
}

fn read_scanned(row: &Row<'_>) -> engine::Result<Option<Scanned>> {
    let (engine::ValueRef::Int(seq), engine::ValueRef::Text(id)) = (row.at(0)?, row.at(1)?) else {
        return Ok(None);
    };
    Ok(Some(Scanned { seq, id: id.to_owned(), value: Stored::from(row.at(2)?) }))
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
    query.cond_where(no_guests(table));
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
        found.extend(read_scanned(row)?);
        Ok(Flow::Continue)
    })?;
    Ok(found)
}

/// Lets nobody else write into the table until the transaction ends.
pub fn lock_writes(tx: &Tx<'_>, table: &Table) -> Result<()> {
    let table = tx.dialect().table(tx.scope(), &table.physical);
    Ok(tx.batch(&tx.dialect().lock_writes(&table))?)
}

fn no_guests(table: &Table) -> Cond {
    if !table.is_users() {
        return Cond::all();
    }
    let status = || Expr::col(Alias::new("userStatus"));
    Cond::any().add(status().is_null()).add(status().ne("GUEST"))
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
