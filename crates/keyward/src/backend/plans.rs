//! Plans and prices, both ways.

use http::Method;
use keyward_api::{DeletePriceQuery, PlanView, PriceView, PutPlanInput, PutPriceInput};
use keyward_control::limits;
use keyward_core::{
    id::OrganizationId,
    limit::{Limit, ModelPattern, PlanName},
};

use super::Backend;
use crate::{remote::client::with_query, site::operator};

/// Of what a plan's name can hold, a space alone is no part of a path.
fn path(name: &PlanName) -> String {
    format!("/v1/plans/{}", name.as_str().replace(' ', "%20"))
}

impl Backend {
    /// All plans, or those that hold for an organization.
    pub async fn list_plans(
        &self,
        organization: Option<&OrganizationId>,
    ) -> anyhow::Result<Vec<PlanView>> {
        match (self, organization) {
            (Self::Local(site), None) => Ok(site.control().list_plans(&operator()).await?),
            (Self::Local(site), Some(organization)) => {
                Ok(site.control().list_organization_plans(&operator(), organization).await?)
            }
            (Self::Remote(remote), None) => Ok(remote.client.list("/v1/plans").await?),
            (Self::Remote(remote), Some(organization)) => {
                Ok(remote.client.list(&format!("/v1/organizations/{organization}/plans")).await?)
            }
        }
    }

    /// One of them.
    pub async fn show_plan(&self, name: &PlanName) -> anyhow::Result<PlanView> {
        match self {
            Self::Local(site) => Ok(site.control().show_plan(&operator(), name).await?),
            Self::Remote(remote) => Ok(remote.client.get(&path(name), &()).await?),
        }
    }

    /// Makes a plan, or gives it other limits.
    pub async fn put_plan(&self, name: &PlanName, limits: Vec<Limit>) -> anyhow::Result<PlanView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().put_plan(&operator(), name.clone(), limits, None).await?)
            }
            Self::Remote(remote) => {
                let input = PutPlanInput { limits: limits::views(&limits) };
                Ok(remote.client.send(Method::PUT, &path(name), &input).await?)
            }
        }
    }

    /// Forgets a plan.
    pub async fn delete_plan(&self, name: &PlanName) -> anyhow::Result<()> {
        match self {
            Self::Local(site) => {
                Ok(site.control().delete_plan(&operator(), name.clone(), None).await?)
            }
            Self::Remote(remote) => {
                Ok(remote.client.tell(Method::DELETE, &path(name), None::<&()>).await?)
            }
        }
    }

    /// What models cost.
    pub async fn list_prices(&self) -> anyhow::Result<Vec<PriceView>> {
        match self {
            Self::Local(site) => Ok(site.control().list_prices(&operator()).await?),
            Self::Remote(remote) => Ok(remote.client.list("/v1/prices").await?),
        }
    }

    /// Says what a model costs.
    pub async fn put_price(&self, input: PutPriceInput) -> anyhow::Result<PriceView> {
        match self {
            Self::Local(site) => {
                let price = limits::read_price(input)?;
                Ok(site.control().put_price(&operator(), price, None).await?)
            }
            Self::Remote(remote) => {
                Ok(remote.client.send(Method::PUT, "/v1/prices", &input).await?)
            }
        }
    }

    /// Forgets what a model costs.
    pub async fn delete_price(&self, model: &ModelPattern) -> anyhow::Result<()> {
        match self {
            Self::Local(site) => {
                Ok(site.control().delete_price(&operator(), model.as_str(), None).await?)
            }
            Self::Remote(remote) => {
                let asked = DeletePriceQuery { model: model.to_string() };
                let path = with_query("/v1/prices", &asked);
                Ok(remote.client.tell(Method::DELETE, &path, None::<&()>).await?)
            }
        }
    }
}
