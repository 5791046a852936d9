//! One login, from the browser's first step to the proof of who it is.
//!
//! All that a login is bound by derives from one random secret in the browser's cookie: the state is what the provider sends back, the nonce
//! what its token holds, the verifier what shows it that whoever brings the code began (PKCE). Each is a hash of the secret under a
//! name of its own, so that who sees one knows none of the others. Nothing is kept here while the person is away; of logins that came
//! back it is kept that they did.

use std::{sync::Mutex, time::Duration};

use axum::{body::Bytes, http::Method};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keyward_core::{key::Plaintext, time::Timestamp};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    OpenIdError, Proven, Provider, Providers,
    discovery::{Discovery, Metadata, shown},
    fetch::{Call, basic},
    id_token::{self, Expected, Person},
};
use crate::{
    error::ControlError,
    mint,
    throttle::{Bounded, lock},
};

/// How long a person may be away at the provider.
pub(crate) const AWAY: Duration = Duration::from_secs(600);
/// Logins that came back, kept as long as they could come back again.
const USED: usize = 16_384;

/// What a browser begins with.
pub(crate) struct Begun {
    /// For its cookie, good for [`AWAY`].
    pub(crate) cookie: Plaintext,
    /// Where it goes.
    pub(crate) location: String,
}

/// What the browser brings back from the provider.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Answer {
    pub(crate) code: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) iss: Option<String>,
}

/// The secrets of logins that came back.
pub(super) struct Used(Mutex<Bounded<[u8; 32], Timestamp>>);

impl Used {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Bounded::new(USED)))
    }

    /// Whether it is the first time.
    fn first(&self, login: &Login, now: Timestamp) -> bool {
        let mut used = lock(&self.0);
        let key = login.hash("used");
        let quiet = now.as_millis().saturating_sub(AWAY.as_secs().saturating_mul(1000));
        let first = !used.contains(&key);
        used.put(key, now, |at| at.as_millis(), quiet);
        first
    }
}

/// What a browser's cookie says.
struct Login {
    secret: Zeroizing<String>,
    until: Timestamp,
    provider: String,
    return_to: String,
}

impl Login {
    fn hash(&self, name: &str) -> [u8; 32] {
        let hash = Sha256::new().chain_update(name).chain_update([0]).chain_update(&*self.secret);
        hash.finalize().into()
    }

    fn derived(&self, name: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.hash(name))
    }

    /// Characters that a cookie's value may have, with dots between.
    fn write(&self) -> Plaintext {
        let return_to = URL_SAFE_NO_PAD.encode(&self.return_to);
        Plaintext::new(format!(
            "{}.{}.{}.{return_to}",
            *self.secret,
            self.until.as_secs(),
            self.provider
        ))
    }

    fn read(cookie: &Plaintext) -> Option<Self> {
        let mut parts = cookie.expose().split('.');
        let (secret, until) = (parts.next()?, parts.next()?.parse().ok()?);
        let (provider, return_to, None) = (parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let return_to = URL_SAFE_NO_PAD.decode(return_to).ok()?;
        let return_to = String::from_utf8(return_to).ok()?;
        // A cookie is the browser's to change: a path is looked at again.
        (secret.len() == SECRET && is_own_path(&return_to)).then(|| Self {
            secret: Zeroizing::new(secret.to_owned()),
            until: Timestamp::from_secs(until),
            provider: provider.to_owned(),
            return_to,
        })
    }
}

/// Digits of the secret, five random bits each.
const SECRET: usize = 52;
const LONGEST_PATH: usize = 512;

/// Whether a browser that is sent there stays here: a path from the root, read in one way only.
pub(crate) fn is_own_path(text: &str) -> bool {
    let mut bytes = text.bytes();
    let rooted =
        bytes.next() == Some(b'/') && !matches!(text.as_bytes().get(1), Some(b'/' | b'\\'));
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    rooted && plain && text.len() <= LONGEST_PATH
}

impl Providers {
    fn named(&self, name: &str) -> Result<&(Provider, Discovery), OpenIdError> {
        self.by_name.get(name).ok_or(OpenIdError::NoSuchProvider)
    }

    /// Begins a login that ends at `redirect_uri`, and after it at `return_to`.
    pub(crate) async fn begin(
        &self,
        name: &str,
        redirect_uri: &str,
        return_to: &str,
        now: Timestamp,
    ) -> Result<Begun, ControlError> {
        let (provider, discovery) = self.named(name)?;
        if !is_own_path(return_to) {
            return Err(ControlError::invalid(
                "`return_to` is no path here",
                "write one like /keys, of at most 512 visible ASCII characters",
            ));
        }
        let metadata = discovery.metadata(now).await?;
        let random: [u8; SECRET] = mint::random()?;
        let mut secret = Zeroizing::new(String::with_capacity(SECRET));
        secret.extend(mint::digits(&random));
        let login = Login {
            secret,
            until: now.plus(AWAY),
            provider: name.to_owned(),
            return_to: return_to.to_owned(),
        };
        let challenge = Sha256::digest(login.derived("verifier"));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &scope(provider))
            .append_pair("state", &login.derived("state"))
            .append_pair("nonce", &login.derived("nonce"))
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256");
        let endpoint = &metadata.authorization_endpoint;
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok(Begun {
            cookie: login.write(),
            location: format!("{endpoint}{joint}{}", query.finish()),
        })
    }

    /// Ends it: who the provider proved it to be, how its people come, and where the browser goes.
    pub(crate) async fn finish(
        &self,
        name: &str,
        redirect_uri: &str,
        cookie: Option<&Plaintext>,
        answer: Answer,
        now: Timestamp,
    ) -> Result<(Proven, &Provider, String), OpenIdError> {
        let (provider, discovery) = self.named(name)?;
        let login = cookie.and_then(Login::read).ok_or(OpenIdError::NotBegun)?;
        let state = answer.state.unwrap_or_default();
        let same: bool = state.as_bytes().ct_eq(login.derived("state").as_bytes()).into();
        if !same || now >= login.until || login.provider != name || !self.used.first(&login, now) {
            return Err(OpenIdError::NotBegun);
        }
        let metadata = discovery.metadata(now).await?;
        match &answer.iss {
            Some(iss) if *iss != provider.issuer => {
                return Err(OpenIdError::Unproven("another issuer answered"));
            }
            None if metadata.authorization_response_iss_parameter_supported => {
                return Err(OpenIdError::Unproven("its answer does not name it"));
            }
            _ => {}
        }
        if let Some(error) = &answer.error {
            return Err(OpenIdError::Declined(shown(error)));
        }
        let code = answer.code.filter(|code| !code.is_empty());
        let code = code.ok_or(OpenIdError::Unproven("it gave no code"))?;
        let exchange = Exchange { provider, discovery, metadata, login: &login, now };
        let proven = exchange.proof(&code, redirect_uri).await?;
        Ok((proven, provider, login.return_to))
    }
}

fn scope(provider: &Provider) -> String {
    let others = provider.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid");
    std::iter::once("openid").chain(others).collect::<Vec<_>>().join(" ")
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    person: Person,
}

/// What comes after the browser: asking the provider what its code stands for.
struct Exchange<'x> {
    provider: &'x Provider,
    discovery: &'x Discovery,
    metadata: Metadata,
    login: &'x Login,
    now: Timestamp,
}

impl Exchange<'_> {
    async fn proof(&self, code: &str, redirect_uri: &str) -> Result<Proven, OpenIdError> {
        let tokens = self.tokens(code, redirect_uri).await?;
        let header = id_token::header(&tokens.id_token)?;
        let keys = self.discovery.keys(&header, self.now).await?;
        let expected = Expected {
            issuer: &self.provider.issuer,
            client_id: &self.provider.client_id,
            nonce: &self.login.derived("nonce"),
            now: self.now,
        };
        let (identity, person) = id_token::check(&tokens.id_token, &header, &keys, &expected)?;
        let person = match (&tokens.access_token, &self.metadata.userinfo_endpoint) {
            (Some(access), Some(url)) if !person.has_email() => {
                self.user_info(access, url, &identity.subject).await?
            }
            _ => person,
        };
        Ok(person.proven(identity))
    }

    async fn tokens(&self, code: &str, redirect_uri: &str) -> Result<Tokens, OpenIdError> {
        let call = self.token_call(code, redirect_uri);
        match self.discovery.fetcher.call(call).await? {
            (200, body) => read(&body),
            // A code that is wrong, used or somebody else's.
            (400..=499, _) => Err(OpenIdError::Declined("it does not take its code".to_owned())),
            (status, _) => Err(OpenIdError::Unreachable(format!("it answers {status}"))),
        }
    }

    fn token_call(&self, code: &str, redirect_uri: &str) -> Call<'_> {
        let client_id = &self.provider.client_id;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("code_verifier", &self.login.derived("verifier"));
        let mut authorization = None;
        match &self.provider.client_secret {
            Some(secret) if self.metadata.takes_secret_in_form() => {
                form.append_pair("client_id", client_id);
                form.append_pair("client_secret", secret.expose());
            }
            Some(secret) => authorization = Some(basic(client_id, secret.expose())),
            None => {
                form.append_pair("client_id", client_id);
            }
        }
        let body = Some(Zeroizing::new(form.finish()));
        Call { method: Method::POST, url: &self.metadata.token_endpoint, authorization, body }
    }

    /// Some issuers tell an address only here.
    async fn user_info(
        &self,
        access_token: &str,
        url: &str,
        subject: &str,
    ) -> Result<Person, OpenIdError> {
        let authorization = Some(Zeroizing::new(format!("Bearer {access_token}")));
        let call = Call { authorization, ..Call::get(url) };
        let info: UserInfo = match self.discovery.fetcher.call(call).await? {
            (200, body) => read(&body)?,
            (status, _) => return Err(OpenIdError::Unreachable(format!("it answers {status}"))),
        };
        match info.sub == subject {
            true => Ok(info.person),
            false => Err(OpenIdError::Unproven("it says two things of who it is")),
        }
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &Bytes) -> Result<T, OpenIdError> {
    serde_json::from_slice(body).map_err(|_| OpenIdError::Unproven("its answer cannot be read"))
}
