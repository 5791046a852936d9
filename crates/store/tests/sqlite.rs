//! The SQLite engine: every promise of the trait, and what is SQLite's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands"
)]

mod conformance;

use std::{fs::File, path::Path, sync::Arc};

use conformance::{Bed, every_promise};
use keyward_store::{ChainKeys, Chaining, SqliteStore, StoreError};
use zeroize::Zeroizing;

/// The same for every store of these tests, as for the processes on one data folder.
fn chain_keys() -> ChainKeys {
    ChainKeys::derive(&[(1, Zeroizing::new([7; 32]))]).unwrap()
}

fn try_open(database: &Path) -> Result<SqliteStore, StoreError> {
    let opening = SqliteStore::open(database)?;
    opening.complete(&database.with_file_name("hints"), &chain_keys(), Chaining::MayBegin)
}

fn open(folder: &Path) -> Arc<SqliteStore> {
    let database = folder.join("keyward.db");
    if !database.exists() {
        File::create(&database).unwrap();
    }
    Arc::new(try_open(&database).unwrap())
}

fn bed_in(folder: &Path) -> Bed {
    let path = folder.to_owned();
    Bed {
        store: open(folder),
        second: open(folder),
        again: Box::new(move || open(&path)),
        keep: Box::new(()),
    }
}

async fn bed() -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let bed = bed_in(folder.path());
    Bed { keep: Box::new(folder), ..bed }
}

every_promise!(crate::bed);

mod engine;
