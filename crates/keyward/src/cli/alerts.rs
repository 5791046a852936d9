//! `keyward alerts …`: rules that say when people are told, and what they raised.

use std::time::Duration;

use clap::{Args, Subcommand};
use keyward_api::{
    AlertChannelView, AlertConditionView, AlertMailView, AlertRuleInput, AlertRuleView,
    AlertScopeView, AlertView, Page, UpdateAlertRuleInput,
};
use keyward_core::id::{AlertRuleId, KeyId, OrganizationId, UserId};

use super::values;
use crate::{
    backend::Place,
    output::{Output, facts, table},
};

#[derive(Debug, Subcommand)]
pub(super) enum Alerts {
    /// List what is raised, newest first
    List {
        /// Of which organization [default: every, for operators]
        #[arg(long)]
        organization: Option<OrganizationId>,
        /// Also what is over
        #[arg(long)]
        all: bool,
    },
    /// List rules
    Rules {
        /// Of which organization [default: those over every organization]
        #[arg(long)]
        organization: Option<OrganizationId>,
    },
    /// Show a rule
    Show {
        /// The rule's id
        id: AlertRuleId,
    },
    /// Make a rule
    Create(Create),
    /// Look at a rule again
    Enable {
        /// The rule's id
        id: AlertRuleId,
    },
    /// Look at a rule no more
    Disable {
        /// The rule's id
        id: AlertRuleId,
    },
    /// Remove a rule; what it raised is over
    Delete {
        /// The rule's id
        id: AlertRuleId,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Of which organization [default: over every organization, for operators]
    #[arg(long)]
    organization: Option<OrganizationId>,
    /// What people call it
    #[arg(long)]
    name: String,
    /// When people are told, as the API describes it: '{"kind":"key_unused","days":90}'
    #[arg(long, value_parser = condition, value_name = "JSON")]
    condition: AlertConditionView,
    /// Of this key alone [default: each key]
    #[arg(long)]
    key: Option<KeyId>,
    /// Of the organization as a whole
    #[arg(long, conflicts_with = "key")]
    whole: bool,
    /// Members who are told by mail; may be given several times [default: owners and administrators]
    #[arg(long = "member", value_name = "USER")]
    members: Vec<UserId>,
    /// Nobody is told by mail
    #[arg(long, conflicts_with = "members")]
    no_mail: bool,
    /// Webhooks are not told
    #[arg(long)]
    no_webhooks: bool,
    /// The same thing is not told again within this time [default: 1d]
    #[arg(long, value_parser = values::duration, value_name = "DURATION")]
    quiet: Option<Duration>,
}

fn condition(text: &str) -> Result<AlertConditionView, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl Create {
    fn input(self) -> (Option<OrganizationId>, AlertRuleInput) {
        let scope = match (self.key, self.whole) {
            (Some(key), _) => AlertScopeView::Key { key: key.to_string() },
            (None, true) => AlertScopeView::Organization,
            (None, false) => AlertScopeView::EachKey,
        };
        let mail = match (self.no_mail, self.members.is_empty()) {
            (true, _) => AlertMailView::Nobody,
            (false, true) => AlertMailView::Administrators,
            (false, false) => {
                AlertMailView::Members(self.members.iter().map(ToString::to_string).collect())
            }
        };
        let input = AlertRuleInput {
            name: self.name,
            condition: self.condition,
            scope: Some(scope),
            channel: Some(AlertChannelView { mail, webhooks: !self.no_webhooks }),
            quiet_seconds: self.quiet.map(|quiet| quiet.as_secs()),
        };
        (self.organization, input)
    }
}

impl Alerts {
    pub(super) async fn run(self, place: &Place, output: Output) -> anyhow::Result<()> {
        let backend = place.open().await?;
        let enabled =
            |enabled| UpdateAlertRuleInput { enabled: Some(enabled), ..Default::default() };
        match self {
            Self::List { organization, all } => {
                let raised = if all { None } else { Some(true) };
                let all = backend.list_alerts(organization.as_ref(), raised).await?;
                output.show(&Page::whole(all), |page| listed(&page.items))
            }
            Self::Rules { organization } => {
                let all = backend.list_alert_rules(organization.as_ref()).await?;
                output.show(&Page::whole(all), |page| rules(&page.items, organization.is_some()))
            }
            Self::Show { id } => output.show(&backend.show_alert_rule(id).await?, shown),
            Self::Create(create) => {
                let (organization, input) = create.input();
                output.show(&backend.create_alert_rule(organization, input).await?, shown)
            }
            Self::Enable { id } => {
                output.show(&backend.update_alert_rule(id, enabled(true)).await?, shown)
            }
            Self::Disable { id } => {
                output.show(&backend.update_alert_rule(id, enabled(false)).await?, shown)
            }
            Self::Delete { id } => {
                backend.delete_alert_rule(id).await?;
                output.done(&format!("{id} is removed."))
            }
        }
    }
}

/// As it is written.
fn written(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

const fn state(rule: &AlertRuleView) -> &'static str {
    if rule.enabled { "enabled" } else { "disabled" }
}

/// Rules of one organization, or those over every one.
fn rules(rules: &[AlertRuleView], of_one: bool) -> String {
    let row = |one: &AlertRuleView| {
        vec![one.id.clone(), one.name.clone(), written(&one.condition), state(one).to_owned()]
    };
    table(
        &["id", "name", "condition", "state"],
        rules.iter().map(row).collect(),
        match of_one {
            true => "No rules. Make one with `keyward alerts create`.",
            false => {
                "No rules over every organization. See those of one with `--organization`, or make one with `keyward alerts create`."
            }
        },
    )
}

fn shown(rule: &AlertRuleView) -> String {
    facts(&[
        ("rule", rule.id.clone()),
        ("organization", rule.organization_id.clone().unwrap_or_else(|| "every".to_owned())),
        ("name", rule.name.clone()),
        ("condition", written(&rule.condition)),
        ("of", written(&rule.scope)),
        ("told", written(&rule.channel)),
        ("quiet", format!("{}s", rule.quiet_seconds)),
        ("state", state(rule).to_owned()),
        ("created", rule.created_at.clone()),
    ])
}

fn listed(alerts: &[AlertView]) -> String {
    let row = |one: &AlertView| {
        vec![
            one.raised_at.clone(),
            one.resolved_at.clone().unwrap_or_else(|| "raised".to_owned()),
            one.organization_id.clone().unwrap_or_else(|| "-".to_owned()),
            one.message.clone(),
            one.rule_id.clone(),
        ]
    };
    table(
        &["since", "until", "organization", "what", "rule"],
        alerts.iter().map(row).collect(),
        "Nothing is raised.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_only_rules_over_every_organization_are_listed_none_does_not_say_that_there_are_none() {
        assert!(rules(&[], false).contains("--organization"));
        assert!(!rules(&[], true).contains("--organization"));
    }
}
