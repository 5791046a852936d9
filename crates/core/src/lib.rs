//! The pure core of Keyward: what a key is, what a profile says, and how a request is decided.
//!
//! Nothing here opens a socket, reads a file, asks a clock or runs SQL: time, randomness and bytes are arguments.
//! So everything that decides can be tested by tables and properties in milliseconds, and `explain` gives
//! the same answer as the gateway because it runs the same code.
//!
//! Where to look: [`decide`] is the decision; [`policy`] and [`directory`] are what it decides from; [`profile`]
//! is a system's behaviour as data; [`key`] is the life of a key; [`limit`] is how much it may use, and
//! [`metering`] how much it did; [`verdict`] is what comes out.

pub mod alert;
pub mod binding;
pub mod credential;
pub mod decide;
pub mod declared;
pub mod directory;
pub mod event;
pub mod explain;
pub mod id;
pub mod json;
pub mod key;
pub mod limit;
pub mod member;
pub mod metering;
pub mod money;
pub mod network;
pub mod organization;
pub mod path;
pub mod permission;
pub mod policy;
pub mod profile;
pub mod query;
pub mod reserve;
pub mod rights;
pub mod route;
pub mod slow;
pub mod snapshot;
pub mod time;
pub mod usage;
pub mod verdict;
