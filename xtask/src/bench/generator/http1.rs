//! One HTTP/1.1 connection of the generator, without its socket: what comes is read up to the end of
//! each answer.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::{Answer, Received};
use crate::bench::chunks::Chunks;
use crate::bench::events::{self, Scan};
use crate::bench::message;

#[derive(Default)]
pub(super) struct Http1 {
    /// The request in flight, and when it was meant to be sent.
    in_flight: Option<(usize, Instant)>,
    part: Part,
    status: u16,
    scan: Scan,
}

/// What comes next.
#[derive(Default)]
enum Part {
    #[default]
    Head,
    /// So many bytes of a body.
    Body(usize),
    Chunks(Chunks),
}

impl Http1 {
    pub(super) const fn sent(&mut self, request: usize, intended: Instant) {
        self.in_flight = Some((request, intended));
    }

    pub(super) const fn is_free(&self) -> bool {
        self.in_flight.is_none()
    }

    /// How much of a body comes next, whatever it says.
    pub(super) const fn to_skip(&self) -> usize {
        match self.part {
            Part::Body(left) => left,
            Part::Head | Part::Chunks(_) => 0,
        }
    }

    /// So much of a body came.
    pub(super) fn skipped(&mut self, bytes: usize, received: &mut Received) -> Result<()> {
        let left = self.to_skip().saturating_sub(bytes);
        self.part = Part::Body(left);
        if left == 0 { self.end(received) } else { Ok(()) }
    }

    /// Reads what has come, and says how many bytes of it have been dealt with.
    pub(super) fn receive(&mut self, bytes: &[u8], received: &mut Received) -> Result<usize> {
        let mut read = 0;
        while let Some(rest) = bytes.get(read..).filter(|rest| !rest.is_empty()) {
            match &mut self.part {
                Part::Head => {
                    let Some(head) = message::head(rest)? else { break };
                    self.begin(&head, message::status(rest)?)?;
                    read += head.length;
                    if matches!(self.part, Part::Body(0)) {
                        self.end(received)?;
                    }
                }
                Part::Body(left) => {
                    let taken = rest.len().min(*left);
                    read += taken;
                    self.skipped(taken, received)?;
                }
                Part::Chunks(chunks) => {
                    let (taken, is_over) = chunks.decode(rest, &mut self.scan.text)?;
                    read += taken;
                    self.read_events(received)?;
                    if is_over {
                        self.end_chunks(received)?;
                    } else if taken == 0 {
                        break;
                    }
                }
            }
        }
        Ok(read)
    }

    fn begin(&mut self, head: &message::Head, status: u16) -> Result<()> {
        self.status = status;
        self.part = match head.content_length {
            _ if head.is_chunked => Part::Chunks(Chunks::default()),
            Some(length) => Part::Body(length),
            None => bail!("an answer ({status}) that is neither chunked nor has a Content-Length"),
        };
        Ok(())
    }

    fn read_events(&mut self, received: &mut Received) -> Result<()> {
        if self.status != 200 {
            return Ok(());
        }
        let now = events::now()?;
        self.scan.read(|stamp| {
            received.events += 1;
            if let Some(stamp) = stamp {
                let delay = now.saturating_sub(stamp.sent);
                received.delays.push(u32::try_from(delay).unwrap_or(u32::MAX));
                received.to_ask.extend_from_slice(&stamp.stream.to_le_bytes());
            }
        })
    }

    fn end_chunks(&mut self, received: &mut Received) -> Result<()> {
        if self.status == 200 {
            self.scan.end()?;
        }
        self.scan.text.clear();
        self.end(received)
    }

    fn end(&mut self, received: &mut Received) -> Result<()> {
        self.part = Part::Head;
        let status = self.status;
        let asked = self.in_flight.take();
        let (request, intended) =
            asked.with_context(|| format!("an answer ({status}) that nobody asked for"))?;
        received.answers.push(Answer { status, request, intended });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Received;
    use super::*;
    use crate::bench::events::{EVENTS, Stamp, event};

    fn read(answer: &[u8], piece: usize) -> Result<(Received, bool)> {
        let (mut http1, mut received, mut waiting) =
            (Http1::default(), Received::default(), Vec::new());
        http1.sent(3, Instant::now());
        for bytes in answer.chunks(piece) {
            waiting.extend_from_slice(bytes);
            let read = http1.receive(&waiting, &mut received)?;
            waiting.drain(..read);
        }
        assert!(waiting.is_empty());
        Ok((received, http1.is_free()))
    }

    #[test]
    fn an_answer_is_over_where_its_length_says() {
        for piece in 1..60 {
            let answer = b"HTTP/1.1 429 Slow down\r\nContent-Length: 5\r\n\r\nhello";
            let (received, is_free) = read(answer, piece).unwrap();
            let told: Vec<_> = received.answers.iter().map(|a| (a.status, a.request)).collect();
            assert_eq!((told, is_free), (vec![(429, 3)], true));
        }
    }

    #[test]
    fn every_event_is_counted_and_asks_for_the_next() {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for number in 0..EVENTS {
            let event = event(number, Stamp { sent: 1, stream: 9 });
            answer.extend_from_slice(format!("{:x}\r\n", event.len()).as_bytes());
            answer.extend_from_slice(&event);
            answer.extend_from_slice(b"\r\n");
        }
        assert!(!read(&answer, 100).unwrap().1);
        answer.extend_from_slice(b"0\r\n\r\n");
        for piece in [1, 100, 100_000] {
            let (received, is_free) = read(&answer, piece).unwrap();
            assert!(is_free);
            assert_eq!(received.events, EVENTS as u64);
            assert_eq!(received.delays.len(), EVENTS - 1);
            assert_eq!(received.to_ask, [9, 0, 0, 0].repeat(EVENTS - 1));
        }
    }

    #[test]
    fn a_stream_that_is_cut_short_is_an_error() {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert!(read(answer, 100).is_err());
    }
}
