//! `cargo xtask bench proxy`: Keyward beside other proxies, in front of the same upstream, with the
//! same keys, in one shape of traffic or in all of them. How it measures is MEASURING.md's law: a
//! namespace of our own, the proxy pinned to one core and the load to the other, interleaved rounds,
//! CPU per request as the figure, a yardstick around every run.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use super::cpu::{self, LOAD_CORE};
use super::interrupt::Interrupt;
use super::namespace;
use super::peers::{Kind, install_envoy};
use super::requests::Method;
use super::scenario::{Effort, Scenario, Stage};
use super::traffic::Traffic;
use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, in each of which every proxy is measured once; more are added where a neighbour
    /// disturbed [default: 7, with --all 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds per measurement [default: 3, with --all 2]
    #[arg(long)]
    seconds: Option<f64>,
    /// Rounds at a fixed rate, for latency; 0 leaves them out [default: 3, with --all 1]
    #[arg(long)]
    latency_rounds: Option<u32>,
    /// Requests in flight at once, each on a keep-alive connection of its own
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// The shape of what is sent
    #[arg(long, value_enum, default_value_t = Traffic::Plain)]
    traffic: Traffic,
    /// Every shape of traffic, and 1, 64 and 4,096 connections: one table each
    #[arg(long, conflicts_with_all = ["traffic", "connections"])]
    all: bool,
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

pub(super) fn run(options: &Options) -> Result<()> {
    if !options.built {
        return build_and_become_release(options);
    }
    cpu::need_two_cores()?;
    // It may come from the internet, of which the namespace knows nothing.
    let effort = options.effort();
    namespace::enter()?;
    let interrupt = Interrupt::listen()?;
    allow_many_files()?;
    cpu::pin(LOAD_CORE)?;
    let mut verdict = Ok(());
    let mut figures = Vec::new();
    for scenario in options.scenarios() {
        eprintln!("{scenario}");
        let report = Stage::start(scenario, &effort, &interrupt)?.measure()?;
        if options.json {
            figures.push(report.json());
        } else {
            println!("{report}");
        }
        // A scenario that failed does not keep the others from being measured.
        verdict = verdict.and(report.verdict());
    }
    if options.json {
        let figures = if options.all { Value::from(figures) } else { figures.remove(0) };
        println!("{}", serde_json::to_string_pretty(&figures)?);
    }
    verdict
}

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        let is_wanted = |kind: &Kind| self.only.is_empty() || self.only.contains(kind);
        Kind::value_variants().iter().copied().filter(is_wanted).collect()
    }

    fn effort(&self) -> Effort {
        let (mut kinds, mut envoy) = (self.kinds(), None);
        if kinds.contains(&Kind::Envoy) {
            match install_envoy() {
                Ok(program) => envoy = Some(program),
                Err(error) => {
                    eprintln!("note: Envoy is left out: {error:#}");
                    kinds.retain(|kind| *kind != Kind::Envoy);
                }
            }
        }
        let or = |usual, of_all| if self.all { of_all } else { usual };
        Effort {
            kinds,
            envoy,
            method: self.method,
            rounds: self.rounds.unwrap_or(or(7, 3)),
            latency_rounds: self.latency_rounds.unwrap_or(or(3, 1)),
            length: Duration::from_secs_f64(self.seconds.unwrap_or(if self.all {
                2.0
            } else {
                3.0
            })),
        }
    }

    fn scenarios(&self) -> Vec<Scenario> {
        let (traffic, connections) = (self.traffic, self.connections as usize);
        if !self.all {
            return vec![Scenario { traffic, connections }];
        }
        let plain = [1, 64, 4096].map(|connections| Scenario { connections, ..Scenario::USUAL });
        let others = Traffic::value_variants().iter().filter(|other| **other != Traffic::Plain);
        let others = others.map(|traffic| Scenario { traffic: *traffic, ..Scenario::USUAL });
        plain.into_iter().chain(others).collect()
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
