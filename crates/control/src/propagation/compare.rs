//! The full comparison: every key of the store is looked up in the directory. What differs is read again.
//!
//! It should never find anything. It is the promise behind the hints and the feed: whatever goes wrong with them, a
//! revoked key is not accepted for longer than until the next comparison. Rejected: loading everything into a second
//! directory and swapping it in, which would need twice the memory every ten minutes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use keyward_core::{
    directory::{Directory, KeyEntry},
    id::{KeyId, OrganizationId},
    key::Secret,
    limit::applied::Applied,
    organization::Organization,
    policy::Policy,
    time::Timestamp,
};
use keyward_store::{KeyRecord, Loaded, Store, StoreError};

/// So many differences are not mended one by one.
pub(super) const MOST_DIFFERENCES: usize = 10_000;

/// What was found to differ. Part of it may have changed while it was compared, which is no fault.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) keys: Vec<KeyId>,
    pub(super) organizations: HashSet<OrganizationId>,
    /// Plans or prices.
    pub(super) terms: bool,
}

impl Differences {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.organizations.is_empty() && !self.terms
    }

    pub(super) const fn are_many(&self) -> bool {
        self.keys.len() > MOST_DIFFERENCES
    }
}

/// Compares everything in the store with the directory.
pub(super) async fn compare(
    store: &dyn Store,
    directory: &Directory,
    policy: &Policy,
) -> Result<Differences, StoreError> {
    let mut differences = Differences::default();
    let mut organizations: HashMap<OrganizationId, Arc<Organization>> = HashMap::new();
    let (mut plans, mut prices) = (Vec::new(), Vec::new());
    store
        .load(&mut |item| match item {
            Loaded::Plan(plan) => plans.push(plan),
            Loaded::Price(price) => prices.push(price),
            Loaded::Organization(organization) => {
                organizations.insert(organization.id.clone(), Arc::new(organization));
            }
            Loaded::UpstreamCredential(_) => {}
            Loaded::Key(record) => {
                if differences.are_many() {
                    return;
                }
                if !holds(directory, policy, &record) {
                    differences.keys.push(record.key.id);
                }
                let known = organizations.get(&record.key.organization);
                if known != organization_of(directory, &record).as_ref() {
                    differences.organizations.insert(record.key.organization);
                }
            }
        })
        .await?;
    differences.terms = plans != directory.plans().all() || prices != directory.prices().all();
    Ok(differences)
}

/// Whether the directory knows the key and each of its secrets as the store does.
pub(super) fn holds(directory: &Directory, policy: &Policy, record: &KeyRecord) -> bool {
    record.secrets.iter().all(|secret| {
        directory
            .find(&secret.digest)
            .is_some_and(|entry| agrees(directory, policy, &entry, record, secret))
    })
}

fn organization_of(directory: &Directory, record: &KeyRecord) -> Option<Arc<Organization>> {
    let secret = record.secrets.first()?;
    directory.organization(directory.find(&secret.digest)?.organization)
}

fn agrees(
    directory: &Directory,
    policy: &Policy,
    entry: &KeyEntry,
    record: &KeyRecord,
    secret: &Secret,
) -> bool {
    let key = super::load::in_force(policy, record);
    let permissions = policy
        .api(key.api.as_str())
        .map(|api| api.profile.vocabulary.grant(key.permissions.iter().map(String::as_str)));
    let ends = [key.expires_at, secret.expires_at].into_iter().flatten().min();
    let (networks, models) = match &entry.restrictions {
        Some(restrictions) => (&*restrictions.networks, restrictions.models.as_deref()),
        None => (&[][..], None),
    };
    let limits = entry.restrictions.iter().flat_map(|own| &own.limits).map(Applied::limit);
    let models_agree = match (models, &key.allowed_models) {
        (None, None) => true,
        (Some(known), Some(stored)) => known.iter().map(|m| &**m).eq(stored.iter().map(|m| &**m)),
        _ => false,
    };
    entry.key == key.id
        && entry.secret == secret.id
        && entry.state == key.state
        && entry.api == key.api.number()
        && entry.permissions == permissions.unwrap_or_default()
        && entry.expires_at == ends.unwrap_or(Timestamp::NEVER)
        && networks == key.allowed_networks.as_slice()
        && models_agree
        && limits.eq(key.limits.iter())
        && directory.organization(entry.organization).is_some_and(|o| o.id == key.organization)
}
