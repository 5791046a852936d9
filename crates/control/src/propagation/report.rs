//! What a gateway reports of itself: that it follows the store, and which revisions it has applied. Receipts are made of it.
//!
//! Reporting never holds up applying: revisions that come faster than they are written are reported as the last of them, and a
//! report that cannot be written is followed by the next.

use std::{sync::Arc, time::Duration};

use keyward_core::{id::NodeId, time::Timestamp};
use keyward_store::{Node, Revision, Store};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::Source;
use crate::{context::Clock, error::ControlError, mint};

/// How often it says that it still follows.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A revision, and when it was applied.
type Applied = (Revision, Timestamp);

/// A gateway that reports. Dropping it ends the reports without a farewell.
pub(super) struct Reporter {
    applied: watch::Sender<Option<Applied>>,
    task: JoinHandle<()>,
}

impl Reporter {
    /// Begins to report.
    pub(super) fn start(source: &Source) -> Result<Self, ControlError> {
        let started_at = (source.clock)();
        let node = Node {
            id: NodeId::from_bits(mint::random()?),
            name: source.node.clone(),
            started_at,
            seen_at: started_at,
            applied_at: None,
        };
        let (applied, news) = watch::channel(None);
        let (store, clock) = (source.store.clone(), source.clock.clone());
        let task = tokio::spawn(report(store, clock, node, news));
        Ok(Self { applied, task })
    }

    /// Everything up to `revision` is applied since `at`.
    pub(super) fn applied(&self, revision: Revision, at: Timestamp) {
        self.applied.send_if_modified(|last| {
            let is_new = last.is_none_or(|(known, _)| known != revision);
            if is_new {
                *last = Some((revision, at));
            }
            is_new
        });
    }

    /// Says that it follows no longer.
    pub(super) async fn finish(self) {
        drop(self.applied);
        if timeout(FAREWELL, self.task).await.is_err() {
            tracing::debug!("the store did not hear that this gateway stopped");
        }
    }
}

async fn report(
    store: Arc<dyn Store>,
    clock: Clock,
    mut node: Node,
    mut news: watch::Receiver<Option<Applied>>,
) {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let written = tokio::select! {
            _ = heartbeat.tick() => {
                node.seen_at = clock();
                store.see_node(&node).await
            }
            changed = news.changed() => {
                if changed.is_err() {
                    let _ = store.forget_node(node.id).await;
                    return;
                }
                let applied = *news.borrow_and_update();
                match applied {
                    Some((revision, at)) => store.note_applied(node.id, revision, at).await,
                    None => Ok(()),
                }
            }
        };
        if let Err(error) = written {
            tracing::debug!(%error, "the store did not hear how far this gateway is");
        }
    }
}
