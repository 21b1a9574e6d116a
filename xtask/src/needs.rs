//! What the tests need on this machine: found, or installed where that can be done unasked.
//!
//! On Debian and its relatives, as root, a missing program is installed from the distribution.
//! Elsewhere nobody's machine is changed: the failure says what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{find, output, run};
use crate::{Result, program};

/// The oldest Node.js whose test runner and `fetch` the conformance suite uses.
const NODE: u32 = 20;
/// The oldest PostgreSQL that its makers still mend.
const POSTGRES: u32 = 14;

/// The folder with `initdb`, `postgres` and `pg_ctl`.
pub fn postgres() -> Result<PathBuf> {
    if find_postgres().is_none() {
        install("PostgreSQL", &["postgresql"], "its server programs: initdb, postgres, pg_ctl")?;
    }
    let bin = find_postgres()
        .ok_or("PostgreSQL's initdb is in none of its usual folders. Add its folder to PATH")?;
    at_least("PostgreSQL", &bin.join("postgres"), POSTGRES)?;
    Ok(bin)
}

/// Distributions keep the server's programs outside `PATH`, in a folder for each version.
fn find_postgres() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),          // Debian
        ("/usr", "pgsql-"),                   // PostgreSQL's own packages for Red Hat
        ("/opt/homebrew/opt", "postgresql@"), // macOS
        ("/usr/local/opt", "postgresql@"),
    ] {
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|it| {
                Some((it.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?, it.path()))
            })
            .collect();
        versions.sort_by(|a, b| b.cmp(a));
        folders.extend(versions.into_iter().map(|(_, it)| it.join("bin")));
    }
    if let Ok(text) = output(Command::new("pg_config").arg("--bindir")) {
        folders.push(PathBuf::from(text.trim()));
    }
    let initdb = find("initdb", &folders)?;
    // In PATH there may be links to some of the programs only; their own folder has all.
    let initdb = initdb.canonicalize().unwrap_or(initdb);
    let bin = initdb.parent()?.to_owned();
    ["postgres", "pg_ctl"].iter().all(|it| bin.join(it).is_file()).then_some(bin)
}

/// Makes sure of Node.js and npm.
pub fn node() -> Result {
    if find("node", &[]).is_none() || find("npm", &[]).is_none() {
        install("Node.js", &["nodejs", "npm"], &format!("version {NODE} or later, with npm"))?;
    }
    at_least("Node.js", Path::new("node"), NODE)
}

/// A Chromium that runs without a screen. `CHROMIUM` names one that is kept elsewhere.
pub fn chromium() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Ok(path.into());
    }
    let look = || {
        ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"]
            .iter()
            .find_map(|it| find(it, &[]))
            .or_else(|| {
                let app = Path::new("/Applications/Chromium.app/Contents/MacOS/Chromium");
                app.is_file().then(|| app.to_owned())
            })
    };
    if let Some(path) = look() {
        return Ok(path);
    }
    install("Chromium", &["chromium"], "or set CHROMIUM to the path of one")?;
    look().ok_or_else(|| "Chromium was installed, but there is no program chromium in PATH".into())
}

/// Makes sure of a C compiler: SQLite is built from its source, the power-loss test from ours.
pub fn compiler() -> Result {
    if find("cc", &[]).is_some() {
        return Ok(());
    }
    install("a C compiler", &["gcc", "libc6-dev"], "for example gcc or clang, as the command cc")
}

/// The `cargo-deny` program: the one in `PATH`, or one built once into the target folder.
///
/// It only reads files, so it is built as quickly as can be (about a minute on two cores)
/// rather than for speed.
pub fn cargo_deny(target: &Path) -> Result<PathBuf> {
    const VERSION: &str = "0.20.2";
    if let Some(path) = find("cargo-deny", &[]) {
        return Ok(path);
    }
    let home = target.join("tools").join(format!("cargo-deny-{VERSION}"));
    let path = home.join("bin/cargo-deny");
    if path.is_file() {
        return Ok(path);
    }
    println!("There is no cargo-deny: building version {VERSION} into the target folder");
    let crate_name = format!("cargo-deny@{VERSION}");
    let mut install = program::cargo(["install", "--locked", "--debug", "--no-default-features"]);
    install
        .args(["--quiet", &crate_name, "--root"])
        .arg(&home)
        .env("CARGO_TARGET_DIR", home.join("build"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    run(&mut install)?;
    std::fs::remove_dir_all(home.join("build")).ok();
    Ok(path)
}

/// Whether this process may do everything on this machine.
pub fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|it| it.trim() == "0")
}

/// Installs Debian packages, or fails with the words of what a person should install.
fn install(what: &str, packages: &[&str], which: &str) -> Result {
    let debian = Path::new("/etc/debian_version").is_file() && find("apt-get", &[]).is_some();
    let by_hand = format!("apt-get install {}", packages.join(" "));
    if !debian {
        return Err(format!("{what} is missing. Install it ({which}) and run this again"));
    }
    if !is_root() {
        return Err(format!("{what} is missing. Run `sudo {by_hand}` ({which}) and this again"));
    }
    println!("{what} is missing: {by_hand}");
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    // Run level 1 starts no services: the tests use a private cluster, and nobody asked for another.
    run(Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1"))
}

fn at_least(what: &str, program: &Path, oldest: u32) -> Result {
    let text = output(Command::new(program).arg("--version"))?;
    match major(&text) {
        Some(version) if version >= oldest => Ok(()),
        _ => Err(format!(
            "{what} {oldest} or later is needed, and {} is {}. Install a newer one and run this again",
            program.display(),
            text.trim()
        )),
    }
}

/// The major version in "v20.20.2" or "postgres (PostgreSQL) 15.18 (Debian 15.18-0)".
fn major(text: &str) -> Option<u32> {
    let digits = text.split_whitespace().map(|it| it.trim_start_matches('v'));
    let mut starts = digits.filter_map(|it| {
        let end = it.find(|c: char| !c.is_ascii_digit()).unwrap_or(it.len());
        it[..end].parse().ok()
    });
    starts.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        for (text, expected) in [
            ("v20.20.2\n", Some(20)),
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some(15)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("no number", None),
            ("", None),
        ] {
            assert_eq!(major(text), expected, "{text:?}");
        }
    }
}
