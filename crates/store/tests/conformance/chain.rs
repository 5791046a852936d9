//! What is promised of the audit log's chain.

use std::sync::Arc;

use keyward_core::key::KeyState;
use keyward_store::{AuditBreak, AuditFilter, AuditHead, AuditProof, Page, Store};

use super::{Bed, commit, creation, feed::one_of_each, state, with_organization};

/// The head of a log that must be whole.
async fn head(store: &Arc<dyn Store>) -> AuditHead {
    match store.verify_audit(None).await.unwrap() {
        AuditProof::Whole { head, .. } => head,
        AuditProof::Broken(found) => panic!("the log is broken: {found}"),
    }
}

pub(crate) async fn an_empty_log_is_whole(bed: Bed) {
    let proof = bed.store.verify_audit(None).await.unwrap();
    let AuditProof::Whole { head, newest: None } = proof else { panic!("{proof:?}") };
    assert_eq!(head.entries, 0);
}

pub(crate) async fn the_chain_holds_after_changes_of_every_kind(bed: Bed) {
    let mut heads = vec![head(&bed.store).await];
    for (change, _) in one_of_each() {
        commit(&bed.store, change).await.unwrap();
        heads.push(head(&bed.second).await);
    }
    for (head, entries) in heads.iter().zip(0..) {
        assert_eq!(head.entries, entries);
        assert_eq!(heads.iter().filter(|other| other.hash == head.hash).count(), 1);
    }
    let newest =
        bed.store.audit(&AuditFilter::default(), Page::first(1)).await.unwrap().remove(0).id;
    let proof = bed.store.verify_audit(None).await.unwrap();
    assert_eq!(proof, AuditProof::Whole { head: *heads.last().unwrap(), newest: Some(newest) });
}

pub(crate) async fn the_chain_holds_after_many_changes_at_once(bed: Bed) {
    with_organization(&bed.store).await;
    let commits = (1..=200_u64).map(|number| {
        let (one, other) = match number % 2 {
            0 => (bed.store.clone(), bed.second.clone()),
            _ => (bed.second.clone(), bed.store.clone()),
        };
        tokio::spawn(async move {
            commit(&one, creation(number)).await.unwrap();
            // Refused beside those that are done, as often as not in one group with them.
            commit(&one, creation(number)).await.unwrap_err();
            commit(&other, state(number, KeyState::Disabled)).await.unwrap();
        })
    });
    for task in commits.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(head(&bed.store).await.entries, 401);
    assert_eq!(head(&bed.second).await, head(&bed.store).await);
}

pub(crate) async fn the_chain_holds_after_a_restart(bed: Bed) {
    with_organization(&bed.store).await;
    let before = head(&bed.store).await;
    let Bed { store, second, again, keep } = bed;
    drop((store, second));
    let store = again();
    assert_eq!(head(&store).await, before);
    commit(&store, creation(1)).await.unwrap();
    assert_eq!(head(&store).await.entries, 2);
    drop(store);
    assert_eq!(head(&again()).await.entries, 2);
    drop(keep);
}

pub(crate) async fn what_is_checked_is_of_one_moment(bed: Bed) {
    with_organization(&bed.store).await;
    let writing = {
        let store = bed.store.clone();
        tokio::spawn(async move {
            for number in 1..=300 {
                commit(&store, creation(number)).await.unwrap();
            }
        })
    };
    let (mut checks, mut seen) = (0, 0);
    loop {
        let finished = writing.is_finished();
        let entries = head(&bed.second).await.entries;
        assert!(entries >= seen, "{entries} after {seen}");
        (checks, seen) = (checks + 1, entries);
        if finished {
            break;
        }
    }
    writing.await.unwrap();
    assert_eq!(seen, 301);
    assert!(checks > 1, "it was checked while it was written");
}

pub(crate) async fn refused_changes_leave_the_chain_as_it_is(bed: Bed) {
    with_organization(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    let before = head(&bed.store).await;
    assert!(commit(&bed.store, creation(1)).await.is_err());
    assert!(commit(&bed.store, state(9, KeyState::Revoked)).await.is_err());
    commit(&bed.store, state(1, KeyState::Active)).await.unwrap();
    bed.store.check().await.unwrap();
    assert_eq!(head(&bed.store).await, before);
}

pub(crate) async fn what_was_noted_is_found_again_and_another_head_is_not(bed: Bed) {
    let empty = head(&bed.store).await;
    with_organization(&bed.store).await;
    let noted = head(&bed.store).await;
    commit(&bed.store, creation(1)).await.unwrap();
    for noted in [empty, noted, head(&bed.store).await] {
        let proof = bed.store.verify_audit(Some(noted)).await.unwrap();
        assert!(matches!(proof, AuditProof::Whole { .. }), "{proof:?}");
    }
    let wrong = AuditHead { entries: 1, hash: head(&bed.store).await.hash };
    let proof = bed.store.verify_audit(Some(wrong)).await.unwrap();
    assert_eq!(proof, AuditProof::Broken(AuditBreak::NotAsNoted { noted: wrong }));
    let ahead = AuditHead { entries: 3, ..noted };
    let proof = bed.store.verify_audit(Some(ahead)).await.unwrap();
    let shorter = AuditBreak::ShorterThanNoted { entries: 2, noted: ahead };
    assert_eq!(proof, AuditProof::Broken(shorter));
}
