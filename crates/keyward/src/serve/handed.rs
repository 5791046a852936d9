//! Listening sockets that whoever started this process hands over, as systemd does it (sd_listen_fds(3)): `LISTEN_FDS` says how many there
//! are, from descriptor 3 on, and `LISTEN_PID` for whom.
//!
//! The holder keeps them open between two processes. So a restart refuses nobody: who connects meanwhile waits in the kernel's queue.

use anyhow::Context as _;
use keyward_gateway::Handed;
use listenfd::ListenFd;

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
