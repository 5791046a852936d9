//! Key requests: a member asks for a key, somebody who may decides, and the member claims it.
//!
//! What is granted is never wider than what was asked. Nothing secret stands in a request: the key is made when it is claimed, in
//! the claim's transaction, so whoever decides has nothing to see. That a request is too old to be decided on, or an
//! approval too old to be claimed, follows from the time and is not stored.
//!
//! Rejected: making the key, without a secret, when it is approved. A key that nobody can use yet would have its own state
//! everywhere keys are looked at.

use std::time::Duration;

use keyward_core::{
    id::{ApiName, KeyId, KeyRequestId, OrganizationId, UserId},
    key::{Environment, Key, Secret},
    limit::Limit,
    network::Network,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// What a key may do, and for how long: as asked, or as granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyTerms {
    /// Names from the vocabulary of the API's profile; implied ones are not written out.
    pub permissions: Vec<String>,
    /// How long the key is good from its claim on, in seconds; `None` means without an end.
    pub lifetime_seconds: Option<u64>,
    /// Networks it may be used from; empty means from everywhere.
    pub allowed_networks: Vec<Network>,
    /// Models it may ask for; `None` means every model.
    pub allowed_models: Option<Vec<String>>,
    /// How much it may use, besides what its organization may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
}

impl KeyTerms {
    /// From when on a key is refused that is claimed at `at`.
    pub fn expires_at(&self, at: Timestamp) -> Option<Timestamp> {
        self.lifetime_seconds.map(|seconds| at.plus(Duration::from_secs(seconds)))
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyRequestState {
    /// Nobody has decided yet.
    Open,
    /// The key can be claimed.
    Approved,
    /// There will be no key.
    Denied,
    /// Whoever asked took it back.
    Withdrawn,
    /// The key was made.
    Claimed,
}

impl KeyRequestState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Approved, Self::Denied, Self::Withdrawn, Self::Claimed];

    /// The word it is stored and shown by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Claimed => "claimed",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Who decided on a request, and what they said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequestDecision {
    /// Who; `None` from the machine itself.
    pub by: Option<UserId>,
    /// When.
    pub at: Timestamp,
    /// What they said; always something where they denied it.
    pub note: Option<String>,
}

/// What was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGrant {
    /// What the key will be.
    pub terms: KeyTerms,
    /// From when on it can no longer be claimed.
    pub claim_until: Timestamp,
}

/// A member's request for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// Public id.
    pub id: KeyRequestId,
    /// Whose the key will be.
    pub organization: OrganizationId,
    /// Who asks, and will own the key.
    pub requester: UserId,
    /// Which API it opens.
    pub api: ApiName,
    /// What people will call it. 1 to 100 characters.
    pub name: String,
    /// What it is used for.
    pub environment: Environment,
    /// Why it is needed. 1 to 500 characters.
    pub reason: String,
    /// What is asked for.
    pub asked: KeyTerms,
    /// When.
    pub created_at: Timestamp,
    /// From when on it can no longer be approved.
    pub decide_until: Timestamp,
    /// What became of it.
    pub state: KeyRequestState,
    /// Who decided, where somebody did.
    pub decision: Option<KeyRequestDecision>,
    /// What was granted, where something was.
    pub granted: Option<KeyGrant>,
    /// The key that came of it.
    pub key: Option<KeyId>,
}

/// What can be done to requests. Like every change: one transaction, one audit entry, one revision.
#[derive(Clone, Debug)]
pub enum KeyRequestChange {
    /// A new request, open and undecided.
    Ask(KeyRequest),
    /// Whoever asked takes it back, decided or not, as long as there is no key.
    Withdraw(KeyRequestId),
    /// It is approved: for all that was asked, or less.
    Approve {
        /// Which.
        request: KeyRequestId,
        /// What is granted.
        granted: KeyGrant,
        /// What whoever decides says to it.
        note: Option<String>,
    },
    /// It is denied, or an approval that was not claimed is taken back.
    Deny {
        /// Which.
        request: KeyRequestId,
        /// Why.
        note: String,
    },
    /// Whoever asked gets the key. It is made here, exactly as granted.
    Claim {
        /// Which.
        request: KeyRequestId,
        /// The key.
        key: Key,
        /// Its first secret.
        secret: Secret,
        /// How many keys that are not revoked the organization may have at this API, this one included.
        most_active: Option<u32>,
    },
}

/// Which requests to list; what is `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRequestFilter {
    /// In this organization.
    pub organization: Option<OrganizationId>,
    /// Of this person.
    pub requester: Option<UserId>,
    /// In this state.
    pub state: Option<KeyRequestState>,
}
