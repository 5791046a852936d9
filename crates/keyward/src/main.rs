//! `keyward`: parse what was asked for, do it, and say how it went by the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyward::cli::run()
}
