//! What went wrong, in a word that programs can tell apart and a sentence for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::reference::PATH;

/// The kind of a failure. New kinds may come; the meaning of one never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// What was asked for contradicts itself, a bound, or the API's profile.
    Invalid,
    /// It does not exist, or is not the caller's: the two are not told apart.
    NotFound,
    /// Nobody showed who they are, or what they showed is wrong.
    Unauthenticated,
    /// The caller sees it, and may not do this to it.
    Forbidden,
    /// The path does not take the method.
    MethodNotAllowed,
    /// The body is not of a type that the operation reads.
    UnsupportedMediaType,
    /// The body is longer than the operation reads.
    TooLarge,
    /// It exists already, or its name is taken.
    Conflict,
    /// It was changed since the caller saw it: `If-Match` names another state.
    Outdated,
    /// The secret is still in use: retiring it would cut somebody off.
    SecretInUse,
    /// A count that the profile bounds is reached.
    LimitReached,
    /// A request with the same `Idempotency-Key` is being worked on: repeat it in a moment.
    StillRunning,
    /// It was done before under the same `Idempotency-Key`, and the answer is no longer kept; `detail` says what was made.
    AnswerGone,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused,
    /// The configuration or a profile does not say what it should.
    Configuration,
    /// It cannot be done now; later it can.
    Unavailable,
    /// What is stored is damaged, or a fault of ours.
    Internal,
    /// A browser sent this from a page of another origin, or does not say from which.
    ForeignOrigin,
    /// What the identity provider told proves nobody who may come here.
    LoginRefused,
    /// Too many requests, or wrong guesses: later it can be done. `Retry-After` says when.
    RateLimited,
    /// The body did not come in time.
    TooSlow,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 21] = [
        Self::Invalid,
        Self::NotFound,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::MethodNotAllowed,
        Self::UnsupportedMediaType,
        Self::TooLarge,
        Self::TooSlow,
        Self::ForeignOrigin,
        Self::LoginRefused,
        Self::RateLimited,
        Self::Conflict,
        Self::Outdated,
        Self::SecretInUse,
        Self::LimitReached,
        Self::StillRunning,
        Self::AnswerGone,
        Self::IdempotencyKeyReused,
        Self::Configuration,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::TooLarge => "too_large",
            Self::Conflict => "conflict",
            Self::Outdated => "outdated",
            Self::SecretInUse => "secret_in_use",
            Self::LimitReached => "limit_reached",
            Self::StillRunning => "still_running",
            Self::AnswerGone => "answer_gone",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Configuration => "configuration",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
            Self::ForeignOrigin => "foreign_origin",
            Self::LoginRefused => "login_refused",
            Self::RateLimited => "rate_limited",
            Self::TooSlow => "too_slow",
        }
    }

    /// The words of its status (RFC 9110).
    pub const fn title(self) -> &'static str {
        match self.status() {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            409 => "Conflict",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            429 => "Too Many Requests",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        }
    }

    /// The HTTP status that carries it.
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict
            | Self::LimitReached
            | Self::SecretInUse
            | Self::StillRunning
            | Self::AnswerGone => 409,
            Self::Outdated => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::IdempotencyKeyReused => 422,
            Self::Configuration | Self::Internal => 500,
            Self::Unavailable => 503,
            Self::ForeignOrigin | Self::LoginRefused => 403,
            Self::RateLimited => 429,
            Self::TooSlow => 408,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as the management API sends it (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem, as a reference to what this server says of it.
    #[serde(rename = "type")]
    #[schema(example = "/v1/errors#not_found")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// The kind of failure, stable.
    pub code: ErrorCode,
    /// What happened, to what, and what to do.
    pub detail: String,
    /// The request it answers, as `X-Request-Id` and the log say it.
    #[schema(example = "req_2v6kqj8s0w3m5n7p9r1t4x6z8b")]
    pub request_id: String,
}

impl Problem {
    /// A problem of this kind; which request it answers is written where it is sent.
    pub fn new(code: ErrorCode, detail: String) -> Self {
        Self {
            kind: format!("{PATH}#{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail,
            request_id: String::new(),
        }
    }
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// Its kind.
    pub code: ErrorCode,
    /// What happened, to what, and what to do.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_what_is_sent() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn no_code_is_forgotten() {
        let schema = serde_json::to_value(<ErrorCode as utoipa::PartialSchema>::schema()).unwrap();
        // As alternatives where the codes are described one by one.
        let text = schema.to_string();
        for code in ErrorCode::ALL {
            assert!(text.contains(&format!("\"{code}\"")), "{code} in {text}");
        }
        let count = schema["enum"]
            .as_array()
            .map_or_else(|| schema["oneOf"].as_array().unwrap().len(), Vec::len);
        assert_eq!(count, ErrorCode::ALL.len(), "{text}");
    }
}
