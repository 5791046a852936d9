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
    // Between two heartbeats, what it applied is the newest sign of it.
    let seen_at = node.applied_at.map_or(node.seen_at, |applied| applied.max(node.seen_at));
    NodeView {
        id: node.id.to_string(),
        name: node.name,
        applied_at: node.applied_at.map(Timestamp::to_precise_text),
        last_seen_at: seen_at.to_precise_text(),
        following: now.since(seen_at) <= patience,
    }
}

#[cfg(test)]
mod tests {
    use keyward_core::id::NodeId;

    use super::*;

    #[test]
    fn a_gateway_was_last_heard_of_no_earlier_than_when_it_had_applied_the_change() {
        let at = Timestamp::from_millis;
        let node = |seen_at, applied_at: Option<u64>| Node {
            id: NodeId::from_bits([1; 16]),
            name: "gateway".to_owned(),
            started_at: at(0),
            seen_at: at(seen_at),
            applied_at: applied_at.map(at),
        };
        for (seen, applied, last_seen, following) in [
            (10_000, None, "1970-01-01T00:00:10.000Z", false),
            (10_000, Some(7_000), "1970-01-01T00:00:10.000Z", false),
            (10_000, Some(12_040), "1970-01-01T00:00:12.040Z", true),
        ] {
            let view = view(node(seen, applied), at(42_000), Duration::from_secs(30));
            assert_eq!((&*view.last_seen_at, view.following), (last_seen, following));
            assert!(view.applied_at.is_none_or(|applied| applied <= view.last_seen_at));
        }
    }
}
