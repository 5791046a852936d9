//! A database on its way to being a store.
//!
//! Which key material belongs to a database, the database says; and without that material its audit log can neither be
//! chained nor written. So it is opened in two halves, and a store that could not write its log does not exist.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::fcntl::Flock;
use rusqlite::Connection;

use super::{
    Chaining, SqliteStore, connection, hints::Hints, imported, lock, migrations, readers::Readers,
    reads, record, usage::adding::Adding, writer::Writer,
};
use crate::{chain::ChainKeys, error::StoreError, store::MaterialCheck};

/// A database whose foundation stands, and that nobody else is setting up meanwhile.
pub struct Opening {
    connection: Connection,
    alone: Flock<File>,
    in_use: Flock<File>,
    database: PathBuf,
}

impl Opening {
    pub(super) fn of(database: &Path) -> Result<Self, StoreError> {
        let alone = lock::alone(database)?;
        let in_use = lock::in_use(database)?;
        let mut connection = connection::writing(database)?;
        migrations::lay_foundation(&mut connection, database)?;
        Ok(Self { connection, alone, in_use, database: database.to_owned() })
    }

    /// The key material this database was used with.
    pub fn material(&self) -> Result<Vec<MaterialCheck>, StoreError> {
        reads::material(&self.connection)
    }

    /// Notes key material on its first use. Returns what stands for this kind and version, which is another value where
    /// it was first used with another file.
    pub fn note_material(&self, check: &MaterialCheck) -> Result<MaterialCheck, StoreError> {
        record::note_material(&self.connection, check)
    }

    /// Whether there is any key, also a revoked one.
    pub fn holds_keys(&self) -> Result<bool, StoreError> {
        reads::holds_keys(&self.connection)
    }

    /// Whether some secret's digest was made under this pepper.
    pub fn pepper_in_use(&self, version: u32) -> Result<bool, StoreError> {
        reads::pepper_in_use(&self.connection, version)
    }

    /// Whether there is any sealed value.
    pub fn holds_sealed(&self) -> Result<bool, StoreError> {
        Ok(!reads::upstream_credentials(&self.connection)?.is_empty()
            || imported::holds_sealed(&self.connection)?)
    }

    /// Brings the schema up to date and begins to work. The first time, the audit log gets its chain.
    /// `hints` is the folder for the sockets through which processes wake each other; it is made.
    ///
    /// Blocks for some milliseconds; where a log gets its chain, for some seconds per million
    /// entries.
    pub fn complete(
        mut self,
        hints: &Path,
        keys: &ChainKeys,
        chaining: Chaining,
    ) -> Result<SqliteStore, StoreError> {
        let chain = migrations::complete(&mut self.connection, &self.database, keys, chaining)?;
        drop(self.alone);
        let hints = Arc::new(Hints::open(&self.database, hints));
        let readers = Readers::start(&self.database)?;
        let adders = Readers::start_adding(&self.database)?;
        let writer = Writer::start(self.connection, Arc::clone(&hints))?;
        Ok(SqliteStore {
            readers,
            adders,
            writer,
            adding: Adding::default(),
            hints,
            chain,
            _in_use: self.in_use,
        })
    }
}

impl Opening {
    pub(super) fn into_parts(self) -> (Connection, PathBuf) {
        (self.connection, self.database)
    }
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opening({})", self.database.display())
    }
}
