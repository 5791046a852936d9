//! Errors as they are sent: problem details (RFC 9457), with a code that programs can tell apart.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use keyward_api::{ErrorCode, Problem};
use utoipa::IntoResponses;

use crate::{ControlError, app::once::Answer};

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What is wrong.
    Problem(Box<Problem>),
    /// Nothing: it was done before.
    Repeated(Answer),
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::Problem(Box::new(Problem::new(code, detail.into())))
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
        let problem = match self {
            Self::Problem(problem) => problem,
            Self::Repeated(answer) => {
                let json = [(header::CONTENT_TYPE, "application/json")];
                return (status(answer.status), json, answer.body.to_vec()).into_response();
            }
        };
        let status = status(problem.status);
        let mut response = (status, Json(problem)).into_response();
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"keyward management\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
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
