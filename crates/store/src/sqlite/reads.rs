//! Questions to the database. Each runs in a transaction its caller opened, so that several statements see one moment.

use keyward_core::{
    id::{ApiName, KeyId, ModelId, OrganizationId, SecretId},
    key::{Digest, Key, Secret},
    member::Role,
    organization::Organization,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Params, Row, ToSql, types::Value};

use super::{faults::fault, rows, rows::Cells};
use crate::{
    change::{ChangeEntry, Feed, Revision},
    error::StoreError,
    query::{
        AuditEntry, AuditFilter, AuditId, KeyRecord, Page, SecretUse, ShownKey, UpstreamCredential,
    },
    store::{MaterialCheck, MaterialKind},
};

/// Every row of a statement, read by `read`.
pub(super) fn each(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(fault)?;
    let mut rows = statement.query(params).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        read(row)?;
    }
    Ok(())
}

pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    each(connection, sql, params, |row| {
        found.push(read(row)?);
        Ok(())
    })?;
    Ok(found)
}

pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(fault)?;
    let mut rows = statement.query(params).map_err(fault)?;
    rows.next().map_err(fault)?.map(read).transpose()
}

/// The newest revision.
pub(super) fn revision(connection: &Connection) -> Result<Revision, StoreError> {
    first(connection, "SELECT 'the only', revision FROM store_state", [], |row| {
        Cells::of("store_state", row).number(1, "revision").map(Revision::new)
    })?
    .ok_or_else(|| StoreError::Corrupt {
        table: "store_state".to_owned(),
        id: "the only".to_owned(),
        what: "missing".to_owned(),
    })
}

/// One organization with its model ids.
pub(super) fn organization(
    connection: &Connection,
    id: &OrganizationId,
) -> Result<Option<Organization>, StoreError> {
    let sql = format!("SELECT {} FROM organizations WHERE id = ?1", rows::ORGANIZATION);
    let Some(mut found) = first(connection, &sql, [id.as_str()], rows::organization)? else {
        return Ok(None);
    };
    let sql = "SELECT model FROM model_ids WHERE organization = ?1 ORDER BY rowid";
    found.model_ids = all(connection, sql, [id.as_str()], |row| {
        let cells = Cells::of("model_ids", row);
        cells.parsed(0, "model")
    })?;
    Ok(Some(found))
}

/// Whether there is such an organization.
pub(super) fn is_organization(
    connection: &Connection,
    id: &OrganizationId,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM organizations WHERE id = ?1";
    first(connection, sql, [id.as_str()], |_| Ok(())).map(|found| found.is_some())
}

/// All organizations, in the order they were made.
pub(super) fn organizations(connection: &Connection) -> Result<Vec<Organization>, StoreError> {
    let sql = format!("SELECT {} FROM organizations ORDER BY rowid", rows::ORGANIZATION);
    let mut found = all(connection, &sql, [], rows::organization)?;
    let mut models = std::collections::HashMap::<OrganizationId, Vec<ModelId>>::new();
    each(connection, "SELECT model, organization FROM model_ids ORDER BY rowid", [], |row| {
        let model = Cells::of("model_ids", row).parsed(0, "model")?;
        models.entry(rows::model_holder(row)?).or_default().push(model);
        Ok(())
    })?;
    for organization in &mut found {
        organization.model_ids = models.remove(&organization.id).unwrap_or_default();
    }
    Ok(found)
}

/// Which organization has the model id.
pub(super) fn model_holder(
    connection: &Connection,
    model: &ModelId,
) -> Result<Option<OrganizationId>, StoreError> {
    let sql = "SELECT model, organization FROM model_ids WHERE model = ?1";
    first(connection, sql, [model.as_str()], rows::model_holder)
}

/// A key as the engine knows it.
pub(super) struct Held {
    pub(super) seq: i64,
    pub(super) key: Key,
    pub(super) exposed_at: Option<Timestamp>,
    pub(super) owner_role: Option<Role>,
    pub(super) revision: Revision,
}

pub(super) fn held(row: &Row<'_>) -> Result<Held, StoreError> {
    let cells = Cells::of("keys", row);
    Ok(Held {
        key: rows::key(row)?,
        seq: cells.integer(rows::KEY_SEQ, "seq")?,
        exposed_at: cells.optional_moment(rows::KEY_EXPOSED_AT, "exposed_at")?,
        owner_role: rows::owner_role(row)?,
        revision: Revision::new(cells.number(rows::KEY_REVISION, "revision")?),
    })
}

/// One key, without its secrets.
pub(super) fn held_key(connection: &Connection, id: KeyId) -> Result<Option<Held>, StoreError> {
    let sql = format!("SELECT {} FROM keys WHERE id = ?1", rows::KEY);
    first(connection, &sql, [id.bits()], held)
}

/// Whether there is any key. Asked before the schema is brought up to date: it names no column of a later step.
pub(super) fn holds_keys(connection: &Connection) -> Result<bool, StoreError> {
    first(connection, "SELECT 1 FROM keys LIMIT 1", [], |_| Ok(())).map(|found| found.is_some())
}

/// The secrets of a key, oldest first.
pub(super) fn secrets(connection: &Connection, of: &Held) -> Result<Vec<Secret>, StoreError> {
    let sql = format!("SELECT {} FROM secrets WHERE key_seq = ?1 ORDER BY number", rows::SECRET);
    all(connection, &sql, [of.seq], |row| rows::secret(row, of.key.id))
}

pub(super) fn with_secrets(connection: &Connection, held: Held) -> Result<KeyRecord, StoreError> {
    let secrets = secrets(connection, &held)?;
    let Held { key, owner_role, revision, .. } = held;
    Ok(KeyRecord { key, owner_role, secrets, revision })
}

/// One key with its secrets.
pub(super) fn key(connection: &Connection, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
    held_key(connection, id)?.map(|held| with_secrets(connection, held)).transpose()
}

/// The key whose secret has one of these digests.
pub(super) fn shown_key(
    connection: &Connection,
    digests: &[Digest],
) -> Result<Option<ShownKey>, StoreError> {
    let sql = format!(
        "SELECT {} FROM keys WHERE seq = (SELECT key_seq FROM secrets WHERE digest = ?1)",
        rows::KEY
    );
    for digest in digests {
        let Some(held) = first(connection, &sql, [digest.as_bytes()], held)? else { continue };
        let record = with_secrets(connection, held)?;
        let shown = record.secrets.iter().find(|secret| secret.digest == *digest).cloned();
        let organization = organization(connection, &record.key.organization)?;
        let (Some(secret), Some(organization)) = (shown, organization) else { continue };
        return Ok(Some(ShownKey { record, secret, organization: organization.state }));
    }
    Ok(None)
}

/// The key a secret belongs to.
pub(super) fn key_of_secret(
    connection: &Connection,
    id: SecretId,
) -> Result<Option<Held>, StoreError> {
    let sql = format!(
        "SELECT {} FROM keys WHERE seq = (SELECT key_seq FROM secrets WHERE id = ?1)",
        rows::KEY
    );
    first(connection, &sql, [id.bits()], held)
}

/// The key that has this name now.
pub(super) fn key_by_name(
    connection: &Connection,
    organization: &OrganizationId,
    api: &ApiName,
    name: &str,
) -> Result<Option<Held>, StoreError> {
    let sql = format!(
        "SELECT {} FROM keys INDEXED BY key_names \
         WHERE organization = ?1 AND api = ?2 AND name = ?3 AND state <> 'revoked'",
        rows::KEY
    );
    first(connection, &sql, [organization.as_str(), api.as_str(), name], held)
}

/// The key that has this name now, with its secrets.
pub(super) fn find_key_by_name(
    connection: &Connection,
    organization: &OrganizationId,
    api: &ApiName,
    name: &str,
) -> Result<Option<KeyRecord>, StoreError> {
    key_by_name(connection, organization, api, name)?
        .map(|held| with_secrets(connection, held))
        .transpose()
}

/// Whether the organization has `most` keys or more at the API that are not revoked.
pub(super) fn has_keys(
    connection: &Connection,
    organization: &OrganizationId,
    api: &ApiName,
    most: u32,
) -> Result<bool, StoreError> {
    let sql = "SELECT 0, count(*) FROM (SELECT 1 FROM keys INDEXED BY key_names \
        WHERE organization = ?1 AND api = ?2 AND state <> 'revoked' LIMIT ?3)";
    let params: [&dyn ToSql; 3] = [&organization.as_str(), &api.as_str(), &most];
    let found = first(connection, sql, params, |row| Cells::of("keys", row).integer(1, "count"))?;
    Ok(found.is_some_and(|found| found >= i64::from(most)))
}

/// How far each secret of the key is in use, oldest first.
pub(super) fn secret_uses(
    connection: &Connection,
    key: KeyId,
) -> Result<Vec<SecretUse>, StoreError> {
    let sql = "SELECT id, last_used_at, last_used_from, requests, requests_before FROM secrets \
        WHERE key_seq = (SELECT seq FROM keys WHERE id = ?1) ORDER BY number";
    all(connection, sql, [key.bits()], rows::secret_use)
}

/// The revision of the last change to an organization.
pub(super) fn organization_revision(
    connection: &Connection,
    id: &OrganizationId,
) -> Result<Option<Revision>, StoreError> {
    let sql = "SELECT id, revision FROM organizations WHERE id = ?1";
    first(connection, sql, [id.as_str()], |row| {
        Cells::of("organizations", row).number(1, "revision").map(Revision::new)
    })
}

/// Every upstream credential, by name.
pub(super) fn upstream_credentials(
    connection: &Connection,
) -> Result<Vec<UpstreamCredential>, StoreError> {
    let sql = "SELECT upstream, sealed, set_at FROM upstream_credentials ORDER BY upstream";
    all(connection, sql, [], rows::upstream_credential)
}

/// One upstream credential.
pub(super) fn upstream_credential(
    connection: &Connection,
    upstream: &str,
) -> Result<Option<UpstreamCredential>, StoreError> {
    let sql = "SELECT upstream, sealed, set_at FROM upstream_credentials WHERE upstream = ?1";
    first(connection, sql, [upstream], rows::upstream_credential)
}

/// The audit log, newest first.
pub(super) fn audit(
    connection: &Connection,
    filter: &AuditFilter,
    page: &Page<AuditId>,
) -> Result<Vec<AuditEntry>, StoreError> {
    let text = |text: &str| Value::Text(text.to_owned());
    let before = page.after.map_or(i64::MAX, |id| rows::count(id.get()));
    let mut sql = format!("SELECT {} FROM audit WHERE id < ?", rows::AUDIT);
    let mut asked = vec![Value::Integer(before)];
    let mut narrow = |column: &str, value: Option<Value>| {
        let Some(value) = value else { return };
        sql.push_str(&format!(" AND {column} ?"));
        asked.push(value);
    };
    narrow("organization =", filter.organization.as_ref().map(|id| text(id.as_str())));
    let subject = filter.subject.as_ref();
    narrow("subject_kind =", subject.map(|subject| text(subject.kind())));
    narrow("subject =", subject.map(|subject| Value::Text(subject.id())));
    narrow("actor_name =", filter.person.map(|person| Value::Text(person.to_string())));
    match filter.action.as_deref() {
        Some(all) if all.ends_with('.') => {
            narrow("action >=", Some(text(all)));
            narrow("action <", Some(Value::Text(format!("{all}{}", char::MAX))));
        }
        action => narrow("action =", action.map(text)),
    }
    narrow("at >=", filter.from.map(|from| Value::Integer(rows::millis(from))));
    narrow("at <", filter.until.map(|until| Value::Integer(rows::millis(until))));
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    asked.push(Value::Integer(page.rows()));
    all(connection, &sql, rusqlite::params_from_iter(asked), rows::audit_entry)
}

/// What changed after `known`. Every revision has one entry, so a missing one is a gap.
pub(super) fn changes_since(
    connection: &Connection,
    known: Revision,
    limit: u32,
) -> Result<Feed, StoreError> {
    let newest = revision(connection)?;
    let sql = "SELECT revision, subject_kind, subject FROM change_feed \
        WHERE revision > ?1 ORDER BY revision LIMIT ?2";
    let params = [rows::count(known.get()), i64::from(limit.clamp(1, 100_000))];
    let entries: Vec<ChangeEntry> = all(connection, sql, params, rows::change_entry)?;
    let mut last = known;
    for entry in &entries {
        if entry.revision != last.next() {
            return Ok(Feed::Gap);
        }
        last = entry.revision;
    }
    // Nothing to tell to somebody who is behind: it was trimmed. To somebody ahead: the store was restored from a backup.
    if entries.is_empty() && known != newest {
        return Ok(Feed::Gap);
    }
    Ok(Feed::Entries(entries))
}

/// The key material this database was used with.
pub(super) fn material(connection: &Connection) -> Result<Vec<MaterialCheck>, StoreError> {
    let sql = "SELECT kind, version, check_value FROM key_material ORDER BY kind, version";
    all(connection, sql, [], rows::material_check)
}

/// What is noted for one kind and version.
pub(super) fn material_check(
    connection: &Connection,
    kind: MaterialKind,
    version: u32,
) -> Result<Option<MaterialCheck>, StoreError> {
    let sql =
        "SELECT kind, version, check_value FROM key_material WHERE kind = ?1 AND version = ?2";
    let params: [&dyn ToSql; 2] = [&kind.as_str(), &version];
    first(connection, sql, params, rows::material_check)
}

/// Whether some digest was made under this pepper. Walks all secrets where none was: asked when a pepper is gone.
pub(super) fn pepper_in_use(connection: &Connection, version: u32) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT 1 FROM secrets WHERE pepper = ?1 LIMIT 1", [version], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
        .map_err(fault)
}
