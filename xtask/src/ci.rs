//! `cargo xtask ci`: every check there is, in the order of what fails soonest.
//!
//! The hosted check calls exactly this. A check that fails does not keep the others from running.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::program::{self, cargo, run, shown};
use crate::tally::Tally;
use crate::{Result, figures, fuzz, generated, needs, suite};

/// How long the list of known faults in dependencies may take to arrive.
const FETCH: Duration = Duration::from_mins(1);

/// `cargo xtask ci`. Its last line is the sum of all tests and checks.
pub fn command(args: &[String]) -> Result<ExitCode> {
    if let Some(arg) = args.first() {
        return Err(format!("ci takes no argument, but there is {arg}"));
    }
    let mut tally = Tally::default();
    stage(&mut tally, "format", || {
        run_shown(&mut cargo(["fmt", "--all", "--check"]))
            .map_err(|it| format!("{it}. Run `cargo fmt --all`"))
    });
    stage(&mut tally, "lints", || {
        let check = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        run_shown(&mut cargo(check))
    });
    stage(&mut tally, "documents", || {
        let doc = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
        run_shown(cargo(doc).env("RUSTDOCFLAGS", "-D warnings"))
    });
    stage(&mut tally, "dependencies", dependencies);
    stage(&mut tally, "fuzz", || {
        run_shown(fuzz::run().args(["--seconds", &fuzz::SECONDS_IN_CI.to_string()]))
    });

    let mut built = None;
    match suite::run(&suite::Choice::all(), &mut tally) {
        Ok(it) => built = Some(it),
        Err(text) => tally.fail(text),
    }
    if let Some(built) = built {
        stage(&mut tally, "generated files", || generated::check(built.usher()?));
        let mut told = Vec::new();
        stage(&mut tally, "figures of the program", || {
            told = figures::of(built.usher()?)?;
            Ok(())
        });
        for figure in told {
            tally.figure(figure);
        }
    }
    print!("{tally}");
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn stage(tally: &mut Tally, name: &str, check: impl FnOnce() -> Result) {
    println!("\n== {name}");
    let start = Instant::now();
    let result = check();
    let took = start.elapsed();
    println!(
        "== {name}: {}, {:.1} s",
        if result.is_ok() { "good" } else { "FAILED" },
        took.as_secs_f64()
    );
    tally.check(result.map_err(|it| format!("{name}: {it}")));
    tally.stage(name, took);
}

fn run_shown(command: &mut Command) -> Result {
    println!("$ {}", shown(command));
    run(command)
}

/// Licences, banned crates, origins; known faults too where their list can be fetched.
fn dependencies() -> Result {
    let target = target_folder()?;
    let deny = needs::cargo_deny(&target)?;
    let command = |args: &[&str]| {
        let mut command = Command::new(&deny);
        command.args(["--locked", "--all-features"]).args(args);
        command.current_dir(program::root()).env("GIT_TERMINAL_PROMPT", "0");
        command
    };
    run_shown(command(&["check"]).args(["--hide-inclusion-graph", "bans", "licenses", "sources"]))?;

    // What is said while it is tried is of no use to anybody: the one line below is.
    let mut fetch = command(&["fetch", "db"]);
    fetch.stderr(std::process::Stdio::null());
    match program::lines(&mut fetch, FETCH, &mut |_| {}) {
        Ok(status) if status.success() => run_shown(&mut command(&["check", "advisories"])),
        _ => {
            println!("Advisories were not checked: their database cannot be reached from here");
            Ok(())
        }
    }
}

fn target_folder() -> Result<PathBuf> {
    let text = program::output(&mut cargo(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&text).map_err(|it| format!("cannot read cargo's metadata: {it}"))?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    folder.map(|it| Path::new(it).to_owned()).ok_or_else(|| "cargo names no target folder".into())
}
