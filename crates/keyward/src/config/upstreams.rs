//! Upstreams, and where the credentials come from that they are called with.

use std::{fs, path::PathBuf};

use http::uri::Authority;
use keyward_control::StoredCredential;
use keyward_core::{
    key::Plaintext,
    path,
    policy::{Upstream, UpstreamCredential},
    profile::ProfileError,
};
use keyward_gateway::IdentityHeaders;
use toml::Spanned;
use zeroize::Zeroizing;

use super::{
    Reader,
    gateway::header_name,
    source::{CredentialSource, UpstreamSource},
};

const LONGEST_NAME: usize = 64;

/// Headers that say where a request goes and ends: a credential in one of them would break it.
const FRAMING_HEADERS: [&str; 7] =
    ["connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"];

/// Where a credential is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// Sealed in the store.
    Store,
    /// In an environment variable.
    Environment(String),
    /// In a file.
    File(PathBuf),
}

impl std::fmt::Display for CredentialOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store => f.write_str("store"),
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// An upstream as configured: without its credential, but with the way to it.
#[derive(Clone, Debug)]
pub struct ConfiguredUpstream {
    /// All but the credential.
    pub upstream: Upstream,
    /// As it was written.
    pub url: String,
    /// Where the credential comes from and goes, if it is called with one.
    pub credential: Option<(StoredCredential, CredentialOrigin)>,
}

/// A credential that could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{of}: {problem}; {remedy}")]
pub struct Unfetched {
    of: String,
    problem: String,
    remedy: String,
}

impl Unfetched {
    pub(super) fn of(of: String, problem: String, remedy: &str) -> Self {
        Self { of, problem, remedy: remedy.to_owned() }
    }
}

impl ConfiguredUpstream {
    /// Where a credential from the store goes, if it comes from there.
    pub(super) fn stored(&self) -> Option<(String, StoredCredential)> {
        match &self.credential {
            Some((place, CredentialOrigin::Store)) => {
                Some((self.upstream.name.to_string(), place.clone()))
            }
            _ => None,
        }
    }

    /// With the credential, unless it comes from the store.
    pub(super) fn fetch(&self) -> Result<Upstream, Unfetched> {
        let failed = |problem: String, remedy: &str| {
            Unfetched::of(format!("upstream `{}`", self.upstream.name), problem, remedy)
        };
        let (place, secret) = match &self.credential {
            None | Some((_, CredentialOrigin::Store)) => return Ok(self.upstream.clone()),
            Some((place, CredentialOrigin::Environment(name))) => {
                let value = std::env::var(name).map(Zeroizing::new).map_err(|_| {
                    failed(
                        format!("the environment variable `{name}` is not set"),
                        "set it to the credential that the upstream is called with",
                    )
                })?;
                (place, value)
            }
            Some((place, CredentialOrigin::File(path))) => {
                let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|cause| {
                    failed(
                        format!("{}: {cause}", path.display()),
                        "put the credential that the upstream is called with there",
                    )
                })?;
                (place, text)
            }
        };
        let secret = secret.trim();
        if secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err(failed(
                "its credential is empty, or has characters that cannot stand in a header"
                    .to_owned(),
                "give visible ASCII characters in one line",
            ));
        }
        let mut value = String::with_capacity(place.prefix.len() + secret.len());
        value.push_str(&place.prefix);
        value.push_str(secret);
        let credential =
            UpstreamCredential { header: place.header.clone(), value: Plaintext::new(value) };
        Ok(Upstream {
            credential: Some(credential),
            credential_missing: false,
            ..self.upstream.clone()
        })
    }
}

pub(super) fn compile(
    reader: &Reader,
    sources: Vec<UpstreamSource>,
    identity: &IdentityHeaders,
) -> Result<Vec<ConfiguredUpstream>, ProfileError> {
    let mut upstreams: Vec<ConfiguredUpstream> = Vec::with_capacity(sources.len());
    for source in sources {
        let name = source.name.get_ref();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(reader.wrong(
                &source.name,
                format!("`{name}` is not an upstream's name"),
                "write 1 to 64 letters, digits, `_`, `-` or `.`",
            ));
        }
        if upstreams.iter().any(|other| *other.upstream.name == **name) {
            return Err(reader.wrong(
                &source.name,
                format!("two upstreams are called `{name}`"),
                "give each a name of its own",
            ));
        }
        let credential = source
            .credential
            .map(|credential| compile_credential(reader, credential, identity))
            .transpose()?;
        let mut upstream = compile_url(reader, &source.name, &source.url, source.preserve_host)?;
        // Until it is fetched: a way that forgot to would refuse requests rather than send them without.
        upstream.credential_missing = credential.is_some();
        upstreams.push(ConfiguredUpstream { upstream, url: source.url.into_inner(), credential });
    }
    Ok(upstreams)
}

fn compile_url(
    reader: &Reader,
    name: &Spanned<String>,
    url: &Spanned<String>,
    preserve_host: bool,
) -> Result<Upstream, ProfileError> {
    const REMEDY: &str =
        "write it like \"https://api.example.com\" or \"http://10.0.0.7:8000/base\"";
    let text = url.get_ref();
    // What is wrong may be a credential in the address: it is not shown.
    let wrong = |problem: &str, remedy: &str| reader.wrong(url, problem, remedy);
    if text.contains('#') {
        return Err(wrong("the url has a fragment", "remove everything from `#` on"));
    }
    let uri: http::Uri = text.parse().map_err(|_| wrong("this is not a url", REMEDY))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong("the url is neither http nor https", REMEDY)),
    };
    let authority = uri.authority().ok_or_else(|| wrong("the url has no host", REMEDY))?;
    if authority.as_str().contains('@') {
        return Err(wrong(
            "the url holds a credential, which would stand in this file and in logs",
            "remove it and say with `credential` where it comes from",
        ));
    }
    if uri.query().is_some() {
        return Err(wrong("the url has a query", "remove everything from `?` on"));
    }
    let (host, port) = host_and_port(authority, tls).map_err(|problem| wrong(problem, REMEDY))?;
    let base_path = uri.path().trim_end_matches('/');
    if !base_path.is_empty()
        && let Err(fault) = path::check(base_path)
    {
        return Err(reader.wrong_path(url, "in the url", fault));
    }
    Ok(Upstream {
        name: name.get_ref().as_str().into(),
        tls,
        host: host.into(),
        port,
        base_path: base_path.into(),
        preserve_host,
        credential: None,
        credential_missing: false,
    })
}

/// Host without brackets, and port; or what is wrong with them.
fn host_and_port(authority: &Authority, tls: bool) -> Result<(&str, u16), &'static str> {
    let host = authority.host();
    let inside = host.trim_matches(['[', ']']);
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_named = !host.is_empty() && inside.bytes().all(is_host);
    if !is_named && inside.parse::<std::net::Ipv6Addr>().is_err() {
        return Err("the url has no host that could be called");
    }
    match authority.port() {
        Some(port) => Ok((inside, port.as_u16())),
        None if authority.as_str().len() > host.len() => {
            Err("the url's port is no number from 1 to 65535")
        }
        None => Ok((inside, if tls { 443 } else { 80 })),
    }
}

fn compile_credential(
    reader: &Reader,
    source: CredentialSource,
    identity: &IdentityHeaders,
) -> Result<(StoredCredential, CredentialOrigin), ProfileError> {
    let header = match &source.header {
        Some(name) => header_name(reader, name)?.as_str().to_owned(),
        None => "authorization".to_owned(),
    };
    if let Some(name) = source.header.as_ref().filter(|_| FRAMING_HEADERS.contains(&&*header)) {
        return Err(reader.wrong(
            name,
            format!("the header `{header}` says how requests are read"),
            "name the header in which the upstream expects its credential",
        ));
    }
    let told = [&identity.key_id, &identity.organization_id, &identity.permissions];
    if let Some(name) = &source.header
        && told.into_iter().flatten().any(|told| told.eq_ignore_ascii_case(&header))
    {
        return Err(reader.wrong(
            name,
            format!("the header `{header}` is an identity header: it tells the upstream who calls"),
            "name the header in which the upstream expects its credential, or rename the one of `[gateway.identity_headers]`",
        ));
    }
    let prefix = match source.prefix {
        Some(prefix) if !prefix.get_ref().bytes().all(|b| b.is_ascii_graphic() || b == b' ') => {
            return Err(reader.wrong(
                &prefix,
                "`prefix` has characters that cannot stand in a header",
                "use visible ASCII characters and spaces",
            ));
        }
        Some(prefix) => prefix.into_inner(),
        None if header == "authorization" => "Bearer ".to_owned(),
        None => String::new(),
    };
    let from = source.from.get_ref();
    let origin = match from.split_once(':') {
        None if from == "store" => CredentialOrigin::Store,
        Some(("env", name)) if !name.is_empty() => CredentialOrigin::Environment(name.to_owned()),
        Some(("file", path)) if !path.is_empty() => CredentialOrigin::File(reader.path(path)),
        // It may be the credential itself: it is not shown.
        _ => {
            return Err(reader.wrong(
                &source.from,
                "`from` does not say where the credential is",
                "write \"store\", \"env:NAME\" or \"file:PATH\"; the credential itself never stands in this file",
            ));
        }
    };
    Ok((StoredCredential { header: header.into(), prefix: prefix.into() }, origin))
}
