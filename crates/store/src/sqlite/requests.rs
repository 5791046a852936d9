//! Key requests as rows. What a change to one means is decided in `rules::requests`.

use keyward_core::{
    id::{KeyId, KeyRequestId, UserId},
    key::{Key, Secret},
    time::Timestamp,
};
use rusqlite::{Connection, Row, params, types::Value};

use super::{
    apply::{self, write},
    faults::fault,
    people,
    reads::{all, first},
    rows::{self, Cells, millis},
};
use crate::{
    change::Actor,
    error::StoreError,
    query::Page,
    requests::{
        KeyGrant, KeyRequest, KeyRequestChange, KeyRequestDecision, KeyRequestFilter,
        KeyRequestState,
    },
    rules::{Entry, requests as rules},
};

const REQUEST: &str = "id, organization, requester, api, name, environment, reason, asked, \
    created_at, decide_until, state, decided_by, decided_at, note, granted, claim_until, key";

fn request(row: &Row<'_>) -> Result<KeyRequest, StoreError> {
    let cells = Cells::of("key_requests", row);
    let decision = match cells.optional_moment(12, "decided_at")? {
        Some(at) => Some(KeyRequestDecision {
            by: cells.optional_bits(11, "decided_by")?.map(UserId::from_bits),
            at,
            note: cells.optional_text(13, "note")?.map(str::to_owned),
        }),
        None => None,
    };
    let granted = match cells.optional_json_of(14, "granted")? {
        Some(terms) => Some(KeyGrant { terms, claim_until: cells.moment(15, "claim_until")? }),
        None => None,
    };
    Ok(KeyRequest {
        id: KeyRequestId::from_bits(cells.bits(0, "id")?),
        organization: cells.parsed(1, "organization")?,
        requester: UserId::from_bits(cells.bits(2, "requester")?),
        api: cells.parsed(3, "api")?,
        name: cells.text(4, "name")?.to_owned(),
        environment: cells.parsed(5, "environment")?,
        reason: cells.text(6, "reason")?.to_owned(),
        asked: cells.json_of(7, "asked")?,
        created_at: cells.moment(8, "created_at")?,
        decide_until: cells.moment(9, "decide_until")?,
        state: cells.word(10, "state", KeyRequestState::from_word)?,
        decision,
        granted,
        key: cells.optional_bits(16, "key")?.map(KeyId::from_bits),
    })
}

/// One request.
pub(super) fn request_by_id(
    connection: &Connection,
    id: KeyRequestId,
) -> Result<Option<KeyRequest>, StoreError> {
    let sql = format!("SELECT {REQUEST} FROM key_requests WHERE id = ?1");
    first(connection, &sql, [id.bits()], request)
}

/// Requests, newest first.
pub(super) fn requests(
    connection: &Connection,
    filter: &KeyRequestFilter,
    page: &Page<KeyRequestId>,
) -> Result<Vec<KeyRequest>, StoreError> {
    let mut before = i64::MAX;
    if let Some(id) = page.after {
        let sql = "SELECT id, rowid FROM key_requests WHERE id = ?1";
        let place = first(connection, sql, [id.bits()], |row| {
            Cells::of("key_requests", row).integer(1, "rowid")
        })?;
        before = place.ok_or(StoreError::NoSuchKeyRequest(id))?;
    }
    let mut sql = format!("SELECT {REQUEST} FROM key_requests WHERE rowid < ?");
    let mut asked = vec![Value::Integer(before)];
    let narrow = [
        ("organization", filter.organization.as_ref().map(|id| Value::Text(id.to_string()))),
        ("requester", filter.requester.map(|user| Value::Blob(user.bits().to_vec()))),
        ("state", filter.state.map(|state| Value::Text(state.as_str().to_owned()))),
    ];
    for (column, value) in narrow {
        let Some(value) = value else { continue };
        sql.push_str(&format!(" AND {column} = ?"));
        asked.push(value);
    }
    sql.push_str(" ORDER BY rowid DESC LIMIT ?");
    asked.push(Value::Integer(page.rows()));
    all(connection, &sql, rusqlite::params_from_iter(asked), request)
}

/// How many of the requests that somebody has in an organization count against how many they may have.
fn counted(connection: &Connection, new: &KeyRequest, at: Timestamp) -> Result<u32, StoreError> {
    let sql = "SELECT 0, count(*) FROM key_requests WHERE requester = ?1 AND organization = ?2 \
        AND (created_at > ?4 OR (state = 'open' AND decide_until > ?3))";
    let since = at.as_millis().saturating_sub(rules::COUNTS_FOR.as_millis() as u64);
    let since = millis(Timestamp::from_millis(since));
    let params = params![new.requester.bits(), new.organization.as_str(), millis(at), since];
    let count =
        first(connection, sql, params, |row| Cells::of("key_requests", row).number(1, "count"))?;
    Ok(count.unwrap_or_default())
}

/// Does a change to a request.
pub(super) fn apply(
    connection: &Connection,
    actor: &Actor,
    at: Timestamp,
    change: KeyRequestChange,
) -> Result<Option<Entry>, StoreError> {
    match change {
        KeyRequestChange::Ask(new) => ask(connection, at, &new).map(Some),
        KeyRequestChange::Withdraw(id) => withdraw(connection, id),
        KeyRequestChange::Approve { request, granted, note } => {
            approve(connection, actor, at, request, &granted, note).map(Some)
        }
        KeyRequestChange::Deny { request, note } => {
            deny(connection, actor, at, request, note).map(Some)
        }
        KeyRequestChange::Claim { request, key, secret, most_active } => {
            claim(connection, at, request, &key, &secret, most_active).map(Some)
        }
    }
}

fn ask(connection: &Connection, at: Timestamp, new: &KeyRequest) -> Result<Entry, StoreError> {
    apply::organization_stands(connection, &new.organization)?;
    let place = people::member(connection, &new.organization, new.requester)?;
    let entry = rules::request(new, place.as_ref(), counted(connection, new, at)?)?;
    apply::name_is_free(connection, &new.organization, &new.api, &new.name)?;
    write(
        connection,
        "INSERT INTO key_requests (id, organization, requester, api, name, environment, reason, \
         asked, created_at, decide_until, state) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open')",
        params![
            new.id.bits(),
            new.organization.as_str(),
            new.requester.bits(),
            new.api.as_str(),
            new.name,
            new.environment.as_str(),
            new.reason,
            rows::json(&new.asked)?,
            millis(new.created_at),
            millis(new.decide_until),
        ],
    )
    .map_err(fault)?;
    Ok(entry)
}

fn held(connection: &Connection, id: KeyRequestId) -> Result<KeyRequest, StoreError> {
    request_by_id(connection, id)?.ok_or(StoreError::NoSuchKeyRequest(id))
}

fn withdraw(connection: &Connection, id: KeyRequestId) -> Result<Option<Entry>, StoreError> {
    let entry = rules::withdrawal(&held(connection, id)?)?;
    if entry.is_some() {
        let sql = "UPDATE key_requests SET state = 'withdrawn' WHERE id = ?1";
        write(connection, sql, [id.bits()]).map_err(fault)?;
    }
    Ok(entry)
}

fn write_decision(
    connection: &Connection,
    id: KeyRequestId,
    state: KeyRequestState,
    decision: &KeyRequestDecision,
) -> Result<(), StoreError> {
    write(
        connection,
        "UPDATE key_requests SET state = ?2, decided_by = ?3, decided_at = ?4, note = ?5 \
         WHERE id = ?1",
        params![
            id.bits(),
            state.as_str(),
            decision.by.map(UserId::bits),
            millis(decision.at),
            decision.note,
        ],
    )
    .map(|_| ())
    .map_err(fault)
}

fn approve(
    connection: &Connection,
    actor: &Actor,
    at: Timestamp,
    id: KeyRequestId,
    granted: &KeyGrant,
    note: Option<String>,
) -> Result<Entry, StoreError> {
    let held = held(connection, id)?;
    let entry = rules::approval(&held, granted, note.as_deref(), at)?;
    let decision = rules::decision(actor, at, note);
    write_decision(connection, id, KeyRequestState::Approved, &decision)?;
    let sql = "UPDATE key_requests SET granted = ?2, claim_until = ?3 WHERE id = ?1";
    let terms = rows::json(&granted.terms)?;
    write(connection, sql, params![id.bits(), terms, millis(granted.claim_until)])
        .map_err(fault)?;
    Ok(entry)
}

fn deny(
    connection: &Connection,
    actor: &Actor,
    at: Timestamp,
    id: KeyRequestId,
    note: String,
) -> Result<Entry, StoreError> {
    let entry = rules::denial(&held(connection, id)?, &note)?;
    let decision = rules::decision(actor, at, Some(note));
    write_decision(connection, id, KeyRequestState::Denied, &decision)?;
    Ok(entry)
}

fn claim(
    connection: &Connection,
    at: Timestamp,
    id: KeyRequestId,
    key: &Key,
    secret: &Secret,
    most_active: Option<u32>,
) -> Result<Entry, StoreError> {
    let held = held(connection, id)?;
    let place = people::member(connection, &held.organization, held.requester)?;
    let entry = rules::claim(&held, place.as_ref(), key, secret, at)?;
    apply::create_key(connection, key, secret, most_active)?;
    let sql = "UPDATE key_requests SET state = 'claimed', key = ?2 WHERE id = ?1";
    write(connection, sql, params![id.bits(), key.id.bits()]).map_err(fault)?;
    Ok(entry)
}
