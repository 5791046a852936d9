//! Keys and their secrets, as people and programs see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::UsageView;

/// Whether a key may be used, expiry included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyStateView {
    /// It may be used.
    Active,
    /// Somebody disabled it, and it may be enabled again.
    Disabled,
    /// Its time is over.
    Expired,
    /// It will never be used again.
    Revoked,
}

impl KeyStateView {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Active, Self::Disabled, Self::Expired, Self::Revoked];

    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// Whether a secret still opens its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretStateView {
    /// The newest one, good as long as the key is.
    Current,
    /// An older one that is good until it expires.
    Retiring,
    /// It is refused.
    Expired,
}

impl SecretStateView {
    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Retiring => "retiring",
            Self::Expired => "expired",
        }
    }
}

/// One secret of a key, without the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Its id.
    pub id: String,
    /// First and last characters, by which its holder recognizes it.
    pub hint: String,
    /// Whether it still opens the key.
    pub state: SecretStateView,
    /// When it was made.
    pub created_at: String,
    /// From when on it is refused, where it does not last as long as the key.
    pub expires_at: Option<String>,
    /// When it was last accepted, some seconds late.
    pub last_used_at: Option<String>,
    /// From which address it was last accepted; told where one key is asked for, not in lists.
    pub last_used_from: Option<String>,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Which API it opens.
    pub api: String,
    /// Whose it is.
    pub organization_id: String,
    /// What it is used for.
    pub environment: String,
    /// Permissions as granted; implied ones are not written out.
    pub permissions: Vec<String>,
    /// Networks it may be used from; empty means from everywhere.
    pub allowed_networks: Vec<String>,
    /// Models it may ask for; `null` means every model.
    pub allowed_models: Option<Vec<String>>,
    /// Whether it may be used.
    pub state: KeyStateView,
    /// When it was made.
    pub created_at: String,
    /// From when on it is refused, if ever.
    pub expires_at: Option<String>,
    /// Its secrets, oldest first.
    pub secrets: Vec<SecretView>,
}

/// A key with what it was used for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyDetailsView {
    /// The key.
    #[serde(flatten)]
    pub key: KeyView,
    /// Its requests by route and status, over all time.
    pub usage: Vec<UsageView>,
    /// What people should know of the key, like that its rotation is due.
    pub notes: Vec<String>,
}

/// A key in the clear, on its way to the one who asked for it. No `Debug`: it must not end up in a log by accident.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct PlaintextView(String);

impl PlaintextView {
    /// Takes a key in the clear.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The key in the clear.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The answer to a creation or a rotation: the one place and time where a key stands in the clear.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// The key, in the clear. It is shown once.
    pub secret: PlaintextView,
    /// The id of the secret that was made.
    pub secret_id: String,
    /// What was made, or got a new secret.
    #[serde(flatten)]
    pub key: KeyView,
}
