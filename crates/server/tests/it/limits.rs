//! How much a client may ask for, for how long, and what the rest notice of it (security section
//! 12).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use server::config::Options;
use server::error::Error;
use server::router;
use server::web::{Access, Answer, Asked, Outer, Reply, State, Token, get, listen};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{HORSE, Setup, TestServer, unbraked, until};
use crate::wire::{Wire, exchange};

async fn server(options: Options) -> TestServer {
    let profile = server::settings::Profile::Compat;
    TestServer::with(Setup { profile, options, ..Setup::default() }).await
}

/// The head of a request that adds an object.
fn add(server: &TestServer, headers: &str) -> String {
    let (app, key) = (&server.app.id.0, &server.app.keys["JS"]);
    format!("PUT /{app}/{key}/data/Note HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
}

const ALIVE: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn l_01_a_body_is_refused_at_the_limit_and_not_after_it_was_read() {
    let server = server(Options { body_bytes: Some(1000), ..unbraked() }).await;
    let body = |length: usize| format!("{{\"a\":1{}}}", " ".repeat(length - 7));
    for (length, status) in [(7, 200), (999, 200), (1000, 200), (1001, 413), (100_000, 413)] {
        let answer = server.app.call(Method::PUT, "/data/Note").raw(body(length)).send().await;
        assert_eq!(answer.status, status, "{length}: {answer:?}");

        let chunk = format!("{length:x}\r\n{}\r\n0\r\n\r\n", body(length));
        let request = add(&server, "Transfer-Encoding: chunked\r\n") + &chunk;
        let answers = exchange(server.address, request).await;
        assert_eq!(answers[0].status, status, "{length} in chunks: {answers:?}");
    }

    // What is announced need not be sent, not even when the client asks for leave first.
    for headers in ["Content-Length: 1001\r\n", "Content-Length: 1001\r\nExpect: 100-continue\r\n"]
    {
        let answers = exchange(server.address, add(&server, headers)).await;
        let statuses: Vec<u16> = answers.iter().map(|it| it.status).collect();
        assert_eq!(statuses, [413], "{headers}");
        assert!(answers[0].body.contains("20005"), "{answers:?}");
    }
}

#[tokio::test]
async fn l_01_who_is_in_the_middle_of_sending_too_much_still_gets_the_answer() {
    let server = server(Options { body_bytes: Some(1000), ..unbraked() }).await;
    for begin in [
        add(&server, "Content-Length: 900000\r\n"),
        add(&server, "Transfer-Encoding: chunked\r\n") + "dbba0\r\n",
    ] {
        let mut wire = Wire::open(server.address).await;
        wire.say(begin + &"x".repeat(2000)).await;
        wire.stream.readable().await.unwrap();
        for _ in 0..8 {
            // Many a client that cannot send any more does not look for an answer.
            let sent = wire.stream.write_all(&vec![b'x'; 100_000]).await;
            assert!(sent.is_ok(), "{sent:?}");
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(wire.hear().await.status, 413);
    }
}

#[tokio::test]
async fn l_01_a_body_without_an_end_is_cut_off() {
    let server = server(Options::default()).await;
    let wire = Wire::open(server.address).await;
    let (mut read, mut write) = tokio::io::split(wire.stream);
    let head = add(&server, "Transfer-Encoding: chunked\r\n");
    let sending = async {
        write.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
        let mut sent = 0;
        while write.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 1 << 16;
            assert!(sent < 100 << 20, "the server reads on and on");
        }
        sent
    };
    let hearing = async {
        use tokio::io::AsyncReadExt as _;
        let mut heard = Vec::new();
        while read.read_buf(&mut heard).await.is_ok_and(|it| it > 0) {}
        heard
    };
    let both = async { tokio::join!(sending, hearing) };
    let (sent, heard) = timeout(Duration::from_mins(1), both).await.expect("it hangs up");
    // A MiB is the limit, one more is read to be polite, and the rest lies in the sockets.
    assert!(sent < 16 << 20, "{sent} bytes were taken");
    assert!(heard.starts_with(b"HTTP/1.1 413 "), "{:?}", String::from_utf8_lossy(&heard));
}

#[tokio::test]
async fn l_06_compressed_bodies_are_not_taken() {
    let server = server(Options::default()).await;
    for (coding, code) in [
        ("identity", 0),
        ("IDENTITY", 0),
        ("gzip", 20007),
        ("GZIP", 20007),
        ("deflate", 20007),
        ("br", 20007),
        ("zstd", 20007),
        ("x-own", 20007),
        ("identity, gzip", 20007),
        ("", 20007),
        ("\u{e4}", 20007),
    ] {
        let call = server.app.call(Method::PUT, "/data/Note").body(json!({ "title": "x" }));
        let reply = call.header("content-encoding", coding).send().await;
        assert_eq!(reply.code(), code, "{coding:?}: {reply:?}");
        assert!(code == 0 || reply.status == 415, "{coding:?}");
    }
    let call = server.app.call(Method::PUT, "/data/Note").body(json!({ "title": "x" }));
    let two = call.header("content-encoding", "identity").header("content-encoding", "gzip");
    two.send().await.refused(20007);
}

#[tokio::test]
async fn l_02_slow_heads_end_and_nobody_else_notices() {
    let server = server(Options { header_seconds: Some(1), ..unbraked() }).await;
    let begun = Instant::now();
    let slow = (0..200).map(|number| async move {
        let mut wire = Wire::open(server.address).await;
        if number % 2 == 0 {
            wire.say(ALIVE).await;
            assert_eq!(wire.hear().await.status, 200);
        }
        wire.say("GET /healthz HTTP/1.1\r\n").await;
        if number % 10 == 0 {
            // Each letter is in time; the head as a whole is not.
            for letter in ["X", "-", "S", "l", "o", "w", ":", " ", "1", "1", "1", "1"] {
                sleep(Duration::from_millis(100)).await;
                wire.say(letter).await;
            }
        }
        wire.hear_out().await
    });
    let others = async {
        let mut answered = 0;
        while server.server.metrics.heads_too_slow.get() < 200 {
            let mut wire = Wire::open(server.address).await;
            wire.say(ALIVE).await;
            assert_eq!(wire.hear().await.status, 200);
            answered += 1;
            assert!(begun.elapsed() < Duration::from_mins(1), "slow heads end");
            sleep(Duration::from_millis(10)).await;
        }
        answered
    };
    let (slow, others) = tokio::join!(join_all(slow), others);
    for answers in slow {
        let last = &answers[0];
        assert_eq!((last.status, last.header("connection")), (408, "close"));
        assert!(last.body.contains("20030"), "{last:?}");
        assert_eq!(answers.len(), 1);
    }
    assert!(others > 10, "{others} others were answered meanwhile");
}

#[tokio::test]
async fn l_02_a_connection_may_rest_between_requests_longer_than_a_head_may_take() {
    let options = Options { header_seconds: Some(1), idle_seconds: Some(3), ..unbraked() };
    let server = server(options).await;
    let mut silent = Wire::open(server.address).await;
    let mut wire = Wire::open(server.address).await;
    wire.say(ALIVE).await;
    assert_eq!(wire.hear().await.status, 200);
    sleep(Duration::from_millis(1500)).await; // longer than a head may take
    for connection in [&mut wire, &mut silent] {
        connection.say(ALIVE).await;
        assert_eq!(connection.hear().await.status, 200, "it was still open");
    }
    let begun = Instant::now();
    assert!(wire.hear_out().await.is_empty(), "an idle connection ends without a word");
    assert!(begun.elapsed() > Duration::from_secs(2), "and not before its time");
    silent.hear_out().await;
}

#[tokio::test]
async fn l_02_the_time_of_answers_is_not_the_clients() {
    let server = server(Options { header_seconds: Some(1), ..Options::default() }).await;
    let address = with_faults(&server).await;
    let mut wire = Wire::open(address).await;
    // All of them are here before the first is answered, so nothing is read in between.
    wire.say("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3) + ALIVE).await;
    for _ in 0..4 {
        assert_eq!(wire.hear().await.status, 200);
    }
    sleep(Duration::from_millis(200)).await;
    wire.say(ALIVE).await;
    assert_eq!(wire.hear().await.status, 200);
}

#[tokio::test]
async fn l_02_a_body_must_come_at_a_pace() {
    let mut options = Options { body_seconds: Some(1), ..unbraked() };
    let slow = server(options.clone()).await;
    let begin = |server: &TestServer, length: usize, sent: usize| {
        let head = add(server, &format!("Content-Length: {length}\r\n"));
        let body = format!("{{\"a\":\"{}", "x".repeat(sent - 6));
        (server.address, head + &body)
    };
    let open = |(address, text): (SocketAddr, String)| async move {
        let mut wire = Wire::open(address).await;
        wire.say(text).await;
        wire
    };
    // Nothing more comes.
    let begun = Instant::now();
    let answers = open(begin(&slow, 5000, 100)).await.hear_out().await;
    assert_eq!((answers.len(), answers[0].status), (1, 408), "{answers:?}");
    assert!(answers[0].body.contains("20030"), "{answers:?}");
    assert!(begun.elapsed() > Duration::from_secs(1));
    // Three KiB have bought three seconds more, of which two are used.
    let mut wire = open(begin(&slow, 4000, 3072)).await;
    sleep(Duration::from_secs(2)).await;
    wire.say(format!("{}\"}}", "x".repeat(4000 - 3072 - 2))).await;
    assert_eq!(wire.hear_out().await[0].status, 200);

    // The whole request has its time, at whatever pace.
    options.request_seconds = Some(2);
    let strict = server(options).await;
    let begun = Instant::now();
    let answers = open(begin(&strict, 100_000, 50_000)).await.hear_out().await;
    assert_eq!(answers[0].status, 408, "{answers:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn l_02_who_takes_no_answers_loses_the_connection() {
    let server = server(Options { request_seconds: Some(1), ..unbraked() }).await;
    let mut wire = Wire::open(server.address).await;
    let many = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let send = async { while wire.stream.write_all(many.as_bytes()).await.is_ok() {} };
    timeout(Duration::from_mins(1), send).await.expect("it hangs up");
    until("the connection is gone", async || server.server.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn l_03_connections_are_bounded_in_all_and_the_rest_is_told_so() {
    let server = server(Options { connections: Some(3), ..unbraked() }).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::open(server.address).await;
        wire.say(ALIVE).await;
        assert_eq!(wire.hear().await.status, 200);
        open.push(wire);
    }
    for request in ["", ALIVE] {
        let answers = exchange(server.address, request).await;
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{answer:?}");
        assert_eq!(answer.header("connection"), "close");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.body.contains("20001"), "{answer:?}");
    }
    assert_eq!(server.server.metrics.connections_refused.get(), 2);
    open[0].say(ALIVE).await;
    assert_eq!(open[0].hear().await.status, 200, "those who are in stay in");

    open.pop();
    until("a place is free", async || server.server.metrics.connections.get() == 2).await;
    let mut wire = Wire::open(server.address).await;
    wire.say(ALIVE).await;
    assert_eq!(wire.hear().await.status, 200);
}

#[tokio::test]
async fn l_03_one_source_does_not_take_the_places_of_all() {
    let status = |address: SocketAddr, from: &'static str| async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(address).await.unwrap();
        let mut wire = Wire::of(stream);
        wire.say(ALIVE).await;
        let status = wire.hear().await.status;
        (status, wire)
    };
    for (proxies, third) in [(None, 503), (Some("127.0.0.1".to_owned()), 200)] {
        let options =
            Options { connections_per_source: Some(2), trusted_proxies: proxies, ..unbraked() };
        let server = server(options).await;
        let mut open = Vec::new();
        for (from, expected) in [
            ("127.0.0.1", 200),
            ("127.0.0.1", 200),
            ("127.0.0.1", third),
            ("127.0.0.2", 200),
            ("127.0.0.2", 200),
            ("127.0.0.2", 503),
        ] {
            let (status, wire) = status(server.address, from).await;
            assert_eq!(status, expected, "from {from}");
            open.push(wire);
        }
    }
}

async fn boom() -> Reply {
    panic!("on purpose: {HORSE}")
}

async fn boom_inside(State(server): State<server::server::Server>, asked: Asked) -> Reply {
    let data = &server.apps.platform.data;
    let unit = move |_: &engine::Tx<'_>| -> server::error::Result<()> { panic!("{}", asked.id) };
    data.write(unit).await?;
    Ok(Answer::empty())
}

async fn never() -> Reply {
    std::future::pending().await
}

/// The server's routes and some that go wrong, behind a door of their own.
async fn with_faults(server: &TestServer) -> SocketAddr {
    let all = (Access::Anybody, Token::Ignored);
    let mut routes = router::routes();
    routes.push(get(("boom", "/boom", "Panics"), all, boom));
    routes.push(get(("boomInside", "/boom-inside", "Panics in the store"), all, boom_inside));
    routes.push(get(("never", "/never", "Never answers"), all, never));
    routes.push(get(("slow", "/slow", "Answers after a while"), all, slow));
    let outer = Arc::new(Outer::new(&server.server, &routes));
    let (listener, address) = listen::bind("127.0.0.1:0").await.unwrap();
    let keep = server.server.clone();
    keep.background.clone().run_to_end(async move { listen::serve(&keep, listener, outer).await });
    address
}

#[tokio::test]
async fn l_10_a_panic_is_an_answer_and_the_server_goes_on() {
    let server = server(Options { request_seconds: Some(1), ..unbraked() }).await;
    let address = with_faults(&server).await;
    for (round, path) in ["/boom", "/boom-inside", "/boom", "/boom-inside"].iter().enumerate() {
        let mut wire = Wire::open(address).await;
        wire.say(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n{ALIVE}")).await;
        let answer = wire.hear().await;
        assert_eq!(answer.status, 500, "{path}: {answer:?}");
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["code"], 20000, "{path}");
        assert!(body["errorData"]["requestId"].is_string(), "{path}");
        assert!(!answer.body.contains("purpose"), "{path}: the cause stays inside");
        assert_eq!(wire.hear().await.status, 200, "{path}: the connection goes on");
        assert_eq!(server.server.metrics.panics.get(), round as u64 + 1, "{path}");
    }
    server.app.register("ann@example.com", HORSE).await.ok();
    let answers = exchange(address, "GET /never HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answers = answers.await;
    assert_eq!(answers[0].status, 503, "{answers:?}");
    assert!(answers[0].body.contains("20008"), "{answers:?}");
    assert_eq!(answers[0].header("retry-after"), "1");
}

async fn slow() -> Reply {
    sleep(Duration::from_millis(500)).await;
    Ok(Answer::text("done\n"))
}

#[tokio::test]
async fn a_server_that_stops_answers_what_it_has_begun_and_lets_go_of_the_rest() {
    let server = server(Options { drain_seconds: Some(2), ..unbraked() }).await;
    let address = with_faults(&server).await;
    let mut idle = Wire::open(address).await;
    idle.say(ALIVE).await;
    assert_eq!(idle.hear().await.status, 200);
    let (silent, mut half) = (Wire::open(address).await, Wire::open(address).await);
    half.say("GET /healthz HT").await;
    let mut busy = Wire::open(address).await;
    busy.say(format!("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n{ALIVE}")).await;
    let mut stuck = Wire::open(address).await;
    stuck.say("GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until("all are in", async || server.server.metrics.connections.get() == 5).await;

    sleep(Duration::from_millis(100)).await; // the slow one is being answered
    let begun = Instant::now();
    server.server.background.begin_stop();
    assert!(idle.hear_out().await.is_empty(), "nothing was under way");
    assert!(silent.hear_out().await.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(1), "these are let go at once");
    let answers = busy.hear_out().await;
    let [answer] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((&*answer.body, answer.header("connection")), ("done\n", "close"));
    assert!(half.hear_out().await.is_empty());
    assert!(stuck.hear_out().await.is_empty(), "it was cut off");
    assert!(begun.elapsed() < Duration::from_secs(10), "within its time");
    until("nobody is left", async || server.server.metrics.connections.get() == 0).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody comes in");
}

#[tokio::test]
async fn l_07_health_and_sessions_have_room_while_passwords_wait() {
    let options = Options { hash_threads: Some(1), hash_wait_seconds: Some(5), ..unbraked() };
    let server = server(options).await;
    let (app, passwords) = (&server.app, &server.server.passwords);
    app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    let over = AtomicBool::new(false);
    let flood = async {
        // Those that have to wait too long are refused, so the flood ends by itself.
        let logins = (0..400).map(|_| app.login("ann@example.com", "a wrong password"));
        let replies = join_all(logins).await;
        over.store(true, Ordering::Release);
        replies
    };
    let others = async {
        let mut answered = 0;
        until("the queue fills", async || passwords.stats().queued > 10).await;
        while !over.load(Ordering::Acquire) {
            assert_eq!(server.call(Method::GET, "/healthz").send().await.status, 200);
            assert_eq!(server.call(Method::GET, "/readyz").send().await.status, 200);
            assert!(app.is_valid(&token).await);
            answered += usize::from(passwords.stats().queued > 10);
        }
        answered
    };
    let (replies, others) = tokio::join!(flood, others);
    let mut refused = 0;
    for reply in &replies {
        if reply.status == 503 {
            refused += 1;
            let after: u32 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&after), "{after}");
            reply.refused(20001);
        } else {
            reply.refused(3003);
        }
    }
    assert!(refused > 0, "the queue has an end");
    assert!(refused < replies.len(), "and is used");
    assert!(others > 20, "{others} others were answered while passwords waited");
    assert!(passwords.stats().refused >= refused as u64);
}

/// Fills the store's queue of writes. The threads of the store take what they are stuck with at
/// their own time, so it is full when for a while nothing more goes in.
async fn fill(server: &TestServer) -> Vec<impl Future<Output = Result<(), Error>>> {
    let (data, cell) = (server.server.apps.data(&server.app.id), &server.server.cell);
    let mut waiting = Vec::new();
    let mut refused_in_a_row = 0;
    while refused_in_a_row < 20 {
        let before = cell.stats().writes.refused;
        let data = data.clone();
        let mut one =
            Box::pin(async move { data.write(|_: &engine::Tx<'_>| Ok::<_, Error>(())).await });
        let _ = futures_util::poll!(&mut one);
        waiting.push(one);
        assert!(waiting.len() < 10_000, "the queue has an end");
        if cell.stats().writes.refused > before {
            refused_in_a_row += 1;
            sleep(Duration::from_millis(5)).await;
        } else {
            refused_in_a_row = 0;
        }
    }
    waiting
}

#[tokio::test]
async fn l_07_what_the_store_cannot_take_is_refused_at_once() {
    let blocked = Arc::new(AtomicBool::new(false));
    let hold = Arc::clone(&blocked);
    let seen = move |sql: &str| {
        while sql.starts_with("begin") && hold.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let hooks = engine::Hooks { seen: Some(Arc::new(seen)), ..engine::Hooks::default() };
    let server = TestServer::with(Setup { hooks, ..Setup::default() }).await;
    let (app, cell) = (&server.app, &server.server.cell);
    server.hears().await; // what the first reading makes it forget is read again before it is full
    let (_, token) = app.guest().await;
    // A node that was too slow to hear what others have changed forgets what it knows, and a thread of
    // the store that wakes up late makes room for one more, which waits in vain. So a slow machine may
    // need another try to see what is meant.
    until("new users are refused and known ones are not", async || {
        assert!(app.is_valid(&token).await);
        blocked.store(true, Ordering::Release);
        let waiting = fill(&server).await;
        let before = cell.stats().writes;
        assert!(before.length >= 4000, "{before:?}");

        let reply = app.post("/users/register/guest", json!({})).send().await;
        reply.refused(20001);
        assert_eq!(reply.status, 503);
        assert_eq!(reply.headers["retry-after"], "1");
        assert_eq!(server.call(Method::GET, "/healthz").send().await.status, 200);
        let refused = cell.stats().writes.refused > before.refused;
        let known = app.get(&format!("/users/isvalidusertoken/{token}")).send().await;
        // A session in memory needs no store.
        let answered = known.code() == 0;

        blocked.store(false, Ordering::Release);
        drop(waiting);
        until("the queue drains", async || cell.stats().writes.length == 0).await;
        server.hears().await;
        refused && answered
    })
    .await;
    app.guest().await;
}
