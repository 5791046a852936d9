//! `[[management.openid]]`: where people may log in with an account that they have elsewhere.

use std::{fs, ops::Range, path::PathBuf, sync::Arc};

use keyward_control::openid::{Newcomers, Provider};
use keyward_core::{key::Plaintext, member::Role, profile::ProfileError};
use toml::Spanned;
use zeroize::Zeroizing;

use super::{
    Reader, Unfetched,
    source::{NewcomersSource, OpenIdSource},
    upstreams::CredentialOrigin,
};

const LONGEST_NAME: usize = 64;

/// A provider as configured: without its secret, but with the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredProvider {
    /// What paths name it by.
    pub name: String,
    /// What people know it by.
    pub title: String,
    /// Its issuer identifier.
    pub issuer: String,
    /// By what it knows us.
    pub client_id: String,
    /// Where the client's secret is.
    pub client_secret: Option<CredentialOrigin>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Authorities to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// Who comes without an invitation.
    pub newcomers: Option<Newcomers>,
}

impl ConfiguredProvider {
    /// With its secret.
    pub(super) fn fetch(&self) -> Result<Provider, Unfetched> {
        Ok(Provider {
            name: self.name.clone(),
            title: self.title.clone(),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.as_ref().map(|from| self.secret(from)).transpose()?,
            scopes: self.scopes.clone(),
            ca: self.ca.clone(),
            newcomers: self.newcomers.clone(),
        })
    }

    fn secret(&self, from: &CredentialOrigin) -> Result<Arc<Plaintext>, Unfetched> {
        let failed = |problem: String| {
            Unfetched::of(
                format!("login provider `{}`", self.name),
                problem,
                "put the client secret that the provider gave there",
            )
        };
        let text = match from {
            CredentialOrigin::Store => Err(failed("it is in no store".to_owned())),
            CredentialOrigin::Environment(name) => std::env::var(name)
                .map_err(|_| failed(format!("the environment variable `{name}` is not set"))),
            CredentialOrigin::File(path) => fs::read_to_string(path)
                .map_err(|cause| failed(format!("{}: {cause}", path.display()))),
        };
        let text = Zeroizing::new(text?);
        match text.trim() {
            "" => Err(failed("its client secret is empty".to_owned())),
            secret => Ok(Arc::new(Plaintext::new(secret.to_owned()))),
        }
    }
}

pub(super) fn compile(
    reader: &Reader,
    sources: Vec<OpenIdSource>,
) -> Result<Vec<(Range<usize>, ConfiguredProvider)>, ProfileError> {
    let mut providers: Vec<(Range<usize>, ConfiguredProvider)> = Vec::with_capacity(sources.len());
    for source in sources {
        let name = source.name.get_ref();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(reader.wrong(
                &source.name,
                format!("`{name}` is not a provider's name"),
                "write 1 to 64 lower-case letters, digits or `-`",
            ));
        }
        if providers.iter().any(|(_, other)| other.name == *name) {
            return Err(reader.wrong(
                &source.name,
                format!("two providers are called `{name}`"),
                "give each a name of its own",
            ));
        }
        let span = source.name.span();
        providers.push((span, compile_one(reader, source)?));
    }
    Ok(providers)
}

fn compile_one(reader: &Reader, source: OpenIdSource) -> Result<ConfiguredProvider, ProfileError> {
    let issuer = source.issuer.get_ref();
    if !keyward_control::openid::is_issuer(issuer) {
        return Err(reader.wrong(
            &source.issuer,
            format!("`{issuer}` is not an issuer"),
            "write its https address as the provider gives it, without query or fragment; http only for this machine",
        ));
    }
    if source.client_id.get_ref().trim().is_empty() {
        return Err(reader.wrong(
            &source.client_id,
            "`client_id` is empty",
            "write what the provider knows this Keyward by",
        ));
    }
    let client_secret =
        source.client_secret.as_ref().map(|from| compile_secret(reader, from)).transpose()?;
    let scopes = match source.scopes {
        None => ["openid", "email", "profile"].map(str::to_owned).into(),
        Some(scopes) => scopes
            .iter()
            .map(|scope| match scope.get_ref() {
                text if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) => {
                    Ok(text.clone())
                }
                text => Err(reader.wrong(
                    scope,
                    format!("`{text}` is not a scope"),
                    "write one like \"email\"",
                )),
            })
            .collect::<Result<_, _>>()?,
    };
    let name = source.name.into_inner();
    Ok(ConfiguredProvider {
        title: source.title.unwrap_or_else(|| name.clone()),
        name,
        client_secret,
        scopes,
        ca: match &source.ca {
            Some(file) if file.get_ref() == super::OFF => None,
            Some(file) => Some(reader.existing_file(file, "the certificates (PEM)")?),
            None => None,
        },
        newcomers: source
            .newcomers
            .as_ref()
            .map(|terms| compile_newcomers(reader, terms))
            .transpose()?,
        issuer: source.issuer.into_inner(),
        client_id: source.client_id.into_inner(),
    })
}

fn compile_secret(
    reader: &Reader,
    from: &Spanned<String>,
) -> Result<CredentialOrigin, ProfileError> {
    match from.get_ref().split_once(':') {
        Some(("env", name)) if !name.is_empty() => {
            Ok(CredentialOrigin::Environment(name.to_owned()))
        }
        Some(("file", path)) if !path.is_empty() => Ok(CredentialOrigin::File(reader.path(path))),
        // It may be the secret itself: it is not shown.
        _ => Err(reader.wrong(
            from,
            "`client_secret` does not say where the secret is",
            "write \"env:NAME\" or \"file:PATH\"; the secret itself never stands in this file",
        )),
    }
}

fn compile_newcomers(reader: &Reader, source: &NewcomersSource) -> Result<Newcomers, ProfileError> {
    let organization = source.organization.get_ref().parse();
    let organization = organization.map_err(|_| {
        let problem = format!("`{}` is no organization's id", source.organization.get_ref());
        reader.wrong(&source.organization, problem, "write one like \"org_acme\"")
    })?;
    let role = match source.role.get_ref().parse() {
        Ok(role @ (Role::Viewer | Role::Developer)) => role,
        // Who may see to others is somebody's decision, not a provider's word.
        _ => {
            return Err(reader.wrong(
                &source.role,
                format!("newcomers cannot become `{}`", source.role.get_ref()),
                "write \"viewer\" or \"developer\"",
            ));
        }
    };
    let domains: Vec<String> =
        source.domains.get_ref().iter().map(|domain| domain.to_ascii_lowercase()).collect();
    let fits = |domain: &String| domain.contains('.') && !domain.contains(['@', '*', ' ']);
    if domains.is_empty() || !domains.iter().all(fits) {
        return Err(reader.wrong(
            &source.domains,
            "`domains` does not say whose newcomers may come",
            "write the domains of their addresses, like [\"example.com\"]",
        ));
    }
    Ok(Newcomers { organization, role, domains })
}
