//! `cargo xtask bench limits`: what limits cost without any network, in time and in memory, and how long a start takes to take over what
//! they had counted. The measuring is an example of the control plane, which knows both the counters and the store.

use anyhow::Result;

use crate::workspace;

pub(super) fn run() -> Result<()> {
    let root = workspace::root()?;
    let mut command = workspace::cargo(&root);
    command.args(["run", "--release", "--package", "keyward-control", "--example", "limits_bench"]);
    workspace::run(&mut command)
}
