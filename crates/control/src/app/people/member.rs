//! Members: who belongs to an organization, and as what.

use keyward_api::MemberView;
use keyward_core::{
    id::{OrganizationId, UserId},
    member::{Right, Role},
};
use keyward_store::{Change, PeopleChange, StoreError};

use super::super::Control;
use crate::{context::Context, error::ControlError, views};

impl Control {
    /// The members of an organization, in the order they came.
    pub async fn list_members(
        &self,
        context: &Context,
        organization: &OrganizationId,
    ) -> Result<Vec<MemberView>, ControlError> {
        context.require(Right::ReadMembers, organization)?;
        self.existing_organization(organization).await?;
        let members = self.store.members(organization).await?;
        Ok(members.iter().map(|(user, place)| views::member(user, place)).collect())
    }

    /// Gives a member another role, up to one's own. Keys they own are as good as the new role from the next moment on.
    pub async fn set_role(
        &self,
        context: &Context,
        organization: &OrganizationId,
        user: UserId,
        role: Role,
    ) -> Result<MemberView, ControlError> {
        let change = PeopleChange::SetRole { organization: organization.clone(), user, role };
        self.store.commit(&context.actor, context.now, Change::People(change)).await?;
        let members = self.store.members(organization).await?;
        let member = members.iter().find(|(one, _)| one.id == user);
        member.map(|(user, place)| views::member(user, place)).ok_or_else(|| {
            StoreError::NoSuchMember { organization: organization.clone(), user }.into()
        })
    }

    /// Removes a member, or lets one leave. The keys they own are refused from the next moment on.
    pub async fn remove_member(
        &self,
        context: &Context,
        organization: &OrganizationId,
        user: UserId,
    ) -> Result<(), ControlError> {
        let change = PeopleChange::RemoveMember { organization: organization.clone(), user };
        self.store.commit(&context.actor, context.now, Change::People(change)).await?;
        Ok(())
    }
}
