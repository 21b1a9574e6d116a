//! Cookie sessions (users-api 2.10, security S-10 and S-11): set as they must be, and of no use to a
//! page that the application does not trust.

use http::Method;
use serde_json::{Value, json};
use server::config::Options;
use server::router;
use server::settings::Profile;
use server::web::{Access, Group, Token};

use crate::harness::{Call, Desk, HORSE, Reply, Setup, TestServer, text, unbraked};

/// The page of the application, and the page of an attacker.
const OURS: &str = "https://app.example";
const THEIRS: &str = "https://eve.example";

async fn with_cookies(server: &TestServer) -> Desk {
    let desk = server.desk().await;
    let settings = json!({ "cookieSessionsEnabled": true, "enableMultipleLogins": true });
    assert_eq!(desk.login_settings(settings).await["cookieSessionsEnabled"], true);
    desk.about(Method::PUT, "/domaincontrolsettings").body(json!(["*", OURS])).send().await.ok();
    desk
}

/// The parts of the one cookie that an answer sets.
fn cookie(reply: &Reply) -> Vec<String> {
    let all: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    assert_eq!(all.len(), 1, "{:?}", reply.headers);
    all[0].to_str().unwrap().split("; ").map(str::to_owned).collect()
}

fn with(call: Call, token: &str) -> Call {
    call.header("cookie", &format!("theme=dark; user-auth-cookie={token}; lang=en"))
}

#[tokio::test]
async fn s_10_a_login_sets_a_cookie_that_is_safe_and_a_logout_removes_it() {
    for profile in [Profile::Standard, Profile::Compat] {
        let options = Options { trusted_proxies: Some("127.0.0.1".to_owned()), ..unbraked() };
        let server = TestServer::with(Setup { profile, options, ..Setup::default() }).await;
        let app = &server.app;
        app.user("ann@example.com").await;
        let plain = app.login("ann@example.com", HORSE).await;
        assert!(plain.headers.get("set-cookie").is_none(), "off by default");
        with_cookies(&server).await;

        let reply = app.login("ann@example.com", HORSE).await;
        let token = text(&reply.ok()["user-token"]);
        let value = format!("user-auth-cookie={token}");
        let expected = [&*value, "Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Lax"];
        assert_eq!(cookie(&reply), expected, "on loopback without TLS");
        let body = json!({ "login": "ann@example.com", "password": HORSE });
        for (name, header) in [("x-forwarded-proto", "https"), ("host", "app.example")] {
            let reply = app.post("/users/login", body.clone()).header(name, header).send().await;
            assert_eq!(cookie(&reply).last().unwrap(), "Secure", "{name}: {header}");
        }
        let guest = app.post("/users/register/guest", json!({})).send().await;
        assert!(cookie(&guest)[0].ends_with(&text(&guest.ok()["user-token"])));
        // A wrong login sets none.
        let wrong = app.login("ann@example.com", "wrong wrong").await;
        assert!(wrong.headers.get("set-cookie").is_none());

        let out = app.log_out(&token).await;
        let cleared = ["user-auth-cookie=", "Path=/", "Max-Age=0", "HttpOnly", "SameSite=Lax"];
        assert_eq!(cookie(&out), cleared);
        assert!(!app.is_valid(&token).await);
    }
}

#[tokio::test]
async fn the_header_counts_first_and_the_cookie_only_where_it_is_switched_on() {
    let server = TestServer::start().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let bob = app.user("bob@example.com").await;
    let desk = with_cookies(&server).await;
    let (anns, bobs) = (app.token("ann@example.com").await, app.token("bob@example.com").await);
    let read = |user: &str| app.get(&format!("/data/Users/{user}"));

    with(read(&ann), &anns).send().await.ok();
    with(read(&ann), "11111111-2222-3333-4444-555555555555").send().await.refused(3064);
    with(read(&ann), &bobs).token(&anns).send().await.ok();
    with(read(&bob), &bobs).token(&anns).send().await.refused(2000);
    // Two that differ are none: another site of the domain may have planted one.
    with(with(read(&ann), &anns), &bobs).send().await.refused(2000);
    with(with(read(&ann), &anns), &anns).send().await.ok();

    desk.login_settings(json!({ "cookieSessionsEnabled": false })).await;
    with(read(&ann), &anns).send().await.refused(2000);
}

/// A page: what it is, what headers the browser sends for it, and whether it may.
type Page = (&'static str, &'static [(&'static str, &'static str)], bool);

/// What a browser says of the page that sends, and whether that page may act with the cookie.
const PAGES: &[Page] = &[
    ("our own page on the server", &[("sec-fetch-site", "same-origin")], true),
    ("the person at the address bar", &[("sec-fetch-site", "none")], true),
    ("our page elsewhere", &[("origin", OURS), ("sec-fetch-site", "cross-site")], true),
    ("our page in an old browser", &[("origin", OURS)], true),
    ("our page, spelt in capitals", &[("origin", "HTTPS://APP.example")], true),
    ("a foreign page", &[("origin", THEIRS), ("sec-fetch-site", "cross-site")], false),
    ("a foreign page in an old browser", &[("origin", THEIRS)], false),
    ("a page of the same site", &[("sec-fetch-site", "same-site")], false),
    ("a sandboxed frame", &[("origin", "null")], false),
    ("a page that says *", &[("origin", "*")], false),
    ("nobody", &[], false),
    ("two origins", &[("origin", OURS), ("origin", THEIRS)], false),
    ("two sites", &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
    ("a prefix of ours", &[("origin", "https://app.example.eve.example")], false),
];

fn sent_by(headers: &[(&'static str, &str)], call: Call) -> Call {
    headers.iter().fold(call, |call, it| call.header(it.0, it.1))
}

#[tokio::test]
async fn s_11_a_cookie_alone_changes_nothing_for_a_page_that_is_not_ours() {
    for profile in [Profile::Standard, Profile::Compat] {
        let server = TestServer::with(Setup { profile, ..Setup::default() }).await;
        let app = &server.app;
        let ann = app.user("ann@example.com").await;
        with_cookies(&server).await;
        for (who, headers, may) in PAGES {
            // What a form can send without asking, and what a script sends.
            for kind in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "application/json",
            ] {
                let token = app.token("ann@example.com").await;
                let what = format!("{who}, {kind}, {profile:?}");
                let asks = app.call(Method::POST, "/data/Users/count");
                let asks = with(sent_by(headers, asks.header("content-type", kind)), &token);
                let reply = asks.send().await;
                let own = if profile == Profile::Compat { 0 } else { 2000 };
                let answers =
                    if *may { [0, own].contains(&reply.code()) } else { reply.code() == 20017 };
                assert!(answers, "{what}: {reply:?}");

                let out = with(sent_by(headers, app.get("/users/logout")), &token).send().await;
                out.ok();
                assert_eq!(out.headers.contains_key("set-cookie"), *may, "{what}: {out:?}");
                assert_eq!(app.is_valid(&token).await, !may, "{what}");
                // Asking alone is free, and so is a token in the header.
                let token = app.token("ann@example.com").await;
                let read = app.get(&format!("/data/Users/{ann}"));
                with(sent_by(headers, read), &token).send().await.ok();
                sent_by(headers, app.get("/users/logout")).token(&token).send().await.ok();
                assert!(!app.is_valid(&token).await, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn s_11_no_other_sites_page_logs_its_visitor_in_or_out() {
    let server = TestServer::start().await;
    let app = &server.app;
    app.user("ann@example.com").await;
    with_cookies(&server).await;
    let token = app.token("ann@example.com").await;
    for (who, headers, may) in PAGES {
        // Who is no browser keeps its cookie.
        let may = *may || headers.is_empty();
        let login = json!({ "login": "ann@example.com", "password": HORSE });
        let login = app.post("/users/login", login).header("content-type", "text/plain");
        let guest = app.call(Method::POST, "/users/register/guest");
        let logout = app.get("/users/logout").token(&token);
        for call in [login, guest, logout] {
            let reply = sent_by(headers, call).send().await;
            reply.ok();
            assert_eq!(reply.headers.contains_key("set-cookie"), may, "{who}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn s_11_no_route_that_changes_something_does_it_for_a_cookie_from_a_foreign_page() {
    let server = TestServer::start().await;
    let app = &server.app;
    with_cookies(&server).await;
    let ann = app.user("ann@example.com").await;
    let token = app.token("ann@example.com").await;
    let before = app.read(&ann, &token).await.ok();
    let (mut refused, mut passed_over) = (Vec::new(), Vec::new());
    for route in router::routes().into_iter().filter(|it| it.group == Group::App) {
        let asks = route.method == Method::GET && !route.changes;
        if asks {
            continue;
        }
        let path = route.path.trim_start_matches("/{app}/{key}");
        let path = path.replace("{table}", "Users").replace("{id}", &ann);
        let device = if matches!(route.access, Access::ServerCode(_)) { "BL" } else { "JS" };
        let mut methods = vec![route.method.clone()];
        methods.extend((route.method == Method::GET).then_some(Method::HEAD));
        for method in methods {
            let call = app.call_with(device, method.clone(), &path);
            let call = if method == Method::GET || method == Method::HEAD {
                call
            } else {
                call.body(json!({ "name": "Eve", "password": "another horse" }))
            };
            let call = sent_by(&[("origin", THEIRS)], with(call, &token));
            let reply = call.send().await;
            if route.token == Token::Ignored {
                // Without the cookie they are nobody, as they would be without the page.
                assert_ne!(reply.status, 403, "{}: {reply:?}", route.id);
                passed_over.push(route.id);
            } else {
                assert_eq!(reply.status, 403, "{} {method}: {reply:?}", route.id);
                refused.push(route.id);
            }
        }
        assert!(app.is_valid(&token).await, "{} has ended the session", route.id);
        assert_eq!(app.read(&ann, &token).await.ok(), before, "{}", route.id);
    }
    assert!(refused.contains(&"updateUser") && refused.contains(&"deleteUser"), "{refused:?}");
    passed_over.sort_unstable();
    passed_over.dedup();
    assert_eq!(passed_over, ["login", "loginAsGuest", "logout", "register"]);
}

#[tokio::test]
async fn a_guest_is_converted_by_cookie_from_our_own_page_alone() {
    let server = TestServer::start().await;
    let app = &server.app;
    with_cookies(&server).await;
    let (guest, token) = app.guest().await;
    let body = json!({ "objectId": guest, "email": "bob@example.com", "password": HORSE });
    let convert = |site: &str| {
        let call = app.post("/users/register", body.clone()).header("sec-fetch-site", site);
        with(call, &token).send()
    };
    convert("cross-site").await.refused(3029);
    assert_eq!(convert("same-origin").await.ok()["objectId"], Value::from(guest.as_str()));
    // And a login does not mind a dead cookie, whoever sends it.
    let login = app.post("/users/login", json!({ "login": "bob@example.com", "password": HORSE }));
    with(login.header("origin", THEIRS), &token).send().await.ok();
}

#[tokio::test]
async fn credentials_are_allowed_to_origins_that_are_listed_by_name() {
    let server = TestServer::start().await;
    let app = &server.app;
    let seen = async |origin: &str| {
        let call = app.call(Method::OPTIONS, "/users/login").header("origin", origin);
        let call = call.header("access-control-request-method", "POST");
        let reply = call.send().await;
        let header = |name: &str| {
            reply.headers.get(name).map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        (
            header("access-control-allow-origin"),
            header("access-control-allow-credentials"),
            header("vary"),
        )
    };
    let told = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let desk = server.desk().await;
    let origins = async |list: Value| {
        desk.about(Method::PUT, "/domaincontrolsettings").body(list).send().await.ok();
    };
    origins(json!(["*", OURS])).await;
    assert_eq!(seen(OURS).await, told("*", "", ""), "cookie sessions are off");
    desk.login_settings(json!({ "cookieSessionsEnabled": true })).await;
    assert_eq!(seen(OURS).await, told(OURS, "true", "Origin"));
    assert_eq!(seen(THEIRS).await, told("*", "", "Origin"));
    origins(json!([OURS])).await;
    assert_eq!(seen(OURS).await, told(OURS, "true", "Origin"));
    assert_eq!(seen(THEIRS).await, told("", "", "Origin"));
    origins(json!(["*"])).await;
    assert_eq!(seen(OURS).await, told("*", "", "Origin"));
    assert_eq!(seen("null").await, told("", "", "Origin"));
}
