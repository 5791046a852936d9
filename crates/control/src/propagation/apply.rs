//! Applying changes: what the feed names is read again, and put into the directory as it is now.

use std::collections::HashSet;

use keyward_core::{
    directory::Directory,
    id::{KeyId, OrganizationId},
    policy::Policy,
};
use keyward_store::{ChangeEntry, Store, StoreError, Subject};

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
            Subject::Key(_) => {}
        }
    }
    for subject in subjects {
        if let Subject::Key(id) = subject {
            key(store, directory, policy, *id).await?;
        }
    }
    Ok(applied)
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
    if directory.put_key(policy, &record.key, &record.secrets).is_ok() {
        return Ok(());
    }
    organization(store, directory, &record.key.organization).await?;
    if let Err(orphan) = directory.put_key(policy, &record.key, &record.secrets) {
        tracing::error!(key = %id, "{orphan}: the key is left as it was");
    }
    Ok(())
}
