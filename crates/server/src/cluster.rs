//! What other nodes have changed: the change log is polled, and what is in memory is dropped.

use std::time::Duration;

use crate::clock::boot_millis;
use crate::error::Error;
use crate::ids::AppId;
use crate::server::Server;
use crate::store::Database;
use crate::store::changes::{self, Change, Kind};

/// Polls four times a second until the server stops. Each poll takes over the database's clock and,
/// when it has succeeded, renews the lease from the moment at which it *began*.
pub async fn keep_polling(server: Server, poller: Database) {
    let mut position: Option<String> = None;
    loop {
        let began = boot_millis();
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

fn apply(server: &Server, change: &Change) {
    let app = AppId(change.app.as_str().into());
    match change.kind {
        Kind::App => server.apps.forget(&app),
        Kind::Sessions => server.live.revoke_all(),
        Kind::Domain => server.apps.forget_host(&change.about),
        Kind::User if change.app.is_empty() => {
            server.live.revoke_user(&server.apps.platform, &change.about, None);
        }
        Kind::User => {
            for app in server.apps.loaded().iter().filter(|it| it.id == app) {
                server.live.revoke_user(&app.realm, &change.about, None);
            }
        }
    }
}

/// Whether the log is that of a database that was restored: the number before the first colon
/// never falls otherwise.
fn went_back(before: Option<&str>, now: &str) -> bool {
    let number = |it: &str| it.split(':').next().and_then(|it| it.parse::<u64>().ok());
    before.and_then(number) > number(now)
}
