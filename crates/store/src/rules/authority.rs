//! What a change asks of whoever does it. The control plane asks before it acts; this is asked again in the transaction of the change,
//! so that a right which was taken away meanwhile, or a check that somebody forgot, opens nothing.

use keyward_core::{
    id::{
        AlertRuleId, DeliveryId, InvitationId, KeyId, KeyRequestId, OrganizationId, SecretId,
        UserId, WebhookId,
    },
    key::{Key, KeyState},
    member::{Membership, Right, Role},
    organization::Organization,
    rights::{self, MANAGEMENT, Rights},
};

use crate::{
    alerts::AlertRuleChange,
    change::{Change, KeyUpdate, OrganizationUpdate, Subject},
    error::StoreError,
    people::{InvitedAs, PeopleChange},
    requests::KeyRequestChange,
    webhooks::WebhookChange,
};

/// What a change is about, as far as rights depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of Keyward.
    Everything,
    /// An organization's name, models, plan and limits, as they shall be.
    ToUpdate(OrganizationId, OrganizationUpdate),
    /// A key: the right to write all keys of its organization, or one's own.
    Key(KeyId),
    /// A key, whoever owns it: to give it to somebody else, or to nobody.
    KeyOfAnybody(KeyId, Option<UserId>),
    /// The key that a secret is of.
    Secret(SecretId),
    /// A new key, for this owner.
    NewKey(OrganizationId, Option<UserId>),
    /// The place that an invitation is to.
    Invitation(InvitationId),
    /// A role in an organization, to be given or taken: nobody gives or takes more than they have.
    Role(OrganizationId, Option<UserId>, Option<Role>),
    /// To ask for a key, as this person: nobody asks for another.
    ToAsk(OrganizationId, UserId),
    /// To decide on a key request.
    ToDecide(KeyRequestId),
    /// To be who made a key request: no other right takes its place.
    Requester(KeyRequestId),
    /// A right in an organization.
    InOrganization(OrganizationId, Right),
    /// To see to a webhook.
    Webhook(WebhookId),
    /// To see to the webhook that a delivery goes to.
    Delivery(DeliveryId),
    /// To see to an alert rule.
    AlertRule(AlertRuleId),
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
        | Change::UpgradeSecret { .. }
        | Change::MarkKeyExposed { .. }
        | Change::Plan(_) => Asked::Everything,
        Change::UpdateOrganization { organization, update, .. } => {
            Asked::ToUpdate(organization.clone(), update.clone())
        }
        Change::CreateKey { key, .. } => Asked::NewKey(key.organization.clone(), key.owner),
        Change::UpdateKey { key, update, .. } => match update.owner {
            Some(owner) => Asked::KeyOfAnybody(*key, owner),
            None => Asked::Key(*key),
        },
        Change::SetKeyState { key, .. } | Change::RotateKey { key, .. } => Asked::Key(*key),
        Change::RetireSecret { secret, .. } => Asked::Secret(*secret),
        Change::People(change) => asked_of_people(change),
        Change::KeyRequest(change) => asked_of_requests(change),
        Change::Webhook(change) => asked_of_webhooks(change),
        Change::AlertRule(AlertRuleChange::Create(rule)) => {
            in_organization(rule.organization.as_ref(), Right::WriteAlerts)
        }
        Change::AlertRule(AlertRuleChange::Update { rule, .. } | AlertRuleChange::Delete(rule)) => {
            Asked::AlertRule(*rule)
        }
    }
}

/// What belongs to no organization is who runs this Keyward's.
fn in_organization(organization: Option<&OrganizationId>, right: Right) -> Asked {
    match organization {
        Some(organization) => Asked::InOrganization(organization.clone(), right),
        None => Asked::Everything,
    }
}

fn asked_of_webhooks(change: &WebhookChange) -> Asked {
    match change {
        WebhookChange::Create { webhook, .. } => {
            in_organization(webhook.organization.as_ref(), Right::WriteWebhooks)
        }
        WebhookChange::Update { webhook, .. }
        | WebhookChange::Delete(webhook)
        | WebhookChange::Rotate { webhook, .. }
        | WebhookChange::RetireSecrets(webhook)
        | WebhookChange::Test { webhook, .. } => Asked::Webhook(*webhook),
        WebhookChange::Resend(delivery) => Asked::Delivery(*delivery),
        WebhookChange::GiveUp { .. } => Asked::Everything,
    }
}

fn asked_of_requests(change: &KeyRequestChange) -> Asked {
    match change {
        KeyRequestChange::Ask(request) => {
            Asked::ToAsk(request.organization.clone(), request.requester)
        }
        KeyRequestChange::Approve { request, .. } | KeyRequestChange::Deny { request, .. } => {
            Asked::ToDecide(*request)
        }
        KeyRequestChange::Withdraw(request) | KeyRequestChange::Claim { request, .. } => {
            Asked::Requester(*request)
        }
    }
}

fn asked_of_people(change: &PeopleChange) -> Asked {
    match change {
        PeopleChange::OfferSetup { .. } => Asked::Everything,
        PeopleChange::SetUp { .. }
        | PeopleChange::SignUp { .. }
        | PeopleChange::StartSession(_)
        | PeopleChange::LogIn { .. }
        | PeopleChange::AcceptInvitation { .. }
        | PeopleChange::LinkIdentity { .. }
        | PeopleChange::AcceptByIdentity { .. }
        | PeopleChange::Enrol { .. } => Asked::Nothing,
        PeopleChange::SetPassword { user, .. }
        | PeopleChange::ChangePassword { user, .. }
        | PeopleChange::EndSession { user, .. } => Asked::Oneself(*user),
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

/// What whoever acts is, where a change happens.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The person that acts, or who answers for the key that acts: what is theirs is their own.
    pub(crate) user: Option<UserId>,
    /// What they may there.
    pub(crate) rights: Rights,
    /// The management key that acts, where it is one.
    pub(crate) key: Option<Key>,
}

impl Place {
    /// A member's.
    pub(crate) fn of(place: &Membership) -> Self {
        Self { user: Some(place.user), rights: place.role.rights(), key: None }
    }

    /// The member who acts in person.
    fn member(&self) -> Option<UserId> {
        self.user.filter(|_| self.key.is_none())
    }
}

/// Whether somebody in this place has the right; who has no place there is told that there is no such thing.
pub(crate) fn in_place(
    place: Option<&Place>,
    right: Right,
    missing: StoreError,
) -> Result<(), StoreError> {
    match place {
        None => Err(missing),
        Some(place) if place.rights.has(right) => Ok(()),
        Some(_) => Err(StoreError::NotAllowed(Some(right))),
    }
}

/// Whether somebody in this place may write a key of `owner`'s: any key, or their own.
pub(crate) fn key_of(
    place: Option<&Place>,
    owner: Option<UserId>,
    missing: StoreError,
) -> Result<(), StoreError> {
    let own = owner.is_some() && place.is_some_and(|place| owner == place.user);
    in_place(place, if own { Right::WriteOwnKeys } else { Right::WriteKeys }, missing)
}

/// Whether somebody in this place may make a key for `owner`. What is made by somebody, or by a key that somebody answers for,
/// somebody answers for too: else it would outlast them.
pub(crate) fn new_key_of(
    place: Option<&Place>,
    owner: Option<UserId>,
    missing: StoreError,
) -> Result<(), StoreError> {
    key_of(place, owner, missing)?;
    let is_answered_for = place.is_some_and(|place| place.user.is_some());
    match is_answered_for && owner.is_none() {
        true => Err(StoreError::NotAllowed(Some(Right::Operate))),
        false => Ok(()),
    }
}

/// Whether somebody in this place may give a key of `owner`'s to `to`. What is nobody's outlasts everybody's leaving and is held to
/// no role: only who runs this Keyward makes a key that.
pub(crate) fn hand_over(
    place: Option<&Place>,
    owner: Option<UserId>,
    to: Option<UserId>,
    missing: StoreError,
) -> Result<(), StoreError> {
    in_place(place, Right::WriteKeys, missing)?;
    let is_let_go = owner.is_some() && to.is_none();
    match is_let_go && !place.is_some_and(|place| place.rights.has(Right::Operate)) {
        true => Err(StoreError::NotAllowed(Some(Right::Operate))),
        false => Ok(()),
    }
}

/// Whether somebody in this place may change an organization so: its members narrow which models its keys may ask for, and only who
/// runs this Keyward widens them, or their own narrowing would bind nobody. Its plan and its limits are what was agreed with it: its
/// members see them, and do not change them.
pub(crate) fn organization_as_changed(
    place: Option<&Place>,
    before: &Organization,
    update: &OrganizationUpdate,
) -> Result<(), StoreError> {
    in_place(place, Right::WriteOrganization, StoreError::NoSuchOrganization(before.id.clone()))?;
    let operates = place.is_some_and(|place| place.rights.has(Right::Operate));
    let is_wider = match (&before.allowed_models, &update.allowed_models) {
        (_, None) | (None, _) => false,
        (Some(_), Some(None)) => true,
        (Some(before), Some(Some(after))) => after.iter().any(|model| !before.contains(model)),
    };
    let is_agreed = update.plan.is_some() || update.limits.is_some();
    match (is_wider || is_agreed) && !operates {
        true => Err(StoreError::NotAllowed(Some(Right::Operate))),
        false => Ok(()),
    }
}

/// What a change does with a management key that whoever does it must have all rights for: it is theirs to use after, or in
/// force again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// A new one.
    New(Box<Key>),
    /// One that is there gets a new secret.
    Rotated(KeyId),
    /// One that is there works again.
    Woken(KeyId),
    /// One that is there, as it shall be.
    Changed(KeyId, Box<KeyUpdate>),
}

/// Whether a change hands out a key, which may be a management key.
pub(crate) fn grant(change: &Change) -> Option<Grant> {
    match change {
        Change::CreateKey { key, .. } if key.api.as_str() == MANAGEMENT => {
            Some(Grant::New(Box::new(key.clone())))
        }
        Change::RotateKey { key, .. } => Some(Grant::Rotated(*key)),
        Change::SetKeyState { key, state: KeyState::Active } => Some(Grant::Woken(*key)),
        Change::UpdateKey { key, update, .. } => Some(Grant::Changed(*key, update.clone())),
        _ => None,
    }
}

/// Whether somebody in this place may hand out that key: a management key gives nobody what they do not have.
pub(crate) fn within(place: &Place, made: &Key) -> Result<(), StoreError> {
    if made.api.as_str() != MANAGEMENT {
        return Ok(());
    }
    if let Some(right) = place.rights.lacks(Rights::granted_to(made)) {
        return Err(StoreError::NotAllowed(Some(right)));
    }
    let Some(maker) = &place.key else { return Ok(()) };
    rights::bounded(made, maker).map_err(|beyond| {
        StoreError::invalid(beyond.to_string(), "bound it in time and networks like that one")
    })
}

/// Whether somebody in this place may come to know a secret of that key. Who acts by a management key acts as whoever answers for it:
/// for others' keys it takes somebody who answers to nobody in the organization, or who asks for a key would approve it in another's name.
pub(crate) fn in_own_name(place: &Place, made: &Key) -> Result<(), StoreError> {
    let own = made.owner == place.user;
    match made.api.as_str() != MANAGEMENT || own || place.rights.has(Right::WriteOrganization) {
        true => Ok(()),
        false => Err(StoreError::NotAllowed(Some(Right::WriteOrganization))),
    }
}

/// Whether somebody in this place may change a management key so. What it is called is anybody's who may write it; what it may, where
/// from, how long and for whom is held against what they have.
pub(crate) fn within_as_changed(
    place: &Place,
    before: &Key,
    after: &Key,
) -> Result<(), StoreError> {
    let bounds = |key: &Key| {
        (key.permissions.clone(), key.allowed_networks.clone(), key.expires_at, key.owner)
    };
    if after.api.as_str() != MANAGEMENT || bounds(before) == bounds(after) {
        return Ok(());
    }
    if before.owner != after.owner {
        in_own_name(place, after)?;
    }
    // It does not lengthen its own life.
    if let Some(maker) = place.key.as_ref().filter(|maker| maker.id == after.id) {
        let maker = Key { id: KeyId::from_bits([0; 16]), ..maker.clone() };
        return within(&Place { key: Some(maker), ..place.clone() }, after);
    }
    within(place, after)
}

/// Whether somebody in `place` may change what `of` is there to `to`.
///
/// Anybody may leave. Otherwise nobody gives or takes a role that has rights they do not have.
pub(crate) fn role(
    place: Option<&Place>,
    of: Option<&Membership>,
    to: Option<Role>,
    missing: StoreError,
) -> Result<(), StoreError> {
    let member = place.and_then(Place::member);
    if to.is_none() && of.is_some_and(|of| Some(of.user) == member) {
        return Ok(());
    }
    in_place(place, Right::WriteMembers, missing)?;
    let own = place.map_or(Rights::NONE, |place| place.rights);
    let touched = of.map(|of| of.role).max(to).map_or(Rights::NONE, Role::rights);
    match own.lacks(touched) {
        Some(_) => Err(StoreError::NotAllowed(Some(Right::WriteMembers))),
        None => Ok(()),
    }
}

/// What somebody is told who has no place where a change is to happen: that it is not there.
pub(crate) fn missing(subject: &Subject) -> StoreError {
    match subject {
        Subject::Key(key) => StoreError::NoSuchKey(*key),
        Subject::KeyRequest(request) => StoreError::NoSuchKeyRequest(*request),
        Subject::Webhook(webhook) => StoreError::NoSuchWebhook(*webhook),
        Subject::AlertRule(rule) => StoreError::NoSuchAlertRule(*rule),
        Subject::Organization(organization) => StoreError::NoSuchOrganization(organization.clone()),
        Subject::Member(organization, _) => StoreError::NoSuchOrganization(organization.clone()),
        Subject::UpstreamCredential(_)
        | Subject::User(_)
        | Subject::Setup
        | Subject::Plan(_)
        | Subject::Price(_) => StoreError::NotAllowed(None),
    }
}
