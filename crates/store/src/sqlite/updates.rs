//! What is written on keys and organizations, as rows; and the words that keys are found by.

use keyward_core::{
    id::{KeyId, OrganizationId, UserId},
    key::Key,
    limit::PlanName,
};
use rusqlite::{Connection, params};

use super::{
    apply::{self, write},
    faults::fault,
    plans, reads,
    rows::{self, Cells, millis},
};
use crate::{
    change::{KeyUpdate, OrganizationUpdate, Revision},
    error::StoreError,
    rules::{Entry, updates as rules},
    words,
};

/// Changes a key, unless it is so already.
pub(super) fn key(
    connection: &Connection,
    id: KeyId,
    update: KeyUpdate,
    seen: Option<Revision>,
) -> Result<Option<Entry>, StoreError> {
    let held = apply::held(connection, id)?;
    rules::seen_as_it_is(seen, held.revision)?;
    let Some((key, entry)) = rules::key(&held.key, update)? else { return Ok(None) };
    if key.name != held.key.name {
        apply::name_is_free(connection, &key.organization, &key.api, &key.name)?;
    }
    if key.owner != held.key.owner {
        apply::check_owner(connection, &key)?;
    }
    write(
        connection,
        "UPDATE keys SET name = ?2, environment = ?3, permissions = ?4, allowed_networks = ?5, \
         allowed_models = ?6, expires_at = ?7, owner = ?8, tags = ?9, metadata = ?10, \
         rotate_after_days = ?11, rotation_required = ?12, limits = ?13 WHERE seq = ?1",
        params![
            held.seq,
            key.name,
            key.environment.as_str(),
            rows::json(&key.permissions)?,
            rows::json(&key.allowed_networks)?,
            key.allowed_models.as_ref().map(rows::json).transpose()?,
            key.expires_at.map(millis),
            key.owner.map(UserId::bits),
            rows::json(&key.labels.tags)?,
            rows::json(&key.labels.metadata)?,
            key.rotation.map(|rotation| rotation.after_days),
            key.rotation.is_some_and(|rotation| rotation.required),
            plans::limits(&key.limits)?,
        ],
    )
    .map_err(fault)?;
    write_words(connection, held.seq, &key)?;
    Ok(Some(entry))
}

/// Changes an organization, unless it is so already.
pub(super) fn organization(
    connection: &Connection,
    id: &OrganizationId,
    update: OrganizationUpdate,
    seen: Option<Revision>,
) -> Result<Option<Entry>, StoreError> {
    let before = apply::organization(connection, id)?;
    let is = reads::organization_revision(connection, id)?.unwrap_or(Revision::ZERO);
    rules::seen_as_it_is(seen, is)?;
    if let Some(Some(choice)) = &update.plan {
        plans::plan_stands(connection, choice)?;
    }
    let Some((after, entry)) = rules::organization(&before, update)? else { return Ok(None) };
    write(
        connection,
        "UPDATE organizations SET name = ?2, allowed_models = ?3, plan = ?4, limits = ?5 \
         WHERE id = ?1",
        params![
            id.as_str(),
            after.name,
            after.allowed_models.as_ref().map(rows::json).transpose()?,
            after.plan.as_ref().map(PlanName::as_str),
            plans::limits(&after.limits)?,
        ],
    )
    .map_err(fault)?;
    Ok(Some(entry))
}

/// The words of a key, in the place of those it had.
pub(super) fn write_words(connection: &Connection, seq: i64, key: &Key) -> Result<(), StoreError> {
    write(connection, "DELETE FROM key_words WHERE key_seq = ?1", [seq]).map_err(fault)?;
    let sql = "INSERT INTO key_words (organization, word, key_seq) VALUES (?1, ?2, ?3)";
    for word in words::of_key(key) {
        write(connection, sql, params![key.organization.as_str(), word, seq]).map_err(fault)?;
    }
    Ok(())
}

/// The words of keys from before there were words.
pub(super) fn gather_words(connection: &Connection) -> Result<(), StoreError> {
    // They stand at a step at which keys had no limits, which hold no words.
    let sql = format!("SELECT {} FROM keys", rows::KEY.replace("limits", "NULL"));
    reads::each(connection, &sql, [], |row| {
        let seq = Cells::of("keys", row).integer(rows::KEY_SEQ, "seq")?;
        write_words(connection, seq, &rows::key(row)?)
    })
}
