//! `Idempotency-Key`: a request that is done once, however often it is sent. [`crate::app::once`] says what is promised.
//!
//! An endpoint takes [`Once`] in place of its caller and its body, and its operation commits with the answer: that is all.

use axum::{
    body::{Body as HttpBody, Bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::HeaderMap,
};
use keyward_api::ErrorCode;
use serde::de::DeserializeOwned;

use super::{Management, caller::Caller, input::Body, problem::Refusal};
use crate::app::once::RequestText;

const HEADER: &str = "idempotency-key";
const LONGEST: usize = 255;

/// A caller with a JSON body, answered with `STATUS`. A repeat of what was done is not let through: it is answered here.
pub(super) struct Once<T, const STATUS: u16 = 201> {
    pub(super) caller: Caller,
    pub(super) input: T,
}

impl<T: DeserializeOwned, const STATUS: u16> FromRequest<Management> for Once<T, STATUS> {
    type Rejection = Refusal;

    async fn from_request(request: Request, management: &Management) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let mut caller = Caller::from_request_parts(&mut parts, management).await?;
        let Some(key) = key(&parts.headers)? else {
            let request = Request::from_parts(parts, body);
            let Body(input) = Body::from_request(request, management).await?;
            return Ok(Self { caller, input });
        };
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let request = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(request, management).await;
        let bytes =
            bytes.map_err(|rejection| Refusal::new(ErrorCode::Invalid, rejection.body_text()))?;
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let text = RequestText { method: method.as_str(), target, body: &bytes };
        let control = management.control();
        control.begin_once(&mut caller.context, management.running(), &key, &text, STATUS).await?;
        let request = Request::from_parts(parts, HttpBody::from(bytes));
        let Body(input) = Body::from_request(request, management).await?;
        Ok(Self { caller, input })
    }
}

/// The key that the caller chose, if any.
fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let fits = |text: &&str| {
        (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match (value.to_str().ok().filter(fits), values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(Refusal::new(
            ErrorCode::Invalid,
            "the Idempotency-Key cannot be read: send one, of 1 to 255 visible ASCII characters, like a UUID",
        )),
    }
}
