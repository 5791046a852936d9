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
use keyward_store::SqliteStore;

fn open(folder: &Path) -> Arc<SqliteStore> {
    let database = folder.join("keyward.db");
    if !database.exists() {
        File::create(&database).unwrap();
    }
    Arc::new(SqliteStore::open(&database, &folder.join("hints")).unwrap())
}

async fn bed() -> Bed {
    let folder = tempfile::tempdir().unwrap();
    Bed { store: open(folder.path()), second: open(folder.path()), keep: Box::new(folder) }
}

every_promise!(crate::bed);

mod engine;
