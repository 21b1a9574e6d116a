//! The built program as a process: started on the data of a [`Home`], killed, asked to stop, read.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::database::{Home, MASTER_KEY};
use super::harness::{PATIENCE, TestApp};

/// The developer that [`app`] makes.
pub const DEVELOPER: (&str, &str) = ("dag@example.com", "four words in a row");

/// A running `usher serve`. Killed when it is dropped.
pub struct Process {
    child: Child,
    /// `http://` and where it listens.
    pub root: String,
    /// From its start to the line that names the address, which comes when it can serve.
    pub started_in: Duration,
    out: Said,
    err: Said,
}

/// What has been read of a pipe so far, and the thread that reads it.
struct Said(Arc<Mutex<String>>, Option<std::thread::JoinHandle<()>>);

/// What a process has left.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// `usher` with these words. No setting of whoever runs the tests gets through.
pub fn usher(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("USHER_") {
            command.env_remove(name);
        }
    }
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same on the data of `home`.
pub fn usher_at(home: &Home, words: &[&str]) -> Command {
    let mut command = usher(words);
    command.env("USHER_DATA_DIR", home.dir());
    // All of a test's people come from one address, and what a kill interrupts has been counted.
    command.env("USHER_REGISTRATIONS_PER_HOUR", "1000000");
    for by in ["PLACE", "SOURCE", "ACCOUNT"] {
        command.env(format!("USHER_WRONG_PASSWORDS_PER_{by}"), "1000000");
    }
    if let Some(url) = home.url() {
        command.env("USHER_DATABASE_URL", url).env("USHER_MASTER_KEY", MASTER_KEY);
    }
    command
}

/// Runs a command to its end, with `input` on its standard input.
pub fn run(mut command: Command, input: &str) -> Ended {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // One that ends before it has read all is no matter.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let (mut out, mut err) = (Said::by(child.stdout.take()), Said::by(child.stderr.take()));
    let status = wait(&mut child, PATIENCE).unwrap_or_else(|| {
        let _ = child.kill();
        panic!("it did not end: {command:?} {} {}", out.text(), err.text())
    });
    Ended { status, out: out.whole(), err: err.whole() }
}

/// Makes the developer [`DEVELOPER`] by the command line.
pub fn developer(home: &Home) {
    let words = ["developer", "add", "--email", DEVELOPER.0, "--name", "Dag", "--password-stdin"];
    let done = run(usher_at(home, &words), DEVELOPER.1);
    assert!(done.status.success(), "{done:?}");
}

/// Sets the password of [`DEVELOPER`] by the command line.
pub fn reset_developer(home: &Home, password: &str) {
    let words = ["developer", "reset", "--email", DEVELOPER.0, "--password-stdin"];
    let done = run(usher_at(home, &words), password);
    assert!(done.status.success(), "{done:?}");
}

/// Makes an application by the command line; the answer is the line that it prints.
pub fn app(home: &Home, name: &str, profile: &str) -> Value {
    let words = ["app", "create", "--name", name, "--profile", profile, "--json"];
    let done = run(usher_at(home, &words), "");
    assert!(done.status.success(), "{done:?}");
    serde_json::from_str(&done.out).unwrap()
}

impl Process {
    /// Starts it, and waits until it says where it listens.
    pub fn start(home: &Home) -> Self {
        Self::start_with(home, |_| {})
    }

    /// The same with changes to the command.
    pub fn start_with(home: &Home, edit: impl FnOnce(&mut Command)) -> Self {
        let mut command = usher_at(home, &["serve", "--listen", "127.0.0.1:0"]);
        edit(&mut command);
        Self::of(command).unwrap_or_else(|it| panic!("it did not start: {it:?}"))
    }

    /// Starts a command that serves. Fails with what it has left when it ends instead.
    pub fn of(mut command: Command) -> Result<Self, Ended> {
        let start = Instant::now();
        let mut child = command.spawn().unwrap();
        let (mut out, mut err) = (Said::by(child.stdout.take()), Said::by(child.stderr.take()));
        loop {
            let text = out.text();
            let line = text.lines().find_map(|it| it.strip_prefix("Usher listens on "));
            if let (Some(root), true) = (line, text.ends_with('\n')) {
                let (root, started_in) = (root.to_owned(), start.elapsed());
                return Ok(Self { child, root, started_in, out, err });
            }
            if let Some(status) = child.try_wait().unwrap() {
                return Err(Ended { status, out: out.whole(), err: err.whole() });
            }
            assert!(start.elapsed() < PATIENCE, "neither started nor ended: {}", err.text());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The address without the scheme.
    pub fn address(&self) -> &str {
        self.root.strip_prefix("http://").unwrap()
    }

    /// The set-up link that it prints, if it does, after the address.
    pub fn setup_link(&self) -> Option<String> {
        let start = Instant::now();
        while !self.out.text().contains("usher app create") {
            assert!(start.elapsed() < PATIENCE, "it does not say what to do next");
            std::thread::sleep(Duration::from_millis(2));
        }
        let text = self.out.text();
        text.split_whitespace().find(|it| it.contains("/setup/")).map(str::to_owned)
    }

    /// An application of it, by what `usher app create` has printed.
    pub fn app(&self, made: &Value) -> TestApp {
        TestApp::known(&self.root, made)
    }

    /// Ends it as a crash would, between two instructions.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Its number on this machine.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn wait(mut self, most: Duration) -> Ended {
        let status = wait(&mut self.child, most);
        let status = status.unwrap_or_else(|| panic!("it did not end: {}", self.err.text()));
        Ended { status, out: self.out.whole(), err: self.err.whole() }
    }

    /// Asks it to stop and waits for its end.
    pub fn stop(self) -> Ended {
        self.terminate();
        self.wait(PATIENCE)
    }

    /// What it has written so far, the log as well.
    pub fn said(&self) -> String {
        self.out.text() + &self.err.text()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    fn by(pipe: Option<impl std::io::Read + Send + 'static>) -> Self {
        let said = Arc::new(Mutex::new(String::new()));
        let (keep, mut pipe) = (Arc::clone(&said), BufReader::new(pipe.unwrap()));
        let reader = std::thread::spawn(move || {
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|it| it > 0) {
                keep.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self(said, Some(reader))
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// All that was said; call it when the process has ended.
    fn whole(&mut self) -> String {
        let _ = self.1.take().map(std::thread::JoinHandle::join);
        self.text()
    }
}

fn wait(child: &mut Child, most: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < most {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Copies a folder, as it is at this moment, into an empty one.
pub fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            let mut bytes = Vec::new();
            std::fs::File::open(entry.path()).unwrap().read_to_end(&mut bytes).unwrap();
            std::fs::write(&target, bytes).unwrap();
            let mode = std::fs::metadata(entry.path()).unwrap().permissions();
            std::fs::set_permissions(&target, mode).unwrap();
        }
    }
}
