//! Model ids, both ways. Which models an organization's keys may ask for is the organization's.

use http::Method;
use keyward_api::{AssignModelIdInput, ModelIdView};
use keyward_core::id::{ModelId, OrganizationId};

use super::Backend;
use crate::site::operator;

impl Backend {
    /// Gives an organization a model id; a new one where none is named.
    pub async fn assign_model_id(
        &self,
        organization: &OrganizationId,
        model: Option<ModelId>,
    ) -> anyhow::Result<ModelIdView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().assign_model_id(&operator(), organization, model).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{organization}/model-ids");
                let input = AssignModelIdInput { id: model.map(|model| model.to_string()) };
                Ok(remote.client.send(Method::POST, &path, &input).await?)
            }
        }
    }

    /// Takes one from it.
    pub async fn withdraw_model_id(
        &self,
        organization: &OrganizationId,
        model: ModelId,
    ) -> anyhow::Result<ModelIdView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().withdraw_model_id(&operator(), organization, model).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{organization}/model-ids/{model}");
                remote.client.tell(Method::DELETE, &path, None::<&()>).await?;
                let organization_id = organization.to_string();
                Ok(ModelIdView { id: model.to_string(), organization_id })
            }
        }
    }

    /// Model ids of an organization, or of all that the caller sees.
    pub async fn list_model_ids(
        &self,
        organization: Option<&OrganizationId>,
    ) -> anyhow::Result<Vec<ModelIdView>> {
        match self {
            Self::Local(site) => {
                Ok(site.control().list_model_ids(&operator(), organization).await?)
            }
            Self::Remote(remote) => {
                let mut all = Vec::new();
                for organization in self.seen_organizations(organization).await? {
                    let path = format!("/v1/organizations/{organization}/model-ids");
                    all.extend(remote.client.list::<ModelIdView>(&path).await?);
                }
                Ok(all)
            }
        }
    }
}
