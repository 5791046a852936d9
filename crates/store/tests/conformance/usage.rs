//! What is promised of usage and last uses.

use keyward_core::{
    time::Timestamp,
    usage::{Exposure, LastUse, UsageBatch, UsageScope, UsageSums},
};
use keyward_store::{Change, SecretUse, UsageFilter};

use super::{Bed, commit, creation, key_id, later, secret_id, secret_of, trace, with_organization};

const MINUTE: u64 = 30_000_000;

fn scope(minute: u64, key: Option<u64>, route: &str, status: u16) -> UsageScope {
    UsageScope {
        minute: MINUTE + minute,
        api: "api".into(),
        route: route.into(),
        key: key.map(key_id),
        status,
    }
}

fn sums(requests: u64) -> UsageSums {
    UsageSums {
        requests,
        latency_micros: requests * 10,
        bytes_in: requests * 100,
        bytes_out: requests * 1000,
        ..UsageSums::default()
    }
}

fn batch(rows: Vec<(UsageScope, UsageSums)>) -> UsageBatch {
    UsageBatch { rows, ..UsageBatch::default() }
}

async fn fill(bed: &Bed) {
    let rows = vec![
        (scope(0, Some(1), "/a", 200), sums(1)),
        (scope(1, Some(1), "/a", 200), sums(2)),
        (scope(1, Some(1), "/b", 200), sums(4)),
        (scope(1, Some(2), "/a", 429), sums(8)),
        (scope(2, None, "", 401), sums(16)),
    ];
    bed.store.record(batch(rows)).await.unwrap();
    bed.second.record(batch(vec![(scope(1, Some(1), "/a", 200), sums(32))])).await.unwrap();
}

pub(crate) async fn usage_is_added_up_per_scope(bed: Bed) {
    fill(&bed).await;
    let totals = bed.store.usage(&UsageFilter::minutes(MINUTE, MINUTE + 3)).await.unwrap();
    let seen: Vec<_> = totals
        .iter()
        .map(|t| {
            let minutes = (t.first_minute - MINUTE, t.last_minute - MINUTE);
            (t.route.as_str(), t.key, t.status, minutes, t.sums)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("", None, 401, (2, 2), sums(16)),
            ("/a", Some(key_id(1)), 200, (0, 1), sums(35)),
            ("/a", Some(key_id(2)), 429, (1, 1), sums(8)),
            ("/b", Some(key_id(1)), 200, (1, 1), sums(4)),
        ]
    );
}

pub(crate) async fn usage_is_narrowed_by_every_filter(bed: Bed) {
    fill(&bed).await;
    let all = UsageFilter::minutes(MINUTE, MINUTE + 3);
    let requests = |filter: UsageFilter| {
        let store = bed.store.clone();
        async move {
            let totals = store.usage(&filter).await.unwrap();
            totals.iter().map(|total| total.sums.requests).sum::<u64>()
        }
    };
    assert_eq!(requests(all.clone()).await, 63);
    assert_eq!(requests(UsageFilter::minutes(MINUTE, MINUTE + 1)).await, 1);
    assert_eq!(requests(UsageFilter::minutes(MINUTE + 1, MINUTE + 2)).await, 46);
    assert_eq!(requests(UsageFilter { key: Some(key_id(1)), ..all.clone() }).await, 39);
    assert_eq!(requests(UsageFilter { route: Some("/a".to_owned()), ..all.clone() }).await, 43);
    assert_eq!(requests(UsageFilter { status: Some(401), ..all.clone() }).await, 16);
    assert_eq!(requests(UsageFilter { api: Some("none".to_owned()), ..all.clone() }).await, 0);
    let totals = bed.store.usage(&UsageFilter { limit: 2, ..all }).await.unwrap();
    assert_eq!(totals.len(), 2);
}

pub(crate) async fn figures_stay_at_their_maximum(bed: Bed) {
    let most = UsageSums {
        requests: u64::MAX,
        latency_micros: u64::MAX,
        bytes_in: u64::MAX,
        bytes_out: u64::MAX,
        ..UsageSums::default()
    };
    for _ in 0..3 {
        bed.store.record(batch(vec![(scope(0, None, "", 200), most)])).await.unwrap();
    }
    let totals = bed.store.usage(&UsageFilter::minutes(MINUTE, MINUTE + 1)).await.unwrap();
    let [total] = totals.as_slice() else { panic!("{totals:?}") };
    for figure in [total.sums.requests, total.sums.bytes_in, total.sums.bytes_out] {
        assert!(figure >= i64::MAX as u64, "{figure}");
    }
}

pub(crate) async fn last_uses_go_forward_only(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let unused = SecretUse { secret: secret_id(1), last: None, requests: 0, since_replaced: None };
    assert_eq!(bed.store.secret_uses(key_id(1)).await.unwrap(), [unused]);
    let used = |secret, at, from: &str| UsageBatch {
        last_uses: vec![LastUse {
            secret: secret_id(secret),
            at,
            from: from.parse().unwrap(),
            requests: 1,
        }],
        ..UsageBatch::default()
    };
    let last = |bed: &Bed| {
        let store = bed.store.clone();
        async move {
            let uses = store.secret_uses(key_id(1)).await.unwrap();
            let [SecretUse { last: Some((at, from)), requests, .. }] = *uses.as_slice() else {
                panic!("{uses:?}")
            };
            let secrets = store.key(key_id(1)).await.unwrap().unwrap().secrets;
            assert_eq!(secrets[0].last_used_at, Some(at));
            (at, from.to_string(), requests)
        }
    };
    bed.store.record(used(1, later(10), "203.0.113.7")).await.unwrap();
    assert_eq!(last(&bed).await, (later(10), "203.0.113.7".to_owned(), 1));
    bed.second.record(used(1, later(5), "198.51.100.1")).await.unwrap();
    assert_eq!(last(&bed).await, (later(10), "203.0.113.7".to_owned(), 2), "an older use");
    bed.second.record(used(1, later(11), "2001:db8::1")).await.unwrap();
    assert_eq!(last(&bed).await, (later(11), "2001:db8::1".to_owned(), 3));
    bed.store.record(used(9, later(12), "2001:db8::1")).await.unwrap();
    assert_eq!(last(&bed).await.0, later(11), "a secret that is not there is passed over");
}

pub(crate) async fn requests_of_a_replaced_secret_are_told_apart(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let used = |secret, requests| UsageBatch {
        last_uses: vec![LastUse {
            secret: secret_id(secret),
            at: later(1),
            from: "203.0.113.7".parse().unwrap(),
            requests,
        }],
        ..UsageBatch::default()
    };
    let counts = async || -> Vec<_> {
        let uses = bed.second.secret_uses(key_id(1)).await.unwrap();
        uses.iter().map(|one| (one.requests, one.since_replaced)).collect()
    };
    bed.store.record(used(1, 5)).await.unwrap();
    assert_eq!(counts().await, [(5, None)]);
    for number in [2, 3] {
        let old_expires_at = later(1000);
        let secret = secret_of(number, 1);
        commit(&bed.store, Change::RotateKey { key: key_id(1), secret, old_expires_at })
            .await
            .unwrap();
        bed.store.record(used(1, 2)).await.unwrap();
    }
    bed.store.record(used(3, u64::MAX)).await.unwrap();
    bed.store.record(used(3, 1)).await.unwrap();
    assert_eq!(counts().await, [(9, Some(4)), (0, Some(0)), (i64::MAX as u64, None)]);
}

pub(crate) async fn what_is_recorded_makes_no_revision(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let before = trace(&bed.store).await;
    fill(&bed).await;
    let last_uses = vec![LastUse {
        secret: secret_id(1),
        at: later(1),
        from: "203.0.113.7".parse().unwrap(),
        requests: 1,
    }];
    bed.store.record(UsageBatch { last_uses, ..UsageBatch::default() }).await.unwrap();
    bed.store.record(UsageBatch::default()).await.unwrap();
    assert_eq!(trace(&bed.store).await, before);
}

pub(crate) async fn exposures_in_a_batch_are_left_to_the_caller(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let before = bed.store.key(key_id(1)).await.unwrap();
    let exposures = vec![Exposure {
        key: key_id(1),
        at: Timestamp::from_secs(1),
        from: "203.0.113.7".parse().unwrap(),
        disable: true,
    }];
    bed.store.record(UsageBatch { exposures, ..UsageBatch::default() }).await.unwrap();
    assert_eq!(bed.store.key(key_id(1)).await.unwrap(), before);
}
