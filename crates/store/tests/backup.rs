//! Backups: whole however much happens meanwhile, and put in place only where everything about them is right.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use keyward_core::{
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use keyward_store::{Actor, AuditProof, Change, DataFolder, Interface, Revision};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

struct Place {
    outer: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { outer: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.outer.path().join("data")
    }

    fn file(&self) -> PathBuf {
        self.outer.path().join("backup")
    }

    async fn open(&self) -> DataFolder {
        DataFolder::open(&self.data()).await.unwrap()
    }

    fn restore(&self) -> Result<keyward_store::Restored, String> {
        DataFolder::restore(&self.data(), &self.file()).map_err(|error| error.to_string())
    }

    /// The database's content, and the names of all files beside it but sockets and locks.
    fn state(&self) -> (Vec<u8>, Vec<String>) {
        let names = fs::read_dir(self.data()).unwrap();
        let mut names: Vec<_> =
            names.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names
            .retain(|name| !name.ends_with("lock") && !name.ends_with("in-use") && name != "hints");
        names.sort();
        (fs::read(self.data().join("keyward.db")).unwrap(), names)
    }
}

async fn make(folder: &DataFolder, id: &str) -> Revision {
    let organization = Organization {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        state: OrganizationState::Active,
        model_ids: vec![],
        allowed_models: None,
        created_at: NOW,
        limits: vec![],
        plan: None,
    };
    let actor = Actor::operator("ada", Interface::CommandLine);
    folder.store().commit(&actor, NOW, Change::CreateOrganization(organization)).await.unwrap()
}

async fn names(folder: &DataFolder) -> Vec<String> {
    let all = folder.store().organizations().await.unwrap();
    all.iter().map(|one| one.id.to_string()).collect()
}

#[tokio::test]
async fn a_backup_made_while_much_happens_is_whole_and_of_one_moment() {
    let place = Place::new();
    let folder = Arc::new(place.open().await);
    make(&folder, "first").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (busy, ended) = (folder.clone(), stop.clone());
    let changes = tokio::spawn(async move {
        let mut made = 0;
        while !ended.load(Ordering::Relaxed) {
            make(&busy, &format!("org-{made}")).await;
            made += 1;
        }
    });
    let mut last = Revision::ZERO;
    for round in 0..5 {
        let backing = folder.clone();
        let file = place.outer.path().join(format!("backup-{round}"));
        let to = file.clone();
        let done = tokio::task::spawn_blocking(move || backing.back_up(&to, false)).await.unwrap();
        let done = done.unwrap();
        assert!(done.revision > last);
        last = done.revision;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&file).unwrap().len(), done.bytes);
        // In a folder of its own, with the key material from where that is kept.
        let other = Place::new();
        fs::create_dir(other.data()).unwrap();
        for name in ["pepper", "encryption-key"] {
            fs::copy(place.data().join(name), other.data().join(name)).unwrap();
        }
        let restored = DataFolder::restore(&other.data(), &file).unwrap();
        assert_eq!((restored.revision, restored.replaced), (done.revision, None));
        let opened = other.open().await;
        assert_eq!(opened.store().revision().await.unwrap(), done.revision);
        assert_eq!(names(&opened).await.len() as u64, done.revision.get());
        let proof = opened.store().verify_audit(None).await.unwrap();
        assert!(matches!(proof, AuditProof::Whole { .. }), "{proof:?}");
        make(&opened, "and-it-goes-on").await;
    }
    stop.store(true, Ordering::Relaxed);
    changes.await.unwrap();
}

#[tokio::test]
async fn a_backup_never_replaces_a_file_unasked_and_holds_no_key_material() {
    let place = Place::new();
    let folder = place.open().await;
    make(&folder, "one").await;
    fs::write(place.file(), "precious").unwrap();
    let refused = folder.back_up(&place.file(), false).unwrap_err().to_string();
    assert!(refused.contains("is there already"), "{refused}");
    assert_eq!(fs::read(place.file()).unwrap(), b"precious");
    let done = folder.back_up(&place.file(), true).unwrap();
    let bytes = fs::read(place.file()).unwrap();
    for secret in &done.not_in_it {
        let text = fs::read_to_string(secret).unwrap();
        let secret = text.trim().split(' ').nth(1).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    let left: Vec<_> = fs::read_dir(place.outer.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "the data folder and the backup: {left:?}");
}

#[tokio::test]
async fn a_restore_takes_back_what_was_done_since_and_keeps_it_aside() {
    let place = Place::new();
    let folder = place.open().await;
    make(&folder, "before").await;
    let backup = folder.back_up(&place.file(), false).unwrap();
    make(&folder, "after").await;
    let refused = place.restore().unwrap_err();
    assert!(
        refused.contains("a Keyward runs on") && refused.contains("stop it first"),
        "{refused}"
    );
    // Another process that has only the store of it is one as well.
    let store = folder.store();
    drop(folder);
    assert!(place.restore().unwrap_err().contains("a Keyward runs on"));
    drop(store);

    let restored = place.restore().unwrap();
    assert_eq!(restored.revision, backup.revision);
    let replaced = restored.replaced.unwrap();
    let beyond = replaced.beyond.unwrap();
    assert_eq!((beyond.revision.get(), beyond.changes, beyond.ended_keys), (2, 1, 0));
    let folder = place.open().await;
    assert_eq!(names(&folder).await, ["before"]);
    drop(folder);
    // And back again: what is kept aside is a whole database.
    fs::copy(&replaced.kept_at, place.file()).unwrap();
    let again = place.restore().unwrap();
    assert_ne!(again.replaced.unwrap().kept_at, replaced.kept_at);
    assert_eq!(names(&place.open().await).await, ["before", "after"]);
    assert!(fs::metadata(&replaced.kept_at).is_ok());
}

#[tokio::test]
async fn what_is_not_right_is_refused_and_nothing_is_touched() {
    let place = Place::new();
    let folder = place.open().await;
    make(&folder, "one").await;
    folder.back_up(&place.file(), false).unwrap();
    let good = fs::read(place.file()).unwrap();
    make(&folder, "two").await;
    drop(folder);
    let before = place.state();
    let with_sql = |sql: &str| {
        let path = place.outer.path().join("changed");
        fs::write(&path, &good).unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        fs::read(path).unwrap()
    };
    let stranger = Place::new();
    let other = stranger.open().await;
    make(&other, "one").await;
    other.back_up(&stranger.file(), false).unwrap();
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8192].fill(0x5a);
    for (what, bytes, told) in [
        ("nothing", vec![], "no database of Keyward's"),
        ("a text", b"not a database, but long enough to be read as one".repeat(20), "no SQLite"),
        ("cut short", good[..good.len() / 2].to_vec(), "damaged"),
        ("overwritten", damaged, "damaged"),
        ("another program's", with_sql("PRAGMA application_id = 1"), "no database of Keyward's"),
        ("a newer one's", with_sql("PRAGMA user_version = 999"), "newer version"),
        ("tampered with", with_sql("UPDATE audit SET actor_name = 'eve'"), "audit log"),
        ("another folder's", fs::read(stranger.file()).unwrap(), "not the one that this database"),
    ] {
        fs::write(place.file(), bytes).unwrap();
        let refused = place.restore().expect_err(what);
        assert!(refused.contains(told), "{what}: {refused}");
        assert_eq!(place.state(), before, "{what}");
    }
    fs::remove_file(place.file()).unwrap();
    assert!(place.restore().unwrap_err().contains("cannot be read"));
    assert_eq!(place.state(), before);
    assert_eq!(names(&place.open().await).await, ["one", "two"]);
}

#[tokio::test]
async fn a_folder_without_its_key_material_takes_no_backup() {
    let place = Place::new();
    let folder = place.open().await;
    make(&folder, "one").await;
    folder.back_up(&place.file(), false).unwrap();
    drop(folder);
    let empty = Place::new();
    let refused = DataFolder::restore(&empty.data(), &place.file()).unwrap_err().to_string();
    assert!(refused.contains("pepper") && refused.contains("it is missing"), "{refused}");
    assert!(!empty.data().join("keyward.db").exists());
}

#[tokio::test]
async fn a_damaged_database_is_replaced_and_kept_with_its_log() {
    let place = Place::new();
    let folder = place.open().await;
    make(&folder, "one").await;
    folder.back_up(&place.file(), false).unwrap();
    drop(folder);
    fs::write(place.data().join("keyward.db"), vec![0x5a; 100_000]).unwrap();
    fs::write(place.data().join("keyward.db-wal"), b"some log").unwrap();
    let replaced = place.restore().unwrap().replaced.unwrap();
    assert_eq!(replaced.beyond, None);
    assert_eq!(fs::metadata(&replaced.kept_at).unwrap().len(), 100_000);
    assert_eq!(names(&place.open().await).await, ["one"]);
}

/// What a kill leaves behind at each of a restore's steps, as the folder then is.
#[tokio::test]
async fn what_an_interrupted_restore_left_is_in_nobodys_way() {
    let place = Place::new();
    let folder = place.open().await;
    make(&folder, "one").await;
    folder.back_up(&place.file(), false).unwrap();
    make(&folder, "two").await;
    drop(folder);
    let half = |to: &Path| fs::write(to, &fs::read(place.file()).unwrap()[..5000]).unwrap();
    half(&place.data().join("restoring.db"));
    fs::write(place.data().join("restoring.db-wal"), "junk").unwrap();
    fs::hard_link(
        place.data().join("keyward.db"),
        place.data().join("keyward.db.before-restore-1"),
    )
    .unwrap();
    assert_eq!(names(&place.open().await).await, ["one", "two"]);
    let restored = place.restore().unwrap();
    assert!(restored.replaced.unwrap().kept_at.ends_with("keyward.db.before-restore-2"));
    assert_eq!(names(&place.open().await).await, ["one"]);
    assert!(!place.data().join("restoring.db").exists());
}
