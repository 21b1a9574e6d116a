//! Passwords, and what a login tells about who has an account (security sections 2 and 3).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{Faults, Hooks};
use http::Method;
use serde_json::{Value, json};
use server::config::Options;
use server::error::Error;
use server::password::Door;
use server::secret::{Token, TokenHash};
use server::store::{Row, credentials};
use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::harness::{Call, HORSE, OWNER, Reply, Setup, TestServer, text};

#[test]
fn pw_12_e_04_a_secret_is_shown_by_nobodys_mistake_and_compared_by_its_digest_alone() {
    // A line that does not hold does not compile. A `Debug` of a token says `[secret]`.
    use std::fmt::{Debug, Display};
    assert_not_impl_any!(hashes::Password: Debug, Display, serde::Serialize, PartialEq, Clone);
    assert_not_impl_any!(hashes::PasswordHash: Debug, Display, serde::Serialize, PartialEq);
    assert_impl_all!(hashes::Password: zeroize::ZeroizeOnDrop);
    assert_impl_all!(hashes::PasswordHash: zeroize::ZeroizeOnDrop);
    assert_not_impl_any!(Token: Display, serde::Serialize, PartialEq);
    assert_not_impl_any!(TokenHash: Display, serde::Serialize);
    assert_not_impl_any!(server::secret::Sealer: Debug, Display, serde::Serialize);
    assert_impl_all!(Token: zeroize::ZeroizeOnDrop);
    let token = Token::from_client("11111111-2222-3333-4444-555555555555");
    assert!(!format!("{token:?} {:?}", token.digest()).contains("1111"));
}

#[tokio::test]
async fn pw_01_hashing_below_the_floors_is_refused_at_start() {
    for (iterations, memory, starts) in [
        (Some(1), Some(47_103), false),
        (Some(1), Some(47_104), true),
        (Some(1), None, false),
        (Some(2), Some(19_455), false),
        (Some(2), Some(19_456), true),
        (None, Some(19_455), false),
        (Some(3), Some(12_287), false),
        (Some(3), Some(12_288), true),
        (Some(0), Some(100_000), false),
    ] {
        let options = Options {
            argon2_iterations: iterations,
            argon2_memory_kib: memory,
            ..Options::default()
        };
        let read = server::config::read(options, None, std::iter::empty());
        assert_eq!(read.is_ok(), starts, "{iterations:?} iterations, {memory:?} KiB");
        if let Err(line) = read {
            assert!(line.starts_with("argon2-") && !line.contains('\n'), "{line}");
        }
    }
}

async fn hash_of(server: &TestServer, user: &str) -> Option<String> {
    let id = server::ids::UserId(user.into());
    let data = server.server.apps.data(&server.app.id);
    data.read(move |db| credentials::hash(db, &id)).await.unwrap()
}

#[tokio::test]
async fn pw_01_what_is_stored_is_argon2id_with_a_salt_of_its_own() {
    for server in TestServer::in_each_profile().await {
        let (ann, bob) =
            (server.app.user("ann@example.com").await, server.app.user("bob@example.com").await);
        let (ann, bob) =
            (hash_of(&server, &ann).await.unwrap(), hash_of(&server, &bob).await.unwrap());
        for hash in [&ann, &bob] {
            let parts: Vec<&str> = hash.split('$').collect();
            assert_eq!(parts[..4], ["", "argon2id", "v=19", "m=19456,t=2,p=1"], "{hash}");
            assert_eq!((parts[4].len(), parts[5].len()), (22, 43), "16 and 32 bytes");
        }
        assert_ne!(ann, bob, "one password, two salts");
        // Console accounts alike.
        let read = |row: &Row<'_>| row.get::<String>("password_hash");
        let found = server.server.apps.platform.data.read(move |db| {
            let sql = "select password_hash from control.developers";
            Ok::<_, Error>(db.rows(sql, &[], read)?)
        });
        assert!(found.await.unwrap()[0].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }
}

/// So many characters of as many bytes as `first` has, without a pattern.
fn varied(count: u32, first: char) -> String {
    (0..count).map(|it| char::from_u32(first as u32 + it * it % 23).unwrap()).collect()
}

#[tokio::test]
async fn pw_04_pw_05_length_is_counted_in_characters_and_nothing_else_is_asked() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let strict = app.keys.len() == 7
            && server
                .server
                .apps
                .by_id(&app.id.0)
                .await
                .unwrap()
                .is_some_and(|it| it.profile == server::settings::Profile::Standard);
        for (number, (what, password, fits)) in [
            ("seven letters", "kdmvqzr".to_owned(), !strict),
            ("eight letters", "kdmvqzra".to_owned(), true),
            ("eight letters of two bytes", "äöüßéèçñ".to_owned(), true),
            ("seven letters of four bytes", "😀".repeat(7), !strict),
            ("a phrase of small letters", "correct horse battery staple".to_owned(), true),
            ("digits alone", "8461973502".to_owned(), true),
            ("256 characters", varied(256, 'a'), true),
            ("256 characters of four bytes", varied(256, '😀'), true),
            ("1,024 bytes", varied(256, '😀'), true),
            ("1,023 bytes", varied(341, '一'), true),
            ("1,026 bytes", varied(342, '一'), false),
        ]
        .into_iter()
        .enumerate()
        {
            let email = format!("user{number}@example.com");
            let reply = app.register(&email, &password).await;
            assert_eq!(reply.code(), if fits { 0 } else { 8023 }, "{what}: {reply:?}");
            if fits {
                app.login(&email, &password).await.ok();
                // The last character decides, however long it is.
                let mut other: Vec<char> = password.chars().collect();
                *other.last_mut().unwrap() = '~';
                app.login(&email, &other.into_iter().collect::<String>()).await.refused(3003);
            }
        }
    }
}

#[tokio::test]
async fn pw_07_one_spelling_of_unicode_and_otherwise_as_sent() {
    for server in TestServer::in_each_profile().await {
        let app = &server.app;
        let composed = " Crème brûlée ";
        let decomposed = " Cre\u{300}me bru\u{302}le\u{301}e ";
        app.register("ann@example.com", decomposed).await.ok();
        app.login("ann@example.com", composed).await.ok();
        app.login("ann@example.com", decomposed).await.ok();
        for wrong in ["Crème brûlée", " crème brûlée ", " Crème brûlée", " Creme brulee "]
        {
            app.login("ann@example.com", wrong).await.refused(3003);
        }
    }
}

/// Tries a password at every door of an application: the name of the door and the answer.
async fn at_every_door(server: &TestServer, number: usize, password: &str) -> Vec<(Door, Reply)> {
    let (app, desk) = (&server.app, server.desk().await);
    let mut replies = Vec::new();
    for door in Door::ALL {
        let email = format!("{door:?}{number}@example.com").to_lowercase();
        let body = json!({ "email": email, "password": password, "name": "Fay Wong" });
        let post = |call: Call| call.body(body.clone()).send();
        match door {
            Door::Register => {
                replies.push((*door, post(app.post("/users/register", json!({}))).await));
            }
            Door::ConvertGuest => {
                let (guest, token) = app.guest().await;
                let mut body = body.clone();
                body["objectId"] = json!(guest);
                let call = app.post("/users/register", body).token(&token);
                replies.push((*door, call.send().await));
            }
            Door::CreateObject => {
                let code = |method| app.server_code(method, "/data/Users");
                replies.push((*door, post(code(Method::POST)).await));
                let email = json!(format!("put{email}"));
                let body = json!({ "email": email, "password": password, "name": "Fay Wong" });
                replies.push((*door, code(Method::PUT).body(body.clone()).send().await));
                for (number, (method, path, many)) in [
                    (Method::POST, "/data/bulk/Users", true),
                    (Method::PUT, "/data/bulkupsert/Users", true),
                    (Method::PUT, "/data/Users/upsert", false),
                ]
                .into_iter()
                .enumerate()
                {
                    let mut one = body.clone();
                    let email = text(&email);
                    one["email"] = json!(format!("{number}{email}"));
                    one["objectId"] = json!(format!("{number}-{email}"));
                    let body = if many { json!([one]) } else { one };
                    replies.push((*door, app.server_code(method, path).body(body).send().await));
                }
            }
            Door::Update => {
                let user = json!({ "email": email, "password": HORSE, "name": "Fay Wong" });
                let fay = text(&app.post("/users/register", user).send().await.ok()["objectId"]);
                let change = json!({ "objectId": fay, "password": password });
                for path in [
                    format!("/users/{fay}"),
                    format!("/data/Users/{fay}"),
                    "/data/Users".into(),
                    "/data/Users/upsert".into(),
                    "/data/bulkupsert/Users".into(),
                ] {
                    let token = app.token(&email).await;
                    let many = path.contains("/bulkupsert/");
                    let body = if many { json!([change]) } else { change.clone() };
                    // Adding is not everybody's, so this one is the server's own code.
                    let call = if path.contains("upsert") {
                        app.server_code(Method::PUT, &path)
                    } else {
                        app.call(Method::PUT, &path).token(&token)
                    };
                    let call = call.body(body);
                    replies.push((*door, call.send().await));
                    let back = json!({ "password": HORSE });
                    let code = app.server_code(Method::PUT, &format!("/users/{fay}")).body(back);
                    code.send().await.ok();
                }
            }
            Door::ConsoleCreate => {
                replies.push((*door, post(desk.about(Method::POST, "/data/Users")).await));
            }
            Door::ConsoleUpdate => {
                let user = json!({ "email": email, "password": HORSE, "name": "Fay Wong" });
                let fay = text(&app.post("/users/register", user).send().await.ok()["objectId"]);
                let change = json!({ "password": password });
                let call = desk.about(Method::PUT, &format!("/data/Users/{fay}")).body(change);
                replies.push((*door, call.send().await));
            }
            // Console accounts follow the strictest preset: the next test.
            Door::DeveloperCommand | Door::SetUp | Door::ConsoleAccount => {}
        }
    }
    replies
}

#[tokio::test]
async fn pw_06_pw_08_every_door_that_sets_a_password_asks_the_same_policy_and_says_why() {
    for server in TestServer::in_each_profile().await {
        let strict = server.app.get("/data/Users").send().await.status != 200;
        for (number, (password, code, why)) in [
            ("tiny", 8023, "too short"),
            (&*varied(342, '一'), 8023, "longer than 1024 bytes"),
            ("Basketball", 8023, "everybody tries first"),
            ("basketballbasketball", 8023, "everybody tries first"),
            ("abcdefgh", 8023, "simple run"),
            ("9876543210", 8023, "simple run"),
            ("aaaaaaaaaa", 8023, "simple run"),
            ("xkqxkqxkqxkq", 8023, "repeats a few"),
            ("FayWong1990", 8023, "your name"),
            ("@EXAMPLE.com", 8023, "log in with"),
            ("first-2024", 8023, "name of the application"),
            (HORSE, 0, ""),
        ]
        .into_iter()
        .enumerate()
        {
            for (door, reply) in at_every_door(&server, number, password).await {
                let relaxed = !strict && password.len() <= 1024;
                let expected = if relaxed { 0 } else { code };
                assert_eq!(reply.code(), expected, "{password} at {door:?}: {reply:?}");
                if expected != 0 {
                    let message = text(&reply.json()["message"]);
                    assert!(message.contains(why), "{password} at {door:?}: {message}");
                    assert!(!message.contains(password), "it repeats the password");
                }
            }
        }
        // Without a password nobody comes to be, and whoever is there keeps the old one.
        for (door, reply) in at_every_door(&server, 99, "").await {
            let keeps = [Door::Update, Door::ConsoleUpdate].contains(&door);
            assert_eq!(reply.code(), if keeps { 0 } else { 3011 }, "{door:?}");
        }
    }
    assert_eq!(Door::ALL.len(), 9, "a new door: try it here");
}

/// Passwords for the Console account of Evelyn Macpherson: the code of the refusal, and what it says.
const FOR_THE_CONSOLE: &[(&str, u64, &str)] = &[
    ("", 3011, "missing"),
    ("fourteen chars", 8023, "at least 15"),
    ("qwertyuiopasdfghjkl", 8023, "simple run"),
    ("abcdefghijklmnop", 8023, "simple run"),
    ("xkqxkqxkqxkqxkqxkq", 8023, "repeats a few"),
    ("basketballbasketball", 8023, "everybody tries first"),
    ("EVE@long-example.com", 8023, "log in with"),
    ("Macpherson-1990!", 8023, "your name"),
    ("usher!2024!2024!", 8023, "name of the application"),
    ("fifteen letters", 0, ""),
];

/// Sends the form behind the set-up link.
async fn set_up(url: &str, password: &str) -> Reply {
    let form =
        |text: &str| -> Vec<String> { text.bytes().map(|it| format!("%{it:02x}")).collect() };
    let form = |text: &str| form(text).concat();
    let (email, name) = (form("eve@long-example.com"), form("Evelyn Macpherson"));
    let body = format!("email={email}&name={name}&app=Shop&password={}", form(password));
    Call::to(Method::POST, url).raw(body).send().await
}

#[tokio::test]
async fn pw_04_pw_08_console_accounts_follow_the_strictest_preset_at_each_of_their_doors() {
    for server in TestServer::in_each_profile().await {
        // The command on the machine.
        for (password, code, why) in FOR_THE_CONSOLE {
            let (email, name) = ("eve@long-example.com", "Evelyn Macpherson");
            let made = server::console::developers::add(&server.server, email, name, password);
            let error = made.await.err();
            let message = error.as_ref().map_or("", |it| &it.message);
            assert_eq!(u64::from(error.as_ref().map_or(0, |it| it.code)), *code, "{password}");
            assert!(message.contains(why), "{password}: {message}");
        }
        // The developer's own account.
        let last = FOR_THE_CONSOLE.last().unwrap().0;
        let login = json!({ "login": "eve@long-example.com", "password": last });
        let reply = server.call(Method::POST, "/console/home/login").body(login).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let key = reply.headers["auth-key"].to_str().unwrap();
        for (password, code, why) in FOR_THE_CONSOLE.iter().skip(1) {
            let body = json!({ "password": password, "oldPassword": last });
            let call = server.call(Method::PUT, "/console/home/myaccount").body(body);
            let reply = call.header("auth-key", key).send().await;
            assert_eq!(reply.code(), *code, "{password}: {reply:?}");
            assert!(*code == 0 || text(&reply.json()["message"]).contains(why), "{reply:?}");
        }
        // The form behind the set-up link, which a refusal does not spend.
        let home = crate::database::Home::prepared().await;
        let fresh = crate::harness::build(&home, Setup::default()).await.unwrap();
        let link = server::console::setup::link(&fresh).await.unwrap().unwrap();
        let address = crate::harness::open(&fresh).await;
        let url = link.replace("http://usher.test", &format!("http://{address}"));
        for (password, code, why) in FOR_THE_CONSOLE {
            let reply = set_up(&url, password).await;
            assert_eq!(reply.code(), *code, "{password}: {reply:?}");
            if *code != 0 {
                assert!(text(&reply.json()["message"]).contains(why), "{password}: {reply:?}");
            }
        }
        set_up(&url, "sixteen letters!").await.refused(20011);
        let login = Call::to(Method::POST, &format!("http://{address}/console/home/login"));
        let body = json!({ "login": "eve@long-example.com", "password": last });
        login.body(body).send().await.ok();
        server::start::stop(&fresh).await;
    }
}

#[tokio::test]
async fn pw_04_a_developer_asks_for_more_by_a_setting() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        let set = |body: Value| desk.about(Method::PUT, "/passwords").body(body).send();
        let usual = desk.about(Method::GET, "/passwords").send().await.ok();
        assert_eq!(
            usual,
            json!({
                "passwordPolicy": "standard", "minimumLength": 0, "recentLogin": 300,
                "keepSessions": false,
            })
        );
        app.register("ann@example.com", HORSE).await.ok();
        set(json!({ "passwordPolicy": "nist" })).await.ok();
        app.register("bob@example.com", HORSE).await.refused(8023);
        app.register("bob@example.com", "correct horse battery").await.ok();
        // What is there stays valid until it is changed.
        app.login("ann@example.com", HORSE).await.ok();
        set(json!({ "passwordPolicy": "standard", "minimumLength": 14 })).await.ok();
        app.register("cid@example.com", HORSE).await.refused(8023);
        app.register("cid@example.com", "correct horses").await.ok();
        set(usual).await.ok();
        app.register("dag@example.com", HORSE).await.ok();
        for odd in [
            json!({ "minimumLength": 129 }),
            json!({ "recentLogin": 0 }),
            json!({ "passwordPolicy": "none" }),
        ] {
            set(odd).await.refused(3038);
        }
    }
}

#[tokio::test]
async fn pw_06_the_operator_may_name_a_larger_list() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.txt");
    std::fs::write(&file, "four score and seven\r\nKiefernwald\n\nshort\n").unwrap();
    let with = |path: &std::path::Path| {
        let password_blocklist = Some(path.to_owned());
        let options = Options { password_blocklist, ..Options::default() };
        Setup { options, ..Setup::default() }
    };
    let server = TestServer::with(with(&file)).await;
    let known = server::password::Blocklist::default().len();
    assert_eq!(server.server.blocklist.len(), known + 2);
    let app = &server.app;
    for listed in ["kiefernwald", "KIEFERNWALD", "Four Score and Seven", "basketball"] {
        app.register("ann@example.com", listed).await.refused(8023);
    }
    app.register("ann@example.com", HORSE).await.ok();
    drop(server);

    std::fs::write(&file, "short\n").unwrap();
    for (path, part) in
        [(file, "no password of 8"), (folder.path().join("none.txt"), "cannot read")]
    {
        let home = crate::database::Home::prepared().await;
        let error = crate::harness::build(&home, with(&path)).await.err().unwrap();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
}

/// What a stranger can see of an answer.
fn seen(reply: &Reply) -> (u16, Value, Vec<(String, String)>) {
    let mut headers: Vec<(String, String)> = reply
        .headers
        .iter()
        .map(|it| (it.0.to_string(), it.1.to_str().unwrap().to_owned()))
        .filter(|it| it.0 != "date")
        .collect();
    headers.sort();
    (reply.status.as_u16(), reply.json(), headers)
}

#[tokio::test]
async fn e_01_a_refused_login_tells_nothing_and_costs_the_same_whoever_it_was_about() {
    let faults = Arc::new(Faults::default());
    let hooks = Hooks { faults: Some(Arc::clone(&faults)), seen: None };
    let server = TestServer::with(Setup { hooks, ..Setup::default() }).await;
    let (app, desk) = (&server.app, server.desk().await);
    app.user("ann@example.com").await;
    let off = app.user("off@example.com").await;
    app.set_status(&off, "DISABLED").await.ok();
    desk.registration_settings(json!({ "emailConfirmationRequired": true })).await;
    app.user("new@example.com").await;
    // Who has come by a provider has no password: made by hand, until there are providers.
    desk.registration_settings(json!({ "emailConfirmationRequired": false })).await;
    let social = server::ids::UserId(app.user("social@example.com").await.into());
    let data = server.server.apps.data(&app.id);
    data.write(move |tx| credentials::delete(tx, &social)).await.unwrap();
    app.guest().await;
    app.login("ann@example.com", HORSE).await.ok(); // warms what is read once
    let expected = seen(&app.login("ann@example.com", "wrong wrong").await);
    assert_eq!((expected.0, &expected.1["code"]), (401, &json!(3003)));

    for (who, login) in [
        ("somebody", "ann@example.com"),
        ("nobody", "nobody@example.com"),
        ("a disabled user", "off@example.com"),
        ("a pending user", "new@example.com"),
        ("a user without a password", "social@example.com"),
        ("what cannot be an identity", "a\u{202e}b"),
        ("a long text", &"x".repeat(5000)),
    ] {
        let before = server.server.passwords.checks();
        let reply = app.login(login, "wrong wrong").await;
        assert_eq!(seen(&reply), expected, "{who}");
        let hashes = server.server.passwords.checks() - before;
        assert_eq!(hashes, 1, "{who}: one hash, of whatever there is or is not");
    }
    // The right password alone tells more.
    app.login("off@example.com", HORSE).await.refused(3090);
    app.login("new@example.com", HORSE).await.refused(3087);
}

#[tokio::test]
async fn e_02_asking_for_a_recovery_tells_nothing_and_does_the_same_whoever_it_is_for() {
    let looked = Arc::new(AtomicUsize::new(0));
    let keep = Arc::clone(&looked);
    let count = move |sql: &str| {
        let about = ["sys.identities", "\"Users\"", "sys.credentials"];
        keep.fetch_add(usize::from(about.iter().any(|it| sql.contains(it))), Ordering::Relaxed);
    };
    let hooks = Hooks { faults: None, seen: Some(Arc::new(count)) };
    let server = TestServer::with(Setup { hooks, ..Setup::default() }).await;
    let app = &server.app;
    app.user("ann@example.com").await;
    let off = app.user("off@example.com").await;
    app.set_status(&off, "DISABLED").await.ok();
    let ask = |who: &str| app.get(&format!("/users/restorepassword/{who}")).send();
    let expected = seen(&ask("ann@example.com").await);
    let before = looked.load(Ordering::Relaxed);
    assert!(before > 0, "the count can count");
    for who in ["nobody@example.com", "off@example.com", "ANN@example.com", "%E2%80%AE", "x"] {
        assert_eq!(seen(&ask(who).await), expected, "{who}");
    }
    assert_eq!(looked.load(Ordering::Relaxed), before, "nobody is looked up before the answer");
    app.login("ann@example.com", HORSE).await.ok(); // and nothing has changed
}

#[tokio::test]
async fn e_01_whom_nobody_is_gets_locked_like_anybody() {
    for server in TestServer::in_each_profile().await {
        let (app, desk) = (&server.app, server.desk().await);
        desk.login_settings(json!({ "failedLoginsLock": 3, "lockoutMinutes": 1 })).await;
        app.user("ann@example.com").await;
        let mut answers = Vec::new();
        for login in ["ann@example.com", "nobody@example.com"] {
            let mut all = Vec::new();
            for password in ["wrong", "wrong", "wrong", "wrong", HORSE] {
                all.push(seen(&app.login(login, password).await));
            }
            answers.push(all);
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0][4].1["code"], 3036);
    }
}

#[tokio::test]
async fn e_01_the_console_tells_nothing_either() {
    let server = TestServer::start().await;
    let login = async |login: &str| {
        let before = server.server.passwords.checks();
        let body = json!({ "login": login, "password": "wrong wrong wrong" });
        let reply = server.call(Method::POST, "/console/home/login").body(body).send().await;
        (seen(&reply), server.server.passwords.checks() - before)
    };
    let known = login(crate::harness::OWNER.0).await;
    assert_eq!((known.0.0, &known.0.1["code"], known.1), (401, &json!(9005), 1));
    for unknown in ["nobody@example.com", "", "a\u{202e}b"] {
        assert_eq!(login(unknown).await, known, "{unknown}");
    }
}

#[tokio::test]
async fn e_05_errors_show_nothing_from_inside() {
    let faults = Arc::new(Faults::default());
    let hooks = Hooks { faults: Some(Arc::clone(&faults)), seen: None };
    let server = TestServer::with(Setup { hooks, ..Setup::default() }).await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let mut replies = Vec::new();
    for n in 1..12 {
        faults.fail_at(n);
        let body = json!({ "email": format!("u{n}@example.com"), "password": HORSE });
        replies.push(app.post("/users/register", body).send().await);
        faults.fail_at(n);
        replies.push(app.login("ann@example.com", HORSE).await);
        faults.disarm();
    }
    assert!(replies.iter().any(|it| it.status == 503), "some of them failed");
    let token = app.token("ann@example.com").await;
    // Somebody has broken the table with other tools.
    let data = server.server.apps.data(&app.id);
    data.write(|tx| Ok::<_, Error>(tx.batch("alter table app.\"Users\" rename to \"Gone\";")?))
        .await
        .unwrap();
    replies.push(app.read(&ann, &token).await);
    replies.push(app.server_code(Method::GET, "/data/Users").send().await);
    replies.push(app.register("bob@example.com", HORSE).await);
    let last = replies.last().unwrap();
    assert_eq!((last.status.as_u16(), last.code()), (500, 20000), "{last:?}");
    assert!(!text(&last.json()["errorData"]["requestId"]).is_empty());
    // And what is wrong on purpose.
    replies.push(app.call(Method::POST, "/users/register").raw("{").send().await);
    replies.push(app.get("/nothing").send().await);
    replies.push(app.register("ann@example.com", HORSE).await);
    for reply in replies.iter().filter(|it| !it.status.is_success()) {
        let words = String::from_utf8_lossy(&reply.body).to_lowercase();
        for inside in [
            "select",
            "insert",
            "sqlite",
            "postgres",
            "pg_",
            "relation",
            "no such table",
            "syntax",
            "credentials",
            ".rs",
            "panicked",
            "argon2",
            "users\"",
            "gone",
            "a test asked",
            "/tmp",
        ] {
            assert!(!words.contains(inside), "{inside} in {reply:?}");
        }
        assert!(!words.contains(&token.to_lowercase()), "{reply:?}");
        if reply.status.is_server_error() {
            assert!(!text(&reply.json()["errorData"]["requestId"]).is_empty(), "{reply:?}");
        }
    }
}

/// The stored hash of the only user of the first application.
async fn stored_hash(server: &TestServer) -> String {
    let data = server.server.apps.data(&server.app.id);
    let read = data.read(|db| {
        let sql = "select hash from sys.credentials where app_id = ?1";
        db.row(sql, &[&db.app()], |row| row.get::<String>("hash"))
    });
    read.await.unwrap().unwrap()
}

#[tokio::test]
async fn s_pw_02_a_weaker_hash_is_renewed_at_the_next_login_and_once() {
    let server = TestServer::start().await;
    server.app.user("ann@example.com").await;
    let weak = stored_hash(&server).await;
    let desk = server.desk().await;
    desk.login_settings(serde_json::json!({ "enableMultipleLogins": true })).await;
    server.app.token("ann@example.com").await;
    assert_eq!(stored_hash(&server).await, weak, "as strong as they are made now");

    let stronger = |setup: &mut Setup| setup.options.argon2_iterations = Some(3);
    let server = server.restart_with(stronger).await;
    server.app.login("ann@example.com", "a wrong one").await.refused(3003);
    assert_eq!(stored_hash(&server).await, weak, "only the right password renews");

    // All of them checked the weak hash, and one was first to replace it.
    let logins = (0..12).map(|_| server.app.login("ann@example.com", HORSE));
    for reply in futures_util::future::join_all(logins).await {
        reply.ok();
    }
    let strong = stored_hash(&server).await;
    assert!(weak.contains("t=2") && strong.contains("t=3"), "{weak} {strong}");
    server.app.token("ann@example.com").await;
    assert_eq!(stored_hash(&server).await, strong);
    server.desk().await; // the developer's too
    let developer = server
        .server
        .apps
        .platform
        .data
        .read(|db| server::store::developers::by_email(db, OWNER.0));
    let developer: Result<_, Error> = developer.await;
    assert!(developer.unwrap().unwrap().1.contains("t=3"));
}
