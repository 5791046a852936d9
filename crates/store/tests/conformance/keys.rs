//! What is promised of keys and their secrets.

use keyward_core::{
    id::ApiName,
    key::{Key, KeyState, Labels, PepperVersion, Rotation, Secret},
    time::Timestamp,
};
use keyward_store::{Change, KeyFilter, KeyRecord, Page, StoreError};

use super::{
    Bed, commit, creation, key, key_id, later, organization, organization_id, secret, secret_id,
    secret_of, state, trace, with_organization,
};

pub(crate) async fn a_created_key_is_there_whole(bed: Bed) {
    with_organization(&bed.store).await;
    let revision = commit(&bed.store, creation(1)).await.unwrap();
    let record = KeyRecord { key: key(1), owner_role: None, secrets: vec![secret(1)], revision };
    assert_eq!(bed.store.key(key_id(1)).await.unwrap(), Some(record.clone()));
    assert_eq!(bed.store.revision().await.unwrap(), revision);
    let organization = organization_id("org");
    let api: ApiName = "api".parse().unwrap();
    let found = bed.store.find_key_by_name(&organization, &api, "key 1").await.unwrap();
    assert_eq!(found, Some(record));
    assert_eq!(bed.store.key(key_id(2)).await.unwrap(), None);
    assert_eq!(bed.store.find_key_by_name(&organization, &api, "key 2").await.unwrap(), None);
}

pub(crate) async fn every_field_reads_back(bed: Bed) {
    with_organization(&bed.store).await;
    let key = Key {
        name: "Ключ «ü» 🔑 \"'%_\\".to_owned(),
        environment: "staging-2".parse().unwrap(),
        permissions: vec!["a.b".to_owned(), "ü \"quoted\"".to_owned()],
        allowed_networks: vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
            "203.0.113.7".parse().unwrap(),
        ],
        allowed_models: Some(vec![]),
        state: KeyState::Disabled,
        created_at: Timestamp::from_millis(1),
        expires_at: Some(Timestamp::NEVER),
        labels: Labels {
            tags: vec!["ü \"1\"".to_owned()],
            metadata: [("🔑".to_owned(), "'%_".to_owned())].into(),
        },
        rotation: Some(Rotation { after_days: 1, required: true }),
        ..key(1)
    };
    let secret = Secret {
        pepper: PepperVersion(u32::MAX),
        expires_at: Some(Timestamp::from_millis(0)),
        last_used_at: Some(Timestamp::from_millis(1_800_000_000_123)),
        ..secret(1)
    };
    let change = Change::CreateKey { key: key.clone(), secret: secret.clone(), most_active: None };
    let revision = commit(&bed.store, change).await.unwrap();
    let record = bed.store.key(key_id(1)).await.unwrap();
    let expected = KeyRecord { key, owner_role: None, secrets: vec![secret], revision };
    assert_eq!(record, Some(expected));
}

pub(crate) async fn a_key_needs_its_organization(bed: Bed) {
    let refused = commit(&bed.store, creation(1)).await;
    assert_eq!(refused, Err(StoreError::NoSuchOrganization(organization_id("org"))));
    assert_eq!(bed.store.key(key_id(1)).await.unwrap(), None);
}

pub(crate) async fn ids_and_digests_are_used_once(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let again = Change::CreateKey {
        key: Key { name: "another".to_owned(), ..key(1) },
        secret: secret_of(2, 1),
        most_active: None,
    };
    assert_eq!(commit(&bed.store, again).await, Err(StoreError::KeyExists(key_id(1))));
    for same in
        [Secret { digest: secret(1).digest, ..secret(2) }, Secret { id: secret_id(1), ..secret(2) }]
    {
        let id = same.id;
        let change = Change::CreateKey { key: key(2), secret: same, most_active: None };
        assert_eq!(commit(&bed.store, change).await, Err(StoreError::SecretExists(id)));
        assert_eq!(bed.store.key(key_id(2)).await.unwrap(), None, "no key without its secret");
    }
}

pub(crate) async fn a_key_that_contradicts_itself_is_refused(bed: Bed) {
    with_organization(&bed.store).await;
    let wrong = [
        (Key { name: String::new(), ..key(1) }, secret(1)),
        (Key { name: "x".repeat(101), ..key(1) }, secret(1)),
        (Key { state: KeyState::Revoked, ..key(1) }, secret(1)),
        (key(1), secret_of(1, 2)),
    ];
    for (key, secret) in wrong {
        let change = Change::CreateKey { key, secret, most_active: None };
        let refused = commit(&bed.store, change).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
}

pub(crate) async fn a_name_is_one_keys_until_it_is_revoked(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, Change::CreateOrganization(organization("other"))).await.unwrap();
    commit(&bed.store, creation(1)).await.unwrap();
    let named = |number, change: fn(&mut Key)| {
        let mut key = Key { name: "key 1".to_owned(), ..key(number) };
        change(&mut key);
        Change::CreateKey { key, secret: secret(number), most_active: None }
    };
    commit(&bed.store, state(1, KeyState::Disabled)).await.unwrap();
    let taken = StoreError::NameTaken { name: "key 1".to_owned(), key: key_id(1) };
    assert_eq!(commit(&bed.store, named(2, |_| {})).await, Err(taken), "a disabled key keeps it");
    commit(&bed.store, named(3, |key| key.api = "other".parse().unwrap())).await.unwrap();
    let elsewhere = named(4, |key| key.organization = organization_id("other"));
    commit(&bed.store, elsewhere).await.unwrap();
    commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    commit(&bed.store, named(2, |_| {})).await.unwrap();
    let api: ApiName = "api".parse().unwrap();
    let found =
        bed.store.find_key_by_name(&organization_id("org"), &api, "key 1").await.unwrap().unwrap();
    assert_eq!(found.key.id, key_id(2), "the revoked one has given its name up");
}

fn limited(number: u64, most: u32) -> Change {
    Change::CreateKey { key: key(number), secret: secret(number), most_active: Some(most) }
}

pub(crate) async fn no_more_keys_than_the_api_allows(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, limited(1, 2)).await.unwrap();
    commit(&bed.store, limited(2, 2)).await.unwrap();
    let refused = StoreError::TooManyKeys {
        organization: organization_id("org"),
        api: "api".parse().unwrap(),
        most: 2,
    };
    assert_eq!(commit(&bed.store, limited(3, 2)).await, Err(refused.clone()));
    commit(&bed.store, state(1, KeyState::Disabled)).await.unwrap();
    assert_eq!(commit(&bed.store, limited(3, 2)).await, Err(refused), "a disabled key counts");
    let other_api = Change::CreateKey {
        key: Key { api: "other".parse().unwrap(), ..key(4) },
        secret: secret(4),
        most_active: Some(1),
    };
    commit(&bed.store, other_api).await.unwrap();
    commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    commit(&bed.store, limited(3, 2)).await.unwrap();
}

pub(crate) async fn only_one_of_many_at_once_gets_the_last_place(bed: Bed) {
    with_organization(&bed.store).await;
    let tries = (1..=32).map(|number| {
        // Half through each store: the promise must hold across processes.
        let store = if number % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        tokio::spawn(async move { commit(&store, limited(number, 1)).await })
    });
    let mut made = 0;
    for task in tries.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(refused) => assert!(matches!(refused, StoreError::TooManyKeys { .. }), "{refused}"),
        }
    }
    assert_eq!(made, 1);
    let keys = bed.store.keys(&KeyFilter::default(), Page::first(100)).await.unwrap();
    assert_eq!(keys.len(), 1);
}

pub(crate) async fn revoked_is_final(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    commit(&bed.store, state(1, KeyState::Disabled)).await.unwrap();
    commit(&bed.store, state(1, KeyState::Active)).await.unwrap();
    let revoked = commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    let rotate =
        Change::RotateKey { key: key_id(1), secret: secret_of(2, 1), old_expires_at: later(60) };
    let retire = Change::RetireSecret { secret: secret_id(1), at: later(60), force: true };
    for change in [state(1, KeyState::Active), state(1, KeyState::Disabled), rotate, retire] {
        let refused = commit(&bed.store, change).await;
        assert_eq!(refused, Err(StoreError::AlreadyRevoked(key_id(1))));
    }
    let again = commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    assert_eq!(again, revoked, "revoking again succeeds");
    let record = bed.store.key(key_id(1)).await.unwrap().unwrap();
    assert_eq!(record.key.state, KeyState::Revoked);
    assert_eq!(record.secrets, [secret(1)]);
}

pub(crate) async fn the_same_state_again_leaves_no_trace(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    for wanted in [KeyState::Active, KeyState::Disabled, KeyState::Revoked] {
        let first = commit(&bed.store, state(1, wanted)).await.unwrap();
        let before = trace(&bed.store).await;
        assert_eq!(commit(&bed.store, state(1, wanted)).await.unwrap(), first);
        assert_eq!(trace(&bed.store).await, before);
    }
    let missing = commit(&bed.store, state(9, KeyState::Active)).await;
    assert_eq!(missing, Err(StoreError::NoSuchKey(key_id(9))));
}

async fn ends(bed: &Bed, number: u64) -> Vec<Option<Timestamp>> {
    let record = bed.store.key(key_id(number)).await.unwrap().unwrap();
    record.secrets.iter().map(|secret| secret.expires_at).collect()
}

pub(crate) async fn rotation_gives_the_old_secrets_an_end_and_never_a_later_one(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let rotate = |number, old_expires_at| Change::RotateKey {
        key: key_id(1),
        secret: secret_of(number, 1),
        old_expires_at,
    };
    commit(&bed.store, rotate(2, later(100))).await.unwrap();
    assert_eq!(ends(&bed, 1).await, [Some(later(100)), None]);
    commit(&bed.store, rotate(3, later(500))).await.unwrap();
    assert_eq!(ends(&bed, 1).await, [Some(later(100)), Some(later(500)), None]);
    let change = rotate(4, later(50));
    bed.store.commit(&super::actor(), later(200), change).await.unwrap();
    let now = [Some(later(100)), Some(later(50)), Some(later(50)), None];
    assert_eq!(ends(&bed, 1).await, now, "what had ended stays as it ended");
    let foreign =
        Change::RotateKey { key: key_id(1), secret: secret_of(5, 2), old_expires_at: later(1) };
    assert!(matches!(commit(&bed.store, foreign).await, Err(StoreError::Invalid { .. })));
    let same = Change::RotateKey { key: key_id(1), secret: secret(1), old_expires_at: later(1) };
    assert_eq!(commit(&bed.store, same).await, Err(StoreError::SecretExists(secret_id(1))));
    assert_eq!(ends(&bed, 1).await, now, "a refused rotation ends nothing");
    let missing =
        Change::RotateKey { key: key_id(9), secret: secret_of(9, 9), old_expires_at: later(1) };
    assert_eq!(commit(&bed.store, missing).await, Err(StoreError::NoSuchKey(key_id(9))));
}

pub(crate) async fn retiring_brings_an_end_forward_and_never_back(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let rotate =
        Change::RotateKey { key: key_id(1), secret: secret_of(2, 1), old_expires_at: later(1000) };
    commit(&bed.store, rotate).await.unwrap();
    let retire = |at| Change::RetireSecret { secret: secret_id(1), at, force: true };
    commit(&bed.store, retire(later(100))).await.unwrap();
    assert_eq!(ends(&bed, 1).await, [Some(later(100)), None]);
    let before = trace(&bed.store).await;
    commit(&bed.store, retire(later(200))).await.unwrap();
    assert_eq!(ends(&bed, 1).await, [Some(later(100)), None]);
    assert_eq!(trace(&bed.store).await, before, "it ends before that already");
    commit(&bed.store, retire(later(10))).await.unwrap();
    assert_eq!(ends(&bed, 1).await, [Some(later(10)), None]);
    let missing = Change::RetireSecret { secret: secret_id(9), at: later(1), force: true };
    assert_eq!(commit(&bed.store, missing).await, Err(StoreError::NoSuchSecret(secret_id(9))));
}

pub(crate) async fn an_exposed_key_is_noted_once_an_hour_and_disabled_where_asked(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let seen = |secs, disable| Change::MarkKeyExposed {
        key: key_id(1),
        at: later(secs),
        from: "203.0.113.7".parse().unwrap(),
        disable,
    };
    let before = trace(&bed.store).await.2.len();
    for secs in [0, 1, 3_599] {
        commit(&bed.store, seen(secs, false)).await.unwrap();
    }
    let (_, feed, audit) = trace(&bed.store).await;
    assert_eq!(audit.len(), before + 1, "one entry for an hour");
    assert_eq!(feed.len(), audit.len());
    assert_eq!(audit[0].action, "key.expose");
    assert!(audit[0].after.as_ref().unwrap().to_string().contains("203.0.113.7"));
    commit(&bed.store, seen(3_600, false)).await.unwrap();
    assert_eq!(trace(&bed.store).await.2.len(), before + 2, "the next hour, the next entry");
    let now = |bed: &Bed| {
        let store = bed.store.clone();
        async move { store.key(key_id(1)).await.unwrap().unwrap().key.state }
    };
    assert_eq!(now(&bed).await, KeyState::Active);
    commit(&bed.store, seen(3_601, true)).await.unwrap();
    assert_eq!(now(&bed).await, KeyState::Disabled, "disabling does not wait for the hour");
    commit(&bed.store, state(1, KeyState::Active)).await.unwrap();
    commit(&bed.store, seen(3_602, true)).await.unwrap();
    assert_eq!(now(&bed).await, KeyState::Disabled, "nor does disabling again");
    let missing = Change::MarkKeyExposed {
        key: key_id(9),
        at: later(0),
        from: "203.0.113.7".parse().unwrap(),
        disable: true,
    };
    assert_eq!(commit(&bed.store, missing).await, Err(StoreError::NoSuchKey(key_id(9))));
}

pub(crate) async fn lists_are_filtered_and_paged_in_the_order_of_creation(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, Change::CreateOrganization(organization("other"))).await.unwrap();
    // Ids run against the order of creation, so that one cannot be taken for the other.
    for number in (1..=12_u64).rev() {
        let mut key = key(number);
        if number % 2 == 0 {
            key.organization = organization_id("other");
        }
        if number % 3 == 0 {
            key.api = "third".parse().unwrap();
        }
        let change = Change::CreateKey { key, secret: secret(number), most_active: None };
        commit(&bed.store, change).await.unwrap();
    }
    for number in [3, 6, 7] {
        commit(&bed.store, state(number, KeyState::Revoked)).await.unwrap();
    }
    let list = |filter: KeyFilter| {
        let store = bed.store.clone();
        async move {
            let (mut found, mut page) = (vec![], Page::first(2));
            loop {
                let keys = store.keys(&filter, page).await.unwrap();
                let Some(last) = keys.last() else { return found };
                page = Page::after(last.key.id, 2);
                assert!(keys.len() <= 2);
                for record in keys {
                    assert_eq!(record.secrets.len(), 1);
                    found.push(u128::from_be_bytes(record.key.id.bits()));
                }
            }
        }
    };
    let none = KeyFilter::default();
    let other = KeyFilter { organization: Some(organization_id("other")), ..none.clone() };
    let third = KeyFilter { api: Some("third".parse().unwrap()), ..none.clone() };
    let revoked = KeyFilter { state: Some(KeyState::Revoked), ..none.clone() };
    let all_three = KeyFilter { organization: other.organization.clone(), ..third.clone() };
    let all_three = KeyFilter { state: revoked.state, ..all_three };
    assert_eq!(list(none).await, (1..=12).rev().collect::<Vec<_>>());
    assert_eq!(list(other).await, [12, 10, 8, 6, 4, 2]);
    assert_eq!(list(third).await, [12, 9, 6, 3]);
    assert_eq!(list(revoked).await, [7, 6, 3]);
    assert_eq!(list(all_three).await, [6]);
}

pub(crate) async fn a_cursor_that_is_no_key_is_an_error(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let found = bed.store.keys(&KeyFilter::default(), Page::after(key_id(9), 10)).await;
    assert_eq!(found, Err(StoreError::NoSuchKey(key_id(9))));
}
