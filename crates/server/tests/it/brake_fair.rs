//! The brake between the owner of an account and strangers who look like the owner: at one address,
//! at the same moment, at every node (security T-3, E-1); and ways back into a closed account.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use server::buckets::HELD;
use server::clock::Seconds;
use server::config::Options;
use server::console::developers;
use server::sessions::MOST_SESSIONS;
use server::settings::Profile;

use crate::harness::{
    Call, HORSE, OWNER, Reply, Setup, TestApp, TestServer, text, unbraked, until,
};

/// The addresses of people.
const HOME: &str = "198.51.100.7";
const CAFE: &str = "198.51.100.99";
const EVE: &str = "203.0.113.66";

/// A server behind a proxy, so that a test can be in many places.
fn setup() -> Setup {
    let options = Options {
        trusted_proxies: Some("127.0.0.1".to_owned()),
        hash_wait_seconds: Some(120), // a busy machine is not what these are about
        wrong_passwords_per_place: None,
        wrong_passwords_per_account: None,
        ..unbraked()
    };
    Setup { options, ..Setup::default() }
}

fn login(app: &TestApp, source: &str, email: &str, password: &str) -> Call {
    let body = json!({ "login": email, "password": password });
    app.post("/users/login", body).header("x-forwarded-for", source)
}

async fn tries(app: &TestApp, source: &str, email: &str, password: &str) -> Reply {
    login(app, source, email, password).send().await
}

fn bot(number: usize) -> String {
    format!("192.0.{}.{}", number / 250, number % 250 + 1)
}

fn console(server: &TestServer, source: &str, password: &str) -> Call {
    let body = json!({ "login": OWNER.0, "password": password });
    server.call(Method::POST, "/console/home/login").body(body).header("x-forwarded-for", source)
}

fn retry_after(reply: &Reply) -> u32 {
    assert_eq!((reply.status.as_u16(), reply.code()), (429, 999), "{reply:?}");
    reply.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

/// The address of a person, at any node.
async fn nodes(server: &TestServer) -> (Vec<TestApp>, Option<TestServer>) {
    let second = server.second_node().await;
    let apps = std::iter::once(&server.app).chain(second.iter().map(|it| &it.app));
    (apps.cloned().collect(), second)
}

/// Lets the clock of the tests go on, a second for each tenth of one.
fn let_time_go_on(server: &TestServer) -> Arc<AtomicBool> {
    let (clock, over) = (server.clock.clone(), Arc::new(AtomicBool::new(false)));
    let ends = Arc::clone(&over);
    server.server.background.run(async move {
        while !ends.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            clock.advance(Seconds(1));
        }
    });
    over
}

#[tokio::test]
async fn t_03_the_owner_comes_in_beside_strangers_who_guess_at_the_same_address_at_the_same_moment()
{
    const STRANGERS: usize = 8;
    let mut setup = setup();
    setup.options.wrong_passwords_per_account = Some(10);
    let server = TestServer::with(setup).await;
    server.app.user("ann@example.com").await;
    tries(&server.app, HOME, "ann@example.com", HORSE).await.ok();
    let (apps, second) = nodes(&server).await;
    let checks = || {
        let other = second.as_ref().map_or(0, |it| it.server.passwords.checks());
        server.server.passwords.checks() + other
    };
    let (before, began) = (checks(), server.clock.now());
    let over = let_time_go_on(&server);
    let wrong = Arc::new(AtomicU32::new(0));
    let strangers = (0..STRANGERS).map(|number| {
        let (app, over, wrong) = (apps[number % apps.len()].clone(), over.clone(), wrong.clone());
        #[allow(
            clippy::disallowed_methods,
            reason = "strangers end by themselves, and are waited for"
        )]
        tokio::spawn(async move {
            for guess in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let guess = format!("guess {number} {guess}");
                let reply = tries(&app, HOME, "ann@example.com", &guess).await;
                match reply.code() {
                    3003 => drop(wrong.fetch_add(1, Ordering::Relaxed)),
                    _ => drop(retry_after(&reply)),
                }
            }
        })
    });
    let strangers: Vec<_> = strangers.collect();
    until("they have used up what strangers have", async || wrong.load(Ordering::Relaxed) == 10)
        .await;

    let mut visits = 0;
    for _ in 0..12 {
        let app = &apps[visits % apps.len()];
        let reply = tries(app, HOME, "ann@example.com", HORSE).await;
        visits += 1;
        if reply.status == 200 {
            break;
        }
        let (wait, from) = (i64::from(retry_after(&reply)) * 1000, server.clock.now());
        assert!(wait <= 12_000, "{wait}");
        until("she may come again", async || server.clock.now().0 >= from.0 + wait).await;
        assert!(visits < 12, "she was refused twelve times");
    }
    over.store(true, Ordering::Relaxed);
    let passed = server.clock.now().0 - began.0;
    join_all(strangers).await;
    // What strangers have, again after she came in; her own; and the turns.
    let most = 10 + 10 + 1 + passed / 500 + 2;
    let evaluated = checks() - before;
    assert!(i64::try_from(evaluated).unwrap() <= most, "{evaluated} of {most}");
}

#[tokio::test]
async fn t_03_the_owner_comes_in_where_a_stranger_has_used_up_what_the_address_has() {
    let mut setup = setup();
    setup.options.wrong_passwords_per_source = Some(6);
    let server = TestServer::with(setup).await;
    let app = &server.app;
    app.user("ann@example.com").await;
    app.user("bob@example.com").await;
    tries(app, HOME, "ann@example.com", HORSE).await.ok();
    for number in 0..6 {
        let nobody = format!("nobody{number}@example.com");
        tries(app, HOME, &nobody, "wrong wrong").await.refused(3003);
    }
    let (bob, nobody, eve) = tokio::join!(
        tries(app, HOME, "bob@example.com", HORSE),
        tries(app, HOME, "nobody@example.com", HORSE),
        tries(app, HOME, "ann@example.com", "wrong wrong"),
    );
    for reply in [bob, nobody, eve] {
        assert_eq!(retry_after(&reply), 12, "only who has been here comes in, and nobody sees who");
    }
    server.clock.advance(Seconds(1));
    tries(app, HOME, "ann@example.com", HORSE).await.ok();
}

#[tokio::test]
async fn e_01_limits_tell_nobody_who_has_an_account_not_even_at_its_owners_address() {
    for profile in [Profile::Standard, Profile::Compat] {
        let mut setup = Setup { profile, ..setup() };
        setup.options.wrong_passwords_per_place = Some(2);
        setup.options.wrong_passwords_per_account = Some(5);
        let server = TestServer::with(setup).await;
        let app = &server.app;
        for email in ["ann@example.com", "bob@example.com"] {
            app.user(email).await;
        }
        tries(app, HOME, "ann@example.com", HORSE).await.ok(); // Bob was never there
        let mut seen = [const { Vec::new() }; 3];
        for step in 0..9 {
            let people = ["ann@example.com", "bob@example.com", "nobody@example.com"];
            let asked = join_all(people.map(|email| async move {
                let began = Instant::now();
                let reply = tries(app, HOME, email, "wrong wrong").await;
                (reply, began.elapsed())
            }));
            let asked = asked.await;
            for (seen, (reply, took)) in seen.iter_mut().zip(&asked) {
                let after = reply.headers.get("retry-after").cloned();
                seen.push((reply.status, reply.code(), reply.json()["message"].clone(), after));
                if reply.code() == 999 {
                    // Ann's is evaluated meanwhile, and nothing shows it.
                    assert!(
                        *took + Duration::from_millis(50) >= Duration::from_secs(HELD.0.into())
                    );
                }
            }
            server.clock.advance(Seconds([0, 0, 1, 0, 2, 0, 3600, 1, 0][step]));
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0], seen[2]);
        let codes: Vec<u16> = seen[0].iter().map(|it| it.0.as_u16()).collect();
        assert!(codes.contains(&429) && codes.contains(&401), "{codes:?}");
        server.clock.advance(Seconds(2));
        let (ann, bob) = tokio::join!(
            tries(app, HOME, "ann@example.com", HORSE),
            tries(app, HOME, "bob@example.com", HORSE)
        );
        ann.ok();
        retry_after(&bob);
    }
}

#[tokio::test]
async fn a_new_password_leaves_only_the_place_at_home_where_it_was_set() {
    let mut setup = setup();
    setup.options.wrong_passwords_per_account = Some(10);
    let server = TestServer::with(setup).await;
    let app = &server.app;
    server.desk().await.login_settings(json!({ "enableMultipleLogins": true })).await;
    let ann = app.user("ann@example.com").await;
    // Eve knows the old password, and has come in with it.
    tries(app, EVE, "ann@example.com", HORSE).await.ok();
    let token = text(&tries(app, HOME, "ann@example.com", HORSE).await.ok()["user-token"]);
    let change = app.call(Method::PUT, &format!("/users/{ann}")).token(&token);
    let change = change.header("x-forwarded-for", HOME);
    change.body(json!({ "password": "another horse" })).send().await.ok();
    for number in 0..10 {
        tries(app, &bot(number), "ann@example.com", "wrong wrong").await.refused(3003);
    }
    let before = server.server.passwords.checks();
    for _ in 0..3 {
        retry_after(&tries(app, EVE, "ann@example.com", "another horse").await);
    }
    assert_eq!(server.server.passwords.checks(), before, "Eve is not at home any more");
    tries(app, HOME, "ann@example.com", "another horse").await.ok();

    // Set by somebody else, no place stays.
    app.server_code(Method::PUT, &format!("/users/{ann}"))
        .body(json!({ "password": "a third horse" }))
        .send()
        .await
        .ok();
    for number in 0..10 {
        tries(app, &bot(number), "ann@example.com", "wrong wrong").await.refused(3003);
    }
    retry_after(&tries(app, HOME, "ann@example.com", "a third horse").await);
}

#[tokio::test]
async fn a_developer_opens_an_account_that_wrong_passwords_have_closed() {
    let mut setup = setup();
    setup.options.wrong_passwords_per_account = Some(10);
    let server = TestServer::with(setup).await;
    let (app, desk) = (&server.app, server.desk().await);
    let ann = app.user("ann@example.com").await;
    let close = async || {
        for number in 0..10 {
            tries(app, &bot(number), "ann@example.com", "wrong wrong").await.refused(3003);
        }
    };
    let unlock = |id: &str| desk.about(Method::PUT, &format!("/user/unlock/{id}")).send();
    close().await;
    retry_after(&tries(app, CAFE, "ann@example.com", HORSE).await);
    unlock(&ann).await.ok();
    tries(app, CAFE, "ann@example.com", HORSE).await.ok();
    unlock("nobody").await.refused(3057);

    // The same for one that is locked; how long that lasts is told.
    for (minutes, wait) in [(Some(30), 1800), (None, 900)] {
        let settings = json!({ "failedLoginsLock": 3, "lockoutMinutes": minutes });
        desk.login_settings(settings).await;
        for _ in 0..3 {
            tries(app, EVE, "ann@example.com", "wrong wrong").await.refused(3003);
        }
        let reply = tries(app, HOME, "ann@example.com", HORSE).await;
        assert_eq!(reply.headers["retry-after"], wait.to_string().as_str());
        reply.refused(3036);
        unlock(&ann).await.ok();
        tries(app, HOME, "ann@example.com", HORSE).await.ok();
    }
    let data = server.server.apps.data(&app.id);
    let rows = data.read(move |db| {
        let sql = "select count(*) as many from sys.events
                   where app_id = ?1 and kind = 'user.unlocked' and about = ?2";
        db.row(sql, &[&db.app(), &ann], |row| row.get::<i64>("many"))
    });
    assert_eq!(rows.await.unwrap(), Some(3));
}

#[tokio::test]
async fn a_developer_comes_in_at_a_known_device_or_place_and_after_a_reset_from_anywhere() {
    let server = TestServer::with(setup()).await;
    let close = async || {
        let guesses = (0..110).map(|it| console(&server, &bot(it), "wrong wrong wrong").send());
        for reply in join_all(guesses).await {
            assert!([9005, 999].contains(&reply.code()), "{reply:?}");
        }
    };
    let reply = console(&server, HOME, OWNER.1).send().await;
    let key = reply.headers["auth-key"].to_str().unwrap().to_owned();
    close().await;
    retry_after(&console(&server, CAFE, OWNER.1).send().await);
    // Her browser still has a session, wherever it is.
    console(&server, CAFE, OWNER.1).header("auth-key", &key).send().await.ok();
    close().await;
    console(&server, HOME, OWNER.1).send().await.ok();
    close().await;

    let new = "and five more words";
    let reset = |email: &'static str, secret: &'static str| {
        developers::reset(&server.server, email, secret)
    };
    assert_eq!(reset("nobody@example.com", new).await.unwrap_err().code, 20_061);
    assert_eq!(reset(OWNER.0, "short").await.unwrap_err().code, 8023);
    retry_after(&console(&server, EVE, OWNER.1).send().await);
    reset(" DAG@example.com", new).await.unwrap();
    // Logged out everywhere, the old password is dead, and the new one works anywhere.
    let account = server.call(Method::GET, "/console/home/myaccount").header("auth-key", &key);
    account.send().await.refused(9007);
    console(&server, EVE, OWNER.1).send().await.refused(9005);
    console(&server, EVE, new).send().await.ok();
}

#[tokio::test]
async fn right_logins_at_the_same_moment_wait_for_those_at_other_nodes_and_are_all_let_in() {
    let mut setup = setup();
    setup.options.wrong_passwords_per_place = Some(4);
    let server = TestServer::with(setup).await;
    let (apps, _second) = nodes(&server).await;
    let desk = server.desk().await;
    desk.login_settings(json!({ "enableMultipleLogins": true, "failedLoginsLock": 3 })).await;
    server.app.user("ann@example.com").await;
    for _ in 0..3 {
        let logins = (0..16).map(|it| tries(&apps[it % apps.len()], EVE, "ann@example.com", HORSE));
        for reply in join_all(logins).await {
            reply.ok();
        }
    }
}

#[tokio::test]
async fn limits_by_source_hold_over_all_nodes() {
    let mut setup = setup();
    setup.options.wrong_passwords_per_source = Some(20);
    setup.options.registrations_per_hour = Some(40);
    let server = TestServer::with(setup).await;
    let (apps, _second) = nodes(&server).await;
    server.app.user("ann@example.com").await;
    let guesses = join_all((0..60).map(|it| {
        let (app, email) = (apps[it % apps.len()].clone(), format!("nobody{it}@example.com"));
        async move { tries(&app, EVE, &email, "wrong wrong").await }
    }));
    let codes: Vec<u64> = guesses.await.iter().map(Reply::code).collect();
    assert_eq!(codes.iter().filter(|it| **it == 3003).count(), 20, "{codes:?}");
    // What goes right uses nothing up.
    server.clock.advance(Seconds(30));
    for it in 0..3 {
        tries(&apps[it % apps.len()], EVE, "ann@example.com", HORSE).await.ok();
    }
    let guests = join_all((0..30).map(|it| {
        let call = apps[it % apps.len()].post("/users/register/guest", json!({}));
        call.header("x-forwarded-for", EVE).send()
    }));
    let made = guests.await.iter().filter(|it| it.status == 200).count();
    assert_eq!(made, 10);
}

#[tokio::test]
async fn t_07_rows_of_guesses_are_bounded_and_an_attacked_account_is_not_pushed_out() {
    let mut setup = setup();
    setup.options.wrong_password_counts = Some(40);
    setup.options.wrong_passwords_per_account = Some(12);
    let server = TestServer::with(setup).await;
    let app = &server.app;
    app.user("ann@example.com").await;
    for number in 0..12 {
        tries(app, &bot(number % 3), "ann@example.com", "wrong wrong").await.refused(3003);
    }
    join_all((0..100).map(async |it| {
        let email = format!("nobody{it}@example.com");
        tries(app, &bot(it), &email, "wrong wrong").await.refused(3003);
    }))
    .await;
    let data = server.server.apps.data(&app.id);
    let rows = async || {
        let read = data.read(|db| {
            let sql = "select (select count(*) from sys.failures where app_id = ?1) as a,
                              (select count(*) from sys.attempts where app_id = ?1) as b";
            db.row(sql, &[&db.app()], |row| Ok((row.get::<i64>("a")?, row.get::<i64>("b")?)))
        });
        read.await.unwrap().unwrap()
    };
    assert_eq!(rows().await, (101, 103));
    let began = server.clock.now();
    until("the sweep has removed the rest", async || {
        // Rounds are an hour apart, and a slow one puts off the next; what is counted lasts a day.
        if server.clock.now().0 - began.0 < 20 * 3_600_000 {
            server.clock.advance(Seconds(60));
        }
        rows().await == (40, 40)
    })
    .await;
    retry_after(&tries(app, CAFE, "ann@example.com", HORSE).await);
}

#[tokio::test]
async fn a_client_that_never_logs_out_ends_its_own_oldest_sessions() {
    let server = TestServer::with(setup()).await;
    let app = &server.app;
    server.desk().await.login_settings(json!({ "enableMultipleLogins": true })).await;
    let ann = app.user("ann@example.com").await;
    let first = app.token("ann@example.com").await;
    let many = i64::from(MOST_SESSIONS);
    let data = server.server.apps.data(&app.id);
    let (user, now) = (ann.clone(), server.clock.now());
    // As she would make them herself, in a while.
    let fill = data.write(move |tx| {
        for number in 1..many {
            let sql =
                "insert into sys.sessions (app_id, hash, id, user_id, created, last_seen, via,
                           device, address, agent, level)
                       select app_id, ?1, ?2, user_id, created + ?3, last_seen, via,
                           device, address, agent, level
                       from sys.sessions where app_id = ?4 and user_id = ?5
                       order by created limit 1";
            let hash = [&number.to_be_bytes()[..], &[7; 24]].concat();
            let id = format!("filled-{number:05}");
            tx.exec(sql, &[&hash, &id, &number, &tx.app(), &user])?;
        }
        Ok::<_, server::error::Error>(())
    });
    fill.await.unwrap();
    assert!(app.is_valid(&first).await);
    server.clock.advance(Seconds(10));
    let last = app.token("ann@example.com").await;
    assert!(app.is_valid(&last).await);
    assert!(!app.is_valid(&first).await, "the oldest made room");
    let count = data.read(move |db| {
        let sql = "select count(*) as many from sys.sessions where app_id = ?1 and user_id = ?2";
        db.row(sql, &[&db.app(), &ann], |row| row.get::<i64>("many"))
    });
    assert_eq!(count.await.unwrap(), Some(many));
    assert!(now < server.clock.now());
}
