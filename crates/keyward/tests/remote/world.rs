//! A server here, and commands that have nothing but its address.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use keyward_testkit::{Keyward, Managed, Management, Upstream, management::PASSWORD};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");

/// What a command came to.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A server, and somebody's home on another machine.
pub(crate) struct World {
    pub(crate) keyward: Keyward,
    pub(crate) management: Management,
    pub(crate) home: TempDir,
    pub(crate) _upstream: Upstream,
}

impl World {
    pub(crate) fn new() -> Self {
        let Managed { keyward, management, upstream } = Managed::start(KEYWARD, "aiaas");
        Self { keyward, management, home: TempDir::new().unwrap(), _upstream: upstream }
    }

    /// With somebody logged in as `name@example.com`.
    pub(crate) fn logged_in(name: &str) -> Self {
        let world = Self::new();
        if name != "ops" {
            world.management.sign_up(name);
        }
        world.log_in(name);
        world
    }

    pub(crate) fn log_in(&self, name: &str) -> String {
        let login =
            format!("login {} --email {name}@example.com --name {name}", self.management.url());
        self.done_with(&login, &format!("{PASSWORD}\n"))
    }

    pub(crate) fn run_in(
        &self,
        arguments: &str,
        environment: &[(&str, &str)],
        input: &str,
    ) -> Said {
        let mut command = Command::new(KEYWARD);
        command.args(arguments.split_whitespace()).current_dir(self.home.path());
        command.env_clear().env("HOME", self.home.path());
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn run(&self, arguments: &str) -> Said {
        self.run_in(arguments, &[], "")
    }

    pub(crate) fn done_with(&self, arguments: &str, input: &str) -> String {
        let said = self.run_in(arguments, &[], input);
        assert_eq!(said.code, 0, "keyward {arguments}: {}", said.stderr);
        assert_eq!(said.stderr, "", "keyward {arguments}");
        said.stdout
    }

    pub(crate) fn done(&self, arguments: &str) -> String {
        self.done_with(arguments, "")
    }

    pub(crate) fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.done(&format!("--json {arguments}"))).unwrap()
    }

    /// What a command that has to fail says of it.
    pub(crate) fn refused(&self, arguments: &str) -> String {
        let said = self.run(arguments);
        assert_eq!((said.code, &*said.stdout), (1, ""), "keyward {arguments}: {}", said.stderr);
        said.stderr
    }

    /// The same command where the data folder is.
    pub(crate) fn locally(&self, arguments: &str) -> String {
        let config = self.keyward.config().display();
        self.done(&format!("--config {config} {arguments}"))
    }

    pub(crate) fn logins(&self) -> PathBuf {
        self.home.path().join(".config/keyward/logins.toml")
    }

    pub(crate) fn organization(&self) -> String {
        text(&self.json("orgs list")["items"][0]["id"])
    }

    pub(crate) fn key(&self, organization: &str, name: &str) -> Value {
        self.json(&format!(
            "keys create --api main --organization {organization} --name {name} --permission read"
        ))
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
