//! Webhooks and deliveries, both ways.

use std::time::Duration;

use http::Method;
use keyward_api::{
    CreateWebhookInput, CreatedWebhook, DeliveryDetailsView, DeliveryStateView, DeliveryView,
    ListDeliveriesQuery, RotateWebhookInput, UpdateWebhookInput, WebhookView,
};
use keyward_control::app::webhooks::{DeliveryQuery, NewWebhook};
use keyward_core::{
    event::EventKind,
    id::{DeliveryId, OrganizationId, WebhookId},
};
use keyward_store::{DeliveryState, WebhookUpdate};

use super::Backend;
use crate::site::operator;

const PAGE: u32 = 1000;

/// Where webhooks of an organization are asked for, or those that hear of every organization.
fn place(organization: Option<&OrganizationId>) -> String {
    match organization {
        Some(organization) => format!("/v1/organizations/{organization}/webhooks"),
        None => "/v1/webhooks".to_owned(),
    }
}

fn words(events: Option<Vec<EventKind>>) -> Option<Vec<String>> {
    events.map(|events| events.iter().map(ToString::to_string).collect())
}

impl Backend {
    /// Makes a webhook.
    pub async fn create_webhook(&self, new: NewWebhook) -> anyhow::Result<CreatedWebhook> {
        match self {
            Self::Local(site) => Ok(site.control().create_webhook(&operator(), new).await?.view()),
            Self::Remote(remote) => {
                let path = place(new.organization.as_ref());
                let (url, description) = (new.url, new.description);
                let input = CreateWebhookInput { url, description, events: words(new.events) };
                Ok(remote.client.send(Method::POST, &path, &input).await?)
            }
        }
    }

    /// Webhooks, in the order they were made.
    pub async fn list_webhooks(
        &self,
        organization: Option<&OrganizationId>,
    ) -> anyhow::Result<Vec<WebhookView>> {
        match self {
            Self::Local(site) => {
                Ok(site.control().list_webhooks(&operator(), organization).await?)
            }
            Self::Remote(remote) => Ok(remote.client.list(&place(organization)).await?),
        }
    }

    /// One of them.
    pub async fn show_webhook(&self, id: WebhookId) -> anyhow::Result<WebhookView> {
        match self {
            Self::Local(site) => Ok(site.control().show_webhook(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.get(&format!("/v1/webhooks/{id}"), &()).await?)
            }
        }
    }

    /// Changes it.
    pub async fn update_webhook(
        &self,
        id: WebhookId,
        update: WebhookUpdate,
    ) -> anyhow::Result<WebhookView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().update_webhook(&operator(), id, update, None).await?)
            }
            Self::Remote(remote) => {
                let input = UpdateWebhookInput {
                    url: update.url,
                    description: update.description,
                    events: update.events.map(words),
                    enabled: update.enabled,
                };
                let path = format!("/v1/webhooks/{id}");
                Ok(remote.client.send(Method::PATCH, &path, &input).await?)
            }
        }
    }

    /// Removes it.
    pub async fn delete_webhook(&self, id: WebhookId) -> anyhow::Result<()> {
        match self {
            Self::Local(site) => Ok(site.control().delete_webhook(&operator(), id).await?),
            Self::Remote(remote) => Ok(remote
                .client
                .tell(Method::DELETE, &format!("/v1/webhooks/{id}"), None::<&()>)
                .await?),
        }
    }

    /// Gives it a new secret.
    pub async fn rotate_webhook(
        &self,
        id: WebhookId,
        overlap: Duration,
    ) -> anyhow::Result<CreatedWebhook> {
        match self {
            Self::Local(site) => {
                Ok(site.control().rotate_webhook(&operator(), id, overlap).await?.view())
            }
            Self::Remote(remote) => {
                let input = RotateWebhookInput { overlap_seconds: Some(overlap.as_secs()) };
                let path = format!("/v1/webhooks/{id}/rotate");
                Ok(remote.client.send(Method::POST, &path, &input).await?)
            }
        }
    }

    /// Ends its old secrets.
    pub async fn retire_webhook_secrets(&self, id: WebhookId) -> anyhow::Result<WebhookView> {
        match self {
            Self::Local(site) => Ok(site.control().retire_webhook_secrets(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.post(&format!("/v1/webhooks/{id}/retire")).await?)
            }
        }
    }

    /// Sends it a test.
    pub async fn test_webhook(&self, id: WebhookId) -> anyhow::Result<DeliveryView> {
        match self {
            Self::Local(site) => Ok(site.control().test_webhook(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.post(&format!("/v1/webhooks/{id}/test")).await?)
            }
        }
    }

    /// What was sent to it, newest first.
    pub async fn list_deliveries(
        &self,
        id: WebhookId,
        state: Option<DeliveryStateView>,
    ) -> anyhow::Result<Vec<DeliveryView>> {
        match self {
            Self::Local(site) => {
                let (control, mut deliveries) = (site.control(), Vec::new());
                let state = state.map(|state| match state {
                    DeliveryStateView::Waiting => DeliveryState::Waiting,
                    DeliveryStateView::Delivered => DeliveryState::Delivered,
                    DeliveryStateView::Failed => DeliveryState::Failed,
                });
                let mut query = DeliveryQuery { state, after: None };
                loop {
                    let page = control.list_deliveries(&operator(), id, &query, PAGE).await?;
                    deliveries.extend(page.items);
                    match page.next {
                        Some(next) => query.after = Some(next.parse()?),
                        None => return Ok(deliveries),
                    }
                }
            }
            Self::Remote(remote) => {
                let path = format!("/v1/webhooks/{id}/deliveries");
                let of_page = |after| ListDeliveriesQuery { state, after, limit: Some(PAGE) };
                Ok(remote.client.all::<DeliveryView, _>(&path, of_page).await?)
            }
        }
    }

    /// One delivery, with what is told.
    pub async fn show_delivery(&self, id: DeliveryId) -> anyhow::Result<DeliveryDetailsView> {
        match self {
            Self::Local(site) => Ok(site.control().show_delivery(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.get(&format!("/v1/webhook-deliveries/{id}"), &()).await?)
            }
        }
    }

    /// Sends it again.
    pub async fn resend_delivery(&self, id: DeliveryId) -> anyhow::Result<DeliveryView> {
        match self {
            Self::Local(site) => Ok(site.control().resend_delivery(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.post(&format!("/v1/webhook-deliveries/{id}/resend")).await?)
            }
        }
    }
}
