//! A developer's own account: the name and the password (users-api 6.1; security PW-8 to PW-10, T-1).

use std::sync::Arc;

use engine::{Faults, Hooks};
use http::Method;
use serde_json::{Value, json};
use server::clock::Seconds;
use server::config::Options;
use server::error::Error;
use server::store::Row;

use crate::harness::{Desk, OWNER, Reply, Setup, TestServer, text, unbraked, until};

const NEW: &str = "five other words in a row";

async fn change(desk: &Desk, body: Value) -> Reply {
    desk.call(Method::PUT, "/home/myaccount/").body(body).send().await
}

async fn log_in(server: &TestServer, password: &str) -> Reply {
    let body = json!({ "login": OWNER.0, "password": password });
    server.call(Method::POST, "/console/home/login").body(body).send().await
}

async fn is_alive(server: &TestServer, desk: &Desk) -> bool {
    let call = server.call(Method::GET, "/console/home/myaccount").header("auth-key", &desk.key);
    let reply = call.send().await;
    assert!([200, 401].contains(&reply.status.as_u16()), "{reply:?}");
    reply.status == 200
}

/// Who did it and what it was, of the events of that kind about developers.
async fn events(server: &TestServer, kind: &'static str) -> Vec<(String, Value)> {
    let read = |row: &Row<'_>| {
        let change = row.get::<String>("change")?;
        Ok((row.get::<String>("by_kind")?, serde_json::from_str(&change).unwrap()))
    };
    let found = server.server.apps.platform.data.read(move |db| {
        let sql = "select by_kind, change from sys.events where kind = ?1 order by id";
        Ok::<_, Error>(db.rows(sql, &[&kind], read)?)
    });
    found.await.unwrap()
}

#[tokio::test]
async fn a_developer_gets_another_name_and_sends_back_what_was_shown() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    let mut shown = desk.call(Method::GET, "/home/myaccount").send().await.ok();
    assert_eq!(change(&desk, shown.clone()).await.ok()["name"], "Dag");
    assert_eq!(events(&server, "developer.updated").await, []);
    shown["name"] = json!(" Dagmar ");
    shown["email"] = json!("DAG@example.com"); // another spelling is no other address
    let answer = change(&desk, shown).await.ok();
    let id = text(&answer["id"]);
    assert_eq!(answer, json!({ "id": id, "name": "Dagmar", "email": OWNER.0 }));
    assert_eq!(desk.call(Method::GET, "/home/myaccount").send().await.ok()["name"], "Dagmar");
    let what = json!({ "before": { "name": "Dag" }, "after": { "name": "Dagmar" } });
    assert_eq!(events(&server, "developer.updated").await, [("developer".to_owned(), what)]);

    for (body, code) in [
        (json!({ "name": "" }), 3045),
        (json!({ "name": "x".repeat(101) }), 3038),
        (json!({ "name": "a\u{7}b" }), 3038),
        (json!({ "name": 1 }), 3038),
        (json!({ "email": "eve@example.com" }), 3038),
        (json!({ "email": ["dag@example.com"] }), 3038),
        (json!({ "password": 123_456_789, "oldPassword": OWNER.1 }), 3038),
        (json!({ "password": NEW, "oldPassword": true }), 3038),
        (json!([]), 20004),
    ] {
        let reply = change(&desk, body.clone()).await;
        assert_eq!(reply.code(), code, "{body}: {reply:?}");
    }
    // What does not say a new password changes none, and needs no old one.
    for none in [json!({ "password": "" }), json!({ "password": null }), json!({})] {
        change(&desk, none).await.ok();
    }
    log_in(&server, OWNER.1).await.ok();
    assert_eq!(events(&server, "developer.password").await, []);
}

#[tokio::test]
async fn pw_09_pw_10_a_developers_new_password_takes_the_old_one_and_ends_the_other_sessions() {
    let server = TestServer::start().await;
    let node = server.second_node().await;
    let (own, other) = (server.desk().await, server.desk().await);
    let third = server.desk().await;
    assert!(is_alive(&server, &third).await);
    if let Some(node) = &node {
        node.hears().await;
        assert!(is_alive(node, &other).await, "it has the session in memory");
    }
    for wrong in [json!(null), json!(""), json!("four wrong words"), json!("FOUR words in a row")] {
        let refused = change(&own, json!({ "password": NEW, "oldPassword": wrong })).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, 20060), "{wrong}");
    }
    // One refusal leaves nothing half done.
    let both = json!({ "name": "Eve", "password": NEW, "oldPassword": "four wrong words" });
    change(&own, both).await.refused(20060);
    let short = json!({ "name": "Eve", "password": "fourteen chars", "oldPassword": OWNER.1 });
    change(&own, short).await.refused(8023);
    assert_eq!(own.call(Method::GET, "/home/myaccount").send().await.ok()["name"], "Dag");
    assert!(is_alive(&server, &other).await);

    let both = json!({ "name": "Dagmar", "password": NEW, "oldPassword": OWNER.1 });
    assert_eq!(change(&own, both).await.ok()["name"], "Dagmar");
    assert!(is_alive(&server, &own).await, "the session that made the change");
    assert!(!is_alive(&server, &other).await && !is_alive(&server, &third).await);
    log_in(&server, OWNER.1).await.refused(9005);
    log_in(&server, NEW).await.ok();
    let what = json!({ "sessions": 2, "addresses": [OWNER.0] });
    let found = events(&server, "developer.password").await;
    assert_eq!(found, [("developer".to_owned(), what)]);
    if let Some(node) = node {
        until("the other node has heard of it", async || !is_alive(&node, &other).await).await;
        server::start::stop(&node.server).await;
    }
    let server = server.crash().await;
    assert!(!is_alive(&server, &other).await, "after a crash");
    assert!(is_alive(&server, &own).await);
    log_in(&server, OWNER.1).await.refused(9005);
}

#[tokio::test]
async fn t_01_wrong_old_passwords_count_with_wrong_logins_to_the_console() {
    let options = Options {
        wrong_passwords_per_place: Some(10),
        wrong_passwords_per_account: Some(20),
        ..unbraked()
    };
    let server = TestServer::with(Setup { options, ..Setup::default() }).await;
    let desk = server.desk().await;
    let wrong = json!({ "password": NEW, "oldPassword": "four wrong words" });
    let right = json!({ "password": NEW, "oldPassword": OWNER.1 });
    for _ in 0..10 {
        change(&desk, wrong.clone()).await.refused(20060);
    }
    // The device is a place of its own: it pauses, and the right one is not looked at meanwhile.
    let before = server.server.passwords.checks();
    let refusal = change(&desk, right.clone()).await;
    assert_eq!((refusal.status.as_u16(), refusal.code()), (429, 999), "{refusal:?}");
    assert_eq!(refusal.headers["retry-after"], "1");
    assert_eq!(server.server.passwords.checks(), before);
    // The account has one count: ten more from anywhere, and only places that it knows may try.
    for _ in 0..10 {
        log_in(&server, "four wrong words").await.refused(9005);
    }
    log_in(&server, OWNER.1).await.refused(999);
    server.clock.advance(Seconds(1));
    change(&desk, right).await.ok();
    log_in(&server, NEW).await.ok(); // the right one has ended the row
}

#[tokio::test]
async fn of_two_changes_at_the_same_moment_one_wins() {
    let server = TestServer::start().await;
    let (one, two) = (server.desk().await, server.desk().await);
    let body = |it: &str| json!({ "password": it, "oldPassword": OWNER.1 });
    let (first, second) =
        tokio::join!(change(&one, body(NEW)), change(&two, body("and yet another few words")));
    let codes = [first.code(), second.code()];
    assert!(codes.contains(&0), "{codes:?}");
    // The other finds that the password, and its session, are not what they were.
    let lost = codes.iter().find(|it| **it != 0);
    assert!(lost.is_some_and(|it| [20060, 9007].contains(it)), "{codes:?}");
    assert_eq!(events(&server, "developer.password").await.len(), 1);
}

#[tokio::test]
async fn pw_10_a_developers_change_that_breaks_off_is_made_whole_or_not_at_all() {
    let faults = Arc::new(Faults::default());
    let hooks = Hooks { faults: Some(Arc::clone(&faults)), seen: None };
    let server = TestServer::with(Setup { hooks, ..Setup::default() }).await;
    let own = server.desk().await;
    let body = json!({ "name": "Dagmar", "password": NEW, "oldPassword": OWNER.1 });
    let (mut n, mut failed) = (0, 0);
    loop {
        n += 1;
        let other = server.desk().await;
        let before = events(&server, "developer.password").await.len();
        faults.fail_at(n);
        let reply = change(&own, body.clone()).await;
        let fired = !faults.is_armed();
        faults.disarm();
        let made = reply.status == 200;
        assert_eq!(is_alive(&server, &other).await, !made, "statement {n}");
        assert!(is_alive(&server, &own).await, "statement {n}");
        let account = own.call(Method::GET, "/home/myaccount").send().await.ok();
        assert_eq!(account["name"], if made { "Dagmar" } else { "Dag" }, "statement {n}");
        log_in(&server, if made { NEW } else { OWNER.1 }).await.ok();
        let after = events(&server, "developer.password").await.len();
        assert_eq!(after - before, usize::from(made), "statement {n}");
        if !made {
            let (status, code) = (reply.status.as_u16(), reply.code());
            assert_eq!((status, code), (503, 20001), "statement {n}: {reply:?}");
            failed += 1;
        } else if fired {
            // Something in the background met the fault: once more.
            let back = json!({ "name": "Dag", "password": OWNER.1, "oldPassword": NEW });
            change(&own, back).await.ok();
            n -= 1;
        } else {
            break;
        }
    }
    assert!(failed > 8, "{failed} statements were tried");
}
