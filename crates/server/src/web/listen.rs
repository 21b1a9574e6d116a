//! The sockets: accepts connections, bounds their number and their time, and lets the last
//! requests end.

use std::fmt::Write as _;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Outer;
use super::answer::STANDING;
use super::places::Places;
use super::stream::{Busy, End, Timed, Times};
use crate::error::Error;
use crate::server::Server;

/// Bytes of a request's head, and how many headers there may be in it.
const HEAD_BYTES: usize = 64 << 10;
const HEADERS: usize = 100;
/// How long, and for how many bytes, a connection that is being closed is still read: a client that
/// is cut off while it sends never sees the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
/// Connections that the kernel may have taken and not handed over when the server begins to stop.
const BACKLOG: usize = 1024;
/// Connections that are being told at the same time that there are too many.
const REFUSALS: usize = 64;

/// Opens the socket. `address` may end in port 0: any free one.
pub async fn bind(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Serves until the server begins to stop, then lets running requests end within the configured
/// time.
pub async fn serve(server: &Server, listener: TcpListener, outer: Arc<Outer>) {
    let places = Places::new(server);
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    let take = |stream: TcpStream, peer: SocketAddr| {
        let Some(place) = places.take(peer.ip()) else {
            server.metrics.connections_refused.add();
            // Beyond these the connection is closed without a word.
            if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                server.background.run(async move {
                    tell(stream, &Error::overloaded(1)).await;
                    drop(permit);
                });
            }
            return;
        };
        let _ = stream.set_nodelay(true);
        let (server, outer) = (server.clone(), Arc::clone(&outer));
        let cut = cut.clone();
        server.background.clone().run_to_end(connections.track_future(async move {
            tokio::select! {
                () = hold(&server, stream, peer, outer) => {}
                () = cut.cancelled() => {}
            }
            drop(place);
        }));
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.background.stopping() => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors, most likely: others must end before the next can come.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        take(stream, peer);
    }
    // What the kernel has taken for us is answered, too.
    for _ in 0..BACKLOG {
        let waiting = tokio::time::timeout(Duration::from_millis(1), listener.accept());
        let Ok(Ok((stream, peer))) = waiting.await else { break };
        take(stream, peer);
    }
    drop(listener);
    connections.close();
    let most = Duration::from_secs(server.limits.drain_seconds);
    if tokio::time::timeout(most, connections.wait()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
        cut.cancel();
    }
}

/// Serves one connection to its end.
async fn hold(server: &Server, stream: TcpStream, peer: SocketAddr, outer: Arc<Outer>) {
    let limits = &server.limits;
    let write = Duration::from_secs(limits.request_seconds);
    let times = Times { head: limits.head_time, idle: limits.idle_time, write };
    let busy = Busy::default();
    let stream = Timed::new(stream, busy.clone(), times);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (outer, now) = (Arc::clone(&outer), busy.begin());
        async move {
            let response = outer.answer(request.map(Body::new), peer.ip()).await;
            drop(now);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut connection = http1::Builder::new()
        // The stream has a clock of its own, which tells a slow head from an idle connection.
        .header_read_timeout(None)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut stopping = pin!(server.background.stopping());
    let mut asked = false;
    std::future::poll_fn(|context| {
        if !asked && stopping.as_mut().poll(context).is_ready() {
            asked = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        // A connection that breaks is the client's affair.
        Pin::new(&mut connection).poll(context).map(drop)
    })
    .await;
    let stream = connection.into_parts().io.into_inner();
    match stream.end() {
        End::SlowHead => {
            server.metrics.heads_too_slow.add();
            tell(stream.into_stream(), &Error::client_too_slow()).await;
        }
        End::Open if !asked => linger(stream.into_stream()).await,
        End::Open | End::Closed | End::Idle => {}
    }
}

/// Answers with a refusal before there is a request, and closes.
async fn tell(mut stream: TcpStream, error: &Error) {
    let body = error.body("-").to_string();
    let mut text = format!("HTTP/1.1 {}\r\nconnection: close\r\n", error.status);
    for (name, value) in STANDING {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    if let Some(seconds) = error.retry_after {
        let _ = write!(text, "retry-after: {seconds}\r\n");
    }
    let length = body.len();
    let _ =
        write!(text, "content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
    let sent = tokio::time::timeout(LINGER, stream.write_all(text.as_bytes())).await;
    if matches!(sent, Ok(Ok(()))) {
        linger(stream).await;
    }
}

/// Closes towards the client, and reads on for a moment. Closing a socket with unread bytes resets
/// the connection, and the client loses the answer that is on its way (RFC 9112 section 9.6).
async fn linger(mut stream: TcpStream) {
    let read = async {
        let _ = stream.shutdown().await;
        let (mut sink, mut sum) = (vec![0; 16 << 10], 0);
        while sum < LINGER_BYTES {
            match stream.read(&mut sink).await {
                Ok(0) | Err(_) => break,
                Ok(count) => sum += count,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, read).await;
}
