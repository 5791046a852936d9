//! Writes that make no revision: usage and last uses as they come in from the data plane, and the store's own upkeep.

use keyward_core::usage::{LastUse, UsageBatch, UsageScope, UsageSums};
use rusqlite::{Connection, params};

use super::{
    alerts,
    faults::fault,
    reads,
    rows::{count, millis},
};
use crate::{error::StoreError, store::MaterialCheck};

/// Adds to what is there. Each figure stays at its maximum rather than wrap: SQLite would turn it into a fraction.
const ADD: &str = "
INSERT INTO usage (minute, api, route, key, status, requests, latency_micros, bytes_in, bytes_out)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (minute, api, route, key, status) DO UPDATE SET
    requests = iif(requests > 9223372036854775807 - excluded.requests,
        9223372036854775807, requests + excluded.requests),
    latency_micros = iif(latency_micros > 9223372036854775807 - excluded.latency_micros,
        9223372036854775807, latency_micros + excluded.latency_micros),
    bytes_in = iif(bytes_in > 9223372036854775807 - excluded.bytes_in,
        9223372036854775807, bytes_in + excluded.bytes_in),
    bytes_out = iif(bytes_out > 9223372036854775807 - excluded.bytes_out,
        9223372036854775807, bytes_out + excluded.bytes_out)";

/// Cores report out of order: an older use never replaces a newer, but is counted.
const USED: &str = "
UPDATE secrets SET
    requests = iif(requests > 9223372036854775807 - ?4, 9223372036854775807, requests + ?4),
    last_used_from = iif(coalesce(last_used_at, 0) <= ?2, ?3, last_used_from),
    last_used_at = max(coalesce(last_used_at, 0), ?2)
WHERE id = ?1";

fn add(connection: &Connection, scope: &UsageScope, sums: &UsageSums) -> rusqlite::Result<usize> {
    connection.prepare_cached(ADD)?.execute(params![
        count(scope.minute),
        scope.api,
        scope.route,
        scope.key.map(|key| key.bits().to_vec()).unwrap_or_default(),
        scope.status,
        count(sums.requests),
        count(sums.latency_micros),
        count(sums.bytes_in),
        count(sums.bytes_out),
    ])
}

fn used(connection: &Connection, last: &LastUse) -> rusqlite::Result<usize> {
    connection.prepare_cached(USED)?.execute(params![
        last.secret.bits(),
        millis(last.at),
        last.from.to_string(),
        count(last.requests),
    ])
}

/// Takes in what one core has gathered.
pub(super) fn record(connection: &Connection, batch: &UsageBatch) -> Result<(), StoreError> {
    for (scope, sums) in &batch.rows {
        add(connection, scope, sums).map_err(fault)?;
    }
    for last in &batch.last_uses {
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
