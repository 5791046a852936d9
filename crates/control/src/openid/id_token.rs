//! Whether an ID token says what it must (OpenID Connect Core 1.0, 3.1.3.7).

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use keyward_core::time::Timestamp;
use keyward_store::Identity;
use serde::Deserialize;
use serde_json::Value;

use super::{OpenIdError, Proven};

/// Signatures that only the issuer can make. With `HS256` the client's secret would be enough, and `none` is no signature at all.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// How much clocks may differ.
const SKEW: Duration = Duration::from_secs(60);

/// What a token must say.
pub(super) struct Expected<'e> {
    pub(super) issuer: &'e str,
    pub(super) client_id: &'e str,
    pub(super) nonce: &'e str,
    pub(super) now: Timestamp,
}

/// What is read of it.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    azp: Option<String>,
    exp: f64,
    iat: Option<f64>,
    nbf: Option<f64>,
    nonce: Option<String>,
    #[serde(flatten)]
    person: Person,
}

/// What an issuer says of somebody, here or at its userinfo endpoint.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Person {
    email: Option<String>,
    /// A boolean; some issuers write it as a text.
    email_verified: Option<Value>,
    name: Option<String>,
}

impl Person {
    /// Whether an address is there, verified or not.
    pub(super) const fn has_email(&self) -> bool {
        self.email.is_some()
    }

    pub(super) fn proven(self, identity: Identity) -> Proven {
        let verified = match &self.email_verified {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(verified)) => verified == "true",
            _ => false,
        };
        let email = self.email.filter(|_| verified).and_then(|email| email.parse().ok());
        Proven { identity, email, name: self.name }
    }
}

/// The token's header, if its algorithm is one that counts.
pub(super) fn header(token: &str) -> Result<Header, OpenIdError> {
    let header = decode_header(token);
    let header = header.map_err(|_| OpenIdError::Unproven("its ID token cannot be read"))?;
    match ALGORITHMS.contains(&header.alg) {
        true => Ok(header),
        false => Err(OpenIdError::Unproven("its ID token is not signed by a key of its own")),
    }
}

/// Who the token says it is, if one of these keys signed it and it says what it must.
pub(super) fn check(
    token: &str,
    header: &Header,
    keys: &[DecodingKey],
    expected: &Expected<'_>,
) -> Result<(Identity, Person), OpenIdError> {
    let mut validation = Validation::new(header.alg);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    // The library reads the system's clock; here the time is an argument.
    validation.validate_exp = false;
    let claims = keys.iter().find_map(|key| decode::<Claims>(token, key, &validation).ok());
    let wrong = OpenIdError::Unproven;
    let claims = claims
        .ok_or_else(|| {
            wrong("its ID token is for somebody else, or no key of its issuer signed it")
        })?
        .claims;
    if claims.iss != expected.issuer {
        return Err(wrong("its ID token is another issuer's"));
    }
    let several = claims.aud.as_array().is_some_and(|audience| audience.len() > 1);
    let party = claims.azp.as_deref();
    if (several && party.is_none()) || party.is_some_and(|party| party != expected.client_id) {
        return Err(wrong("its ID token is for somebody else"));
    }
    let (now, skew) = (seconds(expected.now), SKEW.as_secs_f64());
    if now >= claims.exp + skew {
        return Err(wrong("its ID token has expired"));
    }
    let early = [claims.iat, claims.nbf].into_iter().flatten().any(|from| now + skew < from);
    if early {
        return Err(wrong("its ID token is from the future: do the clocks agree?"));
    }
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return Err(wrong("its ID token is of another login"));
    }
    Ok((Identity { issuer: claims.iss, subject: claims.sub }, claims.person))
}

fn seconds(at: Timestamp) -> f64 {
    Duration::from_millis(at.as_millis()).as_secs_f64()
}
