//! What both ends of the bench do with sockets beyond reading and writing.

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::libc::MSG_TRUNC;
use socket2::SockRef;

/// Takes received bytes away without copying them. The load's core would otherwise copy as much as
/// the proxy's, and no proxy could be kept busy with large bodies.
pub(super) struct Skipper {
    /// Says how much may be skipped at once; nothing is ever written there.
    room: Vec<MaybeUninit<u8>>,
}

impl Skipper {
    pub(super) fn new() -> Self {
        Self { room: vec![MaybeUninit::uninit(); 1 << 20] }
    }

    /// Skips up to `most` bytes: 0 where none has come, an error where the connection is over.
    pub(super) fn skip(&mut self, stream: &TcpStream, most: usize) -> Result<usize> {
        let most = most.min(self.room.len());
        let room = self.room.get_mut(..most).unwrap_or_default();
        // Of TCP, it throws away what was received.
        let skipped = ready(SockRef::from(stream).recv_with_flags(room, MSG_TRUNC));
        match skipped.context("reading a body failed")? {
            Some(0) => bail!("the connection was closed within a body"),
            skipped => Ok(skipped.unwrap_or(0)),
        }
    }
}

/// Lets it be closed without waiting: no end of the connection keeps the port for a minute.
pub(super) fn reset_when_closed(stream: &TcpStream) -> Result<()> {
    let at_once = Some(Duration::ZERO);
    SockRef::from(stream).set_linger(at_once).context("a socket cannot be reset")
}

/// What a socket that is not ready answers, as nothing.
pub(super) fn ready<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
