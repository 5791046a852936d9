//! The schema, step by step: each step is a numbered file, done in one transaction, never edited once released.
//!
//! `PRAGMA user_version` is the number of the last step done. A database that knows more steps than this binary
//! is refused rather than guessed at. Several processes may open the same database at once: the step is
//! chosen inside the transaction that holds the write lock.
//!
//! Two halves. The first step needs nothing; by what it holds the key material is found, or made. The others come after
//! that: step 2 chains the audit log, and a hash under a key is nothing that SQL can make.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{alerts, audit, faults::fault, updates};
use crate::{
    chain::{ChainKey, ChainKeys},
    error::StoreError,
};

const FOUNDATION: &str = include_str!("migrations/0001_foundation.sql");
const AUDIT_CHAIN: &str = include_str!("migrations/0002_audit_chain.sql");
/// The steps behind the chain, in order.
const LATER: &[&str] = &[
    include_str!("migrations/0003_people.sql"),
    include_str!("migrations/0004_keys_and_audit.sql"),
    include_str!("migrations/0005_key_requests.sql"),
    include_str!("migrations/0006_imported_secrets.sql"),
    include_str!("migrations/0007_identities.sql"),
    include_str!("migrations/0008_answers.sql"),
    include_str!("migrations/0009_usage.sql"),
    include_str!("migrations/0010_plans.sql"),
    include_str!("migrations/0011_webhooks.sql"),
    include_str!("migrations/0012_counters.sql"),
    include_str!("migrations/0013_alerts.sql"),
    include_str!("migrations/0014_deliveries.sql"),
    include_str!("migrations/0015_waiting_usage.sql"),
];
/// The step behind which the words of keys have to be gathered.
const WORDS: i64 = 4;
/// The step behind which every organization has been given alert rules.
const ALERT_RULES: i64 = 13;
pub(super) const NEWEST: i64 = 2 + LATER.len() as i64;
/// Tells our databases from others: "Kwrd".
pub(super) const APPLICATION_ID: i64 = 0x4b77_7264;

/// What is known outside of the database about its audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chaining {
    /// Nothing: a log without a chain is one from before there were chains, and gets one.
    MayBegin,
    /// That it was chained: a log without a chain was tampered with, or is an old copy. To chain it would make whatever
    /// stands in it count as written by Keyward.
    HasBegun,
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(fault)
}

/// A transaction that holds the write lock, and the number of the last step done.
fn begin<'c>(
    connection: &'c mut Connection,
    path: &Path,
) -> Result<(Transaction<'c>, i64), StoreError> {
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let step = step.map_err(fault)?;
    let database = pragma(&step, "user_version")?;
    if database > NEWEST {
        return Err(StoreError::NewerSchema { path: path.to_owned(), database, known: NEWEST });
    }
    Ok((step, database))
}

fn end(step: Transaction<'_>, number: i64) -> Result<(), StoreError> {
    step.pragma_update(None, "user_version", number).map_err(fault)?;
    step.commit().map_err(fault)
}

/// Makes what every later step builds on, where the database is empty.
pub(super) fn lay_foundation(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let (step, database) = begin(connection, path)?;
    if database > 0 {
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
    step.execute_batch(FOUNDATION).map_err(fault)?;
    step.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
    end(step, 1)
}

/// The newest schema, for tests that ask how it is walked.
#[cfg(test)]
pub(super) fn everything(connection: &Connection) {
    for sql in [FOUNDATION, AUDIT_CHAIN].iter().chain(LATER) {
        connection.execute_batch(sql).unwrap();
    }
}

/// Brings the schema to the newest step. Gives the key that the audit log is chained under.
pub(super) fn complete(
    connection: &mut Connection,
    path: &Path,
    keys: &ChainKeys,
    chaining: Chaining,
) -> Result<ChainKey, StoreError> {
    let (step, database) = begin(connection, path)?;
    if database < 2 {
        if chaining == Chaining::HasBegun {
            return Err(StoreError::AuditChainLost { path: path.to_owned() });
        }
        step.execute_batch(AUDIT_CHAIN).map_err(fault)?;
        audit::chain_what_is_there(&step, keys.newest())?;
    }
    let key = audit::key(&step, keys)?;
    for (_, sql) in (3..).zip(LATER).filter(|(number, _)| database < *number) {
        step.execute_batch(sql).map_err(fault)?;
    }
    if database < WORDS {
        updates::gather_words(&step)?;
    }
    if database < ALERT_RULES {
        alerts::give_defaults(&step)?;
    }
    if database < NEWEST {
        end(step, NEWEST)?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests;
