//! What is SQLite's own: the chain under somebody else's hands, wake-ups between processes, damaged databases, full
//! disks, foreign, older and newer ones.

mod audit;
mod damage;
mod full_disk;
mod hints;

use std::{path::Path, sync::Arc};

use crate::conformance::{commit, creation, with_organization};
use keyward_store::{
    Change, MaterialCheck, MaterialKind, SealedBytes, SqliteStore, Store, StoreError,
};

fn refusal(database: &Path) -> StoreError {
    crate::try_open(database).unwrap_err()
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(crate::open(folder.path()));
    let database = folder.path().join("keyward.db");
    let raw = rusqlite::Connection::open(&database).unwrap();
    raw.pragma_update(None, "user_version", 999).unwrap();
    drop(raw);
    let refused = refusal(&database);
    assert!(matches!(refused, StoreError::NewerSchema { database: 999, .. }), "{refused}");
    assert!(refused.to_string().contains("start the newer version"), "{refused}");
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("keyward.db");
    let raw = rusqlite::Connection::open(&database).unwrap();
    raw.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let refused = refusal(&database).to_string();
    assert!(refused.contains("not Keyward's"), "{refused}");
    let tables: i64 =
        raw.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("keyward.db");
    std::fs::write(
        &database,
        "not a database at all, but long enough to be taken for one".repeat(99),
    )
    .unwrap();
    let refused = refusal(&database).to_string();
    assert!(refused.contains("damaged") && refused.contains("restore"), "{refused}");
}

#[test]
fn many_that_open_a_new_database_at_once_agree() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(folder.path().join("keyward.db")).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| crate::open(folder.path()));
            }
        });
    }
}

#[test]
fn key_material_is_noted_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("keyward.db");
    std::fs::File::create(&database).unwrap();
    let check = |kind, version, byte| MaterialCheck { kind, version, value: [byte; 16] };
    let first = check(MaterialKind::Pepper, 1, 1);
    let key = check(MaterialKind::EncryptionKey, 1, 9);
    let opening = SqliteStore::open(&database).unwrap();
    assert_eq!(opening.material().unwrap(), []);
    assert_eq!(opening.note_material(&first).unwrap(), first);
    assert_eq!(opening.note_material(&key).unwrap(), key);
    drop(opening);
    let opening = SqliteStore::open(&database).unwrap();
    let swapped = check(MaterialKind::Pepper, 1, 2);
    assert_eq!(opening.note_material(&swapped).unwrap(), first, "the first one stands");
    let mut held = opening.material().unwrap();
    held.sort_by_key(|check| check.kind.as_str());
    assert_eq!(held, [key, first]);
}

#[tokio::test]
async fn what_key_material_is_needed_for_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let needs = || {
        let opening = SqliteStore::open(&folder.path().join("keyward.db")).unwrap();
        let peppers = [1, 2].map(|version| opening.pepper_in_use(version).unwrap());
        (opening.holds_keys().unwrap(), peppers, opening.holds_sealed().unwrap())
    };
    let store: Arc<dyn Store> = crate::open(folder.path());
    with_organization(&store).await;
    assert_eq!(needs(), (false, [false, false], false));
    commit(&store, creation(1)).await.unwrap();
    assert_eq!(needs(), (true, [true, false], false));
    let sealed = SealedBytes::from_bytes(*b"sealed");
    let set = Change::SetUpstreamCredential { upstream: "up".to_owned(), sealed };
    commit(&store, set).await.unwrap();
    assert_eq!(needs(), (true, [true, false], true));
}
