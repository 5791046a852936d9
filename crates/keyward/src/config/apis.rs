//! APIs: what is protected, held against profiles, upstreams and listeners.

use std::{collections::BTreeMap, net::Ipv6Addr, sync::Arc};

use keyward_core::{
    id::ApiName,
    limit::Limit,
    path,
    policy::{Api, Policy, PolicyError},
    profile::{Https, Profile, ProfileError, compile_routes},
    rights::MANAGEMENT,
    route::{Route, Routes},
};
use keyward_gateway::GatewayConfig;
use toml::Spanned;

use super::{DEFAULT_PROFILE, Reader, source::ApiSource, upstreams::ConfiguredUpstream};
use crate::profiles::Profiles;

/// What APIs are held against.
pub(super) struct Apis<'c> {
    pub(super) reader: &'c Reader,
    pub(super) profiles: &'c Profiles,
    pub(super) upstreams: &'c [ConfiguredUpstream],
    pub(super) gateway: &'c GatewayConfig,
}

impl Apis<'_> {
    /// The APIs, and the profile whose words are for requests that reach none.
    pub(super) fn compile(
        &self,
        sources: &[ApiSource],
    ) -> Result<(Vec<Api>, Arc<Profile>), ProfileError> {
        let fallback = Arc::new(self.profiles.compile(DEFAULT_PROFILE)?);
        let mut compiled = BTreeMap::from([(DEFAULT_PROFILE.to_owned(), fallback.clone())]);
        let apis = sources.iter().map(|source| {
            let profile = self.profile(source, &mut compiled)?;
            self.api(source, profile)
        });
        Ok((apis.collect::<Result<_, _>>()?, fallback))
    }

    fn profile(
        &self,
        source: &ApiSource,
        compiled: &mut BTreeMap<String, Arc<Profile>>,
    ) -> Result<Arc<Profile>, ProfileError> {
        let name = source.profile.as_ref().map_or(DEFAULT_PROFILE, |name| name.get_ref());
        if let Some(profile) = compiled.get(name) {
            return Ok(profile.clone());
        }
        if let Some(asked) = source.profile.as_ref().filter(|_| !self.profiles.has(name)) {
            let known: Vec<_> = self.profiles.names().collect();
            let problem = format!("there is no profile `{name}`");
            return Err(self.reader.wrong(
                asked,
                problem,
                format!("use one of {}", known.join(", ")),
            ));
        }
        let profile = Arc::new(self.profiles.compile(name)?);
        compiled.insert(name.to_owned(), profile.clone());
        Ok(profile)
    }

    fn api(&self, source: &ApiSource, profile: Arc<Profile>) -> Result<Api, ProfileError> {
        let name: ApiName = source.name.get_ref().parse().map_err(|_| {
            self.reader.wrong(
                &source.name,
                format!("`{}` is not an API's name", source.name.get_ref()),
                "write 1 to 64 letters, digits, `_`, `-` or `.`",
            )
        })?;
        if name.as_str() == MANAGEMENT {
            return Err(self.reader.wrong(
                &source.name,
                format!("`{MANAGEMENT}` is the API of Keyward itself, which is there without being configured"),
                "give this API another name; management keys are made with `--api keyward` as it is",
            ));
        }
        // The configuration's routes come first: of two with the same path and method, its own is found.
        let mut routes = compile_routes(&self.reader.file, &source.routes, &profile.vocabulary)?;
        routes.extend(profile.routes.iter().cloned());
        if routes.is_empty() {
            return Err(self.reader.wrong(
                &source.name,
                format!("API `{name}` has no route, so every request would be refused"),
                format!(
                    "add one with [[apis.routes]], or use a profile that brings its own; `{}` has none",
                    profile.name
                ),
            ));
        }
        let https = source.https.unwrap_or(profile.https);
        self.check_transport(&name, source, https)?;
        let limits = self.limits(&name, source, &routes)?;
        Ok(Api {
            number: name.number(),
            name,
            limits,
            routes: Routes::new(routes),
            hosts: self.hosts(source)?,
            prefixes: self.prefixes(source)?,
            upstream: self.upstream(source)?,
            https,
            ask_for_usage: source.ask_for_usage.unwrap_or(true),
            profile,
        })
    }

    /// Limits on all that reaches the API: each is right, and what it is confined to is there.
    fn limits(
        &self,
        name: &ApiName,
        source: &ApiSource,
        routes: &[Route],
    ) -> Result<Vec<Limit>, ProfileError> {
        let mut limits: Vec<Limit> = Vec::with_capacity(source.limits.len());
        for spanned in &source.limits {
            let wrong =
                |problem: String, remedy: &str| Err(self.reader.wrong(spanned, problem, remedy));
            let limit = match Limit::try_from(spanned.get_ref().clone()) {
                Ok(limit) => limit,
                Err(error) => return wrong(error.to_string(), "mend this limit"),
            };
            if !limit.only.apis.is_empty() {
                let problem = format!("the limit `{}` stands at API `{name}` already", limit.name);
                return wrong(problem, "leave `apis` out");
            }
            let known = |pattern: &String| routes.iter().any(|r| r.pattern.as_str() == *pattern);
            if let Some(unknown) = limit.only.routes.iter().find(|pattern| !known(pattern)) {
                let problem = format!("API `{name}` has no route `{unknown}`");
                return wrong(problem, "write a route's path as it stands in `keyward routes`");
            }
            limits.push(limit);
            if let Err(error) = Limit::check_together(&limits) {
                return wrong(error.to_string(), "mend `limits`");
            }
        }
        Ok(limits)
    }

    fn check_transport(
        &self,
        name: &ApiName,
        source: &ApiSource,
        https: Https,
    ) -> Result<(), ProfileError> {
        let is_clear = self.gateway.listeners.iter().all(|listener| listener.tls.is_none());
        let is_alone = self.gateway.settings.trusted_proxies.is_empty();
        if https != Https::Required || !is_clear || !is_alone {
            return Ok(());
        }
        Err(self.reader.wrong(
            &source.name,
            format!("API `{name}` demands HTTPS, and no listener speaks it: every request would be refused"),
            "give a listener `tls`, or name the proxy that speaks HTTPS for it in `gateway.trusted_proxies`, or write \
             `https = \"optional\"` for this API",
        ))
    }

    fn hosts(&self, source: &ApiSource) -> Result<Vec<Box<str>>, ProfileError> {
        let Some(hosts) = &source.hosts else { return Ok(vec!["*".into()]) };
        if hosts.is_empty() {
            return Err(self.reader.wrong(
                &source.name,
                "`hosts` is empty, so nothing reaches the API",
                "name a host, or leave `hosts` out for any",
            ));
        }
        let mut known: Vec<Box<str>> = Vec::with_capacity(hosts.len());
        for host in hosts {
            let plain = self.host(host)?;
            if known.contains(&plain) {
                let problem = format!("host `{plain}` stands twice");
                return Err(self.reader.wrong(host, problem, "keep one"));
            }
            known.push(plain);
        }
        Ok(known)
    }

    fn host(&self, host: &Spanned<String>) -> Result<Box<str>, ProfileError> {
        let text = host.get_ref();
        let wrong = |problem: String, remedy: &str| self.reader.wrong(host, problem, remedy);
        if text.contains("://") {
            return Err(wrong(
                format!("`{text}` is an address, not a host"),
                "write the host alone: schemes are for `listeners` and `https`",
            ));
        }
        let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok()) {
            return Ok(text.to_ascii_lowercase().into());
        }
        if text.contains(':') {
            return Err(wrong(
                format!("`{text}` has a port"),
                "write the host alone: requests are matched by it whatever port they came to",
            ));
        }
        if text.contains('/') {
            return Err(wrong(
                format!("`{text}` has a path"),
                "write the host alone: paths are for `prefixes`",
            ));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if text == "*" || name.split('.').all(is_label) {
            return Ok(text.to_ascii_lowercase().into());
        }
        Err(wrong(
            format!("`{text}` is not a host"),
            "write it like \"api.example.com\", \"*.example.com\" for the names below it, or \"*\" for any",
        ))
    }

    fn prefixes(&self, source: &ApiSource) -> Result<Vec<Box<str>>, ProfileError> {
        let Some(prefixes) = &source.prefixes else { return Ok(vec!["/".into()]) };
        if prefixes.is_empty() {
            return Err(self.reader.wrong(
                &source.name,
                "`prefixes` is empty, so nothing reaches the API",
                "name a path, or leave `prefixes` out for all",
            ));
        }
        let check = |prefix: &Spanned<String>| {
            let text = prefix.get_ref();
            if !text.starts_with('/') {
                let problem = format!("prefix `{text}` does not begin with `/`");
                return Err(self.reader.wrong(prefix, problem, format!("write \"/{text}\"")));
            }
            match path::check(text) {
                Ok(()) => Ok(text.as_str().into()),
                Err(fault) => {
                    Err(self.reader.wrong_path(prefix, &format!("prefix `{text}`"), fault))
                }
            }
        };
        prefixes.iter().map(check).collect()
    }

    /// The upstream's place. Where there is one only, it need not be named.
    fn upstream(&self, source: &ApiSource) -> Result<usize, ProfileError> {
        let known: Vec<&str> = self.upstreams.iter().map(|one| &*one.upstream.name).collect();
        let listed = || match known.as_slice() {
            [] => "add one with [[upstreams]]".to_owned(),
            known => format!("use one of {}", known.join(", ")),
        };
        match &source.upstream {
            Some(name) => {
                let at = known.iter().position(|known| known == name.get_ref());
                at.ok_or_else(|| {
                    let problem = format!("there is no upstream `{}`", name.get_ref());
                    self.reader.wrong(name, problem, listed())
                })
            }
            None if known.len() == 1 => Ok(0),
            None => Err(self.reader.wrong(
                &source.name,
                format!(
                    "API `{}` does not say which upstream it is forwarded to",
                    source.name.get_ref()
                ),
                format!("name it with `upstream`; {}", listed()),
            )),
        }
    }
}

/// Whether the APIs can be served side by side; a mistake is told at the later of the two.
pub(super) fn check_together(
    reader: &Reader,
    sources: &[ApiSource],
    policy: Result<Policy, PolicyError>,
) -> Result<(), ProfileError> {
    let Err(error) = policy else { return Ok(()) };
    let later = match &error {
        PolicyError::SameName(later)
        | PolicyError::SameNumber(_, later)
        | PolicyError::SamePlace(_, later, ..) => later,
    };
    let at = sources.iter().rfind(|source| *source.name.get_ref() == *later.as_str());
    let span = at.map(|source| source.name.span()).unwrap_or_default();
    let text = error.to_string();
    let (problem, remedy) = text.split_once(": ").unwrap_or((&text, "change one"));
    Err(reader.wrong_at(span, problem, remedy))
}
