//! Invitations: the way into an organization that exists.

pub(super) mod accept;
pub(super) mod create;
pub(super) mod list;
pub(super) mod withdraw;
