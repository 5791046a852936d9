//! The recorder: what the data plane tells of requests reaches the store, off the requests' way.
//!
//! The data plane never waits: a queue takes its batches, which are merged while others are written. A round of writing takes all that was
//! told, some at a time, and pauses after each for as long as that took; then it rests many times as long as the writing took, three
//! seconds at most. What a few keys did is added at once; of ten thousand busy ones the store writes down what was told, and adds it once a
//! minute, or when it is asked. So either costs requests a hundredth of a core, and never so long at once that they notice.
//!
//! When secrets were last used is a row each, and nobody's figures: it is noted within the second where few are in use, and where they are
//! many each half minute at the latest.
//!
//! Nothing that was told is dropped. What cannot be written stays and is tried again; where more is told apart than memory is for,
//! requests are counted without their route, then without their key, and stay counted ([`pending`]). Models that nobody answered for
//! are not told apart ([`models`]).
//!
//! What a kill -9 loses is what was not yet written: cores tell once a second, so that is [`ORDINARY_LOSS`] where a round of
//! writing takes 50 ms at most (some 40,000 sums), and where it takes longer 4.1 s and three times the round. Of last uses it is 30 s more.

mod models;
mod pending;
#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use keyward_core::{
    id::{KeyId, SecretId},
    time::Timestamp,
    usage::{Exposure, LastUse, Upgrade, UsageBatch, UsageRow, UsageSink},
};
use keyward_store::{Actor, Change, Interface, Store, StoreError};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use self::pending::Pending;
use crate::{
    Clock,
    thread::{Stopping, Thread},
};

/// A core tells once a second; so late it may be with that, and with what its queue holds.
const TOLD_WITHIN: Duration = Duration::from_millis(1_200);
/// After a batch, others are waited for so long, to be written with it.
const LINGER: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);
/// Sums that are written at once: some milliseconds, on a core that may have requests to serve.
const SUMS: usize = 10_000;
/// Of last uses and upgrades so many take as long.
const HANDFUL: usize = 256;
/// How often as long as the writing of a round took it rests, and the longest rest.
const REST: u32 = 10;
const LONGEST_REST: Duration = Duration::from_secs(3);
/// The same of the last uses of secrets.
const REST_OF_USES: u32 = 200;
const LONGEST_REST_OF_USES: Duration = Duration::from_secs(30);
/// So often what the store has wait is added, or when so many sums were told.
const ADDED_EVERY: Duration = Duration::from_secs(60);
const MOST_WAITING: usize = 500_000;
/// Secrets that are known not to be kept as ours.
const MOST_NOT_UPGRADED: usize = 200_000;
/// Of how long a time a kill -9 loses the counts, in ordinary load. See the module.
pub const ORDINARY_LOSS: Duration = Duration::from_secs(2);
/// At the end the store gets so long to take the last of it.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// Where the data plane tells what happened.
pub struct Recorder {
    sink: Arc<Sink>,
    progress: Arc<Progress>,
    thread: Thread,
}

/// How far usage is recorded.
#[derive(Debug, Default)]
pub struct Progress {
    /// When the oldest was told that is not written, in milliseconds since the Unix epoch; 0 where all is.
    oldest: AtomicU64,
}

impl Progress {
    /// Up to when requests that had ended are counted in the store, as far as the gateway of this process answered them.
    pub fn recorded_until(&self, now: Timestamp) -> Timestamp {
        let told = match self.oldest.load(Ordering::Acquire) {
            0 => now,
            oldest => Timestamp::from_millis(oldest).min(now),
        };
        told.minus(TOLD_WITHIN)
    }

    fn note(&self, oldest: Option<Timestamp>) {
        self.oldest.store(oldest.map_or(0, Timestamp::as_millis), Ordering::Release);
    }

    /// Notes what was told while others are written: where usage is among them, that is older.
    fn note_beside(&self, told: Option<Timestamp>) {
        if self.oldest.load(Ordering::Acquire) == 0 {
            self.note(told);
        }
    }
}

struct Sink {
    queue: mpsc::UnboundedSender<UsageBatch>,
}

impl UsageSink for Sink {
    fn submit(&self, batch: UsageBatch) {
        // It is refused only when the recorder has ended, after the data plane has.
        let _ = self.queue.send(batch);
    }
}

impl Recorder {
    /// Starts the writing.
    pub fn start(store: Arc<dyn Store>, clock: Clock) -> Result<Self, std::io::Error> {
        let (queue, waiting) = mpsc::unbounded_channel();
        let (sink, progress) = (Arc::new(Sink { queue }), Arc::<Progress>::default());
        let writer = Writer {
            store,
            progress: progress.clone(),
            writing: Writing::default(),
            uses_due: Instant::now(),
            waiting: 0,
            adding: Arc::default(),
            is_away: false,
            not_upgraded: HashSet::new(),
            clock,
        };
        let run = move |stopping| {
            // It ends with the thread: what it has not added waits on.
            tokio::spawn(add_up(writer.store.clone(), writer.adding.clone()));
            writer.run(waiting, stopping)
        };
        let thread = Thread::start("recorder", "recording usage", run)?;
        Ok(Self { sink, progress, thread })
    }

    /// What the data plane is given.
    pub fn sink(&self) -> Arc<dyn UsageSink> {
        self.sink.clone()
    }

    /// How far it has come.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Writes what waits, and ends. Blocking, for ten seconds at most.
    pub fn finish(self) {
        self.thread.finish();
    }
}

/// Has the store add up what waits, now and then.
async fn add_up(store: Arc<dyn Store>, asked: Arc<Notify>) {
    loop {
        if let Err(error) = store.add_up_usage().await {
            tracing::warn!(%error, "usage cannot be added up now: it waits, and it is tried again");
        }
        // Either way it is time.
        let _ = timeout(ADDED_EVERY, asked.notified()).await;
    }
}

/// What is being written, some at a time.
#[derive(Default)]
struct Writing {
    /// When the first of the usage was told.
    told_at: Option<Timestamp>,
    rows: Vec<UsageRow>,
    last_uses: Vec<LastUse>,
    exposures: HashMap<KeyId, Exposure>,
    upgrades: HashMap<SecretId, Upgrade>,
}

impl Writing {
    fn is_empty(&self) -> bool {
        !self.has_usage() && self.exposures.is_empty() && self.upgrades.is_empty()
    }

    fn has_usage(&self) -> bool {
        !self.rows.is_empty() || !self.last_uses.is_empty()
    }

    /// Takes some out: sums, and when there are none left, last uses.
    fn take_some(&mut self) -> UsageBatch {
        let uses = if self.rows.is_empty() { HANDFUL } else { 0 };
        UsageBatch {
            rows: self.rows.split_off(self.rows.len().saturating_sub(SUMS)),
            last_uses: self.last_uses.split_off(self.last_uses.len().saturating_sub(uses)),
            exposures: vec![],
            upgrades: vec![],
        }
    }

    /// What could not be written.
    fn put_back(&mut self, some: UsageBatch) {
        self.rows.extend(some.rows);
        self.last_uses.extend(some.last_uses);
    }
}

/// What was written at once.
#[derive(Clone, Copy, Default)]
struct Written {
    sums: usize,
    last_uses: usize,
}

struct Writer {
    store: Arc<dyn Store>,
    progress: Arc<Progress>,
    writing: Writing,
    /// When last uses are written again.
    uses_due: Instant,
    /// Sums that the store was given since it added them up, and whoever has it do so.
    waiting: usize,
    adding: Arc<Notify>,
    is_away: bool,
    /// Imported secrets that cannot be kept as ours, because another has the same digest.
    not_upgraded: HashSet<SecretId>,
    clock: Clock,
}

impl Writer {
    async fn run(
        mut self,
        mut waiting: mpsc::UnboundedReceiver<UsageBatch>,
        mut stopping: Stopping,
    ) {
        let mut due = Instant::now();
        let mut pending = Pending::default();
        loop {
            let presses = pending.presses() || !self.writing.is_empty();
            let next = if presses { due } else { due.max(self.uses_due) };
            tokio::select! {
                () = stopping.asked() => break,
                batch = waiting.recv() => {
                    let Some(batch) = batch else { break };
                    if !presses {
                        due = due.max(Instant::now() + LINGER);
                    }
                    self.take(&mut pending, batch);
                    if pending.is_urgent() && !self.is_away {
                        // A key that was seen in the clear may have to be disabled: that does not rest.
                        due = due.min(Instant::now());
                    }
                }
                () = sleep_until(next), if presses || !pending.is_empty() => {
                    self.take_waiting(&mut pending, &mut waiting);
                    pending.hand_over(&mut self.writing, self.uses_due <= Instant::now());
                    let rest = self.round(&mut pending, &mut waiting, &mut stopping).await;
                    due = Instant::now()
                        + match (self.is_away, pending.is_urgent()) {
                            (true, _) => RETRY,
                            (false, true) => Duration::ZERO,
                            (false, false) => rest,
                        };
                }
            }
        }
        waiting.close();
        let last = timeout(LAST_WRITE, async {
            loop {
                self.take_waiting(&mut pending, &mut waiting);
                pending.hand_over(&mut self.writing, true);
                if self.writing.is_empty() {
                    break;
                }
                self.write().await;
                if self.is_away {
                    break;
                }
            }
        });
        if last.await.is_err() || !self.writing.is_empty() || !pending.is_empty() {
            tracing::error!(
                "the last usage could not be written: the counts of this time are lost"
            );
        }
    }

    /// Writes all that was handed over, and takes in what is told meanwhile. Answers for how long to rest. It ends before it is through
    /// where something is urgent, or where it shall stop.
    async fn round(
        &mut self,
        pending: &mut Pending,
        waiting: &mut mpsc::UnboundedReceiver<UsageBatch>,
        stopping: &mut Stopping,
    ) -> Duration {
        let (clock, progress) = (self.clock.clone(), self.progress.clone());
        let (is_urgent, sums_wait) = (Cell::new(false), Cell::new(false));
        let rest = {
            let round = async {
                let (mut worked, mut on_uses) = (Duration::ZERO, Duration::ZERO);
                loop {
                    let began = Instant::now();
                    let written = self.write().await;
                    let took = began.elapsed();
                    *if written.last_uses > 0 { &mut on_uses } else { &mut worked } += took;
                    // Sums wait for no more than some last uses.
                    let is_overtaken = written.last_uses > 0 && sums_wait.get();
                    if self.is_away || self.writing.is_empty() || is_urgent.get() || is_overtaken {
                        let rest = (on_uses * REST_OF_USES).min(LONGEST_REST_OF_USES);
                        self.uses_due = self.uses_due.max(Instant::now() + rest);
                        return (worked * REST).min(LONGEST_REST);
                    }
                    if stopping.asked_within(took.min(LONGEST_REST)).await {
                        return Duration::ZERO;
                    }
                }
            };
            tokio::pin!(round);
            loop {
                tokio::select! {
                    rest = &mut round => break rest,
                    Some(batch) = waiting.recv() => {
                        pending.add(batch, clock());
                        progress.note_beside(pending.told_at());
                        is_urgent.set(pending.is_urgent());
                        sums_wait.set(pending.told_at().is_some());
                    }
                }
            }
        };
        self.progress.note(self.writing.told_at.or(pending.told_at()));
        let requests = pending.take_coarsened();
        if requests > 0 {
            tracing::warn!(
                requests,
                "more usage came than is kept in memory: it is counted without routes and models, or keys"
            );
        }
        rest
    }

    /// Writes what has to be written at once, and some of the rest; what fails stays.
    async fn write(&mut self) -> Written {
        match self.try_write().await {
            Ok(written) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("usage is recorded again");
                }
                written
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(%error, "usage cannot be recorded now: it is kept in memory and tried again");
                }
                Written::default()
            }
        }
    }

    async fn try_write(&mut self) -> Result<Written, StoreError> {
        self.commit_exposures().await?;
        self.commit_upgrades().await?;
        if !self.writing.has_usage() {
            return Ok(Written::default());
        }
        let some = self.writing.take_some();
        if let Err(error) = self.store.record(&some).await {
            self.writing.put_back(some);
            return Err(error);
        }
        if self.writing.rows.is_empty() {
            self.writing.told_at = None;
        }
        let written = Written { sums: some.rows.len(), last_uses: some.last_uses.len() };
        self.waiting += written.sums;
        if self.waiting >= MOST_WAITING {
            self.waiting = 0;
            self.adding.notify_one();
        }
        Ok(written)
    }

    fn take(&self, pending: &mut Pending, batch: UsageBatch) {
        pending.add(batch, (self.clock)());
        self.progress.note(self.writing.told_at.or(pending.told_at()));
    }

    fn take_waiting(
        &self,
        pending: &mut Pending,
        waiting: &mut mpsc::UnboundedReceiver<UsageBatch>,
    ) {
        while let Ok(batch) = waiting.try_recv() {
            self.take(pending, batch);
        }
    }

    /// Before usage: a key that was seen in the clear may have to be disabled.
    async fn commit_exposures(&mut self) -> Result<(), StoreError> {
        let actor = Actor::system("gateway", Interface::Gateway);
        let seen: Vec<Exposure> = self.writing.exposures.values().copied().collect();
        for Exposure { key, at, from, disable } in seen {
            let change = Change::MarkKeyExposed { key, at, from, disable };
            match self.store.commit(&actor, at, change).await {
                Ok(_) => {}
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => {
                    tracing::error!(%key, %error, "a key was seen in the clear, and it cannot be marked");
                }
            }
            self.writing.exposures.remove(&key);
        }
        Ok(())
    }

    /// A handful at once: the store makes them durable together.
    async fn commit_upgrades(&mut self) -> Result<(), StoreError> {
        let handful: Vec<Upgrade> = self.writing.upgrades.values().take(HANDFUL).copied().collect();
        let mut commits = JoinSet::new();
        for Upgrade { secret, digest, pepper } in handful {
            self.writing.upgrades.remove(&secret);
            if self.not_upgraded.contains(&secret) {
                continue;
            }
            let (store, at) = (self.store.clone(), (self.clock)());
            commits.spawn(async move {
                let actor = Actor::system("gateway", Interface::Gateway);
                let change = Change::UpgradeSecret { secret, digest, pepper };
                (secret, store.commit(&actor, at, change).await)
            });
        }
        let mut away = None;
        while let Some(committed) = commits.join_next().await {
            match committed {
                Ok((_, Ok(_))) => {}
                // It is told again when it is used again.
                Ok((_, Err(error))) if error.is_outage() => away = Some(error),
                Ok((secret, Err(error))) => {
                    tracing::warn!(%secret, %error, "an imported secret was used, and stays kept by its old digest");
                    if self.not_upgraded.len() < MOST_NOT_UPGRADED {
                        self.not_upgraded.insert(secret);
                    }
                }
                Err(error) => tracing::error!(%error, "keeping an imported secret as ours failed"),
            }
        }
        away.map_or(Ok(()), Err)
    }
}
