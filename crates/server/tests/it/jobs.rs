//! Work that outlives a request: it goes on after a stop and a crash, it is tried again, and what
//! cannot be done is seen.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use server::clock::{Millis, Seconds};
use server::error::{Error, Result};
use server::jobs::{self, Kind, Mark, Sink, Work, rules};
use server::server::Server;
use server::start;
use server::store::{self, Database, Tx, failures};
use tokio::sync::Semaphore;

use crate::database::Home;
use crate::deliveries::send;
use crate::harness::{START, Setup, build, until};

/// A server without a door, which knows these kinds of work alone.
pub async fn worker(home: &Home, setup: &Setup, kinds: Vec<Kind>, sinks: Vec<Sink>) -> Server {
    let server = build(home, setup.clone()).await.unwrap();
    jobs::start(&server, kinds, sinks).await.unwrap();
    server
}

/// Ends a server as a kill would: it writes nothing more, so it gives nothing back.
pub async fn kill(server: &Server) {
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
pub fn wake(server: &Server) {
    server.agenda.note(&"".into(), Millis(0));
}

pub async fn all(data: &Database) -> Vec<store::jobs::Shown> {
    let mut all = data.read(|db| store::jobs::newest(db, 100)).await.unwrap();
    all.retain(|it| !it.kind.starts_with("sweep."));
    all
}

pub async fn until_no_job_is_left(server: &Server) {
    until("all jobs are done", async || all(&server.apps.platform.data).await.is_empty()).await;
}

/// How often a chunk has counted: it leaves a failure of that name behind.
async fn counted(data: &Database, name: &'static str) -> i64 {
    let read = data.write(move |tx| {
        let count = one_more(tx, name, START)? - 1;
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
            one_more(tx, name, START)?;
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

/// Counts in a table of the server's, and tells how many there are: what a job of a test does.
pub fn one_more(tx: &server::store::Tx<'_>, name: &str, at: Millis) -> Result<i64, Error> {
    let tally = failures::lock_tally(tx, name, at)?.counted(at);
    failures::set(tx, name, tally)?;
    Ok(tally.count)
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
        let error = "the work panicked; the log of the server tells where";
        until("the try is noted", async || {
            let now = setup.clock.now();
            let noted = |it: &store::jobs::Shown| it.run_at > now || it.state == "failed";
            all(&data).await.first().is_some_and(|it| it.error == error && noted(it))
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

/// Until when a job is held.
async fn lease_of(data: &Database, id: &str) -> Millis {
    let id = id.to_owned();
    let read = data.read(move |db| {
        let sql = "select lease_until from sys.jobs where app_id = ?1 and id = ?2";
        db.row(sql, &[&db.app(), &id], |row| row.get::<i64>("lease_until"))
    });
    Millis(read.await.unwrap().unwrap_or(0))
}

#[tokio::test]
async fn a_node_keeps_what_it_works_at_and_drops_what_was_cancelled() {
    /// Counts what goes, finished or dropped.
    struct Gone(Arc<AtomicU32>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (home, setup) = (Home::prepared().await, Setup::default());
    let (begun, gone) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (begins, goes) = (Arc::clone(&begun), Arc::clone(&gone));
    let long = Kind::new("long", 3, move |_| {
        begins.fetch_add(1, Ordering::SeqCst);
        let gone = Gone(Arc::clone(&goes));
        async move {
            let _gone = gone;
            std::future::pending().await
        }
    });
    let server = worker(&home, &setup, vec![long], vec![]).await;
    enqueue(&server, "long", "kept").await;
    enqueue(&server, "long", "cancelled").await;
    until("both have begun", async || begun.load(Ordering::SeqCst) == 2).await;
    let data = server.apps.platform.data.clone();
    let (mut kept, mut cancelled) = (String::new(), String::new());
    for job in all(&data).await {
        let which = if job.payload == "kept" { &mut kept } else { &mut cancelled };
        *which = job.id;
    }
    assert_eq!(lease_of(&data, &kept).await, START + rules::LEASE);
    setup.clock.advance(Seconds(20));
    assert!(data.write(move |tx| jobs::cancel(tx, &cancelled)).await.unwrap());

    // The next sign of life comes within ten seconds, and by it the node learns of the other.
    let renewed = START + Seconds(20) + rules::LEASE;
    until("the lease is renewed", async || lease_of(&data, &kept).await == renewed).await;
    until("the cancelled one is dropped", async || gone.load(Ordering::SeqCst) == 1).await;
    setup.clock.advance(Seconds(20));
    wake(&server);
    start::stop(&server).await;
    assert_eq!(begun.load(Ordering::SeqCst), 2, "nobody has taken it again");
    assert_eq!(gone.load(Ordering::SeqCst), 2);
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
