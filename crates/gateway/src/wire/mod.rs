//! The wire: everything that reads HTTP/1.1 as bytes stands behind this seam.
//!
//! Above it, the gateway deals in requests; below it, in what a client really sent. The seam exists
//! so that the parser can be exchanged (hyper today, an engine of our own later) without touching
//! what decides, and so that what no parser is trusted with, which bytes form one message, is
//! decided here, once.

pub(crate) mod client_io;
pub mod screen;
