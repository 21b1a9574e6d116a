//! The brake on guessing and flooding (security section 4): passwords are evaluated no more often
//! than the limits allow, and nobody locks an owner out.

use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use server::clock::Seconds;
use server::config::Options;
use server::settings::Profile;

use crate::harness::{Call, HORSE, OWNER, Reply, Setup, TestApp, TestServer, text, unbraked};

/// The addresses of people.
const HOME: &str = "198.51.100.7";
const CAFE: &str = "198.51.100.99";
const EVE: &str = "203.0.113.66";

/// A server behind a proxy, so that a test can be in many places.
fn behind_a_proxy(profile: Profile) -> Setup {
    let options = Options {
        trusted_proxies: Some("127.0.0.1".to_owned()),
        hash_wait_seconds: Some(120), // a busy machine is not what these are about
        wrong_passwords_per_place: None,
        wrong_passwords_per_account: None,
        ..unbraked()
    };
    Setup { profile, options, ..Setup::default() }
}

async fn server() -> TestServer {
    TestServer::with(behind_a_proxy(Profile::Standard)).await
}

fn from(source: &str, call: Call) -> Call {
    call.header("x-forwarded-for", source)
}

fn login(app: &TestApp, source: &str, email: &str, password: &str) -> Call {
    from(source, app.post("/users/login", json!({ "login": email, "password": password })))
}

async fn tries(app: &TestApp, source: &str, email: &str, password: &str) -> Reply {
    login(app, source, email, password).send().await
}

/// One address of a botnet.
fn bot(number: usize) -> String {
    format!("192.0.{}.{}", number / 250, number % 250 + 1)
}

fn retry_after(reply: &Reply) -> u32 {
    assert_eq!((reply.status.as_u16(), reply.code()), (429, 999), "{reply:?}");
    reply.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn after_ten_wrong_passwords_each_one_more_costs_a_pause_that_doubles() {
    for profile in [Profile::Standard, Profile::Compat] {
        let server = TestServer::with(behind_a_proxy(profile)).await;
        let app = &server.app;
        app.user("ann@example.com").await;
        for email in ["ann@example.com", "nobody@example.com"] {
            for _ in 0..10 {
                tries(app, EVE, email, "wrong wrong").await.refused(3003);
            }
            for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
                let before = server.server.passwords.checks();
                let refusal = tries(app, EVE, email, HORSE).await;
                assert_eq!(retry_after(&refusal), pause, "{email}");
                assert_eq!(server.server.passwords.checks(), before, "it was not evaluated");
                server.clock.advance(Seconds(pause - 1));
                assert_eq!(retry_after(&tries(app, EVE, email, HORSE).await), 1);
                server.clock.advance(Seconds(1));
                tries(app, EVE, email, "wrong wrong").await.refused(3003);
            }
        }
        // From elsewhere it is as it was, and a right one makes good what was wrong there.
        for _ in 0..3 {
            for _ in 0..9 {
                tries(app, CAFE, "ann@example.com", "wrong wrong").await.refused(3003);
            }
            tries(app, CAFE, "ann@example.com", HORSE).await.ok();
        }
        server.clock.advance(Seconds(900));
        tries(app, EVE, "ann@example.com", HORSE).await.ok();
        tries(app, EVE, "ann@example.com", "wrong wrong").await.refused(3003);
    }
}

#[tokio::test]
async fn t_02_guesses_at_the_same_moment_are_evaluated_no_more_often_than_the_limit_allows() {
    let server = server().await;
    let app = &server.app;
    app.user("ann@example.com").await;
    let before = server.server.passwords.checks();
    let guesses = (0..60).map(|_| tries(app, EVE, "ann@example.com", "wrong wrong"));
    let replies = join_all(guesses).await;
    let evaluated = replies.iter().filter(|it| it.code() == 3003).count();
    assert_eq!((evaluated, server.server.passwords.checks() - before), (10, 10));
    for reply in replies.iter().filter(|it| it.code() != 3003) {
        retry_after(reply);
    }
}

#[tokio::test]
async fn right_logins_at_the_same_moment_wait_for_each_other_and_are_all_let_in() {
    let mut setup = behind_a_proxy(Profile::Standard);
    setup.options.wrong_passwords_per_source = Some(5);
    let server = TestServer::with(setup).await;
    let (app, desk) = (&server.app, server.desk().await);
    desk.login_settings(json!({ "enableMultipleLogins": true, "failedLoginsLock": 3 })).await;
    app.user("ann@example.com").await;
    let logins = (0..30).map(|_| tries(app, EVE, "ann@example.com", HORSE));
    for reply in join_all(logins).await {
        reply.ok();
    }
}

#[tokio::test]
async fn t_05_spellings_of_an_identity_share_one_count() {
    let server = server().await;
    let app = &server.app;
    app.user("ann@example.com").await;
    let spellings = [
        "ann@example.com",
        "ANN@EXAMPLE.COM",
        " ann@example.com\t",
        "ａｎｎ@example.com",
        "Ann@Example.Com",
    ];
    for spelling in spellings.iter().cycle().take(10) {
        tries(app, EVE, spelling, "wrong wrong").await.refused(3003);
    }
    for spelling in spellings {
        retry_after(&tries(app, EVE, spelling, "wrong wrong").await);
    }
}

#[tokio::test]
async fn t_06_a_source_has_fifty_wrong_passwords_for_everybody_and_a_right_one_refills_nothing() {
    let mut setup = behind_a_proxy(Profile::Standard);
    setup.options.wrong_passwords_per_source = None;
    let server = TestServer::with(setup).await;
    let app = &server.app;
    app.user("eve@example.com").await;
    for number in 0..50 {
        tries(app, EVE, &format!("victim{number}@example.com"), "wrong wrong").await.refused(3003);
        if number % 5 == 0 {
            tries(app, EVE, "eve@example.com", HORSE).await.ok();
        }
    }
    assert_eq!(retry_after(&tries(app, EVE, "victim@example.com", "wrong wrong").await), 12);
    tries(app, CAFE, "victim@example.com", "wrong wrong").await.refused(3003);
    server.clock.advance(Seconds(12));
    tries(app, EVE, "eve@example.com", HORSE).await.ok();
    tries(app, EVE, "victim@example.com", "wrong wrong").await.refused(3003);
    retry_after(&tries(app, EVE, "victim@example.com", "wrong wrong").await);
    // The Console counts for itself, with the same limits.
    let console = |password: &'static str| {
        let body = json!({ "login": OWNER.0, "password": password });
        from(EVE, server.call(Method::POST, "/console/home/login").body(body)).send()
    };
    for _ in 0..10 {
        console("wrong wrong wrong").await.refused(9005);
    }
    retry_after(&console(OWNER.1).await);
    server.clock.advance(Seconds(1));
    console(OWNER.1).await.ok();
    console("wrong wrong wrong").await.refused(9005);
}

#[tokio::test]
async fn t_03_after_a_hundred_from_everywhere_only_places_that_the_account_knows_may_try() {
    for profile in [Profile::Standard, Profile::Compat] {
        let server = TestServer::with(behind_a_proxy(profile)).await;
        let app = &server.app;
        app.user("ann@example.com").await;
        let phone = text(&tries(app, HOME, "ann@example.com", HORSE).await.ok()["user-token"]);
        let mut evaluated = 0;
        for number in 0..130 {
            let reply = tries(app, &bot(number), "ann@example.com", "wrong wrong").await;
            evaluated += u32::from(reply.code() == 3003);
            let same = tries(app, &bot(number), "nobody@example.com", "wrong wrong").await;
            assert_eq!(same.code(), reply.code(), "nobody is treated like somebody");
        }
        assert_eq!(evaluated, 100);
        // The right password is not even looked at from a strange place …
        retry_after(&tries(app, CAFE, "ann@example.com", HORSE).await);
        // … but there, too, by a device that still has a session of the account; and at home.
        let by_phone = login(app, CAFE, "ann@example.com", HORSE).token(&phone);
        by_phone.send().await.ok();
        let server = server.restart().await;
        let app = &server.app;
        for number in 200..330 {
            tries(app, &bot(number), "ann@example.com", "wrong wrong").await;
        }
        tries(app, HOME, "ann@example.com", HORSE).await.ok();
        // Her login ends the row, so from now on strangers have a hundred again.
        tries(app, &bot(400), "ann@example.com", "wrong wrong").await.refused(3003);
    }
}

#[tokio::test]
async fn t_03_at_home_the_right_password_works_within_half_a_minute_whatever_was_tried_there() {
    let server = server().await;
    let app = &server.app;
    app.user("ann@example.com").await;
    tries(app, HOME, "ann@example.com", HORSE).await.ok();
    for _ in 0..10 {
        tries(app, HOME, "ann@example.com", "wrong wrong").await.refused(3003);
    }
    for _ in 0..3 {
        let wait = retry_after(&tries(app, HOME, "ann@example.com", HORSE).await);
        assert!(wait <= 25, "{wait}");
        server.clock.advance(Seconds(wait));
        assert!(!tries(app, HOME, "ann@example.com", "wrong wrong").await.status.is_success());
    }
    let wait = retry_after(&tries(app, HOME, "ann@example.com", HORSE).await);
    server.clock.advance(Seconds(wait));
    tries(app, HOME, "ann@example.com", HORSE).await.ok();
}

#[tokio::test]
async fn t_04_who_is_counted_is_who_asks_and_not_whom_the_request_names() {
    // No proxy is trusted: whatever the header says, all of this comes from one address.
    let setup = behind_a_proxy(Profile::Standard);
    let options = Options { trusted_proxies: None, ..setup.options.clone() };
    let server = TestServer::with(Setup { options, ..setup }).await;
    let app = &server.app;
    app.user("ann@example.com").await;
    for number in 0..10 {
        tries(app, &bot(number), "ann@example.com", "wrong wrong").await.refused(3003);
    }
    retry_after(&tries(app, &bot(11), "ann@example.com", "wrong wrong").await);
    // One proxy is trusted, and for the hop that it added alone; one household has one prefix.
    let server = self::server().await;
    let app = &server.app;
    app.user("ann@example.com").await;
    for number in 0..10 {
        let forged = format!("{}, 2001:db8:1:2::{number:x}", bot(number));
        tries(app, &forged, "ann@example.com", "wrong wrong").await.refused(3003);
    }
    retry_after(&tries(app, "2001:db8:1:2:ffff::1", "ann@example.com", "wrong wrong").await);
    tries(app, "2001:db8:1:3::1", "ann@example.com", "wrong wrong").await.refused(3003);
}

#[tokio::test]
async fn t_07_counts_live_through_a_restart() {
    let mut server = server().await;
    server.app.user("ann@example.com").await;
    let mut evaluated = 0;
    for _ in 0..6 {
        for _ in 0..4 {
            let reply = tries(&server.app, EVE, "ann@example.com", "wrong wrong").await;
            evaluated += u32::from(reply.code() == 3003);
        }
        server = server.crash().await;
    }
    assert_eq!(evaluated, 10);
}

#[tokio::test]
async fn registrations_and_guests_share_a_limit_and_server_code_has_none() {
    for (profile, burst) in [(Profile::Standard, 30), (Profile::Compat, 40)] {
        let mut setup = behind_a_proxy(profile);
        setup.options.registrations_per_hour = None;
        let server = TestServer::with(setup).await;
        let (app, desk) = (&server.app, server.desk().await);
        if profile == Profile::Compat {
            // It has a limit too, of 5000 at once; the application sets another here.
            desk.registration_settings(json!({ "registrationsPerHour": 160 })).await;
        }
        let register = |number: u32, source: &str| {
            let email = format!("user{number}@example.com");
            let body = json!({ "email": email, "password": HORSE });
            from(source, app.post("/users/register", body)).send()
        };
        let guest = || from(EVE, app.post("/users/register/guest", json!({}))).send();
        for number in 0..burst {
            if number % 6 == 0 {
                register(number, EVE).await.ok();
            } else {
                guest().await.ok();
            }
        }
        let wait = retry_after(&register(1000, EVE).await);
        assert_eq!(wait, if profile == Profile::Standard { 30 } else { 23 });
        retry_after(&guest().await);
        register(1000, CAFE).await.ok();
        let body = json!({ "email": "bob@example.com", "password": HORSE });
        from(EVE, app.server_code(Method::POST, "/users/register").body(body)).send().await.ok();
        server.clock.advance(Seconds(wait));
        register(1001, EVE).await.ok();
        retry_after(&register(1002, EVE).await);
    }
}

/// Judged: from one and from many sources, in parallel, with spellings; and the owner comes in.
#[tokio::test]
async fn password_guessing_never_exceeds_the_bucket_and_the_owner_logs_in_meanwhile() {
    let server = server().await;
    let app = &server.app;
    server.desk().await.login_settings(json!({ "enableMultipleLogins": true })).await;
    app.user("ann@example.com").await;
    tries(app, HOME, "ann@example.com", HORSE).await.ok();
    let second = server.second_node().await;
    let checks = || {
        let other = second.as_ref().map_or(0, |it| it.server.passwords.checks());
        server.server.passwords.checks() + other
    };
    let apps: Vec<&TestApp> = std::iter::once(app).chain(second.iter().map(|it| &it.app)).collect();
    let spellings = ["ann@example.com", "ANN@example.com", " Ann@EXAMPLE.com"];

    // One source, at every node at once.
    let before = checks();
    let guesses =
        (0..60).map(|it| tries(apps[it % apps.len()], EVE, spellings[it % 3], "wrong wrong"));
    let replies = join_all(guesses).await;
    assert!(replies.iter().all(|it| [3003, 999].contains(&it.code())), "{replies:?}");
    assert_eq!(checks() - before, 10);

    // Many sources; the ten before count in the row. The owner is at home.
    let before = checks();
    let guesses = join_all((0..300).map(|it| {
        let call = login(apps[it % apps.len()], &bot(it), spellings[it % 3], "wrong wrong");
        call.send()
    }));
    let replies = guesses.await;
    let evaluated = replies.iter().filter(|it| it.code() == 3003).count() as u64;
    assert_eq!((evaluated, checks() - before), (90, 90));
    let (strangers, owner) = tokio::join!(
        join_all((300..340).map(|it| {
            let call = login(apps[it % apps.len()], &bot(it), spellings[it % 3], "wrong wrong");
            call.send()
        })),
        join_all(apps.iter().map(|it| tries(it, HOME, "ann@example.com", HORSE))),
    );
    for reply in owner {
        reply.ok();
    }
    assert!(strangers.iter().all(|it| [3003, 999].contains(&it.code())), "{strangers:?}");
}
