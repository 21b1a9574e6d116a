//! A client that speaks bytes, for what no well-behaved client would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything may take before the test fails.
const BOUND: Duration = super::harness::PATIENCE;

/// A connection.
pub struct Wire {
    /// The socket.
    pub stream: TcpStream,
    heard: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The value of the only header of that name; empty without one.
    pub fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|it| it.0 == name);
        let value = found.next().map_or("", |it| &it.1);
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        value
    }
}

impl Wire {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).await.unwrap())
    }

    /// Over a socket that is connected.
    pub fn of(stream: TcpStream) -> Self {
        Self { stream, heard: Vec::new() }
    }

    /// Sends; that the server has hung up meanwhile shows in what it says.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = timeout(BOUND, self.stream.write_all(bytes.as_ref())).await.expect("it reads");
    }

    /// The next answer.
    pub async fn hear(&mut self) -> Answer {
        loop {
            if let Some(answer) = take(&mut self.heard) {
                return answer;
            }
            let read = timeout(BOUND, self.stream.read_buf(&mut self.heard)).await;
            assert_ne!(read.expect("it answers").unwrap(), 0, "it has hung up");
        }
    }

    /// All answers until the server hangs up.
    pub async fn hear_out(mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            let read = timeout(BOUND, self.stream.read_buf(&mut self.heard)).await;
            if matches!(read.expect("it hangs up"), Ok(0) | Err(_)) {
                break;
            }
        }
        while let Some(answer) = take(&mut self.heard) {
            answers.push(answer);
        }
        assert!(self.heard.is_empty(), "no answer: {}", String::from_utf8_lossy(&self.heard));
        answers
    }
}

/// Sends `bytes` over a connection of its own; gives all answers until the server hangs up.
pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
    let mut wire = Wire::open(address).await;
    wire.say(bytes).await;
    wire.hear_out().await
}

/// Sends a `HEAD` request, whose answer has no body whatever its length says.
pub async fn exchange_head(address: SocketAddr, request: &str) -> Answer {
    let mut wire = Wire::open(address).await;
    wire.say(request).await;
    timeout(BOUND, wire.stream.read_to_end(&mut wire.heard)).await.expect("it hangs up").unwrap();
    let answer = read(&wire.heard, 0).expect("a head").0;
    assert!(wire.heard.ends_with(b"\r\n\r\n"), "a body: {answer:?}");
    answer
}

fn take(bytes: &mut Vec<u8>) -> Option<Answer> {
    let (answer, length) = read(bytes, usize::MAX)?;
    bytes.drain(..length);
    Some(answer)
}

/// The answer at the beginning of `bytes` with up to `most` bytes of its body, and where it ends.
fn read(bytes: &[u8], most: usize) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap();
    assert!(line.starts_with("HTTP/1."), "{line}");
    let status = line[9..12].parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|it| it.split_once(": ").or(it.split_once(':')).unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|it| it.0 == "content-length");
    let length = length.map_or(0, |it| it.1.parse::<usize>().unwrap()).min(most);
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    let answer = Answer { status, headers, body: String::from_utf8(body).unwrap() };
    Some((answer, end + 4 + length))
}
