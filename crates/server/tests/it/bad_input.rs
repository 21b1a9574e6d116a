//! Bad input at every door: a clear refusal with the right code, and nothing written.

use http::Method;
use serde_json::{Value, json};
use server::router;
use server::web::{Access, Route};

use crate::harness::{Call, HORSE, TestApp, TestServer, text};
use crate::look;

/// All that is stored, so that nothing can be changed unseen.
/// That a source has registered or logged in once more is forgotten before.
async fn stored(server: &TestServer) -> Vec<String> {
    look::forget_sources(server, &server.app).await;
    let mut rows = look::everything(&server.server.apps.data(&server.app.id)).await;
    rows.extend(look::everything(&server.server.apps.platform.data).await);
    rows.sort();
    rows
}

/// Routes with a method that may have a body, and that take none: what is sent is not looked at.
const WITHOUT_BODY: &[&str] =
    &["loginAsGuest", "logoutAll", "unlockUser", "regenerateKey", "setUp"];

/// Bodies that no reader of JSON may take, with the refusal.
fn broken() -> Vec<(&'static str, Vec<u8>, u64)> {
    let mut cases: Vec<(&str, Vec<u8>, u64)> = [
        ("cut short", "{\"email\":"),
        ("a text without an end", "{\"email\":\"ann"),
        ("no JSON", "email=ann"),
        ("single quotes", "{'email':'ann'}"),
        ("a comma too many", "{\"a\":1,}"),
        ("something after it", "{} {}"),
        ("a key twice", "{\"a\":1,\"a\":2}"),
        ("a key twice, spelt differently", "{\"a\":1,\"\\u0061\":2}"),
        ("a byte order mark", "\u{feff}{}"),
        ("NUL in a value", "{\"email\":\"a\\u0000b\"}"),
        ("NUL in a key", "{\"a\\u0000b\":1}"),
        ("half a surrogate pair", "{\"email\":\"\\ud800\"}"),
        ("a number beyond everything", "{\"a\":1e400}"),
        ("a whole number beyond 2^53", "{\"a\":9007199254740993}"),
        ("not a number", "{\"a\":NaN}"),
        ("a comment", "{/* */}"),
        ("a list", "[1,2]"),
        ("a text", "\"ann\""),
        ("a number", "5"),
        ("true", "true"),
    ]
    .map(|(what, body)| (what, body.as_bytes().to_vec(), 20004))
    .into();
    cases.push(("no UTF-8", b"{\"email\":\"\xff\xfe\"}".to_vec(), 20004));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(65), "]".repeat(65));
    cases.push(("65 levels", deep.into_bytes(), 20004));
    let deep = "[".repeat(100_000);
    cases.push(("100,000 open brackets", deep.into_bytes(), 20004));
    let keys: Vec<String> = (0..10_001).map(|it| format!("\"k{it}\":1")).collect();
    cases.push(("10,001 keys", format!("{{{}}}", keys.join(",")).into_bytes(), 20004));
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20));
    cases.push(("more than a mebibyte", large.into_bytes(), 20005));
    cases
}

fn path(route: &Route, app: &TestApp, user: &str) -> String {
    route
        .path
        .replace("{app}", &app.id.0)
        .replace("{key}", &app.keys["BL"])
        .replace("{table}", "Users")
        .replace("{id}", user)
        .replace("{token}", "x")
        .replace("{identity}", "nobody@example.com")
        .replace("{secret}", "wrong")
}

#[tokio::test]
async fn a_body_that_is_not_what_it_should_be_is_refused_at_every_door() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let ann = app.user("ann@example.com").await;
    let before = stored(&server).await;
    for route in router::routes() {
        let takes = route.method == Method::POST || route.method == Method::PUT;
        if !takes || WITHOUT_BODY.contains(&route.id) {
            continue;
        }
        let call = || {
            let path = path(&route, app, &ann);
            let call = server.call(route.method.clone(), &path);
            match route.access {
                Access::Developer | Access::Member => call.header("auth-key", &desk.key),
                _ => call,
            }
        };
        for (what, body, code) in broken() {
            if route.id == "setOrigins" && what == "a list"
                || route.id == "logoutUsers" && what == "a text"
            {
                continue; // it takes one, of texts; that is below
            }
            let reply = call().raw(body).send().await;
            let expected = match (route.id, what) {
                // A list is what it wants, so anything else is a wrong parameter.
                ("setOrigins", "a text" | "a number" | "true")
                | ("logoutUsers", "a list" | "a number" | "true") => 3038,
                (
                    "createMany" | "upsertMany" | "consoleCreateMany" | "consoleUpsertMany",
                    "a list" | "a text" | "a number" | "true",
                ) => 8044,
                _ => code,
            };
            assert_eq!(reply.code(), expected, "{} with {what}: {reply:?}", route.id);
            let answer = reply.json();
            assert!(answer["message"].as_str().is_some_and(|it| it.len() > 20), "{answer}");
            assert!(answer["errorData"].is_object(), "{answer}");
        }
        for coding in ["gzip", "br", "deflate", "GZIP, identity"] {
            let reply = call().raw("{}").header("content-encoding", coding).send().await;
            assert_eq!(
                (reply.status.as_u16(), reply.code()),
                (415, 20007),
                "{} {coding}",
                route.id
            );
        }
    }
    let odd = json!(["https://a.example", 5]);
    desk.about(Method::PUT, "/domaincontrolsettings").body(odd).send().await.refused(3038);
    for odd in [json!(["a", 5]), json!({ "users": "a" }), json!(vec!["a"; 1001])] {
        desk.about(Method::PUT, "/user/sessions/logout").body(odd).send().await.refused(3038);
    }
    assert_eq!(stored(&server).await, before, "nothing was written");
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_refused_and_never_interpreted() {
    let server = TestServer::compat().await;
    let (app, desk) = (&server.app, server.desk().await);
    let ann = app.user("ann@example.com").await;
    let before = stored(&server).await;
    let (object, list) = (json!({ "$ne": "" }), json!(["a"]));
    let register = |email: &Value, password: &Value, name: &Value| {
        app.post("/users/register", json!({ "email": email, "password": password, "name": name }))
    };
    let (email, password, name) = (json!("bob@example.com"), json!(HORSE), json!("Bob"));
    for (what, call, code) in [
        ("identity an object", register(&object, &password, &name), 1007),
        ("identity a list", register(&list, &password, &name), 1007),
        ("identity true", register(&json!(true), &password, &name), 1007),
        ("identity null", register(&Value::Null, &password, &name), 3013),
        ("identity blank", register(&json!(" \t "), &password, &name), 3045),
        ("password an object", register(&email, &object, &name), 3011),
        ("password a list", register(&email, &list, &name), 3011),
        ("password a number", register(&email, &json!(12_345_678), &name), 3011),
        ("password true", register(&email, &json!(true), &name), 3011),
        ("password empty", register(&email, &json!(""), &name), 3011),
        ("name an object", register(&email, &password, &object), 1007),
        ("name a list", register(&email, &password, &list), 1007),
        ("name with a line break", register(&email, &password, &json!("a\nb")), 8023),
        ("name too long", register(&email, &password, &json!("x".repeat(501))), 8023),
        (
            "locale a list",
            app.post(
                "/users/register",
                json!({
                    "email": "bob@example.com", "password": HORSE, "blUserLocale": ["en"],
                }),
            ),
            1007,
        ),
        (
            "a property id",
            app.post(
                "/users/register",
                json!({
                    "email": "bob@example.com", "password": HORSE, "id": 1,
                }),
            ),
            3039,
        ),
        ("login an object", login(app, &object, &password), 3006),
        ("login a list", login(app, &list, &password), 3006),
        ("login true", login(app, &json!(true), &password), 3006),
        ("login null", login(app, &Value::Null, &password), 3006),
        ("password to log in an object", login(app, &email, &object), 3006),
        ("password to log in a number", login(app, &email, &json!(5)), 3006),
        ("object id an object", by_id(app, &object), 3057),
        ("object id a number", by_id(app, &json!(5)), 3057),
        ("object id null", by_id(app, &Value::Null), 3057),
        ("object id true", by_id(app, &json!(true)), 3057),
        ("status an object", status(app, &ann, &object), 3038),
        ("status a number", status(app, &ann, &json!(0)), 3038),
        ("status in lower case", status(app, &ann, &json!("disabled")), 3038),
        ("status missing", status(app, &ann, &Value::Null), 3038),
        ("status of a guest", status(app, &ann, &json!("GUEST")), 3038),
        ("status of nobody", status(app, "nobody", &json!("DISABLED")), 3057),
        ("page of no number", find(app, json!({ "pageSize": "many" })), 1005),
        ("page of none", find(app, json!({ "pageSize": 0 })), 1005),
        ("page below none", find(app, json!({ "pageSize": -1 })), 1005),
        ("page too large", find(app, json!({ "pageSize": 101 })), 1025),
        ("page far too large", find(app, json!({ "pageSize": 2_000_000_000 })), 1025),
        ("offset too far", find(app, json!({ "offset": 2_000_000_000 })), 1004),
        ("offset below none", find(app, json!({ "offset": -1 })), 1004),
        ("offset of a half", find(app, json!({ "offset": 0.5 })), 1004),
        ("sort by nothing there", find(app, json!({ "sortBy": ["shoe"] })), 1006),
        ("sort by the password", find(app, json!({ "sortBy": ["password"] })), 1006),
        ("the password as a property", find(app, json!({ "props": ["password"] })), 1006),
        ("sort in no order", find(app, json!({ "sortBy": ["email up"] })), 1006),
        ("half a condition", find(app, json!({ "where": "email = " })), 1017),
        ("a condition of another type", find(app, json!({ "where": "created = 'soon'" })), 1017),
        ("a condition that is no text", find(app, json!({ "where": { "email": "a" } })), 1017),
        ("a condition on the password", find(app, json!({ "where": "password = 'a'" })), 1006),
    ] {
        let reply = call.send().await;
        assert_eq!(reply.code(), code, "{what}: {reply:?}");
    }
    for (path, method, change) in [
        ("/userlogin", Method::POST, json!({ "loginEnabled": "yes" })),
        ("/userlogin", Method::POST, json!({ "maxConcurrentLogins": -1 })),
        ("/userlogin", Method::POST, json!({ "maxConcurrentLogins": 1.5 })),
        ("/userlogin", Method::POST, json!({ "sessionTimeout": 0 })),
        ("/userlogin", Method::POST, json!({ "sessionTimeout": 2_592_001 })),
        (
            "/userlogin",
            Method::POST,
            json!({ "sessionTimeoutEnabled": true, "sessionTimeout": null }),
        ),
        ("/userlogin", Method::POST, json!({ "onLimitReached": "shout" })),
        ("/userregistration", Method::PUT, json!({ "userRegistrationEnabled": 1 })),
        ("/userregistration", Method::PUT, json!({ "emailConfirmationRequired": null })),
        ("/data/config", Method::PUT, json!({ "dynamicSchema": [] })),
        ("/domaincontrolsettings", Method::PUT, json!(["example.com"])),
        ("/domaincontrolsettings", Method::PUT, json!(["https://example.com/"])),
        ("/application", Method::PUT, json!({ "appName": "" })),
        ("/application", Method::PUT, json!({ "appName": 5 })),
        ("/application", Method::PUT, json!({ "appName": "a\u{7}b" })),
        ("/settings/custom-domain", Method::POST, json!({ "domain": "a b", "apiKeyId": "x" })),
        ("/settings/custom-domain", Method::POST, json!({ "domain": "a.example", "apiKeyId": 5 })),
        ("/apikey/nothing/regenerate", Method::POST, json!({})),
    ] {
        let reply = desk.about(method, path).body(change.clone()).send().await;
        assert_eq!(reply.code(), 3038, "{path} {change}: {reply:?}");
    }
    assert_eq!(stored(&server).await, before, "nothing was written");
}

fn login(app: &TestApp, login: &Value, password: &Value) -> Call {
    app.post("/users/login", json!({ "login": login, "password": password }))
}

fn by_id(app: &TestApp, id: &Value) -> Call {
    app.server_code(Method::POST, "/users/login").body(json!({ "objectId": id }))
}

fn status(app: &TestApp, user: &str, status: &Value) -> Call {
    let path = format!("/users/{user}/status");
    app.server_code(Method::PUT, &path).body(json!({ "userStatus": status }))
}

fn find(app: &TestApp, query: Value) -> Call {
    app.post("/data/Users/find", query)
}

/// Every byte percent-encoded.
fn encoded(text: &str) -> String {
    text.bytes().flat_map(|it| ['%', digit(it >> 4), digit(it & 15)]).collect()
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap().to_ascii_uppercase()
}

/// Texts that have hurt somebody's database.
const HOSTILE: &[&str] = &[
    "'; drop table \"Users\"; --",
    "\"; drop table \"Users\"; --",
    "' or '1'='1",
    "x') union select hash from sys.credentials --",
    "$1",
    "?1",
    ":name",
    "@x",
    "%s%n",
    "\\'; --",
    "/* */",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "=HYPERLINK(\"x\")",
    "../../etc/passwd",
    "a\u{202e}b",
    "e\u{301}",
    "🏳️‍🌈",
    "ＳＥＬＥＣＴ",
];

#[tokio::test]
async fn sql_in_values_stays_a_value_and_comes_back_as_it_was() {
    let server = TestServer::compat().await;
    let app = &server.app;
    for (number, hostile) in HOSTILE.iter().enumerate() {
        let email = format!("user{number}@example.com");
        let body =
            json!({ "email": email, "password": hostile, "name": hostile, "story": hostile });
        let user = app.post("/users/register", body).send().await.ok();
        assert_eq!(user["name"], *hostile);
        let id = text(&user["objectId"]);
        let read = app.get(&format!("/data/Users/{id}")).send().await.ok();
        assert_eq!((&read["name"], &read["story"]), (&json!(hostile), &json!(hostile)));
        app.login(&email, hostile).await.ok();
        app.login(hostile, "wrong").await.refused(3003);
    }
    let count = app.post("/data/Users/count", json!({})).send().await.ok();
    assert_eq!(count, json!(HOSTILE.len()));
}

#[tokio::test]
async fn a_name_that_is_none_makes_no_column_and_no_table() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let before = stored(&server).await;
    let long = "a".repeat(46);
    for name in
        HOSTILE.iter().copied().chain(["", " ", "a b", "9a", "ä", "a.b", "a-b", "a\tb", &long])
    {
        let body = json!({ "email": "bob@example.com", "password": HORSE, name: 1 });
        app.post("/users/register", body).send().await.refused(3038);
        let encoded = encoded(name);
        if encoded.is_empty() {
            continue;
        }
        // As a table, an id, a column to sort by, one to show: looked up, never spelt out in SQL.
        for call in [
            app.call(Method::PUT, &format!("/data/{encoded}")).body(json!({ "a": 1 })),
            app.post(&format!("/data/{encoded}/find"), json!({})),
            app.get(&format!("/data/{encoded}")),
            app.get(&format!("/data/{encoded}/count")),
            app.get(&format!("/data/Users/{encoded}")),
            app.get(&format!("/users/{encoded}")),
            app.post("/data/Users/find", json!({ "sortBy": [name, "email"] })),
            app.post("/data/Users/find", json!({ "props": [format!("x{name}")] })),
            app.get(&format!("/data/Users?sortBy={encoded}1")),
            app.get(&format!("/data/Users?props={encoded}1")),
            app.server_code(Method::PUT, &format!("/users/{encoded}/status"))
                .body(json!({ "userStatus": "DISABLED" })),
            app.server_code(Method::POST, "/users/login").body(json!({ "objectId": name })),
        ] {
            let reply = call.send().await;
            let code = reply.code();
            let blank = name.trim().is_empty();
            let known =
                [1000, 1006, 1009, 1017, 3057, 20009].contains(&code) || (blank && code == 0);
            assert!(known, "{name:?}: {reply:?}");
        }
    }
    // The Console's own tables, under every name that somebody might try.
    for table in [
        "sys.sessions",
        "sessions",
        "credentials",
        "sys_credentials",
        "control.developers",
        "developers",
        "sqlite_schema",
        "sqlite_master",
        "pg_user",
        "pg_catalog.pg_user",
        "users",
        "USERS",
        "Users ",
        "\"Users\"",
        ".seq",
        "migrations",
    ] {
        let encoded = encoded(table);
        let reply = app.get(&format!("/data/{encoded}")).send().await;
        assert_eq!(reply.code(), 1009, "{table}: {reply:?}");
    }
    for column in
        ["`.seq`", "seq", "rowid", "_rowid_", "oid", "ctid", "xmin", "password", "hash", "app_id"]
    {
        let query = json!({ "props": [column] });
        app.post("/data/Users/find", query).send().await.refused(1006);
        let query = json!({ "sortBy": [format!("{column} desc")] });
        app.post("/data/Users/find", query).send().await.refused(1006);
    }
    assert_eq!(stored(&server).await, before, "nothing was written");
    app.get(&format!("/data/Users/{ann}")).send().await.ok();
}

#[tokio::test]
async fn names_that_sql_keeps_for_itself_are_names_like_others() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let names = [
        "select",
        "from",
        "order",
        "group",
        "table",
        "user",
        "desc",
        "null",
        "true",
        "index",
        "primary",
        "default",
        "check",
        "limit",
        "rowid",
        "ctid",
        "xmin",
        "oid",
        "__proto__",
        "constructor",
        "Name",
        "NAME",
    ];
    let mut body = json!({ "email": "ann@example.com", "password": HORSE });
    for name in names.iter().take(19) {
        body[name] = json!(format!("the {name}"));
    }
    let user = app.post("/users/register", body).send().await.ok();
    for name in names.iter().take(19) {
        assert_eq!(user[name], format!("the {name}"), "{name}");
    }
    for table in ["select", "order", "Table", "table", "c1"] {
        let made = app.call(Method::PUT, &format!("/data/{table}"));
        let made = made.body(json!({ "group": "x", "Group": "y" })).send().await.ok();
        assert_eq!((&made["group"], &made["Group"]), (&json!("x"), &json!("y")), "{table}");
        let sorted = json!({ "sortBy": ["group desc"], "props": ["Group"] });
        let rows = app.post(&format!("/data/{table}/find"), sorted).send().await.ok();
        assert_eq!(rows[0]["Group"], "y", "{table}");
    }
}

#[tokio::test]
async fn what_strangers_can_make_grow_is_bounded() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let register = |number: usize, columns: std::ops::Range<usize>| {
        let email = format!("user{number}@example.com");
        let mut body = json!({ "email": email, "password": HORSE });
        for column in columns {
            body[format!("p{column}")] = json!(column);
        }
        app.post("/users/register", body).send()
    };
    register(0, 0..20).await.ok();
    register(1, 20..21).await.refused(3038);
    register(1, 0..20).await.ok();
    server.clock.advance(server::clock::Seconds(24 * 3600 + 1));
    register(2, 20..21).await.ok();
}
