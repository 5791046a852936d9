//! Webhooks and deliveries as they are shown.

use keyward_api::{DeliveryStateView, DeliveryView, WebhookSecretView, WebhookView};
use keyward_core::time::Timestamp;
use keyward_store::{Delivery, DeliveryState, WebhookRecord, WebhookSecret};

pub(super) fn webhook(record: &WebhookRecord, now: Timestamp) -> WebhookView {
    let webhook = &record.webhook;
    let good = |one: &&WebhookSecret| one.expires_at.is_none_or(|end| end > now);
    let secret = |one: &WebhookSecret| WebhookSecretView {
        id: one.id.to_string(),
        created_at: one.created_at.to_string(),
        expires_at: one.expires_at.map(|end| end.to_string()),
    };
    let events = webhook.events.as_ref();
    WebhookView {
        id: webhook.id.to_string(),
        organization_id: webhook.organization.as_ref().map(ToString::to_string),
        url: webhook.url.clone(),
        description: webhook.description.clone(),
        events: events.map(|events| events.iter().map(ToString::to_string).collect()),
        enabled: webhook.enabled,
        disabled_because: webhook.disabled_because.clone(),
        failing_since: record.failing.map(|failing| failing.since.to_string()),
        secrets: record.secrets.iter().filter(good).map(secret).collect(),
        revision: record.revision.get(),
        created_at: webhook.created_at.to_string(),
    }
}

pub(super) fn delivery(delivery: &Delivery) -> DeliveryView {
    let last = delivery.last.as_ref();
    DeliveryView {
        id: delivery.id.to_string(),
        webhook_id: delivery.webhook.to_string(),
        event_id: delivery.event.to_string(),
        event: delivery.kind.to_string(),
        at: delivery.at.to_string(),
        state: match delivery.state {
            DeliveryState::Waiting => DeliveryStateView::Waiting,
            DeliveryState::Delivered => DeliveryStateView::Delivered,
            DeliveryState::Failed => DeliveryStateView::Failed,
        },
        attempts: delivery.attempts,
        next_at: delivery.next_at.map(|at| at.to_string()),
        last_at: last.map(|last| last.at.to_string()),
        last_status: last.and_then(|last| last.status),
        last_problem: last.and_then(|last| last.problem.clone()),
    }
}
