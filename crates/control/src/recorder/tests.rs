//! What the recorder promises: nothing that was told is lost unless it says so.

use std::{net::IpAddr, sync::Arc, time::Duration};

use keyward_core::{
    id::{KeyId, SecretId},
    key::Digest,
    time::Timestamp,
    usage::{Exposure, LastUse, Upgrade, UsageBatch, UsageRow, UsageScope, UsageSums},
};
use keyward_store::{AuditFilter, UsageFilter};

use super::{HANDFUL, Recorder};
use crate::{
    app::usage::{UsageAsked, UsageTerms},
    fixture::{Faulty, Fixture, NOW, at, new_key},
};

fn row(key: Option<KeyId>, status: u16, requests: u64) -> UsageRow {
    let scope = UsageScope {
        minute: NOW.as_minutes(),
        api: "main".into(),
        route: "/v1/x".into(),
        key,
        status,
        ..UsageScope::default()
    };
    let sums = UsageSums {
        requests,
        latency_micros: requests * 10,
        bytes_in: 1,
        bytes_out: 2,
        ..UsageSums::default()
    };
    UsageRow { scope, sums, ..UsageRow::default() }
}

fn rows(rows: Vec<UsageRow>) -> UsageBatch {
    UsageBatch { rows, ..UsageBatch::default() }
}

/// Blocking: not called where tasks run.
fn finish(recorder: Recorder) {
    std::thread::spawn(move || recorder.finish()).join().unwrap();
}

async fn requests(fixture: &Fixture) -> Vec<(u16, u64)> {
    let all = UsageFilter::minutes(0, NOW.as_minutes() + 1);
    let totals = fixture.folder.store().usage(&all).await.unwrap();
    let mut sums: Vec<_> =
        totals.into_iter().map(|one| (one.group.status.unwrap(), one.sums.requests)).collect();
    sums.sort_unstable();
    sums
}

#[tokio::test]
async fn what_was_told_before_the_end_is_written() {
    let fixture = Fixture::with_organizations().await;
    let issued = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap();
    let (key, secret) = (issued.key().id, issued.secret);
    let recorder = Recorder::start(fixture.folder.store(), Arc::new(|| NOW)).unwrap();
    let sink = recorder.sink();
    let address: IpAddr = [192, 0, 2, 1].into();
    for second in 0..5 {
        let at = NOW.plus(Duration::from_secs(second));
        sink.submit(UsageBatch {
            rows: vec![row(Some(key), 200, 3), row(None, 401, 1)],
            last_uses: vec![LastUse { secret, at, from: address, requests: 1 }],
            exposures: vec![],
            upgrades: vec![],
        });
    }
    // Late news of an earlier use does not take the later one's place.
    let early = LastUse { secret, at: NOW, from: [192, 0, 2, 9].into(), requests: 1 };
    sink.submit(UsageBatch { last_uses: vec![early], ..UsageBatch::default() });
    finish(recorder);

    assert_eq!(requests(&fixture).await, [(200, 15), (401, 5)]);
    let uses = fixture.folder.store().secret_uses(key).await.unwrap();
    assert_eq!(uses[0].last, Some((NOW.plus(Duration::from_secs(4)), address)));
    assert_eq!(uses[0].requests, 6, "late news is counted all the same");
}

#[tokio::test]
async fn what_cannot_be_written_is_kept_until_it_can() {
    let fixture = Fixture::with_organizations().await;
    let store = Arc::new(Faulty::new(fixture.folder.store()));
    store.break_down();
    let recorder = Recorder::start(store.clone(), Arc::new(|| NOW)).unwrap();
    recorder.sink().submit(rows(vec![row(None, 200, 2)]));
    let waiting = async {
        while store.refused() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    assert_eq!(requests(&fixture).await, []);
    recorder.sink().submit(rows(vec![row(None, 200, 5)]));
    store.mend();
    finish(recorder);
    assert_eq!(requests(&fixture).await, [(200, 7)]);
}

#[tokio::test]
async fn more_than_a_handful_is_written_to_the_last() {
    let fixture = Fixture::with_organizations().await;
    let recorder = Recorder::start(fixture.folder.store(), Arc::new(|| NOW)).unwrap();
    let many = (0..1_000_u128).map(|n| row(Some(KeyId::from_bits(n.to_be_bytes())), 200, 1));
    recorder.sink().submit(rows(many.collect()));
    finish(recorder);
    let written = requests(&fixture).await;
    assert_eq!((written.len(), written.iter().map(|(_, count)| count).sum()), (1_000, 1_000));
}

#[tokio::test]
async fn nothing_is_lost_while_the_store_is_away() {
    const BATCHES: u64 = 3000;
    let fixture = Fixture::with_organizations().await;
    let store = Arc::new(Faulty::new(fixture.folder.store()));
    store.break_down();
    let recorder = Recorder::start(store.clone(), Arc::new(|| NOW)).unwrap();
    for _ in 0..BATCHES {
        recorder.sink().submit(rows(vec![row(None, 200, 1)]));
    }
    store.mend();
    finish(recorder);
    assert_eq!(requests(&fixture).await, [(200, BATCHES)]);
}

#[tokio::test]
async fn a_key_seen_in_the_clear_is_marked_once_and_disabled_where_that_was_chosen() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let one = control.create_key(&at(NOW), new_key("one")).await.unwrap().key().id;
    let two = control.create_key(&at(NOW), new_key("two")).await.unwrap().key().id;
    let seen = |key, disable, secs| Exposure {
        key,
        at: Timestamp::from_secs(NOW.as_secs() + secs),
        from: [198, 51, 100, 4].into(),
        disable,
    };
    let recorder = Recorder::start(fixture.folder.store(), Arc::new(|| NOW)).unwrap();
    let nobody = KeyId::from_bits([9; 16]);
    let exposures =
        vec![seen(nobody, true, 0), seen(one, false, 1), seen(one, false, 2), seen(two, true, 3)];
    recorder.sink().submit(UsageBatch { exposures, ..UsageBatch::default() });
    finish(recorder);

    let state = async |key| control.show_key(&at(NOW), key).await.unwrap().key.state.as_str();
    assert_eq!((state(one).await, state(two).await), ("active", "disabled"));
    let entries =
        control.list_audit_entries(&at(NOW), &AuditFilter::default(), None, 2).await.unwrap().items;
    assert!(entries.iter().all(|entry| entry.actor.interface == "gateway"), "{entries:?}");
    let mut subjects: Vec<_> = entries.into_iter().map(|entry| entry.subject.id).collect();
    subjects.sort();
    let mut expected = vec![one.to_string(), two.to_string()];
    expected.sort();
    assert_eq!(subjects, expected);
}

/// Asks until it is so; says whether it came to that.
async fn comes_to(is_so: impl AsyncFn() -> bool) -> bool {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.is_ok()
}

#[tokio::test]
async fn what_is_told_beside_usage_to_be_complete_is_in_it() {
    let fixture = Fixture::with_organizations().await;
    let recorder = Recorder::start(fixture.folder.store(), Arc::new(|| NOW)).unwrap();
    let store = Arc::new(Faulty::held(fixture.folder.store()));
    let progress = recorder.progress();
    let control =
        fixture.control_of(store.clone()).with_usage(UsageTerms::default(), Some(progress.clone()));
    recorder.sink().submit(rows(vec![row(None, 200, 1)]));
    let later = NOW.plus(Duration::from_secs(60));
    assert!(comes_to(async || progress.recorded_until(later) <= NOW).await);
    let (asked, moment) = (UsageAsked::default(), at(later));
    let (page, ()) = tokio::join!(control.usage(&moment, &asked, None, 10), async {
        comes_to(async || !requests(&fixture).await.is_empty()).await;
        store.let_through(1);
    });
    let page = page.unwrap();
    assert!(!page.items.is_empty() || page.complete_until <= NOW.to_string(), "{page:?}");
    finish(recorder);
}

#[tokio::test]
async fn a_key_seen_in_the_clear_waits_for_no_round() {
    let fixture = Fixture::with_organizations().await;
    let control = fixture.control();
    let key = control.create_key(&at(NOW), new_key("one")).await.unwrap().key().id;
    let store = Arc::new(Faulty::held(fixture.folder.store()));
    let recorder = Recorder::start(store.clone(), Arc::new(|| NOW)).unwrap();
    // Handfuls of last uses, of secrets that nobody has.
    let used = |n: u128| {
        let secret = SecretId::from_bits(n.to_be_bytes());
        LastUse { secret, at: NOW, from: [192, 0, 2, 1].into(), requests: 1 }
    };
    let last_uses = (0..10 * HANDFUL as u128).map(used).collect();
    recorder.sink().submit(UsageBatch { last_uses, ..UsageBatch::default() });
    comes_to(async || store.given() > 0).await;
    let exposures = vec![Exposure { key, at: NOW, from: [198, 51, 100, 4].into(), disable: true }];
    recorder.sink().submit(UsageBatch { exposures, ..UsageBatch::default() });
    // Not all of them.
    store.let_through(5);
    let state = async || control.show_key(&at(NOW), key).await.unwrap().key.state;
    let is_disabled = comes_to(async || state().await.as_str() == "disabled").await;
    store.let_through(100);
    finish(recorder);
    assert!(is_disabled);
}

#[tokio::test]
async fn an_imported_secret_that_was_used_is_kept_as_ours_once() {
    let fixture = Fixture::with_organizations().await;
    let import = crate::app::import::Import {
        organization: crate::fixture::organization("acme"),
        api: "main".parse().unwrap(),
        format: keyward_api::RowFormat::Csv,
        dry_run: false,
    };
    let rows = format!(
        "name,digest,algorithm,permissions\none,{:064x},sha256,read\ntwo,{:064x},sha256,read\n",
        1, 2
    );
    fixture.control().import_keys(&at(NOW), &import, rows.as_bytes()).await.unwrap();
    let store = fixture.folder.store();
    let secrets = async || {
        let all = store.keys(&Default::default(), keyward_store::Page::first(10)).await.unwrap();
        all.into_iter().map(|record| record.secrets[0].clone()).collect::<Vec<_>>()
    };
    let before = secrets().await;
    let (digest, pepper) = (Digest::from_bytes([7; 32]), before[0].pepper);
    let told = |secret| Upgrade { secret, digest, pepper };
    let faulty = Arc::new(Faulty::new(store.clone()));
    faulty.break_down();
    let recorder = Recorder::start(faulty.clone(), Arc::new(|| NOW)).unwrap();
    // The second comes too late for this digest, and stays as it was; who is not there is nobody.
    let nobody = SecretId::from_bits([9; 16]);
    for upgrades in [vec![told(before[0].id)], vec![told(before[1].id), told(nobody)]] {
        recorder.sink().submit(UsageBatch { upgrades, ..UsageBatch::default() });
    }
    faulty.mend();
    for secret in [before[0].id, before[1].id] {
        recorder
            .sink()
            .submit(UsageBatch { upgrades: vec![told(secret)], ..UsageBatch::default() });
    }
    finish(recorder);
    let after = secrets().await;
    let forms: Vec<_> = after.iter().map(|secret| secret.form.as_str()).collect();
    assert!(forms.contains(&"imported") && forms.contains(&"sha256"), "{forms:?}");
    assert_eq!(after.iter().filter(|secret| secret.digest == digest).count(), 1);
}
