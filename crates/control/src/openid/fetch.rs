//! Calls to providers, as [`crate::outgoing`] makes them: bounded, redirects not followed.
//!
//! Addresses come from the operator, and from what the operator's issuer says of itself; all are https, except on this machine.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderValue, Method, Uri, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{OpenIdError, Provider};
use crate::outgoing::{self, Outgoing, Reach};

/// For one call, from the look-up of a name to the last byte.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const LONGEST_ANSWER: usize = 512 * 1024;

/// One call.
pub(super) struct Call<'c> {
    pub(super) method: Method,
    pub(super) url: &'c str,
    pub(super) authorization: Option<Zeroizing<String>>,
    /// A form.
    pub(super) body: Option<Zeroizing<String>>,
}

impl<'c> Call<'c> {
    pub(super) const fn get(url: &'c str) -> Self {
        Self { method: Method::GET, url, authorization: None, body: None }
    }

    fn written(self) -> Result<outgoing::Call<'c>, String> {
        let mut headers = Vec::new();
        if let Some(authorization) = &self.authorization {
            let value = HeaderValue::from_str(authorization);
            let mut value = value.map_err(|_| "its credential cannot be sent".to_owned())?;
            value.set_sensitive(true);
            headers.push((header::AUTHORIZATION, value));
        }
        let body = self.body.map_or_else(Vec::new, |form| {
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.push((header::CONTENT_TYPE, form_type));
            form.as_bytes().to_vec()
        });
        Ok(outgoing::Call { method: self.method, url: self.url, headers, body })
    }
}

/// `Authorization: Basic`, with both parts as forms write them (RFC 6749, 2.3.1).
pub(super) fn basic(id: &str, secret: &str) -> Zeroizing<String> {
    let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let secret = Zeroizing::new(form(secret));
    let pair = Zeroizing::new(format!("{}:{}", form(id), *secret));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// Calls one provider.
pub(super) struct Fetcher(Outgoing);

impl Fetcher {
    pub(super) fn new(provider: &Provider) -> Self {
        Self(Outgoing::new(Reach::Anywhere, provider.ca.clone(), DEADLINE, LONGEST_ANSWER))
    }

    /// The status, and the body of at most half a MiB.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<(u16, Bytes), OpenIdError> {
        let host = call.url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        let answered = match call.written() {
            Ok(call) => self.0.call(call).await,
            Err(problem) => Err(problem),
        };
        answered.map_err(|problem| {
            let host = host.unwrap_or_default();
            tracing::warn!(host, problem, "a provider of logins could not be asked");
            OpenIdError::Unreachable(problem)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_with_any_character_is_sent_as_one() {
        // "a b:" and "c:%" as forms write them.
        assert_eq!(&*basic("a b:", "c:%"), &format!("Basic {}", STANDARD.encode("a+b%3A:c%3A%25")));
    }
}
