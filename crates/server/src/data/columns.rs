//! Tables and columns as developers make, change and drop them.
//!
//! Wire: users-api 5.2 and 6.5, data-api 1.5. Each change is one transaction: the catalog, what the
//! database does for it, the event. Objects that are there and do not fit are counted and listed,
//! and then nothing has changed (20040). What takes long in a large table is a job ([`work`]).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::work::{self, Plan};
use super::{check, grow};
use crate::clock::Seconds;
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::jobs::{self, Mark, Work};
use crate::schema::wish::{self, Wish};
use crate::schema::{
    Column, Kind, NewColumn, PASSWORD, Rules, Schema, Table, USERS, common_columns, values,
};
use crate::store::columns::{self, Busy, Dropped, Index};
use crate::store::{self, Tx};
use crate::users::identity;
use crate::users::write::Change;

/// Columns that a table can have; clients stop earlier.
const MOST_COLUMNS: usize = 400;
/// Tables that an application can have.
const MOST_TABLES: usize = 1000;
/// Above that many rows what looks at all of them is a job.
pub const AT_ONCE: u64 = 1000;
/// How long a change waits for a lock: every later request on the table waits behind it. It is less
/// than the time after which PostgreSQL looks for deadlocks.
pub const LOCK_WAIT: Duration = Duration::from_millis(900);
/// How often a change is tried that has not had a lock in time, and how long others go on between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);
/// Rows of a dropped column that are emptied at a time.
const BLANKED: u64 = 2_000;
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
    alter: impl Fn(&Tx<'_>, &Change, &Schema) -> Result<(T, Value)> + Send + Sync + 'static,
) -> Result<(T, Arc<Schema>)> {
    let (owned, about) = (change.clone(), about.to_owned());
    let write = move |tx: &Tx<'_>| {
        let change = &owned;
        tx.lock_timeout(LOCK_WAIT)?;
        store::schema::raise_version(tx)?;
        let (done, what) = alter(tx, change, &store::schema::load(tx)?)?;
        let random = &change.server.random;
        events::record(tx, random, &change.author, Event::SchemaChanged, &about, &what)?;
        let schema = grow::announce(tx, change, store::schema::load(tx)?)?;
        Ok::<_, Error>((done, schema))
    };
    let write = Arc::new(write);
    for _ in 1..TRIES {
        let again = Arc::clone(&write);
        match change.app.realm.data.write(move |tx| again(tx)).await {
            Err(error) if error.is_locked() => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    change.app.realm.data.write(move |tx| write(tx)).await
}

fn find<'a>(schema: &'a Schema, table: &str) -> Result<&'a Arc<Table>> {
    schema.table(table).ok_or_else(|| Error::no_such_table(table))
}

/// The table, with nobody at work on it. Fails with 1138 and 20042 if somebody is.
fn find_to_alter<'a>(tx: &Tx<'_>, schema: &'a Schema, name: &str) -> Result<&'a Arc<Table>> {
    let table = find(schema, name)?;
    match store::schema_work::changing(tx, &table.id)?.as_deref() {
        None => Ok(table),
        Some("identity") => Err(Error::identity_changing()),
        Some(_) => Err(Error::schema_busy()),
    }
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
        let table = find_to_alter(tx, schema, &from)?;
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
        let table = find_to_alter(tx, schema, &wanted)?;
        not_users(table, "deleted")?;
        let dropped = columns::delete_table(tx, &change.server.random, table, change.author.at)?;
        drop_later(tx, change, &dropped, DROP_AFTER)?;
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

/// Has that dropped for good after a while.
pub fn drop_later(tx: &Tx<'_>, change: &Change, dropped: &str, after: Seconds) -> Result<()> {
    let run_at = change.server.clock.now() + after;
    let job = store::jobs::New { kind: DROP, payload: dropped, dedupe: None, run_at };
    jobs::enqueue(tx, &change.server, &job)
}

/// The job that drops for good what was taken out of the catalog. Where that would write a large
/// table anew, the column is emptied in parts and stays for a new one of its type.
pub async fn finish_drop(mut work: Work) -> Result<()> {
    let id = work.job.payload.clone();
    let about = id.clone();
    let look = work.data.read(move |db| {
        let Some(dropped) = columns::dropped(db, &about)? else { return Ok(None) };
        Ok::<_, Error>(Some((columns::is_dear(db, &dropped, AT_ONCE)?, dropped)))
    });
    let Some((is_dear, dropped)) = look.await? else { return Ok(()) };
    if is_dear {
        return blank(&mut work, &dropped).await;
    }
    let data = work.data.with_deadline(Duration::from_mins(1));
    let drop = move |tx: &Tx<'_>| {
        // With a long read open every request would wait behind this one.
        tx.lock_timeout(LOCK_WAIT)?;
        columns::drop_now(tx, &id)
    };
    data.write(drop).await
}

/// Empties a dropped column, and keeps it.
async fn blank(work: &mut Work, dropped: &Dropped) -> Result<()> {
    loop {
        let (id, dropped) = (work.job.payload.clone(), dropped.clone());
        let after = work.job.checkpoint.parse().unwrap_or(i64::MIN);
        work.chunk(move |tx| {
            let last = columns::blank(tx, &dropped, after, BLANKED)?;
            if last.is_none() {
                columns::keep_husk(tx, &id)?;
            }
            let checkpoint = last.map_or_else(|| "done".to_owned(), |it| it.to_string());
            Ok(Mark { checkpoint, progress: 500 })
        })
        .await?;
        if work.job.checkpoint == "done" {
            return Ok(());
        }
    }
}

/// Adds a column. Objects that are there get its default if it is required: in a large table by a
/// job, whose id comes with the column.
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
        let plain = NewColumn { rules: Rules::default(), ..new.clone() };
        columns::lock_table(tx, table)?;
        store::schema::add_columns(tx, random, table, std::slice::from_ref(&plain), now)?;
        let schema = store::schema::load(tx)?;
        let table = find(&schema, &name)?;
        let made = find_column(table, &wanted)?;
        let work = become_another(tx, change, (table, made), &wish)?;
        let shown_as = Column { rules: new.rules, ..made.clone() };
        Ok((work, json!({ "table": name, "after": shown(&shown_as) })))
    };
    let (work, schema) = alter(change, table, add).await?;
    let column = find_column(find(&schema, table)?, &column)?.clone();
    Ok(Changed { column, failing: None, work })
}

/// Makes a column what `wish` says, now or, if that takes long, by a job whose id is given.
fn become_another(
    tx: &Tx<'_>,
    change: &Change,
    (table, old): (&Table, &Column),
    wish: &Wish,
) -> Result<Option<String>> {
    let mut new = wish::changed(table, old, wish.clone())?;
    let plan = Plan::of(old, &new, wish.refuse_failing);
    let hidden = table.is_users() && old.name == PASSWORD;
    if hidden || !plan.is_long() {
        columns::update(tx, &new)?;
        return Ok(None);
    }
    if columns::has_more(tx, table, AT_ONCE)? {
        return Ok(Some(work::begin(tx, change, (table, old, &new), wish)?));
    }
    columns::lock_table(tx, table)?;
    if plan.looks() {
        let rows = columns::scan(tx, table, old, i64::MIN, AT_ONCE + 1)?;
        if plan.judges && check::is_dear(&new, &rows) {
            return Ok(Some(work::begin(tx, change, (table, old, &new), wish)?));
        }
        let (mut conflicts, mut values) = (identity::Conflicts::default(), Vec::new());
        for row in &rows {
            match plan.becomes(old, &new, row) {
                Ok(value) => values.push((row.seq, value)),
                Err(why) => conflicts.add(json!({ "objectId": row.id, "reason": why })),
            }
        }
        if conflicts.total > 0 {
            return Err(refusal(&new, &conflicts));
        }
        if plan.moves {
            let (random, now) = (&change.server.random, change.author.at);
            new.physical = columns::make_place(tx, random, (table, &new), now)?.0;
            for (seq, value) in &values {
                columns::put(tx, (table, &new.physical), (*seq, value), Busy::Wait)?;
            }
        }
    }
    if let Some(default) = new.default.as_ref().filter(|_| plan.fills) {
        let value = values::to_stored(&new, default)?;
        columns::fill(tx, (table, &new), &value, (i64::MIN, i64::MAX), Busy::Wait)?;
    }
    if plan.unites {
        let (total, listed) = columns::duplicates(tx, table, &new, identity::LISTED as u64)?;
        if total > 0 {
            let first: Vec<Value> = listed.iter().map(|it| json!({ "objectIds": it })).collect();
            let what = format!("{total} values of {} are those of several objects", new.name);
            return Err(Error::rows_in_the_way(what).with_list(total, &first));
        }
    }
    put_in_force(tx, change, (table, old, &mut new), plan.moves)?;
    Ok(None)
}

/// The catalog and the indexes say what `new` says. Writers are kept out, and its rows fit.
pub fn put_in_force(
    tx: &Tx<'_>,
    change: &Change,
    (table, old, new): (&Table, &Column, &mut Column),
    moves: bool,
) -> Result<()> {
    let has_index = |it: &Column| index(it) != Index::None;
    if has_index(old) || has_index(new) {
        columns::lock_table(tx, table)?;
    }
    if moves {
        let (random, now) = (&change.server.random, change.author.at);
        columns::set_index(tx, table, old, Index::None)?;
        columns::move_in(tx, table, &new.physical)?;
        let dropped = columns::move_out(tx, random, (table, old), now)?;
        drop_later(tx, change, &dropped, DROP_AFTER)?;
    }
    if !new.identity {
        columns::set_index(tx, table, new, index(new))?;
    }
    columns::update(tx, new)
}

/// 20040: objects do not fit what a column is to become.
fn refusal(column: &Column, found: &identity::Conflicts) -> Error {
    let (total, name) = (found.total, &column.name);
    let what = format!(
        "{total} objects do not fit what {name} is to become. Correct them, or give a default if they \
         lack a value"
    );
    Error::rows_in_the_way(what).with_list(total, &found.first)
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

/// Changes a column. What takes long in a large table goes on as a job: until it is done, nothing of
/// the wish is in force.
pub async fn change(change: &Change, table: &str, column: &str, wish: Wish) -> Result<Changed> {
    let (name, wanted) = (table.to_owned(), column.to_owned());
    let edit = move |tx: &Tx<'_>, change: &Change, schema: &Schema| {
        let table = find_to_alter(tx, schema, &name)?;
        let old = find_column(table, &wanted)?;
        let new = wish::changed(table, old, wish.clone())?;
        if wish.identity == Some(false) && old.identity {
            let message = "Users must log in with something. Make another property the identity";
            return Err(Error::bad_parameter(message));
        }
        may_be_without(change, table, old, &new)?;
        let to_identity = wish.identity == Some(true) && !old.identity;
        if to_identity {
            identity::may_be(table, &new)?;
        }
        let mut work = become_another(tx, change, (table, old), &wish)?;
        if work.is_some() && to_identity {
            let message = "Change the column first, and make it the identity then";
            return Err(Error::bad_parameter(message));
        }
        let fresh = store::schema::load(tx)?;
        let table = find(&fresh, &name)?;
        let now = table.columns.iter().find(|it| it.id == old.id);
        let now = now.ok_or_else(|| Error::internal("a column is gone that was changed"))?;
        let mut failing = None;
        let hidden = table.is_users() && old.name == PASSWORD;
        if work.is_none() && work::is_rechecked(old, now) && !hidden {
            failing = check::all(tx, table, now)?;
            if failing.is_none() {
                work = Some(check::later(tx, change, (table, now))?);
            }
        }
        if to_identity {
            work = identity::change(tx, change, table, now)?;
        }
        let what = json!({ "table": name, "before": shown(old), "after": shown(now) });
        Ok(((now.id.clone(), failing, work), what))
    };
    let ((id, failing, work), schema) = alter(change, table, edit).await?;
    let column = schema.tables().flat_map(|it| &it.columns).find(|it| it.id == id).cloned();
    let column = column.ok_or_else(|| Error::internal("a column is gone that was changed"))?;
    Ok(Changed { column, failing, work })
}

/// Refuses to take `email` away from those who register while they must confirm it (3038).
fn may_be_without(change: &Change, table: &Table, old: &Column, new: &Column) -> Result<()> {
    let needed = change.app.settings.registration.email_confirmation_required;
    if needed && table.is_users() && old.name == "email" && new.name != old.name {
        return Err(email_needed());
    }
    Ok(())
}

fn email_needed() -> Error {
    Error::bad_parameter(
        "Users confirm their registration by email. Switch that off before the property goes",
    )
}

/// Drops a column with its values.
pub async fn drop_column(change: &Change, table: &str, column: &str) -> Result<()> {
    let (name, wanted) = (table.to_owned(), column.to_owned());
    let remove = move |tx: &Tx<'_>, change: &Change, schema: &Schema| {
        let table = find_to_alter(tx, schema, &name)?;
        let old = find_column(table, &wanted)?;
        wish::may_drop(table, old)?;
        let needed = change.app.settings.registration.email_confirmation_required;
        if needed && table.is_users() && old.name == "email" {
            return Err(email_needed());
        }
        columns::lock_table(tx, table)?;
        let (random, now) = (&change.server.random, change.author.at);
        let dropped = columns::delete(tx, random, table, old, now)?;
        drop_later(tx, change, &dropped, DROP_AFTER)?;
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
