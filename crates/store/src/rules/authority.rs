//! What a change asks of whoever does it. The control plane asks before it acts; this is asked again in the transaction of the change,
//! so that a right which was taken away meanwhile, or a check that somebody forgot, opens nothing.

use keyward_core::{
    id::{InvitationId, KeyId, OrganizationId, SecretId, UserId},
    member::{Membership, Right, Role},
};

use crate::{
    change::{Change, Subject},
    error::StoreError,
    people::{InvitedAs, PeopleChange},
};

/// What a change is about, as far as rights depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of Keyward.
    Everything,
    /// An organization, and this right in it.
    In(OrganizationId, Right),
    /// A key: the right to write all keys of its organization, or one's own.
    Key(KeyId),
    /// The key that a secret is of.
    Secret(SecretId),
    /// A new key, for this owner.
    NewKey(OrganizationId, Option<UserId>),
    /// The place that an invitation is to.
    Invitation(InvitationId),
    /// A role in an organization, to be given or taken: nobody gives or takes more than they have.
    Role(OrganizationId, Option<UserId>, Option<Role>),
    /// Oneself.
    Oneself(UserId),
    /// Nothing but what the change itself shows: a token, a password that was checked.
    Nothing,
}

/// What a change asks for.
pub(crate) fn asked(change: &Change) -> Asked {
    match change {
        Change::CreateOrganization(_)
        | Change::SetOrganizationState { .. }
        | Change::AssignModelId { .. }
        | Change::WithdrawModelId { .. }
        | Change::SetUpstreamCredential { .. }
        | Change::RemoveUpstreamCredential { .. }
        | Change::MarkKeyExposed { .. } => Asked::Everything,
        Change::SetOrganizationAllowedModels { organization, .. } => {
            Asked::In(organization.clone(), Right::WriteOrganization)
        }
        Change::CreateKey { key, .. } => Asked::NewKey(key.organization.clone(), key.owner),
        Change::SetKeyState { key, .. } | Change::RotateKey { key, .. } => Asked::Key(*key),
        Change::RetireSecret { secret, .. } => Asked::Secret(*secret),
        Change::People(change) => asked_of_people(change),
    }
}

fn asked_of_people(change: &PeopleChange) -> Asked {
    match change {
        PeopleChange::OfferSetup { .. } => Asked::Everything,
        PeopleChange::SetUp { .. }
        | PeopleChange::SignUp { .. }
        | PeopleChange::StartSession(_)
        | PeopleChange::AcceptInvitation { .. }
        | PeopleChange::LinkIdentity { .. }
        | PeopleChange::AcceptByIdentity { .. }
        | PeopleChange::Enrol { .. } => Asked::Nothing,
        PeopleChange::SetPassword { user, .. } | PeopleChange::EndSession { user, .. } => {
            Asked::Oneself(*user)
        }
        PeopleChange::Invite(invitation) => match &invitation.to {
            InvitedAs::Member { organization, role } => {
                Asked::Role(organization.clone(), None, Some(*role))
            }
            InvitedAs::Operator => Asked::Everything,
        },
        PeopleChange::WithdrawInvitation(id) => Asked::Invitation(*id),
        PeopleChange::SetRole { organization, user, role } => {
            Asked::Role(organization.clone(), Some(*user), Some(*role))
        }
        PeopleChange::RemoveMember { organization, user } => {
            Asked::Role(organization.clone(), Some(*user), None)
        }
    }
}

/// Whether somebody in this place has the right; who has no place there is told that there is no such thing.
pub(crate) fn in_place(
    place: Option<&Membership>,
    right: Right,
    missing: StoreError,
) -> Result<(), StoreError> {
    match place {
        None => Err(missing),
        Some(place) if place.role.has(right) => Ok(()),
        Some(_) => Err(StoreError::NotAllowed(Some(right))),
    }
}

/// Whether somebody in this place may write a key of `owner`'s: any key, or their own.
pub(crate) fn key_of(
    place: Option<&Membership>,
    owner: Option<UserId>,
    missing: StoreError,
) -> Result<(), StoreError> {
    let own = place.is_some_and(|place| owner == Some(place.user));
    in_place(place, if own { Right::WriteOwnKeys } else { Right::WriteKeys }, missing)
}

/// Whether somebody in `place` may change what `of` is there to `to`.
///
/// Anybody may leave. Otherwise nobody gives or takes a role above their own.
pub(crate) fn role(
    place: Option<&Membership>,
    of: Option<&Membership>,
    to: Option<Role>,
    missing: StoreError,
) -> Result<(), StoreError> {
    let leaves = to.is_none() && of.is_some() && place.map(|p| p.user) == of.map(|of| of.user);
    if leaves {
        return Ok(());
    }
    in_place(place, Right::WriteMembers, missing)?;
    let own = place.map(|place| place.role);
    match of.map(|of| of.role).max(to) > own {
        true => Err(StoreError::NotAllowed(Some(Right::WriteMembers))),
        false => Ok(()),
    }
}

/// What somebody is told who has no place where a change is to happen: that it is not there.
pub(crate) fn missing(subject: &Subject) -> StoreError {
    match subject {
        Subject::Key(key) => StoreError::NoSuchKey(*key),
        Subject::Organization(organization) => StoreError::NoSuchOrganization(organization.clone()),
        Subject::Member(organization, _) => StoreError::NoSuchOrganization(organization.clone()),
        Subject::UpstreamCredential(_) | Subject::User(_) | Subject::Setup => {
            StoreError::NotAllowed(None)
        }
    }
}
