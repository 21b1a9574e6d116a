//! What the built program writes on its terminal: no secret, one event a line, and UTC wherever the
//! machine stands.

use http::Method;
use serde_json::{Value, json};

use super::database::{Home, MASTER_KEY};
use super::harness::{HORSE, text};
use super::process::{self, DEVELOPER, Process, run, usher_at};

/// Sends what is typed wrong, too: as body, as path, as header, as query.
#[tokio::test]
async fn k_08_no_secret_is_written_whatever_is_sent() {
    let home = Home::empty().await;
    let mut command = usher_at(&home, &["serve", "--listen", "127.0.0.1:0"]);
    // Whoever asks for more than the usual gets no secret either.
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let url = home.url().map(|it| format!("{it} password='the-password-of-the-database'"));
    command.envs(url.map(|it| ("USHER_DATABASE_URL", it)));
    let server = Process::of(command).unwrap();
    let link = server.setup_link().unwrap();
    let mut secrets = vec![link[link.len() - 36..].to_owned(), DEVELOPER.1.to_owned()];
    secrets.extend([MASTER_KEY.to_owned(), "the-password-of-the-database".to_owned()]);
    if let Ok(key) = std::fs::read_to_string(home.dir().join("master.key")) {
        secrets.push(key.trim().to_owned());
    }

    process::developer(&home);
    let made = process::app(&home, "First", "compat");
    for (_, key) in made["apiKeys"].as_object().unwrap() {
        secrets.extend([text(key), text(key).to_lowercase()]);
    }
    let app = server.app(&made);
    let console = |path: &str, body: Value| app.outside(Method::POST, path).body(body).send();
    for password in [DEVELOPER.1, "a wrong console password"] {
        let body = json!({ "login": DEVELOPER.0, "password": password });
        let reply = console("/console/home/login", body).await;
        secrets.push(password.to_owned());
        if let Some(key) = reply.headers.get("auth-key") {
            let key = key.to_str().unwrap();
            secrets.push(key.to_owned());
            app.outside(Method::GET, "/console/home/myaccount")
                .header("auth-key", key)
                .send()
                .await;
            let path = format!("/{}/console/appsettings", app.id.0);
            app.outside(Method::GET, &path).header("auth-key", key).send().await.ok();
        }
    }

    let (email, wrong) = ("ann.of.the.logs@example.com", "a wrong password of a user");
    let id = app.user(email).await;
    let token = app.token(email).await;
    app.login(email, wrong).await.refused(3003);
    app.login("nobody.at.all@example.com", wrong).await.refused(3003);
    app.register(email, HORSE).await.refused(3033);
    let (_, guest) = app.guest().await;
    assert!(app.is_valid(&token).await);
    app.read(&id, &token).await.ok();
    for body in [
        format!(r#"{{"login":"{email}","password":"{wrong}""#),
        format!(r#"{{"login":"{email}","password":"{wrong}","password":"{HORSE}"}}"#),
        format!(r#"["{email}","{wrong}"]"#),
        format!("{{\"password\":\"{wrong}\u{0}\"}}"),
        format!(r#"{{"email":{{"a":"{wrong}"}},"password":"{HORSE}"}}"#),
        format!("login={email}&password={wrong}"),
    ] {
        for path in ["/users/login", "/users/register", "/data/Boats"] {
            app.call(Method::POST, path).raw(body.clone()).send().await;
        }
    }
    for path in [
        format!("/users/{token}"),
        format!("/data/Users/{token}?password={wrong}").replace(' ', "%20"),
        format!("/data/Users?where=password%3D'{}'", wrong.replace(' ', "%20")),
        format!("/users/restorepassword/{email}"),
        format!("/nothing/here/{token}"),
    ] {
        app.get(&path).token(&guest).send().await;
        app.outside(Method::GET, &path).token(&token).header("cookie", &token).send().await;
    }
    app.get("/users/logout").header("authorization", &format!("Bearer {token}")).send().await;
    app.log_out(&token).await.ok();
    app.set_status(&id, "DISABLED").await.ok();
    for word in ["/setup/", "/setup/x"] {
        app.outside(Method::GET, &format!("{word}{token}")).send().await;
    }
    if let Some(url) = home.url() {
        // A failure of the server itself: the log has the cause.
        let (client, wire) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let broken = client.batch_execute("drop table sys.credentials");
        tokio::select! { it = broken => it.unwrap(), _ = wire => panic!("PostgreSQL went away") }
        let reply = app.login(email, wrong).await;
        assert!(reply.status.is_server_error(), "{reply:?}");
    }
    secrets.extend([token, guest, HORSE.to_owned(), wrong.to_owned(), email.to_owned()]);
    secrets.push("nobody.at.all@example.com".to_owned());

    let ended = server.stop();
    assert!(ended.status.success(), "{ended:?}");
    // The link is for the terminal, once; that is its way.
    let (told, mut out) = (ended.out.matches(&secrets[0]).count(), ended.out);
    assert_eq!(told, 1);
    out = out.replace(&secrets[0], "");
    for secret in &secrets {
        for (what, said) in [("the log", &ended.err), ("the terminal", &out)] {
            let line = said.lines().find(|it| it.contains(secret.as_str()));
            assert_eq!(line, None, "{what} has {secret} in it");
        }
    }
    assert_events(&ended.err);
}

/// Each line is an event with its time in UTC, and each request has an id.
fn assert_events(log: &str) {
    let mut requests = 0;
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}"));
        assert!(text(&event["timestamp"]).ends_with('Z'), "{line}");
        assert!(!line.chars().any(char::is_control), "{line}");
        if text(&event["fields"]["message"]) == "request" {
            assert!(event["fields"]["request"].is_string(), "{line}");
            requests += 1;
        }
    }
    assert!(requests > 40, "the log was looked at: {log}");
}

#[tokio::test]
async fn k_05_no_secret_is_on_the_command_line_of_a_server() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let home = Home::empty().await;
    let server = Process::start(&home);
    let line = std::fs::read(format!("/proc/{}/cmdline", server.id())).unwrap();
    let line = String::from_utf8(line).unwrap();
    assert!(line.contains("serve"), "{line}");
    assert!(!line.contains(MASTER_KEY) && !line.contains("postgres"), "{line}");
}

/// The zone of the machine, at a time at which the three have different days.
#[tokio::test]
async fn d_28_the_zone_of_the_machine_makes_no_difference() {
    let mut answers = Vec::new();
    for zone in ["Pacific/Kiritimati", "America/St_Johns", "UTC"] {
        let home = Home::empty().await;
        process::developer(&home);
        let made = {
            let words = ["app", "create", "--name", "First", "--profile", "compat", "--json"];
            let mut command = usher_at(&home, &words);
            command.env("TZ", zone);
            serde_json::from_str(&run(command, "").out).unwrap()
        };
        let server = Process::start_with(&home, |it| {
            it.env("TZ", zone);
        });
        let app = server.app(&made);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let now = i64::try_from(now).unwrap();
        let mut said = Vec::new();
        let body =
            json!({ "email": "ann@example.com", "password": HORSE, "born": 951_782_400_000_i64 });
        said.push(app.post("/users/register", body).send().await.ok());
        said.push(app.login("ann@example.com", HORSE).await.ok());
        said.push(app.post("/users/register/guest", json!({})).send().await.ok());
        said.push(app.post("/data/Boats", json!({ "at": 0 })).send().await.ok());
        said.push(app.get("/users/userclassprops").send().await.ok());
        said.push(app.login("ann@example.com", "wrong").await.refused(3003));
        for answer in &mut said {
            redact(answer, now);
        }
        let ended = server.stop();
        for line in ended.err.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let time: jiff::Timestamp = text(&event["timestamp"]).parse().unwrap();
            assert!((time.as_millisecond() - now).abs() < 60_000, "{zone}: {line}");
            assert!(text(&event["timestamp"]).ends_with('Z'), "{zone}: {line}");
        }
        answers.push((zone, said));
    }
    for (zone, said) in &answers[1..] {
        assert_eq!(*said, answers[0].1, "{zone}");
    }
}

/// Takes out what differs from run to run, and sees that times are those of now in milliseconds.
fn redact(answer: &mut Value, now: i64) {
    let Some(members) = answer.as_object_mut() else { return };
    for (name, value) in members {
        match name.as_str() {
            "objectId" | "ownerId" | "user-token" => *value = value.is_string().into(),
            "created" | "updated" | "lastLogin" if value.is_number() => {
                let apart = value.as_i64().unwrap() - now;
                assert!((-1000..60_000).contains(&apart), "{name} is {apart} ms from now");
                *value = "now".into();
            }
            _ => {}
        }
    }
}
