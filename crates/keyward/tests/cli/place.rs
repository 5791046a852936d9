//! A folder with a configuration, the command line on it, and what it prints with all that differs between runs taken out.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

const CONFIGURATION: &str = r#"
[[upstreams]]
name = "models"
url = "http://127.0.0.1:9"
credential = { from = "store" }

[[apis]]
name = "main"
hosts = ["api.test"]
https = "optional"
[[apis.routes]]
methods = ["GET"]
path = "/v1/models"
permission = "read"
[[apis.routes]]
methods = ["POST"]
path = "/v1/run"
permission = "write"
bindings = [{ kind = "model", body = "/model", required = true }, { kind = "organization", query = "organization" }]

[[apis]]
name = "other"
hosts = ["other.test"]
profile = "single"
https = "optional"
"#;

/// One key an organization, a key in a plain header, no checksum.
const SINGLE: &str = r#"
title = "One key each"
presets = []
permissions = [{ name = "speak", description = "Speak" }]
routes = [{ methods = ["GET"], path = "/speak", permission = "speak" }]
[key]
prefix = "one_"
length = 28
checksum = "none"
[credential]
slots = [{ header = "X-API-Key" }]
[issuance]
mode = "staff"
keys_per_organization = 1
"#;

/// What a command came to.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    /// With the configuration above and nothing in the store.
    pub(crate) fn new() -> Self {
        let place = Self { folder: TempDir::new().unwrap() };
        std::fs::create_dir(place.file("profiles")).unwrap();
        place.write("profiles/single.toml", SINGLE);
        place.write("keyward.toml", &format!("profiles_dir = \"profiles\"\n{CONFIGURATION}"));
        place
    }

    /// With an organization `acme`.
    pub(crate) fn with_organization() -> Self {
        let place = Self::new();
        place.done("orgs create --id acme --name Acme");
        place
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path()).env_clear();
        command
    }

    fn said(output: &Output) -> Said {
        Said {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    /// Runs a command, whatever comes of it.
    pub(crate) fn run(&self, arguments: &str) -> Said {
        Self::said(&self.command(arguments).output().unwrap())
    }

    /// With something on standard input.
    pub(crate) fn run_with(&self, arguments: &str, input: &str) -> Said {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Self::said(&child.wait_with_output().unwrap())
    }

    /// With an environment variable.
    pub(crate) fn run_in(&self, arguments: &str, (name, value): (&str, &str)) -> Said {
        Self::said(&self.command(arguments).env(name, value).output().unwrap())
    }

    /// Runs a command that has to succeed, and gives what it printed.
    pub(crate) fn done(&self, arguments: &str) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "keyward {arguments}: {}", said.stderr);
        assert_eq!(said.stderr, "", "keyward {arguments}");
        said.stdout
    }

    /// Runs a command that has to fail, and gives what it said of it.
    pub(crate) fn refused(&self, arguments: &str) -> String {
        let said = self.run(arguments);
        assert_eq!((said.code, &*said.stdout), (1, ""), "keyward {arguments}: {}", said.stderr);
        said.stderr
    }

    pub(crate) fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.done(&format!("--json {arguments}"))).unwrap()
    }

    /// A key of `acme` at `main` that may write; its id and its plaintext.
    pub(crate) fn key(&self, name: &str) -> (String, String) {
        let made = self.json(&format!(
            "keys create --api main --organization acme --name {name} --permission write"
        ));
        (text(&made["id"]), text(&made["secret"]))
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// What differs between runs, in what is otherwise the same: ids, moments, keys and their hints.
pub(crate) fn same(text: &str) -> String {
    let mut same = text.to_owned();
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    for (prefix, length) in [("key_", 30), ("sec_", 30), ("org_", 20), ("kw_", 52), ("one_", 28)] {
        same = replaced(&same, prefix, length, |found| is_plain(&found[prefix.len()..]));
    }
    for (prefix, length) in [("kw_", 12), ("one_", 12)] {
        same = replaced(&same, prefix, length, |found| found.contains('…'));
    }
    let is_moment = |found: &str| found.as_bytes()[10] == b'T' && found.ends_with('Z');
    replaced(&same, "20", "2027-01-15T08:00:00Z".len(), is_moment)
}

/// With the prefix and nothing else of what is `length` bytes long and fits.
fn replaced(text: &str, prefix: &str, length: usize, fits: impl Fn(&str) -> bool) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, found) = rest.split_at(at);
        done.push_str(before);
        done.push_str(prefix);
        rest = match found.get(..length) {
            Some(found_here) if fits(found_here) => {
                let chars = found_here.chars().count() - prefix.len();
                done.extend(std::iter::repeat_n('x', chars));
                &found[length..]
            }
            _ => &found[prefix.len()..],
        };
    }
    done + rest
}
