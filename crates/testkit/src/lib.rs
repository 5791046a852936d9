//! For tests that look at Keyward from outside, as its users do: the real binary in a process of its own, real clients, an
//! upstream that keeps every byte it is sent.
//!
//! It knows nothing of Keyward's insides (`cargo xtask tidy` holds it to that): what it could import, it could not test.
//! Nothing here sleeps for a while and hopes: it waits for a line, a byte or a condition, and every wait has an end. A
//! process is ended by its own id, when its handle is dropped at the latest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this crate, and a panic that says what is wrong is how a test fails"
)]

pub mod certificates;
pub mod clients;
pub mod digest;
pub mod keyward;
mod listener;
pub mod mail;
pub mod management;
pub mod places;
pub mod process;
pub mod search;
pub mod upstream;
pub mod wait;
pub mod wire;

pub use clients::{Answer, Clients, Ran};
pub use keyward::{Api, Cli, Demo, Keyward, Serve, Stopped, System};
pub use mail::MailServer;
pub use management::{Managed, Management};
pub use upstream::{Exchange, Upstream};
pub use wire::Connection;
