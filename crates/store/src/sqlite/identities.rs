//! Accounts elsewhere as rows. What a change means is decided in `rules::people`.

use keyward_core::{
    id::{InvitationId, OrganizationId, UserId},
    member::{Role, User},
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{
    apply::{self, write},
    faults::{fault, is_collision},
    people,
    reads::first,
    rows::{Cells, millis},
};
use crate::{
    error::StoreError,
    people::{Identity, InvitationState, InvitedAs, UserRecord},
    rules::{Entry, people as rules},
};

/// A person by an account elsewhere.
pub(super) fn user(
    connection: &Connection,
    identity: &Identity,
) -> Result<Option<UserRecord>, StoreError> {
    let sql = "SELECT subject, user FROM identities WHERE issuer = ?1 AND subject = ?2";
    let found = first(connection, sql, [&identity.issuer, &identity.subject], |row| {
        Ok(UserId::from_bits(Cells::of("identities", row).bits(1, "user")?))
    })?;
    match found {
        Some(user) => people::user_by_id(connection, user),
        None => Ok(None),
    }
}

fn insert(
    connection: &Connection,
    at: Timestamp,
    of: &User,
    identity: &Identity,
) -> Result<(), StoreError> {
    rules::identity_fits(identity)?;
    write(
        connection,
        "INSERT INTO identities (issuer, subject, user, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![identity.issuer, identity.subject, of.id.bits(), millis(at)],
    )
    .map(|_| ())
    .map_err(|error| match is_collision(&error) {
        true => {
            StoreError::LinkedOtherwise { email: of.email.clone(), issuer: identity.issuer.clone() }
        }
        false => fault(error),
    })
}

/// See [`crate::PeopleChange::LinkIdentity`].
pub(super) fn link(
    connection: &Connection,
    at: Timestamp,
    user: UserId,
    identity: &Identity,
) -> Result<Entry, StoreError> {
    let of = people::known(connection, user)?.user;
    insert(connection, at, &of, identity)?;
    let sql =
        "UPDATE users SET email_proven = 1, password = NULL WHERE id = ?1 AND email_proven = 0";
    let was_unproven = write(connection, sql, [user.bits()]).map_err(fault)? > 0;
    let ended = match was_unproven {
        true => {
            let sql = "DELETE FROM sessions WHERE user = ?1";
            Some(write(connection, sql, [user.bits()]).map_err(fault)?)
        }
        false => None,
    };
    Ok(rules::link(&of, identity, ended))
}

/// See [`crate::PeopleChange::AcceptByIdentity`].
pub(super) fn accept(
    connection: &Connection,
    at: Timestamp,
    invitation: InvitationId,
    newcomer: User,
    identity: &Identity,
) -> Result<Entry, StoreError> {
    let held = people::invitation_by_id(connection, invitation)?;
    let held = rules::acceptable_by_identity(held, at)?;
    people::still_stands(connection, &held)?;
    let newcomer = User { email: held.email.clone(), ..newcomer };
    come(connection, at, &newcomer, identity)?;
    if let InvitedAs::Member { organization, role } = &held.to {
        apply::organization_stands(connection, organization)?;
        people::insert_member(connection, organization, newcomer.id, *role, at)?;
    }
    people::write_invitation_state(connection, held.id, InvitationState::Accepted)?;
    Ok(rules::acceptance(&held, &newcomer))
}

/// See [`crate::PeopleChange::Enrol`].
pub(super) fn enrol(
    connection: &Connection,
    at: Timestamp,
    newcomer: &User,
    identity: &Identity,
    (organization, role): (&OrganizationId, Role),
) -> Result<Entry, StoreError> {
    apply::organization_stands(connection, organization)?;
    come(connection, at, newcomer, identity)?;
    people::insert_member(connection, organization, newcomer.id, role, at)?;
    Ok(rules::enrolment(newcomer, organization, role, identity))
}

fn come(
    connection: &Connection,
    at: Timestamp,
    newcomer: &User,
    identity: &Identity,
) -> Result<(), StoreError> {
    rules::newcomer_fits(newcomer)?;
    people::insert_user(connection, newcomer, None, true)?;
    insert(connection, at, newcomer, identity)
}
