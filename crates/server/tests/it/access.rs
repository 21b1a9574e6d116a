//! The whole route table, called by everybody who has no right to (security Z-1, Z-6, Z-7).

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use server::router;
use server::sessions::brake;
use server::settings::Profile;
use server::web::{Access, Group, Route, Token};

use crate::harness::{Call, HORSE, Reply, Setup, TestApp, TestServer, text};
use crate::look;

/// What the strict profile answers on routes that any key may call: to nobody, and to a user who
/// asks about somebody else. 0 is a success. A route that is not in here fails the test until
/// somebody has thought about it.
const ANY_KEY: &[(&str, u64, u64)] = &[
    ("info", 0, 0),
    ("endOtherSessions", 3028, 0),
    ("login", 3003, 3003), // the body names nobody
    ("loginAsGuest", 0, 0),
    ("logout", 0, 0),
    ("listSessions", 3028, 0), // her own
    ("endSession", 3028, 1000),
    ("isValidToken", 0, 0),
    ("register", 3013, 3013),
    ("describeUsers", 0, 0),
    ("restorePassword", 5050, 5050),
    ("readUser", 2000, 2000),
    ("updateUser", 3028, 3029),
    ("deleteUser", 2000, 2000),
    ("find", 2000, 2000),
    ("list", 2000, 2000),
    ("count", 2000, 2000),
    ("countByGet", 2000, 2000),
    ("readObject", 2000, 2000),
    ("saveObject", 2000, 2000),
    ("createObject", 2000, 2000),
    ("updateObject", 2000, 2000),
    ("deleteObject", 2000, 2000),
    ("readFirst", 2000, 2000),
    ("readLast", 2000, 2000),
    ("readByKey", 2000, 2000),
    ("upsertObject", 2000, 2000),
    ("createMany", 2000, 2000),
    ("upsertMany", 2000, 2000),
    ("updateMany", 2000, 2000),
    ("deleteMany", 2000, 2000),
    ("deleteManyByQuery", 2000, 2000),
    ("describeTable", 0, 0), // as users/userclassprops
    ("tableName", 1015, 1015),
];

/// The code of routes for server code alone, with any other key.
const SERVER_CODE: &[(&str, u64)] = &[
    ("setStatus", 3054),
    ("verifyPassword", 3122),
    ("verifyPasswordOld", 3122),
    ("makeTable", 2011),
];

/// Routes that anybody may call, because they show nothing or prove the caller in their own way.
const ANYBODY: &[&str] = &["consoleLogin", "setUpForm", "setUp", "alive", "ready", "openapi"];

/// What is written by being asked for, and allowed to anybody, or to anybody for oneself.
const WRITES: &[&str] = &["loginAsGuest", "endOtherSessions"];

/// A path of the route, about `user`.
fn path(route: &Route, user: &str) -> String {
    let path = route.path.strip_prefix("/{app}/{key}").unwrap_or(&route.path);
    path.replace("{table}", "Users")
        .replace("{column}", "name")
        .replace("{id}", user)
        .replace("{token}", "11111111-2222-3333-4444-555555555555")
        .replace("{identity}", "nobody@example.com")
        .replace("{secret}", "wrong")
}

/// A body that would do something if it were let in.
fn with_body(call: Call, route: &Route) -> Call {
    match (&route.method, route.id) {
        (&Method::GET | &Method::DELETE, _) => call,
        (_, "register") => call.body(json!({ "password": HORSE, "name": "Eve" })),
        (_, "login") => call.body(json!({ "login": "nobody@example.com", "password": HORSE })),
        (_, "saveObject" | "createObject" | "consoleCreate") => {
            call.body(json!({ "email": "eve@example.com", "password": HORSE }))
        }
        (_, "createMany" | "upsertMany" | "consoleCreateMany" | "consoleUpsertMany") => {
            call.body(json!([{ "email": "eve@example.com", "password": HORSE }]))
        }
        (_, "deleteMany") => call.body(json!({ "where": "1=1" })),
        (_, "countTables") => call.body(json!({ "tables": ["Users"] })),
        (_, "createTable" | "renameTable" | "makeTable" | "updateMany") => {
            call.body(json!({ "name": "Eve" }))
        }
        (_, "createColumn") => call.body(json!({ "name": "eve", "dataType": "INT" })),
        (_, "changeColumn" | "changeProperty") => call.body(json!({ "name": "eve" })),
        (_, "tryValidator") => call.body(json!({ "regex": "a", "value": "a" })),
        (_, "setOrigins") => call.body(json!(["https://eve.example"])),
        (_, "find" | "count" | "consoleFind" | "consoleCount" | "loginAsGuest") => {
            call.body(json!({}))
        }
        _ => call.body(json!({
            "userStatus": "DISABLED", "appName": "Eve's", "domain": "eve.example", "apiKeyId": "x",
            "userRegistrationEnabled": false, "loginEnabled": false, "dynamicSchema": true,
        })),
    }
}

/// All that is stored, so that nothing can be changed unseen. That a wrong password was counted is
/// forgotten before.
async fn stored(server: &TestServer, app: &TestApp) -> Vec<String> {
    let data = server.server.apps.data(&app.id);
    data.write(|tx| brake::forgive_all(tx, "nobody@example.com")).await.unwrap();
    look::forget_sources(server, app).await;
    let mut rows = look::everything(&server.server.apps.data(&app.id)).await;
    rows.extend(look::everything(&server.server.apps.platform.data).await);
    rows.sort();
    rows
}

fn of_group(group: Group) -> impl Iterator<Item = Route> {
    router::routes().into_iter().filter(move |it| it.group == group)
}

#[tokio::test]
async fn every_route_says_who_may_use_it_and_the_lists_of_this_test_know_them_all() {
    let known: BTreeSet<&str> = ANY_KEY
        .iter()
        .map(|it| it.0)
        .chain(SERVER_CODE.iter().map(|it| it.0))
        .chain(ANYBODY.iter().copied())
        .collect();
    for route in router::routes() {
        let listed = known.contains(route.id);
        match route.access {
            Access::Developer | Access::Member => assert!(!listed, "{}", route.id),
            Access::Anybody | Access::AnyKey | Access::ServerCode(_) => {
                assert!(listed, "{} is new: say in this test who may call it", route.id);
            }
        }
    }
}

#[tokio::test]
async fn without_a_key_of_the_application_no_route_of_it_answers() {
    let server = TestServer::compat().await;
    let (app, other) = (&server.app, server.new_app("Other", Profile::Compat).await);
    let ann = app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    let before = stored(&server, app).await;
    let (id, key) = (&*app.id.0, &*app.keys["BL"]);
    let unknown = "11111111-2222-3333-4444-555555555555";
    for route in of_group(Group::App) {
        let path = path(&route, &ann);
        for (whose, root) in [
            ("an unknown application", format!("/{unknown}/{key}")),
            ("an unknown key", format!("/{id}/{unknown}")),
            ("another application's key", format!("/{id}/{}", other.keys["BL"])),
            ("another application with this key", format!("/{}/{key}", other.id.0)),
            ("a key in place of the application", format!("/{key}/{key}")),
            ("the name of a key", format!("/{id}/BL")),
            ("a cut key", format!("/{id}/{}", &key[..35])),
        ] {
            let call = server.call(route.method.clone(), &format!("{root}{path}")).token(&token);
            let reply = with_body(call, &route).send().await;
            assert_eq!(reply.code(), 2002, "{} with {whose}: {reply:?}", route.id);
        }
    }
    assert_eq!(stored(&server, app).await, before);
}

#[tokio::test]
async fn a_client_key_gives_no_rights_in_the_strict_profile_whoever_shows_it() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    desk.login_settings(json!({ "enableMultipleLogins": true })).await;
    let ann = app.user("ann@example.com").await;
    app.user("eve@example.com").await;
    let eve = app.token("eve@example.com").await;
    let (_, guest) = app.guest().await;
    let before = stored(&server, app).await;
    for route in of_group(Group::App).filter(|it| !WRITES.contains(&it.id)) {
        for device in ["JS", "REST", "IOS", "ANDROID", "WP", "AS"] {
            for (who, token) in [("nobody", ""), ("a guest", &*guest), ("Eve", &*eve)] {
                if device != "JS" && who == "a guest" || route.id == "logout" && who != "nobody" {
                    continue; // the same again; and what she may do
                }
                let call = app.call_with(device, route.method.clone(), &path(&route, &ann));
                let reply = with_body(call.token(token), &route).send().await;
                let expected = if matches!(route.access, Access::ServerCode(_)) {
                    SERVER_CODE.iter().find(|it| it.0 == route.id).unwrap().1
                } else {
                    let (_, nobody, user) = ANY_KEY.iter().find(|it| it.0 == route.id).unwrap();
                    if who == "nobody" { *nobody } else { *user }
                };
                let what = format!("{} by {who} with key {device}", route.id);
                assert_eq!(reply.code(), expected, "{what}: {reply:?}");
                assert!(!reply.body.windows(4).any(|it| it == b"ann@"), "{what}: {reply:?}");
            }
        }
    }
    assert_eq!(stored(&server, app).await, before, "nothing was written");
    // The same calls with the right.
    app.server_code(Method::GET, &format!("/users/{ann}")).send().await.ok();
    app.set_status(&ann, "DISABLED").await.ok();
}

#[tokio::test]
async fn a_dead_token_is_refused_wherever_a_token_counts() {
    for profile in [Profile::Standard, Profile::Compat] {
        let server = TestServer::with(Setup { profile, ..Setup::default() }).await;
        let app = &server.app;
        let other = server.new_app("Other", profile).await;
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        app.log_out(&token).await.ok();
        other.user("ann@example.com").await;
        let foreign = other.token("ann@example.com").await;
        let (_, key) = (server.desk().await, "JS");
        for route in of_group(Group::App) {
            for dead in [&*token, &*foreign, "x", "11111111-2222-3333-4444-555555555555", "ä"] {
                let device = if matches!(route.access, Access::ServerCode(_)) { "BL" } else { key };
                let call = app.call_with(device, route.method.clone(), &path(&route, &ann));
                let code = with_body(call.token(dead), &route).send().await.code();
                match route.token {
                    Token::Ignored => assert_ne!(code, 3064, "{} {dead}", route.id),
                    Token::Optional | Token::Required => {
                        assert_eq!(code, 3064, "{} {dead} {profile:?}", route.id);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn no_door_of_the_console_opens_without_a_developer_who_has_a_part_in_the_application() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    let ann = app.user("ann@example.com").await;
    let user = app.token("ann@example.com").await;
    let eve = developer(&server, "eve@example.com").await;
    let gone = developer(&server, "eve@example.com").await;
    let logout = server.call(Method::DELETE, "/console/home/logout").header("auth-key", &gone);
    logout.send().await.ok();
    let before = stored(&server, app).await;

    for route in of_group(Group::Console).filter(|it| !matches!(it.access, Access::Anybody)) {
        let path = path(&route, &ann).replace("{app}", &app.id.0);
        let call = |name: &'static str, key: &str| {
            let call = server.call(route.method.clone(), &path).header(name, key);
            with_body(call, &route)
        };
        for (whose, name, key) in [
            ("nobody", "x-nothing", ""),
            ("an empty key", "auth-key", ""),
            ("a random key", "auth-key", "11111111-2222-3333-4444-555555555555"),
            ("odd bytes", "auth-key", "ä"),
            ("a user's token", "auth-key", &*user),
            ("an API key", "auth-key", &*app.keys["BL"]),
            ("a key that logged out", "auth-key", &*gone),
            ("the right key in another header", "user-token", &*desk.key),
            ("the right key in a cookie", "cookie", &*format!("dev-auth-key={}", desk.key)),
        ] {
            let reply = call(name, key).send().await;
            assert_eq!(
                (reply.status.as_u16(), reply.code()),
                (401, 9007),
                "{} by {whose}",
                route.id
            );
        }
        if matches!(route.access, Access::Member) {
            let reply = call("auth-key", &eve).send().await;
            assert_eq!(reply.code(), 2001, "{} by a stranger: {reply:?}", route.id);
            let nowhere = path.replace(&*app.id.0, "11111111-2222-3333-4444-555555555555");
            let nowhere = server.call(route.method.clone(), &nowhere).header("auth-key", &eve);
            let there = (reply.status, reply.json()["message"].clone());
            let reply = with_body(nowhere, &route).send().await;
            assert_eq!((reply.status, reply.json()["message"].clone()), there, "tells what exists");
        }
    }
    assert_eq!(stored(&server, app).await, before, "nothing was written");
    let apps = server.call(Method::GET, "/console/applications").header("auth-key", &eve);
    assert_eq!(apps.send().await.ok(), json!([]));
    desk.about(Method::GET, "/appsettings").send().await.ok();
}

async fn developer(server: &TestServer, email: &str) -> String {
    let password = "five words in a row";
    let _ = server::console::developers::add(&server.server, email, "Eve", password).await;
    let login = json!({ "login": email, "password": password });
    let reply = server.call(Method::POST, "/console/home/login").body(login).send().await;
    reply.ok();
    reply.headers["auth-key"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn z_06_two_applications_with_equal_data_never_meet() {
    let server = TestServer::compat().await;
    let (first, second) = (&server.app, server.new_app("Second", Profile::Compat).await);
    let mine = first.user("ann@example.com").await;
    let theirs = second.register("ann@example.com", "another password").await.ok();
    let theirs = text(&theirs["objectId"]);
    first.login("ann@example.com", "another password").await.refused(3003);
    second.login("ann@example.com", HORSE).await.refused(3003);
    first.get(&format!("/data/Users/{theirs}")).send().await.refused(1000);
    second.get(&format!("/data/Users/{mine}")).send().await.refused(1000);
    first.set_status(&theirs, "DISABLED").await.refused(3057);
    second.login("ann@example.com", "another password").await.ok();

    let add = json!({ "title": "mine" });
    first.call(Method::PUT, "/data/Note").body(add).send().await.ok();
    second.get("/data/Note").send().await.refused(1009);
    let users = |app: &TestApp| app.get("/data/Users").send();
    let ids = |reply: Reply| -> Vec<Value> {
        reply.ok().as_array().unwrap().iter().map(|it| it["objectId"].clone()).collect()
    };
    assert_eq!(ids(users(first).await), [json!(mine)]);
    assert_eq!(ids(users(&second).await), [json!(theirs)]);
}
