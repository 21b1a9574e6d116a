//! Turns for attempts beyond a limit, at places from which people have come in.
//!
//! **Invariant:** whoever is refused here sees the same, at the same time, for every identity:
//! whether the account exists and knows the place changes nothing but that its own password is let
//! in (security E-1).

use std::time::Duration;

use tokio::time::Instant;

use super::{Door, Found, Known};
use crate::buckets::{ACCOUNT_MEMORY, AGAIN_AT_HOME, AT_HOME, HELD, PLACE_MEMORY, Say};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::server::{AccountKey, InLine, Server};
use crate::store::{attempts, failures};

/// How often those who wait look whether it is their turn.
const LOOKS: Duration = Duration::from_millis(50);
/// How often the next in line looks whether its turn comes sooner.
const ASKS: Duration = Duration::from_millis(300);
/// Whoever has less time left than an evaluation may take is given no turn any more.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// An attempt beyond a limit.
pub(super) struct Waiting {
    /// Whether anybody has come in from this place.
    is_home: bool,
    /// Until when it is held.
    until: Instant,
    /// What it would like to have, if the account knows the place.
    wants: Option<Wants>,
}

struct Wants {
    account: AccountKey,
    place: String,
    line: Option<InLine>,
    /// When it last looked whether the turn comes sooner than is known here.
    asked: Instant,
}

impl Waiting {
    /// One that began then.
    pub(super) async fn begin(
        door: &Door,
        (account, found): (&AccountKey, &Found),
        began: Instant,
    ) -> Result<Self> {
        let (source, since) = (door.group().to_string(), door.asked.at - AT_HOME);
        let is_home = found.known != Known::Device
            && door
                .realm
                .data
                .read(move |db| attempts::anybody_came_from(db, &source, since))
                .await?;
        let held = Duration::from_secs(HELD.0.into());
        let until = if is_home { began + held } else { began };
        let wants = (is_home && found.known == Known::Source).then(|| Wants {
            account: account.clone(),
            place: found.place.clone(),
            line: None,
            asked: began,
        });
        Ok(Self { is_home, until, wants })
    }

    /// Waits for a turn until that is over; true if there is one.
    pub(super) async fn turn(
        &mut self,
        server: &Server,
        door: &Door,
        password: &str,
    ) -> Result<bool> {
        while Instant::now() + LAST_MOMENT < self.until {
            if self.has_turn(server, door, password).await? {
                return Ok(true);
            }
            tokio::time::sleep(LOOKS).await;
        }
        Ok(false)
    }

    /// Whether this is its turn. There is one at most.
    pub(super) async fn has_turn(
        &mut self,
        server: &Server,
        door: &Door,
        password: &str,
    ) -> Result<bool> {
        let (now, brakes) = (server.clock.now(), &server.brakes);
        let Some(wants) = &mut self.wants else { return Ok(false) };
        let mut line = if let Some(line) = wants.line.take() {
            line
        } else {
            let key = (wants.account.clone(), wants.place.clone());
            let Some(line) = brakes.enter_line(key, (&door.asked.agent, password), now) else {
                return Ok(false);
            };
            line
        };
        let comes = match line.turn(now) {
            Some(0) => true,
            // Somebody may have come in meanwhile, here or at another node: then all is forgotten.
            Some(_) if wants.asked.elapsed() > ASKS => {
                wants.asked = Instant::now();
                is_due(door, (&wants.account.1, &wants.place), now).await?
            }
            _ => false,
        };
        if !comes {
            wants.line = Some(line);
            return Ok(false);
        }
        match take(door, (&wants.account.1, &wants.place), now).await? {
            (Say::Go, pause) => {
                line.takes_turn(Millis(now.0.saturating_add(pause)));
                self.wants = None;
                Ok(true)
            }
            (Say::Later(wait), _) => {
                line.wait_until(Millis(now.0.saturating_add(wait)));
                wants.line = Some(line);
                Ok(false)
            }
        }
    }

    /// Sends it away, when all others are sent away who came when it did.
    pub(super) async fn refuse(self, error: Error) -> Error {
        if !self.is_home {
            return error;
        }
        tokio::time::sleep_until(self.until).await;
        error.again_at_most(AGAIN_AT_HOME)
    }
}

async fn is_due(door: &Door, (key, place): (&str, &str), now: Millis) -> Result<bool> {
    let (key, place) = (key.to_owned(), place.to_owned());
    let read = door.realm.data.read(move |db| {
        let here = attempts::tally(db, &key, &place)?.at(now, PLACE_MEMORY);
        Ok::<_, Error>(attempts::turns(db, &key, &place)?.next(here, now) == Say::Go)
    });
    read.await
}

/// Takes the next turn of an account at a place, if it has come, and tells how long it is to the one
/// after it. Whatever its end, it is one evaluation more.
async fn take(door: &Door, (key, place): (&str, &str), now: Millis) -> Result<(Say, i64)> {
    let (key, place) = (key.to_owned(), place.to_owned());
    let write = door.realm.data.write(move |tx| {
        let all = failures::lock_tally(tx, &key, now)?.at(now, ACCOUNT_MEMORY);
        let here = attempts::tally(tx, &key, &place)?.at(now, PLACE_MEMORY);
        let turns = attempts::turns(tx, &key, &place)?;
        if let Some(end) = all.locked.filter(|it| *it > now) {
            return Ok((Say::Later(end.0.saturating_sub(now.0)), 0));
        }
        let say = turns.next(here, now);
        if say == Say::Go {
            attempts::set_turns(tx, &key, &place, turns.counted(now))?;
        }
        Ok::<_, Error>((say, turns.counted(now).pause()))
    });
    write.await
}
