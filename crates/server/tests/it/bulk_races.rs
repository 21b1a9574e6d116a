//! Lists and conditions beside other writers: orders that cross, rows that change, tables that do.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use server::console::developers;
use server::data::bulk;
use server::users::write::Change;

use crate::harness::{HORSE, Reply, TestServer};
use crate::schema_race::Gate;
use crate::schema_work::{change, pets};

const CLIENTS: usize = 6;
const OBJECTS: usize = 24;

/// The same objects, in an order of each client's own.
fn in_an_order(client: usize, mut objects: Vec<Value>) -> Vec<Value> {
    objects.rotate_left(client * 5 % OBJECTS);
    if client % 2 == 1 {
        objects.reverse();
    }
    objects
}

async fn has_no_deadlocks(server: &TestServer) {
    let Some((client, _serving)) = server.home().stranger().await else { return };
    // What a connection has counted it tells a moment later.
    let sql = "select pg_stat_force_next_flush()";
    client.query(sql, &[]).await.unwrap();
    let sql = "select deadlocks from pg_stat_database where datname = current_database()";
    let deadlocks: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(deadlocks, 0);
}

#[tokio::test]
async fn lists_of_the_same_ids_in_any_order_are_all_written() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let upsert = |table: &str, objects: Vec<Value>| {
        let path = format!("/data/bulkupsert/{table}");
        app.server_code(Method::PUT, &path).body(json!(objects)).send()
    };
    upsert("Thing", vec![json!({ "objectId": "first", "n": 1, "name": "x" })]).await.ok();
    for table in ["Thing", "Users"] {
        for round in 0..3 {
            let object = |number: usize| {
                let id = format!("r{round}n{number}");
                match table {
                    "Users" => json!({
                        "objectId": id, "email": format!("{id}@x.de"), "password": HORSE
                    }),
                    _ => json!({ "objectId": id, "n": number }),
                }
            };
            let fresh: Vec<Value> = (0..OBJECTS).map(object).collect();
            let adding = (0..CLIENTS).map(|it| upsert(table, in_an_order(it, fresh.clone())));
            is_fine(&join_all(adding).await);
            let named =
                |number: usize| json!({ "objectId": format!("r{round}n{number}"), "name": "a" });
            let known: Vec<Value> = (0..OBJECTS).rev().map(named).collect();
            let changing = (0..CLIENTS).map(|it| upsert(table, in_an_order(it, known.clone())));
            let path = format!("/data/bulk/{table}?where=1%3D1");
            let all = (0..2)
                .map(|_| app.server_code(Method::PUT, &path).body(json!({ "name": "b" })).send());
            let (lists, all) = tokio::join!(join_all(changing), join_all(all));
            is_fine(&lists);
            is_fine(&all);
        }
    }
    assert_eq!(app.get("/data/Users/count").send().await.ok(), 3 * OBJECTS);
    has_no_deadlocks(&server).await;
}

fn is_fine(replies: &[Reply]) {
    for reply in replies {
        assert_eq!(reply.code(), 0, "{reply:?}");
    }
}

#[tokio::test]
async fn an_id_that_a_list_adds_to_users_twice_is_refused() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let upsert = |objects: Value| {
        app.server_code(Method::PUT, "/data/bulkupsert/Users").body(objects).send()
    };
    let ann = json!({ "objectId": "ann", "email": "ann@x.de", "password": HORSE });
    let twice = json!([ann, { "objectId": "ann", "name": "Ann" }]);
    assert_eq!(upsert(twice.clone()).await.refused(3038)["errorData"]["index"], 1);
    assert_eq!(app.get("/data/Users/count").send().await.ok(), 0);
    upsert(json!([ann])).await.ok();
    // Who is there may be changed twice.
    assert_eq!(upsert(twice).await.ok(), json!(["ann", "ann"]));
    assert_eq!(app.get("/data/Users/ann").send().await.ok()["name"], "Ann");
}

#[tokio::test]
async fn who_no_longer_meets_the_condition_is_not_changed_with_the_others() {
    let gate = Gate::default();
    let server = gate.server("select \"userStatus\"").await;
    let (app, users) = (&server.app, three(&server).await);
    gate.close();
    let change = async {
        let call = app.server_code(Method::PUT, "/data/bulk/Users?where=name%3D%27old%27");
        call.body(json!({ "name": "new" })).send().await
    };
    let others = async {
        gate.is_reached().await;
        app.server_code(Method::PUT, &format!("/users/{}", users[0]))
            .body(json!({ "name": "kept" }))
            .send()
            .await
            .ok();
        app.server_code(Method::DELETE, &format!("/users/{}", users[1])).send().await.ok();
        gate.open();
    };
    let (changed, ()) = tokio::join!(change, others);
    assert_eq!(changed.ok(), 1);
    for (id, name) in [(&users[0], "kept"), (&users[2], "new")] {
        let user = app.server_code(Method::GET, &format!("/data/Users/{id}")).send().await;
        assert_eq!(user.ok()["name"], name);
    }
}

#[tokio::test]
async fn who_no_longer_meets_the_condition_is_not_deleted_with_the_others() {
    // With the other engine nobody comes between.
    let gate = Gate::default();
    let server = gate.server("pg_advisory_xact_lock_shared").await;
    if !server.home().is_shared() {
        return;
    }
    let (app, users) = (&server.app, three(&server).await);
    gate.close();
    let delete = async {
        let body = json!({ "where": "name = 'old'" });
        app.server_code(Method::POST, "/data/bulk/Users/delete").body(body).send().await
    };
    let others = async {
        gate.is_reached().await;
        app.server_code(Method::PUT, &format!("/users/{}", users[0]))
            .body(json!({ "name": "kept" }))
            .send()
            .await
            .ok();
        gate.open();
    };
    let (deleted, ()) = tokio::join!(delete, others);
    assert_eq!(deleted.ok(), 2);
    app.server_code(Method::GET, &format!("/data/Users/{}", users[0])).send().await.ok();
}

/// The ids of Ann, Bob and Cid, who all have the same name.
async fn three(server: &TestServer) -> Vec<String> {
    let mut ids = Vec::new();
    for name in ["ann", "bob", "cid"] {
        let id = server.app.user(&format!("{name}@x.de")).await;
        let old = json!({ "name": "old" });
        let path = format!("/users/{id}");
        server.app.server_code(Method::PUT, &path).body(old).send().await.ok();
        ids.push(id);
    }
    ids
}

#[tokio::test]
async fn a_deletion_that_was_checked_against_older_tables_looks_again() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    pets(&server, &desk, "STRING", ["41", "7"].into_iter().map(Value::from)).await;
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    let author = developers::operator(&server.server);
    let stale = Change::new(server.server.clone(), app, author);
    change(&desk, json!({ "dataType": "INT" })).await.ok();
    // Where the column was before, the value still is.
    let call = server.app.server_code(Method::PUT, "/data/bulk/Pet?where=p%3D7");
    assert_eq!(call.body(json!({ "p": null })).send().await.ok(), 1);
    assert_eq!(bulk::delete_rows(&stale, "Pet", "p is not null").await.unwrap(), 1);
}
