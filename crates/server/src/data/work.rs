//! Changes of a column that look at many rows: a job does them beside the writers, in parts.
//!
//! It goes through these stages, which are its checkpoints:
//!
//! 1. *look* (the place that it has reached): each value is judged and, if the column gets another
//!    type, put into a new physical column. A trigger notes what is written meanwhile.
//! 2. `late`: what was noted is looked at again, until little is left.
//! 3. `index`: the index is built, with nobody waiting for it.
//! 4. `switch`: with the writers kept out, the last notes are looked at and the catalog changes.
//! 5. `fill:` and a place: objects without a value get the default.
//!
//! Up to the switch nothing has changed, and whoever cancels or objects in the way leave it so. What
//! is to be cleared away then is a job of its own, [`CLEAR`].

use std::sync::Arc;
use std::time::Duration;

use engine::Value as Stored;
use serde_json::{Value, json};

use super::columns::{self as change_of, LOCK_WAIT, index, shown};
use super::grow;
use crate::clock::Seconds;
use crate::error::{Error, Result};
use crate::events::{self, Actor, Author, Event};
use crate::jobs::{Mark, Work};
use crate::schema::wish::{self, Wish};
use crate::schema::{Column, Table, validators, values};
use crate::server::Server;
use crate::store::columns::{self, Busy, Index, Scanned};
use crate::store::schema_work::{self, SchemaWork, State};
use crate::store::touched::{self, Note};
use crate::store::{self, Db, Tx, identity_change};
use crate::users::identity::{Conflicts, LISTED};
use crate::users::write::Change;

/// The kind of the job that changes a column.
pub const JOB: &str = "schema.change";
/// The kind of the job that clears away what work has left.
pub const CLEAR: &str = "schema.clear";
/// Rows of one step.
const STEP: u64 = 500;
/// Notes of one step.
const NOTES: u32 = 500;
/// Notes that are left for the moment in which writers wait.
pub const FEW: usize = 20;
/// Places of expressions times characters that are matched before others have a turn: some 10 ms.
pub const TURN: u64 = 1 << 21;
/// How long an index may take.
const BUILD: Duration = Duration::from_hours(6);

/// What of a change needs the rows.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not, whatever the others are")]
pub struct Plan {
    /// The values get another type, and so another place.
    pub moves: bool,
    /// Texts must be shorter, or without what the new type lacks.
    pub shortens: bool,
    /// Every object must have a value, and there is no default.
    pub requires: bool,
    /// Objects without a value get the default.
    pub fills: bool,
    /// The validators are new, and the change is refused if objects fail them.
    pub judges: bool,
    /// No two objects may have the same value from now on.
    pub unites: bool,
    /// The index is another one.
    pub reindexes: bool,
}

impl Plan {
    /// What it takes for `old` to become `new`.
    pub fn of(old: &Column, new: &Column, refuse_failing: bool) -> Self {
        let moves = old.kind.stored() != new.kind.stored();
        let shorter = new.size.is_some_and(|it| old.size.is_none_or(|old| it < old));
        let newly = new.rules.required && !old.rules.required;
        let rechecked = is_rechecked(old, new);
        Self {
            moves,
            shortens: !moves && (shorter || old.kind != new.kind),
            requires: newly && new.default.is_none(),
            fills: newly && new.default.is_some(),
            judges: refuse_failing && rechecked,
            unites: index(new) == Index::Unique && (moves || index(old) != Index::Unique),
            reindexes: index(old) != index(new) || (moves && index(new) != Index::None),
        }
    }

    /// Whether each value is looked at.
    pub fn looks(&self) -> bool {
        self.moves || self.shortens || self.requires || self.judges
    }

    /// Whether many rows make it long.
    pub fn is_long(&self) -> bool {
        self.looks() || self.fills || self.reindexes
    }

    /// What a value becomes, or why it stands in the way.
    pub fn becomes(&self, old: &Column, new: &Column, row: &Scanned) -> Result<Stored, String> {
        let refused = |it: Error| {
            if it.is_unfit() {
                return format!("its value cannot become a {}", new.kind.as_str());
            }
            it.message.replacen(&format!("The value of {}", new.name), "its value", 1)
        };
        let value = if self.moves {
            values::converted_to(new, old.kind, &row.value).map_err(refused)?
        } else {
            row.value.clone()
        };
        if row.guest {
            return Ok(value);
        }
        if self.requires && value == Stored::Null {
            return Err("it has no value".to_owned());
        }
        if self.shortens {
            values::converted_to(new, new.kind, &value).map_err(refused)?;
        }
        match validators::check(new, &value).filter(|_| self.judges) {
            Some(why) => Err(format!("its value {why}")),
            None => Ok(value),
        }
    }
}

/// Whether `new` has other validators than `old`, and any.
pub fn is_rechecked(old: &Column, new: &Column) -> bool {
    let other = (&old.custom_regex, &old.validator) != (&new.custom_regex, &new.validator);
    other && (new.custom_regex.is_some() || new.validator.is_some())
}

/// Has a job change the column; gives the id by which its progress is shown. The transaction keeps
/// writers out.
pub fn begin(
    tx: &Tx<'_>,
    change: &Change,
    (table, old, new): (&Table, &Column, &Column),
    wish: &Wish,
) -> Result<String> {
    let (random, now) = (&change.server.random, change.author.at);
    let plan = Plan::of(old, new, wish.refuse_failing);
    columns::lock_table(tx, table)?;
    let mut place = None;
    if plan.moves {
        place = Some(columns::make_place(tx, random, (table, new), now)?.0);
    }
    let work = SchemaWork {
        wish: Value::Object(wish.sent.clone()).to_string(),
        place,
        ..fresh(change, "change", (table, old))
    };
    if plan.looks() {
        touched::watch(tx, &work.id, table, &[old])?;
    }
    start(tx, change, JOB, &work)?;
    Ok(work.id)
}

/// Work of that kind that has just been asked for.
pub fn fresh(change: &Change, kind: &str, (table, column): (&Table, &Column)) -> SchemaWork {
    SchemaWork {
        id: change.server.random.opaque(),
        kind: kind.to_owned(),
        table: table.id.clone(),
        column: column.id.clone(),
        state: State::Running,
        total: 0,
        done: 0,
        conflicts: 0,
        listed: Vec::new(),
        created: change.author.at,
        wish: String::new(),
        place: None,
        reason: None,
    }
}

/// Writes the work down, and the job that does it.
pub fn start(tx: &Tx<'_>, change: &Change, job: &str, work: &SchemaWork) -> Result<()> {
    schema_work::insert(tx, work)?;
    let run_at = change.author.at;
    let job = store::jobs::New { kind: job, payload: &work.id, dedupe: None, run_at };
    crate::jobs::enqueue(tx, &change.server, &job)
}

/// Ends work without a change, and has cleared away what it has left.
pub fn refuse(
    tx: &Tx<'_>,
    server: &Server,
    mut work: SchemaWork,
    reason: Option<&str>,
) -> Result<()> {
    work.state = State::Refused;
    work.reason = reason.map(str::to_owned);
    schema_work::update(tx, &work)?;
    clear_later(tx, server, &work.id)
}

/// Has cleared away what work has left, whose end this transaction writes down.
pub fn clear_later(tx: &Tx<'_>, server: &Server, work: &str) -> Result<()> {
    let run_at = server.clock.now();
    let job = store::jobs::New { kind: CLEAR, payload: work, dedupe: Some(work), run_at };
    crate::jobs::enqueue(tx, server, &job)
}

/// The job of the work was given up: the work has ended, too.
pub fn given_up(tx: &Tx<'_>, server: &Server, id: &str) -> Result<()> {
    match schema_work::lock(tx, id)?.filter(|it| it.state == State::Running) {
        Some(work) => refuse(tx, server, work, Some("it failed again and again, and was given up")),
        None => Ok(()),
    }
}

/// Ends work that is running. Fails with 3038 if there is none with that id, and when its change is
/// in force already.
pub fn cancel(tx: &Tx<'_>, server: &Server, id: &str) -> Result<()> {
    let work = schema_work::lock(tx, id)?.filter(|it| it.state == State::Running);
    let Some(work) = work else {
        return Err(Error::bad_parameter("There is no such work under way"));
    };
    if work.kind == "change" && work.wish.is_empty() {
        let message = "The change is in force; objects without a value are getting the default";
        return Err(Error::bad_parameter(message));
    }
    refuse(tx, server, work, Some("it was cancelled"))
}

/// Where work stands, and what it is about.
struct Stand {
    work: SchemaWork,
    table: Arc<Table>,
    old: Column,
    new: Column,
    plan: Plan,
}

/// `None`: the work has ended. Fails with 3038 if it can be done no more.
fn stand(db: &Db<'_>, work: Option<SchemaWork>) -> Result<Option<Stand>> {
    let Some(work) = work.filter(|it| it.state == State::Running) else { return Ok(None) };
    let schema = store::schema::load(db)?;
    let table = schema.tables().find(|it| it.id == work.table).cloned();
    let gone = || Error::bad_parameter("The column is gone");
    let table = table.ok_or_else(gone)?;
    let old = table.columns.iter().find(|it| it.id == work.column).cloned().ok_or_else(gone)?;
    if work.wish.is_empty() {
        // After the switch.
        let plan = Plan::of(&old, &old, false);
        return Ok(Some(Stand { work, table, new: old.clone(), old, plan }));
    }
    let sent: Value = serde_json::from_str(&work.wish)?;
    let wish = wish::read(sent.as_object().ok_or_else(gone)?)?;
    let plan_for = wish.refuse_failing;
    let mut new = wish::changed(&table, &old, wish)?;
    let plan = Plan::of(&old, &new, plan_for);
    if let Some(place) = &work.place {
        new.physical.clone_from(place);
    }
    Ok(Some(Stand { work, table, old, new, plan }))
}

fn at_end() -> Mark {
    Mark { checkpoint: "done".to_owned(), progress: 1000 }
}

/// The job.
pub async fn run(mut work: Work) -> Result<()> {
    if work.job.checkpoint.is_empty() {
        count(&mut work).await?;
    }
    loop {
        let at = work.job.checkpoint.clone();
        match at.as_str() {
            "done" => return Ok(()),
            "late" => late(&mut work).await?,
            "index" => build(&mut work).await?,
            "switch" => {
                let (server, id, app) = (work.server.clone(), id_of(&work), app_of(&work).await?);
                let Some(app) = app else { return Ok(()) };
                let change = Change::new(server, app, author(&work));
                work.chunk(move |tx| switch(tx, &change, &id)).await?;
            }
            at => match at.strip_prefix("fill:") {
                Some(after) => fill(&mut work, after.parse().unwrap_or(i64::MIN)).await?,
                None => look(&mut work, at.parse().unwrap_or(i64::MIN)).await?,
            },
        }
    }
}

fn id_of(work: &Work) -> String {
    work.job.payload.clone()
}

async fn app_of(work: &Work) -> Result<Option<Arc<crate::apps::App>>> {
    work.server.apps.by_id(&work.job.app).await
}

/// The author of what a job changes.
pub fn author(work: &Work) -> Author {
    Author {
        kind: Actor::System,
        id: work.job.kind.clone(),
        request: work.job.id.clone(),
        address: String::new(),
        at: work.server.clock.now(),
    }
}

/// Where the work stands now, as a read.
async fn look_up(work: &Work) -> Result<Option<Stand>> {
    let id = id_of(work);
    work.data.read(move |db| stand(db, schema_work::by_id(db, &id)?)).await
}

/// Writes down how many rows there are, and begins.
async fn count(work: &mut Work) -> Result<()> {
    let Some(stand) = look_up(work).await? else { return finish(work).await };
    let (table, id) = (Arc::clone(&stand.table), id_of(work));
    let slow = work.data.with_deadline(Duration::from_mins(5));
    let total = slow.read(move |db| columns::count_all(db, &table)).await?;
    let checkpoint = if stand.plan.looks() { i64::MIN.to_string() } else { "index".to_owned() };
    work.chunk(move |tx| {
        if let Some(mut work) = schema_work::lock(tx, &id)? {
            work.total = total;
            schema_work::update(tx, &work)?;
        }
        Ok(Mark { checkpoint: checkpoint.clone(), progress: 0 })
    })
    .await
}

async fn finish(work: &mut Work) -> Result<()> {
    work.chunk(|_| Ok(at_end())).await
}

/// A row that was looked at, and what its value becomes.
#[derive(Clone)]
struct Judged {
    seq: i64,
    id: String,
    becomes: Result<Stored, String>,
}

/// Judges rows without a transaction, and lets others have a turn between them.
async fn judge(stand: &Stand, rows: &[Scanned]) -> Vec<Judged> {
    let (mut judged, mut spent) = (Vec::with_capacity(rows.len()), 0_u64);
    let weight = if stand.plan.judges { validators::weight(&stand.new) } else { 1 };
    for row in rows {
        spent += weight.saturating_mul(length(&row.value));
        judged.push(Judged {
            seq: row.seq,
            id: row.id.clone(),
            becomes: stand.plan.becomes(&stand.old, &stand.new, row),
        });
        if spent > TURN {
            spent = 0;
            tokio::task::yield_now().await;
        }
    }
    judged
}

/// The characters that an expression is matched against.
pub fn length(value: &Stored) -> u64 {
    match value {
        Stored::Text(text) => text.len() as u64,
        _ => 20,
    }
}

/// Puts what was judged where it belongs.
///
/// A row that somebody is writing at this moment is passed over, and noted to be looked at again.
fn take_in(
    tx: &Tx<'_>,
    stand: &Stand,
    work: &mut SchemaWork,
    judged: &[Judged],
    busy: Busy,
) -> Result<()> {
    let listed = std::mem::take(&mut work.listed);
    let mut conflicts = Conflicts { total: work.conflicts, first: listed };
    for row in judged {
        match (&row.becomes, &work.place) {
            (Err(reason), _) => conflicts.add(json!({ "objectId": row.id, "reason": reason })),
            (Ok(value), Some(place)) => {
                let put = columns::put(tx, (&stand.table, place), (row.seq, value), busy)?;
                if !put && busy == Busy::PassOver {
                    touched::note(tx, &work.id, &row.id)?;
                }
            }
            (Ok(_), None) => {}
        }
    }
    (work.conflicts, work.listed) = (conflicts.total, conflicts.first);
    Ok(())
}

async fn look(work: &mut Work, after: i64) -> Result<()> {
    let Some(stand) = look_up(work).await? else { return finish(work).await };
    let (table, old, id) = (Arc::clone(&stand.table), stand.old.clone(), id_of(work));
    let read = work.data.read(move |db| columns::scan(db, &table, &old, after, STEP));
    let rows = read.await?;
    let (judged, server) = (judge(&stand, &rows).await, work.server.clone());
    work.chunk(move |tx| {
        let now = schema_work::lock(tx, &id)?.filter(|it| it.state == State::Running);
        let Some(mut work) = now else { return Ok(at_end()) };
        take_in(tx, &stand, &mut work, &judged, Busy::PassOver)?;
        work.done += i64::try_from(judged.len()).unwrap_or(0);
        let Some(last) = judged.last() else {
            if work.conflicts > 0 {
                refuse(tx, &server, work, None)?;
                return Ok(at_end());
            }
            return Ok(Mark { checkpoint: "late".to_owned(), progress: 700 });
        };
        let progress = (work.done.saturating_mul(700) / work.total.max(1)).clamp(0, 700);
        schema_work::update(tx, &work)?;
        let progress = u16::try_from(progress).unwrap_or(0);
        Ok(Mark { checkpoint: last.seq.to_string(), progress })
    })
    .await
}

/// The rows that the first notes are about, as they are now; what was deleted is left out.
fn noted(db: &Db<'_>, stand: &Stand, most: u32) -> Result<(Vec<Note>, Vec<Scanned>)> {
    let notes = touched::first(db, &stand.work.id, most)?;
    let mut ids: Vec<&str> = notes.iter().map(|it| it.1.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        rows.extend(columns::scan_one(db, &stand.table, &stand.old, id)?);
    }
    Ok((notes, rows))
}

async fn late(work: &mut Work) -> Result<()> {
    let Some(stand) = look_up(work).await? else { return finish(work).await };
    let stand = Arc::new(stand);
    let (about, id, server) = (Arc::clone(&stand), id_of(work), work.server.clone());
    let (notes, rows) = work.data.read(move |db| noted(db, &about, NOTES)).await?;
    let judged = judge(&stand, &rows).await;
    work.chunk(move |tx| {
        let now = schema_work::lock(tx, &id)?.filter(|it| it.state == State::Running);
        let Some(mut work) = now else { return Ok(at_end()) };
        take_in(tx, &stand, &mut work, &judged, Busy::PassOver)?;
        touched::strike(tx, &notes)?;
        if work.conflicts > 0 {
            refuse(tx, &server, work, None)?;
            return Ok(at_end());
        }
        let next = if notes.len() > FEW { "late" } else { "index" };
        Ok(Mark { checkpoint: next.to_owned(), progress: 750 })
    })
    .await
}

/// Builds the index that the column will have, beside the writers.
async fn build(work: &mut Work) -> Result<()> {
    let Some(stand) = look_up(work).await? else { return finish(work).await };
    let wanted = index(&stand.new);
    let slow = work.data.with_deadline(BUILD);
    if wanted != Index::None && stand.plan.reindexes {
        let (table, new) = (Arc::clone(&stand.table), stand.new.clone());
        if stand.plan.unites {
            let read = slow.read(move |db| columns::duplicates(db, &table, &new, LISTED as u64));
            let (total, listed) = read.await?;
            if total > 0 {
                return refuse_twins(work, total, listed).await;
            }
        }
        let (table, new) = (Arc::clone(&stand.table), stand.new.clone());
        let built = slow.alone(move |tx| {
            let state = columns::index_state(tx, &new, wanted)?;
            if state == Some(false) {
                // What a try that failed has left.
                columns::drop_index_alone(tx, &new, wanted)?;
            }
            if state == Some(true) {
                Ok(())
            } else {
                columns::index_alone(tx, &table, &new, wanted)
            }
        });
        if let Err(error) = built.await {
            let new = stand.new.clone();
            slow.alone(move |tx| columns::drop_index_alone(tx, &new, wanted)).await?;
            return Err(error);
        }
    }
    work.chunk(|_| Ok(Mark { checkpoint: "switch".to_owned(), progress: 900 })).await
}

async fn refuse_twins(work: &mut Work, total: i64, listed: Vec<Vec<String>>) -> Result<()> {
    let (id, server) = (id_of(work), work.server.clone());
    let listed: Vec<Value> = listed.iter().map(|it| json!({ "objectIds": it })).collect();
    work.chunk(move |tx| {
        let now = schema_work::lock(tx, &id)?.filter(|it| it.state == State::Running);
        if let Some(mut work) = now {
            (work.conflicts, work.listed) = (total, listed.clone());
            refuse(tx, &server, work, Some("values are those of several objects"))?;
        }
        Ok(at_end())
    })
    .await
}

/// The moment in which the column becomes what it was to be.
fn switch(tx: &Tx<'_>, change: &Change, id: &str) -> Result<Mark> {
    tx.lock_timeout(LOCK_WAIT)?;
    store::schema::hold_to_change(tx)?;
    let Some(mut stand) = stand(tx, schema_work::lock(tx, id)?)? else { return Ok(at_end()) };
    let mut work = stand.work.clone();
    if stand.plan.looks() {
        let (notes, rows) = noted(tx, &stand, NOTES)?;
        if notes.len() > FEW {
            return Ok(Mark { checkpoint: "late".to_owned(), progress: 900 });
        }
        let judged: Vec<Judged> = rows
            .iter()
            .map(|it| Judged {
                seq: it.seq,
                id: it.id.clone(),
                becomes: stand.plan.becomes(&stand.old, &stand.new, it),
            })
            .collect();
        take_in(tx, &stand, &mut work, &judged, Busy::Wait)?;
        touched::strike(tx, &notes)?;
        if work.conflicts > 0 {
            refuse(tx, &change.server, work, None)?;
            return Ok(at_end());
        }
    }
    store::schema::raise_version(tx)?;
    change_of::put_in_force(
        tx,
        change,
        (&stand.table, &stand.old, &mut stand.new),
        work.place.is_some(),
    )?;
    let what = json!({
        "table": &*stand.table.name, "before": shown(&stand.old), "after": shown(&stand.new),
    });
    let (random, name) = (&change.server.random, &*stand.table.name);
    events::record(tx, random, &change.author, Event::SchemaChanged, name, &what)?;
    grow::announce(tx, change, store::schema::load(tx)?)?;
    work.wish.clear();
    schema_work::set_in_force(tx, id)?;
    if stand.plan.fills {
        schema_work::update(tx, &work)?;
        return Ok(Mark { checkpoint: format!("fill:{}", i64::MIN), progress: 900 });
    }
    done(tx, change, work)
}

fn done(tx: &Tx<'_>, change: &Change, mut work: SchemaWork) -> Result<Mark> {
    work.state = State::Done;
    work.done = work.total;
    schema_work::update(tx, &work)?;
    clear_later(tx, &change.server, &work.id)?;
    Ok(at_end())
}

async fn fill(work: &mut Work, after: i64) -> Result<()> {
    let Some(app) = app_of(work).await? else { return Ok(()) };
    let (change, id) = (Change::new(work.server.clone(), app, author(work)), id_of(work));
    work.chunk(move |tx| {
        let Some(stand) = stand(tx, schema_work::lock(tx, &id)?)? else { return Ok(at_end()) };
        let column = &stand.new;
        let rows = columns::scan(tx, &stand.table, column, after, STEP)?;
        let (Some(last), Some(default)) = (rows.last(), &column.default) else {
            return done(tx, &change, stand.work);
        };
        let value = values::to_stored(column, default)?;
        let part = (after, last.seq);
        let all = columns::fill(tx, (&stand.table, column), &value, part, Busy::PassOver)?;
        let reached = if all { last.seq } else { after };
        Ok(Mark { checkpoint: format!("fill:{reached}"), progress: 950 })
    })
    .await?;
    if work.job.checkpoint == format!("fill:{after}") {
        // Somebody is writing one of them.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The job that clears away what work has left: the trigger and its notes, places and indexes that
/// came to nothing, identities that were gathered in vain.
pub async fn clear(work: Work) -> Result<()> {
    let id = id_of(&work);
    let Some(app) = app_of(&work).await? else { return Ok(()) };
    let read =
        move |db: &Db<'_>| Ok::<_, Error>((schema_work::by_id(db, &id)?, store::schema::load(db)?));
    let (Some(was), schema) = work.data.read(read).await? else { return Ok(()) };
    let table = schema.tables().find(|it| it.id == was.table).cloned();
    if let Some(table) = &table {
        let (id, table) = (was.id.clone(), Arc::clone(table));
        let unwatch = move |tx: &Tx<'_>| {
            tx.lock_timeout(LOCK_WAIT)?;
            store::schema::hold_to_change(tx)?;
            columns::lock_table(tx, &table)?;
            touched::unwatch(tx, &id, &table)
        };
        work.data.write(unwatch).await?;
    }
    let id = was.id.clone();
    while {
        let id = id.clone();
        work.data.write(move |tx| touched::clear(tx, &id, 5_000)).await?
    } {}
    if was.kind == "identity" {
        return clear_gathered(&work, &was.id).await;
    }
    let (Some(table), true) = (table, was.state == State::Refused) else { return Ok(()) };
    let column = table.columns.iter().find(|it| it.id == was.column).cloned();
    let slow = work.data.with_deadline(BUILD);
    if let Some(column) = column {
        let place = was.place.clone();
        slow.alone(move |tx| {
            for kind in [Index::Unique, Index::Plain] {
                if index(&column) != kind {
                    columns::drop_index_alone(tx, &column, kind)?;
                }
                if let Some(place) = &place {
                    let moved = Column { physical: place.clone(), ..column.clone() };
                    columns::drop_index_alone(tx, &moved, kind)?;
                }
            }
            Ok::<_, Error>(())
        })
        .await?;
    }
    let Some(place) = was.place else { return Ok(()) };
    let change = Change::new(work.server.clone(), app, author(&work));
    let drop = move |tx: &Tx<'_>| {
        if let Some(dropped) = columns::dropped_by_name(tx, &table, &place)? {
            change_of::drop_later(tx, &change, &dropped, Seconds(0))?;
        }
        Ok::<_, Error>(())
    };
    work.data.write(drop).await
}

async fn clear_gathered(work: &Work, id: &str) -> Result<()> {
    let kind = format!("login:{id}");
    while {
        let kind = kind.clone();
        let clear = move |tx: &Tx<'_>| {
            // What logins go by stays.
            let in_use = identity_change::login_kind(tx)? == kind;
            Ok::<_, Error>(!in_use && identity_change::clear(tx, &kind, 5_000)?)
        };
        work.data.write(clear).await?
    } {}
    Ok(())
}
