//! The command line: what can be asked for, a file a subject.
//!
//! `--json` makes every answer one JSON value a line; exit code 0 says it was done, 1 that it failed, 2 that it was asked
//! for wrongly. A plaintext key is never taken from an argument: the arguments of a process are seen by every user
//! of the machine, and by the shell's history.
//!
//! A command works on a data folder or asks a server: [`Place`] says which, once for all of them.

mod account;
mod alerts;
mod audit;
mod backup;
mod check;
mod explain;
mod invitations;
mod key_changes;
mod keys;
mod limits;
mod login;
mod members;
mod models;
mod orgs;
mod plans;
mod prices;
mod profiles;
mod requests;
mod routes;
mod secret_input;
mod sessions;
mod transfer;
mod upstreams;
mod usage;
mod values;
mod wanted;
mod webhooks;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
pub(crate) use audit::Broken as AuditBroken;
use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    backend::Place,
    demo::{self, DemoArguments},
    output::{Closed, Output},
    serve::{self, ServeArguments, logging},
};

/// API keys for AI APIs: issue, check, limit, meter and revoke them.
///
/// Commands on keys, organizations and people work on a data folder, or ask a server that you logged in to.
/// With --login they ask that server, with --config they open that configuration's data folder. With neither they ask the server of the
/// login in use (`keyward logins`), and where nobody logged in they take keyward.toml in this folder. With both they do nothing.
#[derive(Debug, Parser)]
#[command(name = "keyward", version, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    /// The configuration [default: keyward.toml]
    #[arg(long, global = true, env = "KEYWARD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask the server of this login; KEYWARD_SERVER and KEYWARD_TOKEN name one without a login
    #[arg(long, global = true, env = "KEYWARD_LOGIN", value_name = "NAME")]
    login: Option<String>,
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
    /// Make, list, show, change, rotate and end keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Ask for keys and claim them; list, show, approve and deny requests
    #[command(subcommand)]
    Requests(requests::Requests),
    /// Make, list, show, change, suspend and resume organizations
    #[command(subcommand)]
    Orgs(orgs::Orgs),
    /// List the members of an organization, change their roles, remove them
    #[command(subcommand)]
    Members(members::Members),
    /// Invite people into an organization, and accept an invitation
    #[command(subcommand)]
    Invitations(invitations::Invitations),
    /// Make, list, change and remove webhooks; see what was sent to them, and send it again
    #[command(subcommand)]
    Webhooks(webhooks::Webhooks),
    /// Make, list and remove alert rules, and see what they raised
    #[command(subcommand)]
    Alerts(alerts::Alerts),
    /// Log in to a server: commands then ask it
    Login(login::LogIn),
    /// Log out of a server
    Logout(login::LogOut),
    /// List logins, or choose the one that is used
    Logins(login::ListLogins),
    /// Show who one is at the server of the login, and where one belongs
    Whoami,
    /// Show oneself, and change one's password
    #[command(subcommand)]
    Account(account::Account),
    /// List where one is logged in, and end a session
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// Assign model ids, and say which models an organization may use
    #[command(subcommand)]
    Models(models::Models),
    /// List, show, set and delete plans: limits that organizations can be on
    #[command(subcommand)]
    Plans(plans::Plans),
    /// List, set and delete what models cost
    #[command(subcommand)]
    Prices(Box<prices::Prices>),
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
    /// Show what was used: requests, tokens, costs and latencies
    Usage(Box<usage::Usage>),
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
    let Arguments { config, login, json, command } = Arguments::parse();
    let output = Output { json };
    match dispatch(&Place { config, login }, output, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(place: &Place, output: Output, command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime can be started")?;
    runtime.block_on(async {
        match command {
            Command::Serve(arguments) => {
                return serve::run(place.config(), output, &arguments).await;
            }
            Command::Demo(arguments) => return demo::run(output, &arguments).await,
            _ => logging::for_commands(),
        }
        match command {
            Command::Keys(command) => command.run(place, output).await,
            Command::Orgs(command) => command.run(place, output).await,
            Command::Members(command) => command.run(place, output).await,
            Command::Invitations(command) => command.run(place, output).await,
            Command::Login(command) => command.run(place, output).await,
            Command::Logout(command) => command.run(place, output).await,
            Command::Logins(command) => command.run(output),
            Command::Whoami => account::show(place, output).await,
            Command::Account(command) => command.run(place, output).await,
            Command::Sessions(command) => command.run(place, output).await,
            Command::Requests(command) => command.run(place, output).await,
            Command::Models(command) => command.run(place, output).await,
            Command::Plans(command) => command.run(place, output).await,
            Command::Prices(command) => command.run(place, output).await,
            Command::Alerts(command) => command.run(place, output).await,
            Command::Webhooks(command) => command.run(place, output).await,
            Command::Upstreams(command) => command.run(place.local()?, output).await,
            Command::Profiles(command) => command.run(place.local()?, output),
            Command::Config(command) => command.run(place.local()?, output),
            Command::Explain(command) => command.run(place.local()?, output).await,
            Command::Routes(command) => command.run(place.local()?, output),
            Command::Usage(command) => command.run(place, output).await,
            Command::Audit(command) => command.run(place, output).await,
            Command::Backup(command) => command.run(place.local()?, output).await,
            Command::Restore(command) => command.run(place.local()?, output),
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
