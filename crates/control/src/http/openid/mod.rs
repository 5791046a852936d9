//! Logging in with an account elsewhere.

pub(super) mod callback;
pub(super) mod list;
pub(super) mod start;

use keyward_api::ErrorCode;

use super::{access::Origin, problem::Refusal};
use crate::openid::OpenIdError;

impl From<OpenIdError> for Refusal {
    fn from(error: OpenIdError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Where the provider sends the browser back to.
fn redirect_uri(origin: Option<&Origin>, provider: &str) -> Result<String, Refusal> {
    let origin = origin.ok_or_else(|| {
        Refusal::new(
            ErrorCode::Invalid,
            "it is not known where browsers reach this Keyward: set `[management] origins`, or come by one of this machine's own addresses",
        )
    })?;
    Ok(format!("{origin}/v1/sessions/openid/{provider}/callback"))
}
