//! What every answer looks like: headers, methods, paths, and whose pages may read it.

use http::Method;
use serde_json::json;
use server::router;
use server::settings::Profile;
use server::web::{Access, Group, Route};

use crate::harness::{Call, Reply, Setup, TestServer};
use crate::wire::{Answer, exchange};

/// A path that reaches the route in the first application, with names that may mean nothing.
fn path(server: &TestServer, route: &Route) -> String {
    let app = &server.app;
    let key = if matches!(route.access, Access::ServerCode(_)) { "BL" } else { "JS" };
    let path = route.path.replace("{app}", &app.id.0).replace("{key}", &app.keys[key]);
    let path = path.replace("{table}", "Users").replace("{id}", "nobody");
    path.replace("{token}", "x").replace("{identity}", "y").replace("{secret}", "z")
}

/// One request over a connection of its own.
async fn ask(server: &TestServer, method: &Method, path: &str, headers: &str) -> Answer {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let mut answers = exchange(server.address, request).await;
    assert_eq!(answers.len(), 1, "{method} {path}");
    answers.remove(0)
}

/// What holds of every answer (security H-5, S-14).
fn is_sound(answer: &Answer, what: &str) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
    for name in ["server", "x-powered-by", "via", "transfer-encoding"] {
        assert_eq!(answer.header(name), "", "{what}: {name}");
    }
    for (name, value) in &answer.headers {
        assert!(!value.contains(env!("CARGO_PKG_VERSION")), "{what}: {name} tells the version");
    }
    let kind = answer.header("content-type");
    match answer.body.as_bytes().first() {
        None => {}
        Some(b'{' | b'[') => assert_eq!(kind, "application/json", "{what}"),
        Some(b'<') => assert_eq!(kind, "text/html; charset=utf-8", "{what}"),
        Some(_) if kind == "application/json" => {
            serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
        }
        Some(_) => assert_eq!(kind, "text/plain; charset=utf-8", "{what}"),
    }
    if answer.status >= 400 && !answer.body.is_empty() {
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(body["code"].is_u64() && body["message"].is_string(), "{what}: {body}");
    }
}

#[tokio::test]
async fn h_05_every_answer_of_every_route_says_what_it_is_and_is_kept_by_nobody() {
    let server = TestServer::start().await;
    let desk = server.desk().await;
    let key = format!("auth-key: {}\r\nOrigin: https://eve.example\r\n", desk.key);
    for route in router::routes() {
        if route.id == "deleteApp" {
            continue; // the others need it
        }
        let path = path(&server, &route);
        let (id, method) = (route.id, &route.method);
        let body = "content-type: application/json\r\ncontent-length: 2\r\n";
        for (what, answer) in [
            ("with rights", ask(&server, method, &path, &key).await),
            ("without", ask(&server, method, &path, "").await),
            ("slash", ask(&server, method, &format!("{path}/"), &key).await),
            ("a dead token", ask(&server, method, &path, "user-token: x\r\n").await),
            ("compressed", ask(&server, method, &path, "content-encoding: gzip\r\n").await),
            ("no body", ask(&server, method, &path, "content-length: 0\r\n").await),
            ("odd body", ask(&server, method, &path, &format!("{body}\r\n{{x")).await),
        ] {
            is_sound(&answer, &format!("{id} {what}"));
            // The wire reads exactly `content-length` bytes, and fails on more.
            let empty = answer.header("content-length") == "0";
            assert_eq!(answer.body.is_empty(), empty, "{id} {what}: {answer:?}");
            assert!(answer.status < 400 || !empty, "{id} {what}: a refusal says why");
        }

        let options = ask(&server, &Method::OPTIONS, &path, "").await;
        is_sound(&options, id);
        assert_eq!((options.status, &*options.body), (204, ""), "OPTIONS of {id}");
        let allow = options.header("allow");
        assert!(allow.split(',').any(|it| it.trim() == method.as_str()), "{id}: {allow}");

        let patch = ask(&server, &Method::PATCH, &path, "").await;
        is_sound(&patch, id);
        assert_eq!(patch.status, 405, "PATCH of {id}");
        assert_eq!(patch.header("allow"), allow, "{id}");
    }
    for path in ["/", "/x", "/x/y", "/x/y/z", "/console", "/console/x", "/metrics", "/api/x"] {
        let answer = ask(&server, &Method::GET, path, "").await;
        is_sound(&answer, path);
        assert!(answer.status == 404 || answer.status == 400, "{path}: {answer:?}");
    }
    let document = ask(&server, &Method::GET, "/openapi.json", "").await.body;
    assert!(!document.contains(env!("CARGO_PKG_VERSION")), "tells the version");
}

#[tokio::test]
async fn head_answers_as_get_does_without_the_body() {
    let server = TestServer::start().await;
    for route in router::routes().iter().filter(|it| it.method == Method::GET) {
        let path = path(&server, route);
        let get = ask(&server, &Method::GET, &path, "").await;
        // A length without a body: the wire would wait for it, so it is looked at by itself.
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let head = crate::wire::exchange_head(server.address, &request).await;
        assert_eq!(head.status, get.status, "{}", route.id);
        for name in ["content-type", "content-length", "cache-control"] {
            // The id of the request is in the body of a failure of ours.
            assert_eq!(head.header(name), get.header(name), "{}: {name}", route.id);
        }
    }
}

#[tokio::test]
async fn h_03_a_method_is_what_the_request_line_says() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let user = app.user("ann@example.com").await;
    let path = format!("/{}/{}/data/Users/{user}", app.id.0, app.keys["JS"]);
    for method in ["TRACE", "PATCH", "PROPFIND", "get", "MKCOL", "X"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = ask(&server, &method, &path, "X-Secret: 1\r\n").await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.header("allow").contains("GET"), "{method}: {answer:?}");
        assert!(!answer.body.contains("X-Secret"), "{method} gives back what was sent");
    }
    let hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let connect = format!("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n{hidden}");
    let answers = exchange(server.address, connect).await;
    assert_eq!((answers.len(), answers[0].status), (1, 405), "{answers:?}");

    for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let header = format!("{header}: DELETE\r\n");
        let answer = ask(&server, &Method::GET, &path, &header).await;
        assert_eq!(answer.status, 200, "{header}: {answer:?}");
        let answer = ask(&server, &Method::GET, &format!("{path}?_method=DELETE"), &header).await;
        assert_eq!(answer.status, 200, "{header}");
    }
    app.get(&format!("/data/Users/{user}")).send().await.ok();
}

#[tokio::test]
async fn h_02_a_path_is_decoded_once_and_leads_nowhere_else() {
    let server = TestServer::compat().await;
    let app = &server.app;
    let (id, key) = (&app.id.0, &app.keys["JS"]);
    let root = format!("/{id}/{key}");
    // Path, status. None of them may be a 200 but the first.
    let table = [
        ("/healthz".to_owned(), 200),
        ("/%68ealthz".to_owned(), 404),
        ("/./healthz".to_owned(), 400),
        ("/x/../healthz".to_owned(), 400),
        ("/%2e%2e/healthz".to_owned(), 400),
        ("/.%2E/healthz".to_owned(), 400),
        ("/%2e/healthz".to_owned(), 400),
        ("/../../../../etc/passwd".to_owned(), 400),
        ("/..%2f..%2f..%2fetc%2fpasswd".to_owned(), 404),
        ("/%252e%252e/healthz".to_owned(), 404),
        ("//healthz".to_owned(), 404),
        ("/healthz%00".to_owned(), 400),
        ("/healthz%0a".to_owned(), 400),
        ("/healthz%0d%0aX-Injected:%201".to_owned(), 400),
        ("/healthz%7f".to_owned(), 400),
        ("/healthz%c2%85".to_owned(), 400),
        ("/healthz%".to_owned(), 400),
        ("/healthz%4".to_owned(), 400),
        ("/healthz%zz".to_owned(), 400),
        ("/healthz%+1".to_owned(), 400),
        ("/%ff".to_owned(), 400),
        ("/%c0%ae%c0%ae/healthz".to_owned(), 400), // an overlong dot
        ("/\\..\\healthz".to_owned(), 404),
        ("/healthz;x=1".to_owned(), 404),
        ("/healthz#x".to_owned(), 200), // hyper drops what a client should not send
        (format!("{root}/users/../data/Users"), 400),
        (format!("{root}/users/..%2fdata%2fUsers"), 400),
        (format!("{root}/data/Users/%2e%2e/Users"), 400),
        (format!("{root}/data/%55sers"), 200), // decoded once: a name is a name
        (format!("{root}/data/%2555sers"), 400),
        (format!("{root}/data%2fUsers"), 404),
        (format!("{root}%2fdata/Users"), 404),
        (format!("/{id}%2f{key}/data/Users"), 404),
        (format!("/{id}/con%73ole/appsettings"), 404),
        (format!("/{id}/./console/appsettings"), 400),
        (format!("/{id}/x/../console/appsettings"), 400),
        (format!("/{id}//console/appsettings"), 404),
        (format!("/{id}/{key}/../console/appsettings"), 400),
        (format!("/{id}/console/../{key}/info"), 400),
        ("/console/../setup/x".to_owned(), 400),
        ("/api/../console/applications".to_owned(), 400),
    ];
    let mut odd = Vec::new();
    for (path, status) in table {
        let answer = ask(&server, &Method::GET, &path, "").await;
        if answer.status != status || !answer.header("x-injected").is_empty() {
            odd.push(format!("{path}: {answer:?}"));
        }
    }
    assert_eq!(odd, [""; 0]);

    // An id may be any text; a slash in it is part of the name.
    let ann =
        json!({ "objectId": "a/../b", "email": "ann@example.com", "password": "correct horse" });
    let made = app.post("/data/Users", ann).send().await;
    if made.status.is_success() {
        let read = app.get("/data/Users/a%2F..%2Fb").send().await.ok();
        assert_eq!(read["objectId"], "a/../b");
    }
    app.get("/data/Users/a%2F..%2Fc").send().await.refused(1000);
}

/// Asks as a page of `origin` would; gives the origin that may read the answer, and `Vary`.
async fn read_by(call: Call, origin: &str) -> (String, String, Reply) {
    let reply = call.header("origin", origin).send().await;
    let header = |name: &str| {
        let value = reply.headers.get(name);
        value.map_or(String::new(), |it| it.to_str().unwrap().to_owned())
    };
    assert_eq!(header("access-control-allow-credentials"), "", "never");
    (header("access-control-allow-origin"), header("vary"), reply)
}

#[tokio::test]
async fn h_04_pages_read_what_the_application_lets_them_and_nothing_of_the_console() {
    let server = TestServer::start().await;
    let (app, desk) = (&server.app, server.desk().await);
    let other = server.new_app("Open", Profile::Standard).await;
    let list = json!(["https://shop.example", "https://Shop.Example:8443", "app://local"]);
    desk.about(Method::PUT, "/domaincontrolsettings").body(list).send().await.ok();

    for (origin, allowed) in [
        ("https://shop.example", true),
        ("https://shop.example:8443", true),
        ("app://local", true),
        ("http://shop.example", false),
        ("https://shop.example:443", false),
        ("https://shop.example.eve.example", false),
        ("https://eve.example/https://shop.example", false),
        ("https://xshop.example", false),
        ("https://sub.shop.example", false),
        ("https://shop.example ", true), // blanks around a value are not part of it
        ("https://shop.example, https://eve.example", false),
        ("*", false),
        ("null", false),
        ("", false),
    ] {
        let (by, vary, _) = read_by(app.get("/info"), origin).await;
        let expected = if allowed { origin.trim() } else { "" };
        assert_eq!((&*by, &*vary), (expected, "Origin"), "{origin:?}");
        let wrong_key = app.outside(Method::GET, &format!("/{}/x/info", app.id.0));
        let (by, _, reply) = read_by(wrong_key, origin).await;
        assert_eq!((&*by, reply.code()), (expected, 2002), "a wrong key, {origin:?}");

        let preflight = app
            .call(Method::OPTIONS, "/users/login")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-own");
        let (by, vary, reply) = read_by(preflight, origin).await;
        assert_eq!((&*by, &*vary), (expected, "Origin"), "preflight, {origin:?}");
        let headers = reply.headers.get("access-control-allow-headers");
        assert_eq!(headers.is_some(), allowed, "{origin:?}");
        if let Some(headers) = headers {
            assert_eq!(headers, "content-type, user-token, application-type, x-own");
            assert_eq!(reply.headers["access-control-allow-methods"], "POST");
            assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
        }
    }
    let plain = app.get("/info").send().await;
    assert_eq!(plain.headers["vary"], "Origin", "also without an origin");

    // Where any origin may: without credentials, and not nobody in particular.
    for (origin, expected) in [("https://eve.example", "*"), ("null", ""), ("http://x", "*")] {
        let (by, vary, _) = read_by(other.get("/info"), origin).await;
        assert_eq!((&*by, &*vary), (expected, ""), "{origin}");
        let unknown = app.outside(Method::GET, "/x/y/info");
        let (by, _, reply) = read_by(unknown, origin).await;
        assert_eq!((&*by, reply.code()), (expected, 2002), "no such application, {origin}");
        let (by, _, _) = read_by(app.outside(Method::GET, "/openapi.json"), origin).await;
        assert_eq!(by, expected, "public, {origin}");
    }

    // The Console, the set-up and the rest are for pages of the server itself.
    for route in router::routes() {
        if route.group == Group::App || route.id == "openapi" || route.id == "deleteApp" {
            continue;
        }
        let path = path(&server, &route);
        for origin in ["https://shop.example", "https://eve.example", "http://usher.test", "null"] {
            let call = server.call(route.method.clone(), &path).header("auth-key", &desk.key);
            let (by, _, _) = read_by(call, origin).await;
            assert_eq!(by, "", "{} by {origin}", route.id);
            let preflight = server
                .call(Method::OPTIONS, &path)
                .header("access-control-request-method", route.method.as_str())
                .header("access-control-request-headers", "auth-key");
            let (by, _, reply) = read_by(preflight, origin).await;
            assert_eq!(by, "", "preflight of {} by {origin}", route.id);
            let names = ["access-control-allow-methods", "access-control-allow-headers"];
            assert!(names.iter().all(|it| !reply.headers.contains_key(*it)), "{}", route.id);
        }
    }
}

#[tokio::test]
async fn tls_is_for_good_once_a_trusted_proxy_says_that_there_is_tls() {
    let mut setup = Setup::default();
    let strict = |reply: Reply| reply.headers.contains_key("strict-transport-security");
    let server = TestServer::with(setup.clone()).await;
    let call = |server: &TestServer| server.call(Method::GET, "/healthz");
    let forged = call(&server).header("x-forwarded-proto", "https");
    assert!(!strict(forged.send().await), "a stranger's word");
    setup.options.trusted_proxies = Some("127.0.0.1".to_owned());
    let server = TestServer::with(setup).await;
    assert!(strict(call(&server).header("x-forwarded-proto", "https").send().await));
    assert!(!strict(call(&server).header("x-forwarded-proto", "http").send().await));
    assert!(!strict(call(&server).send().await));
}
