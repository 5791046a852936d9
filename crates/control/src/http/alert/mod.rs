//! Alert rules, and what they raised.

pub(super) mod create;
pub(super) mod create_all;
pub(super) mod delete;
pub(super) mod list;
pub(super) mod list_all;
pub(super) mod raised;
pub(super) mod raised_all;
pub(super) mod show;
pub(super) mod update;
