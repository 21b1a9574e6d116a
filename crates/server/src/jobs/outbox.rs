//! Deliveries: what must leave the server because of an event, and those who take it there.
//!
//! A request writes a row ([`send`]) and is answered; a dispatcher does the rest beside it. A
//! receiver that is slow or dead holds up nobody but itself: each sink has places of its own.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::rules;
use super::schedule::{PANICKED, data_of};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::server::Server;
use crate::store::outbox::{self, Delivery, New};
use crate::store::{Database, Tx};

/// One way out: mail, webhooks, … Features list theirs, as they list their routes.
#[derive(Clone)]
pub struct Sink {
    /// What stands in the rows; it never changes.
    pub name: &'static str,
    /// Deliveries at a time on one node.
    pub at_once: usize,
    deliver: Arc<dyn Fn(Parcel) -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

impl Sink {
    /// A sink that delivers by `deliver`. It may be asked for the same delivery again, by the same
    /// id: when it took longer than [`LONGEST`], or when the news of its success was lost.
    pub fn new<F, R>(name: &'static str, at_once: usize, deliver: F) -> Self
    where
        F: Fn(Parcel) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        Self { name, at_once, deliver: Arc::new(move |parcel| Box::pin(deliver(parcel))) }
    }
}

/// How long one delivery may take. It ends before its lease does, which is therefore not renewed.
pub const LONGEST: Duration = Duration::from_secs(20);

/// Unknown sinks share so many places.
const UNKNOWN_AT_ONCE: usize = 8;

/// What a sink gets.
#[derive(Clone)]
pub struct Parcel {
    /// The server.
    pub server: Server,
    /// The rows of the application whose delivery it is, or the platform's.
    pub data: Database,
    /// The delivery.
    pub delivery: Delivery,
}

/// Adds a delivery in the transaction of the event that makes it necessary, and wakes the
/// dispatcher after the commit.
pub fn send(tx: &Tx<'_>, server: &Server, new: &New<'_>) -> Result<()> {
    let now = server.clock.now();
    outbox::insert(tx, &server.random.object_id(now), new, now)?;
    let (server, app) = (server.clone(), Arc::clone(&tx.scope().id));
    tx.after_commit(move || server.agenda.note(&app, now));
    Ok(())
}

/// Takes deliveries and has them made.
pub(super) struct Dispatcher {
    server: Server,
    lanes: Vec<Lane>,
}

struct Lane {
    sink: Sink,
    places: Arc<Semaphore>,
}

impl Dispatcher {
    pub(super) fn new(server: &Server, sinks: Vec<Sink>) -> Self {
        let lane = |sink: Sink| Lane { places: Arc::new(Semaphore::new(sink.at_once)), sink };
        Self { server: server.clone(), lanes: sinks.into_iter().map(lane).collect() }
    }

    /// Takes what is due at a place and that there is room for; tells how much it was.
    pub(super) async fn take(&self, place: &Database, now: Millis) -> Result<usize> {
        let (mut busy, mut most) = (Vec::new(), UNKNOWN_AT_ONCE);
        for lane in &self.lanes {
            match lane.places.available_permits() {
                0 => busy.push(lane.sink.name),
                free => most = most.min(free),
            }
        }
        let most = u32::try_from(most).unwrap_or(1);
        let claim = move |tx: &Tx<'_>| outbox::claim(tx, (now, now + rules::LEASE), most, &busy);
        let taken = place.write(claim).await?;
        let count = taken.len();
        for delivery in taken {
            let server = self.server.clone();
            let data = data_of(&server, place, &delivery.app);
            let lane = self.lanes.iter().find(|it| it.sink.name == delivery.sink);
            let room = lane.and_then(|it| Arc::clone(&it.places).try_acquire_owned().ok());
            let sink = lane.map(|it| it.sink.clone());
            let parcel = Parcel { server, data, delivery };
            self.server.background.run_to_end(carry(parcel, sink, room));
        }
        Ok(count)
    }
}

async fn carry(parcel: Parcel, sink: Option<Sink>, room: Option<OwnedSemaphorePermit>) {
    let Parcel { server, data, delivery } = parcel.clone();
    let end = match sink {
        None => End::Failed(format!("there is no way out named {}", delivery.sink)),
        Some(sink) => deliver(parcel, &sink).await,
    };
    let (now, keep) = (server.clock.now(), delivery.clone());
    let noted = match end {
        End::Arrived => data.write(move |tx| outbox::done(tx, &keep)).await,
        End::Stopped => data.write(move |tx| outbox::give_back(tx, &keep).map(|_| ())).await,
        End::Failed(error) => {
            let random = u64::from_le_bytes(server.random.bytes());
            let next = rules::next_delivery(delivery.created, delivery.attempts, now, random);
            let (id, sink, last) = (&delivery.id, &delivery.sink, next.is_none());
            tracing::warn!(delivery = %id, %sink, attempt = delivery.attempts, last, cause = %error, "a delivery failed");
            let failed =
                move |tx: &Tx<'_>| outbox::failed(tx, &keep, &error, (now, next)).map(|_| ());
            data.write(failed).await
        }
    };
    if let Err(error) = noted {
        // Its lease runs out, and it is tried again.
        let error: Error = error;
        tracing::warn!(delivery = %delivery.id, cause = %error, "the end of a delivery could not be noted");
    }
    drop(room);
    server.agenda.note(&data.scope().id, now);
}

async fn deliver(parcel: Parcel, sink: &Sink) -> End {
    let server = parcel.server.clone();
    let handler = AssertUnwindSafe(async { (sink.deliver)(parcel).await }).catch_unwind();
    tokio::select! {
        done = tokio::time::timeout(LONGEST, handler) => match done {
            Ok(Ok(Ok(()))) => End::Arrived,
            Ok(Ok(Err(error))) => End::Failed(error.to_string()),
            Ok(Err(_)) => {
                server.metrics.panics.add();
                End::Failed(PANICKED.to_owned())
            }
            Err(_) => End::Failed(format!("no answer within {} s", LONGEST.as_secs())),
        },
        () = server.background.stopping() => End::Stopped,
    }
}

/// How a try ended.
enum End {
    Arrived,
    Failed(String),
    Stopped,
}
