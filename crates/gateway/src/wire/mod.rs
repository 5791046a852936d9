//! The wire: everything that reads HTTP/1.1 as bytes stands behind this seam.
//!
//! Above it, the gateway deals in requests; below it, in what a client or an upstream really sent. Towards clients the [`screen`]
//! decides which bytes form one message, and [`client`] brings them; answers of upstreams are read by [`answer`]. All stand on the same
//! grammar, with none of the leniencies of RFC 9112, and note in [`fields`] what is asked of a head again and again.

pub(crate) mod answer;
pub(crate) mod chunked;
pub(crate) mod client;
pub(crate) mod fields;
pub mod screen;
pub(crate) mod syntax;
mod violation;
