//! `cargo xtask bench revocation`: how long a revoked key is still accepted by a gateway under load. The measuring is an example of the
//! binary's crate, because it revokes as the command line does; here it only gets its place among the benches.

use anyhow::Result;

use crate::workspace;

pub(super) fn run(trials: u32) -> Result<()> {
    let root = workspace::root()?;
    workspace::run(workspace::cargo(&root).args(["build", "--release", "--package", "keyward"]))?;
    let binary = workspace::target(&root)?.join("release/keyward");
    let mut command = workspace::cargo(&root);
    command.args(["run", "--package", "keyward", "--example", "revocation", "--"]);
    workspace::run(command.arg(binary).arg(trials.to_string()))
}
