//! When a job is tried again, kept, given up: arithmetic alone, so that it can be simulated.
//!
//! A row of work is free, held under a lease, or given up. Whoever takes it raises its fence and
//! counts a try; every later word about it must come with that fence. So a node that slept through
//! the end of its lease can say what it likes, and nothing of it counts.

use std::time::Duration;

use crate::clock::{Millis, Seconds};

/// How long a node holds what it has taken without a sign of life.
pub const LEASE: Seconds = Seconds(30);

/// How often it gives one.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long work waits before it is tried again: twice as long after every failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Seconds,
    /// At most.
    pub longest: Seconds,
}

/// For jobs.
pub const JOBS: Backoff = Backoff { first: Seconds(2), longest: Seconds(15 * 60) };

/// For deliveries: the other side may be away for hours.
pub const DELIVERIES: Backoff = Backoff { first: Seconds(10), longest: Seconds(3600) };

/// How long a delivery is tried.
pub const DELIVERY_LIFE: Seconds = Seconds(24 * 3600);

impl Backoff {
    /// The wait after failure number `failures` (1 is the first) in milliseconds: between half of
    /// the whole and the whole, by `random`, so that what failed together is not tried together.
    pub fn wait(self, failures: i64, random: u64) -> i64 {
        let doublings = u32::try_from(failures.saturating_sub(1).clamp(0, 32)).unwrap_or(32);
        let whole = self.first.millis().saturating_mul(1 << doublings).min(self.longest.millis());
        let half = whole / 2;
        let span = u64::try_from(whole - half).unwrap_or(0) + 1;
        half + i64::try_from(random % span).unwrap_or(0)
    }
}

/// Whether a job that was just taken for the `attempts`-th time may be run. It may not if the node
/// that ran it last has died of it, or at it, without a word.
pub fn may_run(attempts: i64, tries: i64) -> bool {
    attempts <= tries
}

/// When a job is tried again whose `attempts`-th try failed at `now`; `None` if that was the last.
pub fn next_try(attempts: i64, tries: i64, now: Millis, random: u64) -> Option<Millis> {
    (attempts < tries).then(|| Millis(now.0.saturating_add(JOBS.wait(attempts, random))))
}

/// When a delivery is tried again that was added at `created` and whose `attempts`-th try failed
/// at `now`; `None` if that would be after its life.
pub fn next_delivery(created: Millis, attempts: i64, now: Millis, random: u64) -> Option<Millis> {
    let next = Millis(now.0.saturating_add(DELIVERIES.wait(attempts, random)));
    (next <= created + DELIVERY_LIFE).then_some(next)
}

/// Whether a node must let go of work whose lease it last renewed at `renewed`, at `now`, both on
/// its own clock that counts sleep: somebody else may have taken it.
pub fn is_lost(renewed: i64, now: i64) -> bool {
    now.saturating_sub(renewed) >= LEASE.millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_vary_by_half() {
        for (failures, least, most) in [
            (0, 1_000, 2_000),
            (1, 1_000, 2_000),
            (2, 2_000, 4_000),
            (5, 16_000, 32_000),
            (10, 450_000, 900_000), // a quarter of an hour
            (i64::MAX, 450_000, 900_000),
        ] {
            for random in [0, 1, 999, 12_345_678, u64::MAX] {
                let wait = JOBS.wait(failures, random);
                assert!((least..=most).contains(&wait), "{failures} failures, {random}: {wait}");
            }
        }
    }

    #[test]
    fn a_job_has_as_many_tries_as_its_kind_allows() {
        let now = Millis(1_000_000);
        assert!(next_try(1, 3, now, 7).is_some_and(|it| it > now));
        assert!(next_try(2, 3, now, 7).is_some_and(|it| it > now));
        assert_eq!(next_try(3, 3, now, 7), None);
        assert!(may_run(3, 3) && !may_run(4, 3));
    }

    #[test]
    fn a_delivery_is_tried_for_a_day() {
        let created = Millis(0);
        let (mut now, mut tries) = (created, 0);
        while let Some(next) = next_delivery(created, tries + 1, now, u64::MAX) {
            assert!(next > now && next <= Millis(86_400_000));
            (now, tries) = (next, tries + 1);
        }
        assert!((25..60).contains(&tries), "{tries} tries");
    }
}
