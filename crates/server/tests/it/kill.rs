//! kill −9 under load: what was acknowledged is there, what was not is whole or absent.
//!
//! Each client of the load knows what it was told, and nobody else touches its users. After each
//! kill the server is started on the same data and asked. `USHER_TEST_KILLS` sets how often it is
//! killed, and `USHER_TEST_SEED` when and under which load.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use server::clock::{Clock, Seconds};
use server::data::grow;
use server::ids::Random;
use server::schema::USERS;
use server::store;
use server::users::write::Change;
use tokio::task::JoinSet;

use super::database::Home;
use super::harness::{Call, Reply, Setup, TestApp, TestServer, build, text, until};
use super::invariants;
use super::load::{Client, Dice, acknowledged, number};
use super::process::{self, DEVELOPER, Process, copy};

const KILLS: u64 = 50;
const CLIENTS: u64 = 12;

/// The properties that clients make up as the campaign goes on; a day allows twenty a table.
const PROPERTIES: u64 = 18;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "figures, for who asks for them")]
async fn d_01_no_acknowledged_write_is_lost_and_none_is_half_done_by_kills_under_load() {
    let (kills, seed) = (number("USHER_TEST_KILLS", KILLS), number("USHER_TEST_SEED", 1));
    let (home, start) = (Home::empty().await, Instant::now());
    let mut dice = Dice(Random::seeded(seed));
    process::developer(&home);
    let made = process::app(&home, "First", "compat");
    let mut clients: Vec<_> = (0..CLIENTS).map(|it| Client::new(it, seed)).collect();
    let mut developer = Developer::new(seed, home.is_shared());
    let mut slowest = Duration::ZERO;

    for round in 0..=kills {
        if dice.below(6) == 0 {
            let words = ["serve", "--listen", "127.0.0.1:0"];
            kill_at(&home, &words, Duration::from_millis(dice.below(60)));
            settle(&home).await;
        }
        let server = Process::start(&home);
        slowest = slowest.max(server.started_in);
        let app = server.app(&made);
        developer.log_in(&app).await;
        developer.check(&app).await;
        clients = together(clients, &app, round == kills, Client::check).await;
        if round == kills {
            break;
        }

        let newest = PROPERTIES * (round + 1) / kills;
        let mut load = JoinSet::new();
        for mut client in clients.drain(..) {
            let app = server.app(&made);
            load.spawn(async move {
                while client.act(&app, newest).await {}
                client
            });
        }
        let work = async { while developer.act(&app).await {} };
        let kill = async {
            tokio::time::sleep(Duration::from_millis(20 + dice.below(900))).await;
            server.kill();
        };
        tokio::join!(work, kill);
        clients = load.join_all().await;
        settle(&home).await;
        if round % 5 == 4 {
            whole(&home).await;
        }
    }
    whole(&home).await;
    tidied(&home).await;
    let done: u64 = clients.iter().map(|it| it.done).sum::<u64>() + developer.done;
    let people: usize = clients.iter().map(|it| it.people.len()).sum();
    eprintln!(
        "{kills} kills in {:.0?}: {done} acknowledged writes, {people} users, none lost; \
         slowest start {slowest:.0?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn d_01_a_first_start_and_a_command_may_be_killed_at_any_moment() {
    for step in 0..8 {
        let home = Home::empty().await;
        kill_at(&home, &["serve", "--listen", "127.0.0.1:0"], Duration::from_millis(step * 8));
        settle(&home).await;
        whole(&home).await;
        process::developer(&home);
        let words = ["app", "create", "--name", "First", "--json"];
        kill_at(&home, &words, Duration::from_millis(step * 11));
        settle(&home).await;
        whole(&home).await;

        let server = Process::start(&home);
        assert_eq!(server.setup_link(), None, "there is a developer");
        // Made, or as if it had never been asked for; where another node might still be making
        // it, its name is taken for a while.
        let made = process::run(process::usher_at(&home, &words), "");
        if !made.status.success() {
            assert!(made.err.contains("application of this name"), "{made:?}");
        }
        let other = process::app(&home, "Second", "standard");
        server.app(&other).guest().await;
        drop(server);
        tidied(&home).await;
        whole(&home).await;
    }
}

/// Found by the kills, on PostgreSQL, where the application is loaded anew soon after the start.
#[tokio::test]
async fn columns_are_known_at_once_when_the_application_was_loaded_anew_meanwhile() {
    let server = TestServer::compat().await;
    server.hears().await; // what the first reading makes it forget is forgotten
    let (apps, id) = (&server.server.apps, &server.app.id.0);
    // On a slow machine a node forgets on its own account, too; then nothing is shown, and the next
    // one is looked at.
    let mut number = 0;
    until("nobody else makes it forget", async || {
        number += 1;
        let name = format!("nick{number}");
        let old = apps.by_id(id).await.unwrap().unwrap();
        apps.forget(&old.id);
        let fresh = apps.by_id(id).await.unwrap().unwrap();

        let author = server::console::developers::operator(&server.server);
        let change = Change::new(server.server.clone(), old.clone(), author);
        let property = (name.clone(), json!("A"));
        let write = old.realm.data.write(move |tx| {
            grow::with_columns(tx, &change, USERS, std::slice::from_ref(&property))
        });
        write.await.unwrap();
        let known = fresh.schema().table(USERS).unwrap().column(&name).is_some();
        let still = apps.by_id(id).await.unwrap().unwrap();
        assert!(known || !std::sync::Arc::ptr_eq(&fresh, &still));
        known
    })
    .await;
}

/// Starts the program and kills it before it has done anything, or in the middle.
fn kill_at(home: &Home, words: &[&str], after: Duration) {
    let mut child = process::usher_at(home, words).spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Waits until PostgreSQL has noticed that the server is gone: what it is doing for it may still
/// commit until then.
async fn settle(home: &Home) {
    let Some(url) = home.url() else { return };
    let (client, wire) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let ask = async {
        let sql = "select count(*) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid()
                     and backend_type = 'client backend'";
        for _ in 0..3000 {
            if client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("connections of the killed server live on");
    };
    tokio::select! {
        () = ask => {}
        _ = wire => panic!("PostgreSQL went away"),
    }
}

/// Looks at the tables themselves. Of SQLite at a copy: the next start must find what the kill has
/// left, not what we have mended by opening it.
async fn whole(home: &Home) {
    let copied;
    let home = if home.is_shared() {
        home
    } else {
        let dir = tempfile::tempdir().unwrap();
        copy(home.dir(), dir.path());
        copied = Home::Sqlite(dir);
        &copied
    };
    let server = build(home, Setup::default()).await.unwrap();
    invariants::assert_whole(&server.apps).await;
    server::start::stop(&server).await;
}

/// Nothing half made is left on the disk; where nodes share the data, when its time has come.
async fn tidied(home: &Home) {
    let clock = Clock::stopped_at(Clock::system().now() + Seconds(3600));
    let server = build(home, Setup { clock, ..Setup::default() }).await.unwrap();
    server::start::run(&server).await.unwrap();
    let unfinished = || {
        server.apps.platform.data.read(|db| {
            let sql = "select id from control.apps where state <> 'active'";
            Ok::<_, server::error::Error>(db.rows(sql, &[], |row| row.get::<String>("id"))?)
        })
    };
    let began = Instant::now();
    while !unfinished().await.unwrap().is_empty() && began.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(unfinished().await.unwrap(), Vec::<String>::new());
    if !home.is_shared() {
        let there = std::fs::read_dir(home.dir().join("apps")).unwrap().count();
        let active = server.apps.platform.data.read(store::apps::active).await.unwrap();
        assert_eq!(there, active.len(), "folders of applications");
    }
    server::start::stop(&server).await;
}

async fn together<F: Future<Output = Client> + Send + 'static>(
    clients: Vec<Client>,
    app: &TestApp,
    all: bool,
    what: fn(Client, TestApp, bool) -> F,
) -> Vec<Client> {
    let tasks: JoinSet<_> = clients.into_iter().map(|it| what(it, app.clone(), all)).collect();
    tasks.join_all().await
}

/// A developer who changes settings and makes and removes applications meanwhile.
struct Developer {
    dice: Dice,
    shared: bool,
    key: String,
    /// The session time-out that was acknowledged, and the one that was not.
    timeout: u32,
    doubt_timeout: Option<u32>,
    /// Names of applications, and their ids.
    apps: Vec<(String, String)>,
    doubt_app: Option<AppDoubt>,
    count: u64,
    done: u64,
}

enum AppDoubt {
    Made(String),
    Removed(String, String),
}

impl Developer {
    fn new(seed: u64, shared: bool) -> Self {
        Self {
            dice: Dice(Random::seeded(seed * 1000 + 999)),
            shared,
            key: String::new(),
            timeout: 100_000,
            doubt_timeout: None,
            apps: Vec::new(),
            doubt_app: None,
            count: 0,
            done: 0,
        }
    }

    /// The first time; later the key must still be good.
    async fn log_in(&mut self, app: &TestApp) {
        if self.key.is_empty() {
            let body = json!({ "login": DEVELOPER.0, "password": DEVELOPER.1 });
            let reply = app.outside(Method::POST, "/console/home/login").body(body).send().await;
            reply.headers["auth-key"].to_str().unwrap().clone_into(&mut self.key);
            let settings = json!({
                "enableMultipleLogins": true, "maxConcurrentLogins": 0,
                "sessionTimeoutEnabled": true, "sessionTimeout": self.timeout,
            });
            self.about(app, Method::POST, "/userlogin").body(settings).send().await.ok();
        }
    }

    fn about(&self, app: &TestApp, method: Method, path: &str) -> Call {
        let path = format!("/{}/console{path}", app.id.0);
        app.outside(method, &path).header("auth-key", &self.key)
    }

    fn console(&self, app: &TestApp, method: Method, path: &str) -> Call {
        app.outside(method, &format!("/console{path}")).header("auth-key", &self.key)
    }

    /// Does something; false when the server is gone.
    async fn act(&mut self, app: &TestApp) -> bool {
        match self.dice.below(20) {
            0 => self.make_app(app).await,
            1 => self.remove_app(app).await,
            _ => self.change_timeout(app).await,
        }
    }

    async fn change_timeout(&mut self, app: &TestApp) -> bool {
        let wanted = self.timeout + 1;
        let body = json!({ "sessionTimeout": wanted });
        let call = self.about(app, Method::POST, "/userlogin").body(body);
        let Some(reply) = acknowledged(call).await else {
            self.doubt_timeout = Some(wanted);
            return false;
        };
        assert_eq!(reply.ok()["sessionTimeout"], wanted);
        (self.timeout, self.done) = (wanted, self.done + 1);
        // Others have work to do as well.
        tokio::time::sleep(Duration::from_millis(20)).await;
        true
    }

    async fn make_app(&mut self, app: &TestApp) -> bool {
        self.count += 1;
        let name = format!("app {}", self.count);
        let body = json!({ "appName": name });
        let call = self.console(app, Method::POST, "/applications").body(body);
        let Some(reply) = acknowledged(call).await else {
            self.doubt_app = Some(AppDoubt::Made(name));
            return false;
        };
        self.apps.push((name, text(&reply.ok()["id"])));
        self.done += 1;
        true
    }

    async fn remove_app(&mut self, app: &TestApp) -> bool {
        let Some((name, id)) = self.apps.pop() else { return true };
        let path = format!("/{id}/console/application");
        let call = app.outside(Method::DELETE, &path).header("auth-key", &self.key);
        let Some(reply) = acknowledged(call).await else {
            self.doubt_app = Some(AppDoubt::Removed(name, id));
            return false;
        };
        reply.ok();
        self.done += 1;
        true
    }

    async fn check(&mut self, app: &TestApp) {
        let settings = self.about(app, Method::GET, "/userlogin").send().await.ok();
        let found = settings["sessionTimeout"].as_u64().and_then(|it| u32::try_from(it).ok());
        let right = [Some(self.timeout), self.doubt_timeout.take()];
        assert!(found.is_some() && right.contains(&found), "{found:?} is none of {right:?}");
        self.timeout = found.unwrap();

        let listed = self.console(app, Method::GET, "/applications").send().await.ok();
        let mut there: Vec<(String, String)> =
            listed.as_array().unwrap().iter().map(named).collect();
        there.retain(|it| it.0 != "First");
        match self.doubt_app.take() {
            None => {}
            Some(AppDoubt::Made(name)) => match there.iter().find(|it| it.0 == name) {
                Some(made) => self.apps.push(made.clone()),
                None => self.make_again(app, &name, &mut there).await,
            },
            Some(AppDoubt::Removed(name, id)) => {
                self.apps
                    .extend(there.iter().find(|it| **it == (name.clone(), id.clone())).cloned());
            }
        }
        self.apps.sort();
        there.sort();
        assert_eq!(self.apps, there);
        if let Some((_, (_, id))) = self.dice.one_of(&self.apps) {
            let path = format!("/{id}/console/appsettings");
            let call = app.outside(Method::GET, &path).header("auth-key", &self.key);
            let keys: Reply = call.send().await;
            assert_eq!(keys.ok()["apiKeys"].as_array().unwrap().len(), 7);
        }
    }

    /// The name of an application that never came to be is free; where another node might still be
    /// at work, after a minute.
    async fn make_again(&mut self, app: &TestApp, name: &str, there: &mut Vec<(String, String)>) {
        let body = json!({ "appName": name });
        let call = self.console(app, Method::POST, "/applications").body(body);
        let began = Instant::now();
        let mut reply = call.clone().send().await;
        while reply.code() == 20013 && !self.shared && began.elapsed() < Duration::from_secs(10) {
            // What the kill has left is removed beside the first requests.
            tokio::time::sleep(Duration::from_millis(20)).await;
            reply = call.clone().send().await;
        }
        if self.shared && reply.code() == 20013 {
            return;
        }
        let made = named(&reply.ok());
        self.apps.push(made.clone());
        there.push(made);
    }
}

fn named(app: &Value) -> (String, String) {
    (text(&app["name"]), text(&app["id"]))
}
