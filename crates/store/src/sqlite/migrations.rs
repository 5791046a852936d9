//! The schema, step by step: each step is a numbered file, done in one transaction, never edited once released.
//!
//! `PRAGMA user_version` is the number of the last step done. A database that knows more steps than this binary
//! is refused rather than guessed at. Several processes may open the same database at once: the step is
//! chosen inside the transaction that holds the write lock.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::faults::fault;
use crate::error::StoreError;

const STEPS: &[&str] = &[include_str!("migrations/0001_foundation.sql")];
/// Tells our databases from others: "Kwrd".
const APPLICATION_ID: i64 = 0x4b77_7264;

fn pragma(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(fault)
}

/// Brings the schema to the newest step.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let step = step.map_err(fault)?;
    let database = pragma(&step, "user_version")?;
    if database > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), database, known });
    }
    if database == known {
        return Ok(());
    }
    let tables: i64 = step
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fault)?;
    if tables > 0 && pragma(&step, "application_id")? != APPLICATION_ID {
        return Err(StoreError::unavailable(
            format!("{} is a SQLite database, but not Keyward's", path.display()),
            "name the data folder that Keyward made, or an empty one",
        ));
    }
    let done = usize::try_from(database).unwrap_or_default();
    for sql in STEPS.iter().skip(done) {
        step.execute_batch(sql).map_err(fault)?;
    }
    step.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
    step.pragma_update(None, "user_version", known).map_err(fault)?;
    step.commit().map_err(fault)
}
