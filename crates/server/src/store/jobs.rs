//! The `sys.jobs` table: work that outlives a request.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;

/// A job that a node has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The same at every try: what it does must be repeatable by it.
    pub id: String,
    /// What kind of work: an entry of the table in `jobs.rs`.
    pub kind: String,
    /// What it is about, as JSON.
    pub payload: String,
    /// Which try this is. A node whose lease ran out holds an older number and can change nothing.
    pub attempts: i64,
    /// Where the last try stood.
    pub checkpoint: String,
}

/// Adds a job to run from `run_at` on. With a `dedupe` text nothing happens while another job of
/// its kind has the same.
pub fn enqueue(
    tx: &Tx<'_>,
    job: &Job,
    dedupe: Option<&str>,
    run_at: Millis,
    now: Millis,
) -> Result<()> {
    let sql = "insert into sys.jobs (app_id, id, kind, payload, dedupe, run_at, attempts,
                   lease_until, owner, state, progress, checkpoint, error, created)
               values (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, '', 'waiting', 0, '', '', ?7)
               on conflict (app_id, kind, dedupe) do nothing";
    tx.exec(sql, &[&tx.app(), &job.id, &job.kind, &job.payload, &dedupe, &run_at, &now])?;
    Ok(())
}

/// Takes up to `most` jobs that are due and that no node holds, until `lease`.
pub fn claim(
    tx: &Tx<'_>,
    owner: &str,
    (now, lease): (Millis, Millis),
    most: u32,
) -> Result<Vec<Job>> {
    let skip = tx.dialect().skip_locked();
    let sql = format!(
        "update sys.jobs set lease_until = ?1, owner = ?2, attempts = attempts + 1
         where app_id = ?3 and id in (
             select id from sys.jobs
             where app_id = ?3 and state = 'waiting' and run_at <= ?4 and lease_until <= ?4
             order by run_at limit ?5{skip})
         returning id, kind, payload, attempts, checkpoint"
    );
    let read = |row: &Row<'_>| {
        Ok(Job {
            id: row.get("id")?,
            kind: row.get("kind")?,
            payload: row.get("payload")?,
            attempts: row.get("attempts")?,
            checkpoint: row.get("checkpoint")?,
        })
    };
    Ok(tx.rows(&sql, &[&lease, &owner, &tx.app(), &now, &i64::from(most)], read)?)
}

/// Keeps a job for longer; false if another node has taken it meanwhile.
pub fn renew(tx: &Tx<'_>, job: &Job, lease: Millis) -> Result<bool> {
    let sql = "update sys.jobs set lease_until = ?1
               where app_id = ?2 and id = ?3 and attempts = ?4 and state = 'waiting'";
    Ok(tx.exec(sql, &[&lease, &tx.app(), &job.id, &job.attempts])? == 1)
}

/// Writes down where a job stands, in the transaction of the chunk that got it there; false if
/// another node has taken it meanwhile, and the chunk must not count.
pub fn checkpoint(tx: &Tx<'_>, job: &Job, checkpoint: &str, progress: i64) -> Result<bool> {
    let sql = "update sys.jobs set checkpoint = ?1, progress = ?2
               where app_id = ?3 and id = ?4 and attempts = ?5 and state = 'waiting'";
    Ok(tx.exec(sql, &[&checkpoint, &progress, &tx.app(), &job.id, &job.attempts])? == 1)
}

/// Removes a job that is done; false if another node has taken it meanwhile.
pub fn done(tx: &Tx<'_>, job: &Job) -> Result<bool> {
    let sql = "delete from sys.jobs where app_id = ?1 and id = ?2 and attempts = ?3";
    Ok(tx.exec(sql, &[&tx.app(), &job.id, &job.attempts])? == 1)
}

/// Puts a job off, for a timetable or for want of time, without counting the try.
pub fn put_off(tx: &Tx<'_>, job: &Job, run_at: Millis) -> Result<bool> {
    let sql = "update sys.jobs set run_at = ?1, lease_until = 0, attempts = 0, error = '',
                   checkpoint = ''
               where app_id = ?2 and id = ?3 and attempts = ?4";
    Ok(tx.exec(sql, &[&run_at, &tx.app(), &job.id, &job.attempts])? == 1)
}

/// Notes a try that failed: the next one is at `next`, or the job stays to be seen as failed.
pub fn failed(tx: &Tx<'_>, job: &Job, error: &str, next: Option<Millis>) -> Result<bool> {
    let state = if next.is_some() { "waiting" } else { "failed" };
    let sql = "update sys.jobs set state = ?1, run_at = ?2, lease_until = 0, error = ?3,
                   dedupe = case when ?1 = 'failed' then null else dedupe end
               where app_id = ?4 and id = ?5 and attempts = ?6";
    let next = next.map_or(0, |it| it.0);
    Ok(tx.exec(sql, &[&state, &next, &error, &tx.app(), &job.id, &job.attempts])? == 1)
}

/// Gives back the jobs that `owner` holds, when it stops.
pub fn give_back(tx: &Tx<'_>, owner: &str) -> Result<()> {
    let sql = "update sys.jobs set lease_until = 0 where app_id = ?1 and owner = ?2";
    tx.exec(sql, &[&tx.app(), &owner])?;
    Ok(())
}

/// How many jobs have failed for good, and how many wait.
pub fn counts(db: &Db<'_>) -> Result<(i64, i64)> {
    let sql = "select coalesce(sum(case when state = 'failed' then 1 else 0 end), 0) as failed,
                      coalesce(sum(case when state = 'waiting' then 1 else 0 end), 0) as waiting
               from sys.jobs where app_id = ?1";
    let read = |row: &Row<'_>| Ok((row.get("failed")?, row.get("waiting")?));
    Ok(db.row(sql, &[&db.app()], read)?.unwrap_or((0, 0)))
}
