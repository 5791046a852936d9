//! .
pub mod wire;
