//! Draining: nothing new is taken, what was begun is finished, and in the end there is a deadline.

use keyward_core::usage::{UsageScope, UsageSums};
use tokio::net::TcpStream;

use crate::world::{
    World,
    http2::{DATA, END_STREAM, Frames, Outcome, RST_STREAM},
    message::ok,
    millis, soon,
    upstream::Upstream,
};

async fn world() -> (World, Upstream) {
    let upstream = Upstream::scripted().await;
    (World::start(&upstream).await, upstream)
}

/// Waits until the gateway no longer listens.
async fn until_refused(world: &World) {
    soon(async {
        while TcpStream::connect(world.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_begun_is_finished_and_nothing_new_is_taken() {
    let (mut world, mut upstream) = world().await;
    let mut waiting = world.client().await;
    waiting.send(world.get("/v1/waiting")).await;
    let mut slow = upstream.next().await;
    slow.request().await;
    let mut midway = world.client().await;
    midway.send(world.get("/v1/midway")).await;
    let mut halfway = upstream.next().await;
    halfway.request().await;
    halfway.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst").await;
    midway.head().await;
    assert_eq!(soon(midway.wire.exactly(5)).await.unwrap(), b"first");
    let mut uploading = world.client().await;
    let chunked = "Transfer-Encoding: chunked\r\n";
    uploading.send(world.request("POST /v1/upload", chunked, "5\r\nfirst\r\n")).await;
    let mut upload = upstream.next().await;
    upload.wire.head().await;

    let draining = world.begin_drain();
    until_refused(&world).await;
    uploading.send("5\r\nlater\r\n0\r\n\r\n").await;
    assert_eq!(soon(upload.wire.chunk()).await.unwrap(), b"first");
    assert_eq!(soon(upload.wire.chunk()).await.unwrap(), b"later");
    assert!(soon(upload.wire.chunk()).await.unwrap().is_empty());
    upload.wire.trailers().await.unwrap();
    upload.send(ok("uploaded")).await;
    assert_eq!(uploading.answer().await.text(), "uploaded");
    uploading.closed().await;
    slow.send(ok("waited")).await;
    let answer = waiting.answer().await;
    assert_eq!(answer.text(), "waited");
    assert_eq!(answer.head.get("connection"), Some("close"), "the client is told not to come back");
    waiting.closed().await;
    assert!(!draining.is_finished(), "one is still midway");
    halfway.send("later").await;
    assert_eq!(soon(midway.wire.exactly(5)).await.unwrap(), b"later");
    midway.closed().await;
    soon(draining).await.unwrap();
    assert_eq!(world.ledger.told().statuses(), [(200, 3)]);
}

#[tokio::test]
async fn idle_connections_are_closed_when_nothing_comes_on_them_soon() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let mut world = World::start(&upstream).await;
    let mut used = world.client().await;
    assert_eq!(used.ask(world.get("/v1/x")).await.status(), 200);
    let mut fresh = world.client().await;
    let mut begun = world.client().await;
    begun.send("GET /v1/x HT").await;
    let mut frames = Frames::connect(world.address).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "bearer.test"),
        (":path", "/v1/x"),
        ("authorization", bearer.as_str()),
    ];
    frames.headers(1, &fields, END_STREAM).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    // A request on another connection: those that were made before it have been accepted.
    assert_eq!(world.client().await.ask(world.get("/v1/x")).await.status(), 200);

    let draining = world.begin_drain();
    used.closed().await;
    assert_eq!(frames.outcome(3).await, Outcome::GoAway(0));
    fresh.end().await;
    begun.end().await;
    drop(frames);
    soon(draining).await.unwrap();
}

#[tokio::test]
async fn a_request_that_was_on_its_way_is_answered_and_its_client_told_to_come_back() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let mut world = World::start(&upstream).await;
    let request = world.get("/v1/x");
    let mut used = world.client().await;
    assert_eq!(used.ask(&request).await.head.get("connection"), None);
    let mut others = world.client().await;
    others.ask(&request).await;
    let draining = world.begin_drain();
    // The other one is told by the drain itself that it has begun.
    until_refused(&world).await;
    let answer = used.ask(&request).await;
    assert_eq!((answer.status(), answer.head.get("connection")), (200, Some("close")));
    used.closed().await;
    others.closed().await;
    soon(draining).await.unwrap();
}

#[tokio::test]
async fn http2_streams_in_flight_are_finished_after_goaway() {
    let (mut world, mut upstream) = world().await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let fields = |path| {
        [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "bearer.test"),
            (":path", path),
            ("authorization", bearer.as_str()),
        ]
    };
    let mut frames = Frames::connect(world.address).await;
    frames.headers(1, &fields("/v1/x"), END_STREAM).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst").await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    let draining = world.begin_drain();
    // Twice: a warning, and after a round trip the last stream that will be served.
    assert_eq!(frames.outcome(3).await, Outcome::GoAway(0));
    assert_eq!(frames.outcome(3).await, Outcome::GoAway(0));
    frames.headers(3, &fields("/v1/late"), END_STREAM).await;
    connection.send("later").await;
    let mut body = Vec::new();
    while let Some(frame) = frames.next().await {
        assert!(frame.stream != 3 || frame.kind == RST_STREAM, "{frame:?}");
        if frame.kind == DATA {
            body.extend_from_slice(&frame.payload);
        }
    }
    assert_eq!(body, b"later", "what came before was skipped above");
    soon(draining).await.unwrap();
    assert!(!upstream.saw("/v1/late"));
    assert_eq!(world.ledger.told().statuses(), [(200, 1)]);
}

#[tokio::test]
async fn the_deadline_cuts_what_does_not_end() {
    let upstream_and_world = async || {
        let upstream = Upstream::scripted().await;
        let world = World::with(upstream.address, |setup| {
            setup.settings.deadlines.drain = millis(200);
        })
        .await;
        (upstream, world)
    };
    let (mut upstream, mut world) = upstream_and_world().await;
    let mut stream = world.client().await;
    stream.send(world.get("/v1/endless")).await;
    let mut endless = upstream.next().await;
    endless.request().await;
    endless
        .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        .await;
    stream.head().await;
    assert_eq!(soon(stream.wire.chunk()).await.unwrap(), b"a");
    let mut socket = world.client().await;
    let wants = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    socket.send(world.request("GET /v1/socket", wants, "")).await;
    let mut tunnel = upstream.next().await;
    tunnel.request().await;
    tunnel
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await;
    assert_eq!(socket.head().await.status(), 101);
    socket.send("words").await;
    assert_eq!(soon(tunnel.wire.exactly(5)).await.unwrap(), b"words");

    let draining = world.begin_drain();
    soon(draining).await.unwrap();
    let end = stream.end().await;
    assert!(!end.bytes.ends_with(b"0\r\n\r\n"), "a cut stream has no clean end: {end:?}");
    socket.closed().await;
    endless.closed().await;
    tunnel.closed().await;
    // What is cut is recorded like everything else.
    let told = world.ledger.told();
    assert_eq!(told.statuses(), [(101, 1), (200, 1)]);
    let passed =
        |(scope, sums): &(UsageScope, UsageSums)| (scope.status, sums.bytes_in, sums.bytes_out);
    let mut passed: Vec<_> = told.rows.iter().map(passed).collect();
    passed.sort_unstable();
    assert_eq!(passed, [(101, 5, 0), (200, 0, 1)]);
}

#[tokio::test]
async fn dropping_the_gateway_stops_it_too() {
    let (world, _upstream) = world().await;
    let address = world.address;
    drop(world);
    soon(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
