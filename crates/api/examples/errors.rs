//! Prints the reference of errors: `cargo run -p keyward-api --example errors > docs/errors.md`.

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() {
    print!("{}", keyward_api::reference::errors());
}
