//! The built program starts, refuses to start, and stops.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use super::database::Home;
use super::harness::{HORSE, PATIENCE, TestApp};
use super::load::number;
use super::process::{self, Process, run, usher_at};

const STOPS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_14_asked_to_stop_the_server_says_so_answers_what_it_took_and_ends_well() {
    let home = Home::empty().await;
    process::developer(&home);
    let made = process::app(&home, "First", "compat");
    let (rounds, mut told) = (number("USHER_TEST_STOPS", STOPS), 0);
    for round in 0..rounds {
        let server = Process::start(&home);
        let answers = AtomicUsize::new(ready(server.app(&made)).await.len());
        let stopped = AtomicBool::new(false);
        let client = |which: u64| {
            let (app, answers, stopped) = (server.app(&made), &answers, &stopped);
            async move {
                let mut count = 0;
                while !stopped.load(Ordering::Relaxed) {
                    count += 1;
                    let call = match which % 3 {
                        0 => app.post("/users/register/guest", json!({})),
                        1 => app.get("/users/userclassprops"),
                        _ => {
                            let email = format!("u{round}.{which}.{count}@example.com");
                            app.post(
                                "/users/register",
                                json!({ "email": email, "password": HORSE }),
                            )
                        }
                    };
                    // Every other client opens a connection for each request.
                    let call = if which < 3 { call } else { call.header("connection", "close") };
                    if let Ok(reply) = call.try_send().await {
                        assert_eq!(reply.status, 200, "{reply:?}");
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        };
        let watch = async {
            let (app, mut seen) = (server.app(&made), Vec::new());
            loop {
                let call = app.outside(Method::GET, "/readyz").header("connection", "close");
                let Ok(reply) = call.try_send().await else { break };
                answers.fetch_add(1, Ordering::Relaxed);
                seen.push((reply.status, String::from_utf8_lossy(&reply.body).into_owned()));
                if reply.status == 503 {
                    let alive = app.outside(Method::GET, "/healthz").try_send().await;
                    answers.fetch_add(usize::from(alive.is_ok()), Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stopped.store(true, Ordering::Relaxed);
            seen
        };
        let stop = async {
            tokio::time::sleep(Duration::from_millis(50 + round % 20 * 7)).await;
            server.terminate();
        };
        let load = futures_util::future::join_all((0..6).map(client));
        let (_, seen, ()) = tokio::join!(load, watch, stop);
        let answers = answers.load(Ordering::Relaxed);
        let says = |it: &(StatusCode, String)| it.0 == 503 && it.1.contains("draining");
        let draining: Vec<_> = seen.iter().skip_while(|it| !says(it)).collect();
        assert!(draining.iter().all(|it| says(it)), "{seen:?}");
        told += u64::from(!draining.is_empty());

        let ended = server.wait(PATIENCE);
        assert!(ended.status.success(), "{ended:?}");
        assert!(!ended.err.contains("cut off"), "{}", ended.err);
        let logged = ended.err.lines().filter(|it| it.contains(r#""message":"request""#)).count();
        assert_eq!(answers, logged, "whole answers, and requests that were answered");
    }
    // A machine that is very busy may not get round to asking in the moment that there is.
    assert!(told * 2 > rounds, "it said so in {told} of {rounds} rounds");
}

/// A request whose body never comes.
fn hang(server: &Process) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head = "POST /console/home/login HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

async fn refuses(server: &Process) {
    let start = Instant::now();
    while TcpStream::connect(server.address()).is_ok() {
        assert!(start.elapsed() < PATIENCE, "it takes connections still");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn d_14_a_request_that_hangs_is_cut_off_at_the_limit() {
    let home = Home::empty().await;
    let server = Process::start_with(&home, |it| {
        it.args(["--drain-seconds", "1"]);
    });
    let mut hanging = hang(&server);
    server.terminate();
    let ended = server.wait(Duration::from_secs(10));
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.err.contains("cut off"), "{}", ended.err);
    assert_eq!(hanging.read(&mut [0; 10]).unwrap_or(0), 0);
}

#[tokio::test]
async fn d_14_asked_twice_the_server_ends_at_once() {
    let home = Home::empty().await;
    let server = Process::start_with(&home, |it| {
        it.args(["--drain-seconds", "100"]);
    });
    let _hanging = hang(&server);
    server.terminate();
    refuses(&server).await;
    server.terminate();
    let ended = server.wait(Duration::from_secs(10));
    assert!(!ended.status.success(), "{ended:?}");
}

#[tokio::test]
async fn d_15_ready_means_that_it_can_serve_also_after_a_kill() {
    let home = Home::empty().await;
    process::developer(&home);
    let made = process::app(&home, "First", "standard");
    let mut users: Vec<(String, String)> = Vec::new();
    for round in 0..3 {
        // A port that was free just now.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let app = TestApp::known(&format!("http://{listen}"), &made);
        let asking = tokio::task::JoinSet::from_iter([ready(app.clone())]);
        let server = Process::of(usher_at(&home, &["serve", "--listen", &listen])).unwrap();
        for (status, body) in asking.join_all().await.concat() {
            assert!(status == 200 || status == 503, "{status} {body}");
        }
        // Ready: everything that was acknowledged before the kill works at once.
        for (email, token) in &mut users {
            assert!(app.is_valid(token).await, "round {round}");
            *token = app.token(email).await;
        }
        let email = format!("u{round}@example.com");
        app.user(&email).await;
        let token = app.token(&email).await;
        users.push((email, token));
        server.kill();
        if !home.is_shared() {
            let folder = std::fs::read_dir(home.dir().join("apps")).unwrap().next().unwrap();
            let journal = folder.unwrap().path().join("app.db-wal");
            assert!(std::fs::metadata(journal).unwrap().len() > 0, "the kill leaves a journal");
        }
    }
}

/// A measure, not a test: how long a start takes, empty and after a kill with many users.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measure; `USHER_TEST_USERS` says with how many users"]
#[expect(clippy::print_stderr, reason = "figures, for who asks for them")]
async fn d_15_measures_how_long_a_start_takes() {
    let home = Home::empty().await;
    let users = number("USHER_TEST_USERS", 20_000);
    let empty = Process::start(&home).started_in;
    process::developer(&home);
    let made = process::app(&home, "First", "compat");
    let server = Process::start(&home);
    let app = server.app(&made);
    let guests = (0..16).map(|_| async {
        for _ in 0..users / 16 {
            app.guest().await;
        }
    });
    futures_util::future::join_all(guests).await;
    server.kill();
    let start = Instant::now();
    let server = Process::start(&home);
    let listening = server.started_in;
    let app = server.app(&made);
    ready(app.clone()).await;
    let serving = start.elapsed();
    app.guest().await;
    eprintln!(
        "empty: {empty:.0?}; after kill -9 with {users} users: {listening:.0?}, ready {serving:.0?}, \
         first write answered {:.0?}",
        start.elapsed()
    );
}

/// Asks until the server is ready; all that it has said.
async fn ready(app: TestApp) -> Vec<(StatusCode, String)> {
    let (start, mut said) = (Instant::now(), Vec::new());
    while start.elapsed() < PATIENCE {
        let Ok(reply) = app.outside(Method::GET, "/readyz").try_send().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        said.push((reply.status, String::from_utf8_lossy(&reply.body).into_owned()));
        if reply.status == 200 {
            return said;
        }
    }
    panic!("never ready: {said:?}");
}

#[tokio::test]
async fn d_16_a_data_directory_has_one_process_and_a_dead_one_blocks_nobody() {
    let home = Home::empty().await;
    let mut first = Process::start(&home);
    let second = Process::of(usher_at(&home, &["serve", "--listen", "127.0.0.1:0"]));
    if home.is_shared() {
        // Nodes on PostgreSQL are equals.
        assert!(second.is_ok());
    } else {
        let refused = second.err().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
        assert!(refused.err.contains("another usher runs in"), "{}", refused.err);
        assert!(refused.err.contains(&home.dir().display().to_string()), "{}", refused.err);
    }
    assert!(first.is_running());
    first.kill();
    let third = Process::start(&home);
    process::developer(&home);
    assert!(third.stop().status.success());
}

#[tokio::test]
async fn d_16_commands_work_without_a_server_and_beside_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::empty().await;
    process::developer(&home);
    let before = process::app(&home, "before", "standard");
    let server = Process::start(&home);
    let beside = process::app(&home, "beside", "standard");
    for made in [&before, &beside] {
        server.app(made).guest().await;
    }
    process::reset_developer(&home, "and five more words\n");
    for (password, status) in [(process::DEVELOPER.1, 401), ("and five more words", 200)] {
        let login = server.app(&before).outside(Method::POST, "/console/home/login");
        let body = json!({ "login": process::DEVELOPER.0, "password": password });
        assert_eq!(login.body(body).send().await.status, status);
    }
    if !home.is_shared() {
        let mode = |it: &str| home.dir().join(it).metadata().unwrap().permissions().mode() & 0o777;
        for (file, expected) in [
            ("usher.sock", 0o600),
            ("usher.lock", 0o600),
            ("master.key", 0o600),
            ("control.db", 0o600),
            ("control.db-wal", 0o600),
            ("apps", 0o700),
        ] {
            assert_eq!(mode(file), expected, "{file}: {:o}", mode(file));
        }
    }
    // What is wrong is said in one line, by the running server and without it.
    let taken = ["app", "create", "--name", "beside", "--json"];
    let refused = run(usher_at(&home, &taken), "");
    server.kill();
    let again = run(usher_at(&home, &taken), "");
    for refused in [refused, again] {
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(refused.err.contains("application of this name"), "{}", refused.err);
        assert_eq!((refused.err.lines().count(), refused.out.as_str()), (1, ""), "{refused:?}");
    }
    // Several at once wait for each other, and for a server that is starting.
    let at_once = |name: &'static str| {
        let words = ["app", "create", "--name", name, "--profile", "compat", "--json"];
        let command = usher_at(&home, &words);
        std::thread::spawn(move || run(command, ""))
    };
    let some = ["a", "b", "c", "d"].map(at_once);
    let made = some.map(|it| it.join().unwrap());
    let more = ["e", "f", "g", "h"].map(at_once);
    let server = loop {
        // A command may have the data at this very moment.
        match Process::of(usher_at(&home, &["serve", "--listen", "127.0.0.1:0"])) {
            Ok(server) => break server,
            Err(refused) => assert!(refused.err.contains("another usher"), "{refused:?}"),
        }
    };
    for made in made.into_iter().chain(more.map(|it| it.join().unwrap())) {
        assert!(made.status.success(), "{made:?}");
        let made = serde_json::from_str(&made.out).unwrap();
        server.app(&made).user("ann@example.com").await;
    }
}

#[tokio::test]
async fn k_06_the_setup_link_works_once_and_the_newest_alone() {
    let home = Home::empty().await;
    let first = Process::start(&home);
    let old = first.setup_link().unwrap();
    first.kill();
    let server = Process::start(&home);
    let link = server.setup_link().unwrap();
    let path = |link: &str| link[link.find("/setup/").unwrap()..].to_owned();
    let (old, link) = (path(&old), path(&link));
    // 128 bits, in hexadecimal digits.
    assert_eq!(link.bytes().filter(u8::is_ascii_hexdigit).count(), 32 + 1, "the e of setup");
    let nobody = json!({ "id": "x", "apiKeys": {
        "ANDROID": "", "IOS": "", "JS": "", "REST": "", "WP": "", "AS": "", "BL": "",
    } });
    let app = server.app(&nobody);
    let look = |path: &str| app.outside(Method::GET, path).send();
    assert!(!look(&old).await.status.is_success(), "an older link is dead");
    for _ in 0..3 {
        assert!(look(&link).await.status.is_success(), "looking spends nothing");
    }

    let mut race = JoinSet::new();
    for number in 0..8 {
        let form = format!(
            "email=dag{number}%40example.com&name=Dag&password=four+words+in+a+row&app=First"
        );
        let call = app.outside(Method::POST, &link).raw(form);
        race.spawn(call.header("x-number", &number.to_string()).send());
    }
    let replies = race.join_all().await;
    let winners = replies.iter().filter(|it| it.status.is_success()).count();
    assert_eq!(winners, 1, "{replies:?}");
    assert!(replies.iter().all(|it| it.status.is_success() || it.status.is_client_error()));
    assert!(!look(&link).await.status.is_success(), "a link is dead after its use");
    drop(server);
    assert_eq!(Process::start(&home).setup_link(), None, "there is a developer");
}
