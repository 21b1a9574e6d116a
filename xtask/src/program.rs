//! Running other programs: a failure says which command line it was.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::Result;

/// The root of the repository that this command is about.
///
/// It is found when the command runs, not when it is built: clones that share a target folder share
/// this program, and each must work on its own files. `cargo xtask` says where it was called; a
/// program that is started by hand looks around.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let named = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let here = std::env::current_dir().ok();
        let found = named.iter().chain(&here).find_map(|it| workspace(it));
        found.map_or_else(|| PathBuf::from("."), Path::to_owned)
    })
}

/// The nearest folder at or above `folder` with a workspace of cargo's.
fn workspace(folder: &Path) -> Option<&Path> {
    let is_workspace = |it: &Path| {
        let manifest = std::fs::read_to_string(it.join("Cargo.toml"));
        manifest.is_ok_and(|it| it.lines().any(|line| line.trim_end() == "[workspace]"))
    };
    folder.ancestors().find(|it| is_workspace(it))
}

/// The cargo that runs this program, at the root of the repository.
pub fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).current_dir(root());
    // What the outer cargo says of this program would reach the build scripts of others, who then
    // believe that something has changed and build anew, with all that depends on them.
    for (name, _) in std::env::vars_os().filter(|it| is_about_us(&it.0.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

/// Whether cargo sets this variable for the one program that it runs.
fn is_about_us(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// A command as one would type it, with the variables that were set for it.
pub fn shown(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let set = set.filter(|(name, _)| !name.to_string_lossy().starts_with("CARGO"));
    let mut words: Vec<String> = set
        .map(|(name, value)| format!("{}={}", name.display(), word(&value.to_string_lossy())))
        .collect();

    let program = command.get_program();
    let name = if Path::new(program).file_name() == Some("cargo".as_ref()) {
        "cargo".into() // the toolchain's own path says nothing to anybody
    } else {
        program.to_string_lossy()
    };
    words.push(word(&name));
    words.extend(command.get_args().map(|it| word(&it.to_string_lossy())));
    words.join(" ")
}

/// Runs a command on this terminal. Fails unless it ends with success.
pub fn run(command: &mut Command) -> Result {
    let status = command.status().map_err(|fault| cannot_start(command, &fault))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", shown(command))) }
}

/// What a command prints. Fails unless it ends with success; its complaints come with the failure.
pub fn output(command: &mut Command) -> Result<String> {
    let it = command.output().map_err(|fault| cannot_start(command, &fault))?;
    if it.status.success() {
        return Ok(String::from_utf8_lossy(&it.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&it.stderr);
    Err(format!("`{}` failed: {}\n{}", shown(command), it.status, complaint.trim_end()))
}

/// Runs a command and gives each line of its standard output to `each`.
///
/// Fails when it cannot be started, or has not ended after `limit`: then it is killed.
pub fn lines(
    command: &mut Command,
    limit: Duration,
    each: &mut dyn FnMut(&str),
) -> Result<ExitStatus> {
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|fault| cannot_start(command, &fault))?;
    let (send, receive) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
                line.clear();
                if send.send(text).is_err() {
                    break;
                }
            }
        });
    }

    // A grandchild that was left behind holds the pipe open: once the child has ended, the rest
    // of its output is waited for only a moment.
    let mut ended = None;
    loop {
        match receive.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => each(&line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if ended.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        ended = ended.or(child.try_wait().map_err(|fault| cannot_start(command, &fault))?);
        if ended.is_none() && start.elapsed() > limit {
            child.kill().and_then(|()| child.wait()).ok();
            let minutes = limit.as_secs() / 60;
            return Err(format!("`{}` was ended after {minutes} minutes", shown(command)));
        }
    }
    match ended {
        Some(status) => Ok(status),
        None => child.wait().map_err(|fault| cannot_start(command, &fault)),
    }
}

/// A program of this name in the folders of `PATH`, then in `elsewhere`.
pub fn find(name: &str, elsewhere: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(elsewhere.iter().cloned());
    folders.map(|it| it.join(name)).find(|it| it.is_file())
}

fn cannot_start(command: &Command, fault: &std::io::Error) -> String {
    format!("cannot run `{}`: {fault}", shown(command))
}

/// A word of a command line, in quotes where a shell would take it apart.
fn word(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:=@%+,".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("node");
        command.arg("--test").arg("a b").env("URL", "postgres:///x?host=/tmp").env_remove("HOME");
        assert_eq!(shown(&command), "URL='postgres:///x?host=/tmp' node --test 'a b'");
    }

    #[test]
    fn the_root_is_that_of_the_clone_where_the_command_runs() {
        let folder = std::env::temp_dir().join(format!("xtask-root-{}", std::process::id()));
        for clone in ["one", "two"] {
            let clone = folder.join(clone);
            let member = clone.join("crates/leaf/src");
            std::fs::create_dir_all(&member).unwrap();
            std::fs::write(clone.join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
            std::fs::write(clone.join("crates/leaf/Cargo.toml"), "[package]\n").unwrap();
            assert_eq!(workspace(&member), Some(&*clone));
            assert_eq!(workspace(&clone), Some(&*clone));
        }
        assert_eq!(workspace(&folder), None, "no workspace is no root");
        std::fs::remove_dir_all(folder).unwrap();
        assert!(root().join("xtask/src/program.rs").is_file());
    }

    #[test]
    fn a_build_is_not_told_of_the_program_that_asks_for_it() {
        let command = cargo(["build"]);
        let told: Vec<_> = command.get_envs().filter(|it| it.1.is_none()).map(|it| it.0).collect();
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
            assert!(told.contains(&name.as_ref()), "{name}");
        }
        assert!(!is_about_us("CARGO_HOME") && !is_about_us("CARGO_TARGET_DIR"));
    }

    #[test]
    fn every_line_arrives_and_the_status_tells_of_failure() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; printf two; exit 3"]);
        let status =
            lines(&mut command, Duration::from_mins(1), &mut |it| seen.push(it.to_owned()));
        assert_eq!(status.map(|it| it.code()), Ok(Some(3)));
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let fault =
            lines(Command::new("sleep").arg("100"), Duration::ZERO, &mut |_| {}).unwrap_err();
        assert_eq!(fault, "`sleep 100` was ended after 0 minutes");
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_hold_us_up() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 20 & echo done"]);
        let start = Instant::now();
        assert!(lines(&mut command, Duration::from_mins(1), &mut |_| {}).unwrap().success());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
