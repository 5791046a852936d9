//! A network namespace of our own: its ports collide with nothing, and its TCP does not pace. The
//! default `bbr` paces sends on loopback, which changes every figure (MEASURING.md).
//!
//! It is entered by `unshare`, not made with `ip netns add`: it has no name, so it is gone with its
//! last process, even when that is killed.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use crate::{provision, workspace};

const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Moves this thread, and all threads and processes it starts from now on, into a new network with
/// loopback up and `reno`. Call it before any other thread exists. It needs root: a user namespace
/// would do for the network, but servers that find themselves root in one fail to change their
/// user.
pub(super) fn enter() -> Result<()> {
    match unshare(CloneFlags::CLONE_NEWNET) {
        Err(Errno::EPERM) => bail!("the bench makes its own network namespace: run it as root"),
        outcome => outcome.context("a network namespace cannot be made")?,
    }
    let mut loopback = Command::new(provision::program("ip")?);
    workspace::run(loopback.args(["link", "set", "lo", "up"]))?;
    if let Err(error) = std::fs::write(CONGESTION_CONTROL, "reno") {
        let present = std::fs::read_to_string(CONGESTION_CONTROL).unwrap_or_default();
        let present = present.trim();
        eprintln!(
            "note: reno cannot be set ({error}), so this measures with `{present}`: \
             compare with nothing that was measured elsewhere"
        );
    }
    Ok(())
}
