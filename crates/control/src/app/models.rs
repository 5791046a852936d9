//! Model ids: what an organization's requests may name as theirs.

use keyward_api::ModelIdView;
use keyward_core::{
    id::{ModelId, OrganizationId, mint_model_id},
    member::Right,
};
use keyward_store::Change;

use super::Control;
use crate::{context::Context, error::ControlError, mint};

impl Control {
    /// Gives an organization a model id: the one that is named, or a new one.
    pub async fn assign_model_id(
        &self,
        context: &Context,
        organization: &OrganizationId,
        id: Option<ModelId>,
    ) -> Result<ModelIdView, ControlError> {
        context.require(Right::ReadOrganization, organization)?;
        context.require_operator()?;
        let model = match id {
            Some(id) => id,
            None => mint_model_id(mint::random()?),
        };
        let view = view(&model, organization);
        let change = Change::AssignModelId { organization: organization.clone(), model };
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(view)
    }

    /// Takes a model id from an organization.
    pub async fn withdraw_model_id(
        &self,
        context: &Context,
        organization: &OrganizationId,
        model: ModelId,
    ) -> Result<ModelIdView, ControlError> {
        context.require(Right::ReadOrganization, organization)?;
        context.require_operator()?;
        let view = view(&model, organization);
        let change = Change::WithdrawModelId { organization: organization.clone(), model };
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(view)
    }

    /// Model ids of one organization, or of all.
    pub async fn list_model_ids(
        &self,
        context: &Context,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<ModelIdView>, ControlError> {
        let organizations = match organization {
            Some(id) => {
                context.require(Right::ReadOrganization, id)?;
                vec![self.existing_organization(id).await?]
            }
            None => {
                let mut all = self.store.organizations().await?;
                all.retain(|one| context.require(Right::ReadOrganization, &one.id).is_ok());
                all
            }
        };
        let of_each = organizations
            .iter()
            .flat_map(|owner| owner.model_ids.iter().map(|model| view(model, &owner.id)));
        Ok(of_each.collect())
    }
}

fn view(model: &ModelId, organization: &OrganizationId) -> ModelIdView {
    ModelIdView { id: model.to_string(), organization_id: organization.to_string() }
}
