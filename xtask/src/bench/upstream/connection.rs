//! One connection to the upstream: a proxy's, or the generator's own, by which it asks for events.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::bench::events::{self, EVENTS, Stamp};
use crate::bench::message;
use crate::bench::socket::Skipper;

/// Room for one request's head with everything that a proxy may add to it.
const BUFFER: usize = 16 * 1024;

/// About 200 bytes, the size of a short answer from a model.
const SHORT: &str = concat!(
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n",
    r#"{"id":"resp_0123456789abcdef","object":"response","model":"bench-model","output":"#,
    r#"[{"type":"text","text":"The answer is forty-two, as it was yesterday."}],"#,
    r#""usage":{"input_tokens":12,"output_tokens":9}}"#
);

/// What is large is 1 MiB: an image, or a batch of embeddings.
pub(in crate::bench) const LARGE: usize = 1 << 20;
const LARGE_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
    Content-Length: 1048576\r\n\r\n";
static ZEROS: [u8; LARGE] = [0; LARGE];

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What stands in for a body that this upstream cannot delimit: it must show as a failed round, not
/// as a stall.
const NOT_IMPLEMENTED: &[u8] = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n";

/// What a request asks for, by the end of its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Short,
    /// `/large`
    Large,
    /// `/events`: each event after the first once it is asked for. A proxy never finds two at once in
    /// what it reads, however fast they are sent.
    Asked,
    /// `/events/MICROSECONDS`: one each such interval.
    Paced(Duration),
    /// `/next`: no answer; what follows are streams whose next event is asked for, 4 bytes each.
    ToAsk,
}

/// What has to be done about a connection once it has been served.
pub(super) enum Next {
    /// Read when more comes, as before.
    Read,
    /// Not read but write, once there is room.
    Write,
    /// The opposite of `Write`.
    ReadAgain,
    /// Send an event each such interval.
    Send(Duration),
}

pub(super) struct Connection {
    stream: TcpStream,
    id: u32,
    buffer: Vec<u8>,
    filled: usize,
    wanted: Wanted,
    /// Bytes of the request's body that are still to come.
    to_skip: usize,
    /// Bytes of a large answer that are still to be sent.
    unsent: usize,
    /// Events of the answer that have been sent.
    events: usize,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, id: u32) -> Self {
        let buffer = vec![0; BUFFER];
        let wanted = Wanted::Short;
        Self { stream, id, buffer, filled: 0, wanted, to_skip: 0, unsent: 0, events: EVENTS }
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes or reads once, and answers every complete request; an error when the connection is
    /// over. Streams whose next event is asked for are added to `asked`.
    pub(super) fn serve(&mut self, asked: &mut Vec<u32>, skipper: &mut Skipper) -> Result<Next> {
        if self.unsent > 0 {
            return self.write_large();
        }
        if self.to_skip > 0 {
            self.to_skip -= skipper.skip(&self.stream, self.to_skip)?;
            return if self.to_skip == 0 { self.answer() } else { Ok(Next::Read) };
        }
        if !self.read()? {
            return Ok(Next::Read);
        }
        if self.wanted == Wanted::ToAsk {
            return self.read_asked(asked);
        }
        self.answer_all()
    }

    /// Whether something came.
    fn read(&mut self) -> Result<bool> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match self.stream.read(room) {
            Ok(0) => bail!("closed"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn answer_all(&mut self) -> Result<Next> {
        let mut next = Next::Read;
        let mut done = 0;
        while let Some(bytes) = self.buffer.get(done..self.filled)
            && let Some(head) = message::head(bytes)?
        {
            if head.is_chunked {
                self.stream.write_all(NOT_IMPLEMENTED)?;
                bail!("a chunked request");
            }
            self.wanted = wanted(bytes);
            let end = done + head.length + head.content_length.unwrap_or(0);
            if end > self.filled {
                // A short body comes with its head or right after it: all of it is read again then.
                if end - done > self.buffer.len() {
                    self.to_skip = end - self.filled;
                    done = self.filled;
                }
                break;
            }
            done = end;
            next = self.answer()?;
        }
        self.buffer.copy_within(done..self.filled, 0);
        self.filled -= done;
        Ok(next)
    }

    fn answer(&mut self) -> Result<Next> {
        match self.wanted {
            Wanted::Short => self.stream.write_all(SHORT.as_bytes())?,
            Wanted::Large => {
                self.stream.write_all(LARGE_HEAD.as_bytes())?;
                self.unsent = LARGE;
                return self.write_large();
            }
            Wanted::Asked => self.begin_stream()?,
            Wanted::Paced(interval) => {
                self.begin_stream()?;
                return Ok(Next::Send(interval));
            }
            Wanted::ToAsk => {}
        }
        Ok(Next::Read)
    }

    fn write_large(&mut self) -> Result<Next> {
        while self.unsent > 0 {
            match self.stream.write(ZEROS.get(..self.unsent).unwrap_or_default()) {
                Ok(written) => self.unsent -= written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Write),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Next::ReadAgain)
    }

    fn begin_stream(&mut self) -> Result<()> {
        self.stream.write_all(STREAM_HEAD.as_bytes())?;
        self.events = 0;
        self.send_event().map(drop)
    }

    /// Sends the next event as one write and one chunk; whether there are more. Where the proxy has
    /// no room for it the connection is over: that stream would be of no use to the figures.
    pub(super) fn send_event(&mut self) -> Result<bool> {
        if self.events >= EVENTS {
            return Ok(false);
        }
        let stamp = Stamp { sent: events::now()?, stream: self.id };
        let event = events::event(self.events, stamp);
        self.events += 1;
        let is_last = self.events == EVENTS;
        let mut chunk = format!("{:x}\r\n", event.len()).into_bytes();
        chunk.extend_from_slice(&event);
        chunk.extend_from_slice(if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
        self.stream.write_all(&chunk)?;
        Ok(!is_last)
    }

    fn read_asked(&mut self, asked: &mut Vec<u32>) -> Result<Next> {
        let received = self.buffer.get(..self.filled).unwrap_or_default();
        let (streams, _) = received.as_chunks::<4>();
        asked.extend(streams.iter().map(|bytes| u32::from_le_bytes(*bytes)));
        let read = streams.len() * 4;
        self.buffer.copy_within(read..self.filled, 0);
        self.filled -= read;
        Ok(Next::Read)
    }
}

fn wanted(request: &[u8]) -> Wanted {
    let path = request.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let path = std::str::from_utf8(path).unwrap_or_default();
    let (before, last) = path.rsplit_once('/').unwrap_or_default();
    match last {
        "large" => Wanted::Large,
        "events" => Wanted::Asked,
        "next" => Wanted::ToAsk,
        _ if before.ends_with("/events") => last
            .parse()
            .map_or(Wanted::Short, |micros| Wanted::Paced(Duration::from_micros(micros))),
        _ => Wanted::Short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_what_is_wanted() {
        let paced = Wanted::Paced(Duration::from_micros(250));
        for (path, expected) in [
            ("/v1/generate", Wanted::Short),
            ("/v1/large", Wanted::Large),
            ("/v1/events", Wanted::Asked),
            ("/v1/events/250", paced),
            ("/next", Wanted::ToAsk),
            ("*", Wanted::Short),
        ] {
            assert_eq!(wanted(format!("POST {path} HTTP/1.1\r\n").as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn answers_are_as_long_as_they_say() {
        for (answer, body) in [(SHORT, 0), (LARGE_HEAD, LARGE)] {
            let head = message::head(answer.as_bytes()).unwrap().unwrap();
            assert_eq!(head.content_length, Some(answer.len() - head.length + body));
        }
    }
}
