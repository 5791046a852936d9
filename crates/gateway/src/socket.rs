//! A socket with or without TLS, as both sides of the gateway use it.
//!
//! What is read and written here without TLS asks the system directly: a read that fills no more than a part of its buffer took all there
//! was, and is not followed by one that only finds that out.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use rustix::{
    buffer::spare_capacity,
    net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{client, server};

/// To a client, or from one: `T` is what speaks TLS on it.
#[derive(Debug)]
pub(crate) enum Socket<T> {
    Tcp(TcpStream),
    Tls(Box<T>),
}

/// A client's.
pub(crate) type ClientSocket = Socket<server::TlsStream<TcpStream>>;
/// An upstream's.
pub(crate) type UpstreamSocket = Socket<client::TlsStream<TcpStream>>;

impl<T: AsyncRead + AsyncWrite + Unpin> Socket<T> {
    /// Whether there may be something to read. What speaks TLS may have read it already.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx),
            Self::Tls(_) => Poll::Ready(Ok(())),
        }
    }

    /// Reads what there is into the room that a buffer has.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => return pin!(tls.read_buf(buffer)).as_mut().poll(cx),
        };
        let room = buffer.capacity() - buffer.len();
        loop {
            let take = || Ok(recv(&*tcp, spare_capacity(buffer), RecvFlags::empty())?.0);
            if let Some(read) = at_once(tcp, Interest::READABLE, room, take) {
                return Poll::Ready(read);
            }
            ready!(tcp.poll_read_ready(cx))?;
        }
    }

    /// Writes what the other side takes now.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send_both(cx, bytes, &[])
    }

    /// Writes what the other side takes now of two pieces, the second behind the first.
    pub(crate) fn poll_send_both(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => {
                let bytes = if first.is_empty() { second } else { first };
                return Pin::new(&mut **tls).poll_write(cx, bytes);
            }
        };
        let give = || {
            let sent = match (first, second) {
                (one, []) | ([], one) => send(&*tcp, one, SendFlags::NOSIGNAL),
                both => {
                    let both = [IoSlice::new(both.0), IoSlice::new(both.1)];
                    let nothing = &mut SendAncillaryBuffer::default();
                    sendmsg(&*tcp, &both, nothing, SendFlags::NOSIGNAL)
                }
            };
            Ok(sent?)
        };
        loop {
            let most = first.len() + second.len();
            if let Some(written) = at_once(tcp, Interest::WRITABLE, most, give) {
                return Poll::Ready(written);
            }
            ready!(tcp.poll_write_ready(cx))?;
        }
    }
}

/// Does what moves up to `most` bytes; `None` where the socket is not ready for it. One that moved less is not ready for more until it
/// says so again.
fn at_once(
    tcp: &TcpStream,
    interest: Interest,
    most: usize,
    mut act: impl FnMut() -> io::Result<usize>,
) -> Option<io::Result<usize>> {
    let mut moved = None;
    let tried = tcp.try_io(interest, || {
        let count = act()?;
        moved = Some(count);
        if (1..most).contains(&count) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match (moved, tried) {
        (Some(count), _) => Some(Ok(count)),
        (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
        (None, Err(error)) => Some(Err(error)),
        (None, Ok(())) => None,
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, out),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, out),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            // What was written is the kernel's.
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}
