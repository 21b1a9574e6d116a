//! A server for a test, on a loopback port, with a clock that stands still; and people to talk to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use server::clock::{Clock, Millis};
use server::config::{self, Options};
use server::console::{apps, developers};
use server::ids::{AppId, DeveloperId, Random};
use server::router;
use server::server::Server;
use server::settings::Profile;
use server::start::{self, Instruments};
use server::web::{Outer, listen};

use super::database::{Home, MASTER_KEY};

/// How long a test waits for what should take a moment, on the slowest of machines.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A password that every profile takes.
pub const HORSE: &str = "correct horse";

/// The address and password of the developer who owns a test's applications.
pub const OWNER: (&str, &str) = ("dag@example.com", "four words in a row");

/// When a test begins: 2023-11-14, 22:13:20 UTC.
pub const START: Millis = Millis(1_700_000_000_000);

/// How a server of a test differs from the usual one.
#[derive(Clone)]
pub struct Setup {
    /// The profile of its first application.
    pub profile: Profile,
    /// Settings of the operator.
    pub options: Options,
    /// Faults and witnesses of the storage.
    pub hooks: engine::Hooks,
    /// Its clock; a second server on the same data takes the first one's.
    pub clock: Clock,
}

/// Limits that no test reaches that is not about them: all of its people come from one address, and
/// a busy machine is slow.
pub fn unbraked() -> Options {
    let far = Some(1_000_000);
    Options {
        database_seconds: Some(30),
        hash_wait_seconds: Some(60),
        registrations_per_hour: far,
        wrong_passwords_per_place: far,
        wrong_passwords_per_source: far,
        wrong_passwords_per_account: far,
        ..Options::default()
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            profile: Profile::Standard,
            options: unbraked(),
            hooks: engine::Hooks::default(),
            clock: Clock::stopped_at(START),
        }
    }
}

/// Builds a server on the data of `home`, without a door. The error is the line that an operator
/// would see.
pub async fn build(home: &Home, setup: Setup) -> Result<Server, String> {
    let mut options = setup.options;
    options.data_dir = Some(home.dir().to_owned());
    options.database_url = home.url();
    let mut variables = Vec::new();
    if let Some(url) = options.database_url.take() {
        variables.push(("USHER_DATABASE_URL".to_owned(), url));
        variables.push(("USHER_MASTER_KEY".to_owned(), MASTER_KEY.to_owned()));
    }
    let config = config::read(options, None, variables.into_iter())?;
    let random = Random::system();
    let instruments =
        Instruments { clock: setup.clock, random, hooks: setup.hooks, durable: false };
    start::build(&config, "http://usher.test", instruments).await
}

/// A running server.
pub struct TestServer {
    /// Its parts, for what has no door.
    pub server: Server,
    /// Its time.
    pub clock: Clock,
    /// Its first application.
    pub app: TestApp,
    /// Where it listens.
    pub address: SocketAddr,
    setup: Setup,
    home: Option<Home>,
}

impl TestServer {
    /// A server with one application, profile `standard`.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// A server with one application, profile `compat`.
    pub async fn compat() -> Self {
        Self::with(Setup { profile: Profile::Compat, ..Setup::default() }).await
    }

    /// A server for each profile: what holds in one holds in the other, but for the closed list of
    /// what `compat` relaxes (security P-2).
    pub async fn in_each_profile() -> [Self; 2] {
        [Self::start().await, Self::compat().await]
    }

    /// A server that is set up like this.
    pub async fn with(setup: Setup) -> Self {
        let home = Home::prepared().await;
        let server = build(&home, setup.clone()).await.unwrap();
        let (address, profile) = (open(&server).await, setup.profile);
        let (email, secret) = OWNER;
        let owner = DeveloperId(developers::add(&server, email, "Dag", secret).await.unwrap().0);
        let made = make(&server, &owner, "First", profile).await;
        let app = TestApp::new(address, made);
        Self { clock: setup.clock.clone(), server, app, address, setup, home: Some(home) }
    }

    /// One more application of the same owner.
    pub async fn new_app(&self, name: &str, profile: Profile) -> TestApp {
        let platform = &self.server.apps.platform.data;
        let owner = platform.read(server::store::developers::first_two).await.unwrap().remove(0);
        TestApp::new(self.address, make(&self.server, &owner, name, profile).await)
    }

    /// Stops the server and starts one on the same data, at the same time of the clock.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same with another set-up.
    pub async fn restart_with(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        change(&mut self.setup);
        let home = self.home.take().unwrap();
        start::stop(&self.server).await;
        let server = build(&home, self.setup.clone()).await.unwrap();
        self.begin_again(server, home).await
    }

    /// Drops all that is in memory, as a kill would, and starts a server on the same data.
    pub async fn crash(mut self) -> Self {
        let home = self.home.take().unwrap();
        self.server.live.take_touches(Millis(i64::MAX));
        self.restart_on(home).await
    }

    async fn restart_on(self, home: Home) -> Self {
        start::stop(&self.server).await;
        let server = build(&home, self.setup.clone()).await.unwrap();
        self.begin_again(server, home).await
    }

    async fn begin_again(self, server: Server, home: Home) -> Self {
        let address = open(&server).await;
        let app = self.app.at(address);
        let (clock, setup) = (self.clock.clone(), self.setup.clone());
        Self { clock, server, app, address, setup, home: Some(home) }
    }

    /// A second server beside this one on the same data; `None` where one process owns the data.
    pub async fn second_node(&self) -> Option<Self> {
        let home = self.home.as_ref().filter(|it| it.is_shared())?;
        let server = build(home, self.setup.clone()).await.unwrap();
        let address = open(&server).await;
        let (app, clock) = (self.app.at(address), self.clock.clone());
        Some(Self { clock, server, app, address, setup: self.setup.clone(), home: None })
    }

    /// A second server that never reads what others have changed; `None` where one process owns
    /// the data.
    pub async fn node_that_hears_nothing(&self, faults: &Arc<engine::Faults>) -> Option<Self> {
        let home = self.home.as_ref().filter(|it| it.is_shared())?;
        let hooks = engine::Hooks { faults: Some(Arc::clone(faults)), seen: None };
        let setup = Setup { hooks, ..self.setup.clone() };
        let server = build(home, setup.clone()).await.unwrap();
        let outer = Arc::new(Outer::new(&server, &router::routes()));
        let address = listen_with(&server, outer).await;
        let (app, clock) = (self.app.at(address), self.clock.clone());
        Some(Self { clock, server, app, address, setup, home: None })
    }

    /// Waits until the server knows what others have changed, and so believes its memory.
    pub async fn hears(&self) {
        let began = Instant::now();
        while !self.server.lease.is_fresh() {
            assert!(began.elapsed() < PATIENCE, "the change log is not read");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Fails unless this node, the other one, acts by a change that was answered just now from two
    /// seconds after the answer on (security S-4). A node that does not know what others have changed
    /// refuses everything, and may do so for as long as a busy machine keeps it from asking.
    pub async fn knows_within_two_seconds(
        &self,
        what: &str,
        mut is_so: impl AsyncFnMut(&TestApp) -> bool,
    ) {
        let answered = Instant::now();
        loop {
            let asked = answered.elapsed();
            if is_so(&self.app).await {
                return;
            }
            let excused = !self.server.lease.is_fresh() && asked < PATIENCE;
            assert!(asked < Duration::from_secs(2) || excused, "{what}, on the other node");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where the data lies.
    pub fn home(&self) -> &Home {
        self.home.as_ref().expect("the first server owns the data")
    }

    /// A request to a path of the server.
    pub fn call(&self, method: Method, path: &str) -> Call {
        Call::new(&self.app.pool, method, &format!("http://{}{path}", self.address))
    }

    /// The Console, with the owner logged in.
    pub async fn desk(&self) -> Desk {
        let (email, secret) = OWNER;
        let login = json!({ "login": email, "password": secret });
        let reply = self.call(Method::POST, "/console/home/login").body(login).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let key = reply.headers["auth-key"].to_str().unwrap().to_owned();
        Desk { app: self.app.clone(), root: format!("http://{}", self.address), key }
    }
}

impl Drop for TestServer {
    /// A test that is over keeps no threads and no memory of hashing for the next one.
    fn drop(&mut self) {
        self.server.background.begin_stop();
    }
}

/// Opens the door of a server that was built.
pub async fn open(server: &Server) -> SocketAddr {
    listen_with(server, start::run(server).await.unwrap()).await
}

async fn listen_with(server: &Server, outer: Arc<Outer>) -> SocketAddr {
    let (listener, address) = listen::bind("127.0.0.1:0").await.unwrap();
    let keep = server.clone();
    server.background.run_to_end(async move { listen::serve(&keep, listener, outer).await });
    address
}

async fn make(server: &Server, owner: &DeveloperId, name: &str, profile: Profile) -> apps::Made {
    let author = developers::operator(server);
    apps::make(server, author, (owner, name, profile)).await.unwrap()
}

/// An application of a test, and the way to it with its keys.
#[derive(Clone)]
pub struct TestApp {
    /// Its id.
    pub id: AppId,
    /// Kind of client and key.
    pub keys: BTreeMap<&'static str, String>,
    root: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl TestApp {
    fn new(address: SocketAddr, made: apps::Made) -> Self {
        let keys = made.keys.iter().map(|(device, key)| (*device, key.reveal().to_owned()));
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        let root = format!("http://{address}");
        Self { id: made.app.id, keys: keys.collect(), root, pool }
    }

    /// An application of the server at `root`, by what `usher app create` has printed.
    pub fn known(root: &str, made: &Value) -> Self {
        let keys = apps::DEVICES.map(|it| (it, text(&made["apiKeys"][it])));
        let (id, pool) = (text(&made["id"]), Pool::builder(TokioExecutor::new()).build_http());
        Self { id: AppId(id.into()), keys: keys.into(), root: root.to_owned(), pool }
    }

    fn at(&self, address: SocketAddr) -> Self {
        Self { root: format!("http://{address}"), ..self.clone() }
    }

    /// A request with the key of JavaScript clients.
    pub fn call(&self, method: Method, path: &str) -> Call {
        self.call_with("JS", method, path)
    }

    /// A request with the key of server code.
    pub fn server_code(&self, method: Method, path: &str) -> Call {
        self.call_with("BL", method, path)
    }

    /// A request with that kind of key.
    pub fn call_with(&self, device: &str, method: Method, path: &str) -> Call {
        let url = format!("{}/{}/{}{path}", self.root, self.id.0, self.keys[device]);
        Call::new(&self.pool, method, &url)
    }

    /// A request to a path of the server, not of the application.
    pub fn outside(&self, method: Method, path: &str) -> Call {
        Call::new(&self.pool, method, &format!("{}{path}", self.root))
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// `POST` with a body.
    pub fn post(&self, path: &str, body: Value) -> Call {
        self.call(Method::POST, path).body(body)
    }

    /// Registers a user.
    pub async fn register(&self, email: &str, password: &str) -> Reply {
        self.post("/users/register", json!({ "email": email, "password": password })).send().await
    }

    /// Logs in.
    pub async fn login(&self, email: &str, password: &str) -> Reply {
        self.post("/users/login", json!({ "login": email, "password": password })).send().await
    }

    /// Registers a user with the usual password; gives the object id.
    pub async fn user(&self, email: &str) -> String {
        text(&self.register(email, HORSE).await.ok()["objectId"])
    }

    /// Logs in with the usual password; gives the token.
    pub async fn token(&self, email: &str) -> String {
        text(&self.login(email, HORSE).await.ok()["user-token"])
    }

    /// Logs in as a guest; gives object id and token.
    pub async fn guest(&self) -> (String, String) {
        let guest = self.post("/users/register/guest", json!({})).send().await.ok();
        (text(&guest["objectId"]), text(&guest["user-token"]))
    }

    /// Whether a token is alive. Asking does not prolong it.
    pub async fn is_valid(&self, token: &str) -> bool {
        let reply = self.get(&format!("/users/isvalidusertoken/{token}")).send().await;
        reply.ok().as_bool().unwrap()
    }

    /// Uses a session: reads the caller's own record.
    pub async fn read(&self, user: &str, token: &str) -> Reply {
        self.get(&format!("/data/Users/{user}")).token(token).send().await
    }

    /// Logs out.
    pub async fn log_out(&self, token: &str) -> Reply {
        self.get("/users/logout").token(token).send().await
    }

    /// Changes a user; nobody does it if the token is empty.
    pub async fn update(&self, user: &str, token: &str, change: Value) -> Reply {
        let call = self.call(Method::PUT, &format!("/users/{user}"));
        let call = if token.is_empty() { call } else { call.token(token) };
        call.body(change).send().await
    }

    /// Enables or disables a user, as server code.
    pub async fn set_status(&self, user: &str, status: &str) -> Reply {
        let path = format!("/users/{user}/status");
        self.server_code(Method::PUT, &path).body(json!({ "userStatus": status })).send().await
    }
}

/// A developer at the Console.
pub struct Desk {
    app: TestApp,
    root: String,
    /// The session key.
    pub key: String,
}

impl Desk {
    /// A request under `/console`.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let url = format!("{}/console{path}", self.root);
        Call::new(&self.app.pool, method, &url).header("auth-key", &self.key)
    }

    /// A request about the first application.
    pub fn about(&self, method: Method, path: &str) -> Call {
        let url = format!("{}/{}/console{path}", self.root, self.app.id.0);
        Call::new(&self.app.pool, method, &url).header("auth-key", &self.key)
    }

    /// A request about another application.
    pub fn to(&self, app: &TestApp, method: Method, path: &str) -> Call {
        let url = format!("{}/{}/console{path}", self.root, app.id.0);
        Call::new(&self.app.pool, method, &url).header("auth-key", &self.key)
    }

    /// Changes the settings of login.
    pub async fn login_settings(&self, change: Value) -> Value {
        self.about(Method::POST, "/userlogin").body(change).send().await.ok()
    }

    /// Changes the settings of registration.
    pub async fn registration_settings(&self, change: Value) -> Value {
        self.about(Method::PUT, "/userregistration").body(change).send().await.ok()
    }
}

/// A request that is being written.
#[must_use]
#[derive(Clone)]
pub struct Call {
    pool: Pool<HttpConnector, Full<Bytes>>,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn new(pool: &Pool<HttpConnector, Full<Bytes>>, method: Method, url: &str) -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self { pool: pool.clone(), method, url: url.to_owned(), headers, body }
    }

    /// A request to an address.
    pub fn to(method: Method, url: &str) -> Self {
        Self::new(&Pool::builder(TokioExecutor::new()).build_http(), method, url)
    }

    /// Where it goes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// With a JSON body.
    pub fn body(self, body: Value) -> Self {
        self.raw(body.to_string())
    }

    /// With a body as it is, said to be JSON.
    pub fn raw(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    /// With a session token.
    pub fn token(self, token: &str) -> Self {
        self.header("user-token", token)
    }

    /// With one more header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    /// Sends it.
    pub async fn send(self) -> Reply {
        self.try_send().await.unwrap()
    }

    /// Sends it. The error: there was no whole answer.
    pub async fn try_send(self) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder().method(&self.method).uri(&self.url);
        request.headers_mut().unwrap().extend(self.headers);
        let request = request.body(Full::new(self.body)).unwrap();
        let response = self.pool.request(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let reply = Reply { status: parts.status, headers: parts.headers, body };
        super::reference::is_as_told(&self.method, &self.url, &reply);
        Ok(reply)
    }
}

/// What the server has answered.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Reply {
    /// The body as JSON; `null` without one.
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|it| panic!("{it}: {self:?}"))
    }

    /// The code of a refusal; 0 of a success.
    pub fn code(&self) -> u64 {
        if self.status.is_success() { 0 } else { self.json()["code"].as_u64().unwrap() }
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json()
    }

    /// The body of a refusal with that code.
    #[track_caller]
    pub fn refused(&self, code: u64) -> Value {
        assert!(!self.status.is_success(), "{self:?} should be refused with {code}");
        assert_eq!(self.json()["code"], code, "{self:?}");
        self.json()
    }
}

/// The text in a value.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
