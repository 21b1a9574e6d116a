//! Conditions: which objects they mean (data-api 3), at every door that takes one.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use server::settings::Profile;

use crate::harness::{Desk, HORSE, Reply, Setup, TestApp, TestServer};

async fn find(app: &TestApp, table: &str, query: Value) -> Reply {
    app.post(&format!("/data/{table}/find"), query).send().await
}

/// The names of rows.
fn names_in(rows: &Value) -> String {
    let name = |it: &Value| it["name"].as_str().unwrap_or("-").to_owned();
    rows.as_array().unwrap().iter().map(name).collect::<Vec<_>>().join(" ")
}

async fn column(desk: &Desk, table: &str, name: &str, kind: &str) {
    let path = format!("/data/tables/{table}/columns");
    let body = json!({ "name": name, "dataType": kind });
    desk.about(Method::POST, &path).body(body).send().await.ok();
}

/// A table of five people.
async fn people(server: &TestServer) {
    let (app, desk) = (&server.app, server.desk().await);
    desk.about(Method::POST, "/data/tables").body(json!({ "name": "Person" })).send().await.ok();
    for (name, kind) in [
        ("name", "STRING"),
        ("age", "INT"),
        ("height", "DOUBLE"),
        ("joined", "DATETIME"),
        ("active", "BOOLEAN"),
        ("profile", "JSON"),
    ] {
        column(&desk, "Person", name, kind).await;
    }
    for person in [
        json!({ "name": "Ann", "age": 35, "height": 1.75, "joined": "2015-03-24T10:00:00Z",
            "active": true, "profile": { "age": 31, "address": { "city": "New York" },
            "colors": ["Blue", "Red"], "ok": true } }),
        json!({ "name": "Bob", "age": 15, "height": 1.5, "joined": "03/22/2015 23:59:59",
            "active": false, "profile": { "age": "31", "address": { "city": "Rome" },
            "colors": [], "ok": false, "a\"b\\c$.d": { "0": 5 } } }),
        json!({ "name": "O'Brien", "age": 65, "height": 2.0, "joined": 1_427_068_800_001_i64,
            "active": true, "profile": [1, "two", null] }),
        json!({ "name": "Zoë", "age": 18, "active": null }),
        json!({ "age": null }),
    ] {
        app.post("/data/Person", person).send().await.ok();
    }
}

#[tokio::test]
async fn conditions_mean_what_the_wire_says() {
    let server = TestServer::compat().await;
    let app = &server.app;
    people(&server).await;
    let mut wrong = Vec::new();
    for (clause, expected) in [
        ("", "- Ann Bob O'Brien Zoë"),
        ("name = 'Ann'", "Ann"),
        ("name = 'ann'", ""),
        ("name != 'Ann'", "Bob O'Brien Zoë"),
        ("name = 'O''Brien'", "O'Brien"),
        ("name = 'Ann' or 1=1'", "?1017"),
        ("name = 'Ann'' or 1=1 --'", ""),
        ("name LIKE 'A%' and age > 20", "Ann"),
        ("name LIKE '%o%'", "Bob O'Brien Zoë"),
        ("name LIKE '%N'", "Ann O'Brien"),
        ("name LIKE 'a__'", "Ann"),
        ("name LIKE 'ZOË'", "Zoë"),
        ("name LIKE '%[a-z]%'", ""),
        ("name LIKE 'A.*' or name like 'A*' or name like '?nn'", ""),
        ("name not like '%o%'", "Ann"),
        ("name IN ('Ann','Bob', 'Cid')", "Ann Bob"),
        ("name not in ('Ann','Bob', 'Cid')", "O'Brien Zoë"),
        ("name in ()", ""),
        ("name not in ()", "- Ann Bob O'Brien Zoë"),
        ("age >= 18 AND age <= 65", "Ann O'Brien Zoë"),
        ("age BETWEEN 18 AND 65", "Ann O'Brien Zoë"),
        ("age NOT BETWEEN 18 AND 65", "Bob"),
        ("age = '35'", "Ann"),
        ("age > 17.5 and age < 18.5", "Zoë"),
        ("age in (15, '18', 35.0)", "Ann Bob Zoë"),
        ("age = 1e300", ""),
        ("age > 'x'", "?1017"),
        ("active = true", "Ann O'Brien"),
        ("active = 'false'", "Bob"),
        ("active = 1", "Ann O'Brien"),
        ("active", "Ann O'Brien"),
        ("not active", "Bob"),
        ("active = 2", "?1017"),
        ("name is null", "-"),
        ("name is not null", "Ann Bob O'Brien Zoë"),
        ("name != NULL", "Ann Bob O'Brien Zoë"),
        ("name = NULL", "-"),
        ("not (active = true or age < 18)", ""),
        ("not (active = true) or age < 16", "Bob"),
        ("`name` like '%5%' or `age` like '%5%'", "Ann Bob O'Brien"),
        ("height like '1.%'", "Ann Bob"),
        ("height like '2'", "O'Brien"),
        ("joined > '03/23/2015'", "Ann O'Brien"),
        ("joined after 1427068800000", "Ann O'Brien"),
        ("joined before '03/23/2015'", "Bob"),
        ("joined at or after '03/22/2015 23:59:59'", "Ann Bob O'Brien"),
        ("joined at or before '03/23/2015 02:00:00 GMT+0200'", "Bob"),
        ("joined at or before '2015-03-22T23:59:59Z'", "Bob"),
        ("joined = '2015-03-24T10:00:00.000Z'", "Ann"),
        ("joined like '2015-03-2_ %:59:59'", "Bob"),
        ("joined > 'soon'", "?1017"),
        ("name after '03/23/2015'", "?1017"),
        ("age after 16", "Ann O'Brien Zoë"),
        ("joined before DATESUB(NOW(), 8, 'year')", "Ann Bob O'Brien"),
        ("joined before DATESUB(NOW(), 9, 'year')", ""),
        ("DATEADD(joined, INTERVAL 1 DAY) after '2015-03-25'", "Ann"),
        ("YEAR(NOW())-YEAR(joined) > 7", "Ann Bob O'Brien"),
        ("YEAR(NOW())-YEAR(joined) > 8", ""),
        ("DATE(joined) = '2015-03-24'", "Ann"),
        ("TIME(joined) = '23:59:59'", "Bob"),
        ("DAYOFWEEK(joined) = 1", "Bob"),
        ("WEEK(joined) = 12", "Ann Bob O'Brien"),
        ("UNIXTIMESTAMP(joined) = 1427068800", "O'Brien"),
        ("UNIXTIMESTAMP() = 1700000000 and name='Ann'", "Ann"),
        ("UPPER(name) = 'ZOË'", "Zoë"),
        ("age * 2 = 70", "Ann"),
        ("age / 2 = 7.5", "Bob"),
        ("age / 0 is null", "- Ann Bob O'Brien Zoë"),
        ("age % 10 = 5", "Ann Bob O'Brien"),
        ("(age + height) * 2 > 70", "Ann O'Brien"),
        ("-age < -20", "Ann O'Brien"),
        ("10 - 2 - 3 = 5 and name='Ann'", "Ann"),
        ("age * 1e308 * 10 > 0", "?1017"),
        ("name + 1 = 2", "?1017"),
        (
            "case when age < 18 then 'young' when age is null then null else 'old' end = 'old'",
            "Ann O'Brien Zoë",
        ),
        ("profile->'$.age' > 30", "Ann"),
        ("profile->'$.age' = '31'", "Bob"),
        ("profile->'$.address.city' = 'New York'", "Ann"),
        ("profile->'$.address.city' like '%o%'", "Ann Bob"),
        ("profile->'$.colors[0]' = 'Blue'", "Ann"),
        ("profile->'$.ok' = true", "Ann"),
        ("profile->'$.ok'", "Ann"),
        ("profile->'$[1]' = 'two'", "O'Brien"),
        ("profile->'$[2]' is null and profile is not null", "Ann Bob O'Brien"),
        ("profile->'$.age' is not null", "Ann Bob"),
        (r#"profile->'$."a\"b\\c$.d"."0"' = 5"#, "Bob"),
        ("profile->'$.colors' is not null", "Ann Bob"),
        ("profile is null", "- Zoë"),
        ("profile = 'x'", ""),
        ("name->'$.a' = 1", "?1017"),
        ("1=1", "- Ann Bob O'Brien Zoë"),
        ("1=2", ""),
        ("'a' = 'a'", "- Ann Bob O'Brien Zoë"),
        ("true", "- Ann Bob O'Brien Zoë"),
        ("5", "?1017"),
        ("objectId != NULL", "- Ann Bob O'Brien Zoë"),
        ("objectId!=NULL)", "?1017"),
        ("nothing = 1", "?1006"),
        ("Name = 'Ann'", "?1006"),
        ("address.city = 'Kyiv'", "?1017"),
        ("Team[members].name = 'Core'", "?1017"),
        ("objectId in (Team[name='Core'].members.objectId)", "?1017"),
        ("Count(objectId) > 5", "?1017"),
        ("Within(home, 'POLYGON((0 0,1 0,1 1,0 0))') = true", "?1017"),
        ("name ilike 'a%'", "?1017"),
        ("name like name", "?1017"),
    ] {
        let query = json!({ "where": clause, "sortBy": "name", "pageSize": 100 });
        let found = find(app, "Person", query.clone()).await;
        let count = app.post("/data/Person/count", query).send().await;
        let (found, count) = if found.code() == 0 {
            (names_in(&found.json()), count.json().to_string())
        } else {
            (format!("?{}", found.code()), format!("?{}", count.code()))
        };
        let many = match expected {
            it if it.starts_with('?') => it.to_owned(),
            "" => "0".to_owned(),
            it => it.split(' ').count().to_string(),
        };
        if (found.as_str(), &count) != (expected, &many) {
            wrong.push(format!("{clause}: {found} ({count}) instead of {expected} ({many})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_where() {
    let server = TestServer::compat().await;
    let app = &server.app;
    people(&server).await;
    for (clause, message, offset) in [
        ("age > 'x'", "Invalid where clause: expected a number (position 7)", 6),
        ("nothing = 1", "Column 'nothing' does not exist in table 'Person'", 0),
        (
            "age = 1 or a.b = 2",
            "Invalid where clause: A path over relations is not available yet (position 12)",
            11,
        ),
        (
            "age = ",
            "Invalid where clause: expected a value or a column, found the end (position 7)",
            6,
        ),
    ] {
        let query = json!({ "where": clause });
        let refused = find(app, "Person", query).await;
        let refused = refused.json();
        assert_eq!(refused["message"], message);
        assert_eq!(refused["errorData"]["offset"], offset, "{clause}");
    }
}

#[tokio::test]
async fn what_a_query_shows_and_sorts_by_can_be_calculated() {
    let server = TestServer::compat().await;
    let app = &server.app;
    people(&server).await;
    let ann = json!({ "where": "name = 'Ann'" });
    for (props, expected) in [
        ("age * 2 as twice, name", json!({ "twice": 70, "name": "Ann" })),
        ("age / 4 as quarter", json!({ "quarter": 8.75 })),
        ("TIME(joined)", json!({ "Time": "10:00:00" })),
        ("DATE(joined) as day, YEAR(joined)", json!({ "day": "2015-03-24", "Year": 2015 })),
        ("DATEADD(joined, 1, 'month') as m", json!({ "m": 1_429_869_600_000_i64 })),
        ("upper(name) as name", json!({ "name": "ANN" })),
        ("profile->'$.address.city'", json!({ "city": "New York" })),
        ("profile->'$.colors' as c", json!({ "c": ["Blue", "Red"] })),
        ("profile->'$.none'", json!({ "none": null })),
        ("case when age > 30 then 'old' else 'young' end as word", json!({ "word": "old" })),
        (
            "active as a, 'x' as x, 5 as five, true as t",
            json!({ "a": true, "x": "x", "five": 5, "t": true }),
        ),
    ] {
        let mut query = ann.clone();
        query["props"] = props.into();
        let mut expected = expected;
        expected["___class"] = "Person".into();
        assert_eq!(find(app, "Person", query).await.ok(), json!([expected]), "{props}");
    }
    for (query, expected) in [
        (json!({ "sortBy": "age % 10, name desc" }), "- O'Brien Bob Ann Zoë"),
        (json!({ "sortBy": "UPPER(name) desc" }), "Zoë O'Brien Bob Ann -"),
        (json!({ "sortBy": "profile->'$.age' desc, name" }), "Ann Bob - O'Brien Zoë"),
        (json!({ "sortBy": "height * -1", "where": "height > 0" }), "O'Brien Ann Bob"),
        (
            json!({ "props": "name, age % 10 as last", "distinct": true, "sortBy": "age % 10, name" }),
            "- Ann Bob O'Brien Zoë",
        ),
        (json!({ "sortBy": "created desc", "offset": 1, "pageSize": 2 }), "Zoë O'Brien"),
    ] {
        let rows = find(app, "Person", query.clone()).await;
        assert_eq!(names_in(&rows.ok()), expected, "{query}");
    }
    find(app, "Person", json!({ "sortBy": "5" })).await.refused(1006);
    find(app, "Person", json!({ "props": "name + 1" })).await.refused(1017);
    find(app, "Person", json!({ "distinct": true, "props": "name", "sortBy": "age % 10" }))
        .await
        .refused(1006);
}

#[tokio::test]
async fn a_condition_means_the_same_at_every_door() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    people(&server).await;
    let encoded = "age%20%3E%3D%2018%20and%20name%20like%20%27%25n%25%27";
    let clause = json!({ "where": "age >= 18 and name like '%n%'" });
    let expected = "Ann O'Brien";
    let by_query = app.get(&format!("/data/Person?where={encoded}&sortBy=name")).send().await;
    assert_eq!(names_in(&by_query.ok()), expected);
    let count = app.get(&format!("/data/Person/count?where={encoded}")).send().await;
    assert_eq!(count.ok(), 2);
    for (path, expected) in [("first", "Ann"), ("last", "O'Brien")] {
        let path = format!("/data/Person/{path}?where={encoded}");
        assert_eq!(app.get(&path).send().await.ok()["name"], expected);
    }
    app.get("/data/Person/first?where=age%20%3E%20100").send().await.refused(1010);
    let console = desk.about(Method::POST, "/data/Person/find").body(clause.clone()).send().await;
    assert_eq!(names_in(&console.ok()), "O'Brien Ann");
    let console = desk.about(Method::POST, "/data/Person/count").body(clause.clone()).send().await;
    assert_eq!(console.ok(), 2);
    let console = desk.about(Method::GET, &format!("/data/Person/count?where={encoded}"));
    assert_eq!(console.send().await.ok(), 2);

    let change = app.call(Method::PUT, &format!("/data/bulk/Person?where={encoded}"));
    assert_eq!(change.body(json!({ "height": 3, "new": "x" })).send().await.ok(), 2);
    assert_eq!(
        names_in(&find(app, "Person", json!({ "where": "height = 3 and new = 'x'" })).await.ok()),
        "O'Brien Ann"
    );
    let delete = app.post("/data/bulk/Person/delete", clause).send().await;
    assert_eq!(delete.ok(), 2);
    let delete = app.call(Method::DELETE, "/data/bulk/Person?where=age%20is%20null").send().await;
    assert_eq!(delete.ok(), 1);
    assert_eq!(names_in(&find(app, "Person", json!({ "sortBy": "name" })).await.ok()), "Bob Zoë");
}

#[tokio::test]
async fn users_are_found_changed_and_deleted_by_conditions() {
    let server = TestServer::compat().await;
    let app = &server.app;
    for (email, age) in [("ann@example.com", 35), ("bob@example.com", 15), ("cid@example.com", 64)]
    {
        let user = json!({ "email": email, "password": HORSE, "name": email[..3], "age": age });
        app.post("/users/register", user).send().await.ok();
    }
    app.token("ann@example.com").await;
    let found = async |clause: &str| {
        let query = json!({ "where": clause, "sortBy": "name" });
        names_in(&find(app, "Users", query).await.ok())
    };
    assert_eq!(found("age > 30 and email like '%@EXAMPLE.com'").await, "ann cid");
    assert_eq!(found("lastLogin is not null and userStatus = 'ENABLED'").await, "ann");
    let path = "/data/bulk/Users?where=age%20%3E%2020";
    let change = app.server_code(Method::PUT, path).body(json!({ "age": 40 })).send().await;
    assert_eq!(change.ok(), 2);
    assert_eq!(found("age = 40").await, "ann cid");
    let delete = app.server_code(Method::POST, "/data/bulk/Users/delete");
    assert_eq!(delete.body(json!({ "where": "age = 40 and name = 'cid'" })).send().await.ok(), 1);
    assert_eq!(found("").await, "ann bob");
    app.login("cid@example.com", HORSE).await.refused(3003);
}

/// Every place of a query where a value of a hidden column could leak, with `{}` for its name.
const LEAKS: &[&str] = &[
    r#"{"where":"{} = 'correct horse'"}"#,
    r#"{"where":"{} like 'c%'"}"#,
    r#"{"where":"{} like 'x%'"}"#,
    r#"{"where":"{} is null"}"#,
    r#"{"where":"{} is not null or 1=1"}"#,
    r#"{"where":"1=1 or {} > 'a'"}"#,
    r#"{"where":"{} in ('a','correct horse')"}"#,
    r#"{"where":"{} between 'a' and 'z'"}"#,
    r#"{"where":"upper({}) = 'X'"}"#,
    r#"{"where":"LENGTH({}) > 5"}"#,
    r#"{"where":"case when {} > 'c' then 1 else 2 end = 1"}"#,
    r#"{"where":"email = {}"}"#,
    r#"{"where":"concat(email, {}) like '%c%'"}"#,
    r#"{"where":"{}->'$.a' = 1"}"#,
    r#"{"where":"{} after '2015-01-01'"}"#,
    r#"{"props":"concat({}, 'x') as x"}"#,
    r#"{"props":"case when {} > 'c' then 1 else 2 end as x"}"#,
    r#"{"props":"*, {} as x"}"#,
    r#"{"sortBy":"upper({})"}"#,
    r#"{"sortBy":"case when {} > 'c' then 1 else 2 end"}"#,
    r#"{"sortBy":"{} desc","props":"name","distinct":true}"#,
];

#[tokio::test]
async fn z_03_a_hidden_column_cannot_be_guessed_by_any_condition() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    app.user("ann@example.com").await;
    for leak in LEAKS {
        let answers = async |name: &str| {
            let query: Value =
                serde_json::from_str(&leak.replace("{}", &format!("`{name}`"))).unwrap();
            let count = json!({ "where": query["where"] });
            let mut bodies = vec![find(app, "Users", query.clone()).await];
            bodies.push(
                desk.about(Method::POST, "/data/Users/find").body(query.clone()).send().await,
            );
            if !count["where"].is_null() {
                bodies.push(app.post("/data/Users/count", count.clone()).send().await);
                let delete = app.server_code(Method::POST, "/data/bulk/Users/delete");
                bodies.push(delete.body(count).send().await);
            }
            let told = |it: &Reply| (it.status, it.json().to_string().replace(name, "NAME"));
            bodies.iter().map(told).collect::<Vec<_>>()
        };
        let nothing = answers("passw0rd").await;
        assert!(
            nothing.iter().all(|it| it.1.contains("Column 'NAME' does not exist")),
            "{leak}: {nothing:?}"
        );
        for hidden in ["password", "rowid", "_rowid_", "password_hash"] {
            let padded = answers(hidden).await;
            assert_eq!(padded.len(), nothing.len());
            for (one, other) in padded.iter().zip(&nothing) {
                assert_eq!(one, other, "{leak} for {hidden}");
            }
        }
    }
    assert_eq!(app.get("/data/Users/count").send().await.ok(), 1);
}

#[tokio::test]
async fn v_01_no_statement_has_a_word_or_number_of_a_client_in_it() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&seen);
    let hooks = engine::Hooks {
        faults: None,
        seen: Some(Arc::new(move |sql: &str| hears.lock().unwrap().push(sql.to_owned()))),
    };
    let server =
        TestServer::with(Setup { profile: Profile::Compat, hooks, ..Setup::default() }).await;
    let app = &server.app;
    people(&server).await;
    seen.lock().unwrap().clear();
    // A word, a number and a name of a key that nothing else has.
    for clause in [
        "name = 'qzxq'",
        "name > 'qzxq' or name < 'qzxq'",
        "name like '%qzxq%'",
        "name not like 'qzxq'",
        "name in ('qzxq', 'b', 'qzxq2')",
        "name between 'qzxq' and 'zqzxq'",
        "age = 7654321",
        "age > '7654321'",
        "age in (7654321, 7654322.5)",
        "age between 7654321 and 7654322",
        "height = 7654321.125",
        "age * 7654321 + 7654321 - 7654321 / 7654321 % 7654321 = 7654321",
        "-(7654321) < age",
        "joined after 7654321",
        "joined = '7654321'",
        "active = '1'",
        "7654321 = 7654321",
        "'qzxq' = 'qzxq'",
        "profile->'$.qzxq' = 'qzxq'",
        "profile->'$.qzxq[7654321].\"qz xq\"' > 7654321",
        "profile->'$.qzxq' like 'qzxq%'",
        "profile->'$.qzxq' is null",
        "case when name = 'qzxq' then 'qzxq' else 'x' end = 'qzxq'",
        "concat(name, 'qzxq') = 'qzxq'",
        "upper('qzxq') = name",
        "DATEADD(joined, 7654, 'day') > 7654321",
        "DATEADD('2015-03-24', 7654, 'second') is null",
        "YEAR('2015-03-24') = 7654321",
        "age % 7654321 = 1",
        "not (name = 'qzxq' and (age = 7654321 or name = 'qzxq'' or 1=1 --'))",
    ] {
        for (where_to, as_what) in [("find", "where"), ("count", "where"), ("delete", "where")] {
            let body = json!({ as_what: format!("({clause}) and name = 'qzxq'") });
            let path = if where_to == "delete" {
                "/data/bulk/Person/delete".to_owned()
            } else {
                format!("/data/Person/{where_to}")
            };
            app.post(&path, body).send().await.ok();
        }
        let change = app.call(Method::PUT, &format!("/data/bulk/Person?where={}", percent(clause)));
        change.body(json!({ "name": "qzxq3" })).send().await.ok();
    }
    for query in [
        json!({ "props": "name, concat(name, 'qzxq') as qzxq, age + 7654321 as b, profile->'$.qzxq' as c" }),
        json!({ "props": "'qzxq' as `a\"; drop table qzxq; --`" }),
        json!({ "sortBy": "concat(name, 'qzxq'), age + 7654321 desc, profile->'$.qzxq'" }),
        json!({ "props": "concat(name, 'qzxq') as qzxq", "distinct": true, "sortBy": "concat(name, 'qzxq')" }),
        json!({ "excludeProps": "qzxq", "pageSize": 77, "offset": 7_654_321 }),
    ] {
        find(app, "Person", query).await.ok();
    }
    let seen = seen.lock().unwrap();
    let about: Vec<&String> = seen.iter().filter(|it| it.contains("Person")).collect();
    assert!(about.len() > 60, "the statements were seen: {}", about.len());
    for sql in seen.iter() {
        for marker in ["qzxq", "QZXQ", "765432", "7654", "2015-03", "qz xq", "drop table"] {
            assert!(!sql.contains(marker), "{sql}");
        }
    }
}

/// A text as it goes into the query of an address.
fn percent(text: &str) -> String {
    let add = |mut all: String, it: u8| {
        write!(all, "%{it:02X}").unwrap();
        all
    };
    text.bytes().fold(String::new(), add)
}

#[tokio::test]
async fn a_plan_serves_all_queries_of_its_shape_and_ends_with_the_table_as_it_was() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    people(&server).await;
    let plans = &server.server.apps.plans;
    let asked = async |clause: &str| {
        let before = (plans.hits.get(), plans.misses.get());
        let found = names_in(&find(app, "Person", json!({ "where": clause })).await.ok());
        (found, plans.hits.get() - before.0, plans.misses.get() - before.1)
    };
    let answer = |names: &str, hits, misses| (names.to_owned(), hits, misses);
    assert_eq!(asked("age = 35").await, answer("Ann", 0, 1));
    assert_eq!(asked("age = 15").await, answer("Bob", 1, 0));
    assert_eq!(asked("(`age` =  65)").await, answer("O'Brien", 1, 0));
    // A number with a fraction is another plan: the column has none.
    assert_eq!(asked("age = 15.5").await, answer("", 0, 1));
    assert_eq!(asked("age = '18'").await, answer("Zoë", 0, 1));
    assert_eq!(asked("name in ('Ann', 'Bob', 'x')").await, answer("Bob Ann", 0, 1));
    assert_eq!(asked("name in ('Zoë', 'x', 'y', 'z')").await, answer("Zoë", 1, 0));
    // A value that does not fit is refused by a plan that is there, too.
    assert_eq!(asked("joined = '2015-03-24T10:00:00Z'").await, answer("Ann", 0, 1));
    find(app, "Person", json!({ "where": "joined = 'soon'" })).await.refused(1017);
    // Another application, and the table with another column in place of the old one.
    let other = server.new_app("Second", Profile::Compat).await;
    find(&other, "Person", json!({ "where": "age = 35" })).await.refused(1009);
    let path = "/data/tables/Person/columns/age";
    desk.about(Method::DELETE, path).send().await.ok();
    find(app, "Person", json!({ "where": "age = 35" })).await.refused(1006);
    column(&desk, "Person", "age", "STRING").await;
    assert_eq!(asked("age is null and name = 'Ann'").await, answer("Ann", 0, 1));
    assert_eq!(asked("age = 35").await, answer("", 0, 1));
    assert!(!plans.is_empty() && plans.len() < 20);
}

#[tokio::test]
async fn a_thousand_conditions_and_a_thousand_ids_are_answered() {
    let server = TestServer::compat().await;
    let app = &server.app;
    people(&server).await;
    let many = |part: &str, between: &str, count: usize| vec![part; count].join(between);
    let ids: Vec<String> = (0..1_500).map(|it| format!("'{it:036}'")).collect();
    for (clause, expected) in [
        (format!("{} or name = 'Ann'", many("age = 1", " or ", 999)), "Ann"),
        (format!("{} and name = 'Ann'", many("age > 1", " and ", 999)), "Ann"),
        (format!("{}name = 'Ann'{}", "not (".repeat(30), ")".repeat(30)), "Ann"),
        (format!("{} = 1 and name = 'Ann'", many("1", " * ", 190)), "Ann"),
        (format!("objectId in ({})", ids.join(",")), ""),
        (format!("name = '{}'", "a".repeat(3_000)), ""),
        (format!("name like '%{}%'", "a".repeat(1_998)), ""),
    ] {
        let found = find(app, "Person", json!({ "where": clause })).await;
        assert_eq!(names_in(&found.ok()), expected, "{}", &clause[..60]);
    }
    for clause in [
        format!("{} or name = 'Ann'", many("age = 1", " or ", 1_000)),
        format!("{} = 1", many("1", " + ", 1_000)),
        format!("name like '%{}%'", "a".repeat(2_000)),
        format!("{}name = 'Ann'{}", "not (".repeat(40), ")".repeat(40)),
        format!("name = '{}'", "a".repeat(70_000)),
    ] {
        find(app, "Person", json!({ "where": clause })).await.refused(1017);
    }
}

#[tokio::test]
async fn l_04_conditions_in_conditions_are_bounded_in_all() {
    let server = TestServer::compat().await;
    let app = &server.app;
    people(&server).await;
    let nested = |levels: usize, chain: &str| {
        (0..levels).fold("1".to_owned(), |it, _| format!("case when {it} = 1 then 1 end{chain}"))
    };
    for (levels, chain) in [(45, "+1".repeat(100)), (10, "-1".repeat(30)), (60, String::new())] {
        let value = nested(levels, &chain);
        let clause = json!({ "where": format!("{value} = 1") });
        let reply = find(app, "Person", clause.clone()).await;
        if chain.is_empty() {
            assert_eq!(names_in(&reply.ok()).split(' ').count(), 5);
            continue;
        }
        reply.refused(1017);
        app.post("/data/bulk/Person/delete", clause).send().await.refused(1017);
        find(app, "Person", json!({ "props": format!("{value} as z") })).await.refused(1017);
        find(app, "Person", json!({ "sortBy": value })).await.refused(1017);
    }
    let weeks = (0..30)
        .fold("joined".to_owned(), |it, _| format!("case when WEEK({it}) = 12 then joined end"));
    let found = find(app, "Person", json!({ "where": format!("{weeks} is not null") })).await.ok();
    assert_eq!(names_in(&found), "O'Brien Bob Ann");
    // Many values, in all lists together.
    let sum = |it: usize| format!("age{} as a{it}", "+1".repeat(150));
    let props: Vec<String> = (0..100).map(sum).collect();
    let found = find(app, "Person", json!({ "props": props, "where": "name = 'Ann'" })).await.ok();
    assert_eq!(found[0]["a99"], 185);
    let props: Vec<String> = (0..300).map(sum).collect();
    find(app, "Person", json!({ "props": props })).await.refused(1017);
}

#[tokio::test]
async fn distinct_does_not_compare_json() {
    let server = TestServer::compat().await;
    people(&server).await;
    for props in ["profile", "name, profile->'$.age' as age", ""] {
        let query = json!({ "props": props, "distinct": true });
        find(&server.app, "Person", query).await.refused(1006);
    }
    let query = json!({ "distinct": true, "excludeProps": "profile" });
    assert_eq!(find(&server.app, "Person", query).await.ok().as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn parts_of_moved_dates_are_those_of_the_date() {
    let server = TestServer::compat().await;
    people(&server).await;
    for (what, expected) in [
        ("YEAR(DATEADD(joined, 1, 'month'))", 2015),
        ("MONTH(DATEADD(joined, 1, 'month'))", 4),
        ("DAYOFMONTH(DATESUB(joined, 1, 'year'))", 24),
        ("WEEK(DATEADD(joined, 1, 'month'))", 16),
        ("UNIXTIMESTAMP(DATEADD(joined, 1, 'month'))", 1_429_869_600),
        ("DATEDIFF(DATEADD(joined, 1, 'month'), joined)", 31),
    ] {
        let query = json!({ "props": format!("{what} as it"), "where": "name = 'Ann'" });
        assert_eq!(find(&server.app, "Person", query).await.ok()[0]["it"], expected, "{what}");
    }
}

#[tokio::test]
async fn l_05_a_query_that_takes_too_long_is_ended_and_others_go_on() {
    let server = TestServer::compat().await;
    let long = "a".repeat(20_000);
    server.app.post("/data/Long", json!({ "text": long })).send().await.ok();
    for _ in 0..10 {
        let rows = vec![json!({ "text": long }); 40];
        server.app.post("/data/bulk/Long", Value::Array(rows)).send().await.ok();
    }
    let server = server.restart_with(|it| it.options.database_seconds = Some(2)).await;
    let parts: Vec<String> = (0..900).map(|it| format!("text like '%aaaaaaaa{it}%'")).collect();
    let query = json!({ "where": parts.join(" or ") });
    let slow = find(&server.app, "Long", query.clone()).await;
    assert_eq!(slow.status, 503);
    slow.refused(20008);
    server.app.post("/data/Long/count", query).send().await.refused(20008);
    let one = json!({ "where": "text like 'a%'", "pageSize": 1, "props": "objectId" });
    assert_eq!(find(&server.app, "Long", one).await.ok().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn like_knows_the_case_of_all_scripts_and_nothing_else_of_its_own() {
    let server = TestServer::compat().await;
    let app = &server.app;
    for name in ["\u{212a}", "ς", "ẞ", "ſ", "É", "Ж", "a*b", "[ab]", "a\\b", "50%", "x_y", "^$."]
    {
        app.post("/data/Word", json!({ "name": name })).send().await.ok();
    }
    for (pattern, expected) in [
        ("k", "\u{212a}"),
        ("K", "\u{212a}"),
        ("Σ", "ς"),
        ("σ", "ς"),
        ("ß", "ẞ"),
        ("S", "ſ"),
        ("é", "É"),
        ("ж", "Ж"),
        ("e", ""),
        ("A*B", "a*b"),
        ("[ab]", "[ab]"),
        ("%\\b", "a\\b"),
        ("%\\%", "50%"),
        ("%\\%%", "50%"),
        ("_\\__", "x_y"),
        ("^$.", "^$."),
        ("...", ""),
        ("?*?", ""),
    ] {
        let found = find(app, "Word", json!({ "where": format!("name like '{pattern}'") })).await;
        assert_eq!(names_in(&found.ok()), expected, "like {pattern}");
    }
}
