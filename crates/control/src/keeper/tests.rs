//! What the keeper promises: what was counted is there after a stop, and after a kill but for the last second.

use keyward_core::limit::{
    Limit,
    applied::{Applied, CounterId, Place},
    counters::Need,
};

use super::*;
use crate::fixture::{Faulty, Fixture, NOW};

fn quota() -> Applied {
    let limit: Limit =
        serde_json::from_str(r#"{"name":"n","kind":"quota","amount":100,"period":"year"}"#)
            .unwrap();
    Applied::new(&limit, Place::Organization(&"org".parse().unwrap()))
}

fn rate() -> Applied {
    let limit: Limit =
        serde_json::from_str(r#"{"name":"n","kind":"rate","amount":100,"window_seconds":3600}"#)
            .unwrap();
    Applied::new(&limit, Place::Organization(&"org".parse().unwrap()))
}

fn need(limit: &Applied, number: u8) -> Need<'_> {
    Need::new(limit, CounterId::from_bytes([number; 16]), 1)
}

fn used(counting: &Counting, need: Need<'_>) -> u64 {
    let mut needs = [need];
    counting.counters.look(&mut needs, counting.now());
    100 - needs[0].standing.left
}

async fn saved(store: &dyn Store) -> usize {
    store.counters(Page { after: None, limit: 10_000 }).await.unwrap().len()
}

/// Blocking: not called where tasks run.
fn finish(keeper: Keeper) {
    std::thread::spawn(move || keeper.finish()).join().unwrap();
}

/// Until the store holds so many counters. Saving goes by the clock, so this is asked again and again.
async fn until_saved(store: &dyn Store, count: usize) {
    let began = Instant::now();
    while saved(store).await != count {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing was saved");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_counted_is_saved_within_a_while_and_taken_over_at_the_next_start() {
    let fixture = Fixture::new().await;
    let store = fixture.folder.store();
    let counting = Counting::new(Arc::new(|| NOW));
    let (keeper, restored) = Keeper::start(store.clone(), counting.clone()).await.unwrap();
    assert_eq!(restored, 0);
    let (quota, rate) = (quota(), rate());
    let mut needs = [need(&quota, 1), need(&rate, 2)];
    drop(counting.counters.reserve(&mut needs, counting.now()));
    until_saved(&*store, 1).await;

    // As after a kill: nobody has saved windows.
    let killed = Counting::new(Arc::new(|| NOW));
    let (other, restored) = Keeper::start(store.clone(), killed.clone()).await.unwrap();
    assert_eq!((restored, used(&killed, needs[0]), used(&killed, needs[1])), (1, 1, 0));
    finish(other);

    drop(counting.counters.reserve(&mut needs, counting.now()));
    finish(keeper);
    let ended = Counting::new(Arc::new(|| NOW));
    let (other, restored) = Keeper::start(store.clone(), ended.clone()).await.unwrap();
    assert_eq!((restored, used(&ended, needs[0]), used(&ended, needs[1])), (2, 2, 2));
    finish(other);
}

#[tokio::test]
async fn what_cannot_be_saved_is_saved_when_the_store_is_back() {
    let fixture = Fixture::new().await;
    let store = Arc::new(Faulty::new(fixture.folder.store()));
    let counting = Counting::new(Arc::new(|| NOW));
    let (keeper, _) = Keeper::start(store.clone(), counting.clone()).await.unwrap();
    store.break_down();
    let quota = quota();
    // More than are written at once.
    for number in 0..3 * HANDFUL {
        let number = u16::try_from(number).unwrap().to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number);
        let need = Need { counter: CounterId::from_bytes(bytes), ..need(&quota, 0) };
        drop(counting.counters.reserve(&mut [need], counting.now()));
    }
    let before = store.refused();
    while store.refused() < before + 2 {
        tokio::task::yield_now().await;
    }
    store.mend();
    until_saved(&*fixture.folder.store(), 3 * HANDFUL).await;
    finish(keeper);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_keeps_limits_from_beginning_anew() {
    let fixture = Fixture::new().await;
    let store = Arc::new(Faulty::new(fixture.folder.store()));
    store.break_down();
    let started = Keeper::start(store, Counting::new(Arc::new(|| NOW))).await;
    assert!(matches!(started, Err(KeeperError::Store(_))));
}
