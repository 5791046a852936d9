//! What an upgraded connection becomes: bytes both ways, from the upstream's 101 on and never before it.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    body::Answer,
    record::Ticket,
    worker::{Place, Worker},
};

/// Opens the tunnel as soon as the 101 is written; gives its (empty) body. The request's record ends with the tunnel.
pub(crate) fn open(
    worker: &Rc<Worker>,
    client: OnUpgrade,
    upstream: OnUpgrade,
    mut ticket: Ticket,
) -> Answer {
    let place = Place::take(worker);
    tokio::task::spawn_local(async move {
        if let Ok((client, upstream)) = tokio::try_join!(client, upstream) {
            let mut client =
                Counted { side: TokioIo::new(client), bytes: &mut ticket.sums.bytes_in };
            let mut upstream =
                Counted { side: TokioIo::new(upstream), bytes: &mut ticket.sums.bytes_out };
            // Either side may go at any time, and by a reset too: that is how tunnels end.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
        }
        drop(ticket);
        drop(place);
    });
    Answer::empty()
}

/// One side of a tunnel, and the bytes that came from it: they are counted however the tunnel ends.
struct Counted<'t, S> {
    side: S,
    bytes: &'t mut u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.side).poll_read(cx, buffer);
        *self.bytes += u64::try_from(buffer.filled().len() - before).unwrap_or_default();
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
