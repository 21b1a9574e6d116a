//! Other processes: the program that is measured, and the floors that it is measured against.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{Plan, Result, text};

/// Where there is no data directory to keep one: the key of 32 bytes that are 17.
const KEY: &str = "ERERERERERERERERERERERERERERERERERERERERERE=";
/// The developer who owns what is measured.
const DEVELOPER: &str = "bench@example.com";
/// A password that every profile takes.
pub const PASSWORD: &str = "correct horse battery";

/// A process that listens; it ends when this is dropped.
pub struct Serving {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Serving {
    /// Starts a command that prints a line with `mark` and, after it, its address.
    pub fn start(command: &mut Command, mark: &str) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(text)?;
        let out = child.stdout.take().ok_or("it has no output")?;
        let mut lines = BufReader::new(out).lines();
        let line = lines.by_ref().map_while(std::result::Result::ok).find(|it| it.contains(mark));
        let line = line.ok_or_else(|| format!("{command:?} did not start"))?;
        // Nobody may be stopped by a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let address = line.rsplit(mark).next().unwrap_or_default().trim();
        let address = address.trim_start_matches("http://").parse().map_err(text)?;
        Ok(Self { child, address })
    }

    /// The processor time that it has spent so far.
    pub fn spent(&self) -> Result<Duration> {
        spent(self.child.id())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time that a process has spent: fields 14 and 15 of `/proc/PID/stat`, in ticks of
/// ten milliseconds.
fn spent(id: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).map_err(text)?;
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().map_err(text));
    let ticks = ticks.sum::<Result<u64>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

fn usher(plan: &Plan, dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(&plan.usher);
    command.args(words).arg("--data-dir").arg(dir);
    command.env("USHER_MASTER_KEY", KEY);
    for limit in ["REGISTRATIONS_PER_HOUR", "WRONG_PASSWORDS_PER_SOURCE"] {
        command.env(format!("USHER_{limit}"), "100000000");
    }
    if let Some(url) = &plan.database {
        command.env("USHER_DATABASE_URL", url);
    } else {
        command.env_remove("USHER_MASTER_KEY");
    }
    command
}

fn run(mut command: Command, input: &str) -> Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(text)?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes()).map_err(text)?;
    }
    let done = child.wait_with_output().map_err(text)?;
    if !done.status.success() {
        return Err(format!("{command:?} failed"));
    }
    String::from_utf8(done.stdout).map_err(text)
}

/// The program on fresh data, with an application.
pub struct Usher {
    /// The process.
    pub serving: Serving,
    /// The application's id.
    pub app: String,
    /// What `usher app create` says.
    made: Value,
}

impl Usher {
    /// Makes a developer and an application in `dir` and starts the program on it.
    pub fn start(plan: &Plan, dir: &Path) -> Result<Self> {
        let words =
            ["developer", "add", "--email", DEVELOPER, "--name", "Bench", "--password-stdin"];
        run(usher(plan, dir, &words), PASSWORD)?;
        let words = ["app", "create", "--name", "Bench", "--profile", "compat", "--json"];
        let made = run(usher(plan, dir, &words), "")?;
        let made: Value = serde_json::from_str(&made).map_err(text)?;
        let app = made["id"].as_str().unwrap_or_default().to_owned();
        let mut serve = usher(plan, dir, &["serve", "--listen", "127.0.0.1:0"]);
        let serving = Serving::start(serve.stderr(Stdio::null()), "Usher listens on ")?;
        Ok(Self { serving, app, made })
    }

    /// The start of every path of the application, with the key of that kind of client.
    pub fn root(&self, device: &str) -> String {
        format!("/{}/{}", self.app, self.made["apiKeys"][device].as_str().unwrap_or_default())
    }
}
