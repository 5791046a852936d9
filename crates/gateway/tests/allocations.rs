//! What a request costs of memory once its core has served a few: nothing is allocated for it.
//!
//! A program of its own, for it counts what all of it allocates. Client and upstream read into places they had before.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may fail where it stands, and uses a part of the world"
)]

mod world;

use std::{
    alloc::System,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use keyward_core::limit::Limit;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use world::World;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WARM: usize = 300;
const COUNTED: usize = 2000;
/// What a core does once a second beside requests: it tells what it has counted.
const BESIDE: usize = 100;

const BODY: &str = r#"{"model":"small","input":"How many?"}"#;
const ANSWER: &str = r#"{"id":"1","choices":[{"text":"Four."}],"usage":{"in":7,"out":2}}"#;

const LIMITS: [&str; 4] = [
    r#"{"name":"requests","kind":"rate","amount":1000000,"window_seconds":60}"#,
    r#"{"name":"tokens","kind":"rate","unit":"tokens","amount":100000000,"window_seconds":60}"#,
    r#"{"name":"month","kind":"quota","unit":"tokens","amount":100000000,"period":"month"}"#,
    r#"{"name":"at-once","kind":"concurrency","amount":10}"#,
];

/// Answers every request of one connection alike.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let (mut buffer, mut read) = ([0; 4096], 0);
        loop {
            let count = connection.read(&mut buffer[read..]).unwrap();
            if count == 0 {
                return;
            }
            read += count;
            if buffer[..read].ends_with(BODY.as_bytes()) {
                read = 0;
                connection.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    address
}

fn ask(connection: &mut TcpStream, request: &str) {
    connection.write_all(request.as_bytes()).unwrap();
    let (mut buffer, mut read) = ([0; 4096], 0);
    while !buffer[..read].ends_with(ANSWER.as_bytes()) {
        let count = connection.read(&mut buffer[read..]).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&buffer[..read]));
        read += count;
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
}

#[test]
fn nothing_is_allocated_for_a_request_that_is_let_pass() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::with(upstream(), |_| {}));
    let minted = world.mint("metered", |key| {
        key.permissions = vec!["read".to_owned()];
        key.limits =
            LIMITS.iter().map(|json| serde_json::from_str::<Limit>(json).unwrap()).collect();
    });
    let request = format!(
        "POST /v1/x HTTP/1.1\r\nHost: metered.test\r\nAuthorization: Bearer {}\r\nUser-Agent: test\r\n\
         Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        minted.plaintext,
        BODY.len(),
    );
    let mut connection = TcpStream::connect(world.address).unwrap();
    connection.set_nodelay(true).unwrap();
    (0..WARM).for_each(|_| ask(&mut connection, &request));
    let region = Region::new(ALLOCATOR);
    (0..COUNTED).for_each(|_| ask(&mut connection, &request));
    let stats = region.change();
    let count = stats.allocations + stats.reallocations;
    assert!(count <= BESIDE, "{count} allocations for {COUNTED} requests");
}
