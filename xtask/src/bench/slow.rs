//! `cargo xtask bench slow`: the test of slow clients with as many as an attacker brings, with the release binary and held to bounds on
//! memory and on what others wait. Load and server share the machine's cores, so the figures err on the slow side.

use anyhow::Result;

use crate::workspace;

pub(super) fn run(clients: u32) -> Result<()> {
    let root = workspace::root()?;
    let mut command = workspace::cargo(&root);
    command.args(["test", "--release", "--package", "keyward", "--test", "process", "slow::"]);
    command.args(["--", "--nocapture"]);
    workspace::run(command.env("KEYWARD_SLOW_CLIENTS", clients.to_string()))
}
