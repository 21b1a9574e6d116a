//! Registration: its checks in their order, each pair of neighbours tried (users-api 2.2).

use http::Method;
use serde_json::{Value, json};
use server::error::Error;
use server::schema::{Kind, Maker, NewColumn, Rules, USERS};
use server::store;

use crate::harness::{HORSE, TestServer};

/// Gives users a property that they must have, past the Console.
async fn require(server: &TestServer, name: &'static str) {
    let (random, at) = (server.server.random.clone(), server.clock.now());
    let data = server.server.apps.data(&server.app.id);
    let write = data.write(move |tx| {
        store::schema::raise_version(tx)?;
        let schema = store::schema::load(tx)?;
        let rules = Rules { required: true, ..Rules::default() };
        let (name, kind) = (name.to_owned(), Kind::String);
        let column = NewColumn { rules, ..NewColumn::plain(name, kind, Maker::Developer) };
        store::schema::add_columns(tx, &random, schema.table(USERS).unwrap(), &[column], at)?;
        Ok::<_, Error>(())
    });
    write.await.unwrap();
    server.server.apps.forget(&server.app.id);
}

#[tokio::test]
async fn of_two_things_that_are_wrong_the_first_in_the_list_is_told() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.about(Method::PUT, "/data/config")
            .body(json!({ "dynamicSchema": true }))
            .send()
            .await
            .ok();
        app.user("ann@example.com").await;
        require(&server, "shoe").await;
        desk.registration_settings(json!({ "emailConfirmationRequired": true })).await;
        let taken = "ann@example.com";
        for (what, code, body) in [
            ("no password, no identity", 3011, json!({})),
            ("nothing but the class", 3011, json!({ "___class": "Users" })),
            ("an empty password, no identity", 3011, json!({ "password": "" })),
            ("null for a password", 3011, json!({ "password": null, "email": "" })),
            ("a number for a password", 3011, json!({ "password": 12_345_678 })),
            ("no identity, and id", 3013, json!({ "password": HORSE, "id": 1 })),
            ("null for it, and id", 3013, json!({ "password": HORSE, "email": null, "id": 1 })),
            (
                "an empty identity, and id",
                3045,
                json!({ "password": HORSE, "email": " ", "id": 1 }),
            ),
            ("id, and no shoe", 3039, json!({ "password": HORSE, "email": "x", "id": 1 })),
            ("no shoe, and no address", 3012, json!({ "password": HORSE, "email": "x" })),
            ("null for the shoe", 3012, json!({ "password": HORSE, "email": "x", "shoe": null })),
            (
                "no address, and a bad value",
                3040,
                json!({ "password": HORSE, "email": "x", "shoe": "a\u{7}" }),
            ),
            (
                "a bad value, and a bad name of a property",
                8023,
                json!({ "password": HORSE, "email": taken, "shoe": "a\u{7}", "z z": 1 }),
            ),
            (
                "a password over the limit, and a taken identity",
                8023,
                json!({ "password": "z".repeat(1025), "email": taken, "shoe": "s" }),
            ),
            (
                "a bad name of a property, and a taken identity",
                3038,
                json!({ "password": HORSE, "email": taken, "shoe": "s", "z z": 1 }),
            ),
            ("a taken identity", 3033, json!({ "password": HORSE, "email": taken, "shoe": "s" })),
        ] {
            let reply = app.post("/users/register", body.clone()).send().await;
            assert_eq!(reply.code(), code, "{what}: {reply:?}");
            // Switched off, registration says nothing else.
            desk.registration_settings(json!({ "userRegistrationEnabled": false })).await;
            let reply = app.post("/users/register", body.clone()).send().await;
            assert_eq!((reply.code(), reply.status.as_u16()), (3009, 403), "{what}");
            // The data API and the Console ask the same, but for the switch.
            let data = app.server_code(Method::POST, "/data/Users").body(body.clone()).send().await;
            let console = desk.about(Method::POST, "/data/Users").body(body).send().await;
            assert_eq!((data.code(), console.code()), (code, code), "{what}: {data:?} {console:?}");
            desk.registration_settings(json!({ "userRegistrationEnabled": true })).await;
        }
        let count = app.server_code(Method::POST, "/data/Users/count").body(json!({}));
        assert_eq!(count.send().await.ok(), json!(1), "nobody came to be");
        let body = json!({ "password": HORSE, "email": "bob@example.com", "shoe": "s", "hat": 1 });
        let made = app.post("/users/register", body).send().await.ok();
        assert_eq!((&made["hat"], &made["shoe"]), (&json!(1), &json!("s")));
        assert_eq!(made["userStatus"], "EMAIL_CONFIRMATION_PENDING");
        assert_eq!(made.get("user-token"), None::<&Value>);
    }
}

#[tokio::test]
async fn a_guest_who_becomes_a_member_keeps_what_the_record_holds() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        for column in [
            json!({ "name": "score", "dataType": "INT", "defaultValue": "0" }),
            json!({ "name": "motto", "dataType": "STRING" }),
            json!({ "name": "level", "dataType": "INT", "defaultValue": "1" }),
        ] {
            let path = "/data/tables/Users/columns";
            desk.about(Method::POST, path).body(column).send().await.ok();
        }
        let (guest, token) = app.guest().await;
        let before = app.read(&guest, &token).await.ok();
        assert_eq!((&before["score"], &before["motto"]), (&json!(0), &Value::Null));
        app.update(&guest, &token, json!({ "score": 7, "motto": "on" })).await.ok();
        desk.about(Method::PUT, "/data/tables/Users/columns/motto")
            .body(json!({ "name": "motto", "dataType": "STRING", "required": true }))
            .send()
            .await
            .ok();
        let body = json!({
            "objectId": guest, "email": "ann@example.com", "password": HORSE, "level": 3,
        });
        let member = app.post("/users/register", body).token(&token).send().await.ok();
        let kept = ["objectId", "score", "motto", "level", "email"].map(|it| member[it].clone());
        assert_eq!(kept, [json!(guest), json!(7), json!("on"), json!(3), json!("ann@example.com")]);
        // Who comes fresh has nothing to keep.
        let body = json!({ "email": "bob@example.com", "password": HORSE });
        app.post("/users/register", body).send().await.refused(3012);
    }
}

#[tokio::test]
async fn a_guest_has_a_value_of_what_users_must_have_and_the_defaults_of_the_rest() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        for (name, kind, rest) in [
            ("nick", "STRING", json!({ "required": true, "unique": true, "dataSize": 12 })),
            (
                "age",
                "INT",
                json!({ "required": true, "validator": { "id": "number-range", "params": { "min": 1, "max": 2 } } }),
            ),
            ("weight", "DOUBLE", json!({ "required": true })),
            ("born", "DATETIME", json!({ "required": true })),
            ("kind", "BOOLEAN", json!({ "required": true })),
            ("more", "JSON", json!({ "required": true })),
            ("score", "INT", json!({ "defaultValue": "5" })),
            ("free", "STRING", json!({})),
        ] {
            let mut column = json!({ "name": name, "dataType": kind });
            column.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            let path = "/data/tables/Users/columns";
            desk.about(Method::POST, path).body(column).send().await.ok();
        }
        let mut nicks = Vec::new();
        for _ in 0..2 {
            let guest = app.post("/users/register/guest", json!({})).send().await.ok();
            for name in ["nick", "age", "weight", "born", "kind", "more"] {
                assert!(!guest[name].is_null(), "{name}");
            }
            assert_eq!(guest["nick"].as_str().unwrap().len(), 12);
            assert_eq!(guest["score"], 5);
            for name in ["free", "email", "name"] {
                assert!(guest[name].is_null(), "{name}");
            }
            nicks.push(guest["nick"].clone());
        }
        assert_ne!(nicks[0], nicks[1]);
    }
}

#[tokio::test]
async fn a_number_that_users_log_in_with_is_told_apart_by_its_value() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let number = json!({ "name": "number", "dataType": "INT" });
    desk.about(Method::POST, "/data/tables/Users/columns").body(number).send().await.ok();
    let identity = json!({ "name": "number", "identity": true });
    desk.about(Method::PUT, "/data/tables/Users/columns/number").body(identity).send().await.ok();
    let register = async |number: Value| {
        let body = json!({ "number": number, "email": "ann@example.com", "password": HORSE });
        app.post("/users/register", body).send().await
    };
    let ann = register(json!("007")).await.ok();
    assert_eq!(ann["number"], 7);
    app.login("7", HORSE).await.ok();
    for spelling in [json!(7), json!("7"), json!("0007")] {
        register(spelling).await.refused(3033);
    }
    register(json!("seven")).await.refused(1007);
    let id = ann["objectId"].as_str().unwrap();
    let change = app.server_code(Method::PUT, &format!("/users/{id}"));
    assert_eq!(change.body(json!({ "number": "08" })).send().await.ok()["number"], 8);
    app.login("8", HORSE).await.ok();
}

#[tokio::test]
async fn where_registration_is_off_clients_make_no_user_by_any_door() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.registration_settings(json!({ "userRegistrationEnabled": false })).await;
        let user = |name: &str| json!({ "email": format!("{name}@x.de"), "password": HORSE });
        let mut with_id = user("eve");
        with_id["objectId"] = json!("mine");
        let refused = [
            app.post("/users/register", user("ann")),
            app.post("/users/register/guest", json!({})),
            app.post("/data/Users", user("bob")),
            app.post("/data/bulk/Users", json!([user("cid")])),
            app.call(Method::PUT, "/data/Users/upsert").body(with_id.clone()),
            app.call(Method::PUT, "/data/bulkupsert/Users").body(json!([with_id])),
        ];
        for call in refused {
            let reply = call.send().await;
            // With profile standard clients may not write objects of users at all.
            assert!([3009, 2000, 1011, 1012].contains(&reply.code()), "{reply:?}");
        }
        let count = app.server_code(Method::POST, "/data/Users/count").body(json!({}));
        assert_eq!(count.send().await.ok(), json!(0));
        // The owner's own server and the Console make users all the same.
        let made = app.server_code(Method::POST, "/data/Users").body(user("dag"));
        made.send().await.ok();
        desk.about(Method::POST, "/data/Users").body(user("fay")).send().await.ok();
    }
}
