//! What every code of an error means and what to do about it, as a text for people: `docs/errors.md`, which a server also gives
//! out under [`PATH`], so that the `type` of a problem leads to it.

use std::fmt::Write as _;

use crate::ErrorCode;

/// Where a server gives out the reference.
pub const PATH: &str = "/v1/errors";

const HEAD: &str = "# Errors

Whatever the management API does not do, it answers with a problem (RFC 9457, `application/problem+json`):

```json
{\"type\":\"/v1/errors#conflict\",\"title\":\"Conflict\",\"status\":409,\"code\":\"conflict\",\"detail\":\"the name `ci` is taken by key key_…: choose another name, or revoke that key\"}
```

`code` is for programs: new ones may come, the meaning of one never changes. `detail` is for people: what happened, to what, and what to do; its
words may change. The command line ends with exit code 1 and says the same words; with `--json` it says `{\"error\":{\"code\":…,\"message\":…}}`.
Other statuses may come from what stands between: a proxy, or the reading of HTTP itself.

| code | status | |
|---|---|---|
";

impl ErrorCode {
    /// What has happened.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Invalid => {
                "What was asked for cannot be read, contradicts itself, breaks a bound, or does not fit the API's profile."
            }
            Self::NotFound => {
                "It does not exist, or belongs to another organization: the two are not told apart."
            }
            Self::Unauthenticated => "Nobody showed who they are, or what they showed is wrong.",
            Self::Forbidden => "The caller sees it, and may not do this to it.",
            Self::MethodNotAllowed => "The path does not take the method.",
            Self::UnsupportedMediaType => "The body is not of a type that the operation reads.",
            Self::TooLarge => "The body is longer than the operation reads.",
            Self::TooSlow => "The body did not come in time.",
            Self::ForeignOrigin => {
                "A browser's cookie would change something, and the request does not come from a page of ours."
            }
            Self::LoginRefused => "Somebody logged in elsewhere, and is not let in here by it.",
            Self::RateLimited => {
                "The caller makes more requests than one may, or guessed wrong too often."
            }
            Self::Conflict => {
                "It exists already, its name is taken, or it is in a state in which this cannot be done."
            }
            Self::Outdated => {
                "It was changed since the caller saw it: `If-Match` names another state."
            }
            Self::SecretInUse => {
                "The secret was used after it was replaced: retiring it would cut somebody off."
            }
            Self::LimitReached => "A count that the API's profile bounds is reached.",
            Self::StillRunning => "A request with the same `Idempotency-Key` is being worked on.",
            Self::AnswerGone => {
                "The request was done before, under the same `Idempotency-Key`, and its answer is no longer kept."
            }
            Self::IdempotencyKeyReused => {
                "Another request was done under the same `Idempotency-Key`."
            }
            Self::Configuration => "The configuration or a profile does not say what it should.",
            Self::Unavailable => "It cannot be done now; later it can.",
            Self::Internal => "What is stored is damaged, or Keyward is at fault.",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Invalid => {
                "Change the request as `detail` says. Sent again as it is, it is refused again."
            }
            Self::NotFound => {
                "Check the id, and that the caller belongs to the organization. List what there is."
            }
            Self::Unauthenticated => {
                "Log in again and send the new token as `Authorization: Bearer`; on the command line, `keyward login`."
            }
            Self::Forbidden => {
                "Ask somebody with the right that `detail` names, or for a higher role."
            }
            Self::MethodNotAllowed => {
                "Use a method of the answer's `Allow`; `/v1/openapi.json` describes them."
            }
            Self::UnsupportedMediaType => "Send JSON, with `Content-Type: application/json`.",
            Self::TooLarge => "Send less at once.",
            Self::TooSlow => "Send it faster, or less of it.",
            Self::ForeignOrigin => {
                "Send the request from a page of one of the `origins` that the configuration names; programs send `Authorization` instead."
            }
            Self::LoginRefused => {
                "Do as `detail` says: most often, log in with the password once, or ask for an invitation."
            }
            Self::RateLimited => "Wait as long as `Retry-After` says.",
            Self::Conflict => {
                "Read the thing again, and decide anew: `detail` says what stands in the way."
            }
            Self::Outdated => {
                "Read the thing again, decide anew, and send the `ETag` of that answer as `If-Match`."
            }
            Self::SecretInUse => {
                "Find out who uses it (the key shows from which address, and how often), or send `force=true`."
            }
            Self::LimitReached => {
                "Revoke what is no longer used, or ask who runs this Keyward for more."
            }
            Self::StillRunning => "Try again after a moment: then the first one's answer is given.",
            Self::AnswerGone => {
                "Look at what was made, which `detail` names. A secret that was lost is replaced by rotating the key."
            }
            Self::IdempotencyKeyReused => "Choose a new `Idempotency-Key` for each new request.",
            Self::Configuration => {
                "Nothing that a caller can do: its operator finds the cause in the log (`keyward config check`)."
            }
            Self::Unavailable => {
                "Try again after a moment. If it lasts, its operator finds the cause in the log."
            }
            Self::Internal => {
                "Nothing that a caller can do: its operator finds the cause in the log, and keeps a copy of the data folder."
            }
        }
    }
}

/// The whole text, in Markdown.
pub fn errors() -> String {
    let mut text = HEAD.to_owned();
    for code in ErrorCode::ALL {
        let _ = writeln!(
            text,
            "| [`{code}`](#{code}) | {} {} | {} |",
            code.status(),
            code.title(),
            code.meaning()
        );
    }
    for code in ErrorCode::ALL {
        let _ = write!(text, "\n## {code}\n\n{}\n\n{}\n", code.meaning(), code.remedy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_the_committed_one() {
        let how = "cargo run -p keyward-api --example errors > docs/errors.md";
        assert!(include_str!("../../../docs/errors.md") == errors(), "codes have changed: {how}");
    }

    #[test]
    fn a_problem_leads_to_its_place_in_the_reference() {
        for code in ErrorCode::ALL {
            let problem = crate::Problem::new(code, String::new());
            let place = problem.kind.strip_prefix(PATH).unwrap().replace('#', "\n## ");
            assert!(errors().contains(&format!("{place}\n")), "{code}");
        }
    }
}
