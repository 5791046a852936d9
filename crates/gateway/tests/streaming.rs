//! Bodies of any size pass as they come, both ways, and a part is never passed off as the whole.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use tokio::sync::mpsc;

use crate::world::{
    World, http2,
    message::{answer, ok},
    millis, soon,
    upstream::{Upstream, UpstreamConnection},
};

const LARGE: usize = 64 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// The n-th piece of a large body: no two alike.
pub fn piece(n: usize) -> Vec<u8> {
    let seed = u8::try_from(n % 251).unwrap();
    (0..PIECE).map(|at| seed.wrapping_mul(31).wrapping_add((at % 253) as u8)).collect()
}

/// Checks a large body as it comes, without keeping it.
#[derive(Default)]
struct Expected {
    received: usize,
    current: Vec<u8>,
}

impl Expected {
    fn take(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let at = self.received % PIECE;
            if at == 0 {
                self.current = piece(self.received / PIECE);
            }
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE - at));
            assert!(self.current[at..at + now.len()] == *now, "wrong bytes near {}", self.received);
            self.received += now.len();
            bytes = rest;
        }
    }
}

pub async fn world() -> (World, Upstream) {
    let upstream = Upstream::scripted().await;
    (World::start(&upstream).await, upstream)
}

#[tokio::test]
async fn a_large_upload_arrives_whole() {
    for chunked in [false, true] {
        let (world, mut upstream) = world().await;
        let mut client = world.client().await;
        let framing = match chunked {
            true => "Transfer-Encoding: chunked\r\n".to_owned(),
            false => format!("Content-Length: {LARGE}\r\n"),
        };
        client.send(world.request("POST /v1/upload", &framing, "")).await;
        let mut connection = upstream.next().await;
        let receiving = tokio::spawn(async move {
            let head = connection.wire.head().await;
            let mut expected = Expected::default();
            while expected.received < LARGE {
                let bytes = match head.has("transfer-encoding") {
                    true => connection.wire.chunk().await.unwrap(),
                    false => connection.wire.some().await.unwrap(),
                };
                assert!(!bytes.is_empty());
                expected.take(&bytes);
            }
            if head.has("transfer-encoding") {
                assert!(connection.wire.chunk().await.unwrap().is_empty());
                connection.wire.trailers().await.unwrap();
            }
            connection.send(ok("all")).await;
            connection
        });
        for n in 0..LARGE / PIECE {
            if chunked {
                client.send(format!("{PIECE:x}\r\n")).await;
            }
            client.send(piece(n)).await;
            if chunked {
                client.send("\r\n").await;
            }
        }
        if chunked {
            client.send("0\r\n\r\n").await;
        }
        assert_eq!(client.answer().await.text(), "all");
        drop(receiving.await.unwrap());
        let told = world.drain().await;
        assert_eq!(told.only().1.bytes_in, LARGE as u64);
    }
}

async fn send_large(connection: &mut UpstreamConnection, chunked: bool) {
    connection.request().await;
    let framing = match chunked {
        true => "transfer-encoding: chunked".to_owned(),
        false => format!("content-length: {LARGE}"),
    };
    connection.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n")).await;
    for n in 0..LARGE / PIECE {
        if chunked {
            connection.send(format!("{PIECE:x}\r\n")).await;
        }
        connection.send(piece(n)).await;
        if chunked {
            connection.send("\r\n").await;
        }
    }
    if chunked {
        connection.send("0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_large_answer_arrives_whole() {
    for chunked in [false, true] {
        let (world, mut upstream) = world().await;
        let mut client = world.client().await;
        client.send(world.get("/v1/download")).await;
        let sending = tokio::spawn(async move {
            let mut connection = upstream.next().await;
            send_large(&mut connection, chunked).await;
            connection
        });
        let head = client.head().await;
        let mut expected = Expected::default();
        while expected.received < LARGE {
            let bytes = match chunked {
                true => soon(client.wire.chunk()).await.unwrap(),
                false => soon(client.wire.some()).await.unwrap(),
            };
            assert!(!bytes.is_empty(), "{head:?} and {} bytes", expected.received);
            expected.take(&bytes);
        }
        drop(sending.await.unwrap());
        let told = world.drain().await;
        assert_eq!((told.only().0.status, told.only().1.bytes_out), (200, LARGE as u64));
    }
}

#[tokio::test]
async fn large_bodies_pass_over_http2_both_ways() {
    let (world, mut upstream) = world().await;
    let mut sender = http2::connect(world.address).await;
    let (pieces, body) = streamed();
    let request = http::Request::post("http://bearer.test/v1/both")
        .header("authorization", format!("Bearer {}", world.key("bearer")))
        .body(body)
        .unwrap();
    let serving = tokio::spawn(async move {
        let mut connection = upstream.next().await;
        let head = connection.wire.head().await;
        assert_eq!(head.get("transfer-encoding"), Some("chunked"));
        let mut expected = Expected::default();
        loop {
            let chunk = connection.wire.chunk().await.unwrap();
            if chunk.is_empty() {
                break;
            }
            expected.take(&chunk);
        }
        assert_eq!(expected.received, LARGE);
        connection.wire.trailers().await.unwrap();
        connection.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
        for n in 0..LARGE / PIECE {
            connection.send(piece(n)).await;
        }
        connection
    });
    tokio::spawn(async move {
        for n in 0..LARGE / PIECE {
            pieces.send(Bytes::from(piece(n))).await.unwrap();
        }
    });
    let answer = soon(sender.send_request(request)).await.unwrap();
    let mut body = answer.into_body();
    let mut expected = Expected::default();
    while let Some(frame) = soon(body.frame()).await {
        expected.take(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!(expected.received, LARGE);
    drop(serving.await.unwrap());
    drop(sender);
    let told = world.drain().await;
    let sums = &told.only().1;
    assert_eq!((sums.bytes_in, sums.bytes_out), (LARGE as u64, LARGE as u64));
}

/// A body that a test sends piece by piece.
fn streamed() -> (mpsc::Sender<Bytes>, http2::Body) {
    let (pieces, received) = mpsc::channel(1);
    (pieces, Pieces(received).boxed())
}

pub struct Pieces(pub mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    client.send(world.get("/v1/events")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection
        .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status(), 200);
    // The next one is sent only when the one before has arrived: whoever gathers events waits for ever.
    for event in ["data: 1\n\n", ": ping\n\n", "event: x\ndata: {}\n\n", "data: [DONE]\n\n", "\n"] {
        connection.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert_eq!(soon(client.wire.chunk()).await.unwrap(), event.as_bytes());
    }
    connection.send("0\r\n\r\n").await;
    assert!(soon(client.wire.chunk()).await.unwrap().is_empty());
}

#[tokio::test]
async fn events_arrive_one_by_one_over_http2_and_without_chunks() {
    let (world, mut upstream) = world().await;
    let mut sender = http2::connect(world.address).await;
    let request = http::Request::get("http://bearer.test/v1/events")
        .header("authorization", format!("Bearer {}", world.key("bearer")))
        .body(http2::full(""))
        .unwrap();
    let answer = tokio::spawn(async move { sender.send_request(request).await.unwrap() });
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send("HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
    let mut body = soon(answer).await.unwrap().into_body();
    for n in 0..100 {
        let event = format!("data: {n}\n\n");
        connection.send(&event).await;
        let frame = soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    drop(connection);
    let end = soon(body.frame()).await;
    // An empty frame may carry the end.
    let data = end.map(|frame| frame.unwrap().into_data().unwrap());
    assert!(data.is_none_or(|data| data.is_empty()) && body.is_end_stream());
}

#[tokio::test]
async fn upload_and_answer_pass_at_once() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    client.send(world.request("POST /v1/chatter", "Transfer-Encoding: chunked\r\n", "")).await;
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.head().await;
    for n in 0..50 {
        let piece = format!("piece {n}");
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        client.send(&chunk).await;
        assert_eq!(soon(connection.wire.chunk()).await.unwrap(), piece.as_bytes());
        connection.send(&chunk).await;
        assert_eq!(soon(client.wire.chunk()).await.unwrap(), piece.as_bytes());
    }
    client.send("0\r\n\r\n").await;
    assert!(soon(connection.wire.chunk()).await.unwrap().is_empty());
    connection.send("0\r\n\r\n").await;
    assert!(soon(client.wire.chunk()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_client_is_told_to_go_on_when_somebody_wants_its_body() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    let headers = "Content-Length: 4\r\nExpect: 100-continue\r\n";
    client.send(world.request("POST /v1/x", headers, "")).await;
    assert_eq!(client.head().await.status(), 100);
    client.send("body").await;
    let mut connection = upstream.next().await;
    let seen = connection.request().await;
    assert!(seen.body == b"body" && !seen.head.has("expect"));
    connection.send(ok("fine")).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn interim_answers_of_the_upstream_do_not_end_the_exchange() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    client.send(world.post("/v1/x", "{}")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection
        .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        .await;
    connection.send(ok("fine")).await;
    assert_eq!(client.answer().await.text(), "fine");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let upstream =
        Upstream::answering(|request| match request.head.line.split(' ').nth(1).unwrap() {
            "/v1/known" => b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec(),
            "/v1/unknown" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            "/v1/204" => b"HTTP/1.1 204 No Content\r\nx-kept: yes\r\n\r\n".to_vec(),
            "/v1/304" => {
                b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 1000\r\n\r\n".to_vec()
            }
            "/v1/empty" => ok(""),
            other => panic!("{other}"),
        })
        .await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    client.send(world.request("HEAD /v1/known", "", "")).await;
    assert_eq!(client.answer_to_head().await.head.get("content-length"), Some("1000"));
    client.send(world.request("HEAD /v1/unknown", "", "")).await;
    let unknown = client.answer_to_head().await;
    assert_eq!(unknown.head.get("content-length"), None, "a length nobody told: {unknown:?}");
    client
        .send(world.request("HEAD /v1/known", "", "").replace("bearer.test", "nobody.test"))
        .await;
    assert_eq!(client.answer_to_head().await.status(), 404);
    let no_content = client.ask(world.get("/v1/204")).await;
    assert!(no_content.status() == 204 && !no_content.head.has("content-length"), "{no_content:?}");
    let unchanged = client.ask(world.get("/v1/304")).await;
    assert_eq!((unchanged.status(), unchanged.head.get("etag")), (304, Some("\"a\"")));
    assert_eq!(client.ask(world.get("/v1/empty")).await.status(), 200);
    assert_eq!(upstream.connections(), 1, "each was clean enough to go on with");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_arrives() {
    let (world, mut upstream) = world().await;
    for closes in [true, false] {
        let mut client = world.client().await;
        client.send(world.request("POST /v1/x", "Content-Length: 10000000\r\n", "first")).await;
        let mut connection = upstream.next().await;
        connection.wire.head().await;
        connection.send(answer("413 Content Too Large", "", "too much")).await;
        if closes {
            drop(connection);
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.text()), (413, "too much"));
            client.closed().await;
        } else {
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.text()), (413, "too much"));
        }
    }
}

#[tokio::test]
async fn a_refused_body_is_read_past_and_the_connection_goes_on() {
    let (world, upstream) = world().await;
    let mut client = world.client().await;
    for _ in 0..3 {
        let refused = world.post("/v1/x", &"a".repeat(100_000)).replace("kw_", "kw-");
        let answer = client.ask(refused).await;
        assert_eq!((answer.status(), answer.head.get("connection")), (401, None));
    }
    // One that is too large to read past closes, and says so.
    let large =
        world.request("POST /v1/x", "Content-Length: 1000000000\r\n", "").replace("kw_", "kw-");
    let answer = client.ask(large).await;
    assert_eq!((answer.status(), answer.head.get("connection")), (401, Some("close")));
    client.end().await;
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_refused_body_that_never_comes_does_not_keep_its_refusal() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.deadlines.stall = millis(200);
    })
    .await;
    let mut client = world.client().await;
    let request =
        world.request("POST /v1/x", "Content-Length: 100\r\n", "first").replace("kw_", "kw-");
    let answer = client.ask(request).await;
    assert_eq!((answer.status(), answer.head.get("connection")), (401, Some("close")));
    client.closed().await;
    let told = world.drain().await;
    assert_eq!(told.statuses(), [(401, 1)]);
}

#[tokio::test]
async fn trailers_of_an_answer_pass_over_http2_and_those_of_a_request_do_not() {
    let (world, mut upstream) = world().await;
    let mut sender = http2::connect(world.address).await;
    let trailers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("x-keyward-key-id"),
        http::HeaderValue::from_static("forged"),
    )]);
    let request = http::Request::post("http://bearer.test/v1/x")
        .header("authorization", format!("Bearer {}", world.key("bearer")))
        .body(http2::full("body").with_trailers(async { Some(Ok(trailers)) }).boxed())
        .unwrap();
    let sent = tokio::spawn(async move { sender.send_request(request).await.unwrap() });
    let mut connection = upstream.next().await;
    let seen = connection.request().await;
    assert_eq!((seen.body.as_slice(), seen.trailers.len()), (&b"body"[..], 0));
    connection
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n4\r\nfine\r\n0\r\nx-t: 1\r\n\r\n")
        .await;
    let body = soon(soon(sent).await.unwrap().into_body().collect()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-t"], "1");
    assert_eq!(body.to_bytes(), "fine");
}

#[tokio::test]
async fn http2_answers_without_a_body_have_none() {
    let upstream = Upstream::answering(|request| match request.head.line.contains("204") {
        true => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        false => b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec(),
    })
    .await;
    let world = World::start(&upstream).await;
    let mut sender = http2::connect(world.address).await;
    for (method, path, status, length) in
        [("HEAD", "/v1/x", 200, Some("1000")), ("GET", "/v1/204", 204, None)]
    {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://bearer.test{path}"))
            .header("authorization", format!("Bearer {}", world.key("bearer")))
            .body(http2::full(""))
            .unwrap();
        let answer = soon(sender.send_request(request)).await.unwrap();
        assert_eq!(answer.status(), status);
        let told = answer.headers().get("content-length").map(|length| length.to_str().unwrap());
        assert_eq!(told, length, "{method}");
        assert!(soon(answer.into_body().collect()).await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn an_http2_refusal_arrives_though_the_client_goes_on_sending() {
    let (world, upstream) = world().await;
    let mut sender = http2::connect(world.address).await;
    for _ in 0..5 {
        let (pieces, body) = streamed();
        let request = http::Request::post("http://bearer.test/v1/x")
            .header("authorization", "Bearer nonsense")
            .body(body)
            .unwrap();
        tokio::spawn(async move {
            for n in 0..32 {
                if pieces.send(Bytes::from(piece(n))).await.is_err() {
                    return;
                }
            }
        });
        let answer = soon(sender.send_request(request)).await.unwrap();
        assert_eq!(answer.status(), 401);
        let body = soon(answer.into_body().collect()).await.unwrap().to_bytes();
        assert!(String::from_utf8(body.to_vec()).unwrap().contains("malformed_key"));
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_refusal_arrives_though_the_client_goes_on_sending() {
    let (world, upstream) = world().await;
    for _ in 0..20 {
        let mut client = world.client().await;
        let refused = world
            .request("POST /v1/x", &format!("Content-Length: {LARGE}\r\n"), "")
            .replace("kw_", "kw-");
        client.send(refused).await;
        // More than fits into any buffer: without somebody who reads it, closing would reset the connection, and the reset
        // would overtake the answer.
        for n in 0..8 {
            if tokio::io::AsyncWriteExt::write_all(&mut client.wire.stream, &piece(n))
                .await
                .is_err()
            {
                break;
            }
        }
        assert_eq!(client.answer().await.status(), 401);
    }
    assert_eq!(upstream.connections(), 0);
}
