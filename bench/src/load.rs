//! Clients that ask as fast as they are answered, on connections that stay open.
//!
//! They read just what they need of an answer: what they spend is not the server's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Result, text};

/// A connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// Asks once; gives the status and where the body lies in the buffer.
    async fn ask(&mut self, request: &[u8]) -> Result<(u16, std::ops::Range<usize>)> {
        self.stream.write_all(request).await.map_err(text)?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await.map_err(text)? == 0 {
                return Err("the server has hung up".to_owned());
            }
            let Some(end) = self.buffer.windows(4).position(|it| it == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.buffer[..end]).map_err(text)?;
            let status = head.get(9..12).and_then(|it| it.parse().ok()).unwrap_or(0);
            let length = head.lines().find_map(|it| {
                let (name, value) = it.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            let body = end + 4..end + 4 + length.unwrap_or(0);
            while self.buffer.len() < body.end {
                if self.stream.read_buf(&mut self.buffer).await.map_err(text)? == 0 {
                    return Err("the server has hung up".to_owned());
                }
            }
            return Ok((status, body));
        }
    }

    /// Asks once, for the body: any answer but a 200 is an error.
    pub async fn body(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        let (status, body) = self.ask(request).await?;
        let body = self.buffer[body].to_vec();
        if status == 200 {
            Ok(body)
        } else {
            Err(format!("{status} {}", String::from_utf8_lossy(&body)))
        }
    }
}

/// A request as bytes.
pub fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let token = token.map(|it| format!("user-token: {it}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{token}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// What became of a flood.
pub struct Flood {
    /// Answers, all of them 200.
    pub answers: u64,
    /// How long it took.
    pub took: Duration,
    /// How long each answer took, the shortest first.
    pub waits: Vec<Duration>,
}

impl Flood {
    /// The wait that this share of the answers did not exceed.
    pub fn percentile(&self, share: f64) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a place in a list"
        )]
        let place = (last as f64 * share) as usize;
        self.waits.get(place).copied().unwrap_or_default()
    }
}

/// Asks on `connections` connections for so long, each in turn for the next of the requests.
pub async fn flood(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
    time: Duration,
) -> Result<Flood> {
    let begun = Instant::now();
    let clients = (0..connections).map(|number| {
        let requests = Arc::clone(requests);
        tokio::spawn(async move {
            let mut client = Client::connect(address).await?;
            let mut waits = Vec::new();
            // Each begins elsewhere, so that they do not ask for the same at the same moment.
            let mut next = number * requests.len() / connections.max(1);
            while begun.elapsed() < time {
                let asked = Instant::now();
                let (status, body) = client.ask(&requests[next % requests.len()]).await?;
                if status != 200 {
                    let body = String::from_utf8_lossy(&client.buffer[body]).into_owned();
                    return Err(format!("{status} {body}"));
                }
                waits.push(asked.elapsed());
                next += 1;
            }
            Ok::<_, String>(waits)
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut waits = Vec::new();
    for client in clients {
        waits.extend(client.await.map_err(text)??);
    }
    let took = begun.elapsed();
    waits.sort_unstable();
    Ok(Flood { answers: waits.len() as u64, took, waits })
}
