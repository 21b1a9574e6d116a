//! Nothing half-done: whatever statement of a request fails, the request has happened as a whole or
//! not at all (security D-3).

use std::sync::Arc;

use engine::{Faults, Hooks};
use http::Method;
use serde_json::json;
use server::sessions::brake;
use server::settings::Profile;

use crate::harness::{Call, Desk, HORSE, Setup, TestServer, text};
use crate::{invariants, look};

/// What the requests are about.
struct People {
    ann: String,
    token: String,
    guest: String,
    guest_token: String,
    desk: Desk,
    key: String,
}

/// Requests that write, by name.
type Request = (&'static str, fn(&TestServer, &People) -> Call);

const REQUESTS: &[Request] = &[
    ("register", |server, _| {
        server.app.post("/users/register", json!({ "email": "bob@example.com", "password": HORSE }))
    }),
    ("register with new properties", |server, _| {
        let body = json!({
            "email": "cid@example.com", "password": HORSE, "shoe": 44, "born": true, "story": "x",
        });
        server.app.post("/users/register", body)
    }),
    ("guest", |server, _| server.app.post("/users/register/guest", json!({}))),
    ("convert a guest", |server, people| {
        let body =
            json!({ "objectId": people.guest, "email": "dag@example.com", "password": HORSE });
        server.app.post("/users/register", body).token(&people.guest_token)
    }),
    ("login", |server, _| {
        server.app.post("/users/login", json!({ "login": "ann@example.com", "password": HORSE }))
    }),
    ("wrong login that locks", |server, _| {
        server.app.post("/users/login", json!({ "login": "eve@example.com", "password": "wrong" }))
    }),
    ("login by id", |server, people| {
        let call = server.app.server_code(Method::POST, "/users/login");
        call.body(json!({ "objectId": people.ann }))
    }),
    ("logout", |server, people| server.app.get("/users/logout").token(&people.token)),
    ("disable", |server, people| {
        let path = format!("/users/{}/status", people.ann);
        server.app.server_code(Method::PUT, &path).body(json!({ "userStatus": "DISABLED" }))
    }),
    ("user through the data API", |server, _| {
        let call = server.app.server_code(Method::POST, "/data/Users");
        call.body(json!({ "email": "fay@example.com", "password": HORSE }))
    }),
    ("object in a new table", |server, people| {
        let call = server.app.call(Method::PUT, "/data/Note").token(&people.token);
        call.body(json!({ "title": "a", "stars": 5 }))
    }),
    ("settings of login", |_, people| {
        people.desk.about(Method::POST, "/userlogin").body(json!({ "maxConcurrentLogins": 7 }))
    }),
    ("a key anew", |_, people| {
        people.desk.about(Method::POST, &format!("/apikey/{}/regenerate", people.key))
    }),
    ("another name", |_, people| {
        people.desk.about(Method::PUT, "/application").body(json!({ "appName": "Renamed" }))
    }),
    ("log out everybody", |_, people| people.desk.about(Method::POST, "/userlogin/logout/all")),
    ("a domain", |_, people| {
        let body = json!({ "domain": "a.example", "apiKeyId": people.key });
        people.desk.about(Method::POST, "/settings/custom-domain").body(body)
    }),
    ("a new application", |_, people| {
        people.desk.call(Method::POST, "/applications").body(json!({ "appName": "Second" }))
    }),
    ("an application less", |_, people| people.desk.about(Method::DELETE, "/application")),
];

/// All that is stored.
async fn stored(server: &TestServer) -> Vec<String> {
    let mut rows = look::everything(&server.server.apps.platform.data).await;
    let data = server.server.apps.data(&server.app.id);
    // On PostgreSQL all of it is one database.
    let there = server.server.apps.by_id(&server.app.id.0).await.unwrap().is_some();
    if there && !server.home().is_shared() {
        rows.extend(look::everything(&data).await);
    }
    // What comes from a source is counted before anything is done, whatever comes of it.
    let counted = |it: &str| {
        [",registration,127.0.0.1,", ",guess,127.0.0.1,"].iter().any(|word| it.contains(word))
    };
    rows.retain(|it| !counted(it));
    rows.sort();
    rows
}

#[tokio::test]
async fn d_03_a_request_whose_nth_statement_fails_has_done_all_or_nothing() {
    for (name, request) in REQUESTS {
        let (mut server, mut faults, mut people) = prepared().await;
        let mut refused = 0;
        let (mut n, mut elsewhere) = (1, 0);
        loop {
            let before = stored(&server).await;
            faults.fail_at(n);
            let reply = request(&server, &people).send().await;
            let failed = !faults.is_armed();
            faults.disarm();
            if COUNTED.contains(name) && reply.status == 503 {
                // The attempt was counted before; that is a whole of its own.
                let data = server.server.apps.data(&server.app.id);
                data.write(|tx| brake::forgive_all(tx, "eve@example.com")).await.unwrap();
            }
            let after = stored(&server).await;
            invariants::assert_whole(&server.server.apps).await;

            if !failed {
                // The request needs fewer statements than that: it went through.
                assert!([0, 3003].contains(&reply.code()), "{name}: {reply:?}");
                assert_ne!(after, before, "{name} writes");
                assert!(refused > 1, "{name} was refused {refused} times");
                break;
            }
            if reply.status != 503 {
                // It hit what runs beside the requests, or was not needed for the answer.
                assert!([0, 3003].contains(&reply.code()), "{name}, statement {n}: {reply:?}");
                assert_ne!(after, before, "{name}, statement {n}: acknowledged, and not there");
                (server, faults, people) = prepared().await;
                elsewhere += 1;
                n += elsewhere / 2; // once more, but not for ever
                elsewhere %= 2;
                continue;
            }
            refused += 1;
            elsewhere = 0;
            if RESUMED.contains(name) {
                let again = request(&server, &people).send().await.code();
                assert!([0, 2001, 20013].contains(&again), "{name}, statement {n}, again: {again}");
                invariants::assert_whole(&server.server.apps).await;
                (server, faults, people) = prepared().await;
            } else {
                let found = differing(&before, &after);
                assert_eq!(after, before, "{name}, statement {n}: half done: {found}");
            }
            n += 1;
        }
    }
}

/// Making and removing an application is several transactions; what is left is finished later.
const RESUMED: &[&str] = &["a new application", "an application less"];

/// A password is counted before it is evaluated, whatever comes of it.
const COUNTED: &[&str] = &["wrong login that locks"];

fn differing(before: &[String], after: &[String]) -> String {
    let new: Vec<_> = after.iter().filter(|it| !before.contains(it)).collect();
    let gone: Vec<_> = before.iter().filter(|it| !after.contains(it)).collect();
    format!("new {new:?}, gone {gone:?}")
}

async fn prepared() -> (TestServer, Arc<Faults>, People) {
    let faults = Arc::new(Faults::default());
    let hooks = Hooks { faults: Some(Arc::clone(&faults)), seen: None };
    let setup = Setup { profile: Profile::Compat, hooks, ..Setup::default() };
    let server = TestServer::with(setup).await;
    let desk = server.desk().await;
    desk.login_settings(json!({ "enableMultipleLogins": true, "failedLoginsLock": 1 })).await;
    let ann = server.app.user("ann@example.com").await;
    let token = server.app.token("ann@example.com").await;
    let (guest, guest_token) = server.app.guest().await;
    let settings = desk.about(Method::GET, "/appsettings").send().await.ok();
    let key = text(&settings["apiKeys"][0]["id"]);
    (server, faults, People { ann, token, guest, guest_token, desk, key })
}
