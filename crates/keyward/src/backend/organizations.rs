//! Organizations, both ways.

use http::Method;
use keyward_api::{
    CreateOrganizationInput, LimitStateView, OrganizationView, Page, UpdateOrganizationInput,
};
use keyward_control::limits;
use keyward_core::id::OrganizationId;
use keyward_store::{OrganizationUpdate, Revision};

use super::Backend;
use crate::site::operator;

impl Backend {
    /// How the limits stand that hold for all keys of an organization together.
    pub async fn organization_limits(
        &self,
        id: &OrganizationId,
    ) -> anyhow::Result<Page<LimitStateView>> {
        match self {
            Self::Local(site) => {
                let limits = site.control().organization_limits(&operator(), id).await?;
                Ok(Page::whole(limits))
            }
            Self::Remote(remote) => {
                Ok(remote.client.get(&format!("/v1/organizations/{id}/limits"), &()).await?)
            }
        }
    }

    /// Makes an organization.
    pub async fn create_organization(
        &self,
        id: Option<OrganizationId>,
        name: Option<String>,
    ) -> anyhow::Result<OrganizationView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().create_organization(&operator(), id, name).await?)
            }
            Self::Remote(remote) => {
                let input = CreateOrganizationInput { id: id.map(|id| id.to_string()), name };
                Ok(remote.client.send(Method::POST, "/v1/organizations", &input).await?)
            }
        }
    }

    /// Organizations, in the order they were made.
    pub async fn list_organizations(&self) -> anyhow::Result<Vec<OrganizationView>> {
        match self {
            Self::Local(site) => Ok(site.control().list_organizations(&operator()).await?),
            Self::Remote(remote) => Ok(remote.client.list("/v1/organizations").await?),
        }
    }

    /// One of them.
    pub async fn show_organization(&self, id: &OrganizationId) -> anyhow::Result<OrganizationView> {
        match self {
            Self::Local(site) => Ok(site.control().show_organization(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.get(&format!("/v1/organizations/{id}"), &()).await?)
            }
        }
    }

    /// Changes one; with `seen`, only one that stands at this revision.
    pub async fn update_organization(
        &self,
        id: &OrganizationId,
        update: OrganizationUpdate,
        seen: Option<u64>,
    ) -> anyhow::Result<OrganizationView> {
        match self {
            Self::Local(site) => {
                let seen = seen.map(Revision::new);
                Ok(site.control().update_organization(&operator(), id, update, seen).await?)
            }
            Self::Remote(remote) => {
                let OrganizationUpdate { name, allowed_models, plan, limits } = update;
                let plan = plan.map(|choice| choice.map(|choice| choice.name.to_string()));
                let limits = limits.as_deref().map(limits::views);
                let input = UpdateOrganizationInput { name, allowed_models, plan, limits };
                Ok(remote.client.change(&format!("/v1/organizations/{id}"), &input, seen).await?)
            }
        }
    }

    /// Lets none of its keys work.
    pub async fn suspend_organization(
        &self,
        id: &OrganizationId,
    ) -> anyhow::Result<OrganizationView> {
        match self {
            Self::Local(site) => Ok(site.control().suspend_organization(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.post(&format!("/v1/organizations/{id}/suspend")).await?)
            }
        }
    }

    /// Lets them work again.
    pub async fn resume_organization(
        &self,
        id: &OrganizationId,
    ) -> anyhow::Result<OrganizationView> {
        match self {
            Self::Local(site) => Ok(site.control().resume_organization(&operator(), id).await?),
            Self::Remote(remote) => {
                Ok(remote.client.post(&format!("/v1/organizations/{id}/resume")).await?)
            }
        }
    }

    /// The one that was named, or all that the caller sees: where a server has lists of one organization only.
    pub(super) async fn seen_organizations(
        &self,
        named: Option<&OrganizationId>,
    ) -> anyhow::Result<Vec<String>> {
        match named {
            Some(organization) => Ok(vec![organization.to_string()]),
            None => Ok(self.list_organizations().await?.into_iter().map(|one| one.id).collect()),
        }
    }
}
