//! Usage is kept for as long as the operator chose: what is older goes, off everybody's way.
//!
//! A thread of its own looks soon after the start and then every ten minutes. It removes a thousand rows or so at a time, and rests ten
//! times as long as that took: no change and no request waits for it. Of several servers on one data folder each does it; what is gone
//! is gone.

use std::{io, sync::Arc, thread::JoinHandle, time::Duration};

use keyward_store::{Store, StoreError, UsageGrain};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{Clock, app::usage::Keep};

/// After the start: what serves requests comes first.
const FIRST: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(600);
/// How often as long as a piece took the store is left alone.
const REST: u32 = 10;

/// Removes what has grown too old. See the module.
pub struct Retention {
    keep: watch::Sender<Keep>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Retention {
    /// Begins to look.
    pub fn start(store: Arc<dyn Store>, keep: Keep, clock: Clock) -> io::Result<Self> {
        let (keep, kept) = watch::channel(keep);
        let (stop, mut stopping) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let look = async move {
            let mut pause = FIRST;
            while !stops_within(&mut stopping, pause).await {
                let keep = *kept.borrow();
                if let Err(error) = clear(&*store, &keep, &clock, &mut stopping).await {
                    tracing::warn!(%error, "old usage could not be removed: this is tried again in ten minutes");
                }
                pause = EVERY;
            }
        };
        let thread = std::thread::Builder::new()
            .name("retention".to_owned())
            .spawn(move || runtime.block_on(look))?;
        Ok(Self { keep, stop, thread: Some(thread) })
    }

    /// The configuration was read again.
    pub fn replace(&self, keep: Keep) {
        self.keep.send_replace(keep);
    }

    /// Looks no more. Blocking, for as long as one piece takes.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("removing old usage ended by a panic");
        }
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether it is asked to stop within this time. Whoever could ask is gone: that is a stop as well.
async fn stops_within(stopping: &mut watch::Receiver<bool>, pause: Duration) -> bool {
    timeout(pause, stopping.wait_for(|stop| *stop)).await.is_ok()
}

async fn clear(
    store: &dyn Store,
    keep: &Keep,
    clock: &Clock,
    stopping: &mut watch::Receiver<bool>,
) -> Result<(), StoreError> {
    for grain in UsageGrain::ALL {
        let before = keep.begin(grain, clock());
        let mut next = Some(String::new());
        while let Some(from) = next {
            let began = Instant::now();
            (_, next) = store.clear_usage(grain, before, &from).await?;
            if stops_within(stopping, began.elapsed() * REST).await {
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
        let (_stop, mut stopping) = watch::channel(false);
        let clock: Clock = Arc::new(|| NOW);
        clear(&*store, &keep, &clock, &mut stopping).await.unwrap();
        for (grain, left) in [(UsageGrain::Minute, 2), (UsageGrain::Hour, 3), (UsageGrain::Day, 4)]
        {
            let all = UsageFilter::minutes(0, NOW.as_minutes() + 1);
            let totals = store.usage(&UsageFilter { grain: Some(grain), ..all }).await.unwrap();
            assert_eq!(totals.len(), left, "{grain:?}");
        }
    }
}
