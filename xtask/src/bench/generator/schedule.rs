//! When requests are due at a fixed rate: in small bursts, whatever became of those before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At a fixed rate, requests are due in small bursts this far apart. A timer per request would keep
/// the load's core busier than the proxy's, and what was measured would be the generator's queue.
pub(super) const TICK: Duration = Duration::from_micros(100);

/// When each request is meant to be sent, and which of those are waiting for a free connection.
pub(super) struct Schedule {
    pub(super) started: Instant,
    per_tick: f64,
    /// Ticks that have passed, and those in which requests are sent at all.
    tick: u32,
    last_tick: u32,
    planned: u64,
    pub(super) due: VecDeque<Instant>,
}

impl Schedule {
    pub(super) fn new(rate: f64, length: Duration) -> Self {
        Self {
            started: Instant::now(),
            per_tick: rate * TICK.as_secs_f64(),
            tick: 0,
            last_tick: (length.as_secs_f64() / TICK.as_secs_f64()) as u32,
            planned: 0,
            due: VecDeque::new(),
        }
    }

    /// Adds what has become due by `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.tick < self.last_tick {
            let intended = self.started + TICK * (self.tick + 1);
            if intended > now {
                return;
            }
            self.tick += 1;
            let planned = (self.per_tick * f64::from(self.tick)).round() as u64;
            self.due.extend((self.planned..planned).map(|_| intended));
            self.planned = planned;
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.tick == self.last_tick && self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_waits_is_timed_from_when_it_was_due() {
        let mut schedule = Schedule::new(5_000.0, Duration::from_secs(1));
        schedule.advance(schedule.started + TICK * 7);
        let due: Vec<_> = schedule.due.iter().map(|due| *due - schedule.started).collect();
        assert_eq!(due, [1, 3, 5, 7].map(|tick| TICK * tick));
    }

    #[test]
    fn a_schedule_ends_with_exactly_what_was_asked() {
        let mut schedule = Schedule::new(32_607.0, Duration::from_secs(2));
        schedule.advance(schedule.started + Duration::from_secs(3));
        assert_eq!(schedule.due.len(), 65_214);
    }
}
