//! The `sys.schema_work` table: what a developer asked for that takes longer than a request.

use serde_json::Value;

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;

/// How a piece of work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// It is done.
    Done,
    /// Objects were in the way, it was cancelled, or it was given up: nothing has changed.
    Refused,
}

impl State {
    /// The word in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    fn parse(text: &str) -> Self {
        let all = [Self::Running, Self::Done];
        all.into_iter().find(|it| it.as_str() == text).unwrap_or(Self::Refused)
    }
}

/// One piece of such work, as it stands.
#[derive(Clone, Debug)]
pub struct SchemaWork {
    /// Its id; the job has it as payload.
    pub id: String,
    /// `identity`, `check`, `change` or `clear`.
    pub kind: String,
    /// The table's id.
    pub table: String,
    /// The column's id.
    pub column: String,
    /// How it stands.
    pub state: State,
    /// Rows when it began.
    pub total: i64,
    /// Rows that have been looked at.
    pub done: i64,
    /// Rows that do not fit.
    pub conflicts: i64,
    /// The first of them.
    pub listed: Vec<Value>,
    /// When it was asked for.
    pub created: Millis,
    /// What the column is to become, as JSON; empty where the kind says it all.
    pub wish: String,
    /// The physical column that the values go to meanwhile.
    pub place: Option<String>,
    /// Why it was refused, beside the rows that do not fit.
    pub reason: Option<String>,
}

const COLUMNS: &str = "id, kind, table_id, column_id, state, total, done, conflicts, listed,
                       created, wish, place, reason";

/// Adds one.
pub fn insert(tx: &Tx<'_>, work: &SchemaWork) -> Result<()> {
    let sql = format!(
        "insert into sys.schema_work (app_id, {COLUMNS})
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    );
    let listed = serde_json::to_string(&work.listed)?;
    tx.exec(
        &sql,
        &[
            &tx.app(),
            &work.id,
            &work.kind,
            &work.table,
            &work.column,
            &work.state.as_str(),
            &work.total,
            &work.done,
            &work.conflicts,
            &listed,
            &work.created,
            &work.wish,
            &work.place,
            &work.reason,
        ],
    )?;
    Ok(())
}

/// Writes down how far it has got. Only whoever has it from [`lock`] in the same transaction may.
pub fn update(tx: &Tx<'_>, work: &SchemaWork) -> Result<()> {
    let sql = "update sys.schema_work set state = ?3, total = ?4, done = ?5, conflicts = ?6,
                   listed = ?7, reason = ?8
               where app_id = ?1 and id = ?2";
    let listed = serde_json::to_string(&work.listed)?;
    tx.exec(
        sql,
        &[
            &tx.app(),
            &work.id,
            &work.state.as_str(),
            &work.total,
            &work.done,
            &work.conflicts,
            &listed,
            &work.reason,
        ],
    )?;
    Ok(())
}

/// Notes that what was wished for is in force.
pub fn set_in_force(tx: &Tx<'_>, id: &str) -> Result<()> {
    let sql = "update sys.schema_work set wish = '' where app_id = ?1 and id = ?2";
    tx.exec(sql, &[&tx.app(), &id])?;
    Ok(())
}

/// The one with that id.
pub fn by_id(db: &Db<'_>, id: &str) -> Result<Option<SchemaWork>> {
    let sql = format!("select {COLUMNS} from sys.schema_work where app_id = ?1 and id = ?2");
    Ok(db.row(&sql, &[&db.app(), &id], read)?)
}

/// The same, to be changed: it stays as it is until the transaction ends. So of a step of the work
/// and its cancelling one comes first, and the other sees what it did.
pub fn lock(tx: &Tx<'_>, id: &str) -> Result<Option<SchemaWork>> {
    let lock = tx.dialect().for_update();
    let sql = format!("select {COLUMNS} from sys.schema_work where app_id = ?1 and id = ?2{lock}");
    Ok(tx.row(&sql, &[&tx.app(), &id], read)?)
}

/// The latest ones, the latest first.
pub fn latest(db: &Db<'_>, most: i64) -> Result<Vec<SchemaWork>> {
    let sql = format!(
        "select {COLUMNS} from sys.schema_work where app_id = ?1 order by created desc, id limit ?2"
    );
    Ok(db.rows(&sql, &[&db.app(), &most], read)?)
}

/// The kind of the work under way that will change that table, if there is any.
pub fn changing(db: &Db<'_>, table: &str) -> Result<Option<String>> {
    let sql = "select kind from sys.schema_work
               where app_id = ?1 and table_id = ?2 and state = 'running' and kind in ('change', 'identity')
               limit 1";
    Ok(db.row(sql, &[&db.app(), &table], |row| row.get("kind"))?)
}

/// Whether an index of that table is being built: whoever changes the table then waits for it, and
/// everybody behind him.
pub fn is_building(db: &Db<'_>, table: &str) -> Result<bool> {
    let sql = "select w.id from sys.schema_work w
               join sys.jobs j on j.app_id = w.app_id and j.payload = w.id
               where w.app_id = ?1 and w.table_id = ?2 and w.state = 'running'
                 and j.state = 'waiting' and j.checkpoint = 'index' limit 1";
    Ok(db.row(sql, &[&db.app(), &table], |row| row.get::<String>("id"))?.is_some())
}

fn read(row: &Row<'_>) -> engine::Result<SchemaWork> {
    Ok(SchemaWork {
        id: row.get("id")?,
        kind: row.get("kind")?,
        table: row.get("table_id")?,
        column: row.get("column_id")?,
        state: State::parse(&row.get::<String>("state")?),
        total: row.get("total")?,
        done: row.get("done")?,
        conflicts: row.get("conflicts")?,
        listed: serde_json::from_str(&row.get::<String>("listed")?).unwrap_or_default(),
        created: Millis(row.get("created")?),
        wish: row.get("wish")?,
        place: row.get("place")?,
        reason: row.get("reason")?,
    })
}
