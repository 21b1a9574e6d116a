//! What other nodes have changed: the change log is polled, and what is in memory is dropped.

use std::time::Duration;

use crate::clock::{Millis, boot_millis};
use crate::error::{Error, Result};
use crate::ids::AppId;
use crate::server::Server;
use crate::store::changes::{self, Change, Kind};
use crate::store::{Database, Tx};

/// Polls four times a second until the server stops. Each poll takes over the database's clock and,
/// when it has succeeded, renews the lease from the moment at which it *began*.
pub async fn keep_polling(server: Server, poller: Database) {
    let mut position: Option<String> = None;
    let mut heard = boot_millis();
    loop {
        let began = boot_millis();
        if began - heard > LONGEST {
            position = None;
        }
        let before = position.clone();
        match poller.read(move |db| changes::poll(db, before.as_deref())).await {
            Ok(poll) => {
                server.clock.correct_to(poll.now);
                if position.is_none() || went_back(position.as_deref(), &poll.position) {
                    // What changed before is not known: a first poll, or a database restored.
                    server.apps.forget_all();
                    server.live.revoke_all();
                }
                poll.changes.iter().for_each(|it| apply(&server, it));
                position = Some(poll.position);
                heard = began;
                server.lease.renew(began);
            }
            Err(error) => {
                let error: Error = error;
                tracing::warn!(cause = %error, "the change log could not be read");
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// How long this node may have heard nothing, in milliseconds, and still go on where it was: less
/// than the log is kept (`jobs/sweep.rs`).
const LONGEST: i64 = 50 * 60 * 1000;

/// Tells everybody who may hold something in memory that it has changed: this node when `tx` has
/// committed and before the answer, whatever has become of the request; the others within their
/// next poll.
pub fn tell(
    tx: &Tx<'_>,
    server: &Server,
    (kind, app, about): (Kind, &str, &str),
    now: Millis,
) -> Result<()> {
    changes::append(tx, app, kind, about, now)?;
    let change = Change { app: app.to_owned(), kind, about: about.to_owned() };
    let server = server.clone();
    tx.after_commit(move || apply(&server, &change));
    Ok(())
}

fn apply(server: &Server, change: &Change) {
    let app = AppId(change.app.as_str().into());
    match change.kind {
        Kind::App => server.apps.forget(&app),
        Kind::Sessions => server.live.revoke_all(),
        Kind::Domain => server.apps.forget_host(&change.about),
        Kind::User => server.live.revoke_user(server.apps.serial(&app), &change.about, None),
    }
}

/// Whether the log is that of a database that was restored: the number before the first colon
/// never falls otherwise.
fn went_back(before: Option<&str>, now: &str) -> bool {
    let number = |it: &str| it.split(':').next().and_then(|it| it.parse::<u64>().ok());
    before.and_then(number) > number(now)
}
