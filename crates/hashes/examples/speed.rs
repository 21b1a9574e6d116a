//! How fast this machine hashes: memory kept from hash to hash against memory had anew, and the
//! whole pool. Run it with `cargo run --release -p hashes --example speed`.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]
#![allow(clippy::unwrap_used, reason = "a measuring program stops where it fails")]

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Version};
use hashes::{Lane, Params, Password, Pool, PoolOptions};

const RUNS: u32 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Params { memory_kib, iterations, parallelism } = Params::default();
    println!("m={memory_kib} KiB, t={iterations}, p={parallelism}; {RUNS} hashes each");

    let params = argon2::Params::new(memory_kib, iterations, parallelism, Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut out = [0; 32];
    report("memory had anew, one thread", 1, || {
        let mut blocks = vec![Block::new(); params.block_count()];
        argon2.hash_password_into_with_memory(b"secret", &[7; 16], &mut out, &mut blocks).unwrap();
    });
    let mut blocks = vec![Block::new(); params.block_count()];
    report("memory kept, one thread", 1, || {
        argon2.hash_password_into_with_memory(b"secret", &[7; 16], &mut out, &mut blocks).unwrap();
    });

    let options = PoolOptions { max_wait: Duration::from_hours(1), ..PoolOptions::default() };
    let threads = options.threads;
    let pool = Pool::start(options).unwrap();
    let started = Instant::now();
    let waiting: Vec<_> = (0..RUNS)
        .map(|_| {
            let pool = pool.clone();
            async move { pool.check(Lane::Interactive, Password::new("secret"), None).await }
        })
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    for it in waiting {
        tasks.spawn(it);
    }
    while let Some(it) = tasks.join_next().await {
        it.unwrap().unwrap();
    }
    line(&format!("the pool, {threads} threads"), threads, started.elapsed());
    pool.close().await;
}

fn report(what: &str, threads: usize, mut hash: impl FnMut()) {
    hash();
    let started = Instant::now();
    (0..RUNS).for_each(|_| hash());
    line(what, threads, started.elapsed());
}

fn line(what: &str, threads: usize, spent: Duration) {
    let per_second = f64::from(RUNS) / spent.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a machine has few cores")]
    let per_core = per_second / threads as f64;
    println!("{what:<32} {:>6.1} ms   {per_core:>6.1} /s per core", 1000.0 / per_core);
}
