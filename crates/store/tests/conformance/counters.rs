//! What limits have counted.

use keyward_core::limit::{Saved, applied::CounterId};
use keyward_store::Page;

use super::{Bed, later, trace};

/// A quota of a period that ends so many seconds from now.
fn quota(number: u8, ends: u64, used: u64) -> Saved {
    let (start, end) = (later(0).as_millis(), later(ends).as_millis());
    let never = u64::MAX;
    let numbers = [1, start, end, used, never, 0, never, 0, u64::MAX - u64::from(number)];
    Saved::from_numbers(CounterId::from_bytes([number; 16]), numbers).unwrap()
}

/// A credit, which never ends.
fn credit(number: u8, used: u64) -> Saved {
    let numbers = [2, 0, 0, used, u64::MAX, 0, 0, 0, 0];
    Saved::from_numbers(CounterId::from_bytes([number; 16]), numbers).unwrap()
}

async fn all(bed: &Bed) -> Vec<Saved> {
    bed.second.counters(Page { after: None, limit: 100 }).await.unwrap()
}

pub(crate) async fn counters_are_kept_as_they_were_saved_last(bed: Bed) {
    let before = trace(&bed.store).await;
    bed.store.save_counters(vec![quota(2, 10, 5), credit(1, 7), quota(3, 20, 0)]).await.unwrap();
    bed.store.save_counters(vec![quota(2, 10, u64::MAX)]).await.unwrap();
    bed.store.save_counters(vec![]).await.unwrap();
    assert_eq!(all(&bed).await, [credit(1, 7), quota(2, 10, u64::MAX), quota(3, 20, 0)]);
    let page = Page { after: Some(CounterId::from_bytes([1; 16])), limit: 1 };
    assert_eq!(bed.store.counters(page).await.unwrap(), [quota(2, 10, u64::MAX)]);
    assert_eq!(trace(&bed.store).await, before, "none of it is a change");
}

pub(crate) async fn counters_are_forgotten_when_their_time_is_long_over(bed: Bed) {
    let counters = vec![quota(1, 10, 1), quota(2, 20, 1), quota(3, 30, 1), credit(4, 1)];
    bed.store.save_counters(counters).await.unwrap();
    assert_eq!(bed.store.forget_counters(later(10), 10).await.unwrap(), 0, "it ends then");
    assert_eq!(bed.store.forget_counters(later(25), 1).await.unwrap(), 1, "at most one at once");
    assert_eq!(bed.store.forget_counters(later(25), 10).await.unwrap(), 1);
    assert_eq!(all(&bed).await, [quota(3, 30, 1), credit(4, 1)]);
    let never = keyward_core::time::Timestamp::NEVER;
    assert_eq!(bed.store.forget_counters(never, 10).await.unwrap(), 1);
    assert_eq!(all(&bed).await, [credit(4, 1)], "a balance never ends");
}
