//! Many objects at once: all of them or none, and the refusal names the one (data-api 2.8).

use http::Method;
use serde_json::{Value, json};
use server::schema::USERS;
use server::settings::Profile;

use crate::harness::{HORSE, Reply, TestApp, TestServer, text};
use crate::update::events;

async fn create(app: &TestApp, table: &str, objects: Value) -> Reply {
    app.post(&format!("/data/bulk/{table}"), objects).send().await
}

async fn upsert(app: &TestApp, table: &str, objects: Value) -> Reply {
    app.call(Method::PUT, &format!("/data/bulkupsert/{table}")).body(objects).send().await
}

async fn rows(app: &TestApp, table: &str) -> Vec<Value> {
    let query = json!({ "pageSize": 100, "sortBy": "created" });
    let rows = app.post(&format!("/data/{table}/find"), query).send().await.ok();
    rows.as_array().unwrap().clone()
}

async fn count(app: &TestApp, table: &str) -> Value {
    app.get(&format!("/data/{table}/count")).send().await.ok()
}

#[tokio::test]
async fn b_01_the_ids_come_in_the_order_of_the_objects() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let objects = json!([{ "n": 1 }, {}, { "n": 3, "objectId": "three" }, { "more": "x" }]);
    let ids = create(app, "Thing", objects).await.ok();
    let rows = rows(app, "Thing").await;
    let found: Vec<Value> = rows.iter().map(|it| it["objectId"].clone()).collect();
    assert_eq!(ids, json!(found));
    let numbers: Vec<Value> = rows.iter().map(|it| it["n"].clone()).collect();
    assert_eq!(json!(numbers), json!([1, null, 3, null]));
    assert_eq!((&ids[2], &rows[3]["more"]), (&json!("three"), &json!("x")));
    assert_eq!(create(app, "Thing", json!([])).await.ok(), json!([]));
    assert_eq!(events(&server, "object.created").await.len(), 4);
}

#[tokio::test]
async fn if_one_is_refused_none_is_written_and_the_refusal_says_which_one() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    desk.about(Method::POST, "/data/tables").body(json!({ "name": "Thing" })).send().await.ok();
    for column in [
        json!({ "name": "n", "dataType": "INT", "required": true }),
        json!({ "name": "code", "dataType": "STRING", "unique": true, "dataSize": 5 }),
    ] {
        desk.about(Method::POST, "/data/tables/Thing/columns").body(column).send().await.ok();
    }
    create(app, "Thing", json!([{ "objectId": "a", "n": 1, "code": "a" }])).await.ok();
    for (objects, code, index) in [
        (json!([{ "n": 1 }, { "n": "x" }]), 1007, 1),
        (json!([{ "n": 1 }, { "n": 2 }, {}]), 1137, 2),
        (json!([{ "n": 1, "code": "toolong" }]), 8023, 0),
        (json!([{ "n": 1 }, { "n": 1, "code": "a" }]), 1155, 1),
        (json!([{ "n": 1, "code": "b" }, { "n": 2 }, { "n": 1, "code": "b" }]), 1155, 2),
        (json!([{ "n": 1, "objectId": "b" }, { "n": 1, "objectId": "b" }]), 1101, 1),
        (json!([{ "n": 1 }, { "n": 1, "objectId": "a" }]), 1101, 1),
        (json!([{ "n": 1 }, 5]), 8044, 1),
        (json!([{ "n": 1 }, { "n": 1, "a`b": 1 }]), 1038, 1),
    ] {
        let refused = create(app, "Thing", objects.clone()).await.refused(code);
        assert_eq!(refused["errorData"]["index"], index, "{objects}");
        let path = "/data/bulk/Thing";
        let console = desk.about(Method::POST, path).body(objects.clone()).send().await;
        assert_eq!(console.refused(code)["errorData"]["index"], index, "{objects}");
    }
    // An upsert of what is there needs no more than what changes.
    for (objects, code, index) in [
        (json!([{ "objectId": "a", "code": "b" }, { "objectId": "b", "code": "b" }]), 1137, 1),
        (json!([{ "objectId": "a", "n": null }]), 1137, 0),
        (json!([{ "objectId": "b", "n": 1 }, { "objectId": "c", "n": 1, "code": "a" }]), 1155, 1),
    ] {
        let refused = upsert(app, "Thing", objects.clone()).await.refused(code);
        assert_eq!(refused["errorData"]["index"], index, "{objects}");
    }
    let rows = rows(app, "Thing").await;
    assert_eq!((rows.len(), &rows[0]["code"]), (1, &json!("a")));
    for body in [json!({}), json!(vec![json!({}); 1001])] {
        create(app, "Thing", body).await.refused(8044);
    }
}

#[tokio::test]
async fn a_thousand_objects_are_one_call() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let objects: Vec<Value> = (0..1000).map(|it| json!({ "objectId": it, "n": it })).collect();
    let ids = create(app, "Thing", json!(objects)).await.ok();
    assert_eq!(ids[999], "999");
    assert_eq!(count(app, "Thing").await, 1000);
    let changed: Vec<Value> = (500..1500).map(|it| json!({ "objectId": it, "n": -it })).collect();
    assert_eq!(upsert(app, "Thing", json!(changed)).await.ok().as_array().unwrap().len(), 1000);
    assert_eq!(count(app, "Thing").await, 1500);
    for (id, n) in [(0, 0), (499, 499), (500, -500), (1499, -1499)] {
        assert_eq!(app.get(&format!("/data/Thing/{id}")).send().await.ok()["n"], n);
    }
}

#[tokio::test]
async fn b_02_an_upsert_adds_what_is_not_there_and_changes_what_is() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let objects = json!([{ "objectId": "a", "n": 1 }, { "n": 2 }, {}, { "objectId": "b" }]);
    let first = upsert(app, "Thing", objects).await.ok();
    assert_eq!((&first[0], &first[3]), (&json!("a"), &json!("b")));
    let mut back = rows(app, "Thing").await;
    for row in &mut back {
        assert_eq!(row["updated"], Value::Null);
        row["n"] = json!(7);
    }
    let second = upsert(app, "Thing", json!(back)).await.ok();
    assert_eq!(second, first);
    for row in rows(app, "Thing").await {
        assert_eq!((&row["n"], &row["updated"]), (&json!(7), &json!(server.clock.now().0)));
    }
    // The same id twice: added, then changed.
    let twice = json!([{ "objectId": "c", "n": 1 }, { "objectId": "c", "m": 2 }]);
    assert_eq!(upsert(app, "Thing", twice).await.ok(), json!(["c", "c"]));
    let row = app.get("/data/Thing/c").send().await.ok();
    assert_eq!((&row["n"], &row["m"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn b_03_to_b_06_ids_and_everything_are_changed_and_deleted() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let ids = |it: &str| json!({ "where": format!("objectId in ({it})") });
    let delete = |body: Value| app.post("/data/bulk/Thing/delete", body).send();
    let change = |clause: &str, body: Value| {
        let clause = clause.replace(' ', "%20").replace('\'', "%27");
        app.call(Method::PUT, &format!("/data/bulk/Thing?where={clause}")).body(body).send()
    };
    let objects: Vec<Value> =
        ["a", "b", "c", "d'e"].map(|it| json!({ "objectId": it, "n": 1 })).into();
    create(app, "Thing", json!(objects)).await.ok();
    assert_eq!(change("objectId in ('a','nobody','d''e')", json!({ "n": 2 })).await.ok(), 2);
    let rows = rows(app, "Thing").await;
    let now = json!(server.clock.now().0);
    let numbers: Vec<_> = rows.iter().map(|it| (&it["n"], it["updated"] == now)).collect();
    let (one, two) = (json!(1), json!(2));
    assert_eq!(numbers, [(&two, true), (&one, false), (&one, false), (&two, true)]);
    assert_eq!(change("1=1", json!({ "n": null, "new": "x" })).await.ok(), 4);
    for (clause, body, code) in [
        ("1=1", json!({}), 1001),
        ("1=1", json!({ "created": 5 }), 1036),
        ("1=1", json!({ "objectId": "x", "n": 1 }), 1036),
        ("1=1", json!({ "n": "x" }), 1007),
        ("n = 1 or", json!({ "n": 1 }), 1017),
        ("m = 1", json!({ "n": 1 }), 1006),
        ("", json!({ "n": 1 }), 3038),
    ] {
        assert_eq!(change(clause, body.clone()).await.code(), code, "{clause} {body}");
    }

    assert_eq!(delete(ids("'a','nobody','d''e'")).await.ok(), 2);
    assert_eq!(delete(ids("'a'")).await.ok(), 0);
    assert_eq!(delete(ids("")).await.ok(), 0);
    for body in [json!({}), json!({ "where": "" })] {
        delete(body).await.refused(3038);
    }
    for body in [json!({ "where": "n > x.y" }), json!({ "where": "objectId!=NULL)" })] {
        delete(body).await.refused(1017);
    }
    assert_eq!(count(app, "Thing").await, 2);
    for clause in ["objectId is not null", "1=1", "objectId != NULL"] {
        create(app, "Thing", json!([{ "objectId": "a" }])).await.ok(); // b_06
        let all = delete(json!({ "where": clause })).await.ok();
        assert!(all.as_i64().unwrap() >= 1, "{clause}");
        assert_eq!(count(app, "Thing").await, 0);
    }
    create(app, "Thing", json!([{ "objectId": "a" }])).await.ok();
    let query = app.call(Method::DELETE, "/data/bulk/Thing?where=objectId%20in%20(%27a%27)");
    assert_eq!(query.send().await.ok(), 1);
    app.post("/data/bulk/No/delete", json!({ "where": "1=1" })).send().await.refused(1009);
}

#[tokio::test]
async fn c_10_users_are_made_in_a_list_by_the_rules_of_accounts() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let user = |name: &str| json!({ "email": format!("{name}@example.com"), "password": HORSE });
    let mut bob = user("bob");
    bob["name"] = json!("Bob");
    let ids = create(app, "Users", json!([user("ann"), bob])).await.ok();
    let found = app.post("/data/Users/find", json!({ "sortBy": "created" })).send().await.ok();
    assert_eq!(ids, json!([found[0]["objectId"], found[1]["objectId"]]));
    assert!(!found.to_string().contains("password"));
    for name in ["ann", "bob"] {
        app.login(&format!("{name}@example.com"), HORSE).await.ok();
    }
    for (users, code, index) in [
        (json!([user("cid"), user("ann")]), 3033, 1),
        (json!([user("cid"), user("CID")]), 3033, 1),
        (json!([user("cid"), { "email": "dag@example.com" }]), 3011, 1),
        (json!([{ "password": HORSE }, user("cid")]), 3013, 0),
    ] {
        let refused = create(app, "Users", users.clone()).await.refused(code);
        assert_eq!(refused["errorData"]["index"], index, "{users}");
        let console = desk.about(Method::POST, "/data/bulk/Users").body(users).send().await;
        console.refused(code);
    }
    assert_eq!(count(app, "Users").await, 2);
    app.login("cid@example.com", HORSE).await.refused(3003);

    let change = json!([{ "objectId": ids[0], "name": "Ann" }, user("cid")]);
    let changed = upsert(app, "Users", change).await.ok();
    assert_eq!(changed[0], ids[0]);
    app.login("cid@example.com", HORSE).await.ok();
    // Proofs are for their owner alone, in a list as elsewhere.
    let taken = json!([{ "objectId": ids[0], "password": "another horse" }]);
    assert_eq!(upsert(app, "Users", taken).await.refused(3029)["errorData"]["index"], 0);
}

#[tokio::test]
async fn a_bulk_change_of_users_leaves_their_proofs_alone_and_a_deletion_ends_their_sessions() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let (ann, bob) = (app.user("ann@example.com").await, app.user("bob@example.com").await);
    let token = app.token("ann@example.com").await;
    let change = |clause: &str, body: Value| {
        let clause = clause.replace(' ', "%20").replace('\'', "%27");
        app.call(Method::PUT, &format!("/data/bulk/Users?where={clause}")).body(body).send()
    };
    let both = format!("objectId in ('{ann}','{bob}','nobody')");
    assert_eq!(change(&both, json!({ "name": "Somebody", "grown": 5 })).await.ok(), 2);
    assert_eq!(change("1=1", json!({ "name": "Anybody" })).await.ok(), 2);
    assert_eq!(events(&server, "user.updated").await.len(), 4);
    for (body, code) in [
        (json!({ "email": "eve@example.com" }), 3098),
        (json!({ "password": "another horse" }), 3098),
        (json!({ "userStatus": "DISABLED" }), 1036),
        (json!({ "name": { "a": 1 } }), 1007),
    ] {
        assert_eq!(change(&both, body.clone()).await.code(), code, "{body}");
    }
    let delete = format!("/data/bulk/{USERS}/delete");
    let gone = json!({ "where": format!("objectId in ('{ann}')") });
    assert_eq!(app.post(&delete, gone).send().await.ok(), 1);
    assert!(!app.is_valid(&token).await);
    app.login("ann@example.com", HORSE).await.refused(3003);
    app.post(&delete, json!({ "where": "1=1" })).send().await.ok();
    assert_eq!(count(app, "Users").await, 0);
    assert_eq!(events(&server, "user.deleted").await.len(), 2);
}

#[tokio::test]
async fn the_strict_profile_refuses_every_list_of_a_client() {
    let server = TestServer::start().await;
    let app = &server.app;
    app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    for (table, codes) in [("Thing", [1011, 1011, 1012, 1014]), ("Users", [2000; 4])] {
        for objects in [json!([]), json!([{}])] {
            let path = format!("/data/bulk/{table}");
            app.post(&path, objects).token(&token).send().await.refused(codes[0]);
        }
        let path = format!("/data/bulkupsert/{table}");
        let call = app.call(Method::PUT, &path).body(json!([{}])).token(&token);
        call.send().await.refused(codes[1]);
        let call = app.call(Method::PUT, &format!("/data/bulk/{table}?where=1%3D1"));
        call.body(json!({ "n": 1 })).token(&token).send().await.refused(codes[2]);
        let call = app.post(&format!("/data/bulk/{table}/delete"), json!({ "where": "1=1" }));
        call.token(&token).send().await.refused(codes[3]);
    }
    // Server code may.
    let table = json!({ "name": "Thing", "columns": [{ "name": "n", "dataType": "INT" }] });
    app.server_code(Method::POST, "/management/data/table").body(table).send().await.ok();
    let call = app.server_code(Method::POST, "/data/bulk/Thing").body(json!([{ "n": 1 }]));
    assert_eq!(call.send().await.ok().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_console_writes_counts_and_deletes_many_records() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let objects: Vec<Value> = (0..20).map(|it| json!({ "objectId": it, "n": it })).collect();
    let path = "/data/bulk/Thing";
    desk.about(Method::POST, path).body(json!(objects)).send().await.ok();
    let more = json!([{ "objectId": "0", "n": 100 }, { "objectId": "x", "n": 101 }]);
    desk.about(Method::PUT, "/data/bulkupsert/Thing").body(more).send().await.ok();
    app.user("ann@example.com").await;
    let counters = json!({ "tables": ["Thing", "Users", "Nothing"], "connectorId": null });
    let counts = desk.about(Method::POST, "/data/tables-counters").body(counters).send().await;
    assert_eq!(counts.ok(), json!({ "Thing": 21, "Users": 1 }));
    let counted = desk.about(Method::GET, "/data/Thing/count").send().await.ok();
    assert_eq!(counted, 21);
    let cell = desk.about(Method::GET, "/data/Thing/0/n/retrieve-value").send().await.ok();
    assert_eq!(cell, 100);
    desk.about(Method::GET, "/data/Thing/no/n/retrieve-value").send().await.refused(1000);
    let changed = desk.about(Method::PUT, "/data/Thing/0").body(json!({ "n": 5 })).send().await;
    assert_eq!(changed.ok()["n"], 5);
    desk.about(Method::DELETE, "/data/Thing/0").send().await.ok();
    desk.about(Method::DELETE, "/data/Thing/0").send().await.refused(1000);
    let some = json!([{ "objectId": "1" }, { "objectId": "2" }, { "objectId": "no" }]);
    let call = desk.about(Method::DELETE, "/data/tables/Thing/records").body(some);
    assert_eq!(call.send().await.ok(), true);
    assert_eq!(count(app, "Thing").await, 18);
    let all = desk.about(Method::DELETE, "/data/tables/Thing/all").send().await.ok();
    assert_eq!((all, count(app, "Thing").await), (json!(true), json!(0)));
    desk.about(Method::DELETE, "/data/tables/Users/all").send().await.ok();
    app.login("ann@example.com", HORSE).await.refused(3003);
    desk.about(Method::DELETE, "/data/tables/No/all").send().await.refused(1009);

    let other = server.new_app("Other", Profile::Compat).await;
    assert_eq!(text(&create(&other, "Thing", json!([{ "objectId": "1" }])).await.ok()[0]), "1");
}
