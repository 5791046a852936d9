//! Rows as the types of the core, and back.
//!
//! No stored byte is trusted: a cell that is not what it should be becomes [`StoreError::Corrupt`], which names the
//! table and the row. The first cell of every row is its id, so that the error can say which row.

use std::{net::IpAddr, str::FromStr};

use keyward_core::{
    id::{KeyId, OrganizationId, SecretId, UserId},
    key::{
        Digest, Key, KeyState, Labels, PepperVersion, Rotation, SealedBcrypt, Secret, SecretForm,
    },
    member::Role,
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use rusqlite::{Row, types::ValueRef};
use serde::{Serialize, de::DeserializeOwned};

use super::faults::fault;
use crate::{
    change::{Actor, ActorKind, ChangeEntry, Interface, Revision, Subject},
    error::StoreError,
    query::{AuditEntry, AuditId, SecretUse, UpstreamCredential},
    seal::SealedBytes,
    store::{MaterialCheck, MaterialKind},
};

/// A moment as it is stored. What lies beyond the year 292 million is "never".
pub(super) fn millis(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}

/// A count as it is stored: it stays at its maximum rather than wrap.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A list as it is stored.
pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| {
        StoreError::invalid(format!("a list cannot be stored ({error})"), "change it")
    })
}

/// The cells of one row.
pub(super) struct Cells<'r> {
    table: &'static str,
    row: &'r Row<'r>,
}

impl<'r> Cells<'r> {
    pub(super) const fn of(table: &'static str, row: &'r Row<'r>) -> Self {
        Self { table, row }
    }

    /// The error for a cell that holds something else than `what`.
    pub(super) fn corrupt(&self, what: &str) -> StoreError {
        let id = match self.row.get_ref(0) {
            Ok(ValueRef::Integer(number)) => number.to_string(),
            Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Ok(ValueRef::Blob(bytes)) => match (self.table, <[u8; 16]>::try_from(bytes)) {
                ("keys", Ok(bits)) => KeyId::from_bits(bits).to_string(),
                ("secrets", Ok(bits)) => SecretId::from_bits(bits).to_string(),
                _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
            _ => "unknown".to_owned(),
        };
        StoreError::Corrupt { table: self.table.to_owned(), id, what: what.to_owned() }
    }

    fn cell(&self, at: usize) -> Result<ValueRef<'r>, StoreError> {
        self.row.get_ref(at).map_err(fault)
    }

    pub(super) fn text(&self, at: usize, what: &str) -> Result<&'r str, StoreError> {
        self.cell(at)?.as_str().map_err(|_| self.corrupt(what))
    }

    pub(super) fn parsed<T: FromStr>(&self, at: usize, what: &str) -> Result<T, StoreError> {
        self.text(at, what)?.parse().map_err(|_| self.corrupt(what))
    }

    pub(super) fn word<T>(
        &self,
        at: usize,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        read(self.text(at, what)?).ok_or_else(|| self.corrupt(what))
    }

    pub(super) fn json_of<T: DeserializeOwned>(
        &self,
        at: usize,
        what: &str,
    ) -> Result<T, StoreError> {
        serde_json::from_str(self.text(at, what)?).map_err(|_| self.corrupt(what))
    }

    pub(super) fn optional_json_of<T: DeserializeOwned>(
        &self,
        at: usize,
        what: &str,
    ) -> Result<Option<T>, StoreError> {
        if self.cell(at)? == ValueRef::Null {
            return Ok(None);
        }
        self.json_of(at, what).map(Some)
    }

    pub(super) fn integer(&self, at: usize, what: &str) -> Result<i64, StoreError> {
        self.cell(at)?.as_i64().map_err(|_| self.corrupt(what))
    }

    /// A number of a kind that is never negative.
    pub(super) fn number<T: TryFrom<i64>>(&self, at: usize, what: &str) -> Result<T, StoreError> {
        T::try_from(self.integer(at, what)?).map_err(|_| self.corrupt(what))
    }

    pub(super) fn moment(&self, at: usize, what: &str) -> Result<Timestamp, StoreError> {
        match self.integer(at, what)? {
            i64::MAX => Ok(Timestamp::NEVER),
            millis => {
                u64::try_from(millis).map(Timestamp::from_millis).map_err(|_| self.corrupt(what))
            }
        }
    }

    pub(super) fn optional_moment(
        &self,
        at: usize,
        what: &str,
    ) -> Result<Option<Timestamp>, StoreError> {
        if self.cell(at)? == ValueRef::Null {
            return Ok(None);
        }
        self.moment(at, what).map(Some)
    }

    pub(super) fn optional_text(
        &self,
        at: usize,
        what: &str,
    ) -> Result<Option<&'r str>, StoreError> {
        if self.cell(at)? == ValueRef::Null {
            return Ok(None);
        }
        self.text(at, what).map(Some)
    }

    pub(super) fn optional_bits<const N: usize>(
        &self,
        at: usize,
        what: &str,
    ) -> Result<Option<[u8; N]>, StoreError> {
        if self.cell(at)? == ValueRef::Null {
            return Ok(None);
        }
        self.bits(at, what).map(Some)
    }

    pub(super) fn optional_bytes(
        &self,
        at: usize,
        what: &str,
    ) -> Result<Option<&'r [u8]>, StoreError> {
        if self.cell(at)? == ValueRef::Null {
            return Ok(None);
        }
        self.bytes(at, what).map(Some)
    }

    pub(super) fn bytes(&self, at: usize, what: &str) -> Result<&'r [u8], StoreError> {
        self.cell(at)?.as_blob().map_err(|_| self.corrupt(what))
    }

    pub(super) fn bits<const N: usize>(
        &self,
        at: usize,
        what: &str,
    ) -> Result<[u8; N], StoreError> {
        self.bytes(at, what)?.try_into().map_err(|_| self.corrupt(what))
    }
}

/// The cells that [`organization`] reads; its model ids are rows of their own.
pub(super) const ORGANIZATION: &str = "id, name, state, allowed_models, created_at, plan, limits";

pub(super) fn organization(row: &Row<'_>) -> Result<Organization, StoreError> {
    let cells = Cells::of("organizations", row);
    Ok(Organization {
        id: cells.parsed(0, "id")?,
        name: cells.text(1, "name")?.to_owned(),
        state: cells.word(2, "state", |word| match word {
            "active" => Some(OrganizationState::Active),
            "suspended" => Some(OrganizationState::Suspended),
            _ => None,
        })?,
        model_ids: Vec::new(),
        allowed_models: cells.optional_json_of(3, "allowed_models")?,
        created_at: cells.moment(4, "created_at")?,
        plan: match cells.optional_text(5, "plan")? {
            Some(_) => Some(cells.parsed(5, "plan")?),
            None => None,
        },
        limits: cells.optional_json_of(6, "limits")?.unwrap_or_default(),
    })
}

/// The cells that [`key`] reads; `seq` stands at [`KEY_SEQ`], behind them.
pub(super) const KEY: &str = "id, organization, api, name, environment, permissions, \
    allowed_networks, allowed_models, state, created_at, expires_at, seq, exposed_at, owner, \
    CASE WHEN owner IS NOT NULL THEN (SELECT role FROM memberships \
    WHERE memberships.organization = keys.organization AND user = owner) END, \
    tags, metadata, rotate_after_days, rotation_required, revision, limits";
/// Where [`KEY`] has the key's place in the order of keys.
pub(super) const KEY_SEQ: usize = 11;
/// Where [`KEY`] has the role that the key's owner has now.
pub(super) const KEY_OWNER_ROLE: usize = 14;
/// Where [`KEY`] has the revision of the last change to the key.
pub(super) const KEY_REVISION: usize = 19;
/// Where [`KEY`] has the moment of the last audited exposure.
pub(super) const KEY_EXPOSED_AT: usize = 12;

pub(super) fn key(row: &Row<'_>) -> Result<Key, StoreError> {
    let cells = Cells::of("keys", row);
    Ok(Key {
        id: KeyId::from_bits(cells.bits(0, "id")?),
        organization: cells.parsed(1, "organization")?,
        api: cells.parsed(2, "api")?,
        name: cells.text(3, "name")?.to_owned(),
        environment: cells.parsed(4, "environment")?,
        permissions: cells.json_of(5, "permissions")?,
        allowed_networks: cells.json_of(6, "allowed_networks")?,
        allowed_models: cells.optional_json_of(7, "allowed_models")?,
        state: cells.word(8, "state", |word| KeyState::from_str(word).ok())?,
        created_at: cells.moment(9, "created_at")?,
        expires_at: cells.optional_moment(10, "expires_at")?,
        owner: cells.optional_bits(13, "owner")?.map(UserId::from_bits),
        labels: Labels {
            tags: cells.json_of(15, "tags")?,
            metadata: cells.json_of(16, "metadata")?,
        },
        rotation: rotation(&cells)?,
        limits: cells.optional_json_of(20, "limits")?.unwrap_or_default(),
    })
}

fn rotation(cells: &Cells<'_>) -> Result<Option<Rotation>, StoreError> {
    if cells.cell(17)? == ValueRef::Null {
        return Ok(None);
    }
    let after_days = cells.number(17, "rotate_after_days")?;
    let required = cells.integer(18, "rotation_required")? == 1;
    Ok(Some(Rotation { after_days, required }))
}

/// The role that the owner of a row of [`KEY`] has.
pub(super) fn owner_role(row: &Row<'_>) -> Result<Option<Role>, StoreError> {
    let cells = Cells::of("keys", row);
    let role = cells.optional_text(KEY_OWNER_ROLE, "role of the owner")?;
    role.map(|_| cells.parsed(KEY_OWNER_ROLE, "role of the owner")).transpose()
}

/// The cells that [`secret`] reads; `key_seq` stands at [`SECRET_KEY_SEQ`], among them.
pub(super) const SECRET: &str = "id, digest, pepper, hint, created_at, expires_at, last_used_at, key_seq, form, \
    CASE form WHEN 'bcrypt' THEN (SELECT prefix FROM bcrypt_secrets WHERE secret = id) END, \
    CASE form WHEN 'bcrypt' THEN (SELECT sealed FROM bcrypt_secrets WHERE secret = id) END";
/// Where [`SECRET`] has the place of its key.
pub(super) const SECRET_KEY_SEQ: usize = 7;

pub(super) fn secret(row: &Row<'_>, key: KeyId) -> Result<Secret, StoreError> {
    let cells = Cells::of("secrets", row);
    Ok(Secret {
        id: SecretId::from_bits(cells.bits(0, "id")?),
        key,
        digest: Digest::from_bytes(cells.bits(1, "digest")?),
        pepper: PepperVersion(cells.number(2, "pepper")?),
        hint: cells.text(3, "hint")?.to_owned(),
        created_at: cells.moment(4, "created_at")?,
        expires_at: cells.optional_moment(5, "expires_at")?,
        last_used_at: cells.optional_moment(6, "last_used_at")?,
        form: secret_form(&cells)?,
    })
}

fn secret_form(cells: &Cells<'_>) -> Result<SecretForm, StoreError> {
    Ok(match cells.text(8, "form")? {
        "minted" => SecretForm::Minted,
        "imported" => SecretForm::Imported,
        "sha256" => SecretForm::Sha256,
        "sha512" => SecretForm::Sha512,
        "bcrypt" => SecretForm::Bcrypt(SealedBcrypt {
            prefix: cells.text(9, "prefix of bcrypt_secrets")?.into(),
            sealed: cells.bytes(10, "sealed of bcrypt_secrets")?.into(),
        }),
        _ => return Err(cells.corrupt("form")),
    })
}

/// A row of `id, last_used_at, last_used_from, requests, requests_before` of a secret.
pub(super) fn secret_use(row: &Row<'_>) -> Result<SecretUse, StoreError> {
    let cells = Cells::of("secrets", row);
    let last = match cells.optional_text(2, "last_used_from")? {
        Some(_) => {
            Some((cells.moment(1, "last_used_at")?, cells.parsed::<IpAddr>(2, "last_used_from")?))
        }
        None => None,
    };
    let requests: u64 = cells.number(3, "requests")?;
    let since_replaced = match cells.cell(4)? {
        ValueRef::Null => None,
        _ => Some(requests.saturating_sub(cells.number(4, "requests_before")?)),
    };
    Ok(SecretUse {
        secret: SecretId::from_bits(cells.bits(0, "id")?),
        last,
        requests,
        since_replaced,
    })
}

/// A row of `upstream, sealed, set_at`.
pub(super) fn upstream_credential(row: &Row<'_>) -> Result<UpstreamCredential, StoreError> {
    let cells = Cells::of("upstream_credentials", row);
    Ok(UpstreamCredential {
        upstream: cells.text(0, "upstream")?.to_owned(),
        sealed: SealedBytes::from_bytes(cells.bytes(1, "sealed")?),
        set_at: cells.moment(2, "set_at")?,
    })
}

/// The cells that [`audit_entry`] reads.
pub(super) const AUDIT: &str = "id, at, actor_kind, actor_name, interface, action, subject_kind, \
    subject, before, after, outcome, revision, organization, address";
/// The same of a log from before entries named an organization.
pub(super) const AUDIT_UNCHAINED: &str = "id, at, actor_kind, actor_name, interface, action, \
    subject_kind, subject, before, after, outcome, revision, NULL, NULL";

pub(super) fn audit_entry(row: &Row<'_>) -> Result<AuditEntry, StoreError> {
    let cells = Cells::of("audit", row);
    let subject = cells.text(7, "subject")?;
    let revision = match cells.cell(11)? {
        ValueRef::Null => None,
        _ => Some(Revision::new(cells.number(11, "revision")?)),
    };
    let kind = cells.word(2, "actor_kind", ActorKind::from_word)?;
    let key = if kind == ActorKind::Key { cells.text(3, "actor_name")?.parse().ok() } else { None };
    Ok(AuditEntry {
        id: AuditId::new(cells.number(0, "id")?),
        at: cells.moment(1, "at")?,
        actor: Actor {
            kind,
            name: cells.text(3, "actor_name")?.to_owned(),
            interface: cells.word(4, "interface", Interface::from_word)?,
            address: match cells.optional_text(13, "address")? {
                Some(_) => Some(cells.parsed(13, "address")?),
                None => None,
            },
            person: cells.text(3, "actor_name")?.parse().ok(),
            key,
        },
        action: cells.text(5, "action")?.to_owned(),
        subject: cells.word(6, "subject", |kind| Subject::from_words(kind, subject))?,
        organization: match cells.optional_text(12, "organization")? {
            Some(_) => Some(cells.parsed(12, "organization")?),
            None => None,
        },
        before: cells.optional_json_of(8, "before")?,
        after: cells.optional_json_of(9, "after")?,
        outcome: cells.text(10, "outcome")?.to_owned(),
        revision,
    })
}

/// A row of `revision, subject_kind, subject`.
pub(super) fn change_entry(row: &Row<'_>) -> Result<ChangeEntry, StoreError> {
    let cells = Cells::of("change_feed", row);
    let subject = cells.text(2, "subject")?;
    Ok(ChangeEntry {
        revision: Revision::new(cells.number(0, "revision")?),
        subject: cells.word(1, "subject", |kind| Subject::from_words(kind, subject))?,
    })
}

/// A row of `kind, version, check_value`.
pub(super) fn material_check(row: &Row<'_>) -> Result<MaterialCheck, StoreError> {
    let cells = Cells::of("key_material", row);
    Ok(MaterialCheck {
        kind: cells.word(0, "kind", MaterialKind::from_word)?,
        version: cells.number(1, "version")?,
        value: cells.bits(2, "check_value")?,
    })
}

/// A row of `model, organization`.
pub(super) fn model_holder(row: &Row<'_>) -> Result<OrganizationId, StoreError> {
    Cells::of("model_ids", row).parsed(1, "organization")
}
