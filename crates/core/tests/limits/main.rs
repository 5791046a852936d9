//! Limits as requests meet them: several at once, from many threads, over edits and restarts.

mod held;
mod restart;
mod world;
