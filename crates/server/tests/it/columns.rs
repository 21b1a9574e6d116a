//! Columns of filled tables that change, at once or by a job, and who writes meanwhile (data-api 1.5,
//! decision 13).

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use server::data::write::{self, By, How, Sent};
use server::users::write::Change;

use crate::harness::{Desk, Reply, TestServer, text};

/// More than a request looks at.
const MANY: usize = 1_300;

async fn column(desk: &Desk, wish: Value) -> Reply {
    desk.about(Method::POST, "/data/tables/Thing/columns").body(wish).send().await
}

async fn change(desk: &Desk, name: &str, wish: Value) -> Reply {
    let path = format!("/data/tables/Thing/columns/{name}");
    desk.about(Method::PUT, &path).body(wish).send().await
}

/// A table with that many objects; `n` is their number as a text, `free` is empty.
async fn filled(server: &TestServer, many: usize) -> Desk {
    let desk = server.desk().await;
    desk.about(Method::POST, "/data/tables").body(json!({ "name": "Thing" })).send().await.ok();
    for name in ["n", "free"] {
        column(&desk, json!({ "name": name, "dataType": "STRING" })).await.ok();
    }
    let objects: Vec<Value> =
        (0..many).map(|it| json!({ "objectId": it, "n": it.to_string() })).collect();
    for part in objects.chunks(1000) {
        let call = server.app.post("/data/bulk/Thing", json!(part));
        call.send().await.ok();
    }
    desk
}

/// How the work with that id ended.
async fn ended(desk: &Desk, changed: &Value) -> Value {
    let began = Instant::now();
    loop {
        let works = desk.about(Method::GET, "/schemawork").send().await.ok();
        let work = works.as_array().unwrap().iter().find(|it| it["id"] == changed["work"]);
        let work = work.unwrap_or_else(|| panic!("{changed} has no work"));
        if work["state"] != "running" {
            // The catalog follows when what was given up has been cleared away.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return work.clone();
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{work}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn described(desk: &Desk, name: &str) -> Value {
    let tables = desk.about(Method::GET, "/data/tables").send().await.ok();
    let table =
        tables["tables"].as_array().unwrap().iter().find(|it| it["name"] == "Thing").unwrap();
    table["columns"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone()
}

async fn value(server: &TestServer, id: &str, name: &str) -> Value {
    server.app.get(&format!("/data/Thing/{id}")).send().await.ok()[name].clone()
}

#[tokio::test]
async fn a_column_takes_another_type_where_every_value_converts() {
    for many in [20, MANY] {
        let server = TestServer::compat().await;
        let desk = filled(&server, many).await;
        for (kind, shown) in [
            ("INT", json!(7)),
            ("DOUBLE", json!(7)),
            ("TEXT", json!("7")),
            ("JSON", json!(7)),
            ("STRING", json!("7")),
        ] {
            let changed = change(&desk, "n", json!({ "dataType": kind })).await.ok();
            assert_eq!(changed.get("work").is_some(), many == MANY, "{kind}");
            if many == MANY {
                let work = ended(&desk, &changed).await;
                assert_eq!((&work["state"], &work["kind"]), (&json!("done"), &json!("change")));
                assert_eq!((&work["rows"], &work["done"]), (&json!(many), &json!(many)));
            }
            assert_eq!(described(&desk, "n").await["dataType"], kind);
            assert_eq!(value(&server, "7", "n").await, shown, "{kind}");
            let last = (many - 1).to_string();
            assert_eq!(value(&server, &last, "n").await.to_string().trim_matches('"'), last);
        }
    }
}

#[tokio::test]
async fn values_that_do_not_convert_are_listed_and_nothing_has_changed() {
    for many in [20, MANY] {
        let server = TestServer::compat().await;
        let desk = filled(&server, many).await;
        for (id, n) in [("3", "three"), ("5", "5.5")] {
            let path = format!("/data/Thing/{id}");
            server.app.call(Method::PUT, &path).body(json!({ "n": n })).send().await.ok();
        }
        let before =
            server.app.post("/data/Thing/find", json!({ "pageSize": 100 })).send().await.ok();
        let reply = change(&desk, "n", json!({ "dataType": "INT" })).await;
        let (total, listed) = if many == MANY {
            let work = ended(&desk, &reply.ok()).await;
            assert_eq!(work["state"], "refused");
            (work["total"].clone(), work["conflicts"].clone())
        } else {
            let refused = reply.refused(20040)["errorData"].clone();
            (refused["total"].clone(), refused["conflicts"].clone())
        };
        assert_eq!(total, 2);
        let ids: Vec<&Value> =
            listed.as_array().unwrap().iter().map(|it| &it["objectId"]).collect();
        assert_eq!(json!(ids), json!(["3", "5"]));
        assert_eq!(listed[0]["reason"], "its value cannot become a INT");
        assert_eq!(described(&desk, "n").await["dataType"], "STRING");
        let after =
            server.app.post("/data/Thing/find", json!({ "pageSize": 100 })).send().await.ok();
        assert_eq!(after, before);
        // It is as free as before: for other changes, and for writers.
        let path = "/data/Thing/3";
        server.app.call(Method::PUT, path).body(json!({ "n": "drei" })).send().await.ok();
        change(&desk, "n", json!({ "name": "m" })).await.ok();
        assert_eq!(value(&server, "3", "m").await, "drei");
    }
}

#[tokio::test]
async fn who_must_have_a_value_gets_the_default_or_is_listed() {
    for many in [20, MANY] {
        let server = TestServer::compat().await;
        let desk = filled(&server, many).await;
        let settle = async |reply: Reply| {
            let changed = reply.ok();
            if many == MANY {
                assert_eq!(ended(&desk, &changed).await["state"], "done");
            }
        };
        let wish = json!({ "required": true, "defaultValue": "x" });
        settle(change(&desk, "free", wish).await).await;
        assert_eq!(described(&desk, "free").await["required"], true);
        for id in ["0", "19"] {
            assert_eq!(value(&server, id, "free").await, "x");
        }
        let new = json!({
            "name": "new", "dataType": "INT", "required": true, "defaultValue": 3, "indexed": true,
        });
        settle(column(&desk, new).await).await;
        assert_eq!(value(&server, "19", "new").await, 3);
        let described = described(&desk, "new").await;
        assert_eq!((&described["required"], &described["indexed"]), (&json!(true), &json!(true)));

        column(&desk, json!({ "name": "empty", "dataType": "INT" })).await.ok();
        let reply = change(&desk, "empty", json!({ "required": true })).await;
        let (total, first) = if many == MANY {
            let work = ended(&desk, &reply.ok()).await;
            (work["total"].clone(), work["conflicts"][0].clone())
        } else {
            let refused = reply.refused(20040)["errorData"].clone();
            (refused["total"].clone(), refused["conflicts"][0].clone())
        };
        assert_eq!((total, first["objectId"].clone()), (json!(many), json!("0")));
        server.app.post("/data/Thing", json!({ "n": "1" })).send().await.ok();
        let short = change(&desk, "n", json!({ "dataSize": 1 })).await;
        if many == MANY {
            assert_eq!(ended(&desk, &short.ok()).await["total"], MANY - 10);
        } else {
            assert_eq!(short.refused(20040)["errorData"]["total"], many - 10);
        }
    }
}

#[tokio::test]
async fn a_column_becomes_unique_where_no_value_is_there_twice() {
    for many in [20, MANY] {
        let server = TestServer::compat().await;
        let desk = filled(&server, many).await;
        let twice = server.app.post("/data/Thing", json!({ "objectId": "twice", "n": "7" }));
        twice.send().await.ok();
        let reply = change(&desk, "n", json!({ "unique": true })).await;
        let listed = if many == MANY {
            let work = ended(&desk, &reply.ok()).await;
            assert_eq!((&work["state"], &work["total"]), (&json!("refused"), &json!(1)));
            work["conflicts"].clone()
        } else {
            reply.refused(20040)["errorData"]["conflicts"].clone()
        };
        assert_eq!(listed, json!([{ "objectIds": ["7", "twice"] }]));
        let again = server.app.post("/data/Thing", json!({ "n": "8" })).send().await.ok();
        for id in [json!("twice"), again["objectId"].clone()] {
            let path = format!("/data/Thing/{}", text(&id));
            server.app.call(Method::DELETE, &path).send().await.ok();
        }
        // Another type and the rule in one.
        let changed = change(&desk, "n", json!({ "unique": true, "dataType": "INT" })).await.ok();
        if many == MANY {
            assert_eq!(ended(&desk, &changed).await["state"], "done");
        }
        server.app.post("/data/Thing", json!({ "n": 7 })).send().await.refused(1155);
        change(&desk, "n", json!({ "unique": false, "indexed": true })).await.ok();
        let began = Instant::now();
        while server.app.post("/data/Thing", json!({ "n": 7 })).send().await.code() != 0 {
            assert!(began.elapsed() < Duration::from_mins(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_rule_that_one_node_has_made_holds_for_writers_on_a_node_that_has_not_heard_of_it() {
    let server = TestServer::compat().await;
    let desk = filled(&server, 3).await;
    let faults = std::sync::Arc::new(engine::Faults::default());
    let Some(other) = server.node_that_hears_nothing(&faults).await else { return };
    other.app.post("/data/Thing", json!({ "n": "1" })).send().await.ok();
    let known = other.server.apps.by_id(&other.app.id.0).await.unwrap().unwrap();
    let create = async |body: Value| {
        let author = server::events::Author {
            kind: server::events::Actor::Nobody,
            id: String::new(),
            request: String::new(),
            address: String::new(),
            at: server.clock.now(),
        };
        let change = Change::new(other.server.clone(), known.clone(), author);
        let sent = Sent::new(body.as_object().unwrap().clone()).unwrap();
        let made = write::one(change, By::Developer, "Thing", (How::Create, sent)).await;
        made.map(|it| serde_json::from_slice::<Value>(&it).unwrap()).map_err(|it| it.code)
    };
    // A column that asks for nothing is no reason to look again.
    let before = known.schema().version;
    column(&desk, json!({ "name": "plain", "dataType": "INT" })).await.ok();
    assert_eq!(create(json!({ "n": "1" })).await.unwrap()["plain"], Value::Null);
    assert_eq!(known.schema().version, before, "it has not heard of it");
    let must = json!({ "name": "must", "dataType": "INT", "required": true, "defaultValue": 1 });
    let code = json!({ "name": "code", "dataType": "STRING", "customRegex": "[a-z]+" });
    for (wish, body, code) in
        [(must, json!({ "must": "x" }), 1007), (code, json!({ "code": "1" }), 8023)]
    {
        column(&desk, wish.clone()).await.ok();
        assert_eq!(create(body).await, Err(code), "{wish}");
    }
    column(
        &desk,
        json!({ "name": "more", "dataType": "INT", "required": true, "defaultValue": 2 }),
    )
    .await
    .ok();
    assert_eq!(create(json!({ "n": "1" })).await.unwrap()["more"], 2);
    change(&desk, "n", json!({ "name": "m" })).await.ok();
    let renamed = create(json!({ "m": "1" })).await.unwrap();
    assert_eq!((&renamed["m"], renamed.get("n")), (&json!("1"), None));
}

#[tokio::test]
async fn work_that_is_cancelled_leaves_the_column_as_it_was() {
    let server = TestServer::compat().await;
    let desk = filled(&server, MANY).await;
    let changed = change(&desk, "n", json!({ "dataType": "INT" })).await.ok();
    let path = format!("/schemawork/{}", text(&changed["work"]));
    let cancelled = desk.about(Method::DELETE, &path).send().await;
    let work = ended(&desk, &changed).await;
    if cancelled.code() == 0 {
        assert_eq!(work["state"], "refused");
        let began = Instant::now();
        // The job finds out at its next part.
        while change(&desk, "n", json!({ "indexed": false })).await.code() == 1138 {
            assert!(began.elapsed() < Duration::from_mins(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(described(&desk, "n").await["dataType"], "STRING");
        assert_eq!(value(&server, "7", "n").await, "7");
    } else {
        assert_eq!(work["state"], "done", "the job was quicker");
    }
}

#[tokio::test]
async fn work_that_a_server_has_left_is_finished_by_the_next_one() {
    let server = TestServer::compat().await;
    let desk = filled(&server, MANY).await;
    let changed = change(&desk, "n", json!({ "dataType": "INT", "indexed": true })).await.ok();
    let server = server.crash().await;
    let desk = server.desk().await;
    assert_eq!(ended(&desk, &changed).await["state"], "done");
    let described = described(&desk, "n").await;
    assert_eq!((&described["dataType"], &described["indexed"]), (&json!("INT"), &json!(true)));
    assert_eq!(value(&server, "1299", "n").await, 1299);
}

#[tokio::test]
async fn all_records_of_a_large_table_are_deleted_and_what_comes_after_stays() {
    let server = TestServer::compat().await;
    let desk = filled(&server, MANY).await;
    let all = desk.about(Method::DELETE, "/data/tables/Thing/all").send().await.ok();
    assert_eq!(all, json!(true));
    server.app.post("/data/Thing", json!({ "n": "after" })).send().await.ok();
    let began = Instant::now();
    while server.app.get("/data/Thing/count").send().await.ok() != 1 {
        assert!(began.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let works = desk.about(Method::GET, "/schemawork").send().await.ok();
    assert_eq!((&works[0]["kind"], &works[0]["rows"]), (&json!("clear"), &json!(MANY)));
    assert_eq!(server.app.get("/data/Thing/first").send().await.ok()["n"], "after");
}
