//! What is promised where several have the truth open.

use std::{sync::Arc, time::Duration};

use keyward_core::key::KeyState;
use keyward_store::{Revision, Store};

use super::{Bed, commit, creation, key_id, state, trace, with_organization};

pub(crate) async fn two_stores_see_each_others_changes(bed: Bed) {
    with_organization(&bed.store).await;
    let first = commit(&bed.second, creation(1)).await.unwrap();
    assert_eq!(bed.store.revision().await.unwrap(), first);
    let second = commit(&bed.store, state(1, KeyState::Revoked)).await.unwrap();
    assert_eq!(second, first.next());
    let seen = bed.second.key(key_id(1)).await.unwrap().unwrap();
    assert_eq!(seen.key.state, KeyState::Revoked);
    assert_eq!(trace(&bed.store).await, trace(&bed.second).await);
}

pub(crate) async fn changes_through_two_stores_share_one_order(bed: Bed) {
    with_organization(&bed.store).await;
    let through = |store: Arc<dyn Store>, from: u64| {
        tokio::spawn(async move {
            let mut last = Revision::ZERO;
            for number in from..from + 50 {
                let revision = commit(&store, creation(number)).await.unwrap();
                assert!(revision > last);
                last = revision;
            }
        })
    };
    let (one, two) = (through(bed.store.clone(), 100), through(bed.second.clone(), 200));
    one.await.unwrap();
    two.await.unwrap();
    let (newest, feed, audit) = trace(&bed.store).await;
    assert_eq!(newest.get(), 101);
    assert_eq!((feed.len(), audit.len()), (101, 101));
}

/// Waits at `waiting` and commits at `committing`, several times over.
async fn woken(waiting: Arc<dyn Store>, committing: Arc<dyn Store>) {
    with_organization(&committing).await;
    for number in 1..=20 {
        let known = waiting.revision().await.unwrap();
        let waiter = {
            let waiting = waiting.clone();
            tokio::spawn(async move {
                // A hint may come for nothing: what matters is that there comes one for the change.
                while waiting.revision().await.unwrap() == known {
                    waiting.wait_for_change(known).await;
                }
            })
        };
        commit(&committing, creation(number)).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), waiter).await.expect("no hint").unwrap();
    }
}

pub(crate) async fn a_waiter_is_woken_by_its_own_store(bed: Bed) {
    woken(bed.store.clone(), bed.store).await;
}

pub(crate) async fn a_waiter_is_woken_by_another_store(bed: Bed) {
    woken(bed.second, bed.store).await;
}

pub(crate) async fn a_waiter_that_is_behind_does_not_wait(bed: Bed) {
    with_organization(&bed.store).await;
    for known in [Revision::ZERO, Revision::new(9)] {
        let wait = bed.second.wait_for_change(known);
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it waits");
    }
}

pub(crate) async fn the_health_check_writes_and_changes_nothing(bed: Bed) {
    with_organization(&bed.store).await;
    let before = trace(&bed.store).await;
    bed.store.check().await.unwrap();
    bed.second.check().await.unwrap();
    assert_eq!(trace(&bed.store).await, before);
}
