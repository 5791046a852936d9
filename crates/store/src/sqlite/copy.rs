//! Whole copies of a database: made while it is used, and looked at before one takes a database's place.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, backup::Backup};

use super::{audit, connection, faults::fault, migrations, opening::Opening, reads};
use crate::{
    chain::{AuditProof, ChainKeys},
    change::Revision,
    error::StoreError,
};

/// Copies a database that may be in use into an empty file, as it is at one moment. Changes go on meanwhile.
pub(crate) fn make(from: &Path, to: &Path) -> Result<Revision, StoreError> {
    let source = connection::reading(from)?;
    let mut copy = connection::plain(to)?;
    // All pages in one read transaction: page by page, every change would begin it anew.
    Backup::new(&source, &mut copy).and_then(|backup| backup.step(-1)).map_err(fault)?;
    // Of the log that belongs to the source, nothing is needed: what is left is one file.
    let mode = "journal_mode";
    copy.pragma_update_and_check(None, mode, "delete", |_| Ok(())).map_err(fault)?;
    reads::revision(&copy)
}

/// Whether a file is a whole database of Keyward's that this Keyward knows. Nothing of it is changed. It is `shown` by another name.
pub(crate) fn check(file: &Path, shown: &Path) -> Result<Revision, StoreError> {
    let refused = |what: String| {
        let remedy = "name a file that `keyward backup` wrote, or an older one of them";
        StoreError::invalid(format!("{} {what}", shown.display()), remedy)
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(fault)?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").map_err(|error| {
        refused(match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => "is no SQLite database".to_owned(),
            _ => format!("is damaged ({error})"),
        })
    })?;
    let schema = pragma("user_version").map_err(fault)?;
    if application != migrations::APPLICATION_ID || schema < 1 {
        return Err(refused("is no database of Keyward's".to_owned()));
    }
    if schema > migrations::NEWEST {
        let (path, known) = (shown.to_owned(), migrations::NEWEST);
        return Err(StoreError::NewerSchema { path, database: schema, known });
    }
    let found: String = connection
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .map_err(|error| refused(format!("is damaged ({error})")))?;
    if found != "ok" {
        return Err(refused(format!("is damaged ({found})")));
    }
    reads::revision(&connection)
}

impl Opening {
    /// Brings a copy up to date, and walks over its audit log.
    pub(crate) fn prove(
        self,
        keys: &ChainKeys,
        chaining: super::Chaining,
    ) -> Result<AuditProof, StoreError> {
        let (mut connection, database) = self.into_parts();
        let key = migrations::complete(&mut connection, &database, keys, chaining)?;
        let proof = audit::verify(&connection, &key, None)?;
        settle(connection)?;
        Ok(proof)
    }
}

/// Moves what stands in the log into the database, and lets the log go.
fn settle(connection: Connection) -> Result<(), StoreError> {
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        .map_err(fault)?;
    connection.close().map_err(|(_, error)| fault(error))
}

/// What a database holds that a backup does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// Its newest revision.
    pub revision: Revision,
    /// How many changes it has behind the backup's revision.
    pub changes: u64,
    /// How many of them revoked or disabled a key.
    pub ended_keys: u64,
}

/// Reads what a database that nobody has open holds beyond a revision, and leaves it as one file without a log.
pub(crate) fn beyond(database: &Path, backup: Revision) -> Result<Beyond, StoreError> {
    let connection = connection::writing(database)?;
    let revision = reads::revision(&connection)?;
    let known = super::rows::count(backup.get());
    let count = |sql: &str| {
        let counted = connection.query_row(sql, [known], |row| row.get::<_, i64>(0));
        counted.map(i64::unsigned_abs).map_err(fault)
    };
    let changes = count("SELECT count(*) FROM audit WHERE revision > ?1")?;
    let ended_keys = count(
        "SELECT count(*) FROM audit WHERE revision > ?1 AND action IN ('key.revoke', 'key.disable')",
    )?;
    settle(connection)?;
    Ok(Beyond { revision, changes, ended_keys })
}
