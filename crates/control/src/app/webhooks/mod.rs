//! Webhooks: [`write`] (make, change, remove, rotate, test) and [`deliveries`]. Of an organization, for those who administer it;
//! or without one, of who runs this Keyward, which hear of every organization.

pub mod deliveries;
mod shown;
pub mod write;

pub use deliveries::DeliveryQuery;
pub use write::{IssuedWebhook, NewWebhook};

use keyward_api::WebhookView;
use keyward_core::{
    id::{OrganizationId, WebhookId},
    member::Right,
};
use keyward_store::{StoreError, WebhookRecord};

use super::Control;
use crate::{context::Context, error::ControlError};

impl Control {
    /// A webhook that the caller has a right to. Who has no place there is told that it does not exist.
    pub(super) async fn seen_webhook(
        &self,
        context: &Context,
        id: WebhookId,
        right: Right,
    ) -> Result<WebhookRecord, ControlError> {
        let missing = || ControlError::from(StoreError::NoSuchWebhook(id));
        let record = self.store.webhook(id).await?.ok_or_else(missing)?;
        context.require_seen(right, record.webhook.organization.as_ref(), missing)?;
        Ok(record)
    }

    /// Webhooks in the order they were made.
    pub async fn list_webhooks(
        &self,
        context: &Context,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<WebhookView>, ControlError> {
        context.require_there(Right::ReadWebhooks, organization)?;
        if let Some(organization) = organization {
            self.existing_organization(organization).await?;
        }
        let records = self.store.webhooks(organization).await?;
        Ok(records.iter().map(|one| shown::webhook(one, context.now)).collect())
    }

    /// One webhook.
    pub async fn show_webhook(
        &self,
        context: &Context,
        id: WebhookId,
    ) -> Result<WebhookView, ControlError> {
        let record = self.seen_webhook(context, id, Right::ReadWebhooks).await?;
        Ok(shown::webhook(&record, context.now))
    }
}
