//! Organizations: the tenants.

pub(super) mod create;
pub(super) mod list;
pub(super) mod show;
