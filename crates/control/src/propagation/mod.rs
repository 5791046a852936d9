//! Propagation: what is committed in the store reaches the snapshot that requests are decided from.
//!
//! Reconciling, not patching: an entry of the change feed only says *what* changed, and the state of it is read again, so
//! that applying an entry twice, late or out of turn ends in the same state. A wake-up is a hint; a poll every two
//! seconds and a full comparison every ten minutes are the promise. A gap in the feed means that everything is loaded
//! anew, beside the old state, which serves until the new one is whole.
//!
//! It runs on a thread of its own, apart from the workers that serve requests: a revocation must not wait for them.
//! When the store is away, the last good state stays, and its age is told ([`Freshness`]).
//!
//! Where to look: [`follower`] is the loop, [`load`] reads everything, [`apply`] one change, [`compare`] finds what should
//! not be, [`report`] tells how far it is.

mod apply;
mod compare;
mod follower;
mod load;
pub(crate) mod report;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use keyward_core::{
    key::Peppers,
    policy::PolicyError,
    snapshot::{Freshness, Snapshot},
};
use keyward_store::{Revision, Sealer, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use self::follower::Follower;
use crate::{
    context::Clock,
    plan::Plan,
    thread::{Stopping, Thread},
};

pub use load::{in_force, load};

/// What is followed, and what it takes to understand it.
#[derive(Clone)]
pub struct Source {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// What digests are made under.
    pub peppers: Arc<Peppers>,
    /// What opens upstream credentials.
    pub sealer: Arc<Sealer>,
    /// The clock.
    pub clock: Clock,
    /// What this gateway is called where receipts list it: the machine and process.
    pub node: String,
}

/// How often it looks by itself.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between looks without a hint.
    pub poll: Duration,
    /// Between tries while the store is away.
    pub retry: Duration,
    /// Between comparisons of everything.
    pub compare: Duration,
    /// Entries of the change feed that are kept for readers that are behind.
    pub keep_changes: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(2),
            retry: Duration::from_millis(500),
            compare: Duration::from_secs(600),
            keep_changes: 1_000_000,
        }
    }
}

/// Why the state could not be loaded or published.
#[derive(Debug, thiserror::Error)]
pub enum PropagationError {
    /// The store gave no answer, or none that can be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The APIs cannot be served together.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// No thread could be started.
    #[error(
        "no thread could be started to follow the store ({0}): free some of the system's memory or processes"
    )]
    Thread(#[from] std::io::Error),
    /// There was no randomness for an id.
    #[error("this gateway gets no id: {0}")]
    NoId(String),
    /// It has stopped.
    #[error("the store is no longer followed: start Keyward again")]
    Stopped,
}

type Answer = oneshot::Sender<Result<(), PropagationError>>;

enum Command {
    Republish(Box<Plan>, Answer),
}

/// A running propagation. Dropping it stops it.
pub struct Propagation {
    snapshot: Arc<ArcSwap<Snapshot>>,
    commands: mpsc::UnboundedSender<Command>,
    thread: Thread,
}

impl Propagation {
    /// Loads everything, publishes it, and follows the store from there.
    pub async fn start(
        source: Source,
        plan: Plan,
        timing: Timing,
    ) -> Result<Self, PropagationError> {
        let (commands, taken) = mpsc::unbounded_channel();
        let (ready, loaded) = oneshot::channel();
        // A load that is under way in the background is not waited for at its end.
        let run = async move |mut stopping: Stopping| {
            let started = tokio::select! {
                started = Follower::start(source, plan, timing) => started,
                () = stopping.asked() => return,
            };
            match started {
                Ok(mut follower) => {
                    if ready.send(Ok(follower.published())).is_ok() {
                        follower.run(taken, stopping).await;
                    }
                    follower.finish().await;
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        };
        let thread = Thread::start("propagation", "following the store", run)?;
        let snapshot = loaded.await.map_err(|_| PropagationError::Stopped)??;
        Ok(Self { snapshot, commands, thread })
    }

    /// What requests are decided from.
    pub const fn snapshot(&self) -> &Arc<ArcSwap<Snapshot>> {
        &self.snapshot
    }

    /// Takes another configuration. When this returns, it is what requests are decided by; on an error, the old one stays.
    pub async fn republish(&self, plan: Plan) -> Result<(), PropagationError> {
        let (done, answer) = oneshot::channel();
        self.commands
            .send(Command::Republish(Box::new(plan), done))
            .map_err(|_| PropagationError::Stopped)?;
        answer.await.map_err(|_| PropagationError::Stopped)?
    }

    /// Follows the store no longer. The snapshot stays as it is.
    pub fn stop(self) {
        self.thread.finish();
    }
}

fn confirm(freshness: &Freshness, revision: Revision, at: keyward_core::time::Timestamp) {
    freshness.confirm(revision, at);
}
