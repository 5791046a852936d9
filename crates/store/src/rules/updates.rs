//! Changing what is written on a key or an organization, seen as it is now.

use keyward_core::{
    key::{Key, KeyState, Labels},
    organization::Organization,
};
use serde_json::{Map, Value, json};

use super::{Entry, name_fits, plans::limits_fit};
use crate::{
    change::{KeyUpdate, OrganizationUpdate, Revision, Subject},
    error::StoreError,
};

/// Was what shall be changed seen as it is?
pub(crate) fn seen_as_it_is(seen: Option<Revision>, is: Revision) -> Result<(), StoreError> {
    match seen {
        Some(seen) if seen != is => Err(StoreError::Outdated { seen, is }),
        _ => Ok(()),
    }
}

/// What of the JSON of a thing was different before, and is after. `None` where nothing is.
pub(super) fn differences(before: &Value, after: &Value) -> Option<(Value, Value)> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return None };
    let (mut were, mut are) = (Map::new(), Map::new());
    for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
        let value = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or_default();
        if value(old) != value(new) {
            were.insert(name.clone(), value(old));
            are.insert(name.clone(), value(new));
        }
    }
    (!are.is_empty()).then_some((Value::Object(were), Value::Object(are)))
}

/// The key as it shall be; `None` where it is so already.
pub(crate) fn key(before: &Key, update: KeyUpdate) -> Result<Option<(Key, Entry)>, StoreError> {
    if before.state == KeyState::Revoked {
        return Err(StoreError::AlreadyRevoked(before.id));
    }
    let was = before.clone();
    let after = Key {
        name: update.name.unwrap_or(was.name),
        environment: update.environment.unwrap_or(was.environment),
        permissions: update.permissions.unwrap_or(was.permissions),
        allowed_networks: update.allowed_networks.unwrap_or(was.allowed_networks),
        allowed_models: update.allowed_models.unwrap_or(was.allowed_models),
        expires_at: update.expires_at.unwrap_or(was.expires_at),
        labels: Labels {
            tags: update.tags.unwrap_or(was.labels.tags),
            metadata: update.metadata.unwrap_or(was.labels.metadata),
        },
        rotation: update.rotation.unwrap_or(was.rotation),
        owner: update.owner.unwrap_or(was.owner),
        limits: update.limits.unwrap_or(was.limits),
        ..was
    };
    name_fits(&after.name)?;
    limits_fit(&after.limits)?;
    let Some((before, differing)) = differences(&json!(before), &json!(after)) else {
        return Ok(None);
    };
    let entry = Entry {
        action: "key.update",
        subject: Subject::Key(after.id),
        before: Some(before),
        after: Some(differing),
    };
    Ok(Some((after, entry)))
}

/// The organization as it shall be; `None` where it is so already.
pub(crate) fn organization(
    before: &Organization,
    update: OrganizationUpdate,
) -> Result<Option<(Organization, Entry)>, StoreError> {
    let was = before.clone();
    let after = Organization {
        name: update.name.unwrap_or(was.name),
        allowed_models: update.allowed_models.unwrap_or(was.allowed_models),
        plan: update.plan.map_or(was.plan, |choice| choice.map(|choice| choice.name)),
        limits: update.limits.unwrap_or(was.limits),
        ..was
    };
    name_fits(&after.name)?;
    limits_fit(&after.limits)?;
    let Some((before, differing)) = differences(&json!(before), &json!(after)) else {
        return Ok(None);
    };
    let entry = Entry {
        action: "organization.update",
        subject: Subject::Organization(after.id.clone()),
        before: Some(before),
        after: Some(differing),
    };
    Ok(Some((after, entry)))
}
