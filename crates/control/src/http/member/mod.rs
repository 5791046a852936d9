//! Members: who belongs to an organization, and as what.

pub(super) mod change;
pub(super) mod list;
pub(super) mod remove;
