//! Whoever breaks off, breaks the other side too: nothing is left behind, and no part is passed off as the whole.

use http_body_util::BodyExt;

use crate::{
    streaming::{piece, world},
    world::{World, http2, message::ok, millis, soon, upstream::Upstream},
};

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_upstreams_work() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    client.send(world.get("/v1/slow")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    drop(client);
    connection.closed().await;
    let told = world.drain().await;
    assert_eq!(told.only().0.status, 499);
}

#[tokio::test]
async fn a_client_that_leaves_midway_ends_the_upstreams_work_and_is_recorded_as_far_as_it_came() {
    for reset in [false, true] {
        let (world, mut upstream) = world().await;
        let mut client = world.client().await;
        client.send(world.get("/v1/slow")).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst").await;
        client.head().await;
        assert_eq!(soon(client.wire.exactly(5)).await.unwrap(), b"first");
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        connection.closed().await;
        let told = world.drain().await;
        let (scope, sums) = told.only();
        assert_eq!((scope.status, sums.bytes_out), (200, 5));
    }
}

#[tokio::test]
async fn an_http2_client_that_leaves_ends_the_upstreams_work() {
    let (world, mut upstream) = world().await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let request = || {
        http::Request::get("http://bearer.test/v1/slow")
            .header("authorization", &bearer)
            .body(http2::full(""))
            .unwrap()
    };
    let mut sender = http2::connect(world.address).await;
    // Before the answer.
    let mut other = sender.clone();
    let first = request();
    let waiting = tokio::spawn(async move { other.send_request(first).await });
    let mut connection = upstream.next().await;
    connection.request().await;
    waiting.abort();
    connection.closed().await;
    // And midway; the connection itself goes on.
    let sending = tokio::spawn({
        let request = request();
        let mut sender = sender.clone();
        async move { sender.send_request(request).await.unwrap() }
    });
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst").await;
    let mut answer = soon(sending).await.unwrap().into_body();
    assert_eq!(soon(answer.frame()).await.unwrap().unwrap().into_data().unwrap(), "first");
    drop(answer);
    connection.closed().await;
    let sending = tokio::spawn({
        let request = request();
        async move { sender.send_request(request).await.unwrap().status() }
    });
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(ok("")).await;
    assert_eq!(soon(sending).await.unwrap(), 200);
    let told = world.drain().await;
    assert_eq!(told.statuses(), [(200, 2), (499, 1)]);
}

#[tokio::test]
async fn a_client_that_leaves_midway_through_its_upload_ends_the_upstreams_work() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    client.send(world.request("POST /v1/x", "Content-Length: 100000\r\n", "first")).await;
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    assert_eq!(soon(connection.wire.exactly(5)).await.unwrap(), b"first");
    drop(client);
    assert_eq!(connection.closed().await, b"");
    let told = world.drain().await;
    let (scope, sums) = told.only();
    assert_eq!(sums.bytes_in, 5);
    assert!(scope.status == 400 || scope.status == 499, "{scope:?}");
}

#[tokio::test]
async fn a_client_that_leaves_an_upload_that_nobody_takes_leaves_nothing_behind() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.deadlines.upstream_stall = millis(300);
    })
    .await;
    let mut client = world.client().await;
    client.send(world.request("POST /v1/x", "Content-Length: 1000000000\r\n", "")).await;
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    let (wire, mut writing) = client.wire.split();
    client.wire = wire;
    let sending = tokio::spawn(async move { while writing.try_send(&piece(0)).await.is_ok() {} });
    // An answer, though nothing of the upload was read; and the upstream goes on not reading.
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst").await;
    client.head().await;
    assert_eq!(soon(client.wire.exactly(5)).await.unwrap(), b"first");
    sending.abort();
    // It is over, by the abort or by itself.
    let _ = soon(sending).await;
    client.reset();
    // Nobody reads from this client, so nobody notices; what ends the exchange is the upstream's own deadline.
    let told = world.drain().await;
    assert_eq!((told.only().0.status, told.only().1.bytes_out), (200, 5));
    drop(connection);
}

#[tokio::test]
async fn an_answer_that_ends_before_an_upload_that_nobody_takes_ends_it() {
    let (world, mut upstream) = world().await;
    let mut client = world.client().await;
    client.send(world.request("POST /v1/x", "Content-Length: 1000000000\r\n", "")).await;
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    let (wire, mut writing) = client.wire.split();
    client.wire = wire;
    let sending = tokio::spawn(async move { while writing.try_send(&piece(0)).await.is_ok() {} });
    connection.send(ok("enough")).await;
    assert_eq!(client.answer().await.text(), "enough");
    soon(sending).await.unwrap();
    drop(client);
    let told = world.drain().await;
    assert_eq!(told.only().0.status, 200);
    drop(connection);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_passed_off_as_whole() {
    let (world, mut upstream) = world().await;
    for (what, version, head, reset) in [
        ("a length", "1.1", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst", false),
        (
            "chunks",
            "1.1",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
            false,
        ),
        (
            "chunks, reset",
            "1.1",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
            true,
        ),
        (
            "a chunk",
            "1.1",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nfirst",
            false,
        ),
        (
            "a bad chunk",
            "1.1",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirstXX\r\n",
            true,
        ),
        ("until the end, reset", "1.1", "HTTP/1.1 200 OK\r\n\r\nfirst", true),
        // An HTTP/1.0 client takes the end of the connection for the end of the answer, unless it is a reset.
        (
            "chunks for HTTP/1.0",
            "1.0",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
            false,
        ),
        (
            "a length for HTTP/1.0",
            "1.0",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst",
            false,
        ),
    ] {
        let mut client = world.client().await;
        client.send(world.get("/v1/x").replace("HTTP/1.1", &format!("HTTP/{version}"))).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send(head).await;
        let answer = client.head().await;
        assert_eq!(answer.status(), 200, "{what}");
        let chunked = answer.has("transfer-encoding");
        let first = match chunked {
            true => soon(client.wire.chunk()).await.unwrap(),
            false => soon(client.wire.exactly(5)).await.unwrap(),
        };
        assert_eq!(first, b"first", "{what}");
        if reset {
            connection.reset();
        } else {
            drop(connection);
        }
        let end = client.end().await;
        assert!(end.bytes.is_empty(), "{what}: not even a last chunk: {end:?}");
        let closes = !chunked && answer.get("content-length").is_none();
        assert!(end.reset || !closes, "{what}: a clean end says that it was whole");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_resets_its_http2_stream_alone() {
    let (world, mut upstream) = world().await;
    let sender = http2::connect(world.address).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let send = || {
        let request = http::Request::get("http://bearer.test/v1/x")
            .header("authorization", &bearer)
            .body(http2::full(""))
            .unwrap();
        let mut sender = sender.clone();
        tokio::spawn(async move { sender.send_request(request).await.unwrap() })
    };
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
    ] {
        let answer = send();
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send(head).await;
        let mut body = soon(answer).await.unwrap().into_body();
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "first");
        drop(connection);
        assert!(soon(body.frame()).await.unwrap().is_err(), "{head}");
    }
    let answer = send();
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(ok("fine")).await;
    let body = soon(answer).await.unwrap().into_body();
    assert_eq!(soon(body.collect()).await.unwrap().to_bytes(), "fine");
}
