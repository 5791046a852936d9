//! The directory: every key is found, a change replaces what it must and leaves the rest, and readers never miss a key
//! that nobody touches.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics, in its helpers too"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use keyward_core::{
    directory::Directory,
    id::{ApiName, KeyId, SecretId},
    key::{Digest, Environment, Key, KeyState, Labels, PepperVersion, Secret},
    organization::{Organization, OrganizationState},
    policy::{Api, Policy},
    profile::{self, File},
    route::Routes,
    time::Timestamp,
};
use proptest::prelude::*;

const DEFAULT: &str = include_str!("../../../profiles/default.toml");

fn policy() -> Arc<Policy> {
    let files = BTreeMap::from([("default".to_owned(), File::new("default.toml", DEFAULT))]);
    let profile = Arc::new(profile::compile("default", &files).unwrap());
    let name: ApiName = "main".parse().unwrap();
    let api = Api {
        number: name.number(),
        name,
        routes: Routes::default(),
        hosts: vec!["*".into()],
        prefixes: vec!["/".into()],
        upstream: 0,
        https: profile.https,
        ask_for_usage: true,
        profile: profile.clone(),
        limits: vec![],
    };
    Arc::new(Policy::new(vec![api], vec![], profile, None).unwrap())
}

fn organization(id: &str, state: OrganizationState) -> Organization {
    Organization {
        id: id.parse().unwrap(),
        name: String::new(),
        state,
        model_ids: vec![],
        allowed_models: None,
        created_at: Timestamp::default(),
        limits: vec![],
        plan: None,
    }
}

/// SplitMix64.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn bits(number: u64, kind: u64) -> [u8; 16] {
    let wide = u128::from(scatter(number ^ (kind << 56))) << 64 | u128::from(number);
    wide.to_be_bytes()
}

fn digest(number: u64) -> Digest {
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).zip(0_u64..).for_each(|(chunk, at)| {
        chunk.copy_from_slice(&scatter(number ^ (at << 60)).to_le_bytes());
    });
    Digest::from_bytes(bytes)
}

fn key(number: u64) -> Key {
    Key {
        id: KeyId::from_bits(bits(number, 1)),
        organization: "org_a".parse().unwrap(),
        api: "main".parse().unwrap(),
        name: "test".to_owned(),
        environment: Environment::DEFAULT.parse().unwrap(),
        permissions: vec!["read".to_owned()],
        allowed_networks: vec![],
        allowed_models: None,
        state: KeyState::Active,
        created_at: Timestamp::default(),
        expires_at: None,
        owner: None,
        labels: Labels::default(),
        rotation: None,
        limits: vec![],
    }
}

/// The secret of a key that has this number in the key's place: the first is 0.
fn secret(of: &Key, number: u64, place: u64) -> Secret {
    let number = number * 8 + place;
    Secret {
        id: SecretId::from_bits(bits(number, 2)),
        key: of.id,
        digest: digest(number),
        pepper: PepperVersion(1),
        hint: String::new(),
        created_at: Timestamp::default(),
        expires_at: None,
        last_used_at: None,
        form: Default::default(),
    }
}

fn empty(policy: &Arc<Policy>) -> Directory {
    let mut builder = Directory::builder(policy.clone(), 0);
    builder.organization(organization("org_a", OrganizationState::Active));
    builder.organization(organization("org_b", OrganizationState::Suspended));
    builder.build()
}

/// Built at once, with room expected for `expected` secrets.
fn of_many(policy: &Arc<Policy>, count: u64, expected: usize) -> Directory {
    let mut builder = Directory::builder(policy.clone(), expected);
    builder.organization(organization("org_a", OrganizationState::Active));
    for number in 0..count {
        let key = key(number);
        builder.key(&key, &[secret(&key, number, 0)]).unwrap();
    }
    builder.build()
}

#[test]
fn a_hundred_thousand_keys_are_all_found_and_no_others() {
    const COUNT: u64 = 100_000;
    let policy = policy();
    // However many were expected.
    for expected in [100_000, 0, 10_000_000] {
        let directory = of_many(&policy, COUNT, expected);
        assert_eq!(directory.secrets(), 100_000);
        for number in 0..COUNT {
            let found = directory.find(&digest(number * 8)).map(|entry| entry.key);
            assert_eq!(found, Some(KeyId::from_bits(bits(number, 1))), "{number}");
        }
        for number in 0..COUNT {
            assert!(directory.find(&digest(number * 8 + 1)).is_none(), "{number}");
        }
    }
}

#[test]
fn a_directory_that_began_empty_takes_a_hundred_thousand_keys_one_by_one() {
    let policy = policy();
    let directory = empty(&policy);
    for number in 0..100_000 {
        let key = key(number);
        directory.put_key(&policy, &key, &[secret(&key, number, 0)]).unwrap();
    }
    assert_eq!(directory.secrets(), 100_000);
    for number in 0..100_000 {
        assert!(directory.find(&digest(number * 8)).is_some(), "{number}");
    }
}

/// Two digests that agree in all the bits by which a table finds them are still two: the whole digest is compared.
#[test]
fn the_whole_digest_is_the_index() {
    let policy = policy();
    let directory = empty(&policy);
    let spread = |last: u8| {
        let mut bytes = [7; 32];
        bytes[31] = last;
        Digest::from_bytes(bytes)
    };
    for last in 0..100 {
        let key = key(u64::from(last));
        let secret = Secret { digest: spread(last), ..secret(&key, u64::from(last), 0) };
        directory.put_key(&policy, &key, &[secret]).unwrap();
    }
    for last in 0..100 {
        let found = directory.find(&spread(last)).unwrap().key;
        assert_eq!(found, key(u64::from(last)).id);
    }
    assert!(directory.find(&spread(100)).is_none());
}

#[test]
fn a_key_put_again_is_replaced_with_all_its_secrets_and_nothing_else_changes() {
    let policy = policy();
    let directory = of_many(&policy, 20_000, 20_000);
    let other = |number: u64| format!("{:?}", directory.find(&digest(number * 8)));
    let before: Vec<_> = (0..20_000).map(other).collect();

    let mut changed = key(77);
    changed.state = KeyState::Disabled;
    changed.permissions = vec!["admin".to_owned()];
    changed.expires_at = Some(Timestamp::from_secs(50));
    changed.allowed_networks = vec!["10.0.0.0/8".parse().unwrap()];
    changed.allowed_models = Some(vec!["gpt-4".to_owned()]);
    let ended = Some(Timestamp::from_secs(20));
    let old = Secret { expires_at: ended, ..secret(&changed, 77, 0) };
    let new = secret(&changed, 77, 1);
    directory.put_key(&policy, &changed, &[old, new]).unwrap();

    assert_eq!(directory.secrets(), 20_001);
    let vocabulary = &policy.api("main").unwrap().profile.vocabulary;
    for (place, end) in [(0, 20), (1, 50)] {
        let entry = directory.find(&digest(77 * 8 + place)).unwrap();
        assert_eq!((entry.key, entry.state), (changed.id, KeyState::Disabled));
        assert_eq!(entry.expires_at, Timestamp::from_secs(end));
        assert_eq!(entry.permissions, vocabulary.grant(["admin"]));
        let restrictions = entry.restrictions.unwrap();
        assert_eq!(restrictions.networks.len(), 1);
        assert_eq!(restrictions.models.as_deref(), Some(&["gpt-4".into()][..]));
    }
    for (number, before) in (0_u64..).zip(before).filter(|(number, _)| *number != 77) {
        assert_eq!(other(number), before, "{number}");
    }
}

#[test]
fn a_key_of_an_organization_that_is_not_there_is_damage_and_changes_nothing() {
    let policy = policy();
    let directory = empty(&policy);
    let mut orphan = key(1);
    orphan.organization = "org_nobody".parse().unwrap();
    let error = directory.put_key(&policy, &orphan, &[secret(&orphan, 1, 0)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("key {} belongs to organization `org_nobody`, which does not exist", orphan.id)
    );
    assert_eq!(directory.secrets(), 0);
    let mut builder = Directory::builder(policy, 0);
    assert!(builder.key(&orphan, &[]).is_err());
}

#[test]
fn an_organization_keeps_its_slot_when_it_changes() {
    let policy = policy();
    let directory = empty(&policy);
    let key = key(1);
    directory.put_key(&policy, &key, &[secret(&key, 1, 0)]).unwrap();
    let slot = directory.find(&digest(8)).unwrap().organization;
    assert_eq!(directory.organization_state(slot), Some(OrganizationState::Active));
    directory.put_organization(organization("org_c", OrganizationState::Active));
    directory.put_organization(organization("org_a", OrganizationState::Suspended));
    assert_eq!(directory.organization(slot).unwrap().id.as_str(), "org_a");
    assert_eq!(directory.organization(slot).unwrap().state, OrganizationState::Suspended);
    assert_eq!(directory.organization_state(slot), Some(OrganizationState::Suspended));
}

#[test]
fn a_key_of_an_api_that_is_no_longer_configured_stays_known_and_may_do_nothing() {
    let policy = policy();
    let directory = empty(&policy);
    let mut key = key(1);
    key.api = "gone".parse().unwrap();
    directory.put_key(&policy, &key, &[secret(&key, 1, 0)]).unwrap();
    let entry = directory.find(&digest(8)).unwrap();
    assert_eq!(entry.permissions, keyward_core::permission::PermissionSet::EMPTY);
    assert_eq!(entry.api, key.api.number());
}

/// One step that changes a directory.
#[derive(Clone, Debug)]
struct Step {
    key: u64,
    secrets: u64,
    state: KeyState,
    expires_at: Option<u64>,
    in_b: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let state =
        prop_oneof![Just(KeyState::Active), Just(KeyState::Disabled), Just(KeyState::Revoked)];
    let step = (0..12_u64, 1..4_u64, state, proptest::option::of(0..100_u64), any::<bool>())
        .prop_map(|(key, secrets, state, expires_at, in_b)| Step {
            key,
            secrets,
            state,
            expires_at,
            in_b,
        });
    proptest::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_directory_changed_step_by_step_equals_one_built_at_once(steps in steps()) {
        let policy = policy();
        let changed = empty(&policy);
        let mut last: BTreeMap<u64, (Key, Vec<Secret>)> = BTreeMap::new();
        for step in steps {
            let mut key = key(step.key);
            key.state = step.state;
            key.expires_at = step.expires_at.map(Timestamp::from_secs);
            key.organization = if step.in_b { "org_b" } else { "org_a" }.parse().unwrap();
            // A secret that a key once had is never forgotten, only ended.
            let had = last.get(&step.key).map_or(0, |(_, secrets)| secrets.len() as u64);
            let secrets: Vec<_> =
                (0..step.secrets.max(had)).map(|place| secret(&key, step.key, place)).collect();
            changed.put_key(&policy, &key, &secrets).unwrap();
            last.insert(step.key, (key, secrets));
        }
        let mut builder = Directory::builder(policy, 0);
        builder.organization(organization("org_a", OrganizationState::Active));
        builder.organization(organization("org_b", OrganizationState::Suspended));
        for (key, secrets) in last.values() {
            builder.key(key, secrets).unwrap();
        }
        let built = builder.build();
        prop_assert_eq!(changed.secrets(), built.secrets());
        for number in 0..12 * 8 {
            let of = |directory: &Directory| format!("{:?}", directory.find(&digest(number)));
            prop_assert_eq!(of(&changed), of(&built), "{}", number);
        }
    }
}

#[test]
fn readers_never_miss_a_key_that_nobody_touches_while_others_are_written() {
    // Some twenty stand in each shard, and every write replaces a shard.
    const UNTOUCHED: u64 = 20_000;
    const READS: usize = 30_000;
    const WRITES: usize = 5_000;
    let policy = policy();
    let directory = of_many(&policy, UNTOUCHED, 0);
    let done = AtomicBool::new(false);
    let reads = AtomicUsize::new(0);
    let read = |reader: u64| {
        for at in (reader..).step_by(3) {
            if done.load(Ordering::Relaxed) {
                return;
            }
            let number = scatter(at) % UNTOUCHED;
            let entry = directory.find(&digest(number * 8)).unwrap();
            assert_eq!(entry.key, KeyId::from_bits(bits(number, 1)));
            assert_eq!(entry.state, KeyState::Active);
            reads.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|reader| scope.spawn(move || read(reader))).collect();
        // Written as long as the readers need for their share, whatever the machine is busy with.
        for (written, number) in (UNTOUCHED..UNTOUCHED + 500).cycle().enumerate() {
            let enough = written >= WRITES && reads.load(Ordering::Relaxed) >= READS;
            if enough || readers.iter().any(|reader| reader.is_finished()) {
                break;
            }
            let mut key = key(number);
            key.state = if written % 3 == 0 { KeyState::Revoked } else { KeyState::Active };
            directory.put_key(&policy, &key, &[secret(&key, number, 0)]).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}
