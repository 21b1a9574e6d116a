//! What a user is: tables, columns, their rules, and the identity (users-api 5 and 6.5).

use http::Method;
use serde_json::{Value, json};
use server::error::Error;
use server::schema::values;
use server::store::objects;

use crate::harness::{Desk, HORSE, Reply, TestServer, text, until};

pub async fn put(desk: &Desk, name: &str, change: Value) -> Reply {
    desk.about(Method::PUT, &format!("/userproperties/{name}")).body(change).send().await
}

pub async fn add(desk: &Desk, table: &str, column: Value) -> Reply {
    let path = format!("/data/tables/{table}/columns");
    desk.about(Method::POST, &path).body(column).send().await
}

pub async fn drop(desk: &Desk, table: &str, column: &str) -> Reply {
    desk.about(Method::DELETE, &format!("/data/tables/{table}/columns/{column}")).send().await
}

/// Registers a user with more properties.
pub async fn register(server: &TestServer, email: &str, more: Value) -> Reply {
    let mut body = json!({ "email": email, "password": HORSE });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.app.post("/users/register", body).send().await
}

#[tokio::test]
async fn a_developer_makes_a_column_of_each_type_and_it_keeps_what_it_is_told() {
    let server = TestServer::compat().await;
    let desk = server.desk().await;
    let table = desk.about(Method::POST, "/data/tables").body(json!({ "name": "Pet" }));
    let table = table.send().await.ok();
    assert_eq!((&table["name"], &table["system"]), (&json!("Pet"), &json!(false)));
    let names: Vec<_> =
        table["columns"].as_array().unwrap().iter().map(|it| text(&it["name"])).collect();
    assert_eq!(names, ["objectId", "ownerId", "created", "updated"]);

    for (kind, named, sent, kept) in [
        ("STRING", "STRING", json!("a"), json!("a")),
        ("TEXT", "TEXT", json!("a\nb"), json!("a\nb")),
        ("EXTENDED_STRING", "TEXT", json!("x"), json!("x")),
        ("FILE_REF", "FILE_REF", json!("web/a.png"), json!("web/a.png")),
        ("INT", "INT", json!(42), json!(42)),
        ("DOUBLE", "DOUBLE", json!(0.5), json!(0.5)),
        ("BOOLEAN", "BOOLEAN", json!(true), json!(true)),
        ("DATETIME", "DATETIME", json!("2023-11-14T22:13:20Z"), json!(1_700_000_000_000_i64)),
        ("JSON", "JSON", json!({ "a": [1, null] }), json!({ "a": [1, null] })),
    ] {
        for target in ["Pet", "Users"] {
            let name = format!("p_{}", kind.to_lowercase());
            let wish = json!({ "name": name, "dataType": kind, "dataSize": 500 });
            let column = add(&desk, target, wish).await.ok();
            assert_eq!(column["dataType"], named, "{column}");
            assert!(column["columnId"].is_string());
            let row = if target == "Pet" {
                server.app.post("/data/Pet", json!({ &name: sent })).send().await.ok()
            } else {
                register(&server, &format!("{name}@x.de"), json!({ &name: sent })).await.ok()
            };
            assert_eq!(row[&name], kept, "{target} {kind}");
        }
    }
    let odd = json!({ "name": "odd", "dataType": "STRING_ID" });
    add(&desk, "Pet", odd).await.refused(3038);
}

#[tokio::test]
async fn names_are_checked_and_what_the_system_needs_is_protected() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    for (name, code) in [
        ("id", 3039),
        ("ID", 3039),
        ("9a", 3038),
        ("a b", 3038),
        ("", 3038),
        ("a\"; drop table x", 3038),
        ("___class", 3038),
        (&*"a".repeat(46), 3038),
        ("email", 3038),
        ("select", 0),
        ("Email", 0), // another name: names are compared exactly
    ] {
        let reply = add(&desk, "Users", json!({ "name": name, "dataType": "STRING" })).await;
        assert_eq!(reply.code(), code, "{name}: {reply:?}");
    }
    for (name, code) in [
        ("Users", 1161),
        ("GeoPoint", 1135),
        ("bulk", 1154),
        ("a-b", 3038),
        ("Order", 0),
        ("Order", 1161),
    ] {
        let reply = desk.about(Method::POST, "/data/tables").body(json!({ "name": name }));
        assert_eq!(reply.send().await.code(), code, "{name}");
    }
    for name in ["objectId", "created", "ownerId", "userStatus", "lastLogin", "password", "email"] {
        drop(&desk, "Users", name).await.refused(3038);
    }
    for name in ["objectId", "userStatus", "password"] {
        put(&desk, name, json!({ "name": "other" })).await.refused(3038);
        put(&desk, name, json!({ "defaultValue": "x" })).await.refused(3038);
    }
    put(&desk, "email", json!({ "required": false })).await.refused(3038);
    put(&desk, "email", json!({ "identity": false })).await.refused(3038);
    let users = |method| desk.about(method, "/data/tables/Users");
    users(Method::DELETE).send().await.refused(3038);
    users(Method::PUT).body(json!({ "name": "People" })).send().await.refused(3038);
    // What GET gives is fine for PUT.
    let properties = desk.about(Method::GET, "/userproperties").send().await.ok();
    for property in properties.as_array().unwrap() {
        put(&desk, &text(&property["name"]), property.clone()).await.ok();
    }
    assert_eq!(desk.about(Method::GET, "/userproperties").send().await.ok(), properties);
}

#[tokio::test]
async fn a_table_is_renamed_and_dropped_and_its_name_is_free_again() {
    let server = TestServer::compat().await;
    let desk = server.desk().await;
    desk.about(Method::POST, "/data/tables").body(json!({ "name": "Pet" })).send().await.ok();
    add(&desk, "Pet", json!({ "name": "legs", "dataType": "INT", "unique": true })).await.ok();
    server.app.post("/data/Pet", json!({ "legs": 4 })).send().await.ok();
    let rename = desk.about(Method::PUT, "/data/tables/Pet").body(json!({ "name": "Animal" }));
    assert_eq!(rename.send().await.ok()["name"], "Animal");
    server.app.get("/data/Pet").send().await.refused(1009);
    let animals = server.app.get("/data/Animal").send().await.ok();
    assert_eq!((&animals[0]["legs"], &animals[0]["___class"]), (&json!(4), &json!("Animal")));
    desk.about(Method::DELETE, "/data/tables/Animal").send().await.ok();
    server.app.get("/data/Animal").send().await.refused(1009);
    for name in ["Animal", "Pet"] {
        desk.about(Method::POST, "/data/tables").body(json!({ "name": name })).send().await.ok();
        add(&desk, name, json!({ "name": "legs", "dataType": "STRING" })).await.ok();
        let row = server.app.post(&format!("/data/{name}"), json!({ "legs": "two" })).send().await;
        assert_eq!(row.ok()["legs"], "two");
    }
}

#[tokio::test]
async fn a_dropped_column_lets_go_of_its_name_and_a_renamed_one_keeps_its_values() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    add(&desk, "Users", json!({ "name": "shoe", "dataType": "INT", "indexed": true })).await.ok();
    let ann = register(&server, "ann@x.de", json!({ "shoe": 39 })).await.ok();
    let read = async |name: &str| {
        let path = format!("/users/{}", text(&ann["objectId"]));
        server.app.server_code(Method::GET, &path).send().await.ok()[name].clone()
    };
    // Requests that began before the change go on with what they know.
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    let before = app.users().unwrap();
    assert_eq!(put(&desk, "shoe", json!({ "name": "size" })).await.ok()["name"], "size");
    assert_eq!((read("size").await, read("shoe").await), (json!(39), Value::Null));
    drop(&desk, "Users", "size").await.ok();
    assert_eq!(read("size").await, Value::Null);
    let id = text(&ann["objectId"]);
    let late = app.realm.data.write(move |tx| {
        let column = before.column("shoe").unwrap();
        objects::update(tx, &before, &id, &[(column, values::to_stored(column, &json!(40))?)])?;
        let mut out = Vec::new();
        objects::write_one(tx, &before, &id, &mut out)?;
        out.push(b'}');
        Ok::<_, Error>(serde_json::from_slice::<Value>(&out).unwrap())
    });
    assert_eq!(late.await.unwrap()["shoe"], 40);
    // The name is free for a column of another type.
    add(&desk, "Users", json!({ "name": "shoe", "dataType": "STRING" })).await.ok();
    assert_eq!(read("shoe").await, Value::Null);
    let bob = register(&server, "bob@x.de", json!({ "shoe": "red" })).await.ok();
    assert_eq!(bob["shoe"], "red");
}

#[tokio::test]
async fn what_was_dropped_leaves_the_database_a_minute_later() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    add(&desk, "Users", json!({ "name": "shoe", "dataType": "INT", "unique": true })).await.ok();
    register(&server, "ann@x.de", json!({ "shoe": 39 })).await.ok();
    drop(&desk, "Users", "shoe").await.ok();
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    let waiting = async || {
        let read = app.realm.data.read(|db| {
            let sql = "select count(*) as n from sys.dropped where app_id = ?1";
            Ok::<_, Error>(db.row(sql, &[&db.app()], |row| row.get::<i64>("n"))?.unwrap())
        });
        read.await.unwrap()
    };
    assert_eq!(waiting().await, 1);
    server.clock.advance(server::clock::Seconds(61));
    until("the work is done", async || waiting().await == 0).await;
    let read = app.realm.data.read(|db| {
        let sql = r#"select "shoe" from app."Users""#;
        Ok::<_, Error>(db.rows(sql, &[], |row| row.get::<Option<i64>>("shoe"))?)
    });
    assert!(read.await.unwrap_err().is_undefined(), "the column is still there");
}

/// Waits until something is so, for half a minute at most.
#[tokio::test]
async fn a_rule_that_objects_break_is_refused_with_those_objects_and_nothing_changes() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    let column = async |wish: Value| add(&desk, "Users", wish).await.ok();
    column(json!({ "name": "city", "dataType": "STRING" })).await;
    column(json!({ "name": "note", "dataType": "TEXT" })).await;
    let rome = json!({ "city": "Rome", "note": "long text" });
    let ann = text(&register(&server, "ann@x.de", rome).await.ok()["objectId"]);
    let bob =
        text(&register(&server, "bob@x.de", json!({ "city": "Rome" })).await.ok()["objectId"]);
    let cid = text(&register(&server, "cid@x.de", json!({})).await.ok()["objectId"]);
    server.app.guest().await; // guests have no properties, and no rule counts them
    let before = desk.about(Method::GET, "/userproperties").send().await.ok();

    let listed = |reply: Reply| reply.refused(20040)["errorData"].clone();
    let unique = listed(put(&desk, "city", json!({ "unique": true })).await);
    assert_eq!(unique, json!({ "total": 1, "conflicts": [{ "objectIds": [ann, bob] }] }));
    let required = listed(put(&desk, "city", json!({ "required": true })).await);
    let conflict = json!({ "objectId": cid, "reason": "it has no value" });
    assert_eq!(required, json!({ "total": 1, "conflicts": [conflict] }));
    let short = listed(put(&desk, "note", json!({ "dataType": "STRING", "dataSize": 4 })).await);
    let why = "its value is longer than 4 characters. Shorten it";
    let conflict = json!({ "objectId": ann, "reason": why });
    assert_eq!(short, json!({ "total": 1, "conflicts": [conflict] }));
    let typed = listed(put(&desk, "city", json!({ "dataType": "INT" })).await);
    assert_eq!(typed["total"], 2);
    let missing = json!({ "name": "age", "dataType": "INT", "required": true });
    assert_eq!(listed(add(&desk, "Users", missing).await)["total"], 3);
    assert_eq!(desk.about(Method::GET, "/userproperties").send().await.ok(), before);

    // A default fills them; an unfilled column can become anything; what fits is fine.
    put(&desk, "city", json!({ "required": true, "defaultValue": "Paris" })).await.ok();
    let filled = json!({ "name": "age", "dataType": "INT", "required": true, "defaultValue": "7" });
    assert_eq!(add(&desk, "Users", filled).await.ok()["defaultValue"], "7");
    let read = server.app.server_code(Method::GET, &format!("/users/{cid}")).send().await.ok();
    assert_eq!((&read["city"], &read["age"]), (&json!("Paris"), &json!(7)));
    put(&desk, "note", json!({ "dataType": "STRING", "dataSize": 9 })).await.ok();
    column(json!({ "name": "free", "dataType": "STRING" })).await;
    put(&desk, "free", json!({ "dataType": "DOUBLE" })).await.ok();
    let dag = register(&server, "dag@x.de", json!({ "free": 0.5 })).await.ok();
    assert_eq!((&dag["free"], &dag["age"]), (&json!(0.5), &json!(7)));
    register(&server, "eve@x.de", json!({ "note": "ten chars!" })).await.refused(8023);
}

#[tokio::test]
async fn i_02_a_unique_property_is_unique_by_a_constraint_at_every_door() {
    let server = TestServer::compat().await;
    let desk = server.desk().await;
    add(&desk, "Users", json!({ "name": "badge", "dataType": "INT", "unique": true })).await.ok();
    register(&server, "ann@x.de", json!({ "badge": 1 })).await.ok();
    register(&server, "bob@x.de", json!({ "badge": 1 })).await.refused(1155);
    register(&server, "bob@x.de", json!({ "badge": null })).await.ok();
    register(&server, "cid@x.de", json!({})).await.ok();
    let eve = json!({ "email": "eve@x.de", "password": HORSE, "badge": "1" });
    server.app.post("/data/Users", eve.clone()).send().await.refused(1155);
    desk.about(Method::POST, "/data/Users").body(eve.clone()).send().await.refused(1155);
    // Many at the same moment: one has it.
    let tries = (0..8).map(|it| {
        let server = &server;
        async move { register(server, &format!("dag{it}@x.de"), json!({ "badge": 2 })).await.code() }
    });
    let mut codes = futures_util::future::join_all(tries).await;
    codes.sort_unstable();
    assert_eq!(codes, [0, 1155, 1155, 1155, 1155, 1155, 1155, 1155]);
    put(&desk, "badge", json!({ "unique": false })).await.ok();
    server.app.post("/data/Users", eve).send().await.ok();
}

#[tokio::test]
async fn users_log_in_with_another_property_from_the_change_on() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
    let ann =
        text(&register(&server, "ann@x.de", json!({ "handle": "Ann" })).await.ok()["objectId"]);
    let bob =
        text(&register(&server, "bob@x.de", json!({ "handle": "ANN " })).await.ok()["objectId"]);
    let cid = text(&register(&server, "cid@x.de", json!({})).await.ok()["objectId"]);
    let dag = text(
        &register(&server, "dag@x.de", json!({ "handle": "d\u{200b}" })).await.ok()["objectId"],
    );
    app.guest().await;
    let before = desk.about(Method::GET, "/userproperties").send().await.ok();
    let refused = put(&desk, "handle", json!({ "identity": true })).await.refused(20040);
    let ids: Vec<_> = refused["errorData"]["conflicts"].as_array().unwrap().iter().collect();
    assert_eq!(refused["errorData"]["total"], 3, "{refused}");
    assert_eq!((&ids[0]["objectId"], &ids[0]["with"]), (&json!(bob), &json!(ann)));
    assert_eq!((&ids[1]["objectId"], &ids[2]["objectId"]), (&json!(cid), &json!(dag)));
    assert_eq!(desk.about(Method::GET, "/userproperties").send().await.ok(), before);
    app.login("ann@x.de", HORSE).await.ok();
    for odd in ["lastLogin", "password", "created"] {
        put(&desk, odd, json!({ "identity": true })).await.refused(3038);
    }

    put(&desk, "name", json!({ "identity": true })).await.refused(20040);
    add(&desk, "Users", json!({ "name": "number", "dataType": "INT" })).await.ok();
    for email in ["bob@x.de", "cid@x.de", "dag@x.de"] {
        app.login(email, HORSE).await.ok();
    }
    // Only Ann is left, and she has a handle: the old identity loses its mark.
    let app_data = server.server.apps.data(&app.id);
    for id in [bob, cid, dag] {
        let handle = format!("h{id}");
        let write = app_data.write(move |tx| {
            let sql = r#"update app."Users" set "handle" = ?1 where "objectId" = ?2"#;
            Ok::<_, Error>(tx.exec(sql, &[&handle, &id])?)
        });
        assert_eq!(write.await.unwrap(), 1);
    }
    let changed = put(&desk, "handle", json!({ "identity": true })).await.ok();
    assert_eq!((&changed["identity"], &changed["required"]), (&json!(true), &json!(true)));
    app.login(" aNN", HORSE).await.ok();
    app.login("ann@x.de", HORSE).await.refused(3003);
    let described = app.get("/users/userclassprops").send().await.ok();
    let identities = described.as_array().unwrap().iter().filter(|it| it["identity"] == true);
    assert_eq!(identities.map(|it| text(&it["name"])).collect::<Vec<_>>(), ["handle"]);
    register(&server, "eve@x.de", json!({})).await.refused(3013);
    register(&server, "eve@x.de", json!({ "handle": "ann" })).await.refused(3033);
    register(&server, "ann@x.de", json!({ "handle": "eve" })).await.refused(1155);
    register(&server, "eve@x.de", json!({ "handle": "eve" })).await.ok();
    app.login("eve", HORSE).await.ok();

    // And back: the old property is an ordinary one until then, and can be again.
    put(&desk, "email", json!({ "identity": true })).await.ok();
    app.login("Ann@X.de", HORSE).await.ok();
    app.login("ann", HORSE).await.refused(3003);
    put(&desk, "handle", json!({ "required": false })).await.ok();
    drop(&desk, "Users", "handle").await.ok();
    register(&server, "fay@x.de", json!({})).await.ok();
}

/// Work on a table, when it has ended.
pub async fn ended(desk: &Desk, id: &str) -> Value {
    let work = async || {
        let all = desk.about(Method::GET, "/schemawork").send().await.ok();
        all.as_array().unwrap().iter().find(|it| it["id"] == id).unwrap().clone()
    };
    until("the work has ended", async || work().await["state"] != "running").await;
    work().await
}

/// Adds users by the hundred, past the hashing of passwords.
pub async fn crowd(server: &TestServer, count: usize) {
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    let table = app.users().unwrap();
    let write = app.realm.data.write(move |tx| {
        for index in 0..count {
            let cells = [
                ("objectId", json!(format!("crowd-{index}"))),
                ("email", json!(format!("crowd{index}@x.de"))),
                ("handle", json!(format!("h{index}"))),
                ("userStatus", json!("ENABLED")),
                ("created", json!(1)),
            ];
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

#[tokio::test]
async fn with_many_users_the_identity_changes_in_a_job_and_what_is_in_the_way_is_listed() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
    crowd(&server, 1_200).await;
    let ann = register(&server, "ann@x.de", json!({ "handle": "H7" })).await.ok();
    let work = async |id: &str| {
        let all = desk.about(Method::GET, "/schemawork").send().await.ok();
        all.as_array().unwrap().iter().find(|it| it["id"] == id).unwrap().clone()
    };

    let begun = put(&desk, "handle", json!({ "identity": true })).await.ok();
    assert_eq!(begun["identity"], false);
    let id = text(&begun["work"]);
    until("the work is done", async || work(&id).await["state"] != "running").await;
    let refused = work(&id).await;
    assert_eq!(refused["state"], "refused");
    assert_eq!((&refused["rows"], &refused["done"]), (&json!(1201), &json!(1201)));
    assert_eq!(refused["total"], 1, "{refused}");
    assert_eq!(refused["conflicts"][0]["objectId"], ann["objectId"]);
    assert_eq!(refused["conflicts"][0]["with"], "crowd-7");
    app.login("ann@x.de", HORSE).await.ok();

    let (id, at) = (text(&ann["objectId"]), server.clock.now());
    let app_data = server.server.apps.data(&app.id);
    let correct = app_data.write(move |tx| {
        let sql =
            r#"update app."Users" set "handle" = 'Ann', "updated" = ?1 where "objectId" = ?2"#;
        Ok::<_, Error>(tx.exec(sql, &[&at, &id])?)
    });
    assert_eq!(correct.await.unwrap(), 1);
    let begun = put(&desk, "handle", json!({ "identity": true })).await.ok();
    let id = text(&begun["work"]);
    until("the work is done", async || work(&id).await["state"] != "running").await;
    assert_eq!(work(&id).await["state"], "done", "{}", work(&id).await);
    app.login("ann", HORSE).await.ok();
    app.login("ann@x.de", HORSE).await.refused(3003);
    register(&server, "eve@x.de", json!({ "handle": "h3" })).await.refused(3033);
    // Nothing is left of what nobody logs in with.
    let rows = async || {
        let read = app_data.read(|db| {
            let sql = "select count(*) as n, count(distinct kind) as kinds from sys.identities
                       where app_id = ?1";
            let read = |row: &server::store::Row<'_>| Ok((row.get::<i64>("n")?, row.get("kinds")?));
            Ok::<(i64, i64), Error>(db.row(sql, &[&db.app()], read)?.unwrap())
        });
        read.await.unwrap()
    };
    until("the work is done", async || rows().await == (1_201, 1)).await;
}

#[tokio::test]
async fn a_user_who_was_prepared_for_the_old_identity_is_not_written_under_the_new_one() {
    use server::events::{Actor, Event};
    use server::schema::identity;
    use server::store::users::Status;
    use server::users::write::{self, Change, NewUser};
    let server = TestServer::start().await;
    let desk = server.desk().await;
    add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
    let app = server.server.apps.by_id(&server.app.id.0).await.unwrap().unwrap();
    put(&desk, "handle", json!({ "identity": true })).await.ok();
    let author = server::events::Author {
        kind: Actor::Nobody,
        id: String::new(),
        request: String::new(),
        address: String::new(),
        at: server.clock.now(),
    };
    let change = Change::new(server.server.clone(), app.clone(), author);
    let user = NewUser {
        id: server::ids::UserId("ann".into()),
        cells: vec![("email".to_owned(), engine::Value::Text("ann@x.de".to_owned()))],
        unknown: Vec::new(),
        identity: identity::canonical("ann@x.de").ok(),
        password: None,
        status: Status::Enabled,
    };
    let write =
        app.realm.data.write(move |tx| write::insert(tx, &change, &user, Event::UserRegistered));
    assert_eq!(write.await.unwrap_err().code, 20041);
}

#[tokio::test]
async fn a_validator_judges_at_every_door_and_never_a_guest() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let ssn = r"^(\d{3}-?\d{2}-?\d{4}|XXX-XX-XXXX)$";
    let column = json!({ "name": "ssn", "dataType": "STRING", "customRegex": ssn });
    assert_eq!(add(&desk, "Users", column).await.ok()["customRegex"], ssn);
    let range = json!({ "id": "number-range", "params": { "min": 18 } });
    add(&desk, "Users", json!({ "name": "age", "dataType": "INT", "validator": range })).await.ok();
    put(&desk, "password", json!({ "customRegex": ".{5,}" })).await.ok();
    for (more, code, named) in [
        (json!({ "ssn": "123-45-6789", "age": 18 }), 0, ""),
        (json!({ "ssn": null }), 0, ""),
        (json!({ "ssn": "x" }), 8023, "ssn"),
        (json!({ "ssn": "123-45-67890" }), 8023, "ssn"),
        (json!({ "age": 17 }), 8023, "age"),
        (json!({ "password": "four" }), 8023, "password"),
    ] {
        for door in ["register", "guest", "data", "console"] {
            let mut body = json!({ "email": format!("{}@x.de", server.server.random.opaque()), "password": HORSE });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let reply = match door {
                "register" => app.post("/users/register", body).send().await,
                "data" => app.post("/data/Users", body).send().await,
                "console" => desk.about(Method::POST, "/data/Users").body(body).send().await,
                _ => {
                    let (id, token) = app.guest().await;
                    body["objectId"] = json!(id);
                    app.post("/users/register", body).token(&token).send().await
                }
            };
            assert_eq!(reply.code(), code, "{door} {more}: {reply:?}");
            let message = reply.json()["message"].as_str().unwrap_or_default().to_owned();
            assert!(message.contains(named), "{door}: {message}");
        }
    }
}

#[tokio::test]
async fn a_new_validator_says_which_objects_it_would_refuse() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
    let ann = register(&server, "ann@x.de", json!({ "handle": "Ann Smith" })).await.ok();
    register(&server, "bob@x.de", json!({ "handle": "bob" })).await.ok();
    register(&server, "cid@x.de", json!({})).await.ok();
    let slug = json!({ "validator": { "id": "slug" } });
    let mut strict = slug.clone();
    strict["onFailing"] = json!("refuse");
    let refused = put(&desk, "handle", strict.clone()).await.refused(20040);
    assert_eq!(refused["errorData"]["total"], 1);
    let kept = put(&desk, "handle", slug.clone()).await.ok();
    assert_eq!(kept["failing"]["total"], 1);
    assert_eq!(kept["failing"]["first"][0]["objectId"], ann["objectId"]);
    assert_eq!(kept["validator"], json!({ "id": "slug", "params": {} }));
    put(&desk, "handle", json!({ "validator": null })).await.ok();

    crowd(&server, 1_100).await;
    // In a large table a job looks at them; the validator is in force when none is in the way.
    let begun = put(&desk, "handle", strict).await.ok();
    assert_eq!(begun["validator"], Value::Null);
    let refused = ended(&desk, &text(&begun["work"])).await;
    assert_eq!((&refused["state"], &refused["total"]), (&json!("refused"), &json!(1)));
    assert_eq!(refused["conflicts"][0]["objectId"], ann["objectId"]);
    let begun = put(&desk, "handle", slug).await.ok();
    assert!(begun["failing"].is_null());
    let done = ended(&desk, &text(&begun["work"])).await;
    assert_eq!(done["state"], "done");
    assert_eq!((&done["total"], &done["done"]), (&json!(1), &json!(1103)), "{done}");
    assert_eq!(done["conflicts"][0]["objectId"], ann["objectId"]);
}

#[tokio::test]
async fn a_validator_is_refused_when_it_cannot_work_and_can_be_tried() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    let column = async |more: Value| {
        let mut wish = json!({ "name": "p", "dataType": "STRING" });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = add(&desk, "Users", wish).await;
        (reply.code(), text(&reply.json()["message"]))
    };
    for (more, reason) in [
        (json!({ "customRegex": "(?=a)" }), "looks ahead"),
        (json!({ "customRegex": "(a" }), "unclosed"),
        (json!({ "customRegex": 3 }), "text"),
        (json!({ "customRegex": "a", "dataType": "JSON" }), "JSON"),
        (json!({ "validator": { "id": "odd" } }), "no validator"),
        (json!({ "validator": "email" }), "validator must be"),
        (json!({ "validator": { "id": "email" }, "dataType": "INT" }), "STRING"),
        (json!({ "validator": { "id": "length" } }), "min or max"),
        (json!({ "validator": { "id": "length", "params": { "min": -1 } } }), "whole number"),
        (json!({ "validator": { "id": "length", "params": { "min": 3, "max": 2 } } }), "wrong way"),
        (json!({ "validator": { "id": "one-of", "params": { "values": [] } } }), "list"),
        (json!({ "validator": { "id": "email", "params": { "x": 1 } } }), "no parameter x"),
        (json!({ "validator": { "id": "email" }, "defaultValue": "x" }), "default"),
    ] {
        let (code, message) = column(more.clone()).await;
        assert_eq!(code, 3038, "{more}");
        assert!(message.contains(reason), "{more}: {message}");
    }
    let list = desk.call(Method::GET, "/datavalidators").send().await.ok();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|it| text(&it["id"])).collect();
    assert_eq!(
        names.join(" "),
        "email url us-ssn us-phone e164 number-range length credit-card ip uuid slug date-range one-of"
    );
    for (trial, valid) in [
        (json!({ "validator": { "id": "email" }, "value": "ann@example.com" }), true),
        (json!({ "validator": { "id": "email" }, "value": "ann" }), false),
        (json!({ "regex": "a+", "value": "aaa" }), true),
        (json!({ "regex": "a+", "value": "aab" }), false),
        (json!({ "regex": r"\d{3}", "dataType": "INT", "value": 123 }), true),
        (json!({ "regex": "a+", "value": null }), true),
    ] {
        let verdict = desk.about(Method::POST, "/datavalidators/try").body(trial.clone());
        let verdict = verdict.send().await.ok();
        assert_eq!(verdict["valid"], valid, "{trial}");
        assert_eq!(verdict["reason"].is_null(), valid);
    }
    let odd = desk.about(Method::POST, "/datavalidators/try").body(json!({ "regex": "(?<!a)" }));
    odd.send().await.refused(3038);
}

#[tokio::test]
async fn c_08_r_08_r_09_r_30_new_properties_come_and_go_with_the_switch() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let switch = async |on: bool| {
        let config = desk.about(Method::PUT, "/data/config").body(json!({ "dynamicSchema": on }));
        assert_eq!(config.send().await.ok()["dynamicSchema"], on);
    };
    let ann = register(&server, "ann@x.de", json!({ "location": "Rome", "age": 30 })).await.ok();
    assert_eq!((&ann["location"], &ann["age"]), (&json!("Rome"), &json!(30)));
    let described = app.get("/users/userclassprops").send().await.ok();
    let names: Vec<_> = described.as_array().unwrap().iter().map(|it| text(&it["name"])).collect();
    for name in ["location", "email", "created", "updated", "objectId"] {
        assert!(names.iter().any(|it| it == name), "{name} in {names:?}");
    }
    switch(false).await;
    let bob = register(&server, "bob@x.de", json!({ "shoe": 44, "location": "Oslo" })).await.ok();
    assert_eq!((bob.get("shoe"), &bob["location"]), (None, &json!("Oslo")));
    switch(true).await;
    assert_eq!(register(&server, "cid@x.de", json!({ "shoe": 44 })).await.ok()["shoe"], 44);
}

#[tokio::test]
async fn another_node_knows_a_change_within_two_seconds() {
    let server = TestServer::start().await;
    let Some(other) = server.second_node().await else { return };
    let desk = server.desk().await;
    other.app.user("ann@x.de").await;
    add(
        &desk,
        "Users",
        json!({ "name": "badge", "dataType": "INT", "required": true, "defaultValue": 3 }),
    )
    .await
    .ok();
    until("the work is done", async || {
        let described = other.app.get("/users/userclassprops").send().await.ok();
        described
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["name"] == "badge" && it["defaultValue"] == 3)
    })
    .await;
    assert_eq!(register(&other, "bob@x.de", json!({})).await.ok()["badge"], 3);
}

#[tokio::test]
async fn users_who_come_while_the_identity_changes_are_whole_or_refused() {
    // Few users: at once. Many: by a job, whose last step catches up.
    for many in [0, 1_100] {
        let server = TestServer::compat().await;
        let (app, desk) = (&server.app, server.desk().await);
        add(&desk, "Users", json!({ "name": "handle", "dataType": "STRING" })).await.ok();
        crowd(&server, many).await;
        let ann =
            text(&register(&server, "ann@x.de", json!({ "handle": "ann" })).await.ok()["objectId"]);
        let come = (0..12).map(|it| {
            let server = &server;
            async move {
                let (email, handle) = (format!("u{it}@x.de"), format!("U{it}"));
                (it, register(server, &email, json!({ "handle": handle })).await.code())
            }
        });
        let rename =
            app.call(Method::PUT, &format!("/users/{ann}")).body(json!({ "handle": "ANNA" }));
        let change = put(&desk, "handle", json!({ "identity": true }));
        let (came, renamed, changed) =
            tokio::join!(futures_util::future::join_all(come), rename.send(), change);
        changed.ok();
        let running = async || {
            let works = desk.about(Method::GET, "/schemawork").send().await.ok();
            works.as_array().unwrap().iter().any(|it| it["state"] == "running")
        };
        until("the work is done", async || !running().await).await;
        let described = app.get("/users/userclassprops").send().await.ok();
        let identity = described.as_array().unwrap().iter().find(|it| it["identity"] == true);
        assert_eq!(identity.unwrap()["name"], "handle");
        for (it, code) in came {
            assert!([0, 20041].contains(&code), "{code}");
            let expected = if code == 0 { 0 } else { 3003 };
            assert_eq!(app.login(&format!("u{it}"), HORSE).await.code(), expected, "u{it}");
            assert_eq!(app.login(&format!("u{it}@x.de"), HORSE).await.code(), 3003, "u{it}");
        }
        // Ann's new handle counts, or her change was refused: 20041, or 3029 once it is the identity.
        assert!([0, 20041, 3029].contains(&renamed.code()), "{renamed:?}");
        let (now, not) = if renamed.code() == 0 { ("anna", "ann") } else { ("ann", "anna") };
        app.login(now, HORSE).await.ok();
        app.login(not, HORSE).await.refused(3003);
    }
}
