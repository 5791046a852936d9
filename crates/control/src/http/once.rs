//! `Idempotency-Key`: a request that is done once, however often it is sent. [`crate::app::once`] says what is promised.
//!
//! An endpoint takes [`Once`] in place of its caller and its body, or [`OncePerson`] where only people come and no body is read, and
//! its operation commits with the answer: that is all.

use axum::{
    body::{Body as HttpBody, Bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, request::Parts},
};
use keyward_api::ErrorCode;
use serde::de::DeserializeOwned;

use super::{
    Management,
    caller::{Caller, Person},
    input::Body,
    problem::Refusal,
};
use crate::{Context, app::once::RequestText};

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
        let body = begin(management, &parts, body, &mut caller.context, STATUS).await?;
        let request = Request::from_parts(parts, body);
        let Body(input) = Body::from_request(request, management).await?;
        Ok(Self { caller, input })
    }
}

/// A person, answered with `STATUS`. What they send as a body is not read; that it is the same is asked of a repeat all the same.
pub(super) struct OncePerson<const STATUS: u16 = 201> {
    pub(super) caller: Person,
}

impl<const STATUS: u16> FromRequest<Management> for OncePerson<STATUS> {
    type Rejection = Refusal;

    async fn from_request(request: Request, management: &Management) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let mut caller = Person::from_request_parts(&mut parts, management).await?;
        drop(begin(management, &parts, body, &mut caller.context, STATUS).await?);
        Ok(Self { caller })
    }
}

/// Begins a request that is to be done once, if it says so. Gives its body, to be read.
async fn begin(
    management: &Management,
    parts: &Parts,
    body: HttpBody,
    context: &mut Context,
    status: u16,
) -> Result<HttpBody, Refusal> {
    let Some(key) = key(&parts.headers)? else { return Ok(body) };
    let request = Request::from_parts(parts.clone(), body);
    let bytes = Bytes::from_request(request, management).await;
    let bytes =
        bytes.map_err(|rejection| Refusal::new(ErrorCode::Invalid, rejection.body_text()))?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let text = RequestText { method: parts.method.as_str(), target, body: &bytes };
    let control = management.control();
    control.begin_once(context, management.running(), &key, &text, status).await?;
    Ok(HttpBody::from(bytes))
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
