//! The `sys.jobs` table: work that outlives a request.
//!
//! Where applications share the table a scheduler sees the jobs of all of them, so what takes jobs
//! and counts them does not ask whose they are. A file of an application has no others.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;

/// A job that is about to be added.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// What kind of work: the name of an entry of `router::jobs`.
    pub kind: &'a str,
    /// What it is about; the kind knows how to read it.
    pub payload: &'a str,
    /// While an unfinished job of the kind has the same text, no other is added.
    pub dedupe: Option<&'a str>,
    /// Not before then.
    pub run_at: Millis,
}

/// A job that a node has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Whose it is; empty for the platform.
    pub app: String,
    /// The same at every try: what it does must be repeatable by it.
    pub id: String,
    /// What kind of work.
    pub kind: String,
    /// What it is about.
    pub payload: String,
    /// Which try this is, counted from the last checkpoint.
    pub attempts: i64,
    /// Rises whenever the job changes hands: who holds an older one can change nothing.
    pub fence: i64,
    /// Where the last try stood.
    pub checkpoint: String,
}

/// A job as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// What kind of work.
    pub kind: String,
    /// What it is about.
    pub payload: String,
    /// `waiting`, also while it runs, or `failed`.
    pub state: String,
    /// When it is due, or when it was given up.
    pub run_at: Millis,
    /// Tries since it last got on.
    pub attempts: i64,
    /// How far it has got, per mille.
    pub progress: i64,
    /// Where it stands.
    pub checkpoint: String,
    /// Why the last try failed.
    pub error: String,
}

/// Adds a job; its id is the same at every try. False if another one has its `dedupe`.
pub fn insert(tx: &Tx<'_>, id: &str, job: &New<'_>, now: Millis) -> Result<bool> {
    let sql = "insert into sys.jobs (app_id, id, kind, payload, dedupe, run_at, attempts, fence,
                   lease_until, owner, state, progress, checkpoint, error, created)
               values (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0, '', 'waiting', 0, '', '', ?7)
               on conflict (app_id, kind, dedupe) do nothing";
    let args: [&dyn engine::ToValue; 7] =
        [&tx.app(), &id, &job.kind, &job.payload, &job.dedupe, &job.run_at, &now];
    Ok(tx.exec(sql, &args)? == 1)
}

/// When the next job is due that nobody holds at `now`.
pub fn next(db: &Db<'_>, now: Millis) -> Result<Option<Millis>> {
    let sql = "select min(run_at) as at from sys.jobs
               where state = 'waiting' and lease_until <= ?1";
    let at = db.row(sql, &[&now], |row| row.get::<Option<i64>>("at"))?;
    Ok(at.flatten().map(Millis))
}

/// Takes up to `most` jobs that are due and that nobody holds, until `lease`.
pub fn claim(
    tx: &Tx<'_>,
    owner: &str,
    (now, lease): (Millis, Millis),
    most: u32,
) -> Result<Vec<Job>> {
    let (lock, skip) = (tx.dialect().for_update(), tx.dialect().skip_locked());
    let sql = format!(
        "with due as materialized (
             select app_id as due_app, id as due_id from sys.jobs
             where state = 'waiting' and run_at <= ?3 and lease_until <= ?3
             order by run_at, id limit ?4{lock}{skip})
         update sys.jobs set lease_until = ?1, owner = ?2, attempts = attempts + 1,
             fence = fence + 1
         from due where app_id = due_app and id = due_id
         returning app_id, id, kind, payload, attempts, fence, checkpoint"
    );
    let read = |row: &Row<'_>| {
        Ok(Job {
            app: row.get("app_id")?,
            id: row.get("id")?,
            kind: row.get("kind")?,
            payload: row.get("payload")?,
            attempts: row.get("attempts")?,
            fence: row.get("fence")?,
            checkpoint: row.get("checkpoint")?,
        })
    };
    Ok(tx.rows(&sql, &[&lease, &owner, &now, &i64::from(most)], read)?)
}

/// Keeps a job for longer; false if it has changed hands.
pub fn renew(tx: &Tx<'_>, job: &Job, lease: Millis) -> Result<bool> {
    let sql = "update sys.jobs set lease_until = ?1
               where app_id = ?2 and id = ?3 and fence = ?4 and state = 'waiting'";
    Ok(tx.exec(sql, &[&lease, &job.app, &job.id, &job.fence])? == 1)
}

/// Writes down where a job stands, in the transaction of the chunk that got it there; false if it
/// has changed hands, and then the chunk must not count. A job that gets on has all its tries again.
pub fn checkpoint(tx: &Tx<'_>, job: &Job, checkpoint: &str, progress: i64) -> Result<bool> {
    let sql = "update sys.jobs set checkpoint = ?1, progress = ?2, attempts = 1
               where app_id = ?3 and id = ?4 and fence = ?5 and state = 'waiting'";
    Ok(tx.exec(sql, &[&checkpoint, &progress, &job.app, &job.id, &job.fence])? == 1)
}

/// Removes a job that is done; false if it has changed hands.
pub fn done(tx: &Tx<'_>, job: &Job) -> Result<bool> {
    let sql = "delete from sys.jobs
               where app_id = ?1 and id = ?2 and fence = ?3 and state = 'waiting'";
    Ok(tx.exec(sql, &[&job.app, &job.id, &job.fence])? == 1)
}

/// How many tries of a job have come to nothing since it last got on; `None` if it has changed
/// hands.
pub fn tries(db: &Db<'_>, job: &Job) -> Result<Option<i64>> {
    let sql = "select attempts from sys.jobs
               where app_id = ?1 and id = ?2 and fence = ?3 and state = 'waiting'";
    Ok(db.row(sql, &[&job.app, &job.id, &job.fence], |row| row.get("attempts"))?)
}

/// Notes a try that failed: the next one is at `next`, or there is none, and the job stays to be
/// seen as failed. False if it has changed hands.
pub fn failed(
    tx: &Tx<'_>,
    job: &Job,
    error: &str,
    (now, next): (Millis, Option<Millis>),
) -> Result<bool> {
    let sql = "update sys.jobs set state = ?1, run_at = ?2, lease_until = 0, error = ?3,
                   dedupe = case when ?1 = 'failed' then null else dedupe end
               where app_id = ?4 and id = ?5 and fence = ?6 and state = 'waiting'";
    let state = if next.is_some() { "waiting" } else { "failed" };
    let at = next.unwrap_or(now);
    Ok(tx.exec(sql, &[&state, &at, &error, &job.app, &job.id, &job.fence])? == 1)
}

/// Gives a job back unfinished, to be taken from `run_at` on, without counting the try. The fence
/// rises: what the giver still had under way comes too late.
pub fn give_back(tx: &Tx<'_>, job: &Job, run_at: Millis, why: &str) -> Result<bool> {
    let sql = "update sys.jobs set lease_until = 0, run_at = ?1, attempts = attempts - 1,
                   fence = fence + 1, error = ?2
               where app_id = ?3 and id = ?4 and fence = ?5 and state = 'waiting'";
    Ok(tx.exec(sql, &[&run_at, &why, &job.app, &job.id, &job.fence])? == 1)
}

/// Takes all jobs from whoever held them but `owner`. Only for a process that is alone with its data.
pub fn release_all(tx: &Tx<'_>, owner: &str) -> Result<()> {
    let sql = "update sys.jobs set lease_until = 0 where lease_until > 0 and owner <> ?1";
    tx.exec(sql, &[&owner])?;
    Ok(())
}

/// Makes the jobs of a kind due at `now`.
pub fn hurry(tx: &Tx<'_>, kind: &str, now: Millis) -> Result<()> {
    let sql = "update sys.jobs set run_at = ?1
               where app_id = ?2 and kind = ?3 and state = 'waiting' and run_at > ?1";
    tx.exec(sql, &[&now, &tx.app(), &kind])?;
    Ok(())
}

/// Removes a job; whoever is at it can write nothing more. False if there is none.
pub fn delete(tx: &Tx<'_>, id: &str) -> Result<bool> {
    let sql = "delete from sys.jobs where app_id = ?1 and id = ?2";
    Ok(tx.exec(sql, &[&tx.app(), &id])? == 1)
}

/// Removes the unfinished job of a kind with that `dedupe`.
pub fn withdraw(tx: &Tx<'_>, kind: &str, dedupe: &str) -> Result<()> {
    let sql = "delete from sys.jobs where app_id = ?1 and kind = ?2 and dedupe = ?3";
    tx.exec(sql, &[&tx.app(), &kind, &dedupe])?;
    Ok(())
}

/// Forgets jobs that were given up before `before`, up to `most` of them.
pub fn sweep(tx: &Tx<'_>, before: Millis, most: u32) -> Result<u64> {
    let sql = "delete from sys.jobs where app_id = ?1 and id in (
                   select id from sys.jobs
                   where app_id = ?1 and state = 'failed' and run_at < ?2 limit ?3)";
    Ok(tx.exec(sql, &[&tx.app(), &before, &i64::from(most)])?)
}

/// The newest jobs first, at most so many.
pub fn newest(db: &Db<'_>, most: u32) -> Result<Vec<Shown>> {
    let sql = "select id, kind, payload, state, run_at, attempts, progress, checkpoint, error
               from sys.jobs where app_id = ?1 order by created desc, id desc limit ?2";
    let read = |row: &Row<'_>| {
        Ok(Shown {
            id: row.get("id")?,
            kind: row.get("kind")?,
            payload: row.get("payload")?,
            state: row.get("state")?,
            run_at: Millis(row.get("run_at")?),
            attempts: row.get("attempts")?,
            progress: row.get("progress")?,
            checkpoint: row.get("checkpoint")?,
            error: row.get("error")?,
        })
    };
    Ok(db.rows(sql, &[&db.app(), &i64::from(most)], read)?)
}

/// How many jobs wait or run, how many were given up, and since when the oldest has been due.
pub fn counts(db: &Db<'_>) -> Result<(i64, i64, Option<Millis>)> {
    super::count_by_state(db, "sys.jobs")
}
