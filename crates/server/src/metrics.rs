//! Counters of the server, and the text format of Prometheus. They tell no identities.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Upper bounds of the duration buckets, in microseconds.
const BUCKETS: [u64; 10] =
    [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 5_000_000];

/// Something that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many since the start.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Something that there is more or less of.
#[derive(Debug, Default)]
pub struct Gauge(AtomicUsize);

impl Gauge {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many now.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters by route, and those of the whole server that nothing else keeps.
#[derive(Default)]
pub struct Metrics {
    routes: Vec<Route>,
    /// Panics that were caught: of handlers, units of work, jobs and deliveries.
    pub panics: Counter,
    /// Session checks that were answered from memory.
    pub session_hits: Counter,
    /// Session checks that asked the database.
    pub session_misses: Counter,
    /// Connections open now.
    pub connections: Gauge,
    /// Connections turned away because there were too many.
    pub connections_refused: Counter,
    /// Connections closed because the head of a request did not arrive in time.
    pub heads_too_slow: Counter,
}

#[derive(Default)]
struct Route {
    id: &'static str,
    by_class: [AtomicU64; 4],
    by_duration: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Metrics {
    /// Counters for those routes; 0 counts all that reach none.
    pub fn new(routes: &[&'static str]) -> Self {
        let ids = std::iter::once("none").chain(routes.iter().copied());
        Self { routes: ids.map(|id| Route { id, ..Route::default() }).collect(), ..Self::default() }
    }

    /// Counts an answer of route number `route` (1 is the first).
    pub fn count(&self, route: usize, status: u16, micros: u64) {
        let Some(route) = self.routes.get(route) else { return };
        let class = usize::from(status / 100).clamp(2, 5) - 2;
        route.by_class[class].fetch_add(1, Ordering::Relaxed);
        let bucket = BUCKETS.iter().position(|it| micros <= *it).unwrap_or(BUCKETS.len());
        route.by_duration[bucket].fetch_add(1, Ordering::Relaxed);
        route.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes the counters of all routes that have been used.
    pub fn write_routes(&self, out: &mut Text) {
        out.family("usher_requests_total", Kind::Counter, "Answers by route and class of status.");
        for route in &self.routes {
            for (class, count) in ["2xx", "3xx", "4xx", "5xx"].iter().zip(&route.by_class) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    out.value("", &[("route", route.id), ("status", class)], count);
                }
            }
        }
        let help = "Time until the answer was ready, by route.";
        out.family("usher_request_seconds", Kind::Histogram, help);
        for route in &self.routes {
            write_durations(route, out);
        }
    }
}

fn write_durations(route: &Route, out: &mut Text) {
    let label = ("route", route.id);
    let counts = route.by_duration.each_ref().map(|it| it.load(Ordering::Relaxed));
    if counts.iter().all(|it| *it == 0) {
        return;
    }
    let mut sum = 0;
    for (bound, count) in BUCKETS.iter().zip(counts) {
        sum += count;
        let bound = seconds(*bound).to_string();
        out.value("_bucket", &[label, ("le", &bound)], sum);
    }
    sum += counts[BUCKETS.len()];
    out.value("_bucket", &[label, ("le", "+Inf")], sum);
    out.value("_sum", &[label], seconds(route.micros.load(Ordering::Relaxed)));
    out.value("_count", &[label], sum);
}

#[expect(clippy::cast_precision_loss, reason = "a sum of seconds need not be exact")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// What kind of thing a family of values is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many were how long.
    Histogram,
}

/// The text that Prometheus reads (exposition format 0.0.4). Labels are ours, never a client's, so
/// nothing in them needs an escape.
#[derive(Default)]
pub struct Text {
    text: String,
    name: &'static str,
}

impl Text {
    /// Begins the values of that name.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.name = name;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One value of the family that was begun last.
    pub fn value(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (index, (name, label)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"{label}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    /// A family of one value without labels.
    pub fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.value("", &[], value);
    }

    /// All that was written.
    pub fn finish(self) -> String {
        self.text
    }
}
