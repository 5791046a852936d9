//! An OpenID provider that says whatever a test tells it to.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::fixture::NOW;

pub(super) const CLIENT: &str = "keyward test";
pub(super) const SECRET: &str = "s3cret:%";

/// How the ID token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// By the key that is published.
    Own,
    /// By one that is not, under the published one's name.
    Foreign,
    /// By what the client knows.
    Shared(&'static str),
    /// By what everybody knows: the published key's bytes as a shared secret.
    PublicKey,
    /// Not at all.
    None,
    /// By the key, but something else.
    Tampered,
}

pub(super) struct Said {
    key: KeyPair,
    kid: String,
    pub(super) published: Vec<Value>,
    pub(super) claims: Value,
    pub(super) signature: Signature,
    pub(super) user_info: Value,
    pub(super) metadata: Value,
    nonce: String,
    challenge: String,
    fetched: u32,
}

type Shared = Arc<Mutex<Said>>;

pub(super) struct TestProvider {
    pub(super) issuer: String,
    said: Shared,
}

fn jwk(key: &KeyPair, kid: &str) -> Value {
    // An uncompressed point: 4, x, y.
    let (x, y) = key.public_key_raw()[1..].split_at(32);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": text(x), "y": text(y) })
}

impl TestProvider {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = KeyPair::generate().unwrap();
        let said = Said {
            published: vec![json!({ "kty": "of tomorrow" }), jwk(&key, "one")],
            key,
            kid: "one".to_owned(),
            claims: json!({}),
            signature: Signature::Own,
            user_info: Value::Null,
            metadata: json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "userinfo_endpoint": format!("{issuer}/userinfo"),
                "jwks_uri": format!("{issuer}/keys"),
            }),
            nonce: String::new(),
            challenge: String::new(),
            fetched: 0,
        };
        let said = Arc::new(Mutex::new(said));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(user_info))
            .with_state(said.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, said }
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock().unwrap());
    }

    /// What the next ID token says beside what it must.
    pub(super) fn says(&self, claims: Value) {
        self.set(|said| said.claims = claims);
    }

    /// What a browser was sent here with.
    pub(super) fn asked(&self, nonce: &str, challenge: &str) {
        self.set(|said| (said.nonce, said.challenge) = (nonce.to_owned(), challenge.to_owned()));
    }

    pub(super) fn keys_fetched(&self) -> u32 {
        self.said.lock().unwrap().fetched
    }

    pub(super) fn rotate(&self) {
        self.set(|said| {
            said.key = KeyPair::generate().unwrap();
            said.kid = "two".to_owned();
            said.published = vec![jwk(&said.key, "two")];
        });
    }
}

async fn metadata(State(said): State<Shared>) -> Json<Value> {
    Json(said.lock().unwrap().metadata.clone())
}

async fn keys(State(said): State<Shared>) -> Json<Value> {
    let mut said = said.lock().unwrap();
    said.fetched += 1;
    Json(json!({ "keys": said.published }))
}

async fn user_info(
    State(said): State<Shared>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let info = said.lock().unwrap().user_info.clone();
    match headers["authorization"] == "Bearer access" && !info.is_null() {
        true => Ok(Json(info)),
        false => Err(StatusCode::UNAUTHORIZED),
    }
}

async fn token(
    State(said): State<Shared>,
    headers: HeaderMap,
    form: String,
) -> Result<Json<Value>, StatusCode> {
    let form: std::collections::BTreeMap<String, String> =
        form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let said = said.lock().unwrap();
    let credential = STANDARD.encode("keyward+test:s3cret%3A%25");
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    let is_right = headers["authorization"] == format!("Basic {credential}")
        && form["grant_type"] == "authorization_code"
        && form["code"] == "good"
        && form["redirect_uri"].ends_with("/v1/sessions/openid/company/callback")
        && challenge == said.challenge;
    if !is_right {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(Json(
        json!({ "access_token": "access", "token_type": "Bearer", "id_token": said.id_token() }),
    ))
}

impl Said {
    fn id_token(&self) -> String {
        let mut claims = json!({
            "iss": self.metadata["issuer"],
            "aud": CLIENT,
            "exp": NOW.as_secs() + 1_000_000,
            "iat": NOW.as_secs(),
            "nonce": self.nonce,
        });
        for (name, value) in self.claims.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = |alg| Header { kid: Some(self.kid.clone()), ..Header::new(alg) };
        let by = |alg, key: &EncodingKey| jsonwebtoken::encode(&header(alg), &claims, key).unwrap();
        let own =
            |key: &KeyPair| by(Algorithm::ES256, &EncodingKey::from_ec_der(&key.serialize_der()));
        match self.signature {
            Signature::Own => own(&self.key),
            Signature::Foreign => own(&KeyPair::generate().unwrap()),
            Signature::Shared(secret) => {
                by(Algorithm::HS256, &EncodingKey::from_secret(secret.as_bytes()))
            }
            Signature::PublicKey => {
                by(Algorithm::HS256, &EncodingKey::from_secret(self.key.public_key_raw()))
            }
            Signature::None => {
                let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
                format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(&claims))
            }
            Signature::Tampered => {
                let token = own(&self.key);
                let mut parts = token.split('.');
                let (header, _, signature) =
                    (parts.next().unwrap(), parts.next(), parts.next().unwrap());
                claims["email"] = json!("ada@example.com");
                format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()))
            }
        }
    }
}
