//! The recorder: what the data plane tells of requests reaches the store, off the requests' way.
//!
//! The data plane never waits: a queue takes its batches, and what does not fit is counted as dropped and told of. One
//! task merges them and writes a handful at a time. After a write it rests a hundred times as long as the write took, half a minute at most:
//! a few keys are recorded within the second, ten thousand busy ones cost requests a hundredth of a core, not a quarter, and
//! never so long at once that requests notice.
//! What a kill -9 loses is what was gathered in that time. A batch that cannot be written stays and is tried again.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use keyward_core::{
    id::{KeyId, SecretId},
    usage::{Exposure, LastUse, Upgrade, UsageBatch, UsageScope, UsageSink, UsageSums},
};
use keyward_store::{Actor, Change, Interface, Store, StoreError};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Clock,
    thread::{Stopping, Thread},
};

/// Batches that may wait: each core sends about one a second.
const QUEUE: usize = 1024;
/// After a batch, others are waited for so long, to be written with it.
const LINGER: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);
/// Sums that are written at once: some milliseconds, on a core that may have requests to serve.
const HANDFUL: usize = 256;
/// How often as long as a write took it rests, and the longest rest.
const REST: u32 = 100;
const LONGEST_REST: Duration = Duration::from_secs(30);
/// What cannot be written stays in memory up to so many sums.
const MOST_SCOPES: usize = 200_000;
/// At the end the store gets so long to take the last of it.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// Where the data plane tells what happened.
pub struct Recorder {
    sink: Arc<Sink>,
    thread: Thread,
}

struct Sink {
    queue: mpsc::Sender<UsageBatch>,
    dropped: AtomicU64,
}

impl UsageSink for Sink {
    fn submit(&self, batch: UsageBatch) {
        let Err(refused) = self.queue.try_send(batch) else { return };
        let batch = refused.into_inner();
        let requests = batch.rows.iter().map(|(_, sums)| sums.requests).sum();
        self.dropped.fetch_add(requests, Ordering::Relaxed);
    }
}

impl Recorder {
    /// Starts the writing.
    pub fn start(store: Arc<dyn Store>, clock: Clock) -> Result<Self, std::io::Error> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let sink = Arc::new(Sink { queue, dropped: AtomicU64::new(0) });
        let writer = Writer {
            store,
            sink: sink.clone(),
            pending: Pending::default(),
            writing: Usage::default(),
            is_away: false,
            not_upgraded: HashSet::new(),
            clock,
        };
        let run = move |stopping| writer.run(waiting, stopping);
        let thread = Thread::start("recorder", "recording usage", run)?;
        Ok(Self { sink, thread })
    }

    /// What the data plane is given.
    pub fn sink(&self) -> Arc<dyn UsageSink> {
        self.sink.clone()
    }

    /// Writes what waits, and ends. Blocking, for ten seconds at most.
    pub fn finish(self) {
        self.thread.finish();
    }
}

/// What waits to be written, merged.
#[derive(Default)]
struct Pending {
    rows: HashMap<UsageScope, UsageSums>,
    last_uses: HashMap<SecretId, LastUse>,
    exposures: HashMap<KeyId, Exposure>,
    upgrades: HashMap<SecretId, Upgrade>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.last_uses.is_empty()
            && self.exposures.is_empty()
            && self.upgrades.is_empty()
    }

    /// Takes a batch in. Answers how many requests found no room.
    fn add(&mut self, batch: UsageBatch) -> u64 {
        let mut dropped = 0;
        for (scope, sums) in batch.rows {
            if self.rows.len() >= MOST_SCOPES && !self.rows.contains_key(&scope) {
                dropped += sums.requests;
                continue;
            }
            self.rows.entry(scope).or_default().add(&sums);
        }
        for last in batch.last_uses {
            let known =
                self.last_uses.entry(last.secret).or_insert(LastUse { requests: 0, ..last });
            let requests = known.requests.saturating_add(last.requests);
            let newest = if known.at <= last.at { last } else { *known };
            *known = LastUse { requests, ..newest };
        }
        for seen in batch.exposures {
            let known = self.exposures.entry(seen.key).or_insert(seen);
            known.disable |= seen.disable;
        }
        // Told anew as long as the secret is used: what finds no room is not lost.
        let room = MOST_SCOPES.saturating_sub(self.upgrades.len());
        self.upgrades.extend(batch.upgrades.into_iter().take(room).map(|one| (one.secret, one)));
        dropped
    }

    /// All that there is of usage, which then is no more here.
    fn take_usage(&mut self) -> Usage {
        Usage {
            last_uses: self.last_uses.drain().map(|(_, last)| last).collect(),
            rows: self.rows.drain().collect(),
        }
    }
}

/// Usage on its way into the store, a handful at a time. What comes meanwhile waits its turn, so that nothing is overtaken for ever.
#[derive(Default)]
struct Usage {
    rows: Vec<(UsageScope, UsageSums)>,
    last_uses: Vec<LastUse>,
}

impl Usage {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.last_uses.is_empty()
    }

    fn handful(&self) -> UsageBatch {
        UsageBatch {
            rows: self.rows.iter().rev().take(HANDFUL).cloned().collect(),
            last_uses: self.last_uses.iter().rev().take(HANDFUL).copied().collect(),
            exposures: vec![],
            upgrades: vec![],
        }
    }

    fn forget_handful(&mut self) {
        self.rows.truncate(self.rows.len().saturating_sub(HANDFUL));
        self.last_uses.truncate(self.last_uses.len().saturating_sub(HANDFUL));
    }
}

struct Writer {
    store: Arc<dyn Store>,
    sink: Arc<Sink>,
    pending: Pending,
    /// What is being written.
    writing: Usage,
    is_away: bool,
    /// Imported secrets that cannot be kept as ours, because another has the same digest.
    not_upgraded: HashSet<SecretId>,
    clock: Clock,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<UsageBatch>, mut stopping: Stopping) {
        let mut due = Instant::now();
        loop {
            tokio::select! {
                () = stopping.asked() => break,
                batch = waiting.recv() => {
                    let Some(batch) = batch else { break };
                    if !self.has_work() {
                        due = due.max(Instant::now() + LINGER);
                    }
                    self.add(batch);
                    if !self.pending.exposures.is_empty() && !self.is_away {
                        // A key that was seen in the clear may have to be disabled: that does not rest.
                        due = due.min(Instant::now());
                    }
                }
                () = sleep_until(due), if self.has_work() => {
                    self.take_waiting(&mut waiting);
                    let began = Instant::now();
                    self.write().await;
                    let rest = (began.elapsed() * REST).min(LONGEST_REST);
                    due = Instant::now() + if self.is_away { RETRY } else { rest };
                }
            }
        }
        waiting.close();
        self.take_waiting(&mut waiting);
        let last = timeout(LAST_WRITE, async {
            while self.has_work() {
                self.write().await;
                if self.is_away {
                    break;
                }
            }
        });
        if last.await.is_err() || self.has_work() {
            tracing::error!(
                "the last usage could not be written: the counts of this time are lost"
            );
        }
    }

    fn has_work(&self) -> bool {
        !self.pending.is_empty() || !self.writing.is_empty()
    }

    fn take_waiting(&mut self, waiting: &mut mpsc::Receiver<UsageBatch>) {
        while let Ok(batch) = waiting.try_recv() {
            self.add(batch);
        }
    }

    fn add(&mut self, batch: UsageBatch) {
        let dropped = self.pending.add(batch);
        self.sink.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// Writes what has to be written at once, and a handful of the rest; what fails stays.
    async fn write(&mut self) {
        let written = self.try_write().await;
        match written {
            Ok(()) if std::mem::take(&mut self.is_away) => {
                tracing::info!("usage is recorded again");
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(%error, "usage cannot be recorded now: it is kept in memory and tried again");
                }
            }
        }
        let dropped = self.sink.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                requests = dropped,
                "usage was dropped, more came than could be written"
            );
        }
    }

    async fn try_write(&mut self) -> Result<(), StoreError> {
        self.commit_exposures().await?;
        self.commit_upgrades().await?;
        if self.writing.is_empty() {
            self.writing = self.pending.take_usage();
        }
        if !self.writing.is_empty() {
            self.store.record(self.writing.handful()).await?;
            self.writing.forget_handful();
        }
        Ok(())
    }

    /// Before usage: a key that was seen in the clear may have to be disabled.
    async fn commit_exposures(&mut self) -> Result<(), StoreError> {
        let actor = Actor::system("gateway", Interface::Gateway);
        let seen: Vec<Exposure> = self.pending.exposures.values().copied().collect();
        for Exposure { key, at, from, disable } in seen {
            let change = Change::MarkKeyExposed { key, at, from, disable };
            match self.store.commit(&actor, at, change).await {
                Ok(_) => {}
                Err(error) if error.is_outage() => return Err(error),
                Err(error) => {
                    tracing::error!(%key, %error, "a key was seen in the clear, and it cannot be marked");
                }
            }
            self.pending.exposures.remove(&key);
        }
        Ok(())
    }

    /// A handful at once: the store makes them durable together.
    async fn commit_upgrades(&mut self) -> Result<(), StoreError> {
        let handful: Vec<Upgrade> = self.pending.upgrades.values().take(HANDFUL).copied().collect();
        let mut commits = JoinSet::new();
        for Upgrade { secret, digest, pepper } in handful {
            self.pending.upgrades.remove(&secret);
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
                    if self.not_upgraded.len() < MOST_SCOPES {
                        self.not_upgraded.insert(secret);
                    }
                }
                Err(error) => tracing::error!(%error, "keeping an imported secret as ours failed"),
            }
        }
        away.map_or(Ok(()), Err)
    }
}
