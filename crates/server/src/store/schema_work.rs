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
    /// Objects were in the way, or it was cancelled: nothing has changed.
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
}

/// Adds one.
pub fn insert(tx: &Tx<'_>, work: &SchemaWork) -> Result<()> {
    let sql = "insert into sys.schema_work (app_id, id, kind, table_id, column_id, state, total,
                   done, conflicts, listed, created)
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let listed = serde_json::to_string(&work.listed)?;
    tx.exec(
        sql,
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
        ],
    )?;
    Ok(())
}

/// Writes down how far it has got.
pub fn update(tx: &Tx<'_>, work: &SchemaWork) -> Result<()> {
    let sql = "update sys.schema_work set state = ?3, done = ?4, conflicts = ?5, listed = ?6
               where app_id = ?1 and id = ?2";
    let listed = serde_json::to_string(&work.listed)?;
    tx.exec(
        sql,
        &[&tx.app(), &work.id, &work.state.as_str(), &work.done, &work.conflicts, &listed],
    )?;
    Ok(())
}

/// The one with that id.
pub fn by_id(db: &Db<'_>, id: &str) -> Result<Option<SchemaWork>> {
    let sql = "select id, kind, table_id, column_id, state, total, done, conflicts, listed, created
               from sys.schema_work where app_id = ?1 and id = ?2";
    Ok(db.row(sql, &[&db.app(), &id], read)?)
}

/// The latest ones, the latest first.
pub fn latest(db: &Db<'_>, most: i64) -> Result<Vec<SchemaWork>> {
    let sql = "select id, kind, table_id, column_id, state, total, done, conflicts, listed, created
               from sys.schema_work where app_id = ?1 order by created desc, id limit ?2";
    Ok(db.rows(sql, &[&db.app(), &most], read)?)
}

/// Whether work of that kind is under way.
pub fn is_running(db: &Db<'_>, kind: &str) -> Result<bool> {
    let sql = "select id from sys.schema_work
               where app_id = ?1 and kind = ?2 and state = 'running' limit 1";
    Ok(db.row(sql, &[&db.app(), &kind], |row| row.get::<String>("id"))?.is_some())
}

/// Notes how many rows there are, once they have been counted.
pub fn set_total(tx: &Tx<'_>, id: &str, total: i64) -> Result<()> {
    let sql = "update sys.schema_work set total = ?3 where app_id = ?1 and id = ?2";
    tx.exec(sql, &[&tx.app(), &id, &total])?;
    Ok(())
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
    })
}
