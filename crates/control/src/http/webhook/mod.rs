//! Webhooks: addresses that want to be told, and what was delivered to them.

pub(super) mod create;
pub(super) mod create_all;
pub(super) mod delete;
pub(super) mod deliveries;
pub(super) mod list;
pub(super) mod list_all;
pub(super) mod resend;
pub(super) mod retire;
pub(super) mod rotate;
pub(super) mod show;
pub(super) mod show_delivery;
pub(super) mod test;
pub(super) mod update;

use keyward_core::event::EventKind;

use super::{input::read, problem::Refusal};

/// Events by their words.
fn events(words: &[String]) -> Result<Vec<EventKind>, Refusal> {
    words.iter().map(|word| read("events", word)).collect()
}
