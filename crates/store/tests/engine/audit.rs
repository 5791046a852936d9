//! Whatever somebody does to the audit log with the database in hand and without its key is found, and named.

use std::{fs, path::Path, sync::Arc};

use crate::{
    chain_keys,
    conformance::{commit, creation, with_organization},
};
use keyward_store::{
    AuditBreak, AuditFilter, AuditProof, ChainKeys, Chaining, Page, SqliteStore, Store, StoreError,
};
use rusqlite::Connection;
use tempfile::TempDir;
use zeroize::Zeroizing;

const FOUNDATION: &str = include_str!("../../src/sqlite/migrations/0001_foundation.sql");
/// An entry of somebody else's making, with a hash that Keyward made.
const FORGED: &str = "INSERT INTO audit SELECT ?1, at, actor_kind, 'eve', interface, action, \
    subject_kind, subject, before, after, outcome, NULL, chain, organization, address FROM audit WHERE id = 4";

/// A store with five entries, and the database behind its back.
async fn five_entries() -> (TempDir, Arc<dyn Store>, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = crate::open(folder.path());
    with_organization(&store).await;
    for number in 1..=4 {
        commit(&store, creation(number)).await.unwrap();
    }
    let raw = raw(folder.path());
    (folder, store, raw)
}

fn raw(folder: &Path) -> Connection {
    Connection::open(folder.join("keyward.db")).unwrap()
}

async fn verified(store: &Arc<dyn Store>) -> Result<u64, AuditBreak> {
    match store.verify_audit(None).await.unwrap() {
        AuditProof::Whole { head, .. } => Ok(head.entries),
        AuditProof::Broken(found) => Err(found),
    }
}

/// What is found after somebody did this to a log of five entries: at once, and by the next process.
async fn found_after(tampering: &str) -> AuditBreak {
    let (folder, store, raw) = five_entries().await;
    assert_eq!(verified(&store).await, Ok(5));
    raw.execute_batch(tampering).unwrap();
    let found = verified(&store).await.expect_err(tampering);
    drop((store, raw));
    let again: Arc<dyn Store> = crate::open(folder.path());
    assert_eq!(verified(&again).await, Err(found.clone()), "{tampering}");
    found
}

#[tokio::test]
async fn every_column_of_an_entry_is_covered() {
    for change in [
        "at = at + 1",
        "actor_kind = 'system'",
        "actor_name = 'eve'",
        "actor_name = CAST(x'ff' AS TEXT)",
        "interface = 'gateway'",
        "action = 'key.disable'",
        "subject_kind = 'organization'",
        "subject = 'key_1'",
        "before = '{}'",
        "after = NULL",
        "after = after || ' '",
        "outcome = 'refused'",
        "revision = NULL",
        "revision = 99",
        "organization = 'other'",
        "organization = NULL",
        "address = '192.0.2.1'",
        "chain = zeroblob(32)",
        "chain = (SELECT chain FROM audit WHERE id = 2)",
    ] {
        let found = found_after(&format!("UPDATE audit SET {change} WHERE id = 3")).await;
        assert_eq!(found, AuditBreak::Changed { entry: 3 }, "{change}");
    }
    let found = found_after("UPDATE audit SET id = 100 WHERE id = 3").await;
    assert_eq!(found, AuditBreak::Missing { first: 3, last: 3, entry: 4 });
}

#[tokio::test]
async fn a_column_of_another_kind_is_a_change_and_no_failure() {
    for change in ["at = 1.5", "subject = x'00'", "chain = 'text'", "chain = NULL", "at = NULL"] {
        // Somebody who can write the schema too takes the table's rules away.
        let loose = "CREATE TABLE loose AS SELECT * FROM audit; DROP TABLE audit; \
            ALTER TABLE loose RENAME TO audit; ";
        let tampering = format!("{loose} UPDATE audit SET {change} WHERE id = 3");
        assert_eq!(found_after(&tampering).await, AuditBreak::Changed { entry: 3 }, "{change}");
    }
}

#[tokio::test]
async fn removed_entries_are_named() {
    for (which, expected) in [
        ("id = 1", AuditBreak::Missing { first: 1, last: 1, entry: 2 }),
        ("id = 3", AuditBreak::Missing { first: 3, last: 3, entry: 4 }),
        ("id BETWEEN 2 AND 4", AuditBreak::Missing { first: 2, last: 4, entry: 5 }),
        ("id = 5", AuditBreak::Cut { first: 5, last: 5 }),
        ("id > 2", AuditBreak::Cut { first: 3, last: 5 }),
        ("true", AuditBreak::Cut { first: 1, last: 5 }),
    ] {
        assert_eq!(found_after(&format!("DELETE FROM audit WHERE {which}")).await, expected);
    }
}

#[tokio::test]
async fn swapped_and_inserted_entries_are_named() {
    let swap = "UPDATE audit SET id = -2 WHERE id = 2; UPDATE audit SET id = 2 WHERE id = 4; \
        UPDATE audit SET id = 4 WHERE id = -2";
    assert_eq!(found_after(swap).await, AuditBreak::Changed { entry: 2 });
    let forged = |id: &str| FORGED.replace("?1", id);
    let in_the_middle = "UPDATE audit SET id = -id WHERE id > 2; \
        UPDATE audit SET id = 1 - id WHERE id < 0; "
        .to_owned()
        + &forged("3").replace("id = 4", "id = 5");
    assert_eq!(found_after(&in_the_middle).await, AuditBreak::Changed { entry: 3 });
    assert_eq!(found_after(&forged("0")).await, AuditBreak::Changed { entry: 0 });
    assert_eq!(found_after(&forged("6")).await, AuditBreak::Added { entry: 6 });
    assert_eq!(found_after(&forged("1000")).await, AuditBreak::Added { entry: 1000 });
}

#[tokio::test]
async fn a_changed_or_missing_head_is_named() {
    let cut = "DELETE FROM audit WHERE id = 5; UPDATE audit_head SET entries = 4, last_id = 4, \
        last_chain = (SELECT chain FROM audit WHERE id = 4)";
    for tampering in [
        cut,
        "UPDATE audit_head SET entries = 4",
        "UPDATE audit_head SET entries = -1",
        "UPDATE audit_head SET last_id = 4",
        "UPDATE audit_head SET last_chain = zeroblob(32)",
        "UPDATE audit_head SET code = zeroblob(32)",
        "UPDATE audit_head SET code = last_chain",
    ] {
        assert_eq!(found_after(tampering).await, AuditBreak::HeadChanged, "{tampering}");
    }
    assert_eq!(found_after("DELETE FROM audit_head").await, AuditBreak::HeadMissing);
}

#[tokio::test]
async fn a_head_that_names_another_key_is_changed_and_no_start_believes_it() {
    let (folder, store, raw) = five_entries().await;
    raw.execute_batch("UPDATE audit_head SET key_version = 2").unwrap();
    assert_eq!(verified(&store).await, Err(AuditBreak::HeadChanged));
    drop(store);
    let refused = super::refusal(&folder.path().join("keyward.db"));
    assert!(matches!(refused, StoreError::KeyMaterial { .. }), "{refused}");
    assert!(refused.to_string().contains("version 2 is missing"), "{refused}");
}

#[tokio::test]
async fn a_head_from_an_older_copy_is_named() {
    let (_folder, store, raw) = five_entries().await;
    raw.execute_batch("CREATE TABLE older AS SELECT * FROM audit_head").unwrap();
    commit(&store, creation(5)).await.unwrap();
    raw.execute_batch("REPLACE INTO audit_head SELECT * FROM older").unwrap();
    assert_eq!(verified(&store).await, Err(AuditBreak::HeadOutdated { entry: 6 }));
}

#[tokio::test]
async fn what_is_written_afterwards_never_makes_a_broken_log_whole() {
    let cut = "DELETE FROM audit WHERE id = 5; ";
    let head = "UPDATE audit_head SET entries = 4, last_id = 4, \
        last_chain = (SELECT chain FROM audit WHERE id = 4); ";
    for (tampering, expected) in [
        (cut.to_owned(), AuditBreak::Missing { first: 5, last: 5, entry: 6 }),
        (cut.to_owned() + head, AuditBreak::HeadChanged),
        ("DELETE FROM audit_head".to_owned(), AuditBreak::HeadChanged),
        (cut.to_owned() + "DELETE FROM audit_head", AuditBreak::HeadChanged),
        (FORGED.replace("?1", "6"), AuditBreak::Changed { entry: 6 }),
        ("DELETE FROM audit".to_owned(), AuditBreak::Missing { first: 1, last: 5, entry: 6 }),
        ("DELETE FROM audit; DELETE FROM audit_head".to_owned(), AuditBreak::HeadChanged),
    ] {
        let (folder, store, raw) = five_entries().await;
        raw.execute_batch(&tampering).unwrap();
        for number in 5..8 {
            // Changes go on: a key can be revoked on the day somebody is in the database.
            commit(&store, creation(number)).await.unwrap();
            assert_eq!(verified(&store).await, Err(expected.clone()), "{tampering}");
        }
        drop((store, raw));
        let again: Arc<dyn Store> = crate::open(folder.path());
        commit(&again, creation(8)).await.unwrap();
        assert_eq!(verified(&again).await, Err(expected), "{tampering}");
    }
}

#[tokio::test]
async fn an_older_copy_of_the_whole_database_is_told_by_a_noted_head() {
    let (folder, store, raw) = five_entries().await;
    drop((store, raw));
    let older = fs::read(folder.path().join("keyward.db")).unwrap();
    let store: Arc<dyn Store> = crate::open(folder.path());
    commit(&store, creation(5)).await.unwrap();
    let AuditProof::Whole { head: noted, .. } = store.verify_audit(None).await.unwrap() else {
        panic!("nobody touched it");
    };
    drop(store);
    fs::write(folder.path().join("keyward.db"), older).unwrap();
    let store: Arc<dyn Store> = crate::open(folder.path());
    assert_eq!(verified(&store).await, Ok(5), "from inside it cannot be told");
    let proof = store.verify_audit(Some(noted)).await.unwrap();
    let shorter = AuditBreak::ShorterThanNoted { entries: 5, noted };
    assert_eq!(proof, AuditProof::Broken(shorter));
    commit(&store, creation(6)).await.unwrap();
    let proof = store.verify_audit(Some(noted)).await.unwrap();
    assert_eq!(proof, AuditProof::Broken(AuditBreak::NotAsNoted { noted }));
}

/// A database as Keyward left it before there were chains, with three entries.
fn of_step_one(folder: &Path) {
    let raw = raw(folder);
    raw.execute_batch(FOUNDATION).unwrap();
    raw.execute_batch(
        r#"PRAGMA application_id = 1266119268; PRAGMA user_version = 1;
        UPDATE store_state SET revision = 3;
        INSERT INTO organizations VALUES ('org', 'Org', 'active', NULL, 1);
        INSERT INTO audit VALUES
            (1, 1, 'operator', 'ada', 'command_line', 'organization.create', 'organization', 'org',
                NULL, '{"id":"org"}', 'done', 1),
            (2, 2, 'operator', 'ada', 'command_line', 'organization.suspend', 'organization', 'org',
                '{"state":"active"}', '{"state":"suspended"}', 'done', 2),
            (3, 3, 'operator', 'bob', 'command_line', 'organization.resume', 'organization', 'org',
                '{"state":"suspended"}', '{"state":"active"}', 'done', 3);"#,
    )
    .unwrap();
}

#[tokio::test]
async fn a_log_from_before_there_were_chains_gets_one() {
    let folder = tempfile::tempdir().unwrap();
    of_step_one(folder.path());
    let raw = raw(folder.path());
    let entries = |raw: &Connection| -> Vec<String> {
        let sql = "SELECT concat_ws('|', id, at, actor_kind, actor_name, interface, action, \
            subject_kind, subject, before, after, outcome, revision) FROM audit ORDER BY id";
        let mut statement = raw.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let before = entries(&raw);
    let store: Arc<dyn Store> = crate::open(folder.path());
    assert_eq!(verified(&store).await, Ok(3));
    assert_eq!(entries(&raw), before);
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%unchained%'";
    assert_eq!(raw.query_row(tables, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    let second: Arc<dyn Store> = crate::open(folder.path());
    commit(&second, creation(1)).await.unwrap();
    assert_eq!(verified(&store).await, Ok(4));
    assert_eq!(store.audit(&AuditFilter::default(), Page::first(10)).await.unwrap().len(), 4);
    raw.execute_batch("UPDATE audit SET actor_name = 'eve' WHERE id = 2").unwrap();
    assert_eq!(verified(&store).await, Err(AuditBreak::Changed { entry: 2 }));
}

#[tokio::test]
async fn an_older_keyward_that_still_runs_writes_nothing_outside_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    of_step_one(folder.path());
    let older = raw(folder.path());
    let store: Arc<dyn Store> = crate::open(folder.path());
    let write = "INSERT INTO audit (at, actor_kind, actor_name, interface, action, subject_kind, \
        subject, before, after, outcome, revision) \
        VALUES (4, 'operator', 'ada', 'command_line', 'x', 'key', 'k', NULL, NULL, 'done', 4)";
    assert!(older.execute(write, []).unwrap_err().to_string().contains("audit.chain"));
    assert_eq!(verified(&store).await, Ok(3));
}

#[tokio::test]
async fn a_log_that_was_chained_before_is_not_chained_anew() {
    let folder = tempfile::tempdir().unwrap();
    of_step_one(folder.path());
    let database = folder.path().join("keyward.db");
    let complete = |chaining| {
        let opening = SqliteStore::open(&database).unwrap();
        opening.complete(&folder.path().join("hints"), &chain_keys(), chaining).map(drop)
    };
    let refused = complete(Chaining::HasBegun).unwrap_err();
    assert_eq!(refused, StoreError::AuditChainLost { path: database.clone() });
    complete(Chaining::MayBegin).unwrap();
    complete(Chaining::HasBegun).unwrap();
}

#[tokio::test]
async fn the_log_stays_with_its_key_while_encryption_keys_rotate() {
    let (folder, store, _) = five_entries().await;
    drop(store);
    let database = folder.path().join("keyward.db");
    let open = |versions: &[(u32, u8)]| {
        let keys: Vec<_> = versions
            .iter()
            .map(|(version, byte)| (*version, Zeroizing::new([*byte; 32])))
            .collect();
        let keys = ChainKeys::derive(&keys).unwrap();
        let opening = SqliteStore::open(&database).unwrap();
        opening.complete(&folder.path().join("hints"), &keys, Chaining::HasBegun)
    };
    let rotated: Arc<dyn Store> = Arc::new(open(&[(2, 8), (1, 7)]).unwrap());
    commit(&rotated, creation(5)).await.unwrap();
    assert_eq!(verified(&rotated).await, Ok(6));
    let refused = open(&[(2, 8)]).unwrap_err().to_string();
    assert!(refused.contains("version 1 is missing, and the audit log"), "{refused}");
    let swapped: Arc<dyn Store> = Arc::new(open(&[(1, 9)]).unwrap());
    assert_eq!(verified(&swapped).await, Err(AuditBreak::Changed { entry: 1 }));
}
