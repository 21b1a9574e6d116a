//! A new validator and the objects that are there: those that would fail are counted, and the first
//! are listed. They stay as they are; the validator judges what is written from now on.

use std::sync::Arc;

use serde_json::json;

use super::columns::AT_ONCE;
use super::work::{TURN, fresh, length, start};
use crate::error::Result;
use crate::jobs::{Mark, Work};
use crate::schema::{Column, Table, validators};
use crate::store::columns::{self, Scanned};
use crate::store::schema_work::{self, SchemaWork, State};
use crate::store::{self, Db, Tx};
use crate::users::identity::Conflicts;
use crate::users::write::Change;

/// The job's kind.
pub const JOB: &str = "schema.check";
const STEP: u64 = 1000;
/// Places of expressions times characters that are matched while others wait: some 0.1 s.
const DEAR: u64 = 1 << 24;

/// Whether it takes long to judge these rows.
pub fn is_dear(column: &Column, rows: &[Scanned]) -> bool {
    let length: u64 = rows.iter().map(|it| length(&it.value)).sum();
    validators::weight(column).saturating_mul(length) > DEAR
}

/// Whether the column's validators refuse the row's value, and why. No rule is a guest's.
fn refused(column: &Column, row: &Scanned) -> Option<serde_json::Value> {
    let why = validators::check(column, &row.value).filter(|_| !row.guest)?;
    Some(json!({ "objectId": row.id, "reason": format!("its value {why}") }))
}

/// All of the table's rows at once; `None` if that takes long.
pub fn all(db: &Db<'_>, table: &Table, column: &Column) -> Result<Option<Conflicts>> {
    let rows = columns::scan(db, table, column, i64::MIN, AT_ONCE + 1)?;
    if rows.len() as u64 > AT_ONCE || is_dear(column, &rows) {
        return Ok(None);
    }
    let mut found = Conflicts::default();
    rows.iter().filter_map(|it| refused(column, it)).for_each(|it| found.add(it));
    Ok(Some(found))
}

/// Has a job look at all rows; gives the id by which its progress is shown.
pub fn later(tx: &Tx<'_>, change: &Change, about: (&Table, &Column)) -> Result<String> {
    let work = fresh(change, "check", about);
    start(tx, change, JOB, &work)?;
    Ok(work.id)
}

/// The job; its checkpoint is the place that it has reached. It judges outside of transactions.
pub async fn run(mut work: Work) -> Result<()> {
    while work.job.checkpoint != "done" {
        let (id, at) = (work.job.payload.clone(), work.job.checkpoint.parse().unwrap_or(i64::MIN));
        let about = id.clone();
        let read = work.data.read(move |db| part(db, &about, at));
        let Some((column, rows, total)) = read.await? else { return Ok(()) };
        let (mut found, mut spent) = (Conflicts::default(), 0_u64);
        let weight = validators::weight(&column);
        for row in &rows {
            if let Some(conflict) = refused(&column, row) {
                found.add(conflict);
            }
            spent += weight.saturating_mul(length(&row.value));
            if spent > TURN {
                spent = 0;
                tokio::task::yield_now().await;
            }
        }
        let (seen, last) = (rows.len(), rows.last().map(|it| it.seq));
        work.chunk(move |tx| note(tx, &id, (&found, total), seen, last)).await?;
    }
    Ok(())
}

/// The next rows, and how many the table has if these are the first; `None` if the work has ended.
#[expect(clippy::type_complexity, reason = "it is taken apart where it is called")]
fn part(db: &Db<'_>, id: &str, after: i64) -> Result<Option<(Column, Vec<Scanned>, Option<i64>)>> {
    let Some(work) = running(schema_work::by_id(db, id)?) else { return Ok(None) };
    let schema = store::schema::load(db)?;
    let table = schema.tables().find(|it| it.id == work.table).map(Arc::clone);
    let column = table.as_ref().and_then(|it| it.columns.iter().find(|it| it.id == work.column));
    // Dropped meanwhile: then there is nothing left to look at.
    let (Some(table), Some(column)) = (&table, column) else {
        let nothing = Column::blank("", crate::schema::Kind::String, crate::schema::Maker::Client);
        return Ok(Some((nothing, Vec::new(), None)));
    };
    let total = if after == i64::MIN { Some(columns::count_all(db, table)?) } else { None };
    Ok(Some((column.clone(), columns::scan(db, table, column, after, STEP)?, total)))
}

fn running(work: Option<SchemaWork>) -> Option<SchemaWork> {
    work.filter(|it| it.state == State::Running)
}

fn note(
    tx: &Tx<'_>,
    id: &str,
    (found, total): (&Conflicts, Option<i64>),
    seen: usize,
    last: Option<i64>,
) -> Result<Mark> {
    let done = || Mark { checkpoint: "done".to_owned(), progress: 1000 };
    let Some(mut work) = running(schema_work::lock(tx, id)?) else { return Ok(done()) };
    let listed = std::mem::take(&mut work.listed);
    let mut conflicts = Conflicts { total: work.conflicts, first: listed };
    conflicts.join(found);
    (work.conflicts, work.listed) = (conflicts.total, conflicts.first);
    work.total = total.unwrap_or(work.total);
    work.done += i64::try_from(seen).unwrap_or(0);
    if last.is_none() {
        work.state = State::Done;
    }
    schema_work::update(tx, &work)?;
    let Some(last) = last else { return Ok(done()) };
    let progress = (work.done.saturating_mul(1000) / work.total.max(1)).clamp(0, 999);
    Ok(Mark { checkpoint: last.to_string(), progress: u16::try_from(progress).unwrap_or(0) })
}
