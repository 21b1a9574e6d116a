//! Deleting users, and that nothing of them is left for others (users-api 2.13, security I-7).

use http::Method;
use serde_json::json;

use crate::harness::{Call, HORSE, TestServer, text};
use crate::look;
use crate::update::events;

#[tokio::test]
async fn who_is_deleted_is_gone_with_all_sessions_by_every_door() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        for door in 0..5 {
            let ann = app.user("ann@example.com").await;
            let token = app.token("ann@example.com").await;
            let own = |path: String| app.call(Method::DELETE, &path).token(&token);
            let call: Call = match door {
                0 => own(format!("/users/{ann}")),
                1 => own(format!("/data/Users/{ann}")),
                2 => app.server_code(Method::DELETE, &format!("/users/{ann}")),
                3 => desk.about(Method::DELETE, &format!("/data/Users/{ann}")),
                _ => desk
                    .about(Method::DELETE, "/data/tables/Users/records")
                    .body(json!([{ "objectId": ann }, { "objectId": "nobody" }])),
            };
            let answer = call.send().await.ok();
            let now = json!({ "deletionTime": server.clock.now().0 });
            assert_eq!(answer, if door == 4 { json!(true) } else { now }, "door {door}");
            app.read(&ann, &token).await.refused(3064);
            assert!(!app.is_valid(&token).await);
            app.login("ann@example.com", HORSE).await.refused(3003);
            let read = app.server_code(Method::GET, &format!("/users/{ann}"));
            read.send().await.refused(1000);
            let again = app.server_code(Method::DELETE, &format!("/users/{ann}"));
            again.send().await.refused(1000);
        }
        let found = events(&server, "user.deleted").await;
        assert_eq!(found.len(), 5);
        let what = json!({ "before": { "userStatus": "ENABLED" }, "sessions": 1 });
        assert!(found.iter().all(|it| it.2 == what), "{found:?}");
    }
}

#[tokio::test]
async fn i_07_whoever_comes_after_inherits_nothing() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "failedLoginsLock": 2, "enableMultipleLogins": true })).await;
        let before = rows_of(&server, "ann@example.com", "nobody").await;
        assert_eq!(before, Vec::<String>::new());
        let first = app.user("ann@example.com").await;
        let token = app.token("ann@example.com").await;
        for _ in 0..2 {
            app.login("ann@example.com", "wrong wrong").await.refused(3003);
        }
        app.login("ann@example.com", HORSE).await.refused(3036);
        app.call(Method::DELETE, &format!("/users/{first}")).token(&token).send().await.ok();
        // But for what happened to her there is no row about her.
        assert_eq!(rows_of(&server, "ann@example.com", &first).await, Vec::<String>::new());

        // The server's own code may give the same id again.
        let again = json!({
            "objectId": first, "email": "ann@example.com", "password": "another horse",
        });
        let again = app.server_code(Method::PUT, "/data/Users/upsert").body(again);
        assert_eq!(again.send().await.ok()["objectId"], first.as_str());
        app.read(&first, &token).await.refused(3064);
        let session = text(&app.login("ann@example.com", "another horse").await.ok()["user-token"]);
        assert!(app.is_valid(&session).await && !app.is_valid(&token).await); // not locked
        app.login("ann@example.com", HORSE).await.refused(3003);
        app.call(Method::DELETE, &format!("/users/{first}")).token(&session).send().await.ok();

        app.register("ann@example.com", "another horse").await.ok();
        app.login("ann@example.com", "another horse").await.ok();
        app.login("ann@example.com", HORSE).await.refused(3003);
        assert!(!app.is_valid(&token).await);
        // Strangers' guesses at an identity that nobody has do not lock out its first owner.
        for _ in 0..3 {
            let _ = app.login("eve@example.com", "wrong wrong").await;
        }
        app.user("eve@example.com").await;
        app.login("eve@example.com", HORSE).await.ok();
    }
}

/// The rows that speak of the identity or the id, but for those of what happened.
async fn rows_of(server: &TestServer, identity: &str, id: &str) -> Vec<String> {
    let rows = look::everything(&server.server.apps.data(&server.app.id)).await;
    let about = |it: &String| it.contains(identity) || it.contains(id);
    let log = |it: &String| it.contains("user.") || it.contains("session.");
    let change = |it: &String| it.contains(&format!(",user,{id},")); // what other nodes read
    rows.into_iter().filter(|it| about(it) && !log(it) && !change(it)).collect()
}

#[tokio::test]
async fn nobody_deletes_others_in_the_strict_profile_and_anybody_in_compat() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let (ann, bob) = (app.user("ann@example.com").await, app.user("bob@example.com").await);
        let token = app.token("ann@example.com").await;
        let delete = |path: String| app.call(Method::DELETE, &path);
        let compat = app.get("/data/Users").send().await.status == 200;
        let expected = if compat { 0 } else { 2000 };
        let reply = delete(format!("/users/{bob}")).token(&token).send().await;
        assert_eq!(reply.code(), expected);
        let reply = delete(format!("/data/Users/{ann}")).send().await;
        assert_eq!(reply.code(), expected);
        let unknown = delete("/users/nobody".to_owned()).send().await;
        assert_eq!(unknown.code(), if compat { 1000 } else { 2000 });
        assert_eq!(app.is_valid(&token).await, !compat);
        let plain = delete("/data/Other/x".to_owned()).send().await;
        assert_eq!(plain.code(), if compat { 1009 } else { 1014 });
    }
}

#[tokio::test]
async fn what_a_user_owns_stays() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    let note = app.post("/data/Note", json!({ "text": "x" })).token(&token).send().await.ok();
    assert_eq!(note["ownerId"], ann.as_str());
    app.call(Method::DELETE, &format!("/users/{ann}")).send().await.ok();
    let notes = app.get("/data/Note").send().await.ok();
    assert_eq!(notes, json!([note]));
}

#[tokio::test]
async fn a_list_that_is_none_deletes_nobody() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    let ann = app.user("ann@example.com").await;
    let many = vec![json!({ "objectId": ann }); 1001];
    for body in [json!({}), json!([ann]), json!([{ "objectId": 1 }]), json!(null), json!(many)] {
        let call = desk.about(Method::DELETE, "/data/tables/Users/records").body(body);
        call.send().await.refused(3038);
    }
    app.login("ann@example.com", HORSE).await.ok();
    let call = desk.about(Method::DELETE, "/data/tables/Users/records").body(json!([]));
    assert_eq!(call.send().await.ok(), json!(true));
}
