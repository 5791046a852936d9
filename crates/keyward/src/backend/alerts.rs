//! Alert rules and alerts, both ways.

use http::Method;
use keyward_api::{
    AlertRuleInput, AlertRuleView, AlertView, ListAlertsQuery, UpdateAlertRuleInput,
};
use keyward_core::id::{AlertRuleId, OrganizationId};

use super::Backend;
use crate::site::operator;

const PAGE: u32 = 1000;

/// Where something of an organization is asked for, or of every organization.
fn place(organization: Option<&OrganizationId>, resource: &str) -> String {
    match organization {
        Some(organization) => format!("/v1/organizations/{organization}/{resource}"),
        None => format!("/v1/{resource}"),
    }
}

impl Backend {
    /// Makes a rule.
    pub async fn create_alert_rule(
        &self,
        organization: Option<OrganizationId>,
        input: AlertRuleInput,
    ) -> anyhow::Result<AlertRuleView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().create_alert_rule(&operator(), organization, input).await?)
            }
            Self::Remote(remote) => {
                let path = place(organization.as_ref(), "alert-rules");
                Ok(remote.client.send(Method::POST, &path, &input).await?)
            }
        }
    }

    /// Rules, in the order they were made.
    pub async fn list_alert_rules(
        &self,
        organization: Option<&OrganizationId>,
    ) -> anyhow::Result<Vec<AlertRuleView>> {
        match self {
            Self::Local(site) => {
                Ok(site.control().list_alert_rules(&operator(), organization).await?)
            }
            Self::Remote(remote) => {
                Ok(remote.client.list(&place(organization, "alert-rules")).await?)
            }
        }
    }

    /// One of them.
    pub async fn show_alert_rule(&self, id: AlertRuleId) -> anyhow::Result<AlertRuleView> {
        match self {
            Self::Local(site) => Ok(site.control().show_alert_rule(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.get(&format!("/v1/alert-rules/{id}"), &()).await?)
            }
        }
    }

    /// Changes it.
    pub async fn update_alert_rule(
        &self,
        id: AlertRuleId,
        input: UpdateAlertRuleInput,
    ) -> anyhow::Result<AlertRuleView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().update_alert_rule(&operator(), id, input, None).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/alert-rules/{id}");
                Ok(remote.client.send(Method::PATCH, &path, &input).await?)
            }
        }
    }

    /// Removes it.
    pub async fn delete_alert_rule(&self, id: AlertRuleId) -> anyhow::Result<()> {
        match self {
            Self::Local(site) => Ok(site.control().delete_alert_rule(&operator(), id).await?),
            Self::Remote(remote) => {
                let path = format!("/v1/alert-rules/{id}");
                Ok(remote.client.tell(Method::DELETE, &path, None::<&()>).await?)
            }
        }
    }

    /// Alerts, newest first.
    pub async fn list_alerts(
        &self,
        organization: Option<&OrganizationId>,
        raised: Option<bool>,
    ) -> anyhow::Result<Vec<AlertView>> {
        match self {
            Self::Local(site) => {
                let (control, mut alerts, mut after) = (site.control(), Vec::new(), None);
                loop {
                    let context = operator();
                    let page = control.list_alerts(&context, organization, raised, after, PAGE);
                    let page = page.await?;
                    alerts.extend(page.items);
                    match page.next {
                        Some(next) => after = Some(next.parse()?),
                        None => return Ok(alerts),
                    }
                }
            }
            Self::Remote(remote) => {
                let of_page = |after| ListAlertsQuery { raised, after, limit: Some(PAGE) };
                let path = place(organization, "alerts");
                Ok(remote.client.all::<AlertView, _>(&path, of_page).await?)
            }
        }
    }
}
