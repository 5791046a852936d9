//! Oneself: coming here, and what one logs in with.

pub(super) mod set_password;
pub(super) mod set_up;
pub(super) mod show;
pub(super) mod sign_up;
