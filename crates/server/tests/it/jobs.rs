//! Work that outlives a request: it goes on after a stop and a crash, it is tried again, and what
//! cannot be done is seen.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Faults, Hooks};
use server::clock::{Millis, Seconds};
use server::console::{apps, developers};
use server::error::{Error, Result};
use server::ids::AppId;
use server::jobs::{self, Kind, Mark, Parcel, Sink, Work, rules};
use server::server::Server;
use server::settings::Profile;
use server::start;
use server::store::{self, Database, Tx, failures, outbox};
use tokio::sync::Semaphore;

use crate::database::Home;
use crate::harness::{HORSE, OWNER, START, Setup, TestServer, build};
use crate::look;

/// A server without a door, which knows these kinds of work alone.
async fn worker(home: &Home, setup: &Setup, kinds: Vec<Kind>, sinks: Vec<Sink>) -> Server {
    let server = build(home, setup.clone()).await.unwrap();
    jobs::start(&server, kinds, sinks).await.unwrap();
    server
}

/// Ends a server as a kill would: it writes nothing more, so it gives nothing back.
async fn kill(server: &Server) {
    server.cell.close().await;
    server.background.stop().await;
}

async fn enqueue(server: &Server, kind: &'static str, payload: &'static str) {
    let keep = server.clone();
    let write = move |tx: &Tx<'_>| {
        let run_at = keep.clock.now();
        jobs::enqueue(tx, &keep, &store::jobs::New { kind, payload, dedupe: None, run_at })
    };
    server.apps.platform.data.write(write).await.unwrap();
}

/// Has the scheduler look at the platform's work now.
fn wake(server: &Server) {
    server.agenda.note(&"".into(), Millis(0));
}

/// Waits until something is so; fails when it takes more than twenty seconds.
async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..1000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not within 20 s");
}

async fn all(data: &Database) -> Vec<store::jobs::Shown> {
    let mut all = data.read(|db| store::jobs::newest(db, 100)).await.unwrap();
    all.retain(|it| !it.kind.starts_with("sweep."));
    all
}

async fn until_no_job_is_left(server: &Server) {
    until("all jobs are done", async || all(&server.apps.platform.data).await.is_empty()).await;
}

/// How often a chunk has counted: it leaves a failure of that name behind.
async fn counted(data: &Database, name: &'static str) -> i64 {
    let read = data.write(move |tx| {
        let count = failures::count(tx, name, START)? - 1;
        failures::forget(tx, name)?;
        Ok::<_, Error>(count)
    });
    read.await.unwrap()
}

const CHUNKS: [&str; 6] = ["chunk 0", "chunk 1", "chunk 2", "chunk 3", "chunk 4", "chunk 5"];

/// Counts from the checkpoint to six, a chunk at a time, and stops before the fourth until the
/// gate is opened.
fn counting(gate: &Arc<Semaphore>, reached: &Arc<AtomicU32>) -> Kind {
    let (gate, reached) = (Arc::clone(gate), Arc::clone(reached));
    Kind::new("count", 5, move |work| count(work, Arc::clone(&gate), Arc::clone(&reached)))
}

async fn count(mut work: Work, gate: Arc<Semaphore>, reached: Arc<AtomicU32>) -> Result<()> {
    let first: usize = work.job.checkpoint.parse().unwrap_or(0);
    for (index, name) in CHUNKS.into_iter().enumerate().skip(first) {
        if index == 3 {
            reached.fetch_add(1, Ordering::SeqCst);
            let _ = gate.acquire().await;
        }
        let progress = u16::try_from(index * 1000 / CHUNKS.len()).unwrap();
        let chunk = move |tx: &Tx<'_>| {
            failures::count(tx, name, START)?;
            Ok(Mark { checkpoint: (index + 1).to_string(), progress })
        };
        work.chunk(chunk).await?;
    }
    Ok(())
}

async fn assert_each_chunk_counted_once(server: &Server) {
    for name in CHUNKS {
        assert_eq!(counted(&server.apps.platform.data, name).await, 1, "{name}");
    }
}

#[tokio::test]
async fn a_job_that_was_stopped_goes_on_from_its_checkpoint() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let (gate, reached) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let server = worker(&home, &setup, vec![counting(&gate, &reached)], vec![]).await;
    enqueue(&server, "count", "").await;
    until("the job is half done", async || reached.load(Ordering::SeqCst) == 1).await;
    start::stop(&server).await;

    // Its lease was given back, so nobody waits for it to run out; and the try was not counted.
    gate.add_permits(1);
    let server = worker(&home, &setup, vec![counting(&gate, &reached)], vec![]).await;
    wake(&server);
    until_no_job_is_left(&server).await;
    assert_each_chunk_counted_once(&server).await;
    start::stop(&server).await;
}

#[tokio::test]
async fn a_job_that_was_killed_goes_on_from_its_checkpoint() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let (gate, reached) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let server = worker(&home, &setup, vec![counting(&gate, &reached)], vec![]).await;
    enqueue(&server, "count", "").await;
    until("the job is half done", async || reached.load(Ordering::SeqCst) == 1).await;
    kill(&server).await;

    gate.add_permits(1);
    let server = worker(&home, &setup, vec![counting(&gate, &reached)], vec![]).await;
    if home.is_shared() {
        // Nobody can know that the other node is dead before its lease has run out.
        wake(&server);
        let [job] = &*all(&server.apps.platform.data).await else { panic!("the job is there") };
        assert_eq!((job.progress, &*job.checkpoint), (333, "3"));
        setup.clock.advance(rules::LEASE);
    }
    wake(&server);
    until_no_job_is_left(&server).await;
    assert_each_chunk_counted_once(&server).await;
    start::stop(&server).await;
}

#[tokio::test]
async fn who_lost_a_lease_can_write_nothing_more() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let (gate, reached) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let first = worker(&home, &setup, vec![counting(&gate, &reached)], vec![]).await;
    enqueue(&first, "count", "").await;
    until("the job is half done", async || reached.load(Ordering::SeqCst) == 1).await;

    // The lease runs out while the first still believes in it. Where there is but one process it
    // takes the job from itself.
    let second = if home.is_shared() {
        worker(&home, &setup, vec![counting(&gate, &reached)], vec![]).await
    } else {
        first.clone()
    };
    setup.clock.advance(rules::LEASE);
    wake(&second);
    until("the job is taken again", async || reached.load(Ordering::SeqCst) == 2).await;
    // Both go on from the third chunk at the same moment.
    gate.add_permits(2);
    until_no_job_is_left(&second).await;
    assert_each_chunk_counted_once(&second).await;
    start::stop(&first).await;
    start::stop(&second).await;
}

#[tokio::test]
async fn a_job_that_panics_is_tried_again_then_seen_as_failed_and_holds_up_nobody() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let tries = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&tries);
    let panics = Kind::new("panic", 3, move |_| {
        let seen = Arc::clone(&seen);
        async move {
            let number = seen.fetch_add(1, Ordering::SeqCst);
            assert!(number >= 10, "number {number} goes wrong");
            Ok(())
        }
    });
    let good = Kind::new("good", 3, async |_| Ok(()));
    let server = worker(&home, &setup, vec![panics, good], vec![]).await;
    enqueue(&server, "panic", "").await;
    let data = server.apps.platform.data.clone();
    for number in 1..=3 {
        until("it is tried", async || tries.load(Ordering::SeqCst) == number).await;
        let error = format!("panic: number {} goes wrong", number - 1);
        until("the try is noted", async || {
            all(&data).await.first().is_some_and(|it| it.error == error)
        })
        .await;
        let [job] = &*all(&data).await else { panic!("the job is there") };
        assert_eq!(job.attempts, i64::from(number));
        assert_eq!(job.state == "failed", number == 3, "{job:?}");
        if number < 3 {
            let wait = job.run_at.0 - setup.clock.now().0;
            assert!((1_000..=4_000).contains(&wait), "the next try comes after {wait} ms");
            setup.clock.advance(Seconds(4));
            wake(&server);
        }
    }
    enqueue(&server, "good", "").await;
    until("the other one is done", async || all(&data).await.len() == 1).await;
    assert_eq!(server.metrics.panics.get(), 3);

    // Nobody forgets it before a month has passed.
    setup.clock.advance(Seconds(29 * 24 * 3600));
    wake(&server);
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    assert_eq!(all(&data).await.len(), 1);
    start::stop(&server).await;
}

#[tokio::test]
async fn work_that_this_version_does_not_know_waits_for_one_that_does() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let server = worker(&home, &setup, vec![], vec![]).await;
    enqueue(&server, "of the next version", "").await;
    let data = server.apps.platform.data.clone();
    until("it was looked at", async || !all(&data).await[0].error.is_empty()).await;
    let [job] = &*all(&data).await else { panic!("the job is there") };
    assert_eq!((&*job.state, job.attempts, job.run_at), ("waiting", 0, START + Seconds(60)));
    start::stop(&server).await;

    let done = Kind::new("of the next version", 3, async |_| Ok(()));
    let server = worker(&home, &setup, vec![done], vec![]).await;
    setup.clock.advance(Seconds(60));
    wake(&server);
    until_no_job_is_left(&server).await;
    start::stop(&server).await;
}

#[tokio::test]
async fn a_job_that_is_cancelled_counts_no_more() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let (gate, reached) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let server = worker(&home, &setup, vec![counting(&gate, &reached)], vec![]).await;
    enqueue(&server, "count", "").await;
    until("the job is half done", async || reached.load(Ordering::SeqCst) == 1).await;
    let data = server.apps.platform.data.clone();
    let id = all(&data).await.remove(0).id;
    assert!(data.write(move |tx| jobs::cancel(tx, &id)).await.unwrap());
    gate.add_permits(1);
    start::stop(&server).await;

    let server = worker(&home, &setup, vec![], vec![]).await;
    assert_eq!(counted(&server.apps.platform.data, "chunk 2").await, 1);
    assert_eq!(counted(&server.apps.platform.data, "chunk 3").await, 0);
    start::stop(&server).await;
}

#[tokio::test]
async fn two_nodes_share_the_jobs_and_do_each_once() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    if !home.is_shared() {
        return; // one process owns the data
    }
    let done: Arc<Mutex<Vec<(u32, String)>>> = Arc::default();
    let kind = |node: u32| {
        let done = Arc::clone(&done);
        Kind::new("note", 3, move |work| {
            let done = Arc::clone(&done);
            async move {
                tokio::time::sleep(Duration::from_millis(30)).await;
                done.lock().unwrap().push((node, work.job.payload));
                Ok(())
            }
        })
    };
    let first = worker(&home, &setup, vec![kind(1)], vec![]).await;
    let second = worker(&home, &setup, vec![kind(2)], vec![]).await;
    let keep = first.clone();
    let write = move |tx: &Tx<'_>| {
        for number in 0..60 {
            let (payload, run_at) = (number.to_string(), keep.clock.now());
            let new = store::jobs::New { kind: "note", payload: &payload, dedupe: None, run_at };
            jobs::enqueue(tx, &keep, &new)?;
        }
        Ok::<_, Error>(())
    };
    first.apps.platform.data.write(write).await.unwrap();
    wake(&second);
    until_no_job_is_left(&first).await;
    let mut numbers: Vec<u32> =
        done.lock().unwrap().iter().map(|it| it.1.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    for node in [1, 2] {
        let share = done.lock().unwrap().iter().filter(|it| it.0 == node).count();
        assert!(share > 5, "node {node} did {share}");
    }
    start::stop(&first).await;
    start::stop(&second).await;
}

#[tokio::test]
async fn the_timetable_comes_round_and_one_node_has_a_round() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let rounds = Arc::new(AtomicU32::new(0));
    let kind = || {
        let rounds = Arc::clone(&rounds);
        Kind::every("sweep.for-a-test", Seconds(100), move |_| {
            let number = rounds.fetch_add(1, Ordering::SeqCst);
            async move {
                if number == 1 { Err(Error::internal("the second round fails")) } else { Ok(()) }
            }
        })
    };
    let mut nodes = vec![worker(&home, &setup, vec![kind()], vec![]).await];
    if home.is_shared() {
        nodes.push(worker(&home, &setup, vec![kind()], vec![]).await);
    }
    let data = nodes[0].apps.platform.data.clone();
    let next = async || {
        let all = data.read(|db| store::jobs::newest(db, 100)).await.unwrap();
        let [job] = &*all else { panic!("one round waits: {all:?}") };
        job.run_at
    };
    assert_eq!(next().await, START + Seconds(100));
    // The second round fails and is tried again some seconds later.
    for (round, wait) in [(1, 100), (2, 100), (3, 2), (4, 100)] {
        setup.clock.advance(Seconds(wait - 1));
        nodes.iter().for_each(wake);
        setup.clock.advance(Seconds(1));
        nodes.iter().for_each(wake);
        until("the round", async || rounds.load(Ordering::SeqCst) == round).await;
        let now = setup.clock.now();
        until("the next round is planned", async || next().await > now).await;
    }
    for node in nodes {
        start::stop(&node).await;
    }
}

/// Adds a delivery by an event of the platform.
async fn send(server: &Server, sink: &'static str, payload: &'static str) {
    let keep = server.clone();
    let write =
        move |tx: &Tx<'_>| jobs::send(tx, &keep, &outbox::New { event: "an event", sink, payload });
    server.apps.platform.data.write(write).await.unwrap();
}

async fn deliveries(server: &Server) -> Vec<outbox::Shown> {
    server.apps.platform.data.read(|db| outbox::newest(db, 100)).await.unwrap()
}

#[tokio::test]
async fn a_delivery_is_made_by_its_sink_whatever_the_others_do() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let arrived: Arc<Mutex<Vec<String>>> = Arc::default();
    let keep = Arc::clone(&arrived);
    let good = Sink::new("good", 2, move |parcel: Parcel| {
        keep.lock().unwrap().push(parcel.delivery.payload);
        async { Ok(()) }
    });
    let waiting = Arc::new(AtomicU32::new(0));
    let keep = Arc::clone(&waiting);
    let dead = Sink::new("dead", 2, move |_| {
        keep.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    });
    let wild = Sink::new("wild", 2, async |_| panic!("the sink is broken"));
    let server = worker(&home, &setup, vec![], vec![good, dead, wild]).await;
    for _ in 0..20 {
        send(&server, "dead", "").await;
    }
    send(&server, "wild", "").await;
    send(&server, "unheard of", "").await;
    for payload in ["a", "b", "c", "d", "e"] {
        send(&server, "good", payload).await;
    }
    until("the good ones arrive", async || arrived.lock().unwrap().len() == 5).await;
    arrived.lock().unwrap().sort();
    assert_eq!(*arrived.lock().unwrap(), ["a", "b", "c", "d", "e"]);
    until("the others are noted", async || {
        let all = deliveries(&server).await;
        all.len() == 22 && all.iter().filter(|it| !it.error.is_empty()).count() == 2
    })
    .await;
    assert_eq!(waiting.load(Ordering::SeqCst), 2, "the dead one holds its own places alone");
    let all = deliveries(&server).await;
    let error = |sink: &str| all.iter().find(|it| it.sink == sink).unwrap().error.clone();
    assert_eq!(error("wild"), "panic: the sink is broken");
    assert_eq!(error("unheard of"), "there is no way out named unheard of");
    start::stop(&server).await;
}

#[tokio::test]
async fn a_delivery_is_tried_for_a_day_and_then_seen_as_failed() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let tries = Arc::new(AtomicU32::new(0));
    let keep = Arc::clone(&tries);
    let away = Sink::new("away", 4, move |_| {
        keep.fetch_add(1, Ordering::SeqCst);
        async { Err(Error::internal("nobody is at home")) }
    });
    let server = worker(&home, &setup, vec![], vec![away]).await;
    send(&server, "away", "").await;
    let mut number = 0;
    let last = loop {
        number += 1;
        until("it is tried and noted", async || {
            let noted = deliveries(&server).await;
            let noted =
                noted.iter().all(|it| it.run_at > setup.clock.now() || it.state != "waiting");
            noted && tries.load(Ordering::SeqCst) == number
        })
        .await;
        let delivery = deliveries(&server).await.remove(0);
        if delivery.state == "failed" {
            break delivery;
        }
        let wait = u32::try_from(delivery.run_at.0 - setup.clock.now().0).unwrap() / 1000 + 1;
        assert!(wait <= 3601, "{wait} s");
        setup.clock.advance(Seconds(wait));
        wake(&server);
    };
    assert!(last.error.contains("nobody is at home"), "{}", last.error);
    let spent = last.run_at.0 - START.0;
    assert!((22 * 3_600_000..=86_400_000).contains(&spent), "given up after {spent} ms");
    start::stop(&server).await;
}

/// What is left of an application: its row, its place, its rows among those of all.
async fn left_of(server: &Server, id: &AppId) -> Vec<String> {
    let place = id.place();
    let mine = |it: &String| it.contains(&*id.0) || it.contains(&*place);
    let mut rows = look::everything(&server.apps.platform.data).await;
    // What has happened stays on record, and the change log for an hour.
    rows.retain(|it| mine(it) && !it.contains("app.") && !is_change(it));
    if server.apps.data(id).read(|db| store::schema::load(db).map(|_| ())).await.is_ok()
        && !server.lease.is_shared()
    {
        rows.push("its file".to_owned());
    }
    rows
}

fn is_change(row: &str) -> bool {
    let kind = row.split(',').nth(2);
    row.starts_with('(') && kind.is_some_and(|it| ["app", "user", "sessions"].contains(&it))
}

/// A server whose statements can be made to fail, and how many jobs have tried to end as done.
async fn faulty() -> (TestServer, Arc<Faults>, Arc<AtomicU32>) {
    let (faults, ended) = (Arc::new(Faults::default()), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&ended);
    let seen: engine::Seen = Arc::new(move |sql| {
        let ends = sql.starts_with("delete") && sql.contains("fence");
        count.fetch_add(u32::from(ends), Ordering::SeqCst);
    });
    let hooks = Hooks { faults: Some(Arc::clone(&faults)), seen: Some(seen) };
    (TestServer::with(Setup { hooks, ..Setup::default() }).await, faults, ended)
}

/// Waits until the jobs about applications are done, also those that fail at first, and those whose
/// end could not be noted.
async fn jobs_are_done(server: &TestServer) {
    let data = server.server.apps.platform.data.clone();
    for turn in 1..1000 {
        let (now, left) = (server.clock.now(), all(&data).await);
        if left.is_empty() {
            return;
        }
        if left.iter().all(|it| it.run_at > now) || turn % 5 == 0 {
            server.clock.advance(Seconds(20));
            wake(&server.server);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the jobs do not end: {:?}", all(&data).await);
}

#[tokio::test]
async fn an_application_whose_removal_was_interrupted_is_removed_by_a_job() {
    let (server, faults, ended) = faulty().await;
    let mut interrupted = 0;
    for n in 1..100 {
        let app = server.new_app("Second", Profile::Standard).await;
        app.user("ann@example.com").await;
        app.login("ann@example.com", "wrong").await.refused(3003);
        faults.fail_at(n);
        let author = developers::operator(&server.server);
        let removed = apps::remove(&server.server, author, &app.id).await;
        let mut failed = !faults.is_armed();
        faults.disarm();
        if server.server.apps.by_id(&app.id.0).await.unwrap().is_some() {
            assert!(removed.is_err(), "statement {n}: it is still there, and nobody was told");
            let author = developers::operator(&server.server);
            apps::remove(&server.server, author, &app.id).await.unwrap();
        } else if removed.is_err() {
            interrupted += 1;
            assert!(!left_of(&server.server, &app.id).await.is_empty(), "statement {n}");
        }
        // The job leaves whoever is at it a minute, and is then interrupted, too.
        let before = ended.load(Ordering::SeqCst);
        faults.fail_at(n);
        server.clock.advance(Seconds(61));
        wake(&server.server);
        until("the job has failed or ended", async || {
            !faults.is_armed() || ended.load(Ordering::SeqCst) > before
        })
        .await;
        failed |= !faults.is_armed();
        faults.disarm();
        jobs_are_done(&server).await;
        assert_eq!(left_of(&server.server, &app.id).await, [""; 0], "statement {n}");
        if !failed {
            assert!(interrupted > 3 || server.home().is_shared(), "{interrupted} interrupted");
            return;
        }
    }
    panic!("a removal has fewer statements than that");
}

#[tokio::test]
async fn an_application_that_was_left_half_made_is_removed_by_a_job() {
    let (server, faults, _) = faulty().await;
    let platform = server.server.apps.platform.data.clone();
    let owner = platform.read(store::developers::first_two).await.unwrap().remove(0);
    for n in 1..200 {
        let before = platform.read(store::apps::active).await.unwrap();
        faults.fail_at(n);
        let author = developers::operator(&server.server);
        let made = apps::make(&server.server, author, (&owner, "Second", Profile::Standard)).await;
        let failed = !faults.is_armed();
        faults.disarm();
        let mut now = platform.read(store::apps::active).await.unwrap();
        now.retain(|it| !before.contains(it));
        match made {
            Ok(made) => {
                assert_eq!(now, std::slice::from_ref(&made.app.id), "statement {n}");
                let author = developers::operator(&server.server);
                apps::remove(&server.server, author, &made.app.id).await.unwrap();
                if !failed {
                    return;
                }
            }
            Err(_) => assert_eq!(now, [], "statement {n}: it is there, and nobody has its keys"),
        }
        server.clock.advance(Seconds(61));
        wake(&server.server);
        jobs_are_done(&server).await;
        let states = look::everything(&platform).await;
        assert!(!states.iter().any(|it| it.contains("Second")), "statement {n}: {states:?}");
    }
    panic!("making an application has fewer statements than that");
}

#[tokio::test]
async fn another_server_finishes_what_a_killed_one_has_begun() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let faults = Arc::new(Faults::default());
    let hooks = Hooks { faults: Some(Arc::clone(&faults)), seen: None };
    let server = build(&home, Setup { hooks, ..setup.clone() }).await.unwrap();
    let owner = developers::add(&server, OWNER.0, "Dag", OWNER.1).await.unwrap();
    let make = |name| {
        let author = developers::operator(&server);
        apps::make(&server, author, (&owner, name, Profile::Standard))
    };
    let (kept, gone) = (make("Kept").await.unwrap().app, make("Gone").await.unwrap().app);
    // Removed as far as the first commit, and then the power fails.
    for n in 1.. {
        faults.fail_at(n);
        let removed = apps::remove(&server, developers::operator(&server), &gone.id).await;
        faults.disarm();
        if server.apps.by_id(&gone.id.0).await.unwrap().is_none() {
            assert!(removed.is_err() || home.is_shared());
            break;
        }
    }
    kill(&server).await;

    let server = build(&home, setup.clone()).await.unwrap();
    start::run(&server).await.unwrap();
    if home.is_shared() {
        setup.clock.advance(Seconds(61));
        wake(&server);
    }
    until_no_job_is_left(&server).await;
    assert_eq!(left_of(&server, &gone.id).await, [""; 0]);
    assert!(server.apps.by_id(&kept.id.0).await.unwrap().is_some());
    start::stop(&server).await;
}

/// Whose sessions are in the tables of the application and of the platform.
async fn stored_sessions(server: &TestServer) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let apps = &server.server.apps;
    for data in [apps.data(&server.app.id), apps.platform.data.clone()] {
        let read = data.read(|db| {
            let sql = "select user_id from sys.sessions where app_id = ?1";
            db.rows(sql, &[&db.app()], |row| row.get::<String>("user_id"))
        });
        found.extend(read.await.unwrap());
    }
    found
}

#[tokio::test]
async fn dead_sessions_are_swept_and_live_ones_are_not() {
    let server = TestServer::start().await;
    let app = &server.app;
    let ann = app.user("ann@example.com").await;
    let bob = app.user("bob@example.com").await;
    let eve = app.user("eve@example.com").await;
    app.token("ann@example.com").await;
    let bobs = app.token("bob@example.com").await;
    app.token("eve@example.com").await;
    app.set_status(&eve, "DISABLED").await.ok();
    server.desk().await;
    // Ann does not use her session, and Bob does.
    for _ in 0..4 {
        server.clock.advance(Seconds(3000));
        app.read(&bob, &bobs).await.ok();
        server::sessions::flush(&server.server, Millis(i64::MAX)).await;
    }
    // Rounds are an hour apart, and there were some; this one comes for sure.
    server.clock.advance(Seconds(3500));
    app.read(&bob, &bobs).await.ok();
    server.clock.advance(Seconds(200));
    let rows = async |user: &String| {
        stored_sessions(&server).await.iter().filter(|it| *it == user).count()
    };
    until("the dead one is swept", async || rows(&ann).await == 0).await;
    assert_eq!(rows(&bob).await, 1, "a live one stays");
    assert_eq!(rows(&eve).await, 1, "a disabled user is told why");
    app.read(&bob, &bobs).await.ok();

    // After a month nobody's is left, nor the developer's.
    server.clock.advance(Seconds(31 * 24 * 3600));
    until("all are swept", async || stored_sessions(&server).await.is_empty()).await;
}

#[tokio::test]
async fn loading_an_application_takes_no_lock_and_writes_nothing() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let listening = Arc::new(AtomicBool::new(false));
    let (keep, on) = (Arc::clone(&heard), Arc::clone(&listening));
    let seen: engine::Seen = Arc::new(move |sql| {
        if on.load(Ordering::SeqCst) {
            keep.lock().unwrap().push(sql.to_owned());
        }
    });
    let hooks = Hooks { faults: None, seen: Some(seen) };
    let server = TestServer::with(Setup { hooks, ..Setup::default() }).await;
    server.server.apps.forget_all();
    listening.store(true, Ordering::SeqCst);
    assert!(server.server.apps.by_id(&server.app.id.0).await.unwrap().is_some());
    listening.store(false, Ordering::SeqCst);
    let heard = heard.lock().unwrap();
    assert!(heard.iter().any(|it| it.contains("migrations")), "{heard:?}");
    let writes = heard.iter().filter(|it| {
        ["insert", "update", "delete", "create", "lock", "begin immediate"]
            .iter()
            .any(|word| it.trim_start().to_lowercase().starts_with(word) || it.contains("advisory"))
    });
    assert_eq!(writes.count(), 0, "{heard:?}");
}

/// The stored hash of a user of the first application.
async fn stored_hash(server: &TestServer) -> String {
    let data = server.server.apps.data(&server.app.id);
    let read = data.read(|db| {
        let sql = "select hash from sys.credentials where app_id = ?1";
        db.row(sql, &[&db.app()], |row| row.get::<String>("hash"))
    });
    read.await.unwrap().unwrap()
}

#[tokio::test]
async fn s_pw_02_a_weaker_hash_is_renewed_at_the_next_login_and_once() {
    let server = TestServer::start().await;
    server.app.user("ann@example.com").await;
    let weak = stored_hash(&server).await;
    let desk = server.desk().await;
    desk.login_settings(serde_json::json!({ "enableMultipleLogins": true })).await;
    server.app.token("ann@example.com").await;
    assert_eq!(stored_hash(&server).await, weak, "as strong as they are made now");

    let stronger = |setup: &mut Setup| setup.options.argon2_iterations = Some(3);
    let server = server.restart_with(stronger).await;
    server.app.login("ann@example.com", "a wrong one").await.refused(3003);
    assert_eq!(stored_hash(&server).await, weak, "only the right password renews");

    // All of them checked the weak hash, and one was first to replace it.
    let logins = (0..12).map(|_| server.app.login("ann@example.com", HORSE));
    for reply in futures_util::future::join_all(logins).await {
        reply.ok();
    }
    let strong = stored_hash(&server).await;
    assert!(weak.contains("t=2") && strong.contains("t=3"), "{weak} {strong}");
    server.app.token("ann@example.com").await;
    assert_eq!(stored_hash(&server).await, strong);
    server.desk().await; // the developer's too
    let developer =
        server.server.apps.platform.data.read(|db| store::developers::by_email(db, OWNER.0));
    let developer: Result<_> = developer.await;
    assert!(developer.unwrap().unwrap().1.contains("t=3"));
}

#[tokio::test]
async fn what_waits_and_what_failed_is_counted() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let (gate, reached) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let bad = Kind::new("bad", 1, async |_| Err(Error::internal("no")));
    let dead = Sink::new("dead", 1, async |_| std::future::pending().await);
    let server = worker(&home, &setup, vec![counting(&gate, &reached), bad], vec![dead]).await;
    enqueue(&server, "bad", "").await;
    enqueue(&server, "count", "").await;
    send(&server, "dead", "").await;
    send(&server, "dead", "").await;
    until("it has failed", async || {
        all(&server.apps.platform.data).await.iter().any(|it| it.state == "failed")
    })
    .await;
    setup.clock.advance(Seconds(10));
    until("it is counted", async || {
        wake(&server);
        let tally = server.agenda.tally();
        (tally.jobs, tally.jobs_failed, tally.deliveries) == (1, 1, 2)
    })
    .await;
    let tally = server.agenda.tally();
    assert_eq!((tally.oldest_job, tally.oldest_delivery), (Some(START), Some(START)));
    start::stop(&server).await;
}
