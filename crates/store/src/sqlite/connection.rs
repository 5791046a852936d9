//! How a connection is set up. Every setting that durability or safety rests on is here.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{faults::fault, usage};
use crate::error::StoreError;

/// How long a write waits for another process's: longer than any group takes.
const BUSY: Duration = Duration::from_secs(10);
const STATEMENTS: usize = 64;

fn open(database: &Path) -> Result<Connection, StoreError> {
    // The file is made beforehand, readable by its owner only; SQLite would make it after the umask.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY).map_err(fault)?;
    let set = |name: &str, value: &dyn rusqlite::ToSql| {
        connection.pragma_update(None, name, value).map_err(fault)
    };
    set("foreign_keys", &true)?;
    set("temp_store", &"memory")?;
    // What a damaged or hostile file could do to us: no functions from the schema, pages checked as they are read.
    set("trusted_schema", &false)?;
    set("cell_size_check", &true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(fault)?;
    // A statement has one plan, whatever it is asked with: otherwise it is prepared again for each key it is asked about.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(fault)?;
    usage::functions(&connection)?;
    Ok(connection)
}

/// The writer's connection.
pub(super) fn writing(database: &Path) -> Result<Connection, StoreError> {
    let connection = open(database)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(fault)?;
    if mode != "wal" {
        return Err(StoreError::unavailable(
            format!(
                "{} cannot have a write-ahead log (it is in mode `{mode}`)",
                database.display()
            ),
            "put the data folder on a local disk: network file systems cannot keep it",
        ));
    }
    // FULL: the log is on the disk before a change is acknowledged. NORMAL would lose acknowledged changes with the power.
    connection.pragma_update(None, "synchronous", "full").map_err(fault)?;
    // Random ids touch pages everywhere: 16 MiB keep the inner ones of a million keys.
    connection.pragma_update(None, "cache_size", -16_384).map_err(fault)?;
    // After a burst the log is cut to 64 MiB instead of staying as long as it ever was.
    connection
        .pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))
        .map_err(fault)?;
    Ok(connection)
}

/// A connection to a file that nobody else uses.
pub(super) fn plain(database: &Path) -> Result<Connection, StoreError> {
    let connection = open(database)?;
    connection.pragma_update(None, "synchronous", "full").map_err(fault)?;
    Ok(connection)
}

/// A reader's connection.
pub(super) fn reading(database: &Path) -> Result<Connection, StoreError> {
    let connection = open(database)?;
    connection.pragma_update(None, "query_only", true).map_err(fault)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_durability_and_safety_rest_on_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("keyward.db");
        std::fs::File::create(&database).unwrap();
        let setting = |connection: &Connection, name: &str| -> String {
            let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            format!("{:?}", connection.pragma_query_value(None, name, value).unwrap())
        };
        let writing = writing(&database).unwrap();
        assert_eq!(setting(&writing, "journal_mode"), r#"Text("wal")"#);
        assert_eq!(setting(&writing, "synchronous"), "Integer(2)", "2 is FULL");
        assert_eq!(setting(&writing, "foreign_keys"), "Integer(1)");
        let reading = reading(&database).unwrap();
        assert!(reading.execute_batch("CREATE TABLE t (x)").is_err(), "a reader cannot write");
        let version = rusqlite::version_number();
        assert!(version >= 3_051_003, "{version} has the bug that loses a log on its reset");
    }
}
