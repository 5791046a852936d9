//! Gateways that follow the feed, and of what people were reminded: notes without revision or audit entry.

use keyward_core::{
    id::{KeyId, NodeId},
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{
    apply::write,
    faults::fault,
    reads::{self, all},
    rows::{Cells, count, millis},
};
use crate::{change::Revision, error::StoreError, query::Node};

/// Nobody waits for a gateway that was not heard of for so long.
const FORGOTTEN_AFTER_MILLIS: u64 = 24 * 3_600_000;
/// Revisions of a gateway that are kept: who asks for a receipt does so soon.
const KEPT_REVISIONS: i64 = 10_000;

/// A gateway follows.
pub(super) fn see(connection: &Connection, node: &Node) -> Result<(), StoreError> {
    write(
        connection,
        "INSERT INTO nodes (id, name, started_at, seen_at) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (id) DO UPDATE SET seen_at = max(seen_at, excluded.seen_at)",
        params![node.id.bits(), node.name, millis(node.started_at), millis(node.seen_at)],
    )
    .map_err(fault)?;
    let long_ago = node.seen_at.as_millis().saturating_sub(FORGOTTEN_AFTER_MILLIS);
    let sql = "DELETE FROM nodes WHERE seen_at < ?1";
    if write(connection, sql, [count(long_ago)]).map_err(fault)? > 0 {
        let sql = "DELETE FROM node_progress WHERE node NOT IN (SELECT id FROM nodes)";
        write(connection, sql, []).map_err(fault)?;
    }
    Ok(())
}

/// A gateway stopped.
pub(super) fn forget(connection: &Connection, node: NodeId) -> Result<(), StoreError> {
    for sql in ["DELETE FROM nodes WHERE id = ?1", "DELETE FROM node_progress WHERE node = ?1"] {
        write(connection, sql, [node.bits()]).map_err(fault)?;
    }
    Ok(())
}

/// A gateway has applied everything up to a revision.
pub(super) fn note_applied(
    connection: &Connection,
    node: NodeId,
    revision: Revision,
    at: Timestamp,
) -> Result<(), StoreError> {
    let revision = count(revision.get());
    let sql = "INSERT INTO node_progress (node, revision, at) VALUES (?1, ?2, ?3) \
        ON CONFLICT DO NOTHING";
    write(connection, sql, params![node.bits(), revision, millis(at)]).map_err(fault)?;
    let sql = "DELETE FROM node_progress WHERE node = ?1 AND revision < ?2";
    write(connection, sql, params![node.bits(), revision.saturating_sub(KEPT_REVISIONS)])
        .map(|_| ())
        .map_err(fault)
}

/// The gateways, in the order they came, each with when it had applied the revision.
pub(super) fn nodes(connection: &Connection, revision: Revision) -> Result<Vec<Node>, StoreError> {
    // The first note at or behind the revision: a gateway applies several at once and notes the last of them.
    let sql = "SELECT id, name, started_at, seen_at, (SELECT at FROM node_progress \
            WHERE node = nodes.id AND revision >= ?1 ORDER BY revision LIMIT 1) \
        FROM nodes ORDER BY rowid";
    all(connection, sql, [count(revision.get())], |row| {
        let cells = Cells::of("nodes", row);
        Ok(Node {
            id: NodeId::from_bits(cells.bits(0, "id")?),
            name: cells.text(1, "name")?.to_owned(),
            started_at: cells.moment(2, "started_at")?,
            seen_at: cells.moment(3, "seen_at")?,
            applied_at: cells.optional_moment(4, "at")?,
        })
    })
}

/// People are reminded of something; whether they were not before.
pub(super) fn note_reminder(
    connection: &Connection,
    key: KeyId,
    kind: &str,
    about: Timestamp,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let held = reads::held_key(connection, key)?.ok_or(StoreError::NoSuchKey(key))?;
    let sql = "INSERT INTO reminders (key_seq, kind, about, sent_at) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT DO NOTHING";
    let noted = write(connection, sql, params![held.seq, kind, millis(about), millis(at)]);
    noted.map(|rows| rows > 0).map_err(fault)
}
