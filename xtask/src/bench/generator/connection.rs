//! One of the generator's connections: its socket, what is still to be sent, what has come.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::Received;
use super::http1::Http1;
use crate::bench::socket::{Skipper, ready, reset_when_closed};

/// Room for an answer's head, or for a piece of its body.
const BUFFER: usize = 16 * 1024;

pub(super) struct Connection {
    stream: TcpStream,
    http: Http1,
    /// What is to be sent, and how much of it has been; then so much of the body that all share.
    outgoing: Vec<u8>,
    sent: usize,
    was_used: bool,
    body_left: usize,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .with_context(|| format!("a connection to {address} cannot be made"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let (http, outgoing, buffer) = (Http1::default(), Vec::new(), vec![0; BUFFER]);
        Ok(Self {
            stream,
            http,
            outgoing,
            sent: 0,
            was_used: false,
            body_left: 0,
            buffer,
            filled: 0,
        })
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Closes it by a reset.
    pub(super) fn reset(self) -> Result<()> {
        reset_when_closed(&self.stream)
    }

    pub(super) const fn was_used(&self) -> bool {
        self.was_used
    }

    /// Whether it can take a request.
    pub(super) const fn is_free(&self) -> bool {
        self.http.is_free()
    }

    /// Whether something is still to be sent, for want of room.
    pub(super) const fn has_more_to_send(&self) -> bool {
        self.sent < self.outgoing.len() || self.body_left > 0
    }

    pub(super) fn send(
        &mut self,
        (number, request): (usize, &[u8]),
        body: &[u8],
        intended: Instant,
    ) -> Result<()> {
        self.was_used = true;
        self.http.sent(number, intended);
        self.outgoing.extend_from_slice(request);
        self.body_left = body.len();
        self.flush(body)
    }

    /// Sends as much as there is room for.
    pub(super) fn flush(&mut self, body: &[u8]) -> Result<()> {
        const CLOSED: &str = "the proxy closed a connection";
        while let Some(rest) = self.outgoing.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let Some(sent) = ready(self.stream.write(rest)).context(CLOSED)? else { return Ok(()) };
            self.sent += sent;
        }
        self.outgoing.clear();
        self.sent = 0;
        while self.body_left > 0 {
            let rest = body.get(body.len() - self.body_left..).unwrap_or_default();
            let Some(sent) = ready(self.stream.write(rest)).context(CLOSED)? else { return Ok(()) };
            self.body_left -= sent;
        }
        Ok(())
    }

    /// Reads what has come.
    pub(super) fn receive(&mut self, received: &mut Received, skipper: &mut Skipper) -> Result<()> {
        let to_skip = self.http.to_skip();
        if to_skip > BUFFER && self.filled == 0 {
            let skipped = skipper.skip(&self.stream, to_skip)?;
            return if skipped > 0 { self.http.skipped(skipped, received) } else { Ok(()) };
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match ready(self.stream.read(room)).context("reading an answer failed")? {
            None => return Ok(()),
            Some(0) if room.is_empty() => bail!("a head is longer than {BUFFER} bytes"),
            Some(0) => bail!("the proxy closed a keep-alive connection"),
            Some(read) => self.filled += read,
        }
        let bytes = self.buffer.get(..self.filled).unwrap_or_default();
        let read = self.http.receive(bytes, received)?;
        self.buffer.copy_within(read..self.filled, 0);
        self.filled -= read;
        Ok(())
    }
}
