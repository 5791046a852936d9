//! When each stream that keeps a pace sends its next event.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// How often it is looked what is due. A timer for each event would keep the load's core busier than
/// the proxy's.
const TICK: Duration = Duration::from_micros(100);

/// Its multiples spread evenly over an interval, however many there are.
const GOLDEN_RATIO: f64 = 0.618_034;

pub(super) struct Pacer {
    /// Runs only while there are streams.
    timer: TimerFd,
    streams: HashMap<u32, Pace>,
}

struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pacer {
    pub(super) fn new() -> Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Self { timer, streams: HashMap::new() })
    }

    pub(super) const fn timer(&self) -> &TimerFd {
        &self.timer
    }

    pub(super) fn add(&mut self, stream: u32, interval: Duration) -> Result<()> {
        if self.streams.is_empty() {
            let every = Expiration::Interval(TimeSpec::from_duration(TICK));
            self.timer.set(every, TimerSetTimeFlags::empty())?;
        }
        // Streams that begin together do not send together.
        let phase = (f64::from(stream) * GOLDEN_RATIO).fract();
        let due = Instant::now() + interval.mul_f64(phase);
        self.streams.insert(stream, Pace { interval, due });
        Ok(())
    }

    pub(super) fn remove(&mut self, stream: u32) -> Result<()> {
        self.streams.remove(&stream);
        if self.streams.is_empty() {
            self.timer.unset()?;
        }
        Ok(())
    }

    /// The streams whose next event is due now, when the timer has fired. One that is late sends
    /// its events later, and not several at once.
    pub(super) fn due(&mut self) -> Result<Vec<u32>> {
        self.timer.wait()?;
        let now = Instant::now();
        let mut due = Vec::new();
        for (stream, pace) in &mut self.streams {
            if pace.due <= now {
                pace.due = (pace.due + pace.interval).max(now);
                due.push(*stream);
            }
        }
        Ok(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_due_once_an_interval_has_passed() {
        let mut pacer = Pacer::new().unwrap();
        pacer.add(3, Duration::ZERO).unwrap();
        pacer.add(4, Duration::from_secs(3600)).unwrap();
        while pacer.due().is_ok_and(|due| due.is_empty()) {}
        assert_eq!(pacer.due().unwrap_or(vec![3]), [3]);
        pacer.remove(3).unwrap();
        pacer.remove(4).unwrap();
        assert!(pacer.streams.is_empty());
    }
}
