//! `cargo xtask bench proxy`: Keyward beside nginx and HAProxy, in front of the same upstream, with
//! the same keys. How it measures is MEASURING.md's law: a namespace of our own, the proxy pinned
//! to one core and the load to the other, interleaved rounds, CPU per request as the figure, a
//! yardstick around every run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::cpu::{self, CpuTime, LOAD_CORE, Memory};
use super::generator::Generator;
use super::interrupt::Interrupt;
use super::namespace;
use super::neighbours::Watch;
use super::peers::{Kind, Peer, Setting, prepare_keyward, prepare_limited};
use super::report::{LatencyRun, Report, Run};
use super::server::{self, Server};
use crate::workspace;

const KEYS: usize = 10_000;
const WARM_UP: Duration = Duration::from_millis(500);
/// Where a neighbour disturbs, rounds are added until as many count as were asked for, up to this
/// many times as many.
const MOST_ROUNDS: u32 = 2;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every proxy is measured once; more are added where a neighbour
    /// disturbed
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds per measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Keep-alive connections, with one request in flight on each
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Rounds at a fixed rate, for latency; 0 leaves them out
    #[arg(long, default_value_t = 3)]
    latency_rounds: u32,
    /// Measure these alone
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// What is sent
    #[arg(long, value_enum, default_value_t = Method::Post)]
    method: Method,
    /// Write the figures, and those of every single run, as JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Set by the bench itself once everything is built for release
    #[arg(long, hide = true)]
    built: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Method {
    Get,
    /// With about 100 bytes of JSON
    Post,
}

pub(super) fn run(options: &Options) -> Result<()> {
    if !options.built {
        return build_and_become_release(options);
    }
    cpu::need_two_cores()?;
    namespace::enter()?;
    let interrupt = Interrupt::listen()?;
    allow_many_files()?;
    cpu::pin(LOAD_CORE)?;
    let report = Bench::start(options, &interrupt)?.measure()?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report.json())?);
    } else {
        println!("{report}");
    }
    report.verdict()
}

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        let is_wanted = |kind: &Kind| self.only.is_empty() || self.only.contains(kind);
        Kind::value_variants().iter().copied().filter(is_wanted).collect()
    }

    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// `cargo xtask` runs us unoptimised, and a slow generator measures itself. So both are built for
/// release, and the release build of this very command goes on, with the same arguments.
fn build_and_become_release(options: &Options) -> Result<()> {
    let root = workspace::root()?;
    let mut build = workspace::cargo(&root);
    build.args(["build", "--release", "--package", "xtask"]);
    if options.kinds().iter().any(|kind| kind.is_keyward()) {
        build.args(["--package", "keyward"]);
    }
    workspace::run(&mut build)?;
    let mut again = Command::new(workspace::target(&root)?.join("release/xtask"));
    again.args(std::env::args_os().skip(1)).arg("--built");
    Err(again.exec()).context("the release build of xtask cannot be started")
}

fn allow_many_files() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("more open files are not allowed")
}

/// Everything that runs while measuring; dropping it ends it.
struct Bench<'a> {
    options: &'a Options,
    interrupt: &'a Interrupt,
    requests: Vec<Vec<u8>>,
    // The proxies are ended before the upstream that they hold connections to.
    peers: Vec<Peer>,
    upstream: Server,
}

impl<'a> Bench<'a> {
    fn start(options: &'a Options, interrupt: &'a Interrupt) -> Result<Self> {
        let (upstream, upstream_address) = start_upstream()?;
        let kinds = options.kinds();
        let (mut prepared, mut limited) = (None, None);
        if kinds.iter().any(|kind| kind.is_keyward()) {
            let binary = std::env::current_exe()?.with_file_name("keyward");
            let made = prepare_keyward(&binary, upstream_address, KEYS)?;
            limited = Some(prepare_limited(&made, upstream_address)?);
            prepared = Some(made);
        }
        // The same keys for all, so that the requests are the same bytes; without Keyward, keys of
        // a like shape.
        let keys = prepared.as_ref().map_or_else(made_up_keys, |prepared| prepared.keys.clone());
        let requests = keys.iter().map(|key| request(options.method, key)).collect();
        let connections = options.connections;
        let setting = Setting { upstream: upstream_address, connections, keys: &keys };
        let mut peers = Vec::new();
        for kind in kinds {
            interrupt.check()?;
            let own = match kind {
                Kind::Keyward => prepared.take(),
                Kind::KeywardLimits => limited.take(),
                _ => None,
            };
            peers.push(Peer::start(kind, &setting, own)?);
        }
        Ok(Self { options, interrupt, requests, peers, upstream })
    }

    fn measure(&self) -> Result<Report> {
        let mut report = Report::new(self.peers.iter().map(|peer| peer.kind).collect());
        let wanted = self.options.rounds;
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

    fn measure_latency(&self, report: &mut Report, rate: f64) -> Result<()> {
        report.latency_rate = Some(rate);
        let wanted = self.options.latency_rounds;
        for round in 1..=wanted * MOST_ROUNDS {
            if round > wanted && report.fewest_latency_runs_that_count() >= wanted as usize {
                break;
            }
            eprintln!("latency round {round} ({wanted} wanted): {rate:.0} requests/s");
            for peer in &self.peers {
                report.latency_runs.push(self.pace(peer, round, rate)?);
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
        let tally = self.explained(peer, generator.saturate(self.options.length()))?;
        let (seconds, cpu_after) = (started.elapsed().as_secs_f64(), CpuTime::of(&processes)?);
        drop(generator);
        let mut wrong_answers = warm_up.others;
        add(&mut wrong_answers, &tally.others);
        Ok(Run {
            kind: peer.kind,
            round,
            answers: tally.answers,
            wrong_answers,
            seconds,
            cpu: cpu_after.since(cpu_before),
            peace: watch.end()?,
        })
    }

    fn pace(&self, peer: &Peer, round: u32, rate: f64) -> Result<LatencyRun> {
        let processes = peer.server.processes()?;
        let watch = self.watch(&processes)?;
        let mut generator = self.connect(peer)?;
        let cpu_before = CpuTime::of(&processes)?;
        let paced = generator.pace(rate, WARM_UP, self.options.length());
        let tally = self.explained(peer, paced)?;
        let cpu = CpuTime::of(&processes)?.since(cpu_before);
        // The warm-up's requests are paid for as well.
        let sent = rate * (WARM_UP + self.options.length()).as_secs_f64();
        let cpu_micros = (cpu.user + cpu.kernel) * 1e6 / sent;
        Ok(LatencyRun::new(peer.kind, round, tally, cpu_micros, watch.end()?))
    }

    fn watch(&self, proxy: &[i32]) -> Result<Watch> {
        let own = i32::try_from(std::process::id()).context("no valid process id")?;
        let mut ours = self.upstream.processes()?;
        ours.push(own);
        ours.extend(proxy);
        Watch::begin(ours)
    }

    fn connect(&self, peer: &Peer) -> Result<Generator<'_>> {
        let connections = self.options.connections;
        let made = Generator::connect(peer.address, connections, &self.requests, self.interrupt);
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

/// Keys of the shape that Keyward mints, the same in every run.
fn made_up_keys() -> Vec<String> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut letter = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ALPHABET.get((state >> 32) as usize % ALPHABET.len()).copied().map_or('0', char::from)
    };
    (0..KEYS).map(|_| format!("kw_{}", (0..49).map(|_| letter()).collect::<String>())).collect()
}

fn request(method: Method, key: &str) -> Vec<u8> {
    const BODY: &str =
        r#"{"model":"bench-model","input":"What is the answer, in a few words?","stream":false}"#;
    let (method, entity, body) = match method {
        Method::Get => ("GET", String::new(), ""),
        Method::Post => {
            let length = BODY.len();
            let entity = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
            ("POST", entity, BODY)
        }
    };
    let head = format!(
        "{method} /v1/generate HTTP/1.1\r\nHost: api.bench.test\r\nAuthorization: Bearer {key}\r\n\
         User-Agent: keyward-bench\r\nAccept: */*\r\n{entity}"
    );
    format!("{head}\r\n{body}").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::message;
    use super::*;

    #[test]
    fn made_up_keys_differ_even_without_regard_to_case() {
        let keys: HashSet<_> = made_up_keys().iter().map(|key| key.to_lowercase()).collect();
        assert_eq!(keys.len(), KEYS);
    }

    #[test]
    fn a_request_is_complete() {
        for (method, has_body) in [(Method::Get, false), (Method::Post, true)] {
            let bytes = request(method, "k");
            let head = message::head(&bytes).unwrap().unwrap();
            assert_eq!(bytes.len(), head.length + head.content_length.unwrap_or(0));
            assert_eq!(head.content_length.is_some(), has_body);
        }
    }
}
