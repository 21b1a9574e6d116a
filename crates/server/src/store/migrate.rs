//! Brings a database up to this version's tables, and refuses one that is newer.

use super::{Db, Tx};
use crate::error::{Error, Result};

/// Tables that grow together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The platform's own: developers, applications, keys.
    Control,
    /// What every application has beside its own tables.
    Sys,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Sys => "sys",
        }
    }

    /// Every step, in order. One that has been released never changes.
    fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Control => &[include_str!("migrations/control_0001_start.sql")],
            Self::Sys => &[
                include_str!("migrations/sys_0001_start.sql"),
                include_str!("migrations/sys_0002_props.sql"),
                include_str!("migrations/sys_0004_brake.sql"),
                include_str!("migrations/sys_0006_fair.sql"),
                include_str!("migrations/sys_0007_work.sql"),
            ],
        }
    }
}

/// Whether this database has seen every step of `part`, and no other. Where it says no,
/// [`bring_up`] does the rest, or says why it cannot.
pub fn is_current(db: &Db<'_>, part: Part) -> Result<bool> {
    // A database without that table is not current; where there is none the question is undefined.
    let done = match steps_done(db, part) {
        Err(engine::Error::Undefined(_)) => return Ok(false),
        done => done?,
    };
    Ok(done == part.steps().len())
}

fn steps_done(db: &Db<'_>, part: Part) -> engine::Result<usize> {
    let sql = "select coalesce(max(number), 0) as number from sys.migrations where part = ?1";
    let done = db.row(sql, &[&part.name()], |row| row.get::<i64>("number"))?.unwrap_or(0);
    Ok(usize::try_from(done).unwrap_or(usize::MAX))
}

/// Runs the steps of `part` that this database has not seen. Safe to run at the same moment from
/// several nodes: the others wait at the lock and then find nothing to do.
///
/// Fails when a newer version of the server has been here: going on could damage what it wrote.
pub fn bring_up(tx: &Tx<'_>, part: Part) -> Result<()> {
    let dialect = tx.dialect();
    let name = part.name();
    tx.batch(dialect.migration_lock())?;
    tx.batch(&dialect.create_schema("sys"))?;
    tx.batch(&dialect.create_schema(name))?;
    tx.batch(
        "create table if not exists sys.migrations (
            part   {text} not null,
            number {int} not null,
            primary key (part, number)
        ){strict};",
    )?;
    let done = steps_done(tx, part)?;
    if done > part.steps().len() {
        return Err(Error::internal(format!(
            "the {name} tables were written by a newer version of usher (step {done}, this one knows {}). \
             Start that version",
            part.steps().len()
        )));
    }
    for (index, step) in part.steps().iter().enumerate().skip(done) {
        tx.batch(step)?;
        let number = i64::try_from(index + 1).unwrap_or(i64::MAX);
        tx.exec("insert into sys.migrations (part, number) values (?1, ?2)", &[&name, &number])?;
    }
    Ok(())
}
