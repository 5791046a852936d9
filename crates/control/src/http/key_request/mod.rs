//! Key requests: a member asks, somebody who may decides, and the member claims.

pub(super) mod approve;
pub(super) mod claim;
pub(super) mod create;
pub(super) mod deny;
pub(super) mod list;
pub(super) mod show;
pub(super) mod withdraw;
