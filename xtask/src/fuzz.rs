//! `cargo xtask fuzz`: the properties of `fuzz/` under libFuzzer, one after the other.
//!
//! What it finds worth keeping goes into `fuzz/found`, which git ignores: the seeds that are committed stay few and readable.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// One of `fuzz/fuzz_targets`; all of them where none is named
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
}

/// Bytes of an input at most: some more than the limits that the properties run with.
const MOST_BYTES: u32 = 8192;

pub(crate) fn run(options: &Options) -> Result<()> {
    let root = workspace::root()?;
    let known = targets(&root)?;
    let chosen = match &options.target {
        Some(target) => {
            ensure!(known.contains(target), "no target `{target}`: there are {}", known.join(", "));
            std::slice::from_ref(target)
        }
        None => &known[..],
    };
    if !is_installed(&root) {
        bail!(
            "fuzzing needs a nightly toolchain and cargo-fuzz: `rustup toolchain install nightly \
             --profile minimal && cargo install cargo-fuzz --locked`"
        );
    }
    for target in chosen {
        println!("\n── {target}, {} min", options.minutes);
        let found = Path::new("fuzz/found").join(target);
        std::fs::create_dir_all(root.join(&found))
            .with_context(|| format!("{} cannot be made", found.display()))?;
        // Without the address sanitizer: there is no unsafe code of ours to watch, and it halves the speed.
        let mut fuzz = cargo_fuzz(&root);
        fuzz.args(["run", "--sanitizer", "none", target]).arg(&found);
        fuzz.arg(format!("fuzz/corpus/{target}")).args(["--", "-dict=fuzz/words.dict"]);
        fuzz.arg(format!("-max_len={MOST_BYTES}"));
        fuzz.arg(format!("-max_total_time={}", u64::from(options.minutes) * 60));
        workspace::run(&mut fuzz)?;
    }
    Ok(())
}

/// The targets' names, in order.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.context("a target cannot be read")?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn cargo_fuzz(root: &Path) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz"]).current_dir(root);
    command
}

fn is_installed(root: &Path) -> bool {
    let mut version = cargo_fuzz(root);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_program_and_seeds() {
        let root = workspace::root().unwrap();
        let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let programs = manifest.get("bin").and_then(toml::Value::as_array).unwrap();
        let mut names: Vec<_> =
            programs.iter().filter_map(|program| program.get("name")?.as_str()).collect();
        names.sort_unstable();
        assert_eq!(targets(&root).unwrap(), names);
        for name in names {
            let seeds = root.join("fuzz/corpus").join(name);
            assert!(seeds.read_dir().is_ok_and(|mut seeds| seeds.next().is_some()), "{name}");
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_answered_with_those_that_are() {
        let options = Options { target: Some("nothing".to_owned()), minutes: 1 };
        let error = run(&options).unwrap_err().to_string();
        assert!(error.contains("`nothing`") && error.contains("request_head"), "{error}");
    }
}
