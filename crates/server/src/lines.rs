//! Waiting in line: who has the next turn where more want one than may. Pure state machines,
//! without a clock, a database or a lock of their own.
//!
//! Those who wait look alike, and one of them may be the owner of an account. So a turn goes to
//! whoever came first, and each kind of client is served like every other, however many of one kind
//! are waiting. Whoever is sent away and comes back with the same wish stands where it stood.

use std::collections::HashMap;
use std::hash::Hash;

use crate::clock::{Millis, Seconds};

/// What somebody waits for: the kind of client, and the wish. Equal ones are one.
pub type Wish = (u64, u64);

/// How many wishes a line has room for.
const MOST: usize = 64;
/// How long the place of a wish is kept whose client has been sent away.
const KEPT: Seconds = Seconds(60);

#[derive(Debug)]
struct Claim {
    id: u64,
    wish: Wish,
    /// How many of its kind come before it, counted from when the line began.
    round: u64,
    /// When it came, among those of one round.
    order: u64,
    /// How many clients are waiting for it.
    present: u32,
    left: Millis,
}

/// One line.
#[derive(Debug, Default)]
pub struct Line {
    claims: Vec<Claim>,
    round: u64,
    next: u64,
    /// When the next turn is, as far as is known here.
    due: Millis,
}

impl Line {
    /// Puts a client in line and gives its number there; `None` if there is no room.
    pub fn enter(&mut self, wish: Wish, now: Millis) -> Option<u64> {
        self.claims.retain(|it| it.present > 0 || it.left + KEPT > now);
        if let Some(claim) = self.claims.iter_mut().find(|it| it.wish == wish) {
            claim.present += 1;
            return Some(claim.id);
        }
        let round = self.round_of(wish.0);
        if self.claims.len() >= MOST && !self.make_room(round) {
            return None;
        }
        let id = self.number();
        self.claims.push(Claim { id, wish, round, order: id, present: 1, left: now });
        Some(id)
    }

    /// One client less waits under that number.
    pub fn leave(&mut self, id: u64, now: Millis) {
        if let Some(claim) = self.claims.iter_mut().find(|it| it.id == id) {
            (claim.present, claim.left) = (claim.present.saturating_sub(1), now);
        }
    }

    /// Whether the next turn is that number's, and how many milliseconds later.
    pub fn turn(&self, id: u64, now: Millis) -> Option<i64> {
        let present = self.claims.iter().filter(|it| it.present > 0);
        let next = present.min_by_key(|it| (it.round, it.order))?;
        (next.id == id).then(|| self.due.0.saturating_sub(now.0).max(0))
    }

    /// Notes when the next turn is.
    pub fn set_due(&mut self, due: Millis) {
        self.due = due;
    }

    /// A client under that number has its turn now, and leaves soon. Its wish has no place in line any
    /// more; others who wait for the same stand at the end.
    pub fn served(&mut self, id: u64) {
        let Some(at) = self.claims.iter().position(|it| it.id == id) else { return };
        let mut claim = self.claims.swap_remove(at);
        self.round = self.round.max(claim.round);
        if claim.present > 1 {
            claim.round = self.round_of(claim.wish.0);
            claim.order = self.number();
            self.claims.push(claim);
        }
    }

    /// Whether somebody is waiting.
    pub fn is_busy(&self) -> bool {
        self.claims.iter().any(|it| it.present > 0)
    }

    /// Whether anything of it is worth keeping.
    fn is_kept(&self, now: Millis) -> bool {
        self.claims.iter().any(|it| it.present > 0 || it.left + KEPT > now)
    }

    /// In which round one more of that kind is served.
    fn round_of(&self, kind: u64) -> u64 {
        let own = self.claims.iter().filter(|it| it.wish.0 == kind).map(|it| it.round + 1);
        own.max().unwrap_or(0).max(self.round)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Drops whoever would be served last: somebody who has gone, or else one of a later round than
    /// the newcomer's.
    fn make_room(&mut self, round: u64) -> bool {
        let places = self.claims.iter().enumerate();
        let last = places.max_by_key(|(_, it)| (it.present == 0, it.round, it.order));
        let Some((at, last)) = last else { return true };
        let goes = last.present == 0 || last.round > round;
        if goes {
            self.claims.swap_remove(at);
        }
        goes
    }
}

/// Lines by what is waited for.
pub struct Lines<K> {
    by_key: HashMap<K, Line>,
    most: usize,
}

impl<K: Hash + Eq + Clone> Lines<K> {
    /// Room for so many lines.
    pub fn new(most: usize) -> Self {
        Self { by_key: HashMap::new(), most }
    }

    /// [`Line::enter`].
    pub fn enter(&mut self, key: &K, wish: Wish, now: Millis) -> Option<u64> {
        if self.by_key.len() >= self.most && !self.by_key.contains_key(key) {
            self.by_key.retain(|_, it| it.is_kept(now));
            if self.by_key.len() >= self.most {
                self.by_key.retain(|_, it| it.is_busy());
            }
            if self.by_key.len() >= self.most {
                return None;
            }
        }
        self.by_key.entry(key.clone()).or_default().enter(wish, now)
    }

    /// The line of `key`, if there is one.
    pub fn line(&mut self, key: &K) -> Option<&mut Line> {
        self.by_key.get_mut(key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buckets::{AGAIN_AT_HOME, HELD, Say, Tally, Turns};
    use crate::ids::Random;

    fn below(random: &Random, most: u64) -> u64 {
        u64::from_le_bytes(random.bytes()) % most
    }

    fn served(line: &mut Line, ids: &[u64]) -> u64 {
        let next = ids.iter().copied().find(|it| line.turn(*it, Millis(0)) == Some(0)).unwrap();
        line.served(next);
        next
    }

    #[test]
    fn a_kind_with_many_in_line_has_one_turn_for_each_of_another() {
        let (mut line, now) = (Line::default(), Millis(0));
        let flood: Vec<u64> = (0..10).map(|it| line.enter((1, it), now).unwrap()).collect();
        let own = [line.enter((2, 0), now).unwrap(), line.enter((2, 1), now).unwrap()];
        let mut ids = [&flood[..], &own].concat();
        let order: Vec<u64> = (0..5)
            .map(|_| {
                let next = served(&mut line, &ids);
                ids.retain(|it| *it != next);
                next
            })
            .collect();
        assert_eq!(order, [flood[0], own[0], flood[1], own[1], flood[2]]);
    }

    #[test]
    fn whoever_comes_back_stands_where_it_stood_and_the_same_wish_is_served_once() {
        let (mut line, now) = (Line::default(), Millis(0));
        let ann = line.enter((1, 0), now).unwrap();
        line.leave(ann, now);
        let eve = line.enter((1, 1), now).unwrap();
        assert_eq!(line.enter((1, 1), now), Some(eve), "twice the same");
        assert_eq!(line.turn(eve, now), Some(0), "Ann is away");
        assert_eq!(line.enter((1, 0), Millis(59_000)), Some(ann));
        assert!(line.turn(ann, now) == Some(0) && line.turn(eve, now).is_none());
        line.served(ann);
        let bob = line.enter((1, 2), now).unwrap();
        line.served(eve);
        assert!(line.turn(bob, now) == Some(0), "the other one of the same wish is behind him");
        line.set_due(Millis(1));
        assert!(line.turn(bob, now) == Some(1) && line.turn(bob, Millis(1)) == Some(0));
        // Long away is gone.
        line.leave(bob, now);
        assert_ne!(line.enter((1, 2), Millis(60_001)), Some(bob));
    }

    #[test]
    fn a_line_and_the_number_of_lines_are_bounded_and_a_flood_keeps_no_other_kind_out() {
        let (mut lines, now) = (Lines::new(3), Millis(0));
        for wish in 0..1000 {
            lines.enter(&0, (1, wish), now);
        }
        let line = lines.line(&0).unwrap();
        assert_eq!(line.claims.len(), MOST);
        let own = line.enter((2, 0), now).unwrap();
        assert_eq!(line.claims.len(), MOST);
        let first = line.claims.iter().min_by_key(|it| (it.round, it.order)).unwrap().id;
        line.served(first);
        assert!(line.turn(own, now) == Some(0));
        for key in 1..100 {
            lines.enter(&key, (1, 0), now);
            assert!(lines.len() <= 3);
        }
        assert_eq!(lines.enter(&200, (1, 0), now), None, "all are busy");
    }

    /// Strangers at the owner's own address, some at each moment, each guessing something else as
    /// soon as the guess before is refused; all of one kind, like the owner, or a flood of another
    /// kind. The owner obeys `Retry-After`. A turn comes within half a minute, and in all there are
    /// no more turns than the pauses allow.
    #[test]
    fn simulated_owners_have_a_turn_within_half_a_minute_beside_strangers_at_their_address() {
        const STEP: i64 = 50;
        for seed in 0..60 {
            let random = Random::seeded(seed);
            let flood = seed % 2 == 0;
            // After a long attack turns are rarer.
            let count = [0, 200, 10_000][usize::try_from(below(&random, 3)).unwrap()];
            let mut turns = Turns { count, last: Millis(0) };
            // Those who are in line before the owner; a flood is another kind.
            let most = if flood { 60 } else { 16_000 / turns.counted(Millis(0)).pause() };
            let crowd = 1 + below(&random, u64::try_from(most).unwrap());
            let place = Tally { count: 10, last: Millis(0), locked: None };
            let (mut line, mut now, mut guess) = (Line::default(), Millis(0), 1);
            let mut strangers: Vec<(u64, i64)> = Vec::new();
            let (mut owner, came) =
                (None, Millis(5000 + i64::try_from(below(&random, 5000)).unwrap()));
            let (mut back, mut taken) = (came, 0);
            let in_at = loop {
                now = Millis(now.0 + STEP);
                strangers.retain(|it| {
                    let sent_away = it.1 + HELD.millis() <= now.0;
                    if sent_away {
                        line.leave(it.0, now);
                    }
                    !sent_away
                });
                while (strangers.len() as u64) < crowd {
                    guess += 1;
                    match line.enter((u64::from(flood), guess), now) {
                        Some(id) => strangers.push((id, now.0)),
                        None => break,
                    }
                }
                match owner {
                    None if back <= now => owner = line.enter((0, 0), now).map(|it| (it, now.0)),
                    Some((id, since)) if since + HELD.millis() <= now.0 => {
                        line.leave(id, now);
                        (owner, back) = (None, Millis(now.0 + AGAIN_AT_HOME));
                    }
                    _ => {}
                }
                let ids = strangers.iter().chain(&owner).map(|it| it.0);
                let Some(next) = ids.into_iter().find(|it| line.turn(*it, now) == Some(0)) else {
                    continue;
                };
                if let Say::Later(wait) = turns.next(place, now) {
                    line.set_due(Millis(now.0 + wait));
                    continue;
                }
                (turns, taken) = (turns.counted(now), taken + 1);
                line.served(next);
                strangers.retain(|it| it.0 != next);
                if owner.is_some_and(|it| it.0 == next) {
                    break now;
                }
            };
            assert!(taken <= 1 + now.0 / 500, "seed {seed}: {taken} turns in {} ms", now.0);
            let took = in_at.0 - came.0;
            assert!(took <= 30_000, "seed {seed}, {crowd} strangers: {took} ms");
        }
    }
}
