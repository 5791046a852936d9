//! Usage is kept for as long as the operator chose: what is older goes, off everybody's way.
//!
//! A thread of its own looks soon after the start and then every ten minutes. It removes a thousand rows at a time, and rests ten
//! times as long as that took: no change and no request waits for it. Of several servers on one data folder each does it; what is gone
//! is gone.

use std::{io, sync::Arc, time::Duration};

use keyward_store::{Store, StoreError, UsageGrain};
use tokio::{sync::watch, time::Instant};

use crate::{
    Clock,
    app::usage::Keep,
    thread::{Stopping, Thread},
};

/// After the start: what serves requests comes first.
const FIRST: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(600);
/// How often as long as a piece took the store is left alone.
const REST: u32 = 10;

/// Removes what has grown too old. See the module.
pub struct Retention {
    keep: watch::Sender<Keep>,
    thread: Thread,
}

impl Retention {
    /// Begins to look.
    pub fn start(store: Arc<dyn Store>, keep: Keep, clock: Clock) -> io::Result<Self> {
        let (keep, kept) = watch::channel(keep);
        let look = async move |mut stopping: Stopping| {
            let mut pause = FIRST;
            while !stopping.asked_within(pause).await {
                let keep = *kept.borrow();
                if let Err(error) = clear(&*store, &keep, &clock, &mut stopping).await {
                    tracing::warn!(%error, "old usage could not be removed: this is tried again in ten minutes");
                }
                pause = EVERY;
            }
        };
        let thread = Thread::start("retention", "removing old usage", look)?;
        Ok(Self { keep, thread })
    }

    /// The configuration was read again.
    pub fn replace(&self, keep: Keep) {
        self.keep.send_replace(keep);
    }

    /// Looks no more. Blocking, for as long as one piece takes.
    pub fn finish(self) {
        self.thread.finish();
    }
}

async fn clear(
    store: &dyn Store,
    keep: &Keep,
    clock: &Clock,
    stopping: &mut Stopping,
) -> Result<(), StoreError> {
    for grain in UsageGrain::ALL {
        let before = keep.begin(grain, clock());
        let mut next = Some(String::new());
        while let Some(from) = next {
            let began = Instant::now();
            (_, next) = store.clear_usage(grain, before, &from).await?;
            if stopping.asked_within(began.elapsed() * REST).await {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use keyward_core::usage::{UsageBatch, UsageRow, UsageScope, UsageSums};
    use keyward_store::UsageFilter;

    use super::*;
    use crate::fixture::{Fixture, NOW};

    #[tokio::test]
    async fn each_grain_is_kept_for_its_time() {
        let fixture = Fixture::with_organizations().await;
        let store = fixture.folder.store();
        let day = Duration::from_secs(24 * 3600);
        let row = |days: u32| UsageRow {
            scope: UsageScope {
                minute: NOW.minus(day * days).as_minutes(),
                organization: "acme".into(),
                ..UsageScope::default()
            },
            sums: UsageSums { requests: 1, ..UsageSums::default() },
            ..UsageRow::default()
        };
        let rows = [0, 1, 5, 50, 500].map(row).to_vec();
        store.record(UsageBatch { rows, ..UsageBatch::default() }).await.unwrap();
        let keep = Keep { minutes: day * 2, hours: day * 10, days: day * 100 };
        let clock: Clock = Arc::new(|| NOW);
        let (_stop, stopping) = watch::channel(false);
        clear(&*store, &keep, &clock, &mut Stopping::of(stopping)).await.unwrap();
        for (grain, left) in [(UsageGrain::Minute, 2), (UsageGrain::Hour, 3), (UsageGrain::Day, 4)]
        {
            let all = UsageFilter::minutes(0, NOW.as_minutes() + 1);
            let totals = store.usage(&UsageFilter { grain: Some(grain), ..all }).await.unwrap();
            assert_eq!(totals.len(), left, "{grain:?}");
        }
    }
}
