//! What a provider says of itself: its endpoints and its keys, fetched when first needed, kept for an hour.
//!
//! A token signed by a key that is not known fetches the keys again, at most once a minute: keys rotate, and strangers must not make us
//! ask at will.

use std::time::Duration;

use axum::body::Bytes;
use jsonwebtoken::{
    DecodingKey, Header,
    jwk::{Jwk, PublicKeyUse},
};
use keyward_core::time::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    OpenIdError, Provider,
    fetch::{Call, Fetcher},
};
use crate::outgoing::is_callable;

const KEPT: Duration = Duration::from_secs(3600);
const KEYS_AT_MOST_EVERY: Duration = Duration::from_secs(60);
/// A provider that fails is left alone for so long.
const REST: Duration = Duration::from_secs(5);
const MOST_KEYS: usize = 100;

/// A provider's endpoints, as it says them (OpenID Connect Discovery 1.0, 3).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) userinfo_endpoint: Option<String>,
    jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 9207: whether its answers name it.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Whether the client's secret goes into the form, because the provider takes it there and not in a header.
    pub(super) fn takes_secret_in_form(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let has = |name: &str| methods.iter().any(|method| method == name);
        has("client_secret_post") && !has("client_secret_basic")
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Default)]
struct State {
    metadata: Option<(Metadata, Timestamp)>,
    keys: Option<(Vec<Jwk>, Timestamp)>,
    failed_at: Option<Timestamp>,
}

/// See the module.
pub(super) struct Discovery {
    issuer: String,
    pub(super) fetcher: Fetcher,
    /// Held while it is fetched: whoever else wants it waits for the same answer.
    state: Mutex<State>,
}

impl Discovery {
    pub(super) fn new(provider: &Provider) -> Self {
        Self {
            issuer: provider.issuer.clone(),
            fetcher: Fetcher::new(provider),
            state: Mutex::new(State::default()),
        }
    }

    pub(super) async fn metadata(&self, now: Timestamp) -> Result<Metadata, OpenIdError> {
        let mut state = self.state.lock().await;
        self.metadata_in(&mut state, now).await
    }

    async fn metadata_in(
        &self,
        state: &mut State,
        now: Timestamp,
    ) -> Result<Metadata, OpenIdError> {
        if let Some((metadata, at)) = &state.metadata
            && now.since(*at) < KEPT
        {
            return Ok(metadata.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = self.json(state, &url, now).await?;
        if metadata.issuer != self.issuer {
            return Err(OpenIdError::Unreachable(format!(
                "it calls itself {}, not {}",
                shown(&metadata.issuer),
                self.issuer
            )));
        }
        let secure = self.issuer.starts_with("https:");
        let endpoints = [
            Some(&metadata.authorization_endpoint),
            Some(&metadata.token_endpoint),
            Some(&metadata.jwks_uri),
            metadata.userinfo_endpoint.as_ref(),
        ];
        let fits = |url: &&String| is_callable(url) && (!secure || url.starts_with("https:"));
        if !endpoints.iter().flatten().all(fits) {
            return Err(OpenIdError::Unreachable("an address it names is not https".to_owned()));
        }
        state.metadata = Some((metadata.clone(), now));
        Ok(metadata)
    }

    /// The keys that may have made a signature with this header.
    pub(super) async fn keys(
        &self,
        header: &Header,
        now: Timestamp,
    ) -> Result<Vec<DecodingKey>, OpenIdError> {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        if let Some((keys, at)) = &state.keys
            && now.since(*at) < KEPT
        {
            let fitting = fitting(keys, header);
            if !fitting.is_empty() || now.since(*at) < KEYS_AT_MOST_EVERY {
                return Ok(fitting);
            }
        }
        let url = self.metadata_in(state, now).await?.jwks_uri;
        let set: KeySet = self.json(state, &url, now).await?;
        // A kind of key that is not known here is none that a signature is checked with.
        let read = set.keys.into_iter().take(MOST_KEYS);
        let keys: Vec<Jwk> = read.filter_map(|key| serde_json::from_value(key).ok()).collect();
        let fitting = fitting(&keys, header);
        state.keys = Some((keys, now));
        Ok(fitting)
    }

    async fn json<T: for<'de> Deserialize<'de>>(
        &self,
        state: &mut State,
        url: &str,
        now: Timestamp,
    ) -> Result<T, OpenIdError> {
        if state.failed_at.is_some_and(|at| now.since(at) < REST) {
            return Err(OpenIdError::Unreachable("it failed a moment ago".to_owned()));
        }
        let fetched =
            self.fetcher.call(Call::get(url)).await.and_then(|(status, body)| match status {
                200 => read(&body),
                status => Err(OpenIdError::Unreachable(format!("it answers {status} at {url}"))),
            });
        state.failed_at = fetched.is_err().then_some(now);
        fetched
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &Bytes) -> Result<T, OpenIdError> {
    serde_json::from_slice(body)
        .map_err(|error| OpenIdError::Unreachable(format!("its answer cannot be read: {error}")))
}

/// What somebody else wrote, as far as it can stand in a sentence.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|char| char.is_ascii_graphic() || *char == ' ').take(100).collect()
}

fn fitting(keys: &[Jwk], header: &Header) -> Vec<DecodingKey> {
    let fits = |key: &&Jwk| {
        let named = header.kid.is_none() || key.common.key_id == header.kid;
        let signs = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        let made_for = key.common.key_algorithm;
        let for_this = made_for.is_none_or(|one| one.to_string() == format!("{:?}", header.alg));
        named && signs && for_this
    };
    keys.iter().filter(fits).filter_map(|key| DecodingKey::from_jwk(key).ok()).collect()
}
