//! What must hold in the database at every moment at which nothing is running, whatever was
//! interrupted before: read from the tables themselves, past all code of the server but the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::Dialect;
use server::apps::Apps;
use server::error::Error;
use server::ids::AppId;
use server::schema::{PASSWORD, Schema, Table, USERS, identity};
use server::settings::Settings;
use server::store::{self, Database, Db, Row};

use super::harness::TestServer;

/// Fails with everything that does not hold in the platform's data and in that of each application.
pub async fn assert_whole(apps: &Apps) {
    let found = violations(apps).await;
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

/// What does not hold, a line each; a few lines for each rule.
pub async fn violations(apps: &Apps) -> Vec<String> {
    let platform = apps.platform.data.with_deadline(PATIENCE);
    let mut found = look(&platform, "platform", of_platform).await;
    let active = platform.read(store::apps::active).await.unwrap();
    for id in active {
        found.extend(of_app(&apps.data(&id), &id).await);
    }
    found
}

/// What does not hold in the data of one application.
async fn of_app(data: &Database, id: &AppId) -> Vec<String> {
    look(&data.with_deadline(PATIENCE), &id.0, in_app).await
}

const PATIENCE: Duration = Duration::from_mins(2);

async fn look(
    data: &Database,
    whose: &str,
    rules: fn(&Db<'_>, &mut Vec<String>) -> Result<(), Error>,
) -> Vec<String> {
    let read = data.read(move |db| {
        let mut found = Vec::new();
        sound(db, &mut found)?;
        rules(db, &mut found)?;
        Ok::<_, Error>(found)
    });
    match read.await {
        Ok(found) => found.iter().map(|it| format!("{whose}: {it}")).collect(),
        Err(error) => vec![format!("{whose}: cannot be read: {error}")],
    }
}

/// The file itself; PostgreSQL's are its own matter.
fn sound(db: &Db<'_>, found: &mut Vec<String>) -> Result<(), Error> {
    if db.dialect() == Dialect::Sqlite {
        let read = |row: &Row<'_>| row.get::<String>("integrity_check");
        let said = db.rows("pragma integrity_check", &[], read)?;
        found.extend(said.into_iter().filter(|it| it != "ok").take(FEW));
        let read = |row: &Row<'_>| row.get::<String>("table");
        let orphans = db.rows("pragma foreign_key_check", &[], read)?;
        found.extend(orphans.iter().take(FEW).map(|it| format!("a row of {it} has no parent")));
    }
    Ok(())
}

const FEW: usize = 5;

/// A rule: the rows that `sql` finds break it. Its one value is the application.
type Rule = (&'static str, &'static str);

const PLATFORM: &[Rule] = &[
    (
        "a session of the Console has no developer",
        "select s.user_id as what from sys.sessions s where s.app_id = ?1 and not exists
             (select 1 from control.developers d where d.id = s.user_id)",
    ),
    (
        "a developer has no event",
        "select d.id as what from control.developers d where d.id not in
             (select about from sys.events where app_id = ?1 and kind = 'developer.created')",
    ),
    (
        "an application has no membership of its owner",
        "select a.id as what from control.apps a where ?1 = '' and not exists
             (select 1 from control.memberships m
              where m.app_id = a.id and m.developer_id = a.owner)",
    ),
    (
        "an application lacks one of its seven API keys",
        "select a.id as what from control.apps a where ?1 = '' and 7 <>
             (select count(*) from control.api_keys k where k.app_id = a.id
              and k.device in ('JS', 'REST', 'IOS', 'ANDROID', 'WP', 'AS', 'BL'))",
    ),
    (
        "an active application has no event",
        "select a.id as what from control.apps a where a.state = 'active' and a.id not in
             (select about from sys.events where app_id = ?1 and kind = 'app.created')",
    ),
    OUTBOX,
];

const OUTBOX: Rule = (
    "something is to be sent for an event that never was",
    "select o.id as what from sys.outbox o where o.app_id = ?1 and not exists
         (select 1 from sys.events e where e.app_id = ?1 and e.id = o.event_id)",
);

const APP: &[Rule] = &[
    (
        "a session has no user",
        r#"select s.user_id as what from sys.sessions s where s.app_id = ?1 and not exists
               (select 1 from app."Users" u where u."objectId" = s.user_id)"#,
    ),
    (
        "a disabled user has a session",
        r#"select s.user_id as what from sys.sessions s
               join app."Users" u on u."objectId" = s.user_id
           where s.app_id = ?1 and s.ended is null
             and (u."userStatus" is null or u."userStatus" not in ('ENABLED', 'GUEST'))"#,
    ),
    (
        "an identity has no user",
        r#"select i.user_id as what from sys.identities i where i.app_id = ?1 and not exists
               (select 1 from app."Users" u where u."objectId" = i.user_id)"#,
    ),
    (
        "a user has two identities to log in with",
        r"select i.user_id as what from sys.identities i
          where i.app_id = ?1 and i.kind = 'login' group by i.user_id having count(*) > 1",
    ),
    (
        "a password has no user",
        r#"select c.user_id as what from sys.credentials c where c.app_id = ?1 and not exists
               (select 1 from app."Users" u where u."objectId" = c.user_id)"#,
    ),
    (
        "a guest has a password or an identity",
        r#"select u."objectId" as what from app."Users" u where u."userStatus" = 'GUEST' and (
               exists (select 1 from sys.credentials c
                       where c.app_id = ?1 and c.user_id = u."objectId")
               or exists (select 1 from sys.identities i
                          where i.app_id = ?1 and i.user_id = u."objectId"))"#,
    ),
    (
        "a user who is no guest has no password or no identity",
        r#"select u."objectId" as what from app."Users" u
           where (u."userStatus" is null or u."userStatus" <> 'GUEST') and not (
               exists (select 1 from sys.credentials c
                       where c.app_id = ?1 and c.user_id = u."objectId")
               and exists (select 1 from sys.identities i
                           where i.app_id = ?1 and i.user_id = u."objectId"))"#,
    ),
    (
        "a user came to be without an event",
        r#"select u."objectId" as what from app."Users" u where u."objectId" not in
               (select about from sys.events where app_id = ?1
                and kind in ('user.registered', 'user.created', 'user.guest'))"#,
    ),
    (
        "a user came to be twice",
        r"select e.about as what from sys.events e where e.app_id = ?1
              and e.kind in ('user.registered', 'user.created', 'user.guest')
          group by e.about having count(*) > 1",
    ),
    (
        "an event tells of a user who came to be and is not there",
        r#"select e.about as what from sys.events e where e.app_id = ?1
               and e.kind in ('user.registered', 'user.created', 'user.guest')
               and not exists (select 1 from app."Users" u where u."objectId" = e.about)
               and not exists (select 1 from sys.events d where d.app_id = ?1
                               and d.kind = 'user.deleted' and d.about = e.about)"#,
    ),
    (
        "a user was deleted and is still there",
        r#"select e.about as what from sys.events e
           join app."Users" u on u."objectId" = e.about
           where e.app_id = ?1 and e.kind = 'user.deleted'"#,
    ),
    (
        "a user was disabled without an event",
        r#"select u."objectId" as what from app."Users" u
           where u."userStatus" = 'DISABLED' and u."objectId" not in
               (select about from sys.events where app_id = ?1 and kind = 'user.status')"#,
    ),
    OUTBOX,
];

fn of_platform(db: &Db<'_>, found: &mut Vec<String>) -> Result<(), Error> {
    obeyed(db, PLATFORM, found)?;
    sessions(db, found)
}

fn in_app(db: &Db<'_>, found: &mut Vec<String>) -> Result<(), Error> {
    obeyed(db, APP, found)?;
    sessions(db, found)?;
    let schema = store::schema::load(db)?;
    catalog(db, &schema, found)?;
    objects(db, &schema, found)?;
    match schema.table(USERS) {
        Some(users) => identities(db, users, found)?,
        None => found.push("there is no table of users".to_owned()),
    }
    settings(db, found)
}

fn obeyed(db: &Db<'_>, rules: &[Rule], found: &mut Vec<String>) -> Result<(), Error> {
    for (says, sql) in rules {
        let rows = db.rows(sql, &[&db.app()], |row| row.get::<String>("what"))?;
        found.extend(rows.iter().take(FEW).map(|it| format!("{says}: {it}")));
    }
    Ok(())
}

/// Every table and column of the catalog is there, and nothing else is.
fn catalog(db: &Db<'_>, schema: &Schema, found: &mut Vec<String>) -> Result<(), Error> {
    let sql = match db.dialect().schema(db.scope()) {
        None => "select m.name as t, c.name as c from sqlite_master m, pragma_table_info(m.name) c
                 where m.type = 'table' and instr(m.name, '.') = 0 and m.name not like 'sqlite\\_%'
                     escape '\\'"
            .to_owned(),
        Some(place) => format!(
            "select t.relname::text as t, c.attname::text as c from pg_catalog.pg_class t
             join pg_catalog.pg_namespace n on n.oid = t.relnamespace
             join pg_catalog.pg_attribute c on c.attrelid = t.oid
             where n.nspname = '{place}' and t.relkind = 'r' and c.attnum > 0
               and not c.attisdropped"
        ),
    };
    let read = |row: &Row<'_>| Ok((row.get::<String>("t")?, row.get::<String>("c")?));
    let there: BTreeSet<_> = db.rows(&sql, &[], read)?.into_iter().collect();
    let described: BTreeSet<_> = schema
        .tables()
        .flat_map(|table| {
            let columns = table.columns.iter().filter(|it| it.name != PASSWORD);
            let columns = columns.map(|it| it.physical.clone()).chain([".seq".to_owned()]);
            columns.map(|it| (table.physical.clone(), it)).collect::<Vec<_>>()
        })
        .collect();
    let names = |of: (&BTreeSet<_>, &BTreeSet<(String, String)>)| -> Vec<String> {
        of.0.difference(of.1).take(FEW).map(|it: &(String, String)| format!("{it:?}")).collect()
    };
    let missing = names((&described, &there));
    found.extend(missing.iter().map(|it| format!("the catalog names a column that is not: {it}")));
    let extra = names((&there, &described));
    found.extend(extra.iter().map(|it| format!("there is a column the catalog lacks: {it}")));
    Ok(())
}

/// Every object has its event, and every event its object.
fn objects(db: &Db<'_>, schema: &Schema, found: &mut Vec<String>) -> Result<(), Error> {
    let mut there = BTreeSet::new();
    for table in schema.tables().filter(|it| !it.is_users()) {
        let name = db.dialect().quote(&table.physical);
        let sql = format!(r#"select "objectId" as what from app.{name}"#);
        there.extend(db.rows(&sql, &[], |row| row.get::<String>("what"))?);
    }
    let sql = "select about as what from sys.events where app_id = ?1 and kind = 'object.created'";
    let told = db.rows(sql, &[&db.app()], |row| row.get::<String>("what"))?;
    let told: BTreeSet<_> = told.into_iter().collect();
    let differ = there.symmetric_difference(&told).take(FEW);
    found.extend(differ.map(|it| format!("object and event do not go together: {it}")));
    Ok(())
}

/// Every session was opened by an event, and none was closed by one.
fn sessions(db: &Db<'_>, found: &mut Vec<String>) -> Result<(), Error> {
    let sql = "select kind, change from sys.events
               where app_id = ?1 and kind in ('session.opened', 'session.closed')";
    let read = |row: &Row<'_>| Ok((row.get::<String>("kind")?, row.get::<String>("change")?));
    let (mut opened, mut closed) = (BTreeSet::new(), BTreeSet::new());
    for (kind, change) in db.rows(sql, &[&db.app()], read)? {
        let change: serde_json::Value = serde_json::from_str(&change).unwrap_or_default();
        let Some(id) = change["session"].as_str().map(str::to_owned) else {
            found.push(format!("an event {kind} names no session"));
            continue;
        };
        if kind == "session.opened" {
            opened.insert(id)
        } else {
            closed.insert(id)
        };
    }
    let sql = "select id from sys.sessions where app_id = ?1";
    let there = db.rows(sql, &[&db.app()], |row| row.get::<String>("id"))?;
    let silent = there.iter().filter(|it| !opened.contains(*it)).take(FEW);
    found.extend(silent.map(|it| format!("a session has no event: {it}")));
    let undead = there.iter().filter(|it| closed.contains(*it)).take(FEW);
    found.extend(undead.map(|it| format!("a session that was closed is there: {it}")));
    Ok(())
}

/// The property that one logs in with and the table of identities say the same.
fn identities(db: &Db<'_>, users: &Table, found: &mut Vec<String>) -> Result<(), Error> {
    let Some(column) = users.identity() else {
        found.push("users have no identity".to_owned());
        return Ok(());
    };
    let quoted = db.dialect().quote(&column.physical);
    let sql = format!(
        r#"select "objectId" as id, {quoted} as shown from app."Users" where {quoted} is not null"#
    );
    let read = |row: &Row<'_>| Ok((row.get::<String>("id")?, row.get::<String>("shown")?));
    let shown: BTreeMap<String, String> = db.rows(&sql, &[], read)?.into_iter().collect();
    let sql = "select user_id as id, value as shown from sys.identities
               where app_id = ?1 and kind = 'login'";
    let known: BTreeMap<String, String> = db.rows(sql, &[&db.app()], read)?.into_iter().collect();
    let canonical =
        |it: &String| identity::canonical(it).map(identity::Canonical::into_string).ok();
    let users: BTreeSet<&String> = shown.keys().chain(known.keys()).collect();
    let differ = users.into_iter().filter(|it| {
        let (shown, known) = (shown.get(*it), known.get(*it));
        shown.is_none() || shown.and_then(canonical).as_ref() != known
    });
    found.extend(differ.take(FEW).map(|it| format!("what user {it} logs in with is torn")));
    Ok(())
}

/// Versions are numbered without a gap, each can be read, and each but the first has its event.
fn settings(db: &Db<'_>, found: &mut Vec<String>) -> Result<(), Error> {
    let sql = "select version, body from sys.settings where app_id = ?1 order by version";
    let read = |row: &Row<'_>| Ok((row.get::<i64>("version")?, row.get::<String>("body")?));
    let versions = db.rows(sql, &[&db.app()], read)?;
    if !versions.iter().map(|it| it.0).eq(1..=i64::try_from(versions.len()).unwrap_or(0)) {
        found.push("versions of the settings have gaps".to_owned());
    }
    if versions.is_empty() {
        found.push("there are no settings".to_owned());
    }
    if versions.iter().any(|it| serde_json::from_str::<Settings>(&it.1).is_err()) {
        found.push("settings cannot be read".to_owned());
    }
    let sql = "select count(*) as n from sys.events where app_id = ?1 and kind = 'app.settings'";
    let events = db.row(sql, &[&db.app()], |row| row.get::<i64>("n"))?.unwrap_or(0);
    if events + 1 != i64::try_from(versions.len()).unwrap_or(0) {
        found.push(format!("{} versions of the settings, {events} changes", versions.len()));
    }
    Ok(())
}

#[tokio::test]
async fn d_03_the_checker_of_invariants_sees_each_kind_of_damage() {
    let server = TestServer::compat().await;
    let (app, data) = (&server.app, server.server.apps.data(&server.app.id));
    let desk = server.desk().await;
    desk.login_settings(serde_json::json!({ "maxConcurrentLogins": 3 })).await;
    app.user("ann@example.com").await;
    app.token("ann@example.com").await;
    app.guest().await;
    app.post("/data/Boats", serde_json::json!({ "length": 7 })).send().await.ok();
    let bob = app.user("bob@example.com").await;
    app.set_status(&bob, "DISABLED").await.ok();
    assert_whole(&server.server.apps).await;

    for (sql, says) in [
        (r#"delete from app."Users" where "userStatus" = 'ENABLED'"#, "a session has no user"),
        (r#"delete from app."Users" where "email" is not null"#, "an identity has no user"),
        (r#"delete from app."Users" where "email" is not null"#, "a password has no user"),
        (r#"update app."Users" set "userStatus" = 'DISABLED'"#, "a disabled user has a session"),
        (r#"update app."Users" set "userStatus" = 'DISABLED'"#, "disabled without an event"),
        (r#"update app."Users" set "userStatus" = 'ENABLED'"#, "no password or no identity"),
        (r#"update app."Users" set "userStatus" = 'GUEST'"#, "a guest has a password"),
        (r#"update app."Users" set "email" = 'cid@example.com'"#, "logs in with is torn"),
        ("delete from sys.identities", "no password or no identity"),
        ("delete from sys.credentials", "no password or no identity"),
        ("delete from sys.events where kind = 'session.opened'", "a session has no event"),
        (
            "update sys.events set kind = 'session.closed' where kind = 'session.opened'",
            "a session that was closed is there",
        ),
        ("delete from sys.events where kind = 'user.guest'", "came to be without an event"),
        ("delete from sys.events where kind = 'object.created'", "object and event"),
        (r#"delete from app."Boats""#, "object and event"),
        (r#"alter table app."Boats" drop column "length""#, "the catalog names a column"),
        (r#"alter table app."Boats" add column "width" {int}"#, "a column the catalog lacks"),
        ("create table app.\"Cars\" (\"x\" {int})", "a column the catalog lacks"),
        ("delete from sys.settings where version = 1", "have gaps"),
        ("delete from sys.events where kind = 'app.settings'", "2 versions of the settings, 0"),
    ] {
        // Looked at from inside of a transaction that is then undone.
        let look = data.write(move |tx| {
            tx.batch(sql)?;
            let mut found = Vec::new();
            in_app(tx, &mut found)?;
            Err::<(), Error>(Error::bad_parameter(found.join("; ")))
        });
        let found = look.await.unwrap_err().to_string();
        assert!(found.contains(says), "{sql}: {found}");
    }
    assert_whole(&server.server.apps).await;
}
