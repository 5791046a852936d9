//! The command line as people and programs see it: the built binary on a folder of its own, and the bytes it prints.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may fail where it stands"
)]

mod audit;
mod explain;
mod keys;
mod others;
mod place;
mod plans;
