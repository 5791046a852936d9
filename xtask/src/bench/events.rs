//! The stream of events that the bench's upstream sends and its generator reads: chat chunks of some
//! 200 bytes, the last of them `[DONE]`. Each tells when it was sent, by the clock that all processes
//! of a machine share, and on which stream, so that a reader can say how long it took and can ask
//! for the next.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use memchr::memmem;
use nix::time::{ClockId, clock_gettime};

/// Events of one answer, `[DONE]` included.
pub(super) const EVENTS: usize = 100;

const DONE: &[u8] = b"data: [DONE]\n\n";
/// What stands before the two numbers of an event, and how many digits these have.
const BEGINNING: &[u8] = br#"data: {"id":"chatcmpl-"#;
const SENT_DIGITS: usize = 20;
const STREAM_DIGITS: usize = 10;

/// What an event says beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// When it was sent, in nanoseconds of the monotonic clock.
    pub(super) sent: u64,
    pub(super) stream: u32,
}

/// Now, by the clock of [`Stamp::sent`].
pub(super) fn now() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("the clock cannot be read")?;
    Ok(u64::try_from(Duration::from(now).as_nanos())?)
}

/// Event `number`, counted from 0.
pub(super) fn event(number: usize, stamp: Stamp) -> Vec<u8> {
    if number + 1 >= EVENTS {
        return DONE.to_vec();
    }
    let Stamp { sent, stream } = stamp;
    let chunk = r#""object":"chat.completion.chunk","created":1700000000,"model":"bench-model""#;
    let rest = if number + 2 == EVENTS {
        r#""choices":[],"usage":{"input_tokens":12,"output_tokens":98}"#
    } else {
        r#""choices":[{"index":0,"delta":{"content":" forty-two"},"finish_reason":null}]"#
    };
    format!("data: {{\"id\":\"chatcmpl-{sent:020}-{stream:010}\",{chunk},{rest}}}\n\n").into_bytes()
}

/// Reads the events of one answer, however they are cut.
#[derive(Default)]
pub(super) struct Scan {
    /// Bytes of the body that are not read yet.
    pub(super) text: Vec<u8>,
    events: usize,
    is_done: bool,
}

impl Scan {
    /// Hands on every complete event in `text`: `None` is the last.
    pub(super) fn read(&mut self, mut each: impl FnMut(Option<Stamp>)) -> Result<()> {
        let mut start = 0;
        while let Some(rest) = self.text.get(start..)
            && let Some(end) = memmem::find(rest, b"\n\n")
        {
            let event = rest.get(..end + 2).unwrap_or_default();
            start += end + 2;
            self.events += 1;
            self.is_done = event == DONE;
            each(if self.is_done { None } else { Some(stamp(event)?) });
        }
        self.text.drain(..start);
        Ok(())
    }

    /// An error unless all events came and nothing else, where an answer ends.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.events != EVENTS || !self.is_done || !self.text.is_empty() {
            let (events, left) = (self.events, self.text.len());
            bail!("a stream ended after {events} of {EVENTS} events, with {left} bytes of another");
        }
        *self = Self { text: std::mem::take(&mut self.text), ..Self::default() };
        Ok(())
    }
}

fn stamp(event: &[u8]) -> Result<Stamp> {
    let read = || {
        let numbers = event.strip_prefix(BEGINNING)?;
        let (sent, rest) = numbers.split_at_checked(SENT_DIGITS)?;
        let stream = rest.strip_prefix(b"-")?.get(..STREAM_DIGITS)?;
        let text = |digits| std::str::from_utf8(digits).ok();
        Some(Stamp { sent: text(sent)?.parse().ok()?, stream: text(stream)?.parse().ok()? })
    };
    read().context("an event is not the upstream's")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { sent: 123_456_789, stream: 7 };

    fn all() -> Vec<u8> {
        (0..EVENTS).flat_map(|number| event(number, STAMP)).collect()
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        for piece in [1, 7, 200, 100_000] {
            let (mut scan, mut stamps) = (Scan::default(), Vec::new());
            for bytes in all().chunks(piece) {
                scan.text.extend_from_slice(bytes);
                scan.read(|stamp| stamps.push(stamp)).unwrap();
            }
            scan.end().unwrap();
            assert_eq!(stamps.len(), EVENTS);
            assert!(stamps.split_last().unwrap().1.iter().all(|stamp| *stamp == Some(STAMP)));
            assert_eq!(stamps.last(), Some(&None));
        }
    }

    #[test]
    fn a_stream_that_lacks_an_event_or_its_end_is_an_error() {
        let lacking = [all().split_off(event(0, STAMP).len()), all()[..all().len() - 3].to_vec()];
        for bytes in lacking {
            let mut scan = Scan { text: bytes, ..Scan::default() };
            scan.read(|_| ()).unwrap();
            assert!(scan.end().is_err());
        }
    }

    #[test]
    fn what_another_wrote_is_an_error() {
        let mut scan = Scan { text: b"event: error\ndata: {}\n\n".to_vec(), ..Scan::default() };
        assert!(scan.read(|_| ()).is_err());
    }

    #[test]
    fn an_event_has_the_size_of_a_model_s() {
        assert!((190..230).contains(&event(0, STAMP).len()), "{}", event(0, STAMP).len());
    }
}
