//! Changing a user: what, by whom, and what follows from it (users-api 2.12, security C-1, C-5, Z-2).

use std::sync::Arc;

use engine::{Faults, Hooks};
use http::Method;
use serde_json::{Value, json};
use server::clock::Seconds;
use server::error::Error;
use server::settings::Profile;
use server::store::Row;
use server::users::write::{self, Change, Edit};

use crate::harness::{HORSE, Setup, TestApp, TestServer, text};

/// The events of an application of that kind, oldest first: who, about whom, what.
pub async fn events(server: &TestServer, kind: &'static str) -> Vec<(String, String, Value)> {
    let data = server.server.apps.data(&server.app.id);
    let read = |row: &Row<'_>| {
        let change = row.get::<String>("change")?;
        let by = format!("{} {}", row.get::<String>("by_kind")?, row.get::<String>("by_id")?);
        Ok((by, row.get("about")?, serde_json::from_str(&change).unwrap()))
    };
    let found = data.read(move |db| {
        let sql =
            "select by_kind, by_id, about, change from sys.events where kind = ?1 order by id";
        Ok::<_, Error>(db.rows(sql, &[&kind], read)?)
    });
    found.await.unwrap()
}

#[tokio::test]
async fn u_r23_a_user_changes_a_name_and_gets_the_whole_user() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let made = app.register("ann@example.com", HORSE).await.ok();
        let ann = text(&made["objectId"]);
        let token = app.token("ann@example.com").await;
        server.clock.advance(Seconds(7));
        let mut expected = app.read(&ann, &token).await.ok();
        let now = server.clock.now().0;
        let changed = app.update(&ann, &token, json!({ "name": "Ann" })).await.ok();
        expected["name"] = json!("Ann");
        expected["updated"] = json!(now);
        assert_eq!(changed, expected, "no password, no token, all else as it was");
        assert_eq!(app.read(&ann, &token).await.ok(), expected);
        assert!(app.is_valid(&token).await);

        let events = events(&server, "user.updated").await;
        let what = json!({ "before": { "name": null }, "after": { "name": "Ann" } });
        assert_eq!(events, [(format!("user {ann}"), ann, what)]);
    }
}

#[tokio::test]
async fn every_door_changes_a_user_alike() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        let own = |path: String| app.call(Method::PUT, &path).token(&token);
        for (what, call) in [
            ("users", own(format!("/users/{ann}"))),
            ("data", own(format!("/data/Users/{ann}"))),
            ("save", own("/data/Users".to_owned())),
            ("server code", app.server_code(Method::PUT, &format!("/users/{ann}"))),
            ("Console", desk.about(Method::PUT, &format!("/data/Users/{ann}"))),
        ] {
            let body = json!({ "objectId": ann, "name": what });
            let changed = call.body(body).send().await.ok();
            assert_eq!(changed["name"], what);
            assert_eq!(app.read(&ann, &token).await.ok(), changed, "{what}");
        }
        // Whoever is not there is told in the words of the door.
        let all = |path: &str| app.server_code(Method::PUT, path).body(json!({ "objectId": "x" }));
        all("/users/x").send().await.refused(3030);
        all("/data/Users/x").send().await.refused(1000);
        all("/data/Users").send().await.refused(1000);
        let nobody = desk.about(Method::PUT, "/data/Users/x").body(json!({}));
        nobody.send().await.refused(1000);
    }
}

#[tokio::test]
async fn u_r24_u_r25_an_unknown_property_becomes_a_column_or_is_dropped() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        for dynamic in [true, false] {
            let set = json!({ "dynamicSchema": dynamic });
            desk.about(Method::PUT, "/data/config").body(set).send().await.ok();
            let name = format!("shoe_{dynamic}");
            let changed = app.update(&ann, &token, json!({ name.clone(): 44 })).await.ok();
            let expected = if dynamic { json!(44) } else { Value::Null };
            assert_eq!(changed[&name], expected);
            assert_eq!(changed.get(&name).is_some(), dynamic);
            assert_eq!(changed["email"], "ann@example.com");
            assert_eq!(changed["objectId"], ann.as_str());
        }
    }
}

#[tokio::test]
async fn c_01_in_the_strict_profile_users_change_their_own_record_and_no_other() {
    let server = TestServer::start().await;
    let app = &server.app;
    let (ann, bob) = (app.user("ann@example.com").await, app.user("bob@example.com").await);
    let (token, (guest, guests)) = (app.token("ann@example.com").await, app.guest().await);
    let name = || json!({ "name": "x" });
    app.update(&ann, &token, name()).await.ok();
    app.update(&guest, &guests, name()).await.ok();
    app.update(&bob, &token, name()).await.refused(3029);
    app.update(&bob, &guests, name()).await.refused(3029);
    app.update(&bob, "", name()).await.refused(3028);
    // It tells nothing about who is there.
    app.update("nobody", &token, name()).await.refused(3029);
    app.update("nobody", "", name()).await.refused(3028);
    let put = |path: &str| app.call(Method::PUT, path).token(&token).body(name()).send();
    put(&format!("/data/Users/{bob}")).await.refused(2000);
    put("/data/Users/nobody").await.refused(2000);
    put("/data/Other/nobody").await.refused(1012);
    let bobs = app.token("bob@example.com").await;
    assert_eq!(app.read(&bob, &bobs).await.ok()["name"], Value::Null);
}

#[tokio::test]
async fn u_r26_u_r27_c_05_in_compat_anybody_changes_anybody_and_becomes_the_owner() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let made = app.register("bob@example.com", HORSE).await.ok();
    let bob = text(&made["objectId"]);
    // By nobody: the owner stays.
    let changed = app.update(&bob, "", json!({ "name": "B" })).await.ok();
    assert_eq!((&changed["name"], &changed["ownerId"]), (&json!("B"), &json!(bob)));
    let token = app.token("ann@example.com").await;
    // As it came from registration, all of it.
    let back = app.update(&bob, &token, made.clone()).await.ok();
    assert_eq!((&back["email"], &back["ownerId"]), (&made["email"], &json!(ann)));
    assert_eq!(back["created"], made["created"]);
    let renamed = app.update(&bob, &token, json!({ "name": "Bobby" })).await.ok();
    assert_eq!((&renamed["name"], &renamed["objectId"]), (&json!("Bobby"), &json!(bob)));
    // Ann is who she was.
    assert!(app.is_valid(&token).await);
    let own = app.read(&ann, &token).await.ok();
    assert_eq!((&own["email"], &own["ownerId"]), (&json!("ann@example.com"), &json!(ann)));
    app.login("bob@example.com", HORSE).await.ok();

    // In the strict profile a user's owner is the user (security C-5).
    let server = TestServer::start().await;
    let (app, ann) = (&server.app, server.app.user("ann@example.com").await);
    let token = app.token("ann@example.com").await;
    let change = json!({ "name": "x" });
    let changed = app.server_code(Method::PUT, &format!("/users/{ann}")).body(change);
    assert_eq!(changed.token(&token).send().await.ok()["ownerId"], ann.as_str());
}

#[tokio::test]
async fn z_02_what_the_server_keeps_itself_is_written_by_no_door_in_no_spelling() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        let before = app.read(&ann, &token).await.ok();
        let other = "11111111-2222-3333-4444-555555555555";
        let forged = json!({
            "objectId": other, "ownerId": other, "created": 1, "updated": 1, "lastLogin": 1,
            "userStatus": "DISABLED", "accountType": "x", "socialAccount": "x", "___class": "x",
            "oAuthIdentities": { "x": 1 }, "user-token": "x", "isEmailConfirmed": true,
        });
        let odd: serde_json::Map<String, Value> = forged
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|it| {
                [(it.0.to_uppercase(), it.1.clone()), (format!(" {}", it.0), it.1.clone())]
            })
            .filter(|it| server::schema::names::allowed(&it.0))
            .collect();
        let put = |path: String| app.call(Method::PUT, &path).token(&token);
        for (what, body) in [("as they are", forged.clone()), ("odd", Value::Object(odd))] {
            let doors = [
                put(format!("/users/{ann}")),
                put(format!("/data/Users/{ann}")),
                app.server_code(Method::PUT, &format!("/users/{ann}")),
                app.server_code(Method::PUT, &format!("/data/Users/{ann}")),
            ];
            for call in doors {
                let after = call.body(body.clone()).send().await.ok();
                for (name, value) in before.as_object().unwrap() {
                    if name != "updated" {
                        assert_eq!(&after[name], value, "{name} {what}");
                    }
                }
                assert_eq!(after.get("isEmailConfirmed"), None, "{what}");
                assert_ne!(after["updated"], 1);
            }
        }
        // At registration and at creation alike.
        let mut new = forged.clone();
        new["email"] = json!("bob@example.com");
        new["password"] = json!(HORSE);
        new.as_object_mut().unwrap().remove("objectId");
        let made = [
            app.post("/users/register", new.clone()).send().await.ok(),
            {
                new["email"] = json!("cid@example.com");
                app.server_code(Method::POST, "/data/Users").body(new.clone()).send().await.ok()
            },
            {
                new["email"] = json!("dag@example.com");
                desk.about(Method::POST, "/data/Users").body(new).send().await.ok()
            },
        ];
        for user in made {
            assert_eq!(user["ownerId"], user["objectId"]);
            assert_eq!(user["userStatus"], "ENABLED");
            assert_eq!(user["accountType"], "BACKENDLESS");
            assert_eq!((&user["lastLogin"], &user["updated"]), (&Value::Null, &Value::Null));
            assert_eq!(user["created"], server.clock.now().0);
            assert_eq!(user.get("isEmailConfirmed"), None);
        }
    }
}

#[tokio::test]
async fn an_identity_changes_within_one_user_and_the_old_one_is_free() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let ann = app.user("ann@example.com").await;
        app.user("bob@example.com").await;
        let token = app.token("ann@example.com").await;
        let email = |it: &str| json!({ "email": it });
        app.update(&ann, &token, email("bob@example.com")).await.refused(3018);
        app.update(&ann, &token, email(" BOB@EXAMPLE.com ")).await.refused(3018);
        app.update(&ann, &token, email("")).await.refused(3045);
        app.update(&ann, &token, email("   ")).await.refused(3045);
        app.update(&ann, &token, json!({ "email": null })).await.refused(3045);
        app.update(&ann, &token, email("a\u{202e}@example.com")).await.refused(8023);
        app.login("ann@example.com", HORSE).await.ok(); // nothing has changed

        let token = app.token("ann@example.com").await;
        let changed = app.update(&ann, &token, email("Anna@example.com")).await.ok();
        assert_eq!(changed["email"], "Anna@example.com");
        assert!(app.is_valid(&token).await);
        app.login("ann@example.com", HORSE).await.refused(3003);
        let new = app.register("ann@example.com", HORSE).await.ok();
        assert_ne!(new["objectId"], ann.as_str());
        app.register("anna@example.com", HORSE).await.refused(3033);
        assert_eq!(app.login("ANNA@example.com", HORSE).await.ok()["objectId"], ann.as_str());
        // Another spelling of the same identity is stored as it was typed.
        let token = app.token("anna@example.com").await;
        let changed = app.update(&ann, &token, email("ANNA@example.com")).await.ok();
        assert_eq!(changed["email"], "ANNA@example.com");
        app.login("anna@example.com", HORSE).await.ok();
    }
}

#[tokio::test]
async fn pw_09_a_password_or_identity_takes_a_recent_session_of_the_very_user() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "enableMultipleLogins": true })).await;
        let ann = app.user("ann@example.com").await;
        app.user("bob@example.com").await;
        let (old, bobs) = (app.token("ann@example.com").await, app.token("bob@example.com").await);
        let compat = app.update(&ann, &bobs, json!({ "name": "x" })).await.status == 200;
        let secrets =
            [json!({ "password": "another horse" }), json!({ "email": "eve@example.com" })];
        for secret in &secrets {
            for stranger in ["", &bobs] {
                let refused = if stranger.is_empty() && !compat { 3028 } else { 3029 };
                app.update(&ann, stranger, secret.clone()).await.refused(refused);
            }
        }
        server.clock.advance(Seconds(300));
        app.update(&ann, &old, json!({ "password": HORSE })).await.ok(); // just recent
        server.clock.advance(Seconds(1));
        app.read(&ann, &old).await.ok(); // a use makes it no younger
        for secret in &secrets {
            app.update(&ann, &old, secret.clone()).await.refused(3029);
            let data = app.call(Method::PUT, &format!("/data/Users/{ann}")).token(&old);
            data.body(secret.clone()).send().await.refused(3029);
            // Nor by the calls for objects of any table, for one or for many.
            let mut with_id = secret.clone();
            with_id["objectId"] = json!(ann);
            let of_many = format!("/data/bulk/Users?where=objectId%3D'{ann}'");
            for (path, body) in [
                ("/data/Users", with_id.clone()),
                ("/data/Users/upsert", with_id.clone()),
                ("/data/bulkupsert/Users", json!([with_id])),
                (of_many.as_str(), secret.clone()),
            ] {
                let reply = app.call(Method::PUT, path).token(&old).body(body).send().await;
                // Strangers may not even ask for what adds or what names many.
                let code = reply.code();
                assert!([2000, 3029, 3098].contains(&code), "{path}: {reply:?}");
            }
        }
        // What is not a change needs no proof; neither does any other property.
        let same = json!({ "email": "ann@example.com", "password": "", "name": "Ann" });
        app.update(&ann, &old, same).await.ok();
        app.update(&ann, &old, json!({ "password": null })).await.ok();
        app.login("ann@example.com", HORSE).await.ok();

        // The window is a setting.
        let wide = json!({ "recentLogin": 3600 });
        desk.about(Method::PUT, "/passwords").body(wide).send().await.ok();
        app.update(&ann, &old, secrets[0].clone()).await.ok();
        app.login("ann@example.com", "another horse").await.ok();
        // Server code and developers need none; a user's token beside the key changes nothing.
        let code = app.server_code(Method::PUT, &format!("/users/{ann}"));
        code.clone().body(secrets[1].clone()).send().await.ok();
        code.token(&bobs).body(json!({ "email": "fay@example.com" })).send().await.ok();
        let console = desk.about(Method::PUT, &format!("/data/Users/{ann}"));
        console.body(json!({ "password": "a third horse" })).send().await.ok();
        app.login("fay@example.com", "a third horse").await.ok();
    }
}

#[tokio::test]
async fn pw_10_a_new_password_ends_what_the_old_one_has_opened() {
    for profile in [Profile::Standard, Profile::Compat] {
        let server = TestServer::with(Setup { profile, ..Setup::default() }).await;
        let (app, desk) = (&server.app, server.desk().await);
        let node = server.second_node().await;
        let rules = json!({
            "enableMultipleLogins": true, "failedLoginsLock": 3, "lockoutMinutes": 0,
        });
        desk.login_settings(rules).await;
        let ann = app.user("ann@example.com").await;
        let (one, two) = (app.token("ann@example.com").await, app.token("ann@example.com").await);
        for _ in 0..3 {
            app.login("ann@example.com", "wrong wrong").await.refused(3003);
        }
        app.login("ann@example.com", HORSE).await.refused(3036);

        app.update(&ann, &one, json!({ "password": "another horse" })).await.ok();
        assert!(app.is_valid(&one).await, "the session that made the change");
        assert!(!app.is_valid(&two).await);
        app.read(&ann, &two).await.refused(3064);
        app.login("ann@example.com", HORSE).await.refused(3003); // no lock any more
        let three = text(&app.login("ann@example.com", "another horse").await.ok()["user-token"]);
        // The mail will go out from this row of the same commit.
        let found = events(&server, "user.password").await;
        let what = json!({ "sessions": 1, "addresses": ["ann@example.com"] });
        assert_eq!(found, [(format!("user {ann}"), ann.clone(), what)]);

        // Somebody else's change ends them all, on every node.
        let console = desk.about(Method::PUT, &format!("/data/Users/{ann}"));
        console.body(json!({ "password": "a third horse" })).send().await.ok();
        assert!(!app.is_valid(&one).await && !app.is_valid(&three).await);
        if let Some(node) = node {
            let is_dead = async |app: &TestApp| app.read(&ann, &one).await.code() == 3064;
            node.knows_within_two_seconds("a new password", is_dead).await;
            server::start::stop(&node.server).await;
        }
        // And nothing comes back after a crash.
        let server = server.crash().await;
        let (app, desk) = (&server.app, server.desk().await);
        assert!(!app.is_valid(&one).await);
        app.login("ann@example.com", "another horse").await.refused(3003);
        let (four, five) = {
            let login = || app.login("ann@example.com", "a third horse");
            (text(&login().await.ok()["user-token"]), text(&login().await.ok()["user-token"]))
        };
        // An application may keep them.
        let keep = json!({ "keepSessions": true });
        desk.about(Method::PUT, "/passwords").body(keep).send().await.ok();
        app.update(&ann, &four, json!({ "password": "a fourth horse" })).await.ok();
        assert!(app.is_valid(&four).await && app.is_valid(&five).await);
        app.login("ann@example.com", "a third horse").await.refused(3003);
    }
}

#[tokio::test]
async fn pw_10_the_old_and_the_current_address_hear_of_a_new_password_by_whatever_door() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        let property = json!({ "name": "login", "dataType": "STRING" });
        desk.about(Method::POST, "/data/tables/Users/columns").body(property).send().await.ok();
        let ann = app.user("ann@example.com").await;
        let told = async || {
            let all = events(&server, "user.password").await;
            let last = all.last().unwrap();
            assert_eq!(last.1, ann);
            server.clock.advance(Seconds(1)); // events are in the order of time
            (last.0.split(' ').next().unwrap().to_owned(), last.2["addresses"].clone())
        };
        let said = |who: &str, addresses: Value| (who.to_owned(), addresses);

        // Whoever takes the account and its address in one go is told on.
        let token = app.token("ann@example.com").await;
        let both = json!({ "password": "another horse", "email": "Eve@example.com" });
        app.update(&ann, &token, both).await.ok();
        assert_eq!(told().await, said("user", json!(["ann@example.com", "Eve@example.com"])));
        // One after the other: each row has the address of its moment.
        let code = app.server_code(Method::PUT, &format!("/users/{ann}"));
        code.clone().body(json!({ "password": HORSE })).send().await.ok();
        assert_eq!(told().await, said("server-code", json!(["Eve@example.com"])));
        code.body(json!({ "email": "ann@example.com" })).send().await.ok();
        let moved = events(&server, "user.updated").await.pop().unwrap().2;
        assert_eq!(moved["before"]["email"], "Eve@example.com");
        assert_eq!(moved["after"]["email"], "ann@example.com");
        // The same address again is one address; a text of the request is none.
        let console = desk.about(Method::PUT, &format!("/data/Users/{ann}"));
        let same = json!({ "password": "a third horse", "email": "ann@example.com" });
        console.clone().body(same).send().await.ok();
        assert_eq!(told().await, said("developer", json!(["ann@example.com"])));
        // The address is that of the property email, whatever one logs in with.
        let login = json!({ "login": "ann" });
        console.clone().body(login).send().await.ok();
        let identity = json!({ "identity": true });
        let property = desk.about(Method::PUT, "/userproperties/login").body(identity);
        property.send().await.ok();
        console.clone().body(json!({ "password": "a fourth horse" })).send().await.ok();
        assert_eq!(told().await.1, json!(["ann@example.com"]));
        let optional = desk.about(Method::PUT, "/userproperties/email");
        optional.body(json!({ "required": false })).send().await.ok();
        console.clone().body(json!({ "email": null })).send().await.ok();
        console.body(json!({ "password": "a fifth horse" })).send().await.ok();
        assert_eq!(told().await.1, json!([]));
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_changes_nothing() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let ann = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        let before = app.read(&ann, &token).await.ok();
        for (body, code) in [
            (json!({ "id": 1, "name": "x" }), 3039),
            (json!({ "name": { "a": 1 } }), 1007),
            (json!({ "name": "x".repeat(501) }), 8023),
            (json!({ "name": "a\u{7}" }), 8023),
            (json!({ "name": "x", "password": "z".repeat(1025) }), 8023),
            (json!({ "name": "x", "password": 12_345_678 }), 1007),
            (json!({ "name": "x", "email": {} }), 1007),
            (json!([{ "name": "x" }]), 20004),
            (json!("x"), 20004),
        ] {
            let reply = app.update(&ann, &token, body.clone()).await;
            assert_eq!(reply.code(), code, "{body}: {reply:?}");
        }
        assert_eq!(app.read(&ann, &token).await.ok(), before);
        // No body changes nothing but the time.
        app.call(Method::PUT, &format!("/users/{ann}")).token(&token).send().await.ok();
    }
}

#[tokio::test]
async fn a_guest_has_properties_but_no_identity_and_no_password() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let (guest, token) = app.guest().await;
        let own = app.read(&guest, &token).await.ok();
        let named = app.update(&guest, &token, own).await.ok(); // email: null stays null
        assert_eq!(named["userStatus"], "GUEST");
        for change in [json!({ "email": "eve@example.com" }), json!({ "password": HORSE })] {
            app.update(&guest, &token, change.clone()).await.refused(3038);
            let code = app.server_code(Method::PUT, &format!("/users/{guest}"));
            code.body(change).send().await.refused(3038);
        }
        app.register("eve@example.com", HORSE).await.ok();
    }
}

#[tokio::test]
async fn k_c11_the_console_makes_changes_disables_and_deletes_users() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.registration_settings(json!({ "userRegistrationEnabled": false })).await;
        let new = json!({ "email": "ann@example.com", "password": HORSE, "name": "Ann" });
        let add = || desk.about(Method::POST, "/data/Users");
        let made = add().body(new.clone()).send().await.ok();
        let ann = text(&made["objectId"]);
        add().body(new).send().await.refused(3033);
        add().body(json!({ "email": "bob@example.com" })).send().await.refused(3011);
        let token = app.token("ann@example.com").await;
        app.read(&ann, &token).await.ok();

        let put =
            |body: Value| desk.about(Method::PUT, &format!("/data/Users/{ann}")).body(body).send();
        let mut record = app.read(&ann, &token).await.ok();
        record["userStatus"] = json!("DISABLED");
        let shown = put(record).await.ok();
        assert_eq!((&shown["userStatus"], &shown["name"]), (&json!("DISABLED"), &json!("Ann")));
        app.read(&ann, &token).await.refused(3090);
        for (word, code) in [("GUEST", 3038), ("enabled", 3038), ("", 3038)] {
            put(json!({ "userStatus": word, "name": "x" })).await.refused(code);
        }
        let shown = put(json!({ "userStatus": "ENABLED", "name": "Anna" })).await.ok();
        assert_eq!((&shown["userStatus"], &shown["name"]), (&json!("ENABLED"), &json!("Anna")));
        assert!(!app.is_valid(&token).await, "the old session stays ended");
        app.token("ann@example.com").await;

        let email = json!({ "email": "fay@example.com", "userStatus": "ENABLED" });
        assert_eq!(put(email).await.ok()["email"], "fay@example.com");
        let other = desk.about(Method::PUT, "/data/Other/x").body(json!({ "a": 1 }));
        other.send().await.refused(1009);
        let events = events(&server, "user.created").await;
        assert!(events[0].0.starts_with("developer "), "{events:?}");
    }
}

#[tokio::test]
async fn pw_10_a_change_that_breaks_off_is_made_whole_or_not_at_all() {
    let faults = Arc::new(Faults::default());
    let hooks = Hooks { faults: Some(Arc::clone(&faults)), seen: None };
    let server = TestServer::with(Setup { hooks, ..Setup::default() }).await;
    let (app, desk) = (&server.app, server.desk().await);
    desk.login_settings(json!({ "enableMultipleLogins": true })).await;
    let ann = app.user("ann@example.com").await;
    let (mut failed, mut n) = (0, 0);
    loop {
        n += 1;
        let (own, other) = (app.token("ann@example.com").await, app.token("ann@example.com").await);
        app.read(&ann, &own).await.ok();
        let before = events(&server, "user.password").await.len();
        let change =
            json!({ "password": "another horse", "email": "eve@example.com", "name": "E" });
        faults.fail_at(n);
        let reply = app.update(&ann, &own, change).await;
        let fired = !faults.is_armed();
        faults.disarm();
        if reply.status == 200 {
            assert!(!app.is_valid(&other).await && app.is_valid(&own).await, "statement {n}");
            app.login("ann@example.com", HORSE).await.refused(3003);
            app.login("eve@example.com", "another horse").await.ok();
            assert_eq!(events(&server, "user.password").await.len(), before + 1);
            if !fired {
                break;
            }
            // Something in the background met the fault: once more.
            let back = json!({ "password": HORSE, "email": "ann@example.com", "name": null });
            let code = app.server_code(Method::PUT, &format!("/users/{ann}"));
            code.body(back).send().await.ok();
            n -= 1;
            continue;
        }
        failed += 1;
        assert_eq!((reply.status.as_u16(), reply.code()), (503, 20001), "statement {n}");
        assert!(app.is_valid(&other).await && app.is_valid(&own).await, "statement {n}");
        app.login("eve@example.com", "another horse").await.refused(3003);
        assert_eq!(app.read(&ann, &own).await.ok()["name"], Value::Null);
        assert_eq!(events(&server, "user.password").await.len(), before);
    }
    assert!(failed > 12, "{failed} statements were tried");

    // And so is a deletion.
    let (mut user, mut n) = (ann, 0);
    loop {
        n += 1;
        let token = text(&app.login("eve@example.com", "another horse").await.ok()["user-token"]);
        faults.fail_at(n);
        let call = app.server_code(Method::DELETE, &format!("/users/{user}"));
        let reply = call.send().await;
        let fired = !faults.is_armed();
        faults.disarm();
        crate::invariants::assert_whole(&server.server.apps).await;
        assert_eq!(app.is_valid(&token).await, reply.status != 200, "statement {n}");
        if reply.status != 200 {
            assert!(fired, "statement {n}: {reply:?}");
        } else if fired {
            let again = app.register("eve@example.com", "another horse").await.ok();
            (user, n) = (text(&again["objectId"]), n - 1);
        } else {
            break;
        }
    }
    assert!(n > 8, "{n} statements were tried");
}

#[tokio::test]
async fn a_batch_of_changes_is_made_whole_or_not_at_all() {
    let server = TestServer::start().await;
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    let mut ids = Vec::new();
    for name in ["ann", "bob", "cid"] {
        ids.push(server.app.user(&format!("{name}@example.com")).await);
    }
    let author = server::console::developers::operator(&server.server);
    let change = Change::new(server.server.clone(), app.clone(), author);
    let batch = |ids: &[String]| -> Vec<Edit> {
        let edit = |id: &String| Edit {
            id: server::ids::UserId(id.as_str().into()),
            cells: vec![("name".to_owned(), engine::Value::Text("Same".to_owned()))],
            unknown: Vec::new(),
            identity: None,
            may_set_identity: false,
            password: None,
            status: None,
            owner: None,
            kept: None,
        };
        ids.iter().map(edit).collect()
    };
    let named = async || {
        let users = server.app.server_code(Method::POST, "/data/Users/find").body(json!({}));
        let users = users.send().await.ok();
        users.as_array().unwrap().iter().filter(|it| it["name"] == "Same").count()
    };
    let mut lame = ids.clone();
    lame.push("nobody".to_owned());
    for (ids, code, expected) in [(&lame, 3030, 0), (&ids, 0, 3)] {
        let (edits, keep) = (batch(ids), change.clone());
        let data = server.server.apps.data(&server.app.id);
        let done = data.write(move |tx| write::update(tx, &keep, &edits).map(drop)).await;
        assert_eq!(done.err().map_or(0, |it| it.code), code);
        assert_eq!(named().await, expected);
    }
    assert_eq!(events(&server, "user.updated").await.len(), 3);
}
