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

/// Deliveries that a change removes, or gives up on: a million would keep every other change waiting. To webhooks that are not enabled
/// nothing is sent, so the rest may wait for [`give_up_on_the_rest`].
const WITH_A_CHANGE: u32 = 1_000;

/// What was on its way to a webhook, which gets nothing any more, waits no longer.
pub(super) fn give_up_on_all(
    connection: &Connection,
    webhook: WebhookId,
    why: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET state = 'failed', next_at = NULL, last_problem = ?2 \
        WHERE seq IN (SELECT seq FROM deliveries WHERE webhook = ?1 AND state = 'waiting' LIMIT ?3)";
    write(connection, sql, params![webhook.bits(), why, WITH_A_CHANGE]).map(|_| ())
}

/// What was sent to a webhook, or was on its way, goes with it.
pub(super) fn remove_all(connection: &Connection, webhook: WebhookId) -> rusqlite::Result<()> {
    let sql = "DELETE FROM deliveries WHERE seq IN \
        (SELECT seq FROM deliveries WHERE webhook = ?1 LIMIT ?2)";
    write(connection, sql, params![webhook.bits(), WITH_A_CHANGE]).map(|_| ())
}

/// The same for what changes left, so many at most. Answers how many there were. From the few webhooks on: what waits may be a million.
pub(super) fn give_up_on_the_rest(connection: &Connection, limit: u32) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM deliveries WHERE seq IN (SELECT deliveries.seq FROM webhooks \
        CROSS JOIN deliveries ON webhook = webhooks.id WHERE webhooks.state = 'removed' LIMIT ?1)";
    let gone = write(connection, sql, [limit])?;
    let sql = "UPDATE deliveries SET state = 'failed', next_at = NULL, \
        last_problem = 'the webhook was disabled' \
        WHERE seq IN (SELECT deliveries.seq FROM webhooks \
        CROSS JOIN deliveries ON webhook = webhooks.id \
        WHERE webhooks.state = 'disabled' AND deliveries.state = 'waiting' LIMIT ?1)";
    Ok(gone + write(connection, sql, [limit])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::migrations;

    const WEBHOOK: WebhookId = WebhookId::from_bits([1; 16]);

    /// A webhook in this state, to which so many deliveries wait.
    fn with(state: &str, many: u32) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        migrations::everything(&connection);
        let sql = format!(
            "INSERT INTO webhooks (id, url, description, state, created_at) VALUES
                 (x'01010101010101010101010101010101', 'https://a.example/', '', '{state}', 1);
             INSERT INTO events VALUES (1, zeroblob(16), 'key.created', 1, '{{}}');
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {many})
             INSERT INTO deliveries (id, webhook, event, state, attempts, next_at)
             SELECT randomblob(16), x'01010101010101010101010101010101', 1, 'waiting', 0, 1 FROM numbers;"
        );
        connection.execute_batch(&sql).unwrap();
        connection
    }

    fn count(connection: &Connection, state: &str) -> u32 {
        let sql = "SELECT count(*) FROM deliveries WHERE state = ?1";
        connection.query_row(sql, [state], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_change_gives_up_on_some_and_the_rest_goes_in_pieces() {
        let connection = with("disabled", 2_500);
        give_up_on_all(&connection, WEBHOOK, "it was disabled").unwrap();
        assert_eq!(count(&connection, "failed"), WITH_A_CHANGE);
        for given_up in [1_000, 500, 0] {
            assert_eq!(give_up_on_the_rest(&connection, 1_000).unwrap(), given_up);
        }
        assert_eq!((count(&connection, "waiting"), count(&connection, "failed")), (0, 2_500));
    }

    #[test]
    fn a_webhook_goes_with_some_and_the_rest_follows_in_pieces() {
        let connection = with("removed", 2_500);
        remove_all(&connection, WEBHOOK).unwrap();
        assert_eq!(count(&connection, "waiting"), 1_500);
        for gone in [1_000, 500, 0] {
            assert_eq!(give_up_on_the_rest(&connection, 1_000).unwrap(), gone);
        }
        assert_eq!(count(&connection, "waiting"), 0);
    }

    #[test]
    fn what_is_on_its_way_to_one_that_is_enabled_stays() {
        let connection = with("enabled", 10);
        assert_eq!(give_up_on_the_rest(&connection, 1_000).unwrap(), 0);
        assert_eq!(count(&connection, "waiting"), 10);
    }
}
