//! The `sys.sessions` table. Of a token only the SHA-256 is stored.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::secret::TokenHash;

/// A session as stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The digest of its token.
    pub hash: TokenHash,
    /// For lists and revocation; says nothing about the token.
    pub id: String,
    /// Whose it is: a user's id, or a developer's in the platform's own.
    pub user: String,
    /// When it began.
    pub created: Millis,
    /// Its last use, as far as it has been written.
    pub last_seen: Millis,
    /// When it ends however much it is used.
    pub expires: Option<Millis>,
    /// When it was ended, if the row is kept to say so.
    pub ended: Option<Millis>,
    /// The way in.
    pub via: String,
    /// The kind of client: the device of its API key.
    pub device: String,
    /// The address it came from.
    pub address: String,
    /// What the client calls itself.
    pub agent: String,
    /// The strength of the authentication: 1 for one factor.
    pub level: i64,
    /// The provider, for a social login.
    pub provider: Option<String>,
}

const COLUMNS: &str = "hash, id, user_id, created, last_seen, expires, ended, via, device, \
                       address, agent, level, provider";

/// The digest in column `hash`.
pub(super) fn read_hash(row: &Row<'_>) -> engine::Result<TokenHash> {
    let bytes = row.get::<Vec<u8>>("hash")?;
    // A digest of another length fits no token.
    Ok(TokenHash(bytes.try_into().unwrap_or([0; 32])))
}

fn read(row: &Row<'_>) -> engine::Result<Stored> {
    Ok(Stored {
        hash: read_hash(row)?,
        id: row.get("id")?,
        user: row.get("user_id")?,
        created: Millis(row.get("created")?),
        last_seen: Millis(row.get("last_seen")?),
        expires: row.get::<Option<i64>>("expires")?.map(Millis),
        ended: row.get::<Option<i64>>("ended")?.map(Millis),
        via: row.get("via")?,
        device: row.get("device")?,
        address: row.get("address")?,
        agent: row.get("agent")?,
        level: row.get("level")?,
        provider: row.get("provider")?,
    })
}

/// The session with that digest, ended ones included.
pub fn by_hash(db: &Db<'_>, hash: &TokenHash) -> Result<Option<Stored>> {
    let sql = format!("select {COLUMNS} from sys.sessions where app_id = ?1 and hash = ?2");
    Ok(db.row(&sql, &[&db.app(), &hash.0], read)?)
}

/// The digests of the user's live sessions, oldest first: last used after `since`, and not past
/// their age at `now`. Call it with the user's row locked.
pub fn alive(db: &Db<'_>, user: &str, since: Millis, now: Millis) -> Result<Vec<TokenHash>> {
    let sql = "select hash from sys.sessions
               where app_id = ?1 and user_id = ?2 and last_seen >= ?3 and ended is null
                 and (expires is null or expires > ?4)
               order by created, id";
    Ok(db.rows(sql, &[&db.app(), &user, &since, &now], read_hash)?)
}

/// When sessions count as alive: last used after the first, and not past their age at the second.
pub type Alive = (Millis, Millis);

/// Up to so many live sessions of a user, in order of their ids, after the one given.
pub fn page_of_user(
    db: &Db<'_>,
    user: &str,
    (since, now): Alive,
    (after, most): (&str, u32),
) -> Result<Vec<Stored>> {
    let sql = format!(
        "select {COLUMNS} from sys.sessions
         where app_id = ?1 and user_id = ?2 and last_seen >= ?3 and ended is null
           and (expires is null or expires > ?4) and id > ?5
         order by id limit ?6"
    );
    let most = i64::from(most);
    Ok(db.rows(&sql, &[&db.app(), &user, &since, &now, &after, &most], read)?)
}

/// Up to so many users with live sessions, and how many they have, in order of their ids, after the
/// one given.
pub fn users_with(
    db: &Db<'_>,
    (since, now): Alive,
    (after, most): (&str, u32),
) -> Result<Vec<(String, i64)>> {
    let sql = "select user_id, count(*) as many from sys.sessions
               where app_id = ?1 and user_id > ?2 and last_seen >= ?3 and ended is null
                 and (expires is null or expires > ?4)
               group by user_id order by user_id limit ?5";
    let read = |row: &Row<'_>| Ok((row.get("user_id")?, row.get("many")?));
    Ok(db.rows(sql, &[&db.app(), &after, &since, &now, &i64::from(most)], read)?)
}

/// The digest of a user's live session with that id.
pub fn by_id(db: &Db<'_>, user: &str, id: &str, (since, now): Alive) -> Result<Option<TokenHash>> {
    let sql = "select hash from sys.sessions
               where app_id = ?1 and user_id = ?2 and id = ?3 and last_seen >= ?4
                 and ended is null and (expires is null or expires > ?5)";
    Ok(db.row(sql, &[&db.app(), &user, &id, &since, &now], read_hash)?)
}

/// Adds a session.
pub fn insert(tx: &Tx<'_>, session: &Stored) -> Result<()> {
    let sql = format!(
        "insert into sys.sessions (app_id, {COLUMNS})
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    );
    tx.exec(
        &sql,
        &[
            &tx.app(),
            &session.hash.0,
            &session.id,
            &session.user,
            &session.created,
            &session.last_seen,
            &session.expires.map(|it| it.0),
            &session.ended.map(|it| it.0),
            &session.via,
            &session.device,
            &session.address,
            &session.agent,
            &session.level,
            &session.provider,
        ],
    )?;
    Ok(())
}

/// Removes one session; true if it was there.
pub fn delete(tx: &Tx<'_>, hash: &TokenHash) -> Result<bool> {
    let sql = "delete from sys.sessions where app_id = ?1 and hash = ?2";
    Ok(tx.exec(sql, &[&tx.app(), &hash.0])? == 1)
}

/// Removes all sessions of a user but the one with the digest `kept`.
pub fn delete_of_user(tx: &Tx<'_>, user: &str, kept: Option<&TokenHash>) -> Result<u64> {
    let kept = kept.map_or(&[][..], |it| &it.0);
    let sql = "delete from sys.sessions where app_id = ?1 and user_id = ?2 and hash <> ?3";
    Ok(tx.exec(sql, &[&tx.app(), &user, &kept])?)
}

/// Removes all sessions of a user but the newest `most`. Call it with the user's row locked.
pub fn keep_newest(tx: &Tx<'_>, user: &str, most: u32) -> Result<u64> {
    let sql = "select hash from sys.sessions where app_id = ?1 and user_id = ?2
               order by created desc, id desc limit 100 offset ?3";
    let old = tx.rows(sql, &[&tx.app(), &user, &i64::from(most)], read_hash)?;
    let mut removed = 0;
    for hash in &old {
        removed += u64::from(delete(tx, hash)?);
    }
    Ok(removed)
}

/// Removes all sessions of the application.
pub fn delete_all(tx: &Tx<'_>) -> Result<u64> {
    Ok(tx.exec("delete from sys.sessions where app_id = ?1", &[&tx.app()])?)
}

/// Ends all sessions of a user, and keeps the rows: whoever shows such a token is told that the
/// account is disabled, as long as it is.
pub fn end_of_user(tx: &Tx<'_>, user: &str, now: Millis) -> Result<u64> {
    let sql = "update sys.sessions set ended = ?1
               where app_id = ?2 and user_id = ?3 and ended is null";
    Ok(tx.exec(sql, &[&now, &tx.app(), &user])?)
}

/// Notes a use at `at`, unless a later one is known.
pub fn touch(tx: &Tx<'_>, hash: &TokenHash, at: Millis) -> Result<()> {
    let sql = "update sys.sessions set last_seen = ?1
               where app_id = ?2 and hash = ?3 and last_seen < ?1";
    tx.exec(sql, &[&at, &tx.app(), &hash.0])?;
    Ok(())
}

/// From when on rows of sessions are dead.
#[derive(Clone, Copy, Debug)]
pub struct Dead {
    /// Last used before then.
    pub idle: Millis,
    /// Past their age then.
    pub now: Millis,
    /// Ended before then; an ended row is kept however long it is idle.
    pub ended: Millis,
}

/// A condition on a session: it is dead, by `?1`, `?2` and `?3` for the parts of [`Dead`].
const IS_DEAD: &str = "case when ended is not null then ended < ?3
                            else last_seen < ?1 or coalesce(expires <= ?2, false) end";

/// Looks at up to `most` sessions after `from`, in the order of their digests. Gives the last of
/// them, and whether one is dead; `None` if there are no more.
pub fn scan(
    db: &Db<'_>,
    from: &TokenHash,
    dead: Dead,
    most: u32,
) -> Result<Option<(TokenHash, bool)>> {
    let sql = format!(
        "select hash, case when {IS_DEAD} then 1 else 0 end as dead
         from sys.sessions where app_id = ?4 and hash > ?5 order by hash limit ?6"
    );
    let read = |row: &Row<'_>| Ok((read_hash(row)?, row.get::<i64>("dead")? == 1));
    let most = i64::from(most);
    let args: [&dyn engine::ToValue; 6] =
        [&dead.idle, &dead.now, &dead.ended, &db.app(), &from.0, &most];
    let seen = db.rows(&sql, &args, read)?;
    Ok(seen.last().map(|last| (last.0, seen.iter().any(|it| it.1))))
}

/// Removes the dead among the sessions after `from` up to `to`.
pub fn sweep(tx: &Tx<'_>, (from, to): (&TokenHash, &TokenHash), dead: Dead) -> Result<u64> {
    let sql = format!(
        "delete from sys.sessions
         where app_id = ?4 and hash > ?5 and hash <= ?6 and {IS_DEAD}"
    );
    let args: [&dyn engine::ToValue; 6] =
        [&dead.idle, &dead.now, &dead.ended, &tx.app(), &from.0, &to.0];
    Ok(tx.exec(&sql, &args)?)
}
