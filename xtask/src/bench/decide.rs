//! `cargo xtask bench decide`: what one decision costs without any network. The measuring itself is
//! an example of the core, because it needs nothing but the core; here it only gets its place among
//! the benches.

use std::ffi::OsString;

use anyhow::Result;

use crate::workspace;

pub(super) fn run(arguments: &[OsString]) -> Result<()> {
    let root = workspace::root()?;
    let mut command = workspace::cargo(&root);
    command.args(["run", "--release", "--package", "keyward-core", "--example", "decide_bench"]);
    workspace::run(command.arg("--").args(arguments))
}
