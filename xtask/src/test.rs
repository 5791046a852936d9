//! `cargo xtask test`: the whole of what CI runs, in the order in which a fault is cheapest to
//! find. It stops at the first failure and always says where the time went, because a suite that
//! people wait for is a suite they skip.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{provision, tidy, workspace};

/// Tells the tests where the Python environment is that `xtask/requirements.txt` describes.
const VENV: &str = "KEYWARD_VENV";

pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let mut steps = Steps::default();
    let outcome = all(&root, &mut steps);
    steps.print();
    outcome
}

fn all(root: &Path, steps: &mut Steps) -> Result<()> {
    let venv = workspace::target(root)?.join("venv");
    steps.run("install what is lacking", || {
        provision::packages()?;
        provision::python(&root.join("xtask/requirements.txt"), &venv)
    })?;
    steps.cargo(root, "fmt --all --check")?;
    steps.run("cargo xtask tidy", tidy::run)?;
    steps.cargo(root, "clippy --workspace --all-targets -- -D warnings")?;
    if has_cargo_deny(root) {
        steps.cargo(root, "deny check bans licenses sources")?;
    } else {
        println!("\ncargo-deny is not installed: bans, licences and sources stay unchecked here");
    }
    steps.cargo(root, "build --workspace --bins")?;
    steps.run("cargo test --workspace", || {
        workspace::run(workspace::cargo(root).args(["test", "--workspace"]).env(VENV, &venv))
    })
}

fn has_cargo_deny(root: &Path) -> bool {
    workspace::cargo(root)
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The steps that have run, failed ones included, with the time each took.
#[derive(Default)]
struct Steps(Vec<(String, Duration, bool)>);

impl Steps {
    fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n── {name}");
        let started = Instant::now();
        let outcome = step();
        self.0.push((name.to_owned(), started.elapsed(), outcome.is_ok()));
        outcome.with_context(|| format!("step `{name}` failed; the steps after it did not run"))
    }

    fn cargo(&mut self, root: &Path, arguments: &str) -> Result<()> {
        self.run(&format!("cargo {arguments}"), || {
            workspace::run(workspace::cargo(root).args(arguments.split_whitespace()))
        })
    }

    fn print(&self) {
        println!();
        for (name, taken, passed) in &self.0 {
            let outcome = if *passed { "passed" } else { "FAILED" };
            println!("{:>8.1} s  {outcome}  {name}", taken.as_secs_f64());
        }
        let total: Duration = self.0.iter().map(|(_, taken, _)| *taken).sum();
        println!("{:>8.1} s  in all", total.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_and_counted() {
        let mut steps = Steps::default();
        let error = steps.run("breaks", || anyhow::bail!("cause")).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "step `breaks` failed; the steps after it did not run: cause"
        );
        assert!(matches!(steps.0.as_slice(), [(name, _, false)] if name == "breaks"));
    }
}
