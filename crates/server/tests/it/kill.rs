//! kill −9 under load: what was acknowledged is there, what was not is whole or absent.
//!
//! Each client of the load knows what it was told, and nobody else touches its users. After each
//! kill the server is started on the same data and asked. `USHER_TEST_KILLS` sets how often it is
//! killed, and `USHER_TEST_SEED` when and under which load.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use server::clock::Seconds;
use server::data::grow;
use server::ids::Random;
use server::schema::USERS;
use server::store;
use server::users::write::Change;
use tokio::task::JoinSet;

use super::database::Home;
use super::harness::{HORSE, Reply, Setup, TestApp, TestServer, build, text};
use super::invariants;
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
            kill_at_start(&home, Duration::from_millis(dice.below(60)));
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

/// Found by the kills, on PostgreSQL, where the application is loaded anew soon after the start.
#[tokio::test]
async fn columns_are_known_at_once_when_the_application_was_loaded_anew_meanwhile() {
    let server = TestServer::compat().await;
    let (apps, id) = (&server.server.apps, &server.app.id.0);
    let old = apps.by_id(id).await.unwrap().unwrap();
    apps.forget(&old.id);
    let fresh = apps.by_id(id).await.unwrap().unwrap();

    let author = server::console::developers::operator(&server.server);
    let change = Change { server: server.server.clone(), app: old.clone(), author };
    let write = old.realm.data.write(move |tx| {
        grow::with_columns(tx, &change, USERS, &[("nick".to_owned(), json!("A"))])
    });
    write.await.unwrap();
    assert!(fresh.schema().table(USERS).unwrap().column("nick").is_some());
}

/// Starts the server and kills it before it has said anything, most times.
fn kill_at_start(home: &Home, after: Duration) {
    let mut child = process::usher_at(home, &["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap();
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
    let setup = Setup::default();
    let clock = setup.clock.clone();
    let server = build(home, setup).await.unwrap();
    clock.advance(Seconds(3600));
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

/// A number from the environment.
pub fn number(name: &str, usual: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "only tests know these")]
    let text = std::env::var(name);
    text.map_or(usual, |it| it.parse().unwrap())
}

/// Seeded chance.
pub struct Dice(pub Random);

impl Dice {
    pub fn below(&mut self, end: u64) -> u64 {
        u64::from_le_bytes(self.0.bytes()) % end
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<(usize, &'a T)> {
        let end = u64::try_from(of.len()).ok().filter(|it| *it > 0)?;
        let index = usize::try_from(self.below(end)).ok()?;
        Some((index, &of[index]))
    }
}

/// One of many who use the application, and what it was told.
struct Client {
    number: u64,
    dice: Dice,
    people: Vec<Person>,
    objects: Vec<Object>,
    /// For names that nobody has used.
    count: u64,
    /// What was asked and not answered when the server died.
    doubt: Option<Doubt>,
    /// Acknowledged writes.
    done: u64,
}

struct Person {
    id: String,
    email: Option<String>,
    disabled: bool,
    /// Tokens, and whether they live.
    sessions: Vec<(String, bool)>,
    extra: Option<(String, String)>,
    touched: bool,
}

struct Object {
    table: String,
    id: String,
    property: (String, String),
    touched: bool,
}

enum Doubt {
    Register {
        email: String,
        extra: Option<(String, String)>,
    },
    LogOut {
        person: usize,
        session: usize,
    },
    Status {
        person: usize,
        disabled: bool,
    },
    /// What leaves no name to ask for: a guest, a session, an object. The tables tell.
    Nameless,
}

impl Client {
    fn new(number: u64, seed: u64) -> Self {
        let dice = Dice(Random::seeded(seed * 1000 + number));
        let (people, objects) = (Vec::new(), Vec::new());
        Self { number, dice, people, objects, count: 0, doubt: None, done: 0 }
    }

    /// Does something that writes; false when the server is gone.
    async fn act(&mut self, app: &TestApp, newest: u64) -> bool {
        match self.dice.below(100) {
            0..8 => self.register(app, newest).await,
            8..30 => self.enter_as_guest(app).await,
            30..32 => self.log_in(app, true).await,
            32..55 => self.log_in(app, false).await,
            55..75 => self.log_out(app).await,
            75..88 => self.change_status(app).await,
            _ => self.add_object(app, newest).await,
        }
    }

    /// The answer to a write. Without one, `doubt` is what remains to be found out.
    async fn ask(&mut self, call: super::harness::Call, doubt: Doubt) -> Option<Value> {
        if let Ok(reply) = call.try_send().await {
            self.done += 1;
            return Some(reply.ok());
        }
        self.doubt = Some(doubt);
        None
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("u{}.{}", self.number, self.count)
    }

    /// Sometimes a property; sometimes one that there was not yet.
    fn property(&mut self, newest: u64) -> Option<(String, String)> {
        let name = format!("extra_{}", self.dice.below(newest + 1));
        (self.dice.below(3) == 0).then(|| (name, format!("value {}", self.count)))
    }

    async fn register(&mut self, app: &TestApp, newest: u64) -> bool {
        let email = format!("{}@example.com", self.name());
        let extra = self.property(newest);
        let doubt = Doubt::Register { email: email.clone(), extra: extra.clone() };
        let Some(made) = self.ask(registration(app, &email, extra.as_ref()), doubt).await else {
            return false;
        };
        self.welcome(&made, Some(email), extra);
        true
    }

    fn welcome(
        &mut self,
        made: &Value,
        email: Option<String>,
        extra: Option<(String, String)>,
    ) -> usize {
        let id = text(&made["objectId"]);
        let token = made["user-token"].as_str().map(|it| (it.to_owned(), true));
        let sessions = token.into_iter().collect();
        self.people.push(Person { id, email, disabled: false, sessions, extra, touched: true });
        self.people.len() - 1
    }

    async fn enter_as_guest(&mut self, app: &TestApp) -> bool {
        let call = app.post("/users/register/guest", json!({}));
        let Some(made) = self.ask(call, Doubt::Nameless).await else { return false };
        self.welcome(&made, None, None);
        true
    }

    async fn log_in(&mut self, app: &TestApp, by_password: bool) -> bool {
        let Some((index, person)) = self.dice.one_of(&self.people) else { return true };
        let Some(email) = person.email.as_ref().filter(|_| !person.disabled) else { return true };
        let call = if by_password {
            app.post("/users/login", json!({ "login": email, "password": HORSE }))
        } else {
            let id = json!({ "objectId": person.id });
            app.server_code(Method::POST, "/users/login").body(id)
        };
        let Some(user) = self.ask(call, Doubt::Nameless).await else { return false };
        let person = &mut self.people[index];
        person.sessions.push((text(&user["user-token"]), true));
        person.touched = true;
        true
    }

    async fn log_out(&mut self, app: &TestApp) -> bool {
        let Some((person, it)) = self.dice.one_of(&self.people) else { return true };
        let Some(session) = it.sessions.iter().position(|it| it.1) else { return true };
        let call = app.get("/users/logout").token(&it.sessions[session].0);
        let doubt = Doubt::LogOut { person, session };
        let done = self.ask(call, doubt).await.is_some();
        let person = &mut self.people[person];
        person.touched = true;
        person.sessions[session].1 &= !done;
        done
    }

    async fn change_status(&mut self, app: &TestApp) -> bool {
        let Some((index, person)) = self.dice.one_of(&self.people) else { return true };
        if person.email.is_none() {
            return true;
        }
        let disabled = !person.disabled;
        let word = if disabled { "DISABLED" } else { "ENABLED" };
        let path = format!("/users/{}/status", person.id);
        let call = app.server_code(Method::PUT, &path).body(json!({ "userStatus": word }));
        let done = self.ask(call, Doubt::Status { person: index, disabled }).await.is_some();
        self.people[index].touched = true;
        if done {
            self.people[index].becomes(disabled);
        }
        done
    }

    async fn add_object(&mut self, app: &TestApp, newest: u64) -> bool {
        let table = format!("Boats_{}", self.dice.below(newest + 1));
        let property = (format!("extra_{}", self.dice.below(newest + 1)), self.name());
        let body = json!({ &property.0: property.1 });
        let call = app.post(&format!("/data/{table}"), body);
        let Some(made) = self.ask(call, Doubt::Nameless).await else { return false };
        let id = text(&made["objectId"]);
        self.objects.push(Object { table, id, property, touched: true });
        true
    }

    /// Compares what the server says with what it has said: of all that was touched since the last
    /// kill and of some of the rest, or of everything.
    async fn check(mut self, app: TestApp, all: bool) -> Self {
        self.resolve(&app).await;
        let mut turn = self.dice.below(40);
        let mut due = |touched: &mut bool| {
            turn += 1;
            std::mem::take(touched) || all || turn.is_multiple_of(40)
        };
        for person in &mut self.people {
            if due(&mut person.touched) {
                person.check(&app).await;
            }
        }
        for object in &mut self.objects {
            if due(&mut object.touched) {
                let path = format!("/data/{}/{}", object.table, object.id);
                let found = app.get(&path).send().await.ok();
                assert_eq!(found[&object.property.0], object.property.1, "{path}");
            }
        }
        self.enter_with_password(&app).await;
        self
    }

    /// Finds out how that which was not answered has ended; either way is right.
    async fn resolve(&mut self, app: &TestApp) {
        match self.doubt.take() {
            None | Some(Doubt::Nameless) => {}
            Some(Doubt::Register { email, extra }) => {
                let mut reply = app.login(&email, HORSE).await;
                if reply.code() == 3003 {
                    // Nothing of it is left that would be in the way now.
                    reply = registration(app, &email, extra.as_ref()).send().await;
                }
                self.welcome(&reply.ok(), Some(email), extra);
            }
            Some(Doubt::LogOut { person, session }) => {
                let session = &mut self.people[person].sessions[session];
                session.1 = app.is_valid(&session.0).await;
            }
            Some(Doubt::Status { person, disabled }) => {
                let person = &mut self.people[person];
                if person.read(app).await["userStatus"] == word(disabled) {
                    person.becomes(disabled);
                }
            }
        }
    }

    /// Somebody logs in with the password that was acknowledged.
    async fn enter_with_password(&mut self, app: &TestApp) {
        let able: Vec<_> = self.people.iter().filter(|it| it.email.is_some()).collect();
        let Some((_, person)) = self.dice.one_of(&able) else { return };
        let reply = app.login(person.email.as_ref().unwrap(), HORSE).await;
        if person.disabled {
            reply.refused(3090);
        } else {
            reply.ok();
        }
    }
}

fn registration(
    app: &TestApp,
    email: &str,
    extra: Option<&(String, String)>,
) -> super::harness::Call {
    let mut body = json!({ "email": email, "password": HORSE });
    if let Some((name, value)) = extra {
        body[name] = value.as_str().into();
    }
    app.post("/users/register", body)
}

fn word(disabled: bool) -> &'static str {
    if disabled { "DISABLED" } else { "ENABLED" }
}

impl Person {
    fn becomes(&mut self, disabled: bool) {
        self.disabled = disabled;
        if disabled {
            self.sessions.iter_mut().for_each(|it| it.1 = false);
        }
    }

    async fn read(&self, app: &TestApp) -> Value {
        app.server_code(Method::GET, &format!("/users/{}", self.id)).send().await.ok()
    }

    async fn check(&self, app: &TestApp) {
        let found = self.read(app).await;
        let status = if self.email.is_some() { word(self.disabled) } else { "GUEST" };
        assert_eq!(found["userStatus"], status, "{found}");
        assert_eq!(found["email"], json!(self.email), "{found}");
        if let Some((name, value)) = &self.extra {
            assert_eq!(found[name], *value, "{name} of {found}");
        }
        // A user has many sessions at the end; the newest say enough, but for those that live.
        let tail = self.sessions.len().saturating_sub(4);
        for (index, (token, alive)) in self.sessions.iter().enumerate() {
            if *alive || index >= tail {
                assert_eq!(app.is_valid(token).await, *alive, "session {index} of {found}");
            }
        }
    }
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

    fn about(&self, app: &TestApp, method: Method, path: &str) -> super::harness::Call {
        let path = format!("/{}/console{path}", app.id.0);
        app.outside(method, &path).header("auth-key", &self.key)
    }

    fn console(&self, app: &TestApp, method: Method, path: &str) -> super::harness::Call {
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
        let reply = self.about(app, Method::POST, "/userlogin").body(body).try_send().await;
        let Ok(reply) = reply else {
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
        let Ok(reply) = call.try_send().await else {
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
        let Ok(reply) = call.try_send().await else {
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
