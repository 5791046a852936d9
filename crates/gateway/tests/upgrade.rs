//! Upgrades: bytes both ways from the upstream's 101 on, and none as a tunnel before it.

use keyward_core::key::KeyState;

use crate::world::{
    World,
    client::Client,
    message::{answer, ok},
    millis, soon,
    upstream::{Upstream, UpstreamConnection},
};

const WANTS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n";
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: y\r\n\r\n";

async fn world() -> (World, Upstream) {
    let upstream = Upstream::scripted().await;
    (World::start(&upstream).await, upstream)
}

/// An open tunnel.
async fn tunnel(world: &World, upstream: &mut Upstream) -> (Client, UpstreamConnection) {
    let mut client = world.client().await;
    client.send(world.request("GET /v1/socket", WANTS, "")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(SWITCHES).await;
    assert_eq!(client.head().await.status(), 101);
    (client, connection)
}

#[tokio::test]
async fn bytes_pass_both_ways_after_the_101() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    client.send(world.request("GET /v1/socket", WANTS, "")).await;
    let mut connection = upstream.next().await;
    let seen = connection.request().await;
    assert_eq!(seen.head.get("upgrade"), Some("websocket"));
    assert_eq!(seen.head.get("connection"), Some("upgrade"));
    assert_eq!(seen.head.get("sec-websocket-key"), Some("x"));
    assert!(seen.head.has("x-keyward-key-id") && !upstream.saw(world.key("bearer")));
    connection.send(format!("{SWITCHES}first words")).await;
    let head = client.head().await;
    assert_eq!(head.status(), 101);
    assert_eq!(head.get("upgrade"), Some("websocket"));
    assert_eq!(head.get("connection"), Some("upgrade"));
    assert_eq!(head.get("sec-websocket-accept"), Some("y"));
    assert_eq!(soon(client.wire.exactly(11)).await.unwrap(), b"first words");
    for n in 0..50 {
        // Nothing of a tunnel is screened: it may look like anything.
        let words = format!("\0\n GET {n}\r\n");
        client.send(&words).await;
        assert_eq!(soon(connection.wire.exactly(words.len())).await.unwrap(), words.as_bytes());
        connection.send(&words).await;
        assert_eq!(soon(client.wire.exactly(words.len())).await.unwrap(), words.as_bytes());
    }
    drop(client);
    assert_eq!(connection.closed().await, b"");
    drop(connection);
    let told = world.drain().await;
    let (scope, sums) = told.only();
    assert_eq!(scope.status, 101);
    assert!(sums.bytes_in > 500 && sums.bytes_out == sums.bytes_in + 11, "{sums:?}");
}

#[tokio::test]
async fn large_amounts_pass_through_a_tunnel() {
    let (world, mut upstream) = world().await;
    let (mut client, mut connection) = tunnel(&world, &mut upstream).await;
    let large: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = large.clone();
    let sending = tokio::spawn(async move {
        connection.send(&sent).await;
        let received = soon(connection.wire.exactly(sent.len())).await.unwrap();
        (received == sent, connection)
    });
    assert!(soon(client.wire.exactly(large.len())).await.unwrap() == large);
    client.send(&large).await;
    assert!(soon(sending).await.unwrap().0);
}

#[tokio::test]
async fn each_side_may_finish_first() {
    let (world, mut upstream) = world().await;
    let (client, mut connection) = tunnel(&world, &mut upstream).await;
    let mut client = client;
    client.send("last words").await;
    client.finish();
    assert_eq!(connection.closed().await, b"last words");
    connection.send("an answer to them").await;
    drop(connection);
    assert_eq!(client.end().await.bytes, b"an answer to them");

    let (mut client, mut connection) = tunnel(&world, &mut upstream).await;
    client.send("more").await;
    assert_eq!(soon(connection.wire.exactly(4)).await.unwrap(), b"more");
    connection.reset();
    client.closed().await;
    let told = world.drain().await;
    assert_eq!(told.statuses(), [(101, 2)]);
    assert_eq!(told.rows.iter().map(|(_, sums)| sums.bytes_in).sum::<u64>(), 14);
}

#[tokio::test]
async fn a_key_that_is_revoked_loses_its_tunnels_and_the_others_keep_theirs() {
    let (world, mut upstream) = world().await;
    let (mut kept, mut kept_connection) = tunnel(&world, &mut upstream).await;
    let mut before = None;
    let key = world.mint("bearer", |key| {
        key.permissions = vec!["read".to_owned()];
        before = Some(key.clone());
    });
    let mut client = world.client().await;
    let wants = world.request("GET /v1/socket", WANTS, "");
    client.send(wants.replace(world.key("bearer"), &key.plaintext)).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(SWITCHES).await;
    assert_eq!(client.head().await.status(), 101);
    world.change(&key, before.unwrap(), KeyState::Revoked);
    client.closed().await;
    connection.closed().await;
    kept.send("still here").await;
    assert_eq!(soon(kept_connection.wire.exactly(10)).await.unwrap(), b"still here");
}

#[tokio::test]
async fn a_tunnel_on_which_nothing_moves_is_closed() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.deadlines.upstream_stall = millis(200);
    })
    .await;
    let (mut client, mut connection) = tunnel(&world, &mut upstream).await;
    client.closed().await;
    connection.closed().await;
}

#[tokio::test]
async fn what_a_client_sends_before_the_101_waits_for_it() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    let smuggled = "GET /v1/admin HTTP/1.1\r\nHost: bearer.test\r\n\r\n";
    client.send(world.request("GET /v1/socket", WANTS, smuggled)).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    // More of it, and then a word with the gateway: whatever it would let pass has passed by now.
    client.send("and more").await;
    assert_eq!(world.client().await.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status(), 404);
    assert!(!upstream.saw("/admin") && !upstream.saw("and more"));
    connection.send(SWITCHES).await;
    assert_eq!(client.head().await.status(), 101);
    let expected = format!("{smuggled}and more");
    assert_eq!(soon(connection.wire.exactly(expected.len())).await.unwrap(), expected.as_bytes());
}

#[tokio::test]
async fn where_the_upstream_declines_what_follows_is_the_next_request() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    let declined = answer("403 Forbidden", "upgrade: websocket\r\n", "no sockets");
    // What the client took for the beginning of a tunnel is a request, and needs a key like any other.
    let smuggled = "GET /v1/admin HTTP/1.1\r\nHost: bearer.test\r\n\r\n";
    client.send(world.request("GET /v1/socket", WANTS, smuggled)).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(&declined).await;
    let refused = client.answer().await;
    assert_eq!((refused.status(), refused.text()), (403, "no sockets"));
    assert!(!refused.head.has("upgrade"), "{refused:?}");
    assert_eq!(client.answer().await.status(), 401);
    // And the next with a key is served, also another upgrade.
    client.send(world.get("/v1/next")).await;
    assert!(connection.request().await.head.line.contains("/v1/next"));
    connection.send(ok("next")).await;
    assert_eq!(client.answer().await.text(), "next");
    client.send(world.request("GET /v1/socket", WANTS, "words")).await;
    connection.request().await;
    connection.send(SWITCHES).await;
    assert_eq!(client.head().await.status(), 101);
    assert_eq!(soon(connection.wire.exactly(5)).await.unwrap(), b"words");
    assert!(!upstream.saw("/admin"));
}

#[tokio::test]
async fn an_upgrade_that_we_refuse_leaves_the_connection_usable() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    let refused =
        client.ask(format!("GET /v1/socket HTTP/1.1\r\nHost: bearer.test\r\n{WANTS}\r\n")).await;
    assert_eq!(refused.status(), 401);
    let smuggled = "GET /v1/admin HTTP/1.1\r\nHost: bearer.test\r\n\r\n";
    client
        .send(format!("GET /v1/socket HTTP/1.1\r\nHost: bearer.test\r\n{WANTS}\r\n{smuggled}"))
        .await;
    assert_eq!(client.answer().await.status(), 401);
    assert_eq!(client.answer().await.status(), 401);
    client.send(world.get("/v1/next")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(ok("next")).await;
    assert_eq!(client.answer().await.text(), "next");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_upgrade_behind_another_request_waits_for_its_own_answer() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    let both = world.get("/v1/first") + &world.request("GET /v1/socket", WANTS, "words");
    client.send(both).await;
    let mut connection = upstream.next().await;
    assert!(connection.request().await.head.line.contains("/v1/first"));
    connection.send(ok("first")).await;
    assert_eq!(client.answer().await.text(), "first");
    assert!(connection.request().await.head.line.contains("/v1/socket"));
    assert!(!upstream.saw("words"));
    connection.send(SWITCHES).await;
    assert_eq!(client.head().await.status(), 101);
    assert_eq!(soon(connection.wire.exactly(5)).await.unwrap(), b"words");
    client.send("\x00more").await;
    assert_eq!(soon(connection.wire.exactly(5)).await.unwrap(), b"\x00more");
}

#[tokio::test]
async fn a_key_in_a_subprotocol_opens_the_tunnel_and_stays_here() {
    let (world, mut upstream) = world().await;
    let key = world.key("socket");
    let mut client = world.client().await;
    client
        .send(format!(
            "GET /v1/socket HTTP/1.1\r\nHost: socket.test\r\n{WANTS}Sec-WebSocket-Protocol: chat, key.{key}\r\n\r\n"
        ))
        .await;
    let mut connection = upstream.next().await;
    assert_eq!(connection.request().await.head.get("sec-websocket-protocol"), Some("chat"));
    assert!(!upstream.saw(key));
    connection.send(SWITCHES.replace("\r\n\r\n", "\r\nsec-websocket-protocol: chat\r\n\r\n")).await;
    let head = client.head().await;
    assert_eq!((head.status(), head.get("sec-websocket-protocol")), (101, Some("chat")));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_101_ends_the_attempt() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    client.send(world.request("GET /v1/socket", WANTS, "")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    drop(client);
    connection.send(SWITCHES).await;
    connection.closed().await;
    drop(connection);
    let told = world.drain().await;
    assert_eq!(told.requests(), 1);
}
