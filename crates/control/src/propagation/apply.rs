//! Applying changes: what the feed names is read again, and put into the directory as it is now.

use std::collections::HashSet;

use keyward_core::{
    directory::Directory,
    id::{KeyId, OrganizationId, UserId},
    policy::Policy,
};
use keyward_store::{ChangeEntry, KeyFilter, KeyRecord, Page, Store, StoreError, Subject};

use super::load::in_force;

/// Keys that are read at once.
const HANDFUL: u32 = 1_000;

/// What of the changes concerns more than the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Upstream credentials have to be read again.
    pub(super) credentials: bool,
}

/// Brings what the entries name up to date, each once however often it is named.
pub(super) async fn apply(
    store: &dyn Store,
    directory: &Directory,
    policy: &Policy,
    entries: &[ChangeEntry],
) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    let mut seen = HashSet::new();
    let subjects: Vec<&Subject> =
        entries.iter().map(|entry| &entry.subject).filter(|one| seen.insert(*one)).collect();
    // A key needs its organization, which is read as it is now, so the order among the changes does not matter.
    for subject in &subjects {
        match subject {
            Subject::Organization(id) => organization(store, directory, id).await?,
            Subject::UpstreamCredential(_) => applied.credentials = true,
            // Few, and looked through as a whole: they are read as a whole.
            Subject::Plan(_) => plans(store, directory).await?,
            Subject::Price(_) => prices(store, directory).await?,
            // Of people, the data plane knows nothing but what their keys are good for.
            Subject::Key(_)
            | Subject::User(_)
            | Subject::Member(..)
            | Subject::Setup
            | Subject::KeyRequest(_)
            | Subject::Webhook(_)
            | Subject::AlertRule(_) => {}
        }
    }
    for subject in subjects {
        match subject {
            Subject::Key(id) => key(store, directory, policy, *id).await?,
            Subject::Member(organization, user) => {
                keys_of(store, directory, policy, organization, *user).await?;
            }
            _ => {}
        }
    }
    Ok(applied)
}

pub(super) async fn plans(store: &dyn Store, directory: &Directory) -> Result<(), StoreError> {
    let held = store.plans().await?;
    directory.put_plans(held.into_iter().map(|record| record.plan).collect());
    Ok(())
}

pub(super) async fn prices(store: &dyn Store, directory: &Directory) -> Result<(), StoreError> {
    let held = store.prices().await?;
    directory.put_prices(held.into_iter().map(|record| record.price).collect());
    Ok(())
}

/// A member's role changed, or they left: so did what their keys are good for.
async fn keys_of(
    store: &dyn Store,
    directory: &Directory,
    policy: &Policy,
    organization: &OrganizationId,
    owner: UserId,
) -> Result<(), StoreError> {
    let filter = KeyFilter {
        organization: Some(organization.clone()),
        owner: Some(owner),
        ..KeyFilter::default()
    };
    let mut page = Page::first(HANDFUL);
    loop {
        let records = store.keys(&filter, page).await?;
        for record in &records {
            put(store, directory, policy, record).await?;
        }
        match records.last() {
            Some(last) if records.len() >= HANDFUL as usize => {
                page = Page::after(last.key.id, HANDFUL);
            }
            _ => return Ok(()),
        }
    }
}

pub(super) async fn organization(
    store: &dyn Store,
    directory: &Directory,
    id: &OrganizationId,
) -> Result<(), StoreError> {
    match store.organization(id).await? {
        Some(organization) => directory.put_organization(organization),
        None => {
            tracing::error!(organization = %id, "the change feed names an organization that is not there");
        }
    }
    Ok(())
}

pub(super) async fn key(
    store: &dyn Store,
    directory: &Directory,
    policy: &Policy,
    id: KeyId,
) -> Result<(), StoreError> {
    let Some(record) = store.key(id).await? else {
        tracing::error!(key = %id, "the change feed names a key that is not there");
        return Ok(());
    };
    put(store, directory, policy, &record).await
}

async fn put(
    store: &dyn Store,
    directory: &Directory,
    policy: &Policy,
    record: &KeyRecord,
) -> Result<(), StoreError> {
    let key = in_force(policy, record);
    if directory.put_key(policy, &key, &record.secrets).is_ok() {
        return Ok(());
    }
    organization(store, directory, &key.organization).await?;
    if let Err(orphan) = directory.put_key(policy, &key, &record.secrets) {
        tracing::error!(key = %key.id, "{orphan}: the key is left as it was");
    }
    Ok(())
}
