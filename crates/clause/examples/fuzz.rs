//! Feeds random and bent texts to the targets until the time is up. `cargo xtask fuzz` runs it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to a terminal")]

#[path = "../tests/it/inputs.rs"]
mod inputs;
#[path = "../tests/it/targets.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use inputs::Dice;
use targets::{TARGETS, Target};

const USAGE: &str = "fuzz [--seconds N] [--seed S] [clause|props|sort]";

/// Texts of one seed. A fault is found again by the seed of its round, at once.
const ROUND: u32 = 10_000;

/// A single text that takes longer is a fault, on the slowest of machines.
const LONGEST: Duration = Duration::from_secs(5);

struct Options {
    seconds: u64,
    seed: Option<u64>,
    targets: Vec<&'static Target>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}. Usage: {USAGE}");
            return ExitCode::from(2);
        }
    };
    let Some(seeds) = options.targets.iter().map(|it| seeds(it.name)).collect::<Option<Vec<_>>>()
    else {
        eprintln!("there are no examples in fuzz/seeds");
        return ExitCode::FAILURE;
    };
    let share = Duration::from_secs(options.seconds) / u32::try_from(seeds.len()).unwrap_or(1);
    for (target, seeds) in options.targets.iter().zip(&seeds) {
        // A panic shows itself; what is printed after it says how to find it again.
        if let Err(fault) = run(target, seeds, options.seed, share) {
            eprintln!("{fault}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { seconds: 30, seed: None, targets: TARGETS.iter().collect() };
    while let Some(arg) = args.next() {
        let mut number = || {
            let number = args.next().and_then(|it| it.parse().ok());
            number.ok_or_else(|| format!("{arg} needs a number"))
        };
        match arg.as_str() {
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = Some(number()?),
            name => {
                let target = TARGETS.iter().find(|it| it.name == name);
                options.targets = vec![target.ok_or_else(|| format!("there is no target {name}"))?];
            }
        }
    }
    Ok(options)
}

/// The examples of a target; `None` if there are none.
fn seeds(target: &str) -> Option<Vec<String>> {
    // Where cargo says that the package is: clones may share a target folder.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let files = std::fs::read_dir(package.join("../../fuzz/seeds").join(target)).ok()?;
    let mut paths: Vec<PathBuf> = files.filter_map(|it| Some(it.ok()?.path())).collect();
    paths.sort(); // the same seed shall mean the same texts everywhere
    let texts: Vec<String> =
        paths.iter().filter_map(|it| std::fs::read_to_string(it).ok()).collect();
    (!texts.is_empty()).then_some(texts)
}

/// Rounds of texts, each with a seed of its own. With a seed given, that round alone.
fn run(
    target: &Target,
    seeds: &[String],
    seed: Option<u64>,
    share: Duration,
) -> Result<(), String> {
    let start = Instant::now();
    let random = start_of_seeds();
    println!("{}: rounds of {ROUND} texts from seed {}", target.name, seed.unwrap_or(random));
    let mut rounds = 0;
    while rounds == 0 || seed.is_none() && start.elapsed() < share {
        let round = seed.unwrap_or(random.wrapping_add(rounds));
        rounds += 1;
        let mut dice = Dice(round.wrapping_mul(0x2545_f491_4f6c_dd1d));
        for _ in 0..ROUND {
            let text = inputs::text(&mut dice, seeds);
            let begin = Instant::now();
            let panicked = catch_unwind(|| (target.check)(&text)).is_err();
            let fault = if panicked { "panicked" } else { "took too long" };
            if panicked || begin.elapsed() > LONGEST {
                return Err(format!(
                    "{} {fault} over this text:\n{text:?}\nAgain: cargo xtask fuzz --seed {round} {0}",
                    target.name
                ));
            }
        }
    }
    println!("{}: {} texts in {:.1?}", target.name, rounds * u64::from(ROUND), start.elapsed());
    Ok(())
}

/// Another one for each run; no secret hangs on it.
fn start_of_seeds() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) >> 16 // short enough to type
}
