//! A copy of the database, and putting one in its place.
//!
//! The pepper and the encryption key are in no backup: whoever steals one has digests that confirm no guess, and sealed values. They
//! must be kept in another place, for without them a backup is worth nothing.
//!
//! A restore checks everything on a copy within the folder before it touches anything, and then renames: killed at any instant, it leaves
//! the one database or the other, whole. Rejected: restoring under a running server, whose requests would be decided from a mix of both.

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    AUDIT_CHAINED, DATABASE, DataFolder, ENCRYPTION_KEY, PEPPER, exists, make_folder, material,
    sync_folder_of, unusable,
};
use crate::{
    chain::{AuditHead, AuditProof},
    change::Revision,
    error::StoreError,
    sqlite::{
        Chaining, SqliteStore,
        copy::{self, Beyond},
        lock,
    },
};

/// Where a restore checks what it was given.
const CANDIDATE: &str = "restoring.db";

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The newest change in it.
    pub revision: Revision,
    /// Its size.
    pub bytes: u64,
    /// What is not in it, and must be kept elsewhere.
    pub not_in_it: [PathBuf; 2],
}

/// What was there before a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Where it is kept.
    pub kept_at: PathBuf,
    /// What it has that the backup has not; `None` where it cannot be read.
    pub beyond: Option<Beyond>,
}

/// A restore that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The newest change that is there now.
    pub revision: Revision,
    /// The end of the audit log that is there now.
    pub audit: AuditHead,
    /// What was there before, if anything was.
    pub replaced: Option<Replaced>,
}

impl DataFolder {
    /// Copies the database, as it is at one moment, into a file that only its owner may read. It is used meanwhile.
    ///
    /// A file that is there is replaced only where `replace` says so, and only by a whole copy. Blocks until the copy is on the disk.
    pub fn back_up(&self, to: &Path, replace: bool) -> Result<BackedUp, StoreError> {
        if !replace && exists(to)? {
            return Err(occupied(to));
        }
        let unfinished = beside(to, "unfinished");
        let made = self.copy_to(&unfinished, to, replace);
        // Where it took its name, there is nothing left to remove.
        let _ = fs::remove_file(&unfinished);
        let (revision, bytes) = made?;
        let not_in_it = [PEPPER, ENCRYPTION_KEY].map(|name| self.path.join(name));
        Ok(BackedUp { revision, bytes, not_in_it })
    }

    fn copy_to(
        &self,
        unfinished: &Path,
        to: &Path,
        replace: bool,
    ) -> Result<(Revision, u64), StoreError> {
        let failed = |error: std::io::Error| unusable(to, "written", &error);
        make_private(unfinished).map_err(failed)?;
        let revision = copy::make(&self.path.join(DATABASE), unfinished)?;
        let file = File::open(unfinished).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let named = match replace {
            true => fs::rename(unfinished, to),
            // Never replaces what came to be there meanwhile.
            false => fs::hard_link(unfinished, to),
        };
        named.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => occupied(to),
            _ => failed(error),
        })?;
        sync_folder_of(to).map_err(failed)?;
        Ok((revision, bytes))
    }

    /// Puts a backup in the place of the folder's database, which is kept beside it. Nobody may have the folder open.
    ///
    /// Refuses, before anything is touched, what is no whole database of Keyward's, has a newer schema, was used with other
    /// key material than the folder's, or has a broken audit log. Blocks for some seconds per million keys.
    pub fn restore(path: &Path, backup: &Path) -> Result<Restored, StoreError> {
        make_folder(path)?;
        let database = path.join(DATABASE);
        let _alone = lock::out_of_use(&database)?;
        let candidate = path.join(CANDIDATE);
        let restored = prove(path, backup, &candidate).and_then(|(revision, audit)| {
            let replaced = replace(&database, &candidate, revision)?;
            Ok(Restored { revision, audit, replaced })
        });
        clear(&candidate);
        restored
    }
}

fn occupied(file: &Path) -> StoreError {
    StoreError::invalid(
        format!("{} is there already", file.display()),
        "choose another name, or say that it is to be replaced",
    )
}

/// The path with more behind its name.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(more);
    name.into()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An empty file that only its owner may read, in the place of what an earlier try left.
fn make_private(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).map(|_| ())
}

/// Removes what a restore was working on. What cannot be removed is in nobody's way.
fn clear(candidate: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(with_suffix(candidate, suffix));
    }
    for extension in ["lock", "in-use"] {
        let _ = fs::remove_file(candidate.with_extension(extension));
    }
}

/// Copies the backup into the folder and checks everything about it there.
fn prove(
    folder: &Path,
    backup: &Path,
    candidate: &Path,
) -> Result<(Revision, AuditHead), StoreError> {
    let log = with_suffix(backup, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(StoreError::invalid(
            format!("{} lies beside the backup: it is a copy of files in use", log.display()),
            "make backups with `keyward backup`, which gives one whole file",
        ));
    }
    clear(candidate);
    let failed = |error: std::io::Error| unusable(backup, "read", &error);
    let mut from = File::open(backup).map_err(failed)?;
    let full = |error: std::io::Error| unusable(candidate, "written", &error);
    make_private(candidate).map_err(full)?;
    let mut to = OpenOptions::new().write(true).open(candidate).map_err(full)?;
    std::io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).map_err(full)?;
    drop(to);
    let revision = copy::check(candidate, backup)?;
    let opening = SqliteStore::open(candidate)?;
    material::peppers(&folder.join(PEPPER), &opening)?;
    let (_, chain) = material::encryption(&folder.join(ENCRYPTION_KEY), &opening)?;
    let chaining = match exists(&folder.join(AUDIT_CHAINED))? {
        true => Chaining::HasBegun,
        false => Chaining::MayBegin,
    };
    match opening.prove(&chain, chaining)? {
        AuditProof::Whole { head, .. } => Ok((revision, head)),
        AuditProof::Broken(found) => Err(StoreError::invalid(
            format!("the audit log of {} is broken: {found}", backup.display()),
            "restore another backup, and keep this one for whoever looks into it",
        )),
    }
}

/// Puts the candidate in the database's place.
fn replace(
    database: &Path,
    candidate: &Path,
    revision: Revision,
) -> Result<Option<Replaced>, StoreError> {
    let failed = |error: std::io::Error| unusable(database, "replaced", &error);
    File::open(candidate).and_then(|file| file.sync_all()).map_err(failed)?;
    let mut replaced = None;
    if fs::metadata(database).is_ok_and(|database| database.len() > 0) {
        // It becomes one file, without a log: a log that stays behind would be taken for the other database's.
        let beyond = copy::beyond(database, revision);
        let kept_at = keep(database).map_err(failed)?;
        if let Err(error) = &beyond {
            tracing::warn!(%error, "the database that was there cannot be read");
        }
        replaced = Some(Replaced { kept_at, beyond: beyond.ok() });
    }
    for suffix in ["-wal", "-shm"] {
        let log = with_suffix(database, suffix);
        let moved = match &replaced {
            Some(Replaced { kept_at, .. }) => fs::rename(&log, with_suffix(kept_at, suffix)),
            None => fs::remove_file(&log),
        };
        match moved {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    sync_folder_of(database).map_err(failed)?;
    fs::rename(candidate, database).and_then(|()| sync_folder_of(database)).map_err(failed)?;
    Ok(replaced)
}

/// Gives the database a second name, under which it stays.
fn keep(database: &Path) -> std::io::Result<PathBuf> {
    for number in 1_u32.. {
        let kept_at = beside(database, &format!("before-restore-{number}"));
        match fs::hard_link(database, &kept_at) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            linked => return linked.map(|()| kept_at),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}
