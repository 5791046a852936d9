//! Requests that are done once, as rows.

use keyward_core::{key::Digest, time::Timestamp};
use rusqlite::{Connection, params};

use super::{
    apply::write,
    faults::{fault, is_collision},
    reads::first,
    rows::{Cells, millis},
};
use crate::{
    change::Revision,
    error::StoreError,
    once::{Answered, Once, RequestKey},
    seal::SealedBytes,
};

/// As many that are over go with each new one: more than come, so that none stays for long.
const TRIM_AT_ONCE: u32 = 100;

/// Refuses a request that was done.
pub(super) fn is_first(
    connection: &Connection,
    at: Timestamp,
    request: &RequestKey,
) -> Result<(), StoreError> {
    match answer(connection, request, at)? {
        Some(_) => Err(StoreError::DoneBefore),
        None => Ok(()),
    }
}

/// Keeps what became of a request, in the transaction of its change.
pub(super) fn keep(
    connection: &Connection,
    at: Timestamp,
    once: Once,
    revision: Revision,
) -> Result<(), StoreError> {
    let Once { request, asked, made, answer, answered_until, kept_until } = once;
    let answer = answer(revision)?;
    let sql = "DELETE FROM answers WHERE caller = ?1 AND key = ?2 AND kept_until <= ?3";
    write(connection, sql, params![request.caller, request.key, millis(at)]).map_err(fault)?;
    write(
        connection,
        "INSERT INTO answers (caller, key, asked, made, answer, answered_until, kept_until) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            request.caller,
            request.key,
            asked.as_bytes(),
            made,
            answer.as_bytes(),
            millis(answered_until),
            millis(kept_until),
        ],
    )
    .map_err(|error| match is_collision(&error) {
        true => StoreError::DoneBefore,
        false => fault(error),
    })?;
    trim(connection, at)
}

fn trim(connection: &Connection, at: Timestamp) -> Result<(), StoreError> {
    let over = "DELETE FROM answers WHERE rowid IN \
        (SELECT rowid FROM answers WHERE kept_until <= ?1 LIMIT ?2)";
    let gone = "UPDATE answers SET answer = NULL WHERE rowid IN \
        (SELECT rowid FROM answers WHERE answer IS NOT NULL AND answered_until <= ?1 LIMIT ?2)";
    for sql in [over, gone] {
        write(connection, sql, params![millis(at), TRIM_AT_ONCE]).map_err(fault)?;
    }
    Ok(())
}

/// What became of a request.
pub(super) fn answer(
    connection: &Connection,
    request: &RequestKey,
    at: Timestamp,
) -> Result<Option<Answered>, StoreError> {
    let sql = "SELECT caller, asked, made, answered_until, answer FROM answers \
        WHERE caller = ?1 AND key = ?2 AND kept_until > ?3";
    first(connection, sql, params![request.caller, request.key, millis(at)], |row| {
        let cells = Cells::of("answers", row);
        let is_there = at < cells.moment(3, "answered_until")?;
        let answer = match is_there {
            true => cells.optional_bytes(4, "answer")?.map(SealedBytes::from_bytes),
            false => None,
        };
        Ok(Answered {
            asked: Digest::from_bytes(cells.bits(1, "asked")?),
            made: cells.text(2, "made")?.to_owned(),
            answer,
        })
    })
}
