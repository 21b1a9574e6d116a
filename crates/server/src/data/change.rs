//! A column of a filled table becomes another one: its values are looked at, converted where its type
//! changes, filled where it must have one, and indexed.
//!
//! A table of few rows is changed in the transaction that asks for it. One of many rows is changed by
//! a job, a part at a time: from the beginning on those who write obey what the column will be
//! ([`becoming`]), so each row is looked at once. Where a value does not fit, the column stays what
//! it was, and the rows are listed.

use std::sync::Arc;
use std::time::Duration;

use engine::Value as Stored;
use serde_json::json;

use super::columns::{AT_ONCE, LISTED, drop_later, index, shown};
use super::{check, grow};
use crate::error::{Error, Result};
use crate::events::{self, Actor, Author, Event};
use crate::jobs::{Mark, Work};
use crate::schema::{Column, Table, becoming};
use crate::store::columns::{self, Index, Scanned};
use crate::store::schema_work::{self, SchemaWork, State};
use crate::store::{self, Tx};
use crate::users::identity::Conflicts;
use crate::users::write::Change;

/// The job's kind.
pub const JOB: &str = "schema.change";
/// Rows of one part of the job.
const STEP: u64 = 500;
/// How long the building of an index may take.
const BUILDING: Duration = Duration::from_mins(30);

/// Whether values have to be looked at, or get another place, to make `new` of `old`.
fn looks_at_rows(old: &Column, new: &Column) -> bool {
    let shorter = new.size.is_some_and(|it| old.size.is_none_or(|old| it < old));
    moves(old, new) || shorter || (new.rules.required && !old.rules.required)
}

fn moves(old: &Column, new: &Column) -> bool {
    old.kind.stored() != new.kind.stored()
}

/// Makes the database fit what a column becomes. Gives what the column is now, and the id of the
/// work that makes it what it is to be, if that is for a job.
///
/// Fails with 20040 and the rows that do not fit, and with 1155.
pub fn fit(
    tx: &Tx<'_>,
    change: &Change,
    table: &Table,
    old: &Column,
    new: &Column,
) -> Result<(Column, Option<String>)> {
    let indexed = !new.identity && index(old) != index(new);
    if !looks_at_rows(old, new) && !indexed {
        return Ok((new.clone(), None));
    }
    let mut next = new.clone();
    let many = columns::has_more(tx, table, AT_ONCE)?;
    if moves(old, new) {
        next.physical = columns::add_place(tx, table, new)?;
    }
    if many {
        columns::set_becoming(tx, old, Some(&next))?;
        let work = check::enqueue(tx, change, (table, Some(old)), ("change", JOB, 0))?;
        return Ok((old.clone(), Some(work)));
    }
    if looks_at_rows(old, new) {
        let (mut found, mut after) = (Conflicts::default(), i64::MIN);
        while let Some(last) = part(tx, table, (old, &next), after, &mut found)? {
            after = last;
        }
        if found.total > 0 {
            return Err(refusal(&next, &found));
        }
    }
    if index(&next) == Index::Unique && (indexed || moves(old, &next)) {
        let found = duplicates(tx, table, &next)?;
        if found.total > 0 {
            return Err(same_values(&next, &found));
        }
    }
    if !next.identity {
        columns::set_index(tx, table, &next, index(&next))?;
    }
    leave(tx, change, table, (old, &next))?;
    Ok((next, None))
}

/// Has the old place of a column that has moved dropped.
fn leave(
    tx: &Tx<'_>,
    change: &Change,
    table: &Table,
    (old, new): (&Column, &Column),
) -> Result<()> {
    if old.physical == new.physical {
        return Ok(());
    }
    let (random, now) = (&change.server.random, change.author.at);
    let dropped = columns::drop_place(tx, random, table, old, now)?;
    drop_later(tx, change, &dropped)
}

fn refusal(column: &Column, found: &Conflicts) -> Error {
    let (total, name) = (found.total, &column.name);
    let what = format!(
        "{total} objects have no value for {name}, or one that does not fit. Correct them, or give \
         a default"
    );
    Error::rows_in_the_way(what).with_list(total, &found.first)
}

fn same_values(column: &Column, found: &Conflicts) -> Error {
    let (total, name) = (found.total, &column.name);
    let what = format!("{total} values of {name} are those of several objects");
    Error::rows_in_the_way(what).with_list(total, &found.first)
}

fn duplicates(db: &store::Db<'_>, table: &Table, column: &Column) -> Result<Conflicts> {
    let (total, listed) = columns::duplicates(db, table, column, LISTED)?;
    let first = listed.iter().map(|it| json!({ "objectIds": it })).collect();
    Ok(Conflicts { total, first })
}

/// The next rows: each gets the value that the column will have. Gives the place of the last of
/// them; `None` if there are no more.
fn part(
    tx: &Tx<'_>,
    table: &Table,
    (old, new): (&Column, &Column),
    after: i64,
    found: &mut Conflicts,
) -> Result<Option<i64>> {
    let rows = columns::take(tx, table, old, (after, STEP))?;
    for (row, guest) in &rows {
        if let Err(why) = one(tx, table, (old, new), row, *guest)? {
            found.add(json!({ "objectId": row.id, "reason": why }));
        }
    }
    Ok(rows.last().map(|it| it.0.seq))
}

/// One row; the inner error says why its value does not fit.
fn one(
    tx: &Tx<'_>,
    table: &Table,
    (old, new): (&Column, &Column),
    row: &Scanned,
    guest: bool,
) -> Result<Result<(), String>> {
    let moved = old.physical != new.physical;
    // No rule of a column is a guest's, but a value that a guest has goes along.
    let value = if row.value == Stored::Null && new.rules.required && !guest {
        match becoming::default(new) {
            Stored::Null => return Ok(Err("it has no value".to_owned())),
            default => default,
        }
    } else {
        match becoming::convert(old.kind, &row.value, new) {
            Ok(value) => value,
            Err(_) if guest => Stored::Null,
            Err(why) => return Ok(Err(format!("its value {why}"))),
        }
    };
    if value != Stored::Null && (moved || row.value == Stored::Null) {
        columns::set_value(tx, table, new, (row.seq, &value))?;
    }
    Ok(Ok(()))
}

/// The job. Its checkpoint is the place that it has reached, then `index`, then `done`.
pub async fn run(mut work: Work) -> Result<()> {
    let Some(app) = work.server.apps.by_id(&work.job.app).await? else { return Ok(()) };
    let change = Change::new(work.server.clone(), app, author(&work));
    if work.job.checkpoint.is_empty() {
        count(&work).await?;
    }
    while work.job.checkpoint != "done" {
        let in_the_way = if work.job.checkpoint == "index" { build(&work).await? } else { None };
        let (change, id) = (change.clone(), work.job.payload.clone());
        let at = work.job.checkpoint.clone();
        work.chunk(move |tx| step(tx, &change, &id, (&at, in_the_way.as_ref()))).await?;
    }
    Ok(())
}

fn author(work: &Work) -> Author {
    Author {
        kind: Actor::System,
        id: JOB.to_owned(),
        request: work.job.id.clone(),
        address: String::new(),
        at: work.server.clock.now(),
    }
}

/// Work with the table and the column that it is about, as they are now.
struct Found {
    work: SchemaWork,
    table: Arc<Table>,
    old: Column,
    new: Column,
}

fn find(db: &store::Db<'_>, id: &str) -> Result<Option<Found>> {
    let Some(work) = schema_work::by_id(db, id)? else { return Ok(None) };
    let schema = store::schema::load(db)?;
    let table = schema.tables().find(|it| it.id == work.table).cloned();
    let found = table.and_then(|table| {
        let old = table.columns.iter().find(|it| it.id == work.column)?.clone();
        let new = (**old.becoming.as_ref()?).clone();
        Some(Found { work, table, old, new })
    });
    Ok(found)
}

/// Counts the rows, so that the progress can be told.
async fn count(work: &Work) -> Result<()> {
    let id = work.job.payload.clone();
    let data = work.data.with_deadline(Duration::from_mins(1));
    let read = data.read(move |db| match find(db, &id)? {
        Some(found) => store::objects::count(db, &found.table),
        None => Ok(0),
    });
    let (total, id) = (read.await?, work.job.payload.clone());
    work.data.write(move |tx| schema_work::set_total(tx, &id, total)).await
}

/// Builds the index beside those who write; gives the values that are in the way of a unique one.
async fn build(work: &Work) -> Result<Option<Conflicts>> {
    let id = work.job.payload.clone();
    let data = work.data.with_deadline(BUILDING);
    let wanted = id.clone();
    let read = data.read(move |db| find(db, &wanted));
    let found = read.await?.filter(|it| it.work.state == State::Running && !it.new.identity);
    let Some(Found { table, new, .. }) = found else { return Ok(None) };
    let (place, column) = (Arc::clone(&table), new.clone());
    let built =
        data.alone(move |tx| columns::build_index(tx, &place, &column, index(&column))).await;
    match built {
        Err(error) if error.code == 1155 => {}
        built => return built.map(|()| None),
    }
    // What is left of it looks like an index and is none.
    let (place, column) = (table, new.clone());
    data.alone(move |tx| columns::drop_index(tx, &column)).await?;
    let found = data.read(move |db| duplicates(db, &place, &new)).await?;
    if found.total == 0 {
        return Err(Error::schema_busy()); // they are gone again: the next try gets on
    }
    Ok(Some(found))
}

fn step(
    tx: &Tx<'_>,
    change: &Change,
    id: &str,
    (at, in_the_way): (&str, Option<&Conflicts>),
) -> Result<Mark> {
    let mark = |checkpoint: String, progress| Ok(Mark { checkpoint, progress });
    let Some(mut found) = find(tx, id)? else { return mark("done".to_owned(), 1000) };
    if found.work.state != State::Running {
        return undo(tx, change, &found); // cancelled
    }
    if let Some(same) = in_the_way {
        found.work.conflicts = same.total;
        found.work.listed.clone_from(&same.first);
        found.work.state = State::Refused;
        schema_work::update(tx, &found.work)?;
        return undo(tx, change, &found);
    }
    if at == "index" {
        return finish(tx, change, found);
    }
    let listed = std::mem::take(&mut found.work.listed);
    let mut conflicts = Conflicts { total: found.work.conflicts, first: listed };
    let after = at.parse().unwrap_or(i64::MIN);
    let mut last = None;
    if looks_at_rows(&found.old, &found.new) {
        last = part(tx, &found.table, (&found.old, &found.new), after, &mut conflicts)?;
    }
    let work = &mut found.work;
    (work.conflicts, work.listed) = (conflicts.total, conflicts.first);
    let Some(last) = last else {
        if work.conflicts > 0 {
            work.state = State::Refused;
            schema_work::update(tx, work)?;
            return undo(tx, change, &found);
        }
        return mark("index".to_owned(), 900);
    };
    work.done = (work.done + i64::try_from(STEP).unwrap_or(0)).min(work.total);
    schema_work::update(tx, work)?;
    let progress = (work.done.saturating_mul(900) / work.total.max(1)).clamp(0, 900);
    mark(last.to_string(), u16::try_from(progress).unwrap_or(0))
}

/// The column is what it was to be.
fn finish(tx: &Tx<'_>, change: &Change, mut found: Found) -> Result<Mark> {
    tx.lock_timeout(Duration::from_secs(3))?;
    store::schema::raise_version(tx)?;
    let Found { work, table, old, new } = &mut found;
    if !new.identity {
        columns::set_index(tx, table, new, index(new))?; // it has been built before
    }
    columns::update(tx, new)?;
    columns::set_becoming(tx, new, None)?;
    leave(tx, change, table, (old, new))?;
    work.state = State::Done;
    work.done = work.total;
    schema_work::update(tx, work)?;
    if (&old.custom_regex, &old.validator) != (&new.custom_regex, &new.validator) {
        check::later(tx, change, (table, new), work.total)?;
    }
    let what = json!({ "table": table.name, "before": shown(old), "after": shown(new) });
    let random = &change.server.random;
    events::record(tx, random, &change.author, Event::SchemaChanged, &table.name, &what)?;
    grow::announce(tx, change, store::schema::load(tx)?)?;
    Ok(Mark { checkpoint: "done".to_owned(), progress: 1000 })
}

/// The column stays what it was.
fn undo(tx: &Tx<'_>, change: &Change, found: &Found) -> Result<Mark> {
    let Found { table, old, new, .. } = found;
    tx.lock_timeout(Duration::from_secs(3))?;
    store::schema::raise_version(tx)?;
    columns::set_becoming(tx, old, None)?;
    leave(tx, change, table, (new, old))?;
    if new.physical == old.physical && !old.identity {
        columns::set_index(tx, table, old, index(old))?;
    }
    grow::announce(tx, change, store::schema::load(tx)?)?;
    Ok(Mark { checkpoint: "done".to_owned(), progress: 1000 })
}
