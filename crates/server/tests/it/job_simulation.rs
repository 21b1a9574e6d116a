//! Jobs under crashes, naps and lost answers: two nodes and a table, driven by a seed.
//!
//! The table is a model in memory for many seeds, and the real one for a few; the same seed must
//! give the same story on both.

use std::collections::{BTreeMap, HashMap};

use server::clock::{Millis, Seconds};
use server::error::Error;
use server::jobs::rules;
use server::store::{Database, Tx, jobs};

use crate::database::Home;
use crate::harness::{START, Setup, build};

const JOBS: usize = 12;
const CHUNKS: usize = 5;
const TRIES: i64 = 6;
/// This one fails at its second chunk whatever happens.
const POISON: &str = "job-03";

/// What a node holds of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Taken {
    id: String,
    attempts: i64,
    fence: i64,
    /// Chunks done.
    done: usize,
}

/// How a job stands in the end; gone jobs are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    failed: bool,
    attempts: i64,
    done: usize,
}

/// The table of jobs, with the effects of their chunks.
trait Table {
    async fn insert(&mut self, id: &str, run_at: Millis);
    async fn claim(&mut self, now: Millis, most: u32) -> Vec<Taken>;
    async fn renew(&mut self, it: &Taken, now: Millis) -> bool;
    async fn chunk(&mut self, it: &Taken) -> bool;
    async fn done(&mut self, it: &Taken) -> bool;
    async fn failed(&mut self, it: &Taken, now: Millis, next: Option<Millis>) -> bool;
    async fn give_back(&mut self, it: &Taken, now: Millis) -> bool;
    async fn jobs(&self) -> BTreeMap<String, Seen>;
    /// How often each chunk has counted, by `job/chunk`.
    async fn effects(&self) -> BTreeMap<String, i64>;
}

#[derive(Default)]
struct Model {
    rows: BTreeMap<String, Row>,
    effects: BTreeMap<String, i64>,
}

#[derive(Clone)]
struct Row {
    run_at: Millis,
    attempts: i64,
    fence: i64,
    lease_until: Millis,
    failed: bool,
    done: usize,
}

impl Model {
    /// The row, if whoever asks still holds it.
    fn held(&mut self, it: &Taken) -> Option<&mut Row> {
        self.rows.get_mut(&it.id).filter(|row| row.fence == it.fence && !row.failed)
    }
}

impl Table for Model {
    async fn insert(&mut self, id: &str, run_at: Millis) {
        let (attempts, fence, lease_until) = (0, 0, Millis(0));
        let row = Row { run_at, attempts, fence, lease_until, failed: false, done: 0 };
        self.rows.insert(id.to_owned(), row);
    }

    async fn claim(&mut self, now: Millis, most: u32) -> Vec<Taken> {
        let free = |row: &Row| !row.failed && row.run_at <= now && row.lease_until <= now;
        let due = self.rows.iter().filter(|it| free(it.1));
        let mut due: Vec<_> = due.map(|it| (it.1.run_at, it.0.clone())).collect();
        due.sort();
        due.truncate(most as usize);
        let mut taken = Vec::new();
        for (_, id) in due {
            let row = self.rows.get_mut(&id).unwrap();
            row.lease_until = now + rules::LEASE;
            row.attempts += 1;
            row.fence += 1;
            taken.push(Taken { id, attempts: row.attempts, fence: row.fence, done: row.done });
        }
        taken
    }

    async fn renew(&mut self, it: &Taken, now: Millis) -> bool {
        let row = self.held(it);
        row.map(|row| row.lease_until = now + rules::LEASE).is_some()
    }

    async fn chunk(&mut self, it: &Taken) -> bool {
        let done = it.done;
        let Some(row) = self.held(it) else { return false };
        (row.done, row.attempts) = (done + 1, 1);
        *self.effects.entry(format!("{}/{done}", it.id)).or_default() += 1;
        true
    }

    async fn done(&mut self, it: &Taken) -> bool {
        let held = self.held(it).is_some();
        if held {
            self.rows.remove(&it.id);
        }
        held
    }

    async fn failed(&mut self, it: &Taken, now: Millis, next: Option<Millis>) -> bool {
        let Some(row) = self.held(it) else { return false };
        (row.lease_until, row.run_at, row.failed) =
            (Millis(0), next.unwrap_or(now), next.is_none());
        true
    }

    async fn give_back(&mut self, it: &Taken, now: Millis) -> bool {
        let Some(row) = self.held(it) else { return false };
        (row.lease_until, row.run_at) = (Millis(0), now);
        row.attempts -= 1;
        row.fence += 1;
        true
    }

    async fn jobs(&self) -> BTreeMap<String, Seen> {
        let seen = |it: &Row| Seen { failed: it.failed, attempts: it.attempts, done: it.done };
        self.rows.iter().map(|it| (it.0.clone(), seen(it.1))).collect()
    }

    async fn effects(&self) -> BTreeMap<String, i64> {
        self.effects.clone()
    }
}

/// The real table. A chunk's effect is a failure counted: the count shows whether it was one too
/// many.
struct Stored(Database);

impl Stored {
    fn job(it: &Taken) -> jobs::Job {
        jobs::Job {
            app: String::new(),
            id: it.id.clone(),
            kind: "simulated".to_owned(),
            payload: String::new(),
            attempts: it.attempts,
            fence: it.fence,
            checkpoint: it.done.to_string(),
        }
    }

    async fn write(
        &self,
        it: &Taken,
        f: impl Fn(&Tx<'_>, &jobs::Job) -> Result<bool, Error> + Send + 'static,
    ) -> bool {
        let job = Self::job(it);
        self.0.write(move |tx| f(tx, &job)).await.unwrap()
    }
}

impl Table for Stored {
    async fn insert(&mut self, id: &str, run_at: Millis) {
        let id = id.to_owned();
        let insert = move |tx: &Tx<'_>| {
            let new = jobs::New { kind: "simulated", payload: "", dedupe: None, run_at };
            jobs::insert(tx, &id, &new, START)
        };
        assert!(self.0.write(insert).await.unwrap());
    }

    async fn claim(&mut self, now: Millis, most: u32) -> Vec<Taken> {
        let claim = move |tx: &Tx<'_>| jobs::claim(tx, "a node", (now, now + rules::LEASE), most);
        let taken = self.0.write(claim).await.unwrap().into_iter().map(|it| Taken {
            id: it.id,
            attempts: it.attempts,
            fence: it.fence,
            done: it.checkpoint.parse().unwrap_or(0),
        });
        taken.collect()
    }

    async fn renew(&mut self, it: &Taken, now: Millis) -> bool {
        self.write(it, move |tx, job| jobs::renew(tx, job, now + rules::LEASE)).await
    }

    async fn chunk(&mut self, it: &Taken) -> bool {
        let done = it.done;
        let chunk = move |tx: &Tx<'_>, job: &jobs::Job| {
            crate::jobs::one_more(tx, &format!("{}/{done}", job.id), START)?;
            let counts = jobs::checkpoint(tx, job, &(done + 1).to_string(), 0)?;
            if counts { Ok(true) } else { Err(Error::denied()) }
        };
        let job = Self::job(it);
        self.0.write(move |tx| chunk(tx, &job)).await.is_ok()
    }

    async fn done(&mut self, it: &Taken) -> bool {
        self.write(it, jobs::done).await
    }

    async fn failed(&mut self, it: &Taken, now: Millis, next: Option<Millis>) -> bool {
        self.write(it, move |tx, job| jobs::failed(tx, job, "it failed", (now, next))).await
    }

    async fn give_back(&mut self, it: &Taken, now: Millis) -> bool {
        self.write(it, move |tx, job| jobs::give_back(tx, job, now, "")).await
    }

    async fn jobs(&self) -> BTreeMap<String, Seen> {
        let rows = self.0.read(|db| jobs::newest(db, 1000)).await.unwrap();
        let ours = rows.into_iter().filter(|it| it.kind == "simulated");
        let seen = |it: &jobs::Shown| Seen {
            failed: it.state == "failed",
            attempts: it.attempts,
            done: it.checkpoint.parse().unwrap_or(0),
        };
        ours.map(|it| (it.id.clone(), seen(&it))).collect()
    }

    async fn effects(&self) -> BTreeMap<String, i64> {
        let mut found = BTreeMap::new();
        for key in (0..JOBS).flat_map(|job| (0..CHUNKS).map(move |it| format!("job-{job:02}/{it}")))
        {
            let identity = key.clone();
            // Counting once more tells how often it was counted before.
            let count = move |tx: &Tx<'_>| crate::jobs::one_more(tx, &identity, START);
            let count = self.0.write(count).await.unwrap() - 1;
            if count > 0 {
                found.insert(key, count);
            }
        }
        found
    }
}

/// Chance, by a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: i64) -> i64 {
        i64::try_from(self.roll() % most.unsigned_abs()).unwrap()
    }

    fn percent(&mut self, chance: i64) -> bool {
        self.below(100) < chance
    }
}

#[derive(Default)]
struct Node {
    /// Down or asleep until then.
    away: i64,
    /// How far its clock is ahead.
    skew: i64,
    held: Vec<Held>,
}

struct Held {
    taken: Taken,
    renewed: i64,
    busy_until: i64,
}

/// Runs a story; gives what happened, for comparison, and checks what must hold in the end.
async fn story(table: &mut impl Table, seed: u64) -> Vec<String> {
    let mut dice = Dice(seed);
    let mut log = Vec::new();
    let mut now = START.0;
    for job in 0..JOBS {
        table.insert(&format!("job-{job:02}"), Millis(now + dice.below(60_000))).await;
    }
    let mut nodes = [Node::default(), Node { skew: dice.below(800) - 400, ..Node::default() }];
    for step in 0..4000 {
        let rough = step < 600;
        now += dice.below(if rough { 3_000 } else { 20_000 });
        let number = usize::try_from(dice.below(2)).unwrap();
        let node = &mut nodes[number];
        if now < node.away {
            continue;
        }
        if rough && dice.percent(4) {
            match dice.below(3) {
                // A crash: nothing is given back.
                0 => node.held.clear(),
                // A machine that sleeps, and goes on as if nothing had been.
                1 => {}
                _ => {
                    for held in node.held.drain(..) {
                        table.give_back(&held.taken, Millis(now)).await;
                    }
                }
            }
            node.away = now + dice.below(90_000);
            continue;
        }
        act(table, node, now, rough, &mut dice, &mut log).await;
        if !rough && table.jobs().await.values().all(|it| it.failed) {
            break;
        }
    }
    check(table, seed).await;
    log
}

async fn act(
    table: &mut impl Table,
    node: &mut Node,
    now: i64,
    rough: bool,
    dice: &mut Dice,
    log: &mut Vec<String>,
) {
    let clock = Millis(now + node.skew);
    // Some nodes wake and work on before they look at the time.
    if !(rough && dice.percent(50)) {
        node.held.retain(|it| !rules::is_lost(it.renewed, now));
    }
    let mut kept = Vec::new();
    for mut held in std::mem::take(&mut node.held) {
        let beat = i64::try_from(rules::HEARTBEAT.as_millis()).unwrap();
        if now - held.renewed >= beat && !(rough && dice.percent(20)) {
            let ours = table.renew(&held.taken, clock).await;
            log.push(format!("{now} renew {:?} {ours}", held.taken));
            if !ours {
                continue;
            }
            held.renewed = now;
        }
        if held.busy_until > now {
            kept.push(held);
            continue;
        }
        held.busy_until = now + dice.below(8_000);
        let poisoned = held.taken.id == POISON && held.taken.done == 1;
        // The answer to a commit may be lost: the node takes it for a failure.
        let unheard = rough && dice.percent(5);
        if poisoned || (rough && dice.percent(8)) {
            fail(table, &held.taken, clock, dice, log).await;
        } else if held.taken.done == CHUNKS {
            let ours = table.done(&held.taken).await;
            log.push(format!("{now} done {:?} {ours}", held.taken));
        } else {
            let counts = table.chunk(&held.taken).await;
            log.push(format!("{now} chunk {:?} {counts}", held.taken));
            if unheard {
                fail(table, &held.taken, clock, dice, log).await;
            } else if counts {
                held.taken.done += 1;
                held.taken.attempts = 1;
                kept.push(held);
            }
        }
    }
    node.held = kept;
    if node.held.len() < 4 {
        let mut taken = table.claim(clock, 2).await;
        taken.sort_by(|a, b| a.id.cmp(&b.id));
        for taken in taken {
            log.push(format!("{now} claim {taken:?}"));
            if rules::may_run(taken.attempts, TRIES) {
                node.held.push(Held { taken, renewed: now, busy_until: now });
            } else {
                table.failed(&taken, clock, None).await;
            }
        }
    }
}

async fn fail(
    table: &mut impl Table,
    taken: &Taken,
    clock: Millis,
    dice: &mut Dice,
    log: &mut Vec<String>,
) {
    let next = rules::next_try(taken.attempts, TRIES, clock, dice.roll());
    let ours = table.failed(taken, clock, next).await;
    log.push(format!("{} fail {taken:?} {next:?} {ours}", clock.0));
}

/// No job is lost, each chunk counted once, and what was given up had all its tries.
async fn check(table: &impl Table, seed: u64) {
    let (left, effects) = (table.jobs().await, table.effects().await);
    for job in 0..JOBS {
        let id = format!("job-{job:02}");
        let seen = left.get(&id);
        assert!(seen.is_none_or(|it| it.failed), "seed {seed}: {id} was left behind: {seen:?}");
        assert!(
            seen.is_none_or(|it| it.attempts >= TRIES),
            "seed {seed}: {id} was given up too early: {seen:?}"
        );
        let done = seen.map_or(CHUNKS, |it| it.done);
        for chunk in 0..CHUNKS {
            let count = effects.get(&format!("{id}/{chunk}")).copied().unwrap_or(0);
            let expected = i64::from(chunk < done);
            assert_eq!(count, expected, "seed {seed}: chunk {chunk} of {id}, {seen:?}");
        }
    }
    let poisoned = left.get(POISON).map(|it| it.done);
    assert!(poisoned.is_some_and(|it| it <= 1), "seed {seed}: {POISON} got to {poisoned:?}");
}

#[tokio::test]
async fn whatever_becomes_of_the_nodes_no_job_is_lost_and_no_chunk_counts_twice() {
    let mut given_up = HashMap::new();
    for seed in 0..1000 {
        let mut model = Model::default();
        story(&mut model, seed).await;
        for id in model.jobs().await.into_keys() {
            *given_up.entry(id).or_insert(0) += 1;
        }
    }
    // Only what cannot be done is given up as a rule.
    let others = given_up.iter().filter(|it| it.0 != POISON).map(|it| it.1).sum::<u32>();
    assert!(others < 1000, "{given_up:?}");
}

#[tokio::test]
async fn the_real_table_tells_the_same_stories() {
    for seed in 0..12 {
        let home = Home::prepared().await;
        let server = build(&home, Setup::default()).await.unwrap();
        let mut stored = Stored(server.apps.platform.data.clone());
        let mut model = Model::default();
        let (told, imagined) = (story(&mut stored, seed).await, story(&mut model, seed).await);
        for (told, imagined) in told.iter().zip(&imagined) {
            assert_eq!(told, imagined, "seed {seed}");
        }
        assert_eq!(told.len(), imagined.len(), "seed {seed}");
        server::start::stop(&server).await;
    }
}

#[test]
fn a_lease_outlives_two_heartbeats() {
    assert!(rules::LEASE > Seconds(u32::try_from(2 * rules::HEARTBEAT.as_secs()).unwrap()));
}
