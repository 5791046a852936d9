//! Webhooks: addresses that want to be told what happens, and what is on its way to them.
//!
//! What tells of a change is written in the change's transaction, one event and a delivery for each webhook that wants it, so that
//! neither a crash nor a full queue loses one. Whoever delivers takes a lease on a delivery first: of several servers one sends it,
//! and one whose sender was killed is sent again when the lease is over. So a receiver hears of each event at least once, always
//! under the same id.
//!
//! Signing secrets have to be read back, and are sealed ([`crate::SealContext::webhook_secret`]).

use async_trait::async_trait;
use keyward_core::{
    event::EventKind,
    id::{DeliveryId, EventId, OrganizationId, WebhookId, WebhookSecretId},
    time::Timestamp,
};

use crate::{change::Revision, error::StoreError, query::Page, seal::SealedBytes};

/// An address that wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Public id.
    pub id: WebhookId,
    /// Whose it is; `None` for one of who runs this Keyward, which hears of every organization.
    pub organization: Option<OrganizationId>,
    /// Where. At most 2,048 characters, without a user or a fragment.
    pub url: String,
    /// What people say of it. At most 200 characters.
    pub description: String,
    /// What it wants to hear of; `None` means everything.
    pub events: Option<Vec<EventKind>>,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// Why Keyward itself disabled it, if it did.
    pub disabled_because: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One secret that what is sent to a webhook is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSecret {
    /// Its id, which it is sealed for.
    pub id: WebhookSecretId,
    /// Opens under [`crate::SealContext::webhook_secret`].
    pub sealed: SealedBytes,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on nothing is signed with it; `None` for the newest.
    pub expires_at: Option<Timestamp>,
}

/// A webhook as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRecord {
    /// The webhook.
    pub webhook: Webhook,
    /// The revision of the last change to it.
    pub revision: Revision,
    /// Its secrets, the newest first.
    pub secrets: Vec<WebhookSecret>,
    /// That every try fails; `None` where the last one did not.
    pub failing: Option<Failing>,
}

/// That every try to a webhook fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// How often.
    pub tries: u32,
}

/// What of a webhook shall be different; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookUpdate {
    /// Another address.
    pub url: Option<String>,
    /// Other words on it.
    pub description: Option<String>,
    /// Other events; within, `None` means everything.
    pub events: Option<Option<Vec<EventKind>>>,
    /// Whether anything is sent there.
    pub enabled: Option<bool>,
}

/// What can be done to webhooks. Like every change: one transaction, one audit entry, one revision.
#[derive(Clone, Debug)]
pub enum WebhookChange {
    /// A new one with its first secret.
    Create {
        /// The webhook.
        webhook: Webhook,
        /// Its secret.
        secret: WebhookSecret,
    },
    /// What is written on it.
    Update {
        /// Which.
        webhook: WebhookId,
        /// What shall be different.
        update: WebhookUpdate,
        /// The state of it that was seen; another than the present one is refused. `None` takes any.
        seen: Option<Revision>,
    },
    /// It is told nothing more, and is gone with what was on its way to it: with a thousand deliveries at once, and the rest soon.
    Delete(WebhookId),
    /// A new secret; the old ones end at `old_expires_at`, or earlier where they ended earlier. Refused where ten are good.
    Rotate {
        /// Which webhook.
        webhook: WebhookId,
        /// The new secret.
        secret: WebhookSecret,
        /// When the old ones end.
        old_expires_at: Timestamp,
    },
    /// Nothing is signed with its old secrets from now on.
    RetireSecrets(WebhookId),
    /// It is sent a test, whatever it wants to hear of.
    Test {
        /// Which.
        webhook: WebhookId,
        /// The event.
        event: EventId,
        /// The delivery.
        delivery: DeliveryId,
    },
    /// Something is delivered again, from the start of all tries.
    Resend(DeliveryId),
    /// Keyward itself gives up on it.
    GiveUp {
        /// Which.
        webhook: WebhookId,
        /// Why, for those who see to it.
        why: String,
    },
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// It will be tried, or tried again.
    Waiting,
    /// It was taken.
    Delivered,
    /// No more tries are made.
    Failed,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Failed];

    /// The word it is stored and shown by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// The status that was answered, if any.
    pub status: Option<u16>,
    /// What went wrong; `None` where it was taken.
    pub problem: Option<String>,
}

/// What follows from a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAttempt {
    /// Nothing: it was taken.
    Done,
    /// Another try then.
    TryAt(Timestamp),
    /// It is given up.
    GiveUp,
}

/// One event on its way to one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where to.
    pub webhook: WebhookId,
    /// What is told: the same for every webhook and every try.
    pub event: EventId,
    /// Which kind of event.
    pub kind: EventKind,
    /// When it happened.
    pub at: Timestamp,
    /// The body, byte for byte.
    pub payload: String,
    /// What became of it.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; `None` where it is not.
    pub next_at: Option<Timestamp>,
    /// The last try.
    pub last: Option<Attempt>,
}

/// Of what is due, which to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueFilter {
    /// What is due at this moment.
    pub at: Timestamp,
    /// To webhooks behind this one, in the order of their ids.
    pub after: Option<WebhookId>,
    /// Nothing to these.
    pub busy: Vec<WebhookId>,
    /// Nothing to webhooks of these organizations; `None` is who runs this Keyward.
    pub busy_owners: Vec<Option<OrganizationId>>,
    /// To each webhook at most so many.
    pub each: u32,
    /// In all at most so many, 1 to 1,000.
    pub limit: u32,
}

/// A delivery that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// Which.
    pub id: DeliveryId,
    /// Where to.
    pub webhook: WebhookId,
    /// Whose webhook it is; `None` for one of who runs this Keyward.
    pub owner: Option<OrganizationId>,
}

/// What is due, webhook by webhook, to each the longest due first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The deliveries.
    pub deliveries: Vec<DueDelivery>,
    /// The webhook behind which to look on; `None` behind the last.
    pub next: Option<WebhookId>,
}

/// Which deliveries to forget. What waits for a webhook that is enabled is never forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// Those of events from before this moment, and such events.
    Before(Timestamp),
    /// The oldest to this webhook.
    To(WebhookId),
    /// What changes left of webhooks that were removed; and what still waits for one that is disabled is given up.
    ToNobody,
}

/// Which deliveries to list; what is `None` does not narrow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// To this webhook.
    pub webhook: Option<WebhookId>,
    /// In this state.
    pub state: Option<DeliveryState>,
}

/// What every engine promises of webhooks.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// One webhook.
    async fn webhook(&self, id: WebhookId) -> Result<Option<WebhookRecord>, StoreError>;

    /// An organization's webhooks, or without one those of who runs this Keyward, in the order they were made.
    async fn webhooks(
        &self,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<WebhookRecord>, StoreError>;

    /// One delivery.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError>;

    /// Deliveries, newest first.
    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        page: Page<DeliveryId>,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// What is due to webhooks that are enabled. It costs as much as there are webhooks to look at, a thousand at most, however much is due to each.
    async fn due_deliveries(&self, filter: &DueFilter) -> Result<Due, StoreError>;

    /// Takes a delivery that is due, so that nobody else does before `until`. Answers whether it could be had.
    async fn lease_delivery(
        &self,
        id: DeliveryId,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Notes a try, without revision or audit entry. Answers whether every try to the webhook fails.
    async fn note_attempt(
        &self,
        id: DeliveryId,
        attempt: Attempt,
        after: AfterAttempt,
    ) -> Result<Option<Failing>, StoreError>;

    /// The webhooks for which more than `most` deliveries are kept, and how many more.
    async fn crowded_webhooks(&self, most: u32) -> Result<Vec<(WebhookId, u64)>, StoreError>;

    /// Forgets deliveries, at most `limit` (1 to 10,000) of them, and as many events. Answers how many of both went.
    async fn forget_deliveries(&self, which: Forget, limit: u32) -> Result<u64, StoreError>;
}
