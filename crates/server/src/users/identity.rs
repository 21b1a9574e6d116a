//! Another property becomes the one that users log in with.
//!
//! Wire: users-api 5.4. Every user but guests must have a value that can be an identity, and no two
//! the same in canonical form. What stands in the way is listed, and then nothing has changed.
//!
//! The values are gathered beside those that are in force, a part at a time. Then one transaction,
//! in which nobody else writes users, catches up with what has changed meanwhile and turns the
//! switch: from its commit on logins go by the new property.

use std::sync::Arc;
use std::time::Duration;

use engine::Value as Stored;
use serde_json::{Value, json};

use super::write::Change;
use crate::clock::{Millis, Seconds};
use crate::data::grow;
use crate::error::{Error, Result};
use crate::events::{self, Actor, Author, Event};
use crate::jobs::{Mark, Work};
use crate::schema::{Column, Kind, Maker, PASSWORD, Table, USERS, identity};
use crate::store::columns::{self, From, Index, Scanned};
use crate::store::schema_work::{self, SchemaWork, State};
use crate::store::{self, Tx, identity_change};

/// The job's kind.
pub const JOB: &str = "users.identity";
/// Rows of one step of the job.
const STEP: u64 = 500;
/// Conflicts that are listed; all are counted.
pub const LISTED: usize = 50;
/// Writes that may have been on their way when a scan passed them.
const ON_THEIR_WAY: Seconds = Seconds(120);

/// Refuses a column that can never be the identity (3038).
pub fn may_be(table: &Table, column: &Column) -> Result<()> {
    let why = if !table.is_users() {
        "Only a property of Users can be the identity"
    } else if column.maker == Maker::System || column.name == PASSWORD {
        "A property of the system cannot be the identity"
    } else if !matches!(column.kind, Kind::String | Kind::Int) {
        "The identity must be a STRING or an INT"
    } else if column.default.is_some() {
        "A property with a default cannot be the identity: users would get the same"
    } else {
        return Ok(());
    };
    Err(Error::bad_parameter(why))
}

/// What stands in the way: how many rows, and the first of them.
#[derive(Clone, Debug, Default)]
pub struct Conflicts {
    /// How many.
    pub total: i64,
    /// The first [`LISTED`].
    pub first: Vec<Value>,
}

impl Conflicts {
    /// Counts one.
    pub fn add(&mut self, conflict: Value) {
        self.total += 1;
        if self.first.len() < LISTED {
            self.first.push(conflict);
        }
    }

    fn refusal(&self, column: &Column) -> Error {
        let (total, name) = (self.total, &column.name);
        let what = format!(
            "{name} cannot be the identity yet: {total} users have no value, one that cannot be \
             used, or that of another user. Correct them and try again"
        );
        Error::rows_in_the_way(what).with_list(total, &self.first)
    }
}

/// Makes `column` the identity in this transaction, which has raised the schema's version and keeps
/// writers out. Fails with 20040 and the list of what stands in the way.
pub fn change_now(tx: &Tx<'_>, change: &Change, table: &Table, column: &Column) -> Result<()> {
    if schema_work::is_running(tx, "identity")? {
        return Err(Error::identity_changing());
    }
    let kind = format!("login:{}", change.server.random.opaque());
    columns::lock_writes(tx, table)?;
    let (mut conflicts, mut after) = (Conflicts::default(), i64::MIN);
    loop {
        let rows = columns::scan(tx, table, column, From::After(after), STEP)?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        gather(tx, &kind, &rows, &mut conflicts)?;
    }
    if conflicts.total > 0 {
        return Err(conflicts.refusal(column));
    }
    let old = switch(tx, change, table, column, &kind)?;
    while identity_change::clear(tx, &old, 10_000)? {}
    Ok(())
}

/// Asks a job to make `column` the identity; gives the id by which its progress is shown.
pub fn change_later(
    tx: &Tx<'_>,
    change: &Change,
    (table, column): (&Table, &Column),
    total: i64,
) -> Result<String> {
    if schema_work::is_running(tx, "identity")? {
        return Err(Error::identity_changing());
    }
    let work = SchemaWork {
        id: change.server.random.opaque(),
        kind: "identity".to_owned(),
        table: table.id.clone(),
        column: column.id.clone(),
        state: State::Running,
        total,
        done: 0,
        conflicts: 0,
        listed: Vec::new(),
        created: change.author.at,
    };
    schema_work::insert(tx, &work)?;
    let job =
        store::jobs::New { kind: JOB, payload: &work.id, dedupe: None, run_at: change.author.at };
    crate::jobs::enqueue(tx, &change.server, &job)?;
    Ok(work.id)
}

/// The job. Its checkpoint is the place that the gathering has reached, then `clear:` and the kind
/// of what nobody logs in with any more.
pub async fn run(mut work: Work) -> Result<()> {
    let Some(app) = work.server.apps.by_id(&work.job.app).await? else { return Ok(()) };
    // The switch waits for writers and builds an index.
    work.data = work.data.with_deadline(Duration::from_mins(1));
    let change = Change::new(work.server.clone(), app, author(&work));
    let change = Arc::new(change);
    while !work.job.checkpoint.starts_with("clear:") {
        let (change, id) = (Arc::clone(&change), work.job.payload.clone());
        let at = work.job.checkpoint.clone();
        work.chunk(move |tx| step(tx, &change, &id, &at)).await?;
    }
    loop {
        let old = work.job.checkpoint.trim_start_matches("clear:").to_owned();
        if old.is_empty() {
            return Ok(());
        }
        work.chunk(move |tx| {
            let more = identity_change::clear(tx, &old, 5_000)?;
            let left = if more { old.as_str() } else { "" };
            Ok(Mark { checkpoint: format!("clear:{left}"), progress: 950 })
        })
        .await?;
    }
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

/// One part of the job: gathers the next rows, or turns the switch.
fn step(tx: &Tx<'_>, change: &Change, id: &str, at: &str) -> Result<Mark> {
    let gone = || Ok(Mark { checkpoint: "clear:".to_owned(), progress: 1000 });
    let Some(mut work) = schema_work::by_id(tx, id)? else { return gone() };
    let kind = format!("login:{id}");
    let refused = |tx: &Tx<'_>, mut work: SchemaWork| {
        work.state = State::Refused;
        schema_work::update(tx, &work)?;
        Ok(Mark { checkpoint: format!("clear:{kind}"), progress: 900 })
    };
    let schema = store::schema::load(tx)?;
    let found = schema.table(USERS).and_then(|table| {
        let column = table.columns.iter().find(|it| it.id == work.column)?;
        Some((table, column))
    });
    let Some((table, column)) = found.filter(|_| work.state == State::Running) else {
        return refused(tx, work);
    };
    let mut conflicts =
        Conflicts { total: work.conflicts, first: std::mem::take(&mut work.listed) };
    let after = at.parse::<i64>().unwrap_or(i64::MIN);
    let rows = columns::scan(tx, table, column, From::After(after), STEP)?;
    gather(tx, &kind, &rows, &mut conflicts)?;
    work.done += i64::try_from(rows.len()).unwrap_or(0);
    if let Some(last) = rows.last() {
        (work.conflicts, work.listed) = (conflicts.total, conflicts.first);
        schema_work::update(tx, &work)?;
        let progress = work.done.saturating_mul(900) / work.total.max(1);
        let progress = u16::try_from(progress.clamp(0, 900)).unwrap_or(0);
        return Ok(Mark { checkpoint: last.seq.to_string(), progress });
    }
    store::schema::raise_version(tx)?;
    identity_change::keep_writers_out(tx)?;
    columns::lock_writes(tx, table)?;
    let since = Millis(work.created.0.saturating_sub(ON_THEIR_WAY.millis()));
    let late = columns::scan(tx, table, column, From::Since(since), u64::MAX)?;
    // What was wrong with them may have been corrected, and the other way round.
    for row in &late {
        identity_change::unstage(tx, &kind, &row.id)?;
    }
    let listed_late = |it: &Value| late.iter().any(|row| it["objectId"] == *row.id);
    let again = conflicts.first.iter().filter(|it| listed_late(it)).count();
    if usize::try_from(conflicts.total).is_ok_and(|it| it <= LISTED) {
        conflicts.first.retain(|it| !listed_late(it));
        conflicts.total -= i64::try_from(again).unwrap_or(0);
    }
    gather(tx, &kind, &late, &mut conflicts)?;
    (work.conflicts, work.listed) = (conflicts.total, conflicts.first);
    let may = may_be(table, column).is_ok() && !column.identity;
    if work.conflicts > 0 || !may {
        return refused(tx, work);
    }
    let old = switch(tx, change, table, column, &kind)?;
    work.state = State::Done;
    schema_work::update(tx, &work)?;
    let schema = store::schema::load(tx)?;
    grow::announce(tx, change, schema)?;
    Ok(Mark { checkpoint: format!("clear:{old}"), progress: 900 })
}

/// Gathers the canonical forms of these rows, and lists those that have none or one that is taken.
fn gather(tx: &Tx<'_>, kind: &str, rows: &[Scanned], conflicts: &mut Conflicts) -> Result<()> {
    for row in rows {
        let text = match &row.value {
            Stored::Text(text) => text.clone(),
            Stored::Int(number) => number.to_string(),
            _ => {
                conflicts.add(json!({ "objectId": row.id, "reason": "it has no value" }));
                continue;
            }
        };
        match identity::canonical(&text) {
            Err(why) => conflicts.add(json!({ "objectId": row.id, "reason": why.to_string() })),
            Ok(canonical) => {
                if let Some(other) = identity_change::stage(tx, kind, canonical.as_str(), &row.id)?
                {
                    let reason = "another user has the same value";
                    conflicts.add(json!({ "objectId": row.id, "reason": reason, "with": other }));
                }
            }
        }
    }
    Ok(())
}

/// Marks `column`, and has logins go by what was gathered; gives the kind of before.
fn switch(
    tx: &Tx<'_>,
    change: &Change,
    table: &Table,
    column: &Column,
    kind: &str,
) -> Result<String> {
    let before = table.identity();
    if let Some(before) = before {
        let mut old = Column { identity: false, ..before.clone() };
        // While it was the identity its canonical form was unique; guests may have what they like.
        old.rules.unique &= columns::duplicates(tx, table, before, 1)?.0 == 0;
        let index = if old.rules.unique { Index::Unique } else { Index::None };
        columns::set_index(tx, table, &old, index)?;
        columns::update(tx, &old)?;
    }
    let mut new = Column { identity: true, ..column.clone() };
    (new.rules.required, new.rules.unique) = (true, true);
    columns::update(tx, &new)?;
    let old = identity_change::login_kind(tx)?;
    identity_change::set_login_kind(tx, kind)?;
    let what = json!({
        "table": USERS,
        "before": { "identity": before.map(|it| &it.name) },
        "after": { "identity": new.name },
    });
    let random = &change.server.random;
    events::record(tx, random, &change.author, Event::SchemaChanged, USERS, &what)?;
    Ok(old)
}
