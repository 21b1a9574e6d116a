//! The load under which the server is killed: clients who write, and who know what they were told.

use http::Method;
use serde_json::{Value, json};
use server::ids::Random;

use super::harness::{Call, HORSE, Reply, TestApp, text};

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

    /// One of a list, and where it stands.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<(usize, &'a T)> {
        let end = u64::try_from(of.len()).ok().filter(|it| *it > 0)?;
        let index = usize::try_from(self.below(end)).ok()?;
        Some((index, &of[index]))
    }
}

/// One of many who use the application, and what it was told.
pub struct Client {
    number: u64,
    dice: Dice,
    /// Whom it has registered.
    pub people: Vec<Person>,
    objects: Vec<Object>,
    /// For names that nobody has used.
    count: u64,
    /// What was asked and not answered when the server died.
    doubt: Option<Doubt>,
    /// Acknowledged writes.
    pub done: u64,
}

/// A user, as far as was told.
pub struct Person {
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
    /// The client of that number.
    pub fn new(number: u64, seed: u64) -> Self {
        let dice = Dice(Random::seeded(seed * 1000 + number));
        let (people, objects) = (Vec::new(), Vec::new());
        Self { number, dice, people, objects, count: 0, doubt: None, done: 0 }
    }

    /// Does something that writes; false when the server is gone.
    pub async fn act(&mut self, app: &TestApp, newest: u64) -> bool {
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
    async fn ask(&mut self, call: Call, doubt: Doubt) -> Option<Value> {
        let reply = acknowledged(call).await;
        match &reply {
            Some(_) => self.done += 1,
            None => self.doubt = Some(doubt),
        }
        reply.map(|it| it.ok())
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
    pub async fn check(mut self, app: TestApp, all: bool) -> Self {
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

/// The answer to a write, if there is a whole one. A 503 acknowledges nothing.
pub async fn acknowledged(call: Call) -> Option<Reply> {
    call.try_send().await.ok().filter(|it| it.status != 503)
}

fn registration(app: &TestApp, email: &str, extra: Option<&(String, String)>) -> Call {
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
