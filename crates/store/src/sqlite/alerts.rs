//! Alert rules, alerts and the networks of keys, as rows. What a change means is decided in `rules::alerts`.

use std::net::IpAddr;

use keyward_core::{
    alert::{self, AlertRule},
    event::EventKind,
    id::{AlertId, AlertRuleId, KeyId, OrganizationId, SecretId},
    network::canonical,
    time::Timestamp,
};
use rusqlite::{Connection, Params, Row, params, types::Value};
use serde_json::json;

use super::{
    apply::{self, write},
    faults::fault,
    outbox,
    reads::{all, first},
    rows::{self, Cells, millis},
};
use crate::{
    alerts::{Alert, AlertFilter, AlertRuleChange, AlertRuleRecord, ForgetAlerts, KeyNetwork},
    change::Revision,
    error::StoreError,
    query::Page,
    rules::{Entry, alerts as rules, updates},
};

/// Of a key, so many networks are remembered: the newest. One that has so many is used from everywhere.
const MOST_NETWORKS: u32 = 64;

const RULE: &str =
    "id, organization, name, condition, scope, channel, quiet_seconds, state, created_at, revision";

fn rule(row: &Row<'_>) -> Result<AlertRuleRecord, StoreError> {
    let cells = Cells::of("alert_rules", row);
    let organization = cells.optional_text(1, "organization")?;
    let rule = AlertRule {
        id: AlertRuleId::from_bits(cells.bits(0, "id")?),
        organization: organization.map(|_| cells.parsed(1, "organization")).transpose()?,
        name: cells.text(2, "name")?.to_owned(),
        condition: cells.json_of(3, "condition")?,
        scope: cells.json_of(4, "scope")?,
        channel: cells.json_of(5, "channel")?,
        quiet_seconds: cells.integer(6, "quiet_seconds")?.unsigned_abs(),
        enabled: cells.text(7, "state")? == "enabled",
        created_at: cells.moment(8, "created_at")?,
    };
    Ok(AlertRuleRecord {
        rule,
        revision: Revision::new(cells.integer(9, "revision")?.unsigned_abs()),
    })
}

/// One rule.
pub(super) fn rule_by_id(
    connection: &Connection,
    id: AlertRuleId,
) -> Result<Option<AlertRuleRecord>, StoreError> {
    let sql = format!("SELECT {RULE} FROM alert_rules WHERE id = ?1 AND state <> 'removed'");
    first(connection, &sql, [id.bits()], rule)
}

/// An organization's rules, in the order they were made.
pub(super) fn rules_of(
    connection: &Connection,
    organization: Option<&OrganizationId>,
) -> Result<Vec<AlertRuleRecord>, StoreError> {
    let sql = format!(
        "SELECT {RULE} FROM alert_rules WHERE organization IS ?1 AND state <> 'removed' ORDER BY rowid"
    );
    all(connection, &sql, [organization.map(OrganizationId::as_str)], rule)
}

/// Every rule that is to be looked at. One that is damaged is left out: an error would keep all others from being looked at.
pub(super) fn every_rule(connection: &Connection) -> Result<Vec<AlertRule>, StoreError> {
    let sql = format!("SELECT {RULE} FROM alert_rules WHERE state = 'enabled' ORDER BY rowid");
    undamaged(connection, &sql, [], |row| rule(row).map(|record| record.rule))
}

/// Rows, but for those that are damaged: of them the log tells.
fn undamaged<T>(
    connection: &Connection,
    sql: &str,
    asked: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let rows = all(connection, sql, asked, |row| match read(row) {
        Err(damage @ StoreError::Corrupt { .. }) => {
            tracing::error!(%damage, "a rule or an alert is damaged, and is left out");
            Ok(None)
        }
        read => read.map(Some),
    })?;
    Ok(rows.into_iter().flatten().collect())
}

fn insert(
    connection: &Connection,
    new: &AlertRule,
    id: Option<[u8; 16]>,
) -> Result<(), StoreError> {
    let state = if new.enabled { "enabled" } else { "disabled" };
    write(
        connection,
        "INSERT INTO alert_rules (id, organization, name, condition, scope, channel, quiet_seconds, \
         state, created_at) VALUES (coalesce(?1, randomblob(16)), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            id,
            new.organization.as_ref().map(OrganizationId::as_str),
            new.name,
            rows::json(&new.condition)?,
            rows::json(&new.scope)?,
            rows::json(&new.channel)?,
            rows::count(new.quiet_seconds),
            state,
            millis(new.created_at),
        ],
    )
    .map(|_| ())
    .map_err(fault)
}

/// The rules that a new organization has.
pub(super) fn insert_defaults(
    connection: &Connection,
    organization: &OrganizationId,
    at: Timestamp,
) -> Result<(), StoreError> {
    for (name, condition) in alert::defaults() {
        let rule = AlertRule {
            id: AlertRuleId::from_bits([0; 16]),
            organization: Some(organization.clone()),
            name: name.to_owned(),
            condition,
            scope: alert::Scope::EachKey,
            channel: alert::Channel { mail: alert::MailTo::Administrators, webhooks: true },
            quiet_seconds: alert::QUIET_SECONDS,
            enabled: true,
            created_at: at,
        };
        insert(connection, &rule, None)?;
    }
    Ok(())
}

/// The same for those that have never had any.
pub(super) fn give_defaults(connection: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT id, created_at FROM organizations \
        WHERE id NOT IN (SELECT organization FROM alert_rules WHERE organization IS NOT NULL)";
    let without = all(connection, sql, [], |row| {
        let cells = Cells::of("organizations", row);
        // What is damaged keeps nobody from starting.
        Ok(cells.parsed(0, "id").ok().zip(cells.moment(1, "created_at").ok()))
    })?;
    without.iter().flatten().try_for_each(|(id, at)| insert_defaults(connection, id, *at))
}

/// What a rule raised is over.
fn end(connection: &Connection, rule: AlertRuleId, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE alerts SET resolved_at = ?2 WHERE rule = ?1 AND resolved_at IS NULL";
    write(connection, sql, params![rule.bits(), millis(at)]).map(|_| ()).map_err(fault)
}

/// Does a change to a rule.
pub(super) fn apply(
    connection: &Connection,
    at: Timestamp,
    change: AlertRuleChange,
) -> Result<Option<Entry>, StoreError> {
    let held = |id| rule_by_id(connection, id)?.ok_or(StoreError::NoSuchAlertRule(id));
    match change {
        AlertRuleChange::Create(new) => {
            if let Some(organization) = &new.organization {
                apply::organization_stands(connection, organization)?;
            }
            let others = rules_of(connection, new.organization.as_ref())?.len();
            let entry = rules::creation(&new, u32::try_from(others).unwrap_or(u32::MAX))?;
            insert(connection, &new, Some(new.id.bits()))?;
            Ok(Some(entry))
        }
        AlertRuleChange::Update { rule, update, seen } => {
            let before = held(rule)?;
            updates::seen_as_it_is(seen, before.revision)?;
            let Some((after, entry)) = rules::update(&before.rule, *update)? else {
                return Ok(None);
            };
            write(
                connection,
                "UPDATE alert_rules SET name = ?2, condition = ?3, scope = ?4, channel = ?5, \
                 quiet_seconds = ?6, state = ?7 WHERE id = ?1",
                params![
                    rule.bits(),
                    after.name,
                    rows::json(&after.condition)?,
                    rows::json(&after.scope)?,
                    rows::json(&after.channel)?,
                    rows::count(after.quiet_seconds),
                    if after.enabled { "enabled" } else { "disabled" },
                ],
            )
            .map_err(fault)?;
            if !after.enabled {
                end(connection, rule, at)?;
            }
            Ok(Some(entry))
        }
        AlertRuleChange::Delete(id) => {
            let entry = rules::removal(&held(id)?.rule);
            let sql = "UPDATE alert_rules SET state = 'removed' WHERE id = ?1";
            write(connection, sql, [id.bits()]).map_err(fault)?;
            end(connection, id, at)?;
            Ok(Some(entry))
        }
    }
}

const ALERT: &str = "id, rule, organization, subject, key, message, raised_at, resolved_at";

fn alert(row: &Row<'_>) -> Result<Alert, StoreError> {
    let cells = Cells::of("alerts", row);
    let organization = cells.optional_text(2, "organization")?;
    Ok(Alert {
        id: AlertId::from_bits(cells.bits(0, "id")?),
        rule: AlertRuleId::from_bits(cells.bits(1, "rule")?),
        organization: organization.map(|_| cells.parsed(2, "organization")).transpose()?,
        subject: cells.text(3, "subject")?.to_owned(),
        key: cells.optional_bits(4, "key")?.map(KeyId::from_bits),
        message: cells.text(5, "message")?.to_owned(),
        raised_at: cells.moment(6, "raised_at")?,
        resolved_at: cells.optional_moment(7, "resolved_at")?,
    })
}

/// Alerts, newest first.
pub(super) fn alerts(
    connection: &Connection,
    filter: &AlertFilter,
    page: &Page<AlertId>,
) -> Result<Vec<Alert>, StoreError> {
    let (mut narrowed, mut asked) = (String::new(), Vec::new());
    if let Some(organization) = &filter.organization {
        // What rules of who runs this Keyward raised of it is not its business.
        narrowed.push_str(
            " AND organization = ? AND \
             (SELECT organization FROM alert_rules WHERE alert_rules.id = rule) IS NOT NULL",
        );
        asked.push(Value::Text(organization.to_string()));
    }
    if let Some(rule) = filter.rule {
        narrowed.push_str(" AND rule = ?");
        asked.push(Value::Blob(rule.bits().to_vec()));
    }
    let mut before = i64::MAX;
    if let Some(id) = page.after {
        let sql = format!("SELECT id, seq FROM alerts WHERE id = ?{narrowed}");
        let of = std::iter::once(Value::Blob(id.bits().to_vec())).chain(asked.clone());
        let place = first(connection, &sql, rusqlite::params_from_iter(of), |row| {
            Cells::of("alerts", row).integer(1, "seq")
        })?;
        before = place.ok_or(StoreError::NoSuchAlert(id))?;
    }
    match filter.raised {
        Some(true) => narrowed.push_str(" AND resolved_at IS NULL"),
        Some(false) => narrowed.push_str(" AND resolved_at IS NOT NULL"),
        None => {}
    }
    let sql =
        format!("SELECT {ALERT} FROM alerts WHERE seq < ?{narrowed} ORDER BY seq DESC LIMIT ?");
    let asked = std::iter::once(Value::Integer(before)).chain(asked);
    let asked = asked.chain(std::iter::once(Value::Integer(page.rows())));
    all(connection, &sql, rusqlite::params_from_iter(asked), alert)
}

/// What is raised now by an organization's rules.
pub(super) fn raised(
    connection: &Connection,
    organization: Option<&OrganizationId>,
) -> Result<Vec<Alert>, StoreError> {
    let sql = format!(
        "SELECT {ALERT} FROM alerts WHERE resolved_at IS NULL AND rule IN \
         (SELECT id FROM alert_rules WHERE organization IS ?1 AND state <> 'removed')"
    );
    undamaged(connection, &sql, [organization.map(OrganizationId::as_str)], alert)
}

/// Takes the turn to look at rules.
pub(super) fn take_turn(
    connection: &Connection,
    holder: [u8; 16],
    at: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO turns (what, holder, until) VALUES ('alerts', ?1, ?3) \
        ON CONFLICT DO UPDATE SET holder = ?1, until = ?3 WHERE holder = ?1 OR until <= ?2";
    write(connection, sql, params![holder, millis(at), millis(until)])
        .map(|rows| rows > 0)
        .map_err(fault)
}

/// The rules of which more alerts are kept.
pub(super) fn crowded(
    connection: &Connection,
    most: u32,
) -> Result<Vec<(AlertRuleId, u64)>, StoreError> {
    let sql = "SELECT rule, count(*) - ?1 FROM alerts GROUP BY rule HAVING count(*) > ?1";
    all(connection, sql, [most], |row| {
        let cells = Cells::of("alerts", row);
        Ok((AlertRuleId::from_bits(cells.bits(0, "rule")?), cells.number(1, "count")?))
    })
}

/// Forgets what is over.
pub(super) fn forget(
    connection: &Connection,
    at: Timestamp,
    which: ForgetAlerts,
    limit: u32,
) -> Result<u64, StoreError> {
    let (narrowed, asked) = match which {
        ForgetAlerts::Before(before) => {
            ("resolved_at < ?2 ORDER BY resolved_at", Value::Integer(millis(before)))
        }
        ForgetAlerts::Of(rule) => {
            ("resolved_at NOT NULL AND rule = ?2 ORDER BY seq", Value::Blob(rule.bits().to_vec()))
        }
    };
    // With a quiet time over, nothing is asked of an alert any more.
    let sql = format!(
        "DELETE FROM alerts WHERE seq IN (SELECT seq FROM alerts WHERE \
         told_at + 1000 * coalesce((SELECT quiet_seconds FROM alert_rules \
             WHERE alert_rules.id = rule AND state <> 'removed'), 0) <= ?1 \
         AND {narrowed} LIMIT ?3)"
    );
    write(connection, &sql, params![millis(at), asked, limit.clamp(1, 10_000)])
        .map(|gone| u64::try_from(gone).unwrap_or(u64::MAX))
        .map_err(fault)
}

/// What receivers are told of an alert.
fn tell(
    connection: &Connection,
    kind: EventKind,
    at: Timestamp,
    rule: &AlertRule,
    alert: &Alert,
) -> Result<(), StoreError> {
    if !rule.channel.webhooks {
        return Ok(());
    }
    let data = || {
        json!({
            "organization_id": alert.organization,
            "alert_id": alert.id,
            "rule": { "id": rule.id, "name": rule.name, "condition": rule.condition },
            "subject": alert.subject,
            "key_id": alert.key,
            "message": alert.message,
            "raised_at": alert.raised_at,
        })
    };
    // A rule of who runs this Keyward is nobody else's business.
    let whose = alert.organization.as_ref().filter(|_| rule.organization.is_some());
    outbox::tell(connection, kind, at, whose, data).map_err(fault)
}

/// Raises an alert, unless it is raised or was told of a moment ago.
pub(super) fn raise(connection: &Connection, new: &Alert) -> Result<bool, StoreError> {
    let Some(record) = rule_by_id(connection, new.rule)?.filter(|one| one.rule.enabled) else {
        return Ok(false);
    };
    let sql = "SELECT id, resolved_at, told_at FROM alerts WHERE rule = ?1 AND subject = ?2 \
        ORDER BY seq DESC LIMIT 1";
    let last = first(connection, sql, params![new.rule.bits(), new.subject], |row| {
        let cells = Cells::of("alerts", row);
        Ok((cells.optional_moment(1, "resolved_at")?, cells.moment(2, "told_at")?))
    })?;
    let quiet = u128::from(record.rule.quiet_seconds) * 1000;
    let is_told = last.is_some_and(|(resolved, told)| {
        resolved.is_none() || new.raised_at.since(told).as_millis() < quiet
    });
    if is_told {
        return Ok(false);
    }
    write(
        connection,
        "INSERT INTO alerts (id, rule, organization, subject, key, message, raised_at, told_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        params![
            new.id.bits(),
            new.rule.bits(),
            new.organization.as_ref().map(OrganizationId::as_str),
            new.subject,
            new.key.map(KeyId::bits),
            new.message,
            millis(new.raised_at),
        ],
    )
    .map_err(fault)?;
    tell(connection, EventKind::AlertRaised, new.raised_at, &record.rule, new)?;
    Ok(true)
}

/// It holds no longer.
pub(super) fn resolve(
    connection: &Connection,
    id: AlertId,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let sql = format!("SELECT {ALERT} FROM alerts WHERE id = ?1 AND resolved_at IS NULL");
    let Some(held) = first(connection, &sql, [id.bits()], alert)? else { return Ok(false) };
    let sql = "UPDATE alerts SET resolved_at = ?2 WHERE id = ?1";
    write(connection, sql, params![id.bits(), millis(at)]).map_err(fault)?;
    if let Some(record) = rule_by_id(connection, held.rule)? {
        tell(connection, EventKind::AlertResolved, at, &record.rule, &held)?;
    }
    Ok(true)
}

/// The network that an address is told apart by.
fn network(address: IpAddr) -> String {
    match canonical(address) {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

/// A secret was used from an address.
pub(super) fn note_network(
    connection: &Connection,
    secret: SecretId,
    address: IpAddr,
    at: Timestamp,
) -> Result<(), StoreError> {
    let network = network(address);
    let sql = "UPDATE key_networks SET last_at = max(last_at, ?3) WHERE network = ?2 \
        AND key_seq = (SELECT key_seq FROM secrets WHERE id = ?1)";
    let at = millis(at);
    if write(connection, sql, params![secret.bits(), network, at]).map_err(fault)? > 0 {
        return Ok(());
    }
    let sql = "INSERT INTO key_networks (key_seq, network, first_at, last_at) \
        SELECT key_seq, ?2, ?3, ?3 FROM secrets WHERE id = ?1";
    write(connection, sql, params![secret.bits(), network, at]).map_err(fault)?;
    // The first one says since when the key is used, and stays.
    let sql = "DELETE FROM key_networks WHERE key_seq = (SELECT key_seq FROM secrets WHERE id = ?1) \
        AND network NOT IN (SELECT network FROM key_networks \
            WHERE key_seq = (SELECT key_seq FROM secrets WHERE id = ?1) ORDER BY last_at DESC LIMIT ?2) \
        AND first_at > (SELECT min(first_at) FROM key_networks AS others \
            WHERE others.key_seq = key_networks.key_seq)";
    write(connection, sql, params![secret.bits(), MOST_NETWORKS]).map(|_| ()).map_err(fault)
}

/// The networks that keys were first used from after a moment.
pub(super) fn new_networks(
    connection: &Connection,
    since: Timestamp,
) -> Result<Vec<KeyNetwork>, StoreError> {
    let sql = "SELECT keys.id, keys.name, organization, network, first_at, \
            (SELECT min(first_at) FROM key_networks AS others \
            WHERE others.key_seq = key_networks.key_seq) \
        FROM key_networks JOIN keys ON keys.seq = key_seq WHERE first_at > ?1 \
        AND (SELECT count(*) FROM key_networks AS others \
            WHERE others.key_seq = key_networks.key_seq) < ?2 LIMIT 100000";
    all(connection, sql, params![millis(since), MOST_NETWORKS], |row| {
        let cells = Cells::of("key_networks", row);
        Ok(KeyNetwork {
            key: KeyId::from_bits(cells.bits(0, "key")?),
            name: cells.text(1, "name")?.to_owned(),
            organization: cells.parsed(2, "organization")?,
            network: cells.text(3, "network")?.to_owned(),
            first_at: cells.moment(4, "first_at")?,
            key_first_at: cells.moment(5, "first_at")?,
        })
    })
}
