//! `cargo xtask bench wire`: what reading a head costs, in nanoseconds and in instructions. The reading is an example of the gateway;
//! instructions are counted by callgrind, as the difference between two runs of it, so that what a process costs by itself is not in them.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

const CASES: [&str; 3] = ["curl", "sdk", "browser"];
/// Heads that are read in the longer run, beyond those of the shorter.
const COUNTED: u64 = 1000;

pub(super) fn run() -> Result<()> {
    let root = workspace::root()?;
    let mut build = workspace::cargo(&root);
    build.args(["build", "--release", "--package", "keyward-gateway", "--example", "wire_bench"]);
    workspace::run(&mut build)?;
    let example = workspace::target(&root)?.join("release/examples/wire_bench");
    workspace::run(&mut Command::new(&example))?;
    println!("\n{:<8} {:>13}", "head", "instructions");
    for case in CASES {
        let few = instructions(&example, case, COUNTED)?;
        let many = instructions(&example, case, 2 * COUNTED)?;
        println!("{case:<8} {:>13}", many.saturating_sub(few) / COUNTED);
    }
    Ok(())
}

/// What callgrind counts of a run that reads so many heads.
fn instructions(example: &Path, case: &str, count: u64) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(example);
    command.arg(case).arg(count.to_string());
    let output = command.output().context("install `valgrind` to count instructions")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("`{}` failed:\n{said}", workspace::shown(&command));
    }
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.context("callgrind says nothing of instructions")?;
    count.trim().parse().context("callgrind's count is no number")
}
