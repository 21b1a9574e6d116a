//! Power loss: what was acknowledged has reached the disk, and whatever else has or has not, the
//! data opens and is whole.
//!
//! A shim (`tests/power/shim.c`) is preloaded into the built program and writes down what it asks of
//! the files of its data directory. From that record the directory is built up again as it would be
//! after a power loss at many moments: with nothing that was not synced, and with some of it, torn.
//! Names count as data of their directory. For Linux, and for SQLite: PostgreSQL's files are its own
//! matter, and the one test here for it sees that the server does not ask it to be less careful.
//! `USHER_TEST_CRASHES` sets at how many more moments, `USHER_TEST_SEED` at which.

use server::config::{self, Options};
use server::start::{self, Instruments};
use server::store::{Db, Row};

use super::database::{Home, MASTER_KEY};

#[tokio::test]
async fn d_02_every_commit_is_on_the_disk_before_it_is_answered() {
    let home = Home::prepared().await;
    let mut variables = vec![("USHER_DATA_DIR".to_owned(), home.dir().display().to_string())];
    if let Some(url) = home.url() {
        variables.push(("USHER_DATABASE_URL".to_owned(), url));
        variables.push(("USHER_MASTER_KEY".to_owned(), MASTER_KEY.to_owned()));
    }
    let config = config::read(Options::default(), None, variables.into_iter()).unwrap();
    let server = start::build(&config, "http://usher.test", Instruments::default()).await.unwrap();
    let (sql, expected) = if home.is_shared() {
        ("select current_setting('synchronous_commit') as careful", "on")
    } else {
        ("select cast(synchronous as text) as careful from pragma_synchronous", "2")
    };
    let careful = move |db: &Db<'_>| {
        let read = |row: &Row<'_>| row.get::<String>("careful");
        db.row(sql, &[], read)
    };
    let asked = (0..32).map(|_| server.apps.platform.data.write(move |tx| careful(tx)));
    for said in futures_util::future::join_all(asked).await {
        assert_eq!(said.unwrap().as_deref(), Some(expected));
    }
    start::stop(&server).await;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;
    use std::process::Command;

    use http::Method;
    use serde_json::{Value, json};
    use server::apps::Apps;
    use server::config::Options;
    use server::ids::{AppId, Random};
    use server::secret::Token;
    use server::server::Server;
    use server::store::{self, Db, Row};
    use tempfile::TempDir;

    use crate::database::{Home, cluster};
    use crate::disk::{Disk, Event, read};
    use crate::harness::{Call, HORSE, Reply, Setup, TestApp, build, text};
    use crate::invariants;
    use crate::load::{Dice, number};
    use crate::process::{DEVELOPER, Process, usher_at};

    const CRASHES: u64 = 150;

    #[tokio::test]
    #[expect(clippy::print_stderr, reason = "figures, for who asks for them")]
    async fn d_02_no_acknowledged_write_is_lost_by_a_power_loss() {
        if cluster().is_some() {
            return;
        }
        let home = Home::empty().await;
        let tools = tempfile::tempdir().unwrap();
        let (answers, record) = live(&home, tools.path()).await;
        let events = read(&record);
        let synced = syncs_before_answers(&events, &answers);

        let more = number("USHER_TEST_CRASHES", CRASHES);
        let mut dice = Dice(Random::seeded(number("USHER_TEST_SEED", 1)));
        let end = u64::try_from(events.len()).unwrap();
        let chosen: BTreeSet<u64> = (0..more).map(|_| dice.below(end)).collect();
        let (mut disk, mut told, mut crashes) = (Disk::new(home.dir()), 0, 0);
        for (index, event) in (0..).zip(&events) {
            if let Event::Answer = event {
                told += 1;
                check(disk.after_power_loss(None), &answers, told).await;
                crashes += 1;
            }
            if matches!(event, Event::Answer) || chosen.contains(&index) {
                check(disk.after_power_loss(Some(&mut dice)), &answers, told).await;
                crashes += 1;
            }
            disk.apply(event);
        }
        assert_eq!(told, answers.len());
        check(disk.after_power_loss(None), &answers, told).await;
        eprintln!(
            "{crashes} power losses in {} calls, {told} acknowledged requests, none lost; \
             {synced} syncs of the journal before answers",
            events.len()
        );
    }

    /// What an answer has promised.
    enum Answer {
        Made { app: String },
        Developer,
        Timeout(u32),
        User { id: String, email: Option<String>, token: Option<String> },
        LoggedIn { id: String, token: String },
        LoggedOut { id: String },
        Status { id: String, word: &'static str },
        Object { table: &'static str, id: String },
    }

    impl Answer {
        fn user(&self) -> Option<&str> {
            match self {
                Self::User { id, .. }
                | Self::LoggedIn { id, .. }
                | Self::LoggedOut { id }
                | Self::Status { id, .. } => Some(id),
                _ => None,
            }
        }
    }

    /// One client asks one thing after the other, each when it has the answer to the one before;
    /// then the server stops. What it was told, and the record of the shim.
    async fn live(home: &Home, tools: &Path) -> (Vec<Answer>, Vec<u8>) {
        let shim = tools.join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&shim)
            .arg(source)
            .args(["-ldl", "-lpthread"]);
        assert!(cc.status().unwrap().success(), "{cc:?}");
        let record = tools.join("record");
        let mut command = usher_at(home, &["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--new-app-profile", "compat"]);
        command.env("POWER_DIR", home.dir()).env("POWER_LOG", &record).env("LD_PRELOAD", &shim);
        let server = Process::of(command).unwrap();

        let link = server.setup_link().unwrap();
        let path = &link[link.find("/setup/").unwrap()..];
        let form = format!("email={}&name=Dag&password={}&app=First", DEVELOPER.0, DEVELOPER.1);
        let nobody = json!({ "id": "x", "apiKeys": {
            "ANDROID": "", "IOS": "", "JS": "", "REST": "", "WP": "", "AS": "", "BL": "",
        } });
        let page = server.app(&nobody).outside(Method::POST, path).raw(form).send().await;
        let made = keys(&String::from_utf8_lossy(&page.body));
        let app = server.app(&made);
        let mut answers = vec![Answer::Made { app: app.id.0.to_string() }];

        let body = json!({ "login": DEVELOPER.0, "password": DEVELOPER.1 });
        let reply = app.outside(Method::POST, "/console/home/login").body(body).send().await;
        let key = reply.headers["auth-key"].to_str().unwrap().to_owned();
        answers.push(Answer::Developer);
        for round in 0..12 {
            work(&app, &key, round, &mut answers).await;
        }
        assert!(server.stop().status.success());
        (answers, std::fs::read(record).unwrap())
    }

    async fn work(app: &TestApp, key: &str, round: u32, answers: &mut Vec<Answer>) {
        let timeout = 1000 + round;
        let settings = json!({ "sessionTimeoutEnabled": true, "sessionTimeout": timeout });
        let path = format!("/{}/console/userlogin", app.id.0);
        let call = app.outside(Method::POST, &path).header("auth-key", key).body(settings);
        send(call).await;
        answers.push(Answer::Timeout(timeout));

        let guest = send(app.post("/users/register/guest", json!({}))).await;
        let (id, token) = (text(&guest["objectId"]), text(&guest["user-token"]));
        answers.push(Answer::User { id: id.clone(), email: None, token: Some(token.clone()) });
        if round.is_multiple_of(2) {
            send(app.get("/users/logout").token(&token)).await;
            answers.push(Answer::LoggedOut { id });
        }

        let email = format!("u{round}@example.com");
        let mut body = json!({ "email": email, "password": HORSE });
        body[format!("extra_{round}")] = "a value of its own".into();
        let user = send(app.post("/users/register", body)).await;
        let id = text(&user["objectId"]);
        answers.push(Answer::User { id: id.clone(), email: Some(email.clone()), token: None });
        for _ in 0..2 {
            let call = app.post("/users/login", json!({ "login": email, "password": HORSE }));
            let token = text(&send(call).await["user-token"]);
            answers.push(Answer::LoggedIn { id: id.clone(), token });
        }
        let statuses: &[&str] = &["DISABLED", "ENABLED"];
        for word in &statuses[..usize::try_from(round % 3).unwrap()] {
            let call = app.server_code(Method::PUT, &format!("/users/{id}/status"));
            send(call.body(json!({ "userStatus": word }))).await;
            answers.push(Answer::Status { id: id.clone(), word });
        }
        for table in ["Boats", "Ports"] {
            let body = json!({ format!("property_{}", round / 2): "x".repeat(300) });
            let object = send(app.post(&format!("/data/{table}"), body)).await;
            answers.push(Answer::Object { table, id: text(&object["objectId"]) });
        }
    }

    async fn send(call: Call) -> Value {
        let reply: Reply = call.send().await;
        reply.ok()
    }

    /// Id and keys from the page that the set-up shows.
    fn keys(page: &str) -> Value {
        let after = |text: &str, mark: &str| {
            let rest = text.split_once(mark).unwrap_or_else(|| panic!("no {mark} in {page}")).1;
            rest.split('<').next().unwrap().to_owned()
        };
        let mut made = json!({ "id": after(page, "Application id <code>"), "apiKeys": {} });
        for device in server::console::apps::DEVICES {
            made["apiKeys"][device] = after(page, &format!("<th>{device}<td><code>")).into();
        }
        made
    }

    /// Sees that between a request of this one client and its answer the journal is synced, after
    /// the last write to it; tells how often it is.
    fn syncs_before_answers(events: &[Event], answers: &[Answer]) -> usize {
        let (mut answered, mut syncs, mut total, mut unsynced) = (0, 0, 0, BTreeSet::new());
        for event in events {
            match event {
                Event::Write(path, ..) if is_journal(path) => drop(unsynced.insert(path)),
                Event::Sync(path) if is_journal(path) => {
                    unsynced.remove(path);
                    syncs += 1;
                }
                Event::Answer => {
                    assert!(syncs > 0, "answer {answered} without a sync");
                    let own = matches!(answers[answered], Answer::Object { .. });
                    // Uses of sessions may be on their way to the disk for themselves.
                    assert!(!own || unsynced.is_empty(), "answer {answered} before {unsynced:?}");
                    (answered, total, syncs) = (answered + 1, total + syncs, 0);
                }
                _ => {}
            }
        }
        total
    }

    fn is_journal(path: &Path) -> bool {
        path.to_string_lossy().ends_with(".db-wal")
    }

    /// Opens what a power loss has left, and compares it with the first `told` answers; what the
    /// request after them was about may be there or not.
    async fn check(left: TempDir, answers: &[Answer], told: usize) {
        let home = Home::Sqlite(left);
        let options = Options { hash_threads: Some(1), ..Options::default() };
        let setup = Setup { options, ..Setup::default() };
        let server = build(&home, setup).await.unwrap_or_else(|it| panic!("{told}: {it}"));
        invariants::assert_whole(&server.apps).await;
        if let Some(Answer::Made { app }) = answers[..told].first() {
            promised(&server, app, (&answers[..told], answers.get(told))).await;
        }
        server::start::stop(&server).await;
    }

    async fn promised(server: &Server, app: &str, (kept, doubt): (&[Answer], Option<&Answer>)) {
        let apps: &Apps = &server.apps;
        let app = apps.by_id(app).await.unwrap().expect("the application is there");
        assert_eq!(app.keys.len(), 7);
        for key in &app.keys {
            let place = format!("{}/api-keys/{}", app.id.0, key.id);
            let open = server.sealer.open(&place, &key.sealed).unwrap();
            assert_eq!(open.digest(), key.hash, "the key opens to itself");
        }
        let found = there(apps, &app.id).await;
        let mut timeout = None;
        let (mut statuses, mut alive, mut dead) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for answer in kept {
            match answer {
                Answer::Made { .. } | Answer::Developer => {}
                Answer::Timeout(seconds) => timeout = Some(*seconds),
                Answer::User { id, email, token } => {
                    statuses.insert(id, if email.is_some() { "ENABLED" } else { "GUEST" });
                    alive.extend(token.as_ref().map(|it| (id, it)));
                }
                Answer::LoggedIn { id, token } => dead.extend(alive.insert(id, token)),
                Answer::LoggedOut { id } => dead.extend(alive.remove(id)),
                Answer::Status { id, word } => {
                    statuses.insert(id, word);
                    dead.extend(alive.remove(id));
                }
                Answer::Object { table, id } => {
                    let object = ((*table).to_owned(), id.clone());
                    assert!(found.objects.contains(&object), "{object:?} is gone");
                }
            }
        }
        let doubtful = |id: &String| doubt.and_then(Answer::user) == Some(id);
        for (id, status) in statuses {
            let is = found.statuses.get(id).map(String::as_str);
            assert!(is == Some(status) || doubtful(id), "user {id} is {is:?}, not {status}");
        }
        for (id, token) in alive {
            let is = found.sessions.contains(&Token::from_client(token).digest().0);
            assert!(is || doubtful(id), "a session of {id} is gone");
        }
        for token in dead {
            let is = found.sessions.contains(&Token::from_client(token).digest().0);
            assert!(!is, "a session is back");
        }
        let is = app.settings.login.session_timeout.map(|it| it.0);
        let next = matches!(doubt, Some(Answer::Timeout(it)) if Some(*it) == is);
        assert!(is == timeout || next, "the time-out is {is:?}, not {timeout:?}");
    }

    /// What is in an application's tables.
    struct There {
        statuses: BTreeMap<String, String>,
        sessions: BTreeSet<[u8; 32]>,
        /// Tables and ids.
        objects: BTreeSet<(String, String)>,
    }

    async fn there(apps: &Apps, id: &AppId) -> There {
        let read = |db: &Db<'_>| {
            let status = |row: &Row<'_>| Ok((row.get("id")?, row.get("status")?));
            let sql = r#"select "objectId" as id, "userStatus" as status from app."Users""#;
            let statuses = db.rows(sql, &[], status)?.into_iter().collect();
            let sql = "select hash from sys.sessions where app_id = ?1 and ended is null";
            let hashes = db.rows(sql, &[&db.app()], |row| row.get::<Vec<u8>>("hash"))?;
            let sessions = hashes.into_iter().map(|it| it.try_into().unwrap()).collect();
            let mut objects = BTreeSet::new();
            for table in store::schema::load(db)?.tables().filter(|it| !it.is_users()) {
                let sql = format!(r#"select "objectId" as id from app."{}""#, table.physical);
                let ids = db.rows(&sql, &[], |row| row.get::<String>("id"))?;
                objects.extend(ids.into_iter().map(|id| (table.name.to_string(), id)));
            }
            Ok::<_, server::error::Error>(There { statuses, sessions, objects })
        };
        apps.data(id).read(read).await.unwrap()
    }
}
