//! The `sys.changes` table: what other nodes must forget, written by the transaction that changed
//! it. With SQLite there is one process, and nothing is written.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;

/// What a node may hold in memory and must drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The application; empty for the platform.
    pub app: String,
    /// What kind of thing.
    pub kind: Kind,
    /// Which one.
    pub about: String,
}

/// The kinds of things that nodes keep in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A user's sessions and status.
    User,
    /// All sessions of an application.
    Sessions,
    /// An application: its keys, state, settings and tables.
    App,
    /// A host name.
    Domain,
}

const KINDS: &[(Kind, &str)] = &[
    (Kind::User, "user"),
    (Kind::Sessions, "sessions"),
    (Kind::App, "app"),
    (Kind::Domain, "domain"),
];

/// Tells the other nodes; they know within their next poll.
pub fn append(tx: &Tx<'_>, app: &str, kind: Kind, about: &str, now: Millis) -> Result<()> {
    if !tx.dialect().shared() {
        return Ok(());
    }
    let kind = KINDS.iter().find(|it| it.0 == kind).map_or("app", |it| it.1);
    let sql = "insert into sys.changes (app_id, kind, about, at) values (?1, ?2, ?3, ?4)";
    tx.exec(sql, &[&app, &kind, &about, &now])?;
    Ok(())
}

/// What a poll found.
#[derive(Debug)]
pub struct Poll {
    /// Where the next poll goes on.
    pub position: String,
    /// The database's time.
    pub now: Millis,
    /// What has changed since the poll before.
    pub changes: Vec<Change>,
}

/// The changes that became visible since the position of the poll before, all of them, once each:
/// by difference of snapshots, since reading "above the last number" loses those that commit late.
/// The first poll has no position yet and finds no changes.
pub fn poll(db: &Db<'_>, before: Option<&str>) -> Result<Poll> {
    let dialect = db.dialect();
    let sql = format!(
        "select {position} as position, {now} as now, c.app_id, c.kind, c.about
         from (select 1 as one) x left join sys.changes c on {since}",
        position = dialect.changes_position("sys.changes"),
        now = dialect.now_millis(),
        since = dialect.changes_since(),
    );
    let read = |row: &Row<'_>| {
        let kind = row.get::<Option<String>>("kind")?;
        let kind = KINDS.iter().find(|it| Some(it.1) == kind.as_deref()).map(|it| it.0);
        let app = row.get::<Option<String>>("app_id")?;
        let about = row.get::<Option<String>>("about")?;
        let change = kind.map(|kind| Change {
            app: app.unwrap_or_default(),
            kind,
            about: about.unwrap_or_default(),
        });
        Ok((row.get::<String>("position")?, Millis(row.get("now")?), change))
    };
    let mut rows = db.rows(&sql, &[&before], read)?;
    let (position, now) =
        rows.first().map_or((String::new(), Millis(0)), |it| (it.0.clone(), it.1));
    Ok(Poll { position, now, changes: rows.drain(..).filter_map(|it| it.2).collect() })
}

/// The database's time.
pub fn now(db: &Db<'_>) -> Result<Millis> {
    let sql = format!("select {now} as now", now = db.dialect().now_millis());
    let now = db.row(&sql, &[], |row| row.get::<i64>("now"))?;
    Ok(Millis(now.unwrap_or_default()))
}

/// Forgets changes that every node has seen long ago.
pub fn sweep(tx: &Tx<'_>, before: Millis) -> Result<u64> {
    Ok(tx.exec("delete from sys.changes where at < ?1", &[&before])?)
}
