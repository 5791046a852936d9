//! What both ends of the bench do with sockets beyond reading and writing.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};

/// Takes received bytes away without copying them. The load's core would otherwise copy as much as
/// the proxy's, and no proxy could be kept busy with large bodies.
pub(super) struct Skipper {
    /// Says how much may be skipped at once; nothing is ever written there.
    room: Vec<u8>,
}

impl Skipper {
    pub(super) fn new() -> Self {
        Self { room: vec![0; 1 << 20] }
    }

    /// Skips up to `most` bytes: 0 where none has come, an error where the connection is over.
    pub(super) fn skip(&mut self, stream: &TcpStream, most: usize) -> Result<usize> {
        let most = most.min(self.room.len());
        let room = self.room.get_mut(..most).unwrap_or_default();
        // Of TCP, it throws away what was received.
        match recv(stream.as_raw_fd(), room, MsgFlags::MSG_TRUNC) {
            Ok(0) => bail!("the connection was closed within a body"),
            Ok(skipped) => Ok(skipped),
            Err(Errno::EAGAIN) => Ok(0),
            Err(error) => Err(error).context("reading a body failed"),
        }
    }
}

/// Lets it be closed without waiting: no end of the connection keeps the port for a minute.
pub(super) fn reset_when_closed(stream: &TcpStream) -> Result<()> {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(stream, sockopt::Linger, &at_once).context("a socket cannot be reset")
}

/// What a socket that is not ready answers, as nothing.
pub(super) fn ready<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
