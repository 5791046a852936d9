//! `cargo xtask bench crash`: the store's crash test with as many trials as it takes to be believed. Each trial kills a process
//! that does changes of every kind with SIGKILL at a random instant, and holds all that was done against all that is there.

use anyhow::Result;

use crate::workspace;

pub(super) fn run(trials: u32) -> Result<()> {
    let root = workspace::root()?;
    let mut command = workspace::cargo(&root);
    command.args(["test", "--package", "keyward-store", "--test", "crash", "--", "--nocapture"]);
    workspace::run(command.env("KEYWARD_CRASH_TRIALS", trials.to_string()))
}
