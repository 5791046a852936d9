//! The audit log's rows: each written in the transaction of its change, linked to the one before it.
//!
//! What is hashed and what is stored are the same cells, so that they cannot come to differ. An entry costs two rows
//! more to read and one more to write than it would without a chain, in pages that are at hand.
//!
//! A head that does not hold keeps nobody from writing: to revoke a key must be possible most of all on a day on which
//! somebody is in the database. But it is never mended either. What is written behind it marks it ([`BROKEN`]), or the
//! next entry would make a log whole that somebody had cut.

use std::iter;

use keyward_core::{id::OrganizationId, time::Timestamp};
use rusqlite::{
    Connection, OptionalExtension, Row, ToSql, params, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    faults::fault,
    reads,
    rows::{self, count, millis},
};
use crate::{
    chain::{
        AuditBreak, AuditHash, AuditHead, AuditProof, BROKEN, COLUMNS, Cell, ChainKey, ChainKeys,
        Columns, FoundHead, StoredHead, Walk,
    },
    change::Actor,
    error::StoreError,
    rules::Entry,
};

/// The end of a log without entries.
const BEGINNING: StoredHead = StoredHead { entries: 0, last_id: 0, hash: AuditHash::BEGINNING };

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Nothing => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(bytes) => ValueRef::Text(bytes),
        }))
    }
}

/// A change that was done.
pub(super) struct Done<'a> {
    pub(super) actor: &'a Actor,
    pub(super) at: Timestamp,
    pub(super) entry: &'a Entry,
    /// Whose business it is.
    pub(super) organization: Option<OrganizationId>,
    pub(super) revision: i64,
}

/// Writes the entry of a change behind the last one.
pub(super) fn append(
    connection: &Connection,
    key: &ChainKey,
    done: &Done<'_>,
) -> rusqlite::Result<()> {
    let newest = newest(connection)?;
    let found = head(connection, key)?;
    let end = match found {
        FoundHead::Sound(head) => head,
        _ => newest,
    };
    // Behind whatever is there: a number that somebody took in advance must not keep a change from being made.
    let id = end.last_id.max(newest.last_id).saturating_add(1);
    let Done { actor, at, entry, organization, revision } = done;
    let subject = entry.subject.id();
    let address = actor.address.map(|address| address.to_string());
    let [before, after] =
        [&entry.before, &entry.after].map(|value| value.as_ref().map(ToString::to_string));
    let columns = [
        Cell::Integer(millis(*at)),
        Cell::Text(actor.kind.as_str().as_bytes()),
        Cell::Text(actor.name.as_bytes()),
        Cell::Text(actor.interface.as_str().as_bytes()),
        Cell::Text(entry.action.as_bytes()),
        Cell::Text(entry.subject.kind().as_bytes()),
        Cell::Text(subject.as_bytes()),
        optional(before.as_ref()),
        optional(after.as_ref()),
        Cell::Text(b"done"),
        Cell::Integer(*revision),
        organization.as_ref().map_or(Cell::Nothing, |id| Cell::Text(id.as_str().as_bytes())),
        optional(address.as_ref()),
    ];
    let next = link(connection, key, &end, id, &columns)?;
    let code = match found {
        FoundHead::Sound(_) => key.code(&next),
        FoundHead::Marked => BROKEN,
        FoundHead::Missing | FoundHead::Changed => {
            tracing::error!(
                entry = id,
                "the end of the audit log is not as Keyward left it: `keyward audit verify` tells more"
            );
            BROKEN
        }
    };
    write_head(connection, key, &next, &code)
}

fn optional(text: Option<&String>) -> Cell<'_> {
    text.map_or(Cell::Nothing, |text| Cell::Text(text.as_bytes()))
}

/// Writes entry `id` behind `end`; gives the end of the log with it.
fn link(
    connection: &Connection,
    key: &ChainKey,
    end: &StoredHead,
    id: i64,
    columns: &Columns<'_>,
) -> rusqlite::Result<StoredHead> {
    let hash = key.link(end.hash, id, columns);
    let [first @ .., organization, address] = columns;
    let cells = first.iter().map(|cell| cell as &dyn ToSql);
    let mut row: Vec<&dyn ToSql> = iter::once(&id as &dyn ToSql).chain(cells).collect();
    row.push(hash.as_bytes());
    let mut sql = "INSERT INTO audit (id, at, actor_kind, actor_name, interface, action, \
        subject_kind, subject, before, after, outcome, revision, chain) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    // A log that just gets its chain has no such columns yet.
    if [organization, address].into_iter().any(|cell| *cell != Cell::Nothing) {
        row.extend([organization as &dyn ToSql, address]);
        sql = "INSERT INTO audit (id, at, actor_kind, actor_name, interface, action, subject_kind, \
            subject, before, after, outcome, revision, chain, organization, address) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    }
    connection.prepare_cached(sql)?.execute(params_from_iter(row))?;
    Ok(StoredHead { entries: end.entries.saturating_add(1), last_id: id, hash })
}

fn write_head(
    connection: &Connection,
    key: &ChainKey,
    head: &StoredHead,
    code: &[u8; 32],
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO audit_head \
        (only_row, key_version, entries, last_id, last_chain, code) VALUES (1, ?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        key.version(),
        count(head.entries),
        head.last_id,
        head.hash.as_bytes(),
        code
    ])?;
    Ok(())
}

/// The head, as far as it holds.
fn head(connection: &Connection, key: &ChainKey) -> rusqlite::Result<FoundHead> {
    let read = |row: &Row<'_>| {
        let number = |at| row.get_ref(at).map(|cell| cell.as_i64().ok());
        let hash = bytes(row.get_ref(3)?).map(AuditHash::from_bytes);
        let code = bytes(row.get_ref(4)?);
        let (Some(version), Some(entries), Some(last_id), Some(hash), Some(code)) =
            (number(0)?, number(1)?, number(2)?, hash, code)
        else {
            return Ok(FoundHead::Changed);
        };
        let Ok(entries) = u64::try_from(entries) else { return Ok(FoundHead::Changed) };
        if version != i64::from(key.version()) {
            return Ok(FoundHead::Changed);
        }
        Ok(key.judge(StoredHead { entries, last_id, hash }, &code))
    };
    let sql = "SELECT key_version, entries, last_id, last_chain, code FROM audit_head";
    let found = connection.prepare_cached(sql)?.query_row([], read).optional()?;
    Ok(found.unwrap_or(FoundHead::Missing))
}

/// The last row, as if the log ended with it.
fn newest(connection: &Connection) -> rusqlite::Result<StoredHead> {
    let read = |row: &Row<'_>| {
        let hash = bytes(row.get_ref(1)?).map_or(AuditHash::BEGINNING, AuditHash::from_bytes);
        Ok(StoredHead { entries: 0, last_id: row.get(0)?, hash })
    };
    let sql = "SELECT id, chain FROM audit ORDER BY id DESC LIMIT 1";
    let found = connection.prepare_cached(sql)?.query_row([], read).optional()?;
    Ok(found.unwrap_or(BEGINNING))
}

fn bytes(cell: ValueRef<'_>) -> Option<[u8; 32]> {
    cell.as_blob().ok()?.try_into().ok()
}

/// The cells of a row of `id` and [`COLUMNS`] more. `None` where one is of a kind that no entry has.
fn columns<'r>(row: &'r Row<'_>) -> rusqlite::Result<Option<Columns<'r>>> {
    let mut columns = [Cell::Nothing; COLUMNS];
    for (cell, at) in columns.iter_mut().zip(1..) {
        *cell = match row.get_ref(at)? {
            ValueRef::Null => Cell::Nothing,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Text(bytes) => Cell::Text(bytes),
            ValueRef::Real(_) | ValueRef::Blob(_) => return Ok(None),
        };
    }
    Ok(Some(columns))
}

/// Links the entries from before there was a chain, in the transaction that makes it.
pub(super) fn chain_what_is_there(
    connection: &Connection,
    key: &ChainKey,
) -> Result<(), StoreError> {
    let sql = format!("SELECT {} FROM audit_unchained ORDER BY id", rows::AUDIT_UNCHAINED);
    let mut end = BEGINNING;
    reads::each(connection, &sql, [], |row| {
        let id: i64 = row.get(0).map_err(fault)?;
        let columns = columns(row).map_err(fault)?.ok_or_else(|| StoreError::Corrupt {
            table: "audit".to_owned(),
            id: id.to_string(),
            what: "a column is of another kind".to_owned(),
        })?;
        end = link(connection, key, &end, id, &columns).map_err(fault)?;
        Ok(())
    })?;
    write_head(connection, key, &end, &key.code(&end)).map_err(fault)?;
    connection.execute_batch("DROP TABLE audit_unchained").map_err(fault)
}

/// The one of `keys` that this log is chained under.
pub(super) fn key(connection: &Connection, keys: &ChainKeys) -> Result<ChainKey, StoreError> {
    let sql = "SELECT key_version FROM audit_head";
    let version: Option<u32> =
        connection.query_row(sql, [], |row| row.get(0)).optional().map_err(fault)?;
    // Without a head the log is broken, whatever it was chained under.
    let Some(version) = version else { return Ok(keys.newest().clone()) };
    keys.of_version(version).cloned().ok_or_else(|| StoreError::KeyMaterial {
        place: "the encryption key".to_owned(),
        what: format!("version {version} is missing, and the audit log is chained under it"),
        remedy: "restore its line from the backup; old versions stay in the file".to_owned(),
    })
}

/// Walks over the whole log.
pub(super) fn verify(
    connection: &Connection,
    key: &ChainKey,
    noted: Option<AuditHead>,
) -> Result<AuditProof, StoreError> {
    let walked = walk(connection, key, noted).map_err(fault)?;
    Ok(walked.unwrap_or_else(AuditProof::Broken))
}

fn walk(
    connection: &Connection,
    key: &ChainKey,
    noted: Option<AuditHead>,
) -> rusqlite::Result<Result<AuditProof, AuditBreak>> {
    let mut walk = Walk::new(key, head(connection, key)?, noted);
    let sql = format!("SELECT {}, chain FROM audit ORDER BY id", rows::AUDIT);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let columns = columns(row)?;
        let hash = bytes(row.get_ref(1 + COLUMNS)?).map(AuditHash::from_bytes);
        if let Err(found) = walk.step(row.get(0)?, columns.as_ref(), hash) {
            return Ok(Err(found));
        }
    }
    Ok(walk.finish())
}
