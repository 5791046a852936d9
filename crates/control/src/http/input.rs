//! What a request says, read strictly: every mistake is told as a problem, with what would be right.

use std::{fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::request::Parts,
};
use keyward_api::ErrorCode;
use serde::de::DeserializeOwned;

use super::problem::Refusal;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Refusal::new(
                ErrorCode::Invalid,
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
