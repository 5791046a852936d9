//! Accounts elsewhere by which people log in.

use keyward_core::{
    id::{InvitationId, SessionId, UserId},
    member::{Role, User},
};
use keyward_store::{
    Actor, AuditFilter, Change, Identity, Interface, Invitation, InvitationState, InvitedAs, Page,
    PasswordHash, PeopleChange, Revision, Session, Store, StoreError, TokenDigest,
};

use super::{Bed, NOW, actor, later, organization, organization_id};

fn user(number: u8, email: &str) -> User {
    User {
        id: UserId::from_bits([number; 16]),
        email: email.parse().unwrap(),
        name: format!("Person {number}"),
        operator: false,
        created_at: NOW,
    }
}

fn identity(issuer: &str, subject: &str) -> Identity {
    Identity { issuer: issuer.to_owned(), subject: subject.to_owned() }
}

const ISSUER: &str = "https://login.example.com";

async fn change(store: &dyn Store, change: PeopleChange) -> Result<Revision, StoreError> {
    let visitor = Actor::visitor("203.0.113.7", Interface::ManagementApi);
    store.commit(&visitor, NOW, Change::People(change)).await
}

/// A person who signed up, and owns `org`.
async fn owner(store: &dyn Store) -> User {
    let ada = user(1, "ada@example.com");
    let password = PasswordHash::new("hash of ada".to_owned());
    let organization = organization("org");
    change(store, PeopleChange::SignUp { user: ada.clone(), password, organization })
        .await
        .unwrap();
    ada
}

fn link(user: &User, identity: Identity) -> PeopleChange {
    PeopleChange::LinkIdentity { user: user.id, identity }
}

async fn invite(store: &dyn Store, number: u8, email: &str, to: InvitedAs) -> Invitation {
    let invitation = Invitation {
        id: InvitationId::from_bits([number; 16]),
        email: email.parse().unwrap(),
        to,
        token: TokenDigest::from_bytes([number; 32]),
        invited_by: None,
        created_at: NOW,
        expires_at: later(3600),
        state: InvitationState::Open,
    };
    let change = Change::People(PeopleChange::Invite(invitation.clone()));
    store.commit(&actor(), NOW, change).await.unwrap();
    invitation
}

fn into_org(role: Role) -> InvitedAs {
    InvitedAs::Member { organization: organization_id("org"), role }
}

pub(crate) async fn a_person_is_found_by_the_issuers_name_for_them(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    let here = identity(ISSUER, "a-1");
    assert_eq!(store.user_by_identity(&here).await.unwrap(), None);
    change(store, link(&ada, here.clone())).await.unwrap();
    assert_eq!(store.user_by_identity(&here).await.unwrap().unwrap().user, ada);
    assert_eq!((bed.again)().user_by_identity(&here).await.unwrap().unwrap().user, ada);
    for other in [identity(ISSUER, "a-2"), identity(ISSUER, "A-1"), identity("https://b", "a-1")] {
        assert_eq!(store.user_by_identity(&other).await.unwrap(), None);
    }
    // One account of an issuer is one person's, and a person has one account there.
    let bob = user(2, "bob@example.com");
    let sign_up = PeopleChange::SignUp {
        user: bob.clone(),
        password: PasswordHash::new("hash".to_owned()),
        organization: organization("second"),
    };
    change(store, sign_up).await.unwrap();
    for (who, identity) in [(&bob, here.clone()), (&ada, identity(ISSUER, "a-2"))] {
        let refused = change(store, link(who, identity)).await;
        let (email, issuer) = (who.email.clone(), ISSUER.to_owned());
        assert_eq!(refused, Err(StoreError::LinkedOtherwise { email, issuer }));
    }
    change(store, link(&ada, identity("https://b", "a-1"))).await.unwrap();
    for wrong in [identity(ISSUER, ""), identity("", "x"), identity(ISSUER, &"x".repeat(256))] {
        let refused = change(store, link(&bob, wrong)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    let nobody = user(9, "nobody@example.com");
    let refused = change(store, link(&nobody, identity(ISSUER, "n"))).await;
    assert_eq!(refused, Err(StoreError::NoSuchUser(nobody.id)));
    let page = Page { after: None, limit: 1 };
    let told = &store.audit(&AuditFilter::default(), page).await.unwrap()[0];
    assert_eq!(told.action, "user.link_identity");
}

pub(crate) async fn who_was_invited_comes_by_an_account_elsewhere(bed: Bed) {
    let store = &*bed.store;
    owner(store).await;
    let email = "bob@example.com";
    let sent = invite(store, 2, email, into_org(Role::Developer)).await;
    let operators = invite(store, 3, email, InvitedAs::Operator).await;
    let address = email.parse().unwrap();
    let open: Vec<_> =
        store.invitations_for(&address).await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(open, [sent.id, operators.id]);

    // Whoever comes has the address that was invited, whatever the change says.
    let newcomer = user(2, "somebody.else@example.com");
    let identity = identity(ISSUER, "b-1");
    let accept = |invitation| PeopleChange::AcceptByIdentity {
        invitation,
        newcomer: newcomer.clone(),
        identity: identity.clone(),
    };
    let missing = InvitationId::from_bits([77; 16]);
    for refused in [operators.id, missing] {
        assert_eq!(change(store, accept(refused)).await, Err(StoreError::UnknownToken));
    }
    let visitor = Actor::visitor("203.0.113.7", Interface::ManagementApi);
    let late = store.commit(&visitor, later(3600), Change::People(accept(sent.id))).await;
    assert_eq!(late, Err(StoreError::UnknownToken));
    let operator = PeopleChange::AcceptByIdentity {
        invitation: sent.id,
        newcomer: User { operator: true, ..newcomer.clone() },
        identity: identity.clone(),
    };
    assert!(matches!(change(store, operator).await, Err(StoreError::Invalid { .. })));

    change(store, accept(sent.id)).await.unwrap();
    let bob = store.user_by_identity(&identity).await.unwrap().unwrap();
    assert_eq!((bob.user.email.as_str(), bob.password), (email, None));
    assert_eq!(bob.memberships[0].role, Role::Developer);
    assert_eq!(change(store, accept(sent.id)).await, Err(StoreError::UnknownToken));
    let open = store.invitations_for(&address).await.unwrap();
    assert_eq!(open.iter().map(|one| one.id).collect::<Vec<_>>(), [operators.id]);
}

pub(crate) async fn who_is_enrolled_becomes_a_member_and_nothing_more(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    let enrol = |newcomer: &User, organization: &str, subject: &str| PeopleChange::Enrol {
        newcomer: newcomer.clone(),
        identity: identity(ISSUER, subject),
        organization: organization_id(organization),
        role: Role::Viewer,
    };
    let new = user(2, "new@example.com");
    let nowhere = change(store, enrol(&new, "nowhere", "n-1")).await;
    assert_eq!(nowhere, Err(StoreError::NoSuchOrganization(organization_id("nowhere"))));
    let operator = User { operator: true, ..new.clone() };
    assert!(matches!(
        change(store, enrol(&operator, "org", "n-1")).await,
        Err(StoreError::Invalid { .. })
    ));
    let taken = User { email: ada.email.clone(), ..new.clone() };
    assert_eq!(
        change(store, enrol(&taken, "org", "n-1")).await,
        Err(StoreError::EmailTaken(ada.email))
    );
    assert_eq!(store.user(new.id).await.unwrap(), None, "what is refused leaves nothing");
    change(store, enrol(&new, "org", "n-1")).await.unwrap();
    let known = store.user_by_identity(&identity(ISSUER, "n-1")).await.unwrap().unwrap();
    assert_eq!((known.user, known.password), (new, None));
    assert_eq!(known.memberships[0].role, Role::Viewer);
}

pub(crate) async fn a_password_that_is_maybe_somebody_elses_goes_with_the_first_proof(bed: Bed) {
    let store = &*bed.store;
    let ada = owner(store).await;
    // Bob showed that he reads his mail, by the token that was sent there.
    let sent = invite(store, 2, "bob@example.com", into_org(Role::Viewer)).await;
    let bob = user(2, "bob@example.com");
    let password = PasswordHash::new("hash of bob".to_owned());
    let newcomer = Some((bob.clone(), password.clone()));
    change(store, PeopleChange::AcceptInvitation { token: sent.token, newcomer }).await.unwrap();
    for (number, of) in [(1, &ada), (2, &bob)] {
        let session = Session {
            id: SessionId::from_bits([number; 16]),
            user: of.id,
            token: TokenDigest::from_bytes([number; 32]),
            device: "a test".to_owned(),
            from: "203.0.113.7".parse().unwrap(),
            created_at: NOW,
            expires_at: later(600),
            last_used_at: None,
        };
        change(store, PeopleChange::StartSession(session)).await.unwrap();
        change(store, link(of, identity(ISSUER, &number.to_string()))).await.unwrap();
    }
    let kept = async |of: &User| {
        let known = store.user(of.id).await.unwrap().unwrap();
        (known.password, store.sessions(of.id).await.unwrap().len())
    };
    assert_eq!(kept(&ada).await, (None, 0));
    assert_eq!(kept(&bob).await, (Some(password.clone()), 1));
    // Once proven it stays so.
    let set = PeopleChange::SetPassword { user: ada.id, password: password.clone(), keeping: None };
    store.commit(&actor(), NOW, Change::People(set)).await.unwrap();
    change(store, link(&ada, identity("https://b", "1"))).await.unwrap();
    assert_eq!(kept(&ada).await, (Some(password), 0));
}
