//! Webhooks and deliveries as rows. What a change means is decided in `rules::webhooks`.

use keyward_core::{
    event::EventKind,
    id::{DeliveryId, EventId, OrganizationId, WebhookId, WebhookSecretId},
    time::Timestamp,
};
use rusqlite::{Connection, Row, params, types::Value};
use serde_json::json;

use super::{
    apply::{self, write},
    faults::fault,
    outbox,
    reads::{all, first},
    rows::{self, Cells, millis},
};
use crate::{
    change::Revision,
    error::StoreError,
    query::Page,
    rules::{Entry, updates, webhooks as rules},
    seal::SealedBytes,
    webhooks::{
        AfterAttempt, Attempt, Delivery, DeliveryFilter, DeliveryState, Webhook, WebhookChange,
        WebhookRecord, WebhookSecret, WebhookUpdate,
    },
};

/// Secrets that are no longer good stay so many, to be seen.
const WEBHOOK: &str = "id, organization, url, description, events, state, disabled_because, \
    failing_since, created_at, revision";

fn webhook(row: &Row<'_>) -> Result<WebhookRecord, StoreError> {
    let cells = Cells::of("webhooks", row);
    let organization = cells.optional_text(1, "organization")?;
    let webhook = Webhook {
        id: WebhookId::from_bits(cells.bits(0, "id")?),
        organization: organization.map(|_| cells.parsed(1, "organization")).transpose()?,
        url: cells.text(2, "url")?.to_owned(),
        description: cells.text(3, "description")?.to_owned(),
        events: cells.optional_json_of(4, "events")?,
        enabled: cells.text(5, "state")? == "enabled",
        disabled_because: cells.optional_text(6, "disabled_because")?.map(str::to_owned),
        created_at: cells.moment(8, "created_at")?,
    };
    Ok(WebhookRecord {
        webhook,
        revision: Revision::new(cells.number(9, "revision")?),
        secrets: vec![],
        failing_since: cells.optional_moment(7, "failing_since")?,
    })
}

fn secrets(connection: &Connection, id: WebhookId) -> Result<Vec<WebhookSecret>, StoreError> {
    let sql = "SELECT id, sealed, created_at, expires_at FROM webhook_secrets \
        WHERE webhook = ?1 ORDER BY rowid DESC";
    all(connection, sql, [id.bits()], |row| {
        let cells = Cells::of("webhook_secrets", row);
        Ok(WebhookSecret {
            id: WebhookSecretId::from_bits(cells.bits(0, "id")?),
            sealed: SealedBytes::from_bytes(cells.optional_bytes(1, "sealed")?.unwrap_or_default()),
            created_at: cells.moment(2, "created_at")?,
            expires_at: cells.optional_moment(3, "expires_at")?,
        })
    })
}

fn with_secrets(
    connection: &Connection,
    record: WebhookRecord,
) -> Result<WebhookRecord, StoreError> {
    let secrets = secrets(connection, record.webhook.id)?;
    Ok(WebhookRecord { secrets, ..record })
}

/// One webhook.
pub(super) fn by_id(
    connection: &Connection,
    id: WebhookId,
) -> Result<Option<WebhookRecord>, StoreError> {
    let sql = format!("SELECT {WEBHOOK} FROM webhooks WHERE id = ?1 AND state <> 'removed'");
    let found = first(connection, &sql, [id.bits()], webhook)?;
    found.map(|record| with_secrets(connection, record)).transpose()
}

/// An organization's webhooks, in the order they were made.
pub(super) fn of(
    connection: &Connection,
    organization: Option<&OrganizationId>,
) -> Result<Vec<WebhookRecord>, StoreError> {
    let sql = format!(
        "SELECT {WEBHOOK} FROM webhooks WHERE organization IS ?1 AND state <> 'removed' ORDER BY rowid"
    );
    let found = all(connection, &sql, [organization.map(OrganizationId::as_str)], webhook)?;
    found.into_iter().map(|record| with_secrets(connection, record)).collect()
}

const DELIVERY: &str = "deliveries.id, webhook, events.id, kind, at, payload, state, attempts, \
    next_at, last_at, last_status, last_problem";
const JOINED: &str = "deliveries JOIN events ON events.seq = deliveries.event";

fn delivery(row: &Row<'_>) -> Result<Delivery, StoreError> {
    let cells = Cells::of("deliveries", row);
    let status = match cells.optional_moment(10, "last_status")? {
        Some(_) => Some(cells.number(10, "last_status").and_then(|status: i64| {
            u16::try_from(status).map_err(|_| StoreError::Corrupt {
                table: "deliveries".to_owned(),
                id: "of one".to_owned(),
                what: "last_status".to_owned(),
            })
        })?),
        None => None,
    };
    let problem = cells.optional_text(11, "last_problem")?.map(str::to_owned);
    let last = cells.optional_moment(9, "last_at")?.map(|at| Attempt { at, status, problem });
    Ok(Delivery {
        id: DeliveryId::from_bits(cells.bits(0, "id")?),
        webhook: WebhookId::from_bits(cells.bits(1, "webhook")?),
        event: EventId::from_bits(cells.bits(2, "event")?),
        kind: cells.parsed::<EventKind>(3, "kind")?,
        at: cells.moment(4, "at")?,
        payload: cells.text(5, "payload")?.to_owned(),
        state: cells.word(6, "state", DeliveryState::from_word)?,
        attempts: cells.number::<u32>(7, "attempts")?,
        next_at: cells.optional_moment(8, "next_at")?,
        last,
    })
}

/// One delivery, to a webhook that is there.
pub(super) fn delivery_by_id(
    connection: &Connection,
    id: DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    let sql = format!("SELECT {DELIVERY} FROM {JOINED} WHERE deliveries.id = ?1");
    first(connection, &sql, [id.bits()], delivery)
}

/// Deliveries, newest first.
pub(super) fn deliveries(
    connection: &Connection,
    filter: &DeliveryFilter,
    page: &Page<DeliveryId>,
) -> Result<Vec<Delivery>, StoreError> {
    let mut before = i64::MAX;
    if let Some(id) = page.after {
        let sql = "SELECT id, seq FROM deliveries WHERE id = ?1";
        let place = first(connection, sql, [id.bits()], |row| {
            Cells::of("deliveries", row).integer(1, "seq")
        })?;
        before = place.ok_or(StoreError::NoSuchDelivery(id))?;
    }
    let mut sql = format!("SELECT {DELIVERY} FROM {JOINED} WHERE deliveries.seq < ?");
    let mut asked = vec![Value::Integer(before)];
    if let Some(webhook) = filter.webhook {
        sql.push_str(" AND webhook = ?");
        asked.push(Value::Blob(webhook.bits().to_vec()));
    }
    if let Some(state) = filter.state {
        sql.push_str(" AND state = ?");
        asked.push(Value::Text(state.as_str().to_owned()));
    }
    sql.push_str(" ORDER BY deliveries.seq DESC LIMIT ?");
    asked.push(Value::Integer(page.rows()));
    all(connection, &sql, rusqlite::params_from_iter(asked), delivery)
}

/// What is due, the longest due first.
pub(super) fn due(
    connection: &Connection,
    at: Timestamp,
    busy: &[WebhookId],
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let places = vec!["?"; busy.len()].join(", ");
    let sql = format!(
        "SELECT {DELIVERY} FROM {JOINED} WHERE state = 'waiting' AND next_at <= ? \
         AND webhook NOT IN ({places}) ORDER BY next_at LIMIT ?"
    );
    let mut asked = vec![Value::Integer(millis(at))];
    asked.extend(busy.iter().map(|webhook| Value::Blob(webhook.bits().to_vec())));
    asked.push(Value::Integer(i64::from(limit.clamp(1, 1000))));
    all(connection, &sql, rusqlite::params_from_iter(asked), delivery)
}

/// Takes one that is due.
pub(super) fn lease(
    connection: &Connection,
    id: DeliveryId,
    at: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE deliveries SET next_at = ?3 \
        WHERE id = ?1 AND state = 'waiting' AND next_at <= ?2";
    write(connection, sql, params![id.bits(), millis(at), millis(until)])
        .map(|rows| rows > 0)
        .map_err(fault)
}

/// Notes a try.
pub(super) fn note_attempt(
    connection: &Connection,
    id: DeliveryId,
    attempt: &Attempt,
    after: AfterAttempt,
) -> Result<Option<Timestamp>, StoreError> {
    let held = delivery_by_id(connection, id)?.ok_or(StoreError::NoSuchDelivery(id))?;
    let (state, next) = match after {
        AfterAttempt::Done => (DeliveryState::Delivered, None),
        AfterAttempt::TryAt(next) => (DeliveryState::Waiting, Some(next)),
        AfterAttempt::GiveUp => (DeliveryState::Failed, None),
    };
    write(
        connection,
        "UPDATE deliveries SET attempts = attempts + 1, last_at = ?2, last_status = ?3, \
         last_problem = ?4, \
         state = iif(state = 'waiting' OR ?5 = 'delivered', ?5, state), \
         next_at = iif(state = 'waiting' OR ?5 = 'delivered', ?6, next_at) WHERE id = ?1",
        params![
            id.bits(),
            millis(attempt.at),
            attempt.status,
            attempt.problem,
            state.as_str(),
            next.map(millis),
        ],
    )
    .map_err(fault)?;
    let failing = (after != AfterAttempt::Done).then(|| millis(attempt.at));
    let sql = "UPDATE webhooks SET failing_since = iif(?2 IS NULL, NULL, coalesce(failing_since, ?2)) \
        WHERE id = ?1 RETURNING id, failing_since";
    let since = first(connection, sql, params![held.webhook.bits(), failing], |row| {
        Cells::of("webhooks", row).optional_moment(1, "failing_since")
    })?;
    Ok(since.flatten())
}

/// Forgets what is over and old, and events that nobody is told of any more.
pub(super) fn forget(
    connection: &Connection,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let gone = write(
        connection,
        "DELETE FROM deliveries WHERE seq IN (SELECT deliveries.seq FROM events \
         JOIN deliveries ON deliveries.event = events.seq \
         WHERE events.at < ?1 AND state <> 'waiting' ORDER BY events.seq LIMIT ?2)",
        params![millis(before), limit.clamp(1, 10_000)],
    )
    .map_err(fault)?;
    let sql = "DELETE FROM events WHERE at < ?1 \
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event = events.seq)";
    write(connection, sql, [millis(before)]).map_err(fault)?;
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}

fn held(connection: &Connection, id: WebhookId) -> Result<WebhookRecord, StoreError> {
    by_id(connection, id)?.ok_or(StoreError::NoSuchWebhook(id))
}

/// Does a change to a webhook.
pub(super) fn apply(
    connection: &Connection,
    at: Timestamp,
    change: WebhookChange,
) -> Result<Option<Entry>, StoreError> {
    match change {
        WebhookChange::Create { webhook, secret } => {
            create(connection, &webhook, &secret).map(Some)
        }
        WebhookChange::Update { webhook, update, seen } => {
            change_it(connection, webhook, update, seen)
        }
        WebhookChange::Delete(id) => remove(connection, id).map(Some),
        WebhookChange::Rotate { webhook, secret, old_expires_at } => {
            let record = held(connection, webhook)?;
            end_secrets(connection, webhook, old_expires_at)?;
            insert_secret(connection, webhook, &secret)?;
            Ok(Some(rules::rotation(&record, &secret, old_expires_at)))
        }
        WebhookChange::RetireSecrets(id) => {
            let entry = rules::retirement(&held(connection, id)?, at);
            let sql = "UPDATE webhook_secrets SET expires_at = ?2 \
                WHERE webhook = ?1 AND expires_at > ?2";
            write(connection, sql, params![id.bits(), millis(at)]).map_err(fault)?;
            Ok(entry)
        }
        WebhookChange::Test { webhook, event, delivery } => {
            test(connection, at, webhook, event, delivery).map(Some)
        }
        WebhookChange::Resend(id) => resend(connection, at, id).map(Some),
        WebhookChange::GiveUp { webhook, why } => give_up(connection, webhook, &why),
    }
}

fn create(
    connection: &Connection,
    new: &Webhook,
    secret: &WebhookSecret,
) -> Result<Entry, StoreError> {
    if let Some(organization) = &new.organization {
        apply::organization_stands(connection, organization)?;
    }
    let others = of(connection, new.organization.as_ref())?.len();
    let entry = rules::creation(new, u32::try_from(others).unwrap_or(u32::MAX))?;
    write(
        connection,
        "INSERT INTO webhooks (id, organization, url, description, events, state, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            new.id.bits(),
            new.organization.as_ref().map(OrganizationId::as_str),
            new.url,
            new.description,
            new.events.as_ref().map(rows::json).transpose()?,
            state_word(new.enabled),
            millis(new.created_at),
        ],
    )
    .map_err(fault)?;
    insert_secret(connection, new.id, secret)?;
    Ok(entry)
}

const fn state_word(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

fn insert_secret(
    connection: &Connection,
    webhook: WebhookId,
    secret: &WebhookSecret,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhook_secrets (id, webhook, sealed, created_at, expires_at) \
        VALUES (?1, ?2, ?3, ?4, ?5)";
    write(
        connection,
        sql,
        params![
            secret.id.bits(),
            webhook.bits(),
            secret.sealed.as_bytes(),
            millis(secret.created_at),
            secret.expires_at.map(millis),
        ],
    )
    .map(|_| ())
    .map_err(fault)
}

/// No old secret is good for longer than it was.
fn end_secrets(
    connection: &Connection,
    webhook: WebhookId,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_secrets SET expires_at = min(coalesce(expires_at, ?2), ?2) \
        WHERE webhook = ?1";
    write(connection, sql, params![webhook.bits(), millis(at)]).map_err(fault)?;
    // Those that ended before are of no use to anybody.
    let sql = "DELETE FROM webhook_secrets WHERE webhook = ?1 AND rowid NOT IN \
        (SELECT rowid FROM webhook_secrets WHERE webhook = ?1 ORDER BY rowid DESC LIMIT 9)";
    write(connection, sql, [webhook.bits()]).map(|_| ()).map_err(fault)
}

fn change_it(
    connection: &Connection,
    id: WebhookId,
    update: WebhookUpdate,
    seen: Option<Revision>,
) -> Result<Option<Entry>, StoreError> {
    let before = held(connection, id)?;
    updates::seen_as_it_is(seen, before.revision)?;
    let Some((after, entry)) = rules::update(&before.webhook, update)? else { return Ok(None) };
    // What is enabled again starts anew.
    write(
        connection,
        "UPDATE webhooks SET url = ?2, description = ?3, events = ?4, state = ?5, \
         disabled_because = ?6, failing_since = iif(?7, NULL, failing_since) WHERE id = ?1",
        params![
            id.bits(),
            after.url,
            after.description,
            after.events.as_ref().map(rows::json).transpose()?,
            state_word(after.enabled),
            after.disabled_because,
            after.enabled && !before.webhook.enabled,
        ],
    )
    .map_err(fault)?;
    if before.webhook.enabled && !after.enabled {
        outbox::give_up_on_all(connection, id, "the webhook was disabled").map_err(fault)?;
    }
    Ok(Some(entry))
}

fn remove(connection: &Connection, id: WebhookId) -> Result<Entry, StoreError> {
    let entry = rules::removal(&held(connection, id)?.webhook);
    for sql in [
        "DELETE FROM webhook_secrets WHERE webhook = ?1",
        "DELETE FROM deliveries WHERE webhook = ?1",
        "UPDATE webhooks SET state = 'removed', url = '' WHERE id = ?1",
    ] {
        write(connection, sql, [id.bits()]).map_err(fault)?;
    }
    Ok(entry)
}

fn test(
    connection: &Connection,
    at: Timestamp,
    id: WebhookId,
    event: EventId,
    delivery: DeliveryId,
) -> Result<Entry, StoreError> {
    let record = held(connection, id)?;
    let entry = rules::sending("webhook.test", &record.webhook, json!({ "delivery": delivery }))?;
    let data = json!({ "organization_id": record.webhook.organization, "webhook_id": id });
    let kind = EventKind::WebhookTest;
    let event = outbox::insert_event(connection, kind, at, &data, Some(event.bits()));
    let sql = "INSERT INTO deliveries (id, webhook, event, state, attempts, next_at) \
        VALUES (?1, ?2, ?3, 'waiting', 0, ?4)";
    let event = event.map_err(fault)?;
    write(connection, sql, params![delivery.bits(), id.bits(), event, millis(at)])
        .map_err(fault)?;
    Ok(entry)
}

fn resend(connection: &Connection, at: Timestamp, id: DeliveryId) -> Result<Entry, StoreError> {
    let delivery = delivery_by_id(connection, id)?.ok_or(StoreError::NoSuchDelivery(id))?;
    let record = held(connection, delivery.webhook)?;
    let after = json!({ "delivery": id, "event": delivery.event });
    let entry = rules::sending("webhook.resend", &record.webhook, after)?;
    let sql = "UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = ?2 WHERE id = ?1";
    write(connection, sql, params![id.bits(), millis(at)]).map_err(fault)?;
    Ok(entry)
}

fn give_up(connection: &Connection, id: WebhookId, why: &str) -> Result<Option<Entry>, StoreError> {
    let Some(entry) = rules::giving_up(&held(connection, id)?.webhook, why) else {
        return Ok(None);
    };
    let sql = "UPDATE webhooks SET state = 'disabled', disabled_because = ?2 WHERE id = ?1";
    write(connection, sql, params![id.bits(), why]).map_err(fault)?;
    outbox::give_up_on_all(connection, id, why).map_err(fault)?;
    Ok(Some(entry))
}
