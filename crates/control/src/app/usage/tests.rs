//! Who sees what was used, over which time, and how it is exported.

use keyward_core::{
    money::Money,
    usage::{Latencies, Tokens, UsageBatch, UsageRow, UsageScope, UsageSums},
};
use keyward_store::Interface;

use super::*;
use crate::fixture::{Fixture, NOW, at, new_key, organization};

const HOUR: Duration = Duration::from_secs(3600);

/// So many requests that ended then.
fn row(key: Option<KeyId>, ended: Timestamp, requests: u64, route: &str) -> UsageRow {
    let mut latencies = Latencies::default();
    (0..requests).for_each(|_| latencies.add(2_000));
    UsageRow {
        scope: UsageScope {
            minute: ended.as_minutes(),
            organization: if key.is_some() { "acme".into() } else { "".into() },
            api: "main".into(),
            route: route.into(),
            key,
            model: "=small".into(),
            status: if key.is_some() { 200 } else { 401 },
            reason: if key.is_some() { None } else { Some(Reason::UnknownKey) },
        },
        sums: UsageSums {
            requests,
            latency_micros: 2_000 * requests,
            bytes_in: 10 * requests,
            bytes_out: 20 * requests,
            tokens: Tokens { input: 3 * requests, output: requests, ..Tokens::default() },
            cost: Money::from_billionths(1_500_000 * requests),
            ..UsageSums::default()
        },
        latencies,
    }
}

/// A key with use now, two hours ago and ten days ago, and a stranger.
async fn used(fixture: &Fixture) -> KeyId {
    let key = fixture.control().create_key(&at(NOW), new_key("a")).await.unwrap().key().id;
    let rows = vec![
        row(Some(key), NOW, 1, "/v1/x"),
        row(Some(key), NOW.minus(HOUR * 2), 10, "/v1/y"),
        row(Some(key), NOW.minus(HOUR * 240), 100, "/v1/x"),
        row(None, NOW, 1000, ""),
    ];
    let batch = UsageBatch { rows, ..UsageBatch::default() };
    fixture.folder.store().record(&batch).await.unwrap();
    key
}

fn of_acme() -> UsageAsked {
    UsageAsked { organization: Some(organization("acme")), ..UsageAsked::default() }
}

#[tokio::test]
async fn sums_are_of_the_last_day_unless_a_range_is_asked_for() {
    let fixture = Fixture::with_organizations().await;
    let key = used(&fixture).await;
    let (control, now) = (fixture.control(), at(NOW));
    let requests = async |asked: UsageAsked| -> Vec<u64> {
        let page = control.usage(&now, &asked, None, 100).await.unwrap();
        page.items.iter().map(|sum| sum.requests).collect()
    };
    assert_eq!(requests(of_acme()).await, [11]);
    let from = Some(NOW.minus(HOUR * 300));
    assert_eq!(requests(UsageAsked { from, ..of_acme() }).await, [111]);
    let until = Some(NOW.minus(HOUR));
    assert_eq!(requests(UsageAsked { from, until, ..of_acme() }).await, [110]);
    let of_key = UsageAsked { key: Some(key), ..UsageAsked::default() };
    assert_eq!(requests(UsageAsked { from, ..of_key }).await, [111]);
    assert_eq!(requests(UsageAsked::default()).await, [1011], "strangers are nobody's");
    let by = vec![UsageBy::Route];
    assert_eq!(requests(UsageAsked { by, ..of_acme() }).await, [1, 10]);

    let page = control.usage(&now, &of_acme(), None, 100).await.unwrap();
    let sum = &page.items[0];
    assert_eq!((sum.tokens.input, sum.tokens.output, sum.cost.as_str()), (33, 11, "0.0165"));
    assert_eq!((sum.latency_ms.mean, sum.errors), (2.0, 0));
    assert!((1.9..2.1).contains(&sum.latency_ms.p99.unwrap()));
    assert_eq!((page.currency.as_str(), page.next), ("USD", None));
    assert_eq!(page.complete_until, NOW.minus(Duration::from_secs(2)).to_string());
    let empty = UsageAsked { from: Some(NOW), until: Some(NOW), ..of_acme() };
    assert!(control.usage(&now, &empty, None, 1).await.is_err());
}

#[tokio::test]
async fn what_is_long_ago_is_told_as_finely_as_it_is_kept() {
    let fixture = Fixture::with_organizations().await;
    used(&fixture).await;
    let (control, now) = (fixture.control(), at(NOW));
    let from = Some(NOW.minus(HOUR * 240).plus(Duration::from_secs(60)));
    let page = control.usage(&now, &UsageAsked { from, ..of_acme() }, None, 1).await.unwrap();
    // Minutes are kept for two days: the hour is told as a whole, and the answer says so.
    assert_eq!((page.items[0].requests, page.from.as_str()), (111, "2027-01-05T08:00:00Z"));
    let grain = Some(UsageGrain::Minute);
    let asked = UsageAsked { from, grain, ..of_acme() };
    let page = control.usage(&now, &asked, None, 10).await.unwrap();
    assert_eq!(page.from, NOW.minus(HOUR * 48).to_string(), "not a word of what is not kept");
    let starts: Vec<_> = page.items.iter().map(|sum| sum.start.clone().unwrap()).collect();
    assert_eq!(starts, ["2027-01-15T06:00:00Z", "2027-01-15T08:00:00Z"]);
}

#[tokio::test]
async fn pages_follow_each_other_and_an_export_is_all_of_them() {
    let fixture = Fixture::with_organizations().await;
    used(&fixture).await;
    let (control, now) = (fixture.control(), at(NOW));
    let asked = UsageAsked {
        from: Some(NOW.minus(HOUR * 300)),
        grain: Some(UsageGrain::Hour),
        by: vec![UsageBy::Route, UsageBy::Model, UsageBy::Key],
        ..of_acme()
    };
    let (mut after, mut seen) = (None, vec![]);
    loop {
        let page = control.usage(&now, &asked, after, 1).await.unwrap();
        seen.extend(page.items);
        match page.next {
            Some(next) => after = Some(next.parse().unwrap()),
            None => break,
        }
    }
    let requests: Vec<_> = seen.iter().map(|sum| sum.requests).collect();
    assert_eq!(requests, [100, 10, 1]);

    let piece = control.export_usage(&now, &asked, RowFormat::Csv, None).await.unwrap();
    assert!(piece.next.is_none());
    let text = String::from_utf8(piece.bytes).unwrap();
    assert_eq!(text.matches("\r\n").count(), 4);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let cell = |row: &csv::StringRecord, name: &str| {
        row[columns.iter().position(|column| column == name).unwrap()].to_owned()
    };
    for (row, sum) in reader.records().map(Result::unwrap).zip(&seen) {
        assert_eq!(cell(&row, "start"), *sum.start.as_ref().unwrap());
        assert_eq!(cell(&row, "requests"), sum.requests.to_string());
        assert_eq!(cell(&row, "cost"), sum.cost);
        assert_eq!(cell(&row, "model"), "'=small", "no formula");
    }
    let piece = control.export_usage(&now, &asked, RowFormat::Jsonl, None).await.unwrap();
    let lines = String::from_utf8(piece.bytes).unwrap();
    let read: Vec<keyward_api::UsageSumView> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, seen);
}

#[tokio::test]
async fn who_may_not_see_an_organization_sees_nothing_of_its_use() {
    let fixture = Fixture::with_organizations().await;
    let key = used(&fixture).await;
    let visitor = Context::visitor("somebody", Interface::ManagementApi, NOW);
    let of_key = UsageAsked { key: Some(key), ..UsageAsked::default() };
    for asked in [of_acme(), of_key, UsageAsked::default()] {
        let control = fixture.control();
        assert!(control.usage(&visitor, &asked, None, 1).await.is_err());
        let format = RowFormat::Csv;
        assert!(control.export_usage(&visitor, &asked, format, None).await.is_err());
    }
}
