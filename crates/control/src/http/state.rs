//! Which state of a thing a caller saw: `ETag` on answers, `If-Match` on changes (RFC 9110, 8.8.3 and 13.1.1).
//!
//! The tag is the revision of the last change. Without `If-Match` a change is made to whatever is there.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use keyward_api::ErrorCode;
use keyward_store::Revision;
use serde::Serialize;

use super::problem::Refusal;

/// An answer that shows a thing in this state.
pub(super) struct InState<T>(pub(super) u64, pub(super) T);

impl<T: Serialize> IntoResponse for InState<T> {
    fn into_response(self) -> Response {
        let Self(revision, body) = self;
        let mut response = Json(body).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// The state that the caller saw; `None` where any will do.
pub(super) struct Seen(pub(super) Option<Revision>);

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let mut values = parts.headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" && values.next().is_none() {
            return Ok(Self(None));
        }
        let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match (tag.and_then(|tag| tag.parse().ok()), values.next()) {
            (Some(revision), None) => Ok(Self(Some(Revision::new(revision)))),
            _ => Err(Refusal::new(
                ErrorCode::Outdated,
                "`If-Match` names no state this ever had: send one `ETag` as an answer gave it",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[tokio::test]
    async fn one_tag_as_it_was_given_or_a_star_is_taken() {
        for (sent, expected) in [
            (&[][..], Ok(None)),
            (&["*"], Ok(None)),
            (&["\"17\""], Ok(Some(Revision::new(17)))),
            (&["17"], Err(())),
            (&["W/\"17\""], Err(())),
            (&["\"17\", \"18\""], Err(())),
            (&["\"17\"", "\"18\""], Err(())),
            (&["\"x\""], Err(())),
            (&[""], Err(())),
        ] {
            let mut request = Request::builder();
            for value in sent {
                request = request.header("if-match", *value);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let seen = Seen::from_request_parts(&mut parts, &()).await;
            assert_eq!(seen.map(|seen| seen.0).map_err(drop), expected, "{sent:?}");
        }
    }
}
