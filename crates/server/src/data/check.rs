//! A new validator and the objects that are there: those that would fail are counted, and the first
//! are listed. They stay as they are; the validator judges what is written from now on.

use std::sync::Arc;

use serde_json::json;

use super::columns::AT_ONCE;
use crate::apps::App;
use crate::error::{Error, Result};
use crate::jobs::{Mark, Work};
use crate::schema::wish::{self, Wish};
use crate::schema::{Column, PASSWORD, Table, validators};
use crate::store::columns::{self, From, Scanned};
use crate::store::schema_work::{self, SchemaWork, State};
use crate::store::{self, Db, Tx};
use crate::users::identity::Conflicts;
use crate::users::write::Change;

/// The job's kind.
pub const JOB: &str = "schema.check";
const STEP: u64 = 1000;

/// Those of these rows that the column's validators refuse.
fn judge(column: &Column, rows: &[Scanned], found: &mut Conflicts) {
    for row in rows {
        if let Some(why) = validators::check(column, &row.value) {
            found.add(json!({ "objectId": row.id, "reason": format!("its value {why}") }));
        }
    }
}

/// All of the table's rows at once, for a table that is not large.
pub fn all(db: &Db<'_>, table: &Table, column: &Column) -> Result<Conflicts> {
    let (mut found, mut after) = (Conflicts::default(), i64::MIN);
    loop {
        let rows = columns::scan(db, table, column, From::After(after), STEP)?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = last.seq;
        judge(column, &rows, &mut found);
    }
}

/// Refuses the wish if rows of a large table would fail. Small ones are looked at by the change
/// itself.
pub async fn refuse(app: &Arc<App>, table: &str, column: &str, wish: &Wish) -> Result<()> {
    let schema = app.schema();
    let Some(table) = schema.table(table).cloned() else { return Ok(()) };
    let Some(old) = table.column(column).filter(|it| it.name != PASSWORD) else { return Ok(()) };
    let new = wish::changed(&table, old, wish.clone())?;
    let data = &app.realm.data;
    let counted = Arc::clone(&table);
    if !data.read(move |db| columns::has_more(db, &counted, AT_ONCE)).await? {
        return Ok(());
    }
    let (mut found, mut after) = (Conflicts::default(), i64::MIN);
    loop {
        let (table, column) = (Arc::clone(&table), new.clone());
        let read =
            data.read(move |db| columns::scan(db, &table, &column, From::After(after), STEP));
        let rows = read.await?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        judge(&new, &rows, &mut found);
    }
    if found.total > 0 { Err(refusal(&new, &found)) } else { Ok(()) }
}

/// 20040: rows would fail, and the developer did not want that.
pub fn refusal(column: &Column, found: &Conflicts) -> Error {
    let (total, name) = (found.total, &column.name);
    let what = format!("{total} objects have a value of {name} that the validator refuses");
    Error::rows_in_the_way(what).with_list(total, &found.first)
}

/// Has a job look at all rows; gives the id by which its progress is shown.
pub fn later(
    tx: &Tx<'_>,
    change: &Change,
    (table, column): (&Table, &Column),
    total: i64,
) -> Result<String> {
    enqueue(tx, change, (table, Some(column)), ("check", JOB, total))
}

/// Writes work down, with a job that does it; gives its id.
pub fn enqueue(
    tx: &Tx<'_>,
    change: &Change,
    (table, column): (&Table, Option<&Column>),
    (kind, job, total): (&str, &str, i64),
) -> Result<String> {
    let work = SchemaWork {
        id: change.server.random.opaque(),
        kind: kind.to_owned(),
        table: table.id.clone(),
        column: column.map(|it| it.id.clone()).unwrap_or_default(),
        state: State::Running,
        total,
        done: 0,
        conflicts: 0,
        listed: Vec::new(),
        created: change.author.at,
    };
    schema_work::insert(tx, &work)?;
    let run_at = change.author.at;
    let job = store::jobs::New { kind: job, payload: &work.id, dedupe: None, run_at };
    crate::jobs::enqueue(tx, &change.server, &job)?;
    Ok(work.id)
}

/// The job; its checkpoint is the place that it has reached.
pub async fn run(mut work: Work) -> Result<()> {
    while work.job.checkpoint != "done" {
        let (id, at) = (work.job.payload.clone(), work.job.checkpoint.clone());
        work.chunk(move |tx| step(tx, &id, &at)).await?;
    }
    Ok(())
}

fn step(tx: &Tx<'_>, id: &str, at: &str) -> Result<Mark> {
    let done = || Mark { checkpoint: "done".to_owned(), progress: 1000 };
    let work = schema_work::by_id(tx, id)?.filter(|it| it.state == State::Running);
    let Some(mut work) = work else { return Ok(done()) };
    let schema = store::schema::load(tx)?;
    let found = schema.tables().find(|it| it.id == work.table).and_then(|table| {
        let column = table.columns.iter().find(|it| it.id == work.column)?;
        Some((table, column))
    });
    let rows = match found {
        None => Vec::new(), // dropped meanwhile
        Some((table, column)) => {
            let after = From::After(at.parse().unwrap_or(i64::MIN));
            let rows = columns::scan(tx, table, column, after, STEP)?;
            let listed = std::mem::take(&mut work.listed);
            let mut conflicts = Conflicts { total: work.conflicts, first: listed };
            judge(column, &rows, &mut conflicts);
            (work.conflicts, work.listed) = (conflicts.total, conflicts.first);
            rows
        }
    };
    work.done += i64::try_from(rows.len()).unwrap_or(0);
    let Some(last) = rows.last() else {
        work.state = State::Done;
        schema_work::update(tx, &work)?;
        return Ok(done());
    };
    schema_work::update(tx, &work)?;
    let progress = (work.done.saturating_mul(1000) / work.total.max(1)).clamp(0, 999);
    Ok(Mark { checkpoint: last.seq.to_string(), progress: u16::try_from(progress).unwrap_or(0) })
}
