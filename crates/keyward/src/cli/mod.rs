//! The command line: what can be asked for, a file a subject.
//!
//! `--json` makes every answer one JSON value a line; exit code 0 says it was done, 1 that it failed, 2 that it was asked
//! for wrongly. A plaintext key is never taken from an argument: the arguments of a process are seen by every user
//! of the machine, and by the shell's history.

mod audit;
mod backup;
mod check;
mod explain;
mod keys;
mod models;
mod orgs;
mod profiles;
mod routes;
mod secret_input;
mod transfer;
mod upstreams;
mod values;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
pub(crate) use audit::Broken as AuditBroken;
use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    config,
    demo::{self, DemoArguments},
    output::{Closed, Output},
    serve::{self, ServeArguments, logging},
};

/// API keys for AI APIs: issue, check, limit, meter and revoke them.
#[derive(Debug, Parser)]
#[command(name = "keyward", version, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    /// The configuration
    #[arg(
        long,
        global = true,
        env = "KEYWARD_CONFIG",
        default_value = config::FILE,
        value_name = "FILE"
    )]
    config: PathBuf,
    /// Answer in JSON, one value a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(ServeArguments),
    /// Show every built-in profile at work, with nothing configured
    Demo(DemoArguments),
    /// Make, list, show, rotate and end keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Make, list, show, suspend and resume organizations
    #[command(subcommand)]
    Orgs(orgs::Orgs),
    /// Assign model ids, and say which models an organization may use
    #[command(subcommand)]
    Models(models::Models),
    /// List upstreams, and set the credentials they are called with
    #[command(subcommand)]
    Upstreams(upstreams::Upstreams),
    /// Check and list profiles
    #[command(subcommand)]
    Profiles(profiles::Profiles),
    /// Check the configuration
    #[command(subcommand)]
    Config(check::ConfigCommand),
    /// Tell step by step whether a request would be refused, and how
    Explain(Box<explain::Explain>),
    /// List the routes of the APIs: methods, paths, permissions, bindings
    Routes(routes::Routes),
    /// Show who did what to what, newest first, and check that the log of it was not tampered with
    Audit(audit::Audit),
    /// Write a copy of the database, while a server runs or not
    Backup(backup::Backup),
    /// Put a backup in the place of the database, while no server runs
    Restore(backup::Restore),
    /// Print a script that completes commands in a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Does what the process was asked for.
pub fn run() -> ExitCode {
    let Arguments { config, json, command } = Arguments::parse();
    let output = Output { json };
    match dispatch(&config, output, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(config: &Path, output: Output, command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime can be started")?;
    runtime.block_on(async {
        match command {
            Command::Serve(arguments) => return serve::run(config, output, &arguments).await,
            Command::Demo(arguments) => return demo::run(output, &arguments).await,
            _ => logging::for_commands(),
        }
        match command {
            Command::Keys(command) => command.run(config, output).await,
            Command::Orgs(command) => command.run(config, output).await,
            Command::Models(command) => command.run(config, output).await,
            Command::Upstreams(command) => command.run(config, output).await,
            Command::Profiles(command) => command.run(config, output),
            Command::Config(command) => command.run(config, output),
            Command::Explain(command) => command.run(config, output).await,
            Command::Routes(command) => command.run(config, output),
            Command::Audit(command) => command.run(config, output).await,
            Command::Backup(command) => command.run(config, output).await,
            Command::Restore(command) => command.run(config, output),
            Command::Completions { shell } => completions(shell),
            Command::Serve(_) | Command::Demo(_) => Ok(()),
        }
    })
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "keyward", &mut script);
    Output::line(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
