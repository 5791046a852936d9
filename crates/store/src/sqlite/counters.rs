//! What limits have counted: notes without revision or audit entry.

use keyward_core::{
    limit::{Saved, applied::CounterId},
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{
    faults::fault,
    reads::all,
    rows::{Cells, millis},
};
use crate::{error::StoreError, query::Page};

/// Replaces what was saved of each.
pub(super) fn save(connection: &Connection, counters: &[Saved]) -> Result<(), StoreError> {
    let sql = "INSERT INTO counters (id, state, ends_at) VALUES (?1, ?2, ?3) \
        ON CONFLICT (id) DO UPDATE SET state = excluded.state, ends_at = excluded.ends_at";
    let mut statement = connection.prepare_cached(sql).map_err(fault)?;
    for counter in counters {
        let state: Vec<u8> = counter.to_numbers().iter().flat_map(|n| n.to_be_bytes()).collect();
        let row = params![counter.counter.to_bytes(), state, millis(counter.ends_at())];
        statement.execute(row).map_err(fault)?;
    }
    Ok(())
}

/// Counters in the order of their numbers. One that cannot be read is told of and left out: that a count begins anew is better than
/// that nothing begins.
pub(super) fn page(
    connection: &Connection,
    page: Page<CounterId>,
) -> Result<Vec<Saved>, StoreError> {
    let sql = "SELECT id, state FROM counters WHERE id > ?1 ORDER BY id LIMIT ?2";
    let after = page.after.map_or_else(Vec::new, |after| after.to_bytes().to_vec());
    let read = all(connection, sql, params![after, page.limit], |row| {
        let cells = Cells::of("counters", row);
        let counter = CounterId::from_bytes(cells.bits(0, "id")?);
        let mut numbers = [0; 9];
        let (pieces, _) = cells.bytes(1, "state")?.as_chunks();
        for (number, piece) in numbers.iter_mut().zip(pieces) {
            *number = u64::from_be_bytes(*piece);
        }
        let saved = Saved::from_numbers(counter, numbers);
        if saved.is_none() {
            tracing::error!(?counter, "what a limit had counted cannot be read: it begins anew");
        }
        Ok(saved)
    })?;
    Ok(read.into_iter().flatten().collect())
}

/// Forgets counters of which nothing counts since `before`, `most` at most. Returns how many went.
pub(super) fn forget(
    connection: &Connection,
    before: Timestamp,
    most: u32,
) -> Result<u64, StoreError> {
    let sql = "DELETE FROM counters WHERE id IN \
        (SELECT id FROM counters WHERE ends_at < ?1 AND ends_at < 9223372036854775807 LIMIT ?2)";
    let gone = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params![millis(before), most]))
        .map_err(fault)?;
    Ok(u64::try_from(gone).unwrap_or_default())
}
