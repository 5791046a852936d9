//! What is told to webhooks, written with what it tells of: one event, and a delivery for each webhook that wants it.
//!
//! Ids come from SQLite's own generator, which the operating system seeds: they are no secrets, and the outbox is written in every
//! change's transaction, where nothing else needs randomness.

use keyward_core::{
    event::EventKind,
    id::{OrganizationId, WebhookId},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::{apply::write, rows::millis};
use crate::{
    change::{Actor, Revision},
    rules::{Entry, webhooks as rules},
};

/// Those that want to hear of it: the organization's, and those of who runs this Keyward.
const WANTING: &str = "state <> 'removed' AND state = 'enabled' \
    AND (organization = ?1 OR organization IS NULL) \
    AND (events IS NULL OR EXISTS (SELECT 1 FROM json_each(events) WHERE value = ?2))";

/// Tells of a change, if it is one that is told of and somebody wants to hear.
pub(super) fn tell_of_change(
    connection: &Connection,
    actor: &Actor,
    at: Timestamp,
    entry: &Entry,
    organization: Option<&OrganizationId>,
    revision: Revision,
) -> rusqlite::Result<()> {
    let Some(kind) = rules::event(entry.action) else { return Ok(()) };
    let data = || rules::told(organization.map(OrganizationId::as_str), actor, entry, revision);
    tell(connection, kind, at, organization, data)
}

/// Tells of something, if somebody wants to hear.
pub(super) fn tell(
    connection: &Connection,
    kind: EventKind,
    at: Timestamp,
    organization: Option<&OrganizationId>,
    data: impl FnOnce() -> Value,
) -> rusqlite::Result<()> {
    let organization = organization.map(OrganizationId::as_str);
    let asked = format!("SELECT 1 FROM webhooks WHERE {WANTING} LIMIT 1");
    let somebody: Option<i64> = connection
        .prepare_cached(&asked)?
        .query_row(params![organization, kind.as_str()], |row| row.get(0))
        .optional()?;
    if somebody.is_none() {
        return Ok(());
    }
    let event = insert_event(connection, kind, at, &data(), None)?;
    let sql = format!(
        "INSERT INTO deliveries (id, webhook, event, state, attempts, next_at) \
         SELECT randomblob(16), id, ?3, 'waiting', 0, ?4 FROM webhooks WHERE {WANTING}"
    );
    write(connection, &sql, params![organization, kind.as_str(), event, millis(at)]).map(|_| ())
}

/// A new event; gives its place.
pub(super) fn insert_event(
    connection: &Connection,
    kind: EventKind,
    at: Timestamp,
    data: &Value,
    id: Option<[u8; 16]>,
) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO events (id, kind, at, payload) \
        VALUES (coalesce(?1, randomblob(16)), ?2, ?3, ?4)";
    let payload = rules::payload(kind, at, data);
    write(connection, sql, params![id, kind.as_str(), millis(at), payload])?;
    Ok(connection.last_insert_rowid())
}

/// What was on its way to a webhook, which gets nothing any more, waits no longer.
pub(super) fn give_up_on_all(
    connection: &Connection,
    webhook: WebhookId,
    why: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET state = 'failed', next_at = NULL, last_problem = ?2 \
        WHERE webhook = ?1 AND state = 'waiting'";
    write(connection, sql, params![webhook.bits(), why]).map(|_| ())
}
