//! Applications that come and go: whatever is interrupted, by a failure or a kill, is finished.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Faults, Hooks};
use server::clock::Seconds;
use server::console::{apps, developers};
use server::ids::AppId;
use server::jobs::{self, Kind, Parcel, Sink, Work};
use server::server::Server;
use server::settings::Profile;
use server::start;
use server::store;
use tokio::sync::Semaphore;

use crate::database::Home;
use crate::harness::{OWNER, Setup, TestServer, build, until};
use crate::jobs::{all, kill, until_no_job_is_left, wake, worker};
use crate::look;

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

#[tokio::test]
async fn what_an_application_has_left_undone_is_found_by_the_next_server() {
    let (home, setup) = (Home::prepared().await, Setup::default());
    let done: Arc<Mutex<Vec<String>>> = Arc::default();
    let gate = Arc::new(Semaphore::new(0));
    let begin = async || {
        let (noted, open) = (Arc::clone(&done), Arc::clone(&gate));
        let kind = Kind::new("note", 3, move |work: Work| {
            let (noted, open) = (Arc::clone(&noted), Arc::clone(&open));
            async move {
                let _ = open.acquire().await;
                let whose = work.data.scope().id.clone();
                noted.lock().unwrap().push(format!("{} of {whose}", work.job.payload));
                Ok(())
            }
        });
        let (noted, open) = (Arc::clone(&done), Arc::clone(&gate));
        let sink = Sink::new("post", 3, move |parcel: Parcel| {
            let (noted, open) = (Arc::clone(&noted), Arc::clone(&open));
            async move {
                let _ = open.acquire().await;
                let whose = parcel.data.scope().id.clone();
                noted.lock().unwrap().push(format!("{} of {whose}", parcel.delivery.payload));
                Ok(())
            }
        });
        worker(&home, &setup, vec![kind], vec![sink]).await
    };
    let server = begin().await;
    let owner = developers::add(&server, OWNER.0, "Dag", OWNER.1).await.unwrap();
    let make = |name| {
        let author = developers::operator(&server);
        apps::make(&server, author, (&owner, name, Profile::Standard))
    };
    let busy = make("Busy").await.unwrap().app.id;
    make("Idle").await.unwrap();
    let keep = server.clone();
    let write = move |tx: &store::Tx<'_>| {
        let run_at = keep.clock.now();
        let job = store::jobs::New { kind: "note", payload: "a job", dedupe: None, run_at };
        jobs::enqueue(tx, &keep, &job)?;
        let letter = store::outbox::New { event: "x", sink: "post", payload: "a letter" };
        jobs::send(tx, &keep, &letter)
    };
    let data = server.apps.data(&busy);
    data.write(write).await.unwrap();
    let held = async || {
        let sql = "select (select count(*) from sys.jobs where app_id = ?1 and lease_until > 0)
                        + (select count(*) from sys.outbox where app_id = ?1 and lease_until > 0)
                   as n";
        let read = data.read(move |db| db.row(sql, &[&db.app()], |row| row.get::<i64>("n")));
        read.await.unwrap() == Some(2)
    };
    until("both are being done", held).await;
    kill(&server).await;

    gate.add_permits(2);
    let server = begin().await;
    if home.is_shared() {
        setup.clock.advance(Seconds(30));
        wake(&server);
    }
    until("both are done", async || done.lock().unwrap().len() == 2).await;
    let mut done = std::mem::take(&mut *done.lock().unwrap());
    done.sort();
    assert_eq!(done, [format!("a job of {}", busy.0), format!("a letter of {}", busy.0)]);
    start::stop(&server).await;
}
