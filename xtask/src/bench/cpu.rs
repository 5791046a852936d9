//! Where processes run and what they use: pinning to a core, and CPU time and memory of a whole
//! process tree.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;

/// The proxy under test runs here, alone.
pub(super) const PROXY_CORE: usize = 0;
/// Load generator and upstream share this one.
pub(super) const LOAD_CORE: usize = 1;

/// An error where the two cores that measuring needs do not exist.
pub(super) fn need_two_cores() -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores <= LOAD_CORE {
        bail!("measuring needs two cores, one for the proxy alone; this machine offers {cores}");
    }
    Ok(())
}

/// Pins this thread; threads and processes started after inherit it.
pub(super) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
        .with_context(|| format!("cannot run on core {core}: is it allowed to this process?"))
}

/// Runs `action` on `core`, and then goes back to where this thread was allowed before.
pub(super) fn on_core<T>(core: usize, action: impl FnOnce() -> T) -> Result<T> {
    let this_thread = Pid::from_raw(0);
    let before = sched_getaffinity(this_thread).context("our own cores cannot be read")?;
    pin(core)?;
    let outcome = action();
    sched_setaffinity(this_thread, &before).context("our own cores cannot be set back")?;
    Ok(outcome)
}

/// CPU time used so far by a set of processes.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct CpuTime {
    /// Time on a core, from the scheduler: exact to the nanosecond. Threads that have ended are not
    /// in it.
    pub(super) on_core: Duration,
    /// Clock ticks, coarse: used for the share of user and kernel alone.
    user_ticks: u64,
    kernel_ticks: u64,
}

impl CpuTime {
    pub(super) fn of(processes: &[i32]) -> Result<Self> {
        let mut total = Self::default();
        for process in processes {
            let folder = Path::new("/proc").join(process.to_string());
            let stat = read(&folder.join("stat"))?;
            total.user_ticks += stat_field(&stat, UTIME)?;
            total.kernel_ticks += stat_field(&stat, STIME)?;
            for task in std::fs::read_dir(folder.join("task")).context("a process has ended")? {
                // A thread may end between the listing and the reading.
                let text =
                    std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
                let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
                total.on_core += Duration::from_nanos(nanoseconds.unwrap_or(0));
            }
        }
        Ok(total)
    }

    pub(super) fn since(self, before: Self) -> CpuSpan {
        let user = self.user_ticks.saturating_sub(before.user_ticks) as f64;
        let kernel = self.kernel_ticks.saturating_sub(before.kernel_ticks) as f64;
        let total = self.on_core.saturating_sub(before.on_core).as_secs_f64();
        let user_share = if user + kernel > 0.0 { user / (user + kernel) } else { 0.0 };
        CpuSpan { user: total * user_share, kernel: total * (1.0 - user_share) }
    }
}

/// CPU time used between two readings, in seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct CpuSpan {
    pub(super) user: f64,
    pub(super) kernel: f64,
}

impl CpuSpan {
    pub(super) fn total(&self) -> f64 {
        self.user + self.kernel
    }
}

/// Positions in `/proc/PID/stat`, counted from the state that follows the name in parentheses
/// (proc(5): minus 3).
const PARENT: usize = 1;
const UTIME: usize = 11;
const STIME: usize = 12;

fn stat_field(stat: &str, position: usize) -> Result<u64> {
    // The name may hold spaces and parentheses itself: what follows the last one is regular.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let field = fields.split_whitespace().nth(position).and_then(|field| field.parse().ok());
    field.with_context(|| format!("/proc/PID/stat has no field {position} that is a number"))
}

pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read: has the process ended?", path.display()))
}

/// A process and all its descendants, itself first.
pub(super) fn tree(root: i32) -> Result<Vec<i32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").context("/proc cannot be read")? {
        let entry = entry?;
        let process = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let (Some(process), Ok(parent)) = (process, stat_field(&stat, PARENT)) {
            parents.push((process, parent));
        }
    }
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&process) = tree.get(next) {
        let children = parents.iter().filter(|(_, parent)| u64::try_from(process) == Ok(*parent));
        tree.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    Ok(tree)
}

/// Resident memory of a set of processes, in KiB.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub(super) struct Memory {
    /// Pages that several of the processes share are counted in each.
    pub(super) resident: u64,
    /// The same with shared pages divided among those who share them.
    pub(super) proportional: u64,
}

impl Memory {
    pub(super) fn of(processes: &[i32]) -> Result<Self> {
        let mut total = Self::default();
        for process in processes {
            let rollup = read(&Path::new("/proc").join(process.to_string()).join("smaps_rollup"))?;
            total.resident += kibibytes(&rollup, "Rss:");
            total.proportional += kibibytes(&rollup, "Pss:");
        }
        Ok(total)
    }
}

fn kibibytes(rollup: &str, name: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_fields() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 0 0 0 0 0 11 22 0 0";
        assert_eq!(stat_field(stat, PARENT).unwrap(), 3);
        assert_eq!(stat_field(stat, UTIME).unwrap(), 11);
        assert_eq!(stat_field(stat, STIME).unwrap(), 22);
    }

    #[test]
    fn ticks_only_divide_what_the_scheduler_counted() {
        let after = CpuTime { on_core: Duration::from_secs(5), user_ticks: 30, kernel_ticks: 10 };
        let before = CpuTime { on_core: Duration::from_secs(1), user_ticks: 0, kernel_ticks: 0 };
        let span = after.since(before);
        assert_eq!((span.user, span.kernel), (3.0, 1.0));
    }

    #[test]
    fn our_own_time_and_memory_can_be_read() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(tree(own).unwrap()[0], own);
        assert!(CpuTime::of(&[own]).unwrap().on_core > Duration::ZERO);
        assert!(Memory::of(&[own]).unwrap().resident > 0);
    }
}
