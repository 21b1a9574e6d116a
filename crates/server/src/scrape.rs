//! What `/metrics` shows, on a listener of its own: how much of everything there is.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use tokio::net::TcpListener;

use crate::clock::Millis;
use crate::metrics::{Kind, Text};
use crate::server::Server;

/// Serves metrics on a socket that is open.
pub fn serve(server: &Server, listener: TcpListener) {
    let keep = server.clone();
    let metrics = move || {
        let headers = [
            (CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        let text = text(&keep);
        async move { (headers, text) }
    };
    let router = axum::Router::new().route("/metrics", axum::routing::get(metrics));
    server.background.run(async move {
        let _ = axum::serve(listener, router).await;
    });
}

/// All values of this moment.
pub fn text(server: &Server) -> String {
    let mut out = Text::default();
    server.metrics.write_routes(&mut out);
    connections(server, &mut out);
    sessions(server, &mut out);
    storage(server, &mut out);
    hashing(server, &mut out);
    cluster(server, &mut out);
    jobs(server, &mut out);
    out.finish()
}

fn connections(server: &Server, out: &mut Text) {
    let metrics = &server.metrics;
    out.one("usher_connections", Kind::Gauge, "Connections open now.", metrics.connections.get());
    out.one(
        "usher_connections_refused_total",
        Kind::Counter,
        "Connections turned away because there were too many.",
        metrics.connections_refused.get(),
    );
    out.one(
        "usher_heads_too_slow_total",
        Kind::Counter,
        "Connections closed because the head of a request came too slowly.",
        metrics.heads_too_slow.get(),
    );
    out.one("usher_panics_total", Kind::Counter, "Panics that were caught.", metrics.panics.get());
}

fn sessions(server: &Server, out: &mut Text) {
    let metrics = &server.metrics;
    out.one(
        "usher_session_cache_hits_total",
        Kind::Counter,
        "Session checks from memory.",
        metrics.session_hits.get(),
    );
    out.one(
        "usher_session_cache_misses_total",
        Kind::Counter,
        "Session checks that asked the database.",
        metrics.session_misses.get(),
    );
    let plans = &server.apps.plans;
    out.one(
        "usher_query_plan_hits_total",
        Kind::Counter,
        "Queries whose plan was in memory.",
        plans.hits.get(),
    );
    out.one(
        "usher_query_plan_misses_total",
        Kind::Counter,
        "Queries whose plan was made.",
        plans.misses.get(),
    );
    out.one("usher_query_plans", Kind::Gauge, "Plans of queries in memory.", plans.len());
    out.one("usher_sessions_cached", Kind::Gauge, "Sessions in memory.", server.live.len());
    out.one(
        "usher_session_uses_waiting",
        Kind::Gauge,
        "Uses of sessions that have yet to be written down.",
        server.live.waiting_touches(),
    );
    out.one("usher_apps_open", Kind::Gauge, "Applications in memory.", server.apps.loaded().len());
}

fn storage(server: &Server, out: &mut Text) {
    let stats = server.cell.stats();
    let mut lanes = |name, kind, help, value: fn(&engine::QueueStats) -> f64| {
        out.family(name, kind, help);
        for (lane, stats) in [("read", stats.reads), ("write", stats.writes)] {
            out.value("", &[("lane", lane)], value(&stats));
        }
    };
    let help = "Units of work that wait for the database.";
    lanes("usher_storage_waiting", Kind::Gauge, help, |it| count(it.length as u64));
    let help = "Units of work that the database has taken on.";
    lanes("usher_storage_taken_total", Kind::Counter, help, |it| count(it.taken));
    let help = "Units of work refused because too many waited.";
    lanes("usher_storage_refused_total", Kind::Counter, help, |it| count(it.refused));
    let help = "How long the taken units of work have waited, in sum.";
    lanes("usher_storage_wait_seconds_total", Kind::Counter, help, |it| it.waited.as_secs_f64());
    let help = "The longest wait of a unit of work since the start.";
    lanes("usher_storage_longest_wait_seconds", Kind::Gauge, help, |it| it.longest.as_secs_f64());
    out.one("usher_storage_commits_total", Kind::Counter, "Transactions committed.", stats.commits);
    out.one(
        "usher_storage_committed_units_total",
        Kind::Counter,
        "Units of work in committed transactions; divided by these, the size of a group.",
        stats.committed,
    );
    out.one(
        "usher_storage_retries_total",
        Kind::Counter,
        "Units of work run again after a conflict or a lost connection.",
        stats.retries,
    );
    out.one(
        "usher_storage_connections",
        Kind::Gauge,
        "Database connections open now.",
        stats.connections,
    );
}

fn hashing(server: &Server, out: &mut Text) {
    let stats = server.passwords.stats();
    out.one("usher_hashes_waiting", Kind::Gauge, "Passwords that wait to be hashed.", stats.queued);
    out.one(
        "usher_hashes_longest_wait_seconds",
        Kind::Gauge,
        "How long the one that has waited longest has waited.",
        stats.longest_wait.as_secs_f64(),
    );
    out.one("usher_hashes_total", Kind::Counter, "Passwords hashed or checked.", stats.done);
    out.one(
        "usher_password_checks_total",
        Kind::Counter,
        "Passwords checked.",
        server.passwords.checks(),
    );
    out.one(
        "usher_hashes_refused_total",
        Kind::Counter,
        "Passwords refused because the wait was too long.",
        stats.refused,
    );
    out.one(
        "usher_hashes_skipped_total",
        Kind::Counter,
        "Passwords not hashed because whoever asked had gone.",
        stats.skipped,
    );
}

/// As counted some seconds ago: the rows lie in the databases of the applications.
fn jobs(server: &Server, out: &mut Text) {
    let (tally, now) = (server.agenda.tally(), server.clock.now());
    let age = |since: Option<Millis>| since.map_or(0.0, |it| seconds((now.0 - it.0).max(0)));
    let both = [
        ("job", (tally.jobs, tally.jobs_failed), age(tally.oldest_job)),
        ("delivery", (tally.deliveries, tally.deliveries_failed), age(tally.oldest_delivery)),
    ];
    let help = "Jobs, and deliveries of the outbox, that wait or run, and that were given up.";
    out.family("usher_jobs", Kind::Gauge, help);
    for (kind, (waiting, failed), _) in both {
        out.value("", &[("kind", kind), ("state", "waiting")], waiting);
        out.value("", &[("kind", kind), ("state", "failed")], failed);
    }
    let help = "For how long the oldest waiting job or delivery has been due.";
    out.family("usher_jobs_oldest_seconds", Kind::Gauge, help);
    for (kind, _, age) in both {
        out.value("", &[("kind", kind)], age);
    }
}

/// Beside an embedded database there are no other nodes, and nothing of this.
fn cluster(server: &Server, out: &mut Text) {
    if !server.lease.is_shared() {
        return;
    }
    out.one(
        "usher_lease_age_seconds",
        Kind::Gauge,
        "Since the last successful poll of the change log began.",
        seconds(server.lease.age()),
    );
    out.one(
        "usher_change_log_lag_seconds",
        Kind::Gauge,
        "How long the last successful poll of the change log took.",
        seconds(server.lease.lag()),
    );
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 one more does not matter")]
fn count(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "a time in seconds need not be exact")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1e3
}
