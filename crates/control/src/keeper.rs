//! The keeper: what limits have counted outlives a restart.
//!
//! Before the gateway takes requests, all that was saved is taken over. Then a thread saves every second what has changed since: quotas,
//! budgets and credits, with what is set aside for requests in progress. So a kill loses what was counted since the last time that all
//! was saved: a second, and as long as saving takes, which is some milliseconds for a thousand counters. When a gateway ends in order,
//! the windows of rates are saved too, and nothing is lost.
//!
//! What cannot be saved now is saved with the next. Requests never wait for any of it.
//!
//! Rejected: saving before each request is let pass (a write of milliseconds on its way), and leases that are saved ahead of their use
//! (after a kill they are lost, so a budget would end before it is used up; that is for clusters, where it cannot be helped).

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use keyward_core::limit::{
    Saved, Steady,
    counters::{Counters, Moment},
};
use keyward_store::{Page, Store, StoreError};

use crate::{
    Clock,
    thread::{Stopping, Thread},
};

/// How often what has changed is saved.
pub const SAVED_EVERY: Duration = Duration::from_secs(1);
/// Counters that are read, or written in one transaction, at once.
const HANDFUL: usize = 2_000;
/// Counters that count nothing are looked for in one part of so many at a time.
const PARTS: usize = 60;
/// How often saved counters are forgotten whose time is over.
const FORGOTTEN_EVERY: Duration = Duration::from_secs(600);
/// They are kept for so long after it, lest a clock that is put back finds them gone.
const KEPT: Duration = Duration::from_secs(2 * 24 * 3600);

/// Keeps counters. Dropped, it saves everything and ends.
pub struct Keeper {
    thread: Thread,
}

/// What counts, and by which clocks.
#[derive(Clone)]
pub struct Counting {
    /// The counters.
    pub counters: Arc<Counters>,
    /// What windows that slide are counted from.
    pub began: Instant,
    /// The wall's clock.
    pub clock: Clock,
}

impl Counting {
    /// Counters that have counted nothing.
    pub fn new(clock: Clock) -> Self {
        Self { counters: Arc::default(), began: Instant::now(), clock }
    }

    /// Now, by both clocks.
    pub fn now(&self) -> Moment {
        Moment { wall: (self.clock)(), steady: Steady::from_elapsed(self.began.elapsed()) }
    }
}

impl Keeper {
    /// Takes over what was saved, and begins to save. Answers with how many counters it took over.
    pub async fn start(
        store: Arc<dyn Store>,
        counting: Counting,
    ) -> Result<(Self, usize), KeeperError> {
        let restored = restore(&*store, &counting).await?;
        let thread = Thread::start("limits", "keeping what limits have counted", |stopping| {
            Work { store, counting, part: 0, is_away: false }.run(stopping)
        })?;
        Ok((Self { thread }, restored))
    }

    /// Saves everything, windows too, and ends. Blocking.
    pub fn finish(self) {
        self.thread.finish();
    }
}

/// Why counters are not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// What was saved cannot be read.
    #[error("what limits had counted cannot be read: {0}")]
    Store(#[from] StoreError),
    /// No thread could be started.
    #[error("no thread can be started to keep what limits have counted: {0}")]
    Thread(#[from] io::Error),
}

/// What limits had counted when it was last saved, for who looks at it without a gateway.
pub async fn saved(store: &dyn Store, clock: Clock) -> Result<Counting, StoreError> {
    let counting = Counting::new(clock);
    restore(store, &counting).await?;
    Ok(counting)
}

async fn restore(store: &dyn Store, counting: &Counting) -> Result<usize, StoreError> {
    let (mut restored, mut after) = (0, None);
    loop {
        let limit = u32::try_from(HANDFUL).unwrap_or(u32::MAX);
        let saved = store.counters(Page { after, limit }).await?;
        let now = counting.now();
        saved.iter().for_each(|one| counting.counters.restore(one, now));
        restored += saved.len();
        let Some(last) = saved.last() else { return Ok(restored) };
        after = Some(last.counter);
    }
}

struct Work {
    store: Arc<dyn Store>,
    counting: Counting,
    part: usize,
    is_away: bool,
}

impl Work {
    async fn run(mut self, mut stopping: Stopping) {
        let mut forgot = self.counting.began;
        let started = self.counting.now();
        while !stopping.asked_within(SAVED_EVERY).await {
            let unsaved = self.counting.counters.take_unsaved();
            self.save(unsaved).await;
            self.part = (self.part + 1) % PARTS;
            self.counting.counters.sweep(self.part, PARTS, self.counting.now());
            if forgot.elapsed() >= FORGOTTEN_EVERY && !self.is_away {
                forgot += FORGOTTEN_EVERY;
                self.forget(started).await;
            }
        }
        let mut all = self.counting.counters.take_unsaved();
        all.extend(self.counting.counters.windows(self.counting.now()));
        self.save(all).await;
        if self.is_away {
            tracing::error!(
                "what limits have counted could not be saved at the end: what was counted since it last could is lost"
            );
        }
    }

    /// What fails is saved with the next.
    async fn save(&mut self, counters: Vec<Saved>) {
        let mut left = counters.as_slice();
        while let Some((handful, rest)) = left.split_at_checked(HANDFUL.min(left.len()))
            && !handful.is_empty()
        {
            if let Err(error) = self.store.save_counters(handful.to_vec()).await {
                self.counting.counters.put_unsaved(left.iter().map(|one| one.counter));
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(%error, "what limits have counted cannot be saved now: it is kept in memory and tried again");
                }
                return;
            }
            left = rest;
        }
        if !counters.is_empty() && std::mem::take(&mut self.is_away) {
            tracing::info!("what limits have counted is saved again");
        }
    }

    /// A clock that is ahead forgets nothing: what has passed since the start is known by another, too.
    async fn forget(&self, started: Moment) {
        let now = self.counting.now();
        let passed = started.wall.plus(now.steady.since(started.steady));
        let before = now.wall.min(passed).minus(KEPT);
        let most = u32::try_from(HANDFUL).unwrap_or(u32::MAX);
        match self.store.forget_counters(before, most).await {
            Ok(0) => {}
            Ok(gone) => tracing::debug!(gone, "saved counters of limits were forgotten"),
            Err(error) => tracing::warn!(%error, "saved counters of limits could not be forgotten"),
        }
    }
}
