//! People as rows: what is asked of them, and changes to them. What a change means is decided in `rules::people`.

use keyward_core::{
    id::{InvitationId, OrganizationId, SessionId, UserId},
    member::{Email, Membership, Role, User},
    time::Timestamp,
};
use rusqlite::{Connection, Row, params};

use super::{
    apply::{self, write},
    faults::{fault, is_collision},
    identities,
    reads::{all, first},
    rows::{Cells, millis},
};
use crate::{
    error::StoreError,
    people::{
        Invitation, InvitationState, InvitedAs, PasswordHash, PeopleChange, Session, TokenDigest,
        UserRecord,
    },
    rules::{
        Entry,
        authority::{self, Place},
        people as rules,
    },
};

const USER: &str = "id, email, name, operator, created_at, password";

fn user(row: &Row<'_>) -> Result<(User, Option<PasswordHash>), StoreError> {
    let cells = Cells::of("users", row);
    let user = User {
        id: UserId::from_bits(cells.bits(0, "id")?),
        email: cells.parsed(1, "email")?,
        name: cells.text(2, "name")?.to_owned(),
        operator: cells.integer(3, "operator")? == 1,
        created_at: cells.moment(4, "created_at")?,
    };
    let password =
        cells.optional_text(5, "password")?.map(|text| PasswordHash::new(text.to_owned()));
    Ok((user, password))
}

const MEMBERSHIP: &str = "organization, user, role, created_at";

fn membership(row: &Row<'_>) -> Result<Membership, StoreError> {
    let cells = Cells::of("memberships", row);
    Ok(Membership {
        organization: cells.parsed(0, "organization")?,
        user: UserId::from_bits(cells.bits(1, "user")?),
        role: cells.parsed(2, "role")?,
        created_at: cells.moment(3, "created_at")?,
    })
}

const SESSION: &str = "id, user, token, device, begun_from, created_at, expires_at, last_used_at";

fn session(row: &Row<'_>) -> Result<Session, StoreError> {
    let cells = Cells::of("sessions", row);
    Ok(Session {
        id: SessionId::from_bits(cells.bits(0, "id")?),
        user: UserId::from_bits(cells.bits(1, "user")?),
        token: TokenDigest::from_bytes(cells.bits(2, "token")?),
        device: cells.text(3, "device")?.to_owned(),
        from: cells.parsed(4, "begun_from")?,
        created_at: cells.moment(5, "created_at")?,
        expires_at: cells.moment(6, "expires_at")?,
        last_used_at: cells.optional_moment(7, "last_used_at")?,
    })
}

const INVITATION: &str =
    "id, email, organization, role, token, invited_by, created_at, expires_at, state";

fn invitation(row: &Row<'_>) -> Result<Invitation, StoreError> {
    let cells = Cells::of("invitations", row);
    let to = match cells.optional_text(2, "organization")? {
        None => InvitedAs::Operator,
        Some(_) => InvitedAs::Member {
            organization: cells.parsed(2, "organization")?,
            role: cells.parsed(3, "role")?,
        },
    };
    Ok(Invitation {
        id: InvitationId::from_bits(cells.bits(0, "id")?),
        email: cells.parsed(1, "email")?,
        to,
        token: TokenDigest::from_bytes(cells.bits(4, "token")?),
        invited_by: cells.optional_bits(5, "invited_by")?.map(UserId::from_bits),
        created_at: cells.moment(6, "created_at")?,
        expires_at: cells.moment(7, "expires_at")?,
        state: cells.word(8, "state", InvitationState::from_word)?,
    })
}

fn record(
    connection: &Connection,
    found: Option<(User, Option<PasswordHash>)>,
) -> Result<Option<UserRecord>, StoreError> {
    let Some((user, password)) = found else { return Ok(None) };
    let sql = format!("SELECT {MEMBERSHIP} FROM memberships WHERE user = ?1 ORDER BY rowid");
    let memberships = all(connection, &sql, [user.id.bits()], membership)?;
    Ok(Some(UserRecord { user, password, memberships }))
}

/// A person by id.
pub(super) fn user_by_id(
    connection: &Connection,
    id: UserId,
) -> Result<Option<UserRecord>, StoreError> {
    let sql = format!("SELECT {USER} FROM users WHERE id = ?1");
    record(connection, first(connection, &sql, [id.bits()], user)?)
}

/// A person by what they log in by.
pub(super) fn user_by_email(
    connection: &Connection,
    email: &Email,
) -> Result<Option<UserRecord>, StoreError> {
    let sql = format!("SELECT {USER} FROM users WHERE email = ?1");
    record(connection, first(connection, &sql, [email.as_str()], user)?)
}

/// Whether somebody runs this Keyward already.
pub(super) fn has_operator(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM users WHERE operator = 1 LIMIT 1";
    first(connection, sql, [], |_| Ok(())).map(|found| found.is_some())
}

/// Who runs this Keyward.
pub(super) fn operators(connection: &Connection) -> Result<Vec<User>, StoreError> {
    let sql = format!("SELECT {USER} FROM users WHERE operator = 1 ORDER BY rowid");
    all(connection, &sql, [], |row| user(row).map(|(user, _)| user))
}

/// A session by its token, and its person; whether it has ended is the caller's to see.
pub(super) fn session_by_token(
    connection: &Connection,
    token: &TokenDigest,
) -> Result<Option<(Session, UserRecord)>, StoreError> {
    let sql = format!("SELECT {SESSION} FROM sessions WHERE token = ?1");
    let Some(session) = first(connection, &sql, [token.as_bytes()], session)? else {
        return Ok(None);
    };
    Ok(user_by_id(connection, session.user)?.map(|user| (session, user)))
}

/// A person's sessions, newest first.
pub(super) fn sessions(connection: &Connection, of: UserId) -> Result<Vec<Session>, StoreError> {
    let sql = format!("SELECT {SESSION} FROM sessions WHERE user = ?1 ORDER BY rowid DESC");
    all(connection, &sql, [of.bits()], session)
}

/// The members of an organization, in the order they came.
pub(super) fn members(
    connection: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<(User, Membership)>, StoreError> {
    let sql =
        format!("SELECT {MEMBERSHIP} FROM memberships WHERE organization = ?1 ORDER BY rowid");
    let memberships = all(connection, &sql, [organization.as_str()], membership)?;
    let mut found = Vec::with_capacity(memberships.len());
    let sql = format!("SELECT {USER} FROM users WHERE id = ?1");
    for membership in memberships {
        if let Some((user, _)) = first(connection, &sql, [membership.user.bits()], user)? {
            found.push((user, membership));
        }
    }
    Ok(found)
}

/// One person's place in an organization.
pub(super) fn member(
    connection: &Connection,
    organization: &OrganizationId,
    user: UserId,
) -> Result<Option<Membership>, StoreError> {
    let sql = format!("SELECT {MEMBERSHIP} FROM memberships WHERE organization = ?1 AND user = ?2");
    first(connection, &sql, params![organization.as_str(), user.bits()], membership)
}

/// Invitations to an organization, or to run this Keyward, newest first.
pub(super) fn invitations(
    connection: &Connection,
    organization: Option<&OrganizationId>,
) -> Result<Vec<Invitation>, StoreError> {
    let sql = format!(
        "SELECT {INVITATION} FROM invitations WHERE organization IS ?1 ORDER BY rowid DESC"
    );
    all(connection, &sql, [organization.map(OrganizationId::as_str)], invitation)
}

/// One invitation.
pub(super) fn invitation_by_id(
    connection: &Connection,
    id: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    let sql = format!("SELECT {INVITATION} FROM invitations WHERE id = ?1");
    first(connection, &sql, [id.bits()], invitation)
}

/// Invitations to an address that are open, oldest first; whether their time is over is the caller's to see.
pub(super) fn invitations_for(
    connection: &Connection,
    email: &Email,
) -> Result<Vec<Invitation>, StoreError> {
    let sql = format!(
        "SELECT {INVITATION} FROM invitations WHERE email = ?1 AND state = 'open' ORDER BY rowid"
    );
    all(connection, &sql, [email.as_str()], invitation)
}

/// One invitation, by its token.
pub(super) fn invitation_by_token(
    connection: &Connection,
    token: &TokenDigest,
) -> Result<Option<Invitation>, StoreError> {
    let sql = format!("SELECT {INVITATION} FROM invitations WHERE token = ?1");
    first(connection, &sql, [token.as_bytes()], invitation)
}

/// Notes when sessions were last used; those that have ended meanwhile are ignored.
pub(super) fn touch_sessions(
    connection: &Connection,
    used: &[(SessionId, Timestamp)],
) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET last_used_at = ?2 \
        WHERE id = ?1 AND coalesce(last_used_at, 0) < ?2";
    for (session, at) in used {
        write(connection, sql, params![session.bits(), millis(*at)]).map_err(fault)?;
    }
    Ok(())
}

/// Does a change to people.
pub(super) fn apply(
    connection: &Connection,
    at: Timestamp,
    change: PeopleChange,
) -> Result<Option<Entry>, StoreError> {
    match change {
        PeopleChange::OfferSetup { token, expires_at } => {
            offer_setup(connection, &token, expires_at)
        }
        PeopleChange::SetUp { token, user, password } => {
            set_up(connection, at, &token, &user, &password).map(Some)
        }
        PeopleChange::SignUp { user, password, organization } => {
            let entry = rules::sign_up(&user, &organization)?;
            insert_user(connection, &user, Some(&password), false)?;
            apply::create_organization(connection, &organization)?;
            insert_member(connection, &organization.id, user.id, Role::Owner, at)?;
            Ok(Some(entry))
        }
        PeopleChange::SetPassword { user, password, keeping } => {
            set_password(connection, user, &password, keeping).map(Some)
        }
        PeopleChange::ChangePassword { user, checked, password, keeping } => {
            still_has(connection, user, &checked)?;
            set_password(connection, user, &password, keeping).map(Some)
        }
        PeopleChange::LogIn { session, checked } => {
            still_has(connection, session.user, &checked)?;
            start_session(connection, at, &session).map(Some)
        }
        PeopleChange::StartSession(session) => start_session(connection, at, &session).map(Some),
        PeopleChange::EndSession { user, session } => end_sessions(connection, user, session),
        PeopleChange::Invite(invitation) => invite(connection, at, &invitation).map(Some),
        PeopleChange::WithdrawInvitation(id) => withdraw(connection, id),
        PeopleChange::AcceptInvitation { token, newcomer } => {
            accept(connection, at, &token, newcomer).map(Some)
        }
        PeopleChange::LinkIdentity { user, identity } => {
            identities::link(connection, at, user, &identity).map(Some)
        }
        PeopleChange::AcceptByIdentity { invitation, newcomer, identity } => {
            identities::accept(connection, at, invitation, newcomer, &identity).map(Some)
        }
        PeopleChange::Enrol { newcomer, identity, organization, role } => {
            let place = (&organization, role);
            identities::enrol(connection, at, &newcomer, &identity, place).map(Some)
        }
        PeopleChange::SetRole { organization, user, role } => {
            set_role(connection, &organization, user, role)
        }
        PeopleChange::RemoveMember { organization, user } => {
            remove_member(connection, &organization, user).map(Some)
        }
    }
}

fn offer_setup(
    connection: &Connection,
    token: &TokenDigest,
    expires_at: Timestamp,
) -> Result<Option<Entry>, StoreError> {
    if has_operator(connection)? {
        return Err(StoreError::SetUpAlready);
    }
    write(
        connection,
        "INSERT INTO setup (only_row, token, expires_at) VALUES (1, ?1, ?2) \
         ON CONFLICT (only_row) DO UPDATE SET token = excluded.token, expires_at = excluded.expires_at",
        params![token.as_bytes(), millis(expires_at)],
    )
    .map_err(fault)?;
    Ok(Some(rules::setup_offer(expires_at)))
}

fn set_up(
    connection: &Connection,
    at: Timestamp,
    token: &TokenDigest,
    user: &User,
    password: &PasswordHash,
) -> Result<Entry, StoreError> {
    if has_operator(connection)? {
        return Err(StoreError::SetUpAlready);
    }
    let sql = "SELECT 'the only', token, expires_at FROM setup";
    let offered = first(connection, sql, [], |row| {
        let cells = Cells::of("setup", row);
        Ok((TokenDigest::from_bytes(cells.bits(1, "token")?), cells.moment(2, "expires_at")?))
    })?;
    let entry = rules::set_up(offered, token, at, user)?;
    write(connection, "DELETE FROM setup", []).map_err(fault)?;
    insert_user(connection, user, Some(password), true)?;
    Ok(entry)
}

/// `proven`: whether they showed that they read what is sent to their address.
pub(super) fn insert_user(
    connection: &Connection,
    user: &User,
    password: Option<&PasswordHash>,
    proven: bool,
) -> Result<(), StoreError> {
    write(
        connection,
        "INSERT INTO users (id, email, name, password, operator, created_at, email_proven) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            user.id.bits(),
            user.email.as_str(),
            user.name,
            password.map(PasswordHash::as_str),
            user.operator,
            millis(user.created_at),
            proven,
        ],
    )
    .map(|_| ())
    .map_err(|error| match is_collision(&error) {
        true => StoreError::EmailTaken(user.email.clone()),
        false => fault(error),
    })
}

pub(super) fn insert_member(
    connection: &Connection,
    organization: &OrganizationId,
    user: UserId,
    role: Role,
    at: Timestamp,
) -> Result<(), StoreError> {
    write(
        connection,
        "INSERT INTO memberships (organization, user, role, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![organization.as_str(), user.bits(), role.as_str(), millis(at)],
    )
    .map(|_| ())
    .map_err(fault)
}

pub(super) fn known(connection: &Connection, id: UserId) -> Result<UserRecord, StoreError> {
    user_by_id(connection, id)?.ok_or(StoreError::NoSuchUser(id))
}

/// Refuses what was allowed by a password that is no longer the person's.
fn still_has(
    connection: &Connection,
    id: UserId,
    checked: &PasswordHash,
) -> Result<(), StoreError> {
    match known(connection, id)?.password.as_ref() == Some(checked) {
        true => Ok(()),
        false => Err(StoreError::PasswordChanged),
    }
}

fn set_password(
    connection: &Connection,
    id: UserId,
    password: &PasswordHash,
    keeping: Option<SessionId>,
) -> Result<Entry, StoreError> {
    let of = known(connection, id)?;
    let sql = "UPDATE users SET password = ?2 WHERE id = ?1";
    write(connection, sql, params![id.bits(), password.as_str()]).map_err(fault)?;
    let sql = "DELETE FROM sessions WHERE user = ?1 AND id IS NOT ?2";
    let keeping = keeping.map(SessionId::bits);
    let ended = write(connection, sql, params![id.bits(), keeping]).map_err(fault)?;
    Ok(rules::password(&of.user, ended))
}

fn start_session(
    connection: &Connection,
    at: Timestamp,
    new: &Session,
) -> Result<Entry, StoreError> {
    let of = known(connection, new.user)?;
    // What has ended is of no use to anybody; each login takes some of it away.
    let sql = "DELETE FROM sessions WHERE rowid IN \
        (SELECT rowid FROM sessions WHERE expires_at <= ?1 LIMIT 100)";
    write(connection, sql, [millis(at)]).map_err(fault)?;
    write(
        connection,
        "INSERT INTO sessions (id, user, token, device, begun_from, created_at, expires_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            new.id.bits(),
            new.user.bits(),
            new.token.as_bytes(),
            new.device,
            new.from.to_string(),
            millis(new.created_at),
            millis(new.expires_at),
        ],
    )
    .map_err(fault)?;
    Ok(rules::login(&of.user, new))
}

fn end_sessions(
    connection: &Connection,
    user: UserId,
    session: Option<SessionId>,
) -> Result<Option<Entry>, StoreError> {
    let of = known(connection, user)?;
    let ended = match session {
        Some(session) => {
            let sql = "DELETE FROM sessions WHERE user = ?1 AND id = ?2";
            write(connection, sql, params![user.bits(), session.bits()]).map_err(fault)?
        }
        None => {
            let sql = "DELETE FROM sessions WHERE user = ?1";
            write(connection, sql, [user.bits()]).map_err(fault)?
        }
    };
    Ok((ended > 0).then(|| rules::logout(&of.user, session, ended)))
}

fn invited_lately(
    connection: &Connection,
    organization: &OrganizationId,
    at: Timestamp,
) -> Result<u32, StoreError> {
    let since = at.as_millis().saturating_sub(rules::INVITED_WITHIN.as_millis() as u64);
    let sql = "SELECT 0, count(*) FROM invitations WHERE organization = ?1 AND created_at > ?2";
    let params = params![organization.as_str(), millis(Timestamp::from_millis(since))];
    let count =
        first(connection, sql, params, |row| Cells::of("invitations", row).number(1, "count"))?;
    Ok(count.unwrap_or_default())
}

fn invite(connection: &Connection, at: Timestamp, new: &Invitation) -> Result<Entry, StoreError> {
    if let InvitedAs::Member { organization, .. } = &new.to {
        apply::organization_stands(connection, organization)?;
        if let Some(there) = user_by_email(connection, &new.email)?
            && there.memberships.iter().any(|place| place.organization == *organization)
        {
            return Err(StoreError::AlreadyMember(new.email.clone()));
        }
        rules::invites_on(organization, invited_lately(connection, organization, at)?)?;
    }
    let (organization, role) = match &new.to {
        InvitedAs::Member { organization, role } => (Some(organization.as_str()), Some(role)),
        InvitedAs::Operator => (None, None),
    };
    // One that nobody can accept any more makes room.
    let sql = "UPDATE invitations SET state = 'withdrawn' WHERE state = 'open' AND email = ?1 \
        AND organization IS ?2 AND expires_at <= ?3";
    write(connection, sql, params![new.email.as_str(), organization, millis(at)]).map_err(fault)?;
    write(
        connection,
        "INSERT INTO invitations (id, email, organization, role, token, invited_by, created_at, \
         expires_at, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'open')",
        params![
            new.id.bits(),
            new.email.as_str(),
            organization,
            role.map(|role| role.as_str()),
            new.token.as_bytes(),
            new.invited_by.map(UserId::bits),
            millis(new.created_at),
            millis(new.expires_at),
        ],
    )
    .map_err(|error| match is_collision(&error) {
        true => StoreError::AlreadyInvited(new.email.clone()),
        false => fault(error),
    })?;
    Ok(rules::invitation(new))
}

pub(super) fn write_invitation_state(
    connection: &Connection,
    id: InvitationId,
    state: InvitationState,
) -> Result<(), StoreError> {
    let sql = "UPDATE invitations SET state = ?2 WHERE id = ?1";
    write(connection, sql, params![id.bits(), state.as_str()]).map(|_| ()).map_err(fault)
}

fn withdraw(connection: &Connection, id: InvitationId) -> Result<Option<Entry>, StoreError> {
    let held = invitation_by_id(connection, id)?.ok_or(StoreError::NoSuchInvitation(id))?;
    let entry = rules::withdrawal(&held)?;
    if entry.is_some() {
        write_invitation_state(connection, id, InvitationState::Withdrawn)?;
    }
    Ok(entry)
}

fn accept(
    connection: &Connection,
    at: Timestamp,
    token: &TokenDigest,
    newcomer: Option<(User, PasswordHash)>,
) -> Result<Entry, StoreError> {
    let held = invitation_by_token(connection, token)?;
    let held = rules::acceptable(held, at)?;
    still_stands(connection, &held)?;
    let known = user_by_email(connection, &held.email)?;
    let user = match (known, newcomer) {
        // Who came to be known meanwhile logs in: somebody else's password does not make them a member.
        (Some(_), Some(_)) => return Err(StoreError::EmailTaken(held.email)),
        (Some(known), None) => {
            let sql = "UPDATE users SET email_proven = 1 WHERE id = ?1";
            write(connection, sql, [known.user.id.bits()]).map_err(fault)?;
            known.user
        }
        (None, Some((user, password))) => {
            let user = User { email: held.email.clone(), ..user };
            rules::name_fits(&user.name)?;
            insert_user(connection, &user, Some(&password), true)?;
            user
        }
        (None, None) => return Err(StoreError::NewcomerExpected(held.email)),
    };
    match &held.to {
        InvitedAs::Member { organization, role } => {
            if member(connection, organization, user.id)?.is_some() {
                return Err(StoreError::AlreadyMember(held.email));
            }
            insert_member(connection, organization, user.id, *role, at)?;
        }
        InvitedAs::Operator => {
            let sql = "UPDATE users SET operator = 1 WHERE id = ?1";
            write(connection, sql, [user.id.bits()]).map_err(fault)?;
        }
    }
    write_invitation_state(connection, held.id, InvitationState::Accepted)?;
    Ok(rules::acceptance(&held, &user))
}

/// Refuses an invitation by somebody who could not make it now: who was lowered or removed leaves no door behind.
pub(super) fn still_stands(connection: &Connection, held: &Invitation) -> Result<(), StoreError> {
    let Some(inviter) = held.invited_by else { return Ok(()) };
    if user_by_id(connection, inviter)?.is_some_and(|record| record.user.operator) {
        return Ok(());
    }
    let InvitedAs::Member { organization, role } = &held.to else {
        return Err(StoreError::UnknownToken);
    };
    let place = member(connection, organization, inviter)?.as_ref().map(Place::of);
    let may = authority::role(place.as_ref(), None, Some(*role), StoreError::UnknownToken);
    may.map_err(|_| StoreError::UnknownToken)
}

fn place(
    connection: &Connection,
    organization: &OrganizationId,
    user: UserId,
) -> Result<Membership, StoreError> {
    apply::organization_stands(connection, organization)?;
    let missing = || StoreError::NoSuchMember { organization: organization.clone(), user };
    member(connection, organization, user)?.ok_or_else(missing)
}

fn owners(connection: &Connection, organization: &OrganizationId) -> Result<u64, StoreError> {
    let sql = "SELECT organization, count(*) FROM memberships \
        WHERE organization = ?1 AND role = 'owner' GROUP BY organization";
    let count = first(connection, sql, [organization.as_str()], |row| {
        Cells::of("memberships", row).number(1, "count")
    })?;
    Ok(count.unwrap_or(0))
}

fn set_role(
    connection: &Connection,
    organization: &OrganizationId,
    user: UserId,
    role: Role,
) -> Result<Option<Entry>, StoreError> {
    let before = place(connection, organization, user)?;
    let entry = rules::role(&before, role, owners(connection, organization)?)?;
    if entry.is_some() {
        let sql = "UPDATE memberships SET role = ?3 WHERE organization = ?1 AND user = ?2";
        write(connection, sql, params![organization.as_str(), user.bits(), role.as_str()])
            .map_err(fault)?;
    }
    Ok(entry)
}

fn remove_member(
    connection: &Connection,
    organization: &OrganizationId,
    user: UserId,
) -> Result<Entry, StoreError> {
    let before = place(connection, organization, user)?;
    let entry = rules::removal(&before, owners(connection, organization)?)?;
    let sql = "DELETE FROM memberships WHERE organization = ?1 AND user = ?2";
    write(connection, sql, params![organization.as_str(), user.bits()]).map_err(fault)?;
    Ok(entry)
}
