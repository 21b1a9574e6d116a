//! Changes of columns in filled tables: what does not fit is listed, large tables are changed by jobs
//! beside the writers, and every writer goes by the rules in force (design 4.4).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use server::clock::Seconds;
use server::error::Error;
use server::schema::values;
use server::store::columns::{self, Index};
use server::store::objects;

use crate::harness::{Desk, TestServer, text, until};
use crate::properties::{add, crowd, drop as drop_column, ended, put, register};

/// A table Pet with a column `p` of that type, and rows with these values.
pub async fn pets(server: &TestServer, desk: &Desk, kind: &str, rows: impl Iterator<Item = Value>) {
    desk.about(Method::POST, "/data/tables").body(json!({ "name": "Pet" })).send().await.ok();
    add(desk, "Pet", json!({ "name": "p", "dataType": kind })).await.ok();
    fill(server, "Pet", "p", rows).await;
}

/// Adds rows with these values past the door.
async fn fill(
    server: &TestServer,
    table: &str,
    column: &'static str,
    rows: impl Iterator<Item = Value>,
) {
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    let table = app.schema().table(table).unwrap().clone();
    let rows: Vec<Value> = rows.collect();
    for part in rows.chunks(10_000) {
        let (table, part, first) = (table.clone(), part.to_vec(), server.server.random.opaque());
        let data = app.realm.data.with_deadline(Duration::from_mins(1));
        let write = data.write(move |tx| {
            for (index, value) in part.iter().enumerate() {
                let cells =
                    [("objectId", json!(format!("{first}-{index}"))), (column, value.clone())];
                let cells: Vec<_> = cells
                    .iter()
                    .map(|(name, value)| {
                        let column = table.column(name).unwrap();
                        (column, values::to_stored(column, value).unwrap())
                    })
                    .collect();
                objects::insert(tx, &table, &cells)?;
            }
            Ok::<_, Error>(())
        });
        write.await.unwrap();
    }
}

pub async fn change(desk: &Desk, wish: Value) -> crate::harness::Reply {
    desk.about(Method::PUT, "/data/tables/Pet/columns/p").body(wish).send().await
}

/// The values of `p`, in the order of insertion.
pub async fn all(server: &TestServer) -> Vec<Value> {
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    let table = app.schema().table("Pet").unwrap().clone();
    let read = app.realm.data.read(move |db| {
        let column = table.column("p").unwrap();
        let rows = columns::scan(db, &table, column, i64::MIN, 1_000_000)?;
        Ok::<_, Error>(rows.iter().map(|it| values::to_json(column.kind, &it.value)).collect())
    });
    read.await.unwrap()
}

/// A number in the database of the application.
pub async fn count(server: &TestServer, sql: &'static str) -> i64 {
    let data = server.server.apps.data(&server.app.id);
    let read = data
        .read(move |db| Ok::<_, Error>(db.row(sql, &[&db.app()], |row| row.get("n"))?.unwrap()));
    read.await.unwrap()
}

/// Waits until nothing is left of work: no trigger's notes, no place, no job.
pub async fn nothing_is_left(server: &TestServer) {
    until("what work has left is cleared away", async || {
        // What had no lock in time is tried again later.
        server.clock.advance(Seconds(2));
        let notes = "select count(*) as n from sys.touched where app_id = ?1";
        let places = "select count(*) as n from sys.dropped where app_id = ?1 and is_husk = false";
        let jobs = "select count(*) as n from sys.jobs where app_id = ?1";
        count(server, notes).await + count(server, places).await + count(server, jobs).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_column_changes_its_type_where_every_value_can() {
    let long = "x".repeat(501);
    for (from, rows, to, expected) in [
        ("INT", vec![json!(3), Value::Null], "DOUBLE", Some(vec![json!(3), Value::Null])),
        ("DOUBLE", vec![json!(3), json!(-7)], "INT", Some(vec![json!(3), json!(-7)])),
        ("DOUBLE", vec![json!(3), json!(0.5)], "INT", None),
        ("STRING", vec![json!("a")], "TEXT", Some(vec![json!("a")])),
        ("TEXT", vec![json!("a")], "STRING", Some(vec![json!("a")])),
        ("TEXT", vec![json!("a\nb")], "STRING", None),
        ("TEXT", vec![json!(long)], "STRING", None),
        ("INT", vec![json!(42)], "STRING", Some(vec![json!("42")])),
        ("DOUBLE", vec![json!(0.5)], "STRING", Some(vec![json!("0.5")])),
        ("BOOLEAN", vec![json!(true)], "STRING", Some(vec![json!("true")])),
        (
            "DATETIME",
            vec![json!(1_700_000_000_000_i64)],
            "STRING",
            Some(vec![json!("1700000000000")]),
        ),
        ("JSON", vec![json!({ "a": 1 })], "STRING", Some(vec![json!("{\"a\":1}")])),
        ("STRING", vec![json!(" 42 "), json!("7")], "INT", Some(vec![json!(42), json!(7)])),
        ("STRING", vec![json!("1"), json!("two")], "INT", None),
        ("STRING", vec![json!("0.5")], "DOUBLE", Some(vec![json!(0.5)])),
        (
            "STRING",
            vec![json!("true"), json!("false")],
            "BOOLEAN",
            Some(vec![json!(true), json!(false)]),
        ),
        ("STRING", vec![json!("yes")], "BOOLEAN", None),
        (
            "STRING",
            vec![json!("2023-11-14T22:13:20Z")],
            "DATETIME",
            Some(vec![json!(1_700_000_000_000_i64)]),
        ),
        (
            "STRING",
            vec![json!("{\"a\":1}"), json!("b")],
            "JSON",
            Some(vec![json!({ "a": 1 }), json!("b")]),
        ),
        ("INT", vec![json!(1)], "BOOLEAN", None),
    ] {
        let server = TestServer::start().await;
        let desk = server.desk().await;
        pets(&server, &desk, from, rows.clone().into_iter()).await;
        let reply = change(&desk, json!({ "dataType": to })).await;
        let Some(expected) = expected else {
            let refused = reply.refused(20040);
            assert_eq!(refused["errorData"]["total"], 1, "{from} {to}: {refused}");
            assert!(refused["errorData"]["conflicts"][0]["objectId"].is_string());
            assert_eq!(all(&server).await, rows, "{from} {to}");
            continue;
        };
        assert_eq!(reply.ok()["dataType"], to);
        assert_eq!(all(&server).await, expected, "{from} {to}");
        server.clock.advance(Seconds(61));
        nothing_is_left(&server).await;
        assert_eq!(all(&server).await, expected, "{from} {to}");
    }
}

#[tokio::test]
async fn a_large_table_changes_by_a_job_and_what_is_written_meanwhile_counts() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
    crowd(&server, 1_200).await;
    let data = server.server.apps.data(&app.id);
    let numbers = data.write(|tx| {
        let sql = r#"update app."Users" set "handle" = cast(".seq" as text)"#;
        Ok::<_, Error>(tx.exec(sql, &[])?)
    });
    assert_eq!(numbers.await.unwrap(), 1_200);
    let ann =
        text(&register(&server, "ann@x.de", json!({ "handle": "one" })).await.ok()["objectId"]);

    // What cannot be converted is listed, and nothing has changed.
    let begun = put(&desk, "handle", json!({ "dataType": "INT" })).await.ok();
    assert_eq!(begun["dataType"], "STRING");
    put(&desk, "handle", json!({ "name": "other" })).await.refused(1138);
    let refused = ended(&desk, &text(&begun["work"])).await;
    assert_eq!((&refused["state"], &refused["total"]), (&json!("refused"), &json!(1)), "{refused}");
    assert_eq!(refused["conflicts"][0]["objectId"], ann);
    assert_eq!((&refused["rows"], &refused["done"]), (&json!(1201), &json!(1201)));
    nothing_is_left(&server).await;

    // Others write while it is done, before the place that it has reached and after it.
    app.update(&ann, "", json!({ "handle": "5000" })).await.ok();
    let begun = put(&desk, "handle", json!({ "dataType": "INT" })).await.ok();
    let id = text(&begun["work"]);
    let writes = async {
        for round in 0..20 {
            let user = format!("crowd-{}", round * 60);
            let handle = format!("{}", 6_000 + round);
            app.update(&user, "", json!({ "handle": handle })).await.ok();
        }
    };
    let (done, ()) = tokio::join!(ended(&desk, &id), writes);
    assert_eq!(done["state"], "done", "{done}");
    let read = async |user: &str| {
        let path = format!("/users/{user}");
        app.server_code(Method::GET, &path).send().await.ok()["handle"].clone()
    };
    assert_eq!((read(&ann).await, read("crowd-1").await.is_i64()), (json!(5000), true));
    for round in 0..20 {
        assert_eq!(read(&format!("crowd-{}", round * 60)).await, json!(6_000 + round), "{round}");
    }
    register(&server, "bob@x.de", json!({ "handle": "two" })).await.refused(1007);
    server.clock.advance(Seconds(61));
    nothing_is_left(&server).await;
    assert_eq!(read(&ann).await, 5000);
}

#[tokio::test]
async fn in_a_large_table_a_default_fills_a_rule_is_looked_at_and_an_index_is_built() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    let rows = (0..1_500).map(|it| if it % 3 == 0 { Value::Null } else { json!(it) });
    pets(&server, &desk, "INT", rows).await;
    let work = async |wish: Value| {
        let begun = change(&desk, wish).await.ok();
        ended(&desk, &text(&begun["work"])).await
    };
    let refused = work(json!({ "required": true })).await;
    assert_eq!((&refused["state"], &refused["total"]), (&json!("refused"), &json!(500)));
    assert_eq!(refused["conflicts"].as_array().unwrap().len(), 50);
    let done = work(json!({ "required": true, "defaultValue": 7 })).await;
    assert_eq!(done["state"], "done", "{done}");
    let values = all(&server).await;
    assert_eq!(values.iter().filter(|it| **it == 7).count(), 501, "the sevens, and the thirds");
    let late = server.app.server_code(Method::POST, "/data/Pet").body(json!({})).send().await.ok();
    assert_eq!(late["p"], 7);

    let refused = work(json!({ "defaultValue": null, "unique": true })).await;
    assert_eq!((&refused["state"], &refused["total"]), (&json!("refused"), &json!(1)), "{refused}");
    assert_eq!(refused["conflicts"][0]["objectIds"].as_array().unwrap().len(), 5);
    nothing_is_left(&server).await;
    let data = server.server.apps.data(&server.app.id);
    let alone = data.write(|tx| {
        let sql = r#"update app."Pet" set "p" = 10000 + ".seq" where "p" = 7"#;
        Ok::<_, Error>(tx.exec(sql, &[])?)
    });
    assert_eq!(alone.await.unwrap(), 502);
    let done = work(json!({ "defaultValue": null, "unique": true })).await;
    assert_eq!(done["state"], "done", "{done}");
    let same = server.app.server_code(Method::POST, "/data/Pet").body(json!({ "p": 1 }));
    same.send().await.refused(1155);

    // A new column with a default comes at once, and its values in a job.
    let wish = json!({ "name": "q", "dataType": "STRING", "required": true, "defaultValue": "x", "indexed": true });
    let begun = add(&desk, "Pet", wish).await.ok();
    assert_eq!(begun["required"], false);
    let done = ended(&desk, &text(&begun["work"])).await;
    assert_eq!(done["state"], "done", "{done}");
    let empty = r#"select count(*) as n from app."Pet" where "q" is null and ?1 = ?1"#;
    assert_eq!(count(&server, empty).await, 0);
}

#[tokio::test]
async fn an_index_whose_building_failed_half_way_is_built_anew() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    pets(&server, &desk, "INT", (0..1_200).map(|it| json!(it / 2))).await;
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    let (data, table) = (app.realm.data.clone(), app.schema().table("Pet").unwrap().clone());
    let column = table.column("p").unwrap().clone();
    let asked = column.clone();
    let build =
        move |tx: &server::store::Tx<'_>| columns::index_alone(tx, &table, &asked, Index::Unique);
    data.alone(build).await.unwrap_err();
    let asked = column.clone();
    let state = async || {
        let column = asked.clone();
        data.read(move |db| columns::index_state(db, &column, Index::Unique)).await.unwrap()
    };
    let left = server.home().is_shared().then_some(false);
    assert_eq!(state().await, left);
    let apart = data
        .write(|tx| Ok::<_, Error>(tx.exec(r#"update app."Pet" set "p" = 5000 + ".seq""#, &[])?));
    apart.await.unwrap();
    let begun = change(&desk, json!({ "unique": true })).await.ok();
    assert_eq!(ended(&desk, &text(&begun["work"])).await["state"], "done");
    assert_eq!(state().await, Some(true));
}

#[tokio::test]
async fn a_type_that_is_cancelled_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    pets(&server, &desk, "INT", (0..3_000).map(|it| json!(it))).await;
    let begun = change(&desk, json!({ "dataType": "STRING", "unique": true })).await.ok();
    let path = format!("/schemawork/{}", text(&begun["work"]));
    let cancelled = desk.about(Method::DELETE, &path).send().await;
    let work = ended(&desk, &text(&begun["work"])).await;
    assert_eq!(work["state"], if cancelled.code() == 0 { "refused" } else { "done" });
    server.clock.advance(Seconds(61));
    nothing_is_left(&server).await;
    let kept = all(&server).await;
    assert_eq!(kept[2_999], if cancelled.code() == 0 { json!(2_999) } else { json!("2999") });
    let triggers = if server.home().is_shared() {
        "select count(*) as n from pg_trigger where tgname like 'touched%' and ?1 = ?1"
    } else {
        "select count(*) as n from sqlite_master where name like 'touched%' and ?1 = ?1"
    };
    assert_eq!(count(&server, triggers).await, 0);
}

#[tokio::test]
async fn work_that_fails_for_ever_is_given_up_and_in_nobodys_way() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    pets(&server, &desk, "INT", (0..1_100).map(|it| json!(it))).await;
    let begun = change(&desk, json!({ "dataType": "STRING" })).await.ok();
    let id = text(&begun["work"]);
    let data = server.server.apps.data(&server.app.id);
    let (keep, asked) = (server.server.clone(), id.clone());
    // As the scheduler does with the last try.
    data.write(move |tx| server::data::work::given_up(tx, &keep, &asked)).await.unwrap();
    let work = ended(&desk, &id).await;
    assert!(["refused", "done"].contains(&work["state"].as_str().unwrap()), "{work}");
    server.clock.advance(Seconds(61));
    nothing_is_left(&server).await;
    change(&desk, json!({ "indexed": true })).await.ok();
}

#[tokio::test]
async fn a_column_dropped_from_a_large_table_is_emptied_and_serves_another_of_its_type() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    pets(&server, &desk, "STRING", (0..2_500).map(|it| json!(format!("v{it}")))).await;
    drop_column(&desk, "Pet", "p").await.ok();
    // Its name is free at once; it stands elsewhere until then.
    add(&desk, "Pet", json!({ "name": "p", "dataType": "INT" })).await.ok();
    server.clock.advance(Seconds(61));
    nothing_is_left(&server).await;
    let shared = server.home().is_shared();
    let husks = "select count(*) as n from sys.dropped where app_id = ?1 and is_husk";
    assert_eq!(count(&server, husks).await, i64::from(!shared));
    add(&desk, "Pet", json!({ "name": "q", "dataType": "STRING" })).await.ok();
    assert_eq!(count(&server, husks).await, 0);
    let read = server.app.server_code(Method::GET, "/data/Pet?pageSize=100").send().await.ok();
    assert!(read.as_array().unwrap().iter().all(|it| it["q"].is_null()));
    let row = server.app.server_code(Method::POST, "/data/Pet").body(json!({ "q": "new", "p": 1 }));
    assert_eq!(row.send().await.ok()["q"], "new");
    desk.about(Method::DELETE, "/data/tables/Pet").send().await.ok();
    server.clock.advance(Seconds(61));
    nothing_is_left(&server).await;
}

#[tokio::test]
async fn users_who_confirm_by_mail_keep_their_address() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
    let ann =
        text(&register(&server, "ann@x.de", json!({ "handle": "ann" })).await.ok()["objectId"]);
    put(&desk, "handle", json!({ "identity": true })).await.ok();
    put(&desk, "email", json!({ "required": false })).await.ok();
    desk.registration_settings(json!({ "emailConfirmationRequired": true })).await;
    put(&desk, "email", json!({ "name": "mail" })).await.refused(3038);
    drop_column(&desk, "Users", "email").await.refused(3038);
    app.update(&ann, "", json!({ "email": null })).await.refused(3040);
    app.update(&ann, "", json!({ "email": "ann@y.de" })).await.ok();
    desk.registration_settings(json!({ "emailConfirmationRequired": false })).await;
    app.update(&ann, "", json!({ "email": null })).await.ok();
    drop_column(&desk, "Users", "email").await.ok();
}

#[tokio::test]
async fn tables_that_developers_make_are_not_counted_as_clients() {
    let server = TestServer::compat().await;
    let desk = server.desk().await;
    for number in 0..20 {
        let table = json!({ "name": format!("Made{number}") });
        desk.about(Method::POST, "/data/tables").body(table).send().await.ok();
    }
    for number in 0..20 {
        let path = format!("/data/Came{number}");
        server.app.post(&path, json!({ "a": 1 })).send().await.ok();
    }
    server.app.post("/data/Came20", json!({ "a": 1 })).send().await.refused(3038);
}

#[tokio::test]
async fn a_trial_refuses_what_a_column_refuses() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    let heavy = "[ab]*a[ab]{9000}";
    for (kind, regex, code) in [
        ("BOOLEAN", "true", 3038),
        ("JSON", "a", 3038),
        ("DATETIME", "1", 3038),
        ("EXTENDED_STRING", "a", 0),
        ("TEXT", "a", 0),
        ("STRING", heavy, 3038),
        ("STRING", "[ab]*a[ab]{1500}", 0),
        ("TEXT", "[ab]*a[ab]{1500}", 3038),
        ("TEXT", r"\p{L}[\p{L} '-]*", 0),
    ] {
        let trial = json!({ "dataType": kind, "regex": regex, "value": null });
        let trial = desk.about(Method::POST, "/datavalidators/try").body(trial).send().await;
        assert_eq!(trial.code(), code, "{kind} {regex}: {trial:?}");
        let name = format!("c{}", server.server.random.opaque().replace('-', ""));
        let column = json!({ "name": name, "dataType": kind, "customRegex": regex });
        let made = add(&desk, "Users", column).await;
        assert_eq!(made.code(), code, "{kind} {regex}: {made:?}");
    }
}
