//! Whose password is hashed next, and who is turned away. Pure: it has no thread and no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Lane;

/// What the queue needs to know of something that waits in it.
pub(crate) trait Waiting {
    /// Whether nobody waits for the outcome any more.
    fn is_gone(&self) -> bool;
    /// Tells whoever waits that it took too long.
    fn refuse(self, retry_after: Duration);
}

/// Two lanes of work, bounded by the time that the last one in would have to wait.
pub(crate) struct Queue<T> {
    interactive: Line<T>,
    bulk: Line<T>,
    bulk_had_the_last_turn: bool,
    threads: u64,
    max_wait: Duration,
    /// How long one unit of work takes, in picoseconds: a running mean of what was measured.
    pace_ps: u64,
    refused: u64,
    skipped: u64,
}

struct Line<T> {
    entries: VecDeque<Entry<T>>,
    /// The work of all entries.
    work: u64,
}

struct Entry<T> {
    item: T,
    work: u64,
    since: Instant,
}

/// The pace before anything was measured: 1 KiB in 0.4 µs, a usual core.
const FIRST_PACE_PS: u64 = 400_000;

impl<T> Line<T> {
    const fn new() -> Self {
        Self { entries: VecDeque::new(), work: 0 }
    }

    fn pop(&mut self) -> Option<Entry<T>> {
        let entry = self.entries.pop_front()?;
        self.work -= entry.work;
        Some(entry)
    }
}

impl<T: Waiting> Queue<T> {
    /// An empty queue before `threads` threads, in which nothing waits longer than `max_wait`.
    pub fn new(threads: usize, max_wait: Duration) -> Self {
        Self {
            interactive: Line::new(),
            bulk: Line::new(),
            bulk_had_the_last_turn: false,
            threads: u64::try_from(threads).unwrap_or(u64::MAX).max(1),
            max_wait,
            pace_ps: FIRST_PACE_PS,
            refused: 0,
            skipped: 0,
        }
    }

    /// Lets `item` wait its turn. Fails with the time after which to try again if it would have to
    /// wait too long: a refusal now is worth more to the client than one in five seconds.
    pub fn push(&mut self, lane: Lane, item: T, work: u64, now: Instant) -> Result<(), Duration> {
        self.room(lane)?;
        let line = self.line(lane);
        line.work += work;
        line.entries.push_back(Entry { item, work, since: now });
        Ok(())
    }

    /// Fails as [`Queue::push`] would now.
    pub fn room(&mut self, lane: Lane) -> Result<(), Duration> {
        if self.wait_ahead(lane) > self.max_wait {
            // Those whose clients have hung up cost no time, so they must not keep others out.
            self.forget_the_gone();
            let wait = self.wait_ahead(lane);
            if wait > self.max_wait {
                self.refused += 1;
                return Err(retry_after(wait));
            }
        }
        Ok(())
    }

    /// The next to hash. Those that nobody waits for are left out, and those that have waited too
    /// long are told so.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        while let Some((lane, entry)) = self.next() {
            if entry.item.is_gone() {
                self.skipped += 1;
            } else if now.saturating_duration_since(entry.since) > self.max_wait {
                self.refused += 1;
                entry.item.refuse(retry_after(self.wait_ahead(lane)));
            } else {
                self.bulk_had_the_last_turn = lane == Lane::Bulk;
                return Some(entry.item);
            }
        }
        None
    }

    /// Notes that `work` took `spent`, for the next guesses. A single odd measurement (a machine
    /// that slept) moves the mean by no more than an eighth, and never to nothing.
    pub fn note_pace(&mut self, work: u64, spent: Duration) {
        let spent_ps = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX).saturating_mul(1000);
        let measured = (spent_ps / work.max(1)).clamp(self.pace_ps / 4, self.pace_ps * 4);
        self.pace_ps = ((self.pace_ps * 7 + measured) / 8).clamp(1_000, 1_000_000_000);
    }

    /// Drops everything that waits.
    pub fn clear(&mut self) {
        self.interactive = Line::new();
        self.bulk = Line::new();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.interactive.entries.len() + self.bulk.entries.len()
    }

    /// How long the one that has waited longest has waited.
    pub fn longest_wait(&self, now: Instant) -> Duration {
        let fronts = [self.interactive.entries.front(), self.bulk.entries.front()];
        let waits = fronts.into_iter().flatten();
        waits.map(|it| now.saturating_duration_since(it.since)).max().unwrap_or_default()
    }

    /// How many were refused, at the door or after waiting.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How many were left out because nobody waited for them any more.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How long one who joins `lane` now waits for a thread: the time of all that goes before.
    fn wait_ahead(&self, lane: Lane) -> Duration {
        let (own, other) = match lane {
            Lane::Interactive => (self.interactive.work, self.bulk.work),
            Lane::Bulk => (self.bulk.work, self.interactive.work),
        };
        // The lanes take turns, so the other one gets in as much as the own one at most.
        let ahead = own + other.min(own);
        Duration::from_nanos(ahead.saturating_mul(self.pace_ps) / 1000 / self.threads)
    }

    /// Takes the first of the lane whose turn it is. While both wait they alternate: bulk gets
    /// every second turn at most, so an import halves the pace of logins and no more, and a
    /// storm of logins does not starve an import.
    fn next(&mut self) -> Option<(Lane, Entry<T>)> {
        let bulk_may = !self.bulk_had_the_last_turn || self.interactive.entries.is_empty();
        if bulk_may && let Some(entry) = self.bulk.pop() {
            return Some((Lane::Bulk, entry));
        }
        self.interactive.pop().map(|it| (Lane::Interactive, it))
    }

    fn forget_the_gone(&mut self) {
        for line in [&mut self.interactive, &mut self.bulk] {
            let before = line.entries.len();
            line.entries.retain(|it| !it.item.is_gone());
            line.work = line.entries.iter().map(|it| it.work).sum();
            self.skipped += (before - line.entries.len()) as u64;
        }
    }

    fn line(&mut self, lane: Lane) -> &mut Line<T> {
        match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

/// `wait` in whole seconds, rounded up, at least one: what the `Retry-After` header can say.
fn retry_after(wait: Duration) -> Duration {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(seconds.max(1))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    /// Something that waits, and remembers what became of it.
    #[derive(Clone)]
    struct Guest {
        name: u32,
        gone: Rc<Cell<bool>>,
        refused: Rc<Cell<Option<Duration>>>,
    }

    impl Guest {
        fn new(name: u32) -> Self {
            Self { name, gone: Rc::default(), refused: Rc::default() }
        }
    }

    impl Waiting for Guest {
        fn is_gone(&self) -> bool {
            self.gone.get()
        }

        fn refuse(self, retry_after: Duration) {
            self.refused.set(Some(retry_after));
        }
    }

    /// Work that takes one millisecond at the first pace.
    const MS: u64 = 2_500;

    fn queue(threads: usize, max_wait_ms: u64) -> Queue<Guest> {
        Queue::new(threads, Duration::from_millis(max_wait_ms))
    }

    fn names(queue: &mut Queue<Guest>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop(now)).map(|it| it.name).collect()
    }

    #[test]
    fn bulk_gets_every_second_turn_while_people_wait_and_all_turns_when_nobody_does() {
        let now = Instant::now();
        let mut queue = queue(1, 5_000);
        for name in [101, 102, 103, 104, 105] {
            queue.push(Lane::Bulk, Guest::new(name), MS, now).unwrap();
        }
        for name in [1, 2, 3] {
            queue.push(Lane::Interactive, Guest::new(name), MS, now).unwrap();
        }
        assert_eq!(names(&mut queue, now), [101, 1, 102, 2, 103, 3, 104, 105]);
        // Bulk has just had its turn, so the next person goes first.
        queue.push(Lane::Bulk, Guest::new(106), MS, now).unwrap();
        queue.push(Lane::Interactive, Guest::new(4), MS, now).unwrap();
        assert_eq!(names(&mut queue, now), [4, 106]);
    }

    #[test]
    fn one_who_would_wait_too_long_is_refused_at_the_door() {
        let now = Instant::now();
        let mut queue = queue(2, 3_000);
        // Two threads: 6,000 ms of work ahead make 3 s of waiting, which is just allowed.
        for name in 0..6 {
            queue.push(Lane::Interactive, Guest::new(name), 1_000 * MS, now).unwrap();
        }
        assert_eq!(queue.len(), 6);
        queue.push(Lane::Interactive, Guest::new(6), MS, now).unwrap();
        let refused = queue.push(Lane::Interactive, Guest::new(7), MS, now);
        assert_eq!(refused, Err(Duration::from_secs(4)));
        assert_eq!((queue.len(), queue.refused()), (7, 1));
        // The bulk lane is empty, so whoever joins it has its turn at once.
        queue.push(Lane::Bulk, Guest::new(8), MS, now).unwrap();
    }

    #[test]
    fn the_other_lane_counts_as_far_as_it_goes_first() {
        let now = Instant::now();
        let mut queue = queue(1, 3_000);
        queue.push(Lane::Bulk, Guest::new(1), 10_000 * MS, now).unwrap();
        for name in [2, 3] {
            queue.push(Lane::Interactive, Guest::new(name), 1_000 * MS, now).unwrap();
        }
        assert!(queue.push(Lane::Interactive, Guest::new(4), MS, now).is_err());
        assert!(queue.push(Lane::Bulk, Guest::new(5), MS, now).is_err());
    }

    #[test]
    fn one_who_waited_too_long_is_told_so_and_never_hashed() {
        let now = Instant::now();
        let mut queue = queue(1, 3_000);
        let late = Guest::new(1);
        queue.push(Lane::Interactive, late.clone(), MS, now).unwrap();
        let later = now + Duration::from_secs(2);
        queue.push(Lane::Interactive, Guest::new(2), MS, later).unwrap();
        assert_eq!(queue.longest_wait(later), Duration::from_secs(2));
        assert_eq!(names(&mut queue, now + Duration::from_millis(3_001)), [2]);
        assert_eq!(late.refused.get(), Some(Duration::from_secs(1)));
        assert_eq!(queue.refused(), 1);
    }

    #[test]
    fn one_who_hung_up_is_skipped_and_keeps_nobody_out() {
        let now = Instant::now();
        let mut queue = queue(1, 1_000);
        let first = Guest::new(1);
        queue.push(Lane::Interactive, first.clone(), 2_000 * MS, now).unwrap();
        assert!(queue.push(Lane::Interactive, Guest::new(2), MS, now).is_err());
        first.gone.set(true);
        let third = Guest::new(3);
        queue.push(Lane::Interactive, third.clone(), MS, now).unwrap();
        queue.push(Lane::Interactive, Guest::new(4), MS, now).unwrap();
        third.gone.set(true);
        assert_eq!(names(&mut queue, now), [4]);
        assert_eq!((queue.skipped(), queue.refused()), (2, 1));
        assert_eq!(first.refused.get(), None);
    }

    #[test]
    fn the_pace_follows_what_is_measured_but_no_single_outlier() {
        let mut queue = queue(1, 1_000);
        queue.note_pace(MS, Duration::from_hours(1));
        assert!(queue.pace_ps < FIRST_PACE_PS * 2);
        for _ in 0..100 {
            queue.note_pace(MS, Duration::from_micros(500));
        }
        assert!(queue.pace_ps.abs_diff(FIRST_PACE_PS / 2) < 1_000, "{}", queue.pace_ps);
        queue.note_pace(0, Duration::ZERO);
        for _ in 0..1_000 {
            queue.note_pace(u64::MAX, Duration::ZERO);
        }
        assert_eq!(queue.pace_ps, 1_000);
    }

    proptest! {
        #[test]
        fn nobody_is_lost_and_the_sums_hold(steps in proptest::collection::vec((0_u8..6, 0_u64..40), 1..200)) {
            let start = Instant::now();
            let mut now = start;
            let mut queue = queue(2, 50);
            let mut guests: Vec<Guest> = Vec::new();
            let (mut served, mut turned_away) = (0_u64, 0_u64);
            for (step, amount) in steps {
                match step {
                    0..=2 => {
                        let lane = if step == 2 { Lane::Bulk } else { Lane::Interactive };
                        let guest = Guest::new(0);
                        match queue.push(lane, guest.clone(), amount * MS, now) {
                            Ok(()) => guests.push(guest),
                            Err(retry_after) => {
                                turned_away += 1;
                                prop_assert!(retry_after >= Duration::from_secs(1));
                            }
                        }
                    }
                    3 => served += u64::from(queue.pop(now).is_some()),
                    4 => now += Duration::from_millis(amount),
                    _ => {
                        if let Some(guest) = guests.iter().rev().nth(usize::try_from(amount).unwrap()) {
                            guest.gone.set(true);
                        }
                    }
                }
                prop_assert_eq!(queue.interactive.work, queue.interactive.entries.iter().map(|it| it.work).sum::<u64>());
                prop_assert_eq!(queue.bulk.work, queue.bulk.entries.iter().map(|it| it.work).sum::<u64>());
            }
            while queue.pop(now).is_some() {
                served += 1;
            }
            prop_assert_eq!(guests.len() as u64 + turned_away, served + queue.refused() + queue.skipped());
            prop_assert_eq!((queue.len(), queue.interactive.work, queue.bulk.work), (0, 0, 0));
        }
    }
}
