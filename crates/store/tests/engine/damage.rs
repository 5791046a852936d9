//! No stored byte can make it panic: what is damaged is said to be.

use std::{fs, path::Path, sync::Arc};

use crate::conformance::{
    NOW, commit, creation, key_id, later, organization_id, secret_of, with_organization,
};
use keyward_core::usage::{LastUse, UsageBatch, UsageRow, UsageScope, UsageSums};
use keyward_store::{
    AuditFilter, Change, KeyFilter, Page, Revision, SealedBytes, Store, StoreError, UsageFilter,
};

/// A store in which every table has rows.
async fn fill(folder: &Path) {
    let store: Arc<dyn Store> = crate::open(folder);
    with_organization(&store).await;
    for number in 1..=40 {
        commit(&store, creation(number)).await.unwrap();
    }
    let model = "m".parse().unwrap();
    for change in [
        Change::AssignModelId { organization: organization_id("org"), model },
        Change::RotateKey { key: key_id(1), secret: secret_of(100, 1), old_expires_at: later(1) },
        Change::SetUpstreamCredential {
            upstream: "up".to_owned(),
            sealed: SealedBytes::from_bytes(*b"sealed"),
        },
    ] {
        commit(&store, change).await.unwrap();
    }
    let scope = UsageScope {
        minute: 1,
        api: "api".into(),
        route: "/".into(),
        key: Some(key_id(1)),
        status: 200,
        ..UsageScope::default()
    };
    let last = LastUse {
        secret: secret_of(1, 1).id,
        at: NOW,
        from: "203.0.113.7".parse().unwrap(),
        requests: 1,
    };
    let sums = UsageSums { requests: 1, ..UsageSums::default() };
    let batch = UsageBatch {
        rows: vec![UsageRow { scope, sums, ..UsageRow::default() }],
        last_uses: vec![last],
        exposures: vec![],
        upgrades: vec![],
    };
    store.record(batch).await.unwrap();
}

/// Asks everything there is to ask, and gives every error.
async fn ask_everything(store: &Arc<dyn Store>) -> Vec<StoreError> {
    let org = organization_id("org");
    let api = "api".parse().unwrap();
    let mut errors = vec![];
    errors.extend(store.revision().await.err());
    errors.extend(store.organization(&org).await.err());
    errors.extend(store.organizations().await.err());
    errors.extend(store.key(key_id(1)).await.err());
    errors.extend(store.keys(&KeyFilter::default(), Page::first(1000)).await.err());
    errors.extend(store.find_key_by_name(&org, &api, "key 1").await.err());
    errors.extend(store.secret_uses(key_id(1)).await.err());
    errors.extend(store.upstream_credentials().await.err());
    errors.extend(store.audit(&AuditFilter::default(), Page::first(1000)).await.err());
    errors.extend(store.verify_audit(None).await.err());
    errors.extend(store.usage(&UsageFilter::minutes(0, 10)).await.err());
    errors.extend(store.changes_since(Revision::ZERO, 1000).await.err());
    errors.extend(store.load(&mut |_| {}).await.err());
    errors
}

#[tokio::test]
async fn a_damaged_row_is_named_and_the_others_stay_readable() {
    let cases = [
        ("organizations", "state = 'sleeping'"),
        ("organizations", "allowed_models = '[1]'"),
        ("organizations", "created_at = -1"),
        ("organizations", "name = CAST(x'ff' AS TEXT)"),
        ("model_ids", "model = 'not a model'"),
        ("keys", "tags = '{}'"),
        ("keys", "metadata = '[]'"),
        ("keys", "rotate_after_days = -1"),
        ("keys", "revision = -1"),
        ("secrets", "requests = -1"),
        ("keys", "id = x'00'"),
        ("keys", "organization = ''"),
        ("keys", "api = 'a b'"),
        ("keys", "environment = 'Not One'"),
        ("keys", "permissions = '{'"),
        ("keys", "allowed_networks = '[\"10.0.0.0/99\"]'"),
        ("keys", "allowed_models = 'null and void'"),
        ("keys", "state = ''"),
        ("keys", "expires_at = -9223372036854775808"),
        ("secrets", "digest = x''"),
        ("secrets", "pepper = -1"),
        ("secrets", "hint = CAST(x'c0c0' AS TEXT)"),
        ("secrets", "last_used_from = 'nowhere'"),
        ("upstream_credentials", "set_at = -1"),
        ("audit", "actor_kind = 'ghost'"),
        ("audit", "subject = 'nothing'"),
        ("audit", "before = '{'"),
        ("change_feed", "subject_kind = 'ghost'"),
        ("usage_sums", "status = 70000"),
        ("usage_sums", "key = x'01'"),
        ("usage_sums", "requests = -1"),
        ("usage_sums", "reason = 'none of them'"),
        ("usage_sums", "latencies = x'80'"),
    ];
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path()).await;
    for (table, damage) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(whole.path().join("keyward.db"), folder.path().join("keyward.db")).unwrap();
        let raw = rusqlite::Connection::open(folder.path().join("keyward.db")).unwrap();
        raw.execute_batch("PRAGMA ignore_check_constraints = on; PRAGMA foreign_keys = off")
            .unwrap();
        let first = match table {
            "secrets" => "WHERE key_seq = 1 AND number = 1",
            "keys" => "WHERE seq = 1",
            "audit" | "change_feed" => "WHERE revision = 2",
            _ => "",
        };
        raw.execute(&format!("UPDATE {table} SET {damage} {first}"), []).unwrap();
        drop(raw);
        let store: Arc<dyn Store> = crate::open(folder.path());
        let errors = ask_everything(&store).await;
        assert!(!errors.is_empty(), "{table}: {damage} went unnoticed");
        for error in errors {
            let StoreError::Corrupt { table: named, .. } = &error else {
                panic!("{table}: {damage}: {error}");
            };
            assert_eq!(named, table, "{damage}");
            assert!(error.is_outage(), "what cannot be read is not unknown");
        }
        assert!(store.key(key_id(2)).await.unwrap().is_some(), "{table}: {damage}");
        commit(&store, creation(1000)).await.unwrap_or_else(|error| {
            assert!(matches!(error, StoreError::Corrupt { .. }), "{table}: {damage}: {error}");
            Revision::ZERO
        });
    }
}

#[tokio::test]
async fn no_flipped_byte_of_the_file_makes_it_panic() {
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path()).await;
    let bytes = fs::read(whole.path().join("keyward.db")).unwrap();
    // Repeatable, and different in every page: a linear congruential generator.
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut noticed = 0;
    for _ in 0..150 {
        let mut damaged = bytes.clone();
        for _ in 0..=next(20) {
            let at = next(damaged.len());
            damaged[at] = u8::try_from(next(256)).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("keyward.db");
        fs::write(&database, damaged).unwrap();
        let Ok(store) = crate::try_open(&database) else {
            noticed += 1;
            continue;
        };
        let store: Arc<dyn Store> = Arc::new(store);
        let mut errors = ask_everything(&store).await;
        errors.extend(commit(&store, creation(2000)).await.err());
        noticed += u32::from(!errors.is_empty());
        for error in errors {
            // A thread that panicked would leave its questions unanswered.
            assert!(!error.to_string().contains("the store is closed"), "{error}");
        }
    }
    assert!(noticed > 30, "only {noticed} of 150 damages were noticed: the test hits nothing");
}
