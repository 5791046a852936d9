//! What holds for all bytes that strangers send, as functions that take bytes and panic where it does not hold.
//!
//! They stand here, inside the crate, because what they look at is nobody else's affair; the module exists for tests and for
//! `fuzz/`, which runs the same functions under libFuzzer. `replay` runs them on the seeds there, and on random changes of them.
//!
//! Of the wire, three things are held against each other: what is read when all bytes come at once, what is read when they come cut, and what
//! [`naive`] reads, which is written another way and knows nothing of the first two. Where the naive reader finds no meaning
//! or two, the bytes must be refused; where it finds one, they must pass, with that meaning.
//!
//! What stands behind the wire and reads strangers' bytes too (paths, keys, bodies that are decided on, answers that are metered) is held
//! to what it promises in the same way.
//!
//! Rejected: generators of well-formed requests. The table tests have those; what is looked for here is what nobody thought of.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is how a property says that it does not hold"
)]

mod answer;
mod answer_coding;
mod body_binding;
mod chunked_body;
mod connection;
mod cuts;
mod key_format;
mod metering_scan;
mod naive;
mod path;
#[cfg(test)]
mod replay;
mod request_head;
mod requests;

pub use answer::answer;
pub use answer_coding::answer_coding;
pub use body_binding::body_binding;
pub use chunked_body::chunked_body;
pub use connection::connection;
pub use key_format::key_format;
pub use metering_scan::metering_scan;
pub use path::path;
pub use request_head::request_head;

use crate::wire::screen::HeadLimits;

/// Smaller than anybody's, so that short inputs reach them.
const LIMITS: HeadLimits = HeadLimits { request_line: 256, head: 2048, headers: 24 };

/// Bytes as text, a character each: simple code is written in strings.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
