//! The floors: the least that anybody could spend on the same.
//!
//! Each runs in a process of its own, so that its processor time is its own.

use std::convert::Infallible;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use server::store;
use tokio::net::TcpListener;

use crate::program::Serving;
use crate::{Result, number, text};

/// What a floor has done, and what it spent on it.
#[derive(Clone, Copy)]
pub struct Done {
    /// How often.
    pub count: u64,
    /// The processor time.
    pub spent: Duration,
}

/// Runs the floor that the words name.
pub fn main(words: &[String]) -> Result {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(text)?;
    match words[..] {
        ["answer", length] => {
            runtime.block_on(answer(usize::try_from(number(length)?).unwrap_or(0)))
        }
        ["sql", app, what, place, seconds] => {
            runtime.block_on(sql((app, what), place, Duration::from_secs(number(seconds)?)))
        }
        ["hash", seconds] => runtime.block_on(hash(Duration::from_secs(number(seconds)?))),
        _ => Err("there is no such floor".to_owned()),
    }
}

fn itself(words: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().map_err(text)?);
    command.arg("floor").args(words);
    Ok(command)
}

/// Starts bare hyper that answers everything with as many bytes.
pub fn bare(length: usize) -> Result<Serving> {
    Serving::start(&mut itself(&["answer", &length.to_string()])?, "listens on ")
}

async fn answer(length: usize) -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    println!("listens on {}", listener.local_addr().map_err(text)?);
    let body = Bytes::from(vec![b'x'; length]);
    loop {
        let (stream, _) = listener.accept().await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let body = body.clone();
        let service = service_fn(move |_: Request<hyper::body::Incoming>| {
            let answer = Response::builder()
                .header("content-type", "application/json")
                .body(Full::new(body.clone()));
            async move { Ok::<_, Infallible>(answer.unwrap_or_default()) }
        });
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Runs a floor that ends by itself, and reads what it has done.
fn count(words: &[&str]) -> Result<Done> {
    let done = itself(words)?.output().map_err(text)?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let mut words = out.split_whitespace().map(|it| it.parse::<u64>().map_err(text));
    let mut next = || words.next().unwrap_or_else(|| Err(format!("what is {out}")));
    Ok(Done { count: next()?, spent: Duration::from_micros(next()?) })
}

fn tell(count: u64, begun: Duration) -> Result {
    let spent = own_time()?.saturating_sub(begun);
    println!("{count} {}", spent.as_micros());
    Ok(())
}

/// The processor time of this process: nanoseconds, summed over its threads.
fn own_time() -> Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").map_err(text)? {
        let path = task.map_err(text)?.path().join("schedstat");
        let stat = std::fs::read_to_string(path).map_err(text)?;
        nanos += stat.split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// The statement that a page or one object takes, run in the engine and read to the last value.
pub fn queries(
    (app, what): (&str, &str),
    place: &Path,
    database: Option<&str>,
    time: Duration,
) -> Result<Done> {
    let place = database.map_or_else(|| place.display().to_string(), str::to_owned);
    count(&["sql", app, what, &place, &time.as_secs().to_string()])
}

async fn sql((app, what): (&str, &str), place: &str, time: Duration) -> Result {
    let cell = if place.starts_with("postgres") {
        engine::Cell::postgres(engine::PostgresOptions::new(place)).await
    } else {
        engine::Cell::sqlite(engine::SqliteOptions::new(PathBuf::from(place)))
    };
    let cell = cell.map_err(text)?;
    let id = server::ids::AppId(app.into());
    let scope = engine::Scope { id: app.into(), place: engine::Place::App(id.place()) };
    let data = cell.database(scope).with_deadline(time + Duration::from_mins(1));
    let page = what == "page";
    let first = if place.starts_with("postgres") { "$1" } else { "?" };
    let (count, begun) = data
        .read(move |db| {
            let schema =
                store::schema::load(db).map_err(|it| engine::Error::Undefined(it.to_string()))?;
            let table = schema.table("Thing").cloned();
            let table = table.ok_or_else(|| engine::Error::Undefined("Thing".to_owned()))?;
            let dialect = db.dialect();
            let columns: Vec<_> =
                table.columns.iter().map(|it| dialect.quote(&it.physical)).collect();
            let select = format!(
                "select {} from {}",
                columns.join(", "),
                dialect.table(db.scope(), &table.physical)
            );
            let seq = dialect.quote(".seq");
            let ids = db.rows(
                &format!(
                    "select \"objectId\" as id from {} order by {seq}",
                    dialect.table(db.scope(), &table.physical)
                ),
                &[],
                |row| row.get::<String>("id"),
            )?;
            let begun = own_time().map_err(engine::Error::Undefined)?;
            let (end, mut count) = (Instant::now() + time, 0_u64);
            while Instant::now() < end {
                for _ in 0..20 {
                    let (text, args) = if page {
                        (format!("{select} order by {seq} desc limit 100 offset 0"), Vec::new())
                    } else {
                        let id = ids[usize::try_from(count).unwrap_or(0) % ids.len()].clone();
                        (
                            format!("{select} where {} = {first}", dialect.quote("objectId")),
                            vec![engine::Value::Text(id)],
                        )
                    };
                    db.each(&engine::Built { sql: text, values: args }, &mut |row| {
                        for index in 0..row.len() {
                            black_box(row.at(index)?);
                        }
                        Ok(engine::Flow::Continue)
                    })?;
                    count += 1;
                }
            }
            Ok::<_, engine::Error>((count, begun))
        })
        .await
        .map_err(text)?;
    tell(count, begun)
}

/// Argon2id of the usual parameters on all cores, and nothing else.
pub fn hashing(time: Duration) -> Result<Done> {
    count(&["hash", &time.as_secs().to_string()])
}

async fn hash(time: Duration) -> Result {
    let pool = hashes::Pool::start(hashes::PoolOptions::default()).map_err(text)?;
    let pool = Arc::new(pool);
    let one = |pool: Arc<hashes::Pool>| async move {
        let password = hashes::Password::new("correct horse battery");
        pool.hash(hashes::Lane::Interactive, password, [7; 16]).await.map_err(text)
    };
    one(Arc::clone(&pool)).await?;
    let begun = own_time()?;
    let end = Instant::now() + time;
    let threads = hashes::PoolOptions::default().threads;
    let workers = (0..threads * 2).map(|_| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move {
            let mut count = 0_u64;
            while Instant::now() < end {
                one(Arc::clone(&pool)).await?;
                count += 1;
            }
            Ok::<_, String>(count)
        })
    });
    let workers: Vec<_> = workers.collect();
    let mut count = 0;
    for worker in workers {
        count += worker.await.map_err(text)??;
    }
    tell(count, begun)
}
