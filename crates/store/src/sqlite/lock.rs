//! The locks beside a database, over all processes of this machine. SQLite's own cover neither its change to a write-ahead log nor
//! another database that takes its place.
//!
//! `keyward.lock` is held by whoever sets the database up, alone. `keyward.in-use` is shared by everybody who has it open; a
//! restore holds it alone. The kernel lets go of both with their process, however it ends: the files stay, and say nothing.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::error::StoreError;

/// Waits until no other process is setting this database up. SQLite's own waiting does not cover the change to a write-ahead
/// log: of two that open a new database at once, one would be told that it is locked.
pub(super) fn alone(database: &Path) -> Result<Flock<File>, StoreError> {
    let path = database.with_extension("lock");
    lock(&path, FlockArg::LockExclusive, |errno| cannot(&path, &errno.into()))
}

/// Held by whoever has the database open, for as long.
pub(super) fn in_use(database: &Path) -> Result<Flock<File>, StoreError> {
    let refusal = StoreError::unavailable(
        format!("{} is being restored", database.display()),
        "wait until the restore has ended",
    );
    try_in_use(database, FlockArg::LockSharedNonblock, refusal)
}

/// Held while another database takes this one's place: nobody has it open, and nobody opens it.
pub(crate) fn out_of_use(database: &Path) -> Result<Flock<File>, StoreError> {
    let refusal = StoreError::unavailable(
        format!("a Keyward runs on {}", database.display()),
        "stop it first, and wait for commands that run",
    );
    try_in_use(database, FlockArg::LockExclusiveNonblock, refusal)
}

fn try_in_use(
    database: &Path,
    how: FlockArg,
    refusal: StoreError,
) -> Result<Flock<File>, StoreError> {
    let path = database.with_extension("in-use");
    lock(&path, how, |errno| match errno {
        Errno::EWOULDBLOCK => refusal,
        errno => cannot(&path, &errno.into()),
    })
}

/// The file is made where it is not there; nobody else may open it.
fn lock(
    path: &Path,
    how: FlockArg,
    refused: impl FnOnce(Errno) -> StoreError,
) -> Result<Flock<File>, StoreError> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = file.map_err(|error| cannot(path, &error))?;
    Flock::lock(file, how).map_err(|(_, errno)| refused(errno))
}

fn cannot(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::unavailable(
        format!("{} cannot be locked ({error})", path.display()),
        "give the data folder and its files to the user Keyward runs as, on a local disk",
    )
}
