//! The sockets: accepts connections, bounds their number, and lets the last requests end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Outer;
use crate::server::Server;

/// Opens the socket. `address` may end in port 0: any free one.
pub async fn bind(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Serves until the server begins to stop, then lets running requests end within the configured
/// time.
pub async fn serve(server: &Server, listener: TcpListener, outer: Arc<Outer>) {
    let graceful = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let places = Arc::new(Semaphore::new(server.limits.connections));
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
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let _ = stream.set_nodelay(true);
        let outer = Arc::clone(&outer);
        let service = service_fn(move |request: http::Request<Incoming>| {
            let outer = Arc::clone(&outer);
            async move {
                let request = request.map(Body::new);
                Ok::<_, std::convert::Infallible>(outer.answer(request, peer.ip()).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(75))
            .max_headers(100)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service);
        let (watched, cut) = (graceful.watch(connection), cut.clone());
        server.background.run_to_end(async move {
            tokio::select! {
                // A connection that breaks is the client's affair.
                _ = watched => {}
                () = cut.cancelled() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    let most = Duration::from_secs(server.limits.drain_seconds);
    if tokio::time::timeout(most, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
        cut.cancel();
    }
}
