//! A disk that is full refuses the change, serves what is there, and works again once there is room.
//!
//! The limit on file size (`RLIMIT_FSIZE`) stands in for the disk: a write beyond it fails as on a full or broken one. It
//! holds for a whole process and sends a deadly signal unless that is ignored, so the test runs itself again beneath a shell.

use std::{fs, path::Path, process::Command, sync::Arc};

use crate::conformance::{commit, creation, key_id, trace, with_organization};
use keyward_core::usage::{UsageBatch, UsageRow, UsageScope, UsageSums};
use keyward_store::{KeyFilter, Loaded, Page, Store, StoreError, UsageFilter};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

const INSIDE: &str = "KEYWARD_INSIDE_FULL_DISK";
const NAME: &str = "engine::full_disk::a_full_disk_refuses_the_change_and_nothing_else";

fn room(bytes: u64) {
    setrlimit(Resource::RLIMIT_FSIZE, bytes, RLIM_INFINITY).unwrap();
}

fn open(folder: &Path) -> Arc<dyn Store> {
    crate::open(folder)
}

/// So many sums that they wait to be added.
const SUMS: u64 = 300;

async fn record(store: &Arc<dyn Store>) {
    let row = |number| {
        let scope = UsageScope { route: format!("/{number}").into(), ..UsageScope::default() };
        let sums = UsageSums { requests: 1, ..UsageSums::default() };
        UsageRow { scope, sums, ..UsageRow::default() }
    };
    let rows = (0..SUMS).map(row).collect();
    store.record(&UsageBatch { rows, ..UsageBatch::default() }).await.unwrap();
}

async fn requests(store: &Arc<dyn Store>) -> u64 {
    let totals = store.usage(&UsageFilter::minutes(0, 1)).await.unwrap();
    totals.iter().map(|total| total.sums.requests).sum()
}

#[tokio::test]
async fn a_full_disk_refuses_the_change_and_nothing_else() {
    if std::env::var_os(INSIDE).is_none() {
        let inside = Command::new("sh")
            .args(["-c", r#"trap "" XFSZ; exec "$0" --exact "$1" --nocapture"#])
            .arg(std::env::current_exe().unwrap())
            .arg(NAME)
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&inside.stdout);
        assert!(said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&inside.stderr));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (store, second) = (open(folder.path()), open(folder.path()));
    with_organization(&store).await;
    commit(&store, creation(1)).await.unwrap();
    record(&store).await;
    let log = fs::metadata(folder.path().join("keyward.db-wal")).unwrap().len();
    // From no room at all to room for some pages, so that it ends at different places of a transaction.
    let mut number = 2;
    for spare in [0, 1, 4096, 10_000, 40_000] {
        room(log + spare);
        let before = trace(&second).await;
        let mut made = 0;
        let refused = loop {
            match commit(&store, creation(number)).await {
                Ok(_) => (number, made) = (number + 1, made + 1),
                Err(error) => break error,
            }
            assert!(made < 1000, "the limit does not hold");
        };
        assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
        assert!(refused.to_string().contains("disk"), "{refused}");
        assert!(store.check().await.is_err(), "the health check says so");
        // What is there is served, and nothing of the refused change is there.
        assert_eq!(store.key(key_id(number)).await.unwrap(), None);
        assert!(requests(&store).await <= SUMS, "what waits is told when it can be added");
        assert_eq!(store.key(key_id(1)).await.unwrap().unwrap().secrets.len(), 1);
        assert_eq!(trace(&second).await.0.get(), before.0.get() + made);
        room(RLIM_INFINITY);
        commit(&store, creation(number)).await.unwrap();
        store.check().await.unwrap();
        number += 1;
    }
    assert_eq!(requests(&store).await, SUMS);
    drop((store, second));
    let store = open(folder.path());
    let mut keys = 0;
    store.load(&mut |item| keys += u64::from(matches!(item, Loaded::Key(_)))).await.unwrap();
    assert_eq!(keys, number - 1, "all that was acknowledged is there after a restart");
    assert_eq!(store.keys(&KeyFilter::default(), Page::first(1)).await.unwrap().len(), 1);
}
