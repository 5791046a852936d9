//! Plans: limits that organizations can be on together.

pub(super) mod delete;
pub(super) mod list;
pub(super) mod list_organization;
pub(super) mod put;
pub(super) mod show;
