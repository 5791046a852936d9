//! On which terms callers come: from which origins, through which proxies, how fast, and with which accounts elsewhere.

use std::{
    fmt,
    net::IpAddr,
    num::NonZeroU32,
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering},
};

use axum::http::{Uri, uri::PathAndQuery};
use keyward_core::network::Network;

use crate::{
    openid::{Provider, Providers},
    throttle::{Guesses, Pace},
};

/// Requests of one caller in a minute, unless another number is chosen: more than a person's browser makes.
pub const REQUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(1200).unwrap();

/// What the operator chose about how callers come.
#[derive(Clone)]
pub struct Access {
    /// Where browsers reach the management API. Empty: only at this machine's own addresses.
    pub origins: Vec<Origin>,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// For each session, and each address of those who are not logged in.
    pub requests_per_minute: NonZeroU32,
    /// Where people may log in with an account that they have elsewhere.
    pub providers: Vec<Provider>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            origins: vec![],
            trusted_proxies: vec![],
            requests_per_minute: REQUESTS_PER_MINUTE,
            providers: vec![],
        }
    }
}

/// Scheme, host and port, as browsers write them (RFC 6454): in lower case, without the scheme's own port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// The text is no origin.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no origin: write one like https://keys.example.com, without a path; http only for this machine's own addresses"
)]
pub struct NotAnOrigin(String);

impl Origin {
    /// As it stands in the header `Origin`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let wrong = || NotAnOrigin(text.chars().take(200).collect());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let bare = uri.path_and_query().is_none_or(|rest| rest == &PathAndQuery::from_static("/"));
        let (own_port, https) = match uri.scheme_str() {
            Some("https") => (443, true),
            Some("http") => (80, false),
            _ => return Err(wrong()),
        };
        let port_is_read =
            authority.port().is_some() || authority.host().len() == authority.as_str().len();
        if !bare
            || !port_is_read
            || text.ends_with('/')
            || !(https || is_loopback(authority.host()))
        {
            return Err(wrong());
        }
        let host = authority.host().to_ascii_lowercase();
        let scheme = if https { "https" } else { "http" };
        Ok(Self(match authority.port_u16().filter(|port| *port != own_port) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }))
    }
}

/// Whether a host in a URL is this machine, whatever a name server says.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || host.eq_ignore_ascii_case("localhost")
}

/// The terms, with what is counted under them.
pub(super) struct Gate {
    pub(super) origins: Vec<Origin>,
    pub(super) trusted_proxies: Vec<Network>,
    pub(super) guesses: Guesses,
    pub(super) pace: Pace,
    pub(super) providers: Providers,
    told_of_proxies: AtomicBool,
}

impl Gate {
    /// Tells once that a proxy seems to be in front that is not trusted: all who come by it count as one caller.
    pub(super) fn tell_of_proxy(&self, peer: IpAddr) {
        if !self.told_of_proxies.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "a request of the management API names a client that it was forwarded for, and its sender is no trusted proxy: \
                 if it is yours, name it in `[management] trusted_proxies`, or all who come by it count as one"
            );
        }
    }

    pub(super) fn new(access: Access) -> Self {
        Self {
            origins: access.origins,
            trusted_proxies: access.trusted_proxies,
            guesses: Guesses::new(),
            pace: Pace::new(access.requests_per_minute),
            providers: Providers::new(access.providers),
            told_of_proxies: AtomicBool::new(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, expected) in [
            ("https://keys.example.com", "https://keys.example.com"),
            ("https://Keys.Example.com:443", "https://keys.example.com"),
            ("https://keys.example.com:8443", "https://keys.example.com:8443"),
            ("http://localhost:8081", "http://localhost:8081"),
            ("http://[::1]:8081", "http://[::1]:8081"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), expected);
        }
        for wrong in [
            "",
            "null",
            "*",
            "keys.example.com",
            "https://",
            "https://keys.example.com/",
            "https://keys.example.com/path",
            "https://keys.example.com?query",
            "https://user@keys.example.com",
            "https://keys.example.com:port",
            "https://keys.example.com:99999",
            "http://keys.example.com",
            "ftp://keys.example.com",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
