//! The profiles are embedded when the crate is compiled, and cargo must know that a new one asks for that again.

#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=../../profiles");
}
