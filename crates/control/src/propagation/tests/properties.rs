//! Applying the feed, in whatever steps, ends in the state that a full load gives.

use std::time::Duration;

use keyward_core::{directory::Directory, id::KeyId, policy::Policy};
use keyward_store::{Feed, Loaded, OrganizationUpdate, Revision, Store};
use proptest::prelude::*;

use super::super::{apply, compare, load};
use crate::{
    Control,
    app::keys::NewKey,
    fixture::{Fixture, NOW, at, new_key, organization, plan},
};

/// What people do, by choices that are made among what there is.
#[derive(Clone, Debug)]
enum Step {
    CreateKey {
        at_staff: bool,
        by_other: bool,
        expires: bool,
        restricted: bool,
    },
    Disable(usize),
    Enable(usize),
    Revoke(usize),
    Rotate(usize, u64),
    Retire(usize),
    Suspend(bool),
    Resume(bool),
    AllowModels(bool, bool),
    AssignModel(bool),
    /// The reader looks.
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<(bool, bool, bool, bool)>().prop_map(|(at_staff, by_other, expires, restricted)| {
            Step::CreateKey { at_staff, by_other, expires, restricted }
        }),
        1 => any::<usize>().prop_map(Step::Disable),
        1 => any::<usize>().prop_map(Step::Enable),
        1 => any::<usize>().prop_map(Step::Revoke),
        2 => (any::<usize>(), 0_u64..1000).prop_map(|(key, overlap)| Step::Rotate(key, overlap)),
        1 => any::<usize>().prop_map(Step::Retire),
        1 => any::<bool>().prop_map(Step::Suspend),
        1 => any::<bool>().prop_map(Step::Resume),
        1 => any::<(bool, bool)>().prop_map(|(other, some)| Step::AllowModels(other, some)),
        1 => any::<bool>().prop_map(Step::AssignModel),
        3 => Just(Step::Look),
    ]
}

fn owner(other: bool) -> keyward_core::id::OrganizationId {
    organization(if other { "other" } else { "acme" })
}

/// Does a step. Steps that are refused (a revoked key, a bound that is reached) change nothing, which is fine.
async fn act(control: &Control, keys: &mut Vec<KeyId>, number: usize, step: &Step) {
    let context = at(NOW);
    let chosen = |at: &usize| keys.get(at % keys.len().max(1)).copied();
    match step {
        Step::CreateKey { at_staff, by_other, expires, restricted } => {
            let new = NewKey {
                api: if *at_staff { "staff" } else { "main" }.parse().unwrap(),
                permissions: vec![if *at_staff { "speak" } else { "write" }.to_owned()],
                organization: owner(*by_other),
                expires_at: expires.then(|| NOW.plus(Duration::from_secs(9))),
                allowed_networks: restricted
                    .then(|| "10.0.0.0/8".parse().unwrap())
                    .into_iter()
                    .collect(),
                allowed_models: restricted.then(|| vec!["m".to_owned()]),
                ..new_key(&format!("key {number}"))
            };
            if let Ok(issued) = control.create_key(&context, new).await {
                keys.push(issued.key().id);
            }
        }
        Step::Disable(at) => {
            if let Some(key) = chosen(at) {
                let _ = control.disable_key(&context, key).await;
            }
        }
        Step::Enable(at) => {
            if let Some(key) = chosen(at) {
                let _ = control.enable_key(&context, key).await;
            }
        }
        Step::Revoke(at) => {
            if let Some(key) = chosen(at) {
                let _ = control.revoke_key(&context, key).await;
            }
        }
        Step::Rotate(at, overlap) => {
            if let Some(key) = chosen(at) {
                let _ = control.rotate_key(&context, key, Duration::from_secs(*overlap)).await;
            }
        }
        Step::Retire(at) => {
            if let Some(key) = chosen(at) {
                let shown = control.show_key(&crate::fixture::at(NOW), key).await.unwrap();
                let oldest = shown.key.secrets[0].id.parse().unwrap();
                let _ = control.retire_secret(&context, key, oldest, true).await;
            }
        }
        Step::Suspend(other) => {
            control.suspend_organization(&context, &owner(*other)).await.unwrap();
        }
        Step::Resume(other) => {
            control.resume_organization(&context, &owner(*other)).await.unwrap();
        }
        Step::AllowModels(other, some) => {
            let models = some.then(|| vec!["m".to_owned()]);
            let update = OrganizationUpdate {
                allowed_models: Some(models),
                ..OrganizationUpdate::default()
            };
            control.update_organization(&context, &owner(*other), update, None).await.unwrap();
        }
        Step::AssignModel(other) => {
            control.assign_model_id(&context, &owner(*other), None).await.unwrap();
        }
        Step::Look => {}
    }
}

/// Follows the feed, two entries at a time, so that pieces are cut everywhere.
async fn follow(
    store: &dyn Store,
    directory: &Directory,
    policy: &Policy,
    mut known: Revision,
) -> Revision {
    loop {
        let Feed::Entries(entries) = store.changes_since(known, 2).await.unwrap() else {
            panic!("nothing was trimmed")
        };
        let Some(last) = entries.last() else { return known };
        known = last.revision;
        apply::apply(store, directory, policy, &entries).await.unwrap();
    }
}

async fn secrets_in(store: &dyn Store) -> usize {
    let mut secrets = 0;
    store
        .load(&mut |item| {
            if let Loaded::Key(record) = item {
                secrets += record.secrets.len();
            }
        })
        .await
        .unwrap();
    secrets
}

async fn stepwise_equals_full(steps: Vec<Step>) {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let state = load::load(&fixture.source(), &plan(), 0).await.unwrap();
    let store = fixture.folder.store();
    let (mut known, mut keys) = (state.revision, vec![]);
    for (number, step) in steps.iter().enumerate() {
        act(&control, &mut keys, number, step).await;
        if matches!(step, Step::Look) {
            known = follow(&*store, &state.directory, &state.policy, known).await;
        }
    }
    known = follow(&*store, &state.directory, &state.policy, known).await;
    assert_eq!(known, store.revision().await.unwrap());

    let full = load::load(&fixture.source(), &plan(), 0).await.unwrap();
    for directory in [&state.directory, &full.directory] {
        let differences = compare::compare(&*store, directory, &state.policy).await.unwrap();
        assert!(differences.is_empty(), "{differences:?}");
        assert_eq!(directory.secrets(), secrets_in(&*store).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn applying_the_feed_equals_a_full_load(steps in proptest::collection::vec(step(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(stepwise_equals_full(steps));
    }
}
