//! One connection's bytes, and the clock over them: a client that is slow with a head, that lies
//! idle or that does not take its answer loses the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How long each thing may take.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// The head of a request, from its first byte on.
    pub head: Duration,
    /// Nothing at all, between two requests.
    pub idle: Duration,
    /// Not one byte of an answer being taken.
    pub write: Duration,
}

/// Whether a request is being answered now: then the clock of the request counts, not this one.
/// Counts beginnings and ends, so an odd number is yes, and no request goes by unseen.
#[derive(Clone, Default)]
pub(super) struct Busy(Arc<AtomicU64>);

impl Busy {
    /// Says so until what it gives is dropped.
    pub fn begin(&self) -> BusyNow {
        self.0.fetch_add(1, Ordering::AcqRel);
        BusyNow(self.clone())
    }
}

/// A request is being answered while this lives.
pub(super) struct BusyNow(Busy);

impl Drop for BusyNow {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// How a connection came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Not yet, or for a reason of others.
    Open,
    /// The client has sent its last byte.
    Closed,
    /// Nothing came for too long.
    Idle,
    /// A head had begun and did not end.
    SlowHead,
}

/// A socket with limits of time.
pub(super) struct Timed {
    stream: TcpStream,
    busy: Busy,
    /// What `busy` counted when something was last read.
    counted: u64,
    times: Times,
    /// Runs while a head is awaited.
    read: Pin<Box<Sleep>>,
    /// What `read` counts.
    waits: Waits,
    write: Option<Pin<Box<Sleep>>>,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// A request was answered; the clock is to be set anew.
    Not,
    ForFirstByte,
    ForHead,
}

impl Timed {
    pub fn new(stream: TcpStream, busy: Busy, times: Times) -> Self {
        let read = Box::pin(sleep(times.idle));
        let (waits, end) = (Waits::ForFirstByte, End::Open);
        Self { stream, busy, counted: 0, times, read, waits, write: None, end }
    }

    /// How reading ended.
    pub fn end(&self) -> End {
        self.end
    }

    /// The bare socket.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn set(&mut self, waits: Waits, time: Duration) {
        self.waits = waits;
        self.read.as_mut().reset(Instant::now() + time);
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let counted = this.busy.0.load(Ordering::Acquire);
        let read = Pin::new(&mut this.stream).poll_read(context, out);
        if read.is_ready() && out.filled().len() == before {
            this.end = End::Closed;
        }
        if counted != this.counted {
            this.counted = counted;
            this.waits = Waits::Not;
        }
        if counted % 2 == 1 {
            return read;
        }
        if this.waits == Waits::Not {
            // Of a head that began together with the request before nothing is seen here; its
            // connection counts as idle, which ends it, too.
            this.set(Waits::ForFirstByte, this.times.idle);
        }
        if read.is_ready() {
            if this.waits == Waits::ForFirstByte {
                this.set(Waits::ForHead, this.times.head);
            }
            return read;
        }
        std::task::ready!(this.read.as_mut().poll(context));
        this.end = if this.waits == Waits::ForHead { End::SlowHead } else { End::Idle };
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Timed {
    /// What came of writing, unless nothing has for too long.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.write = None;
            return done;
        }
        let until = Instant::now() + self.times.write;
        let clock = self.write.get_or_insert_with(|| Box::pin(sleep_until(until)));
        std::task::ready!(clock.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(context, done)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.written(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
