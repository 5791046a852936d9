//! The data folder: made once, private, and refused in words where its key material is not what it should be.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail where it stands"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use keyward_core::{
    id::{KeyId, SecretId},
    key::{Key, KeyState, Labels, Secret},
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use keyward_store::{Actor, AuditProof, Change, DataFolder, Interface, SealContext};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const PLACE: SealContext<'_> = SealContext::upstream_credential("up");

async fn opened(path: &Path) -> DataFolder {
    DataFolder::open(path).await.unwrap()
}

async fn refusal(path: &Path) -> String {
    DataFolder::open(path).await.unwrap_err().to_string()
}

/// Makes a key under the folder's pepper and an upstream credential under its encryption key.
async fn use_it(folder: &DataFolder) {
    let store = folder.store();
    let actor = Actor::operator("ada", Interface::CommandLine);
    let organization = Organization {
        id: "org".parse().unwrap(),
        name: "org".to_owned(),
        state: OrganizationState::Active,
        model_ids: vec![],
        allowed_models: None,
        created_at: NOW,
        limits: vec![],
        plan: None,
    };
    let key = Key {
        id: KeyId::from_bits([1; 16]),
        organization: organization.id.clone(),
        api: "api".parse().unwrap(),
        name: "key".to_owned(),
        environment: "production".parse().unwrap(),
        permissions: vec![],
        allowed_networks: vec![],
        allowed_models: None,
        state: KeyState::Active,
        created_at: NOW,
        expires_at: None,
        owner: None,
        labels: Labels::default(),
        rotation: None,
        limits: vec![],
    };
    let pepper = folder.peppers().current();
    let secret = Secret {
        id: SecretId::from_bits([1; 16]),
        key: key.id,
        digest: pepper.digest(b"a key"),
        pepper: pepper.version(),
        hint: "a…y".to_owned(),
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
        form: Default::default(),
    };
    let sealed = folder.sealer().seal(&PLACE, b"an upstream's credential").unwrap();
    for change in [
        Change::CreateOrganization(organization),
        Change::CreateKey { key, secret, most_active: None },
        Change::SetUpstreamCredential { upstream: "up".to_owned(), sealed },
    ] {
        store.commit(&actor, NOW, change).await.unwrap();
    }
}

fn private(path: &Path, text: &[u8]) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn what_was_made_and_sealed_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/there/yet");
    let first = opened(&path).await;
    use_it(&first).await;
    let digest = first.peppers().current().digest(b"a key");
    drop(first);
    let second = opened(&path).await;
    assert_eq!(second.peppers().current().digest(b"a key"), digest);
    let credential = second.store().upstream_credentials().await.unwrap().remove(0);
    let open = second.sealer().open(&PLACE, &credential.sealed).unwrap();
    assert_eq!(open.as_slice(), b"an upstream's credential");
}

#[tokio::test]
async fn nobody_but_the_owner_may_read_anything_in_it() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("data");
    let folder = opened(&path).await;
    use_it(&folder).await;
    let store = folder.store();
    let known = store.revision().await.unwrap();
    // Waiting makes the socket.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(1), store.wait_for_change(known))
        .await;
    let mut seen = vec![];
    let mut folders = vec![path];
    while let Some(path) = folders.pop() {
        let metadata = fs::metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            folders.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_none_or(|extension| extension != "sock") {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
        seen.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    for expected in [
        "keyward.db",
        "keyward.db-wal",
        "keyward.db-shm",
        "pepper",
        "encryption-key",
        "audit-chained",
    ] {
        assert!(seen.iter().any(|name| name == expected), "{expected} in {seen:?}");
    }
    assert!(seen.iter().all(|name| !name.ends_with(".new")), "nothing unfinished in {seen:?}");
}

#[tokio::test]
async fn the_database_holds_neither_pepper_nor_encryption_key_nor_what_is_sealed() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let outer = tempfile::tempdir().unwrap();
    let folder = opened(outer.path()).await;
    use_it(&folder).await;
    let mut hidden = vec![b"an upstream's credential".to_vec()];
    for name in ["pepper", "encryption-key"] {
        let text = fs::read_to_string(outer.path().join(name)).unwrap();
        let (version, encoded) = text.trim_end().split_once(' ').unwrap();
        assert_eq!(version, "1");
        hidden.push(encoded.as_bytes().to_vec());
        hidden.push(STANDARD.decode(encoded).unwrap());
        assert_eq!(hidden.last().unwrap().len(), 32);
    }
    for name in ["keyward.db", "keyward.db-wal"] {
        let bytes = fs::read(outer.path().join(name)).unwrap();
        for secret in &hidden {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{name}");
        }
    }
}

const OPENERS_FOLDER: &str = "KEYWARD_OPENERS_FOLDER";

#[tokio::test]
#[ignore = "a process that opens the folder"]
async fn an_opener() {
    let folder = opened(Path::new(&std::env::var_os(OPENERS_FOLDER).unwrap())).await;
    println!("\nfingerprint {}", folder.peppers().current().fingerprint(b"x"));
}

#[test]
fn processes_that_start_at_once_end_with_one_pepper() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let openers: Vec<_> = (0..6)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "an_opener", "--ignored", "--nocapture"])
                    .env(OPENERS_FOLDER, folder.path())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut peppers: Vec<String> = openers
            .into_iter()
            .map(|opener| {
                let output = opener.wait_with_output().unwrap();
                assert!(output.status.success());
                let said = String::from_utf8(output.stdout).unwrap();
                said.lines().find(|line| line.starts_with("fingerprint ")).unwrap().to_owned()
            })
            .collect();
        peppers.dedup();
        assert_eq!(peppers.len(), 1, "{peppers:?}");
    }
}

#[tokio::test]
async fn lost_key_material_is_refused_and_never_made_anew() {
    for name in ["pepper", "encryption-key"] {
        let folder = tempfile::tempdir().unwrap();
        drop(opened(folder.path()).await);
        let file = folder.path().join(name);
        let kept = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let refused = refusal(folder.path()).await;
        assert!(refused.contains(name) && refused.contains("missing"), "{refused}");
        assert!(refused.contains("restore"), "{refused}");
        assert!(!file.exists(), "a new {name} would hide the loss");
        private(&file, &kept);
        opened(folder.path()).await;
    }
}

#[tokio::test]
async fn a_lost_database_beside_key_material_is_refused_and_never_made_anew() {
    for (kept, lost) in [("pepper", "encryption-key"), ("encryption-key", "pepper")] {
        let folder = tempfile::tempdir().unwrap();
        drop(opened(folder.path()).await);
        let file = |name: &str| folder.path().join(name);
        for name in ["keyward.db-wal", "keyward.db-shm"] {
            let _ = fs::remove_file(file(name));
        }
        fs::remove_file(file(lost)).unwrap();
        fs::remove_file(file("keyward.db")).unwrap();
        for what in ["missing", "empty"] {
            let refused = refusal(folder.path()).await;
            let database = file("keyward.db");
            assert!(refused.starts_with(&database.display().to_string()), "{refused}");
            assert!(refused.contains(what) && refused.contains(kept), "{refused}");
            assert!(refused.contains("restore keyward.db from its backup"), "{refused}");
            assert!(refused.contains("remove `pepper`, `encryption-key` and"), "{refused}");
            assert_eq!(database.exists(), what == "empty", "a new one would hide the loss");
            private(&database, b"");
        }
        // The remedy for a folder that never held keys.
        fs::remove_file(file(kept)).unwrap();
        assert!(refusal(folder.path()).await.contains("`audit-chained` beside it"));
        fs::remove_file(file("audit-chained")).unwrap();
        opened(folder.path()).await;
    }
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_anywhere_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    // Before the schema.
    private(&folder.path().join("keyward.db"), b"");
    drop(opened(folder.path()).await);
    for (noted, missing) in [
        ("kind = 'never'", &["pepper", "encryption-key"][..]),
        // Between the two files, and between a file and its note.
        ("kind = 'pepper'", &["encryption-key"]),
        ("kind = 'never'", &["encryption-key"]),
        ("kind = 'never'", &[]),
    ] {
        let database = rusqlite::Connection::open(folder.path().join("keyward.db")).unwrap();
        database.execute(&format!("DELETE FROM key_material WHERE NOT {noted}"), []).unwrap();
        drop(database);
        for name in missing {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        assert!(fs::metadata(folder.path().join("keyward.db")).unwrap().len() > 0);
        drop(opened(folder.path()).await);
    }
}

#[tokio::test]
async fn a_database_with_keys_never_gets_a_first_pepper() {
    let folder = tempfile::tempdir().unwrap();
    use_it(&opened(folder.path()).await).await;
    fs::remove_file(folder.path().join("pepper")).unwrap();
    let database = rusqlite::Connection::open(folder.path().join("keyward.db")).unwrap();
    database.execute("DELETE FROM key_material", []).unwrap();
    drop(database);
    assert!(refusal(folder.path()).await.contains("missing"));
}

#[tokio::test]
async fn swapped_key_material_is_refused() {
    for name in ["pepper", "encryption-key"] {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        opened(folder.path()).await;
        opened(other.path()).await;
        private(&folder.path().join(name), &fs::read(other.path().join(name)).unwrap());
        let refused = refusal(folder.path()).await;
        assert!(refused.contains(name), "{refused}");
        assert!(refused.contains("not the one that this database was used with"), "{refused}");
    }
}

#[tokio::test]
async fn key_material_that_others_may_read_is_refused_with_the_remedy() {
    for (name, mode) in [("pepper", 0o640), ("pepper", 0o604), ("encryption-key", 0o620)] {
        let folder = tempfile::tempdir().unwrap();
        opened(folder.path()).await;
        let file = folder.path().join(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let refused = refusal(folder.path()).await;
        assert!(refused.contains(&format!("chmod 600 {}", file.display())), "{refused}");
    }
}

#[tokio::test]
async fn malformed_key_material_is_refused_with_file_and_line_and_is_not_shown() {
    let value = "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gMTI=";
    let good = format!("1 {value}");
    let cases = [
        (String::new(), "empty"),
        ("# only a comment\n\n".to_owned(), "empty"),
        (value.to_owned(), "line 1"),
        (format!("{good}\nx {value}"), "line 2"),
        (format!("0 {value}"), "line 1"),
        (format!("-1 {value}"), "line 1"),
        (format!("1 {}", &value[..20]), "line 1: its value has 15 bytes"),
        (format!("{good}\n\n2 {value}{value}"), "line 3"),
        (format!("1 {}!!!!", &value[..40]), "not base 64"),
        (format!("{good}\n{good}"), "line 2: version 1 is given twice"),
    ];
    for (text, expected) in cases {
        for name in ["pepper", "encryption-key"] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(name);
            drop(opened(folder.path()).await);
            private(&file, text.as_bytes());
            let refused = refusal(folder.path()).await;
            assert!(refused.contains(expected), "{expected} for {text:?}: {refused}");
            assert!(refused.contains(&file.display().to_string()), "{refused}");
            assert!(refused.contains("restore"), "{refused}");
            assert!(!refused.contains(&value[..12]), "{refused}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()).await);
    private(&folder.path().join("pepper"), &[b'1', b' ', 0xff]);
    assert!(refusal(folder.path()).await.contains("not text"));
    private(&folder.path().join("pepper"), &vec![b'#'; 1 << 20]);
    assert!(refusal(folder.path()).await.contains("1048576 bytes"));
}

#[tokio::test]
async fn peppers_rotate_and_what_is_needed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pepper");
    let first = opened(folder.path()).await;
    use_it(&first).await;
    drop(first);
    let old = fs::read_to_string(&file).unwrap();
    let new = "2 aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gMTI=\n";
    private(&file, format!("{new}# the first\n{old}").as_bytes());
    let both = opened(folder.path()).await;
    assert_eq!(both.peppers().current().version().0, 2);
    assert_eq!(both.peppers().newest_first().count(), 2);
    drop(both);
    private(&file, new.as_bytes());
    let refused = refusal(folder.path()).await;
    assert!(refused.contains("version 1 is missing, and this database needs it"), "{refused}");
    private(&file, old.as_bytes());
    opened(folder.path()).await;
}

/// Takes the chain away, as somebody does who wants the next start to make a new one over what he changed: the database is as
/// before all steps but the first, with what that knows.
fn unchain(database: &Path) {
    let before = database.with_extension("before");
    fs::rename(database, &before).unwrap();
    let bare = rusqlite::Connection::open(database).unwrap();
    bare.execute_batch(include_str!("../src/sqlite/migrations/0001_foundation.sql")).unwrap();
    bare.execute("ATTACH ?1 AS old", [before.to_str().unwrap()]).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = bare.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    // What a later step took away is empty.
    let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' \
        AND name IN (SELECT name FROM old.sqlite_schema)";
    for table in texts(tables) {
        let columns = texts(&format!("SELECT name FROM pragma_table_info('{table}')")).join(", ");
        bare.execute_batch(&format!(
            "DELETE FROM main.{table}; \
             INSERT INTO main.{table} ({columns}) SELECT {columns} FROM old.{table}"
        ))
        .unwrap();
    }
    bare.execute_batch(
        "UPDATE audit SET actor_name = 'eve'; DETACH old; \
         PRAGMA application_id = 1266119268; PRAGMA user_version = 1",
    )
    .unwrap();
    fs::remove_file(&before).unwrap();
}

#[tokio::test]
async fn an_audit_log_that_lost_its_chain_gets_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    use_it(&opened(folder.path()).await).await;
    let database = folder.path().join("keyward.db");
    unchain(&database);
    for _ in 0..2 {
        let refused = refusal(folder.path()).await;
        assert!(refused.contains(&database.display().to_string()), "{refused}");
        assert!(refused.contains("has no chain"), "{refused}");
        assert!(refused.contains("remove `audit-chained`"), "{refused}");
    }
    // The remedy of who trusts the log as it is.
    fs::remove_file(folder.path().join("audit-chained")).unwrap();
    let store = opened(folder.path()).await.store();
    let proof = store.verify_audit(None).await.unwrap();
    assert!(matches!(proof, AuditProof::Whole { head, .. } if head.entries == 3), "{proof:?}");
}

#[tokio::test]
async fn what_says_that_the_log_was_chained_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    use_it(&opened(folder.path()).await).await;
    let witness = folder.path().join("audit-chained");
    // A start that was cut off before it, or a backup without it.
    fs::remove_file(&witness).unwrap();
    opened(folder.path()).await;
    assert!(witness.exists());
    unchain(&folder.path().join("keyward.db"));
    assert!(refusal(folder.path()).await.contains("has no chain"));
}

#[tokio::test]
async fn the_encryption_key_that_the_audit_log_is_chained_under_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("encryption-key");
    drop(opened(folder.path()).await);
    let old = fs::read_to_string(&file).unwrap();
    let new = "2 aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gMTI=\n";
    private(&file, format!("{new}{old}").as_bytes());
    let both = opened(folder.path()).await;
    use_it(&both).await;
    let proof = both.store().verify_audit(None).await.unwrap();
    assert!(matches!(proof, AuditProof::Whole { head, .. } if head.entries == 3), "{proof:?}");
    drop(both);
    let sealed = "DELETE FROM upstream_credentials";
    let database = rusqlite::Connection::open(folder.path().join("keyward.db")).unwrap();
    database.execute(sealed, []).unwrap();
    private(&file, new.as_bytes());
    let refused = refusal(folder.path()).await;
    assert!(refused.contains("version 1 is missing, and the audit log"), "{refused}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("inside")] {
        let refused = refusal(&path).await;
        assert!(refused.contains(&path.display().to_string()), "{refused}");
        assert!(refused.contains("name another data folder"), "{refused}");
    }
}
