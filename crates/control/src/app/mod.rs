//! What can be asked for, a file a resource: [`keys`], [`key_requests`], [`import`], [`export`], [`organizations`], [`people`],
//! [`models`], [`plans`], [`upstreams`], [`audit`], [`usage`].
//!
//! The command line calls these functions, and so will the management API: what is allowed and how a mistake is told is
//! decided here once. Each takes a [`crate::Context`] and makes at most one change of the store.

pub mod alerts;
pub mod audit;
pub mod export;
pub mod import;
pub mod key_requests;
pub mod keys;
mod limit_states;
pub mod models;
pub mod once;
pub mod organizations;
pub mod people;
pub mod plans;
pub mod upstreams;
pub mod usage;
pub mod webhooks;

use std::sync::Arc;

use keyward_core::{
    id::{ApiName, OrganizationId},
    key::Peppers,
    organization::Organization,
    policy::{Api, Policy},
    time::Timestamp,
};
use keyward_store::{Sealer, Store, StoreError};

use self::usage::UsageTerms;
use crate::{
    error::ControlError,
    keeper::Counting,
    mail::Mailer,
    recorder::{ORDINARY_LOSS, Progress},
    webhooks::Guard,
};

/// The store, and all that operations are held against.
#[derive(Clone)]
pub struct Control {
    store: Arc<dyn Store>,
    policy: Arc<Policy>,
    peppers: Arc<Peppers>,
    sealer: Arc<Sealer>,
    mailer: Mailer,
    usage_terms: UsageTerms,
    progress: Option<Arc<Progress>>,
    guard: Guard,
    counting: Option<Counting>,
}

impl Control {
    /// Operations on a store, under the APIs of a policy.
    pub fn new(
        store: Arc<dyn Store>,
        policy: Arc<Policy>,
        peppers: Arc<Peppers>,
        sealer: Arc<Sealer>,
    ) -> Self {
        let (usage_terms, progress) = (UsageTerms::default(), None);
        let (mailer, guard) = (Mailer::none(), Guard::strict());
        Self {
            store,
            policy,
            peppers,
            sealer,
            mailer,
            usage_terms,
            progress,
            guard,
            counting: None,
        }
    }

    /// The same, with mails about what is done.
    #[must_use]
    pub fn with_mailer(self, mailer: Mailer) -> Self {
        Self { mailer, ..self }
    }

    /// The same, with usage on these terms; `progress` is how far it is recorded, where that is known here.
    #[must_use]
    pub fn with_usage(self, usage_terms: UsageTerms, progress: Option<Arc<Progress>>) -> Self {
        Self { usage_terms, progress, ..self }
    }

    /// Up to when requests that had ended are counted in the store.
    fn recorded_until(&self, now: Timestamp) -> Timestamp {
        let known = self.progress.as_ref().map(|progress| progress.recorded_until(now));
        known.unwrap_or_else(|| now.minus(ORDINARY_LOSS))
    }

    /// The same, with what limits count in this process, where a gateway runs in it.
    #[must_use]
    pub fn with_counting(self, counting: Option<Counting>) -> Self {
        Self { counting, ..self }
    }

    /// The same, with webhooks where this guard lets them be.
    #[must_use]
    pub fn with_guard(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// HMACs of a text that cannot be a key, under each pepper, the newest first.
    pub(crate) fn proofs(&self, text: &[u8]) -> impl Iterator<Item = String> {
        let hex = |byte: &u8| format!("{byte:02x}");
        self.peppers
            .newest_first()
            .map(move |pepper| pepper.digest(text).as_bytes().iter().map(hex).collect())
    }

    fn api(&self, name: &ApiName) -> Result<&Api, ControlError> {
        self.policy.api(name.as_str()).ok_or_else(|| {
            let known: Vec<_> = self.policy.apis().iter().map(|api| api.name.as_str()).collect();
            ControlError::invalid(
                format!("there is no API `{name}`"),
                format!("use one of {}", known.join(", ")),
            )
        })
    }

    async fn existing_organization(
        &self,
        id: &OrganizationId,
    ) -> Result<Organization, ControlError> {
        let organization = self.store.organization(id).await?;
        Ok(organization.ok_or_else(|| StoreError::NoSuchOrganization(id.clone()))?)
    }
}
