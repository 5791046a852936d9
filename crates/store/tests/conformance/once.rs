//! Requests that are done once: the record stands with the change or not at all.

use keyward_core::{key::Digest, time::Timestamp};
use keyward_store::{Answered, Once, Page, RequestKey, Revision, SealedBytes, Store, StoreError};
use std::sync::Arc;

use super::{Bed, NOW, actor, creation, key_id, later, trace, with_organization};

fn request(number: u8) -> RequestKey {
    RequestKey { caller: "usr_somebody".to_owned(), key: [number; 32] }
}

fn once(number: u8, at: Timestamp) -> Once {
    let after = |secs| Timestamp::from_secs(at.as_secs() + secs);
    Once {
        request: request(number),
        asked: Digest::from_bytes([number; 32]),
        made: format!("made {number}"),
        answer: Box::new(move |_| Ok(SealedBytes::from_bytes(vec![number; 40]))),
        answered_until: after(60),
        kept_until: after(600),
    }
}

async fn make(
    store: &Arc<dyn Store>,
    key: u64,
    once: Once,
    at: Timestamp,
) -> Result<Revision, StoreError> {
    store.commit_once(&actor(), at, creation(key), once).await
}

pub(crate) async fn a_change_is_done_once_and_its_answer_is_kept_with_it(bed: Bed) {
    let store = &bed.store;
    with_organization(store).await;
    assert_eq!(store.answer(&request(1), NOW).await.unwrap(), None);
    make(store, 1, once(1, NOW), NOW).await.unwrap();
    let before = trace(store).await;
    // The second time another change is brought, as a new attempt has ids of its own.
    assert_eq!(make(store, 2, once(1, NOW), NOW).await, Err(StoreError::DoneBefore));
    assert_eq!(trace(store).await, before);
    assert_eq!(store.key(key_id(2)).await.unwrap(), None);
    let kept = Answered {
        asked: Digest::from_bytes([1; 32]),
        made: "made 1".to_owned(),
        answer: Some(SealedBytes::from_bytes(vec![1; 40])),
    };
    assert_eq!(bed.second.answer(&request(1), NOW).await.unwrap(), Some(kept.clone()));
    assert_eq!((bed.again)().answer(&request(1), NOW).await.unwrap(), Some(kept));
    let of_another = RequestKey { caller: "usr_another".to_owned(), ..request(1) };
    assert_eq!(store.answer(&of_another, NOW).await.unwrap(), None);
    make(store, 2, Once { request: of_another, ..once(1, NOW) }, NOW).await.unwrap();
}

pub(crate) async fn a_refused_change_keeps_no_answer(bed: Bed) {
    let store = &bed.store;
    let nobody = make(store, 1, once(1, NOW), NOW).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchOrganization(_))), "{nobody:?}");
    assert_eq!(store.answer(&request(1), NOW).await.unwrap(), None);
    with_organization(store).await;
    make(store, 1, once(1, NOW), NOW).await.unwrap();
}

pub(crate) async fn an_answer_is_kept_for_its_time_and_the_request_for_longer(bed: Bed) {
    let store = &bed.store;
    with_organization(store).await;
    make(store, 1, once(1, NOW), NOW).await.unwrap();
    let kept = async |at| {
        let answered = store.answer(&request(1), at).await.unwrap();
        answered.map(|answered| answered.answer.is_some())
    };
    assert_eq!(kept(later(59)).await, Some(true));
    assert_eq!(kept(later(60)).await, Some(false));
    // Another's coming takes it out of the database: asked for an earlier moment, it is gone.
    make(store, 2, once(2, later(60)), later(60)).await.unwrap();
    assert_eq!(kept(later(59)).await, Some(false));
    assert_eq!(kept(later(599)).await, Some(false));
    assert_eq!(kept(later(600)).await, None);
    assert_eq!(make(store, 3, once(1, later(599)), later(599)).await, Err(StoreError::DoneBefore));
    make(store, 3, once(1, later(600)), later(600)).await.unwrap();
    assert_eq!(kept(later(600)).await, Some(true));
    make(store, 4, once(4, later(660)), later(660)).await.unwrap();
    assert_eq!(store.answer(&request(2), NOW).await.unwrap(), None, "it went with the others");
}

pub(crate) async fn only_one_of_many_at_once_is_done(bed: Bed) {
    let store = &bed.store;
    with_organization(store).await;
    let mut attempts = tokio::task::JoinSet::new();
    for number in 1..=20 {
        let store = if number % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        attempts.spawn(async move { make(&store, number, once(1, NOW), NOW).await });
    }
    let done = attempts.join_all().await;
    assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 1, "{done:?}");
    assert!(done.iter().all(|one| matches!(one, Ok(_) | Err(StoreError::DoneBefore))));
    let filter = keyward_store::KeyFilter::default();
    assert_eq!(store.keys(&filter, Page::first(100)).await.unwrap().len(), 1);
}
