//! How fast Usher is, as ratios to floors that are measured in the same run.
//!
//! `cargo xtask bench` builds the program for speed and runs this. Every figure is of the real
//! program, started as an operator starts it, over HTTP on loopback. Since the clients share the
//! machine with it, what counts is the processor time that the server spends on an answer; rounds of
//! floor and program take turns, and the median of the rounds is shown.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to a terminal")]
#![allow(clippy::disallowed_methods, reason = "clock and environment are the server's rule")]

mod benches;
mod floor;
mod load;
mod program;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What a step may end with: a text for the terminal.
pub type Result<T = ()> = std::result::Result<T, String>;

/// How to measure.
pub struct Plan {
    /// The program.
    pub usher: PathBuf,
    /// The cluster, where it is not SQLite.
    pub database: Option<String>,
    /// How long each round takes.
    pub round: Duration,
    /// How many rounds.
    pub rounds: usize,
}

const USAGE: &str = "bench --usher PROGRAM [--database URL] [--seconds N] [--rounds N] [NAME …]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some("floor") => floor::main(&args[1..]),
        _ => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &[String]) -> Result {
    let mut plan =
        Plan { usher: PathBuf::new(), database: None, round: Duration::from_secs(3), rounds: 3 };
    let mut names = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value. {USAGE}"));
        match word.as_str() {
            "--usher" => plan.usher = PathBuf::from(value()?),
            "--database" => plan.database = Some(value()?.clone()),
            "--seconds" => plan.round = Duration::from_secs(number(value()?)?),
            "--rounds" => plan.rounds = usize::try_from(number(value()?)?).map_err(text)?,
            name if name.starts_with('-') => return Err(format!("there is no {name}. {USAGE}")),
            name => names.push(name.to_owned()),
        }
    }
    if plan.usher.as_os_str().is_empty() {
        return Err(USAGE.to_owned());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(text)?;
    runtime.block_on(benches::run(&plan, &names))
}

fn number(text: &str) -> Result<u64> {
    text.parse().ok().filter(|it| *it > 0).ok_or_else(|| format!("{text} is no number above 0"))
}

/// Any error as text.
pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
