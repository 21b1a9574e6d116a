//! The tables `sys.attempts` and `sys.places`: wrong passwords in a row for an account from one
//! place, and the places from which a user has come in.

use super::{Db, Row, Tx};
use crate::buckets::{Tally, Turns};
use crate::clock::Millis;
use crate::error::Result;

fn read(row: &Row<'_>) -> engine::Result<Tally> {
    Ok(Tally { count: row.get("count")?, last: Millis(row.get("last")?), locked: None })
}

/// How often that identity was tried from that place.
pub fn tally(db: &Db<'_>, identity: &str, place: &str) -> Result<Tally> {
    let sql = "select count, last from sys.attempts
               where app_id = ?1 and identity = ?2 and place = ?3";
    Ok(db.row(sql, &[&db.app(), &identity, &place], read)?.unwrap_or_default())
}

/// Sets how often. Call it with the identity's row of `sys.failures` locked.
pub fn set(tx: &Tx<'_>, identity: &str, place: &str, tally: Tally) -> Result<()> {
    let sql = "insert into sys.attempts (app_id, identity, place, count, last)
               values (?1, ?2, ?3, ?4, ?5)
               on conflict (app_id, identity, place)
               do update set count = excluded.count, last = excluded.last";
    tx.exec(sql, &[&tx.app(), &identity, &place, &tally.count, &tally.last])?;
    Ok(())
}

/// The turns that the account has given to that place.
pub fn turns(db: &Db<'_>, identity: &str, place: &str) -> Result<Turns> {
    let sql = "select turns, turn_at from sys.attempts
               where app_id = ?1 and identity = ?2 and place = ?3";
    let read =
        |row: &Row<'_>| Ok(Turns { count: row.get("turns")?, last: Millis(row.get("turn_at")?) });
    Ok(db.row(sql, &[&db.app(), &identity, &place], read)?.unwrap_or_default())
}

/// Sets them. Call it with the identity's row of `sys.failures` locked.
pub fn set_turns(tx: &Tx<'_>, identity: &str, place: &str, turns: Turns) -> Result<()> {
    let sql = "insert into sys.attempts (app_id, identity, place, count, last, turns, turn_at)
               values (?1, ?2, ?3, 0, ?5, ?4, ?5)
               on conflict (app_id, identity, place)
               do update set turns = excluded.turns, turn_at = excluded.turn_at";
    tx.exec(sql, &[&tx.app(), &identity, &place, &turns.count, &turns.last])?;
    Ok(())
}

/// Forgets the attempts from one place.
pub fn forget(tx: &Tx<'_>, identity: &str, place: &str) -> Result<()> {
    let sql = "delete from sys.attempts where app_id = ?1 and identity = ?2 and place = ?3";
    tx.exec(sql, &[&tx.app(), &identity, &place])?;
    Ok(())
}

/// Forgets the attempts from everywhere.
pub fn forget_all(tx: &Tx<'_>, identity: &str) -> Result<()> {
    let sql = "delete from sys.attempts where app_id = ?1 and identity = ?2";
    tx.exec(sql, &[&tx.app(), &identity])?;
    Ok(())
}

/// Forgets up to `most` attempts that are older than `before`.
pub fn sweep(tx: &Tx<'_>, before: Millis, most: u32) -> Result<u64> {
    let sql = "delete from sys.attempts where app_id = ?1 and (identity, place) in (
                   select identity, place from sys.attempts
                   where app_id = ?1 and last < ?2 limit ?3)";
    Ok(tx.exec(sql, &[&tx.app(), &before, &i64::from(most)])?)
}

/// How many places are counted.
pub fn many(db: &Db<'_>) -> Result<i64> {
    let sql = "select count(*) as many from sys.attempts where app_id = ?1";
    Ok(db.row(sql, &[&db.app()], |row| row.get("many"))?.unwrap_or_default())
}

/// Up to `most` places, with their identities, from which there were no more attempts than that, and
/// when: those first whose last attempt is oldest.
pub fn least(db: &Db<'_>, tried: i64, most: u32) -> Result<Vec<((String, String), Millis)>> {
    let sql = "select identity, place, last from sys.attempts
               where app_id = ?1 and count + turns <= ?2 order by last limit ?3";
    let read =
        |row: &Row<'_>| Ok(((row.get("identity")?, row.get("place")?), Millis(row.get("last")?)));
    Ok(db.rows(sql, &[&db.app(), &tried, &i64::from(most)], read)?)
}

/// Forgets the attempts from one place, unless there was one after that.
pub fn forget_unless_tried(
    tx: &Tx<'_>,
    (identity, place): (&str, &str),
    last: Millis,
) -> Result<()> {
    let sql = "delete from sys.attempts
               where app_id = ?1 and identity = ?2 and place = ?3 and last = ?4";
    tx.exec(sql, &[&tx.app(), &identity, &place, &last])?;
    Ok(())
}

/// When the user last came in from that source, as far as it was noted.
pub fn came_from(db: &Db<'_>, user: &str, source: &str) -> Result<Option<Millis>> {
    let sql = "select last from sys.places where app_id = ?1 and user_id = ?2 and source = ?3";
    let found = db.row(sql, &[&db.app(), &user, &source], |row| row.get::<i64>("last"))?;
    Ok(found.map(Millis))
}

/// Whether anybody has come in from that source since then.
pub fn anybody_came_from(db: &Db<'_>, source: &str, since: Millis) -> Result<bool> {
    let sql = "select 1 as one from sys.places
               where app_id = ?1 and source = ?2 and last > ?3 limit 1";
    let found = db.row(sql, &[&db.app(), &source, &since], |row| row.get::<i64>("one"))?;
    Ok(found.is_some())
}

/// How many sources of a user are known; the oldest go.
const MOST_PLACES: i64 = 20;

/// Notes that the user has come in from that source.
pub fn note_place(tx: &Tx<'_>, user: &str, source: &str, now: Millis) -> Result<()> {
    let sql = "insert into sys.places (app_id, user_id, source, last) values (?1, ?2, ?3, ?4)
               on conflict (app_id, user_id, source) do update set last = excluded.last";
    tx.exec(sql, &[&tx.app(), &user, &source, &now])?;
    let sql = "delete from sys.places where app_id = ?1 and user_id = ?2 and source not in (
                   select source from sys.places where app_id = ?1 and user_id = ?2
                   order by last desc, source limit ?3)";
    tx.exec(sql, &[&tx.app(), &user, &MOST_PLACES])?;
    Ok(())
}

/// Forgets all places of a user but the one given.
pub fn forget_places(tx: &Tx<'_>, user: &str, kept: Option<&str>) -> Result<()> {
    let sql = "delete from sys.places where app_id = ?1 and user_id = ?2 and source <> ?3";
    tx.exec(sql, &[&tx.app(), &user, &kept.unwrap_or_default()])?;
    Ok(())
}

/// Forgets up to `most` places that nobody came from since `before`.
pub fn sweep_places(tx: &Tx<'_>, before: Millis, most: u32) -> Result<u64> {
    let sql = "delete from sys.places where app_id = ?1 and (user_id, source) in (
                   select user_id, source from sys.places
                   where app_id = ?1 and last < ?2 limit ?3)";
    Ok(tx.exec(sql, &[&tx.app(), &before, &i64::from(most)])?)
}
