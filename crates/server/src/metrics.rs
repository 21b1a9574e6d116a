//! Counters of the server, in the text format of Prometheus. They tell no identities.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the duration buckets, in microseconds.
const BUCKETS: [u64; 10] =
    [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 5_000_000];

/// Counters by route, and a few of the whole server.
#[derive(Default)]
pub struct Metrics {
    routes: Vec<Route>,
    /// Panics that were caught.
    pub panics: AtomicU64,
    /// Session checks that were answered from memory.
    pub session_hits: AtomicU64,
    /// Session checks that asked the database.
    pub session_misses: AtomicU64,
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
    pub fn write(&self, out: &mut String) {
        out.push_str("# TYPE usher_requests_total counter\n");
        for route in &self.routes {
            for (class, count) in ["2xx", "3xx", "4xx", "5xx"].iter().zip(&route.by_class) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let id = route.id;
                    let _ = writeln!(
                        out,
                        "usher_requests_total{{route=\"{id}\",status=\"{class}\"}} {count}"
                    );
                }
            }
        }
        out.push_str("# TYPE usher_request_seconds histogram\n");
        for route in &self.routes {
            write_durations(route, out);
        }
        for (name, value) in [
            ("usher_panics_total", &self.panics),
            ("usher_session_cache_hits_total", &self.session_hits),
            ("usher_session_cache_misses_total", &self.session_misses),
        ] {
            let _ =
                writeln!(out, "# TYPE {name} counter\n{name} {}", value.load(Ordering::Relaxed));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sum of seconds need not be exact")]
fn write_durations(route: &Route, out: &mut String) {
    let id = route.id;
    let mut sum = 0;
    let counts = route.by_duration.each_ref().map(|it| it.load(Ordering::Relaxed));
    if counts.iter().all(|it| *it == 0) {
        return;
    }
    for (bound, count) in BUCKETS.iter().zip(counts) {
        sum += count;
        let bound = *bound as f64 / 1e6;
        let _ =
            writeln!(out, "usher_request_seconds_bucket{{route=\"{id}\",le=\"{bound}\"}} {sum}");
    }
    sum += counts[BUCKETS.len()];
    let micros = route.micros.load(Ordering::Relaxed) as f64 / 1e6;
    let _ = writeln!(
        out,
        "usher_request_seconds_bucket{{route=\"{id}\",le=\"+Inf\"}} {sum}\n\
             usher_request_seconds_sum{{route=\"{id}\"}} {micros}\n\
             usher_request_seconds_count{{route=\"{id}\"}} {sum}"
    );
}
