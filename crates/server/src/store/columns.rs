//! Changes of tables and columns that are there, and what a change needs to know of their rows.
//!
//! A column keeps its physical name when it is renamed, and what is dropped stays in the database
//! for a while: requests that began before go on.

use engine::{Built, Flow, Value as Stored};
use sea_query::{
    Alias, Asterisk, Cond, Expr, ExprTrait as _, Func, LockBehavior, LockType, Order, Query,
    SelectStatement,
};

use super::objects::{bound, built, place};
use super::{Db, Tx, schema};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::Random;
use crate::schema::{Column, Kind, Table};

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
    move_out(tx, random, (table, column), now)
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
    drop_later(tx, random, (&table.physical, None), now)
}

fn drop_later(
    tx: &Tx<'_>,
    random: &Random,
    (table, column): (&str, Option<(&str, Kind)>),
    now: Millis,
) -> Result<String> {
    let id = random.opaque();
    let sql = "insert into sys.dropped (app_id, id, table_name, column_name, type, at)
               values (?1, ?2, ?3, ?4, ?5, ?6)";
    let kind = column.map(|it| tx.dialect().column_type(it.1.stored()));
    tx.exec(sql, &[&tx.app(), &id, &table, &column.map(|it| it.0), &kind, &now])?;
    Ok(id)
}

/// What was taken out of the catalog and is still in the database, by physical names.
#[derive(Clone, Debug)]
pub struct Dropped {
    /// The table.
    pub table: String,
    /// The column; none for the whole table.
    pub column: Option<String>,
}

/// What that id stands for; `None` if it is gone.
pub fn dropped(db: &Db<'_>, id: &str) -> Result<Option<Dropped>> {
    let sql = "select table_name, column_name from sys.dropped
               where app_id = ?1 and id = ?2 and is_husk = false";
    let read = |row: &super::Row<'_>| {
        Ok(Dropped { table: row.get("table_name")?, column: row.get("column_name")? })
    };
    Ok(db.row(sql, &[&db.app(), &id], read)?)
}

/// Empties a dropped column in the rows after that place in the order of insertion, at most so many;
/// gives the last of them, or `None` if there were no more.
pub fn blank(tx: &Tx<'_>, dropped: &Dropped, after: i64, most: u64) -> Result<Option<i64>> {
    let Some(column) = &dropped.column else { return Ok(None) };
    let table = table_of(dropped);
    let seq = || Expr::col(Alias::new(".seq"));
    let mut part = Query::select();
    part.column(Alias::new(".seq")).from(place(tx, &table)).and_where(seq().gt(after));
    part.order_by(Alias::new(".seq"), Order::Asc).limit(most);
    let mut last = None;
    tx.each(&built(tx, &part), &mut |row| {
        if let engine::ValueRef::Int(it) = row.at(0)? {
            last = Some(it);
        }
        Ok(Flow::Continue)
    })?;
    if let Some(last) = last {
        let mut query = Query::update();
        query.table(place(tx, &table)).value(Alias::new(column), bound(&Stored::Null));
        query.and_where(seq().gt(after)).and_where(seq().lte(last));
        query.and_where(Expr::col(Alias::new(column)).is_not_null());
        tx.exec_built(&built(tx, &query))?;
    }
    Ok(last)
}

/// Whether dropping it would write more than so many rows anew.
pub fn is_dear(db: &Db<'_>, dropped: &Dropped, rows: u64) -> Result<bool> {
    if dropped.column.is_none() || db.dialect().drops_at_once() {
        return Ok(false);
    }
    has_more(db, &table_of(dropped), rows)
}

fn table_of(dropped: &Dropped) -> Table {
    Table {
        id: String::new(),
        name: dropped.table.as_str().into(),
        physical: dropped.table.clone(),
        columns: Vec::new(),
    }
}

/// Keeps a dropped column, which is empty by now, for a new one of its type.
pub fn keep_husk(tx: &Tx<'_>, id: &str) -> Result<()> {
    let sql = "update sys.dropped set is_husk = true where app_id = ?1 and id = ?2";
    tx.exec(sql, &[&tx.app(), &id])?;
    Ok(())
}

/// Drops what was taken out of the catalog before. Repeatable.
pub fn drop_now(tx: &Tx<'_>, id: &str) -> Result<()> {
    let Some(Dropped { table, column }) = dropped(tx, id)? else { return Ok(()) };
    let place = tx.dialect().quote(&table);
    if let Some(column) = column {
        // If the whole table waits, too, its columns go with it.
        let whole = "select id from sys.dropped where app_id = ?1 and table_name = ?2
                     and column_name is null";
        if tx.row(whole, &[&tx.app(), &table], |row| row.get::<String>("id"))?.is_none() {
            let (table, quoted) = (place, tx.dialect().quote(&column));
            tx.batch(&format!("ALTER TABLE app.{table} DROP COLUMN {quoted};"))?;
        }
        let sql = "delete from sys.dropped where app_id = ?1 and id = ?2";
        tx.exec(sql, &[&tx.app(), &id])?;
    } else {
        let dropped = &table;
        let table = place;
        tx.batch(&format!("DROP TABLE IF EXISTS app.{table};"))?;
        let sql = "delete from sys.dropped where app_id = ?1 and (id = ?2 or (
                       table_name = ?3 and is_husk))";
        tx.exec(sql, &[&tx.app(), &id, dropped])?;
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
    for kind in [Index::Unique, Index::Plain].into_iter().filter(|it| *it != index) {
        let key = tx.dialect().quote(&index_name(column, kind));
        tx.batch(&format!("DROP INDEX IF EXISTS app.{key};"))?;
    }
    create_index(tx, table, column, index, "")
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

/// Gives rows without a value, but guests, this one: those after the place `after` in the order of
/// insertion, up to `until`. False if some were passed over.
pub fn fill(
    tx: &Tx<'_>,
    (table, column): (&Table, &Column),
    value: &Stored,
    (after, until): (i64, i64),
    busy: Busy,
) -> Result<bool> {
    let seq = || Expr::col(Alias::new(".seq"));
    let within = || {
        let part = which(table, column, Rows::Empty);
        part.add(seq().gt(after)).add(seq().lte(until))
    };
    let mut free = Query::select();
    free.column(Alias::new(".seq")).from(place(tx, table)).cond_where(within());
    leave_out(&mut free, busy);
    let mut query = Query::update();
    query.table(place(tx, table)).value(Alias::new(&column.physical), bound(value));
    query.and_where(seq().in_subquery(free));
    tx.exec_built(&built(tx, &query))?;
    let mut left = Query::select();
    left.expr(Func::count(Expr::col(Asterisk))).from(place(tx, table)).cond_where(within());
    Ok(one_number(tx, &built(tx, &left))? == 0)
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
    /// Whether it is a guest's: no rule of a column is theirs.
    pub guest: bool,
    /// The value of the column.
    pub value: Stored,
}

/// The next rows after that place in the order of insertion, and their values in a column.
pub fn scan(
    db: &Db<'_>,
    table: &Table,
    column: &Column,
    after: i64,
    most: u64,
) -> Result<Vec<Scanned>> {
    let mut query = scanned(db, table, column);
    query.and_where(Expr::col(Alias::new(".seq")).gt(after));
    query.order_by(Alias::new(".seq"), Order::Asc).limit(most);
    read_scanned(db, &query)
}

/// The same of the row with that id.
pub fn scan_one(db: &Db<'_>, table: &Table, column: &Column, id: &str) -> Result<Option<Scanned>> {
    let mut query = scanned(db, table, column);
    query.and_where(Expr::col(Alias::new("objectId")).eq(id));
    Ok(read_scanned(db, &query)?.pop())
}

fn scanned(db: &Db<'_>, table: &Table, column: &Column) -> SelectStatement {
    let mut query = Query::select();
    let status = if table.is_users() { "userStatus" } else { "objectId" };
    query.columns([".seq", "objectId", &column.physical, status].map(Alias::new));
    query.from(place(db, table));
    query
}

fn read_scanned(db: &Db<'_>, query: &SelectStatement) -> Result<Vec<Scanned>> {
    let mut found = Vec::new();
    db.each(&built(db, query), &mut |row| {
        let (engine::ValueRef::Int(seq), engine::ValueRef::Text(id)) = (row.at(0)?, row.at(1)?)
        else {
            return Ok(Flow::Continue);
        };
        let guest = matches!(row.at(3)?, engine::ValueRef::Text("GUEST"));
        found.push(Scanned { seq, id: id.to_owned(), guest, value: Stored::from(row.at(2)?) });
        Ok(Flow::Continue)
    })?;
    Ok(found)
}

/// Lets nobody else use the table until the transaction ends; before all else that changes it.
pub fn lock_table(tx: &Tx<'_>, table: &Table) -> Result<()> {
    let table = tx.dialect().table(tx.scope(), &table.physical);
    Ok(tx.batch(&tx.dialect().lock_table(&table))?)
}

/// Whether the table has more rows than that, guests included. It costs no more than so many rows.
pub fn has_more(db: &Db<'_>, table: &Table, than: u64) -> Result<bool> {
    let mut query = Query::select();
    query.column(Alias::new(".seq")).from(place(db, table)).limit(1).offset(than);
    let mut more = false;
    db.each(&built(db, &query), &mut |_| {
        more = true;
        Ok(Flow::Stop)
    })?;
    Ok(more)
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

/// How many rows the table has, guests included.
pub fn count_all(db: &Db<'_>, table: &Table) -> Result<i64> {
    let mut query = Query::select();
    query.expr(Func::count(Expr::col(Asterisk))).from(place(db, table));
    one_number(db, &built(db, &query))
}

/// Whether a row that somebody else is writing is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// It is.
    Wait,
    /// It is left out: who waits for one row while holding others can be waited for.
    PassOver,
}

/// Puts a value into the row at that place in the order of insertion; false if it is not there, or
/// was passed over.
pub fn put(
    tx: &Tx<'_>,
    (table, physical): (&Table, &str),
    (seq, value): (i64, &Stored),
    busy: Busy,
) -> Result<bool> {
    let mut free = Query::select();
    free.column(Alias::new(".seq")).from(place(tx, table));
    free.and_where(Expr::col(Alias::new(".seq")).eq(seq));
    leave_out(&mut free, busy);
    let mut query = Query::update();
    query.table(place(tx, table)).value(Alias::new(physical), bound(value));
    query.and_where(Expr::col(Alias::new(".seq")).in_subquery(free));
    Ok(tx.exec_built(&built(tx, &query))? == 1)
}

fn leave_out(rows: &mut SelectStatement, busy: Busy) {
    if busy == Busy::PassOver {
        rows.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
}

/// Makes an empty physical column for what `column` is to become. Until [`move_in`] it counts as
/// dropped: nothing else gets its name, and [`drop_now`] removes it by the id.
pub fn make_place(
    tx: &Tx<'_>,
    random: &Random,
    (table, column): (&Table, &Column),
    now: Millis,
) -> Result<(String, String)> {
    let physical = schema::free_place(tx, table, (&column.name, column.kind))?;
    let dropped = drop_later(tx, random, (&table.physical, Some((&physical, column.kind))), now)?;
    Ok((physical, dropped))
}

/// What was made by [`make_place`] is in use from now on.
pub fn move_in(tx: &Tx<'_>, table: &Table, physical: &str) -> Result<()> {
    let sql = "delete from sys.dropped where app_id = ?1 and table_name = ?2 and column_name = ?3";
    tx.exec(sql, &[&tx.app(), &table.physical, &physical])?;
    Ok(())
}

/// Counts the place of a column as dropped; gives the id for [`drop_now`].
pub fn move_out(
    tx: &Tx<'_>,
    random: &Random,
    (table, column): (&Table, &Column),
    now: Millis,
) -> Result<String> {
    let place = Some((column.physical.as_str(), column.kind));
    drop_later(tx, random, (&table.physical, place), now)
}

/// The id for [`drop_now`] of a physical column that counts as dropped.
pub fn dropped_by_name(db: &Db<'_>, table: &Table, physical: &str) -> Result<Option<String>> {
    let sql = "select id from sys.dropped
               where app_id = ?1 and table_name = ?2 and column_name = ?3 and is_husk = false";
    Ok(db.row(sql, &[&db.app(), &table.physical, &physical], |row| row.get("id"))?)
}

/// Makes the index of a column while others go on writing: stands alone (see `Database::alone`).
/// Fails with 1155 if rows have the same value: what is left of it then must be dropped.
pub fn index_alone(tx: &Tx<'_>, table: &Table, column: &Column, index: Index) -> Result<()> {
    create_index(tx, table, column, index, tx.dialect().concurrently())
}

/// Drops that index while others go on writing: stands alone, too.
pub fn drop_index_alone(tx: &Tx<'_>, column: &Column, index: Index) -> Result<()> {
    let lock = tx.dialect().concurrently();
    let key = tx.dialect().quote(&index_name(column, index));
    Ok(tx.batch(&format!("DROP INDEX{lock} IF EXISTS app.{key};"))?)
}

fn create_index(
    tx: &Tx<'_>,
    table: &Table,
    column: &Column,
    index: Index,
    lock: &str,
) -> Result<()> {
    let dialect = tx.dialect();
    let quoted = dialect.quote(&column.physical);
    let table = dialect.quote(&table.physical);
    let key = dialect.quote(&index_name(column, index));
    let sql = match index {
        Index::None => return Ok(()),
        Index::Plain => {
            let columns = dialect.index_columns(&quoted);
            format!("CREATE INDEX{lock} IF NOT EXISTS {key} ON app.{table} ({columns});")
        }
        Index::Unique => {
            format!("CREATE UNIQUE INDEX{lock} IF NOT EXISTS {key} ON app.{table} ({quoted});")
        }
    };
    Ok(tx.batch(&sql)?)
}

/// Whether the index of a column is there, and whole; `None` if it is not there.
pub fn index_state(db: &Db<'_>, column: &Column, index: Index) -> Result<Option<bool>> {
    let schema = db.dialect().schema(db.scope()).unwrap_or_default();
    let name = index_name(column, index);
    let sql = db.dialect().index_state();
    let whole = db.row(sql, &[&schema, &name], |row| row.get::<i64>("whole"))?;
    Ok(whole.map(|it| it == 1))
}

/// The name of a column's index. It has the physical column in it, too: while a column moves, its
/// new place has an index beside that of the old one.
fn index_name(column: &Column, index: Index) -> String {
    let kind = if index == Index::Unique { "uq" } else { "ix" };
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let place = column.physical.bytes().fold(0x811c_9dc5, mix);
    format!("{kind}_{}_{place:08x}", column.id)
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
