//! The project's own commands: `cargo xtask help` lists them.
//!
//! All that a developer or the hosted check does is here, in Rust; there are no shell scripts to
//! keep in step. `ci` is everything, and the others are its parts.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to a terminal")]
#![allow(clippy::disallowed_methods, reason = "clock and environment are the server's rule")]

mod bench;
mod ci;
mod figures;
mod fuzz;
mod generated;
mod needs;
mod pg;
mod program;
mod suite;
mod tally;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

/// What a command may end with: a text for the terminal, that says what to do next.
pub type Result<T = ()> = std::result::Result<T, String>;

struct Task {
    name: &'static str,
    usage: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<ExitCode>,
}

const TASKS: &[Task] = &[
    Task {
        name: "run",
        usage: "run [-- ARGUMENTS]",
        help: "build the server for speed and start it on SQLite in ./usher-data",
        run: serve,
    },
    Task {
        name: "test",
        usage: "test [--engine sqlite|postgres|both] [FILTER]",
        help: "all tests, on both engines; installs what is missing where it can",
        run: suite::command,
    },
    Task {
        name: "ci",
        usage: "ci",
        help: "every check: format, lints, documents, dependencies, tests, generated files",
        run: ci::command,
    },
    Task {
        name: "fuzz",
        usage: "fuzz [--seconds N] [--seed S] [clause|props|sort]",
        help: "feed random and bent texts to the parsers; 30 seconds if not said",
        run: fuzz::command,
    },
    Task {
        name: "bench",
        usage: "bench [--engine sqlite|postgres] [--seconds N] [--rounds N] [check|login|read|page]",
        help: "measure the program against floors, on a machine that does nothing else",
        run: bench::command,
    },
    Task {
        name: "gen",
        usage: "gen [--check]",
        help: "write the generated reference pages, or see whether they are up to date",
        run: generated::command,
    },
    Task {
        name: "pg",
        usage: "pg",
        help: "start a private PostgreSQL and keep it until Ctrl-C",
        run: pg::command,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = args.split_first().map_or(("help", &[][..]), |(name, rest)| (name, rest));

    if name == pg::KEEPER {
        return pg::keep(rest);
    }
    if matches!(name, "help" | "--help" | "-h") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|it| it.name == name) else {
        eprint!("There is no command {name}.\n\n{}", help());
        return ExitCode::from(2);
    };
    (task.run)(rest).unwrap_or_else(|text| {
        eprintln!("cargo xtask {name}: {text}");
        ExitCode::FAILURE
    })
}

fn help() -> String {
    let line = |it: &Task| format!("  {:52}{}\n", it.usage, it.help);
    format!("cargo xtask COMMAND\n\n{}", TASKS.iter().map(line).collect::<String>())
}

/// Builds the server in the release profile and becomes it, so that Ctrl-C reaches it directly.
fn serve(args: &[String]) -> Result<ExitCode> {
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    let mut build = program::cargo(["build", "--release", "--package", "server", "--bin", "usher"]);
    let built = suite::build(&mut build)?;
    let mut server = std::process::Command::new(built.usher()?);
    let fault = server.arg("serve").args(args).exec();
    Err(format!("cannot start {}: {fault}", program::shown(&server)))
}
