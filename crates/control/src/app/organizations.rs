//! Organizations: whom keys belong to.

use keyward_api::OrganizationView;
use keyward_core::{
    id::{OrganizationId, mint_organization_id},
    member::Right,
    organization::{Organization, OrganizationState},
};
use keyward_store::{Change, OrganizationUpdate, Revision};

use super::{Control, keys::create::check_models};
use crate::{context::Context, error::ControlError, mint, views};

impl Control {
    /// Makes an organization; without an id, one is made. Without a name it is called by its id.
    pub async fn create_organization(
        &self,
        context: &Context,
        id: Option<OrganizationId>,
        name: Option<String>,
    ) -> Result<OrganizationView, ControlError> {
        let id = match id {
            Some(id) => id,
            None => mint_organization_id(mint::random()?),
        };
        let organization = Organization {
            name: name.unwrap_or_else(|| id.to_string()),
            id,
            state: OrganizationState::Active,
            model_ids: vec![],
            allowed_models: None,
            created_at: context.now,
        };
        let view = views::organization(&organization);
        let change = Change::CreateOrganization(organization);
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(view)
    }

    /// The organizations that the caller belongs to, or all, in the order they were made.
    pub async fn list_organizations(
        &self,
        context: &Context,
    ) -> Result<Vec<OrganizationView>, ControlError> {
        let all = self.store.organizations().await?;
        let seen =
            all.iter().filter(|one| context.require(Right::ReadOrganization, &one.id).is_ok());
        Ok(seen.map(views::organization).collect())
    }

    /// One organization.
    pub async fn show_organization(
        &self,
        context: &Context,
        id: &OrganizationId,
    ) -> Result<OrganizationView, ControlError> {
        context.require(Right::ReadOrganization, id)?;
        // Before the organization itself: what is changed in between makes the revision too old, never too new.
        let revision = self.store.organization_revision(id).await?.unwrap_or_default();
        let organization = self.existing_organization(id).await?;
        Ok(OrganizationView { revision: revision.get(), ..views::organization(&organization) })
    }

    /// Lets none of its keys work until it is resumed.
    pub async fn suspend_organization(
        &self,
        context: &Context,
        id: &OrganizationId,
    ) -> Result<OrganizationView, ControlError> {
        self.set_organization_state(context, id, OrganizationState::Suspended).await
    }

    /// Lets its keys work again.
    pub async fn resume_organization(
        &self,
        context: &Context,
        id: &OrganizationId,
    ) -> Result<OrganizationView, ControlError> {
        self.set_organization_state(context, id, OrganizationState::Active).await
    }

    async fn set_organization_state(
        &self,
        context: &Context,
        id: &OrganizationId,
        state: OrganizationState,
    ) -> Result<OrganizationView, ControlError> {
        context.require(Right::ReadOrganization, id)?;
        context.require_operator()?;
        let change = Change::SetOrganizationState { organization: id.clone(), state };
        self.store.commit(&context.actor, context.now, change).await?;
        self.show_organization(context, id).await
    }

    /// Changes its name, or which models its keys may ask for; a key's own list narrows them further. With `seen`, an organization
    /// that was changed since is left alone.
    pub async fn update_organization(
        &self,
        context: &Context,
        id: &OrganizationId,
        update: OrganizationUpdate,
        seen: Option<Revision>,
    ) -> Result<OrganizationView, ControlError> {
        context.require(Right::WriteOrganization, id)?;
        if let Some(models) = &update.allowed_models {
            check_models(models.as_deref())?;
        }
        let change = Change::UpdateOrganization { organization: id.clone(), update, seen };
        self.store.commit(&context.actor, context.now, change).await?;
        self.show_organization(context, id).await
    }
}
