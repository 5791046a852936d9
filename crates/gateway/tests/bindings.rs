//! A field that is decided on is read as the upstream will read it, and what was read is what is forwarded.

use keyward_core::key::KeyState;

use crate::world::{Minted, World, http2, message::ok, millis, soon, upstream::Upstream};

async fn world() -> (World, Upstream, Minted) {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::start(&upstream).await;
    let key = world.mint("bearer", |key| {
        key.permissions = vec!["write".to_owned()];
        key.allowed_models = Some(vec!["allowed".to_owned()]);
    });
    (world, upstream, key)
}

/// A chat with this body and these headers about it.
fn chat(key: &Minted, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/chat HTTP/1.1\r\nHost: bearer.test\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n{headers}\r\n",
        key.plaintext,
        body.len()
    );
    [head.as_bytes(), body].concat()
}

const JSON: &str = "Content-Type: application/json\r\n";

/// Bodies of a chat for who may only use the model `allowed`, and what is said to them.
const BODIES: [(u16, &[u8]); 20] = [
    (400, br#"{"model":"allowed","model":"forbidden"}"#),
    (400, br#"{"model":"forbidden","model":"allowed"}"#),
    (400, br#"{"model":"allowed","model":"allowed"}"#),
    (400, br#"{"mod\u0065l":"forbidden"}"#),
    (400, br#"{"model":"allowed","mod\u0065l":"forbidden"}"#),
    (403, br#"{"model":"forbidden"}"#),
    (403, br#"{"model":"forbidd\u0065n"}"#),
    (403, br#"{"model":"ALLOWED"}"#),
    (403, br#"{"model":"allowed "}"#),
    (400, br#"{"Model":"allowed"}"#),
    (400, br#"{"model":["allowed"]}"#),
    (400, br#"{"model":null}"#),
    (400, br#"{}"#),
    (400, br#"[{"model":"allowed"}]"#),
    (400, br#"{"model":"allowed"}{"model":"forbidden"}"#),
    (400, br#"{"model":"allowed"} x"#),
    (400, br#"{"model":"allowed",}"#),
    (400, b"\xef\xbb\xbf{\"model\":\"allowed\"}"),
    (400, b"{\"model\":\"allowed\",\"x\":\"\xff\"}"),
    (400, b""),
];

#[tokio::test]
async fn a_body_that_two_readers_could_read_differently_is_refused() {
    let (world, upstream, key) = world().await;
    for (status, body) in BODIES {
        let shown = String::from_utf8_lossy(body);
        let answer = world.client().await.ask(chat(&key, JSON, body)).await;
        assert_eq!(answer.status(), status, "{shown}: {answer:?}");
        assert!(!answer.body.is_empty(), "{shown}");
        assert_eq!(upstream.connections(), 0, "{shown}: the upstream saw something");
    }
}

/// Headers by which a body is anything but plain JSON.
const UNDECLARED: [&str; 9] = [
    "",
    "Content-Type: text/plain\r\n",
    "Content-Type: application/x-www-form-urlencoded\r\n",
    "Content-Type: multipart/form-data; boundary=x\r\n",
    "Content-Type: application/json; charset=utf-16\r\n",
    "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
    "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
    "Content-Type: application/json\r\nContent-Encoding: identity\r\nContent-Encoding: br\r\n",
    "Content-Type: application/jsonl\r\n",
];

#[tokio::test]
async fn a_body_that_is_not_declared_as_plain_json_is_refused() {
    let (world, upstream, key) = world().await;
    let body = br#"{"model":"allowed"}"#;
    for headers in UNDECLARED {
        let answer = world.client().await.ask(chat(&key, headers, body)).await;
        assert_eq!(answer.status(), 400, "{headers}: {answer:?}");
        assert_eq!(upstream.connections(), 0, "{headers}");
    }
}

#[tokio::test]
async fn what_was_decided_on_is_forwarded_byte_for_byte() {
    let (world, _, key) = world().await;
    let mut upstream = Upstream::scripted().await;
    drop(world);
    let world = World::start(&upstream).await;
    let key = Minted { plaintext: world.key("bearer").to_owned(), ..key };
    let body = "{ \"x\" : [1, 2.50e1, \"\\u00e4\\/\"],\r\n\t\"model\":\"allowed\" ,\"\":{}}  \n"
        .as_bytes();
    let chunked = [
        world
            .request("POST /v1/chat", &format!("{JSON}Transfer-Encoding: chunked\r\n"), "")
            .into_bytes(),
        body.chunks(7)
            .flat_map(|piece| {
                [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
            })
            .collect(),
        b"0\r\n\r\n".to_vec(),
    ]
    .concat();
    let mut client = world.client().await;
    let mut connection = None;
    for request in [
        chat(&key, JSON, body),
        chat(&key, "Content-Type: Application/JSON; charset=\"UTF-8\"\r\n", body),
        chat(&key, "content-type: application/vnd.api+json\r\n", body),
        chunked,
    ] {
        // In small pieces, so that it does not come in one read.
        for piece in request.chunks(50) {
            client.send(piece).await;
        }
        if connection.is_none() {
            connection = Some(upstream.next().await);
        }
        let connection = connection.as_mut().unwrap();
        let seen = connection.request().await;
        assert_eq!(seen.body, body);
        assert_eq!(seen.head.get("content-length"), Some(body.len().to_string().as_str()));
        assert!(!seen.head.has("transfer-encoding"));
        connection.send(ok("fine")).await;
        assert_eq!(client.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn what_the_connection_header_names_does_not_undo_what_was_decided_on() {
    let (world, upstream, key) = world().await;
    let headers = format!("{JSON}Connection: content-type, content-encoding, Content-Type\r\n");
    let answer = world.client().await.ask(chat(&key, &headers, br#"{"model":"allowed"}"#)).await;
    // Either refused, or forwarded with the type it was read by.
    assert!(answer.status() == 400 || upstream.saw("application/json"), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world =
        World::with(upstream.address, |setup| setup.settings.limits.decided_body_bytes = 1000)
            .await;
    let large = format!("{{\"model\":\"allowed\",\"x\":\"{}\"}}", "a".repeat(1000));
    let declared = world.client().await.ask(world.post("/v1/chat", &large)).await;
    assert_eq!(declared.status(), 413, "{declared:?}");
    let headers = format!("{JSON}Transfer-Encoding: chunked\r\n");
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let found = world.client().await.ask(world.request("POST /v1/chat", &headers, &chunk)).await;
    assert_eq!(found.status(), 413, "{found:?}");
    // A route's own limit holds for bodies nobody decides on.
    let declared = world.client().await.ask(world.post("/v1/small", &large)).await;
    assert_eq!(declared.status(), 413);
    assert_eq!(upstream.connections(), 0);
    let mut client = world.client().await;
    client.send(world.request("POST /v1/small", "Transfer-Encoding: chunked\r\n", &chunk)).await;
    assert_eq!(client.answer().await.status(), 413);
    for path in ["/v1/chat", "/v1/small"] {
        let mut sender = http2::connect(world.address).await;
        let request = http::Request::post(format!("http://bearer.test{path}"))
            .header("authorization", format!("Bearer {}", world.key("bearer")))
            .header("content-type", "application/json")
            .body(http2::full(large.clone()))
            .unwrap();
        assert_eq!(soon(sender.send_request(request)).await.unwrap().status(), 413, "{path}");
    }
    let exact = "a".repeat(1000);
    assert_eq!(world.client().await.ask(world.post("/v1/small", &exact)).await.status(), 200);
}

#[tokio::test]
async fn a_body_is_read_only_for_a_caller_that_holds_everything_else() {
    let (world, upstream, key) = world().await;
    let reader = world.mint("bearer", |key| key.permissions = vec!["read".to_owned()]);
    let unknown = Minted { plaintext: key.plaintext.replace("kw_", "kw-"), ..key.clone() };
    let expecting = |key: &Minted| {
        chat(key, &format!("{JSON}Expect: 100-continue\r\n"), br#"{"model":"allowed"}"#)
    };
    for (status, key) in [(401, &unknown), (403, &reader)] {
        let request = expecting(key);
        let head = &request[..request.len() - br#"{"model":"allowed"}"#.len()];
        let mut client = world.client().await;
        let answer = client.ask(head).await;
        // Not a 100 before it: the first thing that comes is the refusal.
        assert_eq!(answer.status(), status, "{answer:?}");
    }
    assert_eq!(upstream.connections(), 0);
    let request = expecting(&key);
    let mut client = world.client().await;
    let (head, body) = request.split_at(request.len() - br#"{"model":"allowed"}"#.len());
    client.send(head).await;
    assert_eq!(client.head().await.status(), 100);
    client.send(body).await;
    assert_eq!(client.answer().await.status(), 200);
    assert!(!upstream.saw("100-continue"));
}

#[tokio::test]
async fn a_key_that_is_revoked_while_its_body_comes_is_refused() {
    let (world, upstream, _) = world().await;
    for state in [KeyState::Revoked, KeyState::Disabled] {
        let mut revoked = None;
        let key = world.mint("bearer", |key| {
            key.permissions = vec!["write".to_owned()];
            revoked = Some(key.clone());
        });
        let request =
            chat(&key, &format!("{JSON}Expect: 100-continue\r\n"), br#"{"model":"allowed"}"#);
        let (head, body) = request.split_at(request.len() - 19);
        let mut client = world.client().await;
        client.send(head).await;
        // It is asked for its body: everything up to there was found good.
        assert_eq!(client.head().await.status(), 100);
        world.change(&key, revoked.unwrap(), state);
        client.send(body).await;
        assert_eq!(client.answer().await.status(), 401);
        assert_eq!(upstream.connections(), 0);
    }
    // The same where the body is only gathered, not decided on.
    let mut revoked = None;
    let key = world.mint("bearer", |key| {
        key.permissions = vec!["write".to_owned()];
        revoked = Some(key.clone());
    });
    let request = chat(&key, "Expect: 100-continue\r\n", b"short");
    let request = String::from_utf8(request).unwrap().replace("/v1/chat", "/v1/x");
    let (head, body) = request.split_at(request.len() - 5);
    let mut client = world.client().await;
    client.send(head).await;
    assert_eq!(client.head().await.status(), 100);
    world.change(&key, revoked.unwrap(), KeyState::Revoked);
    // A decision of the last millisecond holds; this one is let grow older.
    let changed = std::time::Instant::now();
    while changed.elapsed() < millis(2) {
        assert_eq!(
            world.client().await.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status(),
            404
        );
    }
    client.send(body).await;
    assert_eq!(client.answer().await.status(), 401);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_body_that_comes_across_a_reload_is_decided_on_by_what_is_in_force_or_not_at_all() {
    let (world, upstream, key) = world().await;
    let request = chat(&key, &format!("{JSON}Expect: 100-continue\r\n"), br#"{"model":"allowed"}"#);
    let (head, body) = request.split_at(request.len() - 19);
    let mut client = world.client().await;
    client.send(head).await;
    assert_eq!(client.head().await.status(), 100);
    world.replace_snapshot();
    client.send(body).await;
    let answer = client.answer().await;
    assert!(matches!(answer.status(), 200 | 503), "{answer:?}");
    assert_eq!(upstream.connections(), usize::from(answer.status() == 200));
    // The next one is decided on by the new snapshot.
    let whole = chat(&key, JSON, br#"{"model":"allowed"}"#);
    assert_eq!(world.client().await.ask(whole).await.status(), 200);
}

#[tokio::test]
async fn the_same_holds_over_http2() {
    let (world, upstream, key) = world().await;
    let allowed: &[u8] = br#"{"model":"allowed"}"#;
    let declared = BODIES.iter().map(|(status, body)| (*status, JSON, *body));
    let undeclared = UNDECLARED.iter().map(|headers| (400, *headers, allowed));
    for (status, headers, body) in declared.chain(undeclared).chain([(200, JSON, allowed)]) {
        assert_eq!(upstream.connections(), 0);
        // Each on a connection of its own: some of them are malformed to the library, too.
        let mut sender = http2::connect(world.address).await;
        let mut request = http::Request::post("http://bearer.test/v1/chat")
            .header("authorization", format!("Bearer {}", key.plaintext));
        for line in headers.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let answer = soon(sender.send_request(request.body(http2::full(body)).unwrap())).await;
        assert_eq!(answer.unwrap().status(), status, "{headers}{}", String::from_utf8_lossy(body));
    }
    assert!(upstream.saw(r#"{"model":"allowed"}"#));
}
