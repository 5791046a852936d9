//! People: who may log in, where they belong, and the tokens that open a door.

use keyward_core::{
    id::{InvitationId, SessionId, UserId},
    key::KeyState,
    member::{Right, Role, User},
    organization::OrganizationState,
    time::Timestamp,
};
use keyward_store::{
    Actor, AuditFilter, Change, Feed, Interface, Invitation, InvitationState, InvitedAs, KeyFilter,
    Page, PasswordHash, PeopleChange, Revision, Session, Store, StoreError, Subject, TokenDigest,
};

use super::{Bed, NOW, actor, key, later, models, organization, organization_id, secret};

fn user(number: u8, email: &str) -> User {
    User {
        id: UserId::from_bits([number; 16]),
        email: email.parse().unwrap(),
        name: format!("Person {number}"),
        operator: false,
        created_at: NOW,
    }
}

fn hash(text: &str) -> PasswordHash {
    PasswordHash::new(text.to_owned())
}

fn token(number: u8) -> TokenDigest {
    TokenDigest::from_bytes([number; 32])
}

async fn change(store: &dyn Store, change: PeopleChange) -> Result<Revision, StoreError> {
    at(store, NOW, change).await
}

async fn at(
    store: &dyn Store,
    at: Timestamp,
    change: PeopleChange,
) -> Result<Revision, StoreError> {
    store.commit(&actor(), at, Change::People(change)).await
}

/// A person who owns organization `org`.
async fn owner(store: &dyn Store) -> User {
    let ada = user(1, "ada@example.com");
    let password = hash("hash of ada");
    let organization = organization("org");
    let sign_up = PeopleChange::SignUp { user: ada.clone(), password, organization };
    change(store, sign_up).await.unwrap();
    ada
}

fn invitation(number: u8, email: &str, role: Role) -> Invitation {
    Invitation {
        id: InvitationId::from_bits([number; 16]),
        email: email.parse().unwrap(),
        to: InvitedAs::Member { organization: organization_id("org"), role },
        token: token(number),
        invited_by: Some(UserId::from_bits([1; 16])),
        created_at: NOW,
        expires_at: later(3600),
        state: InvitationState::Open,
    }
}

/// Somebody else in `org`.
async fn member(store: &dyn Store, number: u8, role: Role) -> User {
    let newcomer = user(number, &format!("person{number}@example.com"));
    let sent = invitation(number, newcomer.email.as_str(), role);
    change(store, PeopleChange::Invite(sent)).await.unwrap();
    let accept = PeopleChange::AcceptInvitation {
        token: token(number),
        newcomer: Some((newcomer.clone(), hash("hash"))),
    };
    change(store, accept).await.unwrap();
    newcomer
}

fn session(number: u8, of: &User) -> Session {
    Session {
        id: SessionId::from_bits([number; 16]),
        user: of.id,
        token: token(number),
        device: "a test".to_owned(),
        from: "203.0.113.7".parse().unwrap(),
        created_at: NOW,
        expires_at: later(600),
        last_used_at: None,
    }
}

pub(crate) async fn the_setup_token_makes_one_operator_once(bed: Bed) {
    let store = &*bed.store;
    assert!(!store.has_operator().await.unwrap());
    assert_eq!(store.operators().await.unwrap(), []);
    let operator = User { operator: true, ..user(1, "ops@example.com") };
    let set_up = |number, user: &User| PeopleChange::SetUp {
        token: token(number),
        user: user.clone(),
        password: hash("hash"),
    };
    let offer = |number| PeopleChange::OfferSetup { token: token(number), expires_at: later(3600) };
    assert_eq!(change(store, set_up(7, &operator)).await, Err(StoreError::UnknownToken));
    change(store, offer(7)).await.unwrap();
    change(store, offer(8)).await.unwrap();
    for (number, when) in [(7, NOW), (9, NOW), (8, later(3600))] {
        let refused = at(store, when, set_up(number, &operator)).await;
        assert_eq!(refused, Err(StoreError::UnknownToken), "{number}");
    }
    let no_operator = set_up(8, &user(1, "ops@example.com"));
    assert!(matches!(change(store, no_operator).await, Err(StoreError::Invalid { .. })));
    change(store, set_up(8, &operator)).await.unwrap();
    assert!(store.has_operator().await.unwrap());
    assert_eq!(store.operators().await.unwrap(), std::slice::from_ref(&operator));
    let known = store.user_by_email(&operator.email).await.unwrap().unwrap();
    assert_eq!((known.user, known.password), (operator.clone(), Some(hash("hash"))));
    for again in [set_up(8, &operator), offer(9)] {
        assert_eq!(change(store, again).await, Err(StoreError::SetUpAlready));
    }
}

pub(crate) async fn who_signs_up_owns_an_organization_of_their_own(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    let known = store.user(ada.id).await.unwrap().unwrap();
    assert_eq!(known.user, ada);
    let places: Vec<_> =
        known.memberships.iter().map(|place| (place.organization.as_str(), place.role)).collect();
    assert_eq!(places, [("org", Role::Owner)]);
    assert!(store.organization(&organization_id("org")).await.unwrap().is_some());
    let again = PeopleChange::SignUp {
        user: user(2, "ADA@example.com"),
        password: hash("hash"),
        organization: organization("second"),
    };
    assert_eq!(change(store, again).await, Err(StoreError::EmailTaken(ada.email)));
    assert!(store.organization(&organization_id("second")).await.unwrap().is_none());
    let operator = PeopleChange::SignUp {
        user: User { operator: true, ..user(3, "mallory@example.com") },
        password: hash("hash"),
        organization: organization("third"),
    };
    assert!(matches!(change(store, operator).await, Err(StoreError::Invalid { .. })));
}

pub(crate) async fn a_session_is_found_by_its_token_until_it_is_ended(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    for number in [10, 11, 12] {
        change(store, PeopleChange::StartSession(session(number, &ada))).await.unwrap();
    }
    let (found, of) = store.session(&token(10)).await.unwrap().unwrap();
    assert_eq!((found, of.user.id), (session(10, &ada), ada.id));
    assert!(store.session(&token(99)).await.unwrap().is_none());

    let used = vec![(SessionId::from_bits([10; 16]), later(60))];
    let before = store.revision().await.unwrap();
    store.touch_sessions(used).await.unwrap();
    store.touch_sessions(vec![(SessionId::from_bits([10; 16]), NOW)]).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), before, "to be used is no change");
    let (found, _) = store.session(&token(10)).await.unwrap().unwrap();
    assert_eq!(found.last_used_at, Some(later(60)));

    let end = |session| PeopleChange::EndSession { user: ada.id, session };
    change(store, end(Some(SessionId::from_bits([10; 16])))).await.unwrap();
    assert!(store.session(&token(10)).await.unwrap().is_none());
    let left: Vec<_> = store.sessions(ada.id).await.unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(left, [SessionId::from_bits([12; 16]), SessionId::from_bits([11; 16])]);
    change(store, end(None)).await.unwrap();
    assert!(store.sessions(ada.id).await.unwrap().is_empty());
    let before = store.revision().await.unwrap();
    assert_eq!(change(store, end(None)).await.unwrap(), before);
}

pub(crate) async fn a_new_password_ends_the_other_sessions(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    for number in [10, 11] {
        change(store, PeopleChange::StartSession(session(number, &ada))).await.unwrap();
    }
    let set = PeopleChange::SetPassword {
        user: ada.id,
        password: hash("another"),
        keeping: Some(SessionId::from_bits([11; 16])),
    };
    change(store, set).await.unwrap();
    let known = store.user(ada.id).await.unwrap().unwrap();
    assert_eq!(known.password, Some(hash("another")));
    let left: Vec<_> = store.sessions(ada.id).await.unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(left, [SessionId::from_bits([11; 16])]);
    let nobody = UserId::from_bits([99; 16]);
    let of_nobody = PeopleChange::SetPassword { user: nobody, password: hash("x"), keeping: None };
    assert_eq!(change(store, of_nobody).await, Err(StoreError::NoSuchUser(nobody)));
}

pub(crate) async fn an_invitation_opens_one_door_once(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    let sent = invitation(2, "bob@example.com", Role::Developer);
    change(store, PeopleChange::Invite(sent.clone())).await.unwrap();
    assert_eq!(store.invitation_by_token(&token(2)).await.unwrap(), Some(sent.clone()));
    let twice = PeopleChange::Invite(invitation(3, "bob@example.com", Role::Owner));
    assert_eq!(change(store, twice).await, Err(StoreError::AlreadyInvited(sent.email.clone())));
    let there = PeopleChange::Invite(invitation(3, ada.email.as_str(), Role::Viewer));
    assert_eq!(change(store, there).await, Err(StoreError::AlreadyMember(ada.email.clone())));

    let accept =
        |number, newcomer| PeopleChange::AcceptInvitation { token: token(number), newcomer };
    let bob = user(2, "somebody-else@example.com");
    let newcomer = || Some((bob.clone(), hash("bob's")));
    assert_eq!(change(store, accept(9, newcomer())).await, Err(StoreError::UnknownToken));
    assert_eq!(at(store, later(3600), accept(2, newcomer())).await, Err(StoreError::UnknownToken));
    let expected = Err(StoreError::NewcomerExpected(sent.email.clone()));
    assert_eq!(change(store, accept(2, None)).await, expected);
    change(store, accept(2, newcomer())).await.unwrap();
    assert_eq!(change(store, accept(2, newcomer())).await, Err(StoreError::UnknownToken));
    let known = store.user_by_email(&sent.email).await.unwrap().unwrap();
    assert_eq!(known.user.email, sent.email, "the invited address, whatever the newcomer says");
    assert_eq!(known.memberships.first().map(|place| place.role), Some(Role::Developer));
    assert_eq!(
        change(store, PeopleChange::WithdrawInvitation(sent.id)).await,
        Err(StoreError::AlreadyAccepted(sent.id))
    );

    // To a second organization, as somebody who is known here.
    let create = Change::CreateOrganization(organization("second"));
    store.commit(&actor(), NOW, create).await.unwrap();
    let to = InvitedAs::Member { organization: organization_id("second"), role: Role::Viewer };
    let second =
        Invitation { to, invited_by: None, ..invitation(4, sent.email.as_str(), Role::Viewer) };
    change(store, PeopleChange::Invite(second)).await.unwrap();
    change(store, accept(4, None)).await.unwrap();
    let known = store.user_by_email(&sent.email).await.unwrap().unwrap();
    assert_eq!(known.memberships.len(), 2);
}

pub(crate) async fn an_invitation_can_be_taken_back_and_its_end_makes_room(bed: Bed) {
    let store = &*bed.store;
    owner(store).await;
    let sent = invitation(2, "bob@example.com", Role::Developer);
    change(store, PeopleChange::Invite(sent.clone())).await.unwrap();
    change(store, PeopleChange::WithdrawInvitation(sent.id)).await.unwrap();
    let accept = PeopleChange::AcceptInvitation {
        token: token(2),
        newcomer: Some((user(2, "bob@example.com"), hash("hash"))),
    };
    assert_eq!(change(store, accept).await, Err(StoreError::UnknownToken));
    change(store, PeopleChange::Invite(invitation(3, "bob@example.com", Role::Viewer)))
        .await
        .unwrap();
    let after_its_end = Invitation {
        created_at: later(3600),
        expires_at: later(7200),
        ..invitation(4, "bob@example.com", Role::Viewer)
    };
    at(store, later(3600), PeopleChange::Invite(after_its_end)).await.unwrap();
    let states: Vec<_> = store
        .invitations(Some(&organization_id("org")))
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.state)
        .collect();
    use InvitationState::{Open, Withdrawn};
    assert_eq!(states, [Open, Withdrawn, Withdrawn]);
    assert!(store.invitations(None).await.unwrap().is_empty());
    let nothing = InvitationId::from_bits([99; 16]);
    assert_eq!(
        change(store, PeopleChange::WithdrawInvitation(nothing)).await,
        Err(StoreError::NoSuchInvitation(nothing))
    );
}

pub(crate) async fn an_organization_invites_so_many_in_a_day_and_no_more(bed: Bed) {
    let store = &*bed.store;
    owner(store).await;
    let sent = |number: u8, when| Invitation {
        id: InvitationId::from_bits([number; 16]),
        created_at: when,
        expires_at: later(30 * 24 * 3600),
        ..invitation(number, &format!("person{number}@example.com"), Role::Viewer)
    };
    for number in 1..=100 {
        change(store, PeopleChange::Invite(sent(number, NOW))).await.unwrap();
    }
    // Taking one back makes no room: its mail was sent.
    change(store, PeopleChange::WithdrawInvitation(sent(1, NOW).id)).await.unwrap();
    let soon = later(24 * 3600 - 1);
    let full =
        Err(StoreError::TooManyInvitations { organization: organization_id("org"), most: 100 });
    assert_eq!(at(store, soon, PeopleChange::Invite(sent(101, soon))).await, full);
    let operators = Invitation { to: InvitedAs::Operator, ..sent(102, soon) };
    at(store, soon, PeopleChange::Invite(operators)).await.unwrap();
    let tomorrow = later(24 * 3600);
    at(store, tomorrow, PeopleChange::Invite(sent(101, tomorrow))).await.unwrap();
}

pub(crate) async fn an_organization_keeps_an_owner(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    let bob = member(store, 2, Role::Administrator).await;
    let role = |user: &User, role| PeopleChange::SetRole {
        organization: organization_id("org"),
        user: user.id,
        role,
    };
    let remove = |user: &User| PeopleChange::RemoveMember {
        organization: organization_id("org"),
        user: user.id,
    };
    let last = Err(StoreError::LastOwner(organization_id("org")));
    assert_eq!(change(store, role(&ada, Role::Viewer)).await, last);
    assert_eq!(change(store, remove(&ada)).await, last);
    let before = store.revision().await.unwrap();
    assert_eq!(change(store, role(&ada, Role::Owner)).await.unwrap(), before);
    change(store, role(&bob, Role::Owner)).await.unwrap();
    change(store, role(&ada, Role::Developer)).await.unwrap();
    change(store, remove(&ada)).await.unwrap();
    let members = store.members(&organization_id("org")).await.unwrap();
    let members: Vec<_> = members.iter().map(|(who, place)| (who.id, place.role)).collect();
    assert_eq!(members, [(bob.id, Role::Owner)]);
    let gone = StoreError::NoSuchMember { organization: organization_id("org"), user: ada.id };
    assert_eq!(change(store, remove(&ada)).await, Err(gone));
}

pub(crate) async fn a_key_is_as_good_as_its_owners_role(bed: Bed) {
    let store = &*bed.store;
    owner(store).await;
    let bob = member(store, 2, Role::Developer).await;
    let eve = member(store, 3, Role::Viewer).await;
    let create = |number, owner| {
        let key = keyward_core::key::Key { owner: Some(owner), ..key(number) };
        Change::CreateKey { key, secret: secret(number), most_active: None }
    };
    let viewer = store.commit(&actor(), NOW, create(1, eve.id)).await;
    assert!(matches!(viewer, Err(StoreError::Invalid { .. })), "{viewer:?}");
    let stranger = UserId::from_bits([99; 16]);
    let nobody = store.commit(&actor(), NOW, create(1, stranger)).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchMember { .. })), "{nobody:?}");
    store.commit(&actor(), NOW, create(1, bob.id)).await.unwrap();

    let held = || async { store.key(key(1).id).await.unwrap().unwrap() };
    use keyward_core::key::KeyState::{Active, Disabled};
    assert_eq!(held().await.in_force().state, Active);
    let role =
        |role| PeopleChange::SetRole { organization: organization_id("org"), user: bob.id, role };
    let before = store.revision().await.unwrap();
    change(store, role(Role::Viewer)).await.unwrap();
    assert_eq!((held().await.in_force().state, held().await.key.state), (Disabled, Active));
    let Feed::Entries(told) = store.changes_since(before, 10).await.unwrap() else {
        panic!("a gap");
    };
    let subjects: Vec<_> = told.into_iter().map(|entry| entry.subject).collect();
    assert_eq!(subjects, [Subject::Member(organization_id("org"), bob.id)]);
    change(store, role(Role::Owner)).await.unwrap();
    assert_eq!(held().await.in_force().state, Active);
    let filter = KeyFilter { owner: Some(bob.id), ..KeyFilter::default() };
    assert_eq!(store.keys(&filter, Page::first(10)).await.unwrap(), [held().await]);
    let remove = PeopleChange::RemoveMember { organization: organization_id("org"), user: bob.id };
    change(store, remove).await.unwrap();
    assert_eq!((held().await.in_force().state, held().await.owner_role), (Disabled, None));
}

pub(crate) async fn no_token_and_no_password_is_told_of(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    member(store, 2, Role::Developer).await;
    change(store, PeopleChange::StartSession(session(10, &ada))).await.unwrap();
    let entries = store.audit(&AuditFilter::default(), Page::first(100)).await.unwrap();
    assert_eq!(entries.len(), 4);
    let told = format!("{entries:?}");
    for hidden in ["hash", "0a0a0a", "10, 10", "TokenDigest"] {
        assert!(!told.contains(hidden), "{hidden} in {told}");
    }
}

/// Does a change as somebody who logged in.
async fn by(store: &dyn Store, who: &User, change: Change) -> Result<Revision, StoreError> {
    store.commit(&Actor::person(who, Interface::ManagementApi), NOW, change).await
}

fn key_of(number: u64, owner: &User) -> Change {
    let key = keyward_core::key::Key { owner: Some(owner.id), ..key(number) };
    Change::CreateKey { key, secret: secret(number), most_active: None }
}

pub(crate) async fn what_a_person_may_is_looked_up_when_a_change_is_done(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    let admin = member(store, 2, Role::Administrator).await;
    let dev = member(store, 3, Role::Developer).await;
    let org = || organization_id("org");
    let revoke = |number| Change::SetKeyState { key: key(number).id, state: KeyState::Revoked };
    let people = Change::People;
    let role = |user: &User, role| {
        people(PeopleChange::SetRole { organization: org(), user: user.id, role })
    };
    let refused = |right| Err(StoreError::NotAllowed(Some(right)));

    by(store, &dev, key_of(1, &dev)).await.unwrap();
    assert_eq!(by(store, &dev, key_of(2, &admin)).await, refused(Right::WriteKeys));
    let nobodys = Change::CreateKey { key: key(2), secret: secret(2), most_active: None };
    assert_eq!(by(store, &dev, nobodys).await, refused(Right::WriteKeys));
    by(store, &admin, key_of(2, &admin)).await.unwrap();
    assert_eq!(by(store, &dev, revoke(2)).await, refused(Right::WriteKeys));
    let retire = |number| Change::RetireSecret { secret: secret(number).id, at: NOW, force: true };
    assert_eq!(by(store, &dev, retire(2)).await, refused(Right::WriteKeys));

    assert_eq!(by(store, &dev, role(&dev, Role::Owner)).await, refused(Right::WriteMembers));
    assert_eq!(by(store, &admin, role(&admin, Role::Owner)).await, refused(Right::WriteMembers));
    assert_eq!(by(store, &admin, role(&ada, Role::Viewer)).await, refused(Right::WriteMembers));
    let invite =
        |number, role| people(PeopleChange::Invite(invitation(number, "new@example.com", role)));
    assert_eq!(by(store, &admin, invite(9, Role::Owner)).await, refused(Right::WriteMembers));
    by(store, &admin, invite(9, Role::Administrator)).await.unwrap();
    let suspend =
        Change::SetOrganizationState { organization: org(), state: OrganizationState::Suspended };
    assert_eq!(by(store, &ada, suspend.clone()).await, Err(StoreError::NotAllowed(None)));
    let models = Change::UpdateOrganization {
        organization: org(),
        update: models(Some(vec![])),
        seen: None,
    };
    assert_eq!(by(store, &admin, models.clone()).await, refused(Right::WriteOrganization));
    by(store, &ada, models).await.unwrap();
    let password = |user: &User| {
        let password = hash("x");
        people(PeopleChange::SetPassword { user: user.id, password, keeping: None })
    };
    assert_eq!(by(store, &ada, password(&dev)).await, Err(StoreError::NotAllowed(None)));
    by(store, &dev, password(&dev)).await.unwrap();

    // Lowered, they have lost it at once, whatever was looked up before; and who is nobody has nothing.
    by(store, &ada, role(&admin, Role::Viewer)).await.unwrap();
    assert_eq!(by(store, &admin, revoke(1)).await, refused(Right::WriteKeys));
    assert_eq!(by(store, &admin, revoke(2)).await, refused(Right::WriteOwnKeys));
    let visitor = Actor::visitor("somebody", Interface::ManagementApi);
    let unknown = store.commit(&visitor, NOW, revoke(1)).await;
    assert_eq!(unknown, Err(StoreError::NotAllowed(None)));
    // Anybody may leave.
    let leave = PeopleChange::RemoveMember { organization: org(), user: dev.id };
    by(store, &dev, people(leave)).await.unwrap();

    // Operators may everything, as long as they are.
    let operator = User { operator: true, ..user(8, "ops@example.com") };
    let pretended = by(store, &operator, suspend.clone()).await;
    assert_eq!(pretended, Err(StoreError::NotAllowed(None)));
    let to_operators = Invitation {
        to: InvitedAs::Operator,
        invited_by: None,
        ..invitation(8, operator.email.as_str(), Role::Viewer)
    };
    change(store, PeopleChange::Invite(to_operators)).await.unwrap();
    let accept = PeopleChange::AcceptInvitation {
        token: token(8),
        newcomer: Some((User { operator: false, ..operator.clone() }, hash("hash"))),
    };
    change(store, accept).await.unwrap();
    by(store, &operator, suspend).await.unwrap();
}

pub(crate) async fn who_belongs_elsewhere_is_told_that_nothing_is_there(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    by(store, &ada, key_of(1, &ada)).await.unwrap();
    let sent = invitation(9, "new@example.com", Role::Viewer);
    change(store, PeopleChange::Invite(sent.clone())).await.unwrap();
    let eve = user(5, "eve@example.com");
    let sign_up = PeopleChange::SignUp {
        user: eve.clone(),
        password: hash("hash"),
        organization: organization("second"),
    };
    change(store, sign_up).await.unwrap();

    let (there, nowhere) = (key(1), key(77));
    for (id, secret_id) in [(there.id, secret(1).id), (nowhere.id, secret(77).id)] {
        let state = Change::SetKeyState { key: id, state: KeyState::Revoked };
        assert_eq!(by(store, &eve, state).await, Err(StoreError::NoSuchKey(id)));
        let retire = Change::RetireSecret { secret: secret_id, at: NOW, force: true };
        assert_eq!(by(store, &eve, retire).await, Err(StoreError::NoSuchSecret(secret_id)));
    }
    for id in [sent.id, InvitationId::from_bits([77; 16])] {
        let withdraw = Change::People(PeopleChange::WithdrawInvitation(id));
        assert_eq!(by(store, &eve, withdraw).await, Err(StoreError::NoSuchInvitation(id)));
    }
    for name in ["org", "nowhere"] {
        let id = organization_id(name);
        let missing = Err(StoreError::NoSuchOrganization(id.clone()));
        let models = Change::UpdateOrganization {
            organization: id.clone(),
            update: models(None),
            seen: None,
        };
        assert_eq!(by(store, &eve, models).await, missing);
        let remove = PeopleChange::RemoveMember { organization: id.clone(), user: ada.id };
        assert_eq!(by(store, &eve, Change::People(remove)).await, missing);
        let to = InvitedAs::Member { organization: id.clone(), role: Role::Viewer };
        let invite = Invitation { to, ..invitation(10, "x@example.com", Role::Viewer) };
        let invite = Change::People(PeopleChange::Invite(invite));
        assert_eq!(by(store, &eve, invite).await, missing);
        let foreign = keyward_core::key::Key { organization: id, owner: Some(eve.id), ..key(2) };
        let create = Change::CreateKey { key: foreign, secret: secret(2), most_active: None };
        assert_eq!(by(store, &eve, create).await, missing);
    }
}
