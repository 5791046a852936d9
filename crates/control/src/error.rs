//! Why an operation was not done.

use keyward_api::{ErrorCode, ErrorView};
use keyward_core::{
    id::ApiName,
    key::Unusable,
    member::{Right, Role},
};
use keyward_store::StoreError;

use crate::app::once::Answer;

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
    /// The request was done before; this is its answer. No failure, but nothing is done again either.
    #[error("this was done before, and is answered as it was")]
    Repeated(Answer),
    /// The request was done before, and its answer is no longer kept.
    #[error(
        "this was done before, and made {0}; its answer is gone: look at {0}, and if a secret is lost, make a new one"
    )]
    AnswerGone(String),
    /// Another request came under the same key.
    #[error("the Idempotency-Key was used for another request: choose a new one for each")]
    AnotherRequest,
    /// A request under the same key has not ended.
    #[error("a request with this Idempotency-Key is still being worked on: repeat it in a moment")]
    StillRunning,
    /// More people log in at once than passwords can be checked of.
    #[error("too many passwords are being checked: try again in a moment")]
    Busy,
    /// The key would have more than keys of the role may.
    #[error("keys of the role {} may not have `{beyond}` here: leave it out, or ask somebody who may", .role.as_str())]
    BeyondRole {
        /// Whose role.
        role: Role,
        /// The first permission that is too much.
        beyond: String,
    },
    /// Members do not make keys for this API: they ask for them.
    #[error("keys for API `{0}` are asked for and approved: send a key request instead")]
    ByRequest(ApiName),
    /// Members get keys for this API from who runs this Keyward.
    #[error("keys for API `{0}` are given out by who runs this Keyward: ask them for one")]
    ByStaff(ApiName),
    /// Whoever rotates a key sees its new secret.
    #[error(
        "secrets of keys for API `{0}` are seen by whose they are alone: have them rotate it, or disable or revoke it"
    )]
    AnothersSecret(ApiName),
    /// A mail that must not be lost could not be taken in.
    #[error(
        "too many mails wait to be sent, and this one would be lost: nothing was done, try again later"
    )]
    MailFull,
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
                | S::NoSuchKeyRequest(_)
                | S::NoSuchPlan(_)
                | S::NoSuchPrice(_)
                | S::NoSuchWebhook(_)
                | S::NoSuchDelivery(_)
                | S::NoSuchAlertRule(_)
                | S::NoSuchAlert(_)
                | S::UnknownToken,
            ) => ErrorCode::NotFound,
            Self::WrongPassword | Self::Store(S::PasswordChanged) => ErrorCode::Unauthenticated,
            Self::Busy => ErrorCode::Unavailable,
            Self::LoginRefused(_) | Self::Store(S::LinkedOtherwise { .. }) => {
                ErrorCode::LoginRefused
            }
            Self::OpenId(error) => error.code(),
            Self::Store(S::KeyNotGood(Unusable::Suspended | Unusable::ForeignNetwork)) => {
                ErrorCode::Forbidden
            }
            Self::Store(S::KeyNotGood(_)) => ErrorCode::Unauthenticated,
            Self::AnswerGone(_) => ErrorCode::AnswerGone,
            Self::AnotherRequest => ErrorCode::IdempotencyKeyReused,
            Self::StillRunning | Self::Repeated(_) | Self::Store(S::DoneBefore) => {
                ErrorCode::StillRunning
            }
            Self::Store(S::NotAllowed(_) | S::OwnKeyRequest(_) | S::NotTheRequester(_))
            | Self::Forbidden(_)
            | Self::BeyondRole { .. }
            | Self::ByRequest(_)
            | Self::ByStaff(_)
            | Self::AnothersSecret(_) => ErrorCode::Forbidden,
            Self::Store(S::Outdated { .. }) => ErrorCode::Outdated,
            Self::Store(S::SecretInUse { .. }) => ErrorCode::SecretInUse,
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
                | S::KeyRequestClosed { .. }
                | S::PlanInUse { .. }
                | S::WebhookDisabled(_)
                | S::LastOwner(_),
            ) => ErrorCode::Conflict,
            Self::Store(
                S::TooManyKeys { .. }
                | S::TooManyKeyRequests { .. }
                | S::TooManyInvitations { .. }
                | S::TooManyWebhooks { .. }
                | S::TooManyAlertRules { .. },
            ) => ErrorCode::LimitReached,
            Self::Store(
                S::NewerSchema { .. }
                | S::KeyMaterial { .. }
                | S::DatabaseLost { .. }
                | S::AuditChainLost { .. },
            ) => ErrorCode::Configuration,
            Self::Store(S::Corrupt { .. } | S::Sealed { .. }) => ErrorCode::Internal,
            Self::Randomness(_) | Self::Interrupted | Self::MailFull | Self::Store(_) => {
                ErrorCode::Unavailable
            }
        }
    }

    /// As it is sent.
    pub fn view(&self) -> ErrorView {
        ErrorView { code: self.code(), message: self.to_string() }
    }
}
