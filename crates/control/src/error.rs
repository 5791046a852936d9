//! Why an operation was not done.

use keyward_api::{ErrorCode, ErrorView};
use keyward_core::member::Right;
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
    /// Email and password do not belong together. Which of them is wrong is not said.
    #[error("email and password do not belong together: check both")]
    WrongPassword,
    /// Somebody showed who they are elsewhere, and may not come here.
    #[error("{0}: ask somebody who may invite you")]
    LoginRefused(&'static str),
    /// A login with an account elsewhere did not come about.
    #[error(transparent)]
    OpenId(crate::openid::OpenIdError),
    /// The caller may not.
    #[error("you may not do this (it takes `{}`): ask somebody who may", .0.permission())]
    Forbidden(Right),
    /// Keyward is ending, or a thread of it failed.
    #[error("this was interrupted: nothing was kept, try again")]
    Interrupted,
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
                | S::ModelNotAssigned { .. }
                | S::NoSuchUser(_)
                | S::NoSuchMember { .. }
                | S::NoSuchInvitation(_)
                | S::UnknownToken,
            ) => ErrorCode::NotFound,
            Self::WrongPassword => ErrorCode::Unauthenticated,
            Self::LoginRefused(_) | Self::Store(S::LinkedOtherwise { .. }) => {
                ErrorCode::LoginRefused
            }
            Self::OpenId(error) => error.code(),
            Self::Store(S::NotAllowed(_)) | Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::Store(
                S::OrganizationExists(_)
                | S::KeyExists(_)
                | S::SecretExists(_)
                | S::ModelTaken(_)
                | S::NameTaken { .. }
                | S::AlreadyRevoked(_)
                | S::SetUpAlready
                | S::EmailTaken(_)
                | S::AlreadyMember(_)
                | S::AlreadyInvited(_)
                | S::AlreadyAccepted(_)
                | S::NewcomerExpected(_)
                | S::LastOwner(_),
            ) => ErrorCode::Conflict,
            Self::Store(S::TooManyKeys { .. }) => ErrorCode::LimitReached,
            Self::Store(
                S::NewerSchema { .. }
                | S::KeyMaterial { .. }
                | S::DatabaseLost { .. }
                | S::AuditChainLost { .. },
            ) => ErrorCode::Configuration,
            Self::Store(S::Corrupt { .. } | S::Sealed { .. }) => ErrorCode::Internal,
            Self::Randomness(_) | Self::Interrupted | Self::Store(_) => ErrorCode::Unavailable,
        }
    }

    /// As it is sent.
    pub fn view(&self) -> ErrorView {
        ErrorView { code: self.code(), message: self.to_string() }
    }
}
