//! Another property becomes the one that users log in with.
//!
//! Wire: users-api 5.4. Every user but guests must have a value that can be an identity, and no two
//! the same in canonical form. What stands in the way is listed, and then nothing has changed.
//!
//! The values are gathered beside those that are in force, a part at a time. A trigger notes who is
//! written, registered or deleted meanwhile, and the notes are worked off until few are left. Then one
//! short transaction, in which nobody else writes users, works off the rest and turns the switch: from
//! its commit on logins go by the new property.

use std::sync::Arc;

use engine::Value as Stored;
use serde_json::{Value, json};

use super::write::Change;
use crate::data::columns::{AT_ONCE, LOCK_WAIT};
use crate::data::{grow, work};
use crate::error::{Error, Result};
use crate::events::{self, Event};
use crate::jobs::{Mark, Work};
use crate::schema::{Column, Kind, Maker, PASSWORD, Table, USERS, identity};
use crate::store::columns::{self, Index, Scanned};
use crate::store::schema_work::{self, SchemaWork, State};
use crate::store::{self, Tx, identity_change, touched};

/// The job's kind.
pub const JOB: &str = "users.identity";
/// Rows of one step of the job, and notes.
const STEP: u64 = 500;
const NOTES: u32 = 500;
/// Conflicts that are listed; all are counted.
pub const LISTED: usize = 50;

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

    /// Counts what another one has counted.
    pub fn join(&mut self, other: &Self) {
        self.total += other.total;
        let room = LISTED.saturating_sub(self.first.len());
        self.first.extend(other.first.iter().take(room).cloned());
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

/// Makes `column` the identity: in this transaction, which has raised the schema's version and so
/// keeps writers out, or in a large table by a job, whose id is given. Fails with 20040 and the list
/// of what stands in the way.
pub fn change(
    tx: &Tx<'_>,
    change: &Change,
    table: &Table,
    column: &Column,
) -> Result<Option<String>> {
    columns::lock_table(tx, table)?;
    if columns::has_more(tx, table, AT_ONCE)? {
        let later = work::fresh(change, "identity", (table, column));
        touched::watch(tx, &later.id, table, &[column])?;
        work::start(tx, change, JOB, &later)?;
        return Ok(Some(later.id));
    }
    let kind = format!("login:{}", change.server.random.opaque());
    let mut conflicts = Conflicts::default();
    let rows = columns::scan(tx, table, column, i64::MIN, AT_ONCE + 1)?;
    gather(tx, &kind, (table, column), &rows, &mut conflicts)?;
    if conflicts.total > 0 {
        return Err(conflicts.refusal(column));
    }
    let before = table.identity();
    // While it was the identity its canonical form was unique; guests may have what they like.
    let unique = match before {
        Some(before) => columns::duplicates(tx, table, before, 1)?.0 == 0,
        None => false,
    };
    let old = switch(tx, change, (table, column), &kind, unique)?;
    while identity_change::clear(tx, &old, 10_000)? {}
    Ok(None)
}

/// The job. Its checkpoint is the place that the gathering has reached, then `late`, then `switch`,
/// then `clear:` and the kind of what nobody logs in with any more.
pub async fn run(mut work: Work) -> Result<()> {
    let Some(app) = work.server.apps.by_id(&work.job.app).await? else { return Ok(()) };
    let change = Change::new(work.server.clone(), app, work::author(&work));
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

/// One part of the job: gathers the next rows, works off notes, or turns the switch.
fn step(tx: &Tx<'_>, change: &Change, id: &str, at: &str) -> Result<Mark> {
    let mark = |checkpoint: &str, progress| Mark { checkpoint: checkpoint.to_owned(), progress };
    if at == "switch" {
        tx.lock_timeout(LOCK_WAIT)?;
        store::schema::hold_to_change(tx)?;
    }
    let now = schema_work::lock(tx, id)?.filter(|it| it.state == State::Running);
    let Some(mut doing) = now else { return Ok(mark("clear:", 1000)) };
    let refused = |doing: SchemaWork, why: Option<&str>| {
        work::refuse(tx, &change.server, doing, why)?;
        Ok(mark("clear:", 1000))
    };
    let kind = format!("login:{id}");
    let schema = store::schema::load(tx)?;
    let found = schema.table(USERS).and_then(|table| {
        let column = table.columns.iter().find(|it| it.id == doing.column)?;
        Some((table, column))
    });
    let Some((table, column)) = found else { return refused(doing, Some("the property is gone")) };
    let listed = std::mem::take(&mut doing.listed);
    let mut conflicts = Conflicts { total: doing.conflicts, first: listed };
    if at != "late" && at != "switch" {
        if at.is_empty() {
            doing.total = columns::count_all(tx, table)?;
        }
        let rows = columns::scan(tx, table, column, at.parse().unwrap_or(i64::MIN), STEP)?;
        gather(tx, &kind, (table, column), &rows, &mut conflicts)?;
        doing.done += i64::try_from(rows.len()).unwrap_or(0);
        (doing.conflicts, doing.listed) = (conflicts.total, conflicts.first);
        let Some(last) = rows.last() else {
            let in_the_way = doing.conflicts > 0;
            return if in_the_way { refused(doing, None) } else { Ok(mark("late", 900)) };
        };
        schema_work::update(tx, &doing)?;
        let progress = (doing.done.saturating_mul(900) / doing.total.max(1)).clamp(0, 900);
        return Ok(mark(&last.seq.to_string(), u16::try_from(progress).unwrap_or(0)));
    }
    let notes = touched::first(tx, id, NOTES)?;
    let few = notes.len() <= work::FEW;
    if at == "switch" && !few {
        return Ok(mark("late", 900));
    }
    let mut users: Vec<&str> = notes.iter().map(|it| it.1.as_str()).collect();
    users.sort_unstable();
    users.dedup();
    for user in users {
        identity_change::unstage(tx, &kind, user)?;
        let row = columns::scan_one(tx, table, column, user)?;
        gather(tx, &kind, (table, column), row.as_slice(), &mut conflicts)?;
    }
    touched::strike(tx, &notes)?;
    (doing.conflicts, doing.listed) = (conflicts.total, conflicts.first);
    if doing.conflicts > 0 || may_be(table, column).is_err() || column.identity {
        return refused(doing, None);
    }
    if at == "late" {
        return Ok(mark(if few { "switch" } else { "late" }, 900));
    }
    store::schema::raise_version(tx)?;
    let old = switch(tx, change, (table, column), &kind, false)?;
    doing.state = State::Done;
    schema_work::update(tx, &doing)?;
    work::clear_later(tx, &change.server, id)?;
    grow::announce(tx, change, store::schema::load(tx)?)?;
    Ok(mark(&format!("clear:{old}"), 900))
}

/// Gathers the canonical forms of these rows, and lists those that have none or one that is taken.
fn gather(
    tx: &Tx<'_>,
    kind: &str,
    (table, column): (&Table, &Column),
    rows: &[Scanned],
    conflicts: &mut Conflicts,
) -> Result<()> {
    for row in rows.iter().filter(|it| !it.guest) {
        let canonical = match canonical_of(row) {
            Ok(canonical) => canonical,
            Err(why) => {
                conflicts.add(json!({ "objectId": row.id, "reason": why }));
                continue;
            }
        };
        let mut other = identity_change::stage(tx, kind, &canonical, &row.id)?;
        if let Some(user) = &other {
            // The other user may have another value by now, or be gone; then there is a note of it.
            let now = columns::scan_one(tx, table, column, user)?.filter(|it| !it.guest);
            if now.and_then(|it| canonical_of(&it).ok()).as_ref() != Some(&canonical) {
                identity_change::unstage(tx, kind, user)?;
                other = identity_change::stage(tx, kind, &canonical, &row.id)?;
            }
        }
        if let Some(other) = other {
            let reason = "another user has the same value";
            conflicts.add(json!({ "objectId": row.id, "reason": reason, "with": other }));
        }
    }
    Ok(())
}

/// What a user would log in with, or why that cannot be.
fn canonical_of(row: &Scanned) -> Result<String, String> {
    let text = match &row.value {
        Stored::Text(text) => text.clone(),
        Stored::Int(number) => number.to_string(),
        _ => return Err("it has no value".to_owned()),
    };
    identity::canonical(&text).map(|it| it.as_str().to_owned()).map_err(|it| it.to_string())
}

/// Marks `column`, and has logins go by what was gathered; gives the kind of before. `unique`: the old
/// property stays unique, by an index that is built now.
fn switch(
    tx: &Tx<'_>,
    change: &Change,
    (table, column): (&Table, &Column),
    kind: &str,
    unique: bool,
) -> Result<String> {
    let before = table.identity();
    if let Some(before) = before {
        let mut old = Column { identity: false, ..before.clone() };
        old.rules.unique = unique;
        old.rules.indexed &= unique;
        if unique {
            columns::set_index(tx, table, &old, Index::Unique)?;
        }
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
