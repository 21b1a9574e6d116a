//! A private PostgreSQL for the tests: made in a folder of its own, gone when they end.
//!
//! The cluster belongs to a *keeper*, a second process of this program. It holds the reading end
//! of a pipe whose writing end only the first process has: when that one ends, however it ends
//! (success, failure, Ctrl-C, kill −9), the pipe closes, and the keeper stops the cluster and
//! removes its folder. There is one way to clean up, and it needs nobody to be alive.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::{Result, needs, program};

/// The hidden command that makes this program a keeper.
pub const KEEPER: &str = "keep-pg";

/// Settings of a cluster that lives for minutes and may be lost: quick, and with room for
/// every test's own database.
const SETTINGS: &[&str] = &[
    "listen_addresses=", // a socket in our own folder, no port: nothing to collide with
    "max_connections=400",
    "max_locks_per_transaction=256",
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=4GB",
    "checkpoint_timeout=1h",
    "timezone=Asia/Kathmandu", // +05:45: a time that is read in the session's zone shows
    "log_min_messages=warning",
    "log_min_error_statement=panic", // tests provoke errors on purpose
];

/// A running cluster; dropping it stops it.
pub struct Cluster {
    keeper: Child,
    folder: PathBuf,
}

impl Cluster {
    /// Makes and starts a cluster, in two seconds or so.
    pub fn start() -> Result<Self> {
        let bin = needs::postgres()?;
        // The running program, even if a build has put another in its place meanwhile.
        let itself = Path::new("/proc/self/exe");
        let itself = if itself.exists() {
            itself.to_owned()
        } else {
            std::env::current_exe().map_err(|it| format!("cannot find this program: {it}"))?
        };
        let mut keeper = Command::new(itself)
            .arg(KEEPER)
            .arg(bin)
            .process_group(0) // Ctrl-C is for us; the keeper hears of it by the pipe
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|it| format!("cannot start the keeper of PostgreSQL: {it}"))?;

        let mut answer = String::new();
        if let Some(stdout) = keeper.stdout.take() {
            BufReader::new(stdout).read_line(&mut answer).ok();
        }
        let folder = PathBuf::from(answer.trim_end());
        if folder.as_os_str().is_empty() {
            keeper.wait().ok();
            return Err("PostgreSQL did not start; the lines above say why".into());
        }
        Ok(Self { keeper, folder })
    }

    /// The address for `TEST_DATABASE_URL`: its user may make databases.
    pub fn url(&self) -> String {
        format!("postgres:///postgres?host={}&user=usher", self.folder.display())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

/// `cargo xtask pg`: a cluster for work by hand.
pub fn command(args: &[String]) -> Result<ExitCode> {
    if let Some(arg) = args.first() {
        return Err(format!("pg takes no argument, but there is {arg}"));
    }
    let cluster = Cluster::start()?;
    let url = cluster.url();
    println!("TEST_DATABASE_URL='{url}'\n\nA look inside:   psql '{url}'\nTo end it:       Ctrl-C");
    loop {
        std::thread::park();
    }
}

/// The keeper: starts a cluster, prints its folder, waits for its standard input to end, cleans up.
pub fn keep(args: &[String]) -> ExitCode {
    let Some(bin) = args.first() else { return ExitCode::from(2) };
    let (folder, user) = match owner().and_then(|user| Ok((make_folder(user)?, user))) {
        Ok(it) => it,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::FAILURE;
        }
    };
    let cluster = Keeping { bin: Path::new(bin), folder: &folder, user };
    let end = match cluster.start() {
        Ok(server) => {
            println!("{}", folder.display());
            std::io::stdin().read_to_end(&mut Vec::new()).ok();
            cluster.stop(server);
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    };
    if let Err(fault) = fs::remove_dir_all(&folder) {
        eprintln!("cannot remove {}: {fault}", folder.display());
    }
    end
}

/// User and group id of the one who runs the cluster.
type Owner = Option<(u32, u32)>;

/// PostgreSQL refuses to run as root: then it is user `nobody`. Everybody else runs it himself.
fn owner() -> Result<Owner> {
    if !needs::is_root() {
        return Ok(None);
    }
    let users =
        fs::read_to_string("/etc/passwd").map_err(|it| format!("cannot read /etc/passwd: {it}"))?;
    ids(&users, "nobody").map(Some).ok_or_else(|| {
        "PostgreSQL does not run as root, and there is no user nobody. Run this as another user"
            .into()
    })
}

fn ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|it| it.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2);
    Some((ids.next()?.parse().ok()?, ids.next()?.parse().ok()?))
}

/// A new folder that only its owner may enter.
fn make_folder(owner: Owner) -> Result<PathBuf> {
    // The path of a socket has at most 107 bytes, and some systems' temporary folders are deep;
    // one that is root's own may be closed to the owner.
    let mut parent = std::env::temp_dir();
    if owner.is_some() || parent.as_os_str().len() > 60 {
        parent = "/tmp".into();
    }
    for number in 0..1000 {
        let folder = parent.join(format!("usher-pg-{}-{number}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => {
                if let Some((user, group)) = owner {
                    chown(&folder, Some(user), Some(group))
                        .map_err(|it| format!("cannot give {} away: {it}", folder.display()))?;
                }
                return Ok(folder);
            }
            Err(fault) if fault.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(fault) => return Err(format!("cannot make {}: {fault}", folder.display())),
        }
    }
    Err(format!("{} is full of old clusters: remove usher-pg-*", parent.display()))
}

struct Keeping<'a> {
    bin: &'a Path,
    folder: &'a Path,
    user: Owner,
}

impl Keeping<'_> {
    /// Makes the cluster and waits until it takes connections. Fails with the server's own words.
    fn start(&self) -> Result<Child> {
        self.init()?;
        let log = self.folder.join("log");
        let open =
            || fs::File::create(&log).map_err(|it| format!("cannot write {}: {it}", log.display()));
        let mut command = self.program("postgres");
        command.arg("-k").arg(self.folder).stdin(Stdio::null()).stdout(open()?).stderr(open()?);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let mut server = command
            .spawn()
            .map_err(|it| format!("cannot run `{}`: {it}", program::shown(&command)))?;

        let start = Instant::now();
        while start.elapsed() < Duration::from_mins(1) {
            if self.is_ready() {
                return Ok(server);
            }
            if matches!(server.try_wait(), Ok(Some(_)) | Err(_)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.stop(server);
        let words = fs::read_to_string(&log).unwrap_or_default();
        Err(format!("PostgreSQL does not start: `{}`\n{words}", program::shown(&command)))
    }

    /// Lays the cluster out. Text sorts by ICU's rules where the build has them, as it does for
    /// most operators, so that a column that forgot its collation "C" fails a test.
    fn init(&self) -> Result {
        let init = |more: &[&str]| {
            let mut command = self.program("initdb");
            command.args(["--username=usher", "--auth=trust", "--no-sync"]);
            program::output(command.args(["--encoding=UTF8", "--locale=C"]).args(more)).map(drop)
        };
        init(&["--locale-provider=icu", "--icu-locale=und"]).or_else(|_| init(&[]))
    }

    /// The server writes "ready" into the eighth line of its lock file when it takes connections.
    fn is_ready(&self) -> bool {
        let lock = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        lock.lines().nth(7).is_some_and(|it| it.trim() == "ready")
    }

    /// Stops the server at once: what it holds is thrown away.
    fn stop(&self, mut server: Child) {
        let mut stop = self.program("pg_ctl");
        stop.args(["stop", "--mode=immediate", "--silent"]);
        if program::output(&mut stop).is_err() {
            server.kill().ok();
        }
        server.wait().ok();
    }

    /// One of PostgreSQL's programs, run by the owner of the cluster, far from our own variables.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir(self.folder);
        command.arg("-D").arg(self.folder.join("data"));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_user_are_read() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:n:/nonexistent:/bin/false\n";
        assert_eq!(ids(passwd, "nobody"), Some((65534, 65533)));
        assert_eq!(ids(passwd, "nob"), None);
        assert_eq!(ids("nobody:x:-2:-2", "nobody"), None);
    }
}
