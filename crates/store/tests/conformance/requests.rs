//! What is promised of key requests: who may ask, decide and claim, and that a key is exactly what was granted.

use keyward_core::{
    id::{InvitationId, KeyRequestId, UserId},
    key::Key,
    member::{Right, Role, User},
    time::Timestamp,
};
use keyward_store::{
    Actor, Change, Interface, Invitation, InvitationState, InvitedAs, KeyGrant, KeyRequest,
    KeyRequestChange, KeyRequestDecision, KeyRequestFilter, KeyRequestState, KeyTerms, Page,
    PasswordHash, PeopleChange, Revision, Store, StoreError, Subject, TokenDigest,
};

use super::{Bed, NOW, actor, creation, key, later, organization, organization_id, secret, trace};

const DAY: u64 = 24 * 3600;

fn person(number: u8) -> User {
    User {
        id: UserId::from_bits([number; 16]),
        email: format!("person{number}@example.com").parse().unwrap(),
        name: format!("Person {number}"),
        operator: false,
        created_at: NOW,
    }
}

/// A person in `org`, by an invitation.
async fn join(store: &dyn Store, number: u8, to: InvitedAs) -> User {
    let who = person(number);
    let token = TokenDigest::from_bytes([number; 32]);
    let invitation = Invitation {
        id: InvitationId::from_bits([number; 16]),
        email: who.email.clone(),
        to,
        token,
        invited_by: None,
        created_at: NOW,
        expires_at: later(3600),
        state: InvitationState::Open,
    };
    let newcomer = Some((who.clone(), PasswordHash::new("hash".to_owned())));
    let accept = PeopleChange::AcceptInvitation { token, newcomer };
    for change in [PeopleChange::Invite(invitation), accept] {
        store.commit(&actor(), NOW, Change::People(change)).await.unwrap();
    }
    who
}

async fn member(store: &dyn Store, number: u8, role: Role) -> User {
    join(store, number, InvitedAs::Member { organization: organization_id("org"), role }).await
}

/// An owner, two administrators, a developer, a viewer, somebody who belongs elsewhere, and an operator.
pub(crate) struct People {
    pub(crate) owner: User,
    pub(crate) admin: User,
    pub(crate) second_admin: User,
    pub(crate) dev: User,
    pub(crate) viewer: User,
    pub(crate) stranger: User,
    pub(crate) operator: User,
}

pub(crate) async fn people(store: &dyn Store) -> People {
    for id in ["org", "elsewhere"] {
        let create = Change::CreateOrganization(organization(id));
        store.commit(&actor(), NOW, create).await.unwrap();
    }
    let elsewhere =
        InvitedAs::Member { organization: organization_id("elsewhere"), role: Role::Owner };
    People {
        owner: member(store, 1, Role::Owner).await,
        admin: member(store, 2, Role::Administrator).await,
        second_admin: member(store, 3, Role::Administrator).await,
        dev: member(store, 4, Role::Developer).await,
        viewer: member(store, 5, Role::Viewer).await,
        stranger: join(store, 6, elsewhere).await,
        operator: join(store, 7, InvitedAs::Operator).await,
    }
}

fn id(number: u8) -> KeyRequestId {
    KeyRequestId::from_bits([number; 16])
}

fn terms() -> KeyTerms {
    KeyTerms {
        permissions: vec!["read".to_owned(), "write".to_owned()],
        lifetime_seconds: Some(30 * DAY),
        allowed_networks: vec!["10.0.0.0/8".parse().unwrap()],
        allowed_models: Some(vec!["small".to_owned(), "large".to_owned()]),
        limits: vec![],
    }
}

fn request(number: u8, of: &User) -> KeyRequest {
    KeyRequest {
        id: id(number),
        organization: organization_id("org"),
        requester: of.id,
        api: "api".parse().unwrap(),
        name: format!("request {number}"),
        environment: "staging".parse().unwrap(),
        reason: "nightly\njobs".to_owned(),
        asked: terms(),
        created_at: NOW,
        decide_until: later(30 * DAY),
        state: KeyRequestState::Open,
        decision: None,
        granted: None,
        key: None,
    }
}

fn grant() -> KeyGrant {
    let terms = KeyTerms {
        permissions: vec!["read".to_owned()],
        lifetime_seconds: Some(DAY),
        allowed_networks: vec!["10.1.0.0/16".parse().unwrap()],
        allowed_models: Some(vec!["small".to_owned()]),
        limits: vec![],
    };
    KeyGrant { terms, claim_until: later(7 * DAY) }
}

fn approve(number: u8) -> KeyRequestChange {
    KeyRequestChange::Approve { request: id(number), granted: grant(), note: None }
}

fn deny(number: u8) -> KeyRequestChange {
    KeyRequestChange::Deny { request: id(number), note: "not now".to_owned() }
}

/// The key that a request of `of` was granted, claimed at `at`.
fn granted_key(number: u8, of: &User, at: Timestamp) -> Key {
    let KeyTerms { permissions, allowed_networks, allowed_models, .. } = grant().terms;
    Key {
        name: format!("request {number}"),
        environment: "staging".parse().unwrap(),
        permissions,
        allowed_networks,
        allowed_models,
        created_at: at,
        expires_at: grant().terms.expires_at(at),
        owner: Some(of.id),
        ..key(u64::from(number))
    }
}

fn claim(number: u8, key: Key) -> KeyRequestChange {
    let secret = secret(u64::from(number));
    KeyRequestChange::Claim { request: id(number), key, secret, most_active: None }
}

async fn at(
    store: &dyn Store,
    at: Timestamp,
    who: &User,
    change: KeyRequestChange,
) -> Result<Revision, StoreError> {
    let actor = Actor::person(who, Interface::ManagementApi);
    store.commit(&actor, at, Change::KeyRequest(change)).await
}

async fn by(
    store: &dyn Store,
    who: &User,
    change: KeyRequestChange,
) -> Result<Revision, StoreError> {
    at(store, NOW, who, change).await
}

async fn on_the_machine(
    store: &dyn Store,
    change: KeyRequestChange,
) -> Result<Revision, StoreError> {
    store.commit(&actor(), NOW, Change::KeyRequest(change)).await
}

async fn ask(store: &dyn Store, number: u8, of: &User) {
    by(store, of, KeyRequestChange::Ask(request(number, of))).await.unwrap();
}

pub(crate) async fn a_request_is_approved_for_less_and_claimed_once(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    ask(store, 1, &people.dev).await;
    assert_eq!(store.key_request(id(1)).await.unwrap(), Some(request(1, &people.dev)));
    let approve = KeyRequestChange::Approve {
        request: id(1),
        granted: grant(),
        note: Some("for a day".to_owned()),
    };
    at(store, later(60), &people.admin, approve).await.unwrap();
    let approved = KeyRequest {
        state: KeyRequestState::Approved,
        decision: Some(KeyRequestDecision {
            by: Some(people.admin.id),
            at: later(60),
            note: Some("for a day".to_owned()),
        }),
        granted: Some(grant()),
        ..request(1, &people.dev)
    };
    assert_eq!(store.key_request(id(1)).await.unwrap(), Some(approved.clone()));

    let when = later(120);
    let granted = granted_key(1, &people.dev, when);
    at(store, when, &people.dev, claim(1, granted.clone())).await.unwrap();
    let claimed = KeyRequest { state: KeyRequestState::Claimed, key: Some(granted.id), ..approved };
    assert_eq!(store.key_request(id(1)).await.unwrap(), Some(claimed));
    let record = store.key(granted.id).await.unwrap().unwrap();
    assert_eq!((record.key, record.secrets), (granted.clone(), vec![secret(1)]));
    let (_, feed, audit) = trace(&bed.store).await;
    assert_eq!(feed.last().unwrap().subject, Subject::Key(granted.id), "to be loaded");
    let actions: Vec<_> = audit.iter().take(3).map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["key_request.claim", "key_request.approve", "key_request.create"]);
    assert!(!format!("{audit:?}").contains("kw_aaa"), "no hint of the secret");

    let closed = |state| StoreError::KeyRequestClosed { request: id(1), state };
    let again = Key { id: key(9).id, ..granted };
    let again = KeyRequestChange::Claim {
        request: id(1),
        key: again,
        secret: super::secret_of(9, 9),
        most_active: None,
    };
    assert_eq!(at(store, when, &people.dev, again).await, Err(closed("claimed")));
    assert_eq!(by(store, &people.admin, deny(1)).await, Err(closed("claimed")));
    let withdraw = KeyRequestChange::Withdraw(id(1));
    assert_eq!(by(store, &people.dev, withdraw).await, Err(closed("claimed")));
}

pub(crate) async fn a_request_ends_in_one_way(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    let closed = |number, state| Err(StoreError::KeyRequestClosed { request: id(number), state });
    for number in 1..=3 {
        ask(store, number, &people.dev).await;
    }
    by(store, &people.admin, deny(1)).await.unwrap();
    assert_eq!(by(store, &people.admin, approve(1)).await, closed(1, "denied"));
    assert_eq!(by(store, &people.admin, deny(1)).await, closed(1, "denied"));
    let key_of = |number| granted_key(number, &people.dev, NOW);
    assert_eq!(by(store, &people.dev, claim(1, key_of(1))).await, closed(1, "denied"));

    by(store, &people.dev, KeyRequestChange::Withdraw(id(2))).await.unwrap();
    let before = trace(&bed.store).await;
    by(store, &people.dev, KeyRequestChange::Withdraw(id(2))).await.unwrap();
    assert_eq!(trace(&bed.store).await, before, "withdrawn already");
    assert_eq!(by(store, &people.admin, approve(2)).await, closed(2, "withdrawn"));

    // An approval that nobody claimed can be taken back.
    assert_eq!(by(store, &people.dev, claim(3, key_of(3))).await, closed(3, "open"));
    by(store, &people.admin, approve(3)).await.unwrap();
    by(store, &people.second_admin, deny(3)).await.unwrap();
    assert_eq!(by(store, &people.dev, claim(3, key_of(3))).await, closed(3, "denied"));
    let none = KeyRequestChange::Withdraw(id(9));
    assert_eq!(by(store, &people.dev, none).await, Err(StoreError::NoSuchKeyRequest(id(9))));
}

pub(crate) async fn requests_and_approvals_grow_too_old(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    let closed = |number, state| Err(StoreError::KeyRequestClosed { request: id(number), state });
    ask(store, 1, &people.dev).await;
    ask(store, 2, &people.dev).await;
    let late = KeyRequestChange::Approve {
        request: id(1),
        granted: KeyGrant { claim_until: later(60 * DAY), ..grant() },
        note: None,
    };
    assert_eq!(at(store, later(30 * DAY), &people.admin, late).await, closed(1, "expired"));
    by(store, &people.admin, approve(2)).await.unwrap();
    let when = later(7 * DAY);
    let key = granted_key(2, &people.dev, when);
    assert_eq!(at(store, when, &people.dev, claim(2, key)).await, closed(2, "lapsed"));
    assert!(store.key(super::key_id(2)).await.unwrap().is_none());
}

pub(crate) async fn nothing_is_granted_that_was_not_asked(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    ask(store, 1, &people.dev).await;
    let asked = terms();
    for wider in [
        KeyTerms { lifetime_seconds: None, ..asked.clone() },
        KeyTerms { lifetime_seconds: Some(31 * DAY), ..asked.clone() },
        KeyTerms { allowed_networks: vec![], ..asked.clone() },
        KeyTerms { allowed_networks: vec!["11.0.0.0/8".parse().unwrap()], ..asked.clone() },
        KeyTerms { allowed_networks: vec!["0.0.0.0/0".parse().unwrap()], ..asked.clone() },
        KeyTerms { allowed_models: None, ..asked.clone() },
        KeyTerms { allowed_models: Some(vec!["huge".to_owned()]), ..asked.clone() },
    ] {
        let granted = KeyGrant { terms: wider.clone(), ..grant() };
        let approve = KeyRequestChange::Approve { request: id(1), granted, note: None };
        let refused = by(store, &people.admin, approve).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{wider:?}: {refused:?}");
    }
    let granted = KeyGrant { terms: asked, ..grant() };
    let approve = KeyRequestChange::Approve { request: id(1), granted, note: None };
    by(store, &people.admin, approve).await.unwrap();
    assert_eq!(store.key_request(id(1)).await.unwrap().unwrap().granted.unwrap().terms, terms());
}

pub(crate) async fn who_decides_adds_limits_and_takes_none_away(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    let limits = |amounts: &[u64]| -> Vec<keyward_core::limit::Limit> {
        let one = |(at, amount): (usize, &u64)| {
            format!(r#"{{"name":"l{at}","kind":"concurrency","amount":{amount}}}"#)
        };
        let all: Vec<String> = amounts.iter().enumerate().map(one).collect();
        serde_json::from_str(&format!("[{}]", all.join(","))).unwrap()
    };
    let request = KeyRequest {
        asked: KeyTerms { limits: limits(&[5]), ..terms() },
        ..request(1, &people.dev)
    };
    by(store, &people.dev, KeyRequestChange::Ask(request)).await.unwrap();
    let approve = |limits| {
        let terms = KeyTerms { limits, ..grant().terms };
        let granted = KeyGrant { terms, ..grant() };
        KeyRequestChange::Approve { request: id(1), granted, note: None }
    };
    for wider in [vec![], limits(&[6])] {
        let refused = by(store, &people.admin, approve(wider)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    by(store, &people.admin, approve(limits(&[4, 2]))).await.unwrap();
    let granted = granted_key(1, &people.dev, NOW);
    for other in [vec![], limits(&[4]), limits(&[5, 2])] {
        let other = Key { limits: other, ..granted.clone() };
        let refused = by(store, &people.dev, claim(1, other)).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    let key = Key { limits: limits(&[4, 2]), ..granted };
    by(store, &people.dev, claim(1, key.clone())).await.unwrap();
    assert_eq!(store.key(key.id).await.unwrap().unwrap().key.limits, limits(&[4, 2]));
}

pub(crate) async fn a_claimed_key_is_exactly_what_was_granted(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    ask(store, 1, &people.dev).await;
    by(store, &people.admin, approve(1)).await.unwrap();
    let granted = granted_key(1, &people.dev, NOW);
    for other in [
        Key { organization: organization_id("elsewhere"), ..granted.clone() },
        Key { api: "other".parse().unwrap(), ..granted.clone() },
        Key { owner: Some(people.admin.id), ..granted.clone() },
        Key { owner: None, ..granted.clone() },
        Key { name: "another".to_owned(), ..granted.clone() },
        Key { environment: "production".parse().unwrap(), ..granted.clone() },
        Key { permissions: terms().permissions, ..granted.clone() },
        Key { allowed_networks: vec![], ..granted.clone() },
        Key { allowed_models: None, ..granted.clone() },
        Key { expires_at: None, ..granted.clone() },
        Key { expires_at: Some(later(DAY + 1)), ..granted.clone() },
    ] {
        let refused = by(store, &people.dev, claim(1, other.clone())).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{other:?}: {refused:?}");
    }
    // Another key took the name meanwhile; a claim that fails leaves the request as it was.
    let taken = Change::CreateKey {
        key: Key { name: granted.name.clone(), ..key(8) },
        secret: secret(8),
        most_active: None,
    };
    store.commit(&actor(), NOW, taken).await.unwrap();
    let refused = by(store, &people.dev, claim(1, granted.clone())).await;
    assert!(matches!(refused, Err(StoreError::NameTaken { .. })), "{refused:?}");
    let full = KeyRequestChange::Claim {
        request: id(1),
        key: granted.clone(),
        secret: secret(1),
        most_active: Some(1),
    };
    store
        .commit(&actor(), NOW, super::state(8, keyward_core::key::KeyState::Revoked))
        .await
        .unwrap();
    store.commit(&actor(), NOW, creation(7)).await.unwrap();
    let refused = by(store, &people.dev, full).await;
    assert!(matches!(refused, Err(StoreError::TooManyKeys { .. })), "{refused:?}");
    let state = store.key_request(id(1)).await.unwrap().unwrap().state;
    assert_eq!(state, KeyRequestState::Approved);
    by(store, &people.dev, claim(1, granted)).await.unwrap();
}

pub(crate) async fn who_may_ask_decide_and_claim(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    let forbidden = |right| Err(StoreError::NotAllowed(Some(right)));
    let missing = |number| Err(StoreError::NoSuchKeyRequest(id(number)));
    let asking = |number, of: &User| KeyRequestChange::Ask(request(number, of));
    // To ask takes a role that holds keys, and nobody asks for another: operators and the machine neither.
    let viewer = by(store, &people.viewer, asking(1, &people.viewer)).await;
    assert_eq!(viewer, forbidden(Right::WriteOwnKeys));
    let stranger = by(store, &people.stranger, asking(1, &people.stranger)).await;
    assert_eq!(stranger, Err(StoreError::NoSuchOrganization(organization_id("org"))));
    let operator = by(store, &people.operator, asking(1, &people.operator)).await;
    assert!(matches!(operator, Err(StoreError::NoSuchMember { .. })), "{operator:?}");
    for who in [&people.owner, &people.operator] {
        let for_another = by(store, who, asking(1, &people.dev)).await;
        assert_eq!(for_another, Err(StoreError::NotAllowed(None)));
    }
    let machine = on_the_machine(store, asking(1, &people.dev)).await;
    assert_eq!(machine, Err(StoreError::NotAllowed(None)));

    // Deciding: who does not see the request is told that it is not there; on one's own, only owners decide.
    ask(store, 1, &people.dev).await;
    ask(store, 2, &people.admin).await;
    ask(store, 3, &people.owner).await;
    for change in [approve, deny] {
        assert_eq!(by(store, &people.dev, change(1)).await, forbidden(Right::DecideRequests));
        assert_eq!(by(store, &people.dev, change(2)).await, missing(2));
        assert_eq!(by(store, &people.viewer, change(1)).await, missing(1));
        assert_eq!(by(store, &people.stranger, change(1)).await, missing(1));
        assert_eq!(by(store, &people.stranger, change(9)).await, missing(9));
        let own = by(store, &people.admin, change(2)).await;
        assert_eq!(own, Err(StoreError::OwnKeyRequest(id(2))));
    }
    by(store, &people.second_admin, approve(2)).await.unwrap();
    by(store, &people.owner, approve(3)).await.unwrap();
    on_the_machine(store, approve(1)).await.unwrap();
    assert_eq!(store.key_request(id(1)).await.unwrap().unwrap().decision.unwrap().by, None);

    // To claim and to withdraw is the requester's alone.
    for change in [|| claim(1, key(1)), || KeyRequestChange::Withdraw(id(1))] {
        for who in [&people.admin, &people.owner, &people.operator] {
            let refused = by(store, who, change()).await;
            assert_eq!(refused, Err(StoreError::NotTheRequester(id(1))));
        }
        assert_eq!(by(store, &people.viewer, change()).await, missing(1));
        assert_eq!(by(store, &people.stranger, change()).await, missing(1));
        let machine = on_the_machine(store, change()).await;
        assert_eq!(machine, Err(StoreError::NotTheRequester(id(1))));
    }
    // Lowered meanwhile, the requester can claim nothing.
    let role = |role| {
        let (organization, user) = (organization_id("org"), people.dev.id);
        Change::People(PeopleChange::SetRole { organization, user, role })
    };
    store.commit(&actor(), NOW, role(Role::Viewer)).await.unwrap();
    let key = granted_key(1, &people.dev, NOW);
    let lowered = by(store, &people.dev, claim(1, key.clone())).await;
    assert_eq!(lowered, forbidden(Right::WriteOwnKeys));
    store.commit(&actor(), NOW, role(Role::Developer)).await.unwrap();
    by(store, &people.dev, claim(1, key)).await.unwrap();
}

pub(crate) async fn a_request_that_contradicts_itself_is_refused(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    let sound = || request(1, &people.dev);
    for wrong in [
        KeyRequest { name: String::new(), ..sound() },
        KeyRequest { reason: " \n".to_owned(), ..sound() },
        KeyRequest { reason: "x".repeat(501), ..sound() },
        KeyRequest { reason: "a\u{7}b".to_owned(), ..sound() },
        KeyRequest { state: KeyRequestState::Approved, granted: Some(grant()), ..sound() },
        KeyRequest { granted: Some(grant()), ..sound() },
        KeyRequest { decide_until: NOW, ..sound() },
    ] {
        let refused = by(store, &people.dev, KeyRequestChange::Ask(wrong.clone())).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{wrong:?}: {refused:?}");
    }
    let nowhere = KeyRequest { organization: organization_id("nowhere"), ..sound() };
    let refused = by(store, &people.dev, KeyRequestChange::Ask(nowhere)).await;
    assert_eq!(refused, Err(StoreError::NoSuchOrganization(organization_id("nowhere"))));
    store.commit(&actor(), NOW, creation(1)).await.unwrap();
    let taken = KeyRequest { name: key(1).name, ..sound() };
    let refused = by(store, &people.dev, KeyRequestChange::Ask(taken)).await;
    assert!(matches!(refused, Err(StoreError::NameTaken { .. })), "{refused:?}");
    ask(store, 1, &people.dev).await;
    let silent = KeyRequestChange::Deny { request: id(1), note: String::new() };
    let refused = by(store, &people.admin, silent).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
}

pub(crate) async fn a_member_has_so_many_requests_and_no_more(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    for number in 1..=20 {
        ask(store, number, &people.dev).await;
    }
    let asking = |number, when| {
        let (dev, store) = (&people.dev, bed.store.clone());
        async move {
            let new = KeyRequest {
                created_at: when,
                decide_until: Timestamp::from_secs(when.as_secs() + 30 * DAY),
                ..request(number, dev)
            };
            at(&*store, when, dev, KeyRequestChange::Ask(new)).await
        }
    };
    let full = Err(StoreError::TooManyKeyRequests { most: 20 });
    assert_eq!(asking(21, NOW).await, full);
    ask(store, 22, &people.admin).await;
    // To withdraw makes room, but not on the same day: each request is told to people.
    by(store, &people.dev, KeyRequestChange::Withdraw(id(1))).await.unwrap();
    assert_eq!(asking(21, later(DAY - 1)).await, full);
    asking(21, later(DAY)).await.unwrap();
    assert_eq!(asking(23, later(DAY)).await, full);
    asking(23, later(30 * DAY)).await.unwrap();
}

pub(crate) async fn requests_are_filtered_and_paged_newest_first(bed: Bed) {
    let store = &*bed.store;
    let people = people(store).await;
    for number in [4, 2, 5, 1, 3] {
        let of = if number % 2 == 0 { &people.admin } else { &people.dev };
        ask(store, number, of).await;
    }
    by(store, &people.owner, deny(5)).await.unwrap();
    let elsewhere =
        KeyRequest { organization: organization_id("elsewhere"), ..request(6, &people.stranger) };
    by(store, &people.stranger, KeyRequestChange::Ask(elsewhere)).await.unwrap();
    let list = |filter: KeyRequestFilter| {
        let store = bed.store.clone();
        async move {
            let (mut found, mut page) = (vec![], Page::first(2));
            loop {
                let requests = store.key_requests(&filter, page).await.unwrap();
                assert!(requests.len() <= 2);
                let Some(last) = requests.last() else { return found };
                page = Page::after(last.id, 2);
                found.extend(requests.iter().map(|request| request.id.bits()[0]));
            }
        }
    };
    let none = KeyRequestFilter::default();
    let organization = Some(organization_id("org"));
    let of_dev = KeyRequestFilter { requester: Some(people.dev.id), ..none.clone() };
    let open = Some(KeyRequestState::Open);
    assert_eq!(list(none.clone()).await, [6, 3, 1, 5, 2, 4]);
    assert_eq!(list(KeyRequestFilter { organization, ..none }).await, [3, 1, 5, 2, 4]);
    assert_eq!(list(of_dev.clone()).await, [3, 1, 5]);
    assert_eq!(list(KeyRequestFilter { state: open, ..of_dev.clone() }).await, [3, 1]);
    let gone = store.key_requests(&of_dev, Page::after(id(99), 2)).await;
    assert_eq!(gone, Err(StoreError::NoSuchKeyRequest(id(99))));
}
