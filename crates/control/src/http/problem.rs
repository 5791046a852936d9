//! Errors as they are sent: problem details (RFC 9457), with a code that programs can tell apart.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use keyward_api::{ErrorCode, Problem};
use utoipa::IntoResponses;

use crate::{ControlError, app::once::Answer};

/// Why a request was not done.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// What is wrong, and when to try again.
    Problem(Box<Problem>, Option<Duration>),
    /// Nothing: it was done before.
    Repeated(Answer),
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::Problem(Box::new(Problem::new(code, detail.into())), None)
    }

    /// Something is wrong with us.
    pub(super) fn internal() -> Self {
        Self::new(ErrorCode::Internal, "something is wrong on the server's side: its log says what")
    }

    /// Whether we could not do it, rather than would not.
    pub(super) const fn is_outage(&self) -> bool {
        matches!(self, Self::Problem(problem, _) if problem.status >= 500)
    }

    fn wait(wait: Duration, detail: &str) -> Self {
        let problem = Problem::new(ErrorCode::RateLimited, detail.to_owned());
        Self::Problem(Box::new(problem), Some(wait))
    }

    /// The caller goes too fast.
    pub(super) fn too_many_requests(wait: Duration) -> Self {
        let detail = "these are more requests in a minute than one caller may make: `Retry-After` says when to go on";
        Self::wait(wait, detail)
    }

    /// Somebody guessed wrong too often.
    pub(super) fn too_many_guesses(wait: Duration) -> Self {
        let detail = "this went wrong too often: `Retry-After` says when it may be tried again";
        Self::wait(wait, detail)
    }

    pub(super) fn unauthenticated() -> Self {
        Self::new(
            ErrorCode::Unauthenticated,
            "nobody showed who they are: send `Authorization: Bearer` with a session's token or a management key",
        )
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        if let ControlError::Repeated(answer) = error {
            return Self::Repeated(answer);
        }
        let code = error.code();
        if code.status() >= 500 {
            tracing::error!(%error, "a request of the management API failed");
        }
        // What is wrong inside is the operator's to know.
        let detail = match code {
            ErrorCode::Internal | ErrorCode::Configuration => {
                "something is wrong on the server's side: its log says what".to_owned()
            }
            _ => error.to_string(),
        };
        Self::new(code, detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = |code| StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (problem, retry_after) = match self {
            Self::Problem(problem, retry_after) => (problem, retry_after),
            Self::Repeated(answer) => {
                let json = [(header::CONTENT_TYPE, "application/json")];
                return (status(answer.status), json, answer.body.to_vec()).into_response();
            }
        };
        let status = status(problem.status);
        let mut response = status.into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"keyward management\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = retry_after {
            // Up, so that who waits as told has waited long enough.
            let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        // Written as a body by [`write`], where it is known which request it answers.
        response.extensions_mut().insert(*problem);
        response
    }
}

/// Writes what a [`Refusal`] left, or whatever else refused without words of ours, as the problem of this request.
pub(super) fn write(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    let told = response.extensions_mut().remove::<Problem>();
    let problem = match told {
        Some(problem) => problem,
        None if status.is_client_error() || status.is_server_error() => {
            let code = match status {
                StatusCode::NOT_FOUND => ErrorCode::NotFound,
                StatusCode::METHOD_NOT_ALLOWED => ErrorCode::MethodNotAllowed,
                StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
                status if status.is_client_error() => ErrorCode::Invalid,
                _ => ErrorCode::Internal,
            };
            Problem::new(code, "this cannot be answered: see /v1/openapi.json".to_owned())
        }
        None => return response,
    };
    let problem = Problem { request_id: request_id.to_owned(), ..problem };
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::from_u16(problem.status).unwrap_or(status);
    head.headers.remove(header::CONTENT_LENGTH);
    let kind = HeaderValue::from_static("application/problem+json");
    head.headers.insert(header::CONTENT_TYPE, kind);
    let body = Json(problem).into_response().into_body();
    Response::from_parts(head, body)
}

/// For the description: how any request can be refused. [`super::description`] leaves out what cannot happen to an operation.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the generator of the description alone")]
pub(super) enum Refusals {
    /// The request does not say what it should.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// Nobody showed who they are, or what they showed is wrong.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(Problem),
    /// The caller sees it, and may not do this to it.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// It does not exist, or is another organization's: the two are not told apart.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The body did not come in time.
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(Problem),
    /// It exists already, its name is taken, a bound is reached, or it was done before and cannot be answered.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// It was changed since the caller saw it.
    #[response(status = 412, content_type = "application/problem+json")]
    Outdated(Problem),
    /// The body is longer than is read.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not declared as JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(Problem),
    /// Something is wrong on the server's side.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// The `Idempotency-Key` was used for another request.
    #[response(status = 422, content_type = "application/problem+json")]
    AnotherRequest(Problem),
    /// Too many requests, or wrong guesses; `Retry-After` says when to go on.
    #[response(status = 429, content_type = "application/problem+json")]
    RateLimited(Problem),
    /// It cannot be done now; later it can.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

pub(super) async fn no_such_endpoint() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "there is no such endpoint: see /v1/openapi.json")
}

pub(super) async fn no_such_method() -> Refusal {
    Refusal::new(
        ErrorCode::MethodNotAllowed,
        "this path does not take the method: see /v1/openapi.json",
    )
}
