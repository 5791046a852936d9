//! Members and invitations, both ways.

use http::Method;
use keyward_api::{
    ChangeMemberInput, CreateInvitationInput, CreatedInvitation, InvitationView, MemberView,
    PlaintextView,
};
use keyward_core::{
    id::{InvitationId, OrganizationId, UserId},
    member::{Email, Role},
};

use super::Backend;
use crate::site::operator;

impl Backend {
    /// Members, in the order they came.
    pub async fn list_members(
        &self,
        organization: &OrganizationId,
    ) -> anyhow::Result<Vec<MemberView>> {
        match self {
            Self::Local(site) => Ok(site.control().list_members(&operator(), organization).await?),
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{organization}/members");
                Ok(remote.client.list(&path).await?)
            }
        }
    }

    /// Gives a member another role.
    pub async fn change_member(
        &self,
        organization: &OrganizationId,
        user: UserId,
        role: Role,
    ) -> anyhow::Result<MemberView> {
        match self {
            Self::Local(site) => {
                Ok(site.control().set_role(&operator(), organization, user, role).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{organization}/members/{user}");
                let input = ChangeMemberInput { role: role.as_str().to_owned() };
                Ok(remote.client.send(Method::PATCH, &path, &input).await?)
            }
        }
    }

    /// Removes a member.
    pub async fn remove_member(
        &self,
        organization: &OrganizationId,
        user: UserId,
    ) -> anyhow::Result<()> {
        match self {
            Self::Local(site) => {
                Ok(site.control().remove_member(&operator(), organization, user).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{organization}/members/{user}");
                Ok(remote.client.tell(Method::DELETE, &path, None::<&()>).await?)
            }
        }
    }

    /// Invites somebody into an organization.
    pub async fn create_invitation(
        &self,
        organization: OrganizationId,
        email: Email,
        role: Role,
    ) -> anyhow::Result<CreatedInvitation> {
        match self {
            Self::Local(site) => {
                let to = Some((organization, role));
                let invited = site.control().invite(&operator(), to, email).await?;
                Ok(CreatedInvitation {
                    token: invited.token.map(|token| PlaintextView::new(token.expose().to_owned())),
                    invitation: invited.invitation,
                })
            }
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{organization}/invitations");
                let input = CreateInvitationInput {
                    email: email.to_string(),
                    role: role.as_str().to_owned(),
                };
                Ok(remote.client.send(Method::POST, &path, &input).await?)
            }
        }
    }

    /// Invitations, newest first.
    pub async fn list_invitations(
        &self,
        organization: &OrganizationId,
    ) -> anyhow::Result<Vec<InvitationView>> {
        match self {
            Self::Local(site) => {
                Ok(site.control().list_invitations(&operator(), Some(organization)).await?)
            }
            Self::Remote(remote) => {
                let path = format!("/v1/organizations/{organization}/invitations");
                Ok(remote.client.list(&path).await?)
            }
        }
    }

    /// Takes an invitation back.
    pub async fn withdraw_invitation(&self, id: InvitationId) -> anyhow::Result<()> {
        match self {
            Self::Local(site) => Ok(site.control().withdraw_invitation(&operator(), id).await?),
            Self::Remote(remote) => {
                let path = format!("/v1/invitations/{id}");
                Ok(remote.client.tell(Method::DELETE, &path, None::<&()>).await?)
            }
        }
    }
}
