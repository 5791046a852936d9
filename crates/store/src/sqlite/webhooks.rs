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
        AfterAttempt, Attempt, Delivery, DeliveryFilter, DeliveryState, Due, DueDelivery,
        DueFilter, Failing, Forget, Webhook, WebhookChange, WebhookRecord, WebhookSecret,
        WebhookUpdate,
    },
};

const WEBHOOK: &str = "id, organization, url, description, events, state, disabled_because, \
    failing_since, failures, created_at, revision";

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
        created_at: cells.moment(9, "created_at")?,
    };
    Ok(WebhookRecord {
        webhook,
        revision: Revision::new(cells.number(10, "revision")?),
        secrets: vec![],
        failing: failing_of(&cells, 7)?,
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

/// Webhooks that are looked at for what is due to them at once.
const LOOKED_AT: usize = 1000;

/// What is due, webhook by webhook.
pub(super) fn due(connection: &Connection, filter: &DueFilter) -> Result<Due, StoreError> {
    let most = usize::try_from(filter.limit.clamp(1, 1000)).unwrap_or(1);
    let mut due = Due { deliveries: Vec::new(), next: filter.after };
    for _ in 0..LOOKED_AT {
        let Some((webhook, owner, is_enabled)) = next_waiting(connection, due.next)? else {
            return Ok(Due { next: None, ..due });
        };
        due.next = Some(webhook);
        let is_busy = filter.busy.contains(&webhook) || filter.busy_owners.contains(&owner);
        if is_busy || !is_enabled {
            continue;
        }
        let sql = "SELECT id FROM deliveries WHERE state = 'waiting' AND webhook = ?1 \
            AND next_at <= ?2 ORDER BY next_at LIMIT ?3";
        let room = most.saturating_sub(due.deliveries.len());
        let room = filter.each.min(u32::try_from(room).unwrap_or(u32::MAX));
        let asked = params![webhook.bits(), millis(filter.at), room];
        due.deliveries.extend(all(connection, sql, asked, |row| {
            let id = DeliveryId::from_bits(Cells::of("deliveries", row).bits(0, "id")?);
            Ok(DueDelivery { id, webhook, owner: owner.clone() })
        })?);
        if due.deliveries.len() >= most {
            break;
        }
    }
    Ok(due)
}

/// The next webhook for which something waits, whose it is, and whether it is enabled.
fn next_waiting(
    connection: &Connection,
    after: Option<WebhookId>,
) -> Result<Option<(WebhookId, Option<OrganizationId>, bool)>, StoreError> {
    let sql = "SELECT webhook, organization, webhooks.state = 'enabled' \
        FROM deliveries JOIN webhooks ON webhooks.id = webhook \
        WHERE deliveries.state = 'waiting' AND webhook > ?1 ORDER BY webhook LIMIT 1";
    let after = after.map(WebhookId::bits);
    let after: &[u8] = after.as_ref().map_or(&[], |bits| bits);
    first(connection, sql, [after], |row| {
        let cells = Cells::of("deliveries", row);
        // Whose it is only says who waits for whom: where it is damaged, it is nobody's.
        let owner = cells.parsed(1, "organization").ok();
        let is_enabled = cells.integer(2, "state")? == 1;
        Ok((WebhookId::from_bits(cells.bits(0, "webhook")?), owner, is_enabled))
    })
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
) -> Result<Option<Failing>, StoreError> {
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
    let sql = "UPDATE webhooks SET failing_since = iif(?2 IS NULL, NULL, coalesce(failing_since, ?2)), \
        failures = iif(?2 IS NULL, 0, failures + 1) \
        WHERE id = ?1 RETURNING id, failing_since, failures";
    let failing = first(connection, sql, params![held.webhook.bits(), failing], |row| {
        failing_of(&Cells::of("webhooks", row), 1)
    })?;
    Ok(failing.flatten())
}

/// Two cells: since when every try fails, and how often.
fn failing_of(cells: &Cells<'_>, at: usize) -> Result<Option<Failing>, StoreError> {
    let Some(since) = cells.optional_moment(at, "failing_since")? else { return Ok(None) };
    Ok(Some(Failing { since, tries: cells.number(at + 1, "failures")? }))
}

/// The webhooks for which more deliveries are kept.
pub(super) fn crowded(
    connection: &Connection,
    most: u32,
) -> Result<Vec<(WebhookId, u64)>, StoreError> {
    let sql = "SELECT webhook, count(*) - ?1 FROM deliveries GROUP BY webhook HAVING count(*) > ?1";
    all(connection, sql, [most], |row| {
        let cells = Cells::of("deliveries", row);
        Ok((WebhookId::from_bits(cells.bits(0, "webhook")?), cells.number(1, "count")?))
    })
}

/// Forgets what is over, and events that nobody is told of any more.
pub(super) fn forget(
    connection: &Connection,
    which: Forget,
    limit: u32,
) -> Result<u64, StoreError> {
    let limit = limit.clamp(1, 10_000);
    let gone = match which {
        Forget::Before(before) => {
            let sql = "DELETE FROM deliveries WHERE seq IN (SELECT deliveries.seq FROM events \
                JOIN deliveries ON deliveries.event = events.seq \
                WHERE events.at < ?1 AND state <> 'waiting' ORDER BY events.at LIMIT ?2)";
            let gone = write(connection, sql, params![millis(before), limit]).map_err(fault)?;
            let sql = "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE at < ?1 \
                AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event = events.seq) \
                ORDER BY at LIMIT ?2)";
            gone + write(connection, sql, params![millis(before), limit]).map_err(fault)?
        }
        Forget::To(webhook) => {
            let sql = "DELETE FROM deliveries WHERE seq IN (SELECT seq FROM deliveries \
                WHERE webhook = ?1 AND state <> 'waiting' ORDER BY seq LIMIT ?2)";
            write(connection, sql, params![webhook.bits(), limit]).map_err(fault)?
        }
        Forget::ToNobody => outbox::give_up_on_the_rest(connection, limit).map_err(fault)?,
    };
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
            let entry = rules::rotation(&held(connection, webhook)?, &secret, at, old_expires_at)?;
            end_secrets(connection, webhook, at, old_expires_at)?;
            insert_secret(connection, webhook, &secret)?;
            Ok(Some(entry))
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

/// No old secret is good for longer than it was; what ended before is of no use to anybody.
fn end_secrets(
    connection: &Connection,
    webhook: WebhookId,
    now: Timestamp,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM webhook_secrets WHERE webhook = ?1 AND expires_at <= ?2";
    write(connection, sql, params![webhook.bits(), millis(now)]).map_err(fault)?;
    let sql = "UPDATE webhook_secrets SET expires_at = min(coalesce(expires_at, ?2), ?2) \
        WHERE webhook = ?1";
    write(connection, sql, params![webhook.bits(), millis(at)]).map(|_| ()).map_err(fault)
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
    // What is enabled again, or is somewhere else, starts anew.
    let starts_anew = (after.enabled && !before.webhook.enabled) || after.url != before.webhook.url;
    write(
        connection,
        "UPDATE webhooks SET url = ?2, description = ?3, events = ?4, state = ?5, \
         disabled_because = ?6, failing_since = iif(?7, NULL, failing_since), \
         failures = iif(?7, 0, failures) WHERE id = ?1",
        params![
            id.bits(),
            after.url,
            after.description,
            after.events.as_ref().map(rows::json).transpose()?,
            state_word(after.enabled),
            after.disabled_because,
            starts_anew,
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
    outbox::remove_all(connection, id).map_err(fault)?;
    for sql in [
        "DELETE FROM webhook_secrets WHERE webhook = ?1",
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
