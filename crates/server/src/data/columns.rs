//! Tables and columns as developers make, change and drop them.
//!
//! Wire: users-api 5.2 and 6.5, data-api 1.5. Each change is one transaction: the catalog, what the
//! database does for it, the event. Objects that are there and do not fit are counted and listed,
//! and then nothing has changed (20040).

use std::sync::Arc;

use serde_json::{Value, json};

use super::change::fit;
use super::{check, grow};
use crate::clock::Seconds;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::jobs::{self, Work};
use crate::schema::wish::{self, Wish};
use crate::schema::{
    Column, Kind, NewColumn, PASSWORD, Rules, Schema, Table, USERS, common_columns,
};
use crate::store::columns::{self, Index};
use crate::store::{self, Tx};
use crate::users::identity;
use crate::users::write::Change;

/// Columns that a table can have; clients stop earlier.
const MOST_COLUMNS: usize = 400;
/// Tables that an application can have.
const MOST_TABLES: usize = 1000;
/// Above that many rows what looks at all of them is a job.
pub const AT_ONCE: i64 = 1000;
/// Rows that are listed.
pub const LISTED: u64 = 50;
/// The job that drops for good what was taken out of the catalog.
pub const DROP: &str = "schema.drop";
/// How long it waits: longer than any request, and than other nodes take to hear of it.
const DROP_AFTER: Seconds = Seconds(60);

/// What became of a change.
pub struct Changed {
    /// The column as it is now.
    pub column: Column,
    /// Of the objects that are there, those that the new validator would refuse.
    pub failing: Option<identity::Conflicts>,
    /// The work that goes on after the answer, by its id.
    pub work: Option<String>,
}

/// Runs `alter` on the tables as they are now; what it gives is the event's.
async fn alter<T: Send + 'static>(
    change: &Change,
    about: &str,
    alter: impl Fn(&Tx<'_>, &Change, &Schema) -> Result<(T, Value)> + Send + 'static,
) -> Result<(T, Arc<Schema>)> {
    let (owned, about) = (change.clone(), about.to_owned());
    let write = move |tx: &Tx<'_>| {
        let change = &owned;
        // A long read must not have every later request wait behind this change.
        tx.lock_timeout(std::time::Duration::from_secs(3))?;
        store::schema::raise_version(tx)?;
        let (done, what) = alter(tx, change, &store::schema::load(tx)?)?;
        let random = &change.server.random;
        events::record(tx, random, &change.author, Event::SchemaChanged, &about, &what)?;
        let schema = grow::announce(tx, change, store::schema::load(tx)?)?;
        Ok::<_, Error>((done, schema))
    };
    change.app.realm.data.write(write).await
}

fn find<'a>(schema: &'a Schema, table: &str) -> Result<&'a Arc<Table>> {
    schema.table(table).ok_or_else(|| Error::no_such_table(table))
}

/// The table, with nobody at work on it.
fn find_to_alter<'a>(tx: &Tx<'_>, schema: &'a Schema, name: &str) -> Result<&'a Arc<Table>> {
    let table = find(schema, name)?;
    if table.is_users() {
        store::identity_change::keep_writers_out(tx)?;
    }
    Ok(table)
}

fn find_column<'a>(table: &'a Table, name: &str) -> Result<&'a Column> {
    table.column(name).ok_or_else(|| Error::no_such_column(name, &table.name))
}

fn table_name(schema: &Schema, name: &str) -> Result<()> {
    wish::table_name(name)?;
    if schema.table(name).is_some() {
        return Err(Error::table_exists(name));
    }
    Ok(())
}

/// Makes a table with these columns beside those that every table has. Fails with 1135, 1154, 1161,
/// 3038 and 3039 for names, and with 3038 for what no column can be.
pub async fn create_table(change: &Change, name: &str, wishes: Vec<Wish>) -> Result<Arc<Table>> {
    let wanted = name.to_owned();
    let make = move |tx: &Tx<'_>, change: &Change, schema: &Schema| {
        table_name(schema, &wanted)?;
        if schema.tables().count() >= MOST_TABLES {
            return Err(Error::bad_parameter(format!("{MOST_TABLES} tables are the most")));
        }
        let (random, now) = (&change.server.random, change.author.at);
        store::schema::create_table(tx, random, &wanted, &common_columns(), now)?;
        for wish in &wishes {
            let schema = store::schema::load(tx)?;
            let table = find(&schema, &wanted)?;
            let new = wish::new_column(table, wish.clone())?;
            store::schema::add_columns(tx, random, table, std::slice::from_ref(&new), now)?;
            let schema = store::schema::load(tx)?;
            let table = find(&schema, &wanted)?;
            let made = find_column(table, &new.name)?;
            columns::set_index(tx, table, made, index(made))?;
        }
        Ok(((), json!({ "after": { "table": wanted } })))
    };
    let ((), schema) = alter(change, name, make).await?;
    find(&schema, name).cloned()
}

/// Renames a table. `Users` stays what it is.
pub async fn rename_table(change: &Change, name: &str, to: &str) -> Result<Arc<Table>> {
    let (from, wanted) = (name.to_owned(), to.to_owned());
    let rename = move |tx: &Tx<'_>, _: &Change, schema: &Schema| {
        let table = find(schema, &from)?;
        if from != wanted {
            not_users(table, "renamed")?;
            table_name(schema, &wanted)?;
            columns::rename_table(tx, table, &wanted)?;
        }
        Ok(((), json!({ "before": { "table": from }, "after": { "table": wanted } })))
    };
    let ((), schema) = alter(change, name, rename).await?;
    find(&schema, to).cloned()
}

/// Drops a table with its objects. `Users` cannot be dropped.
pub async fn drop_table(change: &Change, name: &str) -> Result<()> {
    let wanted = name.to_owned();
    let remove = move |tx: &Tx<'_>, change: &Change, schema: &Schema| {
        let table = find(schema, &wanted)?;
        not_users(table, "deleted")?;
        let dropped = columns::delete_table(tx, &change.server.random, table, change.author.at)?;
        drop_later(tx, change, &dropped)?;
        Ok(((), json!({ "before": { "table": wanted } })))
    };
    alter(change, name, remove).await?;
    Ok(())
}

fn not_users(table: &Table, what: &str) -> Result<()> {
    if table.is_users() {
        return Err(Error::bad_parameter(format!("The table {USERS} cannot be {what}")));
    }
    Ok(())
}

/// Has what was taken out of the catalog dropped for good, once nobody uses it any more.
pub fn drop_later(tx: &Tx<'_>, change: &Change, dropped: &str) -> Result<()> {
    let run_at = change.server.clock.now() + DROP_AFTER;
    let job = store::jobs::New { kind: DROP, payload: dropped, dedupe: None, run_at };
    jobs::enqueue(tx, &change.server, &job)
}

/// The job that drops for good what was taken out of the catalog.
pub async fn finish_drop(work: Work) -> Result<()> {
    let id = work.job.payload.clone();
    let data = work.data.with_deadline(std::time::Duration::from_mins(1));
    data.write(move |tx| columns::drop_now(tx, &id)).await
}

/// Adds a column. Objects that are there get its default if it is required: at once, or by a job if
/// there are many; the column gets its rules then.
pub async fn add(change: &Change, table: &str, wish: Wish) -> Result<Changed> {
    let (name, wanted) = (table.to_owned(), wish.name.clone().unwrap_or_default());
    let column = wanted.clone();
    let add = move |tx: &Tx<'_>, change: &Change, schema: &Schema| {
        let table = find_to_alter(tx, schema, &name)?;
        let new = wish::new_column(table, wish.clone())?;
        if table.columns.len() >= MOST_COLUMNS {
            return Err(Error::too_many_columns(MOST_COLUMNS));
        }
        let (random, now) = (&change.server.random, change.author.at);
        let bare = NewColumn { rules: Rules::default(), ..new.clone() };
        store::schema::add_columns(tx, random, table, std::slice::from_ref(&bare), now)?;
        let schema = store::schema::load(tx)?;
        let table = find(&schema, &name)?;
        let made = find_column(table, &wanted)?;
        let next = Column { rules: new.rules, ..made.clone() };
        let (made, work) = fit(tx, change, table, made, &next)?;
        columns::update(tx, &made)?;
        Ok((work, json!({ "table": name, "after": shown(&next) })))
    };
    let (work, schema) = alter(change, table, add).await?;
    let column = find_column(find(&schema, table)?, &column)?.clone();
    Ok(Changed { column, failing: None, work })
}

/// The index that goes with the rules of a column. Identities are unique by a constraint of their
/// own, on the canonical form.
pub fn index(column: &Column) -> Index {
    match (column.rules.unique && !column.identity, column.rules.indexed && !column.identity) {
        (true, _) => Index::Unique,
        (false, true) => Index::Plain,
        (false, false) => Index::None,
    }
}

/// Changes a column.
pub async fn change(change: &Change, table: &str, column: &str, wish: Wish) -> Result<Changed> {
    if wish.refuse_failing {
        check::refuse(&change.app, table, column, &wish).await?;
    }
    let (name, wanted) = (table.to_owned(), column.to_owned());
    let edit = move |tx: &Tx<'_>, change: &Change, schema: &Schema| {
        let table = find_to_alter(tx, schema, &name)?;
        let old = find_column(table, &wanted)?;
        not_busy(old)?;
        let mut new = wish::changed(table, old, wish.clone())?;
        if wish.identity == Some(false) && old.identity {
            let message = "Users must log in with something. Make another property the identity";
            return Err(Error::bad_parameter(message));
        }
        let hidden = table.is_users() && old.name == PASSWORD;
        let (mut failing, mut work) = (None, None);
        if !hidden {
            (new, work) = fit(tx, change, table, old, &new)?;
        }
        if work.is_some() {
            if wish.identity == Some(true) && !old.identity {
                return Err(Error::bad_parameter(
                    "The column must change first. Make it the identity when that is done",
                ));
            }
            let what = json!({ "table": name, "before": shown(old), "work": work });
            return Ok(((new.id, failing, work), what));
        }
        columns::update(tx, &new)?;
        let rechecked = (&old.custom_regex, &old.validator) != (&new.custom_regex, &new.validator)
            && (new.custom_regex.is_some() || new.validator.is_some());
        let many = columns::has_more(tx, table, AT_ONCE)?;
        // Of many rows only how far the work has got is told, and for that they are counted.
        let total = |tx: &Tx<'_>| columns::count(tx, table);
        if rechecked && !hidden {
            if many {
                work = Some(check::later(tx, change, (table, &new), total(tx)?)?);
            } else {
                let found = check::all(tx, table, &new)?;
                if wish.refuse_failing && found.total > 0 {
                    return Err(check::refusal(&new, &found));
                }
                failing = Some(found);
            }
        }
        if wish.identity == Some(true) && !old.identity {
            identity::may_be(table, &new)?;
            if many {
                work = Some(identity::change_later(tx, change, (table, &new), total(tx)?)?);
            } else {
                let fresh = store::schema::load(tx)?;
                let table = find(&fresh, &name)?;
                identity::change_now(tx, change, table, &new)?;
            }
        }
        let what = json!({ "table": name, "before": shown(old), "after": shown(&new) });
        Ok(((new.id, failing, work), what))
    };
    let ((id, failing, work), schema) = alter(change, table, edit).await?;
    let table = find(&schema, table)?;
    let column = table.columns.iter().find(|it| it.id == id).cloned();
    let column = column.ok_or_else(|| Error::internal("a column is gone that was changed"))?;
    Ok(Changed { column, failing, work })
}

/// Refuses while a job is changing the column (1138).
fn not_busy(column: &Column) -> Result<()> {
    if column.becoming.is_some() { Err(Error::schema_busy()) } else { Ok(()) }
}

/// Drops a column with its values.
pub async fn drop_column(change: &Change, table: &str, column: &str) -> Result<()> {
    let (name, wanted) = (table.to_owned(), column.to_owned());
    let remove = move |tx: &Tx<'_>, change: &Change, schema: &Schema| {
        let table = find_to_alter(tx, schema, &name)?;
        let old = find_column(table, &wanted)?;
        wish::may_drop(table, old)?;
        not_busy(old)?;
        let (random, now) = (&change.server.random, change.author.at);
        let dropped = columns::delete(tx, random, table, old, now)?;
        drop_later(tx, change, &dropped)?;
        Ok(((), json!({ "table": name, "before": shown(old) })))
    };
    alter(change, table, remove).await?;
    Ok(())
}

/// A table as the Console shows it (data-api 1.5).
pub fn shown_table(table: &Table) -> Value {
    json!({
        "tableId": table.id,
        "name": table.name,
        "system": table.is_users(),
        "view": false,
        "dataConnector": false,
        "columns": table.columns.iter().map(shown).collect::<Vec<_>>(),
        "relations": [],
        "parentRelations": [],
        "geoRelations": [],
    })
}

/// A column as the Console and events show it (data-api 1.5).
pub fn shown(column: &Column) -> Value {
    let default = column.default.as_ref().map(|it| match it {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    json!({
        "columnId": column.id,
        "name": column.name,
        "dataType": column.kind.as_str(),
        "dataSize": column.size.filter(|_| column.kind != Kind::StringId),
        "required": column.rules.required,
        "unique": column.rules.unique,
        "indexed": column.rules.indexed,
        "identity": column.identity,
        "defaultValue": default,
        "customRegex": column.custom_regex,
        "validator": column.validator,
        "expression": null,
        "autoLoad": false,
        "isPrimaryKey": column.name == "objectId",
        "system": column.maker == crate::schema::Maker::System,
        "metaInfo": null,
    })
}
