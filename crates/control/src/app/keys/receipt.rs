//! Receipts: which gateways have applied the last change to a key, and when. After a revocation this is the proof that it is refused
//! everywhere.

use std::time::Duration;

use keyward_api::{NodeView, ReceiptView};
use keyward_core::{id::KeyId, time::Timestamp};
use keyward_store::Node;

use super::super::Control;
use crate::{context::Context, error::ControlError, propagation::report::HEARTBEAT};

/// A gateway that missed so many of its heartbeats follows no longer, as far as anybody can tell.
const MISSED_HEARTBEATS: u32 = 3;

impl Control {
    /// How far the last change to a key has come.
    pub async fn key_receipt(
        &self,
        context: &Context,
        id: KeyId,
    ) -> Result<ReceiptView, ControlError> {
        let record = self.seen_key(context, id).await?;
        let nodes = self.store.nodes(record.revision).await?;
        let patience = HEARTBEAT.saturating_mul(MISSED_HEARTBEATS);
        let nodes: Vec<_> =
            nodes.into_iter().map(|node| view(node, context.now, patience)).collect();
        let pending = nodes.iter().any(|node| node.following && node.applied_at.is_none());
        Ok(ReceiptView { revision: record.revision.get(), everywhere: !pending, nodes })
    }
}

fn view(node: Node, now: Timestamp, patience: Duration) -> NodeView {
    NodeView {
        id: node.id.to_string(),
        name: node.name,
        applied_at: node.applied_at.map(Timestamp::to_precise_text),
        last_seen_at: node.seen_at.to_string(),
        following: now.since(node.seen_at) <= patience,
    }
}
