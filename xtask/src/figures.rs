//! What `ci` tells of the program beside its tests: how large it is, and how soon it answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::program::shown;

/// A server that has not answered by then hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// The figures of `usher`, a line each.
pub fn of(usher: &Path) -> Result<Vec<String>> {
    let size = std::fs::metadata(usher).map_err(|it| format!("{}: {it}", usher.display()))?.len();
    let folder = Folder::new()?;
    let first = first_answer(usher, &folder.0)?;
    let again = first_answer(usher, &folder.0)?;
    let [first, again] = [first, again].map(|it| it.as_millis());
    Ok(vec![
        format!("{} MB: size of the program, as it is built for tests", size / 1_000_000),
        format!(
            "{first} ms: start in an empty folder until the first answer; {again} ms the second time"
        ),
    ])
}

/// A folder of its own, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("usher-figures-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|it| format!("cannot make {}: {it}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A running program, ended in the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// How long it takes from the start of the program until it says that it is ready.
fn first_answer(usher: &Path, folder: &Path) -> Result<Duration> {
    let mut command = Command::new(usher);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("USHER_") {
            command.env_remove(name);
        }
    }
    let start = Instant::now();
    let child = command.spawn().map_err(|it| format!("cannot run `{}`: {it}", shown(&command)))?;
    let mut child = Running(child);
    let (send, receive) = mpsc::channel();
    if let Some(stdout) = child.0.stdout.take() {
        std::thread::spawn(move || {
            // All that it says is read, or a full pipe would stop it.
            for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                if let Some(address) = line.strip_prefix("Usher listens on http://") {
                    send.send(address.to_owned()).ok();
                }
            }
        });
    }
    let address = receive.recv_timeout(LIMIT);
    let address = address.map_err(|_| format!("`{}` told no address", shown(&command)))?;
    let answer = ready(&address).map_err(|it| format!("{address} did not answer: {it}"))?;
    let took = start.elapsed();
    if answer.starts_with("HTTP/1.1 200") { Ok(took) } else { Err(format!("not ready: {answer}")) }
}

fn ready(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_says_no_address_is_told_apart_from_one_that_is_slow() {
        let folder = Folder::new().unwrap();
        let start = Instant::now();
        let fault = first_answer(Path::new("true"), &folder.0).unwrap_err();
        assert_eq!(fault, "`true serve --listen 127.0.0.1:0 --data-dir data` told no address");
        assert!(start.elapsed() < LIMIT);
        assert!(first_answer(Path::new("/no/such/program"), &folder.0).is_err());
    }
}
