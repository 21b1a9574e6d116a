//! The catalog: `sys.schemas`, `sys.tables`, `sys.columns`, and the tables that they describe. A
//! change of a table and of its description are one transaction.

use serde_json::Value;

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::Random;
use crate::schema::validators::{Checks, Chosen};
use crate::schema::{Column, Kind, Maker, NewColumn, PASSWORD, Rules, Schema, Table, names};

/// All tables of the application.
pub fn load(db: &Db<'_>) -> Result<Schema> {
    let version = version(db)?;
    let sql = "select id, name, physical from sys.tables where app_id = ?1";
    let mut tables = db.rows(sql, &[&db.app()], |row| {
        Ok(Table {
            id: row.get("id")?,
            name: row.get::<String>("name")?.into(),
            physical: row.get("physical")?,
            columns: Vec::new(),
        })
    })?;
    let sql = "select table_id, id, name, physical, type, size, is_required, is_unique,
                      is_indexed, is_identity, default_value, custom_regex, validator, made_by
               from sys.columns where app_id = ?1 order by table_id, position";
    for (table, column) in db.rows(sql, &[&db.app()], read_column)? {
        if let Some(owner) = tables.iter_mut().find(|it| it.id == table) {
            owner.columns.extend(column);
        }
    }
    Ok(Schema::new(version, tables))
}

/// The id of the table, and the column unless its type is unknown here: a newer node made it.
fn read_column(row: &Row<'_>) -> engine::Result<(String, Option<Column>)> {
    let table = row.get("table_id")?;
    let Some(kind) = Kind::parse(&row.get::<String>("type")?) else { return Ok((table, None)) };
    let default = row.get::<Option<String>>("default_value")?;
    let column = Column {
        id: row.get("id")?,
        name: row.get("name")?,
        physical: row.get("physical")?,
        kind,
        size: row.get::<Option<i64>>("size")?.and_then(|it| u32::try_from(it).ok()),
        rules: Rules {
            required: row.get("is_required")?,
            unique: row.get("is_unique")?,
            indexed: row.get("is_indexed")?,
        },
        identity: row.get("is_identity")?,
        default: default.and_then(|it| serde_json::from_str(&it).ok()),
        custom_regex: row.get("custom_regex")?,
        validator: row.get::<Option<String>>("validator")?.map(|it| {
            // One that cannot be read lets nothing pass.
            let unknown = |_| Chosen { id: String::new(), params: serde_json::Map::new() };
            serde_json::from_str(&it).unwrap_or_else(unknown)
        }),
        checks: Checks::default(),
        maker: Maker::parse(&row.get::<String>("made_by")?),
    };
    Ok((table, Some(column)))
}

/// Has the tables of the application stay as they are until `tx` ends, and gives their version: what
/// was checked against that version may be written. Any number of writers hold them at once.
///
/// **Locks are taken in this order**, by all: this one (shared by who writes objects or deletes users,
/// alone by who changes the tables), the application's row of `sys.schemas`, the table
/// ([`lock_table`](super::columns::lock_table) before any change of it), its lists ([`hold_lists`]),
/// rows of it by their ids, other rows of `sys`. A login takes none of the first two. What a job does to many rows it does without waiting
/// for any of them ([`Busy::PassOver`](super::columns::Busy)).
///
/// PostgreSQL needs the lock: there a change of a column can be committed between the check and the
/// write. It is none of rows, so that a change is not overtaken by ever more writers.
pub fn hold(tx: &Tx<'_>) -> Result<i64> {
    tx.shared(key(tx))?;
    version(tx)
}

/// The same for who is about to change the tables, too: alone.
pub fn hold_to_change(tx: &Tx<'_>) -> Result<i64> {
    tx.exclusive(key(tx))?;
    version(tx)
}

/// Has nobody else write a list of objects into the table until `tx` ends: what a list adds it adds
/// in the order in which it was sent, and two lists in different orders would wait for each other's
/// ids and unique values.
pub fn hold_lists(tx: &Tx<'_>, table: &Table) -> Result<()> {
    Ok(tx.exclusive(number(&[tx.app(), &table.id]))?)
}

fn version(db: &Db<'_>) -> Result<i64> {
    let sql = "select version from sys.schemas where app_id = ?1";
    Ok(db.row(sql, &[&db.app()], |row| row.get("version"))?.unwrap_or(0))
}

/// The number of the lock: the application's id by FNV-1a, since locks of the database have numbers
/// only. Two applications with the same one would wait for each other, no more.
fn key(tx: &Tx<'_>) -> i64 {
    number(&[tx.app()])
}

fn number(names: &[&str]) -> i64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    names.iter().flat_map(|it| it.bytes()).fold(0xcbf2_9ce4_8422_2325, mix).cast_signed()
}

/// Raises the version once those who write objects have finished: changes of one application's
/// tables come one after the other, and each sees what the one before it did.
pub fn raise_version(tx: &Tx<'_>) -> Result<i64> {
    tx.exclusive(key(tx))?;
    let sql = "insert into sys.schemas (app_id, version) values (?1, 1)
               on conflict (app_id) do update set version = sys.schemas.version + 1
               returning version";
    Ok(tx.row(sql, &[&tx.app()], |row| row.get("version"))?.unwrap_or(1))
}

/// Makes a table with those columns. Call [`raise_version`] first.
pub fn create_table(
    tx: &Tx<'_>,
    random: &Random,
    name: &str,
    columns: &[NewColumn],
    now: Millis,
) -> Result<()> {
    let dialect = tx.dialect();
    let sql = "select physical from sys.tables where app_id = ?1
               union all select table_name from sys.dropped where app_id = ?1";
    let taken = tx.rows(sql, &[&tx.app()], |row| row.get::<String>("physical"))?;
    let physical = names::physical(name, &taken.iter().map(String::as_str));
    let id = random.opaque();
    let sql = "insert into sys.tables (app_id, id, name, physical, created)
               values (?1, ?2, ?3, ?4, ?5)";
    tx.exec(sql, &[&tx.app(), &id, &name, &physical, &now])?;

    let mut ddl = vec![dialect.seq_column().to_owned()];
    let mut known: Vec<String> = Vec::new();
    for (position, column) in columns.iter().enumerate() {
        let column_name = names::physical(&column.name, &known.iter().map(String::as_str));
        if column.name != PASSWORD {
            let kind = dialect.column_type(column.kind.stored());
            let quoted = dialect.quote(&column_name);
            let key = if column.name == "objectId" { " NOT NULL UNIQUE" } else { "" };
            ddl.push(format!("{quoted} {kind}{key}"));
        }
        insert_column(tx, random, &id, (position, column, &column_name), now)?;
        known.push(column_name);
    }
    let strict = dialect.strict();
    let table = dialect.quote(&physical);
    let columns = ddl.join(", ");
    tx.batch(&format!("CREATE TABLE app.{table} ({columns}){strict};"))?;
    Ok(())
}

/// Adds columns to a table: in an instant, however many rows there are. Call [`raise_version`]
/// first, and leave out those that the table has by now.
pub fn add_columns(
    tx: &Tx<'_>,
    random: &Random,
    table: &Table,
    columns: &[NewColumn],
    now: Millis,
) -> Result<()> {
    let sql = "select coalesce(max(position), 0) as last from sys.columns
               where app_id = ?1 and table_id = ?2";
    let last = tx.row(sql, &[&tx.app(), &table.id], |row| row.get::<i64>("last"))?.unwrap_or(0);
    for (offset, column) in columns.iter().enumerate() {
        let physical = free_place(tx, table, (&column.name, column.kind))?;
        let position = usize::try_from(last).unwrap_or_default() + 1 + offset;
        insert_column(tx, random, &table.id, (position, column, &physical), now)?;
    }
    Ok(())
}

/// An empty physical column for a column of that name and kind: one that was dropped and stayed, or
/// a new one.
pub(super) fn free_place(tx: &Tx<'_>, table: &Table, (name, kind): (&str, Kind)) -> Result<String> {
    let dialect = tx.dialect();
    let kind = dialect.column_type(kind.stored());
    let sql = "delete from sys.dropped where app_id = ?1 and id = (
                   select id from sys.dropped
                   where app_id = ?1 and table_name = ?2 and type = ?3 and is_husk limit 1)
               returning column_name";
    let read = |row: &Row<'_>| row.get::<String>("column_name");
    if let Some(husk) = tx.row(sql, &[&tx.app(), &table.physical, &kind], read)? {
        return Ok(husk);
    }
    let taken = taken(tx, table)?;
    let physical = names::physical(name, &taken.iter().map(String::as_str));
    let (table, quoted) = (dialect.quote(&table.physical), dialect.quote(&physical));
    tx.batch(&format!("ALTER TABLE app.{table} ADD COLUMN {quoted} {kind};"))?;
    Ok(physical)
}

/// The physical names that a column of the table may not have: those of columns that are there, or
/// that wait to be dropped.
fn taken(db: &Db<'_>, table: &Table) -> Result<Vec<String>> {
    let sql = "select column_name from sys.dropped
               where app_id = ?1 and table_name = ?2 and column_name is not null";
    let mut taken =
        db.rows(sql, &[&db.app(), &table.physical], |row| row.get::<String>("column_name"))?;
    let sql = "select physical from sys.columns where app_id = ?1 and table_id = ?2";
    taken.extend(db.rows(sql, &[&db.app(), &table.id], |row| row.get::<String>("physical"))?);
    Ok(taken)
}

/// How many columns clients have made in a table since `since`.
pub fn made_by_clients(db: &Db<'_>, table: &Table, since: Millis) -> Result<i64> {
    let sql = "select count(*) as n from sys.columns
               where app_id = ?1 and table_id = ?2 and made_by = 'client' and created > ?3";
    Ok(db.row(sql, &[&db.app(), &table.id, &since], |row| row.get("n"))?.unwrap_or(0))
}

/// Notes that a client has made that table.
pub fn is_clients(tx: &Tx<'_>, name: &str) -> Result<()> {
    let sql = "update sys.tables set made_by = 'client' where app_id = ?1 and name = ?2";
    tx.exec(sql, &[&tx.app(), &name])?;
    Ok(())
}

/// How many tables clients have made since `since`: a developer's and the server's do not count.
pub fn tables_since(db: &Db<'_>, since: Millis) -> Result<i64> {
    let sql = "select count(*) as n from sys.tables
               where app_id = ?1 and made_by = 'client' and created > ?2";
    Ok(db.row(sql, &[&db.app(), &since], |row| row.get("n"))?.unwrap_or(0))
}

fn insert_column(
    tx: &Tx<'_>,
    random: &Random,
    table: &str,
    (position, column, physical): (usize, &NewColumn, &str),
    now: Millis,
) -> Result<()> {
    let sql = "insert into sys.columns (app_id, table_id, id, position, name, physical, type, size,
                   is_required, is_unique, is_indexed, is_identity, default_value, custom_regex,
                   validator, made_by, created)
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    let validator = column.validator.as_ref().map(serde_json::to_string).transpose()?;
    tx.exec(
        sql,
        &[
            &tx.app(),
            &table,
            &random.opaque(),
            &i64::try_from(position).unwrap_or(i64::MAX),
            &column.name,
            &physical,
            &column.kind.as_str(),
            &column.size.map(i64::from),
            &column.rules.required,
            &column.rules.unique,
            &column.rules.indexed,
            &column.identity,
            &column.default.as_ref().map(Value::to_string),
            &column.custom_regex,
            &validator,
            &column.maker.as_str(),
            &now,
        ],
    )?;
    Ok(())
}
