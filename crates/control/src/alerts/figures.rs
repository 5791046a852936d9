//! What alert rules are held against, apart from keys themselves: who keeps these figures may change without the rules.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use keyward_core::{
    id::{KeyId, OrganizationId},
    limit::applied::CounterId,
    money::Money,
    snapshot::Snapshot,
    verdict::Reason,
};
use keyward_store::{Store, StoreError, UsageBy, UsageFilter};

use crate::Counting;

/// Totals that are read at once.
const PAGE: u32 = 100_000;

/// What came of the requests of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many.
    pub requests: u64,
    /// How many ended in a 5xx.
    pub errors: u64,
    /// How many Keyward refused with 401, 403 or 429.
    pub refusals: u64,
    /// How many it refused because the key was revoked.
    pub revoked: u64,
    /// What they cost.
    pub spent: Money,
}

impl Counts {
    /// Adds another's.
    pub const fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.refusals = self.refusals.saturating_add(other.refusals);
        self.revoked = self.revoked.saturating_add(other.revoked);
        self.spent = self.spent.plus(other.spent);
    }
}

/// What came of requests, by the key that was recognized and whose it is.
pub type OfKeys = HashMap<(OrganizationId, KeyId), Counts>;

/// How far a limit is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitShare {
    /// Whose: the organization that it holds for.
    pub organization: OrganizationId,
    /// The key that it is counted for, where it is one's own.
    pub key: Option<KeyId>,
    /// The limit's name. Others that stand elsewhere may have it, too.
    pub limit: String,
    /// Where it counts, which is no other's.
    pub counter: CounterId,
    /// What it allows, in words.
    pub allows: String,
    /// How much of it is used, in percent.
    pub percent: u8,
}

/// Figures over time.
#[async_trait]
pub trait Figures: Send + Sync {
    /// What came of requests from one minute since the Unix epoch until before another: of an organization, or of all.
    async fn counts(
        &self,
        organization: Option<&OrganizationId>,
        from_minute: u64,
        until_minute: u64,
    ) -> Result<OfKeys, StoreError>;

    /// The limits of which half is used now, or more.
    fn limit_shares(&self) -> Vec<LimitShare>;
}

/// What the store has added up. It knows nothing of limits.
pub struct StoredFigures(pub Arc<dyn Store>);

/// What the store has added up, and how far limits are used in this process.
pub struct LiveFigures {
    /// What the store has added up.
    pub stored: StoredFigures,
    /// What limits have counted.
    pub counting: Counting,
    /// By which organizations are known.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
}

#[async_trait]
impl Figures for LiveFigures {
    async fn counts(
        &self,
        organization: Option<&OrganizationId>,
        from_minute: u64,
        until_minute: u64,
    ) -> Result<OfKeys, StoreError> {
        self.stored.counts(organization, from_minute, until_minute).await
    }

    fn limit_shares(&self) -> Vec<LimitShare> {
        let snapshot = self.snapshot.load();
        let watched = self.counting.counters.watched(self.counting.now());
        let told = watched.into_iter().filter_map(|(watched, standing)| {
            let organization = snapshot.directory().organization(watched.organization)?;
            Some(LimitShare {
                organization: organization.id.clone(),
                key: watched.key,
                limit: watched.limit.limit().name.to_string(),
                counter: watched.counter,
                allows: watched.limit.in_words(),
                percent: standing.percent(),
            })
        });
        told.collect()
    }
}

#[async_trait]
impl Figures for StoredFigures {
    async fn counts(
        &self,
        organization: Option<&OrganizationId>,
        from_minute: u64,
        until_minute: u64,
    ) -> Result<OfKeys, StoreError> {
        let mut filter = UsageFilter::minutes(from_minute, until_minute);
        filter.organization = organization.map(ToString::to_string);
        filter.by = vec![UsageBy::Organization, UsageBy::Key, UsageBy::Status, UsageBy::Reason];
        filter.limit = PAGE;
        let mut counts = OfKeys::new();
        loop {
            let totals = self.0.usage(&filter).await?;
            for total in &totals {
                let group = &total.group;
                let owner = group.organization.as_ref().and_then(|id| id.parse().ok());
                let Some(of) = owner.zip(group.key.flatten()) else { continue };
                let (requests, status) = (total.sums.requests, group.status.unwrap_or_default());
                counts.entry(of).or_default().add(&Counts {
                    requests,
                    errors: if status >= 500 { requests } else { 0 },
                    // What the caller was refused for, not what failed behind us.
                    refusals: match status {
                        401 | 403 | 429 => total.refusals,
                        _ => 0,
                    },
                    revoked: match group.reason.flatten() {
                        Some(Reason::RevokedKey) => requests,
                        _ => 0,
                    },
                    spent: total.sums.cost,
                });
            }
            filter.after = totals.last().map(|last| last.group.clone());
            if totals.len() < PAGE as usize {
                return Ok(counts);
            }
        }
    }

    fn limit_shares(&self) -> Vec<LimitShare> {
        vec![]
    }
}
