//! Work on many rows that lets others run in between.
//!
//! What records and adds up needs a hundredth of a core, but in pieces of many milliseconds. Where it shares a core with a thread that
//! answers requests, the system lets it finish its slice first, and requests wait for some milliseconds: as many as 99 of 100 take in all.
//! So it offers its place every few hundred microseconds. Being nicer does not help: that makes the share smaller, and not the slice.

use std::thread;

/// The items, with a chance for others after every `at_once` of them.
pub fn in_turns<T>(at_once: usize, items: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
    items.into_iter().enumerate().map(move |(at, item)| {
        if (at + 1).is_multiple_of(at_once) {
            thread::yield_now();
        }
        item
    })
}
