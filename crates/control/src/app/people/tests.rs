//! From a token on the console to a member whose keys are as good as their role.

use std::time::Duration;

use keyward_api::{AccountView, ErrorCode, InvitationView};
use keyward_core::{
    id::{KeyId, OrganizationId, UserId},
    key::{KeyState, Plaintext},
    member::Role,
    time::Timestamp,
};
use keyward_store::{AuditFilter, Interface, StoreError};

use super::{Newcomer, session::Device};
use crate::{
    Context, Control, ControlError,
    app::keys::{KeyQuery, NewKey},
    fixture::{Fixture, NOW, new_key},
};

const PASSWORD: &str = "correct horse battery";

fn plain(text: &str) -> Plaintext {
    Plaintext::new(text.to_owned())
}

fn newcomer(name: &str) -> Newcomer {
    Newcomer {
        email: format!("{name}@example.com").parse().unwrap(),
        name: name.to_owned(),
        password: plain(PASSWORD),
    }
}

fn visitor(now: Timestamp) -> Context {
    Context::visitor("somebody", Interface::ManagementApi, now)
}

/// Logs in, and acts as whoever the token says.
pub(in crate::app) async fn logged_in(control: &Control, name: &str) -> Context {
    let device = Device { name: "a test\n".to_owned(), address: "203.0.113.7".parse().unwrap() };
    let email = format!("{name}@example.com").parse().unwrap();
    let started =
        control.log_in(&visitor(NOW), &email, plain(PASSWORD), device, None).await.unwrap();
    assert_eq!(started.session.device, "a test");
    let token = started.token.expose();
    let found = control.authenticate(token, Interface::ManagementApi, NOW).await.unwrap();
    found.unwrap().1
}

/// An organization, its owner, and somebody they invited.
pub(crate) async fn with_member(
    control: &Control,
    role: Role,
) -> (OrganizationId, Context, Context) {
    let (_, organization) =
        control.sign_up(&visitor(NOW), newcomer("ada"), "Ada's".to_owned()).await.unwrap();
    let organization: OrganizationId = organization.id.parse().unwrap();
    let ada = logged_in(control, "ada").await;
    join(control, &ada, &organization, "bob", role).await;
    let bob = logged_in(control, "bob").await;
    (organization, ada, bob)
}

pub(crate) async fn join(
    control: &Control,
    inviting: &Context,
    organization: &OrganizationId,
    name: &str,
    role: Role,
) -> AccountView {
    let email = format!("{name}@example.com").parse().unwrap();
    let to = Some((organization.clone(), role));
    let invited = control.invite(inviting, to, email).await.unwrap();
    let newcomer = Some((name.to_owned(), plain(PASSWORD)));
    control
        .accept_invitation(&visitor(NOW), invited.token.as_ref().unwrap(), newcomer)
        .await
        .unwrap()
}

fn code(error: &ControlError) -> ErrorCode {
    error.code()
}

fn key_in(organization: &OrganizationId, name: &str) -> NewKey {
    NewKey { organization: organization.clone(), ..new_key(name) }
}

#[tokio::test]
async fn the_console_makes_the_first_operator_and_nobody_the_second() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let token = control.offer_setup(NOW).await.unwrap().unwrap();
    let late = visitor(NOW.plus(Duration::from_secs(3600)));
    let refused = control.set_up(&late, &token, newcomer("ops")).await.map(drop);
    assert_eq!(refused, Err(StoreError::UnknownToken.into()));
    let weak = Newcomer { password: plain("short"), ..newcomer("ops") };
    let refused = control.set_up(&visitor(NOW), &token, weak).await.map(drop);
    assert_eq!(refused.map_err(|error| code(&error)), Err(ErrorCode::Invalid));
    let operator = control.set_up(&visitor(NOW), &token, newcomer("ops")).await.unwrap();
    assert!(operator.operator);
    let again = control.set_up(&visitor(NOW), &token, newcomer("second")).await.map(drop);
    assert_eq!(again, Err(StoreError::SetUpAlready.into()));
    assert!(control.offer_setup(NOW).await.unwrap().is_none());
    let operator = logged_in(&control, "ops").await;
    assert_eq!(control.list_organizations(&operator).await.unwrap().len(), 2);
}

#[tokio::test]
async fn who_logs_in_is_known_by_the_token_until_it_ends() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    control.sign_up(&visitor(NOW), newcomer("ada"), "Ada's".to_owned()).await.unwrap();
    let device = || Device { name: "a test".to_owned(), address: "::1".parse().unwrap() };
    let log_in = async |name: &str, password: &str| {
        let email = format!("{name}@example.com").parse().unwrap();
        control.log_in(&visitor(NOW), &email, plain(password), device(), None).await
    };
    for (name, password) in [("ada", "wrong horse battery"), ("nobody", PASSWORD), ("ada", "")] {
        let refused = log_in(name, password).await.map(drop);
        assert_eq!(refused, Err(ControlError::WrongPassword), "{name}");
    }
    let first = log_in("ADA", PASSWORD).await.unwrap();
    let second = log_in("ada", PASSWORD).await.unwrap();
    let who = async |token: &str, now| {
        control.authenticate(token, Interface::ManagementApi, now).await.unwrap()
    };
    let (session, ada) = who(first.token.expose(), NOW).await.unwrap();
    assert!(who(first.token.expose(), NOW.plus(Duration::from_secs(12 * 3600))).await.is_none());
    for wrong in
        ["", "kwses_", "kwses_0000", second.token.expose().trim_end_matches(char::is_alphanumeric)]
    {
        assert!(who(wrong, NOW).await.is_none(), "{wrong}");
    }
    let sessions = control.list_sessions(&ada, Some(session)).await.unwrap();
    let current: Vec<_> = sessions.iter().map(|session| session.current).collect();
    assert_eq!(current, [false, true]);
    let used = async || {
        let sessions = control.list_sessions(&ada, None).await.unwrap();
        sessions.last().unwrap().last_used_at.clone()
    };
    assert_eq!(used().await, Some(NOW.to_string()));
    who(first.token.expose(), NOW.plus(Duration::from_secs(299))).await.unwrap();
    assert_eq!(used().await, Some(NOW.to_string()), "noted every five minutes");
    let later = NOW.plus(Duration::from_secs(300));
    who(first.token.expose(), later).await.unwrap();
    assert_eq!(used().await, Some(later.to_string()));

    let change = control.change_password(&ada, Some(session), plain("wrong"), plain("another one"));
    assert_eq!(change.await, Err(ControlError::WrongPassword));
    let (old, new) = (plain(PASSWORD), plain("another one"));
    control.change_password(&ada, Some(session), old, new).await.unwrap();
    assert!(who(second.token.expose(), NOW).await.is_none(), "a new password ends other sessions");
    assert!(log_in("ada", PASSWORD).await.is_err() && log_in("ada", "another one").await.is_ok());
    control.end_session(&ada, Some(session)).await.unwrap();
    assert!(who(first.token.expose(), NOW).await.is_none());
}

#[tokio::test]
async fn an_invitation_is_for_the_one_it_was_sent_to() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let (organization, ada, bob) = with_member(&control, Role::Administrator).await;
    let (_, second) =
        control.sign_up(&visitor(NOW), newcomer("eve"), "Eve's".to_owned()).await.unwrap();
    let eve = logged_in(&control, "eve").await;
    let email = || "bob@example.com".parse().unwrap();
    let to = Some((second.id.parse().unwrap(), Role::Viewer));
    let invited = control.invite(&eve, to.clone(), email()).await.unwrap();
    for (who, newcomer) in [
        (visitor(NOW), Some(("Bob".to_owned(), plain(PASSWORD)))),
        (visitor(NOW), None),
        (eve.clone(), None),
        (ada.clone(), None),
    ] {
        let refused = control
            .accept_invitation(&who, invited.token.as_ref().unwrap(), newcomer)
            .await
            .map(drop);
        assert_eq!(refused, Err(StoreError::EmailTaken(email()).into()));
    }
    control.accept_invitation(&bob, invited.token.as_ref().unwrap(), None).await.unwrap();
    let listed = control.list_invitations(&eve, to.as_ref().map(|(to, _)| to)).await.unwrap();
    let states: Vec<_> = listed.iter().map(|one: &InvitationView| one.state.as_str()).collect();
    assert_eq!(states, ["accepted"]);

    // Up to one's own role, into one's own organization, and not to run this Keyward.
    let fresh = || "fresh@example.com".parse().unwrap();
    let owner = Some((organization.clone(), Role::Owner));
    let refused = control.invite(&bob, owner, fresh()).await.map(drop);
    assert_eq!(refused.map_err(|error| code(&error)), Err(ErrorCode::Forbidden));
    let elsewhere = Some((organization.clone(), Role::Viewer));
    let refused = control.invite(&eve, elsewhere, fresh()).await.map(drop);
    assert_eq!(refused, Err(StoreError::NoSuchOrganization(organization).into()));
    let refused = control.invite(&ada, None, fresh()).await.map(drop);
    assert_eq!(refused.map_err(|error| code(&error)), Err(ErrorCode::Forbidden));
}

#[tokio::test]
async fn members_see_to_keys_as_far_as_their_role_goes() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let (organization, ada, bob) = with_member(&control, Role::Developer).await;
    join(&control, &ada, &organization, "vic", Role::Viewer).await;
    let vic = logged_in(&control, "vic").await;
    control.sign_up(&visitor(NOW), newcomer("eve"), "Eve's".to_owned()).await.unwrap();
    let eve = logged_in(&control, "eve").await;

    let adas = control.create_key(&ada, key_in(&organization, "ada's")).await.unwrap();
    let bobs = control.create_key(&bob, key_in(&organization, "bob's")).await.unwrap();
    assert_eq!(bobs.key().owner, bob.user());
    for (who, owner, expected) in [
        (&vic, None, ErrorCode::Forbidden),
        (&bob, ada.user(), ErrorCode::Forbidden),
        (&eve, None, ErrorCode::NotFound),
    ] {
        let new = NewKey { owner, ..key_in(&organization, "another") };
        let refused = control.create_key(who, new).await.map(drop);
        assert_eq!(refused.map_err(|error| code(&error)), Err(expected));
    }
    let staff = NewKey {
        api: "staff".parse().unwrap(),
        permissions: vec!["speak".to_owned()],
        ..key_in(&organization, "staff's")
    };
    let refused = control.create_key(&ada, staff).await.map(drop);
    assert_eq!(
        refused.map_err(|error| code(&error)),
        Err(ErrorCode::Forbidden),
        "staff gives these out"
    );

    let (adas, bobs) = (adas.key().id, bobs.key().id);
    for who in [&ada, &bob, &vic] {
        assert_eq!(control.show_key(who, adas).await.unwrap().key.name, "ada's");
    }
    let refused = |who: &Context, id| {
        let (control, who) = (control.clone(), who.clone());
        async move {
            let rotate = control.rotate_key(&who, id, Duration::ZERO).await.map(drop);
            let disable = control.disable_key(&who, id).await.map(drop);
            let revoke = control.revoke_key(&who, id).await.map(drop);
            assert_eq!((&rotate, &rotate), (&disable, &revoke));
            rotate.unwrap_err()
        }
    };
    assert_eq!(refused(&bob, adas).await.code(), ErrorCode::Forbidden);
    assert_eq!(refused(&vic, bobs).await.code(), ErrorCode::Forbidden);
    control.rotate_key(&bob, bobs, Duration::ZERO).await.unwrap();
    control.disable_key(&ada, bobs).await.unwrap();

    // For who belongs elsewhere, these keys are like any that never were.
    let nowhere = KeyId::from_bits([9; 16]);
    for id in [adas, nowhere] {
        assert_eq!(refused(&eve, id).await, StoreError::NoSuchKey(id).into());
        let shown = control.show_key(&eve, id).await.map(drop);
        assert_eq!(shown, Err(StoreError::NoSuchKey(id).into()));
    }
    let query = KeyQuery { organization: Some(organization.clone()), ..KeyQuery::default() };
    let listed = control.list_keys(&eve, &query, 10).await.map(drop);
    assert_eq!(listed, Err(StoreError::NoSuchOrganization(organization).into()));
    let all = control.list_keys(&ada, &KeyQuery::default(), 10).await.map(drop);
    assert_eq!(all.map_err(|error| code(&error)), Err(ErrorCode::Forbidden));
    assert_eq!(control.list_organizations(&eve).await.unwrap().len(), 1);
    let log = control.list_audit_entries(&ada, &AuditFilter::default(), None, 10).await.map(drop);
    assert_eq!(log.map_err(|error| code(&error)), Err(ErrorCode::Forbidden));
}

#[tokio::test]
async fn a_role_is_given_by_who_has_it_and_taken_at_once() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let (organization, ada, bob) = with_member(&control, Role::Administrator).await;
    let (adas, bobs): (UserId, UserId) = (ada.user().unwrap(), bob.user().unwrap());
    let refused = control.set_role(&bob, &organization, bobs, Role::Owner).await.map(drop);
    assert_eq!(refused.map_err(|error| code(&error)), Err(ErrorCode::Forbidden));
    let refused = control.remove_member(&bob, &organization, adas).await;
    assert_eq!(refused.map_err(|error| code(&error)), Err(ErrorCode::Forbidden));
    let key = control.create_key(&bob, key_in(&organization, "bob's")).await.unwrap();
    let lowered = control.set_role(&ada, &organization, bobs, Role::Viewer).await.unwrap();
    assert_eq!(lowered.role, "viewer");
    // What bob's session was told before counts for nothing now: the store looks again.
    let refused = control.create_key(&bob, key_in(&organization, "another")).await.map(drop);
    assert_eq!(refused.map_err(|error| code(&error)), Err(ErrorCode::Forbidden));
    let record = fixture.folder.store().key(key.key().id).await.unwrap().unwrap();
    assert_eq!(record.in_force().state, KeyState::Disabled);
    control.remove_member(&bob, &organization, bobs).await.unwrap();
    let names: Vec<_> = control.list_members(&ada, &organization).await.unwrap();
    assert_eq!(names.iter().map(|member| member.user.name.as_str()).collect::<Vec<_>>(), ["ada"]);
}
