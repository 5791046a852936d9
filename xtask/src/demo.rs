//! `cargo xtask demo`: the way from a clean clone to a running demo. It installs nothing; it only
//! builds, and then becomes the demo, so that Ctrl-C and the exit code are the demo's own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::workspace;

/// Replaces this process; returns only when that fails.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let root = workspace::root()?;
    let mut command = workspace::cargo(&root);
    // Not built for release: a demo shows what Keyward does, and whoever starts it first waits half as long.
    command.args(["run", "--package", "keyward", "--", "demo"]).args(arguments);
    // The demo's files belong where the caller stands, not in the root.
    command.current_dir(std::env::current_dir().context("the current folder cannot be read")?);
    Err(command.exec()).context("cargo cannot be started")
}
