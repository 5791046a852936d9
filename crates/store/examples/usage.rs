//! What usage costs in the embedded store on this machine: `cargo run --release -p keyward-store --example usage`.
//! Prints how long 10,000 scopes take to be recorded, and then to be added up, and an organization's 30 days to be asked for.

use std::{
    error::Error,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use keyward_core::{
    id::KeyId,
    usage::{Latencies, Tokens, UsageBatch, UsageRow, UsageScope, UsageSums},
};
use keyward_store::{DataFolder, Store, UsageBy, UsageFilter, UsageGrain};

type Failed = Box<dyn Error + Send + Sync>;

/// A whole day, in minutes.
const DAY: u64 = 1440;
const FIRST: u64 = 20_000 * DAY;
/// So many at once, as the recorder writes them.
const SCOPES: u64 = 10_000;
const KEYS: u64 = 1000;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(measure())
}

fn say(line: &str) -> Result<(), Failed> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

async fn measure() -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let beside = program.parent().ok_or("the program is in a folder")?;
    let place = beside.join(format!("usage-{}", std::process::id()));
    let measured = measure_in(&place).await;
    std::fs::remove_dir_all(place)?;
    measured
}

async fn measure_in(place: &Path) -> Result<(), Failed> {
    let folder = DataFolder::open(place).await?;
    let store = folder.store();
    for (what, minute) in [("new", 0), ("known", 0), ("known", 0), ("of the next minute", 1)] {
        let rows: Vec<_> = (0..SCOPES).map(|key| row(minute, "org_many", key)).collect();
        for _ in 0..3 {
            let took = record(&store, &rows).await?;
            say(&format!("record {SCOPES} scopes that are {what}: {took:?}"))?;
        }
        let began = Instant::now();
        store.add_up_usage().await?;
        say(&format!("add up what was recorded of them, pauses included: {:?}", began.elapsed()))?;
    }
    for day in 0..30 {
        let rows: Vec<_> = (0..KEYS).map(|key| row(day * DAY, "org_days", key)).collect();
        record(&store, &rows).await?;
    }
    asking(&store).await
}

fn row(minute: u64, organization: &str, key: u64) -> UsageRow {
    let mut latencies = Latencies::default();
    (1..=12).for_each(|n| latencies.add(n * n * 700 + key));
    let key = u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    UsageRow {
        scope: UsageScope {
            minute: FIRST + minute,
            organization: organization.into(),
            api: "main".into(),
            route: "/v1/chat/completions".into(),
            key: Some(KeyId::from_bits(key.to_be_bytes())),
            model: "small-1".into(),
            status: 200,
            reason: None,
        },
        sums: UsageSums {
            requests: 12,
            latency_micros: 455_000,
            bytes_in: 5_000,
            bytes_out: 50_000,
            tokens: Tokens { input: 1200, output: 300, ..Tokens::default() },
            ..UsageSums::default()
        },
        latencies,
    }
}

async fn record(store: &Arc<dyn Store>, rows: &[UsageRow]) -> Result<Duration, Failed> {
    let batch = UsageBatch { rows: rows.to_vec(), ..UsageBatch::default() };
    let began = Instant::now();
    store.record(&batch).await?;
    Ok(began.elapsed())
}

async fn asking(store: &Arc<dyn Store>) -> Result<(), Failed> {
    let days = |grain, by: &[UsageBy]| UsageFilter {
        organization: Some("org_days".to_owned()),
        grain,
        by: by.to_vec(),
        ..UsageFilter::minutes(FIRST, FIRST + 30 * DAY)
    };
    for (what, filter) in [
        ("30 days by day", days(Some(UsageGrain::Day), &[])),
        ("30 days by key", days(None, &[UsageBy::Key])),
        (
            "a page of 1000 of 30 days by day and key",
            UsageFilter { limit: 1000, ..days(Some(UsageGrain::Day), &[UsageBy::Key]) },
        ),
        (
            "30 days of one key by day",
            UsageFilter { key: row(0, "", 7).scope.key, ..days(Some(UsageGrain::Day), &[]) },
        ),
        (
            "30 days of everybody by day",
            UsageFilter { organization: None, ..days(Some(UsageGrain::Day), &[]) },
        ),
    ] {
        let mut best = Duration::MAX;
        let mut found = 0;
        for _ in 0..5 {
            let began = Instant::now();
            found = store.usage(&filter).await?.len();
            best = best.min(began.elapsed());
        }
        say(&format!("{what}, {KEYS} keys: {best:?} ({found} sums)"))?;
    }
    Ok(())
}
