//! The binary's parts: configuration, command line, life cycle, demo. `main.rs` only starts them.
//!
//! Only here do the store, the control plane and the gateway meet: [`serve`] ties them together, [`cli`] works on the store
//! without them.

pub mod backend;
pub mod cli;
pub mod clock;
pub mod config;
pub mod curl;
pub mod demo;
pub mod output;
pub mod profiles;
pub mod remote;
pub mod serve;
pub mod site;
