//! The decision, from golden requests to verdicts: each table is one promise of `decide`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics, in its helpers too"
)]

mod bindings;
mod credential;
mod explain;
mod golden;
mod imported;
mod order;
mod properties;
mod routes;
mod state;
mod world;
