//! What a request says, read strictly: every mistake is told as a problem, with what would be right.

use std::{fmt::Display, str::FromStr};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use keyward_api::ErrorCode;
use serde::de::DeserializeOwned;

use super::problem::Refusal;

/// Items of a page where nobody says how many.
const PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 1000;

/// A JSON object.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let limited = Request::from_parts(parts.clone(), body);
        let bytes =
            Bytes::from_request(limited, state).await.map_err(|rejection| {
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
                        ErrorCode::TooLarge,
                        "the body is longer than is read here: send less at once",
                    ),
                    _ => Refusal::new(ErrorCode::Invalid, rejection.body_text()),
                }
            })?;
        let is_object = bytes.trim_ascii_start().first().is_none_or(|first| *first == b'{');
        let request = Request::from_parts(parts, bytes.into());
        match axum::Json::<T>::from_request(request, state).await {
            // A struct would also be read from its fields' values in a list: in an order that nobody promised.
            Ok(axum::Json(body)) if is_object => Ok(Self(body)),
            Ok(_) => {
                Err(Refusal::new(ErrorCode::Invalid, "the body is JSON, but no object: send `{…}`"))
            }
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Refusal::new(
                ErrorCode::UnsupportedMediaType,
                "the body is not declared as JSON: send `Content-Type: application/json`",
            )),
            Err(rejection) => Err(Refusal::new(ErrorCode::Invalid, rejection.body_text())),
        }
    }
}

/// The parameters of a path, in their order.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(rejection) => Err(Refusal::new(ErrorCode::NotFound, rejection.body_text())),
        }
    }
}

/// The parameters of a query.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(Refusal::new(ErrorCode::Invalid, rejection.body_text())),
        }
    }
}

/// A field of a body or query as what it should be.
pub(super) fn read<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error| {
        Refusal::new(ErrorCode::Invalid, format!("`{field}` cannot be read: {error}"))
    })
}

/// What was sent does not fit, and why.
pub(super) fn invalid(why: impl Display) -> Refusal {
    Refusal::new(ErrorCode::Invalid, why.to_string())
}

/// An id in a path. What cannot be one is answered like one that nothing has.
pub(super) fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error| Refusal::new(ErrorCode::NotFound, format!("{error}")))
}

/// How many items a page may hold.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Refusal> {
    match asked {
        None => Ok(PAGE),
        Some(limit @ 1..=LONGEST_PAGE) => Ok(limit),
        Some(limit) => Err(Refusal::new(
            ErrorCode::Invalid,
            format!("`limit` is {limit}: ask for 1 to {LONGEST_PAGE} items a page"),
        )),
    }
}

/// Behind which numbered item a page begins. No number is longer than a JSON reader's 64 bits with a sign.
pub(super) fn after(asked: Option<u64>) -> Result<Option<u64>, Refusal> {
    match asked {
        Some(number) if i64::try_from(number).is_err() => {
            Err(Refusal::new(ErrorCode::Invalid, "`after` is no number that a page ended with"))
        }
        number => Ok(number),
    }
}
