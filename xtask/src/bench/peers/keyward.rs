//! Keyward as its users run it: the release binary, a configuration file, an organization and keys
//! made with its own command line, and everything that is on by default left on.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{Kind, Peer, Prepared, Setting};
use crate::bench::cpu::PROXY_CORE;
use crate::bench::server::{Server, folder, free_address, write};
use crate::workspace;

/// What the API of the bench is besides what [`configuration`] says of every one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    Nothing,
    /// Four limits that all have room, two of them on tokens, which are read from the answers.
    Limits,
}

impl With {
    fn profile(self) -> &'static str {
        match self {
            Self::Nothing => "default",
            Self::Limits => "metered",
        }
    }

    fn of_api(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Limits => {
                r#"limits = [
    { name = "requests", kind = "rate", amount = 4000000000, window_seconds = 60, per = ["key"] },
    { name = "tokens", kind = "rate", unit = "tokens", amount = 4000000000, window_seconds = 60, per = ["organization"] },
    { name = "month", kind = "quota", unit = "tokens", amount = 9000000000000000, period = "month", per = ["organization"] },
    { name = "at-once", kind = "concurrency", amount = 100000, per = ["key"] },
]"#
            }
        }
    }

    fn of_route(self) -> &'static str {
        match self {
            Self::Nothing => r#"metered = "no""#,
            Self::Limits => r#"metered = "told""#,
        }
    }
}

/// The bench's upstream tells what it used in the usual places, of a stream in its last event.
const PROFILE: &str = r#"
[metering]
response = [{ input = "/usage/input_tokens", output = "/usage/output_tokens" }]
stream = [{ input = "/usage/input_tokens", output = "/usage/output_tokens" }]
text = ["/choices/*/delta/content"]
"#;

fn configuration(folder: &Path, address: SocketAddr, setting: &Setting<'_>, with: With) -> String {
    let upstream = setting.upstream;
    let tls = setting.tls.map_or_else(String::new, |tls| {
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        format!("tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}")
    });
    let (data, profiles) = (folder.join("data"), folder.join("profiles"));
    format!(
        r#"
data_dir = "{data}"
profiles_dir = "{profiles}"

[[listeners]]
address = "{address}"
{tls}

[gateway]
workers = 1

[[upstreams]]
name = "main"
url = "http://{upstream}"

[[apis]]
name = "bench"
profile = "{profile}"
hosts = ["*"]
prefixes = ["/"]
upstream = "main"
https = "optional"
{of_api}

[[apis.routes]]
methods = ["GET", "POST"]
path = "/{{rest...}}"
permission = "read"
{of_route}
"#,
        data = data.display(),
        profiles = profiles.display(),
        profile = with.profile(),
        of_api = with.of_api(),
        of_route = with.of_route(),
    )
}

/// A folder with a configuration, for an address of its own.
fn configured(binary: &Path, setting: &Setting<'_>, with: With) -> Result<Prepared> {
    let folder = folder()?;
    let address = free_address()?;
    fs::create_dir(folder.path().join("profiles"))?;
    fs::write(folder.path().join("profiles/metered.toml"), PROFILE)?;
    let text = configuration(folder.path(), address, setting, with);
    let configuration = write(&folder, "keyward.toml", &text)?;
    Ok(Prepared { binary: binary.into(), folder, configuration, address, keys: vec![] })
}

/// Makes a Keyward ready to start, with `count` keys. All that the bench knows of Keyward's
/// configuration and command line stands here and in [`start`].
pub(in crate::bench) fn prepare_keyward(
    binary: &Path,
    setting: &Setting<'_>,
    count: usize,
) -> Result<Prepared> {
    let mut prepared = configured(binary, setting, With::Nothing)?;
    let keyward = |arguments: &str| {
        let mut command = Command::new(binary);
        command.arg("--config").arg(&prepared.configuration).arg("--json");
        output(command.args(arguments.split_whitespace()))
    };
    keyward("orgs create --id bench")?;
    let made = keyward(&format!(
        "keys create --api bench --organization bench --name load --permission read --count {count}"
    ))?;
    let keys = secrets(&made)?;
    if keys.len() != count {
        bail!("keyward was asked for {count} keys and made {}", keys.len());
    }
    prepared.keys = keys;
    Ok(prepared)
}

/// Another one that knows the same keys, with four limits and metering.
pub(in crate::bench) fn prepare_limited(
    prepared: &Prepared,
    setting: &Setting<'_>,
) -> Result<Prepared> {
    let limited = configured(&prepared.binary, setting, With::Limits)?;
    let (from, to) = (prepared.folder.path().join("data"), limited.folder.path().join("data"));
    fs::create_dir(&to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(limited)
}

pub(super) fn start(kind: Kind, prepared: Option<Prepared>) -> Result<Peer> {
    let Some(Prepared { binary, folder, configuration, address, .. }) = prepared else {
        bail!("Keyward was not prepared");
    };
    let mut command = Command::new(&*binary);
    command.arg("--config").arg(configuration).arg("serve");
    let server = Server::start(kind.name(), folder, &mut command, PROXY_CORE, address)?;
    Ok(Peer { kind, address, server })
}

fn output(command: &mut Command) -> Result<String> {
    let shown = workspace::shown(command);
    let output = command.output().with_context(|| format!("`{shown}` cannot be started"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed ({}):\n{said}", output.status);
    }
    String::from_utf8(output.stdout).context("its output is not UTF-8")
}

/// The `secret` member of each JSON line.
fn secrets(lines: &str) -> Result<Vec<String>> {
    let mut secrets = Vec::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        // Not quoted in the error: the line holds a key.
        let made: Value =
            serde_json::from_str(line).context("a line of `keys create` is not JSON")?;
        let secret = made.get("secret").and_then(Value::as_str);
        secrets.push(secret.context("a line of `keys create` has no `secret`")?.to_owned());
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_line_by_line() {
        let lines = "{\"id\":\"a\",\"secret\":\"s1\"}\n{\"secret\":\"s2\"}\n\n";
        assert_eq!(secrets(lines).unwrap(), ["s1", "s2"]);
    }

    #[test]
    fn a_line_without_secret_is_an_error_that_does_not_quote_it() {
        let error = format!("{:#}", secrets("{\"key\":\"hidden\"}").unwrap_err());
        assert!(!error.contains("hidden"));
    }
}
