//! Logging in with an account elsewhere: OpenID Connect's authorization code flow, with PKCE, as far as a login needs it.
//!
//! What is promised: a login ends in the browser that began it (state, nonce and the proof of PKCE all derive from one random secret in that
//! browser's cookie, and each secret is good once); an ID token counts only with a signature by a key that the issuer publishes now, an
//! asymmetric algorithm, this issuer, this client, its time and this login's nonce; and an address counts only where the issuer says that it
//! is verified. Who somebody is here is asked in `app::people::openid`.
//!
//! Signatures and JSON web keys are the crate `jsonwebtoken`'s, on aws-lc-rs, which TLS uses already; it brings two packages. The crate `openidconnect`
//! was weighed: with `oauth2` under it, it brings RSA, elliptic curves and big numbers of its own (some fifty packages, one with a standing
//! advisory on timing), dynamic registration and claim languages that nothing here needs, and leaves the cache and rotation of keys, the binding to a
//! browser and the bounds on answers to write as well. What is written here is the order of the steps, which is what has to be read.
//!
//! Rejected: logins kept in memory while they go on (a table that strangers fill, and a login that a restart breaks); the implicit and hybrid
//! flows; dynamic discovery of issuers: they are the operator's to name.

mod discovery;
mod fetch;
mod id_token;
mod login;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use keyward_api::ErrorCode;
use keyward_core::{id::OrganizationId, key::Plaintext, member::Role};

pub(crate) use login::{AWAY, Answer};

use self::{discovery::Discovery, login::Used};

/// Where people may log in with an account that they have there.
#[derive(Clone)]
pub struct Provider {
    /// What paths name it by.
    pub name: String,
    /// What people know it by.
    pub title: String,
    /// Its issuer identifier: an https address.
    pub issuer: String,
    /// By what it knows us.
    pub client_id: String,
    /// What proves to it that we are that; none for a public client.
    pub client_secret: Option<Arc<Plaintext>>,
    /// What is asked for; `openid` is always.
    pub scopes: Vec<String>,
    /// Certificate authorities (PEM) to trust for it beside the system's.
    pub ca: Option<PathBuf>,
    /// Whether people come by it who are neither known nor invited, and as what.
    pub newcomers: Option<Newcomers>,
}

/// What becomes of people who are neither known nor invited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomers {
    /// The organization they become members of.
    pub organization: OrganizationId,
    /// As what.
    pub role: Role,
    /// Of which domains their verified address must be, in lower case.
    pub domains: Vec<String>,
}

/// Why a login did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenIdError {
    /// No provider of this name.
    #[error("there is no provider of this name: GET /v1/sessions/openid lists them")]
    NoSuchProvider,
    /// The browser comes back with something that it did not begin, took too long, or comes twice.
    #[error(
        "this login was not begun in this browser, took too long, or was ended before: begin again"
    )]
    NotBegun,
    /// The provider says no.
    #[error("the provider refused the login ({0}): begin again, or ask who runs it")]
    Declined(String),
    /// What the provider says proves nothing.
    #[error(
        "what the provider said proves nobody's identity ({0}): begin again, or ask who runs this Keyward"
    )]
    Unproven(&'static str),
    /// The provider cannot be asked.
    #[error("the provider cannot be asked now ({0}): try again later")]
    Unreachable(String),
}

/// Whether this can be an issuer: an https address without query and fragment; http for this machine only.
pub fn is_issuer(text: &str) -> bool {
    crate::outgoing::is_callable(text) && !text.contains(['?', '#', '@'])
}

impl OpenIdError {
    /// Its kind.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoSuchProvider => ErrorCode::NotFound,
            Self::NotBegun | Self::Declined(_) | Self::Unproven(_) => ErrorCode::LoginRefused,
            Self::Unreachable(_) => ErrorCode::Unavailable,
        }
    }
}

/// Somebody, as the provider proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The issuer and its name for them.
    pub identity: keyward_store::Identity,
    /// Their address, if the issuer verified it.
    pub email: Option<keyward_core::member::Email>,
    /// What people call them, if the issuer says it.
    pub name: Option<String>,
}

/// All providers, with what is known of them.
pub(crate) struct Providers {
    by_name: BTreeMap<String, (Provider, Discovery)>,
    used: Used,
}

impl Providers {
    pub(crate) fn new(providers: Vec<Provider>) -> Self {
        let with_discovery = providers.into_iter().map(|provider| {
            let discovery = Discovery::new(&provider);
            (provider.name.clone(), (provider, discovery))
        });
        Self { by_name: with_discovery.collect(), used: Used::new() }
    }

    /// In the order of their names.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Provider> {
        self.by_name.values().map(|(provider, _)| provider)
    }

    /// Refuses a name that none has.
    pub(crate) fn require(&self, name: &str) -> Result<(), OpenIdError> {
        self.by_name.contains_key(name).then_some(()).ok_or(OpenIdError::NoSuchProvider)
    }
}
