//! No stored byte can make it panic: what is damaged is said to be.

use std::{fs, path::Path, sync::Arc};

use crate::conformance::{
    NOW, commit, creation, key_id, later, organization_id, secret_of, webhooks, with_organization,
};
use keyward_core::{
    id::AlertId,
    usage::{LastUse, Latencies, UsageBatch, UsageRow, UsageScope, UsageSums},
};
use keyward_store::{
    Alert, AuditFilter, Change, DueFilter, KeyFilter, Page, Revision, SealedBytes, Store,
    StoreError, UsageFilter, UsageGrain,
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
    store.record(&batch).await.unwrap();
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

/// The store of [`fill`], after a statement that no store would run.
fn damaged(whole: &Path, sql: &str) -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("keyward.db");
    fs::copy(whole.join("keyward.db"), &database).unwrap();
    let raw = rusqlite::Connection::open(database).unwrap();
    raw.execute_batch("PRAGMA ignore_check_constraints = on; PRAGMA foreign_keys = off").unwrap();
    raw.execute(sql, []).unwrap();
    drop(raw);
    let store: Arc<dyn Store> = crate::open(folder.path());
    (folder, store)
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
    ];
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path()).await;
    for (table, damage) in cases {
        let first = match table {
            "secrets" => "WHERE key_seq = 1 AND number = 1",
            "keys" => "WHERE seq = 1",
            "audit" | "change_feed" => "WHERE revision = 2",
            _ => "",
        };
        let (_folder, store) =
            damaged(whole.path(), &format!("UPDATE {table} SET {damage} {first}"));
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
async fn a_damaged_row_of_usage_keeps_nothing_from_being_told_or_recorded() {
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path()).await;
    let row = |minute, requests| {
        let scope =
            UsageScope { minute, key: Some(key_id(1)), status: 200, ..UsageScope::default() };
        let mut latencies = Latencies::default();
        latencies.add(1000);
        let sums = UsageSums { requests, ..UsageSums::default() };
        UsageRow {
            scope: UsageScope { api: "api".into(), route: "/".into(), ..scope },
            sums,
            latencies,
        }
    };
    let record = async |store: &Arc<dyn Store>, row| {
        store.record(&UsageBatch { rows: vec![row], ..UsageBatch::default() }).await.unwrap();
    };
    // What is damaged in the row of minute 1; how many requests of it are told still, of all keys and of its own; and of all keys when
    // 100 more are recorded.
    for (damage, of_all, of_key, with_more) in [
        ("status = 70000", 0, 0, 100),
        ("key = x'01'", 1, 0, 101),
        ("requests = -1", 0, 0, 99),
        ("reason = 'none of them'", 0, 0, 100),
        ("start = -1", 0, 0, 100),
        ("latencies = x'80'", 1, 1, 101),
    ] {
        let sql = format!("UPDATE usage_sums SET {damage} WHERE start = 1");
        let (_folder, store) = damaged(whole.path(), &sql);
        let requests = async |key| {
            let filter = UsageFilter { key, by: vec![], ..UsageFilter::minutes(0, 10) };
            let filter = UsageFilter { organization: key.map(|_| String::new()), ..filter };
            store.usage(&filter).await.unwrap().iter().map(|total| total.sums.requests).sum::<u64>()
        };
        record(&store, row(5, 10)).await;
        assert_eq!(requests(None).await, of_all + 10, "{damage}");
        assert_eq!(requests(Some(key_id(1))).await, of_key + 10, "{damage}");
        record(&store, row(1, 100)).await;
        assert_eq!(requests(None).await, with_more + 10, "{damage}");
        let mut next = Some(String::new());
        while let Some(from) = next {
            (_, next) = store.clear_usage(UsageGrain::Minute, 10, &from).await.unwrap();
        }
        assert_eq!(requests(None).await, 0, "{damage}: what is old goes, damaged or not");
    }
}

#[tokio::test]
async fn a_damaged_alert_rule_keeps_no_other_from_being_looked_at() {
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path()).await;
    for damage in ["condition = '{'", "scope = ''", "channel = '[]'", "organization = ''"] {
        let sql = format!("UPDATE alert_rules SET {damage} WHERE rowid = 2");
        let (_folder, store) = damaged(whole.path(), &sql);
        let rules = store.every_alert_rule().await.unwrap();
        assert_eq!(rules.len(), keyward_core::alert::defaults().len() - 1, "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_delivery_or_alert_holds_up_no_other() {
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path()).await;
    let org = organization_id("org");
    {
        let store: Arc<dyn Store> = crate::open(whole.path());
        commit(&store, webhooks::make(webhooks::webhook(1))).await.unwrap();
        let rule = store.alert_rules(Some(&org)).await.unwrap()[0].rule.id;
        for number in [1, 2] {
            let alert = Alert {
                id: AlertId::from_bits([number; 16]),
                rule,
                organization: Some(org.clone()),
                subject: number.to_string(),
                key: None,
                message: "many".to_owned(),
                raised_at: NOW,
                resolved_at: None,
            };
            assert_eq!(store.raise_alert(alert).await, Ok(true));
        }
    }
    let due = DueFilter { at: later(1), each: 10, limit: 10, ..DueFilter::default() };
    for damage in ["kind = 'none'", "payload = CAST(x'ff' AS TEXT)", "at = -1"] {
        let sql = format!("UPDATE events SET {damage} WHERE seq = 1");
        let (_folder, store) = damaged(whole.path(), &sql);
        let due = store.due_deliveries(&due).await.unwrap().deliveries;
        let [first, second] = due.as_slice() else { panic!("{due:?}") };
        let damaged = store.delivery(first.id).await;
        assert!(matches!(damaged, Err(StoreError::Corrupt { .. })), "{damage}: {damaged:?}");
        assert!(store.delivery(second.id).await.unwrap().is_some());
    }
    for damage in ["raised_at = -1", "key = x'00'", "message = CAST(x'ff' AS TEXT)"] {
        let sql = format!("UPDATE alerts SET {damage} WHERE seq = 1");
        let (_folder, store) = damaged(whole.path(), &sql);
        let raised = store.raised_alerts(Some(&org)).await.unwrap();
        assert_eq!(
            raised.iter().map(|one| one.subject.as_str()).collect::<Vec<_>>(),
            ["2"],
            "{damage}"
        );
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
