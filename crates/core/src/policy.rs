//! Policy: which APIs are protected, where each is reached, how it behaves, and where it is forwarded to.
//!
//! Compiled from configuration and profiles as a whole and swapped as a whole; requests borrow it.

use std::{borrow::Cow, sync::Arc, time::Duration};

use hashbrown::HashMap;

use crate::{
    id::{ApiName, ApiNumber},
    key::Plaintext,
    limit::{
        Dimension, Limit,
        applied::{Applied, Place},
    },
    profile::{Https, Profile},
    route::Routes,
};

/// Something protected.
#[derive(Clone, Debug)]
pub struct Api {
    /// Its name in the configuration; keys are made for it by this name.
    pub name: ApiName,
    /// The name in four bytes.
    pub number: ApiNumber,
    /// How it behaves.
    pub profile: Arc<Profile>,
    /// The profile's routes and the configuration's.
    pub routes: Routes,
    /// Hosts in lower case without port; `*` for any, `*.example.com` for the names below it.
    pub hosts: Vec<Box<str>>,
    /// Path prefixes, matched by whole segments.
    pub prefixes: Vec<Box<str>>,
    /// Where it is forwarded to, by its place in [`Policy::upstreams`].
    pub upstream: usize,
    /// Whether requests may come in the clear: the profile's word, unless the configuration says otherwise.
    pub https: Https,
    /// Limits on everything that reaches it, whoever asks. At most [`Limit::MOST_IN_A_PLACE`].
    pub limits: Vec<Limit>,
    /// Whether streams are made to tell their usage where their clients did not ask for it.
    pub ask_for_usage: bool,
}

/// Where an API's requests go.
#[derive(Clone)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// Host name or address.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// What is put before every path; empty or beginning with `/`, never ending with one.
    pub base_path: Box<str>,
    /// Whether it sees the host the client asked for, rather than its own.
    pub preserve_host: bool,
    /// The credential that replaces the client's.
    pub credential: Option<UpstreamCredential>,
    /// It wants a credential and has none: requests to it are refused rather than sent without one.
    pub credential_missing: bool,
}

/// What Keyward shows an upstream instead of the client's key.
#[derive(Clone)]
pub struct UpstreamCredential {
    /// The header, lower case.
    pub header: Box<str>,
    /// The whole value: `Bearer …`.
    pub value: Plaintext,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({} {}:{})", self.name, self.host, self.port)
    }
}

/// Everything that is decided from besides the keys.
#[derive(Clone, Debug)]
pub struct Policy {
    apis: Vec<Api>,
    /// Of each API, in their order.
    limits: Vec<ApiLimits>,
    upstreams: Vec<Upstream>,
    /// Words for requests that reach no API.
    fallback: Arc<Profile>,
    /// How old the last state known to be true may be before we cannot know.
    stale_after: Option<Duration>,
    by_host: HashMap<Box<str>, Vec<Entry>>,
    /// Suffixes (`.example.com`), longest first; the empty one is `*`.
    by_suffix: Vec<(Box<str>, Vec<Entry>)>,
}

/// What limits requests at an API besides those of organizations and keys.
#[derive(Clone, Debug)]
pub(crate) struct ApiLimits {
    /// Its own.
    pub(crate) own: Box<[Applied]>,
    /// The plans of its profile, by name as names are compared.
    plans: Vec<(Box<str>, Box<[Applied]>)>,
    /// The plan of organizations that are on none.
    pub(crate) default_plan: Option<Box<str>>,
}

impl ApiLimits {
    fn new(api: &Api) -> Self {
        let plans = api.profile.limits.plans.iter().map(|plan| {
            let name = plan.name.folded();
            // Of a profile's plan, what is counted at one API is not counted at another.
            let limits = plan.limits.iter().map(|limit| {
                let mut here = limit.clone();
                here.per.push(Dimension::Api);
                here.per.sort_unstable();
                here.per.dedup();
                here
            });
            let limits: Vec<_> = limits.collect();
            (name.as_str().into(), Applied::all(&limits, Place::Plan(&name)))
        });
        Self {
            own: Applied::all(&api.limits, Place::Api(&api.name)),
            plans: plans.collect(),
            default_plan: api.profile.limits.default_plan.as_ref().map(|name| name.folded().into()),
        }
    }

    /// The limits of the profile's plan of this name.
    pub(crate) fn plan(&self, folded: &str) -> Option<&[Applied]> {
        let found = self.plans.iter().find(|(name, _)| **name == *folded);
        found.map(|(_, limits)| &**limits)
    }
}

#[derive(Clone, Debug)]
struct Entry {
    prefix: Box<str>,
    api: usize,
}

/// Why APIs cannot be served together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Two of one name.
    #[error("two APIs are called `{0}`: give each a name of its own")]
    SameName(ApiName),
    /// Two names in one number.
    #[error("the names `{0}` and `{1}` meet in one CRC-32: rename one")]
    SameNumber(ApiName, ApiName),
    /// Two APIs in one place.
    #[error("APIs `{0}` and `{1}` are both at {2}{3}: change a host or a prefix of one")]
    SamePlace(ApiName, ApiName, Box<str>, Box<str>),
}

impl Policy {
    /// Puts APIs and upstreams together.
    pub fn new(
        apis: Vec<Api>,
        upstreams: Vec<Upstream>,
        fallback: Arc<Profile>,
        stale_after: Option<Duration>,
    ) -> Result<Self, PolicyError> {
        for (at, api) in apis.iter().enumerate() {
            for earlier in apis.iter().take(at) {
                if earlier.name == api.name {
                    return Err(PolicyError::SameName(api.name.clone()));
                }
                if earlier.number == api.number {
                    return Err(PolicyError::SameNumber(earlier.name.clone(), api.name.clone()));
                }
            }
        }
        let mut by_host: HashMap<Box<str>, Vec<Entry>> = HashMap::new();
        for (at, api) in apis.iter().enumerate() {
            for host in &api.hosts {
                let entries = by_host.entry(without_dot(host).into()).or_default();
                for prefix in &api.prefixes {
                    let taken = entries.iter().find(|entry| entry.prefix == *prefix);
                    if let Some(other) = taken.and_then(|entry| apis.get(entry.api)) {
                        let (other, own) = (other.name.clone(), api.name.clone());
                        return Err(PolicyError::SamePlace(
                            other,
                            own,
                            host.clone(),
                            prefix.clone(),
                        ));
                    }
                    entries.push(Entry { prefix: prefix.clone(), api: at });
                }
                // Longest first: the most particular prefix wins.
                entries.sort_by_key(|entry| usize::MAX - entry.prefix.len());
            }
        }
        let mut by_suffix = Vec::new();
        by_host.retain(|host, entries| match host.strip_prefix('*') {
            Some(suffix) => {
                by_suffix.push((suffix.into(), std::mem::take(entries)));
                false
            }
            None => true,
        });
        by_suffix.sort_by_key(|(suffix, _): &(Box<str>, _)| usize::MAX - suffix.len());
        let limits = apis.iter().map(ApiLimits::new).collect();
        Ok(Self { apis, limits, upstreams, fallback, stale_after, by_host, by_suffix })
    }

    /// The API at a host (as the Host header gives it, port and all) and path.
    ///
    /// A named host comes before a wildcard; where the more particular host has no prefix that fits, the next is asked.
    pub fn find(&self, host: &str, path: &str) -> Option<&Api> {
        let host = without_dot(without_port(host));
        let host = if host.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        // Any host, and below any path, is what most APIs are served at: nothing is compared for that.
        let is_suffix = |suffix: &str| suffix.is_empty() || host.ends_with(suffix);
        let wild = self.by_suffix.iter().filter(|(suffix, _)| is_suffix(suffix));
        std::iter::once(self.by_host.get(&*host))
            .flatten()
            .chain(wild.map(|(_, entries)| entries))
            .flatten()
            .find(|entry| is_prefix(&entry.prefix, path))
            .and_then(|entry| self.apis.get(entry.api))
    }

    /// The API of this name.
    pub fn api(&self, name: &str) -> Option<&Api> {
        self.apis.iter().find(|api| api.name.as_str() == name)
    }

    /// All APIs, as configured.
    pub fn apis(&self) -> &[Api] {
        &self.apis
    }

    /// What limits requests at an API besides those of organizations and keys.
    pub(crate) fn limits(&self, api: &Api) -> Option<&ApiLimits> {
        let at = self.apis.iter().position(|other| other.number == api.number)?;
        self.limits.get(at)
    }

    /// All upstreams, as configured.
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// The upstream of an API.
    pub fn upstream_of(&self, api: &Api) -> Option<&Upstream> {
        self.upstreams.get(api.upstream)
    }

    /// Words for requests that reach no API.
    pub fn fallback(&self) -> &Profile {
        &self.fallback
    }

    /// See [`Policy::new`].
    pub const fn stale_after(&self) -> Option<Duration> {
        self.stale_after
    }
}

/// `api.example.com:8443` without its port; an IPv6 literal keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

/// `example.com.` without the dot that makes it absolute in DNS: it is the same host (RFC 3986, section 3.2.2).
fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether `prefix` is the path or stands before it up to a slash.
fn is_prefix(prefix: &str, path: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.is_empty() {
        return path.is_empty() || path.starts_with('/');
    }
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_and_addresses_left_whole() {
        for (host, name) in [
            ("a.b:8443", "a.b"),
            ("a.b", "a.b"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a:", "a"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn one_dot_behind_a_host_is_nothing() {
        for (host, name) in [
            ("a.b.:8443", "a.b"),
            ("a.b.", "a.b"),
            ("a.b", "a.b"),
            ("a.b..", "a.b."),
            (".", ""),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(without_dot(without_port(host)), name, "{host}");
        }
    }

    #[test]
    fn prefixes_end_where_segments_end() {
        assert!(is_prefix("/v1", "/v1") && is_prefix("/v1", "/v1/a") && is_prefix("/v1/", "/v1/a"));
        assert!(is_prefix("/", "/anything") && is_prefix("", "/"));
        assert!(!is_prefix("/v1", "/v10") && !is_prefix("/v1/a", "/v1"));
    }
}
