//! The rows of secrets that came from another system.

use keyward_core::{
    id::SecretId,
    key::{Digest, Key, PepperVersion, Secret, SecretForm},
};
use rusqlite::{Connection, params};

use super::{
    apply::write,
    faults::{fault, is_collision},
    reads,
};
use crate::{
    error::StoreError,
    rules::{self, Entry, imported as rule},
};

/// Keeps the hash of a secret that is known by one.
pub(super) fn insert(
    connection: &Connection,
    key: &Key,
    secret: &Secret,
) -> Result<(), StoreError> {
    let SecretForm::Bcrypt(bcrypt) = &secret.form else { return Ok(()) };
    let api = key.api.as_str();
    let alike = "SELECT count(*) FROM (SELECT 1 FROM bcrypt_secrets WHERE api = ?1 AND prefix = ?2 LIMIT ?3)";
    let count = |sql, params: &[&dyn rusqlite::ToSql]| {
        let counted = connection.prepare_cached(sql);
        counted.and_then(|mut one| one.query_row(params, |row| row.get::<_, u32>(0))).map_err(fault)
    };
    let alike = count(alike, &[&api, &bcrypt.prefix, &rule::MOST_ALIKE])?;
    // One probe of an index for each length there can be.
    let lengths = "WITH RECURSIVE lengths (one) AS (SELECT ?2 UNION ALL SELECT one + 1 FROM lengths WHERE one < ?3) \
        SELECT count(*) FROM lengths WHERE one <> ?4 AND EXISTS \
        (SELECT 1 FROM bcrypt_secrets WHERE api = ?1 AND length(prefix) = one)";
    let (least, most) = (rule::PREFIX_LENGTHS.start(), rule::PREFIX_LENGTHS.end());
    let lengths = count(lengths, &[&api, least, most, &rule::length(bcrypt)])?;
    rule::bcrypt(bcrypt, alike, lengths)?;
    write(
        connection,
        "INSERT INTO bcrypt_secrets (secret, api, prefix, sealed) VALUES (?1, ?2, ?3, ?4)",
        params![secret.id.bits(), api, bcrypt.prefix, &*bcrypt.sealed],
    )
    .map(|_| ())
    .map_err(fault)
}

/// Puts our own digest in the place of another system's.
pub(super) fn upgrade(
    connection: &Connection,
    id: SecretId,
    digest: Digest,
    pepper: PepperVersion,
) -> Result<Option<Entry>, StoreError> {
    let missing = || StoreError::NoSuchSecret(id);
    let held = reads::key_of_secret(connection, id)?.ok_or_else(missing)?;
    let secrets = reads::secrets(connection, &held)?;
    let secret = secrets.iter().find(|secret| secret.id == id).ok_or_else(missing)?;
    let Some(entry) = rules::imported::upgrade(&held.key, secret) else { return Ok(None) };
    let sql = "UPDATE secrets SET digest = ?2, pepper = ?3, form = ?4 WHERE id = ?1";
    let form = SecretForm::Imported.as_str();
    write(connection, sql, params![id.bits(), digest.as_bytes(), pepper.0, form]).map_err(
        |error| match is_collision(&error) {
            true => StoreError::SecretExists(id),
            false => fault(error),
        },
    )?;
    write(connection, "DELETE FROM bcrypt_secrets WHERE secret = ?1", [id.bits()])
        .map_err(fault)?;
    Ok(Some(entry))
}

/// Whether any hash is kept sealed.
pub(super) fn holds_sealed(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE name = 'bcrypt_secrets'";
    // An older database is asked before it is brought up to date.
    if reads::first(connection, sql, [], |_| Ok(()))?.is_none() {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM bcrypt_secrets LIMIT 1";
    reads::first(connection, sql, [], |_| Ok(())).map(|found| found.is_some())
}
