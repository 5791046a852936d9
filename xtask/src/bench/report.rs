//! What the runs of `bench proxy` say together: which count, medians over those that do, ratios
//! within a round, and the table. A run does not count when a neighbour slowed the yardstick down
//! or when an answer was not 200; a run in which the proxy was not kept busy counts but is named,
//! because its figure may be the generator's.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};

use super::cpu::{CpuSpan, Memory};
use super::generator::Tally;
use super::neighbours::{Peace, Yardstick};
use super::peers::Kind;
use super::scenario::Scenario;

/// A proxy that used less of its core than this was waiting for the generator.
const BUSY: f64 = 0.95;
/// At a fixed rate, a load core busier than this delays requests itself.
const LOAD_TOO_BUSY: f64 = 0.85;
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

const READING: &str = "\
of the whole process tree: medians of the runs that count. × nginx is the median of the ratios
within each round. What is per second is at saturation of one core. ms later is CPU time that a
run costs after its last answer, which is in no other figure.";

/// Of requests, and of events.
const FROM: [&str; 2] = [
    "It counts from when each request was meant to be sent.",
    "It counts from when the upstream sent an event to when it was read.",
];
const READING_LATENCY: &str = "\
Most of it is wake-ups between the cores on a virtual machine: compare it, do not quote it.";

/// One proxy, saturated once.
#[derive(Serialize)]
pub(super) struct Run {
    pub(super) kind: Kind,
    pub(super) round: u32,
    /// Requests, or events.
    pub(super) units: u64,
    pub(super) wrong_answers: BTreeMap<u16, u64>,
    pub(super) seconds: f64,
    pub(super) cpu: CpuSpan,
    /// CPU time that it used after the last answer until it was at rest, in seconds.
    pub(super) afterwards: f64,
    pub(super) peace: Peace,
}

impl Run {
    fn micros_per_unit(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.units.max(1) as f64
    }

    fn total(&self) -> f64 {
        self.micros_per_unit(self.cpu.total())
    }

    fn throughput(&self) -> f64 {
        self.units as f64 / self.seconds
    }

    fn busy(&self) -> f64 {
        self.cpu.total() / self.seconds
    }
}

impl Run {
    /// Why a run that counts may say less of the proxy than it seems.
    fn doubt(&self) -> Option<String> {
        let busy = self.busy() * 100.0;
        (self.busy() < BUSY).then(|| format!("only {busy:.0}% busy, the generator was the limit"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, total, throughput) = (self.kind.name(), self.total(), self.throughput());
        let busy = self.busy() * 100.0;
        write!(f, "{name}: {total:.2} µs each, {throughput:.0}/s, {busy:.0}% busy")?;
        write!(f, ", {:.0} ms afterwards", self.afterwards * 1e3)
    }
}

/// One proxy at the fixed rate once; percentiles in microseconds.
#[derive(Serialize)]
pub(super) struct LatencyRun {
    kind: Kind,
    round: u32,
    wrong_answers: BTreeMap<u16, u64>,
    percentiles: [f64; 4],
    /// Each, of the whole process tree; `None` where there is no proxy.
    cpu_micros: Option<f64>,
    peace: Peace,
}

impl LatencyRun {
    pub(super) fn new(
        kind: Kind,
        round: u32,
        tally: Tally,
        cpu_micros: Option<f64>,
        peace: Peace,
    ) -> Self {
        let Tally { mut latencies, others: wrong_answers, .. } = tally;
        latencies.sort_unstable();
        let percentiles = PERCENTILES.map(|(_, share)| percentile(&latencies, share) / 1e3);
        Self { kind, round, wrong_answers, percentiles, cpu_micros, peace }
    }
}

impl LatencyRun {
    fn doubt(&self) -> Option<String> {
        let busy = self.peace.load_core_busy * 100.0;
        (self.peace.load_core_busy > LOAD_TOO_BUSY).then(|| {
            format!("the load's core was {busy:.0}% busy, so part of the latency is its own")
        })
    }
}

/// All that was measured.
pub(super) struct Report {
    scenario: Scenario,
    kinds: Vec<Kind>,
    pub(super) runs: Vec<Run>,
    pub(super) latency_rate: Option<f64>,
    pub(super) latency_runs: Vec<LatencyRun>,
    pub(super) memory: Vec<(Kind, Memory)>,
}

/// One proxy's figures: medians over the runs that count.
#[derive(Serialize)]
struct Summary {
    kind: Kind,
    name: &'static str,
    runs: usize,
    runs_that_count: usize,
    cpu_micros: Option<f64>,
    user_micros: Option<f64>,
    kernel_micros: Option<f64>,
    ratio_to_nginx: Option<f64>,
    units_per_second: Option<f64>,
    megabytes_per_second: Option<f64>,
    busy: Option<f64>,
    afterwards_millis: Option<f64>,
    paced_cpu_micros: Option<f64>,
    latency_micros: BTreeMap<&'static str, f64>,
    memory_kib: Option<Memory>,
}

impl Report {
    pub(super) fn new(scenario: Scenario, kinds: Vec<Kind>) -> Self {
        Self {
            scenario,
            kinds,
            runs: Vec::new(),
            latency_rate: None,
            latency_runs: Vec::new(),
            memory: Vec::new(),
        }
    }

    /// Those that have figures.
    fn rows(&self) -> impl Iterator<Item = Kind> {
        let is_direct = |run: &LatencyRun| run.kind == Kind::Direct;
        let direct = self.latency_runs.iter().any(is_direct).then_some(Kind::Direct);
        self.kinds.iter().copied().chain(direct)
    }

    fn best_yardstick(&self) -> Option<Yardstick> {
        let runs = self.runs.iter().flat_map(|run| run.peace.yardsticks);
        let latency_runs = self.latency_runs.iter().flat_map(|run| run.peace.yardsticks);
        runs.chain(latency_runs).reduce(Yardstick::best)
    }

    /// A proxy's runs that count.
    fn counting(&self, kind: Kind) -> impl Iterator<Item = &Run> {
        let counts = move |run: &&Run| {
            run.kind == kind && self.fault(&run.wrong_answers, run.peace).is_none()
        };
        self.runs.iter().filter(counts)
    }

    /// Requests per second of the proxy that saturates first; `None` when some proxy has no run.
    pub(super) fn slowest_throughput(&self) -> Option<f64> {
        // Half of it will be borne whether or not a neighbour disturbed.
        let any = |kind: Kind| self.runs.iter().filter(move |run| run.kind == kind);
        let throughput = |kind: &Kind| {
            let counting = median(self.counting(*kind).map(Run::throughput));
            counting.or_else(|| median(any(*kind).map(Run::throughput)))
        };
        let all: Option<Vec<f64>> = self.kinds.iter().map(throughput).collect();
        all?.into_iter().min_by(f64::total_cmp)
    }

    /// The median of the ratios within each round: what drifts from round to round divides out.
    fn ratio_to_nginx(&self, kind: Kind) -> Option<f64> {
        let plain: BTreeMap<u32, f64> =
            self.counting(Kind::Nginx).map(|run| (run.round, run.total())).collect();
        median(self.counting(kind).filter_map(|run| Some(run.total() / plain.get(&run.round)?)))
    }

    /// What limits and metering add to a request, in microseconds of CPU: the medians of the differences within each round, at
    /// saturation and at the fixed rate. What is done once a second is shared by as many requests only at one rate.
    fn added_by_limits(&self) -> (Option<f64>, Option<f64>) {
        let (plain, limited) = (Kind::Keyward, Kind::KeywardLimits);
        let saturated = differences(
            self.counting(plain).map(|run| (run.round, run.total())),
            self.counting(limited).map(|run| (run.round, run.total())),
        );
        let paced = differences(
            self.counting_latency(plain).filter_map(|run| Some((run.round, run.cpu_micros?))),
            self.counting_latency(limited).filter_map(|run| Some((run.round, run.cpu_micros?))),
        );
        (saturated, paced)
    }

    fn counting_latency(&self, kind: Kind) -> impl Iterator<Item = &LatencyRun> {
        let counts = move |run: &&LatencyRun| {
            run.kind == kind && self.fault(&run.wrong_answers, run.peace).is_none()
        };
        self.latency_runs.iter().filter(counts)
    }

    fn latencies(&self, kind: Kind) -> BTreeMap<&'static str, f64> {
        let runs: Vec<_> = self.counting_latency(kind).collect();
        let of = |index: usize| {
            median(runs.iter().filter_map(|run| run.percentiles.get(index).copied()))
        };
        let named = PERCENTILES.iter().enumerate();
        named.filter_map(|(index, (name, _))| Some((*name, of(index)?))).collect()
    }

    fn summary(&self, kind: Kind) -> Summary {
        let over = |figure: fn(&Run) -> f64| median(self.counting(kind).map(figure));
        let memory = self.memory.iter().find(|(of, _)| *of == kind);
        let (throughput, bytes) = (over(Run::throughput), self.scenario.traffic.bytes());
        Summary {
            kind,
            name: kind.name(),
            runs: self.runs.iter().filter(|run| run.kind == kind).count(),
            runs_that_count: self.counting(kind).count(),
            cpu_micros: over(Run::total),
            user_micros: over(|run| run.micros_per_unit(run.cpu.user)),
            kernel_micros: over(|run| run.micros_per_unit(run.cpu.kernel)),
            ratio_to_nginx: self.ratio_to_nginx(kind),
            units_per_second: throughput,
            megabytes_per_second: bytes
                .zip(throughput)
                .map(|(bytes, rate)| bytes as f64 * rate / 1e6),
            busy: over(Run::busy),
            afterwards_millis: over(|run| run.afterwards * 1e3),
            paced_cpu_micros: median(self.counting_latency(kind).filter_map(|run| run.cpu_micros)),
            latency_micros: self.latencies(kind),
            memory_kib: memory.map(|(_, memory)| *memory),
        }
    }

    /// What one must know to trust or to doubt the table.
    fn notes(&self) -> Vec<String> {
        let runs = self.runs.iter().filter_map(|run| {
            let doubt = self.fault(&run.wrong_answers, run.peace).or_else(|| run.doubt())?;
            Some((run.kind.name(), "round", doubt, run.round))
        });
        let latency_runs = self.latency_runs.iter().filter_map(|run| {
            let doubt = self.fault(&run.wrong_answers, run.peace).or_else(|| run.doubt())?;
            Some((run.kind.name(), "latency round", doubt, run.round))
        });
        let mut rounds: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (name, phase, doubt, round) in runs.chain(latency_runs) {
            rounds.entry((name, phase, doubt)).or_default().push(round.to_string());
        }
        let note = |((name, phase, doubt), rounds): ((&str, &str, String), Vec<String>)| {
            format!("{name}, {phase} {}: {doubt}", rounds.join(", "))
        };
        rounds.into_iter().map(note).collect()
    }

    /// Why a run does not count.
    fn fault(&self, wrong_answers: &BTreeMap<u16, u64>, peace: Peace) -> Option<String> {
        if !wrong_answers.is_empty() {
            return Some(format!("FAILED, answers by status: {wrong_answers:?}"));
        }
        let is_disturbed = peace.is_disturbed(self.best_yardstick()?);
        is_disturbed.then(|| "dropped, a neighbour was running".to_owned())
    }

    pub(super) fn json(&self) -> Value {
        let summaries: Vec<_> = self.rows().map(|kind| self.summary(kind)).collect();
        json!({
            "scenario": self.scenario,
            "proxies": summaries,
            "latency_rate": self.latency_rate,
            "notes": self.notes(),
            "runs": self.runs,
            "latency_runs": self.latency_runs,
        })
    }

    pub(super) fn fewest_runs_that_count(&self) -> usize {
        self.kinds.iter().map(|kind| self.counting(*kind).count()).min().unwrap_or(0)
    }

    pub(super) fn fewest_latency_runs_that_count(&self) -> usize {
        self.kinds.iter().map(|kind| self.counting_latency(*kind).count()).min().unwrap_or(0)
    }

    /// An error, after the table has been shown, when some proxy refused or was never measured in
    /// peace.
    pub(super) fn verdict(&self) -> Result<()> {
        let runs = self.runs.iter().map(|run| &run.wrong_answers);
        let all = runs.chain(self.latency_runs.iter().map(|run| &run.wrong_answers));
        let failed = all.filter(|wrong| !wrong.is_empty()).count();
        if failed > 0 {
            bail!("{failed} runs had answers other than 200: the notes say whose");
        }
        if self.fewest_runs_that_count() == 0 {
            bail!("no run of some proxy counts: measure again when the machine is quiet");
        }
        Ok(())
    }
}

/// A table of figures, each line's name in the first column.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.scenario.traffic.unit();
        let per_second = format!("{unit}s/s");
        writeln!(f, "{}\n", self.scenario)?;
        let mut table = table(&[
            "proxy",
            "runs",
            "µs CPU",
            "user",
            "kernel",
            "× nginx",
            &per_second,
            "MB/s",
            "busy %",
            "ms later",
            "paced µs CPU",
            "p50 µs",
            "p90",
            "p99",
            "p99.9",
            "RSS MiB",
        ]);
        for kind in self.rows() {
            table.add_row(self.summary(kind).cells());
        }
        writeln!(f, "{table}\n")?;
        writeln!(f, "CPU is per {unit} and {READING}")?;
        let told = |micros: Option<f64>| {
            micros.map_or_else(|| "–".to_owned(), |micros| format!("{micros:.2} µs"))
        };
        if let (saturated, paced @ Some(_)) | (saturated @ Some(_), paced) = self.added_by_limits()
        {
            let (saturated, paced) = (told(saturated), told(paced));
            writeln!(
                f,
                "Limits and metering add {saturated} at saturation, {paced} at the fixed rate."
            )?;
        }
        let [of_requests, of_events] = FROM;
        let from = if unit == "event" { of_events } else { of_requests };
        if let Some(rate) = self.latency_rate {
            writeln!(
                f,
                "Latency and paced CPU are at a fixed {rate:.0} {unit}s/s. {from}\n{READING_LATENCY}"
            )?;
        }
        for note in self.notes() {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

impl Summary {
    fn cells(&self) -> Vec<String> {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
        };
        let mut cells = vec![
            self.name.to_owned(),
            format!("{}/{}", self.runs_that_count, self.runs),
            number(self.cpu_micros, 2),
            number(self.user_micros, 2),
            number(self.kernel_micros, 2),
            number(self.ratio_to_nginx, 2),
            number(self.units_per_second, 0),
            number(self.megabytes_per_second, 0),
            number(self.busy.map(|busy| busy * 100.0), 0),
            number(self.afterwards_millis, 0),
        ];
        cells.push(number(self.paced_cpu_micros, 2));
        let latency = |name: &str| number(self.latency_micros.get(name).copied(), 0);
        cells.extend(PERCENTILES.iter().map(|(name, _)| latency(name)));
        cells.push(number(self.memory_kib.map(|memory| memory.resident as f64 / 1024.0), 1));
        cells
    }
}

/// The median of what the second has more than the first in the rounds that both have.
fn differences(
    first: impl Iterator<Item = (u32, f64)>,
    second: impl Iterator<Item = (u32, f64)>,
) -> Option<f64> {
    let first: BTreeMap<u32, f64> = first.collect();
    median(second.filter_map(|(round, more)| Some(more - first.get(&round)?)))
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// The smallest value that at least `share` of the sorted values do not exceed; 0 of none.
fn percentile(sorted: &[u32], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().map_or(0.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: Kind, round: u32, cpu: f64) -> Run {
        Run {
            kind,
            round,
            units: 1_000_000,
            wrong_answers: BTreeMap::new(),
            seconds: 10.0,
            cpu: CpuSpan { user: cpu / 2.0, kernel: cpu / 2.0 },
            afterwards: 0.0,
            peace: Peace::of(0.020),
        }
    }

    fn report(runs: Vec<Run>) -> Report {
        Report { runs, ..Report::new(Scenario::USUAL, vec![Kind::Keyward, Kind::Nginx]) }
    }

    #[test]
    fn medians_and_percentiles_are_the_usual_ones() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([1.0, 2.0].into_iter()), Some(1.5));
        assert_eq!(median(std::iter::empty()), None);
        let sorted: Vec<u32> = (1..=1000).collect();
        assert_eq!(PERCENTILES.map(|(_, p)| percentile(&sorted, p)), [500.0, 900.0, 990.0, 999.0]);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let runs = [(1, 10.0, 8.0), (2, 20.0, 16.0), (3, 5.0, 4.0)].into_iter();
        let runs = runs.flat_map(|(round, nginx, keyward)| {
            [run(Kind::Nginx, round, nginx), run(Kind::Keyward, round, keyward)]
        });
        assert_eq!(report(runs.collect()).ratio_to_nginx(Kind::Keyward), Some(0.8));
    }

    #[test]
    fn what_limits_add_is_taken_within_a_round() {
        let runs = [(1, 10.0, 12.0), (2, 20.0, 21.0), (3, 5.0, 8.5)].into_iter();
        let runs = runs.flat_map(|(round, plain, limited)| {
            [run(Kind::Keyward, round, plain), run(Kind::KeywardLimits, round, limited)]
        });
        assert_eq!(report(runs.collect()).added_by_limits(), (Some(2.0), None));
    }

    #[test]
    fn a_disturbed_run_does_not_count() {
        let mut disturbed = run(Kind::Nginx, 1, 90.0);
        disturbed.peace = Peace::of(0.026);
        let report = report(vec![disturbed, run(Kind::Nginx, 2, 10.0)]);
        assert_eq!(report.summary(Kind::Nginx).cpu_micros, Some(10.0));
        assert!(report.notes()[0].contains("neighbour"));
    }

    #[test]
    fn a_run_with_a_refusal_fails_and_does_not_count() {
        let mut refused = run(Kind::Keyward, 1, 1.0);
        refused.wrong_answers.insert(401, 3);
        let report = report(vec![refused]);
        assert_eq!(report.summary(Kind::Keyward).cpu_micros, None);
        assert!(report.verdict().is_err());
    }

    #[test]
    fn a_proxy_that_was_not_busy_is_named() {
        assert!(report(vec![run(Kind::Nginx, 1, 9.0)]).notes()[0].contains("generator"));
        assert!(report(vec![run(Kind::Nginx, 1, 9.9)]).notes().is_empty());
    }
}
