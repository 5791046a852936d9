//! `[mail]`: where mails go, and whom they are from.

use std::{fs, path::PathBuf};

use http::{Uri, uri::Authority};
use keyward_control::mail::{MailSecurity, MailSender, MailServer, MailSettings, MailWay};
use keyward_core::{key::Plaintext, profile::ProfileError};
use percent_encoding::percent_decode_str;
use toml::Spanned;
use zeroize::Zeroizing;

use super::{OFF, Reader, source::MailSource};

/// Where mails go, without the password that takes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    Server { host: String, port: u16, security: MailSecurity, login: Option<(String, Origin)> },
    Folder(PathBuf),
}

/// Where a password is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Environment(String),
    File(PathBuf),
}

/// Mail as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailConfig {
    way: Way,
    from: MailSender,
    link: Option<String>,
    reminders: bool,
}

/// The mail server's password could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("mail: {problem}; put the password of the mail server's user there")]
pub struct NoMailPassword {
    problem: String,
}

impl MailConfig {
    /// Whether people are told of keys and secrets that end or should be replaced.
    pub const fn reminders(&self) -> bool {
        self.reminders
    }

    /// With the password that environment or file hold.
    pub fn fetch(&self) -> Result<MailSettings, NoMailPassword> {
        let way = match &self.way {
            Way::Folder(folder) => MailWay::Folder(folder.clone()),
            Way::Server { host, port, security, login } => {
                let login = match login {
                    Some((user, origin)) => Some((user.clone(), origin.fetch()?)),
                    None => None,
                };
                let (host, port, security) = (host.clone(), *port, *security);
                MailWay::Server(MailServer { host, port, security, login })
            }
        };
        Ok(MailSettings { way, from: self.from.clone(), link: self.link.clone() })
    }
}

impl Origin {
    fn fetch(&self) -> Result<Plaintext, NoMailPassword> {
        let failed = |problem: String| NoMailPassword { problem };
        let (place, text) = match self {
            Self::Environment(name) => {
                let place = format!("the environment variable `{name}`");
                let value =
                    std::env::var(name).map_err(|_| failed(format!("{place} is not set")))?;
                (place, Zeroizing::new(value))
            }
            Self::File(path) => {
                let place = path.display().to_string();
                let text = fs::read_to_string(path)
                    .map_err(|cause| failed(format!("{place}: {cause}")))?;
                (place, Zeroizing::new(text))
            }
        };
        match text.trim_end_matches(['\n', '\r']) {
            "" => Err(failed(format!("{place} is empty"))),
            password => Ok(Plaintext::new(password.to_owned())),
        }
    }
}

fn unless_off(setting: Option<&Spanned<String>>) -> Option<&Spanned<String>> {
    setting.filter(|text| text.get_ref() != OFF)
}

pub(super) fn compile(
    reader: &Reader,
    source: &MailSource,
) -> Result<Option<MailConfig>, ProfileError> {
    let (server, folder) = (unless_off(source.server.as_ref()), unless_off(source.folder.as_ref()));
    let link =
        unless_off(source.link.as_ref()).map(|link| compile_link(reader, link)).transpose()?;
    let (at, way) = match (server, folder) {
        (None, None) => return Ok(None),
        (Some(_), Some(folder)) => {
            let problem = "mails cannot go to a server and into a folder";
            return Err(reader.wrong(folder, problem, "remove `server` or `folder`"));
        }
        (Some(server), None) => (server, compile_server(reader, server, source.password.as_ref())?),
        (None, Some(folder)) if folder.get_ref().is_empty() => {
            return Err(reader.wrong(folder, "`folder` is empty", "name a folder"));
        }
        (None, Some(folder)) => (folder, Way::Folder(reader.path(folder.get_ref()))),
    };
    const REMEDY: &str = "write it like keyward@example.com or \"Keyward <keyward@example.com>\"";
    let Some(from) = &source.from else {
        let problem = "mails have no sender";
        return Err(reader.wrong(
            at,
            problem,
            "say with `from` whom they are from, like keyward@example.com",
        ));
    };
    let sender = from.get_ref().parse().map_err(|_| {
        let problem = format!("`{}` is no sender", from.get_ref().escape_default());
        reader.wrong(from, problem, REMEDY)
    })?;
    let reminders = source.reminders.unwrap_or(true);
    Ok(Some(MailConfig { way, from: sender, link, reminders }))
}

fn compile_server(
    reader: &Reader,
    server: &Spanned<String>,
    password: Option<&Spanned<String>>,
) -> Result<Way, ProfileError> {
    const REMEDY: &str = "write it like \"smtps://user@mail.example.com:465\" or \"smtp://user@mail.example.com:587\"";
    // What is wrong may be a password in the address: it is not shown.
    let wrong = |problem: &str| reader.wrong(server, problem, REMEDY);
    let (is_tls, rest) = match server.get_ref().split_once("://") {
        Some(("smtps", rest)) => (true, rest),
        Some(("smtp", rest)) => (false, rest),
        _ => return Err(wrong("the mail server is neither smtp nor smtps")),
    };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            return Err(reader.wrong(
                server,
                "the mail server's address holds a password, which would stand in this file",
                "remove it and say with `password` where it is",
            ));
        }
        Some((user, rest)) => {
            let user = percent_decode_str(user).decode_utf8();
            (Some(user.map_err(|_| wrong("the user's name cannot be read"))?.into_owned()), rest)
        }
        None => (None, rest),
    };
    let address: Uri = format!("http://{}/", rest.trim_end_matches('/'))
        .parse()
        .map_err(|_| wrong("this is not the address of a mail server"))?;
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if address.path() != "/" || address.query().is_some() || host.is_empty() || rest.contains('#') {
        return Err(wrong("this is not the address of a mail server"));
    }
    let port = match address.port_u16() {
        Some(port) => port,
        None if address.authority().map(Authority::as_str) != address.host() => {
            return Err(wrong("the port is no number from 1 to 65535"));
        }
        None if is_tls => 465,
        None => 587,
    };
    let is_here = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let security = match (is_tls, is_here) {
        (true, _) => MailSecurity::Tls,
        (false, true) => MailSecurity::Clear,
        (false, false) => MailSecurity::StartTls,
    };
    let login = match (user, password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some((user, compile_password(reader, password)?)),
        (Some(_), None) => {
            let problem = "the mail server has a user and no password";
            return Err(reader.wrong(
                server,
                problem,
                "say with `password` where it is, or remove the user",
            ));
        }
        (None, Some(password)) => {
            let problem = "the mail server has a password and no user";
            return Err(reader.wrong(
                password,
                problem,
                "name the user in `server`, like \"smtps://user@host:465\"",
            ));
        }
    };
    Ok(Way::Server { host, port, security, login })
}

fn compile_password(reader: &Reader, password: &Spanned<String>) -> Result<Origin, ProfileError> {
    match password.get_ref().split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(Origin::Environment(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(Origin::File(reader.path(path))),
        // It may be the password itself: it is not shown.
        _ => Err(reader.wrong(
            password,
            "`password` does not say where the password is",
            "write \"env:NAME\" or \"file:PATH\"; the password itself never stands in this file",
        )),
    }
}

fn compile_link(reader: &Reader, link: &Spanned<String>) -> Result<String, ProfileError> {
    let text = link.get_ref().trim_end_matches('/');
    let is_link = text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    });
    if is_link && !text.contains('#') {
        return Ok(text.to_owned());
    }
    let problem = "`link` is no address that people could open";
    Err(reader.wrong(link, problem, "write one like \"https://keys.example.com\", or \"off\""))
}
