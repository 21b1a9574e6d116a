//! Objects of any table, one at a time: saving, reading, finding, deleting (data-api 2.1 to 2.7).

use http::Method;
use serde_json::{Value, json};
use server::clock::Seconds;

use crate::harness::{HORSE, Reply, TestApp, TestServer, text};
use crate::update::events;

async fn save(app: &TestApp, table: &str, body: Value) -> Reply {
    app.call(Method::PUT, &format!("/data/{table}")).body(body).send().await
}

async fn find(app: &TestApp, table: &str, query: Value) -> Reply {
    app.post(&format!("/data/{table}/find"), query).send().await
}

/// One property of all objects of an answer, with blanks between.
fn column(rows: &Value, name: &str) -> String {
    let rows = rows.as_array().unwrap();
    let word = |it: &Value| it[name].as_str().map_or(it[name].to_string(), str::to_owned);
    rows.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The names of the properties of an object, in the order of the letters.
fn keys(object: &Value) -> String {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(" ")
}

#[tokio::test]
async fn c_01_c_02_c_03_an_object_is_made_without_an_id_and_changed_with_it() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let now = server.clock.now().0;
    let made =
        save(app, "Person", json!({ "name": "Ann", "age": 35, "blocked": false })).await.ok();
    let id = text(&made["objectId"]);
    assert_eq!(
        made,
        json!({
            "objectId": id, "ownerId": null, "created": now, "updated": null, "name": "Ann",
            "age": 35, "blocked": false, "___class": "Person",
        })
    );
    server.clock.advance(Seconds(5));
    let changed = save(app, "Person", json!({ "objectId": id, "age": 36 })).await.ok();
    assert_eq!(changed["updated"], now + 5_000);
    assert_eq!((&changed["name"], &changed["age"]), (&json!("Ann"), &json!(36)));
    let second = save(app, "Person", json!({ "name": "Ann" })).await.ok();
    assert_ne!(second["objectId"], id);
    assert_eq!(app.get("/data/Person/count").send().await.ok(), 2);
    // Absent stays, null empties.
    server.clock.advance(Seconds(5));
    let path = format!("/data/Person/{id}");
    let emptied = app.call(Method::PUT, &path).body(json!({ "age": null })).send().await.ok();
    assert_eq!((&emptied["name"], &emptied["age"]), (&json!("Ann"), &Value::Null));
    assert_eq!(app.get(&path).send().await.ok(), emptied);

    let changes: Vec<Value> =
        events(&server, "object.updated").await.into_iter().map(|it| it.2).collect();
    let table = "Person";
    assert_eq!(
        changes,
        [
            json!({ "table": table, "before": { "age": 35 }, "after": { "age": 36 } }),
            json!({ "table": table, "before": { "age": 36 }, "after": { "age": null } }),
        ]
    );
}

#[tokio::test]
async fn an_id_of_the_clients_own_is_taken_once() {
    let server = TestServer::compat().await;
    let app = &server.app;
    for (id, code) in [
        (json!("1"), 0),
        (json!("1"), 1101),
        (json!(2), 0),
        (json!("a b/c'd"), 0),
        (json!("x".repeat(64)), 0),
        (json!("x".repeat(65)), 8023),
        (json!("a\nb"), 8023),
        (json!(true), 1007),
        (json!({ "a": 1 }), 1007),
    ] {
        let reply = app.post("/data/Person", json!({ "objectId": id, "name": "x" })).send().await;
        assert_eq!(reply.code(), code, "{id}: {reply:?}");
    }
    assert_eq!(app.get("/data/Person/2").send().await.ok()["objectId"], "2");
    let odd = app.get("/data/Person/a%20b%2Fc'd").send().await.ok();
    assert_eq!(odd["objectId"], "a b/c'd");
    // None of one's own.
    for body in [json!({ "objectId": "" }), json!({ "objectId": null })] {
        let made = save(app, "Person", body).await.ok();
        assert_eq!(text(&made["objectId"]).len(), 36);
    }
    save(app, "Person", json!({ "objectId": "nobody", "name": "x" })).await.refused(1000);
}

#[tokio::test]
async fn c_04_an_upsert_adds_with_the_id_and_then_changes() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let upsert = |body: Value| app.call(Method::PUT, "/data/Person/upsert").body(body).send();
    let mut made =
        upsert(json!({ "objectId": "non-existed", "name": "Bob", "age": 20 })).await.ok();
    assert_eq!((&made["objectId"], &made["updated"]), (&json!("non-existed"), &Value::Null));
    server.clock.advance(Seconds(1));
    made["age"] = json!(21);
    made["created"] = json!(5);
    made["ownerId"] = json!("eve");
    let changed = upsert(made.clone()).await.ok();
    assert_eq!((&changed["name"], &changed["age"]), (&json!("Bob"), &json!(21)));
    assert_eq!((&changed["ownerId"], changed["created"] == 5), (&Value::Null, false));
    assert_eq!(changed["updated"], server.clock.now().0);
    let other = upsert(json!({ "name": "Cid" })).await.ok();
    assert_eq!(text(&other["objectId"]).len(), 36);
    assert_eq!(app.get("/data/Person/count").send().await.ok(), 2);
}

#[tokio::test]
async fn of_many_who_upsert_the_same_id_one_adds_and_the_others_change() {
    let server = TestServer::compat().await;
    let app = &server.app;
    save(app, "Person", json!({ "n": 0 })).await.ok();
    let calls = (0..16).map(|n| {
        app.call(Method::PUT, "/data/Person/upsert").body(json!({ "objectId": "x", "n": n })).send()
    });
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(reply.ok()["objectId"], "x");
    }
    assert_eq!(app.get("/data/Person/count").send().await.ok(), 2);
    assert_eq!(events(&server, "object.updated").await.len(), 15);
}

#[tokio::test]
async fn c_05_c_06_what_is_deleted_or_was_never_there_is_not_found() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let id = text(&save(app, "Person", json!({ "name": "Ann" })).await.ok()["objectId"]);
    let path = format!("/data/Person/{id}");
    let deleted = app.call(Method::DELETE, &path).send().await.ok();
    assert_eq!(deleted, json!({ "deletionTime": server.clock.now().0 }));
    for (method, id) in [
        (Method::GET, &*id),
        (Method::DELETE, &*id),
        (Method::PUT, &*id),
        (Method::GET, "NonExistingObjectId"),
    ] {
        let call = app.call(method.clone(), &format!("/data/Person/{id}"));
        let call = if method == Method::PUT { call.body(json!({ "name": "x" })) } else { call };
        let refused = call.send().await.refused(1000);
        assert_eq!(refused["message"], format!("Entity with ID {id} not found"));
    }
    let unknown = json!({ "name": "x" });
    app.call(Method::PUT, "/data/Other/x").body(unknown).send().await.refused(1009);
    app.call(Method::DELETE, "/data/Other/x").send().await.refused(1009);
    app.call(Method::PUT, &path).body(json!({})).send().await.refused(1001);
    assert_eq!(events(&server, "object.deleted").await.len(), 1);
}

#[tokio::test]
async fn c_07_a_wrong_type_is_refused_with_the_words_that_clients_compare() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let columns: Vec<Value> = ["INT", "DOUBLE", "BOOLEAN", "DATETIME"]
        .iter()
        .map(|it| json!({ "name": it.to_lowercase(), "dataType": it }))
        .collect();
    let table = json!({ "name": "Thing", "columns": columns });
    app.server_code(Method::POST, "/management/data/table").body(table).send().await.ok();
    let made =
        save(app, "Thing", json!({ "int": 1, "datetime": 1_700_000_000_000_i64 })).await.ok();
    assert_eq!(made["datetime"], 1_700_000_000_000_i64);
    let path = format!("/data/Thing/{}", text(&made["objectId"]));
    let wrong = |names: &str| {
        format!(
            "Unable to save object - invalid data type for properties - {names}. You can change \
             the property type in developer console."
        )
    };
    for (body, code, message) in [
        (json!({ "int": "x" }), 1007, wrong("int")),
        (json!({ "double": "x" }), 1007, wrong("double")),
        (json!({ "boolean": "x" }), 1007, wrong("boolean")),
        (json!({ "int": "x", "boolean": 5 }), 1007, wrong("int, boolean")),
        (json!({ "datetime": "x" }), 1110, "Invalid date format for property datetime".to_owned()),
    ] {
        for call in [app.call(Method::PUT, &path), desk.about(Method::PUT, &path)] {
            let refused = call.body(body.clone()).send().await.refused(code);
            assert_eq!(refused["message"], message, "{body}");
        }
    }
    assert_eq!(app.get(&path).send().await.ok(), made, "the row is as it was");
}

#[tokio::test]
async fn c_09_a_user_is_saved_through_the_table_by_the_rules_of_accounts() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let ann = json!({ "email": "ann@example.com", "name": "Ann", "password": HORSE });
    let made = save(app, "Users", ann.clone()).await.ok();
    assert_eq!((&made["email"], &made["name"]), (&json!("ann@example.com"), &json!("Ann")));
    assert_eq!((&made["___class"], made.get("password")), (&json!("Users"), None));
    save(app, "Users", ann.clone()).await.refused(3033);
    save(app, "Users", json!({ "email": "x@example.com" })).await.refused(3011);
    // With an id of one's own: a new user, who can log in.
    let bob = json!({ "objectId": "bob", "email": "bob@example.com", "password": HORSE });
    let upsert = |body: Value| app.call(Method::PUT, "/data/Users/upsert").body(body).send();
    assert_eq!(upsert(bob.clone()).await.ok()["objectId"], "bob");
    app.login("bob@example.com", HORSE).await.ok();
    app.post(
        "/data/Users",
        json!({ "objectId": "bob", "email": "b@example.com", "password": HORSE }),
    )
    .send()
    .await
    .refused(1101);
    assert_eq!(upsert(json!({ "objectId": "bob", "name": "Bob" })).await.ok()["name"], "Bob");
    // Somebody else's identity, and none.
    upsert(json!({ "objectId": "bob", "email": "ann@example.com" })).await.refused(3029);
    upsert(json!({ "objectId": "cid", "name": "Cid" })).await.refused(3011);
}

#[tokio::test]
async fn an_object_belongs_to_the_user_whose_token_made_it() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    let body = json!({ "name": "x", "ownerId": "eve", "created": 1, "updated": 2 });
    let made = app.post("/data/Note", body).token(&token).send().await.ok();
    assert_eq!((&made["ownerId"], &made["updated"]), (&json!(ann), &Value::Null));
    assert_eq!(made["created"], server.clock.now().0);
}

#[tokio::test]
async fn q_02_to_q_05_pages_and_their_order() {
    let server = TestServer::compat().await;
    let app = &server.app;
    for counter in 1..=12 {
        save(app, "Thing", json!({ "counter": counter, "even": counter % 2 == 0 })).await.ok();
    }
    save(app, "Thing", json!({ "even": true })).await.ok();
    for (query, expected) in [
        (json!({}), "null 12 11 10 9 8 7 6 5 4"),
        (json!({ "sortBy": "counter" }), "null 1 2 3 4 5 6 7 8 9"),
        (json!({ "sortBy": "counter", "offset": 10 }), "10 11 12"),
        (json!({ "sortBy": "counter", "offset": 13 }), ""),
        (json!({ "sortBy": ["counter desc"], "pageSize": 3 }), "12 11 10"),
        (json!({ "sortBy": "counter desc", "pageSize": "2", "offset": "11" }), "1 null"),
        (json!({ "sortBy": "counter ASC", "pageSize": 2 }), "null 1"),
        (json!({ "sortBy": "`counter`   DESC", "pageSize": 2 }), "12 11"),
        (json!({ "sortBy": "even desc, counter desc", "pageSize": 8 }), "12 10 8 6 4 2 null 11"),
        // All at one moment: those that are alike stand as they came, the way of the last column.
        (json!({ "sortBy": "created asc", "pageSize": 3 }), "1 2 3"),
        (json!({ "sortBy": "created desc", "pageSize": 3 }), "null 12 11"),
        (json!({ "sortBy": "even", "pageSize": 7 }), "1 3 5 7 9 11 2"),
        (json!({ "sortBy": "", "where": "", "props": [], "groupBy": null, "pageSize": 1 }), "null"),
        (
            json!({ "pageSize": 100, "relations": "", "relationsDepth": "2", "sortBy": [] }),
            "null 12 11 10 9 8 7 6 5 4 3 2 1",
        ),
    ] {
        let rows = find(app, "Thing", query.clone()).await.ok();
        assert_eq!(column(&rows, "counter"), expected, "{query}");
    }
    let page = app.get("/data/Thing?sortBy=counter%20desc&pageSize=2&offset=1&props=counter");
    assert_eq!(column(&page.send().await.ok(), "counter"), "11 10");
    for (query, code) in [
        (json!({ "pageSize": 101 }), 1025),
        (json!({ "pageSize": 0 }), 1005),
        (json!({ "pageSize": -1 }), 1005),
        (json!({ "offset": -1 }), 1004),
        (json!({ "sortBy": "nothing" }), 1006),
        (json!({ "sortBy": "counter up" }), 1006),
        (json!({ "sortBy": "a.b" }), 1017),
        (json!({ "where": "counter = " }), 1017),
        (json!({ "loadRelations": "child" }), 1017),
    ] {
        assert_eq!(find(app, "Thing", query.clone()).await.code(), code, "{query}");
    }
    let desk = server.desk().await;
    let page = desk.about(Method::POST, "/data/Thing/find").body(json!({})).send().await.ok();
    assert_eq!(page.as_array().unwrap().len(), 13, "the Console's pages have 15");
}

#[tokio::test]
async fn texts_and_numbers_sort_alike_on_both_engines() {
    let server = TestServer::compat().await;
    let app = &server.app;
    for (name, number) in
        [("b", 10.5), ("B", -1.0), ("a", 9.0), ("é", 1e10), ("Z", 0.0), ("", 2.0), ("aa", 10.0)]
    {
        save(app, "Thing", json!({ "name": name, "number": number })).await.ok();
    }
    save(app, "Thing", json!({})).await.ok();
    for (sort, expected) in [
        ("name", "null  B Z a aa b é"),
        ("name desc", "é b aa a Z B  null"),
        ("number", "null B Z  a aa b é"),
    ] {
        let rows = find(app, "Thing", json!({ "sortBy": sort })).await.ok();
        assert_eq!(column(&rows, "name"), expected, "{sort}");
    }
    save(app, "Thing", json!({ "more": { "a": 1 } })).await.ok();
    find(app, "Thing", json!({ "sortBy": "more" })).await.refused(1006);
}

#[tokio::test]
async fn q_06_the_first_and_the_last_are_told_apart_within_a_millisecond() {
    let server = TestServer::compat().await;
    let app = &server.app;
    app.get("/data/Thing/first").send().await.refused(1009);
    let id = text(&save(app, "Thing", json!({ "n": 0 })).await.ok()["objectId"]);
    app.call(Method::DELETE, &format!("/data/Thing/{id}")).send().await.ok();
    app.get("/data/Thing/first").send().await.refused(1010);
    for n in 1..=3 {
        save(app, "Thing", json!({ "n": n })).await.ok();
    }
    for (path, expected) in [
        ("first", json!(1)),
        ("last", json!(3)),
        ("first?sortBy=n%20desc", json!(3)),
        ("last?sortBy=n", json!(1)),
        ("last?props=n&pageSize=5", json!(3)),
    ] {
        let row = app.get(&format!("/data/Thing/{path}")).send().await.ok();
        assert_eq!(row["n"], expected, "{path}");
    }
    let row = app.get("/data/Thing/first?props=n").send().await.ok();
    assert_eq!(row, json!({ "n": 1, "___class": "Thing" }));
}

#[tokio::test]
async fn p_01_to_p_09_an_answer_has_the_properties_that_were_asked_for() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let made = save(app, "Thing", json!({ "age": 1, "blocked": true, "name": "x" })).await.ok();
    let id = text(&made["objectId"]);
    let all = "___class age blocked created name objectId ownerId updated";
    for (query, expected) in [
        (json!({}), all),
        (json!({ "props": "" }), all),
        (json!({ "props": "*" }), all),
        (json!({ "props": "age,age, `age` " }), "___class age"),
        (json!({ "props": ["age", "name,blocked"] }), "___class age blocked name"),
        (json!({ "property": ["age"] }), "___class age objectId"),
        (json!({ "props": "objectId" }), "___class objectId"),
        (
            json!({ "excludeProps": "age, updated" }),
            "___class blocked created name objectId ownerId",
        ),
        (
            json!({ "excludeProps": ["age", "blocked", "created", "name", "ownerId", "updated"] }),
            "___class objectId",
        ),
        (
            json!({ "excludeProps": "objectId,age,blocked,created,name,ownerId,updated" }),
            "___class",
        ),
        (json!({ "props": "age,name", "excludeProps": "name,nothing" }), "___class age"),
        (json!({ "props": "age as Age, blocked AS Blocked" }), "Age Blocked ___class"),
        (
            json!({ "props": "age as Age, *" }),
            "Age ___class age blocked created name objectId ownerId updated",
        ),
        (json!({ "props": "age as `the age`" }), "___class the age"),
        (json!({ "props": "name,age", "distinct": true }), "___class age name"),
    ] {
        let rows = find(app, "Thing", query.clone()).await.ok();
        assert_eq!(keys(&rows[0]), expected, "{query}");
    }
    let renamed = find(app, "Thing", json!({ "props": "age as name, *" })).await.ok();
    assert_eq!((&renamed[0]["name"], &renamed[0]["age"]), (&json!(1), &json!(1)));
    for (query, code, words) in [
        (json!({ "props": "nothing" }), 1006, "Column 'nothing' does not exist in table 'Thing'"),
        (json!({ "props": "age as ___class" }), 1006, ""),
        (
            json!({ "props": "Count(age) as n, age" }),
            1017,
            "The aggregate Count is not available yet (position 1)",
        ),
        (json!({ "props": "a.b" }), 1017, ""),
        (json!({ "props": "age name" }), 1006, "expected a comma, found name (position 5)"),
        (json!({ "props": "age", "distinct": true, "sortBy": "name" }), 1006, ""),
    ] {
        let refused = find(app, "Thing", query.clone()).await.refused(code);
        assert!(text(&refused["message"]).contains(words), "{query}: {refused}");
    }
    // The same by id, by key, and as clients in Swift ask.
    for path in
        ["{id}?props=age", "pk?objectId={id}&props=age", "{id}&props=age", "{id}?props=age&where=x"]
    {
        let path = format!("/data/Thing/{}", path.replace("{id}", &id));
        let row = app.get(&path).send().await.ok();
        assert_eq!(row, json!({ "age": 1, "___class": "Thing" }), "{path}");
    }
    let row = app.get(&format!("/data/Thing/{id}?property=age&property=name")).send().await.ok();
    assert_eq!(keys(&row), "___class age name objectId");
    app.get("/data/Thing/pk?id=1").send().await.refused(1107);

    let config = json!({ "includeObjectIdByDefault": true });
    desk.about(Method::PUT, "/data/config").body(config).send().await.ok();
    let rows = find(app, "Thing", json!({ "props": "age" })).await.ok();
    assert_eq!(keys(&rows[0]), "___class age objectId");
    let rows = find(app, "Thing", json!({ "props": "age", "distinct": true })).await.ok();
    assert_eq!(keys(&rows[0]), "___class age");
}

#[tokio::test]
async fn p_08_distinct_gives_each_combination_once() {
    let server = TestServer::compat().await;
    let app = &server.app;
    for (name, age) in [("b", 2), ("a", 1), ("b", 2), ("b", 1), ("a", 1)] {
        save(app, "Thing", json!({ "name": name, "age": age })).await.ok();
    }
    for (query, expected) in [
        (json!({ "props": "name", "distinct": true }), "a b"),
        (json!({ "props": "name", "distinct": true, "sortBy": "name desc" }), "b a"),
        (json!({ "props": "name,age", "distinct": "true" }), "a b b"),
        (json!({ "props": "name", "distinct": true, "offset": 1 }), "b"),
        (json!({ "props": "name", "distinct": false, "sortBy": "created" }), "b a b b a"),
    ] {
        let rows = find(app, "Thing", query.clone()).await.ok();
        assert_eq!(column(&rows, "name"), expected, "{query}");
    }
}

#[tokio::test]
async fn a_hidden_column_is_for_every_query_one_that_is_not_there() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let ann = app.user("ann@example.com").await;
    for name in ["password", ".seq", "seq", "hash", "rowid", "nothing"] {
        let quoted = format!("`{name}`");
        let words = format!("Column '{name}' does not exist in table 'Users'");
        for query in [
            json!({ "props": quoted }),
            json!({ "property": [quoted] }),
            json!({ "sortBy": quoted }),
            json!({ "sortBy": format!("{quoted} desc") }),
            json!({ "props": format!("{quoted} as x") }),
            json!({ "props": quoted, "distinct": true }),
        ] {
            let refused = find(app, "Users", query.clone()).await.refused(1006);
            assert_eq!(refused["message"], words, "{query}");
            let console = desk.about(Method::POST, "/data/Users/find").body(query);
            assert_eq!(console.send().await.refused(1006)["message"], words);
        }
        let cell = format!("/data/Users/{ann}/{name}/retrieve-value");
        desk.about(Method::GET, &cell).send().await.refused(1006);
    }
    let row = app.get(&format!("/data/Users/{ann}?props=*&excludeProps=password")).send().await;
    assert!(!row.ok().as_object().unwrap().contains_key("password"));
}

#[tokio::test]
async fn s_05_s_06_a_table_is_described_with_nine_keys_a_column() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let columns =
        [("a", "STRING"), ("b", "INT"), ("c", "DOUBLE"), ("d", "DATETIME"), ("e", "BOOLEAN")];
    desk.about(Method::POST, "/data/tables").body(json!({ "name": "Thing" })).send().await.ok();
    for (name, kind) in columns {
        let column = json!({ "name": name, "dataType": kind });
        desk.about(Method::POST, "/data/tables/Thing/columns").body(column).send().await.ok();
    }
    let described = app.get("/data/Thing/properties").send().await.ok();
    let mut names: Vec<String> =
        described.as_array().unwrap().iter().map(|it| text(&it["name"])).collect();
    names.sort();
    assert_eq!(names.join(" "), "a b c created d e objectId ownerId updated");
    for column in described.as_array().unwrap() {
        assert_eq!(
            keys(column),
            "autoLoad customRegex defaultValue expression isPrimaryKey name relatedTable required type"
        );
        let expected = columns.iter().find(|it| column["name"] == it.0);
        assert!(expected.is_none_or(|it| column["type"] == it.1), "{column}");
        assert_eq!(column["isPrimaryKey"], column["name"] == "objectId");
    }
    let words = "Table not found by name 'Table not found by name 'No'. Make sure the client class \
                 referenced in the API call has the same literal name as the table in Backendless console'";
    for path in ["No/properties", "No", "No/first", "No/last", "No/count", "No/x"] {
        let refused = app.get(&format!("/data/{path}")).send().await.refused(1009);
        assert_eq!(refused["message"], words, "{path}");
    }
    let tables = desk.about(Method::GET, "/data/tables").send().await.ok();
    let table = tables["tables"].as_array().unwrap().iter().find(|it| it["name"] == "Thing");
    let id = text(&table.unwrap()["tableId"]);
    assert_eq!(app.get(&format!("/data/{id}/table-name")).send().await.ok(), "Thing");
    app.get("/data/Thing/table-name").send().await.refused(1009);

    let strict = server.new_app("Strict", server::settings::Profile::Standard).await;
    strict.get("/data/Thing/properties").send().await.refused(1015);
    strict.get("/data/Users/properties").send().await.ok();
}

#[tokio::test]
async fn what_a_table_lacks_becomes_a_column_or_is_refused_where_tables_do_not_grow() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let made = save(app, "Thing", json!({})).await.ok(); // s_02
    let id = text(&made["objectId"]);
    let body = json!({
        "a": "x", "b": "x".repeat(501), "c": 1, "d": 0.5, "e": true, "f": { "x": [1] }, "g": [1],
        "h": null, "i": { "___class": "Other", "n": 1 }, "___class": "Thing", "__meta": "x",
    });
    let path = format!("/data/Thing/{id}");
    let grown = app.call(Method::PUT, &path).body(body).send().await.ok();
    assert_eq!((&grown["f"], &grown["g"]), (&json!({ "x": [1] }), &json!([1])));
    let kinds = app.get("/data/Thing/properties").send().await.ok();
    let mut kinds: Vec<String> = kinds
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| text(&it["name"]).len() == 1)
        .map(|it| format!("{}:{}", text(&it["name"]), text(&it["type"])))
        .collect();
    kinds.sort();
    assert_eq!(kinds.join(" "), "a:STRING b:TEXT c:DOUBLE d:DOUBLE e:BOOLEAN f:JSON g:JSON");
    for (body, code) in [
        (json!({ "a`b": 1 }), 1038),
        (json!({ "9a": 1 }), 3038),
        (json!({ "a": { "___class": "BackendlessExpression", "value": "1" } }), 3038),
        (json!({ "f": { "___operation": "JSON_SET", "args": { "$.x": 1 } } }), 3038),
    ] {
        app.call(Method::PUT, &path).body(body).send().await.refused(code);
    }
    for table in ["GeoPoint", "bulkupsert"] {
        app.call(Method::PUT, &format!("/data/{table}")).body(json!({})).send().await.refused(1009);
    }

    let config = json!({ "dynamicSchema": false });
    desk.about(Method::PUT, "/data/config").body(config).send().await.ok();
    let more = json!({ "a": "y", "more": 1, "yet": 2, "none": null });
    let refused = app.call(Method::PUT, &path).body(more.clone()).send().await.refused(1021);
    assert!(text(&refused["message"]).contains("more, yet"), "{refused}");
    app.post("/data/Thing", more).send().await.refused(1021);
    save(app, "Other", json!({ "a": 1 })).await.refused(1009);
    let changed = app.call(Method::PUT, &path).body(json!({ "a": "y", "none": null })).send().await;
    assert_eq!(changed.ok()["a"], "y");
}

#[tokio::test]
async fn many_who_bring_new_properties_at_once_all_get_their_columns() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let calls = (0..16).map(|n| {
        let name = format!("p{n}");
        async move { (save(app, "Grown", json!({ &name: n, "all": n })).await, name, n) }
    });
    for (reply, name, n) in futures_util::future::join_all(calls).await {
        let made = reply.ok();
        assert_eq!((&made[&name], &made["all"]), (&json!(n), &json!(n)));
    }
    let users = (0..8).map(|n| {
        let name = format!("p{n}");
        let user =
            json!({ "email": format!("u{n}@example.com"), "password": HORSE, &name: n, "all": n });
        async move { (app.post("/users/register", user).send().await, name, n) }
    });
    for (reply, name, n) in futures_util::future::join_all(users).await {
        assert_eq!(reply.ok()[&name], n);
    }
    assert_eq!(app.get("/data/Grown/count").send().await.ok(), 16);
}
