//! Counting attempts: pure state machines, without a clock, a database or a lock of their own
//! (security section 4).
//!
//! An attempt is counted *before* it is evaluated, so that attempts that come at the same moment
//! are never evaluated more often than a limit allows, and given back when it turns out to be right.

use std::collections::HashMap;
use std::hash::Hash;

use crate::clock::{Millis, Seconds};

/// How many attempts at once, and how fast new ones are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Attempts that are allowed at once.
    pub burst: u32,
    /// Milliseconds after which one more is.
    pub period: i64,
}

impl Rate {
    /// `burst` at once, and `many` within `time`; at least one of each.
    pub fn new(burst: u32, many: u32, time: Seconds) -> Self {
        Self { burst: burst.max(1), period: (time.millis() / i64::from(many.max(1))).max(1) }
    }

    fn whole(self) -> i64 {
        self.period.saturating_mul(i64::from(self.burst))
    }

    /// One attempt out of a bucket that is full at `full_at`: when it is full then, or how many
    /// milliseconds later there is room.
    pub fn take(self, full_at: Millis, now: Millis) -> Result<Millis, i64> {
        // A clock that was set back must not shut the door for as long (security D-13).
        let from = full_at.0.clamp(now.0, now.0.saturating_add(self.whole()));
        let over = from + self.period - now.0 - self.whole();
        if over > 0 { Err(over) } else { Ok(Millis(from + self.period)) }
    }
}

/// What a limit says to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// It is counted and may be evaluated.
    Go,
    /// Not now: so many milliseconds later at the earliest.
    Later(i64),
}

/// A token bucket, by the time at which it will be full again.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: i64,
    in_flight: u32,
}

/// Token buckets by key, bounded in number.
///
/// A key that is not there has a full bucket. When there is no room, the buckets go that tell least:
/// full ones, then those with the fewest attempts in them. So whoever comes with a million keys
/// pushes out keys that were used once, never one that has run dry.
pub struct Buckets<K> {
    by_key: HashMap<K, Bucket>,
    most: usize,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Room for `most` keys.
    pub fn new(most: usize) -> Self {
        Self { by_key: HashMap::new(), most: most.max(4) }
    }

    /// Counts an attempt, if the bucket of `key` has room for it. To be followed by one
    /// [`Buckets::settle`].
    pub fn take(&mut self, key: &K, rate: Rate, now: Millis) -> Say {
        if self.by_key.len() >= self.most && !self.by_key.contains_key(key) {
            self.make_room(now);
        }
        let fresh = Bucket { full_at: now.0, in_flight: 0 };
        let bucket = self.by_key.entry(key.clone()).or_insert(fresh);
        match rate.take(Millis(bucket.full_at), now) {
            Err(over) => {
                bucket.full_at = bucket.full_at.clamp(now.0, now.0.saturating_add(rate.whole()));
                Say::Later(over)
            }
            Ok(full_at) => {
                bucket.full_at = full_at.0;
                bucket.in_flight += 1;
                Say::Go
            }
        }
    }

    /// Ends an attempt that was counted. One that was right is given back, it alone: what others
    /// have used up stays used up (security T-6).
    pub fn settle(&mut self, key: &K, rate: Rate, was_right: bool) {
        if let Some(bucket) = self.by_key.get_mut(key) {
            bucket.in_flight = bucket.in_flight.saturating_sub(1);
            if was_right {
                bucket.full_at -= rate.period;
            }
        }
    }

    /// Whether attempts of `key` are being evaluated: each may turn out right and make room.
    pub fn is_busy(&self, key: &K) -> bool {
        self.by_key.get(key).is_some_and(|it| it.in_flight > 0)
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Frees a quarter of the room.
    fn make_room(&mut self, now: Millis) {
        self.by_key.retain(|_, it| it.in_flight > 0 || it.full_at > now.0);
        let keep = self.most - self.most / 4;
        let Some(too_many) = self.by_key.len().checked_sub(keep).filter(|it| *it > 0) else {
            return;
        };
        let mut levels: Vec<i64> = self.by_key.values().map(|it| it.full_at).collect();
        let (_, last, _) = levels.select_nth_unstable(too_many - 1);
        let (last, mut left) = (*last, too_many);
        self.by_key.retain(|_, it| {
            let goes = left > 0 && it.full_at <= last;
            left -= usize::from(goes);
            !goes
        });
    }
}

/// Wrong passwords in a row, and those that are being evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: i64,
    /// When the last of them was counted.
    pub last: Millis,
    /// Until when the account is locked, where the application locks accounts.
    pub locked: Option<Millis>,
}

/// What an application allows in guessing passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guesses {
    /// Wrong ones for an account from one place, before each costs a pause.
    pub place: u32,
    /// Wrong ones in a row for an account from everywhere; then only places that it knows may try.
    pub account: u32,
    /// Wrong ones in a row that lock the account for everybody; 0: none do.
    pub lock: u32,
}

/// What the counts of an account say to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be evaluated once it is counted.
    Go,
    /// Not now: so many milliseconds later at the earliest.
    Later(i64),
    /// The account is locked, for so many milliseconds more as far as that is known.
    Locked(i64),
}

/// How long wrong passwords count that nobody has followed by a right one.
pub const ACCOUNT_MEMORY: Seconds = Seconds(7 * 24 * 3600);
/// The same for those of one place, whose pauses are long over.
pub const PLACE_MEMORY: Seconds = Seconds(24 * 3600);
/// How long a place is known after somebody came in from it.
pub const AT_HOME: Seconds = Seconds(180 * 24 * 3600);
/// The longest pause.
const LONGEST: i64 = 15 * 60 * 1000;
/// The longest where the place is a device that nobody else has: its owner comes in within half a
/// minute, whatever was tried there (security T-3).
const LONGEST_OF_DEVICE: i64 = 25 * 1000;
/// When to come back to a place from which people have come in: the owner of an account has a turn
/// there within half a minute, whatever others try there at the same moment (security T-3). It is
/// so for every identity, whoever has it and from wherever, so that it tells nothing.
pub const AGAIN_AT_HOME: i64 = 12 * 1000;
/// For how long an attempt beyond a limit is held there. It is longer than the longest pause between
/// two turns, so that whoever is next has one before being sent away.
pub const HELD: Seconds = Seconds(5);
/// How long as many attempts as lock an account keep others out before it is locked: they may turn
/// out right. If their end was never told, as after a kill, one more decides.
pub const EVALUATED: Seconds = Seconds(60);
/// When to come back where nothing but the owner or a recovery opens the account.
const MUCH_LATER: i64 = LONGEST;

impl Tally {
    /// The same as it counts at `now`.
    #[must_use]
    pub fn at(self, now: Millis, memory: Seconds) -> Self {
        // A clock that was set back must not make a pause longer.
        let last = Millis(self.last.0.min(now.0));
        let ends = self.locked;
        if ends.is_some_and(|it| it <= now) || (ends.is_none() && last + memory < now) {
            return Self::default();
        }
        Self { last, ..self }
    }

    /// With so many more that are being evaluated and are not in it yet.
    #[must_use]
    pub fn and(self, more: u32, now: Millis, memory: Seconds) -> Self {
        if more == 0 {
            return self;
        }
        let old = self.at(now, memory);
        Self { count: old.count + i64::from(more), last: now, ..old }
    }

    /// One more.
    #[must_use]
    pub fn counted(self, now: Millis) -> Self {
        Self { count: self.count + 1, last: now, ..self }
    }
}

/// Turns that an account gives to attempts beyond the limits, where it knows the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// How many since somebody was right.
    pub count: i64,
    /// When the last was.
    pub last: Millis,
}

/// After how many turns how long it is to the next, in milliseconds. Whoever guesses at its owner's
/// own address gets no more than these.
const BETWEEN_TURNS: [(i64, i64); 3] = [(100, 500), (500, 2000), (i64::MAX, 4000)];

impl Turns {
    /// How long it is from that turn to the next.
    pub fn pause(self) -> i64 {
        let step = BETWEEN_TURNS.iter().find(|it| self.count < it.0);
        step.map_or(HELD.millis(), |it| it.1)
    }

    /// Whether there is one more turn at `now`, at a place with these counts.
    pub fn next(self, place: Tally, now: Millis) -> Say {
        let last = place.last.max(self.last).0.min(now.0);
        let left =
            if place.count == 0 && self.count == 0 { 0 } else { last + self.pause() - now.0 };
        if left > 0 { Say::Later(left) } else { Say::Go }
    }

    /// One more.
    #[must_use]
    pub fn counted(self, now: Millis) -> Self {
        Self { count: self.count + 1, last: now }
    }
}

/// Decides about one more attempt at `now`, by the counts of the account as a whole and from this
/// place; `own` says that the place is a device of the account, which nobody else can be at.
pub fn decide(account: Tally, place: Tally, rules: Guesses, own: bool, now: Millis) -> Verdict {
    let account = account.at(now, ACCOUNT_MEMORY);
    let place = place.at(now, PLACE_MEMORY);
    if rules.lock > 0 {
        if let Some(end) = account.locked.filter(|it| *it > now) {
            let for_ever = end.0 == i64::MAX;
            return Verdict::Locked(if for_ever { MUCH_LATER } else { end.0 - now.0 });
        }
        let decided = account.last + EVALUATED;
        if account.count >= i64::from(rules.lock) && decided > now {
            return Verdict::Locked(decided.0 - now.0);
        }
    }
    if !own && account.count >= i64::from(rules.account) {
        return Verdict::Later(MUCH_LATER);
    }
    let beyond = place.count - i64::from(rules.place);
    if beyond < 0 {
        return Verdict::Go;
    }
    let longest = if own { LONGEST_OF_DEVICE } else { LONGEST };
    let pause = 1000_i64.checked_shl(u32::try_from(beyond.min(20)).unwrap_or(20));
    let pause = pause.unwrap_or(longest).min(longest);
    let left = place.last.0 + pause - now.0;
    if left > 0 { Verdict::Later(left) } else { Verdict::Go }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use super::*;
    use crate::ids::Random;

    const RULES: Guesses = Guesses { place: 10, account: 100, lock: 0 };

    fn below(random: &Random, most: u64) -> u64 {
        u64::from_le_bytes(random.bytes()) % most
    }

    #[test]
    fn a_bucket_gives_its_burst_then_one_for_each_period_and_never_more() {
        let rate = Rate::new(3, 6, Seconds(60));
        let mut buckets = Buckets::new(10);
        let says = |buckets: &mut Buckets<&str>, at| buckets.take(&"a", rate, Millis(at));
        for _ in 0..3 {
            assert_eq!(says(&mut buckets, 0), Say::Go);
        }
        assert_eq!(says(&mut buckets, 0), Say::Later(10_000));
        assert_eq!(says(&mut buckets, 9_999), Say::Later(1));
        assert_eq!(says(&mut buckets, 10_000), Say::Go);
        assert_eq!(says(&mut buckets, 10_000), Say::Later(10_000));
        buckets.settle(&"a", rate, true);
        assert_eq!(says(&mut buckets, 10_000), Say::Go);
        // The clock was set back by a year: it does not stay shut for a year.
        assert_eq!(says(&mut buckets, -31_536_000_000), Say::Later(10_000));
        assert_eq!(says(&mut buckets, -31_536_000_000 + 10_000), Say::Go);
    }

    #[test]
    fn t_07_a_million_sources_take_no_more_room_and_push_out_none_that_has_run_dry() {
        let rate = Rate::new(50, 50, Seconds(600));
        let mut buckets = Buckets::new(1000);
        for _ in 0..50 {
            assert_eq!(buckets.take(&u64::MAX, rate, Millis(0)), Say::Go);
        }
        for number in 0..1_000_000 {
            assert_eq!(buckets.take(&number, rate, Millis(0)), Say::Go);
            buckets.settle(&number, rate, false);
            assert!(buckets.len() <= 1000);
        }
        assert_eq!(buckets.take(&u64::MAX, rate, Millis(0)), Say::Later(12_000));
    }

    /// Attempts of a few sources at random moments, right and wrong, settled in any order, with a
    /// clock that jumps: a bucket never lets more be wrong than its burst and what came in since.
    #[test]
    fn simulated_sources_never_get_more_wrong_attempts_than_the_rate() {
        for seed in 0..300 {
            let random = Random::seeded(seed);
            let burst = 1 + u32::try_from(below(&random, 20)).unwrap();
            let rate = Rate::new(burst, burst, Seconds(60));
            let mut buckets = Buckets::new(8);
            let mut now = 0;
            let mut flying: VecDeque<(u64, bool)> = VecDeque::new();
            let mut wrong: HashMap<u64, Vec<i64>> = HashMap::new();
            for _ in 0..400 {
                now += i64::try_from(below(&random, 4000)).unwrap();
                let key = below(&random, 3);
                if buckets.take(&key, rate, Millis(now)) == Say::Go {
                    let is_right = below(&random, 3) == 0;
                    flying.push_back((key, is_right));
                    if !is_right {
                        wrong.entry(key).or_default().push(now);
                    }
                } else {
                    assert!(buckets.is_busy(&key) || wrong.contains_key(&key), "seed {seed}");
                }
                while below(&random, 3) > 0
                    && let Some((key, right)) = flying.pop_front()
                {
                    buckets.settle(&key, rate, right);
                }
            }
            for times in wrong.values() {
                for (from, first) in times.iter().enumerate() {
                    for (count, last) in times[from..].iter().enumerate() {
                        let count = i64::try_from(count + 1).unwrap();
                        let most = i64::from(burst) + (last - first) / rate.period + 1;
                        assert!(count <= most, "seed {seed}: {count} wrong ones, {most} allowed");
                    }
                }
            }
        }
    }

    /// What the database has of one account.
    #[derive(Default)]
    struct Rows {
        account: Tally,
        places: HashMap<u64, Tally>,
    }

    impl Rows {
        /// As `brake::check` does in one transaction.
        fn count(&mut self, place: u64, rules: Guesses, home: bool, now: Millis) -> Verdict {
            let here = self.places.get(&place).copied().unwrap_or_default();
            let verdict = decide(self.account, here, rules, home, now);
            if verdict == Verdict::Go {
                self.account = self.account.at(now, ACCOUNT_MEMORY).counted(now);
                self.places.insert(place, here.at(now, PLACE_MEMORY).counted(now));
            }
            verdict
        }

        fn right(&mut self, place: u64) {
            self.account = Tally::default();
            self.places.remove(&place);
        }
    }

    /// Many places guess at once, some attempts never end (a node was killed), and the owner comes
    /// by the own device now and then. Strangers never get more than the limit in a row, and the owner is never
    /// kept out for longer than half a minute.
    #[test]
    fn simulated_guessing_is_bounded_and_never_keeps_the_owner_out() {
        const DEVICE: u64 = 0;
        for seed in 0..300 {
            let random = Random::seeded(seed);
            let most = 1 + u32::try_from(below(&random, 60)).unwrap();
            let rules = Guesses { account: most, ..RULES };
            let (mut rows, mut now, mut strangers) = (Rows::default(), Millis(0), 0_u32);
            for _ in 0..600 {
                now = Millis(now.0 + i64::try_from(below(&random, 3000)).unwrap());
                if below(&random, 40) > 0 {
                    // Somebody guesses with that device, too.
                    let place = below(&random, 30);
                    let verdict = rows.count(place, rules, place == DEVICE, now);
                    strangers += u32::from(verdict == Verdict::Go && place != DEVICE);
                    assert!(strangers <= most, "seed {seed}");
                    continue;
                }
                let came = now;
                loop {
                    match rows.count(DEVICE, rules, true, now) {
                        Verdict::Go => break,
                        Verdict::Later(wait) => now = Millis(now.0 + wait),
                        Verdict::Locked(_) => panic!("seed {seed}: nobody asked for locks"),
                    }
                }
                assert!(now.0 - came.0 <= 30_000, "seed {seed}: {} ms", now.0 - came.0);
                rows.right(DEVICE);
                strangers = 0;
            }
        }
    }

    #[test]
    fn turns_come_after_pauses_that_grow_and_never_more_often() {
        let place = Tally { count: 10, last: Millis(0), locked: None };
        let mut turns = Turns::default();
        assert_eq!(turns.next(Tally::default(), Millis(0)), Say::Go, "nothing was tried here");
        assert_eq!(turns.next(place, Millis(400)), Say::Later(100));
        let (mut now, mut times) = (Millis(0), Vec::new());
        while now.0 < 3_600_000 {
            match turns.next(place, now) {
                Say::Later(wait) => now = Millis(now.0 + wait),
                Say::Go => {
                    turns = turns.counted(now);
                    times.push(now.0);
                }
            }
        }
        assert!(times.windows(2).all(|it| it[1] - it[0] >= 500));
        assert_eq!(times[1000] - times[999], 4000);
        assert!(HELD.millis() > 4000, "whoever is held sees the next turn");
        // The clock was set back by a year.
        assert_eq!(turns.next(place, Millis(-31_536_000_000)), Say::Later(4000));
    }

    #[test]
    fn a_lock_ends_in_time_and_one_that_a_kill_left_half_made_is_decided_anew() {
        let rules = Guesses { lock: 3, ..RULES };
        let at =
            |account: Tally, now: i64| decide(account, Tally::default(), rules, true, Millis(now));
        let three = Tally { count: 3, last: Millis(0), locked: None };
        assert_eq!(at(Tally { count: 2, ..three }, 0), Verdict::Go);
        assert_eq!(at(three, 0), Verdict::Locked(60_000), "three are being evaluated");
        assert_eq!(at(three, 60_000), Verdict::Go, "nobody will tell how they ended");
        let locked = Tally { locked: Some(Millis(100_000)), ..three };
        assert_eq!((at(locked, 99_999), at(locked, 100_000)), (Verdict::Locked(1), Verdict::Go));
        let for_ever = Tally { locked: Some(Millis(i64::MAX)), ..three };
        assert_eq!(at(for_ever, i64::MAX / 2), Verdict::Locked(900_000));
    }
}
