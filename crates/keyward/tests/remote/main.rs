//! The command line over the management API: real processes, a server here and commands that have nothing but its address.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands"
)]

mod keys;
mod logins;
mod organizations;
mod usage;
mod ways;
mod world;
