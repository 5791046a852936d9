//! `cargo xtask bench …`: figures that repeat, and how they are made. Each bench is a module; to add
//! one, give it a module, a variant of [`Bench`], and an arm in [`Bench::run`].
//! What several can use stands beside them: `namespace` (a network of our own), `cpu` (pinning, CPU
//! time, memory), `neighbours` (whether anyone else ran), `server` (a process with a folder and a
//! port, ended with us), `interrupt` (Ctrl-C), `generator`, `upstream` and `peers`. `bench proxy` is
//! in `proxy` (what is asked for), `scenario` (how it is measured), `traffic` and `requests` (what is
//! sent), `report` and `idle` (what is told).

mod chunks;
mod cpu;
mod crash;
mod decide;
mod events;
mod generator;
mod idle;
mod interrupt;
mod limits;
mod management;
mod message;
mod namespace;
mod neighbours;
mod peers;
mod proxy;
mod report;
mod requests;
mod restarts;
mod revocation;
mod scenario;
mod server;
mod slow;
mod socket;
mod tls;
mod traffic;
pub(crate) mod training;
pub(crate) mod upstream;
mod usage;
mod wire;

use std::ffi::OsString;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// CPU per request, latency and memory of Keyward beside nginx, HAProxy and Envoy
    Proxy(proxy::Options),
    /// Nanoseconds per decision and bytes per key
    Decide {
        /// Handed to the core's example `decide_bench` as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Nanoseconds and instructions for reading a request's head
    Wire,
    /// Nanoseconds and bytes for limits, and the time to take over what they had counted
    Limits,
    /// From a revocation to the last accepted request, under load
    Revocation {
        /// Keys to revoke
        #[arg(long, default_value_t = 1000)]
        trials: u32,
    },
    /// Requests that fail while it is restarted under load, its socket handed from process to process
    Restarts {
        /// How often
        #[arg(long, default_value_t = 100)]
        restarts: u32,
    },
    /// The management API's answers where there are many keys
    Management(management::Options),
    /// Whether statistics equal what was sent, and what a kill -9 loses of them
    Usage(usage::Options),
    /// What slow clients cost of memory, and of others' time
    Slow {
        /// Clients at once
        #[arg(long, default_value_t = 10_000)]
        clients: u32,
    },
    /// Changes lost or half done after kill -9
    Crash {
        /// Processes to kill
        #[arg(long, default_value_t = 1000)]
        trials: u32,
    },
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Proxy(options) => proxy::run(&options),
            Self::Decide { arguments } => decide::run(&arguments),
            Self::Wire => wire::run(),
            Self::Limits => limits::run(),
            Self::Revocation { trials } => revocation::run(trials),
            Self::Restarts { restarts } => restarts::run(restarts),
            Self::Management(options) => management::run(&options),
            Self::Usage(options) => usage::run(&options),
            Self::Slow { clients } => slow::run(clients),
            Self::Crash { trials } => crash::run(trials),
        }
    }
}
