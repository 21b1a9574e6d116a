//! Sessions: how they begin, live on and end (users-api 2.6 to 2.9, security section 5).

use std::collections::HashSet;

use http::Method;
use serde_json::json;
use server::clock::{Clock, Millis, Seconds};
use server::settings::Profile;
use server::web::Group;

use crate::harness::{HORSE, START, Setup, TestApp, TestServer, text, until};

/// The time-out of a new application.
const HOUR: u32 = 3600;

#[tokio::test]
async fn a_session_begins_with_a_login_and_ends_with_a_logout() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        assert_eq!(app.read(&ann, &token).await.ok()["email"], "ann@example.com");

        let reply = app.log_out(&token).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, b"".as_slice()));
        let refusal = app.read(&ann, &token).await.refused(3064);
        let words =
            format!("Not existing user token - {token}. Relogin user to update your user token");
        assert_eq!(refusal["message"], words);
        assert!(!app.is_valid(&token).await);
        app.log_out(&token).await.ok(); // out is out, however often one asks
    }
}

#[tokio::test]
async fn u_n03_a_session_ends_an_hour_after_its_last_call_and_a_call_prolongs_it() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;

        server.clock.advance(Seconds(HOUR - 1));
        app.read(&ann, &token).await.ok();
        server.clock.advance(Seconds(HOUR - 1));
        app.read(&ann, &token).await.ok();
        // From here nobody calls. It lives the whole time-out, and at most a minute more.
        server.clock.advance(Seconds(HOUR));
        assert!(app.is_valid(&token).await, "not cut early");
        server.clock.advance(Seconds(61));
        assert!(!app.is_valid(&token).await, "asking did not prolong it");
        app.read(&ann, &token).await.refused(3064);
    }
}

#[tokio::test]
async fn s_06_the_time_out_is_the_applications_and_counts_for_running_sessions() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;

        desk.login_settings(json!({ "sessionTimeoutEnabled": true, "sessionTimeout": 60 })).await;
        server.clock.advance(Seconds(60));
        app.read(&ann, &token).await.ok();
        server.clock.advance(Seconds(67)); // a tenth later at the latest
        app.read(&ann, &token).await.refused(3064);
    }
}

#[tokio::test]
async fn s_06_a_session_ends_after_thirty_days_however_much_it_is_used() {
    for (profile, ends) in [(Profile::Standard, true), (Profile::Compat, false)] {
        let server = TestServer::with(Setup { profile, ..Setup::default() }).await;
        let (app, desk) = (&server.app, server.desk().await);
        let longest = json!({ "sessionTimeoutEnabled": true, "sessionTimeout": 2_592_000 });
        desk.login_settings(longest).await;
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        for _ in 0..29 {
            server.clock.advance(Seconds(24 * HOUR));
            app.read(&ann, &token).await.ok();
        }
        server.clock.advance(Seconds(24 * HOUR - 1));
        app.read(&ann, &token).await.ok();
        server.clock.advance(Seconds(1));
        assert_eq!(app.is_valid(&token).await, !ends, "{profile:?}");
    }
}

#[tokio::test]
async fn s_06_a_developers_session_ends_after_half_an_hour_idle_and_twelve_hours_in_all() {
    for server in TestServer::in_each_profile().await {
        let asked = |desk: &crate::harness::Desk| desk.call(Method::GET, "/home/myaccount").send();
        let desk = server.desk().await;
        server.clock.advance(Seconds(HOUR / 2));
        asked(&desk).await.ok();
        server.clock.advance(Seconds(HOUR / 2 + 61));
        asked(&desk).await.refused(9007);

        let desk = server.desk().await;
        for _ in 0..23 {
            server.clock.advance(Seconds(HOUR / 2));
            asked(&desk).await.ok();
        }
        server.clock.advance(Seconds(HOUR / 2));
        asked(&desk).await.refused(9007);
    }
}

#[tokio::test]
async fn a_use_that_was_not_yet_written_down_when_the_server_stops_is_not_lost() {
    for server in TestServer::in_each_profile().await {
        let ann = server.app.user("ann@example.com").await;
        let token = server.app.token("ann@example.com").await;
        server.clock.advance(Seconds(HOUR - 10));
        server.app.read(&ann, &token).await.ok();
        let server = server.restart().await;
        server.clock.advance(Seconds(HOUR - 10));
        server.app.read(&ann, &token).await.ok();
    }
}

#[tokio::test]
async fn a_kill_with_uses_unwritten_ends_no_session_early_by_more_than_the_flush() {
    for server in TestServer::in_each_profile().await {
        let ann = server.app.user("ann@example.com").await;
        let token = server.app.token("ann@example.com").await;
        // Uses are written down half a minute after the first at the latest: that is all a kill loses.
        let flushed = async |server: &TestServer| {
            until("all is written", async || server.server.live.waiting_touches() == 0).await;
        };
        server.clock.advance(Seconds(HOUR - 60));
        server.app.read(&ann, &token).await.ok();
        server.clock.advance(Seconds(30));
        flushed(&server).await;
        server.app.read(&ann, &token).await.ok(); // this one is lost
        let server = server.crash().await;
        server.clock.advance(Seconds(HOUR));
        server.app.read(&ann, &token).await.ok();
    }
}

#[tokio::test]
async fn u_r14_the_newest_login_wins_where_one_session_is_allowed() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        app.user("ann@example.com").await;
        let first = app.token("ann@example.com").await;
        let second = app.token("ann@example.com").await;
        assert_eq!((app.is_valid(&first).await, app.is_valid(&second).await), (false, true));
    }
}

#[tokio::test]
async fn u_r15_the_last_arriving_login_is_turned_away_where_the_owner_says_so() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "logoutLastUser": true })).await;
        app.user("ann@example.com").await;
        let first = app.token("ann@example.com").await;
        app.login("ann@example.com", HORSE).await.refused(3002);
        assert!(app.is_valid(&first).await);

        app.log_out(&first).await.ok();
        app.token("ann@example.com").await;
        server.clock.advance(Seconds(HOUR + 121)); // dead sessions do not count
        app.token("ann@example.com").await;
    }
}

#[tokio::test]
async fn u_r16_logins_beyond_the_limit_are_refused_or_end_the_oldest() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "enableMultipleLogins": true, "maxConcurrentLogins": 2 }))
            .await;
        app.user("ann@example.com").await;
        let first = app.token("ann@example.com").await;
        server.clock.advance(Seconds(1));
        let second = app.token("ann@example.com").await;
        app.login("ann@example.com", HORSE).await.refused(3044);
        assert!(app.is_valid(&first).await && app.is_valid(&second).await);

        desk.login_settings(json!({ "onLimitReached": "endOldest" })).await;
        server.clock.advance(Seconds(1));
        let third = app.token("ann@example.com").await;
        let alive =
            [app.is_valid(&first).await, app.is_valid(&second).await, app.is_valid(&third).await];
        assert_eq!(alive, [false, true, true]);
    }
}

#[tokio::test]
async fn s_01_tokens_are_128_random_bits() {
    let server = TestServer::start().await;
    let random = &server.server.random;
    let tokens: Vec<String> =
        (0..10_000).map(|_| server::secret::Token::new(random).reveal().to_owned()).collect();
    assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), tokens.len(), "all differ");
    let digits: Vec<Vec<char>> =
        tokens.iter().map(|it| it.chars().filter(|it| *it != '-').collect()).collect();
    for place in 0..32 {
        let mut counts = [0_i32; 16];
        for token in &digits {
            counts[token[place].to_digit(16).unwrap() as usize] += 1;
        }
        // 625 are expected of each, 24 is the standard deviation: six of them is one in a billion.
        assert!(counts.iter().all(|it| (it - 625).abs() < 146), "digit {place}: {counts:?}");
    }
    server.app.user("ann@example.com").await;
    let token = server.app.token("ann@example.com").await;
    let lengths: Vec<usize> = token.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
    assert_eq!(token, token.to_uppercase());
}

#[tokio::test]
async fn s_02_no_secret_that_was_given_out_is_in_the_data() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        let (_, guest) = app.guest().await;
        let desk = server.desk().await;
        let mut secrets = vec![token, guest, desk.key.clone(), HORSE.to_owned()];
        secrets.extend(app.keys.values().cloned());
        secrets.push(crate::harness::OWNER.1.to_owned());

        let data = server.server.apps.data(&app.id);
        let mut kept: Vec<String> = Vec::new();
        for database in [data, server.server.apps.platform.data.clone()] {
            kept.extend(crate::look::everything(&database).await);
        }
        assert!(kept.iter().any(|it| it.contains("ann@example.com")), "the search can find");
        for secret in &secrets {
            let found = kept.iter().find(|it| it.to_uppercase().contains(&secret.to_uppercase()));
            assert!(found.is_none(), "{secret} stands in {found:?}");
        }
        // The files too, whatever stands in them.
        let mut searched = 0;
        for file in crate::look::files(server.home().dir()) {
            let bytes = std::fs::read(&file).unwrap();
            searched += bytes.len();
            for secret in &secrets {
                let hit = bytes
                    .windows(secret.len())
                    .any(|it| it.eq_ignore_ascii_case(secret.as_bytes()));
                assert!(!hit, "{secret} stands in {}", file.display());
            }
        }
        assert!(searched > 0 || server.home().is_shared());
    }
}

#[tokio::test]
async fn s_03_every_login_makes_a_new_token_and_takes_none_that_is_sent_along() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "enableMultipleLogins": true })).await;
        app.user("ann@example.com").await;
        let chosen = "11111111-2222-3333-4444-555555555555";
        let body = json!({ "login": "ann@example.com", "password": HORSE, "user-token": chosen });
        let reply = app.post("/users/login", body).token(chosen).send().await.ok();
        let first = text(&reply["user-token"]);
        let second = app.token("ann@example.com").await;
        assert!(first != chosen && second != chosen && first != second);
        assert!(!app.is_valid(chosen).await);
        let guest = json!({ "user-token": chosen });
        let reply = app.post("/users/register/guest", guest).token(chosen).send().await.ok();
        assert_ne!(reply["user-token"], chosen);
    }
}

/// What ends a session, done to Ann, whose first session has this token.
type Ending = (&'static str, u64);

const ENDINGS: &[Ending] = &[
    ("log out", 3064),
    ("log out everywhere", 3064),
    ("another login", 3064),
    ("disable", 3090),
    ("disable in the Console", 3090),
    ("guest conversion", 3064),
    ("password changed by the user", 3064),
    ("password set in the Console", 3064),
    ("deleted", 3064),
    ("ended by a developer", 3064),
    ("ended by the user", 3064),
    ("key regenerated", 2002),
    ("application deleted", 2002),
];

async fn end(what: &str, server: &TestServer, user: &str, token: &str) {
    let app = &server.app;
    match what {
        "log out" => drop(app.log_out(token).await.ok()),
        "log out everywhere" => {
            let desk = server.desk().await;
            desk.about(Method::POST, "/userlogin/logout/all").send().await.ok();
        }
        "another login" => drop(app.token("ann@example.com").await),
        "disable" => drop(app.set_status(user, "DISABLED").await.ok()),
        "disable in the Console" => {
            let desk = server.desk().await;
            let change = json!({ "userStatus": "DISABLED" });
            desk.about(Method::PUT, &format!("/data/Users/{user}")).body(change).send().await.ok();
        }
        "guest conversion" => {
            let body = json!({ "objectId": user, "email": "bob@example.com", "password": HORSE });
            app.post("/users/register", body).token(token).send().await.ok();
        }
        "password changed by the user" => {
            let desk = server.desk().await;
            desk.login_settings(json!({ "enableMultipleLogins": true })).await;
            let own = app.token("ann@example.com").await;
            app.update(user, &own, json!({ "password": "another horse" })).await.ok();
            assert!(app.is_valid(&own).await, "the one that made the change");
        }
        "password set in the Console" => {
            let desk = server.desk().await;
            let change = json!({ "password": "another horse" });
            desk.about(Method::PUT, &format!("/data/Users/{user}")).body(change).send().await.ok();
        }
        "deleted" => {
            let call = app.server_code(Method::DELETE, &format!("/users/{user}"));
            call.send().await.ok();
        }
        "ended by a developer" => {
            let desk = server.desk().await;
            let call = desk.about(Method::PUT, "/user/sessions/logout");
            call.body(json!([user])).send().await.ok();
        }
        "ended by the user" => {
            let desk = server.desk().await;
            desk.login_settings(json!({ "enableMultipleLogins": true })).await;
            let own = app.token("ann@example.com").await;
            app.call(Method::DELETE, "/users/sessions").token(&own).send().await.ok();
        }
        "key regenerated" => {
            let desk = server.desk().await;
            let settings = desk.about(Method::GET, "/appsettings").send().await.ok();
            let keys = settings["apiKeys"].as_array().unwrap();
            let key = keys.iter().find(|it| it["deviceType"] == "JS").unwrap();
            let path = format!("/apikey/{}/regenerate", text(&key["id"]));
            desk.about(Method::POST, &path).send().await.ok();
        }
        "application deleted" => {
            let desk = server.desk().await;
            desk.about(Method::DELETE, "/application").send().await.ok();
        }
        other => panic!("there is no ending {other}"),
    }
}

#[tokio::test]
async fn s_04_s_05_what_ends_a_session_ends_it_at_once_and_for_ever() {
    for (what, code) in ENDINGS {
        for server in TestServer::in_each_profile().await {
            let app = &server.app;
            let (user, token) = if *what == "guest conversion" {
                app.guest().await
            } else {
                (app.user("ann@example.com").await, app.token("ann@example.com").await)
            };
            app.read(&user, &token).await.ok();
            end(what, &server, &user, &token).await;
            assert_eq!(app.read(&user, &token).await.code(), *code, "{what}: the next request");

            let server = server.crash().await;
            assert_eq!(server.app.read(&user, &token).await.code(), *code, "{what}: after a crash");
            if *code != 2002 {
                assert!(!server.app.is_valid(&token).await, "{what}: after a crash");
            }
            // Neither does it come back when the clock is set back to where it was alive.
            let back = Millis(START.0 - 3_600_000);
            let server = server.restart_with(|it| it.clock = Clock::stopped_at(back)).await;
            let answer = server.app.read(&user, &token).await;
            assert_eq!(answer.code(), *code, "{what}: an hour back");
        }
    }
}

#[tokio::test]
async fn s_04_on_other_nodes_it_ends_within_two_seconds() {
    for (what, code) in ENDINGS {
        let server = TestServer::start().await;
        let Some(other) = server.second_node().await else { return };
        let (user, token) = if *what == "guest conversion" {
            server.app.guest().await
        } else {
            (server.app.user("ann@example.com").await, server.app.token("ann@example.com").await)
        };
        // The other node has it in memory, and believes it.
        other.hears().await;
        other.app.read(&user, &token).await.ok();
        other.app.read(&user, &token).await.ok();
        end(what, &server, &user, &token).await;
        let read = async |app: &TestApp| app.read(&user, &token).await.code() == *code;
        other.knows_within_two_seconds(what, read).await;
        server::start::stop(&other.server).await;
    }
}

#[tokio::test]
async fn s_07_a_token_of_one_application_is_worth_nothing_in_another() {
    let server = TestServer::compat().await;
    let (first, second) = (&server.app, server.new_app("Second", Profile::Compat).await);
    let ann = first.user("ann@example.com").await;
    let token = first.token("ann@example.com").await;
    second.user("ann@example.com").await;
    for path in ["/users/userclassprops", "/info", "/data/Users", &format!("/data/Users/{ann}")] {
        let dead = second.get(path).token(&token).send().await;
        assert_eq!(dead.code(), 3064, "{path}: {dead:?}");
        first.get(path).token(&token).send().await.ok();
    }
    assert!(!second.is_valid(&token).await);
    second.log_out(&token).await.ok();
    assert!(first.is_valid(&token).await, "whoever logs out elsewhere stays logged in here");
    // A user's token opens no Console, and a developer's key is nobody's session.
    let desk = server.desk().await;
    let console = server.call(Method::GET, "/console/home/myaccount");
    console.header("auth-key", &token).send().await.refused(9007);
    first.read(&ann, &desk.key).await.refused(3064);
}

#[tokio::test]
async fn s_08_who_was_disabled_and_enabled_again_must_log_in_again() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        app.set_status(&ann, "DISABLED").await.ok();
        app.read(&ann, &token).await.refused(3090);
        app.login("ann@example.com", HORSE).await.refused(3090);
        app.set_status(&ann, "ENABLED").await.ok();
        app.read(&ann, &token).await.refused(3064);
        app.token("ann@example.com").await;
    }
}

#[tokio::test]
async fn s_09_a_token_counts_in_its_header_alone() {
    let server = TestServer::start().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    let path = format!("/data/Users/{ann}");
    app.get(&path).header("User-Token", &token).send().await.ok();
    for call in [
        app.get(&format!("{path}?user-token={token}")),
        app.get(&path).header("cookie", &format!("user-auth-cookie={token}; user-token={token}")),
        app.get(&path).header("authorization", &format!("Bearer {token}")),
        app.get(&path).header("auth-key", &token),
        app.get(&path).header("x-user-token", &token),
        app.get(&path).body(json!({ "user-token": token })),
    ] {
        call.send().await.refused(2000);
    }
}

#[tokio::test]
async fn s_14_answers_with_personal_data_are_kept_by_nobody() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        for reply in [
            app.register("bob@example.com", HORSE).await,
            app.login("ann@example.com", HORSE).await,
            app.login("ann@example.com", "wrong wrong").await,
            app.read(&ann, &token).await,
            app.post("/users/register/guest", json!({})).send().await,
            desk.about(Method::GET, "/appsettings").send().await,
            desk.call(Method::GET, "/home/myaccount").send().await,
        ] {
            assert_eq!(reply.headers["cache-control"], "no-store", "{reply:?}");
        }
    }
}

#[tokio::test]
async fn s_14_so_are_the_answers_of_every_route() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    let ann = app.user("ann@example.com").await;
    for route in server::router::routes() {
        let path = route.path.trim_start_matches("/{app}/{key}").replace("{app}", &app.id.0);
        let path = path.replace("{id}", &ann).replace("{table}", "Users");
        let call = match route.group {
            Group::App => app.server_code(route.method.clone(), &path),
            _ if ["deleteApp", "consoleLogout"].contains(&route.id) => continue, // the last ones
            _ => server.call(route.method.clone(), &path).header("auth-key", &desk.key),
        };
        let call = if route.method == Method::GET { call } else { call.body(json!({})) };
        let reply = call.send().await;
        assert_eq!(reply.headers["cache-control"], "no-store", "{}: {reply:?}", route.id);
    }
}

#[tokio::test]
async fn s_04_a_node_that_cannot_learn_of_changes_asks_the_database_and_without_it_refuses() {
    let server = TestServer::start().await;
    let faults = std::sync::Arc::new(engine::Faults::default());
    let Some(deaf) = server.node_that_hears_nothing(&faults).await else { return };
    let ann = server.app.user("ann@example.com").await;
    let token = server.app.token("ann@example.com").await;
    deaf.app.read(&ann, &token).await.ok();
    let misses = || deaf.server.metrics.session_misses.get();
    let before = misses();
    deaf.app.read(&ann, &token).await.ok();
    assert_eq!(misses(), before + 1, "what is in memory is not believed");
    faults.fail_at(1);
    let reply = deaf.app.read(&ann, &token).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, 20001));
    server.app.log_out(&token).await.ok();
    deaf.app.read(&ann, &token).await.refused(3064);
    assert_eq!(deaf.call(Method::GET, "/readyz").send().await.status, 503, "and it says so");
    server::start::stop(&deaf.server).await;
}

#[tokio::test]
async fn the_check_of_a_session_that_is_known_neither_reads_nor_writes() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = std::sync::Arc::clone(&seen);
    let note = move |sql: &str| keep.lock().unwrap().push(sql.to_owned());
    let hooks = engine::Hooks { faults: None, seen: Some(std::sync::Arc::new(note)) };
    let server = TestServer::with(Setup { hooks, ..Setup::default() }).await;
    let app = &server.app;
    app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    server.hears().await;
    let ask = || app.get("/info").token(&token).send();
    ask().await.ok();
    seen.lock().unwrap().clear();
    for _ in 0..50 {
        ask().await.ok();
        server.clock.advance(Seconds(1));
    }
    // Beside the requests the server asks for changes elsewhere and for jobs that are due.
    let flushes = |it: &str| it.contains("set last_seen");
    let beside =
        |it: &str| ["sys.changes", "sys.jobs", "sys.outbox"].iter().any(|word| it.contains(word));
    let frames = |it: &str| {
        ["begin", "commit", "savepoint", "release"].iter().any(|word| it.starts_with(word))
    };
    let seen = seen.lock().unwrap();
    let asked: Vec<_> =
        seen.iter().filter(|it| !beside(it) && !flushes(it) && !frames(it)).collect();
    assert!(asked.is_empty(), "{asked:?}");
    assert!(
        seen.iter().filter(|it| flushes(it)).count() <= 2,
        "fifty uses are at most two writings"
    );
}
