//! Writes that make no revision: usage and last uses as they come in from the data plane, and the store's own upkeep.

use keyward_core::usage::{LastUse, UsageBatch, UsageRow};
use rusqlite::{Connection, params};

use super::{
    alerts,
    faults::fault,
    reads,
    rows::{count, millis},
    usage::{self, waiting},
};
use crate::{error::StoreError, store::MaterialCheck, turns::in_turns};

/// Last uses that are noted before others get a chance: some hundred microseconds.
const USES_AT_ONCE: usize = 32;

/// Cores report out of order: an older use never replaces a newer, but is counted.
const USED: &str = "
UPDATE secrets SET
    requests = iif(requests > 9223372036854775807 - ?4, 9223372036854775807, requests + ?4),
    last_used_from = iif(coalesce(last_used_at, 0) <= ?2, ?3, last_used_from),
    last_used_at = max(coalesce(last_used_at, 0), ?2)
WHERE id = ?1";

fn used(connection: &Connection, last: &LastUse) -> rusqlite::Result<usize> {
    connection.prepare_cached(USED)?.execute(params![
        last.secret.bits(),
        millis(last.at),
        last.from.to_string(),
        count(last.requests),
    ])
}

/// What is recorded at once, made ready before the write that others wait for.
pub(super) struct Recorded {
    rows: Vec<UsageRow>,
    /// In place of rows, where they are many.
    waiting: Vec<String>,
    last_uses: Vec<LastUse>,
}

impl Recorded {
    pub(super) fn of(batch: &UsageBatch) -> Result<Self, StoreError> {
        let last_uses = batch.last_uses.clone();
        let (rows, waiting) = match batch.rows.len() > waiting::FEW {
            true => (vec![], waiting::written(&batch.rows)?),
            false => (batch.rows.clone(), vec![]),
        };
        Ok(Self { rows, waiting, last_uses })
    }
}

/// Takes in what one core has gathered.
pub(super) fn record(connection: &Connection, recorded: &Recorded) -> Result<(), StoreError> {
    usage::add(connection, &recorded.rows)?;
    waiting::put(connection, &recorded.waiting)?;
    for last in in_turns(USES_AT_ONCE, &recorded.last_uses) {
        used(connection, last).map_err(fault)?;
        alerts::note_network(connection, last.secret, last.from, last.at)?;
    }
    Ok(())
}

/// Removes the oldest feed entries, `most` at most, and leaves the newest `keep_last`. Returns how many went.
pub(super) fn trim_changes(
    connection: &Connection,
    keep_last: u64,
    most: u32,
) -> Result<u64, StoreError> {
    let newest = reads::revision(connection)?.get();
    let until = count(newest.saturating_sub(keep_last));
    let sql = "DELETE FROM change_feed WHERE revision IN \
        (SELECT revision FROM change_feed WHERE revision <= ?1 ORDER BY revision LIMIT ?2)";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params![until, most]))
        .map(|gone| u64::try_from(gone).unwrap_or(u64::MAX))
        .map_err(fault)
}

/// Writes something, to see that it can be written.
pub(super) fn count_check(connection: &Connection) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE store_state SET checks = (checks + 1) % 1000000")
        .and_then(|mut statement| statement.execute([]))
        .map(|_| ())
        .map_err(fault)
}

/// Notes key material on its first use; gives what stands.
pub(super) fn note_material(
    connection: &Connection,
    check: &MaterialCheck,
) -> Result<MaterialCheck, StoreError> {
    let sql = "INSERT INTO key_material (kind, version, check_value) VALUES (?1, ?2, ?3) \
        ON CONFLICT DO NOTHING";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            statement.execute(params![check.kind.as_str(), check.version, check.value])
        })
        .map_err(fault)?;
    Ok(reads::material_check(connection, check.kind, check.version)?
        .unwrap_or_else(|| check.clone()))
}
