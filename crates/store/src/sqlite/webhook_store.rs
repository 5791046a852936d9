//! [`WebhookStore`] on SQLite: each question goes to a reader, each note to the writer.

use async_trait::async_trait;
use keyward_core::{
    id::{DeliveryId, OrganizationId, WebhookId},
    time::Timestamp,
};

use super::{SqliteStore, webhooks, writer::Tell};
use crate::{
    error::StoreError,
    query::Page,
    webhooks::{
        AfterAttempt, Attempt, Delivery, DeliveryFilter, Due, DueFilter, Failing, Forget,
        WebhookRecord, WebhookStore,
    },
};

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn webhook(&self, id: WebhookId) -> Result<Option<WebhookRecord>, StoreError> {
        self.readers.ask(move |connection| webhooks::by_id(connection, id)).await
    }

    async fn webhooks(
        &self,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<WebhookRecord>, StoreError> {
        let organization = organization.cloned();
        self.readers.ask(move |connection| webhooks::of(connection, organization.as_ref())).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.readers.ask(move |connection| webhooks::delivery_by_id(connection, id)).await
    }

    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        page: Page<DeliveryId>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let filter = *filter;
        self.readers.ask(move |connection| webhooks::deliveries(connection, &filter, &page)).await
    }

    async fn due_deliveries(&self, filter: &DueFilter) -> Result<Due, StoreError> {
        let filter = filter.clone();
        self.readers.ask(move |connection| webhooks::due(connection, &filter)).await
    }

    async fn lease_delivery(
        &self,
        id: DeliveryId,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let work = move |connection: &_| webhooks::lease(connection, id, at, until);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn note_attempt(
        &self,
        id: DeliveryId,
        attempt: Attempt,
        after: AfterAttempt,
    ) -> Result<Option<Failing>, StoreError> {
        let work = move |connection: &_| webhooks::note_attempt(connection, id, &attempt, after);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn crowded_webhooks(&self, most: u32) -> Result<Vec<(WebhookId, u64)>, StoreError> {
        self.adders.ask(move |connection| webhooks::crowded(connection, most)).await
    }

    async fn forget_deliveries(&self, which: Forget, limit: u32) -> Result<u64, StoreError> {
        let work = move |connection: &_| webhooks::forget(connection, which, limit);
        self.writer.run(Tell::Nobody, work).await
    }
}
