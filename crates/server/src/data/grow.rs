//! Dynamic schema: tables and columns that come to be because a client sends them.
//!
//! What strangers can make is bounded: 200 columns a table, 20 columns a table and 20 tables a day
//! (security L-9).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::Seconds;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::schema::{Column, Kind, Maker, NewColumn, Schema, Table, common_columns, values};
use crate::store::changes::{self, Kind as Changed};
use crate::store::objects::Cell;
use crate::store::{self, Tx};
use crate::users::write::Change;

const MOST_COLUMNS: usize = 200;
const MOST_A_DAY: i64 = 20;
const DAY: Seconds = Seconds(24 * 3600);

/// How often a change is prepared anew because the tables have changed meanwhile.
const MOST_TRIES: usize = 8;

/// A change that is prepared and tried again, on the tables as they are by then, while it fails
/// because they are not those that it was checked against.
pub struct Tries {
    /// The change, with the tables to check against.
    pub change: Change,
    left: usize,
}

impl Tries {
    /// Not tried yet.
    pub fn new(change: Change) -> Self {
        Self { change, left: MOST_TRIES }
    }

    /// What a try has given; `None` if there is to be another one.
    pub async fn settle<T>(&mut self, tried: Result<T>) -> Result<Option<T>> {
        match tried {
            Err(error) if error.is_table_changed() && self.left > 1 => {
                self.left -= 1;
                let (app, server) = (&self.change.app, &self.change.server);
                let schema = Arc::new(app.realm.data.read(store::schema::load).await?);
                app.set_schema(&schema);
                server.apps.set_schema(&app.id, &schema);
                self.change.schema = schema;
                Ok(None)
            }
            tried => tried.map(Some),
        }
    }
}

/// Whether a transaction adds columns to the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// It does not.
    Stay,
    /// It does: others wait for it.
    Grow,
}

impl Tables {
    /// They grow by these properties, if there are any.
    pub fn by(unknown: &[(String, Value)]) -> Self {
        if unknown.is_empty() { Self::Stay } else { Self::Grow }
    }
}

/// Has the tables stay as they are until the transaction ends, and gives the change with the tables
/// as they are: the first thing that a transaction does which writes what was checked.
///
/// Fails with 20043 if the table `name` is not what the change was checked against; [`Tries`] tries
/// again then. What has changed elsewhere, and columns that ask for nothing, do not matter.
pub fn hold(tx: &Tx<'_>, change: &Change, name: &str, tables: Tables) -> Result<Change> {
    let version = match tables {
        Tables::Stay => store::schema::hold(tx)?,
        Tables::Grow => {
            // A reader that takes long must not make all others wait behind this.
            tx.lock_timeout(super::columns::LOCK_WAIT)?;
            store::schema::hold_to_change(tx)?
        }
    };
    if version == change.schema.version {
        return Ok(change.clone());
    }
    let schema = Arc::new(store::schema::load(tx)?);
    let fits = match (change.schema.table(name), schema.table(name)) {
        (Some(checked), Some(now)) => now.takes_what_fits(checked),
        (checked, now) => checked.is_none() && now.is_none(),
    };
    if fits { Ok(Change { schema, ..change.clone() }) } else { Err(Error::table_changed()) }
}

/// The table `name`, with a column for each of the `wanted` properties; see [`grown`].
pub fn with_columns(
    tx: &Tx<'_>,
    change: &Change,
    name: &str,
    wanted: &[(String, Value)],
) -> Result<Arc<Table>> {
    let schema = grown(tx, change, name, wanted)?;
    schema.table(name).cloned().ok_or_else(|| Error::no_such_table(name))
}

/// The tables as this transaction sees them, with a table `name` that has a column for each of the
/// `wanted` properties. It is made if it is not there and dynamic schema is on. What was made
/// becomes known when the transaction commits.
pub fn grown(
    tx: &Tx<'_>,
    change: &Change,
    name: &str,
    wanted: &[(String, Value)],
) -> Result<Arc<Schema>> {
    let lacks = |table: &Table| wanted.iter().any(|it| table.column(&it.0).is_none());
    if change.schema.table(name).is_some_and(|it| !lacks(it)) {
        return Ok(Arc::clone(&change.schema));
    }
    let may = change.app.settings.data.dynamic_schema;
    store::schema::raise_version(tx)?;
    let now = change.author.at;
    let mut schema = store::schema::load(tx)?;
    let random = &change.server.random;
    if schema.table(name).is_none() {
        if !may || crate::schema::wish::table_name(name).is_err() {
            return Err(Error::no_such_table(name));
        }
        if store::schema::tables_since(tx, now - DAY)? >= MOST_A_DAY {
            return Err(too_much("tables"));
        }
        store::schema::create_table(tx, random, name, &common_columns(), now)?;
        store::schema::is_clients(tx, name)?;
        schema = store::schema::load(tx)?;
    }
    let table = schema.table(name).cloned().ok_or_else(|| Error::no_such_table(name))?;
    let mut columns: Vec<NewColumn> = Vec::new();
    for (name, value) in wanted.iter().filter(|it| table.column(&it.0).is_none()) {
        // Many objects of one request may bring the same property; the first says what it is.
        if columns.iter().all(|it| it.name != *name)
            && let Some(kind) = Kind::guess(value)
        {
            columns.push(NewColumn::plain(name.clone(), kind, Maker::Client));
        }
    }
    if !columns.is_empty() {
        if store::schema_work::is_building(tx, &table.id)? {
            return Err(Error::overloaded(2));
        }
        let made = store::schema::made_by_clients(tx, &table, now - DAY)?;
        let more = i64::try_from(columns.len()).unwrap_or(i64::MAX);
        if table.columns.len() + columns.len() > MOST_COLUMNS || made + more > MOST_A_DAY {
            return Err(too_much("columns"));
        }
        store::schema::add_columns(tx, random, &table, &columns, now)?;
        schema = store::schema::load(tx)?;
    }
    let names: Vec<&str> = columns.iter().map(|it| it.name.as_str()).collect();
    let what = json!({ "table": name, "columns": names });
    events::record(tx, random, &change.author, Event::SchemaChanged, name, &what)?;
    announce(tx, change, schema)
}

/// Makes a newer description of the tables known: to this node when the transaction commits, to the
/// others through the change log.
pub fn announce(tx: &Tx<'_>, change: &Change, schema: Schema) -> Result<Arc<Schema>> {
    changes::append(tx, tx.app(), Changed::App, "", change.author.at)?;
    let schema = Arc::new(schema);
    let (server, app, fresh) =
        (change.server.clone(), Arc::clone(&change.app), Arc::clone(&schema));
    tx.after_commit(move || {
        app.set_schema(&fresh);
        server.apps.set_schema(&app.id, &fresh);
    });
    Ok(schema)
}

fn too_much(what: &str) -> Error {
    Error::bad_parameter(format!(
        "Clients may not add more {what} today. A developer can add them in the Console"
    ))
}

/// The values for a row of `table`: those that were prepared, and those of properties that have
/// become columns.
pub fn cells<'a>(
    table: &'a Table,
    prepared: &[(String, engine::Value)],
    unknown: &[(String, Value)],
) -> Result<Vec<Cell<'a>>> {
    let column = |name: &str| -> Result<&'a Column> {
        table.column(name).ok_or_else(|| Error::no_such_column(name, &table.name))
    };
    let mut cells = Vec::with_capacity(prepared.len() + unknown.len() + 8);
    for (name, value) in prepared {
        cells.push((column(name)?, value.clone()));
    }
    for (name, value) in unknown {
        // Somebody else may have made the column meanwhile, with another type.
        let column = column(name)?;
        cells.push((column, values::to_stored(column, value)?));
    }
    Ok(cells)
}
