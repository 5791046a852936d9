//! What went wrong, in a word that programs can tell apart and a sentence for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// It exists already, or its name is taken.
    Conflict,
    /// A count that the profile bounds is reached.
    LimitReached,
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
    /// The body is longer than this API reads.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
}

impl ErrorCode {
    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::LimitReached => "limit_reached",
            Self::Configuration => "configuration",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
            Self::ForeignOrigin => "foreign_origin",
            Self::LoginRefused => "login_refused",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
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
            413 => "Content Too Large",
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
            Self::Conflict | Self::LimitReached => 409,
            Self::Configuration | Self::Internal => 500,
            Self::Unavailable => 503,
            Self::ForeignOrigin | Self::LoginRefused => 403,
            Self::RateLimited => 429,
            Self::TooLarge => 413,
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
    /// What kind of problem, as a URI; of ours there is nothing more to read than the code.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
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
            kind: "about:blank".to_owned(),
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
        let codes = [
            ErrorCode::Invalid,
            ErrorCode::NotFound,
            ErrorCode::Unauthenticated,
            ErrorCode::Forbidden,
            ErrorCode::MethodNotAllowed,
            ErrorCode::Conflict,
            ErrorCode::LimitReached,
            ErrorCode::Configuration,
            ErrorCode::Unavailable,
            ErrorCode::Internal,
            ErrorCode::ForeignOrigin,
            ErrorCode::LoginRefused,
            ErrorCode::RateLimited,
            ErrorCode::TooLarge,
            ErrorCode::TooSlow,
        ];
        for code in codes {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
