//! Model ids: what an organization's requests may name as theirs.

pub(super) mod assign;
pub(super) mod list;
pub(super) mod withdraw;
