//! What tests and benches need from outside cargo: a few Debian packages and Python environments.
//! Installed where we may, and otherwise named in one line with the command that installs it,
//! because a test that silently skips for want of a tool is a test that nobody runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// A program the tests start, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("curl", "curl"),
    ("node", "nodejs"),
    ("ip", "iproute2"),
    ("python3", "python3-venv"),
];

/// Where Debian keeps servers; not in everyone's `PATH`.
const SYSTEM_FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Finds a program in `PATH` or in the system's folders.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Like [`find_program`], as an error that says what to install.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let package =
        PROGRAMS.iter().find(|(program, _)| *program == name).map_or(name, |(_, package)| package);
    find_program(name)
        .with_context(|| format!("{name} is not installed: run `sudo apt-get install {package}`"))
}

/// Installs the Debian packages that are lacking, or says which to install.
pub(crate) fn packages() -> Result<()> {
    let lacking = lacking_packages();
    if lacking.is_empty() {
        return Ok(());
    }
    let list = lacking.join(" ");
    if !nix::unistd::geteuid().is_root() || find_program("apt-get").is_none() {
        bail!("lacking: {list}. Install them: `sudo apt-get install {list}`");
    }
    println!("installing {list}");
    let mut update = Command::new("apt-get");
    workspace::run(update.args(["update", "--quiet"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(&lacking);
    workspace::run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn lacking_packages() -> Vec<&'static str> {
    let mut lacking: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if find_program("python3").is_some() && !python_can_make_environments() {
        lacking.push("python3-venv");
    }
    lacking
}

/// Debian's python3 has `venv` but not the `ensurepip` that it needs, unless python3-venv is there.
fn python_can_make_environments() -> bool {
    Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes `environment` hold exactly what `requirements` lists. The list it was made from is kept
/// inside it and written last: an installation that was cut short is made again.
pub(crate) fn python(requirements: &Path, environment: &Path) -> Result<()> {
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("{} cannot be read", requirements.display()))?;
    let made_from = environment.join("made-from-requirements.txt");
    if std::fs::read_to_string(&made_from).is_ok_and(|present| present == wanted) {
        return Ok(());
    }
    if environment.exists() {
        std::fs::remove_dir_all(environment)
            .with_context(|| format!("{} cannot be removed", environment.display()))?;
    }
    workspace::run(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    let mut install = Command::new(environment.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    workspace::run(install.arg(requirements)).with_context(|| {
        format!("the Python packages of {} cannot be installed", requirements.display())
    })?;
    std::fs::write(&made_from, wanted)
        .with_context(|| format!("{} cannot be written", made_from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_command() {
        let error = program("no-such-program-here").unwrap_err().to_string();
        assert!(error.contains("apt-get install no-such-program-here"), "{error}");
    }

    #[test]
    fn every_requirement_is_pinned_to_one_version() {
        let bench = include_str!("../requirements-bench.txt");
        for line in include_str!("../requirements.txt").lines().chain(bench.lines()) {
            let is_requirement = !line.is_empty() && !line.starts_with('#');
            assert!(!is_requirement || line.contains("=="), "not pinned: {line}");
        }
    }
}
