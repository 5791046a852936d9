//! Keys and their secrets, as people and programs see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ErrorView, UsageView, limit::LimitView};

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
    /// For how many requests it was accepted; told like the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// For how many of them after it was replaced; of a secret that was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_since_replaced: Option<u64>,
}

/// How old secrets of a key may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationView {
    /// After how many days a secret should be replaced, 1 to 3,660.
    #[schema(minimum = 1, maximum = 3660, example = 90)]
    pub after_days: u32,
    /// Whether it is refused from then on; otherwise people are reminded.
    #[serde(default)]
    pub required: bool,
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
    /// The member who answers for it, where one does.
    #[serde(default)]
    pub owner_id: Option<String>,
    /// Words to sort it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Names with a value each.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// How much it may use, besides what its organization may.
    #[serde(default)]
    pub limits: Vec<LimitView>,
    /// How old its secrets may become, where that is its own; `null` means as the API's profile says.
    #[serde(default)]
    pub rotation: Option<RotationView>,
    /// Whether it may be used.
    pub state: KeyStateView,
    /// The revision of the last change to it.
    #[serde(default)]
    pub revision: u64,
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

/// What became of one of many keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkItem {
    /// The key, as it was named.
    pub id: String,
    /// Its state after the change; `null` where it was refused.
    pub state: Option<KeyStateView>,
    /// The revision of the last change to it.
    pub revision: Option<u64>,
    /// Why it was refused.
    pub error: Option<ErrorView>,
}

/// What became of many keys, in the order they were named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkView {
    /// Each.
    pub items: Vec<BulkItem>,
}

/// A gateway, and whether it has applied a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its id, another with each start.
    pub id: String,
    /// The machine and process.
    pub name: String,
    /// When it had applied the change, in milliseconds; `null` where it has not, or began after it.
    #[schema(example = "2026-01-01T00:00:00.040Z")]
    pub applied_at: Option<String>,
    /// When it was last heard of, in milliseconds: it said that it follows, or had applied the change.
    #[schema(example = "2026-01-01T00:00:07.512Z")]
    pub last_seen_at: String,
    /// Whether it was heard of lately.
    pub following: bool,
}

/// How far the last change to a key has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptView {
    /// The revision of the change.
    pub revision: u64,
    /// Whether every gateway that follows has applied it.
    pub everywhere: bool,
    /// The gateways.
    pub nodes: Vec<NodeView>,
}
