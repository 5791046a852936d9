//! Organizations, both ways.

use http::Method;
use keyward_api::{CreateOrganizationInput, OrganizationView};
use keyward_core::id::OrganizationId;

use super::Backend;
use crate::site::operator;

impl Backend {
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
}
