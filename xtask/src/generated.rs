//! `cargo xtask gen`: the reference pages that the program itself writes.
//!
//! `usher reference NAME` prints one; what it does not know has no page.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::program::{self, output};
use crate::{Result, suite};

/// The name that `usher reference` knows it by, and the file.
const PAGES: &[(&str, &str)] = &[
    ("settings", "docs/settings.md"),
    ("errors", "docs/errors.md"),
    ("api", "docs/api.md"),
    ("openapi", "openapi.json"),
];

/// `cargo xtask gen [--check]`.
pub fn command(args: &[String]) -> Result<ExitCode> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut build = program::cargo(["build", "--package", "server", "--bin", "usher"]);
    match args[..] {
        [] => write(suite::build(&mut build)?.usher()?)?,
        ["--check"] => check(suite::build(&mut build)?.usher()?)?,
        _ => return Err("gen takes nothing or --check".into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes every page that the program offers.
fn write(usher: &Path) -> Result {
    for (name, file) in PAGES {
        let Some(text) = page(usher, name) else {
            println!("{file}: not offered by this server");
            continue;
        };
        std::fs::write(program::root().join(file), text)
            .map_err(|it| format!("cannot write {file}: {it}"))?;
        println!("{file}: written");
    }
    Ok(())
}

/// Fails with the names of the pages that differ from what the program would write.
pub fn check(usher: &Path) -> Result {
    let mut stale = Vec::new();
    for (name, file) in PAGES {
        let there = std::fs::read_to_string(program::root().join(file)).ok();
        if page(usher, name) != there {
            stale.push(*file);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "out of date: {}. Run `cargo xtask gen` and commit what it writes",
        stale.join(", ")
    ))
}

fn page(usher: &Path, name: &str) -> Option<String> {
    output(Command::new(usher).args(["reference", name])).ok().filter(|it| !it.is_empty())
}
