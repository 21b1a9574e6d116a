//! What the operator sees: counters and log lines, and that neither tells on anybody.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use http::Method;
use serde_json::{Value, json};
use server::config::Options;
use server::scrape;
use tokio::net::TcpListener;

use crate::harness::{HORSE, OWNER, Setup, TestServer};
use crate::wire::{Wire, exchange};

/// Reads the text as Prometheus would: value by name with labels. Panics where it could not.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let (mut values, mut kinds, mut last) = (BTreeMap::new(), BTreeMap::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(words.ends_with('.'), "{line}");
            name.clone_into(&mut last);
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, last, "HELP comes before TYPE: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        let family = name.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|it| family.strip_suffix(it));
        let base = base.filter(|it| *it == last).unwrap_or(family);
        assert_eq!(base, last, "a value stands under its own TYPE: {line}");
        assert!(base.starts_with("usher_"), "{line}");
        if let Some(labels) = name.strip_prefix(family).filter(|it| !it.is_empty()) {
            assert!(labels.starts_with('{') && labels.ends_with('}'), "{line}");
            for label in labels[1..labels.len() - 1].split(',') {
                let (name, text) = label.split_once('=').unwrap();
                assert!(
                    ["route", "status", "lane", "le", "kind", "state"].contains(&name),
                    "{line}"
                );
                assert!(text.starts_with('"') && text.ends_with('"'), "{line}");
            }
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
        assert!(values.insert(name.to_owned(), value).is_none(), "twice: {line}");
    }
    values
}

#[tokio::test]
async fn a_login_moves_the_counters_that_it_should() {
    let server = TestServer::start().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let before = parse(&scrape::text(&server.server));
    let token = app.token("ann@example.com").await;
    app.login("ann@example.com", "a wrong password").await.refused(3003);
    app.read(&ann, &token).await.ok();
    app.read(&ann, &token).await.ok();
    let after = parse(&scrape::text(&server.server));
    let moved = |name: &str| {
        let value = |of: &BTreeMap<String, f64>| of.get(name).copied().unwrap_or_default();
        value(&after) - value(&before)
    };
    for (name, expected) in [
        ("usher_requests_total{route=\"login\",status=\"2xx\"}", 1.0),
        ("usher_requests_total{route=\"login\",status=\"4xx\"}", 1.0),
        ("usher_requests_total{route=\"readObject\",status=\"2xx\"}", 2.0),
        ("usher_request_seconds_count{route=\"login\"}", 2.0),
        ("usher_request_seconds_bucket{route=\"login\",le=\"+Inf\"}", 2.0),
        ("usher_password_checks_total", 2.0),
        ("usher_hashes_total", 2.0),
        ("usher_hashes_refused_total", 0.0),
        ("usher_session_cache_misses_total", 1.0),
        ("usher_session_cache_hits_total", 1.0),
        ("usher_sessions_cached", 1.0),
        ("usher_session_uses_waiting", 1.0),
        ("usher_storage_refused_total{lane=\"write\"}", 0.0),
        ("usher_panics_total", 0.0),
        ("usher_connections_refused_total", 0.0),
    ] {
        assert!((moved(name) - expected).abs() < 1e-9, "{name}: {}", moved(name));
    }
    for name in [
        "usher_request_seconds_sum{route=\"login\"}",
        "usher_storage_taken_total{lane=\"read\"}",
        "usher_storage_taken_total{lane=\"write\"}",
        "usher_storage_wait_seconds_total{lane=\"write\"}",
        "usher_storage_commits_total",
        "usher_storage_committed_units_total",
    ] {
        assert!(moved(name) > 0.0, "{name}");
    }
    assert!(after["usher_connections"] >= 1.0);
    assert!(after["usher_apps_open"] >= 1.0);
    assert!(after["usher_storage_connections"] >= 1.0);
    let shared = server.home().is_shared();
    assert_eq!(after.contains_key("usher_lease_age_seconds"), shared);
    assert_eq!(after.contains_key("usher_change_log_lag_seconds"), shared);
}

#[tokio::test]
async fn k_11_metrics_have_an_address_of_their_own_and_tell_no_identities() {
    let server = TestServer::start().await;
    let app = &server.app;
    app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    let desk = server.desk().await;
    server.call(Method::GET, "/a/stranger/made/this/up").send().await.refused(20002);
    for path in ["/metrics", "/console/metrics", "/api/metrics"] {
        let reply = server.call(Method::GET, path).send().await;
        assert!(reply.status.is_client_error(), "{path}: {reply:?}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("usher_"), "{path}");
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    scrape::serve(&server.server, listener);
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = exchange(address, request).await.remove(0);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(parse(&answer.body).contains_key("usher_sessions_cached"));
    let mut secrets = vec![&*app.id.0, &token, &desk.key, "ann@example.com", OWNER.0, "stranger"];
    secrets.extend(app.keys.values().map(String::as_str));
    for secret in secrets {
        assert!(!answer.body.contains(secret), "{secret}");
    }
    for path in ["/", "/healthz", "/openapi.json", "/console/home/login"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange(address, request).await[0].status, 404, "{path}");
    }
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

thread_local! {
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server whose every word is kept: the test has one thread, and so has the server's door. One
/// subscriber serves all tests, because what is set for one thread alone does not reach places that
/// another has passed before.
async fn watched() -> (TestServer, Log) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| LOG.with_borrow(|it| it.clone().unwrap_or_default()))
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    let log = Log::default();
    LOG.set(Some(log.clone()));
    let options = Options { trusted_proxies: Some("127.0.0.1".to_owned()), ..Options::default() };
    (TestServer::with(Setup { options, ..Setup::default() }).await, log)
}

fn lines(log: &Log) -> Vec<Value> {
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|it| serde_json::from_str(it).unwrap_or_else(|_| panic!("{it:?}"))).collect()
}

#[tokio::test]
async fn a_request_leaves_one_line_that_tells_what_and_how_long_but_not_who_with_which_key() {
    let (server, log) = watched().await;
    let app = &server.app;
    app.user("ann@example.com").await;
    app.login("ann@example.com", "a wrong password").await.refused(3003);
    app.get("/no/such/path").send().await.refused(20002);
    server.call(Method::GET, "/healthz").send().await;
    let lines = lines(&log);
    let requests: Vec<&Value> =
        lines.iter().map(|it| &it["fields"]).filter(|it| it["message"] == "request").collect();
    let shown: Vec<Value> = requests
        .iter()
        .map(|it| json!([it["route"], it["app"], it["method"], it["status"]]))
        .collect();
    let id = &*app.id.0;
    assert_eq!(
        shown,
        [
            json!(["register", id, "POST", 200]),
            json!(["login", id, "POST", 401]),
            json!(["none", id, "GET", 404]),
            json!(["alive", "", "GET", 200]),
        ]
    );
    for line in requests {
        assert!(line["micros"].is_u64(), "{line}");
        assert!(line["request"].as_str().unwrap().contains('-'), "{line}");
        assert_eq!(line.as_object().unwrap().len(), 7, "{line}");
    }
}

#[tokio::test]
async fn k_07_k_08_at_the_most_talkative_level_no_secret_is_logged_and_no_line_is_forged() {
    let (server, log) = watched().await;
    let app = &server.app;
    let typo = "correct hoarse";
    app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    app.login("ann@example.com", typo).await.refused(3003);
    assert!(app.is_valid(&token).await);
    let desk = server.desk().await;
    desk.about(Method::GET, "/appsettings").send().await.ok();
    let query = format!("/users/login?user-token={token}&password={HORSE}").replace(' ', "%20");
    app.get(&query).token(&token).header("cookie", "session=a-cookie-value").send().await;
    app.get("/users/logout").header("authorization", "Bearer a-bearer-value").send().await.ok();
    app.log_out(&token).await.ok();
    app.read("x", &token).await.refused(3064);
    let wrong = json!({ "login": "ann@example.com", "password": { "x": "a-nested-value" } });
    app.post("/users/login", wrong).send().await.refused(3006);
    app.call(Method::POST, "/users/login")
        .raw("{\"password\": \"half-a-body")
        .send()
        .await
        .refused(20004);

    // Words of a client that would make lines of their own.
    let forged = "x\u{1b}[31m\",\"message\":\"forged";
    for (method, headers) in [
        ("GET", "User-Agent: forged\x1b[31m\r\n".to_owned()),
        ("FORGED", "X: y\r\n".to_owned()),
        ("GET", "X-Forwarded-For: \"forged\r\n".to_owned()),
    ] {
        let mut wire = Wire::open(server.address).await;
        let path = format!("/{}/{}/users/%0Aforged", app.id.0, app.keys["JS"]);
        wire.say(format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
        ))
        .await;
        wire.hear_out().await;
    }
    app.login(forged, forged).await.refused(3003);
    server
        .server
        .apps
        .platform
        .data
        .read(|_| Err::<(), _>(server::error::Error::denied()))
        .await
        .ok();

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let all = lines(&log); // every line is whole JSON
    assert!(all.len() > 15);
    assert!(text.bytes().all(|it| it == b'\n' || !it.is_ascii_control()), "control characters");
    assert!(all.iter().all(|it| it["fields"]["message"] != "forged"));
    let mut secrets = vec![HORSE, typo, &token, &desk.key, OWNER.1, "ann@example.com", OWNER.0];
    secrets.extend(["a-cookie-value", "a-bearer-value", "a-nested-value", "half-a-body"]);
    secrets.extend(app.keys.values().map(String::as_str));
    for secret in secrets {
        let found = text.lines().find(|it| it.contains(secret));
        assert_eq!(found, None, "{secret} is in the log");
    }
    for key in app.keys.values() {
        assert!(!text.contains(&key[..8]), "more than four characters of a key");
    }
}
