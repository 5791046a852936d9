//! Prints the management API's description: `cargo run -p keyward-control --example openapi > openapi.json`.

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() -> Result<(), serde_json::Error> {
    println!("{}", keyward_control::http::openapi().to_pretty_json()?);
    Ok(())
}
