//! Management keys: who shows one, and what a change that one does is held against.

use keyward_core::{
    id::{InvitationId, UserId},
    key::{Key, KeyState, Unusable},
    member::{Right, Role, User},
    organization::OrganizationState,
};
use keyward_store::{
    Actor, AuditFilter, Change, Interface, Invitation, InvitationState, InvitedAs, KeyUpdate,
    OrganizationUpdate, Page, PasswordHash, PeopleChange, Revision, Store, StoreError, TokenDigest,
};

use super::{
    Bed, NOW, actor, commit, creation, key, key_id, later, organization, organization_id, secret,
    secret_of, state, with_organization,
};

fn management(number: u64, permissions: &[&str]) -> Change {
    granted(number, permissions, |_| {})
}

/// Key `number` of Keyward's own API, changed by `with`.
fn granted(number: u64, permissions: &[&str], with: impl FnOnce(&mut Key)) -> Change {
    let mut key = Key {
        api: "keyward".parse().unwrap(),
        permissions: permissions.iter().map(|one| (*one).to_owned()).collect(),
        ..key(number)
    };
    with(&mut key);
    Change::CreateKey { key, secret: secret(number), most_active: None }
}

async fn by(store: &dyn Store, number: u64, change: Change) -> Result<Revision, StoreError> {
    store.commit(&Actor::key(key_id(number), Interface::ManagementApi), NOW, change).await
}

/// A person, and an organization of theirs.
async fn owner(store: &dyn Store, number: u8, of: &str) -> User {
    let user = User {
        id: UserId::from_bits([number; 16]),
        email: format!("person{number}@example.com").parse().unwrap(),
        name: "Ada".to_owned(),
        operator: false,
        created_at: NOW,
    };
    let sign_up = PeopleChange::SignUp {
        user: user.clone(),
        password: PasswordHash::new("hash".to_owned()),
        organization: organization(of),
    };
    store.commit(&actor(), NOW, Change::People(sign_up)).await.unwrap();
    user
}

fn invite(number: u8, role: Role) -> Change {
    Change::People(PeopleChange::Invite(Invitation {
        id: InvitationId::from_bits([number; 16]),
        email: "new@example.com".parse().unwrap(),
        to: InvitedAs::Member { organization: organization_id("org"), role },
        token: TokenDigest::from_bytes([number; 32]),
        invited_by: None,
        created_at: NOW,
        expires_at: later(60),
        state: InvitationState::Open,
    }))
}

fn refused(right: Right) -> Result<Revision, StoreError> {
    Err(StoreError::NotAllowed(Some(right)))
}

pub(crate) async fn a_key_is_shown_by_any_of_its_digests_with_all_that_says_whether_it_is_good(
    bed: Bed,
) {
    let store = &bed.store;
    with_organization(store).await;
    commit(store, creation(1)).await.unwrap();
    let rotate =
        Change::RotateKey { key: key_id(1), secret: secret_of(2, 1), old_expires_at: later(60) };
    commit(store, rotate).await.unwrap();
    let unknown = secret(9).digest;
    for number in [1, 2] {
        let digest = secret(number).digest;
        let shown = store.shown_key(&[unknown, digest]).await.unwrap().unwrap();
        assert_eq!((shown.secret.id, shown.secret.digest), (secret(number).id, digest));
        assert_eq!(Some(&shown.record), store.key(key_id(1)).await.unwrap().as_ref());
        assert_eq!(shown.organization, OrganizationState::Active);
    }
    assert_eq!(store.shown_key(&[unknown]).await.unwrap(), None);
    assert_eq!(store.shown_key(&[]).await.unwrap(), None);
    let suspended = OrganizationState::Suspended;
    let suspend =
        Change::SetOrganizationState { organization: organization_id("org"), state: suspended };
    commit(store, suspend).await.unwrap();
    commit(store, state(1, KeyState::Revoked)).await.unwrap();
    let shown = store.shown_key(&[secret(1).digest]).await.unwrap().unwrap();
    assert_eq!((shown.organization, shown.record.key.state), (suspended, KeyState::Revoked));
}

pub(crate) async fn what_a_key_may_is_looked_up_when_a_change_is_done(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store, 1, "org").await;
    let owned =
        |number, permissions: &[&str]| granted(number, permissions, |key| key.owner = Some(ada.id));
    commit(&bed.store, owned(1, &["keys:own"])).await.unwrap();
    commit(&bed.store, owned(2, &["keys:write"])).await.unwrap();
    commit(&bed.store, owned(3, &["members:write"])).await.unwrap();
    commit(&bed.store, management(4, &["keys:write"])).await.unwrap();

    let of = |number, owner| Change::CreateKey {
        key: Key { owner, ..key(number) },
        secret: secret(number),
        most_active: None,
    };
    by(store, 1, of(11, Some(ada.id))).await.unwrap();
    assert_eq!(by(store, 1, of(12, None)).await, refused(Right::WriteKeys));
    // What somebody's key makes is somebody's; what nobody's makes may be nobody's.
    assert_eq!(by(store, 2, of(12, None)).await, refused(Right::Operate));
    by(store, 4, of(12, None)).await.unwrap();
    assert_eq!(by(store, 1, state(12, KeyState::Disabled)).await, refused(Right::WriteKeys));
    by(store, 1, state(11, KeyState::Disabled)).await.unwrap();
    by(store, 2, state(12, KeyState::Disabled)).await.unwrap();
    assert_eq!(by(store, 3, state(12, KeyState::Active)).await, refused(Right::WriteKeys));
    let retire = Change::RetireSecret { secret: secret(12).id, at: NOW, force: true };
    assert_eq!(by(store, 1, retire.clone()).await, refused(Right::WriteKeys));
    let rotate =
        Change::RotateKey { key: key_id(12), secret: secret_of(13, 12), old_expires_at: later(60) };
    by(store, 4, rotate).await.unwrap();
    by(store, 4, retire).await.unwrap();

    for role in Role::ALL {
        assert_eq!(by(store, 3, invite(3, role)).await, refused(Right::WriteMembers), "{role:?}");
    }
    let organization = organization_id("org");
    let leave = PeopleChange::RemoveMember { organization: organization.clone(), user: ada.id };
    let leave = by(store, 3, Change::People(leave)).await;
    assert_eq!(leave, refused(Right::WriteMembers), "a key does not leave for its owner");
    let models = {
        let update = OrganizationUpdate {
            allowed_models: Some(Some(vec![])),
            ..OrganizationUpdate::default()
        };
        Change::UpdateOrganization { organization, update, seen: None }
    };
    assert_eq!(by(store, 2, models).await, refused(Right::WriteOrganization));
    for people in [
        PeopleChange::SetPassword {
            user: ada.id,
            password: PasswordHash::new("x".to_owned()),
            keeping: None,
        },
        PeopleChange::EndSession { user: ada.id, session: None },
        PeopleChange::AcceptInvitation { token: TokenDigest::from_bytes([9; 32]), newcomer: None },
    ] {
        let done = by(store, 2, Change::People(people)).await;
        assert_eq!(done, Err(StoreError::NotAllowed(None)), "these are people's");
    }

    // Who did it is told, and read back.
    let told = store.audit(&AuditFilter::default(), Page::first(1)).await.unwrap().remove(0).actor;
    assert_eq!(told, Actor::key(key_id(4), Interface::ManagementApi));
}

pub(crate) async fn a_key_that_is_not_good_changes_nothing(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store, 1, "org").await;
    let change = |number| Change::CreateKey {
        key: Key { owner: Some(ada.id), ..key(number) },
        secret: secret(number),
        most_active: None,
    };
    let owned = |number, end| {
        granted(number, &["keys:write"], |key| {
            (key.owner, key.expires_at) = (Some(ada.id), end);
        })
    };
    commit(&bed.store, owned(1, None)).await.unwrap();
    commit(&bed.store, owned(2, Some(NOW))).await.unwrap();
    commit(&bed.store, creation(3)).await.unwrap();
    let not_good = |why| Err(StoreError::KeyNotGood(why));
    assert_eq!(by(store, 2, change(12)).await, not_good(Unusable::Expired));
    let of_another_api = by(store, 3, change(12)).await;
    assert_eq!(of_another_api, refused(Right::WriteKeys), "keys of other APIs have no rights");
    assert_eq!(by(store, 99, change(12)).await, Err(StoreError::NoSuchKey(key_id(99))));
    let suspend =
        |state| Change::SetOrganizationState { organization: organization_id("org"), state };
    commit(&bed.store, suspend(OrganizationState::Suspended)).await.unwrap();
    assert_eq!(by(store, 1, change(12)).await, not_good(Unusable::Suspended));
    commit(&bed.store, suspend(OrganizationState::Active)).await.unwrap();
    by(store, 1, change(11)).await.unwrap();
    let before = store.revision().await.unwrap();
    commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    assert_eq!(by(store, 1, change(12)).await, not_good(Unusable::Revoked));
    assert_eq!(store.revision().await.unwrap(), before.next());
}

pub(crate) async fn a_key_belongs_to_one_organization_unless_it_operates(bed: Bed) {
    let store = &*bed.store;
    owner(store, 1, "org").await;
    let eve = owner(store, 2, "second").await;
    let everything = ["organization:write", "members:write", "keys:write", "requests:decide"];
    let foreign = |number, permissions: &[&str]| {
        granted(number, permissions, |key| key.organization = organization_id("second"))
    };
    commit(&bed.store, foreign(1, &everything)).await.unwrap();
    commit(&bed.store, foreign(2, &["operate"])).await.unwrap();
    commit(
        &bed.store,
        granted(3, &["operate"], |key| {
            (key.organization, key.owner) = (organization_id("second"), Some(eve.id));
        }),
    )
    .await
    .unwrap();
    commit(&bed.store, creation(4)).await.unwrap();
    for number in [1, 3] {
        let state = by(store, number, state(4, KeyState::Revoked)).await;
        assert_eq!(state, Err(StoreError::NoSuchKey(key_id(4))));
        let missing = Err(StoreError::NoSuchOrganization(organization_id("org")));
        assert_eq!(by(store, number, creation(5)).await, missing);
        let create = Change::CreateOrganization(organization("third"));
        assert_eq!(by(store, number, create).await, Err(StoreError::NotAllowed(None)));
    }
    by(store, 2, creation(5)).await.unwrap();
    by(store, 2, Change::CreateOrganization(organization("third"))).await.unwrap();
    by(store, 2, invite(9, Role::Owner)).await.unwrap();
}

pub(crate) async fn who_hands_out_a_management_key_has_what_it_may(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store, 1, "org").await;
    let owned = |number, permissions: &[&str], end| {
        granted(number, permissions, |key| {
            (key.owner, key.expires_at) = (Some(ada.id), end);
        })
    };
    commit(&bed.store, owned(1, &["organization:write"], None)).await.unwrap();
    commit(&bed.store, owned(2, &["keys:write"], Some(later(60)))).await.unwrap();
    let hers = |change| {
        let actor = Actor::person(&ada, Interface::ManagementApi);
        async move { store.commit(&actor, NOW, change).await }
    };
    assert_eq!(hers(owned(3, &["operate"], None)).await, refused(Right::Operate));
    hers(owned(3, &["members:write"], None)).await.unwrap();

    let rotate = |number, new| Change::RotateKey {
        key: key_id(number),
        secret: secret_of(new, number),
        old_expires_at: NOW,
    };
    commit(&bed.store, state(1, KeyState::Disabled)).await.unwrap();
    for change in [
        owned(4, &["organization:write"], Some(later(60))),
        rotate(1, 21),
        state(1, KeyState::Active),
    ] {
        let lacking = by(store, 2, change).await;
        assert!(matches!(lacking, Err(StoreError::NotAllowed(Some(_)))), "{lacking:?}");
    }
    let longer = by(store, 2, owned(4, &["keys:read"], None)).await;
    assert!(matches!(longer, Err(StoreError::Invalid { .. })), "{longer:?}");
    by(store, 2, owned(4, &["keys:read"], Some(later(60)))).await.unwrap();
    by(store, 2, rotate(2, 22)).await.unwrap();

    // To make more of one that is there.
    let update = |number, with: fn(&mut KeyUpdate)| {
        let mut update = KeyUpdate::default();
        with(&mut update);
        Change::UpdateKey { key: key_id(number), update: Box::new(update), seen: None }
    };
    let more = update(4, |key| key.permissions = Some(vec!["members:write".to_owned()]));
    assert_eq!(by(store, 2, more).await, refused(Right::ReadMembers));
    for longer in [2, 4] {
        let longer = by(store, 2, update(longer, |key| key.expires_at = Some(None))).await;
        assert!(matches!(longer, Err(StoreError::Invalid { .. })), "{longer:?}");
    }
    let nobodys = update(4, |key| key.owner = Some(None));
    assert_eq!(by(store, 2, nobodys.clone()).await, refused(Right::Operate));
    assert_eq!(hers(nobodys).await, refused(Right::Operate));
    by(store, 2, update(4, |key| key.name = Some("renamed".to_owned()))).await.unwrap();
    by(store, 2, update(1, |key| key.name = Some("renamed too".to_owned()))).await.unwrap();
    by(store, 2, update(4, |key| key.permissions = Some(vec!["keys:own".to_owned()])))
        .await
        .unwrap();
    // To end one takes no more than the right to its keys.
    by(store, 2, state(1, KeyState::Revoked)).await.unwrap();
}
