//! What webhooks are sent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AlertConditionView, SubjectView};

/// The body that a webhook is sent: one event. Kinds and members of `data` may come that are not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView<D> {
    /// Which kind of event, like `key.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub timestamp: String,
    /// What happened.
    pub data: D,
}

/// Who changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventActorView {
    /// What they are, as in the audit log.
    pub kind: String,
    /// The person's or the management key's id; `null` of others.
    pub id: Option<String>,
}

/// That something was changed: what the audit log says of it, without from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeEventData {
    /// Whose business it is; `null` where only who runs this Keyward is told.
    pub organization_id: Option<String>,
    /// What was changed.
    pub subject: SubjectView,
    /// Who did it.
    pub actor: EventActorView,
    /// What was there before, as far as it changed.
    pub before: Option<serde_json::Value>,
    /// What was there after, as far as it changed.
    pub after: Option<serde_json::Value>,
    /// The revision it made.
    pub revision: u64,
}

/// The rule that an alert comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertEventRuleView {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When people are told.
    pub condition: AlertConditionView,
}

/// That an alert rule holds of something, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertEventData {
    /// Of whose business.
    pub organization_id: Option<String>,
    /// The alert: the same when it is over.
    pub alert_id: String,
    /// By which rule.
    pub rule: AlertEventRuleView,
    /// Of what: a key's id, an organization's, or more with a word behind it.
    pub subject: String,
    /// The key, where it is one's.
    pub key_id: Option<String>,
    /// What there is, for people.
    pub message: String,
    /// Since when.
    pub raised_at: String,
}

/// That somebody wants to see whether a webhook works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestEventData {
    /// Whose webhook it is; `null` of who runs this Keyward.
    pub organization_id: Option<String>,
    /// Which.
    pub webhook_id: String,
}
