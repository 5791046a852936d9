//! Limits as requests meet them: several at once, from many threads, over edits and restarts.

#![expect(clippy::unwrap_used, reason = "this is a test")]

mod held;
mod restart;
mod world;
