//! `keyward login`, `keyward logout`, `keyward logins`
//!
//! What is typed to log in is sent once and forgotten; what is kept is the session's token (`remote::logins`).

use std::{io::IsTerminal as _, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use http::Method;
use keyward_api::{ErrorCode, Page, StartSessionInput, StartedSession};
use keyward_core::member::Email;
use serde::Serialize;

use super::secret_input;
use crate::{
    backend::{Place, SERVER_VARIABLE},
    output::{Output, table},
    remote::{
        Client, RemoteError, Server,
        logins::{Login, Logins},
    },
};

#[derive(Debug, Args)]
pub(super) struct LogIn {
    /// The address of the server's management API, like https://keys.example.com
    #[arg(value_name = "URL")]
    server: Server,
    /// As whom [default: asked for]
    #[arg(long)]
    email: Option<Email>,
    /// By a management key instead of a password. It is asked for, or read from standard input
    #[arg(long, conflicts_with = "email")]
    key: bool,
    /// What to call the login [default: the server's host and port]
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// The authority that the server's certificate is from, where it is not one of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct LogOut {
    /// Which login [default: the one in use]
    name: Option<String>,
    /// Also when the server cannot be asked to end the session: it lives there until it expires
    #[arg(long)]
    forget: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListLogins {
    #[command(subcommand)]
    command: Option<LoginsCommand>,
}

#[derive(Debug, Subcommand)]
enum LoginsCommand {
    /// Use another login from now on
    Use {
        /// Which
        name: String,
    },
}

/// A login as it is shown: without its token.
#[derive(Serialize)]
struct Shown {
    name: String,
    server: String,
    email: Option<String>,
    expires_at: Option<String>,
    current: bool,
}

impl LogIn {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        if place.login.is_some() {
            bail!("a login is made by its address: say what to call it with `--name`");
        }
        let ca = self.ca.as_deref().map(std::path::absolute).transpose()?;
        let name = self.name.clone().unwrap_or_else(|| self.server.authority());
        let mut logins = Logins::load()?;
        let login = match self.key {
            true => self.by_key(ca).await?,
            false => self.by_password(ca).await?,
        };
        logins.logins.insert(name.clone(), login);
        logins.current = Some(name.clone());
        logins.store()?;
        let shown = shown(&logins, &name).context("the login is gone again")?;
        output.show(&shown, |login| {
            let who = login.email.as_deref().unwrap_or("a management key");
            format!(
                "Logged in to {} as {who}. Commands ask it from now on, as login `{name}`.",
                login.server
            )
        })
    }

    async fn by_password(self, ca: Option<PathBuf>) -> anyhow::Result<Login> {
        let email = match self.email {
            Some(email) => email.to_string(),
            None if std::io::stdin().is_terminal() => secret_input::shown("email")?,
            None => bail!("no email is given: say as whom with `--email`"),
        };
        let password = secret_input::asked("password")?;
        let password = password.expose().to_owned();
        let input = StartSessionInput { email, password, cookie: false };
        let client = Client::new(self.server.clone(), None, ca.as_deref())?;
        let started: StartedSession = client.send(Method::POST, "/v1/sessions", &input).await?;
        let Some(token) = started.token else { bail!("the server gave no token: log in again") };
        Ok(Login {
            server: self.server.to_string(),
            email: Some(started.user.email),
            token: token.expose().to_owned(),
            expires_at: Some(started.session.expires_at),
            ca,
        })
    }

    async fn by_key(self, ca: Option<PathBuf>) -> anyhow::Result<Login> {
        let key = secret_input::asked("management key")?;
        let token = key.expose().to_owned();
        let client = Client::new(self.server.clone(), Some(key), ca.as_deref())?;
        // What it may do is not asked here; that it is a key of this server is.
        match client.get::<serde_json::Value>("/v1/organizations", &()).await {
            Err(RemoteError::LoggedOut { server }) => {
                bail!("{server} does not know this key: check it, and that it is not revoked")
            }
            Err(RemoteError::Refused(problem)) if problem.code == ErrorCode::Forbidden => {}
            asked => drop(asked?),
        }
        let server = self.server.to_string();
        Ok(Login { server, email: None, token, expires_at: None, ca })
    }
}

impl LogOut {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let mut logins = Logins::load()?;
        let named = self.name.or_else(|| place.login.clone()).or_else(|| logins.current.clone());
        let name = named.context("nobody is logged in")?;
        let login = logins.named(&name)?.clone();
        // A key is not ended by who puts it away.
        if login.email.is_some() {
            let client = login.client()?;
            let ended = client.tell(Method::DELETE, "/v1/sessions/current", None::<&()>).await;
            match ended {
                Ok(()) | Err(RemoteError::LoggedOut { .. }) => {}
                Err(_) if self.forget => {}
                Err(error) => {
                    return Err(error).context(
                        "the session was not ended, and the login stays (`--forget` removes it anyway)",
                    );
                }
            }
        }
        logins.logins.remove(&name);
        if logins.current.as_ref() == Some(&name) {
            logins.current = None;
        }
        logins.store()?;
        output.done(&format!("Logged out of {}.", login.server))
    }
}

impl ListLogins {
    pub(super) fn run(self, output: Output) -> anyhow::Result<()> {
        let mut logins = Logins::load()?;
        if let Some(LoginsCommand::Use { name }) = self.command {
            logins.named(&name)?;
            logins.current = Some(name);
            logins.store()?;
        }
        let all: Vec<_> = logins.logins.keys().filter_map(|name| shown(&logins, name)).collect();
        output.show(&Page::whole(all), |page| listed(&page.items))
    }
}

fn shown(logins: &Logins, name: &str) -> Option<Shown> {
    let login = logins.logins.get(name)?;
    Some(Shown {
        name: name.to_owned(),
        server: login.server.clone(),
        email: login.email.clone(),
        expires_at: login.expires_at.clone(),
        current: logins.current.as_deref() == Some(name),
    })
}

fn listed(logins: &[Shown]) -> String {
    let row = |login: &Shown| {
        vec![
            login.name.clone(),
            login.server.clone(),
            login.email.clone().unwrap_or_else(|| "a management key".to_owned()),
            login.expires_at.clone().unwrap_or_else(|| "with the key".to_owned()),
            if login.current { "yes" } else { "" }.to_owned(),
        ]
    };
    let none = format!("No logins. Log in with `keyward login`, or set {SERVER_VARIABLE}.");
    table(&["name", "server", "as", "until", "in use"], logins.iter().map(row).collect(), &none)
}

/// What a login can be called: it stands in commands.
fn name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !(1..=64).contains(&text.len()) || !text.bytes().all(fits) {
        return Err("write 1 to 64 letters, digits, `_`, `-` or `.`".to_owned());
    }
    Ok(text.to_owned())
}
