//! The data folder: the database, and beside it what must never be inside it.
//!
//! `keyward.db` is the store; `pepper` and `encryption-key` are made on the first start, readable by their owner only. A
//! stolen database alone then neither confirms a guessed key nor gives an upstream's credential away. The price: a lost
//! pepper makes every key unknown. So the database keeps a check value of each and a start with a lost or
//! swapped file is refused in words, instead of answering every customer with "unknown key". So is a lost database beside
//! the files that it was used with, and one whose audit log has lost its chain: `audit-chained` says that it had one.
//!
//! Processes that start at once end with one of each: a file is made under another name and linked to its own, which
//! never replaces, and the database notes a check value only after the file is on the disk.

pub mod backup;
mod material;

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use keyward_core::key::Peppers;

use crate::{
    error::StoreError,
    seal::Sealer,
    sqlite::{Chaining, SqliteStore},
    store::Store,
};

const DATABASE: &str = "keyward.db";
const PEPPER: &str = "pepper";
const ENCRYPTION_KEY: &str = "encryption-key";
const AUDIT_CHAINED: &str = "audit-chained";
const HINTS: &str = "hints";
/// For whoever wonders what the file is for.
const WITNESS: &[u8] =
    b"While this file is here, Keyward takes no audit log for its own that is not chained.\n";

/// An open data folder.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    store: Arc<SqliteStore>,
    peppers: Peppers,
    sealer: Arc<Sealer>,
}

impl DataFolder {
    /// Opens the folder, and makes it with all that belongs in it where it is missing. Several processes may have it open.
    ///
    /// Refuses a database that is lost beside its key material, an audit log that has lost its chain, and key material that
    /// is missing, readable by others, malformed, or not what the database was used with.
    /// Blocks for some milliseconds: it is what a start begins with. Asynchronous for the sake of engines that are reached
    /// over a network.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        make_folder(path)?;
        let database = path.join(DATABASE);
        refuse_a_lost_database(path, &database)?;
        make_database_file(&database)?;
        let opening = SqliteStore::open(&database)?;
        let peppers = material::peppers(&path.join(PEPPER), &opening)?;
        let (sealer, chain) = material::encryption(&path.join(ENCRYPTION_KEY), &opening)?;
        let witness = path.join(AUDIT_CHAINED);
        let chaining = match exists(&witness)? {
            true => Chaining::HasBegun,
            false => Chaining::MayBegin,
        };
        let store = opening.complete(&path.join(HINTS), &chain, chaining)?;
        if chaining == Chaining::MayBegin {
            make_witness(&witness)?;
        }
        Ok(Self {
            path: path.to_owned(),
            store: Arc::new(store),
            peppers,
            sealer: Arc::new(sealer),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The truth.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::<SqliteStore>::clone(&self.store)
    }

    /// What digests are made under.
    pub const fn peppers(&self) -> &Peppers {
        &self.peppers
    }

    /// What seals and opens what must be read back.
    pub fn sealer(&self) -> Arc<Sealer> {
        Arc::clone(&self.sealer)
    }
}

fn unusable(path: &Path, doing: &str, error: &std::io::Error) -> StoreError {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => {
            "give it to the user Keyward runs as, or name another data folder"
        }
        ErrorKind::StorageFull => "free some space",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a file stands where a folder should be: move it, or name another data folder"
        }
        _ => "look at the path and the disk, or name another data folder",
    };
    StoreError::unavailable(format!("{} cannot be {doing} ({error})", path.display()), remedy)
}

/// Makes the folder, readable by its owner only. One that is there keeps the permissions its owner gave it.
fn make_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| unusable(path, "made", &error))
}

/// Key material is made only beside a database that has its schema, on the disk. Where it stands beside none, keys were
/// made and their database is lost: a new one would call every customer's key unknown.
///
/// The material is looked for first: another process that starts at the same time may make both in between, and one that
/// ended between them leaves a database.
fn refuse_a_lost_database(folder: &Path, database: &Path) -> Result<(), StoreError> {
    let mut beside = None;
    for name in [PEPPER, ENCRYPTION_KEY, AUDIT_CHAINED] {
        if exists(&folder.join(name))? {
            beside = Some(name);
            break;
        }
    }
    let Some(beside) = beside else { return Ok(()) };
    let what = match fs::metadata(database) {
        Ok(metadata) if metadata.len() > 0 => return Ok(()),
        Ok(_) => "empty",
        Err(error) if error.kind() == ErrorKind::NotFound => "missing",
        Err(error) => return Err(unusable(database, "looked for", &error)),
    };
    Err(StoreError::DatabaseLost { path: database.to_owned(), what, beside })
}

fn exists(file: &Path) -> Result<bool, StoreError> {
    file.try_exists().map_err(|error| unusable(file, "looked for", &error))
}

/// Notes beside the database that its audit log is chained from now on. Without it, somebody who can write the database
/// could take the chain away and have the next start chain whatever he left.
///
/// Made after the chain: a start that was cut off in between finds the chain and makes it then.
fn make_witness(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    let made = options.create(true).truncate(true).write(true).mode(0o600).open(path);
    made.and_then(|mut file| file.write_all(WITNESS).and_then(|()| file.sync_all()))
        .and_then(|()| sync_folder_of(path))
        .map_err(|error| unusable(path, "made", &error))
}

/// Makes the empty file that SQLite fills: it would make one that the group may read. The files that SQLite puts beside
/// it take its permissions.
fn make_database_file(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    match made {
        Ok(file) => file
            .sync_all()
            .and_then(|()| sync_folder_of(path))
            .map_err(|error| unusable(path, "made", &error)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(path, "made", &error)),
    }
}

/// Makes a new name in a folder survive power loss.
fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
