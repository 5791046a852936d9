//! Gateways that follow the feed, and reminders.

use keyward_core::id::NodeId;
use keyward_store::{Node, Revision, StoreError};

use super::{Bed, NOW, commit, creation, key_id, later, trace, with_organization};

fn node(number: u8, seen: u64) -> Node {
    Node {
        id: NodeId::from_bits([number; 16]),
        name: format!("node {number}"),
        started_at: NOW,
        seen_at: later(seen),
        applied_at: None,
    }
}

pub(crate) async fn a_receipt_says_when_each_gateway_had_applied_a_revision(bed: Bed) {
    with_organization(&bed.store).await;
    let before = trace(&bed.store).await;
    let (quick, slow) = (node(1, 0), node(2, 1));
    for one in [&quick, &slow] {
        bed.store.see_node(one).await.unwrap();
    }
    for (who, revision, at) in [(&quick, 5, 10), (&quick, 9, 20), (&slow, 4, 11), (&quick, 9, 30)] {
        bed.second.note_applied(who.id, Revision::new(revision), later(at)).await.unwrap();
    }
    let applied = async |revision| -> Vec<_> {
        let nodes = bed.second.nodes(Revision::new(revision)).await.unwrap();
        nodes.into_iter().map(|node| (node.name, node.applied_at)).collect()
    };
    let [first, second] = ["node 1", "node 2"].map(str::to_owned);
    let both = |one, other| [(first.clone(), one), (second.clone(), other)];
    assert_eq!(applied(4).await, both(Some(later(10)), Some(later(11))));
    assert_eq!(applied(5).await, both(Some(later(10)), None));
    assert_eq!(applied(6).await, both(Some(later(20)), None), "the first note behind it counts");
    assert_eq!(applied(10).await, both(None, None));
    bed.store.forget_node(slow.id).await.unwrap();
    assert_eq!(applied(5).await, [(first.clone(), Some(later(10)))]);
    // Another comes a day later: of the first nobody has heard since.
    bed.store.see_node(&node(3, 24 * 3600 + 1)).await.unwrap();
    assert_eq!(applied(5).await, [("node 3".to_owned(), None)]);
    assert_eq!(trace(&bed.store).await, before, "none of it is a change");
}

pub(crate) async fn people_are_reminded_of_a_thing_once(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let remind = async |kind, about| {
        bed.second.note_reminder(key_id(1), kind, later(about), NOW).await.unwrap()
    };
    assert!(remind("expiry", 100).await);
    assert!(!remind("expiry", 100).await);
    assert!(remind("expiry", 200).await, "the end was moved");
    assert!(remind("rotation", 100).await);
    let nobody = bed.store.note_reminder(key_id(9), "expiry", NOW, NOW).await;
    assert_eq!(nobody, Err(StoreError::NoSuchKey(key_id(9))));
}
