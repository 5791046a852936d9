//! Keyward as its users run it: the release binary, a configuration file, an organization and keys
//! made with its own command line, and everything that is on by default left on.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{Kind, Peer, Prepared};
use crate::bench::cpu::PROXY_CORE;
use crate::bench::server::{Server, folder, free_address, write};
use crate::workspace;

/// Makes a Keyward ready to start, with `count` keys. All that the bench knows of Keyward's
/// configuration and command line stands here and in [`start`].
pub(in crate::bench) fn prepare_keyward(
    binary: &Path,
    upstream: SocketAddr,
    count: usize,
) -> Result<Prepared> {
    let folder = folder()?;
    let address = free_address()?;
    let data = folder.path().join("data");
    let text = format!(
        r#"
data_dir = "{data}"

[[listeners]]
address = "{address}"

[gateway]
workers = 1

[[upstreams]]
name = "main"
url = "http://{upstream}"

[[apis]]
name = "bench"
profile = "default"
hosts = ["*"]
prefixes = ["/"]
upstream = "main"
https = "optional"

[[apis.routes]]
methods = ["GET", "POST"]
path = "/{{rest...}}"
permission = "read"
"#,
        data = data.display()
    );
    let configuration = write(&folder, "keyward.toml", &text)?;
    let keyward = |arguments: &str| {
        let mut command = Command::new(binary);
        command.arg("--config").arg(&configuration).arg("--json");
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
    Ok(Prepared { binary: binary.into(), folder, configuration, address, keys })
}

pub(super) fn start(prepared: Option<Prepared>) -> Result<Peer> {
    let Some(Prepared { binary, folder, configuration, address, .. }) = prepared else {
        bail!("Keyward was not prepared");
    };
    let mut command = Command::new(&*binary);
    command.arg("--config").arg(configuration).arg("serve");
    let server = Server::start(Kind::Keyward.name(), folder, &mut command, PROXY_CORE, address)?;
    Ok(Peer { kind: Kind::Keyward, address, server })
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
