//! Listening sockets that whoever started this process hands over, as systemd does it (sd_listen_fds(3)): `LISTEN_FDS` says how many there
//! are, from descriptor 3 on, and `LISTEN_PID` for whom.
//!
//! The holder keeps them open between two processes. So a restart refuses nobody: who connects meanwhile waits in the kernel's queue.

use anyhow::{Context as _, bail};
use keyward_gateway::Handed;
use listenfd::ListenFd;

use crate::config::Config;

/// Takes what was handed over; nothing where nothing was.
pub(super) fn take() -> anyhow::Result<Handed> {
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(given.len());
    for at in 0..given.len() {
        let socket = given.take_tcp_listener(at).with_context(|| {
            let descriptor = at + 3;
            format!(
                "descriptor {descriptor} was handed over (LISTEN_FDS) and is no listening TCP socket; hand over those of [[listeners]] and \
                 [management] alone"
            )
        })?;
        sockets.extend(socket);
    }
    Ok(Handed::new(sockets))
}

/// Refuses a socket that is nobody's, before anything is bound: an address that is nearly the same would be in use.
pub(super) fn check(handed: &Handed, config: &Config) -> anyhow::Result<()> {
    let listeners = config.gateway.listeners.iter().map(|listener| listener.address);
    let management = config.management.listener().map(|listener| listener.address);
    let addresses: Vec<_> = listeners.chain(management).collect();
    let Some(address) = handed.elsewhere(&addresses) else { return Ok(()) };
    let configured: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    bail!(
        "a socket at {address} was handed over, and nothing is configured to listen there; hand over those at {}",
        configured.join(", ")
    )
}
