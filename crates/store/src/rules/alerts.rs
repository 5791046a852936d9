//! What a change to an alert rule means.

use keyward_core::alert::AlertRule;
use serde_json::{Value, json};

use super::{Entry, name_fits};
use crate::{alerts::AlertRuleUpdate, change::Subject, error::StoreError};

/// An organization has at most so many: each is looked at every minute.
pub(crate) const MOST: u32 = 50;
const LONGEST_QUIET: u64 = 366 * 24 * 3600;
const MOST_MEMBERS: usize = 20;

fn shown(rule: &AlertRule) -> Value {
    json!({
        "name": rule.name,
        "condition": rule.condition,
        "scope": rule.scope,
        "channel": rule.channel,
        "quiet_seconds": rule.quiet_seconds,
        "enabled": rule.enabled,
    })
}

fn entry(
    action: &'static str,
    rule: &AlertRule,
    before: Option<Value>,
    after: Option<Value>,
) -> Entry {
    Entry { action, subject: Subject::AlertRule(rule.id), before, after }
}

fn fits(rule: &AlertRule) -> Result<(), StoreError> {
    name_fits(&rule.name)?;
    if !rule.condition.is_sound() {
        return Err(StoreError::invalid(
            format!("a figure of the condition `{}` is out of bounds", rule.condition.kind()),
            "the API's description says which there are",
        ));
    }
    if rule.quiet_seconds > LONGEST_QUIET {
        return Err(StoreError::invalid("the quiet time is too long", "write at most 366 days"));
    }
    match &rule.channel.mail {
        keyward_core::alert::MailTo::Members(members) if members.len() > MOST_MEMBERS => {
            Err(StoreError::invalid(
                format!("{} members would be told", members.len()),
                format!("name at most {MOST_MEMBERS}, or use a webhook"),
            ))
        }
        _ => Ok(()),
    }
}

/// May this rule be made beside `others`?
pub(crate) fn creation(new: &AlertRule, others: u32) -> Result<Entry, StoreError> {
    fits(new)?;
    match others >= MOST {
        true => Err(StoreError::TooManyAlertRules { most: MOST }),
        false => Ok(entry("alert_rule.create", new, None, Some(shown(new)))),
    }
}

/// The rule as it shall be; `None` where it is so already.
pub(crate) fn update(
    before: &AlertRule,
    update: AlertRuleUpdate,
) -> Result<Option<(AlertRule, Entry)>, StoreError> {
    let was = before.clone();
    let after = AlertRule {
        name: update.name.unwrap_or(was.name),
        condition: update.condition.unwrap_or(was.condition),
        scope: update.scope.unwrap_or(was.scope),
        channel: update.channel.unwrap_or(was.channel),
        quiet_seconds: update.quiet_seconds.unwrap_or(was.quiet_seconds),
        enabled: update.enabled.unwrap_or(was.enabled),
        ..was
    };
    fits(&after)?;
    if after == *before {
        return Ok(None);
    }
    let entry = entry("alert_rule.update", before, Some(shown(before)), Some(shown(&after)));
    Ok(Some((after, entry)))
}

/// It is removed.
pub(crate) fn removal(rule: &AlertRule) -> Entry {
    entry("alert_rule.delete", rule, Some(shown(rule)), None)
}
