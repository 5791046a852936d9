//! What connections cost on which nothing happens: memory of each, and CPU time of all. Each has had
//! one request before, as clients have that keep one for the next. The kernel's own memory for them
//! is the same for all proxies, and not counted; nor is the table that nginx makes for all it may
//! ever have (0.4 kB each) before the first comes.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::cpu::Memory;
use super::peers::Kind;
use super::report::table;
use super::scenario::Scenario;

const READING: &str = "\
Memory is resident and CPU is time in a second in which nothing comes, both of the whole process
tree, without these connections and with them.";

/// One proxy's figures.
#[derive(Serialize)]
pub(super) struct Idle {
    pub(super) kind: Kind,
    /// With as many connections as there are requests in flight otherwise.
    pub(super) without: AtRest,
    pub(super) with: AtRest,
}

/// A proxy that has nothing to do.
#[derive(Clone, Copy, Serialize)]
pub(super) struct AtRest {
    pub(super) memory: Memory,
    pub(super) cpu_micros_per_second: f64,
}

impl Idle {
    fn kilobytes_each(&self, connections: usize) -> f64 {
        let more = self.with.memory.resident.saturating_sub(self.without.memory.resident);
        more as f64 * 1.024 / connections.max(1) as f64
    }
}

/// All that was measured.
pub(super) struct IdleReport {
    pub(super) scenario: Scenario,
    pub(super) proxies: Vec<Idle>,
}

impl IdleReport {
    pub(super) fn json(&self) -> Value {
        json!({ "scenario": self.scenario, "idle": self.proxies })
    }
}

impl fmt::Display for IdleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = table(&[
            "proxy",
            "RSS MiB without",
            "with",
            "kB per connection",
            "µs CPU per s without",
            "with",
        ]);
        let mebibytes = |rest: AtRest| format!("{:.1}", rest.memory.resident as f64 / 1024.0);
        let cpu = |rest: AtRest| format!("{:.0}", rest.cpu_micros_per_second);
        for proxy in &self.proxies {
            table.add_row([
                proxy.kind.name().to_owned(),
                mebibytes(proxy.without),
                mebibytes(proxy.with),
                format!("{:.2}", proxy.kilobytes_each(self.scenario.idle)),
                cpu(proxy.without),
                cpu(proxy.with),
            ]);
        }
        writeln!(f, "{}\n\n{table}\n\n{READING}", self.scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_connection_is_what_all_added_divided() {
        let of = |resident| {
            let memory = Memory { resident, proportional: resident };
            AtRest { memory, cpu_micros_per_second: 0.0 }
        };
        let (without, with) = (of(10_000), of(20_000));
        let idle = Idle { kind: Kind::Nginx, without, with };
        assert_eq!(idle.kilobytes_each(1_000), 10.24);
        let less = Idle { without: with, with: without, ..idle };
        assert_eq!(less.kilobytes_each(1_000), 0.0);
    }
}
