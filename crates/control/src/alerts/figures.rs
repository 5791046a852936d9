//! What alert rules are held against, apart from keys themselves: who keeps these figures may change without the rules.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use keyward_core::{
    id::{KeyId, OrganizationId},
    money::Money,
    snapshot::Snapshot,
    time::Timestamp,
};
use keyward_store::{Store, StoreError, UsageBy, UsageFilter};

use crate::Counting;

/// Totals that are read at once.
const PAGE: u32 = 10_000;

/// What came of the requests of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many.
    pub requests: u64,
    /// How many ended in a 5xx.
    pub errors: u64,
    /// How many Keyward refused with 401, 403 or 429.
    pub refusals: u64,
    /// What they cost.
    pub spent: Money,
}

impl Counts {
    /// Adds another's.
    pub const fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.refusals = self.refusals.saturating_add(other.refusals);
        self.spent = self.spent.plus(other.spent);
    }
}

/// How far a limit is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitShare {
    /// Whose: the organization that it holds for.
    pub organization: OrganizationId,
    /// The key that it is counted for, where it is one's own.
    pub key: Option<KeyId>,
    /// The limit's name.
    pub limit: String,
    /// How much of it is used, in percent.
    pub percent: u8,
}

/// Figures over time.
#[async_trait]
pub trait Figures: Send + Sync {
    /// What came of requests from one minute until before another, by the key that was recognized.
    async fn counts(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<HashMap<KeyId, Counts>, StoreError>;

    /// The limits of which at least `percent` is used now. Below a half, nobody looks.
    async fn limit_shares(
        &self,
        percent: u8,
        now: Timestamp,
    ) -> Result<Vec<LimitShare>, StoreError>;
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
        from: Timestamp,
        until: Timestamp,
    ) -> Result<HashMap<KeyId, Counts>, StoreError> {
        self.stored.counts(from, until).await
    }

    async fn limit_shares(&self, percent: u8, _: Timestamp) -> Result<Vec<LimitShare>, StoreError> {
        let snapshot = self.snapshot.load();
        let watched = self.counting.counters.watched(self.counting.now());
        let told = watched.into_iter().filter_map(|(watched, standing)| {
            let organization = snapshot.directory().organization(watched.organization)?;
            Some(LimitShare {
                organization: organization.id.clone(),
                key: watched.key,
                limit: watched.limit.limit().name.to_string(),
                percent: standing.percent(),
            })
        });
        Ok(told.filter(|share| share.percent >= percent).collect())
    }
}

#[async_trait]
impl Figures for StoredFigures {
    async fn counts(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<HashMap<KeyId, Counts>, StoreError> {
        let mut filter = UsageFilter::minutes(from.as_minutes(), until.as_minutes());
        filter.by = vec![UsageBy::Key, UsageBy::Status];
        filter.limit = PAGE;
        let mut counts: HashMap<KeyId, Counts> = HashMap::new();
        loop {
            let totals = self.0.usage(&filter).await?;
            for total in &totals {
                let (Some(Some(key)), requests) = (total.group.key, total.sums.requests) else {
                    continue;
                };
                let status = total.group.status.unwrap_or_default();
                counts.entry(key).or_default().add(&Counts {
                    requests,
                    errors: if status >= 500 { requests } else { 0 },
                    // What the caller was refused for, not what failed behind us.
                    refusals: match status {
                        401 | 403 | 429 => total.refusals,
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

    async fn limit_shares(&self, _: u8, _: Timestamp) -> Result<Vec<LimitShare>, StoreError> {
        Ok(vec![])
    }
}
