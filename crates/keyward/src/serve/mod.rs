//! `keyward serve`: the life cycle of a server, from configuration to the last request.

mod files;
mod handed;
pub mod logging;
pub mod running;

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use self::{logging::LogFormat, running::Running};
use crate::{config::Config, output::Output};

/// Two signals to stop that are closer together than this are one.
const ONE_WISH: Duration = Duration::from_millis(500);

/// What `serve` is asked with.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// How logs are written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
}

/// That it is ready, for programs.
#[derive(Serialize)]
struct Ready {
    listening: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    management: Option<String>,
}

/// What the process is asked by signals.
pub struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    /// When it was last asked to stop.
    asked_to_stop: Option<Instant>,
}

/// What it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To read the configuration again.
    Reload,
    /// To end.
    Stop,
}

impl Signals {
    /// From now on, signals do not end the process by themselves.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            asked_to_stop: None,
        })
    }

    /// The next thing that is asked. To stop, asked again within a moment, is the same wish: GNU `timeout` signals the
    /// process and then its group.
    pub async fn next(&mut self) -> Asked {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => return Asked::Reload,
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            if self.asked_to_stop.is_none_or(|before| before.elapsed() >= ONE_WISH) {
                self.asked_to_stop = Some(Instant::now());
                return Asked::Stop;
            }
        }
    }

    /// Until it is asked to end, whatever else it is asked before.
    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}

/// Serves until it is asked to stop.
pub async fn run(file: &Path, output: Output, arguments: &ServeArguments) -> anyhow::Result<()> {
    logging::for_server(arguments.log_format);
    let mut signals = Signals::listen()?;
    let config = Config::load(file)?;
    files::allow(config.gateway.settings.limits.connections);
    let mut running = tokio::select! {
        running = Running::start(config, handed::take()?) => running?,
        // Nothing is served yet, so there is nothing to end.
        () = signals.stop() => return Ok(()),
    };
    announce(&running, output)?;
    if let (Some(token), Some(address)) = (running.take_setup(), running.management()) {
        Output::note(&format!(
            "Nobody runs this Keyward yet. Within an hour, make the first operator with this token, which is shown once:\n\n    \
             {}\n\n    curl {scheme}://{address}/v1/setup --json '{{\"token\":\"…\",\"email\":\"…\",\"name\":\"…\",\"password\":\"…\"}}'",
            token.expose(),
            scheme = running.site().config.management.scheme(),
        ));
    }
    while signals.next().await == Asked::Reload {
        tokio::select! {
            () = reload(&mut running, file) => {}
            () = signals.stop() => break,
        }
    }
    tracing::info!("stopping: no new requests are taken, those in flight may end");
    stop(running, &mut signals).await
}

/// Drains, unless asked to stop once more meanwhile.
pub async fn stop(running: Running, signals: &mut Signals) -> anyhow::Result<()> {
    let stopping = tokio::task::spawn_blocking(move || running.stop());
    tokio::select! {
        stopped = stopping => {
            stopped.context("stopping ended by a panic")?;
            tracing::info!("stopped");
            Ok(())
        }
        () = signals.stop() => {
            tracing::warn!("stopped at once, as asked twice: requests in flight are cut off, and their usage is not recorded");
            // What still drains runs on threads of its own: returning would wait for it.
            std::process::exit(1)
        }
    }
}

fn announce(running: &Running, output: Output) -> anyhow::Result<()> {
    let listeners = &running.site().config.gateway.listeners;
    let listening = running.addresses().iter().zip(listeners).map(|(address, listener)| {
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    });
    let scheme = running.site().config.management.scheme();
    let management = running.management().map(|address| format!("{scheme}://{address}"));
    let ready = Ready { listening: listening.collect(), management };
    output.show(&ready, |ready| match &ready.management {
        Some(management) => {
            format!("Listening on {}; managed at {management}", ready.listening.join(", "))
        }
        None => format!("Listening on {}", ready.listening.join(", ")),
    })
}

async fn reload(running: &mut Running, file: &Path) {
    let reloaded = async { running.reload(Config::load(file)?).await };
    match reloaded.await {
        Ok(needs_restart) => {
            tracing::info!(file = %file.display(), "the configuration was reloaded");
            if !needs_restart.is_empty() {
                tracing::warn!(
                    settings = needs_restart.join(", "),
                    "these settings changed and need a restart: the old ones stay in force until then"
                );
            }
        }
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the configuration is refused, and the old one stays in force"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn two_signals_to_stop_within_a_moment_are_one_wish() {
        let mut signals = Signals::listen().unwrap();
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.next().await, Asked::Stop);
        raise(Signal::SIGTERM).unwrap();
        raise(Signal::SIGHUP).unwrap();
        assert_eq!(signals.next().await, Asked::Reload);
        let more = tokio::time::timeout(Duration::from_millis(20), signals.next());
        assert!(more.await.is_err(), "whichever of the two was looked at first");

        // Had the first been longer ago, it would be another wish.
        signals.asked_to_stop = Instant::now().checked_sub(ONE_WISH);
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.next().await, Asked::Stop);
    }
}
