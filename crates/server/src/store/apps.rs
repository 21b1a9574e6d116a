//! The `control.apps` and `control.memberships` tables.

use super::{Db, Row, Tx};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::{AppId, DeveloperId};
use crate::settings::Profile;

/// An application as stored.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Unique for one owner.
    pub name: String,
    /// Who made it.
    pub owner: DeveloperId,
    /// How strict it is.
    pub profile: Profile,
    /// Where it stands between coming and going.
    pub state: State,
    /// When it was made.
    pub created: Millis,
}

/// Where an application stands. Only an active one answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its tables are being made.
    Creating,
    /// It is in use.
    Active,
    /// It is gone for everybody; what is left of it is being removed.
    Deleting,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Deleting => "deleting",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "creating" => Self::Creating,
            _ => Self::Deleting,
        }
    }
}

const COLUMNS: &str = "a.id, a.name, a.owner, a.profile, a.state, a.created";

fn read(row: &Row<'_>) -> engine::Result<App> {
    Ok(App {
        id: AppId(row.get::<String>("id")?.into()),
        name: row.get("name")?,
        owner: DeveloperId(row.get::<String>("owner")?.into()),
        // A profile that cannot be read is the strict one.
        profile: Profile::parse(&row.get::<String>("profile")?).unwrap_or(Profile::Standard),
        state: State::parse(&row.get::<String>("state")?),
        created: Millis(row.get("created")?),
    })
}

/// The application with that id, in whatever state.
pub fn by_id(db: &Db<'_>, id: &AppId) -> Result<Option<App>> {
    let sql = format!("select {COLUMNS} from control.apps a where a.id = ?1");
    Ok(db.row(&sql, &[&id.0], read)?)
}

/// The active applications that `developer` has a part in, oldest first.
pub fn of_developer(db: &Db<'_>, developer: &DeveloperId) -> Result<Vec<App>> {
    let sql = format!(
        "select {COLUMNS} from control.apps a
         join control.memberships m on m.app_id = a.id
         where m.developer_id = ?1 and a.state = 'active' order by a.created, a.id"
    );
    Ok(db.rows(&sql, &[&developer.0], read)?)
}

/// The ids of all active applications.
pub fn active(db: &Db<'_>) -> Result<Vec<AppId>> {
    let sql = "select id from control.apps where state = 'active' order by id";
    Ok(db.rows(sql, &[], |row| Ok(AppId(row.get::<String>("id")?.into())))?)
}

/// Up to `most` active applications after the id `from`, by id.
pub fn active_after(db: &Db<'_>, from: &str, most: u32) -> Result<Vec<App>> {
    let sql = format!(
        "select {COLUMNS} from control.apps a
         where a.state = 'active' and a.id > ?1 order by a.id limit ?2"
    );
    Ok(db.rows(&sql, &[&from, &i64::from(most)], read)?)
}

/// Adds an application with its owner's membership; false if the owner has one of that name.
pub fn insert(tx: &Tx<'_>, app: &App) -> Result<bool> {
    let sql = "insert into control.apps (id, name, owner, profile, state, cell, created)
               values (?1, ?2, ?3, ?4, ?5, 0, ?6) on conflict (owner, name) do nothing";
    let (id, owner) = (&app.id.0, &app.owner.0);
    let state = app.state.as_str();
    let made =
        tx.exec(sql, &[&id, &app.name, &owner, &app.profile.as_str(), &state, &app.created])?;
    if made == 1 {
        let sql = "insert into control.memberships (app_id, developer_id, rights)
                   values (?1, ?2, 'owner')";
        tx.exec(sql, &[&id, &owner])?;
    }
    Ok(made == 1)
}

/// Moves an application on; false if it is not in state `from` any more. One that is to be removed
/// gives its name back.
pub fn set_state(tx: &Tx<'_>, id: &AppId, from: State, to: State) -> Result<bool> {
    let sql = "update control.apps
               set state = ?1, name = case when ?1 = 'deleting' then id else name end
               where id = ?2 and state = ?3";
    Ok(tx.exec(sql, &[&to.as_str(), &id.0, &from.as_str()])? == 1)
}

/// Gives an application another name; false if the owner has one of that name.
pub fn rename(tx: &Tx<'_>, id: &AppId, name: &str) -> Result<bool> {
    let sql = "update control.apps set name = ?1 where id = ?2 and not exists (
                   select 1 from control.apps b
                   where b.owner = control.apps.owner and b.name = ?1 and b.id <> ?2)";
    // Of two at the same moment the second meets the constraint.
    match tx.exec(sql, &[&name, &id.0]) {
        Err(engine::Error::Unique { .. }) => Ok(false),
        renamed => Ok(renamed? == 1),
    }
}

/// Removes the row of an application, and with it its keys, domains and memberships.
pub fn delete(tx: &Tx<'_>, id: &AppId) -> Result<()> {
    tx.exec("delete from control.apps where id = ?1", &[&id.0])?;
    Ok(())
}

/// The tables that applications share where there is one database for all, and the rest of each
/// one's key.
const SHARED: &[(&str, &str)] = &[
    ("sys.settings", "version"),
    ("sys.schemas", "version"),
    ("sys.tables", "id"),
    ("sys.columns", "id"),
    ("sys.identities", "kind, value"),
    ("sys.credentials", "user_id"),
    ("sys.sessions", "hash"),
    ("sys.failures", "identity"),
    ("sys.attempts", "identity, place"),
    ("sys.places", "user_id, source"),
    ("sys.sources", "what, source"),
    ("sys.dropped", "id"),
    ("sys.schema_work", "id"),
    ("sys.events", "id"),
    ("sys.outbox", "id"),
    ("sys.jobs", "id"),
];

/// Removes up to `most` rows of what an application has in the tables that it shares with others;
/// true if there may be more.
pub fn delete_shared_rows(tx: &Tx<'_>, id: &AppId, most: u32) -> Result<bool> {
    let mut left = u64::from(most);
    for (table, key) in SHARED {
        let sql = format!(
            "delete from {table} where app_id = ?1 and ({key}) in (
                 select {key} from {table} where app_id = ?1 limit ?2)"
        );
        left -= tx.exec(&sql, &[&id.0, &i64::try_from(left).unwrap_or(i64::MAX)])?.min(left);
        if left == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `developer` has a part in the application.
pub fn is_member(db: &Db<'_>, id: &AppId, developer: &DeveloperId) -> Result<bool> {
    let sql = "select 1 as one from control.memberships where app_id = ?1 and developer_id = ?2";
    Ok(db.row(sql, &[&id.0, &developer.0], |row| row.get::<i64>("one"))?.is_some())
}
