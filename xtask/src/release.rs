//! `cargo xtask release`: the binary as it is shipped, optimised by a profile of its own traffic.
//!
//! A request's way is long and straight, and much of its cost is fetching instructions: a compiler that knows which of them
//! requests take puts them side by side. That takes a fifth off the CPU time in user space, for three times the minutes. A profile is
//! taken where there is none, and kept: it fits later changes as far as they leave functions as they were. It fits one version of the
//! compiler; so it is not committed, and another version takes its own.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// Take a new profile, though there is one
    #[arg(long)]
    train: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let root = workspace::root()?;
    if options.train {
        Profile::of(&root)?.take(&root)?;
    }
    println!("{}", build(&root)?.display());
    Ok(())
}

/// Builds it, and says where it is.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    let profile = Profile::of(root)?;
    if !profile.is_there() {
        profile.take(root)?;
    }
    let flag = format!("-Cprofile-use={}", profile.merged().display());
    let built = compile(root, &profile, &flag)?;
    let shipped = workspace::target(root)?.join("shipped/keyward");
    put(&built, &shipped)?;
    Ok(shipped)
}

/// What is known of the paths that requests take.
struct Profile {
    folder: PathBuf,
    host: String,
    /// The commit that the compiler is of.
    compiler: String,
}

impl Profile {
    fn of(root: &Path) -> Result<Self> {
        let folder = workspace::target(root)?.join("profile");
        let host = rustc(root, &["--print", "host-tuple"])?;
        let version = rustc(root, &["--version", "--verbose"])?;
        let compiler = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
        let compiler = compiler.context("rustc does not say of which commit it is")?.to_owned();
        Ok(Self { folder, host, compiler })
    }

    fn merged(&self) -> PathBuf {
        self.folder.join(format!("{}.profdata", self.compiler))
    }

    fn raw(&self) -> PathBuf {
        self.folder.join("raw")
    }

    fn is_there(&self) -> bool {
        self.merged().is_file()
    }

    /// Builds a binary that counts, sends it the traffic of the benches, and merges what it counted. Until then the last one stays.
    fn take(&self, root: &Path) -> Result<()> {
        println!("taking a profile first: this is two builds, and takes some minutes more");
        let merge = self.tool(root)?;
        self.clear()?;
        let counts = compile(root, self, &format!("-Cprofile-generate={}", self.raw().display()))?;
        let mut training = Command::new(std::env::current_exe()?);
        workspace::run(training.arg("bench-training").arg(&counts))?;
        let mut command = Command::new(merge);
        command.arg("merge").arg("--output").arg(self.merged()).arg(self.raw());
        workspace::run(&mut command)
    }

    /// Nothing is to be merged that was counted before.
    fn clear(&self) -> Result<()> {
        let raw = self.raw();
        match std::fs::remove_dir_all(&raw) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", raw.display()))
            }
            _ => Ok(()),
        }
    }

    /// LLVM's, of the version that the compiler has.
    fn tool(&self, root: &Path) -> Result<PathBuf> {
        let sysroot = PathBuf::from(rustc(root, &["--print", "sysroot"])?);
        let tool = sysroot.join("lib/rustlib").join(&self.host).join("bin/llvm-profdata");
        if !tool.is_file() {
            let mut install = Command::new("rustup");
            install.args(["component", "add", "llvm-tools"]).current_dir(root);
            workspace::run(&mut install)
                .context("lacking: llvm-profdata. Install it: `rustup component add llvm-tools`")?;
        }
        ensure!(tool.is_file(), "{} is not there", tool.display());
        Ok(tool)
    }
}

/// A release build with this flag, in a folder of its own: one flag more is another build of every dependency.
fn compile(root: &Path, profile: &Profile, flag: &str) -> Result<PathBuf> {
    let folder = profile.folder.join("build");
    let mut build = workspace::cargo(root);
    // With a target named, what runs while building is built without the flag.
    build.args(["build", "--release", "--package", "keyward", "--target", &profile.host]);
    // Not `RUSTFLAGS`, which is cut at spaces: a folder's name may have some.
    build.env("CARGO_ENCODED_RUSTFLAGS", flag).env("CARGO_TARGET_DIR", &folder);
    workspace::run(&mut build)?;
    Ok(folder.join(&profile.host).join("release/keyward"))
}

/// Copies a program to where it is used; one that runs is not written into.
fn put(program: &Path, at: &Path) -> Result<()> {
    let folder = at.parent().context("no folder to put it in")?;
    let beside = at.with_extension("new");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::copy(program, &beside))
        .and_then(|_| std::fs::rename(&beside, at))
        .with_context(|| format!("{} cannot be written", at.display()))
}

fn rustc(root: &Path, asked: &[&str]) -> Result<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(program);
    command.current_dir(root).args(asked);
    let output = command.output().context("rustc cannot be started")?;
    ensure!(output.status.success(), "`{}` failed", workspace::shown(&command));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_profile_is_kept_while_another_is_taken_and_is_of_one_compiler() {
        let target = tempfile::tempdir().unwrap();
        let of = |compiler: &str| Profile {
            folder: target.path().into(),
            host: "some-host".to_owned(),
            compiler: compiler.to_owned(),
        };
        let profile = of("a");
        profile.clear().unwrap();
        fs::create_dir(profile.raw()).unwrap();
        fs::write(profile.raw().join("counts"), "").unwrap();
        assert!(!profile.is_there(), "it was not merged");
        fs::write(profile.merged(), "").unwrap();
        profile.clear().unwrap();
        assert!(profile.is_there() && !profile.raw().exists());
        assert!(!of("b").is_there());
    }

    #[test]
    fn a_program_takes_the_place_of_one_that_is_open() {
        let target = tempfile::tempdir().unwrap();
        let (program, shipped) = (target.path().join("built"), target.path().join("shipped/it"));
        fs::write(&program, "first").unwrap();
        put(&program, &shipped).unwrap();
        let running = fs::File::open(&shipped).unwrap();
        fs::write(&program, "second").unwrap();
        put(&program, &shipped).unwrap();
        assert_eq!(fs::read_to_string(&shipped).unwrap(), "second");
        assert_eq!(std::io::read_to_string(running).unwrap(), "first");
    }
}
