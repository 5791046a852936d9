//! Invitations: the one way into an organization that exists, and to become an operator.

use std::time::Duration;

use keyward_api::{AccountView, CreatedInvitation, InvitationView, PlaintextView};
use keyward_core::{
    id::{InvitationId, OrganizationId},
    key::Plaintext,
    member::{Email, Right, Role},
};
use keyward_store::{Change, Invitation, InvitationState, InvitedAs, PeopleChange, StoreError};

use super::{super::Control, Newcomer};
use crate::{
    context::Context,
    error::ControlError,
    mail::Mail,
    mint,
    token::{self, TokenKind},
    views,
};

/// How long an invitation can be accepted.
const INVITATION: Duration = Duration::from_secs(7 * 24 * 3600);

/// An invitation that was made.
pub struct Invited {
    /// What opens it, in the clear: here alone, and only where no mail was sent with it. A token that came by mail alone
    /// proves the address.
    pub token: Option<Plaintext>,
    /// The invitation.
    pub invitation: InvitationView,
}

impl Invited {
    /// As it is sent, once.
    pub fn view(&self) -> CreatedInvitation {
        CreatedInvitation {
            token: self.token.as_ref().map(|token| PlaintextView::new(token.expose().to_owned())),
            invitation: self.invitation.clone(),
        }
    }
}

impl Control {
    /// Invites somebody into an organization, or without one to run this Keyward.
    pub async fn invite(
        &self,
        context: &Context,
        to: Option<(OrganizationId, Role)>,
        email: Email,
    ) -> Result<Invited, ControlError> {
        self.require_members(context, to.as_ref().map(|(organization, _)| organization))?;
        self.repeat(context)?;
        let mail = self.mailer.reserve(&email)?;
        let by = match context.user() {
            Some(user) => self.store.user(user).await?.map(|record| record.user.name),
            None => None,
        };
        let place = match &to {
            Some((organization, role)) => {
                Some((self.existing_organization(organization).await?.name, *role))
            }
            None => None,
        };
        let (plaintext, token) = token::mint(TokenKind::Invitation)?;
        let invitation = Invitation {
            id: InvitationId::from_bits(mint::random()?),
            email,
            to: match to {
                Some((organization, role)) => InvitedAs::Member { organization, role },
                None => InvitedAs::Operator,
            },
            token,
            invited_by: context.answerable(),
            created_at: context.now,
            expires_at: context.now.plus(INVITATION),
            state: InvitationState::Open,
        };
        let view = views::invitation(&invitation, context.now);
        let expires_at = invitation.expires_at;
        let id = invitation.id;
        let change = Change::People(PeopleChange::Invite(invitation));
        let delivers = self.mailer.delivers();
        let token = (!delivers).then(|| plaintext.clone());
        let told = Mail::Invitation { to: place, by, token: plaintext, expires_at };
        let invited = Invited { token, invitation: view };
        let answer = invited.view();
        self.commit_answering(context, change, id, move |_| answer).await?;
        mail.send(&told, context.now);
        Ok(invited)
    }

    fn require_members(
        &self,
        context: &Context,
        organization: Option<&OrganizationId>,
    ) -> Result<(), ControlError> {
        match organization {
            Some(organization) => context.require(Right::WriteMembers, organization),
            None => context.require_operator(),
        }
    }

    /// Invitations to an organization, or without one to run this Keyward; newest first.
    pub async fn list_invitations(
        &self,
        context: &Context,
        organization: Option<&OrganizationId>,
    ) -> Result<Vec<InvitationView>, ControlError> {
        self.require_members(context, organization)?;
        let invitations = self.store.invitations(organization).await?;
        Ok(invitations.iter().map(|one| views::invitation(one, context.now)).collect())
    }

    /// Takes an invitation back.
    pub async fn withdraw_invitation(
        &self,
        context: &Context,
        id: InvitationId,
    ) -> Result<(), ControlError> {
        let change = Change::People(PeopleChange::WithdrawInvitation(id));
        self.store.commit(&context.actor, context.now, change).await?;
        Ok(())
    }

    /// Accepts an invitation: as whoever is known by the invited address, or as a newcomer who chooses a name and a password.
    ///
    /// Somebody who is known must have logged in: a mail that was forwarded opens nothing for another person.
    pub async fn accept_invitation(
        &self,
        context: &Context,
        token: &Plaintext,
        newcomer: Option<(String, Plaintext)>,
    ) -> Result<AccountView, ControlError> {
        let token = token::digest(token.expose());
        let held = self.store.invitation_by_token(&token).await?;
        let held = held.ok_or(StoreError::UnknownToken)?;
        let known = self.store.user_by_email(&held.email).await?;
        let newcomer = match (&known, newcomer) {
            (Some(known), _) if context.user() != Some(known.user.id) => {
                return Err(StoreError::EmailTaken(held.email).into());
            }
            (Some(_), _) | (None, None) => None,
            (None, Some((name, password))) => {
                let newcomer = Newcomer { email: held.email.clone(), name, password };
                Some(newcomer.prepare(false, context.now).await?)
            }
        };
        let change = Change::People(PeopleChange::AcceptInvitation { token, newcomer });
        self.store.commit(&context.actor, context.now, change).await?;
        let accepted = self.store.user_by_email(&held.email).await?;
        accepted.map(|record| views::account(&record)).ok_or(ControlError::Interrupted)
    }
}
