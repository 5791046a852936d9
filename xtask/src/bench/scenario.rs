//! One shape of traffic with so many connections, measured: every proxy in turn, in rounds, first at
//! saturation and then at a fixed rate that all of them bear.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::cpu::{CpuTime, LOAD_CORE, Memory};
use super::generator::{Common, Generator, Load, STREAMS, Tally};
use super::idle::{AtRest, Idle, IdleReport};
use super::interrupt::Interrupt;
use super::neighbours::Watch;
use super::peers::{Kind, Peer, Setting, prepare_keyward, prepare_limited};
use super::report::{LatencyRun, Report, Run};
use super::requests::{self, KEYS, Method, made_up_keys};
use super::server::{self, Server};
use super::tls::Tls;
use super::traffic::Traffic;
use crate::wait;

const WARM_UP: Duration = Duration::from_millis(500);
/// Proxies have things to do once requests have ended, like writing down how many there were. One is
/// at rest when it used less than [`AT_REST`] of its core for as long as [`LOOK`], and at the latest
/// after so long.
const MOST_SETTLING: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(500);
const AT_REST: f64 = 0.005;
/// Where a neighbour disturbs, rounds are added until as many count as were asked for, up to this
/// many times as many.
const MOST_ROUNDS: u32 = 2;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Scenario {
    pub(super) traffic: Traffic,
    /// Requests in flight at once.
    pub(super) connections: usize,
    /// Connections on which nothing happens. Where there are some, they are what is measured, and
    /// there is no other traffic meanwhile.
    pub(super) idle: usize,
}

impl Scenario {
    pub(super) const USUAL: Self = Self { traffic: Traffic::Plain, connections: 64, idle: 0 };
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traffic, connections, idle } = self;
        if *idle > 0 {
            return write!(f, "{}; {idle} idle connections", traffic.title());
        }
        write!(f, "{}; {connections} in flight", traffic.title())
    }
}

/// How it is measured.
pub(super) struct Effort {
    pub(super) kinds: Vec<Kind>,
    /// Keyward's program.
    pub(super) keyward: PathBuf,
    /// Envoy's program, where it is among them.
    pub(super) envoy: Option<PathBuf>,
    pub(super) method: Method,
    pub(super) rounds: u32,
    pub(super) latency_rounds: u32,
    /// Of each run.
    pub(super) length: Duration,
}

/// Everything that runs while measuring; dropping it ends it.
pub(super) struct Stage<'a> {
    scenario: Scenario,
    effort: &'a Effort,
    interrupt: &'a Interrupt,
    keys: Vec<String>,
    requests: Vec<Vec<u8>>,
    common: Option<Common>,
    tls: Option<Tls>,
    // The proxies are ended before the upstream that they hold connections to.
    peers: Vec<Peer>,
    upstream: Server,
    upstream_address: SocketAddr,
}

impl<'a> Stage<'a> {
    pub(super) fn start(
        scenario: Scenario,
        effort: &'a Effort,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let (upstream, upstream_address) = start_upstream()?;
        let Scenario { traffic, connections, idle } = scenario;
        let tls = traffic.protocol().map(Tls::new).transpose()?;
        let setting = Setting {
            upstream: upstream_address,
            connections: connections + idle,
            traffic,
            tls: tls.as_ref(),
            envoy: effort.envoy.as_deref(),
            keys: &[],
        };
        let (mut prepared, mut limited) = (None, None);
        if effort.kinds.iter().any(|kind| kind.is_keyward()) {
            let made = prepare_keyward(&effort.keyward, &setting, KEYS)?;
            limited = Some(prepare_limited(&made, &setting)?);
            prepared = Some(made);
        }
        // The same keys for all, so that the requests are the same bytes; without Keyward, keys of
        // a like shape.
        let keys = prepared.as_ref().map_or_else(made_up_keys, |prepared| prepared.keys.clone());
        let setting = Setting { keys: &keys, ..setting };
        let mut peers = Vec::new();
        for kind in &effort.kinds {
            interrupt.check()?;
            let own = match kind {
                Kind::Keyward => prepared.take(),
                Kind::KeywardLimits => limited.take(),
                _ => None,
            };
            peers.push(Peer::start(*kind, &setting, own)?);
        }
        let mut stage = Self {
            scenario,
            effort,
            interrupt,
            keys,
            requests: Vec::new(),
            common: (traffic == Traffic::Http2)
                .then(|| requests::common(traffic.path(), effort.method)),
            tls,
            peers,
            upstream,
            upstream_address,
        };
        stage.requests = stage.requests_to(traffic.path());
        Ok(stage)
    }

    fn requests_to(&self, path: &str) -> Vec<Vec<u8>> {
        let (traffic, method) = (self.scenario.traffic, self.effort.method);
        self.keys.iter().map(|key| requests::request(traffic, path, method, key)).collect()
    }

    pub(super) fn measure(&self) -> Result<Report> {
        let kinds = self.peers.iter().map(|peer| peer.kind).collect();
        let mut report = Report::new(self.scenario, kinds);
        let wanted = self.effort.rounds;
        for round in 1..=wanted * MOST_ROUNDS {
            if round > wanted && report.fewest_runs_that_count() >= wanted as usize {
                break;
            }
            for peer in &self.peers {
                let run = self.saturate(peer, round)?;
                eprintln!("round {round} ({wanted} wanted): {run}");
                report.runs.push(run);
            }
        }
        if let Some(slowest) = report.slowest_throughput() {
            self.measure_latency(&mut report, slowest / 2.0)?;
        }
        for peer in &self.peers {
            report.memory.push((peer.kind, Memory::of(&peer.server.processes()?)?));
        }
        Ok(report)
    }

    /// Sends every proxy the traffic, and measures nothing.
    pub(super) fn exercise(&self) -> Result<()> {
        for peer in &self.peers {
            let mut generator = self.connect(peer)?;
            self.explained(peer, generator.saturate(self.effort.length))?;
        }
        Ok(())
    }

    /// What idle connections cost each proxy. Once, because a proxy that had them before has the
    /// memory for them still.
    pub(super) fn measure_idle(&self) -> Result<IdleReport> {
        let mut proxies = Vec::new();
        for peer in &self.peers {
            let idle = self.explained(peer, self.rest(peer))?;
            proxies.push(idle);
        }
        Ok(IdleReport { scenario: self.scenario, proxies })
    }

    fn rest(&self, peer: &Peer) -> Result<Idle> {
        let processes = peer.server.processes()?;
        // What it needs for traffic at all is no part of what idle connections cost.
        let mut generator = Generator::connect(peer.address, self.load(), self.interrupt)?;
        generator.saturate(WARM_UP)?;
        let without = self.at_rest(&mut generator, &processes)?;
        drop(generator);
        let load = Load { connections: self.scenario.idle, ..self.load() };
        let mut generator = Generator::connect(peer.address, load, self.interrupt)?;
        let tally = generator.send_one_each()?;
        if !tally.others.is_empty() {
            bail!("answers other than 200, by status: {:?}", tally.others);
        }
        let with = self.at_rest(&mut generator, &processes)?;
        Ok(Idle { kind: peer.kind, without, with })
    }

    fn at_rest(&self, generator: &mut Generator<'_>, processes: &[i32]) -> Result<AtRest> {
        self.settle(processes)?;
        let before = CpuTime::of(processes)?;
        generator.rest(self.effort.length)?;
        let cpu = CpuTime::of(processes)?.since(before).total();
        let cpu_micros_per_second = cpu * 1e6 / self.effort.length.as_secs_f64();
        Ok(AtRest { memory: Memory::of(processes)?, cpu_micros_per_second })
    }

    /// Waits until a proxy is at rest, so that it does not disturb the next; the CPU time that it used
    /// until then, in seconds.
    fn settle(&self, processes: &[i32]) -> Result<f64> {
        let started = CpuTime::of(processes)?;
        let (mut looked, mut before) = (Instant::now(), started);
        wait::until(MOST_SETTLING, || {
            self.interrupt.check()?;
            let passed = looked.elapsed();
            if passed < LOOK {
                return Ok(None);
            }
            let now = CpuTime::of(processes)?;
            let busy = now.since(before).total() / passed.as_secs_f64();
            (looked, before) = (Instant::now(), now);
            Ok((busy < AT_REST).then_some(()))
        })?;
        Ok(CpuTime::of(processes)?.since(started).total())
    }

    fn measure_latency(&self, report: &mut Report, rate: f64) -> Result<()> {
        let wanted = self.effort.latency_rounds;
        if wanted == 0 {
            return Ok(());
        }
        report.latency_rate = Some(rate);
        let unit = self.scenario.traffic.unit();
        for round in 1..=wanted * MOST_ROUNDS {
            if round > wanted && report.fewest_latency_runs_that_count() >= wanted as usize {
                break;
            }
            eprintln!("latency round {round} ({wanted} wanted): {rate:.0} {unit}s/s");
            for peer in &self.peers {
                let run = match self.scenario.traffic {
                    Traffic::Events => self.pace_events(Some(peer), round, rate)?,
                    _ => self.pace(peer, round, rate)?,
                };
                report.latency_runs.push(run);
            }
            if self.scenario.traffic == Traffic::Events {
                report.latency_runs.push(self.pace_events(None, round, rate)?);
            }
        }
        Ok(())
    }

    fn saturate(&self, peer: &Peer, round: u32) -> Result<Run> {
        let processes = peer.server.processes()?;
        let watch = self.watch(&processes)?;
        let mut generator = self.connect(peer)?;
        let warm_up = self.explained(peer, generator.saturate(WARM_UP))?;
        let (cpu_before, started) = (CpuTime::of(&processes)?, Instant::now());
        let tally = self.explained(peer, generator.saturate(self.effort.length))?;
        let (seconds, cpu_after) = (started.elapsed().as_secs_f64(), CpuTime::of(&processes)?);
        drop(generator);
        let peace = watch.end()?;
        let mut wrong_answers = warm_up.others;
        add(&mut wrong_answers, &tally.others);
        Ok(Run {
            kind: peer.kind,
            round,
            units: self.units(&tally),
            wrong_answers,
            seconds,
            cpu: cpu_after.since(cpu_before),
            afterwards: self.settle(&processes)?,
            peace,
        })
    }

    /// How many there were of what a figure is for one of.
    fn units(&self, tally: &Tally) -> u64 {
        if self.scenario.traffic == Traffic::Events { tally.events } else { tally.answers }
    }

    fn pace(&self, peer: &Peer, round: u32, rate: f64) -> Result<LatencyRun> {
        let processes = peer.server.processes()?;
        let watch = self.watch(&processes)?;
        let mut generator = self.connect(peer)?;
        let cpu_before = CpuTime::of(&processes)?;
        let paced = generator.pace(rate, WARM_UP, self.effort.length);
        let tally = self.explained(peer, paced)?;
        let cpu = CpuTime::of(&processes)?.since(cpu_before);
        drop(generator);
        let peace = watch.end()?;
        self.settle(&processes)?;
        // The warm-up's requests are paid for as well.
        let sent = rate * (WARM_UP + self.effort.length).as_secs_f64();
        let cpu_micros = cpu.total() * 1e6 / sent;
        Ok(LatencyRun::new(peer.kind, round, tally, Some(cpu_micros), peace))
    }

    /// As many streams as there are connections, on each of which the upstream sends an event at
    /// fixed intervals, together `rate` a second; without a proxy where there is none.
    fn pace_events(&self, peer: Option<&Peer>, round: u32, rate: f64) -> Result<LatencyRun> {
        let processes = peer.map_or(Ok(Vec::new()), |peer| peer.server.processes())?;
        let watch = self.watch(&processes)?;
        let interval = self.scenario.connections as f64 / rate * 1e6;
        let requests = self.requests_to(&format!("{}/{interval:.0}", Traffic::Events.path()));
        let load = Load { requests: &requests, asks: None, ..self.load() };
        let (address, kind) = match peer {
            Some(peer) => (peer.address, peer.kind),
            None => (self.upstream_address, Kind::Direct),
        };
        let paced = || {
            let mut generator = Generator::connect(address, load, self.interrupt)?;
            generator.saturate(WARM_UP)?;
            let cpu_before = CpuTime::of(&processes)?;
            let tally = generator.saturate(self.effort.length)?;
            Ok((CpuTime::of(&processes)?.since(cpu_before), tally))
        };
        let (cpu, tally) = match peer {
            Some(peer) => self.explained(peer, paced())?,
            None => paced()?,
        };
        let cpu_micros = peer.map(|_| cpu.total() * 1e6 / tally.events.max(1) as f64);
        let peace = watch.end()?;
        self.settle(&processes)?;
        Ok(LatencyRun::new(kind, round, tally, cpu_micros, peace))
    }

    fn watch(&self, proxy: &[i32]) -> Result<Watch> {
        let own = i32::try_from(std::process::id()).context("no valid process id")?;
        let mut ours = self.upstream.processes()?;
        ours.push(own);
        ours.extend(proxy);
        Watch::begin(ours)
    }

    fn load(&self) -> Load<'_> {
        let Scenario { traffic, connections, .. } = self.scenario;
        let connections = match traffic {
            Traffic::Http2 => connections.div_ceil(STREAMS),
            _ => connections,
        };
        Load {
            body: requests::body(traffic),
            is_fresh: traffic == Traffic::Fresh,
            asks: (traffic == Traffic::Events).then_some(self.upstream_address),
            tls: self.tls.as_ref().map(|tls| &tls.client),
            http2: self.common.as_ref(),
            ..Load::of(connections, &self.requests)
        }
    }

    fn connect(&self, peer: &Peer) -> Result<Generator<'_>> {
        let made = Generator::connect(peer.address, self.load(), self.interrupt);
        self.explained(peer, made)
    }

    /// Adds to a failure what the proxy had to say; a Ctrl-C is not the proxy's failure.
    fn explained<T>(&self, peer: &Peer, outcome: Result<T>) -> Result<T> {
        self.interrupt.check()?;
        outcome.with_context(|| {
            let (name, wrote) = (peer.kind.name(), peer.server.log_end());
            format!("measuring {name} failed; it last wrote:\n{wrote}")
        })
    }
}

fn add(to: &mut BTreeMap<u16, u64>, more: &BTreeMap<u16, u64>) {
    for (status, count) in more {
        *to.entry(*status).or_default() += count;
    }
}

fn start_upstream() -> Result<(Server, SocketAddr)> {
    let address = server::free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench-upstream", "--address", &address.to_string()]);
    let server = Server::start("upstream", server::folder()?, &mut command, LOAD_CORE, address)?;
    Ok((server, address))
}
