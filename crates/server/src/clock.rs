//! Time as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds since 1970-01-01 UTC: how the wire, the store and the code all write an instant.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl std::ops::Add<Seconds> for Millis {
    type Output = Self;

    fn add(self, rhs: Seconds) -> Self {
        Self(self.0.saturating_add(rhs.millis()))
    }
}

impl std::ops::Sub<Seconds> for Millis {
    type Output = Self;

    fn sub(self, rhs: Seconds) -> Self {
        Self(self.0.saturating_sub(rhs.millis()))
    }
}

/// A length of time in whole seconds.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Seconds(pub u32);

impl Seconds {
    /// The same length in milliseconds.
    pub const fn millis(self) -> i64 {
        self.0 as i64 * 1000
    }
}

/// Tells the time, or, in a test, is told it. Clones share one clock.
#[derive(Clone)]
pub struct Clock(Arc<Hands>);

struct Hands {
    /// The instant that a stopped clock shows; `None` for the machine's own clock.
    stopped: Option<AtomicI64>,
    /// What is added to the machine's clock: how far the database's is ahead, in milliseconds.
    offset: AtomicI64,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(Hands { stopped: None, offset: AtomicI64::new(0) }))
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn stopped_at(start: Millis) -> Self {
        let stopped = Some(AtomicI64::new(start.0));
        Self(Arc::new(Hands { stopped, offset: AtomicI64::new(0) }))
    }

    /// Now.
    pub fn now(&self) -> Millis {
        match &self.0.stopped {
            Some(hands) => Millis(hands.load(Ordering::Relaxed)),
            None => Millis(machine_millis().saturating_add(self.0.offset.load(Ordering::Relaxed))),
        }
    }

    /// Moves a stopped clock on; the machine's own clock is left alone.
    pub fn advance(&self, by: Seconds) {
        if let Some(hands) = &self.0.stopped {
            hands.fetch_add(by.millis(), Ordering::Relaxed);
        }
    }

    /// Takes over the time of the database, read just now: nodes that share one agree on when a
    /// session ends, whatever their own clocks say. A stopped clock stays as it is.
    pub fn correct_to(&self, database: Millis) {
        self.0.offset.store(database.0.saturating_sub(machine_millis()), Ordering::Relaxed);
    }
}

/// Milliseconds since the machine started, sleep included. It never jumps, so leases use it.
pub fn boot_millis() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

fn machine_millis() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX))
}
