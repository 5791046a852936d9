//! One of the generator's connections: its socket, what is still to be sent, what has come.

use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::http1::Http1;
use super::http2::Http2;
use super::stream::Stream;
use super::{Load, Received};
use crate::bench::socket::{Skipper, ready, reset_when_closed};

/// Room for an answer's head, or for a frame.
const BUFFER: usize = 32 * 1024;

enum Http {
    One(Http1),
    Two(Http2),
}

pub(super) struct Connection {
    stream: Stream,
    http: Http,
    was_used: bool,
    /// Whether our owner wants to be told when there is room to send more.
    pub(super) waits_for_room: bool,
    /// What is to be sent, and how much of it has been; then so much of the body that all share.
    outgoing: Vec<u8>,
    sent: usize,
    body_left: usize,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    pub(super) fn new(stream: Stream, load: &Load<'_>) -> Self {
        let mut outgoing = Vec::new();
        let http = match load.http2 {
            Some(_) => Http::Two(Http2::new(&mut outgoing)),
            None => Http::One(Http1::default()),
        };
        Self {
            stream,
            http,
            was_used: false,
            waits_for_room: false,
            outgoing,
            sent: 0,
            body_left: 0,
            buffer: vec![0; BUFFER],
            filled: 0,
        }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        self.stream.tcp()
    }

    /// Closes it by a reset.
    pub(super) fn reset(self) -> Result<()> {
        reset_when_closed(self.socket())
    }

    pub(super) const fn was_used(&self) -> bool {
        self.was_used
    }

    /// Whether it can take a request.
    pub(super) const fn is_free(&self) -> bool {
        match &self.http {
            Http::One(http) => http.is_free(),
            Http::Two(http) => http.is_free(),
        }
    }

    /// Whether something is still to be sent.
    pub(super) fn has_more_to_send(&self) -> bool {
        self.sent < self.outgoing.len() || self.body_left > 0 || self.stream.holds_back()
    }

    /// Has a request sent by the next [`flush`](Self::flush).
    pub(super) fn add(
        &mut self,
        (number, request): (usize, &[u8]),
        load: &Load<'_>,
        intended: Instant,
    ) -> Result<()> {
        self.was_used = true;
        match (&mut self.http, load.http2) {
            (Http::Two(http), Some(common)) => {
                http.send(&mut self.outgoing, (number, request), common, intended)?;
            }
            (Http::One(http), _) => {
                http.sent(number, intended);
                self.outgoing.extend_from_slice(request);
                self.body_left = load.body.len();
            }
            (Http::Two(_), None) => bail!("nothing to send by HTTP/2"),
        }
        Ok(())
    }

    /// Sends as much as there is room for.
    pub(super) fn flush(&mut self, load: &Load<'_>) -> Result<()> {
        self.write(load.body).context("the proxy closed a connection")
    }

    fn write(&mut self, body: &[u8]) -> Result<()> {
        while let Some(rest) = self.outgoing.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready(self.stream.write(rest))? {
                None | Some(0) => return Ok(()),
                Some(sent) => self.sent += sent,
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        while self.body_left > 0 {
            let rest = body.get(body.len() - self.body_left..).unwrap_or_default();
            match ready(self.stream.write(rest))? {
                None | Some(0) => return Ok(()),
                Some(sent) => self.body_left -= sent,
            }
        }
        if self.stream.holds_back() {
            ready(self.stream.flush())?;
        }
        Ok(())
    }

    /// Reads what has come.
    pub(super) fn receive(&mut self, received: &mut Received, skipper: &mut Skipper) -> Result<()> {
        if let (Http::One(http), Stream::Plain(tcp)) = (&mut self.http, &self.stream)
            && http.to_skip() > BUFFER
            && self.filled == 0
        {
            let skipped = skipper.skip(tcp, http.to_skip())?;
            return if skipped > 0 { http.skipped(skipped, received) } else { Ok(()) };
        }
        // Until less comes than there is room for: of what TLS has decrypted no socket tells.
        while self.read()? {
            let bytes = self.buffer.get(..self.filled).unwrap_or_default();
            let was_full = bytes.len() == self.buffer.len();
            let read = match &mut self.http {
                Http::One(http) => http.receive(bytes, received)?,
                Http::Two(http) => http.receive(bytes, &mut self.outgoing, received)?,
            };
            self.buffer.copy_within(read..self.filled, 0);
            self.filled -= read;
            if !was_full {
                break;
            }
        }
        Ok(())
    }

    /// Whether something came.
    fn read(&mut self) -> Result<bool> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        if room.is_empty() {
            bail!("a head or a frame is longer than {BUFFER} bytes");
        }
        match ready(self.stream.read(room)).context("reading an answer failed")? {
            None => Ok(false),
            Some(0) => bail!("the proxy closed a keep-alive connection"),
            Some(read) => {
                self.filled += read;
                Ok(true)
            }
        }
    }
}
