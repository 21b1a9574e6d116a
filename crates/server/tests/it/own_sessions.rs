//! Sessions for people (security S-12): users list and end their own, developers those of anybody;
//! and every setting of login and registration holds from the next request on.

use http::Method;
use serde_json::{Value, json};
use server::clock::Seconds;
use server::settings::Profile;

use crate::harness::{Desk, HORSE, Setup, TestApp, TestServer, text};
use crate::look;

async fn several(server: &TestServer) -> Desk {
    let desk = server.desk().await;
    desk.login_settings(json!({ "enableMultipleLogins": true })).await;
    desk
}

async fn login_by(app: &TestApp, device: &str, agent: &str) -> String {
    let body = json!({ "login": "ann@example.com", "password": HORSE });
    let call = app.call_with(device, Method::POST, "/users/login").body(body);
    text(&call.header("user-agent", agent).send().await.ok()["user-token"])
}

async fn own(app: &TestApp, token: &str) -> Vec<Value> {
    let list = app.get("/users/sessions").token(token).send().await.ok();
    list.as_array().unwrap().clone()
}

#[tokio::test]
async fn s_12_a_user_sees_the_own_sessions_and_ends_them() {
    for server in TestServer::in_each_profile().await {
        let (app, _desk) = (&server.app, several(&server).await);
        app.user("ann@example.com").await;
        app.user("eve@example.com").await;
        let phone = login_by(app, "ANDROID", "a phone").await;
        server.clock.advance(Seconds(60));
        let laptop = login_by(app, "JS", "a laptop").await;
        let eve = app.token("eve@example.com").await;
        server.clock.advance(Seconds(60));

        let list = own(app, &laptop).await;
        let start = crate::harness::START.0;
        let shown: Vec<Value> = list
            .iter()
            .map(|it| {
                let mut it = it.clone();
                assert_eq!(text(&it["id"]).len(), 36);
                it["id"] = json!("…");
                it
            })
            .collect();
        let expected = json!([
            {
                "id": "…", "created": start, "lastAccess": start, "expires": start + 3_600_000,
                "deviceType": "ANDROID", "ip": "127.0.0.1", "userAgent": "a phone",
                "current": false,
            },
            {
                "id": "…", "created": start + 60_000, "lastAccess": start + 120_000,
                "expires": start + 3_720_000, "deviceType": "JS", "ip": "127.0.0.1",
                "userAgent": "a laptop", "current": true,
            },
        ]);
        assert_eq!(json!(shown), expected);
        let all = json!(list).to_string();
        for token in [&phone, &laptop, &eve] {
            assert!(!all.contains(token.as_str()));
        }

        // Nobody ends another's, not even by its id; and nobody is nobody.
        let phones = format!("/users/sessions/{}", text(&list[0]["id"]));
        app.call(Method::DELETE, &phones).token(&eve).send().await.refused(1000);
        app.call(Method::DELETE, &phones).send().await.refused(3028);
        app.get("/users/sessions").send().await.refused(3028);
        assert!(app.is_valid(&phone).await);
        let reply = app.call(Method::DELETE, &phones).token(&laptop).send().await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
        assert!(!app.is_valid(&phone).await && app.is_valid(&laptop).await);
        app.call(Method::DELETE, &phones).token(&laptop).send().await.refused(1000);

        // All but this one.
        let others = [login_by(app, "JS", "x").await, login_by(app, "REST", "y").await];
        app.call(Method::DELETE, "/users/sessions").token(&laptop).send().await.ok();
        for other in &others {
            assert!(!app.is_valid(other).await);
        }
        assert_eq!(own(app, &laptop).await.len(), 1);
        assert!(app.is_valid(&eve).await, "everybody else stays");
        // And this one, which is a logout.
        let this = format!("/users/sessions/{}", text(&own(app, &laptop).await[0]["id"]));
        app.call(Method::DELETE, &this).token(&laptop).send().await.ok();
        assert!(!app.is_valid(&laptop).await);
        // What is over is not listed.
        server.clock.advance(Seconds(3 * 3600));
        assert_eq!(own(app, &app.token("ann@example.com").await).await.len(), 1);
    }
}

#[tokio::test]
async fn s_12_developers_find_users_with_sessions_page_by_page_and_end_them() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, several(&server).await);
    let mut ids = Vec::new();
    for name in ["ann", "bob", "cid", "dag", "eve"] {
        ids.push(app.user(&format!("{name}@example.com")).await);
    }
    let mut tokens = Vec::new();
    for name in ["ann", "ann", "ann", "bob", "cid"] {
        tokens.push(app.token(&format!("{name}@example.com")).await);
        server.clock.advance(Seconds(1));
    }
    let ask = async |path: &str| desk.about(Method::GET, path).send().await.ok();

    // Two a page: Ann and Bob, then Cid, who is alone on the last one.
    let first = ask("/user/sessions/users-with-sessions?pageSize=2").await;
    let cursor = text(&first["cursor"]);
    let path = format!("/user/sessions/users-with-sessions?pageSize=2&cursor={cursor}");
    let second = ask(&path).await;
    let all: Vec<(String, i64)> = [&first, &second]
        .iter()
        .flat_map(|it| it["data"].as_array().unwrap())
        .map(|it| (text(&it["objectId"]), it["sessions"].as_i64().unwrap()))
        .collect();
    let mut expected = [(ids[0].clone(), 3), (ids[1].clone(), 1), (ids[2].clone(), 1)].to_vec();
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(second["cursor"], Value::Null);
    assert!(!first.to_string().contains("password"));

    let path = format!("/user/sessions/{}?pageSize=2", ids[0]);
    let first = ask(&path).await;
    let cursor = text(&first["cursor"]);
    let second = ask(&format!("{path}&cursor={cursor}")).await;
    assert_eq!(first["data"].as_array().unwrap().len(), 2);
    assert_eq!(second["data"].as_array().unwrap().len(), 1);
    assert_eq!(second["cursor"], Value::Null);
    for key in ["id", "created", "lastAccess", "expires", "deviceType", "ip", "userAgent"] {
        assert!(!second["data"][0][key].is_null(), "{key}");
    }
    for token in &tokens {
        assert!(!first.to_string().contains(token.as_str()));
    }
    for (path, code) in [
        ("/user/sessions/users-with-sessions?pageSize=101", 1025),
        ("/user/sessions/users-with-sessions?pageSize=x", 1005),
        ("/user/sessions/nobody?pageSize=0", 1005),
    ] {
        desk.about(Method::GET, path).send().await.refused(code);
    }

    // By identity in any spelling, by id, and all.
    for (wanted, found) in
        [("BOB@example.com", 1), (&*ids[1], 1), ("nobody@example.com", 0), ("", 5)]
    {
        let list =
            ask(&format!("/user/sessions/users?identityOrUserId={wanted}&pageSize=50")).await;
        assert_eq!(list.as_array().unwrap().len(), found, "{wanted}");
    }

    // One, and several, and some that are nobody.
    let end = async |body: Value| {
        desk.about(Method::PUT, "/user/sessions/logout").body(body).send().await.ok();
    };
    end(json!(ids[1])).await;
    let mut alive = Vec::new();
    for token in &tokens {
        alive.push(app.is_valid(token).await);
    }
    assert_eq!(alive, [true, true, true, false, true]);
    end(json!([ids[0], "nobody", ids[2]])).await;
    for token in &tokens {
        assert!(!app.is_valid(token).await);
    }
    let empty = ask("/user/sessions/users-with-sessions").await;
    assert_eq!(empty, json!({ "data": [], "cursor": null }));
    let kept = look::everything(&server.server.apps.data(&app.id)).await;
    let told =
        kept.iter().filter(|it| it.contains("'session.closed'") || it.contains("session.closed,"));
    assert_eq!(told.count(), 3, "one event for each user");
}

#[tokio::test]
async fn a_limit_of_logins_by_role_counts_in_place_of_the_common_one() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    app.user("ann@example.com").await;
    for (by_role, common, allowed) in [
        (json!({}), 1, 1),
        (json!({ "AuthenticatedUser": 3 }), 1, 3),
        (json!({ "AuthenticatedUser": 1, "GuestUser": 7 }), 5, 1),
        (json!({ "Premium": 1 }), 2, 2),
        (json!({ "AuthenticatedUser": 0 }), 1, 6),
    ] {
        let settings = json!({
            "enableMultipleLogins": true, "maxConcurrentLogins": common,
            "maxConcurrentLoginsByRole": by_role,
        });
        desk.login_settings(settings).await;
        desk.about(Method::POST, "/userlogin/logout/all").send().await.ok();
        let mut let_in = 0;
        for _ in 0..6 {
            let reply = app.login("ann@example.com", HORSE).await;
            assert!([0, 3044].contains(&reply.code()), "{reply:?}");
            let_in += i32::from(reply.code() == 0);
        }
        assert_eq!(let_in, allowed, "{by_role}");
    }
    for odd in [json!({ "": 1 }), json!({ "Premium": -1 }), json!(5), json!({ "Premium": "2" })] {
        let body = json!({ "maxConcurrentLoginsByRole": odd });
        desk.about(Method::POST, "/userlogin").body(body).send().await.refused(3038);
    }
}

/// A setting of login, and what a login of Ann is answered with from then on; 0 is a success.
const LOGIN: &[(&str, &str, u64)] = &[
    ("loginEnabled", "false", 3034),
    ("loginEnabled", "true", 0),
    ("logoutLastUser", "true", 3002),
    ("logoutLastUser", "false", 0),
    ("enableMultipleLogins", "true", 0),
    ("maxConcurrentLogins", "1", 3044),
    ("onLimitReached", "\"endOldest\"", 0),
    ("onLimitReached", "\"refuse\"", 3044),
    ("maxConcurrentLoginsByRole", "{\"AuthenticatedUser\": 1000}", 0),
];

type Holds = std::pin::Pin<Box<dyn Future<Output = bool>>>;

/// Each setting takes effect for the next request: on the node that was asked at once, on every
/// other as soon as its lease says so, which is two seconds at most.
#[tokio::test]
async fn every_setting_of_login_and_registration_holds_for_the_next_request_on_every_node() {
    let server = TestServer::with(Setup { profile: Profile::Compat, ..Setup::default() }).await;
    let (app, desk) = (&server.app, server.desk().await);
    let second = server.second_node().await;
    app.user("ann@example.com").await;
    app.token("ann@example.com").await;
    let everywhere = async |what: &str, holds: &dyn Fn(&TestApp) -> Holds| {
        assert!(holds(app).await, "{what}, here");
        if let Some(second) = &second {
            second.knows_within_two_seconds(what, async |app| holds(app).await).await;
        }
    };
    for (name, value, code) in LOGIN {
        let value: Value = serde_json::from_str(value).unwrap();
        desk.login_settings(json!({ *name: value })).await;
        everywhere(&format!("{name} {value}"), &|app| {
            let app = app.clone();
            Box::pin(async move { app.login("ann@example.com", HORSE).await.code() == *code })
        })
        .await;
    }

    desk.login_settings(json!({ "cookieSessionsEnabled": true })).await;
    everywhere("cookieSessionsEnabled", &|app| {
        let app = app.clone();
        Box::pin(async move {
            app.login("ann@example.com", HORSE).await.headers.contains_key("set-cookie")
        })
    })
    .await;

    // Ann has used this session now; with a time-out of a minute it is over after two.
    let ann = text(&app.login("ann@example.com", HORSE).await.ok()["user-token"]);
    server.clock.advance(Seconds(120));
    assert!(app.is_valid(&ann).await);
    desk.login_settings(json!({ "sessionTimeoutEnabled": true, "sessionTimeout": 60 })).await;
    everywhere("sessionTimeout", &|app| {
        let (app, ann) = (app.clone(), ann.clone());
        Box::pin(async move { !app.is_valid(&ann).await })
    })
    .await;

    // The limits: one wrong password of somebody new at each node and round, then too many.
    for (name, who) in
        [("wrongPasswordsPerPlace", "place"), ("wrongPasswordsPerAccount", "account")]
    {
        let before = app.login(&format!("{who}@example.com"), "wrong").await;
        assert_eq!(before.code(), 3003);
        desk.login_settings(json!({ name: 1 })).await;
        everywhere(name, &|app| {
            let (app, email) = (app.clone(), format!("{who}@example.com"));
            Box::pin(async move { app.login(&email, "wrong").await.code() == 999 })
        })
        .await;
        desk.login_settings(json!({ name: null })).await;
    }
    desk.login_settings(json!({ "failedLoginsLock": 1, "lockoutMinutes": 1 })).await;
    everywhere("failedLoginsLock", &|app| {
        let app = app.clone();
        Box::pin(async move {
            let email = format!("{}@example.com", app.id.0);
            app.login(&email, "wrong").await;
            app.login(&email, "wrong").await.code() == 3036
        })
    })
    .await;
    server.clock.advance(Seconds(61));
    desk.login_settings(json!({ "failedLoginsLock": 0 })).await;
    everywhere("failedLoginsLock off", &|app| {
        let app = app.clone();
        Box::pin(async move {
            app.login("x@example.com", "wrong").await;
            app.login("x@example.com", "wrong").await.code() == 3003
        })
    })
    .await;
    desk.login_settings(json!({ "wrongPasswordsPerSource": 1 })).await;
    everywhere("wrongPasswordsPerSource", &|app| {
        let app = app.clone();
        Box::pin(async move {
            app.login("y@example.com", "wrong").await;
            app.login("z@example.com", "wrong").await.code() == 999
        })
    })
    .await;

    for (name, value, code) in [
        ("userRegistrationEnabled", json!(false), 3009),
        ("userRegistrationEnabled", json!(true), 0),
        ("registrationsPerHour", json!(1), 999),
    ] {
        desk.registration_settings(json!({ name: value })).await;
        everywhere(&format!("{name} {value}"), &|app| {
            let app = app.clone();
            Box::pin(async move {
                let guest = app.post("/users/register/guest", json!({})).send().await;
                // Of one in an hour the first is let in.
                let again = app.post("/users/register/guest", json!({})).send().await;
                let first = if code == 999 { [0, 999] } else { [code, code] };
                first.contains(&guest.code()) && again.code() == code
            })
        })
        .await;
    }
    desk.registration_settings(json!({
        "registrationsPerHour": null, "emailConfirmationRequired": true,
    }))
    .await;
    everywhere("emailConfirmationRequired", &|app| {
        let app = app.clone();
        Box::pin(async move {
            let number = app.server_code(Method::POST, "/data/Users/count").body(json!({}));
            let email = format!("new{}@example.com", number.send().await.ok());
            let made = app.register(&email, HORSE).await;
            made.json()["userStatus"] == "EMAIL_CONFIRMATION_PENDING"
        })
    })
    .await;

    // The list of this test is all there is.
    let mut known: Vec<&str> = LOGIN.iter().map(|it| it.0).collect();
    known.extend(["cookieSessionsEnabled", "sessionTimeoutEnabled", "sessionTimeout"]);
    known.extend(["failedLoginsLock", "lockoutMinutes", "wrongPasswordsPerPlace"]);
    known.extend(["wrongPasswordsPerAccount", "wrongPasswordsPerSource"]);
    known.extend(["userRegistrationEnabled", "registrationsPerHour", "emailConfirmationRequired"]);
    let all = [desk.login_settings(json!({})).await, desk.registration_settings(json!({})).await];
    for name in all.iter().flat_map(|it| it.as_object().unwrap().keys()) {
        assert!(known.contains(&name.as_str()), "{name} is new: see here when it takes effect");
    }
}
