//! The tenant: whom keys, models and limits belong to.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ModelId, OrganizationId},
    limit::{Limit, PlanName},
    time::Timestamp,
};

/// What was decided about an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrganizationState {
    /// Its keys work.
    Active,
    /// None of its keys works until it is resumed.
    Suspended,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// The id its requests carry.
    pub id: OrganizationId,
    /// What people call it.
    pub name: String,
    /// What was decided about it.
    pub state: OrganizationState,
    /// Model ids that belong to it, each to this organization alone.
    pub model_ids: Vec<ModelId>,
    /// Models its keys may ask for; `None` means every model. A key's own list narrows it further.
    pub allowed_models: Option<Vec<String>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The plan it is on; without one, on each API the default plan of that API's profile, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanName>,
    /// Its own limits, which stand beside the plan's and narrow them. At most [`Limit::MOST_IN_A_PLACE`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
}
