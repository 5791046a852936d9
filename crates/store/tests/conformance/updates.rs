//! What is written on keys and organizations, how it is changed, and how keys are found by it.

use std::collections::BTreeMap;

use keyward_core::{
    key::{Key, KeyState, Labels, Rotation},
    usage::{LastUse, UsageBatch},
};
use keyward_store::{
    AuditFilter, Change, Ending, KeyFilter, KeyUpdate, OrganizationUpdate, Page, Revision,
    StoreError, Subject, Word,
};

use super::{
    Bed, commit, creation, key, key_id, later, organization, organization_id, secret, secret_id,
    secret_of, state, trace, with_organization,
};

fn labels(tags: &[&str], metadata: &[(&str, &str)]) -> Labels {
    let metadata = metadata.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let tags = tags.iter().map(|tag| tag.to_string()).collect();
    Labels::new(tags, metadata.collect::<BTreeMap<_, _>>()).unwrap()
}

fn update(update: KeyUpdate) -> Change {
    Change::UpdateKey { key: key_id(1), update: Box::new(update), seen: None }
}

pub(crate) async fn what_is_changed_of_a_key_reads_back_and_the_rest_stays(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let whole = KeyUpdate {
        name: Some("another".to_owned()),
        environment: Some("staging".parse().unwrap()),
        permissions: Some(vec!["a".to_owned()]),
        allowed_networks: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        allowed_models: Some(Some(vec!["m".to_owned()])),
        expires_at: Some(Some(later(9))),
        tags: Some(vec!["eu".to_owned()]),
        metadata: Some(BTreeMap::from([("team".to_owned(), "billing".to_owned())])),
        rotation: Some(Some(Rotation { after_days: 90, required: true })),
        owner: None,
        limits: None,
    };
    let revision = commit(&bed.store, update(whole.clone())).await.unwrap();
    let now = bed.second.key(key_id(1)).await.unwrap().unwrap();
    let expected = Key {
        name: "another".to_owned(),
        environment: "staging".parse().unwrap(),
        permissions: vec!["a".to_owned()],
        allowed_networks: vec!["10.0.0.0/8".parse().unwrap()],
        allowed_models: Some(vec!["m".to_owned()]),
        expires_at: Some(later(9)),
        labels: labels(&["eu"], &[("team", "billing")]),
        rotation: Some(Rotation { after_days: 90, required: true }),
        ..key(1)
    };
    assert_eq!((now.key, now.revision), (expected.clone(), revision));
    let before = trace(&bed.store).await;
    assert_eq!(commit(&bed.store, update(whole)).await.unwrap(), revision, "it is so already");
    assert_eq!(trace(&bed.store).await, before);
    // One thing: the audit log shows that and nothing else.
    let one = KeyUpdate { expires_at: Some(None), ..KeyUpdate::default() };
    commit(&bed.store, update(one)).await.unwrap();
    let now = bed.second.key(key_id(1)).await.unwrap().unwrap();
    assert_eq!(now.key, Key { expires_at: None, ..expected });
    let entry = bed.store.audit(&AuditFilter::default(), Page::first(1)).await.unwrap().remove(0);
    assert_eq!(entry.action, "key.update");
    let was = serde_json::json!({ "expires_at": later(9) });
    assert_eq!((entry.before.unwrap(), entry.after.unwrap()["expires_at"].is_null()), (was, true));
}

pub(crate) async fn a_change_of_what_was_changed_since_is_refused(bed: Bed) {
    with_organization(&bed.store).await;
    let made = commit(&bed.store, creation(1)).await.unwrap();
    let rename = |name: &str, seen| Change::UpdateKey {
        key: key_id(1),
        update: Box::new(KeyUpdate { name: Some(name.to_owned()), ..KeyUpdate::default() }),
        seen: Some(seen),
    };
    let renamed = commit(&bed.store, rename("first", made)).await.unwrap();
    let outdated = StoreError::Outdated { seen: made, is: renamed };
    assert_eq!(commit(&bed.second, rename("second", made)).await, Err(outdated));
    commit(&bed.second, rename("second", renamed)).await.unwrap();
    let organization = organization_id("org");
    let is = bed.store.organization_revision(&organization).await.unwrap().unwrap();
    let rename = |name: &str, seen| Change::UpdateOrganization {
        organization: organization.clone(),
        update: OrganizationUpdate { name: Some(name.to_owned()), ..OrganizationUpdate::default() },
        seen: Some(seen),
    };
    let now = commit(&bed.store, rename("first", is)).await.unwrap();
    assert_eq!(bed.second.organization_revision(&organization).await, Ok(Some(now)));
    let outdated = StoreError::Outdated { seen: is, is: now };
    assert_eq!(commit(&bed.second, rename("second", is)).await, Err(outdated));
    assert_eq!(bed.store.organization(&organization).await.unwrap().unwrap().name, "first");
    assert_eq!(bed.store.organization_revision(&organization_id("none")).await, Ok(None));
}

pub(crate) async fn a_change_that_contradicts_what_is_there_is_refused(bed: Bed) {
    with_organization(&bed.store).await;
    for number in [1, 2] {
        commit(&bed.store, creation(number)).await.unwrap();
    }
    let named = |name: &str| KeyUpdate { name: Some(name.to_owned()), ..KeyUpdate::default() };
    let taken = StoreError::NameTaken { name: "key 2".to_owned(), key: key_id(2) };
    assert_eq!(commit(&bed.store, update(named("key 2"))).await, Err(taken));
    assert!(matches!(commit(&bed.store, update(named(""))).await, Err(StoreError::Invalid { .. })));
    let stranger = keyward_core::id::UserId::from_bits([7; 16]);
    let owned = KeyUpdate { owner: Some(Some(stranger)), ..KeyUpdate::default() };
    assert!(matches!(
        commit(&bed.store, update(owned)).await,
        Err(StoreError::NoSuchMember { .. })
    ));
    commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    assert_eq!(
        commit(&bed.store, update(named("late"))).await,
        Err(StoreError::AlreadyRevoked(key_id(1)))
    );
    assert_eq!(bed.store.key(key_id(1)).await.unwrap().unwrap().key.name, "key 1");
}

/// The numbers of the keys that are found.
async fn found(bed: &Bed, filter: KeyFilter) -> Vec<u64> {
    let mut numbers = vec![];
    let mut page = Page::first(2);
    loop {
        let keys = bed.second.keys(&filter, page).await.unwrap();
        let ids = keys.iter().map(|one| u128::from_be_bytes(one.key.id.bits()) as u64);
        numbers.extend(ids);
        match keys.last() {
            Some(last) if keys.len() == 2 => page = Page::after(last.key.id, 2),
            _ => return numbers,
        }
    }
}

pub(crate) async fn keys_are_found_by_what_is_written_on_them(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, Change::CreateOrganization(organization("other"))).await.unwrap();
    let written = [
        ("Billing Worker", "production", labels(&["EU", "nightly run"], &[])),
        ("billing-api", "staging", labels(&[], &[("team", "Ledger & Co")])),
        ("Überwachung", "production", labels(&["eu-west"], &[])),
    ];
    for (number, (name, environment, labels)) in (1..).zip(written) {
        let key = Key {
            name: name.to_owned(),
            environment: environment.parse().unwrap(),
            labels,
            ..key(number)
        };
        let change = Change::CreateKey { key, secret: secret(number), most_active: None };
        commit(&bed.store, change).await.unwrap();
    }
    let elsewhere = Key { organization: organization_id("other"), ..key(4) };
    let change = Change::CreateKey { key: elsewhere, secret: secret(4), most_active: None };
    commit(&bed.store, change).await.unwrap();
    for organization in [Some(organization_id("org")), None] {
        let search = |text: &str| KeyFilter {
            organization: organization.clone(),
            words: Word::asked(text),
            ..KeyFilter::default()
        };
        for (text, expected) in [
            ("bill", vec![1, 2]),
            ("BILLING work", vec![1]),
            ("ledg", vec![2]),
            ("team", vec![2]),
            ("über", vec![3]),
            ("prod", if organization.is_some() { vec![1, 3] } else { vec![1, 3, 4] }),
            ("eu", vec![1, 3]),
            ("illing", vec![]),
            ("bill none", vec![]),
        ] {
            assert_eq!(found(&bed, search(text)).await, expected, "{text}");
        }
        let tagged = |tag| KeyFilter { words: vec![Word::tag(tag)], ..search("") };
        assert_eq!(found(&bed, tagged("eu")).await, [1], "a tag is looked for whole");
        assert_eq!(found(&bed, tagged("Nightly Run")).await, [1]);
        assert_eq!(found(&bed, tagged("nightly")).await, [0_u64; 0]);
        let staging =
            KeyFilter { environment: Some("staging".parse().unwrap()), ..search("billing") };
        assert_eq!(found(&bed, staging).await, [2]);
    }
    // What is no longer written on it does not find it.
    let renamed = KeyUpdate {
        name: Some("Worker".to_owned()),
        tags: Some(vec![]),
        metadata: Some(BTreeMap::new()),
        ..KeyUpdate::default()
    };
    commit(&bed.store, update(renamed)).await.unwrap();
    let search = |text| KeyFilter {
        organization: Some(organization_id("org")),
        words: Word::asked(text),
        ..KeyFilter::default()
    };
    assert_eq!(found(&bed, search("billing")).await, [2]);
    assert_eq!(found(&bed, search("worker")).await, [1]);
}

pub(crate) async fn keys_are_found_by_their_end_and_their_last_use(bed: Bed) {
    with_organization(&bed.store).await;
    for (number, expires_at) in [(1, None), (2, Some(later(10))), (3, Some(later(20)))] {
        let key = Key { expires_at, ..key(number) };
        let change = Change::CreateKey { key, secret: secret(number), most_active: None };
        commit(&bed.store, change).await.unwrap();
    }
    let ending = |ending| KeyFilter { ending: Some(ending), ..KeyFilter::default() };
    assert_eq!(found(&bed, ending(Ending::By(later(10)))).await, [2]);
    assert_eq!(found(&bed, ending(Ending::After(later(10)))).await, [1, 3]);
    let unused = |since| KeyFilter { unused_since: Some(later(since)), ..KeyFilter::default() };
    assert_eq!(found(&bed, unused(0)).await, [0_u64; 0], "they are not older than that");
    assert_eq!(found(&bed, unused(5)).await, [1, 2, 3]);
    use_secret(&bed, 2, 7).await;
    assert_eq!(found(&bed, unused(5)).await, [1, 3]);
    assert_eq!(found(&bed, unused(8)).await, [1, 2, 3]);
}

async fn use_secret(bed: &Bed, number: u64, at: u64) {
    let last = LastUse {
        secret: secret_id(number),
        at: later(at),
        from: "203.0.113.7".parse().unwrap(),
        requests: 1,
    };
    bed.store.record(&UsageBatch { last_uses: vec![last], ..UsageBatch::default() }).await.unwrap();
}

pub(crate) async fn a_secret_in_use_is_retired_only_by_force(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    use_secret(&bed, 1, 5).await;
    let new = keyward_core::key::Secret { created_at: later(10), ..secret_of(2, 1) };
    let rotate =
        Change::RotateKey { key: key_id(1), secret: new, old_expires_at: later(99_999_999) };
    commit(&bed.store, rotate).await.unwrap();
    let retire = |at, force| Change::RetireSecret { secret: secret_id(1), at: later(at), force };
    use_secret(&bed, 1, 20).await;
    let in_use = StoreError::SecretInUse { secret: secret_id(1), last_used_at: later(20) };
    assert_eq!(commit(&bed.store, retire(30, false)).await, Err(in_use));
    let week = 7 * 24 * 3600;
    commit(&bed.store, retire(20 + week, false)).await.expect("nobody used it for a week");
    commit(&bed.store, retire(30, true)).await.unwrap();
    let secrets = bed.second.key(key_id(1)).await.unwrap().unwrap().secrets;
    assert_eq!(secrets[0].expires_at, Some(later(30)));
}

pub(crate) async fn the_audit_log_is_narrowed_to_an_organization_and_more(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, Change::CreateOrganization(organization("other"))).await.unwrap();
    for number in [1, 2] {
        commit(&bed.store, creation(number)).await.unwrap();
    }
    commit(&bed.store, state(1, KeyState::Disabled)).await.unwrap();
    let removed = Change::SetUpstreamCredential {
        upstream: "up".to_owned(),
        sealed: keyward_store::SealedBytes::from_bytes(*b"sealed"),
    };
    bed.store.commit(&super::actor(), later(60), removed).await.unwrap();
    let actions = async |filter: AuditFilter| -> Vec<String> {
        let entries = bed.second.audit(&filter, Page::first(100)).await.unwrap();
        entries.into_iter().map(|entry| entry.action).collect()
    };
    let all = AuditFilter::default();
    let org = AuditFilter { organization: Some(organization_id("org")), ..all.clone() };
    let of_org = ["key.disable", "key.create", "key.create", "organization.create"];
    assert_eq!(actions(org.clone()).await, of_org);
    let other = AuditFilter { organization: Some(organization_id("other")), ..all.clone() };
    assert_eq!(actions(other).await, ["organization.create"]);
    let of_key = AuditFilter { subject: Some(Subject::Key(key_id(1))), ..org.clone() };
    assert_eq!(actions(of_key).await, ["key.disable", "key.create"]);
    for (action, expected) in [
        ("key.", vec!["key.disable", "key.create", "key.create"]),
        ("key.disable", vec!["key.disable"]),
        ("key", vec![]),
    ] {
        let filter = AuditFilter { action: Some(action.to_owned()), ..org.clone() };
        assert_eq!(actions(filter).await, expected);
    }
    let late = AuditFilter { from: Some(later(60)), ..all.clone() };
    assert_eq!(actions(late).await, ["upstream_credential.set"]);
    let early = AuditFilter { until: Some(later(60)), ..all.clone() };
    assert_eq!(actions(early).await.len(), 5);
    let nobody = keyward_core::id::UserId::from_bits([1; 16]);
    assert_eq!(actions(AuditFilter { person: Some(nobody), ..all }).await, [""; 0]);
    assert!(bed.store.revision().await.unwrap() > Revision::ZERO);
}
