//! [`AlertStore`] on SQLite: each question goes to a reader, each note to the writer.

use async_trait::async_trait;
use keyward_core::{
    alert::AlertRule,
    id::{AlertId, AlertRuleId, OrganizationId},
    time::Timestamp,
};

use super::{SqliteStore, alerts, writer::Tell};
use crate::{
    alerts::{Alert, AlertFilter, AlertRuleRecord, AlertStore, ForgetAlerts, KeyNetwork},
    error::StoreError,
    query::Page,
};

#[async_trait]
impl AlertStore for SqliteStore {
    async fn alert_rule(&self, id: AlertRuleId) -> Result<Option<AlertRuleRecord>, StoreError> {
        self.readers.ask(move |connection| alerts::rule_by_id(connection, id)).await
    }

    async fn alert_rules(
        &self,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<AlertRuleRecord>, StoreError> {
        let organization = organization.cloned();
        self.readers
            .ask(move |connection| alerts::rules_of(connection, organization.as_ref()))
            .await
    }

    async fn every_alert_rule(&self) -> Result<Vec<AlertRule>, StoreError> {
        self.readers.ask(alerts::every_rule).await
    }

    async fn alerts(
        &self,
        filter: &AlertFilter,
        page: Page<AlertId>,
    ) -> Result<Vec<Alert>, StoreError> {
        let filter = filter.clone();
        self.readers.ask(move |connection| alerts::alerts(connection, &filter, &page)).await
    }

    async fn raised_alerts(
        &self,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<Alert>, StoreError> {
        let organization = organization.cloned();
        self.readers.ask(move |connection| alerts::raised(connection, organization.as_ref())).await
    }

    async fn take_turn(
        &self,
        holder: [u8; 16],
        at: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let work = move |connection: &_| alerts::take_turn(connection, holder, at, until);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn crowded_rules(&self, most: u32) -> Result<Vec<(AlertRuleId, u64)>, StoreError> {
        self.adders.ask(move |connection| alerts::crowded(connection, most)).await
    }

    async fn forget_alerts(
        &self,
        at: Timestamp,
        which: ForgetAlerts,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let work = move |connection: &_| alerts::forget(connection, at, which, limit);
        self.writer.run(Tell::Nobody, work).await
    }

    async fn raise_alert(&self, alert: Alert) -> Result<bool, StoreError> {
        self.writer.run(Tell::Nobody, move |connection| alerts::raise(connection, &alert)).await
    }

    async fn resolve_alert(&self, id: AlertId, at: Timestamp) -> Result<bool, StoreError> {
        self.writer.run(Tell::Nobody, move |connection| alerts::resolve(connection, id, at)).await
    }

    async fn new_key_networks(&self, since: Timestamp) -> Result<Vec<KeyNetwork>, StoreError> {
        self.adders.ask(move |connection| alerts::new_networks(connection, since)).await
    }
}
