//! What propagation promises: whatever is committed shows, whatever way it takes.

mod properties;

use std::{path::PathBuf, sync::Arc, time::Duration};

use keyward_core::{
    directory::KeyEntry,
    id::{KeyId, OrganizationId},
    key::{Digest, KeyState, Labels, PepperVersion, Plaintext, Secret},
    member::Role,
    policy::PolicyError,
};
use keyward_store::{DataFolder, Interface};

use super::{Propagation, PropagationError, Source, Timing, compare};
use crate::{
    Context,
    app::{
        keys::{Issued, NewKey},
        people::Newcomer,
    },
    fixture::{DEFAULT, Faulty, Fixture, NOW, api, at, new_key, organization, plan, profile},
    plan::{Credentials, Plan},
};

/// Waits for the thing itself; a test that waits in vain fails.
async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never came to hold");
}

/// Hints alone: with polls this far apart, only they can be quick.
const BY_HINT: Timing = Timing {
    poll: Duration::from_secs(3600),
    retry: Duration::from_millis(5),
    compare: Duration::from_secs(3600),
    keep_changes: 1_000,
};

async fn start(fixture: &Fixture, timing: Timing) -> Propagation {
    Propagation::start(fixture.source(), plan(), timing).await.unwrap()
}

fn entry(propagation: &Propagation, digest: &Digest) -> Option<KeyEntry> {
    propagation.snapshot().load().directory().find(digest)
}

fn digest_of(issued: &Issued) -> Digest {
    issued.record.secrets[0].digest
}

#[tokio::test]
async fn a_start_has_all_that_is_stored() {
    let fixture = Fixture::with_organizations().await;
    let issued = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap();
    let propagation = start(&fixture, BY_HINT).await;
    let found = entry(&propagation, &digest_of(&issued)).unwrap();
    assert_eq!((found.key, found.state), (issued.key().id, KeyState::Active));
    let snapshot = propagation.snapshot().load();
    assert_eq!(snapshot.freshness().revision().get(), 3);
    assert_eq!(snapshot.freshness().confirmed_at(), NOW);
    let owner = snapshot.directory().organization(found.organization).unwrap();
    assert_eq!(owner.id, organization("acme"));
}

#[tokio::test]
async fn what_another_process_commits_shows_at_once() {
    let fixture = Fixture::with_organizations().await;
    let issued = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap();
    // Another handle on the folder shares nothing with the first but files and sockets, like another process.
    let other = DataFolder::open(&PathBuf::from(fixture.folder.path())).await.unwrap();
    let source = Source { store: other.store(), ..fixture.source() };
    let propagation = Propagation::start(source, plan(), BY_HINT).await.unwrap();

    let control = fixture.control();
    let digest = digest_of(&issued);
    let state = || entry(&propagation, &digest).map(|entry| entry.state);
    control.disable_key(&at(NOW), issued.key().id).await.unwrap();
    until(|| state() == Some(KeyState::Disabled)).await;
    control.enable_key(&at(NOW), issued.key().id).await.unwrap();
    until(|| state() == Some(KeyState::Active)).await;
    control.revoke_key(&at(NOW), issued.key().id).await.unwrap();
    until(|| state() == Some(KeyState::Revoked)).await;

    let fresh = control.create_organization(&at(NOW), None, None).await.unwrap();
    let new = NewKey { organization: fresh.id.parse().unwrap(), ..new_key("b") };
    let issued = control.create_key(&at(NOW), new).await.unwrap();
    until(|| entry(&propagation, &digest_of(&issued)).is_some()).await;
    let rotated = control.rotate_key(&at(NOW), issued.key().id, Duration::ZERO).await.unwrap();
    until(|| entry(&propagation, &rotated.record.secrets[1].digest).is_some()).await;
    assert_eq!(entry(&propagation, &digest_of(&issued)).unwrap().expires_at, NOW);
}

#[tokio::test]
async fn a_key_follows_its_owners_role() {
    let fixture = Fixture::new().await;
    let control = fixture.control();
    let visitor = Context::visitor("ada", Interface::ManagementApi, NOW);
    let newcomer = Newcomer {
        email: "ada@example.com".parse().unwrap(),
        name: "Ada".to_owned(),
        password: Plaintext::new("correct horse battery".to_owned()),
    };
    let (user, own) = control.sign_up(&visitor, newcomer, "Ada's".to_owned()).await.unwrap();
    let (owner, organization) = (user.id.parse().unwrap(), own.id.parse().unwrap());
    let new = |name: &str, owner| NewKey {
        organization: OrganizationId::clone(&organization),
        owner,
        ..new_key(name)
    };
    let hers = control.create_key(&at(NOW), new("hers", Some(owner))).await.unwrap();
    let all = NewKey { permissions: vec!["admin".to_owned()], ..new("everything", Some(owner)) };
    let all = control.create_key(&at(NOW), all).await.unwrap();
    let nobodys = control.create_key(&at(NOW), new("nobody's", None)).await.unwrap();
    let propagation = start(&fixture, BY_HINT).await;
    let state = |issued: &Issued| entry(&propagation, &digest_of(issued)).map(|found| found.state);
    assert_eq!(state(&hers), Some(KeyState::Active));
    let vocabulary = &plan().apis[0].profile.vocabulary.clone();
    let may = || entry(&propagation, &digest_of(&all)).map(|found| found.permissions);
    assert_eq!(may(), vocabulary.get("admin"));

    // Somebody else becomes an owner, so that she need not stay one.
    let email = "bob@example.com".parse().unwrap();
    let to = Some((organization.clone(), Role::Owner));
    let invited = control.invite(&at(NOW), to, email).await.unwrap();
    let bob = ("Bob".to_owned(), Plaintext::new("correct horse battery".to_owned()));
    control.accept_invitation(&visitor, invited.token.as_ref().unwrap(), Some(bob)).await.unwrap();
    control.set_role(&at(NOW), &organization, owner, Role::Viewer).await.unwrap();
    until(|| state(&hers) == Some(KeyState::Disabled)).await;
    control.set_role(&at(NOW), &organization, owner, Role::Developer).await.unwrap();
    until(|| state(&hers) == Some(KeyState::Active)).await;
    assert_eq!(may(), vocabulary.get("write"), "no more than a developer's keys may");
    let notes = control.show_key(&at(NOW), all.key().id).await.unwrap().notes;
    assert!(notes[0].contains("may `read, write` only"), "{notes:?}");
    control.remove_member(&at(NOW), &organization, owner).await.unwrap();
    until(|| state(&hers) == Some(KeyState::Disabled)).await;
    assert_eq!(state(&nobodys), Some(KeyState::Active));
    // A start finds the same.
    let second = start(&fixture, BY_HINT).await;
    let found = entry(&second, &digest_of(&hers)).map(|found| found.state);
    assert_eq!(found, Some(KeyState::Disabled));
    // Who comes back has their keys at once, not with the next start.
    let to = Some((organization.clone(), Role::Developer));
    let invited = control.invite(&at(NOW), to, "ada@example.com".parse().unwrap()).await.unwrap();
    let ada = fixture.folder.store().user(owner).await.unwrap().unwrap();
    let ada = Context::person(ada, Interface::ManagementApi, NOW);
    control.accept_invitation(&ada, invited.token.as_ref().unwrap(), None).await.unwrap();
    until(|| state(&hers) == Some(KeyState::Active)).await;
}

#[tokio::test]
async fn plans_prices_and_limits_reach_the_directory_and_leave_it() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let limits = |amount: u64| -> Vec<keyward_core::limit::Limit> {
        let json = format!(r#"[{{"name":"a","kind":"concurrency","amount":{amount}}}]"#);
        serde_json::from_str(&json).unwrap()
    };
    let name = || "Gold".parse::<keyward_core::limit::PlanName>().unwrap();
    let propagation = start(&fixture, BY_HINT).await;
    let known = |propagation: &Propagation| {
        let directory = propagation.snapshot().load().directory().clone();
        (directory.plans().all().to_vec(), directory.prices().all().to_vec())
    };
    assert_eq!(known(&propagation), (vec![], vec![]));
    control.put_plan(&at(NOW), name(), limits(1), None).await.unwrap();
    let price = || -> keyward_core::limit::Price {
        serde_json::from_str(r#"{"model":"large*","input":"2.50"}"#).unwrap()
    };
    control.put_price(&at(NOW), price(), None).await.unwrap();
    let plan = |amount| keyward_core::limit::Plan { name: name(), limits: limits(amount) };
    until(|| known(&propagation) == (vec![plan(1)], vec![price()])).await;
    control.put_plan(&at(NOW), name(), limits(2), None).await.unwrap();
    until(|| known(&propagation).0 == vec![plan(2)]).await;
    // A start finds the same.
    assert_eq!(known(&start(&fixture, BY_HINT).await), (vec![plan(2)], vec![price()]));
    // And a comparison mends what got lost.
    let eager = Timing { compare: Duration::from_millis(5), ..BY_HINT };
    let comparing = start(&fixture, eager).await;
    comparing.snapshot().load().directory().put_plans(vec![]);
    until(|| known(&comparing).0 == vec![plan(2)]).await;
    control.delete_plan(&at(NOW), name(), None).await.unwrap();
    control.delete_price(&at(NOW), "large*", None).await.unwrap();
    until(|| known(&propagation) == (vec![], vec![])).await;

    let issued = control.create_key(&at(NOW), new_key("a")).await.unwrap();
    let slot = || entry(&propagation, &digest_of(&issued)).map(|found| found.organization);
    until(|| slot().is_some()).await;
    let update = keyward_store::OrganizationUpdate {
        limits: Some(limits(3)),
        ..keyward_store::OrganizationUpdate::default()
    };
    let acme = "acme".parse().unwrap();
    control.update_organization(&at(NOW), &acme, update, None).await.unwrap();
    let of_organization = || {
        let directory = propagation.snapshot().load().directory().clone();
        directory.organization(slot().unwrap()).unwrap().limits.clone()
    };
    until(|| of_organization() == limits(3)).await;
}

#[tokio::test]
async fn a_receipt_tells_when_each_gateway_had_applied_a_revocation() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let issued = control.create_key(&at(NOW), new_key("a")).await.unwrap();
    let key = issued.key().id;
    let none = control.key_receipt(&at(NOW), key).await.unwrap();
    assert_eq!((none.everywhere, none.nodes.len()), (true, 0));
    let (first, second) = (start(&fixture, BY_HINT).await, start(&fixture, BY_HINT).await);
    let revoked = control.revoke_key(&at(NOW), key).await.unwrap();
    let receipt = async || control.key_receipt(&at(NOW), key).await.unwrap();
    let begun = tokio::time::Instant::now();
    let told = loop {
        let told = receipt().await;
        if told.everywhere && told.nodes.len() == 2 {
            break told;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{told:?}");
        tokio::task::yield_now().await;
    };
    assert_eq!(told.revision, revoked.revision);
    assert!(told.nodes.iter().all(|node| node.following && node.applied_at.is_some()));
    assert!(told.nodes.iter().all(|node| node.name == "test"));
    second.stop();
    assert_eq!(receipt().await.nodes.len(), 1, "who stopped is not waited for");
    // Of one that is not heard of, nobody knows.
    let late = control.key_receipt(&at(NOW.plus(Duration::from_secs(60))), key).await.unwrap();
    assert!(!late.nodes[0].following);
    drop(first);
}

#[tokio::test]
async fn a_lost_hint_costs_one_poll() {
    let fixture = Fixture::with_organizations().await;
    let deaf = Arc::new(Faulty::deaf(fixture.folder.store()));
    let timing = Timing { poll: Duration::from_millis(5), ..BY_HINT };
    let source = Source { store: deaf, ..fixture.source() };
    let propagation = Propagation::start(source, plan(), timing).await.unwrap();
    let issued = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap();
    until(|| entry(&propagation, &digest_of(&issued)).is_some()).await;
}

#[tokio::test]
async fn a_gap_in_the_feed_means_a_full_load() {
    let fixture = Fixture::with_organizations().await;
    let deaf = Arc::new(Faulty::deaf(fixture.folder.store()));
    let source = Source { store: deaf.clone(), ..fixture.source() };
    let timing = Timing { poll: Duration::from_millis(5), ..BY_HINT };
    let propagation = Propagation::start(source, plan(), timing).await.unwrap();
    deaf.break_down();
    let issued = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap();
    fixture.control().create_key(&at(NOW), new_key("b")).await.unwrap();
    fixture.folder.store().trim_changes(1).await.unwrap();
    deaf.mend();
    until(|| entry(&propagation, &digest_of(&issued)).is_some()).await;
    until(|| propagation.snapshot().load().freshness().revision().get() == 4).await;
}

#[tokio::test]
async fn while_the_store_is_away_the_last_good_state_stays_and_grows_old() {
    let fixture = Fixture::with_organizations().await;
    let issued = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap();
    let store = Arc::new(Faulty::new(fixture.folder.store()));
    let time = Arc::new(std::sync::atomic::AtomicU64::new(NOW.as_millis()));
    let read = time.clone();
    let source = Source {
        store: store.clone(),
        clock: Arc::new(move || {
            let millis = read.load(std::sync::atomic::Ordering::Relaxed);
            keyward_core::time::Timestamp::from_millis(millis)
        }),
        ..fixture.source()
    };
    let timing = Timing { poll: Duration::from_millis(5), ..BY_HINT };
    let propagation = Propagation::start(source, plan(), timing).await.unwrap();
    store.break_down();
    until(|| store.refused() > 2).await;
    time.fetch_add(60_000, std::sync::atomic::Ordering::Relaxed);
    fixture.control().revoke_key(&at(NOW), issued.key().id).await.unwrap();
    let tries = store.refused();
    until(|| store.refused() > tries + 2).await;
    let state = || entry(&propagation, &digest_of(&issued)).map(|entry| entry.state);
    assert_eq!(state(), Some(KeyState::Active));
    assert_eq!(propagation.snapshot().load().freshness().confirmed_at(), NOW);

    store.mend();
    until(|| state() == Some(KeyState::Revoked)).await;
    until(|| propagation.snapshot().load().freshness().confirmed_at() > NOW).await;
}

#[tokio::test]
async fn a_stored_credential_reaches_the_policy_and_leaves_it() {
    let fixture = Fixture::with_organizations().await;
    let propagation = start(&fixture, BY_HINT).await;
    let shown = || {
        let snapshot = propagation.snapshot().load();
        let credential = snapshot.policy().upstreams()[0].credential.as_ref()?;
        Some((credential.header.to_string(), credential.value.expose().to_owned()))
    };
    assert_eq!(shown(), None);
    let control = fixture.control();
    let secret = keyward_core::key::Plaintext::new("up-secret".to_owned());
    control.set_upstream_credential(&at(NOW), "models", &secret).await.unwrap();
    let expected = ("authorization".to_owned(), "Bearer up-secret".to_owned());
    until(|| shown() == Some(expected.clone())).await;
    let wrong = control.set_upstream_credential(&at(NOW), "nope", &secret).await.unwrap_err();
    assert_eq!(wrong.to_string(), "there is no upstream `nope`: use one of models");
    control.remove_upstream_credential(&at(NOW), "models").await.unwrap();
    until(|| shown().is_none()).await;
}

#[tokio::test]
async fn a_configuration_is_taken_whole_or_not_at_all() {
    let fixture = Fixture::with_organizations().await;
    let issued = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap();
    let propagation = start(&fixture, BY_HINT).await;
    let before = propagation.snapshot().load_full();

    let same_place = Plan { apis: [plan().apis, vec![twin()]].concat(), ..plan() };
    let refused = propagation.republish(same_place).await.unwrap_err();
    let PropagationError::Policy(PolicyError::SamePlace(..)) = refused else { panic!("{refused}") };
    assert!(Arc::ptr_eq(&before, &propagation.snapshot().load_full()));

    propagation.republish(Plan { stale_after: None, ..plan() }).await.unwrap();
    let kept = propagation.snapshot().load_full();
    assert_eq!(kept.policy().stale_after(), None);
    assert!(Arc::ptr_eq(before.directory(), kept.directory()), "keys compile as before");

    // `read` becomes another permission: keys that were granted it must be compiled again.
    let text = DEFAULT.replace(r#"name = "read", "#, r#"name = "look", "#);
    let text = text.replace("[\"read\"]", "[\"look\"]");
    let changed = profile("main", &text[..text.find("# Deny by default").unwrap()]);
    let plan = Plan { apis: vec![api("main", &changed)], ..plan() };
    propagation.republish(plan).await.unwrap();
    let found = entry(&propagation, &digest_of(&issued)).unwrap();
    assert_eq!(found.permissions, keyward_core::permission::PermissionSet::EMPTY);
    // And it still follows.
    fixture.control().revoke_key(&at(NOW), issued.key().id).await.unwrap();
    let state = || entry(&propagation, &digest_of(&issued)).map(|entry| entry.state);
    until(|| state() == Some(KeyState::Revoked)).await;
}

/// Another API where `main` is.
fn twin() -> keyward_core::policy::Api {
    let mut twin = api("twin", &profile("main", ""));
    twin.hosts = vec!["main.test".into()];
    twin
}

#[tokio::test]
async fn the_full_comparison_mends_what_should_not_be() {
    let fixture = Fixture::with_organizations().await;
    let issued = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap();
    let timing = Timing { compare: Duration::from_millis(20), ..BY_HINT };
    let propagation = start(&fixture, timing).await;
    let snapshot = propagation.snapshot().load_full();
    let mut wrong = issued.key().clone();
    wrong.state = KeyState::Revoked;
    let (directory, policy) = (snapshot.directory(), snapshot.policy());
    directory.put_key(policy, &wrong, &issued.record.secrets).unwrap();
    assert!(!compare::holds(directory, policy, &issued.record));
    until(|| compare::holds(directory, policy, &issued.record)).await;
}

#[tokio::test]
async fn stopping_leaves_the_snapshot_in_place() {
    let fixture = Fixture::with_organizations().await;
    let propagation = start(&fixture, BY_HINT).await;
    let snapshot = propagation.snapshot().clone();
    propagation.stop();
    assert_eq!(snapshot.load().policy().apis().len(), plan().apis.len());
}

#[test]
fn a_directory_grows_with_what_is_loaded() {
    let policy = Arc::new(plan().policy(&Credentials::new()).unwrap());
    let mut builder = keyward_core::directory::Directory::builder(policy, 0);
    builder.organization(keyward_core::organization::Organization {
        id: organization("acme"),
        name: "acme".to_owned(),
        state: keyward_core::organization::OrganizationState::Active,
        model_ids: vec![],
        allowed_models: None,
        created_at: NOW,
        limits: vec![],
        plan: None,
    });
    let pepper = keyward_core::key::Pepper::new(PepperVersion(1), &[7; 32]).unwrap();
    let key_of = |number: u32| {
        let mut bits = [0; 16];
        bits[..4].copy_from_slice(&number.to_be_bytes());
        let new = new_key("many");
        let key = keyward_core::key::Key {
            id: KeyId::from_bits(bits),
            organization: new.organization,
            api: new.api,
            name: new.name,
            environment: "production".parse().unwrap(),
            permissions: new.permissions,
            allowed_networks: vec![],
            allowed_models: None,
            state: KeyState::Active,
            created_at: NOW,
            expires_at: None,
            owner: None,
            labels: Labels::default(),
            rotation: None,
            limits: vec![],
        };
        let secret = Secret {
            id: keyward_core::id::SecretId::from_bits(bits),
            key: key.id,
            digest: pepper.digest(&number.to_be_bytes()),
            pepper: PepperVersion(1),
            hint: String::new(),
            created_at: NOW,
            expires_at: None,
            last_used_at: None,
            form: Default::default(),
        };
        (key, secret)
    };
    for number in 0..60_000 {
        let (key, secret) = key_of(number);
        builder.key(&key, &[secret]).unwrap();
    }
    let directory = builder.build();
    assert_eq!(directory.secrets(), 60_000);
    for number in 0..60_000_u32 {
        let found = directory.find(&pepper.digest(&number.to_be_bytes())).unwrap();
        assert_eq!(found.key.bits()[..4], number.to_be_bytes());
    }
}
