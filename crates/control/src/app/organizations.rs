//! Organizations: whom keys belong to.

use keyward_api::OrganizationView;
use keyward_core::{
    id::{OrganizationId, mint_organization_id},
    member::Right,
    organization::{Organization, OrganizationState},
};
use keyward_store::{Change, OrganizationUpdate, Revision};

use super::{Control, keys::create::check_models};
use crate::{context::Context, error::ControlError, limits, mint, views};

impl Control {
    /// Makes an organization; without an id, one is made. Without a name it is called by its id.
    pub async fn create_organization(
        &self,
        context: &Context,
        id: Option<OrganizationId>,
        name: Option<String>,
    ) -> Result<OrganizationView, ControlError> {
        context.require_operator()?;
        self.repeat(context)?;
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
            limits: vec![],
            plan: None,
        };
        let view = views::organization(&organization);
        let id = organization.id.clone();
        let change = Change::CreateOrganization(organization);
        let answer = view.clone();
        self.commit_answering(context, change, id, move |_| answer).await?;
        Ok(view)
    }

    /// The organizations that the caller belongs to, in the order they came there; for who operates all, in the order they were made.
    pub async fn list_organizations(
        &self,
        context: &Context,
    ) -> Result<Vec<OrganizationView>, ControlError> {
        let Some(places) = context.places() else {
            let all = self.store.organizations().await?;
            return Ok(all.iter().map(views::organization).collect());
        };
        // One by one: somebody with a place in one of a hundred thousand must not have all of them read.
        let mut seen = Vec::new();
        for id in places {
            if context.require(Right::ReadOrganization, id).is_ok() {
                seen.extend(self.store.organization(id).await?);
            }
        }
        Ok(seen.iter().map(views::organization).collect())
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

    /// Changes its name, which models its keys may ask for, its plan and its limits; a key's own narrow them further. Members narrow the
    /// models, and only who runs this Keyward widens them again; plan and limits are theirs alone. With `seen`, an organization that was changed since is left alone.
    pub async fn update_organization(
        &self,
        context: &Context,
        id: &OrganizationId,
        mut update: OrganizationUpdate,
        seen: Option<Revision>,
    ) -> Result<OrganizationView, ControlError> {
        context.require(Right::WriteOrganization, id)?;
        if update.plan.is_some() || update.limits.is_some() {
            context.require_operator()?;
        }
        if let Some(Some(choice)) = &mut update.plan {
            choice.of_profile = self.is_of_profile(&choice.name);
        }
        if let Some(limits) = &update.limits {
            limits::check_not_of_plan(limits)?;
            limits::check(&self.policy, limits)?;
        }
        if let Some(models) = &update.allowed_models {
            check_models(models.as_deref())?;
        }
        let change = Change::UpdateOrganization { organization: id.clone(), update, seen };
        self.store.commit(&context.actor, context.now, change).await?;
        self.show_organization(context, id).await
    }
}
