//! Many at the same moment: what must be decided once is decided once (security D-5, users-api 2.6).

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use server::clock::Seconds;
use server::config::Options;
use server::settings::Profile;

use crate::harness::{HORSE, Reply, Setup, TestServer, text, unbraked};

/// A race needs threads: on one alone the requests would follow each other.
fn many_threads() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(4).enable_all().build().unwrap()
}

/// How often each code came.
fn codes(replies: &[Reply]) -> BTreeMap<u64, usize> {
    let mut codes = BTreeMap::new();
    for reply in replies {
        *codes.entry(reply.code()).or_default() += 1;
    }
    codes
}

/// A server that lets a crowd wait for its hash rather than sending it away.
async fn start(profile: Profile) -> TestServer {
    let options = Options { hash_wait_seconds: Some(120), ..unbraked() };
    TestServer::with(Setup { profile, options, ..Setup::default() }).await
}

#[test]
fn d_05_of_a_hundred_registrations_of_one_identity_one_succeeds() {
    many_threads().block_on(async {
        let server = start(Profile::Compat).await;
        let other = server.second_node().await;
        let app = &server.app;
        let nodes = [app, other.as_ref().map_or(app, |it| &it.app)];
        for round in 0..3 {
            let domain = format!("bücher{round}.example");
            let ascii = format!("xn--bcher{round}-65a.example");
            let ascii = idna_of(&domain).unwrap_or(ascii);
            let spellings = [
                format!("ann@{domain}"),
                format!("ANN@{domain}"),
                format!("  Ann@{domain} "),
                format!("ann@{ascii}"),
                format!("ａｎｎ@{domain}"), // full-width letters
                format!("Ann@{}", domain.to_uppercase()),
            ];
            let calls = (0..100).map(|number| {
                let email = &spellings[number % spellings.len()];
                let body = json!({ "email": email, "password": HORSE, "name": number.to_string() });
                let app = nodes[number % 2];
                match number % 5 {
                    // Mixed doors: registration, and a user made through the data API.
                    4 => app.server_code(Method::POST, "/data/Users").body(body).send(),
                    3 => app.server_code(Method::PUT, "/data/Users").body(body).send(),
                    _ => app.post("/users/register", body).send(),
                }
            });
            let replies = join_all(calls).await;
            let expected = BTreeMap::from([(0, 1), (3033, 99)]);
            assert_eq!(codes(&replies), expected, "round {round}");
            let count = app.server_code(Method::POST, "/data/Users/count").body(json!({}));
            assert_eq!(count.send().await.ok(), json!(round + 1));
            // Whoever won logs in, in every spelling.
            for spelling in &spellings {
                app.login(spelling, HORSE).await.ok();
            }
        }
        if let Some(other) = other {
            server::start::stop(&other.server).await;
        }
    });
}

fn idna_of(domain: &str) -> Option<String> {
    server::schema::identity::canonical(&format!("x@{domain}"))
        .ok()
        .and_then(|it| it.as_str().split_once('@').map(|it| it.1.to_owned()))
}

#[test]
fn two_hundred_right_logins_at_once_never_exceed_the_limit_and_leave_no_place_empty() {
    many_threads().block_on(async {
        for most in [1_usize, 3, 50] {
            let server = start(Profile::Standard).await;
            let other = server.second_node().await;
            let (app, desk) = (&server.app, server.desk().await);
            let rules = json!({ "enableMultipleLogins": true, "maxConcurrentLogins": most });
            desk.login_settings(rules).await;
            settle(other.as_ref()).await;
            app.user("ann@example.com").await;
            let nodes = [app, other.as_ref().map_or(app, |it| &it.app)];

            let logins = (0..200).map(|it| nodes[it % 2].login("ann@example.com", HORSE));
            let replies = join_all(logins).await;
            let expected = BTreeMap::from([(0, most), (3044, 200 - most)]);
            assert_eq!(codes(&replies), expected, "at most {most}");

            // Every session that was given out lives; who logs out makes room for exactly one.
            let won = replies.iter().find(|it| it.status == 200).unwrap();
            app.log_out(&text(&won.json()["user-token"])).await.ok();
            let logins = (0..20).map(|it| nodes[it % 2].login("ann@example.com", HORSE));
            let replies = join_all(logins).await;
            assert_eq!(codes(&replies), BTreeMap::from([(0, 1), (3044, 19)]), "at most {most}");
            if let Some(other) = other {
                server::start::stop(&other.server).await;
            }
        }
    });
}

#[test]
fn of_many_logins_at_once_one_session_is_left_where_one_is_allowed() {
    many_threads().block_on(async {
        for (rules, wins, refusal) in [
            (json!({}), 40, 0),                           // the newest wins
            (json!({ "logoutLastUser": true }), 1, 3002), // the first wins
        ] {
            let server = start(Profile::Standard).await;
            let other = server.second_node().await;
            let (app, desk) = (&server.app, server.desk().await);
            desk.login_settings(rules.clone()).await;
            settle(other.as_ref()).await;
            app.user("ann@example.com").await;
            let nodes = [app, other.as_ref().map_or(app, |it| &it.app)];
            let logins = (0..40).map(|it| nodes[it % 2].login("ann@example.com", HORSE));
            let replies = join_all(logins).await;
            let codes = codes(&replies);
            assert_eq!(codes.get(&0), Some(&wins), "{rules}: {codes:?}");
            assert_eq!(codes.get(&refusal).copied().unwrap_or(0), if wins == 1 { 39 } else { 40 });
            let mut alive = 0;
            for reply in replies.iter().filter(|it| it.status == 200) {
                alive += usize::from(app.is_valid(&text(&reply.json()["user-token"])).await);
            }
            assert_eq!(alive, 1, "{rules}");
            if let Some(other) = other {
                server::start::stop(&other.server).await;
            }
        }
    });
}

#[test]
fn the_oldest_sessions_end_exactly_as_new_ones_need_room() {
    many_threads().block_on(async {
        let server = start(Profile::Standard).await;
        let (app, desk) = (&server.app, server.desk().await);
        let rules = json!({
            "enableMultipleLogins": true, "maxConcurrentLogins": 5, "onLimitReached": "endOldest",
        });
        desk.login_settings(rules).await;
        app.user("ann@example.com").await;
        let replies = join_all((0..60).map(|_| app.login("ann@example.com", HORSE))).await;
        assert_eq!(codes(&replies), BTreeMap::from([(0, 60)]));
        let mut alive = 0;
        for reply in &replies {
            alive += usize::from(app.is_valid(&text(&reply.json()["user-token"])).await);
        }
        assert_eq!(alive, 5);
    });
}

#[test]
fn a_login_never_slips_past_a_disabling() {
    many_threads().block_on(async {
        let server = start(Profile::Standard).await;
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "enableMultipleLogins": true })).await;
        let ann = app.user("ann@example.com").await;
        for round in 0..5 {
            let logins = join_all((0..12).map(|_| app.login("ann@example.com", HORSE)));
            let disabling = async {
                tokio::time::sleep(std::time::Duration::from_millis(20 * round)).await;
                app.set_status(&ann, "DISABLED").await.ok();
            };
            let (replies, ()) = tokio::join!(logins, disabling);
            for reply in &replies {
                match reply.code() {
                    0 => {
                        let token = text(&reply.json()["user-token"]);
                        assert!(!app.is_valid(&token).await, "round {round}");
                        app.read(&ann, &token).await.refused(3090);
                    }
                    code => assert_eq!(code, 3090, "round {round}"),
                }
            }
            app.set_status(&ann, "ENABLED").await.ok();
        }
    });
}

#[test]
fn a_guest_becomes_one_user_however_often_it_is_asked() {
    many_threads().block_on(async {
        let server = start(Profile::Standard).await;
        let app = &server.app;
        let (guest, token) = app.guest().await;
        let calls = (0..30).map(|number| {
            let email = format!("guest{number}@example.com");
            let body = json!({ "objectId": guest, "email": email, "password": HORSE });
            app.post("/users/register", body).token(&token).send()
        });
        let replies = join_all(calls).await;
        let kept: Vec<_> = replies
            .iter()
            .filter(|it| it.status == 200 && it.json()["objectId"] == guest.as_str())
            .collect();
        assert_eq!(kept.len(), 1, "{:?}", codes(&replies));
        let email = text(&kept[0].json()["email"]);
        let login = app.login(&email, HORSE).await.ok();
        assert_eq!(login["objectId"], guest.as_str());
    });
}

#[test]
fn an_owner_has_one_application_of_a_name() {
    many_threads().block_on(async {
        let server = start(Profile::Standard).await;
        let desk = server.desk().await;
        let calls = (0..10).map(|_| {
            desk.call(Method::POST, "/applications").body(json!({ "appName": "Shop" })).send()
        });
        let replies = join_all(calls).await;
        assert_eq!(codes(&replies), BTreeMap::from([(0, 1), (20013, 9)]));
    });
}

#[test]
fn strangers_who_invent_the_same_property_at_once_make_one_column() {
    many_threads().block_on(async {
        let server = start(Profile::Compat).await;
        let other = server.second_node().await;
        let app = &server.app;
        let nodes = [app, other.as_ref().map_or(app, |it| &it.app)];
        let calls = (0..40).map(|number| {
            let email = format!("user{number}@example.com");
            let body = json!({ "email": email, "password": HORSE, "shoe": number, "hat": "h" });
            nodes[number % 2].post("/users/register", body).send()
        });
        let replies = join_all(calls).await;
        assert_eq!(codes(&replies), BTreeMap::from([(0, 40)]));
        let shoes: std::collections::BTreeSet<u64> =
            replies.iter().map(|it| it.json()["shoe"].as_u64().unwrap()).collect();
        assert_eq!(shoes.len(), 40);
        if let Some(other) = other {
            server::start::stop(&other.server).await;
        }
    });
}

#[test]
fn wrong_passwords_at_once_are_all_counted() {
    many_threads().block_on(async {
        let server = start(Profile::Standard).await;
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "failedLoginsLock": 20, "lockoutMinutes": 5 })).await;
        app.user("ann@example.com").await;
        let wrong = (0..19).map(|_| app.login("ann@example.com", "wrong wrong"));
        assert_eq!(codes(&join_all(wrong).await), BTreeMap::from([(3003, 19)]));
        app.login("Ann@Example.com", "wrong wrong").await.refused(3003);
        app.login("ann@example.com", HORSE).await.refused(3036);
        server.clock.advance(Seconds(301));
        app.login("ann@example.com", HORSE).await.ok();
    });
}

/// Waits until the other node knows of all that has happened until now.
async fn settle(other: Option<&TestServer>) {
    if other.is_some() {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
}

#[test]
fn pw_11_more_than_the_hash_queue_takes_is_sent_away_and_nothing_is_half_done() {
    many_threads().block_on(async {
        let options = Options { hash_threads: Some(1), hash_wait_seconds: Some(2), ..unbraked() };
        let server = TestServer::with(Setup { options, ..Setup::default() }).await;
        let app = &server.app;
        let calls = (0..600).map(|number| {
            let email = format!("user{number}@example.com");
            async move { (app.register(&email, HORSE).await, email) }
        });
        let replies = join_all(calls).await;
        let (mut served, mut refused) = (0, 0);
        for (reply, _) in &replies {
            if reply.status == 200 {
                served += 1;
            } else {
                assert_eq!((reply.status.as_u16(), reply.code()), (503, 20001), "{reply:?}");
                assert!(reply.headers.contains_key("retry-after"));
                refused += 1;
            }
        }
        assert!(served > 0 && refused > 0, "{served} served, {refused} refused");
        let count = app.server_code(Method::POST, "/data/Users/count").body(json!({}));
        assert_eq!(count.send().await.ok(), json!(served));
        let free = replies.iter().find(|it| it.0.status == 503).unwrap();
        app.register(&free.1, HORSE).await.ok();
    });
}

#[test]
fn of_many_who_want_one_identity_by_registering_and_by_changing_one_gets_it() {
    many_threads().block_on(async {
        let server = start(Profile::Standard).await;
        let other = server.second_node().await;
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "enableMultipleLogins": true })).await;
        settle(other.as_ref()).await;
        let nodes = [app, other.as_ref().map_or(app, |it| &it.app)];
        let mut users = Vec::new();
        for number in 0..12 {
            let email = format!("user{number}@example.com");
            let id = app.user(&email).await;
            users.push((id, app.token(&email).await, email));
        }
        for round in 0..3 {
            let wanted = format!("wanted{round}@example.com");
            let changes = users.iter().enumerate().map(|(number, (id, token, _))| {
                let spelling = if number % 3 == 0 { wanted.to_uppercase() } else { wanted.clone() };
                nodes[number % 2].update(id, token, json!({ "email": spelling }))
            });
            let news = (0..12).map(|it| nodes[it % 2].register(&wanted, HORSE));
            let (changed, registered) = tokio::join!(join_all(changes), join_all(news));
            let (changed, registered) = (codes(&changed), codes(&registered));
            let won = changed.get(&0).unwrap_or(&0) + registered.get(&0).unwrap_or(&0);
            assert_eq!(won, 1, "round {round}: {changed:?} {registered:?}");
            assert!(changed.keys().all(|it| [0, 3018].contains(it)), "{changed:?}");
            assert!(registered.keys().all(|it| [0, 3033].contains(it)), "{registered:?}");
            app.login(&wanted, HORSE).await.ok();
            // Whoever changed it is put back, by server code.
            for (id, _, email) in &users {
                let call = app.server_code(Method::PUT, &format!("/users/{id}"));
                call.body(json!({ "email": email })).send().await.ok();
            }
        }
        if let Some(other) = other {
            server::start::stop(&other.server).await;
        }
        crate::invariants::assert_whole(&server.server.apps).await;
    });
}

#[test]
fn two_users_who_swap_identities_wait_for_each_other_and_neither_breaks() {
    many_threads().block_on(async {
        let server = start(Profile::Standard).await;
        let app = &server.app;
        let (ann, bob) = (app.user("ann@example.com").await, app.user("bob@example.com").await);
        let change = |id: &str, email: &str| {
            let call = app.server_code(Method::PUT, &format!("/users/{id}"));
            call.body(json!({ "email": email })).send()
        };
        for round in 0..20 {
            let (first, second) =
                tokio::join!(change(&ann, "bob@example.com"), change(&bob, "ann@example.com"));
            for reply in [first, second] {
                assert_eq!(reply.code(), 3018, "round {round}: {reply:?}");
            }
        }
        assert_eq!(app.login("ann@example.com", HORSE).await.ok()["objectId"], ann.as_str());
        crate::invariants::assert_whole(&server.server.apps).await;
    });
}

#[test]
fn no_session_survives_the_deletion_of_its_user() {
    many_threads().block_on(async {
        let server = start(Profile::Standard).await;
        let other = server.second_node().await;
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "enableMultipleLogins": true })).await;
        settle(other.as_ref()).await;
        let nodes = [app, other.as_ref().map_or(app, |it| &it.app)];
        for round in 0..5 {
            let ann = app.user("ann@example.com").await;
            let logins = join_all((0..12).map(|it| nodes[it % 2].login("ann@example.com", HORSE)));
            let deletion = async {
                tokio::time::sleep(std::time::Duration::from_millis(15 * round)).await;
                app.server_code(Method::DELETE, &format!("/users/{ann}")).send().await.ok();
            };
            let (replies, ()) = tokio::join!(logins, deletion);
            for reply in &replies {
                match reply.code() {
                    0 => {
                        let token = text(&reply.json()["user-token"]);
                        assert!(!app.is_valid(&token).await, "round {round}");
                    }
                    code => assert_eq!(code, 3003, "round {round}"),
                }
            }
        }
        if let Some(other) = other {
            server::start::stop(&other.server).await;
        }
        crate::invariants::assert_whole(&server.server.apps).await;
    });
}

#[test]
fn no_session_by_the_old_password_survives_the_new_one() {
    many_threads().block_on(async {
        let server = start(Profile::Standard).await;
        let other = server.second_node().await;
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "enableMultipleLogins": true })).await;
        settle(other.as_ref()).await;
        let nodes = [app, other.as_ref().map_or(app, |it| &it.app)];
        let ann = app.user("ann@example.com").await;
        let mut old = HORSE.to_owned();
        for round in 0..5 {
            let new = format!("horse number {round}");
            let own = text(&app.login("ann@example.com", &old).await.ok()["user-token"]);
            let logins = join_all((0..12).map(|it| nodes[it % 2].login("ann@example.com", &old)));
            let change = async {
                tokio::time::sleep(std::time::Duration::from_millis(20 * round)).await;
                app.update(&ann, &own, json!({ "password": new })).await.ok();
            };
            let (replies, ()) = tokio::join!(logins, change);
            for reply in &replies {
                match reply.code() {
                    0 => {
                        let token = text(&reply.json()["user-token"]);
                        assert!(!app.is_valid(&token).await, "round {round}");
                    }
                    code => assert_eq!(code, 3003, "round {round}"),
                }
            }
            assert!(app.is_valid(&own).await, "the session that changed it, round {round}");
            app.login("ann@example.com", &new).await.ok();
            old = new;
        }
        if let Some(other) = other {
            server::start::stop(&other.server).await;
        }
    });
}
