//! `[management]`: where the management API is listened for, and on which terms people come.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use keyward_control::{
    Clock,
    http::{
        Access, Bounds, CertificateFiles, Listener, Management, Origin, REQUESTS_PER_MINUTE, Terms,
    },
};
use keyward_core::{network::Network, policy::Api, profile::ProfileError, rights::MANAGEMENT};
use toml::Spanned;

use super::{
    ConfigError, OFF, Reader, Unfetched, gateway,
    openid::{self, ConfiguredProvider},
    source::{ManagementDeadlinesSource, ManagementLimitsSource, ManagementSource},
};
use crate::profiles::Profiles;

/// Shorter deadlines would cut off honest clients.
const SHORTEST: Duration = Duration::from_millis(100);

/// The management API as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagementConfig {
    /// Where; `None` for nowhere.
    pub address: Option<SocketAddr>,
    /// With which certificate; without one, requests come in the clear.
    pub tls: Option<CertificateFiles>,
    /// Who may come by themselves.
    pub terms: Terms,
    /// Where browsers reach it.
    pub origins: Vec<Origin>,
    /// Proxies whose word counts.
    pub trusted_proxies: Vec<Network>,
    /// For each caller.
    pub requests_per_minute: NonZeroU32,
    /// Bounds on what clients may take.
    pub bounds: Bounds,
    /// Where people may log in with an account that they have elsewhere; in the order of the file.
    pub openid: Vec<ConfiguredProvider>,
}

impl Default for ManagementConfig {
    fn default() -> Self {
        Self {
            address: None,
            tls: None,
            terms: Terms::default(),
            origins: vec![],
            trusted_proxies: vec![],
            requests_per_minute: REQUESTS_PER_MINUTE,
            bounds: Bounds::default(),
            openid: vec![],
        }
    }
}

impl ManagementConfig {
    /// Where it is listened for, if anywhere.
    pub fn listener(&self) -> Option<Listener> {
        self.address.map(|address| Listener { address, tls: self.tls.clone() })
    }

    /// How its address is written.
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Its endpoints on these operations, with the secrets that environment and files hold.
    pub fn management(
        &self,
        control: keyward_control::Control,
        clock: Clock,
    ) -> Result<Management, Unfetched> {
        let providers = self.openid.iter().map(ConfiguredProvider::fetch);
        let access = Access {
            origins: self.origins.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            requests_per_minute: self.requests_per_minute,
            providers: providers.collect::<Result<_, _>>()?,
        };
        Ok(Management::new(control, clock, self.terms).reached_by(access, self.bounds))
    }
}

pub(super) fn compile(
    reader: &Reader,
    source: ManagementSource,
) -> Result<ManagementConfig, ProfileError> {
    let tls = match &source.tls {
        Some(tls) => Some(CertificateFiles {
            certificate: reader.existing_file(&tls.certificate, "the certificate chain (PEM)")?,
            key: reader.existing_file(&tls.key, "the certificate's private key (PEM)")?,
        }),
        None => None,
    };
    let address = match source.address.as_ref().filter(|text| text.get_ref() != OFF) {
        Some(text) => Some(compile_address(reader, text, tls.is_some())?),
        None => None,
    };
    let origins = source.origins.unwrap_or_default();
    let origins = origins.iter().map(|text| {
        text.get_ref().parse::<Origin>().map_err(|error| {
            let sentence = error.to_string();
            let (problem, remedy) = sentence.split_once(": ").unwrap_or((&sentence, "mend it"));
            reader.wrong(text, problem, remedy)
        })
    });
    let origins: Vec<_> = origins.collect::<Result<_, _>>()?;
    let providers = openid::compile(reader, source.openid)?;
    if let Some((at, _)) = providers.first()
        && address.is_some_and(|address| !address.ip().is_loopback())
        && origins.is_empty()
    {
        return Err(reader.wrong_at(
            at.clone(),
            "providers send browsers back here, and it is not known where that is",
            "write where browsers reach the management API: origins = [\"https://keys.example.com\"]",
        ));
    }
    let trusted_proxies = source.trusted_proxies.unwrap_or_default();
    let trusted_proxies =
        trusted_proxies.iter().map(|network| gateway::trusted_proxy(reader, network));
    let requests_per_minute = match source.requests_per_minute {
        None => REQUESTS_PER_MINUTE,
        Some(count) => NonZeroU32::new(*count.get_ref()).ok_or_else(|| {
            reader.wrong(&count, "0 would refuse every request", "write 1 or more")
        })?,
    };
    Ok(ManagementConfig {
        address,
        tls,
        terms: Terms { sign_up: source.sign_up.unwrap_or_default() },
        origins,
        trusted_proxies: trusted_proxies.collect::<Result<_, _>>()?,
        requests_per_minute,
        bounds: bounds(reader, &source.limits, source.deadlines)?,
        openid: providers.into_iter().map(|(_, provider)| provider).collect(),
    })
}

fn compile_address(
    reader: &Reader,
    text: &Spanned<String>,
    tls: bool,
) -> Result<SocketAddr, ProfileError> {
    match text.get_ref().parse::<SocketAddr>() {
        Ok(address) if tls || address.ip().is_loopback() => Ok(address),
        // Passwords and keys would pass in the clear.
        Ok(address) => Err(reader.wrong(
            text,
            format!(
                "{address} can be reached from other machines, and the management API would speak in the clear"
            ),
            "set `tls`, or listen at a loopback address with a proxy with TLS in front of it",
        )),
        Err(_) => Err(reader.wrong(
            text,
            format!("`{}` is no IP address with a port", text.get_ref()),
            "write one like 127.0.0.1:8081, or \"off\"",
        )),
    }
}

/// The API that management keys are of. Its profile is the built-in one, whatever stands in `profiles_dir`: its words are those that
/// the management API asks for.
pub(super) fn api() -> Result<Api, ConfigError> {
    let profile = Profiles::built_in().compile(MANAGEMENT)?;
    Ok(keyward_control::management::api(Arc::new(profile))?)
}

fn bounds(
    reader: &Reader,
    limits: &ManagementLimitsSource,
    deadlines: ManagementDeadlinesSource,
) -> Result<Bounds, ProfileError> {
    let default = Bounds::default();
    let deadline = |text: Option<Spanned<String>>, default: Duration| {
        let Some(text) = text else { return Ok(default) };
        match reader.duration(&text)? {
            short if short < SHORTEST => Err(reader.wrong(
                &text,
                format!("{} is too short a deadline", text.get_ref()),
                "write 100ms or more",
            )),
            long => Ok(long),
        }
    };
    Ok(Bounds {
        connections: gateway::count_or(reader, limits.connections.as_ref(), default.connections)?,
        body_bytes: match &limits.body_bytes {
            Some(bytes) => gateway::size(reader, bytes)?,
            None => default.body_bytes,
        },
        head: deadline(deadlines.head, default.head)?,
        body: deadline(deadlines.body, default.body)?,
        stall: deadline(deadlines.stall, default.stall)?,
        drain: deadline(deadlines.drain, default.drain)?,
    })
}
