//! Keys: made, seen, rotated and ended.

pub(super) mod bulk;
pub(super) mod create;
pub(super) mod disable;
pub(super) mod enable;
pub(super) mod export;
pub(super) mod import;
pub(super) mod limits;
pub(super) mod list;
pub(super) mod receipt;
pub(super) mod retire;
pub(super) mod revoke;
pub(super) mod rotate;
pub(super) mod show;
pub(super) mod update;
