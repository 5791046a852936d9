//! Whoever is slow, or says nothing, meets a deadline; whoever waits for the upstream does not.
//!
//! Asserted are outcomes, never times: a deadline that does not come makes its test wait in vain.

use bytes::Bytes;
use http_body_util::BodyExt;
use keyward_gateway::Deadlines;
use tokio::sync::mpsc;

use crate::{
    streaming::Pieces,
    world::{
        World,
        client::Client,
        http2::{self, DATA, END_STREAM, Frames, Outcome},
        message::ok,
        millis, soon,
        tls::Authority,
        upstream::Upstream,
    },
};

/// A world in which one deadline is short and all others are out of the way.
async fn world(choose: impl FnOnce(&mut Deadlines)) -> (World, Upstream) {
    let upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| choose(&mut setup.settings.deadlines)).await;
    (world, upstream)
}

const SHORT: u64 = 200;

#[tokio::test]
async fn a_head_that_does_not_come_whole_is_answered_with_408() {
    let (world, upstream) = world(|deadlines| deadlines.head = millis(SHORT)).await;
    for start in
        ["G", "GET /v1/x HTTP/1.1\r\nHost: bearer.test\r\nX-A", "GET / HTTP/1.1\r\nHost: x\r\n"]
    {
        let mut client = world.client().await;
        client.send(start).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 408, "{answer:?}");
        assert_eq!(answer.head.get("connection"), Some("close"));
        assert!(answer.text().contains("request_timeout"));
        client.closed().await;
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(world.drain().await.statuses(), [(408, 3)]);
}

#[tokio::test]
async fn dribbling_does_not_move_a_heads_deadline() {
    let (world, _upstream) = world(|deadlines| deadlines.head = millis(SHORT)).await;
    let client = world.client().await;
    let (mut reading, mut writing) = tokio::io::split(client.wire.stream);
    let dribbling = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(millis(20));
        let head = "GET /v1/x HTTP/1.1\r\nX-A: ".bytes().chain(std::iter::repeat(b'a'));
        for byte in head {
            ticks.tick().await;
            if tokio::io::AsyncWriteExt::write_all(&mut writing, &[byte]).await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    // The end may be a reset, since the client goes on writing; the answer comes before it.
    let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut answer)).await;
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 408 "), "{answer:?}");
    soon(dribbling).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let authority = Authority::new();
    let files = authority.write(&["localhost"]);
    let upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.listeners = vec![None, Some(files)];
        setup.settings.deadlines.head = millis(SHORT);
    })
    .await;
    for address in &world.addresses {
        Client::connect(*address).await.closed().await;
    }
    // Half a handshake, and a handshake without a request.
    let mut client = Client::connect(world.addresses[1]).await;
    client.send(b"\x16\x03\x01\x02\x00\x01").await;
    client.end().await;
    let (mut client, _) =
        Client::connect_tls(world.addresses[1], "localhost", authority.client(&[])).await.unwrap();
    client.closed().await;
    // And half a preface of HTTP/2.
    let mut client = world.client().await;
    client.send("PRI * HTTP/2.0\r\n").await;
    client.end().await;
    let told = world.drain().await;
    assert!(told.requests() <= 1, "nobody asked anything: {:?}", told.rows);
}

#[tokio::test]
async fn a_connection_between_requests_is_closed_but_not_one_that_waits_for_its_answer() {
    let (world, mut upstream) = world(|deadlines| deadlines.idle = millis(SHORT)).await;
    let mut waiting = world.client().await;
    waiting.send(world.get("/v1/slow")).await;
    let mut slow = upstream.next().await;
    slow.request().await;
    for _ in 0..2 {
        let mut idle = world.client().await;
        idle.send(world.get("/v1/x")).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send(crate::world::message::answer("200 OK", "connection: close\r\n", "")).await;
        assert_eq!(idle.answer().await.status(), 200);
        // Its deadline came, twice; the other's request is older than both.
        idle.closed().await;
    }
    slow.send(ok("at last")).await;
    assert_eq!(waiting.answer().await.text(), "at last");
}

#[tokio::test]
async fn an_upload_that_stops_is_given_up() {
    let (world, mut upstream) = world(|deadlines| deadlines.stall = millis(SHORT)).await;
    // While it is forwarded.
    let mut client = world.client().await;
    client.send(world.request("POST /v1/x", "Content-Length: 100000\r\n", "first")).await;
    let mut connection = upstream.next().await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 408, "{answer:?}");
    assert_eq!(answer.head.get("connection"), Some("close"));
    client.closed().await;
    connection.closed().await;
    assert!(connection.received().ends_with(b"first"));
    // While it is read to decide on.
    let mut client = world.client().await;
    let headers = "Content-Type: application/json\r\nContent-Length: 100\r\n";
    client.send(world.request("POST /v1/chat", headers, "{")).await;
    assert_eq!(client.answer().await.status(), 408);
    client.closed().await;
    // While it is gathered because it is short.
    let mut client = world.client().await;
    client.send(world.request("POST /v1/x", "Content-Length: 100\r\n", "short")).await;
    assert_eq!(client.answer().await.status(), 408);
    client.closed().await;
    let told = world.drain().await;
    assert_eq!(told.statuses(), [(408, 3)]);
    assert_eq!(told.rows.iter().map(|(_, sums)| sums.bytes_in).sum::<u64>(), 11);
}

#[tokio::test]
async fn an_http2_upload_that_stops_is_given_up() {
    let (world, mut upstream) = world(|deadlines| deadlines.stall = millis(SHORT)).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let fields = |path| {
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "bearer.test"),
            (":path", path),
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ]
    };
    // The connection itself lives: it answers every ping.
    let mut frames = Frames::connect(world.address).await;
    frames.headers(1, &fields("/v1/chat"), 0).await;
    frames.send(DATA, 0, 1, b"{").await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(408));
    frames.headers(3, &fields("/v1/x"), 0).await;
    frames.send(DATA, 0, 3, b"{").await;
    let mut connection = upstream.next().await;
    assert_eq!(frames.outcome(3).await, Outcome::Status(408));
    connection.closed().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let (world, mut upstream) = world(|deadlines| deadlines.stall = millis(SHORT)).await;
    let mut client = world.client().await;
    client.send(world.get("/v1/large")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
    let piece = vec![b'a'; 1 << 20];
    // The gateway stops taking more, and then hangs up, on both sides.
    soon(async {
        while tokio::io::AsyncWriteExt::write_all(&mut connection.wire.stream, &piece).await.is_ok()
        {
        }
    })
    .await;
    // With a reset: what it did not take does not wait for it in the kernel.
    assert!(client.end().await.reset);
    let told = world.drain().await;
    let (scope, sums) = told.only();
    assert!(scope.status == 200 && sums.bytes_out < 1_000_000_000, "{sums:?}");
}

#[tokio::test]
async fn an_http2_client_that_does_not_read_is_cut_off() {
    let (world, mut upstream) = world(|deadlines| deadlines.stall = millis(SHORT)).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "bearer.test"),
        (":path", "/v1/large"),
        ("authorization", bearer.as_str()),
    ];
    // A window that never opens (SETTINGS_INITIAL_WINDOW_SIZE = 10): the client reads frames, answers pings, and takes
    // nothing of the answer.
    let mut frames = Frames::with_settings(world.address, &[(4, 10)]).await;
    frames.headers(1, &fields, END_STREAM).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    let piece = vec![b'a'; 1 << 16];
    let reading = tokio::spawn(async move { frames.outcome(1).await });
    soon(async {
        while tokio::io::AsyncWriteExt::write_all(&mut connection.wire.stream, &piece).await.is_ok()
        {
        }
    })
    .await;
    assert!(matches!(
        soon(reading).await.unwrap(),
        Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed
    ));
}

#[tokio::test]
async fn a_slow_upstream_is_not_a_slow_client() {
    let (world, mut upstream) = world(|deadlines| {
        deadlines.stall = millis(SHORT);
        deadlines.head = millis(SHORT);
        deadlines.idle = millis(SHORT);
    })
    .await;
    let mut http1 = world.client().await;
    http1.send(world.post("/v1/slow", "{}")).await;
    let mut first = upstream.next().await;
    first.request().await;
    let mut sender = http2::connect(world.address).await;
    let request = http::Request::post("http://bearer.test/v1/slow")
        .header("authorization", format!("Bearer {}", world.key("bearer")))
        .body(http2::full("{}"))
        .unwrap();
    let http2 = tokio::spawn(async move {
        let answer = sender.send_request(request).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    });
    let mut second = upstream.next().await;
    second.request().await;
    let halves = |connection: &str| {
        (format!("HTTP/1.1 200 OK\r\n{connection}content-length: 4\r\n\r\nfi"), "ne")
    };
    // Every deadline passes before the answers begin, and again midway.
    let pass = async || {
        for _ in 0..2 {
            world.client().await.closed().await;
        }
    };
    pass().await;
    let (begin, end) = halves("connection: close\r\n");
    first.send(&begin).await;
    second.send(&begin).await;
    pass().await;
    first.send(end).await;
    second.send(end).await;
    assert_eq!(http1.answer().await.text(), "fine");
    assert_eq!(soon(http2).await.unwrap(), "fine");
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_with_a_word() {
    let (world, mut upstream) = world(|deadlines| {
        deadlines.idle = millis(SHORT);
        deadlines.head = millis(SHORT);
    })
    .await;
    let mut frames = Frames::connect(world.address).await;
    assert_eq!(frames.outcome(1).await, Outcome::GoAway(0));
    // Also after a request.
    let bearer = format!("Bearer {}", world.key("bearer"));
    let mut frames = Frames::connect(world.address).await;
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "bearer.test"),
        (":path", "/v1/x"),
        ("authorization", bearer.as_str()),
    ];
    frames.headers(1, &fields, END_STREAM).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(ok("")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    assert_eq!(frames.outcome(3).await, Outcome::GoAway(0));
}

#[tokio::test]
async fn a_body_that_keeps_coming_is_not_cut_off() {
    let (world, mut upstream) = world(|deadlines| {
        deadlines.stall = millis(3 * SHORT);
        deadlines.first_byte = millis(3 * SHORT);
        deadlines.head = millis(SHORT);
    })
    .await;
    let mut sender = http2::connect(world.address).await;
    let (pieces, received) = mpsc::channel(1);
    let request = http::Request::post("http://bearer.test/v1/x")
        .header("authorization", format!("Bearer {}", world.key("bearer")))
        .body(Pieces(received).boxed())
        .unwrap();
    let answer = tokio::spawn(async move { sender.send_request(request).await.unwrap().status() });
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    // Longer in all than either deadline, each pause shorter: the pauses are another connection's deadline.
    for _ in 0..5 {
        world.client().await.closed().await;
        pieces.send(Bytes::from_static(b"piece")).await.unwrap();
        assert_eq!(soon(connection.wire.chunk()).await.unwrap(), b"piece");
    }
    drop(pieces);
    connection.wire.chunk().await.unwrap();
    connection.wire.trailers().await.unwrap();
    connection.send(ok("")).await;
    assert_eq!(soon(answer).await.unwrap(), 200);
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::with(upstream.address, |setup| setup.settings.limits.connections = 2).await;
    let mut first = world.client().await;
    let mut second = world.client().await;
    for client in [&mut first, &mut second] {
        assert_eq!(client.ask(world.get("/v1/x")).await.status(), 200);
    }
    let mut surplus = world.client().await;
    surplus.end().await;
    assert_eq!(first.ask(world.get("/v1/x")).await.status(), 200);
    // A place that is left is given to the next.
    let left = first.ask(world.request("GET /v1/x", "Connection: close\r\n", "")).await;
    assert_eq!(left.head.get("connection"), Some("close"));
    first.closed().await;
    drop(first);
    soon(async {
        loop {
            let mut next = world.client().await;
            next.send(world.get("/v1/x")).await;
            // Until the gateway has noticed that a place is free, this one is surplus.
            if next.try_answer(false).await.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
        }
    })
    .await;
}
