//! Alert rules, and what they raised. Of an organization, for those who administer it; or without one, of who runs this Keyward,
//! over every organization.

use keyward_api::{AlertRuleInput, AlertRuleView, AlertView, Page, UpdateAlertRuleInput};
use keyward_core::{
    alert::{AlertRule, Channel, MailTo, QUIET_SECONDS, Scope},
    id::{AlertId, AlertRuleId, OrganizationId},
    member::Right,
};
use keyward_store::{
    Alert, AlertFilter, AlertRuleChange, AlertRuleRecord, AlertRuleUpdate, Change,
    Page as StorePage, Revision, StoreError,
};
use serde::{Serialize, de::DeserializeOwned};

use super::Control;
use crate::{context::Context, error::ControlError, mint};

/// What is sent and what is kept have the same shape: one is read as the other.
fn same<A: Serialize, B: DeserializeOwned>(field: &str, value: &A) -> Result<B, ControlError> {
    let read = serde_json::to_value(value).and_then(serde_json::from_value);
    read.map_err(|error| {
        ControlError::invalid(
            format!("`{field}` cannot be read ({error})"),
            "the API's description says what there is",
        )
    })
}

fn shown(record: &AlertRuleRecord) -> Result<AlertRuleView, ControlError> {
    let rule = &record.rule;
    Ok(AlertRuleView {
        id: rule.id.to_string(),
        organization_id: rule.organization.as_ref().map(ToString::to_string),
        name: rule.name.clone(),
        condition: same("condition", &rule.condition)?,
        scope: same("scope", &rule.scope)?,
        channel: same("channel", &rule.channel)?,
        quiet_seconds: rule.quiet_seconds,
        enabled: rule.enabled,
        revision: record.revision.get(),
        created_at: rule.created_at.to_string(),
    })
}

fn alert(alert: &Alert) -> AlertView {
    AlertView {
        id: alert.id.to_string(),
        rule_id: alert.rule.to_string(),
        organization_id: alert.organization.as_ref().map(ToString::to_string),
        key_id: alert.key.map(|key| key.to_string()),
        subject: alert.subject.clone(),
        message: alert.message.clone(),
        raised_at: alert.raised_at.to_string(),
        resolved_at: alert.resolved_at.map(|at| at.to_string()),
    }
}

impl Control {
    async fn seen_rule(
        &self,
        context: &Context,
        id: AlertRuleId,
        right: Right,
    ) -> Result<AlertRuleRecord, ControlError> {
        let missing = || ControlError::from(StoreError::NoSuchAlertRule(id));
        let record = self.store.alert_rule(id).await?.ok_or_else(missing)?;
        context.require_seen(right, record.rule.organization.as_ref(), missing)?;
        Ok(record)
    }

    /// A key that a rule names is the organization's.
    async fn check_scope(
        &self,
        organization: Option<&OrganizationId>,
        scope: Scope,
    ) -> Result<(), ControlError> {
        let Scope::Key { key } = scope else { return Ok(()) };
        let record = self.store.key(key).await?;
        let is_theirs = record.is_some_and(|record| {
            organization.is_none_or(|organization| record.key.organization == *organization)
        });
        if is_theirs { Ok(()) } else { Err(StoreError::NoSuchKey(key).into()) }
    }

    /// Makes a rule.
    pub async fn create_alert_rule(
        &self,
        context: &Context,
        organization: Option<OrganizationId>,
        input: AlertRuleInput,
    ) -> Result<AlertRuleView, ControlError> {
        context.require_there(Right::WriteAlerts, organization.as_ref())?;
        self.repeat(context)?;
        let scope = match &input.scope {
            Some(scope) => same("scope", scope)?,
            None => Scope::EachKey,
        };
        self.check_scope(organization.as_ref(), scope).await?;
        let channel = match &input.channel {
            Some(channel) => same("channel", channel)?,
            None => Channel { mail: MailTo::Administrators, webhooks: true },
        };
        let rule = AlertRule {
            id: AlertRuleId::from_bits(mint::random()?),
            organization,
            name: input.name,
            condition: same("condition", &input.condition)?,
            scope,
            channel,
            quiet_seconds: input.quiet_seconds.unwrap_or(QUIET_SECONDS),
            enabled: true,
            created_at: context.now,
        };
        let record = AlertRuleRecord { rule: rule.clone(), revision: Revision::ZERO };
        let (mut view, id) = (shown(&record)?, rule.id);
        let mut answer = view.clone();
        let made = move |revision: Revision| {
            answer.revision = revision.get();
            answer
        };
        let change = Change::AlertRule(AlertRuleChange::Create(rule));
        view.revision = self.commit_answering(context, change, id, made).await?.get();
        Ok(view)
    }

    /// Rules in the order they were made.
    pub async fn list_alert_rules(
        &self,
        context: &Context,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<AlertRuleView>, ControlError> {
        context.require_there(Right::ReadAlerts, organization)?;
        if let Some(organization) = organization {
            self.existing_organization(organization).await?;
        }
        self.store.alert_rules(organization).await?.iter().map(shown).collect()
    }

    /// One rule.
    pub async fn show_alert_rule(
        &self,
        context: &Context,
        id: AlertRuleId,
    ) -> Result<AlertRuleView, ControlError> {
        shown(&self.seen_rule(context, id, Right::ReadAlerts).await?)
    }

    /// Changes a rule. With `seen`, one that was changed since is left alone.
    pub async fn update_alert_rule(
        &self,
        context: &Context,
        id: AlertRuleId,
        input: UpdateAlertRuleInput,
        seen: Option<Revision>,
    ) -> Result<AlertRuleView, ControlError> {
        let held = self.seen_rule(context, id, Right::WriteAlerts).await?;
        let scope: Option<Scope> =
            input.scope.as_ref().map(|scope| same("scope", scope)).transpose()?;
        if let Some(scope) = scope {
            self.check_scope(held.rule.organization.as_ref(), scope).await?;
        }
        let condition = input.condition.as_ref();
        let channel = input.channel.as_ref();
        let update = AlertRuleUpdate {
            name: input.name,
            condition: condition.map(|one| same("condition", one)).transpose()?,
            scope,
            channel: channel.map(|one| same("channel", one)).transpose()?,
            quiet_seconds: input.quiet_seconds,
            enabled: input.enabled,
        };
        let change = AlertRuleChange::Update { rule: id, update: Box::new(update), seen };
        self.store.commit(&context.actor, context.now, Change::AlertRule(change)).await?;
        self.show_alert_rule(context, id).await
    }

    /// Removes a rule; what it raised is over.
    pub async fn delete_alert_rule(
        &self,
        context: &Context,
        id: AlertRuleId,
    ) -> Result<(), ControlError> {
        self.seen_rule(context, id, Right::WriteAlerts).await?;
        let change = Change::AlertRule(AlertRuleChange::Delete(id));
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(())
    }

    /// Alerts, newest first, `limit` (1 to 1,000) at most: those of an organization, or for who runs this Keyward, all.
    pub async fn list_alerts(
        &self,
        context: &Context,
        organization: Option<&OrganizationId>,
        raised: Option<bool>,
        after: Option<AlertId>,
        limit: u32,
    ) -> Result<Page<AlertView>, ControlError> {
        context.require_there(Right::ReadAlerts, organization)?;
        if let Some(organization) = organization {
            self.existing_organization(organization).await?;
        }
        let limit = limit.clamp(1, 1000);
        let filter = AlertFilter { organization: organization.cloned(), rule: None, raised };
        let found = self.store.alerts(&filter, StorePage { after, limit }).await?;
        let full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
        let next = found.last().filter(|_| full).map(|one| one.id.to_string());
        Ok(Page { items: found.iter().map(alert).collect(), next })
    }
}
