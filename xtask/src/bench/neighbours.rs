//! Whether anyone else was running while something was measured. Two signs: a yardstick (a fixed
//! computation, before and after) that is slower than at its best, which also tells of neighbours
//! outside this virtual machine; and CPU time on our cores that none of our processes used.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;

use super::cpu::{CpuTime, LOAD_CORE, PROXY_CORE, on_core, read};

/// A yardstick this many times slower than its best means that a neighbour was running.
const TOO_SLOW: f64 = 1.25;
/// So does this share of one core in use by others. The kernel's own threads are among them.
const TOO_MUCH: f64 = 0.10;

/// Watches from before a measurement to after it.
pub(super) struct Watch {
    yardstick: Yardstick,
    ours: Vec<i32>,
    started: Instant,
    our_time: CpuTime,
    busy: Busy,
}

/// What [`Watch`] saw.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Peace {
    pub(super) yardsticks: [Yardstick; 2],
    /// Cores in use by others, on average.
    pub(super) others: f64,
    /// The share of the load's core that was in use.
    pub(super) load_core_busy: f64,
}

impl Watch {
    /// `ours` are the processes that may run: the proxy's, the upstream's, and this one.
    pub(super) fn begin(ours: Vec<i32>) -> Result<Self> {
        let yardstick = Yardstick::measure()?;
        let (started, our_time, busy) = (Instant::now(), CpuTime::of(&ours)?, Busy::now()?);
        Ok(Self { yardstick, ours, started, our_time, busy })
    }

    pub(super) fn end(self) -> Result<Peace> {
        let (our_time, busy) = (CpuTime::of(&self.ours)?, Busy::now()?);
        let seconds = self.started.elapsed().as_secs_f64();
        let ours = our_time.since(self.our_time).total();
        let proxy_core = busy.proxy_core.saturating_sub(self.busy.proxy_core).as_secs_f64();
        let load_core = busy.load_core.saturating_sub(self.busy.load_core).as_secs_f64();
        Ok(Peace {
            yardsticks: [self.yardstick, Yardstick::measure()?],
            others: ((proxy_core + load_core - ours) / seconds).max(0.0),
            load_core_busy: load_core / seconds,
        })
    }
}

impl Peace {
    /// Whether what was measured meanwhile should not count; `best` is the best yardstick seen.
    pub(super) fn is_disturbed(&self, best: Yardstick) -> bool {
        let is_slow = self.yardsticks.iter().any(|stick| stick.slowness(best) > TOO_SLOW);
        is_slow || self.others > TOO_MUCH
    }

    /// One in which nobody disturbed and a yardstick took `seconds`.
    #[cfg(test)]
    pub(super) fn of(seconds: f64) -> Self {
        let stick = Yardstick { proxy_core: seconds, load_core: seconds };
        Self { yardsticks: [stick; 2], others: 0.0, load_core_busy: 0.5 }
    }
}

/// How long each core has been in use so far, by anyone.
struct Busy {
    proxy_core: Duration,
    load_core: Duration,
}

impl Busy {
    fn now() -> Result<Self> {
        let stat = read(Path::new("/proc/stat"))?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the clock tick is not known")?;
        let of = |core| -> Result<Duration> {
            Ok(Duration::from_secs_f64(busy_ticks(&stat, core)? as f64 / per_second as f64))
        };
        Ok(Self { proxy_core: of(PROXY_CORE)?, load_core: of(LOAD_CORE)? })
    }
}

fn busy_ticks(stat: &str, core: usize) -> Result<u64> {
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name));
    let line = line.with_context(|| format!("/proc/stat has no core {core}"))?;
    let fields = line.split_whitespace().enumerate();
    let busy = fields.filter(|(position, _)| BUSY_FIELDS.contains(position));
    Ok(busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum())
}

/// user, nice, system, irq, softirq, steal; not idle, not waiting for a disk, and not guests, which
/// are in user.
const BUSY_FIELDS: [usize; 6] = [0, 1, 2, 5, 6, 7];

/// How long the fixed computation took on each core, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Yardstick {
    proxy_core: f64,
    load_core: f64,
}

impl Yardstick {
    /// Some 2 × 20 ms. Nothing else of ours may be running.
    pub(super) fn measure() -> Result<Self> {
        let proxy_core = on_core(PROXY_CORE, fixed_computation)?;
        Ok(Self { proxy_core, load_core: fixed_computation() })
    }

    /// The best of both, core by core.
    pub(super) fn best(self, other: Self) -> Self {
        Self {
            proxy_core: self.proxy_core.min(other.proxy_core),
            load_core: self.load_core.min(other.load_core),
        }
    }

    /// How many times slower than `best` the slower of the two cores was.
    pub(super) fn slowness(self, best: Self) -> f64 {
        (self.proxy_core / best.proxy_core).max(self.load_core / best.load_core)
    }
}

fn fixed_computation() -> f64 {
    let started = Instant::now();
    let mut state = black_box(0x9E37_79B9_7F4A_7C15_u64);
    for _ in 0..8_000_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    started.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_busy_but_for_idling_and_waiting() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu1 1 2 4 800 900 8 16 32 64 0\n";
        assert_eq!(busy_ticks(stat, 1).unwrap(), 63);
        assert!(busy_ticks(stat, 2).is_err());
    }

    #[test]
    fn the_slower_core_judges_the_round() {
        let reading = |proxy_core, load_core| Yardstick { proxy_core, load_core };
        let best = reading(2.0, 4.0).best(reading(3.0, 2.0));
        assert!((reading(2.0, 3.0).slowness(best) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn a_neighbour_shows_in_the_yardstick_or_on_the_cores() {
        let peace = Peace::of(0.020);
        let best = peace.yardsticks[0];
        assert!(!peace.is_disturbed(best));
        assert!(Peace::of(0.026).is_disturbed(best));
        assert!(Peace { others: 0.2, ..peace }.is_disturbed(best));
    }
}
