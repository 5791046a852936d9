//! The gateway under attack, through its public API: every promise on the wire, a file a theme.
//!
//! One program for all of them: they share the [`world`] and are linked once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test may fail where it stands"
)]

mod ambiguity;
mod ambiguity_http2;
mod bindings;
mod breaking;
mod deadlines;
mod drain;
mod engine;
mod floods;
mod headers;
mod limits;
mod metering;
mod recording;
mod starting;
mod streaming;
mod tls;
mod uncounted;
mod upgrade;
mod upstream;
mod world;
