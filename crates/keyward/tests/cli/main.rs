//! The command line as people and programs see it: the built binary on a folder of its own, and the bytes it prints.

mod explain;
mod keys;
mod others;
mod place;
