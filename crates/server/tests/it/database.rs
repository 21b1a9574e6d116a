//! A fresh database for a test: a folder for SQLite, a copy of a template on PostgreSQL.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_postgres::config::Host;

/// Where the data of a test lies. Gone when it is dropped.
pub enum Home {
    /// A folder, and the embedded database in it.
    Sqlite(tempfile::TempDir),
    /// A database of the cluster for tests, and a folder for what is no database.
    Postgres(Copied, tempfile::TempDir),
}

/// A database that was made for a test.
pub struct Copied {
    cluster: String,
    name: String,
}

/// The master key of every test.
pub const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

impl Home {
    /// An empty home on the engine that `USHER_TEST_ENGINE` names; SQLite unless it says so.
    pub async fn empty() -> Self {
        Self::made_of("template0").await
    }

    /// The same with the tables of the platform in it, which saves a test the making of them.
    pub async fn prepared() -> Self {
        match cluster() {
            None => Self::empty().await,
            Some(_) => Self::made_of(template().await).await,
        }
    }

    async fn made_of(template: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        match cluster() {
            None => Self::Sqlite(dir),
            Some(cluster) => Self::Postgres(Copied::of(&cluster, template).await, dir),
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        match self {
            Self::Sqlite(dir) | Self::Postgres(_, dir) => dir.path(),
        }
    }

    /// The address of the database; `None` for the embedded one.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(copied, _) => Some(copied.url()),
        }
    }

    /// A connection of somebody else to the database, with what serves it; `None` where there can be
    /// none.
    pub async fn stranger(&self) -> Option<(tokio_postgres::Client, JoinSet<()>)> {
        let (client, wire) =
            tokio_postgres::connect(&self.url()?, tokio_postgres::NoTls).await.unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _ = wire.await;
        });
        Some((client, serving))
    }

    /// Whether several servers may share it.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(..))
    }
}

impl Copied {
    async fn of(cluster: &str, template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("usher_{}_{number}", std::process::id());
        let sql = format!("create database {name} template {template} encoding 'UTF8'");
        run(cluster, &format!("drop database if exists {name} with (force)")).await;
        run(cluster, &sql).await;
        Self { cluster: cluster.to_owned(), name }
    }

    fn url(&self) -> String {
        let config: tokio_postgres::Config = self.cluster.parse().unwrap();
        let host = match &config.get_hosts()[0] {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let password = config.get_password().map(|it| String::from_utf8(it.to_vec()).unwrap());
        format!(
            "host='{host}' port={} user='{}' dbname={}{}",
            config.get_ports().first().unwrap_or(&5432),
            config.get_user().unwrap(),
            self.name,
            password.map(|it| format!(" password='{it}'")).unwrap_or_default(),
        )
    }
}

impl Drop for Copied {
    /// Whatever the test has left behind on it, connections too, goes with it.
    fn drop(&mut self) {
        let (cluster, name) = (self.cluster.clone(), self.name.clone());
        let thread = std::thread::spawn(move || {
            let sql = format!("drop database if exists {name} with (force)");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(run(&cluster, &sql));
        });
        let _ = thread.join();
    }
}

/// The address of the cluster for tests, if they are to run on PostgreSQL. One that is asked for
/// and is not there is a mistake, never a reason to test something else.
pub fn cluster() -> Option<String> {
    let variable = |name| {
        #[expect(clippy::disallowed_methods, reason = "only tests know these")]
        std::env::var(name).ok()
    };
    match variable("USHER_TEST_ENGINE").as_deref() {
        None | Some("sqlite") => None,
        Some("postgres") => {
            let url = variable("TEST_DATABASE_URL");
            Some(url.expect("TEST_DATABASE_URL names the cluster; `cargo xtask pg` starts one"))
        }
        Some(other) => panic!("USHER_TEST_ENGINE is {other}; use sqlite or postgres"),
    }
}

/// The name of a database in which a server has made the platform's tables. Made once.
async fn template() -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let name = TEMPLATE.get_or_init(|| async {
        let home = Home::empty().await;
        let server = super::harness::build(&home, super::harness::Setup::default()).await;
        server::start::stop(&server.unwrap()).await;
        let Home::Postgres(copied, _) = home else { panic!("there is no cluster") };
        let name = copied.name.clone();
        // The cluster of the tests goes away as a whole, and the template with it.
        std::mem::forget(copied);
        name
    });
    name.await
}

async fn run(cluster: &str, sql: &str) {
    let config: tokio_postgres::Config = cluster.parse().unwrap();
    let (client, wire) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::select! {
        done = client.batch_execute(sql) => done.unwrap(),
        _ = wire => panic!("PostgreSQL went away during: {sql}"),
    }
}
