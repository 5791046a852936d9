//! Rights that were there when something was begun, and are not when it is done.

use keyward_core::{
    id::{InvitationId, KeyId, SessionId, UserId},
    member::{Role, User},
};
use keyward_store::{
    Change, Invitation, InvitationState, InvitedAs, KeyFilter, Page, PasswordHash, PeopleChange,
    Revision, Session, Store, StoreError, TokenDigest,
};

use super::{
    Bed, NOW, actor, commit, creation, key_id, later, organization, organization_id,
    with_organization,
};

fn person(number: u8) -> User {
    User {
        id: UserId::from_bits([number; 16]),
        email: format!("person{number}@example.com").parse().unwrap(),
        name: format!("Person {number}"),
        operator: false,
        created_at: NOW,
    }
}

fn hash(text: &str) -> PasswordHash {
    PasswordHash::new(text.to_owned())
}

async fn change(store: &dyn Store, change: PeopleChange) -> Result<Revision, StoreError> {
    store.commit(&actor(), NOW, Change::People(change)).await
}

async fn sign_up(store: &dyn Store, number: u8, of: &str) {
    let organization = organization(of);
    let (user, password) = (person(number), hash("old"));
    change(store, PeopleChange::SignUp { user, password, organization }).await.unwrap();
}

/// Person `number`'s invitation, by `by`, of the token of the same number.
fn invitation(number: u8, to: Option<Role>, by: Option<u8>) -> PeopleChange {
    let organization = organization_id("org");
    PeopleChange::Invite(Invitation {
        id: InvitationId::from_bits([number; 16]),
        email: person(number).email,
        to: to.map_or(InvitedAs::Operator, |role| InvitedAs::Member { organization, role }),
        token: TokenDigest::from_bytes([number; 32]),
        invited_by: by.map(|by| person(by).id),
        created_at: NOW,
        expires_at: later(3600),
        state: InvitationState::Open,
    })
}

fn acceptance(number: u8, newcomer: Option<u8>) -> PeopleChange {
    PeopleChange::AcceptInvitation {
        token: TokenDigest::from_bytes([number; 32]),
        newcomer: newcomer.map(|number| (person(number), hash("old"))),
    }
}

pub(crate) async fn an_invitation_by_who_could_not_make_it_now_opens_nothing(bed: Bed) {
    let store = &*bed.store;
    sign_up(store, 1, "org").await;
    for (number, role) in [(2, Role::Owner), (3, Role::Administrator)] {
        change(store, invitation(number, Some(role), Some(1))).await.unwrap();
        change(store, acceptance(number, Some(number))).await.unwrap();
    }
    change(store, invitation(4, Some(Role::Owner), Some(2))).await.unwrap();
    change(store, invitation(5, Some(Role::Administrator), Some(2))).await.unwrap();
    change(store, invitation(6, Some(Role::Viewer), Some(3))).await.unwrap();
    // One to run this Keyward, by somebody who does not.
    change(store, invitation(7, None, Some(1))).await.unwrap();
    let role = |number, role| {
        let user = person(number).id;
        PeopleChange::SetRole { organization: organization_id("org"), user, role }
    };
    change(store, role(2, Role::Administrator)).await.unwrap();
    change(store, role(3, Role::Developer)).await.unwrap();
    let nothing = Err(StoreError::UnknownToken);
    for number in [4, 6, 7] {
        let accepted = change(store, acceptance(number, Some(number))).await;
        assert_eq!(accepted, nothing, "{number}");
    }
    change(store, acceptance(5, Some(5))).await.unwrap();
    let (organization, user) = (organization_id("org"), person(2).id);
    change(store, role(2, Role::Owner)).await.unwrap();
    change(store, PeopleChange::RemoveMember { organization, user }).await.unwrap();
    assert_eq!(change(store, acceptance(4, Some(4))).await, nothing);
    assert!(store.user(person(4).id).await.unwrap().is_none(), "nobody came");
    // The machine's own invitations stand.
    change(store, invitation(8, Some(Role::Owner), None)).await.unwrap();
    change(store, acceptance(8, Some(8))).await.unwrap();
}

pub(crate) async fn who_came_to_be_known_meanwhile_logs_in_to_accept(bed: Bed) {
    let store = &*bed.store;
    sign_up(store, 1, "org").await;
    change(store, invitation(2, Some(Role::Owner), Some(1))).await.unwrap();
    sign_up(store, 2, "second").await;
    let as_newcomer = change(store, acceptance(2, Some(9))).await;
    assert_eq!(as_newcomer, Err(StoreError::EmailTaken(person(2).email)));
    change(store, acceptance(2, None)).await.unwrap();
    assert_eq!(store.user(person(2).id).await.unwrap().unwrap().memberships.len(), 2);
}

pub(crate) async fn a_password_that_was_changed_meanwhile_opens_nothing(bed: Bed) {
    let store = &*bed.store;
    sign_up(store, 1, "org").await;
    let user = person(1).id;
    let log_in = |number, checked| PeopleChange::LogIn {
        session: Session {
            id: SessionId::from_bits([number; 16]),
            user,
            token: TokenDigest::from_bytes([number; 32]),
            device: "a test".to_owned(),
            from: "203.0.113.7".parse().unwrap(),
            created_at: NOW,
            expires_at: later(600),
            last_used_at: None,
        },
        checked: hash(checked),
    };
    let set = |checked, new| PeopleChange::ChangePassword {
        user,
        checked: hash(checked),
        password: hash(new),
        keeping: None,
    };
    change(store, log_in(1, "old")).await.unwrap();
    change(store, set("old", "new")).await.unwrap();
    for late in [log_in(2, "old"), set("old", "theirs")] {
        assert_eq!(change(store, late).await, Err(StoreError::PasswordChanged));
    }
    assert!(store.sessions(user).await.unwrap().is_empty());
    change(store, log_in(3, "new")).await.unwrap();
}

pub(crate) async fn a_cursor_of_another_organization_is_as_unknown_as_none(bed: Bed) {
    let store = &bed.store;
    with_organization(store).await;
    commit(store, Change::CreateOrganization(organization("second"))).await.unwrap();
    commit(store, creation(1)).await.unwrap();
    commit(store, creation(2)).await.unwrap();
    let list = async |of: Option<&str>, after: KeyId| {
        let filter = KeyFilter { organization: of.map(organization_id), ..KeyFilter::default() };
        store.keys(&filter, Page::after(after, 10)).await.map(|found| found.len())
    };
    assert_eq!(list(Some("org"), key_id(1)).await, Ok(1));
    assert_eq!(list(None, key_id(1)).await, Ok(1));
    for unknown in [key_id(1), key_id(77)] {
        let told = list(Some("second"), unknown).await;
        assert_eq!(told, Err(StoreError::NoSuchKey(unknown)));
    }
}
