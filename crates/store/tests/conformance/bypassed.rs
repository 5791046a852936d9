//! What the store refuses by itself, whatever was or was not asked before.

use keyward_core::{
    id::{InvitationId, UserId},
    key::Key,
    member::{Right, Role, User},
};
use keyward_store::{
    Actor, Change, ChangeEntry, Feed, Identity, Interface, Invitation, InvitationState, InvitedAs,
    KeyUpdate, OrganizationUpdate, PasswordHash, PeopleChange, Revision, Store, StoreError,
    Subject, TokenDigest,
};

use super::{
    Bed, NOW, commit, key, key_id, later, organization, organization_id, secret, secret_of,
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

/// Person 1 owns `org`; 2 and 3 are administrators there.
async fn people(bed: &Bed) {
    let password = PasswordHash::new("hash".to_owned());
    let (user, organization) = (person(1), organization("org"));
    let sign_up = PeopleChange::SignUp { user, password: password.clone(), organization };
    commit(&bed.store, Change::People(sign_up)).await.unwrap();
    for number in [2, 3] {
        let newcomer = Some((person(number), password.clone()));
        invite(bed, number, Role::Administrator).await;
        accept(bed, number, newcomer).await.unwrap();
    }
}

async fn invite(bed: &Bed, number: u8, role: Role) {
    let organization = organization_id("org");
    let invitation = Invitation {
        id: InvitationId::from_bits([number; 16]),
        email: person(number).email,
        to: InvitedAs::Member { organization, role },
        token: TokenDigest::from_bytes([number; 32]),
        invited_by: None,
        created_at: NOW,
        expires_at: later(3600),
        state: InvitationState::Open,
    };
    commit(&bed.store, Change::People(PeopleChange::Invite(invitation))).await.unwrap();
}

async fn accept(
    bed: &Bed,
    number: u8,
    newcomer: Option<(User, PasswordHash)>,
) -> Result<Revision, StoreError> {
    let token = TokenDigest::from_bytes([number; 32]);
    let accept = PeopleChange::AcceptInvitation { token, newcomer };
    commit(&bed.store, Change::People(accept)).await
}

async fn by(store: &dyn Store, number: u8, change: Change) -> Result<Revision, StoreError> {
    let actor = Actor::person(&person(number), Interface::ManagementApi);
    store.commit(&actor, NOW, change).await
}

fn made(number: u64, api: &str, permission: &str, owner: Option<u8>) -> Change {
    let owner = owner.map(|owner| person(owner).id);
    let api = api.parse().unwrap();
    let key = Key { api, permissions: vec![permission.to_owned()], owner, ..key(number) };
    Change::CreateKey { key, secret: secret(number), most_active: None }
}

fn given(number: u64, owner: Option<u8>) -> Change {
    let owner = Some(owner.map(|owner| person(owner).id));
    let update = Box::new(KeyUpdate { owner, ..KeyUpdate::default() });
    Change::UpdateKey { key: key_id(number), update, seen: None }
}

fn refused(right: Right) -> Result<Revision, StoreError> {
    Err(StoreError::NotAllowed(Some(right)))
}

pub(crate) async fn a_member_makes_no_key_nobodys(bed: Bed) {
    people(&bed).await;
    let store = &*bed.store;
    by(store, 2, made(1, "api", "read", Some(2))).await.unwrap();
    for who in [1, 2, 3] {
        assert_eq!(by(store, who, given(1, None)).await, refused(Right::Operate), "{who}");
        let nobodys = made(2, "api", "read", None);
        assert_eq!(by(store, who, nobodys).await, refused(Right::Operate), "{who}");
    }
    by(store, 2, given(1, Some(3))).await.unwrap();
    commit(&bed.store, given(1, None)).await.unwrap();
    by(store, 2, given(1, Some(2))).await.unwrap();
}

pub(crate) async fn who_acts_by_a_management_key_acts_in_their_own_name(bed: Bed) {
    people(&bed).await;
    let store = &*bed.store;
    let decides = |number, owner| made(number, "keyward", "requests:decide", owner);
    let rotate = |number| {
        let secret = secret_of(number + 10, number);
        Change::RotateKey { key: key_id(number), secret, old_expires_at: NOW }
    };
    let not_hers = refused(Right::WriteOrganization);
    assert_eq!(by(store, 2, decides(1, Some(3))).await, not_hers);
    by(store, 2, decides(1, Some(2))).await.unwrap();
    by(store, 3, decides(2, Some(3))).await.unwrap();
    commit(&bed.store, decides(3, None)).await.unwrap();
    assert_eq!(by(store, 2, given(1, Some(3))).await, not_hers);
    assert_eq!(by(store, 2, rotate(2)).await, not_hers);
    assert_eq!(by(store, 2, rotate(3)).await, not_hers, "nobody's");
    by(store, 2, rotate(1)).await.unwrap();
    by(store, 1, rotate(2)).await.unwrap();
    by(store, 1, decides(4, Some(3))).await.unwrap();
}

pub(crate) async fn members_narrow_models_and_widen_none(bed: Bed) {
    people(&bed).await;
    let models = |models: Option<&[&str]>| Change::UpdateOrganization {
        organization: organization_id("org"),
        update: OrganizationUpdate {
            allowed_models: Some(models.map(|all| all.iter().map(|one| (*one).into()).collect())),
            ..OrganizationUpdate::default()
        },
        seen: None,
    };
    let store = &*bed.store;
    by(store, 1, models(Some(&["a", "b", "c"]))).await.unwrap();
    by(store, 1, models(Some(&["b", "a"]))).await.unwrap();
    for wider in [models(None), models(Some(&["a", "c"]))] {
        assert_eq!(by(store, 1, wider).await, refused(Right::Operate));
    }
    assert_eq!(by(store, 2, models(Some(&[]))).await, refused(Right::WriteOrganization));
    commit(&bed.store, models(None)).await.unwrap();
}

pub(crate) async fn the_last_secret_of_a_key_stays(bed: Bed) {
    people(&bed).await;
    commit(&bed.store, made(1, "api", "read", None)).await.unwrap();
    let rotate =
        Change::RotateKey { key: key_id(1), secret: secret_of(2, 1), old_expires_at: later(60) };
    commit(&bed.store, rotate).await.unwrap();
    // Both see the other one stay when they begin.
    let retire = |number| Change::RetireSecret { secret: secret(number).id, at: NOW, force: true };
    let (one, two) = tokio::join!(commit(&bed.store, retire(1)), commit(&bed.second, retire(2)));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

pub(crate) async fn who_joins_is_told_of_as_a_member(bed: Bed) {
    people(&bed).await;
    invite(&bed, 4, Role::Developer).await;
    let newcomer = Some((person(4), PasswordHash::new("hash".to_owned())));
    let revision = accept(&bed, 4, newcomer).await.unwrap();
    // They may have been there before: who follows the feed reads the keys again that are theirs.
    let before = Revision::new(revision.get() - 1);
    let joined =
        ChangeEntry { revision, subject: Subject::Member(organization_id("org"), person(4).id) };
    assert_eq!(bed.store.changes_since(before, 9).await.unwrap(), Feed::Entries(vec![joined]));
}

pub(crate) async fn an_account_elsewhere_opens_no_invitation_that_a_token_would_not(bed: Bed) {
    people(&bed).await;
    let invitation = |number: u8| Invitation {
        id: InvitationId::from_bits([number; 16]),
        email: person(number).email,
        to: InvitedAs::Member { organization: organization_id("org"), role: Role::Administrator },
        token: TokenDigest::from_bytes([number; 32]),
        invited_by: Some(person(2).id),
        created_at: NOW,
        expires_at: later(3600),
        state: InvitationState::Open,
    };
    let come = |number: u8| {
        let identity =
            Identity { issuer: "https://login.test".to_owned(), subject: number.to_string() };
        let invitation = InvitationId::from_bits([number; 16]);
        let newcomer = person(number);
        Change::People(PeopleChange::AcceptByIdentity { invitation, newcomer, identity })
    };
    for number in [4, 5] {
        let invite = PeopleChange::Invite(invitation(number));
        commit(&bed.store, Change::People(invite)).await.unwrap();
    }
    commit(&bed.store, come(4)).await.unwrap();
    let remove =
        PeopleChange::RemoveMember { organization: organization_id("org"), user: person(2).id };
    commit(&bed.store, Change::People(remove)).await.unwrap();
    assert_eq!(commit(&bed.store, come(5)).await, Err(StoreError::UnknownToken));
    assert!(bed.store.user(person(5).id).await.unwrap().is_none(), "nobody came");
}
