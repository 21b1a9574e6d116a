//! The timetable's brooms: remove what is dead and what nobody will ask for any more.
//!
//! Nothing depends on their being in time: what is dead is refused while its row is still there.

use std::time::Duration;

use super::{Mark, Work};
use crate::apps::Lifetime;
use crate::buckets::{ACCOUNT_MEMORY, AT_HOME, PLACE_MEMORY};
use crate::clock::{Millis, Seconds};
use crate::error::{Error, Result};
use crate::ids::AppId;
use crate::secret::TokenHash;
use crate::server::Server;
use crate::settings::Settings;
use crate::store::apps::App;
use crate::store::sessions::Dead;
use crate::store::{self, Database};

/// Rows looked at, or removed, in one transaction.
const CHUNK: u32 = 1000;
/// How much longer than it lives a session is kept: a node may hold uses of it that it could not
/// write yet.
const MARGIN: Seconds = Seconds(3600);
/// How long it is known of a session that it ended because the account was disabled.
const ENDED: Seconds = Seconds(30 * 24 * 3600);
/// How long jobs and deliveries that were given up are shown.
const GIVEN_UP: Seconds = Seconds(30 * 24 * 3600);
/// How long the change log reaches back. A node that slept longer forgets everything.
const CHANGES: Seconds = Seconds(3600);
/// The longest that a sweeping statement may run.
const LONG: Duration = Duration::from_mins(1);

/// The platform's own rows, and those that are nobody's.
pub(super) async fn platform(work: Work) -> Result<()> {
    let (data, now) = (work.data.with_deadline(LONG), work.server.clock.now());
    data.write(move |tx| store::changes::sweep(tx, now - CHANGES)).await?;
    data.write(move |tx| store::setup::sweep(tx, now)).await?;
    rows(&work.server, &data, Lifetime::CONSOLE).await
}

/// The applications in memory, where each has a file of its own: no file is opened for nothing.
/// Where they share their tables, all of them.
pub(super) async fn apps_in_use(work: Work) -> Result<()> {
    if work.server.lease.is_shared() {
        return every_app(work).await;
    }
    for app in work.server.apps.loaded() {
        let done = rows(&work.server, &app.realm.data, app.lifetime()).await;
        done.unwrap_or_else(|it| tolerate(&app.id, &it));
    }
    Ok(())
}

/// The applications that nobody has used, where each has a file of its own.
pub(super) async fn all_apps(work: Work) -> Result<()> {
    if work.server.lease.is_shared() { Ok(()) } else { every_app(work).await }
}

async fn every_app(mut work: Work) -> Result<()> {
    loop {
        let from = work.job.checkpoint.clone();
        let page = work.data.read(move |db| store::apps::active_after(db, &from, 100)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        let checkpoint = last.id.0.to_string();
        for app in &page {
            let done = one_app(&work.server, app).await;
            done.unwrap_or_else(|it| tolerate(&app.id, &it));
        }
        work.chunk(move |_| Ok(Mark { checkpoint: checkpoint.clone(), progress: 0 })).await?;
    }
}

async fn one_app(server: &Server, app: &App) -> Result<()> {
    let data = server.apps.ready(&app.id).await?;
    let settings = data.read(store::settings::current).await?.map(|it| it.1);
    let settings = settings.unwrap_or_else(|| Settings::of(app.profile));
    rows(server, &data, Lifetime::of(app.profile, &settings)).await
}

/// One application that cannot be swept must not keep the others from it.
fn tolerate(app: &AppId, error: &Error) {
    if !error.is_undefined() {
        tracing::warn!(app = %app.0, cause = %error, "an application could not be swept");
    }
}

/// Everything of one application, or of the platform.
async fn rows(server: &Server, data: &Database, lifetime: Lifetime) -> Result<()> {
    let now = server.clock.now();
    dead_sessions(server, data, lifetime, now).await?;
    let data = data.with_deadline(LONG);
    let sweeps: [fn(&store::Tx<'_>, Millis) -> Result<u64>; 6] = [
        |tx, now| store::attempts::sweep(tx, now - PLACE_MEMORY, CHUNK),
        |tx, now| store::attempts::sweep_places(tx, now - AT_HOME, CHUNK),
        |tx, now| store::failures::sweep(tx, now - ACCOUNT_MEMORY, now, CHUNK),
        |tx, now| store::sources::sweep(tx, now, CHUNK),
        |tx, now| store::jobs::sweep(tx, now - GIVEN_UP, CHUNK),
        |tx, now| store::outbox::sweep(tx, now - GIVEN_UP, CHUNK),
    ];
    for sweep in sweeps {
        while data.write(move |tx| sweep(tx, now)).await? == u64::from(CHUNK) {}
    }
    too_many_counts(&data, i64::from(server.brakes.most_counts)).await
}

/// Whoever guesses at a million identities must not fill the store, nor push out what is known of an
/// account under attack: those go that were tried least, and of them the oldest (security T-7).
async fn too_many_counts(data: &Database, most: i64) -> Result<()> {
    let many = |db: &store::Db<'_>| Ok((store::failures::many(db)?, store::attempts::many(db)?));
    let (identities, places): (i64, i64) = data.read::<_, Error>(many).await?;
    let (mut identities, mut places, mut tried) = (identities - most, places - most, 1);
    while (identities > 0 || places > 0) && tried < i64::from(u32::MAX) {
        let chunk = |it: i64| u32::try_from(it.clamp(0, CHUNK.into())).unwrap_or(0);
        let (some, others) = (chunk(identities), chunk(places));
        let read = move |db: &store::Db<'_>| {
            let least = store::failures::least(db, tried, some)?;
            Ok::<_, Error>((least, store::attempts::least(db, tried, others)?))
        };
        let (some, others) = data.read(read).await?;
        if some.is_empty() && others.is_empty() {
            tried *= 4;
            continue;
        }
        (identities, places) = (identities - count(&some), places - count(&others));
        let forget = move |tx: &store::Tx<'_>| {
            for (identity, last) in &some {
                store::failures::forget_unless_tried(tx, identity, *last)?;
            }
            for ((identity, place), last) in &others {
                store::attempts::forget_unless_tried(tx, (identity, place), *last)?;
            }
            Ok::<_, Error>(())
        };
        data.write(forget).await?;
    }
    Ok(())
}

fn count<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}

/// Waits until no use of a session is overdue, as after a time in which nothing could be written: a
/// session that this node knows to be alive must not look dead in the database.
async fn all_uses_written(server: &Server) -> Result<()> {
    for _ in 0..30 {
        let overdue = server.clock.now() - MARGIN;
        if server.live.oldest_touch().is_none_or(|it| it > overdue) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(Error::internal("uses of sessions have waited for an hour to be written"))
}

/// In the order of their digests, and only what is dead is written.
async fn dead_sessions(
    server: &Server,
    data: &Database,
    lifetime: Lifetime,
    now: Millis,
) -> Result<()> {
    all_uses_written(server).await?;
    let idle = now - lifetime.idle - lifetime.slack() - MARGIN;
    let dead = Dead { idle, now, ended: now - ENDED };
    let mut from = TokenHash([0; 32]);
    loop {
        let seen = data.read(move |db| store::sessions::scan(db, &from, dead, CHUNK));
        let Some((to, any_dead)) = seen.await? else { return Ok(()) };
        if any_dead {
            let sweep = move |tx: &store::Tx<'_>| store::sessions::sweep(tx, (&from, &to), dead);
            data.write::<_, Error>(sweep).await?;
        }
        from = to;
    }
}
