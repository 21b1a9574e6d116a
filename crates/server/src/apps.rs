//! The applications that the server hosts: the only place that opens databases.
//!
//! **Invariant:** an [`App`] is had by its id alone, and its `data` reaches nothing of another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use engine::{Cell, Place, Scope};
use quick_cache::sync::Cache;

use crate::clock::{Millis, Seconds};
use crate::error::Result;
use crate::ids::{AppId, DeveloperId};
use crate::schema::{Schema, Table, USERS};
use crate::secret::TokenHash;
use crate::server::Lease;
use crate::settings::{Profile, SESSION_AGE, Settings};
use crate::store::apps::State;
use crate::store::migrate::{self, Part};
use crate::store::query::Plans;
use crate::store::{self, Database, keys};

/// Where sessions live: one application, or the platform with its developers.
#[derive(Clone)]
pub struct Realm {
    /// Different for every application, and the same however often it is loaded: what is kept of its
    /// sessions in memory is kept under it, so a revocation meets it whoever has loaded it, and
    /// nothing of two applications ever meets.
    pub serial: u64,
    /// Its rows.
    pub data: Database,
    /// Whether its sessions are those of developers.
    pub platform: bool,
}

/// How long sessions live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Without a request.
    pub idle: Seconds,
    /// However much it is used.
    pub age: Option<Seconds>,
}

impl Lifetime {
    /// Sessions of the Console end after 30 minutes idle and 12 hours in all (ASVS 5.0, 7.3.1).
    pub const CONSOLE: Self = Self { idle: Seconds(30 * 60), age: Some(Seconds(12 * 3600)) };

    /// That of an application's sessions.
    pub fn of(profile: Profile, settings: &Settings) -> Self {
        let age = (profile == Profile::Standard).then_some(SESSION_AGE);
        Self { idle: settings.session_timeout(), age }
    }

    /// How far `last_seen` in the database may be behind the truth: a tenth of the time-out, from
    /// one second to one minute. A session ends at the earliest one time-out after its last use,
    /// and at the latest this much later.
    pub fn slack(self) -> Seconds {
        Seconds((self.idle.0 / 10).clamp(1, 60))
    }
}

/// One application: its data, settings, keys and tables.
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// Who made it.
    pub owner: DeveloperId,
    /// How strict it is.
    pub profile: Profile,
    /// When it was made.
    pub created: Millis,
    /// Its rows, and under what its sessions are kept.
    pub realm: Realm,
    /// The settings in force when it was loaded; a change loads it anew.
    pub settings: Settings,
    /// Its API keys.
    pub keys: Vec<keys::Key>,
    /// The plans of queries, shared by all applications.
    pub plans: Arc<Plans>,
    schema: ArcSwap<Schema>,
}

impl App {
    /// Its tables as of now. Take them once per request.
    pub fn schema(&self) -> Arc<Schema> {
        self.schema.load_full()
    }

    /// Its table of users.
    pub fn users(&self) -> Result<Arc<Table>> {
        let schema = self.schema();
        schema.table(USERS).cloned().ok_or_else(|| {
            crate::error::Error::internal(format!("application {} has no users", self.id.0))
        })
    }

    /// Takes over a newer description of the tables.
    pub fn set_schema(&self, schema: &Arc<Schema>) {
        self.schema.rcu(|old| {
            if old.version < schema.version { Arc::clone(schema) } else { Arc::clone(old) }
        });
    }

    /// The key with that digest.
    pub fn key(&self, hash: &TokenHash) -> Option<&keys::Key> {
        self.keys.iter().find(|it| it.hash == *hash)
    }

    /// How long its sessions live.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime::of(self.profile, &self.settings)
    }
}

/// All applications; those in use are kept in memory.
pub struct Apps {
    cell: Cell,
    /// The platform's own rows.
    pub platform: Realm,
    /// The plans of queries.
    pub plans: Arc<Plans>,
    cache: Cache<AppId, Arc<App>>,
    /// Host names and for which application and key they stand.
    hosts: Cache<String, (AppId, Arc<str>)>,
    /// Counts what has been forgotten. A loading that began before is not kept.
    forgotten: Mutex<u64>,
    serials: Mutex<HashMap<AppId, u64>>,
    /// Whether what is in memory may be believed.
    lease: Lease,
}

impl Apps {
    /// The applications in `cell`; `most` of them are kept in memory.
    pub fn new(cell: Cell, most: usize, lease: Lease) -> Self {
        let scope = Scope { id: "".into(), place: Place::Control };
        let platform = Realm { serial: 0, data: cell.database(scope), platform: true };
        let (cache, hosts) = (Cache::new(most), Cache::new(most));
        let (forgotten, serials) = (Mutex::new(0), Mutex::default());
        let plans = Arc::default();
        Self { cell, platform, plans, cache, hosts, forgotten, serials, lease }
    }

    /// Brings the platform's tables up to this version.
    pub async fn start(&self) -> Result<()> {
        self.cell.create_place(self.platform.data.scope()).await?;
        self.platform
            .data
            .write(|tx| {
                migrate::bring_up(tx, Part::Control)?;
                migrate::bring_up(tx, Part::Sys)
            })
            .await
    }

    /// The active application with that id, in any letter case.
    pub async fn by_id(&self, id: &str) -> Result<Option<Arc<App>>> {
        if id.len() > 64 {
            return Ok(None);
        }
        let id = AppId(id.to_ascii_uppercase().into());
        if let Some(app) = self.cache.get(&id).filter(|_| self.lease.is_fresh()) {
            return Ok(Some(app));
        }
        let before = *self.forgotten();
        let Some(app) = self.load(id.clone()).await? else { return Ok(None) };
        let app = Arc::new(app);
        let now = self.forgotten();
        if *now == before {
            self.cache.insert(id, Arc::clone(&app));
        }
        Ok(Some(app))
    }

    /// The active application that a host name in its one form stands for, and the id of the API key
    /// that it stands for.
    pub async fn by_host(&self, host: &str) -> Result<Option<(Arc<App>, Arc<str>)>> {
        let found = if let Some(found) = self.hosts.get(host).filter(|_| self.lease.is_fresh()) {
            found
        } else {
            let before = *self.forgotten();
            let name = host.to_owned();
            let read = self.platform.data.read(move |db| store::domains::by_host(db, &name));
            // Names that stand for nothing are not kept: there is no end of them.
            let Some(domain) = read.await? else { return Ok(None) };
            let found = (domain.app, Arc::from(domain.api_key_id));
            let now = self.forgotten();
            if *now == before {
                self.hosts.insert(host.to_owned(), found.clone());
            }
            found
        };
        Ok(self.by_id(&found.0.0).await?.map(|it| (it, found.1)))
    }

    /// Forgets for whom a host name stands, like [`Apps::forget`].
    pub fn forget_host(&self, host: &str) {
        let mut forgotten = self.forgotten();
        *forgotten += 1;
        self.hosts.remove(host);
    }

    /// Forgets what is known of an application: the next request reads it anew. Call it after the
    /// commit that changed it, before the answer.
    pub fn forget(&self, id: &AppId) {
        let mut forgotten = self.forgotten();
        *forgotten += 1;
        self.cache.remove(id);
    }

    /// Takes over a newer description of an application's tables, into whatever is kept of the
    /// application by now: that need not be what the request that made it has in hand. Call it
    /// after the commit, before the answer.
    pub fn set_schema(&self, id: &AppId, schema: &Arc<Schema>) {
        let mut forgotten = self.forgotten();
        // A loading that has begun may have read the description before.
        *forgotten += 1;
        if let Some(app) = self.cache.get(id) {
            app.set_schema(schema);
        }
    }

    /// Forgets all applications.
    pub fn forget_all(&self) {
        let mut forgotten = self.forgotten();
        *forgotten += 1;
        self.cache.clear();
        self.hosts.clear();
    }

    /// The applications that are in memory now.
    pub fn loaded(&self) -> Vec<Arc<App>> {
        self.cache.iter().map(|it| it.1).collect()
    }

    /// The rows of an application that may not be active, for making and removing it.
    pub fn data(&self, id: &AppId) -> Database {
        self.cell.database(Self::scope(id))
    }

    /// The rows of an application, brought up to this version. Asking costs a read; only what was
    /// written by an earlier version costs a write. Fails if a newer version has been there.
    pub async fn ready(&self, id: &AppId) -> Result<Database> {
        let data = self.data(id);
        if !data.read(|db| migrate::is_current(db, Part::Sys)).await? {
            data.write(|tx| migrate::bring_up(tx, Part::Sys)).await?;
        }
        Ok(data)
    }

    /// Makes the place for an application's rows. Repeatable.
    pub async fn make_place(&self, id: &AppId) -> Result<()> {
        self.cell.create_place(&Self::scope(id)).await?;
        self.data(id).write(|tx| migrate::bring_up(tx, Part::Sys)).await
    }

    /// Removes an application's rows for good. Repeatable.
    pub async fn drop_place(&self, id: &AppId) -> Result<()> {
        let scope = Self::scope(id);
        Ok(self.cell.drop_place(&scope).await?)
    }

    /// What the sessions of an application are kept under, loaded or not.
    pub fn serial(&self, id: &AppId) -> u64 {
        if id.0.is_empty() {
            return self.platform.serial;
        }
        let mut serials = self.serials.lock().unwrap_or_else(PoisonError::into_inner);
        let next = serials.len() as u64 + 1;
        *serials.entry(id.clone()).or_insert(next)
    }

    fn scope(id: &AppId) -> Scope {
        Scope { id: Arc::clone(&id.0), place: Place::App(id.place()) }
    }

    fn forgotten(&self) -> std::sync::MutexGuard<'_, u64> {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, id: AppId) -> Result<Option<App>> {
        let wanted = id.clone();
        let found = self
            .platform
            .data
            .read(move |db| {
                let Some(app) = store::apps::by_id(db, &wanted)? else { return Ok(None) };
                Ok::<_, crate::error::Error>(Some((keys::of_app(db, &wanted)?, app)))
            })
            .await?;
        let Some((keys, app)) = found else { return Ok(None) };
        if app.state != State::Active {
            return Ok(None);
        }
        let data = self.ready(&id).await?;
        let read = data.read(|db| {
            let settings = store::settings::current(db)?.map(|it| it.1);
            Ok::<_, crate::error::Error>((settings, store::schema::load(db)?))
        });
        let (settings, schema) = read.await?;
        let realm = Realm { serial: self.serial(&id), data, platform: false };
        Ok(Some(App {
            id,
            name: app.name,
            owner: app.owner,
            profile: app.profile,
            created: app.created,
            realm,
            settings: settings.unwrap_or_else(|| Settings::of(app.profile)),
            keys,
            plans: Arc::clone(&self.plans),
            schema: ArcSwap::from_pointee(schema),
        }))
    }
}
