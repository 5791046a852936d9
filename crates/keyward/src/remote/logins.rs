//! The logins of whoever sits here: which server, as whom, by which token. A file that its owner alone can read.
//!
//! The token stands in it in the clear, as those of other command lines do: a program that acts as somebody without asking them
//! needs something to show. What is lost with it is one session, which `keyward sessions end` ends from elsewhere.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use keyward_core::key::Plaintext;
use serde::{Deserialize, Serialize};

use super::{Client, Server};

const FOLDER: &str = "keyward";
const FILE: &str = "logins.toml";

/// One login.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The server's address.
    pub server: String,
    /// As whom; left out for a management key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A session's token, or a management key.
    pub token: String,
    /// From when on it is refused, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The authority that the server's certificate is from, where it is not one of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

impl Login {
    /// Asks the server as this login.
    pub fn client(&self) -> anyhow::Result<Client> {
        let server: Server = self.server.parse()?;
        Client::new(server, Some(Plaintext::new(self.token.clone())), self.ca.as_deref())
    }
}

/// All of them, and which is used where none is named.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logins {
    /// The name of the one that is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By their names.
    #[serde(default)]
    pub logins: BTreeMap<String, Login>,
}

impl Logins {
    /// Reads the file; where there is none, there are no logins.
    pub fn load() -> anyhow::Result<Self> {
        let Some(file) = file() else { return Ok(Self::default()) };
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("the logins in {} cannot be read", file.display()));
            }
        };
        let mode = fs::metadata(&file).map_or(0, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            let file = file.display();
            bail!(
                "others can read the logins in {file}: run `chmod 600 {file}`, or remove it and log in again"
            );
        }
        // Not the parser's own error: it quotes the line, and that may hold a token.
        let read = toml::from_str(&text).ok();
        read.with_context(|| {
            format!("the logins in {} are damaged: remove it and log in again", file.display())
        })
    }

    /// Writes the file: whole or not at all.
    pub fn store(&self) -> anyhow::Result<()> {
        let Some(file) = file() else {
            bail!("there is no folder for logins: set HOME or XDG_CONFIG_HOME");
        };
        write(&file, &toml::to_string(self)?)
            .with_context(|| format!("the logins in {} cannot be written", file.display()))
    }

    /// The login of this name.
    pub fn named(&self, name: &str) -> anyhow::Result<&Login> {
        self.logins.get(name).with_context(|| {
            let known: Vec<_> = self.logins.keys().map(String::as_str).collect();
            match known.as_slice() {
                [] => format!("there is no login `{name}`: make it with `keyward login`"),
                known => format!("there is no login `{name}`: use one of {}", known.join(", ")),
            }
        })
    }
}

/// Where it stands: `$XDG_CONFIG_HOME/keyward/logins.toml`, or below `~/.config`.
fn file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join(FOLDER).join(FILE))
}

/// Into a file beside it, which then takes its place: whoever reads meanwhile sees the old or the new one.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = folder.join(format!(".{FILE}.{}", std::process::id()));
    let written = (|| {
        let mut to =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        // One that was left over keeps the mode it had.
        to.set_permissions(Permissions::from_mode(0o600))?;
        to.write_all(text.as_bytes())?;
        to.sync_all()?;
        fs::rename(&beside, file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}
