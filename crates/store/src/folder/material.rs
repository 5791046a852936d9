//! The files `pepper` and `encryption-key`: lines of a version and 32 random bytes in base 64, newest version in use.
//!
//! A database that has been used with some material never gets a new file in its place: the keys in it were made under
//! the lost one, and a fresh pepper would turn "I cannot know" into "unknown key".

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use keyward_core::key::{Pepper, PepperVersion, Peppers};
use zeroize::Zeroizing;

use super::{sync_folder_of, unusable};
use crate::{
    chain::ChainKeys,
    error::StoreError,
    seal::{Sealer, truncated},
    sqlite::Opening,
    store::{MaterialCheck, MaterialKind},
};

/// No key material is larger; what is, is another file.
const LARGEST_FILE: u64 = 64 * 1024;
const BYTES: usize = 32;

type Keys = Vec<(u32, Zeroizing<Vec<u8>>)>;

/// The peppers of a store, made where it has never had one.
pub(super) fn peppers(path: &Path, store: &Opening) -> Result<Peppers, StoreError> {
    let keys = obtain(path, MaterialKind::Pepper, store)?;
    let wrong = |error: keyward_core::key::secret::PepperError| StoreError::KeyMaterial {
        place: path.display().to_string(),
        what: error.to_string(),
        remedy: "restore the file from its backup".to_owned(),
    };
    let mut peppers = Vec::with_capacity(keys.len());
    let mut checks = Vec::with_capacity(keys.len());
    for (version, bytes) in keys {
        let pepper = Pepper::new(PepperVersion(version), &bytes).map_err(wrong)?;
        // No key has a space in it, so this is no key's digest.
        let value = truncated(pepper.digest(b"keyward pepper check").as_bytes());
        checks.push(MaterialCheck { kind: MaterialKind::Pepper, version, value });
        peppers.push(pepper);
    }
    confirm(path, store, &checks)?;
    Peppers::new(peppers).map_err(wrong)
}

/// What a store's encryption keys are for, made where it has never had one: sealing, and the audit log's chain.
pub(super) fn encryption(path: &Path, store: &Opening) -> Result<(Sealer, ChainKeys), StoreError> {
    let keys: Vec<(u32, Zeroizing<[u8; BYTES]>)> =
        obtain(path, MaterialKind::EncryptionKey, store)?
            .into_iter()
            .filter_map(|(version, bytes)| {
                bytes.as_slice().try_into().ok().map(|key| (version, Zeroizing::new(key)))
            })
            .collect();
    let chain = ChainKeys::derive(&keys).ok_or_else(|| empty(path))?;
    let sealer = Sealer::new(keys).ok_or_else(|| empty(path))?;
    confirm(path, store, &sealer.checks())?;
    Ok((sealer, chain))
}

/// Reads the file; makes it where neither it nor a trace of an earlier one exists.
fn obtain(path: &Path, kind: MaterialKind, store: &Opening) -> Result<Keys, StoreError> {
    // Asked before the file is looked for: whoever notes material has its file in place, also if that was just now.
    let noted = store.material()?.iter().any(|check| check.kind == kind);
    let used = noted || kind == MaterialKind::Pepper && store.holds_keys()?;
    if let Some(text) = read(path)? {
        return parse(path, &text);
    }
    if used {
        return Err(StoreError::KeyMaterial {
            place: path.display().to_string(),
            what: "it is missing, and this database was used with one".to_owned(),
            remedy: lost(kind).to_owned(),
        });
    }
    make(path)?;
    let text = read(path)?.ok_or_else(|| empty(path))?;
    parse(path, &text)
}

const fn lost(kind: MaterialKind) -> &'static str {
    match kind {
        MaterialKind::Pepper => {
            "restore the file from its backup; without it no key of this database can be checked, \
             and a new data folder with new keys is the only way"
        }
        MaterialKind::EncryptionKey => {
            "restore the file from its backup; without it no upstream credential of this database \
             can be opened and its audit log not be verified, and a new data folder is the only way"
        }
    }
}

fn empty(path: &Path) -> StoreError {
    StoreError::KeyMaterial {
        place: path.display().to_string(),
        what: "it is empty".to_owned(),
        remedy:
            "restore the file from its backup; on a data folder that was never used, remove it \
                 and it is made anew"
                .to_owned(),
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, StoreError> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, "read", &error)),
    };
    let metadata = file.metadata().map_err(|error| unusable(path, "read", &error))?;
    let refused = |what: String, remedy: String| StoreError::KeyMaterial {
        place: path.display().to_string(),
        what,
        remedy,
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(refused(
            format!("others than its owner may read or change it (mode {mode:o})"),
            format!(
                "run `chmod 600 {}`; if others had access to this machine, take it for known to them",
                path.display()
            ),
        ));
    }
    if metadata.len() > LARGEST_FILE {
        return Err(refused(
            format!("it has {} bytes, far more than key material", metadata.len()),
            "restore the file from its backup".to_owned(),
        ));
    }
    // Room for all of it at once: a buffer that grew would leave pieces of it in freed memory.
    let capacity = usize::try_from(metadata.len()).unwrap_or_default() + BYTES;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.read_to_end(&mut bytes).map_err(|error| unusable(path, "read", &error))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(_) => {
            Err(refused("it is not text".to_owned(), "restore the file from its backup".to_owned()))
        }
    }
}

/// Lines of `<version> <base64 of 32 bytes>`; empty lines and lines that begin with `#` are passed over.
fn parse(path: &Path, text: &str) -> Result<Keys, StoreError> {
    let mut keys = Keys::new();
    for (line, number) in text.lines().zip(1_u32..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refused = |what: String| StoreError::KeyMaterial {
            place: format!("{}, line {number}", path.display()),
            what,
            remedy:
                "restore the file from its backup; a line is a version, a space, and 32 random \
                     bytes in base 64, as `openssl rand -base64 32` makes them"
                    .to_owned(),
        };
        let (version, encoded) = line
            .split_once(char::is_whitespace)
            .ok_or_else(|| refused("it is not a version and a value".to_owned()))?;
        // What was read is not shown: a line without a version begins with the secret itself.
        let version: u32 = version
            .parse()
            .ok()
            .filter(|version| *version > 0)
            .ok_or_else(|| refused("it does not begin with a version (1, 2, …)".to_owned()))?;
        let bytes = STANDARD
            .decode(encoded.trim())
            .map(Zeroizing::new)
            .map_err(|_| refused("its value is not base 64".to_owned()))?;
        if bytes.len() != BYTES {
            return Err(refused(format!("its value has {} bytes, not {BYTES}", bytes.len())));
        }
        if keys.iter().any(|(known, _)| *known == version) {
            return Err(refused(format!("version {version} is given twice")));
        }
        keys.push((version, bytes));
    }
    if keys.is_empty() {
        return Err(empty(path));
    }
    Ok(keys)
}

/// Makes the file with version 1, whole or not at all; where somebody else was first, theirs stays.
fn make(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| unusable(path, "made", &error);
    let mut random = Zeroizing::new([0; BYTES]);
    let mut suffix = [0; 8];
    getrandom::fill(random.as_mut())
        .and_then(|()| getrandom::fill(&mut suffix))
        .map_err(|error| failed(std::io::Error::other(error)))?;
    let line =
        Zeroizing::new(format!("1 {}\n", &*Zeroizing::new(STANDARD.encode(random.as_slice()))));
    let unfinished = path.with_extension(format!("{:016x}.new", u64::from_le_bytes(suffix)));
    let made = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| match fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    let removed = fs::remove_file(&unfinished);
    // The name must survive power loss before the database is used with what it names.
    made.and(removed).and_then(|()| sync_folder_of(path)).map_err(failed)
}

/// Whether these are what the store was used with. What it has not seen yet, it notes.
fn confirm(path: &Path, store: &Opening, checks: &[MaterialCheck]) -> Result<(), StoreError> {
    let Some(kind) = checks.first().map(|check| check.kind) else { return Err(empty(path)) };
    for known in store.material()?.iter().filter(|known| known.kind == kind) {
        if checks.iter().any(|check| check.version == known.version) {
            continue;
        }
        let needed = match kind {
            MaterialKind::Pepper => store.pepper_in_use(known.version)?,
            MaterialKind::EncryptionKey => store.holds_sealed()?,
        };
        if needed {
            return Err(StoreError::KeyMaterial {
                place: path.display().to_string(),
                what: format!("version {} is missing, and this database needs it", known.version),
                remedy: "restore its line from the backup; old versions stay in the file"
                    .to_owned(),
            });
        }
    }
    for check in checks {
        let stands = store.note_material(check)?;
        if stands != *check {
            return Err(StoreError::KeyMaterial {
                place: path.display().to_string(),
                what: format!(
                    "version {} is not the one that this database was used with",
                    check.version
                ),
                remedy: lost(kind).to_owned(),
            });
        }
    }
    Ok(())
}
