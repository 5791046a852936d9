//! What is promised of usage and last uses.

use std::sync::Arc;

use keyward_core::{
    money::Money,
    time::Timestamp,
    usage::{Exposure, LastUse, Latencies, Tokens, UsageBatch, UsageRow, UsageScope, UsageSums},
    verdict::Reason,
};
use keyward_store::{
    Change, SecretUse, Store, StoreError, UsageBy, UsageFilter, UsageGrain, UsageGroup,
};

use super::{Bed, commit, creation, key_id, later, secret_id, secret_of, trace, with_organization};

const MINUTE: u64 = 30_000_000;

fn scope(minute: u64, key: Option<u64>, route: &str, status: u16) -> UsageScope {
    UsageScope {
        minute: MINUTE + minute,
        api: "api".into(),
        route: route.into(),
        key: key.map(key_id),
        status,
        ..UsageScope::default()
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
    let row = |(scope, sums)| UsageRow { scope, sums, ..UsageRow::default() };
    UsageBatch { rows: rows.into_iter().map(row).collect(), ..UsageBatch::default() }
}

async fn fill(bed: &Bed) {
    let rows = vec![
        (scope(0, Some(1), "/a", 200), sums(1)),
        (scope(1, Some(1), "/a", 200), sums(2)),
        (scope(1, Some(1), "/b", 200), sums(4)),
        (scope(1, Some(2), "/a", 429), sums(8)),
        (scope(2, None, "", 401), sums(16)),
    ];
    bed.store.record(&batch(rows)).await.unwrap();
    bed.second.record(&batch(vec![(scope(1, Some(1), "/a", 200), sums(32))])).await.unwrap();
}

pub(crate) async fn usage_is_added_up_per_scope(bed: Bed) {
    fill(&bed).await;
    let totals = bed.store.usage(&UsageFilter::minutes(MINUTE, MINUTE + 3)).await.unwrap();
    let seen: Vec<_> = totals
        .iter()
        .map(|t| {
            let minutes = (t.first_minute - MINUTE, t.last_minute - MINUTE);
            (
                t.group.route.as_deref().unwrap(),
                t.group.key.unwrap(),
                t.group.status.unwrap(),
                minutes,
                t.sums,
            )
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

pub(crate) async fn many_sums_told_at_once_are_told_as_they_were(bed: Bed) {
    let many = |requests| {
        let row =
            |n: u64| (scope(n % 90, n.is_multiple_of(2).then_some(n), "/a", 200), sums(requests));
        batch((0..1000).map(row).collect())
    };
    let all = |grain| UsageFilter {
        by: vec![],
        grain,
        ..UsageFilter::minutes(MINUTE - MINUTE % 1440, MINUTE + 2 * 1440)
    };
    let requests = async |store: &Arc<dyn Store>, grain| {
        let totals = store.usage(&all(grain)).await.unwrap();
        totals.iter().map(|total| total.sums.requests).sum::<u64>()
    };
    bed.store.record(&many(1)).await.unwrap();
    bed.second.record(&many(2)).await.unwrap();
    assert_eq!(requests(&bed.store, None).await, 3000);
    bed.store.record(&many(4)).await.unwrap();
    // Whoever asks while others add what waits sees all that was told before.
    let (one, other, added) = tokio::join!(
        requests(&bed.store, None),
        requests(&bed.second, None),
        bed.second.add_up_usage(),
    );
    added.unwrap();
    assert_eq!((one, other), (7000, 7000));
    bed.second.record(&many(8)).await.unwrap();
    bed.store.add_up_usage().await.unwrap();
    for grain in [UsageGrain::Minute, UsageGrain::Hour, UsageGrain::Day] {
        assert_eq!(requests(&bed.store, Some(grain)).await, 15_000, "{grain:?}");
    }
    let of_key = UsageFilter { key: Some(key_id(8)), ..UsageFilter::minutes(MINUTE, MINUTE + 90) };
    let of_key = bed.store.usage(&of_key).await.unwrap();
    assert_eq!(of_key.iter().map(|total| total.sums).collect::<Vec<_>>(), [sums(15)]);
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
        tokens: Tokens { input: u64::MAX, output: u64::MAX, ..Tokens::default() },
        cost: Money::from_billionths(u64::MAX),
        ..UsageSums::default()
    };
    for _ in 0..3 {
        bed.store.record(&batch(vec![(scope(0, None, "", 200), most)])).await.unwrap();
    }
    let totals = bed.store.usage(&UsageFilter::minutes(MINUTE, MINUTE + 1)).await.unwrap();
    let [total] = totals.as_slice() else { panic!("{totals:?}") };
    let UsageSums { requests, bytes_in, bytes_out, tokens, cost, .. } = total.sums;
    for figure in [requests, bytes_in, bytes_out, tokens.input, tokens.output, cost.billionths()] {
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
    bed.store.record(&used(1, later(10), "203.0.113.7")).await.unwrap();
    assert_eq!(last(&bed).await, (later(10), "203.0.113.7".to_owned(), 1));
    bed.second.record(&used(1, later(5), "198.51.100.1")).await.unwrap();
    assert_eq!(last(&bed).await, (later(10), "203.0.113.7".to_owned(), 2), "an older use");
    bed.second.record(&used(1, later(11), "2001:db8::1")).await.unwrap();
    assert_eq!(last(&bed).await, (later(11), "2001:db8::1".to_owned(), 3));
    bed.store.record(&used(9, later(12), "2001:db8::1")).await.unwrap();
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
    bed.store.record(&used(1, 5)).await.unwrap();
    assert_eq!(counts().await, [(5, None)]);
    for number in [2, 3] {
        let old_expires_at = later(1000);
        let secret = secret_of(number, 1);
        commit(&bed.store, Change::RotateKey { key: key_id(1), secret, old_expires_at })
            .await
            .unwrap();
        bed.store.record(&used(1, 2)).await.unwrap();
    }
    bed.store.record(&used(3, u64::MAX)).await.unwrap();
    bed.store.record(&used(3, 1)).await.unwrap();
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
    bed.store.record(&UsageBatch { last_uses, ..UsageBatch::default() }).await.unwrap();
    bed.store.record(&UsageBatch::default()).await.unwrap();
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
    bed.store.record(&UsageBatch { exposures, ..UsageBatch::default() }).await.unwrap();
    assert_eq!(bed.store.key(key_id(1)).await.unwrap(), before);
}

/// The begin of a day, in minutes.
const DAY: u64 = 20_000 * 24 * 60;

/// A request at `minute` of the day, of an organization's key for a model.
fn one(minute: u64, organization: &str, key: u64, model: &str) -> UsageRow {
    let mut latencies = Latencies::default();
    latencies.add(1000 * key);
    UsageRow {
        scope: UsageScope {
            minute: DAY + minute,
            organization: organization.into(),
            api: "api".into(),
            route: "/v1".into(),
            key: Some(key_id(key)),
            model: model.into(),
            status: 200,
            reason: None,
        },
        sums: UsageSums {
            requests: 1,
            latency_micros: 1000 * key,
            tokens: Tokens { input: 3, cached: 1, cache_written: 2, output: 5, reasoning: 4 },
            estimated: 1,
            cost: Money::from_billionths(7),
            ..UsageSums::default()
        },
        latencies,
    }
}

/// Two days of two organizations: a request a minute of the one, one an hour of the other, half of these refused.
async fn fill_two_days(bed: &Bed) {
    let ours = (0..2880).map(|minute| one(minute, "ours", 1 + minute % 2, "small"));
    let others = (0..48).map(|hour| {
        let mut row = one(hour * 60, "others", 9, "large");
        if hour % 2 == 0 {
            (row.scope.status, row.scope.reason) = (429, Some(Reason::RateLimited));
        }
        row
    });
    let rows: Vec<_> = ours.chain(others).collect();
    for rows in rows.chunks(500) {
        let batch = UsageBatch { rows: rows.to_vec(), ..UsageBatch::default() };
        bed.store.record(&batch).await.unwrap();
    }
}

fn asked(from: u64, until: u64, by: &[UsageBy]) -> UsageFilter {
    UsageFilter { by: by.to_vec(), ..UsageFilter::minutes(DAY + from, DAY + until) }
}

pub(crate) async fn every_range_is_added_up_exactly_whatever_rows_it_is_made_of(bed: Bed) {
    fill_two_days(&bed).await;
    for (from, until) in
        [(0, 2880), (0, 1440), (1, 2879), (59, 61), (61, 1441), (7, 7), (1439, 1441)]
    {
        let filter =
            UsageFilter { organization: Some("ours".to_owned()), ..asked(from, until, &[]) };
        let totals = bed.second.usage(&filter).await.unwrap();
        let requests: Vec<_> = totals.iter().map(|total| total.sums.requests).collect();
        let expected = if from < until { vec![until - from] } else { vec![] };
        assert_eq!(requests, expected, "{from} to {until}");
        for total in totals {
            assert_eq!((total.first_minute, total.last_minute + 1), (DAY + from, DAY + until));
            assert_eq!(total.latencies.total(), total.sums.requests);
            assert_eq!(total.sums.tokens.reasoning, 4 * total.sums.requests);
            assert_eq!(total.sums.cost, Money::from_billionths(7 * total.sums.requests));
            assert_eq!(total.sums.estimated, total.sums.requests);
        }
    }
    // Cut by hours, what an end stands in is added up as a whole.
    let hours = UsageFilter { finest: UsageGrain::Hour, ..asked(61, 119, &[]) };
    assert_eq!(bed.store.usage(&hours).await.unwrap()[0].sums.requests, 61);
}

pub(crate) async fn usage_is_told_apart_by_whatever_is_asked(bed: Bed) {
    fill_two_days(&bed).await;
    let counts = async |filter: UsageFilter| -> Vec<(UsageGroup, u64)> {
        let totals = bed.store.usage(&filter).await.unwrap();
        totals.into_iter().map(|total| (total.group, total.sums.requests)).collect()
    };
    let group = UsageGroup::default;
    let by = |by: &[UsageBy]| asked(0, 2880, by);
    let organization = |id: &str| UsageGroup { organization: Some(id.to_owned()), ..group() };
    assert_eq!(
        counts(by(&[UsageBy::Organization])).await,
        [(organization("others"), 48), (organization("ours"), 2880)]
    );
    let model = |id: &str| UsageGroup { model: Some(id.to_owned()), ..group() };
    assert_eq!(counts(by(&[UsageBy::Model])).await, [(model("large"), 48), (model("small"), 2880)]);
    let key = |number: u64| UsageGroup { key: Some(Some(key_id(number))), ..group() };
    assert_eq!(counts(by(&[UsageBy::Key])).await, [(key(1), 1440), (key(2), 1440), (key(9), 48)]);
    let status = |status, reason| UsageGroup {
        status: Some(status),
        reason: Some(reason),
        ..UsageGroup::default()
    };
    assert_eq!(
        counts(by(&[UsageBy::Status, UsageBy::Reason])).await,
        [(status(200, None), 2904), (status(429, Some(Reason::RateLimited)), 24)]
    );
    let day = |day: u64| UsageGroup { start: Some(DAY + day * 1440), ..group() };
    let days = UsageFilter { grain: Some(UsageGrain::Day), ..by(&[]) };
    assert_eq!(counts(days).await, [(day(0), 1464), (day(1), 1464)]);
    let hours = UsageFilter { grain: Some(UsageGrain::Hour), ..asked(60, 121, &[]) };
    let hour = |hour: u64| UsageGroup { start: Some(DAY + hour * 60), ..group() };
    assert_eq!(counts(hours).await, [(hour(1), 61), (hour(2), 61)]);

    let all = bed.store.usage(&by(&[])).await.unwrap();
    assert_eq!((all[0].errors, all[0].refusals, all[0].sums.requests), (24, 24, 2928));
    for (filter, expected) in [
        (UsageFilter { key: Some(key_id(9)), ..by(&[]) }, 48),
        (
            UsageFilter {
                key: Some(key_id(1)),
                grain: Some(UsageGrain::Minute),
                ..asked(0, 4, &[])
            },
            1,
        ),
        (UsageFilter { model: Some("large".to_owned()), ..by(&[]) }, 48),
        (UsageFilter { reason: Some(Reason::RateLimited), ..by(&[]) }, 24),
        (UsageFilter { status: Some(200), organization: Some("others".to_owned()), ..by(&[]) }, 24),
    ] {
        assert_eq!(counts(filter.clone()).await[0].1, expected, "{filter:?}");
    }
}

pub(crate) async fn pages_of_usage_make_up_the_whole(bed: Bed) {
    fill_two_days(&bed).await;
    for (grain, by) in [
        (Some(UsageGrain::Hour), vec![UsageBy::Organization, UsageBy::Key]),
        (Some(UsageGrain::Hour), vec![]),
        (None, vec![UsageBy::Key, UsageBy::Status]),
    ] {
        let whole = UsageFilter { grain, ..asked(0, 2880, &by) };
        let expected = bed.store.usage(&whole).await.unwrap();
        let mut pages = vec![];
        loop {
            let after = pages.last().map(|last: &keyward_store::UsageTotal| last.group.clone());
            let page = UsageFilter { after, limit: 3, ..whole.clone() };
            let found = bed.store.usage(&page).await.unwrap();
            assert!(found.len() <= 3);
            if found.is_empty() {
                break;
            }
            pages.extend(found);
        }
        assert!(expected.len() > 3);
        assert_eq!(pages, expected);
    }
}

pub(crate) async fn old_usage_is_cleared_grain_by_grain(bed: Bed) {
    fill_two_days(&bed).await;
    let requests = async |grain, until| -> u64 {
        let filter = UsageFilter { grain: Some(grain), ..asked(0, until, &[]) };
        bed.store.usage(&filter).await.unwrap().iter().map(|total| total.sums.requests).sum()
    };
    let clear = async |grain, before| -> u64 {
        let (mut gone, mut next) = (0, Some(String::new()));
        while let Some(from) = next {
            let (rows, goes_on) = bed.second.clear_usage(grain, DAY + before, &from).await.unwrap();
            assert!(rows <= 1100, "a piece is no more than some thousand rows: {rows}");
            (gone, next) = (gone + rows, goes_on);
        }
        gone
    };
    assert_eq!(clear(UsageGrain::Minute, 0).await, 0);
    assert_eq!(clear(UsageGrain::Minute, 120).await, 122);
    assert_eq!(requests(UsageGrain::Minute, 2880).await, 2928 - 122);
    assert_eq!(requests(UsageGrain::Hour, 2880).await, 2928);
    assert_eq!(clear(UsageGrain::Minute, 2880).await, 2928 - 122);
    assert_eq!(clear(UsageGrain::Hour, 1440).await, 48 + 24);
    assert_eq!(clear(UsageGrain::Day, 1440).await, 4);
    assert_eq!(requests(UsageGrain::Day, 2880).await, 1464);
}

pub(crate) async fn a_time_of_many_rows_is_cleared_in_pieces(bed: Bed) {
    let rows: Vec<_> = (0..2500).map(|key| (scope(0, Some(key), "/a", 200), sums(1))).collect();
    bed.store.record(&batch(rows)).await.unwrap();
    bed.store.record(&batch(vec![(scope(1, Some(1), "/a", 200), sums(1))])).await.unwrap();
    let mut pieces = vec![];
    let mut next = Some(String::new());
    while let Some(from) = next {
        let piece = bed.second.clear_usage(UsageGrain::Minute, MINUTE + 1, &from).await.unwrap();
        pieces.push(piece.0);
        next = piece.1;
    }
    assert_eq!(pieces, [1000, 1000, 500]);
    let minutes = UsageFilter { grain: Some(UsageGrain::Minute), ..asked(0, 2880, &[]) };
    let minutes = UsageFilter { from_minute: MINUTE, until_minute: MINUTE + 2, ..minutes };
    assert_eq!(bed.store.usage(&minutes).await.unwrap().len(), 1);
}

pub(crate) async fn what_is_made_of_too_many_rows_is_refused(bed: Bed) {
    fill_two_days(&bed).await;
    let by_minutes = UsageFilter {
        organization: Some("ours".to_owned()),
        grain: Some(UsageGrain::Minute),
        limit: 10,
        most_read: 100,
        ..asked(0, 2880, &[])
    };
    assert_eq!(bed.store.usage(&by_minutes).await.unwrap().len(), 10, "the page is full before");
    let all = UsageFilter { limit: 1000, ..by_minutes };
    let refused = bed.store.usage(&all).await;
    let Err(StoreError::Invalid { what, remedy }) = refused else { panic!("{refused:?}") };
    let first_hundred = Timestamp::from_secs((DAY + 100) * 60);
    assert!(what.contains("more than 100 sums"), "{what}");
    assert!(remedy.contains(&format!("ends at {first_hundred} or before")), "{remedy}");
    let until_minute = DAY + 100;
    let fits = UsageFilter { until_minute, ..all.clone() };
    assert_eq!(bed.store.usage(&fits).await.unwrap().len(), 100);
    let of_all = bed.store.usage(&UsageFilter { organization: None, ..all.clone() }).await;
    assert!(of_all.unwrap_err().to_string().contains("shorter range, or of one organization"));
    let days = UsageFilter { grain: Some(UsageGrain::Day), ..all };
    assert_eq!(bed.store.usage(&days).await.unwrap().len(), 2);
}
