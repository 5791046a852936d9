//! Reading everything: what a start, a gap in the feed, and a changed vocabulary need.

use std::{borrow::Cow, sync::Arc};

use keyward_core::{
    directory::Directory,
    key::{Key, Plaintext},
    policy::Policy,
};
use keyward_store::{
    KeyRecord, Loaded, Revision, SealContext, Sealer, Store, StoreError, UpstreamCredential,
};

use super::{PropagationError, Source};
use crate::plan::{Credentials, Plan};

/// The state of one revision, compiled.
pub struct State {
    /// APIs and upstreams with their credentials.
    pub policy: Arc<Policy>,
    /// Keys and organizations.
    pub directory: Arc<Directory>,
    /// The credentials that stand in the policy.
    pub credentials: Credentials,
    /// Whose state it is.
    pub revision: Revision,
}

/// A key as it counts: as good as its owner's role lets it be, and no more than that role's keys may be allowed.
pub fn in_force<'r>(policy: &Policy, record: &'r KeyRecord) -> Cow<'r, Key> {
    let key = record.in_force();
    let ceiling = || {
        let profile = &policy.api(key.api.as_str())?.profile;
        let ceiling = profile.ceiling(record.owner_role?)?;
        let vocabulary = &profile.vocabulary;
        let granted = vocabulary.grant(key.permissions.iter().map(String::as_str));
        (!ceiling.covers(granted))
            .then(|| vocabulary.names(granted.intersection(ceiling)).map(str::to_owned).collect())
    };
    match ceiling() {
        Some(permissions) => Cow::Owned(Key { permissions, ..key.into_owned() }),
        None => key,
    }
}

/// Reads everything and compiles it. `expected` is how many secrets there may be, for room.
pub async fn load(
    source: &Source,
    plan: &Plan,
    expected: usize,
) -> Result<State, PropagationError> {
    // Keys are compiled by vocabularies alone, so they need not wait for credentials.
    let bare = Arc::new(plan.policy(&Credentials::new())?);
    let mut builder = Directory::builder(bare.clone(), expected);
    let (mut sealed, mut plans, mut prices) = (Vec::new(), Vec::new(), Vec::new());
    let revision = source
        .store
        .load(&mut |item| match item {
            Loaded::Plan(plan) => plans.push(plan),
            Loaded::Price(price) => prices.push(price),
            Loaded::Organization(organization) => builder.organization(organization),
            Loaded::UpstreamCredential(credential) => sealed.push(credential),
            Loaded::Key(record) => {
                if let Err(orphan) = builder.key(&in_force(&bare, &record), &record.secrets) {
                    tracing::error!(key = %record.key.id, "{orphan}: it is left out, and refused as unknown");
                }
            }
        })
        .await?;
    builder.plans(plans);
    builder.prices(prices);
    let credentials = open_all(sealed, plan, &source.sealer, &Credentials::new());
    let policy = Arc::new(plan.policy(&credentials)?);
    Ok(State { policy, directory: Arc::new(builder.build()), credentials, revision })
}

/// Reads the credentials again. One that does not open leaves the one from `before` in its place.
pub(super) async fn credentials(
    store: &dyn Store,
    sealer: &Sealer,
    plan: &Plan,
    before: &Credentials,
) -> Result<Credentials, StoreError> {
    Ok(open_all(store.upstream_credentials().await?, plan, sealer, before))
}

fn open_all(
    sealed: Vec<UpstreamCredential>,
    plan: &Plan,
    sealer: &Sealer,
    before: &Credentials,
) -> Credentials {
    let mut credentials = Credentials::new();
    for one in sealed.into_iter().filter(|one| plan.stored.contains_key(&one.upstream)) {
        match open(&one, sealer) {
            Ok(plaintext) => {
                credentials.insert(one.upstream, plaintext);
            }
            Err(error) => {
                tracing::error!(upstream = one.upstream, %error, "an upstream's credential cannot be used");
                if let Some(earlier) = before.get(&one.upstream) {
                    credentials.insert(one.upstream, earlier.clone());
                }
            }
        }
    }
    for upstream in plan.lacking(&credentials) {
        tracing::warn!(
            upstream,
            "no credential is kept for this upstream, so requests to it are refused: set it with `keyward upstreams set-credential`"
        );
    }
    credentials
}

fn open(credential: &UpstreamCredential, sealer: &Sealer) -> Result<Plaintext, StoreError> {
    let place = SealContext::upstream_credential(&credential.upstream);
    let bytes = sealer.open(&place, &credential.sealed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| StoreError::Sealed {
        of: format!("upstream `{}`", credential.upstream),
        why: "it is not text",
    })?;
    Ok(Plaintext::new(text.to_owned()))
}
