//! Why an operation was not done.

use keyward_api::{ErrorCode, ErrorView};
use keyward_store::StoreError;

/// Why an operation was not done. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The store refused it or cannot do it now.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for contradicts itself, or the API's profile.
    #[error("{what}: {remedy}")]
    Invalid {
        /// What is wrong.
        what: String,
        /// What would be right.
        remedy: String,
    },
    /// No secret can be made.
    #[error("the operating system gave no randomness ({0}): nothing was made, try again")]
    Randomness(String),
}

impl ControlError {
    pub(crate) fn invalid(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), remedy: remedy.into() }
    }

    /// Its kind.
    pub const fn code(&self) -> ErrorCode {
        use StoreError as S;
        match self {
            Self::Invalid { .. } | Self::Store(S::Invalid { .. }) => ErrorCode::Invalid,
            Self::Store(
                S::NoSuchOrganization(_)
                | S::NoSuchKey(_)
                | S::NoSuchSecret(_)
                | S::NoSuchUpstreamCredential(_)
                | S::ModelNotAssigned { .. },
            ) => ErrorCode::NotFound,
            Self::Store(
                S::OrganizationExists(_)
                | S::KeyExists(_)
                | S::SecretExists(_)
                | S::ModelTaken(_)
                | S::NameTaken { .. }
                | S::AlreadyRevoked(_),
            ) => ErrorCode::Conflict,
            Self::Store(S::TooManyKeys { .. }) => ErrorCode::LimitReached,
            Self::Store(
                S::NewerSchema { .. }
                | S::KeyMaterial { .. }
                | S::DatabaseLost { .. }
                | S::AuditChainLost { .. },
            ) => ErrorCode::Configuration,
            Self::Store(S::Corrupt { .. } | S::Sealed { .. }) => ErrorCode::Internal,
            Self::Randomness(_) | Self::Store(_) => ErrorCode::Unavailable,
        }
    }

    /// As it is sent.
    pub fn view(&self) -> ErrorView {
        ErrorView { code: self.code(), message: self.to_string() }
    }
}
