//! What commands work on: a data folder that is opened here, or a server that is asked over its management API.
//!
//! Both give the same views, so that tables and `--json` are the same either way. A resource is a file: what commands do to it,
//! each operation both ways. What a server does not offer yet has no operation here; its command asks for a [`Site`] and is local only.

mod alerts;
mod audit;
mod key_changes;
mod keys;
mod models;
mod organizations;
mod people;
mod pieces;
mod plans;
mod requests;
mod transfer;
mod usage;
mod webhooks;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use keyward_core::key::Plaintext;

pub use keys::Made;

use crate::{
    config, curl,
    remote::{Client, Server, logins::Logins},
    site::Site,
};

/// The variables that name a server and a token, for machines where nobody logs in.
pub const SERVER_VARIABLE: &str = "KEYWARD_SERVER";
const TOKEN_VARIABLE: &str = "KEYWARD_TOKEN";
const CA_VARIABLE: &str = "KEYWARD_CA";

/// See the module.
pub enum Backend {
    /// A data folder.
    Local(Box<Site>),
    /// A server.
    Remote(Remote),
}

impl Backend {
    /// How a command on the same begins, for hints to paste.
    pub fn command_line(&self) -> String {
        match self {
            Self::Local(site) => site.command_line(),
            Self::Remote(remote) => remote.command_line(),
        }
    }
}

/// A server, and the login by which it is asked.
pub struct Remote {
    /// What asks it.
    pub client: Client,
    /// The login's name; `None` where it came from the environment.
    pub login: Option<String>,
    /// Whether the command line named the login: then a hint to paste names it too.
    named: bool,
}

impl Remote {
    /// How a command on this server begins, for hints to paste.
    pub fn command_line(&self) -> String {
        match &self.login {
            Some(login) if self.named => format!("keyward --login {}", curl::quoted(login)),
            _ => "keyward".to_owned(),
        }
    }
}

/// What the command line and the environment say of where a command goes.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The configuration that was named.
    pub config: Option<PathBuf>,
    /// The login that was named.
    pub login: Option<String>,
}

impl Place {
    /// The configuration of what runs here and never elsewhere.
    pub fn config(&self) -> &Path {
        self.config.as_deref().unwrap_or_else(|| Path::new(config::FILE))
    }

    /// The configuration, for a command that no server does for us. It says so where a login is what was meant.
    pub fn local(&self) -> anyhow::Result<&Path> {
        if self.config.is_some() {
            // A server in the environment is for commands that could ask it; a login that is named is meant.
            return match self.login {
                Some(_) => self.not_both().map(|()| self.config()),
                None => Ok(self.config()),
            };
        }
        let login = match self.named() {
            Some(named) => Some(named),
            None if Path::new(config::FILE).exists() => None,
            None => Logins::load()?.current.map(|name| format!("login `{name}`")),
        };
        match login {
            Some(login) => bail!(
                "this works on a configuration and its data folder only, not over {login}: run it where they are, with `--config FILE`"
            ),
            None => Ok(self.config()),
        }
    }

    /// What the command works on. A named login or configuration is taken; both are refused. Where none is named, it is
    /// the login in use, or else the configuration in the working folder; both are refused as well.
    pub async fn open(&self) -> anyhow::Result<Backend> {
        self.not_both()?;
        if let Some(name) = &self.login {
            return Self::remote(&Logins::load()?, name, true);
        }
        if let Some(server) = variable(SERVER_VARIABLE) {
            return Self::from_environment(&server);
        }
        if self.config.is_none() {
            let logins = Logins::load()?;
            if let Some(current) = &logins.current {
                if Path::new(config::FILE).exists() {
                    bail!(
                        "both login `{current}` and the {0} in this folder could be meant: say `--login {current}` or `--config {0}`",
                        config::FILE
                    );
                }
                return Self::remote(&logins, current, false);
            }
        }
        Ok(Backend::Local(Box::new(Site::open(self.config()).await?)))
    }

    /// A server, for a command that has no meaning without one.
    pub async fn server(&self) -> anyhow::Result<Remote> {
        if self.config.is_none() && self.named().is_none() {
            let logins = Logins::load()?;
            let current = logins.current.as_deref();
            let current = current.context("nobody is logged in: use `keyward login`")?;
            let Backend::Remote(remote) = Self::remote(&logins, current, false)? else {
                bail!("login `{current}` names no server: log in again");
            };
            return Ok(remote);
        }
        match self.open().await? {
            Backend::Remote(remote) => Ok(remote),
            Backend::Local(_) => bail!(
                "this is about who is logged in at a server: log in with `keyward login`, and leave out `--config`"
            ),
        }
    }

    fn remote(logins: &Logins, name: &str, named: bool) -> anyhow::Result<Backend> {
        let client = logins.named(name)?.client()?;
        Ok(Backend::Remote(Remote { client, login: Some(name.to_owned()), named }))
    }

    fn from_environment(server: &str) -> anyhow::Result<Backend> {
        let server: Server = server.parse()?;
        let token = variable(TOKEN_VARIABLE)
            .with_context(|| format!("{SERVER_VARIABLE} is set: set {TOKEN_VARIABLE} too"))?;
        let ca = variable(CA_VARIABLE).map(PathBuf::from);
        let client = Client::new(server, Some(Plaintext::new(token)), ca.as_deref())?;
        Ok(Backend::Remote(Remote { client, login: None, named: false }))
    }

    /// The login that was named, in words.
    fn named(&self) -> Option<String> {
        let login = self.login.as_ref().map(|name| format!("login `{name}`"));
        login.or_else(|| {
            variable(SERVER_VARIABLE).map(|server| format!("{SERVER_VARIABLE} ({server})"))
        })
    }

    fn not_both(&self) -> anyhow::Result<()> {
        match (&self.config, self.named()) {
            (Some(config), Some(login)) => bail!(
                "both {login} and the configuration {} are named: leave out `--config` (and KEYWARD_CONFIG) to ask the server, or the login (and KEYWARD_LOGIN, {SERVER_VARIABLE}) to work on the data folder",
                config.display()
            ),
            _ => Ok(()),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
