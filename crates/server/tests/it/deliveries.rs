//! What must leave the server: it is delivered, tried again, given up, and slows nobody down.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use server::clock::Seconds;
use server::error::Error;
use server::jobs::{self, Parcel, Sink};
use server::server::Server;
use server::start;
use server::store::{Tx, outbox};

use crate::database::Home;
use crate::harness::{START, Setup, until};
use crate::jobs::{wake, worker};

/// Adds a delivery by an event of the platform.
pub async fn send(server: &Server, sink: &'static str, payload: &'static str) {
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
    assert_eq!(error("wild"), "the work panicked; the log of the server tells where");
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
