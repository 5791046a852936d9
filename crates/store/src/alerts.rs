//! Alert rules, what they raised, and the networks that keys were used from.
//!
//! An alert is raised in one transaction with what tells of it, so that webhooks hear of each once. The same thing is not raised
//! again while it is raised, nor within its rule's quiet time. Of several servers one looks: who has the turn.
//!
//! What a key's networks are is read from the last uses that gateways tell: of each second, core, route and model the address of the last
//! request, of which the recorder keeps some of each secret when it writes. So what goes on for a while is seen; a few requests beside
//! many from elsewhere may not be.

use async_trait::async_trait;
use keyward_core::{
    alert::{AlertRule, Channel, Condition, Scope},
    id::{AlertId, AlertRuleId, KeyId, OrganizationId},
    time::Timestamp,
};

use crate::{change::Revision, error::StoreError, query::Page};

/// A rule as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRuleRecord {
    /// The rule.
    pub rule: AlertRule,
    /// The revision of the last change to it.
    pub revision: Revision,
}

/// What of a rule shall be different; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertRuleUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another condition.
    pub condition: Option<Condition>,
    /// Of something else.
    pub scope: Option<Scope>,
    /// Others who are told.
    pub channel: Option<Channel>,
    /// Another quiet time.
    pub quiet_seconds: Option<u64>,
    /// Whether it is looked at.
    pub enabled: Option<bool>,
}

/// What can be done to rules. Like every change: one transaction, one audit entry, one revision.
#[derive(Clone, Debug)]
pub enum AlertRuleChange {
    /// A new one.
    Create(AlertRule),
    /// What it says.
    Update {
        /// Which.
        rule: AlertRuleId,
        /// What shall be different.
        update: Box<AlertRuleUpdate>,
        /// The state of it that was seen; another than the present one is refused. `None` takes any.
        seen: Option<Revision>,
    },
    /// It is looked at no more, and what it raised is over. So it is where an update disables it; nobody is told of either.
    Delete(AlertRuleId),
}

/// That a rule holds of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Public id.
    pub id: AlertId,
    /// By which rule.
    pub rule: AlertRuleId,
    /// Whose business it is.
    pub organization: Option<OrganizationId>,
    /// Of what: a key's id, an organization's, or more with a word behind it. One of a rule is raised at a time.
    pub subject: String,
    /// The key, where it is one's.
    pub key: Option<KeyId>,
    /// What there is, for people.
    pub message: String,
    /// Since when.
    pub raised_at: Timestamp,
    /// Until when; `None` as long as it holds.
    pub resolved_at: Option<Timestamp>,
}

/// Which alerts to list; what is `None` does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// By this organization's rules.
    pub organization: Option<OrganizationId>,
    /// By this rule.
    pub rule: Option<AlertRuleId>,
    /// Raised now, or over.
    pub raised: Option<bool>,
}

/// Which alerts to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgetAlerts {
    /// Those that were over before this moment.
    Before(Timestamp),
    /// The oldest of this rule.
    Of(AlertRuleId),
}

/// A network that a key was used from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNetwork {
    /// The key.
    pub key: KeyId,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub organization: OrganizationId,
    /// The network, like `203.0.113.0/24`.
    pub network: String,
    /// When it was first used from there.
    pub first_at: Timestamp,
    /// When it was first used from anywhere, as far as that is known.
    pub key_first_at: Timestamp,
}

/// What every engine promises of alerts.
#[async_trait]
pub trait AlertStore: Send + Sync {
    /// One rule.
    async fn alert_rule(&self, id: AlertRuleId) -> Result<Option<AlertRuleRecord>, StoreError>;

    /// An organization's rules, or without one those of who runs this Keyward, in the order they were made.
    async fn alert_rules(
        &self,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<AlertRuleRecord>, StoreError>;

    /// Every rule that is to be looked at. One that is damaged is left out, and the log says so.
    async fn every_alert_rule(&self) -> Result<Vec<AlertRule>, StoreError>;

    /// Alerts, newest first. A place in the list that the filter does not list is none.
    async fn alerts(
        &self,
        filter: &AlertFilter,
        page: Page<AlertId>,
    ) -> Result<Vec<Alert>, StoreError>;

    /// What is raised now by an organization's rules, or without one by those of who runs this Keyward; of what is damaged the log tells.
    async fn raised_alerts(
        &self,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<Alert>, StoreError>;

    /// Takes, or keeps, the turn to look at rules until `until`. Answers whether it could be had: not where another `holder` has it.
    /// Until `at` gives it back.
    async fn take_turn(
        &self,
        holder: [u8; 16],
        at: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The rules of which more than `most` alerts are kept, and how many more.
    async fn crowded_rules(&self, most: u32) -> Result<Vec<(AlertRuleId, u64)>, StoreError>;

    /// Forgets alerts that are over and not within their rule's quiet time at `at`, at most `limit` (1 to 10,000) of them. Answers how
    /// many went.
    async fn forget_alerts(
        &self,
        at: Timestamp,
        which: ForgetAlerts,
        limit: u32,
    ) -> Result<u64, StoreError>;

    /// Raises an alert, without revision or audit entry, and tells webhooks if its rule says so. Answers whether it was: not where
    /// the same is raised, or was within the rule's quiet time.
    async fn raise_alert(&self, alert: Alert) -> Result<bool, StoreError>;

    /// It holds no longer. Answers whether it did until now.
    async fn resolve_alert(&self, id: AlertId, at: Timestamp) -> Result<bool, StoreError>;

    /// The networks that keys were first used from after `since`, a hundred thousand at most. Nothing of a key that is known from 64
    /// networks or more: of these the oldest are forgotten, and would be taken for new.
    async fn new_key_networks(&self, since: Timestamp) -> Result<Vec<KeyNetwork>, StoreError>;
}
