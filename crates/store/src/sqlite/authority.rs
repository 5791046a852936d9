//! Whether whoever acts may: looked up in the transaction of the change. What is asked of whom is decided in `rules::authority`.

use keyward_core::{
    id::{KeyId, KeyRequestId, OrganizationId, UserId},
    key::Key,
    member::Right,
    rights::Rights,
    time::Timestamp,
};
use rusqlite::Connection;

use super::{alerts, people, reads, requests, webhooks};
use crate::{
    change::{Actor, ActorKind, Change, Subject},
    error::StoreError,
    people::InvitedAs,
    query::KeyRecord,
    rules::{
        authority::{self as rules, Asked, Grant, Place},
        requests as request_rules, updates,
    },
};

/// Who acts, as far as their rights go.
enum Acting {
    Person(UserId),
    Key(Box<Key>, Rights),
}

impl Acting {
    /// What they are in an organization.
    fn place(
        &self,
        connection: &Connection,
        organization: &OrganizationId,
    ) -> Result<Option<Place>, StoreError> {
        match self {
            Self::Person(person) => {
                let place = people::member(connection, organization, *person)?;
                Ok(place.as_ref().map(Place::of))
            }
            Self::Key(key, rights) => {
                let belongs = key.organization == *organization || rights.has(Right::Operate);
                let place =
                    || Place { user: key.owner, rights: *rights, key: Some(Key::clone(key)) };
                Ok(belongs.then(place))
            }
        }
    }
}

/// Refuses a change that the person or key that acts has no right to. The machine's own operator, and Keyward itself, have every right.
pub(super) fn check(
    connection: &Connection,
    actor: &Actor,
    at: Timestamp,
    change: &Change,
) -> Result<(), StoreError> {
    let asked = rules::asked(change);
    // Asked first: what is one person's alone is no operator's and no key's either.
    match &asked {
        Asked::Requester(id) if actor.key.is_none() => return requester(connection, actor, *id),
        Asked::ToAsk(_, requester) if actor.key.is_some() || actor.person != Some(*requester) => {
            return Err(StoreError::NotAllowed(None));
        }
        _ => {}
    }
    let acting = match (actor.kind, actor.person, actor.key) {
        // Before all else: what asks for nothing is shown by people, not by keys.
        (ActorKind::Key, _, None) => return Err(StoreError::NotAllowed(None)),
        (_, _, Some(key)) => key_in_force(connection, key, at)?,
        _ if asked == Asked::Nothing => return Ok(()),
        (ActorKind::Operator | ActorKind::System, None, None) => return Ok(()),
        (_, Some(person), None) => Acting::Person(person),
        (ActorKind::Member | ActorKind::Visitor, None, None) => {
            return Err(StoreError::NotAllowed(None));
        }
    };
    // A person who was taken from the list of operators meanwhile is a member like others.
    if let Acting::Person(person) = acting
        && people::user_by_id(connection, person)?.is_some_and(|record| record.user.operator)
    {
        return Ok(());
    }
    may(connection, &acting, asked)?;
    match rules::grant(change) {
        None => Ok(()),
        Some(Grant::New(key)) => hand_out(connection, &acting, &key, true),
        Some(Grant::Rotated(key)) => {
            let held = reads::held_key(connection, key)?.ok_or(StoreError::NoSuchKey(key))?;
            hand_out(connection, &acting, &held.key, true)
        }
        Some(Grant::Woken(key)) => {
            let held = reads::held_key(connection, key)?.ok_or(StoreError::NoSuchKey(key))?;
            hand_out(connection, &acting, &held.key, false)
        }
        Some(Grant::Changed(key, update)) => {
            let held = reads::held_key(connection, key)?.ok_or(StoreError::NoSuchKey(key))?;
            let place = acting.place(connection, &held.key.organization)?;
            let place = place.ok_or(StoreError::NoSuchKey(key))?;
            match updates::key(&held.key, *update)? {
                Some((after, _)) => rules::within_as_changed(&place, &held.key, &after),
                None => Ok(()),
            }
        }
    }
}

/// `shown`: whether a secret of it becomes known.
fn hand_out(
    connection: &Connection,
    acting: &Acting,
    key: &Key,
    shown: bool,
) -> Result<(), StoreError> {
    let place = acting.place(connection, &key.organization)?;
    let place = place.ok_or_else(|| rules::missing(&Subject::Key(key.id)))?;
    if shown {
        rules::in_own_name(&place, key)?;
    }
    rules::within(&place, key)
}

/// The management key that acts, as it is now: revoked or lowered a moment ago, it changes nothing.
fn key_in_force(connection: &Connection, key: KeyId, at: Timestamp) -> Result<Acting, StoreError> {
    let held = reads::held_key(connection, key)?.ok_or(StoreError::NoSuchKey(key))?;
    let organization = reads::organization(connection, &held.key.organization)?
        .ok_or_else(|| StoreError::NoSuchOrganization(held.key.organization.clone()))?;
    let record = KeyRecord {
        key: held.key,
        owner_role: held.owner_role,
        revision: held.revision,
        secrets: vec![],
    };
    record.in_force().standing(organization.state, at).map_err(StoreError::KeyNotGood)?;
    let rights = Rights::held_by(&record.key, record.owner_role);
    Ok(Acting::Key(Box::new(record.key), rights))
}

fn may(connection: &Connection, acting: &Acting, asked: Asked) -> Result<(), StoreError> {
    let place = |organization: &OrganizationId| acting.place(connection, organization);
    let unseen = |organization: &OrganizationId| {
        rules::missing(&Subject::Organization(organization.clone()))
    };
    let operates = matches!(acting, Acting::Key(_, rights) if rights.has(Right::Operate));
    let is_oneself = |user: UserId| matches!(acting, Acting::Person(person) if *person == user);
    match asked {
        Asked::Nothing if matches!(acting, Acting::Person(_)) => Ok(()),
        Asked::Everything if operates => Ok(()),
        Asked::Oneself(user) if is_oneself(user) => Ok(()),
        Asked::Nothing | Asked::Everything | Asked::Oneself(_) => Err(StoreError::NotAllowed(None)),
        Asked::ToAsk(organization, _) => {
            let (place, unseen) = (place(&organization)?, unseen(&organization));
            rules::in_place(place.as_ref(), Right::WriteOwnKeys, unseen)
        }
        Asked::ToDecide(id) => {
            let held = requests::request_by_id(connection, id)?;
            let held = held.ok_or(StoreError::NoSuchKeyRequest(id))?;
            request_rules::may_decide(&held, place(&held.organization)?.as_ref())
        }
        Asked::Requester(id) => Err(StoreError::NoSuchKeyRequest(id)),
        Asked::InOrganization(organization, right) => {
            rules::in_place(place(&organization)?.as_ref(), right, unseen(&organization))
        }
        Asked::Webhook(id) => {
            let missing = || StoreError::NoSuchWebhook(id);
            let held = webhooks::by_id(connection, id)?.ok_or_else(missing)?;
            let Some(organization) = held.webhook.organization else {
                return if operates { Ok(()) } else { Err(missing()) };
            };
            rules::in_place(place(&organization)?.as_ref(), Right::WriteWebhooks, missing())
        }
        Asked::AlertRule(id) => {
            let missing = || StoreError::NoSuchAlertRule(id);
            let held = alerts::rule_by_id(connection, id)?.ok_or_else(missing)?;
            let Some(organization) = held.rule.organization else {
                return if operates { Ok(()) } else { Err(missing()) };
            };
            rules::in_place(place(&organization)?.as_ref(), Right::WriteAlerts, missing())
        }
        Asked::Delivery(id) => {
            let missing = || StoreError::NoSuchDelivery(id);
            let held = webhooks::delivery_by_id(connection, id)?.ok_or_else(missing)?;
            match may(connection, acting, Asked::Webhook(held.webhook)) {
                Err(StoreError::NoSuchWebhook(_)) => Err(missing()),
                other => other,
            }
        }
        Asked::ToUpdate(organization, update) => {
            let missing = || unseen(&organization);
            let before = reads::organization(connection, &organization)?.ok_or_else(missing)?;
            rules::organization_as_changed(place(&organization)?.as_ref(), &before, &update)
        }
        Asked::NewKey(organization, owner) => {
            rules::new_key_of(place(&organization)?.as_ref(), owner, unseen(&organization))
        }
        Asked::Key(key) => {
            let held = reads::held_key(connection, key)?.ok_or(StoreError::NoSuchKey(key))?;
            write_key(&held.key, place(&held.key.organization)?.as_ref())
        }
        Asked::KeyOfAnybody(key, to) => {
            let missing = || rules::missing(&Subject::Key(key));
            let held = reads::held_key(connection, key)?.ok_or_else(missing)?;
            let place = place(&held.key.organization)?;
            rules::hand_over(place.as_ref(), held.key.owner, to, missing())
        }
        Asked::Secret(secret) => {
            let missing = || StoreError::NoSuchSecret(secret);
            let held = reads::key_of_secret(connection, secret)?.ok_or_else(missing)?;
            let place = place(&held.key.organization)?.ok_or_else(missing)?;
            write_key(&held.key, Some(&place))
        }
        Asked::Invitation(id) => {
            let missing = || StoreError::NoSuchInvitation(id);
            let held = people::invitation_by_id(connection, id)?.ok_or_else(missing)?;
            let InvitedAs::Member { organization, role } = held.to else {
                return if operates { Ok(()) } else { Err(missing()) };
            };
            rules::role(place(&organization)?.as_ref(), None, Some(role), missing())
        }
        Asked::Role(organization, of, to) => {
            let of = match of {
                Some(of) => people::member(connection, &organization, of)?,
                None => None,
            };
            let place = place(&organization)?;
            rules::role(place.as_ref(), of.as_ref(), to, unseen(&organization))
        }
    }
}

fn requester(connection: &Connection, actor: &Actor, id: KeyRequestId) -> Result<(), StoreError> {
    let missing = StoreError::NoSuchKeyRequest(id);
    let held = requests::request_by_id(connection, id)?.ok_or(missing)?;
    let sees_it = match actor.person {
        None => matches!(actor.kind, ActorKind::Operator | ActorKind::System),
        Some(person) => {
            let place = people::member(connection, &held.organization, person)?;
            place.is_some_and(|place| place.role.has(Right::DecideRequests))
                || people::user_by_id(connection, person)?.is_some_and(|one| one.user.operator)
        }
    };
    request_rules::is_requester(&held, actor.person, sees_it)
}

fn write_key(key: &Key, place: Option<&Place>) -> Result<(), StoreError> {
    rules::key_of(place, key.owner, rules::missing(&Subject::Key(key.id)))
}
