//! What is SQLite's own: wake-ups between processes, damaged databases, full disks, foreign and newer ones.

mod damage;
mod full_disk;
mod hints;

use std::path::Path;

use keyward_store::{SqliteStore, StoreError};

fn refusal(database: &Path) -> StoreError {
    SqliteStore::open(database, &database.with_file_name("hints")).unwrap_err()
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
