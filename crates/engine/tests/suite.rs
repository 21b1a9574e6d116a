//! What the engine promises, on SQLite always and on PostgreSQL when `TEST_DATABASE_URL` names a
//! cluster in which databases may be made.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use engine::{
    Built, Cell, Database, Db, Dialect, Error, Faults, Flow, Hooks, Kind, Place, PostgresOptions,
    Row, Scope, SqliteOptions, Tx, Value, ValueRef,
};

type Done<T = ()> = Result<T, Error>;

/// How a cell of a test differs from the usual one.
#[derive(Clone)]
struct Options {
    threads: usize,
    queue: usize,
    deadline: Duration,
    hooks: Hooks,
}

impl Default for Options {
    fn default() -> Self {
        let deadline = Duration::from_secs(5);
        Self { threads: 4, queue: 4096, deadline, hooks: Hooks::default() }
    }
}

/// A cell for a test, and what has to outlive it.
struct Home {
    cell: Cell,
    dir: Option<tempfile::TempDir>,
}

async fn homes() -> Vec<Home> {
    homes_with(&Options::default()).await
}

async fn homes_with(options: &Options) -> Vec<Home> {
    let mut homes = vec![sqlite(options)];
    if let Some(url) = database().await {
        let options = PostgresOptions {
            connections: options.threads,
            queue: options.queue,
            deadline: options.deadline,
            hooks: options.hooks.clone(),
            ..PostgresOptions::new(url)
        };
        homes.push(Home { cell: Cell::postgres(options).await.unwrap(), dir: None });
    }
    for home in &homes {
        home.cell.create_place(&Scope::control()).await.unwrap();
    }
    homes
}

fn sqlite(options: &Options) -> Home {
    let dir = tempfile::tempdir().unwrap();
    let cell = Cell::sqlite(SqliteOptions {
        writers: options.threads,
        readers: options.threads,
        queue: options.queue,
        durable: false,
        deadline: options.deadline,
        hooks: options.hooks.clone(),
        ..SqliteOptions::new(dir.path())
    });
    Home { cell: cell.unwrap(), dir: Some(dir) }
}

/// The address of a new database, in the cluster for tests.
async fn database() -> Option<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    #[expect(clippy::disallowed_methods, reason = "only tests know this one")]
    let url = std::env::var("TEST_DATABASE_URL").ok()?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("engine_{}_{number}", std::process::id());
    let config: tokio_postgres::Config = url.parse().unwrap();
    let (client, wire) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let create = async {
        client.batch_execute(&format!("drop database if exists {name}")).await.unwrap();
        let made = format!("create database {name} template template0 encoding 'UTF8'");
        client.batch_execute(&made).await.unwrap();
    };
    tokio::select! {
        () = create => {}
        _ = wire => panic!("the server went away"),
    }
    let host = match &config.get_hosts()[0] {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    };
    let password = config.get_password().map(|it| String::from_utf8(it.to_vec()).unwrap());
    Some(format!(
        "host='{host}' port={} user='{}' dbname={name} {}",
        config.get_ports().first().unwrap_or(&5432),
        config.get_user().unwrap(),
        password.map(|it| format!("password='{it}'")).unwrap_or_default(),
    ))
}

fn app(id: &str) -> Scope {
    Scope { id: id.into(), place: Place::App(id.into()) }
}

/// An application with a table `app.Notes (id, body)`.
async fn notes(home: &Home, id: &str) -> Database {
    home.cell.create_place(&app(id)).await.unwrap();
    let data = home.cell.database(app(id));
    let made: Done = data
        .write(|tx| {
            tx.batch(
                "create table app.Notes (id {int} primary key, body {text} not null){strict};
                 create table app.Tags (note {int} references app.Notes (id)){strict};",
            )
        })
        .await;
    made.unwrap();
    data
}

fn insert(tx: &Tx<'_>, id: i64, body: &str) -> Done {
    tx.exec("insert into app.Notes (id, body) values (?1, ?2)", &[&id, &body])?;
    Ok(())
}

fn all(db: &Db<'_>) -> Done<Vec<i64>> {
    db.rows("select id from app.Notes order by id", &[], |row| row.get("id"))
}

async fn ids(data: &Database) -> Vec<i64> {
    data.read(all).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_it_went() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let check: Done = data
            .write(|tx| {
                tx.batch(
                    "create table app.kinds (i {int}, r {real}, t {text}, b {bytes}, o {bool},
                                             j {json}, n {text}){strict}",
                )?;
                let text = "Grüße 😀 'quoted' \"too\"";
                let none: Option<String> = None;
                let sql = "insert into app.kinds (i, r, t, b, o, j, n)
                           values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let json = Value::Json(r#"{"a": 1}"#.to_owned());
                let bytes = [0_u8, 255, 7];
                tx.exec(sql, &[&i64::MIN, &-0.1, &text, &bytes, &true, &json, &none])?;
                let read = |row: &Row<'_>| {
                    assert_eq!(row.get::<i64>("i")?, i64::MIN);
                    assert_eq!(row.get::<Option<i64>>("i")?, Some(i64::MIN));
                    assert!((row.get::<f64>("r")? + 0.1).abs() < f64::EPSILON);
                    assert_eq!(row.get::<String>("t")?, text);
                    assert_eq!(row.get::<[u8; 3]>("b")?, bytes);
                    assert!(row.get::<bool>("o")?);
                    assert_eq!(row.get::<String>("j")?, r#"{"a": 1}"#);
                    assert_eq!(row.get::<Option<String>>("n")?, None);
                    assert_eq!(row.at(6)?, ValueRef::Null);
                    assert_eq!((row.len(), row.name(2)), (7, "t"));
                    assert!(matches!(row.get::<i64>("t"), Err(Error::Type { .. })));
                    assert!(matches!(row.get::<String>("n"), Err(Error::Type { .. })));
                    assert!(matches!(row.get::<String>("none"), Err(Error::Undefined(_))));
                    assert!(matches!(row.at(7), Err(Error::Undefined(_))));
                    Ok(())
                };
                let sql = "select i, r, t, b, o, j, n from app.kinds";
                assert!(tx.row(sql, &[], read)?.is_some());
                let sums =
                    tx.row("select sum(i) as s, count(*) as c from app.kinds", &[], |row| {
                        Ok((row.get::<i64>("s")?, row.get::<i64>("c")?))
                    })?;
                assert_eq!(sums, Some((i64::MIN, 1)));
                Ok(())
            })
            .await;
        check.unwrap();
    }
}

#[tokio::test]
async fn a_text_with_nul_is_refused_by_both() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let done: Done = data.write(|tx| insert(tx, 1, "a\0b")).await;
        assert!(matches!(done, Err(Error::NotUtf8)), "{done:?}");
    }
}

#[tokio::test]
async fn what_fails_is_undone_and_its_effects_are_dropped() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let seen = Arc::new(AtomicUsize::new(0));
        let effect = Arc::clone(&seen);
        let done: Done = data
            .write(move |tx| {
                insert(tx, 1, "one")?;
                let effect = Arc::clone(&effect);
                tx.after_commit(move || _ = effect.fetch_add(1, Ordering::SeqCst));
                Err(Error::Conflict)
            })
            .await;
        assert!(matches!(done, Err(Error::Conflict)), "{done:?}");
        assert_eq!(ids(&data).await, [0; 0]);
        assert_eq!(seen.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn effects_run_in_order_before_the_answer() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let effects = Arc::clone(&seen);
        let done: Done = data
            .write(move |tx| {
                for number in 1..=3 {
                    let effects = Arc::clone(&effects);
                    tx.after_commit(move || effects.lock().unwrap().push(number));
                }
                assert_eq!(*effects.lock().unwrap(), [0; 0]);
                insert(tx, 1, "one")
            })
            .await;
        done.unwrap();
        assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_among_many_takes_nobody_with_it() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let tasks: Vec<_> = (0..200)
            .map(|number: i64| {
                let data = data.clone();
                #[expect(clippy::disallowed_methods, reason = "the test waits for them")]
                tokio::spawn(async move {
                    let write = move |tx: &Tx<'_>| {
                        insert(tx, number, "x")?;
                        match number % 10 {
                            3 => Err(Error::Conflict),
                            5 => insert(tx, number, "again"),
                            _ => Ok(()),
                        }
                    };
                    (number, data.write(write).await)
                })
            })
            .collect();
        for task in tasks {
            let (number, done) = task.await.unwrap();
            match number % 10 {
                3 => assert!(matches!(done, Err(Error::Conflict)), "{done:?}"),
                5 => assert!(matches!(done, Err(Error::Unique { .. })), "{done:?}"),
                _ => done.unwrap(),
            }
        }
        let expected: Vec<i64> = (0..200).filter(|it| ![3, 5].contains(&(it % 10))).collect();
        assert_eq!(ids(&data).await, expected);
        let stats = home.cell.stats();
        assert!(stats.commits <= stats.committed && stats.writes.length == 0, "{stats:?}");
    }
}

#[tokio::test]
async fn a_panic_is_an_error_and_the_next_one_runs() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let done: Done = data
            .write(|tx| {
                insert(tx, 1, "one")?;
                panic!("on purpose")
            })
            .await;
        assert!(matches!(done, Err(Error::Panicked)), "{done:?}");
        let read: Done<Vec<()>> =
            data.read(|db| db.rows("select 1 as one", &[], |_| panic!("on purpose"))).await;
        assert!(matches!(read, Err(Error::Panicked)), "{read:?}");
        data.write(|tx| insert(tx, 2, "two")).await.unwrap();
        assert_eq!(ids(&data).await, [2]);
    }
}

#[tokio::test]
async fn a_read_inside_of_a_closure_is_an_error_and_no_deadlock() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let inner = data.clone();
        let done: Done = data
            .write(move |_| {
                let mut read = Box::pin(inner.read(all));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                match read.as_mut().poll(&mut context) {
                    std::task::Poll::Ready(found) => found.map(drop),
                    std::task::Poll::Pending => panic!("it waits"),
                }
            })
            .await;
        assert!(matches!(done, Err(Error::Nested(_))), "{done:?}");
        let done: Done<Vec<()>> =
            data.write(|tx| tx.rows("select 1 as one", &[], |_| all(tx).map(drop))).await;
        assert!(matches!(done, Err(Error::Nested(_))), "{done:?}");
    }
}

#[tokio::test]
async fn a_deadline_ends_a_statement_and_nothing_is_kept() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let endless = "with recursive n (i) as (select 1 union all select i + 1 from n)
                       select max(i) as most from n";
        let start = Instant::now();
        let short = data.with_deadline(Duration::from_millis(200));
        let done: Done = short
            .write(move |tx| {
                insert(tx, 1, "one")?;
                tx.rows(endless, &[], |_| Ok(()))?;
                Ok(())
            })
            .await;
        assert!(matches!(done, Err(Error::Deadline)), "{done:?}");
        let read: Done<Vec<()>> = short.read(move |db| db.rows(endless, &[], |_| Ok(()))).await;
        assert!(matches!(read, Err(Error::Deadline)), "{read:?}");
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        data.write(|tx| insert(tx, 2, "two")).await.unwrap();
        assert_eq!(ids(&data).await, [2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_of_one_does_not_undo_the_others_of_its_group() {
    for home in homes_with(&Options { threads: 1, ..Options::default() }).await {
        let data = notes(&home, "a1").await;
        let (go, wait) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (started, held) = (Arc::clone(&go), Arc::clone(&wait));
        let first = data.write(move |_| {
            started.wait();
            held.wait();
            Ok::<_, Error>(())
        });
        let release = async {
            go.wait();
            let one = data.write(|tx| insert(tx, 1, "one"));
            let short = data.with_deadline(Duration::from_millis(300));
            // An insert that is interrupted makes SQLite end the transaction of the whole group.
            let endless = short.write(|tx| {
                tx.exec(
                    "insert into app.Notes (id, body)
                     with recursive n (i) as (select 10 union all select i + 1 from n)
                     select i, 'x' from n",
                    &[],
                )
            });
            let three = data.write(|tx| insert(tx, 3, "three"));
            let open = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                wait.wait();
            };
            tokio::join!(one, endless, three, open)
        };
        let (first, (one, endless, three, ())) = tokio::join!(first, release);
        first.unwrap();
        one.unwrap();
        assert!(matches!(endless, Err(Error::Deadline)), "{endless:?}");
        three.unwrap();
        assert_eq!(ids(&data).await, [1, 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    for home in homes_with(&Options { threads: 1, queue: 2, ..Options::default() }).await {
        let data = notes(&home, "a1").await;
        let (go, wait) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (started, held) = (Arc::clone(&go), Arc::clone(&wait));
        let busy = data.clone();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let first = tokio::spawn(async move {
            let hold = move |_: &Tx<'_>| {
                started.wait();
                held.wait();
                Ok::<_, Error>(())
            };
            busy.write(hold).await
        });
        go.wait();
        let (one, two, three, ()) = tokio::join!(
            data.write(|tx| insert(tx, 1, "one")),
            data.write(|tx| insert(tx, 2, "two")),
            data.write(|tx| insert(tx, 3, "three")),
            async { _ = wait.wait() },
        );
        first.await.unwrap().unwrap();
        one.unwrap();
        two.unwrap();
        assert!(matches!(three, Err(Error::Overloaded)), "{three:?}");
        assert_eq!(ids(&data).await, [1, 2]);
        assert_eq!(home.cell.stats().writes.refused, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_lock_in_opposite_order_both_succeed() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        data.write(|tx| {
            insert(tx, 1, "")?;
            insert(tx, 2, "")
        })
        .await
        .unwrap();
        let add = |first: i64, second: i64| {
            let data = data.clone();
            async move {
                let append = move |tx: &Tx<'_>| {
                    for id in [first, second] {
                        let sql = "update app.Notes set body = body || 'x' where id = ?1";
                        tx.exec(sql, &[&id])?;
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    Ok::<_, Error>(())
                };
                data.write(append).await
            }
        };
        let (one, two) = tokio::join!(add(1, 2), add(2, 1));
        one.unwrap();
        two.unwrap();
        let bodies: Done<Vec<String>> = data
            .read(|db| db.rows("select body from app.Notes order by id", &[], |it| it.get("body")))
            .await;
        assert_eq!(bodies.unwrap(), ["xx", "xx"]);
        let met = home.cell.stats().retries > 0;
        assert_eq!(met, home.cell.dialect() == Dialect::Postgres, "SQLite has one writer");
    }
}

#[tokio::test]
async fn constraints_are_told_apart() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        data.write(|tx| insert(tx, 1, "secret")).await.unwrap();
        let done: Done = data.write(|tx| insert(tx, 1, "secret")).await;
        let Err(Error::Unique { constraint }) = &done else { panic!("{done:?}") };
        assert!(constraint.contains("Notes"), "{constraint}");
        assert!(!format!("{done:?}").contains("secret"));
        let sql = "insert into app.Tags (note) values (9)";
        let done: Done<u64> = data.write(move |tx| tx.exec(sql, &[])).await;
        assert!(matches!(done, Err(Error::ForeignKey { .. })), "{done:?}");
        let sql = "insert into app.Notes (id, body) values (9, null)";
        let done: Done<u64> = data.write(move |tx| tx.exec(sql, &[])).await;
        let Err(Error::NotNull { column }) = done else { panic!("{done:?}") };
        assert_eq!(column, "Notes.body");
        for sql in ["select id from app.Nothing", "select \"nothing\" from app.Notes"] {
            let done: Done<Vec<()>> = data.read(move |db| db.rows(sql, &[], |_| Ok(()))).await;
            assert!(matches!(done, Err(Error::Undefined(_))), "{sql}: {done:?}");
        }
    }
}

#[tokio::test]
async fn a_failed_statement_spoils_the_transaction_but_not_a_savepoint() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let done: Done = data
            .write(|tx| {
                insert(tx, 1, "one")?;
                assert!(insert(tx, 1, "again").is_err());
                Ok(())
            })
            .await;
        assert!(matches!(done, Err(Error::Aborted)), "{done:?}");
        assert_eq!(ids(&data).await, [0; 0]);
        let done: Done = data
            .write(|tx| {
                insert(tx, 1, "one")?;
                let tried = tx.savepoint(|tx| {
                    insert(tx, 2, "two")?;
                    tx.after_commit(|| panic!("it was undone"));
                    insert(tx, 1, "again")
                });
                assert!(matches!(tried, Err(Error::Unique { .. })), "{tried:?}");
                tx.savepoint(|tx| insert(tx, 3, "three"))
            })
            .await;
        done.unwrap();
        assert_eq!(ids(&data).await, [1, 3]);
    }
}

#[tokio::test]
async fn scopes_do_not_see_each_other_and_a_dropped_place_is_gone() {
    for home in homes().await {
        let (one, two) = (notes(&home, "a1").await, notes(&home, "b2").await);
        one.write(|tx| insert(tx, 1, "one")).await.unwrap();
        two.write(|tx| insert(tx, 2, "two")).await.unwrap();
        assert_eq!((ids(&one).await, ids(&two).await), (vec![1], vec![2]));
        home.cell.create_place(one.scope()).await.unwrap(); // repeatable
        assert_eq!(ids(&one).await, [1]);
        for _ in 0..2 {
            home.cell.drop_place(one.scope()).await.unwrap();
        }
        let read = one.read(all).await;
        assert!(matches!(read, Err(Error::Undefined(_))), "{read:?}");
        let write: Done = one.write(|tx| insert(tx, 1, "one")).await;
        assert!(matches!(write, Err(Error::Undefined(_))), "{write:?}");
        if let Some(dir) = &home.dir {
            assert!(!dir.path().join("apps/a1").exists());
        }
        assert_eq!(ids(&two).await, [2]);
        assert_eq!(ids(&notes(&home, "a1").await).await, [0; 0]);
        assert!(home.cell.drop_place(&Scope::control()).await.is_err());
        let odd = Scope { id: "x".into(), place: Place::App("../x".into()) };
        assert!(home.cell.create_place(&odd).await.is_err());
        assert!(home.cell.database(odd).read(all).await.is_err());
    }
}

#[tokio::test]
async fn system_tables_indexes_and_the_change_log_are_one_text() {
    for home in homes().await {
        home.cell.create_place(&app("a1")).await.unwrap();
        // On SQLite the system tables lie in each application's file.
        let data = home.cell.database(app("a1"));
        let done: Done = data
            .write(|tx| {
                tx.batch(
                    "create table sys.things (app_id {text} not null, id {auto}, n {int}){strict};
                     create unique index sys.things_n on sys.things (app_id, n);
                     create index {index:things_id} on sys.things (id);
                     create table sys.changes ({changes}, what {text} not null){strict};
                     create index sys.changes_xid on sys.changes (xid);",
                )?;
                let sql = "insert into sys.things (app_id, n) values (?1, ?2)
                           on conflict (app_id, n) do update set n = sys.things.n + 100
                           returning n";
                let mut found = Vec::new();
                for n in [1, 1, 2] {
                    found.extend(tx.rows(sql, &[&tx.app(), &n], |it| it.get::<i64>("n"))?);
                }
                assert_eq!(found, [1, 101, 2]);
                tx.batch("drop index sys.things_n")
            })
            .await;
        done.unwrap();
        let dialect = home.cell.dialect();
        let position = dialect.changes_position("sys.changes");
        let first = format!("select {position} as position");
        let (since, sql) = (dialect.changes_since(), first.clone());
        let log = move |db: &Db<'_>| db.row(&sql, &[], |it| it.get::<String>("position"));
        let before = data.read(log.clone()).await.unwrap().unwrap();
        let add = |tx: &Tx<'_>| tx.exec("insert into sys.changes (what) values ('x')", &[]);
        data.write(add).await.unwrap();
        let after = data.read(log).await.unwrap().unwrap();
        for (position, expected) in [(before, 1), (after, 0)] {
            let sql = format!("select what from sys.changes where {since}");
            let found: Done<Vec<String>> =
                data.read(move |db| db.rows(&sql, &[&position], |it| it.get("what"))).await;
            assert_eq!(found.unwrap().len(), expected);
        }
        let now = format!("select {} as now", dialect.now_millis());
        let now: Done<Option<i64>> =
            home.cell.poller().read(move |db| db.row(&now, &[], |it| it.get("now"))).await;
        assert!(now.unwrap().unwrap() > 1_700_000_000_000);
    }
}

#[tokio::test]
async fn statements_made_at_run_time_go_through_as_they_are() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        let dialect = data.dialect();
        let table = dialect.table(data.scope(), "Notes");
        let [one, two] = if dialect == Dialect::Sqlite { ["?", "?"] } else { ["$1", "$2"] };
        let insert = format!("insert into {table} (id, body) values ({one}, {two})");
        let done: Done<u64> = data
            .write(move |tx| {
                let mut changed = 0;
                for id in 1..=5 {
                    let values = vec![Value::Int(id), Value::Text("?1 sys.x".to_owned())];
                    changed += tx.exec_built(&Built { sql: insert.clone(), values })?;
                }
                let seq = tx.dialect().seq_column();
                let int = tx.dialect().column_type(Kind::Int);
                tx.batch(&format!("create table app.seqs ({seq}, n {int})"))?;
                Ok(changed)
            })
            .await;
        assert_eq!(done.unwrap(), 5);
        let sql = format!("select id, body from {table} order by id");
        let found: Done<Vec<i64>> = data
            .read(move |db| {
                let mut found = Vec::new();
                let q = Built { sql: sql.clone(), values: Vec::new() };
                db.each(&q, &mut |row| {
                    assert_eq!(row.at(1)?, ValueRef::Text("?1 sys.x"));
                    found.push(row.get("id")?);
                    Ok(if found.len() == 3 { Flow::Stop } else { Flow::Continue })
                })?;
                Ok(found)
            })
            .await;
        assert_eq!(found.unwrap(), [1, 2, 3]);
    }
}

#[tokio::test]
async fn wherever_a_write_fails_nothing_of_it_is_kept() {
    let faults = Arc::new(Faults::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let hooks = Hooks {
        faults: Some(Arc::clone(&faults)),
        seen: Some(Arc::new(move |sql| log.lock().unwrap().push(sql.to_owned()))),
    };
    for home in homes_with(&Options { hooks, ..Options::default() }).await {
        let data = notes(&home, "a1").await;
        let write = |tx: &Tx<'_>| {
            insert(tx, 1, "one")?;
            insert(tx, 2, "two")
        };
        for fault in 1..=4 {
            faults.fail_at(fault);
            let done = data.write(write).await;
            assert!(matches!(done, Err(Error::Unavailable(_))), "{fault}: {done:?}");
            assert_eq!(ids(&data).await, [0; 0], "{fault}");
        }
        let before = faults.statements();
        seen.lock().unwrap().clear();
        data.write(write).await.unwrap();
        assert_eq!(faults.statements() - before, 4);
        let seen = seen.lock().unwrap();
        assert!(seen[0].starts_with("begin") && seen[3] == "commit", "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_whose_caller_has_gone_is_skipped() {
    for home in homes_with(&Options { threads: 1, ..Options::default() }).await {
        let data = notes(&home, "a1").await;
        let (go, wait) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (started, held) = (Arc::clone(&go), Arc::clone(&wait));
        let hold = data.write(move |_| {
            started.wait();
            held.wait();
            Ok::<_, Error>(())
        });
        let leave = async {
            go.wait();
            let gone = data.write(|tx| insert(tx, 1, "one"));
            assert!(tokio::time::timeout(Duration::from_millis(20), gone).await.is_err());
            wait.wait();
        };
        let (held, ()) = tokio::join!(hold, leave);
        held.unwrap();
        data.write(|tx| insert(tx, 2, "two")).await.unwrap();
        assert_eq!(ids(&data).await, [2]);
    }
}

#[tokio::test]
async fn a_closed_cell_refuses_work_and_leaves_nothing_open() {
    for home in homes().await {
        let data = notes(&home, "a1").await;
        data.write(|tx| insert(tx, 1, "one")).await.unwrap();
        home.cell.close().await;
        home.cell.close().await;
        let done: Done = data.write(|tx| insert(tx, 2, "two")).await;
        assert!(matches!(done, Err(Error::Closed)), "{done:?}");
        assert_eq!(home.cell.stats().connections, 0);
        if let Some(dir) = &home.dir {
            let journal = dir.path().join("apps/a1/app.db-wal");
            assert!(!journal.exists(), "it was written into the file");
        }
    }
}

#[tokio::test]
async fn a_lost_connection_is_replaced_and_the_work_runs_again() {
    for home in homes_with(&Options { threads: 2, ..Options::default() }).await {
        if home.cell.dialect() == Dialect::Sqlite {
            continue; // it has no connection that can be lost
        }
        let data = notes(&home, "a1").await;
        for number in 0..4 {
            let kill = "select count(pg_terminate_backend(pid)) as killed from pg_stat_activity
                        where pid <> pg_backend_pid() and datname = current_database()";
            let poller = home.cell.poller();
            let done: Done<Vec<()>> = poller.read(move |db| db.rows(kill, &[], |_| Ok(()))).await;
            done.unwrap();
            data.write(move |tx| insert(tx, number, "x")).await.unwrap();
        }
        assert_eq!(ids(&data).await, [0, 1, 2, 3]);
    }
}

#[tokio::test]
async fn a_statement_survives_a_change_of_what_it_answers() {
    for home in homes_with(&Options { threads: 1, ..Options::default() }).await {
        let data = notes(&home, "a1").await;
        let width = |db: &Db<'_>| db.row("select * from app.Notes", &[], |row| Ok(row.len()));
        data.write(|tx| insert(tx, 1, "one")).await.unwrap();
        assert_eq!(data.read(width).await.unwrap(), Some(2));
        let alter = |tx: &Tx<'_>| tx.batch("alter table app.Notes add column more {int}");
        data.write(alter).await.unwrap();
        assert_eq!(data.read(width).await.unwrap(), Some(3));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = sqlite(&Options::default());
    let data = notes(&home, "a1").await;
    data.write(|tx| insert(tx, 1, "one")).await.unwrap();
    let dir = home.dir.as_ref().unwrap().path();
    for (path, mode) in [
        ("control.db", 0o600),
        ("apps", 0o700),
        ("apps/a1", 0o700),
        ("apps/a1/app.db", 0o600),
        ("apps/a1/app.db-wal", 0o600),
        ("apps/a1/app.db-shm", 0o600),
    ] {
        let found = std::fs::metadata(dir.join(path)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
}

#[tokio::test]
async fn a_read_makes_no_file_and_cannot_write() {
    let home = sqlite(&Options::default());
    let none = home.cell.database(app("c3"));
    assert!(matches!(none.read(all).await, Err(Error::Undefined(_))));
    assert!(!home.dir.as_ref().unwrap().path().join("apps/c3").exists());
    let data = notes(&home, "a1").await;
    let sql = "insert into app.Notes (id, body) values (1, 'x') returning id";
    let done: Done<Vec<i64>> = data.read(move |db| db.rows(sql, &[], |it| it.get("id"))).await;
    assert!(done.is_err(), "{done:?}");
}

#[tokio::test]
async fn a_server_that_is_away_fails_fast() {
    let url = "host=/nonexistent/socket user=nobody dbname=none";
    let start = Instant::now();
    let cell = Cell::postgres(PostgresOptions::new(url)).await;
    assert!(matches!(cell, Err(Error::Unavailable(_))), "{cell:?}");
    assert!(start.elapsed() < Duration::from_secs(3));
}
