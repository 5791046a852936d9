//! The traffic that `cargo xtask release` takes a profile of: every shape that `proxy` measures, to Keyward alone and without a
//! measurement.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum as _;

use super::peers::Kind;
use super::proxy;
use super::requests::Method;
use super::scenario::{Effort, Scenario, Stage};
use super::traffic::Traffic;

/// Of each shape to each configuration: some ten thousand requests, of whatever build this is.
const LENGTH: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Keyward's program, which counts
    keyward: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let effort = Effort {
        kinds: vec![Kind::Keyward, Kind::KeywardLimits],
        keyward: options.keyward.clone(),
        envoy: None,
        method: Method::Post,
        rounds: 1,
        latency_rounds: 0,
        length: LENGTH,
    };
    let interrupt = proxy::alone()?;
    for traffic in Traffic::value_variants() {
        let scenario = Scenario { traffic: *traffic, ..Scenario::USUAL };
        eprintln!("{scenario}");
        Stage::start(scenario, &effort, &interrupt)?.exercise()?;
        interrupt.check()?;
    }
    Ok(())
}
