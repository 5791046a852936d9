//! The project's own commands, run as `cargo xtask <command>`. They stand in Rust beside the code
//! they check, so that a clean clone needs nothing but cargo to test, show, and measure itself.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool for the people who build this: printing is what it is for"
)]

mod bench;
mod demo;
mod fuzz;
mod provision;
mod release;
mod test;
mod tidy;
mod wait;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything that CI runs, after installing what it needs
    Test,
    /// Build the binary and run `keyward demo`
    Demo {
        /// Handed to `keyward demo` as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Build the binary as it is shipped: optimised by a profile of its own traffic
    Release(release::Options),
    /// Check what ARCHITECTURE.md promises about the source
    Tidy,
    /// Run the properties of `fuzz/` under libFuzzer; `test` runs them too, for a minute and without it
    Fuzz(fuzz::Options),
    /// Measure
    Bench {
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// The trivial upstream that `bench proxy` puts behind every proxy
    #[command(hide = true)]
    BenchUpstream(bench::upstream::Options),
    /// The traffic that `release` takes a profile of
    #[command(hide = true)]
    BenchTraining(bench::training::Options),
}

fn main() -> ExitCode {
    let Err(error) = run(Arguments::parse().command) else { return ExitCode::SUCCESS };
    // Not by returning it: that would add a backtrace, which says nothing about a failed step.
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Test => test::run(),
        Command::Demo { arguments } => demo::run(&arguments),
        Command::Release(options) => release::run(&options),
        Command::Tidy => tidy::run(),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Bench { bench } => bench.run(),
        Command::BenchUpstream(options) => bench::upstream::run(&options),
        Command::BenchTraining(options) => bench::training::run(&options),
    }
}
