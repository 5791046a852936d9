//! What crosses the border of the process: signals, files, other processes of ours, and streams that do not fit in memory.
//! Keyward runs as its users run it; what is here cannot be seen from inside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test may fail where it stands, and says what it measured"
)]

mod backup;
mod demo;
mod handover;
mod imported;
mod lifecycle;
mod limits;
mod mail;
mod management;
mod openid;
mod refused_upload;
mod reminders;
mod requests;
mod revocation;
mod script;
mod secrecy;
mod slow;
mod streams;
mod usage;
mod webhooks;

use std::net::SocketAddr;

use keyward_testkit::{Api, Cli, Connection, Keyward, wait};

/// The binary under test.
const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");

/// An API on the default profile, with one route that reads and one that writes.
fn api(upstream: SocketAddr) -> Api {
    Api::new("main", upstream).route("GET", "/read/{rest...}", "read").route(
        "POST",
        "/write/{rest...}",
        "write",
    )
}

/// Makes the organization that the tests' keys belong to.
fn make_organization(cli: &Cli) {
    cli.json("orgs create --id acme --name Acme");
}

/// A key of it, as id and secret.
fn make_key(cli: &Cli, name: &str) -> (String, String) {
    cli.create_key(&format!("--api main --organization acme --name {name} --permission write"))
}

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

fn connect(keyward: &Keyward) -> Connection {
    Connection::open(keyward.address, "localhost").expect("Keyward accepts connections")
}

/// The status of one GET on a connection of its own.
fn status(keyward: &Keyward, target: &str, secret: &str) -> u16 {
    let answer = connect(keyward).get(target, &[("Authorization", &bearer(secret))]);
    answer.expect("an answer").status()
}

/// Waits until a key that was just made, or enabled, is known: the command has returned, and the running gateway follows
/// within milliseconds.
fn accepted(keyward: &Keyward, secret: &str) {
    wait::until("the key is accepted", wait::LONG, || {
        (status(keyward, "/read/x", secret) == 200).then_some(())
    });
}

/// Waits until a key is refused.
fn refused(keyward: &Keyward, secret: &str) {
    wait::until("the key is refused", wait::LONG, || {
        (status(keyward, "/read/x", secret) == 401).then_some(())
    });
}
