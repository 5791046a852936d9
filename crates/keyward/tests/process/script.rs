//! The scripts of this folder: what people do with nothing but curl, and what each step said.

use std::{ffi::OsStr, process::Command};

/// Runs a script to its good end with these variables. It has to have said all of this.
pub fn run(name: &str, variables: &[(&str, &OsStr)], told: &[&str]) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process/");
    let mut command = Command::new("bash");
    let done = command.arg(format!("{folder}{name}")).envs(variables.iter().copied()).output();
    let done = done.unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    for told in told {
        assert!(said.contains(told), "{told} in\n{said}");
    }
}
