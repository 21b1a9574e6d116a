//! The brake on guessing and flooding (security section 4): passwords are evaluated no more often
//! than the limits allow, and nobody locks an owner out.

use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use server::clock::Seconds;
use server::config::Options;
use server::settings::Profile;

use crate::harness::{
    Call, HORSE, OWNER, Reply, Setup, TestApp, TestServer, text, unbraked, until,
};
use crate::source::Source;

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
async fn t_07_guesses_at_whom_nobody_is_leave_no_more_rows_than_their_source_has_guesses() {
    let mut setup = behind_a_proxy(Profile::Standard);
    setup.options.wrong_passwords_per_source = Some(20);
    let server = TestServer::with(setup).await;
    let app = &server.app;
    app.user("ann@example.com").await;
    let data = server.server.apps.data(&app.id);
    let rows = async || -> i64 {
        let read = data.read(|db| {
            let sql = "select (select count(*) from sys.failures where app_id = ?1)
                            + (select count(*) from sys.attempts where app_id = ?1) as many";
            db.row(sql, &[&db.app()], |row| row.get::<i64>("many"))
        });
        read.await.unwrap().unwrap()
    };
    for number in 0..60 {
        let reply = tries(app, EVE, &format!("nobody{number}@example.com"), "wrong wrong").await;
        assert_eq!(reply.code(), if number < 20 { 3003 } else { 999 });
    }
    assert_eq!(rows().await, 40, "one of the account and one of the place, for each");
    // They go when they count no more; time goes on, whenever the sweep has its round.
    server.clock.advance(Seconds(8 * 24 * 3600));
    until("they are swept", async || {
        server.clock.advance(Seconds(3600));
        rows().await == 0
    })
    .await;
    tries(app, EVE, "ann@example.com", HORSE).await.ok();
}

#[tokio::test]
async fn calls_are_limited_by_source_and_in_all_where_the_application_says_so() {
    let server = server().await;
    let (app, desk) = (&server.app, server.desk().await);
    let other = server.new_app("Other", Profile::Standard).await;
    let set = |body: serde_json::Value| desk.about(Method::PUT, "/limits").body(body).send();
    let ask = |app: &TestApp, source: &str| from(source, app.get("/info")).send();
    for _ in 0..100 {
        ask(app, EVE).await.ok(); // off by default
    }
    let none = json!({ "callsPerMinutePerSource": null, "callsPerMinute": null });
    assert_eq!(desk.about(Method::GET, "/limits").send().await.ok(), none);
    for odd in [json!({ "callsPerMinute": 0 }), json!({ "callsPerMinutePerSource": "many" })] {
        set(odd).await.refused(3038);
    }

    set(json!({ "callsPerMinutePerSource": 30 })).await.ok();
    for _ in 0..30 {
        ask(app, EVE).await.ok();
    }
    assert_eq!(retry_after(&ask(app, EVE).await), 2);
    // It is the first thing that is asked: no password is evaluated, no token looked at.
    let before = server.server.passwords.checks();
    retry_after(&tries(app, EVE, "ann@example.com", HORSE).await);
    assert_eq!(server.server.passwords.checks(), before);
    // Others, the owner's own server, other applications and the Console go on.
    ask(app, CAFE).await.ok();
    from(EVE, app.server_code(Method::GET, "/info")).send().await.ok();
    ask(&other, EVE).await.ok();
    from(EVE, desk.about(Method::GET, "/appsettings")).send().await.ok();
    server.clock.advance(Seconds(2));
    ask(app, EVE).await.ok();
    retry_after(&ask(app, EVE).await);

    set(json!({ "callsPerMinutePerSource": null, "callsPerMinute": 90_000 })).await.ok();
    for number in 0..40 {
        ask(app, &bot(number)).await.ok();
    }
    set(json!({ "callsPerMinute": 20 })).await.ok();
    server.clock.advance(Seconds(60));
    for number in 0..20 {
        ask(app, &bot(number)).await.ok();
    }
    assert_eq!(retry_after(&ask(app, CAFE).await), 3);
    retry_after(&from(CAFE, app.server_code(Method::GET, "/info")).send().await);
    ask(&other, CAFE).await.ok();
    set(none).await.ok();
    ask(app, CAFE).await.ok();
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

/// Wherever a password is evaluated. The next test tries each, and fails until a new one is named.
const DOORS: &[&str] =
    &["login/password.rs", "login/verify.rs", "console/developers.rs", "console/account.rs"];

#[tokio::test]
async fn t_01_every_door_that_evaluates_a_password_shares_the_accounts_count() {
    let sources = Source::of_crate("crates/server/src");
    let evaluates = |it: &Source| {
        it.names.iter().any(|it| !it.test && it.path == "crate::sessions::brake::check")
    };
    let mut found: Vec<&str> =
        sources.iter().filter(|it| evaluates(it)).map(|it| it.file.as_str()).collect();
    let mut known = DOORS.to_vec();
    found.sort_unstable();
    known.sort_unstable();
    assert_eq!(found, known, "a new door: try it here");

    for profile in [Profile::Standard, Profile::Compat] {
        let mut setup = behind_a_proxy(profile);
        setup.options.wrong_passwords_per_account = Some(12);
        let server = TestServer::with(setup).await;
        let (app, desk) = (&server.app, server.desk().await);
        let evaluated = || server.server.passwords.checks();

        // Each by itself: ten from one place, each evaluated once, and no more.
        for (door, email) in [("login", "ann@example.com"), ("verify", "bob@example.com")] {
            app.user(email).await;
            let token = text(&tries(app, HOME, email, HORSE).await.ok()["user-token"]);
            let guess = |password: &'static str| match door {
                "login" => login(app, EVE, email, password),
                _ => verify(app, 0, &token, password),
            };
            let before = evaluated();
            for _ in 0..10 {
                let reply = guess("wrong wrong").send().await;
                let wrong = reply.code() == 3003 || reply.json() == json!({ "valid": false });
                assert!(wrong, "{door}: {reply:?}");
            }
            assert_eq!(retry_after(&guess("wrong wrong").send().await), 1, "{door}");
            assert_eq!(retry_after(&guess(HORSE).send().await), 1, "{door}");
            assert_eq!(evaluated() - before, 10, "{door}");
        }
        // All together: four at each are twelve, and the account is closed to strangers at all.
        app.user("cid@example.com").await;
        let token = text(&tries(app, HOME, "cid@example.com", HORSE).await.ok()["user-token"]);
        for _ in 0..4 {
            tries(app, EVE, "cid@example.com", "wrong wrong").await.refused(3003);
            for spelling in [0, 1] {
                let reply = verify(app, spelling, &token, "wrong wrong").send().await;
                assert_eq!(reply.ok(), json!({ "valid": false }));
            }
        }
        let before = evaluated();
        retry_after(&tries(app, CAFE, "cid@example.com", HORSE).await);
        assert_eq!(evaluated(), before);
        tries(app, HOME, "cid@example.com", HORSE).await.ok();
        tries(app, CAFE, "cid@example.com", HORSE).await.ok();

        // The Console: its login and the change of the own password.
        let console = |source: &str, password: &str| {
            let body = json!({ "login": OWNER.0, "password": password });
            from(source, server.call(Method::POST, "/console/home/login").body(body)).send()
        };
        let change = |old: &str| {
            let body = json!({ "password": "and five more words", "oldPassword": old });
            desk.call(Method::PUT, "/home/myaccount").body(body).send()
        };
        for _ in 0..6 {
            console(EVE, "wrong wrong wrong").await.refused(9005);
            change("wrong wrong wrong").await.refused(20060);
        }
        let before = evaluated();
        retry_after(&console(CAFE, OWNER.1).await);
        assert_eq!(evaluated(), before);
        change(OWNER.1).await.ok();
        console(CAFE, "and five more words").await.ok();
    }
}

/// Server code that checks the password of whoever has that token, by one spelling of the path.
fn verify(app: &TestApp, spelling: usize, token: &str, password: &str) -> Call {
    let path = ["/users/verifypassword", "/users/verifypassowrd"][spelling];
    let call = app.server_code(Method::POST, path).token(token);
    from(EVE, call.body(json!({ "password": password })))
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
