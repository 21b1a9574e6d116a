//! What is measured, and against what.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{Client, Flood, flood, request};
use crate::program::{PASSWORD, Serving, Usher};
use crate::{Plan, Result, floor, text};

/// Connections that ask at once.
const CONNECTIONS: usize = 16;
/// Rows of the table, with fifteen properties each beside the system's.
const ROWS: usize = 10_000;
/// Users who log in.
const USERS: usize = 64;
/// Warming up, before anything counts.
const WARM: Duration = Duration::from_secs(1);

/// Runs the named benches, or all of them.
pub async fn run(plan: &Plan, names: &[String]) -> Result {
    let known = ["check", "read", "page", "login"];
    if let Some(unknown) = names.iter().find(|it| !known.contains(&it.as_str())) {
        return Err(format!("there is no bench {unknown}. There are {}", known.join(", ")));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|it| it == name);
    let engine = if plan.database.is_some() { "PostgreSQL" } else { "SQLite" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("On {engine}, {cores} cores, {} rounds of {:?}.\n", plan.rounds, plan.round);
    println!(
        "| What | Answers a second | Median wait | 99 % within | Processor time an answer | Floor | Ratio | Goal |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let home = tempfile::tempdir().map_err(text)?;
    let usher = Usher::start(plan, home.path())?;
    if wanted("check") {
        check(plan, &usher).await?;
    }
    if wanted("login") {
        login(plan, &usher).await?;
    }
    if wanted("read") || wanted("page") {
        objects(plan, usher, home.path(), (wanted("read"), wanted("page"))).await?;
    }
    Ok(())
}

/// What one side of a comparison has spent.
struct Measured {
    flood: Flood,
    /// An answer's processor time, in nanoseconds.
    each: f64,
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
async fn measure(plan: &Plan, serving: &Serving, requests: &Arc<Vec<Vec<u8>>>) -> Result<Measured> {
    flood(serving.address, requests, CONNECTIONS, WARM).await?;
    let before = serving.spent()?;
    let flood = flood(serving.address, requests, CONNECTIONS, plan.round).await?;
    let spent = serving.spent()?.saturating_sub(before);
    let each = spent.as_nanos() as f64 / flood.answers.max(1) as f64;
    Ok(Measured { flood, each })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn each(done: floor::Done) -> f64 {
    done.spent.as_nanos() as f64 / done.count.max(1) as f64
}

/// A row of the table: the middle round by processor time, and the ratio of the medians.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn row(what: &str, rounds: &[Measured], floor: (&str, f64), (ratio, goal): (f64, &str)) {
    let each = median(rounds.iter().map(|it| it.each).collect());
    let middle =
        rounds.iter().min_by(|a, b| (a.each - each).abs().total_cmp(&(b.each - each).abs()));
    let Some(middle) = middle else { return };
    let rate = middle.flood.answers as f64 / middle.flood.took.as_secs_f64();
    let mut line = String::new();
    let _ = write!(
        line,
        "| {what} | {rate:.0} | {:.2?} | {:.2?} | {:.1} µs | {}: {:.1} µs | {ratio:.2} | {goal} |",
        middle.flood.percentile(0.5),
        middle.flood.percentile(0.99),
        each / 1000.0,
        floor.0,
        floor.1 / 1000.0,
    );
    println!("{line}");
}

async fn post(client: &mut Client, path: &str, body: &Value) -> Result<Value> {
    let answer = client.body(&request("POST", path, None, &body.to_string())).await?;
    serde_json::from_slice(&answer).map_err(text)
}

async fn put(client: &mut Client, path: &str, body: &Value) -> Result<Value> {
    let answer = client.body(&request("PUT", path, None, &body.to_string())).await?;
    serde_json::from_slice(&answer).map_err(text)
}

/// The check of a session, with all that any request passes through, against bare hyper.
async fn check(plan: &Plan, usher: &Usher) -> Result {
    let mut client = Client::connect(usher.serving.address).await?;
    let path = format!("{}/users/register/guest", usher.root("JS"));
    let guest = post(&mut client, &path, &json!({})).await?;
    let token = guest["user-token"].as_str().unwrap_or_default().to_owned();
    let ask = request("GET", &format!("{}/info", usher.root("JS")), Some(&token), "");
    let length = client.body(&ask).await?.len();
    let requests = Arc::new(vec![ask]);
    let bare = floor::bare(length)?;
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        floors.push(measure(plan, &bare, &requests).await?);
        ours.push(measure(plan, &usher.serving, &requests).await?);
    }
    let floor = median(floors.iter().map(|it| it.each).collect());
    let ratio = floor / median(ours.iter().map(|it| it.each).collect());
    row("session check", &ours, ("bare hyper", floor), (ratio, "≥ 0.75"));
    Ok(())
}

/// Logins, against the hash alone.
async fn login(plan: &Plan, usher: &Usher) -> Result {
    let mut client = Client::connect(usher.serving.address).await?;
    let root = usher.root("JS");
    let mut requests = Vec::new();
    for number in 0..USERS {
        let email = format!("user{number}@example.com");
        let body = json!({ "email": email, "password": PASSWORD });
        post(&mut client, &format!("{root}/users/register"), &body).await?;
        let body = json!({ "login": email, "password": PASSWORD }).to_string();
        requests.push(request("POST", &format!("{root}/users/login"), None, &body));
    }
    let requests = Arc::new(requests);
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        floors.push(each(floor::hashing(plan.round)?));
        ours.push(measure(plan, &usher.serving, &requests).await?);
    }
    let floor = median(floors);
    let ratio = floor / median(ours.iter().map(|it| it.each).collect());
    row("login", &ours, ("Argon2id alone", floor), (ratio, "≥ 0.95"));
    Ok(())
}

/// One object, and a page of a hundred, against the same statement in the engine and against bare
/// hyper with as many bytes.
async fn objects(plan: &Plan, usher: Usher, home: &Path, (read, page): (bool, bool)) -> Result {
    let mut client = Client::connect(usher.serving.address).await?;
    let root = usher.root("BL");
    let mut ids = Vec::new();
    for block in 0..ROWS / 1000 {
        let rows: Vec<Value> = (0..1000).map(|it| thing(block * 1000 + it)).collect();
        if block == 0 {
            // The table and its columns come to be.
            put(&mut client, &format!("{root}/data/Thing"), &thing(0)).await?;
        }
        let made = post(&mut client, &format!("{root}/data/bulk/Thing"), &json!(rows)).await?;
        let made = made.as_array().cloned().unwrap_or_default();
        ids.extend(made.iter().filter_map(|it| it.as_str().map(str::to_owned)));
    }
    let get = |path: String| request("GET", &format!("{root}/data/{path}"), None, "");
    let reads = ids.iter().step_by(7).map(|it| get(format!("Thing/{it}"))).collect();
    let pages = vec![get("Thing?pageSize=100".to_owned())];
    let wanted = [("one object", "read", reads, read), ("page of 100 × 15", "page", pages, page)];
    let mut measured = Vec::new();
    for (what, statement, requests, _) in wanted.into_iter().filter(|it| it.3) {
        let length = client.body(&requests[0]).await?.len();
        let requests = Arc::new(requests);
        let bare = floor::bare(length)?;
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            floors.push(measure(plan, &bare, &requests).await?.each);
            ours.push(measure(plan, &usher.serving, &requests).await?);
        }
        measured.push((what, statement, ours, median(floors)));
    }
    let app = usher.app.clone();
    drop(client);
    drop(usher);
    for (what, statement, ours, bare) in measured {
        let mut engine = Vec::new();
        for _ in 0..plan.rounds {
            let which = (app.as_str(), statement);
            engine.push(each(floor::queries(which, home, plan.database.as_deref(), plan.round)?));
        }
        let (sql, spent) = (median(engine), median(ours.iter().map(|it| it.each).collect()));
        row(what, &ours, ("statement in the engine", sql), (spent / sql, "≤ 1.5"));
        row(what, &ours, ("statement and bare hyper", sql + bare), (spent / (sql + bare), "–"));
    }
    Ok(())
}

const CITIES: [&str; 4] = ["Berlin", "Київ", "São Paulo", "東京"];
const COLORS: [&str; 3] = ["red", "green", "blue"];

/// An object with fifteen properties as people have them.
fn thing(number: usize) -> Value {
    json!({
        "name": format!("Thing number {number}"),
        "city": CITIES[number % CITIES.len()],
        "street": format!("{} Long Street, second door on the left", number % 300),
        "note": "A text of about a hundred characters, as people write when there is room for it, and no more.",
        "color": COLORS[number % COLORS.len()],
        "size": number % 50,
        "weight": 0.25 * f64::from(u32::try_from(number % 1000).unwrap_or(0)),
        "price": 9.99,
        "active": number.is_multiple_of(2),
        "visible": true,
        "code": format!("A-{number:06}"),
        "phone": "+49 30 901820",
        "rank": number,
        "language": "de",
        "since": "2024",
    })
}
