//! Key requests: asking for a key, deciding, claiming.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::limit::LimitView;

/// What became of a request, time included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyRequestStateView {
    /// Nobody has decided yet.
    Open,
    /// Nobody decided in time.
    Expired,
    /// The key can be claimed by whoever asked.
    Approved,
    /// The key was not claimed in time.
    Lapsed,
    /// There will be no key.
    Denied,
    /// Whoever asked took it back.
    Withdrawn,
    /// The key was made.
    Claimed,
}

impl KeyRequestStateView {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Expired,
        Self::Approved,
        Self::Lapsed,
        Self::Denied,
        Self::Withdrawn,
        Self::Claimed,
    ];

    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Expired => "expired",
            Self::Approved => "approved",
            Self::Lapsed => "lapsed",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Claimed => "claimed",
        }
    }
}

/// A person, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    /// Their id.
    pub id: String,
    /// Where they are reached.
    #[schema(example = "dev@example.com")]
    pub email: String,
    /// What people call them.
    #[schema(example = "Dev")]
    pub name: String,
}

/// What a key may do, and for how long: as asked, or as granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyTermsView {
    /// Permissions; implied ones are not written out.
    #[schema(example = json!(["inference:write"]))]
    pub permissions: Vec<String>,
    /// How long the key is good from its claim on; `null` means without an end.
    #[schema(example = 2_592_000)]
    pub lifetime_seconds: Option<u64>,
    /// Networks it may be used from; empty means from everywhere.
    pub allowed_networks: Vec<String>,
    /// Models it may ask for; `null` means every model.
    pub allowed_models: Option<Vec<String>>,
    /// How much it may use, besides what its organization may.
    #[serde(default)]
    pub limits: Vec<LimitView>,
}

/// How a request was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRequestDecisionView {
    /// Who decided; `null` where it was done on the machine that Keyward runs on.
    pub by: Option<PersonView>,
    /// When.
    pub at: String,
    /// What they said.
    pub note: Option<String>,
}

/// A request for a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRequestView {
    /// Its id.
    pub id: String,
    /// Whose the key will be.
    pub organization_id: String,
    /// Who asks, and will own the key.
    pub requester: PersonView,
    /// Which API the key opens.
    #[schema(example = "inference")]
    pub api: String,
    /// What people will call the key.
    #[schema(example = "nightly")]
    pub name: String,
    /// What it is used for.
    #[schema(example = "production")]
    pub environment: String,
    /// Why it is needed.
    #[schema(example = "The nightly batch of summaries")]
    pub reason: String,
    /// What was asked for.
    pub asked: KeyTermsView,
    /// What became of it.
    pub state: KeyRequestStateView,
    /// When it was asked.
    pub created_at: String,
    /// From when on it can no longer be approved.
    pub decide_until: String,
    /// Who decided, where somebody did.
    pub decision: Option<KeyRequestDecisionView>,
    /// What was granted: all that was asked for, or less.
    pub granted: Option<KeyTermsView>,
    /// From when on the key can no longer be claimed, where it was granted.
    pub claim_until: Option<String>,
    /// The key that came of it.
    pub key_id: Option<String>,
}

/// Asking for a key.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeyRequestInput {
    /// Which API it shall open: one whose keys are asked for and approved.
    #[schema(example = "inference")]
    pub api: String,
    /// What people will call it.
    #[schema(example = "nightly")]
    pub name: String,
    /// What it is used for; left out, the preset's, else production.
    #[schema(example = "production")]
    pub environment: Option<String>,
    /// What it shall be allowed. Either these or a preset.
    #[serde(default)]
    #[schema(example = json!(["inference:read", "inference:write"]))]
    pub permissions: Vec<String>,
    /// A named bundle of permissions.
    pub preset: Option<String>,
    /// Why it is needed, for those who decide: 1 to 500 characters.
    #[schema(example = "The nightly batch of summaries")]
    pub reason: String,
    /// How long it shall be good from its claim on; left out, without an end.
    #[schema(example = 2_592_000)]
    pub lifetime_seconds: Option<u64>,
    /// Networks it will be used from; empty means from everywhere.
    #[serde(default)]
    pub allowed_networks: Vec<String>,
    /// Models it will ask for; left out, every model.
    pub allowed_models: Option<Vec<String>>,
    /// How much it will use at most, besides what its organization may.
    #[serde(default)]
    pub limits: Vec<LimitView>,
}

/// An approval. What is left out is granted as asked; what is given is at most that.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveKeyRequestInput {
    /// What the key is allowed: of what was asked for, or of what that implies.
    #[schema(example = json!(["inference:write"]))]
    pub permissions: Option<Vec<String>>,
    /// How long it is good from its claim on.
    #[schema(example = 604_800)]
    pub lifetime_seconds: Option<u64>,
    /// Networks it may be used from.
    pub allowed_networks: Option<Vec<String>>,
    /// Models it may ask for.
    pub allowed_models: Option<Vec<String>>,
    /// How much it may use: the limits that were asked for, no higher, and others beside them.
    pub limits: Option<Vec<LimitView>>,
    /// A word to whoever asked: 1 to 500 characters.
    #[schema(example = "Writing is enough for this")]
    pub note: Option<String>,
}

/// A denial.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DenyKeyRequestInput {
    /// Why, for whoever asked: 1 to 500 characters.
    #[schema(example = "Use the key of your team")]
    pub reason: String,
}

/// Which requests to list.
#[derive(Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListKeyRequestsQuery {
    /// Only requests in this state.
    #[param(inline)]
    pub state: Option<KeyRequestStateView>,
    /// Behind this request: the `next` of the page before.
    pub after: Option<String>,
    /// How many, 1 to 1,000; 100 where left out.
    pub limit: Option<u32>,
}
