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
    /// Whether the caller has the right where a webhook is to be; without an organization, it is who runs this Keyward.
    pub(super) fn require_there(
        context: &Context,
        right: Right,
        organization: Option<&OrganizationId>,
    ) -> Result<(), ControlError> {
        match organization {
            Some(organization) => context.require(right, organization),
            None => context.require_operator(),
        }
    }

    /// A webhook that the caller has a right to. Who has no place there is told that it does not exist.
    pub(super) async fn seen_webhook(
        &self,
        context: &Context,
        id: WebhookId,
        right: Right,
    ) -> Result<WebhookRecord, ControlError> {
        let missing = || ControlError::from(StoreError::NoSuchWebhook(id));
        let record = self.store.webhook(id).await?.ok_or_else(missing)?;
        let rights = match &record.webhook.organization {
            Some(organization) => context.rights_in(organization).ok_or_else(missing)?,
            None if context.operates() => return Ok(record),
            None => return Err(missing()),
        };
        match rights.has(right) {
            true => Ok(record),
            false => Err(ControlError::Forbidden(right)),
        }
    }

    /// Webhooks in the order they were made.
    pub async fn list_webhooks(
        &self,
        context: &Context,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<WebhookView>, ControlError> {
        Self::require_there(context, Right::ReadWebhooks, organization)?;
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
