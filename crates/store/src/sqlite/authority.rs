//! Whether whoever acts may: looked up in the transaction of the change. What is asked of whom is decided in `rules::authority`.

use keyward_core::{
    id::{OrganizationId, UserId},
    key::Key,
    member::{Membership, Right},
};
use rusqlite::Connection;

use super::{people, reads};
use crate::{
    change::{Actor, ActorKind, Change, Subject},
    error::StoreError,
    people::InvitedAs,
    rules::authority::{self as rules, Asked},
};

/// Refuses a change that the person who acts has no right to. The machine's own operator, and Keyward itself, have every right.
pub(super) fn check(
    connection: &Connection,
    actor: &Actor,
    change: &Change,
) -> Result<(), StoreError> {
    let asked = rules::asked(change);
    match (actor.kind, actor.person) {
        _ if asked == Asked::Nothing => Ok(()),
        (ActorKind::Operator | ActorKind::System, None) => Ok(()),
        (_, Some(person)) => person_may(connection, person, asked),
        (ActorKind::Member | ActorKind::Visitor, None) => Err(StoreError::NotAllowed(None)),
    }
}

fn person_may(connection: &Connection, person: UserId, asked: Asked) -> Result<(), StoreError> {
    // A person who was taken from the list of operators meanwhile is a member like others.
    if people::user_by_id(connection, person)?.is_some_and(|record| record.user.operator) {
        return Ok(());
    }
    let place = |organization: &OrganizationId| people::member(connection, organization, person);
    let unseen = |organization: &OrganizationId| {
        rules::missing(&Subject::Organization(organization.clone()))
    };
    match asked {
        Asked::Nothing => Ok(()),
        Asked::Everything => Err(StoreError::NotAllowed(None)),
        Asked::Oneself(user) if user == person => Ok(()),
        Asked::Oneself(_) => Err(StoreError::NotAllowed(None)),
        Asked::In(organization, right) => {
            rules::in_place(place(&organization)?.as_ref(), right, unseen(&organization))
        }
        Asked::NewKey(organization, owner) => {
            rules::key_of(place(&organization)?.as_ref(), owner, unseen(&organization))
        }
        Asked::Key(key) => {
            let held = reads::held_key(connection, key)?.ok_or(StoreError::NoSuchKey(key))?;
            write_key(&held.key, place(&held.key.organization)?.as_ref())
        }
        Asked::KeyOfAnybody(key) => {
            let missing = || rules::missing(&Subject::Key(key));
            let held = reads::held_key(connection, key)?.ok_or_else(missing)?;
            let place = place(&held.key.organization)?;
            rules::in_place(place.as_ref(), Right::WriteKeys, missing())
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
            let InvitedAs::Member { organization, role } = held.to else { return Err(missing()) };
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

fn write_key(key: &Key, place: Option<&Membership>) -> Result<(), StoreError> {
    rules::key_of(place, key.owner, rules::missing(&Subject::Key(key.id)))
}
