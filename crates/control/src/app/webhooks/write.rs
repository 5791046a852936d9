//! Making webhooks, changing and removing them, and giving them new secrets.

use std::time::Duration;

use keyward_api::{CreatedWebhook, DeliveryView, PlaintextView, WebhookView};
use keyward_core::{
    event::EventKind,
    id::{DeliveryId, EventId, OrganizationId, WebhookId, WebhookSecretId},
    key::Plaintext,
    member::Right,
};
use keyward_store::{
    Change, Revision, SealContext, StoreError, Webhook, WebhookChange, WebhookRecord,
    WebhookSecret, WebhookUpdate,
};

use super::{super::Control, shown};
use crate::{context::Context, error::ControlError, mint, webhooks::signature};

/// How long the old secrets stay good at most.
const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);

/// A webhook that shall be.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Whose it is; `None` for one of who runs this Keyward.
    pub organization: Option<OrganizationId>,
    /// Where.
    pub url: String,
    /// What people say of it.
    pub description: String,
    /// What it wants to hear of; `None` means everything.
    pub events: Option<Vec<EventKind>>,
}

/// A webhook, with a new secret in the clear: here alone.
pub struct IssuedWebhook {
    /// The secret.
    pub secret: Plaintext,
    /// The webhook.
    pub webhook: WebhookView,
}

impl IssuedWebhook {
    /// As it is sent, once.
    pub fn view(&self) -> CreatedWebhook {
        CreatedWebhook {
            secret: PlaintextView::new(self.secret.expose().to_owned()),
            webhook: self.webhook.clone(),
        }
    }
}

impl Control {
    /// A new secret, in the clear and as it is kept.
    fn webhook_secret(
        &self,
        context: &Context,
        organization: Option<&OrganizationId>,
    ) -> Result<(Plaintext, WebhookSecret), ControlError> {
        let id = WebhookSecretId::from_bits(mint::random()?);
        let plaintext = signature::mint_secret()?;
        let name = id.to_string();
        let place = SealContext::webhook_secret(organization, &name);
        let sealed = self.sealer.seal(&place, plaintext.expose().as_bytes())?;
        Ok((plaintext, WebhookSecret { id, sealed, created_at: context.now, expires_at: None }))
    }

    fn check_address(&self, url: &str) -> Result<(), ControlError> {
        self.guard.accepts(url).map_err(|refused| {
            ControlError::invalid(
                refused.to_string(),
                "name an https address that the internet reaches, or have the operator allow its network",
            )
        })
    }

    /// Makes a webhook. Its secret is told here alone.
    pub async fn create_webhook(
        &self,
        context: &Context,
        new: NewWebhook,
    ) -> Result<IssuedWebhook, ControlError> {
        context.require_there(Right::WriteWebhooks, new.organization.as_ref())?;
        self.repeat(context)?;
        self.check_address(&new.url)?;
        let (plaintext, secret) = self.webhook_secret(context, new.organization.as_ref())?;
        let webhook = Webhook {
            id: WebhookId::from_bits(mint::random()?),
            organization: new.organization,
            url: new.url,
            description: new.description,
            events: new.events,
            enabled: true,
            disabled_because: None,
            created_at: context.now,
        };
        let record = WebhookRecord {
            webhook: webhook.clone(),
            revision: Revision::ZERO,
            secrets: vec![secret.clone()],
            failing: None,
        };
        let change = WebhookChange::Create { webhook, secret };
        self.issue(context, change, record, plaintext).await
    }

    async fn issue(
        &self,
        context: &Context,
        change: WebhookChange,
        record: WebhookRecord,
        secret: Plaintext,
    ) -> Result<IssuedWebhook, ControlError> {
        let id = record.webhook.id;
        let mut issued = IssuedWebhook { secret, webhook: shown::webhook(&record, context.now) };
        let mut answer = issued.view();
        let made = move |revision: Revision| {
            answer.webhook.revision = revision.get();
            answer
        };
        let revision = self.commit_answering(context, Change::Webhook(change), id, made).await?;
        issued.webhook.revision = revision.get();
        Ok(issued)
    }

    /// Changes what is written on a webhook. With `seen`, one that was changed since is left alone.
    pub async fn update_webhook(
        &self,
        context: &Context,
        id: WebhookId,
        update: WebhookUpdate,
        seen: Option<Revision>,
    ) -> Result<WebhookView, ControlError> {
        self.seen_webhook(context, id, Right::WriteWebhooks).await?;
        if let Some(url) = &update.url {
            self.check_address(url)?;
        }
        let change = WebhookChange::Update { webhook: id, update, seen };
        self.store.commit(&context.actor, context.now, Change::Webhook(change)).await?;
        self.show_webhook(context, id).await
    }

    /// Removes a webhook, with all that is on its way to it.
    pub async fn delete_webhook(
        &self,
        context: &Context,
        id: WebhookId,
    ) -> Result<(), ControlError> {
        self.seen_webhook(context, id, Right::WriteWebhooks).await?;
        let change = Change::Webhook(WebhookChange::Delete(id));
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(())
    }

    /// Gives a webhook a new secret; what is sent is signed with the old ones too, for `overlap`.
    pub async fn rotate_webhook(
        &self,
        context: &Context,
        id: WebhookId,
        overlap: Duration,
    ) -> Result<IssuedWebhook, ControlError> {
        let mut record = self.seen_webhook(context, id, Right::WriteWebhooks).await?;
        self.repeat(context)?;
        if overlap > LONGEST_OVERLAP {
            return Err(ControlError::invalid(
                "the old secret would stay good for more than 30 days",
                "write at most 2592000 seconds",
            ));
        }
        let organization = record.webhook.organization.clone();
        let (plaintext, secret) = self.webhook_secret(context, organization.as_ref())?;
        let old_expires_at = context.now.plus(overlap);
        for old in &mut record.secrets {
            old.expires_at = Some(old.expires_at.unwrap_or(old_expires_at).min(old_expires_at));
        }
        record.secrets.insert(0, secret.clone());
        let change = WebhookChange::Rotate { webhook: id, secret, old_expires_at };
        self.issue(context, change, record, plaintext).await
    }

    /// From now on, what is sent is signed with the newest secret alone.
    pub async fn retire_webhook_secrets(
        &self,
        context: &Context,
        id: WebhookId,
    ) -> Result<WebhookView, ControlError> {
        self.seen_webhook(context, id, Right::WriteWebhooks).await?;
        let change = Change::Webhook(WebhookChange::RetireSecrets(id));
        self.store.commit(&context.actor, context.now, change).await?;
        self.show_webhook(context, id).await
    }

    /// Sends a webhook a test, whatever it wants to hear of.
    pub async fn test_webhook(
        &self,
        context: &Context,
        id: WebhookId,
    ) -> Result<DeliveryView, ControlError> {
        self.seen_webhook(context, id, Right::WriteWebhooks).await?;
        let delivery = DeliveryId::from_bits(mint::random()?);
        let event = EventId::from_bits(mint::random()?);
        let change = WebhookChange::Test { webhook: id, event, delivery };
        self.store.commit(&context.actor, context.now, Change::Webhook(change)).await?;
        let made = self.store.delivery(delivery).await?;
        Ok(shown::delivery(&made.ok_or(StoreError::NoSuchDelivery(delivery))?))
    }
}
