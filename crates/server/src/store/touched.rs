//! The `sys.touched` table: objects that were written while work on their table went on.
//!
//! A trigger notes each write in the write's own transaction, whoever makes it. So what is not noted
//! when the writers are kept out is as the work has seen it.

use engine::Watch;

use super::{Db, Tx};
use crate::error::Result;
use crate::schema::{Column, Table};

/// The number of a note, and which object it is about.
pub type Note = (i64, String);

/// Has every write of `columns` noted for the work of that id, from the commit on. What was being
/// written before is waited for.
pub fn watch(tx: &Tx<'_>, work: &str, table: &Table, columns: &[&Column]) -> Result<()> {
    let mut columns: Vec<&str> = columns.iter().map(|it| it.physical.as_str()).collect();
    if table.is_users() {
        // A guest who registers counts from then on.
        columns.push("userStatus");
    }
    let watch = Watch { name: work, table: &table.physical, key: "objectId", columns: &columns };
    Ok(tx.batch(&tx.dialect().watch(tx.scope(), &watch))?)
}

/// Ends that.
pub fn unwatch(tx: &Tx<'_>, work: &str, table: &Table) -> Result<()> {
    Ok(tx.batch(&tx.dialect().unwatch(tx.scope(), work, &table.physical))?)
}

/// The first notes, at most so many.
pub fn first(db: &Db<'_>, work: &str, most: u32) -> Result<Vec<Note>> {
    let sql = "select id, object_id from sys.touched where app_id = ?1 and work_id = ?2
               order by id limit ?3";
    let read = |row: &super::Row<'_>| Ok((row.get("id")?, row.get("object_id")?));
    Ok(db.rows(sql, &[&db.app(), &work, &i64::from(most)], read)?)
}

/// Notes one more object.
pub fn note(tx: &Tx<'_>, work: &str, object: &str) -> Result<()> {
    let sql = "insert into sys.touched (app_id, work_id, object_id) values (?1, ?2, ?3)";
    tx.exec(sql, &[&tx.app(), &work, &object])?;
    Ok(())
}

/// Strikes those notes out; others that came meanwhile stay.
pub fn strike(tx: &Tx<'_>, notes: &[Note]) -> Result<()> {
    for (id, _) in notes {
        tx.exec("delete from sys.touched where id = ?1", &[id])?;
    }
    Ok(())
}

/// Removes notes of work that has ended, at most so many; false when none are left.
pub fn clear(tx: &Tx<'_>, work: &str, most: i64) -> Result<bool> {
    let sql = "delete from sys.touched where id in (
                   select id from sys.touched where app_id = ?1 and work_id = ?2 limit ?3)";
    Ok(tx.exec(sql, &[&tx.app(), &work, &most])? > 0)
}
