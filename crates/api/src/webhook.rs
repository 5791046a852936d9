//! Webhooks, and what is delivered to them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{PlaintextView, input::present};

/// A secret that what is sent is signed with; not the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecretView {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created_at: String,
    /// From when on nothing is signed with it; `null` for the newest.
    pub expires_at: Option<String>,
}

/// An address that wants to be told what happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// Its id.
    pub id: String,
    /// Whose it is; `null` for one of who runs this Keyward, which hears of every organization.
    pub organization_id: Option<String>,
    /// Where.
    pub url: String,
    /// What people say of it.
    pub description: String,
    /// What it wants to hear of; `null` means everything.
    pub events: Option<Vec<String>>,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// Why Keyward itself disabled it, if it did.
    pub disabled_because: Option<String>,
    /// Since when every try has failed; `null` where the last one did not.
    pub failing_since: Option<String>,
    /// The secrets that are good, the newest first.
    pub secrets: Vec<WebhookSecretView>,
    /// The revision of the last change to it.
    #[serde(default)]
    pub revision: u64,
    /// When it was made.
    pub created_at: String,
}

/// A webhook that was made, or got a new secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedWebhook {
    /// What receivers check signatures with (Standard Webhooks), in the clear. It is shown once.
    pub secret: PlaintextView,
    /// The webhook.
    #[serde(flatten)]
    pub webhook: WebhookView,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStateView {
    /// It will be tried, or tried again.
    Waiting,
    /// It was taken.
    Delivered,
    /// No more tries are made; it can be sent again.
    Failed,
}

impl DeliveryStateView {
    /// The word, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// One event on its way to one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    /// Its id.
    pub id: String,
    /// Where to.
    pub webhook_id: String,
    /// What is told, as receivers see it in `webhook-id`: the same at every try.
    pub event_id: String,
    /// Which kind of event.
    pub event: String,
    /// When it happened.
    pub at: String,
    /// What became of it.
    pub state: DeliveryStateView,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Option<String>,
    /// When it was last tried.
    pub last_at: Option<String>,
    /// What was answered then.
    pub last_status: Option<u16>,
    /// What went wrong then.
    pub last_problem: Option<String>,
}

/// The same, with what is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryDetailsView {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// The body: `type`, `timestamp` and `data`. Null for who may not read the audit log (`audit:read`).
    pub payload: serde_json::Value,
}

/// A new webhook.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhookInput {
    /// Where: an https address that the internet reaches. At most 2,048 ASCII characters.
    #[schema(example = "https://hooks.acme.example/keyward", max_length = 2048)]
    pub url: String,
    /// What people say of it, at most 200 characters.
    #[serde(default)]
    #[schema(example = "the on-call channel", max_length = 200)]
    pub description: String,
    /// What it wants to hear of; left out, everything.
    #[schema(example = json!(["key.revoked", "alert.raised"]))]
    pub events: Option<Vec<String>>,
}

/// What of a webhook shall be different. What is left out stays.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWebhookInput {
    /// Where.
    #[schema(example = "https://hooks.acme.example/keyward", max_length = 2048)]
    pub url: Option<String>,
    /// What people say of it.
    #[schema(example = "the on-call channel", max_length = 200)]
    pub description: Option<String>,
    /// What it wants to hear of; `null` means everything.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub events: Option<Option<Vec<String>>>,
    /// Whether anything is sent there.
    pub enabled: Option<bool>,
}

/// A new secret for a webhook.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateWebhookInput {
    /// How long what is sent is signed with the old secrets too, at most 30 days; left out, a day.
    #[schema(example = 86_400, maximum = 2_592_000)]
    pub overlap_seconds: Option<u64>,
}

/// Which deliveries to list, newest first.
#[derive(Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListDeliveriesQuery {
    /// Only those in this state.
    #[param(inline)]
    pub state: Option<DeliveryStateView>,
    /// Behind this one: the `next` of the page before.
    pub after: Option<String>,
    /// How many, 1 to 1,000; 100 where left out.
    pub limit: Option<u32>,
}
