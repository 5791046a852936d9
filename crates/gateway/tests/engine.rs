//! What the engine must not lose or mix up: room, uploads beside answers, interim answers, credentials, connections.

use keyward_core::{key::Plaintext, policy::UpstreamCredential};
use tokio::net::TcpListener;

use crate::world::{
    World,
    http2::{DATA, Frames, Outcome},
    message::{Duplex, Wire, answer, find, ok},
    millis, soon,
    tls::Authority,
    upstream::Upstream,
};

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";

async fn world() -> (World, Upstream) {
    let upstream = Upstream::scripted().await;
    (World::start(&upstream).await, upstream)
}

#[tokio::test]
async fn a_body_that_was_sent_gives_its_room_back_though_its_answer_goes_on() {
    let (world, mut upstream) = world().await;
    let body = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "a".repeat(10_000_000));
    let request = world.post("/v1/chat", &body);
    let mut open = Vec::new();
    // More than the room for bodies of one core, one after the other.
    for n in 0..14 {
        let mut client = world.client().await;
        let request = request.clone();
        let sending = tokio::spawn(async move {
            client.send(request).await;
            let status = client.head().await.status();
            (client, status)
        });
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send(EVENTS).await;
        let (client, status) = soon(sending).await.unwrap();
        assert_eq!(status, 200, "{n}");
        open.push((client, connection));
    }
}

#[tokio::test]
async fn an_upload_goes_on_while_its_client_does_not_read_the_answer_yet() {
    const SIZE: usize = 64 << 20;
    let mut upstream = Upstream::scripted().await;
    let world =
        World::with(upstream.address, |setup| setup.settings.deadlines.stall = millis(3000)).await;
    let mut client = world.client().await;
    client.send(world.request("POST /v1/x", &format!("Content-Length: {SIZE}\r\n"), "")).await;
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    let (mut reading, mut writing) = connection.wire.split();
    let answering = tokio::spawn(async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        writing.try_send(head.as_bytes()).await?;
        writing.try_send(&vec![b'a'; SIZE]).await
    });
    let receiving =
        tokio::spawn(async move { reading.exactly(SIZE).await.map(|bytes| bytes.len()) });
    // All of the upload before a byte of the answer.
    assert!(soon(client.wire.try_send(&vec![b'b'; SIZE])).await.is_ok());
    assert_eq!(client.answer().await.body.len(), SIZE);
    assert_eq!(soon(receiving).await.unwrap().unwrap(), SIZE);
    soon(answering).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_http2_upload_goes_on_while_its_client_takes_nothing_of_the_answer_yet() {
    const SIZE: usize = 500_000;
    let mut upstream = Upstream::scripted().await;
    let world =
        World::with(upstream.address, |setup| setup.settings.deadlines.stall = millis(3000)).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    // A window for ten bytes of the answer; the gateway's own is 256 KiB, and opens as the upstream takes the upload.
    let mut frames = Frames::with_settings(world.address, &[(4, 10)]).await;
    let size = SIZE.to_string();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "bearer.test"),
        (":path", "/v1/x"),
        ("content-length", &size),
        ("authorization", &bearer),
    ];
    frames.headers(1, &fields, 0).await;
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    connection.send(answer("200 OK", "", &"a".repeat(100_000))).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    for _ in 0..15 {
        frames.send(DATA, 0, 1, &[b'b'; 16_000]).await;
    }
    // Nobody reads the answer: what was sent arrives nevertheless.
    assert_eq!(soon(connection.wire.exactly(240_000)).await.unwrap().len(), 240_000);
}

/// An upstream that refuses a long head before it has read it, over a path that takes little at once.
#[tokio::test]
async fn nothing_is_told_to_go_on_after_the_final_answer_has_begun() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_tcp_mss(88).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(16).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    let world = World::with(listener.local_addr().unwrap(), |setup| {
        setup.settings.limits.head_bytes = 1 << 20;
    })
    .await;
    let mut client = world.client().await;
    let pad = "a".repeat(900_000);
    let headers = format!("Content-Length: 100000\r\nExpect: 100-continue\r\nX-Pad: {pad}\r\n");
    client.send(world.request("POST /v1/x", &headers, "")).await;
    let (tcp, _) = soon(listener.accept()).await.unwrap();
    let mut wire: Wire<Box<dyn Duplex>> = Wire::new(Box::new(tcp), None);
    wire.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 60\r\n\r\nfirst").await;
    assert_eq!(client.head().await.status(), 400);
    let mut read = 0;
    while read < 900_000 {
        read += soon(wire.some()).await.unwrap().len();
    }
    // A word with the gateway: whatever it would say of the body has been said by now.
    assert_eq!(world.client().await.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status(), 404);
    wire.send("x".repeat(55)).await;
    let got = soon(client.wire.exactly(60)).await.unwrap();
    assert!(find(&got, b"HTTP/1.1").is_none(), "{:?}", String::from_utf8_lossy(&got));
}

#[tokio::test]
async fn an_expectation_ends_with_its_request() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    let expects = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n";
    client.send(world.request("POST /v1/x", expects, "0\r\n\r\n")).await;
    assert_eq!(client.answer().await.status(), 200);
    let next = world.request("POST /v1/x", "Content-Length: 4\r\n", "");
    client.send(next.replace("HTTP/1.1", "HTTP/1.0")).await;
    // A word with the gateway: the head was read by now.
    assert_eq!(world.client().await.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status(), 404);
    client.send("body").await;
    assert_eq!(client.head().await.status(), 200, "HTTP/1.0 knows no interim answers");
}

#[tokio::test]
async fn a_cookie_that_is_the_upstreams_credential_is_ours_alone() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.target.credential = Some(UpstreamCredential {
            header: "cookie".into(),
            value: Plaintext::new("session=ours".to_owned()),
        });
    })
    .await;
    let mut client = world.client().await;
    client.send(world.request("GET /v1/x", "Cookie: session=forged\r\n", "")).await;
    let mut connection = upstream.next().await;
    assert_eq!(connection.request().await.head.all("cookie"), ["session=ours"]);
}

#[tokio::test]
async fn a_key_stays_here_whichever_header_it_stands_in() {
    for (api, header) in [("cookie", "Cookie"), ("protocol", "Sec-WebSocket-Protocol")] {
        let (world, mut upstream) = world().await;
        let key = world.key(api);
        let mut client = world.client().await;
        client
            .send(format!("GET /v1/x HTTP/1.1\r\nHost: {api}.test\r\n{header}: {key}\r\n\r\n"))
            .await;
        let mut connection = upstream.next().await;
        connection.request().await;
        assert!(!upstream.saw(key), "{header}");
    }
}

#[tokio::test]
async fn a_101_has_no_length() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    let wants = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    client.send(world.request("GET /v1/x", wants, "")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection
        .send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 5\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.status() == 101 && !head.has("content-length"), "{head:?}");
}

#[tokio::test]
async fn every_answer_has_a_date_though_the_upstream_keeps_its_own_for_the_hop() {
    let upstream = Upstream::answering(|_| {
        answer("200 OK", "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: date\r\n", "")
    })
    .await;
    let world = World::start(&upstream).await;
    assert!(world.client().await.ask(world.get("/v1/x")).await.head.get("date").is_some());
}

#[tokio::test]
async fn a_refusal_midway_through_an_upload_says_that_the_connection_ends() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    let chunk = format!("{:x}\r\n{}\r\n", 900, "a".repeat(900));
    client.send(world.request("POST /v1/small", "Transfer-Encoding: chunked\r\n", &chunk)).await;
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    client.send(chunk).await;
    let refused = client.answer().await;
    assert_eq!((refused.status(), refused.head.get("connection")), (413, Some("close")));
    client.closed().await;
}

/// What an upstream says by TLS on an idle connection is noticed however much a client makes its task do before.
#[tokio::test]
async fn what_an_upstream_says_unasked_by_tls_is_nobodys_answer_in_a_busy_task_either() {
    let authority = Authority::new();
    let mut upstream = Upstream::scripted_tls(authority.server(&["localhost"])).await;
    let ca = authority.ca_file();
    let world = World::with(upstream.address, |setup| {
        setup.target.tls = true;
        setup.target.host = "localhost".into();
        setup.settings.upstream_ca = Some(ca);
    })
    .await;
    // tokio lets a task do 128 things at a time; around that many refusals, the request comes when they are used up.
    for refused in 120..132 {
        let mut client = world.client().await;
        client.send(world.get("/v1/first")).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send(ok("first")).await;
        assert_eq!(client.answer().await.text(), "first");
        connection.send(ok("forged")).await;
        tokio::time::sleep(millis(10)).await;
        let burst = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(refused);
        client.send(burst + &world.get("/v1/second")).await;
        for _ in 0..refused {
            assert_eq!(client.answer().await.status(), 404);
        }
        tokio::select! {
            forged = client.answer() => panic!("after {refused} refusals: {forged:?}"),
            mut connection = upstream.next() => {
                connection.request().await;
                connection.send(answer("200 OK", "connection: close\r\n", "second")).await;
            }
        }
        assert_eq!(client.answer().await.text(), "second");
    }
}
