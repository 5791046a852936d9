//! Prices: what models cost. A model's name may hold slashes, so it stands in the body or the query.

pub(super) mod delete;
pub(super) mod list;
pub(super) mod put;
