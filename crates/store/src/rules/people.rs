//! What a change to people means: who may come, go, and be what.

use std::time::Duration;

use keyward_core::{
    id::{OrganizationId, SessionId},
    member::{Membership, Role, User},
    organization::Organization,
    time::Timestamp,
};
use serde_json::json;

use super::Entry;
pub(crate) use super::name_fits;
use crate::{
    change::Subject,
    error::StoreError,
    people::{Identity, Invitation, InvitationState, InvitedAs, Session, TokenDigest},
};

fn entry(action: &'static str, subject: Subject) -> Entry {
    Entry { action, subject, before: None, after: None }
}

/// A setup token was shown on the console.
pub(crate) fn setup_offer(expires_at: Timestamp) -> Entry {
    Entry {
        after: Some(json!({ "expires_at": expires_at })),
        ..entry("setup.offer", Subject::Setup)
    }
}

/// May whoever shows `token` become the first operator?
pub(crate) fn set_up(
    offered: Option<(TokenDigest, Timestamp)>,
    token: &TokenDigest,
    at: Timestamp,
    user: &User,
) -> Result<Entry, StoreError> {
    match offered {
        Some((offered, expires_at)) if offered == *token && at < expires_at => {}
        _ => return Err(StoreError::UnknownToken),
    }
    name_fits(&user.name)?;
    if !user.operator {
        return Err(StoreError::invalid(
            "the first person would not be an operator",
            "set up with one who is",
        ));
    }
    Ok(Entry { after: Some(json!(user)), ..entry("setup.complete", Subject::User(user.id)) })
}

/// May this person come with this organization?
pub(crate) fn sign_up(user: &User, organization: &Organization) -> Result<Entry, StoreError> {
    name_fits(&user.name)?;
    name_fits(&organization.name)?;
    if user.operator {
        return Err(StoreError::invalid(
            "nobody becomes an operator by signing up",
            "ask an operator for an invitation",
        ));
    }
    let subject = Subject::Organization(organization.id.clone());
    let after = json!({ "organization": organization, "owner": user });
    Ok(Entry { after: Some(after), ..entry("organization.sign_up", subject) })
}

/// A password was set. It is not told, nor is its hash.
pub(crate) fn password(user: &User, sessions_ended: usize) -> Entry {
    let after = json!({ "password": "set", "sessions_ended": sessions_ended });
    Entry { after: Some(after), ..entry("user.set_password", Subject::User(user.id)) }
}

/// Somebody logged in.
pub(crate) fn login(user: &User, session: &Session) -> Entry {
    let after = json!({
        "session": session.id,
        "from": session.from,
        "device": session.device,
        "expires_at": session.expires_at,
    });
    Entry { after: Some(after), ..entry("session.start", Subject::User(user.id)) }
}

/// Somebody logged out, here or everywhere.
pub(crate) fn logout(user: &User, session: Option<SessionId>, ended: usize) -> Entry {
    let before = json!({ "session": session, "sessions_ended": ended });
    Entry { before: Some(before), ..entry("session.end", Subject::User(user.id)) }
}

fn place_of(to: &InvitedAs) -> (Subject, serde_json::Value) {
    match to {
        InvitedAs::Member { organization, role } => {
            (Subject::Organization(organization.clone()), json!(role))
        }
        InvitedAs::Operator => (Subject::Setup, json!("operator")),
    }
}

fn shown(invitation: &Invitation) -> serde_json::Value {
    let (_, role) = place_of(&invitation.to);
    json!({
        "invitation": invitation.id,
        "email": invitation.email,
        "role": role,
        "expires_at": invitation.expires_at,
    })
}

/// An organization invites at most so many people within a day: mail must not become a way to write to strangers.
pub(crate) const MOST_INVITED: u32 = 100;
/// How long an invitation counts, whatever became of it.
pub(crate) const INVITED_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// May an organization that has invited `others` within a day invite one more?
pub(crate) fn invites_on(organization: &OrganizationId, others: u32) -> Result<(), StoreError> {
    match others >= MOST_INVITED {
        true => {
            let organization = organization.clone();
            Err(StoreError::TooManyInvitations { organization, most: MOST_INVITED })
        }
        false => Ok(()),
    }
}

/// Somebody is invited.
pub(crate) fn invitation(new: &Invitation) -> Entry {
    let (subject, _) = place_of(&new.to);
    Entry { after: Some(shown(new)), ..entry("invitation.create", subject) }
}

/// An invitation is taken back.
pub(crate) fn withdrawal(held: &Invitation) -> Result<Option<Entry>, StoreError> {
    let (subject, _) = place_of(&held.to);
    match held.state {
        InvitationState::Withdrawn => Ok(None),
        InvitationState::Accepted => Err(StoreError::AlreadyAccepted(held.id)),
        InvitationState::Open => {
            Ok(Some(Entry { before: Some(shown(held)), ..entry("invitation.withdraw", subject) }))
        }
    }
}

/// The invitation that a token opens, if it still does. One answer for every way in which it does not.
pub(crate) fn acceptable(
    held: Option<Invitation>,
    at: Timestamp,
) -> Result<Invitation, StoreError> {
    held.filter(|held| held.state == InvitationState::Open && at < held.expires_at)
        .ok_or(StoreError::UnknownToken)
}

/// Somebody accepted. About their place: keys they own from an earlier stay are as good as their new role.
pub(crate) fn acceptance(held: &Invitation, user: &User) -> Entry {
    let (subject, role) = match &held.to {
        InvitedAs::Member { organization, role } => {
            (Subject::Member(organization.clone(), user.id), json!(role))
        }
        InvitedAs::Operator => place_of(&held.to),
    };
    let after = json!({ "invitation": held.id, "user": user, "role": role });
    Entry { after: Some(after), ..entry("invitation.accept", subject) }
}

const LONGEST_SUBJECT: usize = 255;
const LONGEST_ISSUER: usize = 1000;

/// Can an identity be one?
pub(crate) fn identity_fits(identity: &Identity) -> Result<(), StoreError> {
    let fits = |text: &str, longest| (1..=longest).contains(&text.len());
    match fits(&identity.issuer, LONGEST_ISSUER) && fits(&identity.subject, LONGEST_SUBJECT) {
        true => Ok(()),
        false => Err(StoreError::invalid(
            "the issuer's name for this account is empty or too long",
            "log in with another account",
        )),
    }
}

/// An account elsewhere becomes one to log in by.
pub(crate) fn link(user: &User, identity: &Identity, sessions_ended: Option<usize>) -> Entry {
    let mut after = json!({ "issuer": identity.issuer, "subject": identity.subject });
    if let (Some(ended), Some(after)) = (sessions_ended, after.as_object_mut()) {
        after.insert("password".to_owned(), json!("removed"));
        after.insert("sessions_ended".to_owned(), json!(ended));
    }
    Entry { after: Some(after), ..entry("user.link_identity", Subject::User(user.id)) }
}

/// May this invitation be accepted by who was shown to have its address? To run this Keyward takes the token as well.
pub(crate) fn acceptable_by_identity(
    held: Option<Invitation>,
    at: Timestamp,
) -> Result<Invitation, StoreError> {
    let held = acceptable(held, at)?;
    match &held.to {
        InvitedAs::Member { .. } => Ok(held),
        InvitedAs::Operator => Err(StoreError::UnknownToken),
    }
}

/// Somebody came without an invitation, by their issuer's word.
pub(crate) fn enrolment(
    user: &User,
    organization: &OrganizationId,
    role: Role,
    identity: &Identity,
) -> Entry {
    let after = json!({ "user": user, "role": role, "issuer": identity.issuer });
    Entry {
        after: Some(after),
        ..entry("member.enrol", Subject::Member(organization.clone(), user.id))
    }
}

/// Nobody becomes an operator by an account elsewhere.
pub(crate) fn newcomer_fits(user: &User) -> Result<(), StoreError> {
    name_fits(&user.name)?;
    match user.operator {
        true => Err(StoreError::invalid(
            "nobody becomes an operator by an account elsewhere",
            "ask an operator for an invitation",
        )),
        false => Ok(()),
    }
}

/// An organization without an owner could never be given one by its members again.
fn is_last_owner(before: &Membership, owners: u64) -> bool {
    before.role == Role::Owner && owners <= 1
}

/// Another role for a member; `owners` there are now.
pub(crate) fn role(
    before: &Membership,
    to: Role,
    owners: u64,
) -> Result<Option<Entry>, StoreError> {
    if before.role == to {
        return Ok(None);
    }
    if is_last_owner(before, owners) {
        return Err(StoreError::LastOwner(before.organization.clone()));
    }
    let subject = Subject::Member(before.organization.clone(), before.user);
    Ok(Some(Entry {
        before: Some(json!({ "role": before.role })),
        after: Some(json!({ "role": to })),
        ..entry("member.set_role", subject)
    }))
}

/// A member goes; `owners` there are now.
pub(crate) fn removal(before: &Membership, owners: u64) -> Result<Entry, StoreError> {
    if is_last_owner(before, owners) {
        return Err(StoreError::LastOwner(before.organization.clone()));
    }
    let subject = Subject::Member(before.organization.clone(), before.user);
    Ok(Entry { before: Some(json!({ "role": before.role })), ..entry("member.remove", subject) })
}
