//! All records of a table are deleted: at once, or by a job if there are many.
//!
//! Wire: data-api 1.6. What is added after the request stays.

use std::sync::Arc;

use serde_json::json;

use super::columns::AT_ONCE;
use super::{bulk, work};
use crate::error::{Error, Result};
use crate::events::{self, Actor, Author, Event};
use crate::ids::UserId;
use crate::jobs::{self, Mark, Work};
use crate::store::schema_work::{self, SchemaWork, State};
use crate::store::{self, Tx, columns, objects};
use crate::users::write::{self as accounts, Change};

/// The job's kind.
pub const JOB: &str = "records.clear";
/// Records of one part of the job.
const STEP: u64 = 500;

/// Deletes them all, or has a job do it. Fails with 1009.
pub async fn all(change: &Change, name: &str) -> Result<()> {
    let table = change.schema.table(name).cloned();
    let table = table.ok_or_else(|| Error::no_such_table(name))?;
    let looked_at = Arc::clone(&table);
    let data = &change.app.realm.data;
    if !data.read(move |db| columns::has_more(db, &looked_at, AT_ONCE)).await? {
        return bulk::delete_all(change, name).await.map(|_| ());
    }
    let keep = change.clone();
    let write = data.write(move |tx| {
        let work = SchemaWork {
            column: String::new(),
            total: objects::count(tx, &table)?,
            ..work::fresh(&keep, "clear", (&table, &table.columns[0]))
        };
        schema_work::insert(tx, &work)?;
        let payload = format!("{} {}", work.id, columns::last_place(tx, &table)?);
        let run_at = keep.author.at;
        let job = store::jobs::New { kind: JOB, payload: &payload, dedupe: None, run_at };
        jobs::enqueue(tx, &keep.server, &job)
    });
    write.await
}

/// The job.
pub async fn run(mut work: Work) -> Result<()> {
    let Some(app) = work.server.apps.by_id(&work.job.app).await? else { return Ok(()) };
    let author = Author {
        kind: Actor::System,
        id: JOB.to_owned(),
        request: work.job.id.clone(),
        address: String::new(),
        at: work.server.clock.now(),
    };
    let change = Change::new(work.server.clone(), app, author);
    while work.job.checkpoint != "done" {
        let (change, payload) = (change.clone(), work.job.payload.clone());
        work.chunk(move |tx| step(tx, &change, &payload)).await?;
    }
    Ok(())
}

fn step(tx: &Tx<'_>, change: &Change, payload: &str) -> Result<Mark> {
    let done = || Ok(Mark { checkpoint: "done".to_owned(), progress: 1000 });
    let (id, last) = payload.split_once(' ').unwrap_or((payload, ""));
    let work = schema_work::lock(tx, id)?.filter(|it| it.state == State::Running);
    let Some(mut work) = work else { return done() };
    let schema = store::schema::load(tx)?;
    let table = schema.tables().find(|it| it.id == work.table);
    let ids = match table {
        None => Vec::new(), // dropped meanwhile
        Some(table) => columns::ids_up_to(tx, table, last.parse().unwrap_or(i64::MIN), STEP)?,
    };
    let Some(table) = table.filter(|_| !ids.is_empty()) else {
        work.state = State::Done;
        schema_work::update(tx, &work)?;
        return done();
    };
    let count = i64::try_from(ids.len()).unwrap_or(0);
    if table.is_users() {
        let mut ids = ids;
        ids.sort_unstable();
        let users: Vec<UserId> = ids.into_iter().map(|it| UserId(it.into())).collect();
        accounts::delete(tx, change, &users)?;
    } else {
        let wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
        objects::lock(tx, table, &wanted)?;
        objects::delete_these(tx, table, &ids)?;
        let what = json!({ "table": table.name, "count": count });
        let random = &change.server.random;
        events::record(tx, random, &change.author, Event::ObjectDeleted, &table.name, &what)?;
    }
    work.done += count;
    schema_work::update(tx, &work)?;
    let progress = (work.done.saturating_mul(1000) / work.total.max(1)).clamp(0, 999);
    let progress = u16::try_from(progress).unwrap_or(0);
    Ok(Mark { checkpoint: work.done.to_string(), progress })
}
