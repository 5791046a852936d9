//! `cargo xtask bench proxy`: Keyward beside other proxies, in front of the same upstream, with the
//! same keys, in one shape of traffic or in all of them. How it measures is MEASURING.md's law: a
//! namespace of our own, the proxy pinned to one core and the load to the other, interleaved rounds,
//! CPU per request as the figure, a yardstick around every run.

use std::fmt::Display;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
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
use crate::{release, workspace};

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
    /// Measure what so many connections cost on which nothing happens, instead of requests
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    idle: Option<u32>,
    /// Every shape of traffic, 1, 64 and 4,096 connections, and 10,000 idle ones: one table each
    #[arg(long, conflicts_with_all = ["traffic", "connections", "idle"])]
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
    /// Measure Keyward as `cargo build --release` makes it; what `cargo xtask release` ships takes
    /// some minutes more to build, and less CPU
    #[arg(long)]
    unprofiled: bool,
    /// Keyward's program: set by the bench itself once everything is built for release
    #[arg(long, hide = true)]
    built: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let Some(keyward) = &options.built else {
        return build_and_become_release(options);
    };
    // It may come from the internet, of which the namespace knows nothing.
    let effort = options.effort(keyward);
    let interrupt = alone()?;
    let mut figures = Vec::new();
    let mut failed = 0;
    for scenario in options.scenarios() {
        eprintln!("{scenario}");
        let measured = measure(scenario, &effort, &interrupt, |table, json| {
            if options.json {
                figures.push(json);
            } else {
                println!("{table}");
            }
        });
        interrupt.check()?;
        if let Err(error) = measured {
            // It does not keep the others from being measured.
            eprintln!("error: {scenario}: {error:#}");
            failed += 1;
        }
    }
    if options.json {
        let figures = if options.all { Value::from(figures) } else { figures.pop().into() };
        println!("{}", serde_json::to_string_pretty(&figures)?);
    }
    if failed > 0 {
        bail!("{failed} of {} failed", options.scenarios().len());
    }
    Ok(())
}

/// In a network of our own, on the core that the load comes from.
pub(super) fn alone() -> Result<Interrupt> {
    cpu::need_two_cores()?;
    namespace::enter()?;
    let interrupt = Interrupt::listen()?;
    allow_many_files()?;
    cpu::pin(LOAD_CORE)?;
    Ok(interrupt)
}

/// Measures, has the figures shown, and says what is wrong with them.
fn measure(
    scenario: Scenario,
    effort: &Effort,
    interrupt: &Interrupt,
    show: impl FnOnce(&dyn Display, Value),
) -> Result<()> {
    let stage = Stage::start(scenario, effort, interrupt)?;
    if scenario.idle > 0 {
        let report = stage.measure_idle()?;
        show(&report, report.json());
        return Ok(());
    }
    let report = stage.measure()?;
    show(&report, report.json());
    report.verdict()
}

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        let is_wanted = |kind: &Kind| self.only.is_empty() || self.only.contains(kind);
        Kind::value_variants().iter().copied().filter(is_wanted).collect()
    }

    fn effort(&self, keyward: &Path) -> Effort {
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
            keyward: keyward.into(),
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
            let idle = self.idle.unwrap_or(0) as usize;
            return vec![Scenario { traffic, connections, idle }];
        }
        let plain = [1, 64, 4096].map(|connections| Scenario { connections, ..Scenario::USUAL });
        let others = Traffic::value_variants().iter().filter(|other| **other != Traffic::Plain);
        let others = others.map(|traffic| Scenario { traffic: *traffic, ..Scenario::USUAL });
        let idle = [Traffic::Plain, Traffic::Tls];
        let idle = idle.map(|traffic| Scenario { traffic, idle: 10_000, ..Scenario::USUAL });
        plain.into_iter().chain(others).chain(idle).collect()
    }
}

/// `cargo xtask` runs us unoptimised, and a slow generator measures itself. So both are built for
/// release, and the release build of this very command goes on, with the same arguments.
fn build_and_become_release(options: &Options) -> Result<()> {
    let root = workspace::root()?;
    let built = workspace::target(&root)?.join("release");
    let of_release = |package| ["build", "--release", "--package", package];
    workspace::run(workspace::cargo(&root).args(of_release("xtask")))?;
    let is_wanted = options.kinds().iter().any(|kind| kind.is_keyward());
    let keyward = match options.unprofiled {
        false if is_wanted => release::build(&root)?,
        true if is_wanted => {
            workspace::run(workspace::cargo(&root).args(of_release("keyward")))?;
            built.join("keyward")
        }
        _ => built.join("keyward"),
    };
    let mut again = Command::new(built.join("xtask"));
    again.args(std::env::args_os().skip(1)).arg("--built").arg(keyward);
    Err(again.exec()).context("the release build of xtask cannot be started")
}

fn allow_many_files() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("more open files are not allowed")
}
