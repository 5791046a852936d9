//! What an upgraded connection becomes: bytes both ways, from the upstream's 101 on and never before it.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use keyward_core::{decide, verdict::Permit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{clock, record::Ticket, socket::UpstreamSocket, worker::Worker};

/// How often a tunnel is asked whether its key may still have it.
const CHECK: Duration = Duration::from_secs(1);

/// A tunnel that waits for the client's side: the 101 is on its way there.
pub(crate) struct Tunnel {
    pub(crate) permit: Permit,
    pub(crate) upstream: Tunnelled<UpstreamSocket>,
    /// The request's record ends with the tunnel.
    pub(crate) ticket: Ticket,
}

impl Tunnel {
    /// Passes bytes both ways to the tunnel's end.
    ///
    /// A tunnel outlives the request that opened it, so its permit is held against the present every second: a key that is
    /// revoked, disabled or expired loses its tunnels. One on which nothing moves for `upstream_stall` is closed.
    pub(crate) async fn run(self, worker: &Worker, client: impl AsyncRead + AsyncWrite + Unpin) {
        let Self { permit, upstream, ticket } = self;
        let figures = Figures { ticket, up: Cell::new(0), down: Cell::new(0) };
        let Figures { up, down, .. } = &figures;
        let mut client = Counted { side: client, bytes: up };
        let mut upstream = Counted { side: upstream, bytes: down };
        tokio::select! {
            // Either side may go at any time, and by a reset too: that is how tunnels end.
            _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {}
            () = until_ended(worker, &permit, || up.get() + down.get()) => {}
        }
    }
}

/// A tunnel's record: what passed is in it however the tunnel ends, by a drain's deadline too.
struct Figures {
    ticket: Ticket,
    up: Cell<u64>,
    down: Cell<u64>,
}

impl Drop for Figures {
    fn drop(&mut self) {
        self.ticket.sums.bytes_in = self.up.get();
        self.ticket.sums.bytes_out = self.down.get();
    }
}

/// Returns when the key may no longer have the tunnel, or nothing has moved for too long.
async fn until_ended(worker: &Worker, permit: &Permit, moved: impl Fn() -> u64) {
    let mut last = (moved(), Instant::now());
    loop {
        tokio::time::sleep(CHECK).await;
        if !decide::still_holds(&worker.snapshot(), permit, clock::now()) {
            return;
        }
        let now = moved();
        if now != last.0 {
            last = (now, Instant::now());
        } else if last.1.elapsed() > worker.settings().deadlines.upstream_stall {
            return;
        }
    }
}

/// One side of a tunnel, and the bytes that came from it: they are counted however the tunnel ends.
struct Counted<'t, S> {
    side: S,
    bytes: &'t Cell<u64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.side).poll_read(cx, buffer);
        let came = u64::try_from(buffer.filled().len() - before).unwrap_or_default();
        self.bytes.set(self.bytes.get() + came);
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.side).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_shutdown(cx)
    }
}

/// A connection that changed its protocol, and what came on it behind the head.
pub(crate) struct Tunnelled<S> {
    pub(crate) stream: S,
    pub(crate) first: Bytes,
}

impl<S: AsyncRead + Unpin> AsyncRead for Tunnelled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, out);
        }
        let count = self.first.len().min(out.remaining());
        out.put_slice(self.first.get(..count).unwrap_or_default());
        self.first.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tunnelled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
