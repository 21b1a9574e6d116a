//! Conditions: which objects they mean (data-api 3), at every door that takes one.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Desk, Reply, TestApp, TestServer};

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
