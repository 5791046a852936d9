//! `cargo xtask bench restarts`: requests that fail while Keyward is restarted under load, its socket handed from process to process. It is
//! the test of the same, with more restarts.

use anyhow::Result;

use crate::workspace;

pub(super) fn run(restarts: u32) -> Result<()> {
    let root = workspace::root()?;
    let mut command = workspace::cargo(&root);
    command.env("KEYWARD_RESTARTS", restarts.to_string());
    command.args(["test", "--quiet", "--package", "keyward", "--test", "process"]);
    workspace::run(command.args(["no_request_fails", "--", "--nocapture"]))
}
