//! What a configuration says of APIs and upstreams, before the store has said which credentials they are called with.
//!
//! A [`Policy`] is complete: its upstreams hold their credentials. A configuration is not, where a credential is kept
//! sealed in the store. So the configuration makes a plan, and the plan makes a policy whenever either changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keyward_core::{
    key::Plaintext,
    policy::{Api, Policy, PolicyError, Upstream, UpstreamCredential},
    profile::Profile,
};

/// Where a credential from the store is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCredential {
    /// The header, lower case.
    pub header: Box<str>,
    /// What stands before it in the header: `Bearer `, or nothing.
    pub prefix: Box<str>,
}

/// APIs and upstreams as configured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is protected.
    pub apis: Vec<Api>,
    /// Where it is forwarded to; credentials from elsewhere than the store are in place.
    pub upstreams: Vec<Upstream>,
    /// By upstream's name: those that are called with a credential from the store.
    pub stored: BTreeMap<String, StoredCredential>,
    /// Words for requests that reach no API.
    pub fallback: Arc<Profile>,
    /// How old the last state known to be true may be before we cannot know.
    pub stale_after: Option<Duration>,
}

/// Credentials from the store, by upstream's name.
pub type Credentials = BTreeMap<String, Plaintext>;

impl Plan {
    /// The policy with these credentials. An upstream whose credential is not among them is marked as
    /// lacking it, so that requests to it are refused.
    pub fn policy(&self, credentials: &Credentials) -> Result<Policy, PolicyError> {
        let mut upstreams = self.upstreams.clone();
        for upstream in &mut upstreams {
            let Some(place) = self.stored.get(&*upstream.name) else { continue };
            upstream.credential = credentials.get(&*upstream.name).map(|secret| {
                // Room for the whole value at once: a string that grew would leave pieces of it in freed memory.
                let mut value = String::with_capacity(place.prefix.len() + secret.expose().len());
                value.push_str(&place.prefix);
                value.push_str(secret.expose());
                UpstreamCredential { header: place.header.clone(), value: Plaintext::new(value) }
            });
            upstream.credential_missing = upstream.credential.is_none();
        }
        Policy::new(self.apis.clone(), upstreams, self.fallback.clone(), self.stale_after)
    }

    /// Upstreams that shall be called with a credential from the store and have none.
    pub fn lacking<'p>(&'p self, credentials: &Credentials) -> Vec<&'p str> {
        let names = self.stored.keys().map(String::as_str);
        names.filter(|name| !credentials.contains_key(*name)).collect()
    }
}

/// Whether what keys are compiled to differs between two policies: then the directory must be built anew.
pub(crate) fn keys_compile_differently(before: &Policy, after: &Policy) -> bool {
    let differs = |one: &Policy, other: &Policy| {
        one.apis().iter().any(|api| match other.api(api.name.as_str()) {
            Some(same) => {
                !api.profile.vocabulary.iter().eq(same.profile.vocabulary.iter())
                    || api.profile.ceilings != same.profile.ceilings
            }
            None => true,
        })
    };
    differs(before, after) || differs(after, before)
}
