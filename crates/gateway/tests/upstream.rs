//! What upstreams do wrong is told apart, never passed on, and never touches the next request.

use keyward_gateway::Settings;

use crate::world::{
    World,
    message::{answer, ok},
    millis, soon,
    tls::Authority,
    upstream::{Upstream, UpstreamConnection},
};

#[tokio::test]
async fn nobody_there_is_a_bad_gateway() {
    let world = World::with(Upstream::nobody(), |_| {}).await;
    let answer = world.client().await.ask(world.get("/v1/x")).await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("bad_gateway"), "{answer:?}");
    assert_eq!(answer.head.get("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn an_upstream_whose_credential_is_missing_is_not_called_without_one() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::with(upstream.address, |setup| {
        setup.target.credential = None;
        setup.target.credential_missing = true;
    })
    .await;
    assert_eq!(world.client().await.ask(world.get("/v1/x")).await.status(), 502);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_bad_gateway() {
    let world = World::with(Upstream::nobody(), |setup| {
        setup.target.host = "no-such-host.invalid".into();
    })
    .await;
    assert_eq!(world.client().await.ask(world.get("/v1/x")).await.status(), 502);
}

#[tokio::test]
async fn no_first_byte_in_time_is_a_gateway_timeout() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.deadlines.first_byte = millis(200);
    })
    .await;
    let mut client = world.client().await;
    client.send(world.get("/v1/x")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 504);
    assert!(answer.text().contains("gateway_timeout"), "{answer:?}");
    // The connection that owes an answer is never used again.
    connection.closed().await;
    client.send(world.get("/v1/y")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(ok("fine")).await;
    assert_eq!(client.answer().await.text(), "fine");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_gateway_timeout() {
    // A server that accepts and says nothing: the TLS handshake waits for it.
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.target.tls = true;
        setup.settings.deadlines.connect = millis(200);
    })
    .await;
    let mut client = world.client().await;
    client.send(world.get("/v1/x")).await;
    let mut connection = upstream.next().await;
    assert_eq!(client.answer().await.status(), 504);
    connection.closed().await;
}

#[tokio::test]
async fn a_connection_that_no_request_needs_is_closed_and_one_in_use_is_kept() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.deadlines.upstream_idle = millis(200);
    })
    .await;
    let (mut first, mut second) = (world.client().await, world.client().await);
    first.send(world.get("/v1/x")).await;
    let mut unneeded = upstream.next().await;
    unneeded.request().await;
    second.send(world.get("/v1/x")).await;
    let mut used = upstream.next().await;
    used.request().await;
    unneeded.send(ok("fine")).await;
    assert_eq!(first.answer().await.text(), "fine");
    used.send(ok("fine")).await;
    assert_eq!(second.answer().await.text(), "fine");

    let mut use_once = async || {
        first.send(world.get("/v1/x")).await;
        used.request().await;
        used.send(ok("fine")).await;
        assert_eq!(first.answer().await.text(), "fine");
    };
    let closing = tokio::spawn(async move { unneeded.closed().await });
    while !closing.is_finished() {
        use_once().await;
    }
    assert_eq!(closing.await.unwrap(), b"");
    use_once().await;
    used.closed().await;
}

#[tokio::test]
async fn an_answer_that_stops_midway_is_broken_off() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.deadlines.upstream_stall = millis(200);
    })
    .await;
    let mut client = world.client().await;
    client.send(world.get("/v1/x")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst").await;
    client.head().await;
    assert_eq!(client.end().await.bytes, b"first");
    connection.closed().await;
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_bad_gateway() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let large = format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "a".repeat(200_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: 1\r\n".repeat(300));
    for (what, bytes) in [
        ("nothing", ""),
        ("garbage", "garbage\r\n\r\n"),
        ("HTTP/0.9", "<html>fine</html>"),
        ("half a head", "HTTP/1.1 200 OK\r\ncontent-le"),
        ("no status", "HTTP/1.1 fine\r\n\r\n"),
        ("HTTP/2", "HTTP/2 200\r\n\r\n"),
        ("a space before the colon", "HTTP/1.1 200 OK\r\nx-a : 1\r\n\r\n"),
        ("a folded value", "HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\n\r\n"),
        ("NUL", "HTTP/1.1 200 OK\r\nx-a: \0\r\n\r\n"),
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        ("a length of letters", "HTTP/1.1 200 OK\r\ncontent-length: ab\r\n\r\nab"),
        ("TLS", "\x15\x03\x01\x00\x02\x02\x28"),
        ("a large head", &large),
        ("many headers", &many),
    ] {
        let mut client = world.client().await;
        client.send(world.get("/v1/x")).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send(bytes).await;
        drop(connection);
        let answer = client.answer().await;
        assert_eq!(answer.status(), 502, "{what}: {answer:?}");
        assert!(answer.text().contains("bad_gateway"), "{what}");
        // It is the upstream's fault alone: the client's connection goes on.
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status(), 404, "{what}");
    }
}

#[tokio::test]
async fn an_answer_with_two_framings_is_passed_on_with_one() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    client.send(world.get("/v1/x")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection
        .send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n")
        .await;
    let answer = client.answer().await;
    let framings = ["content-length", "transfer-encoding"].map(|name| answer.head.has(name));
    assert!(
        answer.status() == 502 || framings.iter().filter(|has| **has).count() == 1,
        "{answer:?}"
    );
    assert!(answer.status() == 502 || answer.text() == "fine", "{answer:?}");
}

#[tokio::test]
async fn an_answer_in_a_coding_that_is_not_ours_is_a_bad_gateway() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    for (version, coding) in
        [("1.1", "gzip, chunked"), ("1.1", "gzip"), ("1.1", "chunked, chunked"), ("1.0", "chunked")]
    {
        let mut client = world.client().await;
        client.send(world.get("/v1/x")).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connection
            .send(format!(
                "HTTP/{version} 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n4\r\nfine\r\n0\r\n\r\n"
            ))
            .await;
        drop(connection);
        // Passed on without its coding, it would be something else.
        assert_eq!(client.answer().await.status(), 502, "{version} {coding}");
    }
}

#[tokio::test]
async fn a_length_that_is_told_twice_is_passed_on_once() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    for lengths in ["content-length: 4\r\ncontent-length: 4", "content-length: 4, 4"] {
        let mut client = world.client().await;
        client.send(world.get("/v1/x")).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send(format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\nfine")).await;
        drop(connection);
        let answer = client.answer().await;
        let told = answer.head.all("content-length");
        let once = told == ["4"] && answer.text() == "fine";
        assert!(answer.status() == 502 || once, "{lengths}: {answer:?}");
    }
}

#[tokio::test]
async fn large_heads_of_answers_pass() {
    let upstream = Upstream::answering(|_| {
        answer("200 OK", &format!("x-a: {}\r\n", "a".repeat(40_000)), "fine")
    })
    .await;
    let world = World::start(&upstream).await;
    let answer = world.client().await.ask(world.get("/v1/x")).await;
    assert_eq!((answer.status(), answer.head.get("x-a").map(str::len)), (200, Some(40_000)));
}

#[tokio::test]
async fn an_upstream_that_takes_no_upload_is_a_gateway_timeout() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.deadlines.first_byte = millis(200);
    })
    .await;
    let mut client = world.client().await;
    client.send(world.request("POST /v1/x", "Content-Length: 1000000000\r\n", "")).await;
    let mut connection = upstream.next().await;
    connection.wire.head().await;
    let piece = vec![b'a'; 1 << 20];
    // Until the gateway takes no more; then it answers, and hangs up on both, though the upstream still does not read.
    let (wire, mut writing) = client.wire.split();
    client.wire = wire;
    let sending = tokio::spawn(async move { while writing.try_send(&piece).await.is_ok() {} });
    assert_eq!(client.answer().await.status(), 504);
    soon(sending).await.unwrap();
    connection.closed().await;
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_is_a_bad_gateway() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    client.send(world.get("/v1/x")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection
        .send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\ntunnel")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    connection.closed().await;
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status(), 404);
}

#[tokio::test]
async fn one_connection_serves_one_client_after_another() {
    let upstream = Upstream::answering(|request| ok(&request.head.line)).await;
    let world = World::start(&upstream).await;
    let mut kept = world.client().await;
    for n in 0..100 {
        let path = format!("/v1/{n}");
        let answer = match n % 2 {
            0 => kept.ask(world.get(&path)).await,
            _ => world.client().await.ask(world.post(&path, "a body")).await,
        };
        assert!(answer.text().contains(&format!(" {path} ")), "{answer:?}");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn concurrent_requests_have_a_connection_each_and_few_are_kept() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.limits.idle_upstream_connections = 2;
    })
    .await;
    let mut clients = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut client = world.client().await;
        client.send(world.get("/v1/x")).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        clients.push(client);
        connections.push(connection);
    }
    for (client, connection) in clients.iter_mut().zip(&mut connections) {
        connection.send(ok("fine")).await;
        assert_eq!(client.answer().await.status(), 200);
    }
    let (kept, surplus) = connections.split_at_mut(2);
    for connection in surplus {
        connection.closed().await;
    }
    // Last in, first out: the most lately used is the least likely to be stale.
    clients[0].send(world.get("/v1/again")).await;
    assert!(kept[1].request().await.head.line.contains("again"));
}

/// Sends a first request and gives the connection on which it came, answered and idle.
async fn idle(world: &World, upstream: &mut Upstream, answer: &[u8]) -> UpstreamConnection {
    let mut client = world.client().await;
    client.send(world.get("/v1/first")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(answer).await;
    assert_eq!(client.answer().await.text(), "first");
    connection
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_replaced_unnoticed() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    for reset in [false, true] {
        for body in ["", "a body that is sent again"] {
            let connection = idle(&world, &mut upstream, &ok("first")).await;
            if reset {
                connection.reset();
            } else {
                drop(connection);
            }
            let mut client = world.client().await;
            client.send(world.post("/v1/second", body)).await;
            let mut connection = upstream.next().await;
            assert_eq!(connection.request().await.body, body.as_bytes());
            connection.send(answer("200 OK", "connection: close\r\n", "second")).await;
            assert_eq!(client.answer().await.text(), "second");
        }
    }
}

#[tokio::test]
async fn what_an_upstream_says_unasked_is_nobodys_answer() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let forged = ok("forged");
    let with_answer = [ok("first"), forged.clone()].concat();
    let chunked =
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n", &*forged]
            .concat();
    for first in [&with_answer, &chunked] {
        let mut connection = idle(&world, &mut upstream, first).await;
        // Told by the gateway's own hang-up that the stray bytes were noticed.
        connection.closed().await;
        second_is_sound(&world, &mut upstream).await;
    }
    // Later, when the connection lies idle.
    let mut connection = idle(&world, &mut upstream, &ok("first")).await;
    connection.send(&forged).await;
    connection.closed().await;
    second_is_sound(&world, &mut upstream).await;
    // Without waiting for anything: whichever comes first at the gateway, a forged answer is never taken.
    for _ in 0..20 {
        let connection = idle(&world, &mut upstream, &with_answer).await;
        second_is_sound(&world, &mut upstream).await;
        drop(connection);
    }
}

async fn second_is_sound(world: &World, upstream: &mut Upstream) {
    let mut client = world.client().await;
    client.send(world.get("/v1/second")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(answer("200 OK", "connection: close\r\n", "second")).await;
    assert_eq!(client.answer().await.text(), "second");
}

#[tokio::test]
async fn a_body_where_none_belongs_is_nobodys_answer() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    for (method, first) in [
        ("HEAD", ok("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")),
        ("GET", answer("204 No Content", "", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")),
        (
            "GET",
            answer("304 Not Modified", "", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"),
        ),
    ] {
        let mut client = world.client().await;
        client.send(world.request(&format!("{method} /v1/first"), "", "")).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send(&first).await;
        let answer = client.answer_to_head().await;
        assert!(matches!(answer.status(), 200 | 204 | 304), "{method}: {answer:?}");
        // RFC 9110, 8.6.
        assert!(answer.status() != 204 || !answer.head.has("content-length"), "{answer:?}");
        connection.closed().await;
        second_is_sound(&world, &mut upstream).await;
    }
}

#[tokio::test]
async fn a_connection_is_used_again_only_after_a_clean_end() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    for first in [
        answer("200 OK", "connection: close\r\n", "first"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nfirst".to_vec(),
    ] {
        let mut connection = idle(&world, &mut upstream, &first).await;
        connection.closed().await;
    }
    let mut client = world.client().await;
    client.send(world.get("/v1/left")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst").await;
    client.head().await;
    drop(client);
    connection.closed().await;
}

#[tokio::test]
async fn the_base_path_stands_before_every_path() {
    let mut upstream = Upstream::scripted().await;
    let world =
        World::with(upstream.address, |setup| setup.target.base_path = "/base".into()).await;
    for (sent, seen) in [
        ("/v1/x", "/base/v1/x"),
        ("/v1/x?a=/../b", "/base/v1/x?a=/../b"),
        ("/v1/x/", "/base/v1/x/"),
    ] {
        let mut client = world.client().await;
        client.send(world.get(sent)).await;
        let mut connection = upstream.next().await;
        assert_eq!(connection.request().await.head.line, format!("GET {seen} HTTP/1.1"));
        connection.send(answer("200 OK", "connection: close\r\n", "")).await;
        assert_eq!(client.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn an_absolute_target_is_forwarded_as_its_path() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    client.send(world.get("http://bearer.test/v1/x?a=b")).await;
    let mut connection = upstream.next().await;
    assert_eq!(connection.request().await.head.line, "GET /v1/x?a=b HTTP/1.1");
    connection.send(ok("")).await;
    assert_eq!(client.answer().await.status(), 200);
}

/// A gateway in front of an upstream with a certificate for `name`, trusting `trusted`.
async fn over_tls(name: &str, own: &Authority, trusted: &Authority) -> (World, Upstream) {
    let upstream = Upstream::scripted_tls(own.server(&[name])).await;
    let ca = trusted.ca_file();
    let world = World::with(upstream.address, |setup| {
        setup.target.tls = true;
        setup.target.host = "localhost".into();
        setup.settings = Settings { upstream_ca: Some(ca), ..Settings::default() };
    })
    .await;
    (world, upstream)
}

#[tokio::test]
async fn an_upstream_by_tls_is_trusted_by_the_configured_authority() {
    let authority = Authority::new();
    let (world, mut upstream) = over_tls("localhost", &authority, &authority).await;
    for n in 0..3 {
        let mut client = world.client().await;
        client.send(world.get(&format!("/v1/{n}"))).await;
        if n == 0 {
            let mut connection = upstream.next().await;
            let seen = connection.request().await;
            assert_eq!(
                seen.head.get("host"),
                Some(format!("localhost:{}", upstream.address.port()).as_str())
            );
            connection.send(ok("0")).await;
            assert_eq!(client.answer().await.text(), "0");
            // The connection lives on in a task that answers the others.
            tokio::spawn(async move {
                loop {
                    connection.request().await;
                    connection.send(ok("again")).await;
                }
            });
        } else {
            assert_eq!(client.answer().await.text(), "again");
        }
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_name_is_a_bad_gateway() {
    let (ours, other) = (Authority::new(), Authority::new());
    for (name, own) in [("localhost", &other), ("elsewhere.test", &ours)] {
        let (world, upstream) = over_tls(name, own, &ours).await;
        let answer = soon(async { world.client().await.ask(world.get("/v1/x")).await }).await;
        assert_eq!(answer.status(), 502, "{name}: {answer:?}");
        assert!(
            !upstream.saw("/v1/x") && !upstream.saw(UPSTREAM_KEY),
            "{name}: not a byte of the request"
        );
    }
}

const UPSTREAM_KEY: &str = crate::world::UPSTREAM_SECRET;
