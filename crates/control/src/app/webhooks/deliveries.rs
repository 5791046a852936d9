//! What was sent to webhooks, and sending it again.

use keyward_api::{DeliveryDetailsView, DeliveryView, Page};
use keyward_core::{
    id::{DeliveryId, WebhookId},
    member::Right,
};
use keyward_store::{
    Change, Delivery, DeliveryFilter, DeliveryState, Page as StorePage, StoreError, WebhookChange,
    WebhookRecord,
};

use super::{super::Control, shown};
use crate::{context::Context, error::ControlError};

/// Which deliveries to list; what is `None` does not narrow.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryQuery {
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Behind this one.
    pub after: Option<DeliveryId>,
}

impl Control {
    async fn seen_delivery(
        &self,
        context: &Context,
        id: DeliveryId,
        right: Right,
    ) -> Result<(Delivery, WebhookRecord), ControlError> {
        let missing = || ControlError::from(StoreError::NoSuchDelivery(id));
        let delivery = self.store.delivery(id).await?.ok_or_else(missing)?;
        match self.seen_webhook(context, delivery.webhook, right).await {
            Err(ControlError::Store(StoreError::NoSuchWebhook(_))) => Err(missing()),
            Err(error) => Err(error),
            Ok(record) => Ok((delivery, record)),
        }
    }

    /// Deliveries to a webhook, newest first, `limit` (1 to 1,000) at most.
    pub async fn list_deliveries(
        &self,
        context: &Context,
        webhook: WebhookId,
        query: &DeliveryQuery,
        limit: u32,
    ) -> Result<Page<DeliveryView>, ControlError> {
        self.seen_webhook(context, webhook, Right::ReadWebhooks).await?;
        // A cursor of another's list is as unknown as none.
        if let Some(after) = query.after {
            let held = self.store.delivery(after).await?;
            held.filter(|one| one.webhook == webhook).ok_or(StoreError::NoSuchDelivery(after))?;
        }
        let limit = limit.clamp(1, 1000);
        let filter = DeliveryFilter { webhook: Some(webhook), state: query.state };
        let page = StorePage { after: query.after, limit };
        let found = self.store.deliveries(&filter, page).await?;
        let full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next = found.last().filter(|_| full).map(|one| one.id.to_string());
        Ok(Page { items: found.iter().map(shown::delivery).collect(), next })
    }

    /// One delivery, with what is told, for who may read the audit log: what is told of a change is what stands there.
    pub async fn show_delivery(
        &self,
        context: &Context,
        id: DeliveryId,
    ) -> Result<DeliveryDetailsView, ControlError> {
        let (delivery, record) = self.seen_delivery(context, id, Right::ReadWebhooks).await?;
        let organization = record.webhook.organization.as_ref();
        let reads_audit = context.require_there(Right::ReadAudit, organization).is_ok();
        let payload = reads_audit.then(|| serde_json::from_str(&delivery.payload).ok());
        Ok(DeliveryDetailsView {
            delivery: shown::delivery(&delivery),
            payload: payload.flatten().unwrap_or_default(),
        })
    }

    /// Sends it again, under the same event's id.
    pub async fn resend_delivery(
        &self,
        context: &Context,
        id: DeliveryId,
    ) -> Result<DeliveryView, ControlError> {
        self.seen_delivery(context, id, Right::WriteWebhooks).await?;
        let change = Change::Webhook(WebhookChange::Resend(id));
        self.store.commit(&context.actor, context.now, change).await?;
        let held = self.store.delivery(id).await?.ok_or(StoreError::NoSuchDelivery(id))?;
        Ok(shown::delivery(&held))
    }
}
