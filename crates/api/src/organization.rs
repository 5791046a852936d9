//! Organizations and the model ids that are assigned to them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limit::LimitView;

/// Whether an organization's keys work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrganizationStateView {
    /// They do.
    Active,
    /// None does until it is resumed.
    Suspended,
}

impl OrganizationStateView {
    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganizationView {
    /// The id its requests carry.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether its keys work.
    pub state: OrganizationStateView,
    /// Model ids that belong to it.
    pub model_ids: Vec<String>,
    /// Models its keys may ask for; `null` means every model.
    pub allowed_models: Option<Vec<String>>,
    /// The plan it is on; `null` means, at each API, the default plan of that API's profile.
    #[serde(default)]
    #[schema(example = "Premium")]
    pub plan: Option<String>,
    /// Its own limits, beside the plan's.
    #[serde(default)]
    pub limits: Vec<LimitView>,
    /// The revision of the last change to it; told where one organization is asked for.
    #[serde(default, skip_serializing_if = "is_untold")]
    pub revision: u64,
    /// When it was made.
    pub created_at: String,
}

/// A model id and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelIdView {
    /// The model id.
    pub id: String,
    /// Whose it is.
    pub organization_id: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_untold(revision: &u64) -> bool {
    *revision == 0
}
