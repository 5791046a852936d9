//! Organizations: the tenants.

pub(super) mod create;
pub(super) mod limits;
pub(super) mod list;
pub(super) mod resume;
pub(super) mod show;
pub(super) mod suspend;
pub(super) mod update;
