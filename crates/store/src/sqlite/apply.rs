//! Changes as rows. What a change means is decided in `rules`; here it is fetched and written.
//!
//! Each runs in a savepoint of the writer's transaction: an error leaves nothing of it.

use std::net::IpAddr;

use keyward_core::{
    id::{ApiName, KeyId, ModelId, OrganizationId, SecretId, UserId},
    key::{Key, KeyState, Secret},
    limit::PlanName,
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Params, params, types::Value};

use super::{
    alerts,
    audit::{self, Done},
    authority,
    faults::{fault, is_collision},
    imported, outbox, people, plans,
    reads::{self, Held},
    requests,
    rows::{self, millis},
    updates, webhooks,
};
use crate::{
    chain::ChainKey,
    change::{Actor, Change, Revision, Subject},
    error::StoreError,
    plans::PlanChoice,
    query::KeyRecord,
    rules::{self, Entry},
    seal::SealedBytes,
};

/// Runs one writing statement; gives how many rows it touched.
pub(super) fn write(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

/// Does a change with its audit entry, feed entry and revision.
pub(super) fn commit(
    connection: &Connection,
    chain: &ChainKey,
    actor: &Actor,
    at: Timestamp,
    change: Change,
) -> Result<Revision, StoreError> {
    authority::check(connection, actor, at, &change)?;
    match apply(connection, actor, at, change)? {
        Some(entry) => note(connection, chain, actor, at, &entry).map_err(fault),
        None => reads::revision(connection),
    }
}

/// Does changes one after the other, each as far as it goes, and takes all of it back.
pub(super) fn rehearse(
    connection: &Connection,
    chain: &ChainKey,
    actor: &Actor,
    at: Timestamp,
    changes: Vec<Change>,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let run = |sql| write(connection, sql, []).map_err(fault);
    run("SAVEPOINT rehearsal")?;
    let one = |change| {
        run("SAVEPOINT one")?;
        let done = commit(connection, chain, actor, at, change);
        if let Err(error) = &done {
            if error.is_outage() || connection.is_autocommit() {
                return Err(error.clone());
            }
            run("ROLLBACK TO one")?;
        }
        run("RELEASE one")?;
        Ok(done.map(|_| ()))
    };
    let done = changes.into_iter().map(one).collect::<Result<_, StoreError>>()?;
    run("ROLLBACK TO rehearsal")?;
    run("RELEASE rehearsal")?;
    Ok(done)
}

/// The next revision, with what the feed and the audit log say of it.
fn note(
    connection: &Connection,
    chain: &ChainKey,
    actor: &Actor,
    at: Timestamp,
    entry: &Entry,
) -> rusqlite::Result<Revision> {
    let revision: i64 = connection
        .prepare_cached("UPDATE store_state SET revision = revision + 1 RETURNING revision")?
        .query_row([], |row| row.get(0))?;
    write(
        connection,
        "INSERT INTO change_feed (revision, subject_kind, subject) VALUES (?1, ?2, ?3)",
        params![revision, entry.subject.kind(), entry.subject.id()],
    )?;
    let organization = concerned(connection, &entry.subject)?;
    let number = Revision::new(revision.unsigned_abs());
    outbox::tell_of_change(connection, actor, at, entry, organization.as_ref(), number)?;
    audit::append(connection, chain, &Done { actor, at, entry, organization, revision })?;
    let (sql, id) = match &entry.subject {
        Subject::Key(key) => {
            ("UPDATE keys SET revision = ?2 WHERE id = ?1", Value::Blob(key.bits().to_vec()))
        }
        Subject::Organization(id) => (
            "UPDATE organizations SET revision = ?2 WHERE id = ?1",
            Value::Text(id.as_str().to_owned()),
        ),
        Subject::Plan(name) => (
            "UPDATE plans SET revision = ?2 WHERE name = ?1",
            Value::Text(name.as_str().to_owned()),
        ),
        Subject::Price(model) => (
            "UPDATE prices SET revision = ?2 WHERE model = ?1",
            Value::Text(model.as_str().to_owned()),
        ),
        Subject::AlertRule(id) => {
            ("UPDATE alert_rules SET revision = ?2 WHERE id = ?1", Value::Blob(id.bits().to_vec()))
        }
        Subject::Webhook(id) => {
            ("UPDATE webhooks SET revision = ?2 WHERE id = ?1", Value::Blob(id.bits().to_vec()))
        }
        _ => return Ok(number),
    };
    write(connection, sql, params![id, revision])?;
    Ok(number)
}

/// Whose business a change is.
fn concerned(
    connection: &Connection,
    subject: &Subject,
) -> rusqlite::Result<Option<OrganizationId>> {
    let (sql, id) = match subject {
        Subject::Organization(organization) | Subject::Member(organization, _) => {
            return Ok(Some(organization.clone()));
        }
        Subject::Key(key) => ("SELECT organization FROM keys WHERE id = ?1", key.bits()),
        Subject::KeyRequest(request) => {
            ("SELECT organization FROM key_requests WHERE id = ?1", request.bits())
        }
        Subject::AlertRule(id) => ("SELECT organization FROM alert_rules WHERE id = ?1", id.bits()),
        Subject::Webhook(id) => ("SELECT organization FROM webhooks WHERE id = ?1", id.bits()),
        Subject::UpstreamCredential(_)
        | Subject::User(_)
        | Subject::Setup
        | Subject::Plan(_)
        | Subject::Price(_) => return Ok(None),
    };
    let found: Option<Option<String>> =
        connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    Ok(found.flatten().and_then(|id| id.parse().ok()))
}

fn apply(
    connection: &Connection,
    actor: &Actor,
    at: Timestamp,
    change: Change,
) -> Result<Option<Entry>, StoreError> {
    match change {
        Change::CreateOrganization(new) => create_organization(connection, &new).map(Some),
        Change::SetOrganizationState { organization, state } => {
            set_organization_state(connection, &organization, state)
        }
        Change::UpdateOrganization { organization, update, seen } => {
            updates::organization(connection, &organization, update, seen)
        }
        Change::AssignModelId { organization, model } => {
            assign_model_id(connection, &organization, &model)
        }
        Change::WithdrawModelId { organization, model } => {
            withdraw_model_id(connection, &organization, &model).map(Some)
        }
        Change::CreateKey { key, secret, most_active } => {
            create_key(connection, &key, &secret, most_active).map(Some)
        }
        Change::UpdateKey { key, update, seen } => updates::key(connection, key, *update, seen),
        Change::SetKeyState { key, state } => set_key_state(connection, key, state),
        Change::RotateKey { key, secret, old_expires_at } => {
            rotate_key(connection, key, &secret, old_expires_at, at).map(Some)
        }
        Change::RetireSecret { secret, at, force } => retire_secret(connection, secret, at, force),
        Change::UpgradeSecret { secret, digest, pepper } => {
            imported::upgrade(connection, secret, digest, pepper)
        }
        Change::SetUpstreamCredential { upstream, sealed } => {
            set_upstream_credential(connection, &upstream, &sealed, at).map(Some)
        }
        Change::RemoveUpstreamCredential { upstream } => {
            remove_upstream_credential(connection, upstream).map(Some)
        }
        Change::MarkKeyExposed { key, at, from, disable } => {
            mark_key_exposed(connection, key, at, from, disable)
        }
        Change::People(change) => people::apply(connection, at, change),
        Change::KeyRequest(change) => requests::apply(connection, actor, at, change),
        Change::Plan(change) => plans::apply(connection, change),
        Change::AlertRule(change) => alerts::apply(connection, at, change),
        Change::Webhook(change) => webhooks::apply(connection, at, change),
    }
}

pub(super) fn organization(
    connection: &Connection,
    id: &OrganizationId,
) -> Result<Organization, StoreError> {
    reads::organization(connection, id)?.ok_or_else(|| StoreError::NoSuchOrganization(id.clone()))
}

/// For what concerns an organization but reads nothing of it.
pub(super) fn organization_stands(
    connection: &Connection,
    id: &OrganizationId,
) -> Result<(), StoreError> {
    match reads::is_organization(connection, id)? {
        true => Ok(()),
        false => Err(StoreError::NoSuchOrganization(id.clone())),
    }
}

pub(super) fn create_organization(
    connection: &Connection,
    new: &Organization,
) -> Result<Entry, StoreError> {
    let entry = rules::new_organization(new)?;
    if let Some(name) = new.plan.clone() {
        plans::plan_stands(connection, &PlanChoice { name, of_profile: false })?;
    }
    let models = new.allowed_models.as_ref().map(rows::json).transpose()?;
    write(
        connection,
        "INSERT INTO organizations (id, name, state, allowed_models, created_at, plan, limits) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            new.id.as_str(),
            new.name,
            rules::organization_state_word(new.state),
            models,
            millis(new.created_at),
            new.plan.as_ref().map(PlanName::as_str),
            plans::limits(&new.limits)?,
        ],
    )
    .map_err(|error| match is_collision(&error) {
        true => StoreError::OrganizationExists(new.id.clone()),
        false => fault(error),
    })?;
    for model in &new.model_ids {
        insert_model_id(connection, &new.id, model)?;
    }
    alerts::insert_defaults(connection, &new.id, new.created_at)?;
    Ok(entry)
}

fn insert_model_id(
    connection: &Connection,
    organization: &OrganizationId,
    model: &ModelId,
) -> Result<(), StoreError> {
    write(
        connection,
        "INSERT INTO model_ids (model, organization) VALUES (?1, ?2)",
        [model.as_str(), organization.as_str()],
    )
    .map(|_| ())
    .map_err(|error| match is_collision(&error) {
        true => StoreError::ModelTaken(model.clone()),
        false => fault(error),
    })
}

fn set_organization_state(
    connection: &Connection,
    id: &OrganizationId,
    state: OrganizationState,
) -> Result<Option<Entry>, StoreError> {
    let before = organization(connection, id)?;
    let Some(entry) = rules::organization_state(&before, state) else { return Ok(None) };
    let word = rules::organization_state_word(state);
    let sql = "UPDATE organizations SET state = ?2 WHERE id = ?1";
    write(connection, sql, [id.as_str(), word]).map_err(fault)?;
    Ok(Some(entry))
}

fn assign_model_id(
    connection: &Connection,
    id: &OrganizationId,
    model: &ModelId,
) -> Result<Option<Entry>, StoreError> {
    organization_stands(connection, id)?;
    let holder = reads::model_holder(connection, model)?;
    let entry = rules::model_assignment(id, model, holder.as_ref())?;
    if entry.is_some() {
        insert_model_id(connection, id, model)?;
    }
    Ok(entry)
}

fn withdraw_model_id(
    connection: &Connection,
    id: &OrganizationId,
    model: &ModelId,
) -> Result<Entry, StoreError> {
    organization_stands(connection, id)?;
    let holder = reads::model_holder(connection, model)?;
    let entry = rules::model_withdrawal(id, model, holder.as_ref())?;
    let sql = "DELETE FROM model_ids WHERE model = ?1";
    write(connection, sql, [model.as_str()]).map_err(fault)?;
    Ok(entry)
}

pub(super) fn create_key(
    connection: &Connection,
    key: &Key,
    secret: &Secret,
    most_active: Option<u32>,
) -> Result<Entry, StoreError> {
    let entry = rules::new_key(key, secret)?;
    organization_stands(connection, &key.organization)?;
    check_owner(connection, key)?;
    if reads::held_key(connection, key.id)?.is_some() {
        return Err(StoreError::KeyExists(key.id));
    }
    name_is_free(connection, &key.organization, &key.api, &key.name)?;
    if let Some(most) = most_active
        && reads::has_keys(connection, &key.organization, &key.api, most)?
    {
        let (organization, api) = (key.organization.clone(), key.api.clone());
        return Err(StoreError::TooManyKeys { organization, api, most });
    }
    write(
        connection,
        "INSERT INTO keys (id, organization, api, name, environment, permissions, \
         allowed_networks, allowed_models, state, created_at, expires_at, owner, tags, metadata, \
         rotate_after_days, rotation_required, limits) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        params![
            key.id.bits(),
            key.organization.as_str(),
            key.api.as_str(),
            key.name,
            key.environment.as_str(),
            rows::json(&key.permissions)?,
            rows::json(&key.allowed_networks)?,
            key.allowed_models.as_ref().map(rows::json).transpose()?,
            key.state.as_str(),
            millis(key.created_at),
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
    let seq = connection.last_insert_rowid();
    updates::write_words(connection, seq, key)?;
    insert_secret(connection, seq, 1, secret)?;
    imported::insert(connection, key, secret)?;
    Ok(entry)
}

/// An owner belongs to the organization and may hold keys.
pub(super) fn check_owner(connection: &Connection, key: &Key) -> Result<(), StoreError> {
    let Some(owner) = key.owner else { return Ok(()) };
    let place = people::member(connection, &key.organization, owner)?;
    rules::key_owner(key, owner, place.as_ref())
}

/// Whether a key could get the name.
pub(super) fn name_is_free(
    connection: &Connection,
    organization: &OrganizationId,
    api: &ApiName,
    name: &str,
) -> Result<(), StoreError> {
    match reads::key_by_name(connection, organization, api, name)? {
        Some(other) => Err(StoreError::NameTaken { name: name.to_owned(), key: other.key.id }),
        None => Ok(()),
    }
}

fn insert_secret(
    connection: &Connection,
    key_seq: i64,
    number: usize,
    secret: &Secret,
) -> Result<(), StoreError> {
    write(
        connection,
        "INSERT INTO secrets (key_seq, number, id, digest, pepper, hint, created_at, expires_at, \
         last_used_at, form) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            key_seq,
            i64::try_from(number).unwrap_or(i64::MAX),
            secret.id.bits(),
            secret.digest.as_bytes(),
            secret.pepper.0,
            secret.hint,
            millis(secret.created_at),
            secret.expires_at.map(millis),
            secret.last_used_at.map(millis),
            secret.form.as_str(),
        ],
    )
    .map(|_| ())
    .map_err(|error| match is_collision(&error) {
        true => StoreError::SecretExists(secret.id),
        false => fault(error),
    })
}

pub(super) fn held(connection: &Connection, id: KeyId) -> Result<Held, StoreError> {
    reads::held_key(connection, id)?.ok_or(StoreError::NoSuchKey(id))
}

fn write_state(connection: &Connection, seq: i64, state: KeyState) -> Result<(), StoreError> {
    let sql = "UPDATE keys SET state = ?2 WHERE seq = ?1";
    write(connection, sql, params![seq, state.as_str()]).map(|_| ()).map_err(fault)
}

fn set_key_state(
    connection: &Connection,
    id: KeyId,
    state: KeyState,
) -> Result<Option<Entry>, StoreError> {
    let held = held(connection, id)?;
    let entry = rules::key_state(&held.key, state)?;
    if entry.is_some() {
        write_state(connection, held.seq, state)?;
    }
    Ok(entry)
}

fn write_end(
    connection: &Connection,
    id: SecretId,
    end: Option<Timestamp>,
) -> Result<(), StoreError> {
    let sql = "UPDATE secrets SET expires_at = ?2 WHERE id = ?1";
    write(connection, sql, params![id.bits(), end.map(millis)]).map(|_| ()).map_err(fault)
}

fn rotate_key(
    connection: &Connection,
    id: KeyId,
    secret: &Secret,
    old_expires_at: Timestamp,
    now: Timestamp,
) -> Result<Entry, StoreError> {
    let held = held(connection, id)?;
    let secrets = reads::secrets(connection, &held)?;
    let seq = held.seq;
    let Held { key, owner_role, revision, .. } = held;
    let before = KeyRecord { key, owner_role, secrets, revision };
    let (ending, entry) = rules::rotation(&before, secret, old_expires_at, now)?;
    for old in ending {
        write_end(connection, old.id, old.expires_at)?;
    }
    let sql = "UPDATE secrets SET requests_before = requests \
        WHERE key_seq = ?1 AND requests_before IS NULL";
    write(connection, sql, [seq]).map_err(fault)?;
    insert_secret(connection, seq, before.secrets.len() + 1, secret)?;
    Ok(entry)
}

fn retire_secret(
    connection: &Connection,
    id: SecretId,
    at: Timestamp,
    force: bool,
) -> Result<Option<Entry>, StoreError> {
    let missing = || StoreError::NoSuchSecret(id);
    let held = reads::key_of_secret(connection, id)?.ok_or_else(missing)?;
    let secrets = reads::secrets(connection, &held)?;
    let place = secrets.iter().position(|secret| secret.id == id).ok_or_else(missing)?;
    let (secret, next) = (secrets.get(place).ok_or_else(missing)?, secrets.get(place + 1));
    if !force {
        rules::is_not_in_use(secret, next, at)?;
    }
    let Some((end, entry)) = rules::retirement(&held.key, secret, at)? else { return Ok(None) };
    rules::another_opens(&held.key, secret, &secrets, at)?;
    write_end(connection, id, Some(end))?;
    Ok(Some(entry))
}

fn set_upstream_credential(
    connection: &Connection,
    upstream: &str,
    sealed: &SealedBytes,
    at: Timestamp,
) -> Result<Entry, StoreError> {
    let before = reads::upstream_credential(connection, upstream)?;
    let entry = rules::credential_setting(upstream, before.as_ref())?;
    write(
        connection,
        "INSERT INTO upstream_credentials (upstream, sealed, set_at) VALUES (?1, ?2, ?3) \
         ON CONFLICT (upstream) DO UPDATE SET sealed = excluded.sealed, set_at = excluded.set_at",
        params![upstream, sealed.as_bytes(), millis(at)],
    )
    .map_err(fault)?;
    Ok(entry)
}

fn remove_upstream_credential(
    connection: &Connection,
    upstream: String,
) -> Result<Entry, StoreError> {
    let Some(held) = reads::upstream_credential(connection, &upstream)? else {
        return Err(StoreError::NoSuchUpstreamCredential(upstream));
    };
    let sql = "DELETE FROM upstream_credentials WHERE upstream = ?1";
    write(connection, sql, [&upstream]).map_err(fault)?;
    Ok(rules::credential_removal(&held))
}

fn mark_key_exposed(
    connection: &Connection,
    id: KeyId,
    at: Timestamp,
    from: IpAddr,
    disable: bool,
) -> Result<Option<Entry>, StoreError> {
    let held = held(connection, id)?;
    let Some((state, entry)) = rules::exposure(&held.key, held.exposed_at, at, from, disable)
    else {
        return Ok(None);
    };
    let last = held.exposed_at.map_or(at, |last| last.max(at));
    let sql = "UPDATE keys SET exposed_at = ?2 WHERE seq = ?1";
    write(connection, sql, params![held.seq, millis(last)]).map_err(fault)?;
    if state != held.key.state {
        write_state(connection, held.seq, state)?;
    }
    Ok(Some(entry))
}
