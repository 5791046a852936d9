//! TLS towards clients: protocols, certificates that change, keys that came in the clear, and whose word about it counts.

use keyward_core::usage::Exposure;

use crate::world::{
    World,
    client::Client,
    http2,
    message::{answer, ok},
    soon,
    tls::Authority,
    upstream::Upstream,
};

/// A world behind TLS as well as in the clear.
async fn world() -> (World, Upstream, Authority) {
    let authority = Authority::new();
    let files = authority.write(&["first.test"]);
    let upstream = Upstream::answering(|request| {
        let seen = request.head.get("x-forwarded-proto").unwrap();
        let client = request.head.get("x-forwarded-for").unwrap();
        ok(&format!("{seen} from {client}"))
    })
    .await;
    let world =
        World::with(upstream.address, |setup| setup.listeners = vec![Some(files), None]).await;
    (world, upstream, authority)
}

#[tokio::test]
async fn the_protocol_is_agreed_on_in_the_handshake() {
    let (world, _upstream, authority) = world().await;
    for (offers, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&[], None),
    ] {
        let (mut client, protocol) =
            Client::connect_tls(world.address, "first.test", authority.client(offers))
                .await
                .unwrap();
        assert_eq!(protocol.as_deref(), agreed);
        if agreed == Some(b"h2") {
            let mut sender = http2::over(client.wire.stream).await;
            let request = http::Request::get("https://bearer.test/v1/x")
                .header("authorization", format!("Bearer {}", world.key("bearer")))
                .body(http2::full(""))
                .unwrap();
            assert_eq!(soon(sender.send_request(request)).await.unwrap().status(), 200);
        } else {
            let answer = client.ask(world.get("/v1/x")).await;
            assert_eq!(answer.text(), "https from 127.0.0.1");
        }
    }
    // Nothing in common is no connection, and TLS on the plain port is an answer in the clear.
    let foreign = authority.client(&["spdy/3"]);
    assert!(Client::connect_tls(world.address, "first.test", foreign).await.is_err());
    assert!(
        Client::connect_tls(world.addresses[1], "first.test", authority.client(&[])).await.is_err()
    );
}

#[tokio::test]
async fn real_curl_speaks_both_protocols() {
    let (world, _upstream, authority) = world().await;
    let port = world.address.port();
    let ca = authority.ca_file();
    let large = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(large.path(), vec![b'a'; 3_000_000]).unwrap();
    for version in ["--http1.1", "--http2"] {
        for body in ["", "{\"model\":\"any\"}", &format!("@{}", large.path().display())] {
            let mut curl = std::process::Command::new("curl");
            curl.args(["-sS", "-q", version, "-w", "\n%{http_code} %{http_version}", "--cacert"])
                .arg(&ca);
            curl.args(["--connect-to", &format!("first.test:443:127.0.0.1:{port}")]);
            curl.args(["-H", &format!("Authorization: Bearer {}", world.key("bearer"))]);
            curl.args(["-H", "Host: bearer.test", "https://first.test/v1/x"]);
            if !body.is_empty() {
                curl.args(["-H", "Content-Type: application/json", "--data-binary", body]);
            }
            let output = tokio::task::spawn_blocking(move || curl.output().unwrap());
            let output = soon(output).await.unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let expected = match version {
                "--http2" => "https from 127.0.0.1\n200 2",
                _ => "https from 127.0.0.1\n200 1.1",
            };
            assert_eq!(
                text,
                expected,
                "{version} {body:.30}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[tokio::test]
async fn what_is_refused_in_the_clear_is_refused_behind_tls() {
    let (world, upstream, authority) = world().await;
    let framed_twice = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    for (request, status) in [
        (world.request("POST /v1/marked", framed_twice, "0\r\n\r\n"), 400),
        (world.get("/v1/marked").replace("\r\n", "\n"), 400),
        (world.get("/v1/marked").replace("Host:", "Host :"), 400),
        (world.get("/v1/%2e%2e/marked"), 400),
        // HTTP/2 without having agreed on it.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
    ] {
        let config = authority.client(&["http/1.1"]);
        let (mut client, _) =
            Client::connect_tls(world.address, "first.test", config).await.unwrap();
        assert_eq!(client.ask(&request).await.status(), status, "{request}");
        assert!(!upstream.saw("marked"));
    }
}

/// Whether a new handshake at this address shows a certificate for the name.
async fn shows(world: &World, at: usize, name: &str, authority: &Authority) -> bool {
    Client::connect_tls(world.addresses[at], name, authority.client(&[])).await.is_ok()
}

#[tokio::test]
async fn a_changed_certificate_is_shown_and_a_broken_one_is_not() {
    let (changed, clock) = (Authority::new(), Authority::new());
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let listeners = vec![Some(changed.write(&["first.test"])), Some(clock.write(&["first.test"]))];
    let world = World::with(upstream.address, |setup| setup.listeners = listeners).await;
    let files = changed.files();
    assert!(shows(&world, 0, "first.test", &changed).await);
    let (mut open, _) =
        Client::connect_tls(world.address, "first.test", changed.client(&[])).await.unwrap();

    // Half-written, without a key, empty, and with a key that is another's. The second listener's files are looked at after
    // the first's: once it shows what was written after these, these were looked at.
    let second = changed.issue(&["second.test"]);
    let other = changed.issue(&["other.test"]);
    for (n, (certificate, key)) in [
        (&second.certificate[..second.certificate.len() / 2], second.key.as_str()),
        (&second.certificate, &second.key[..second.key.len() / 2]),
        ("", ""),
        (&second.certificate, &other.key),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        let name = format!("tick-{n}.test");
        clock.write(&[&name]);
        soon(async {
            while !shows(&world, 1, &name, &clock).await {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(shows(&world, 0, "first.test", &changed).await, "{n}");
    }

    changed.write(&["second.test"]);
    soon(async { while !shows(&world, 0, "second.test", &changed).await {} }).await;
    assert!(!shows(&world, 0, "first.test", &changed).await);
    // Who was connected stays connected.
    assert_eq!(open.ask(world.get("/v1/x")).await.status(), 200);
}

fn secure(headers: &str, key: &str) -> String {
    format!(
        "GET /v1/x HTTP/1.1\r\nHost: secure.test\r\nAuthorization: Bearer {key}\r\n{headers}\r\n"
    )
}

#[tokio::test]
async fn a_key_in_the_clear_where_tls_is_demanded_is_refused_and_told_on() {
    let (world, upstream, authority) = world().await;
    let key = world.key("secure").to_owned();
    let mut client = Client::connect(world.addresses[1]).await;
    let refused = client.ask(secure("", &key)).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.text().starts_with("{\"sorry\":\"Only by HTTPS, req_"), "{}", refused.text());
    assert!(!refused.head.has("location"), "never redirected");
    // A claim of a peer that is no proxy of ours changes nothing.
    let claims = "X-Forwarded-Proto: https\r\nForwarded: proto=https\r\n";
    assert_eq!(client.ask(secure(claims, &key)).await.status(), 403);
    // What is no key cannot be told on.
    assert_eq!(client.ask(secure("", "nonsense")).await.status(), 403);
    assert!(!upstream.saw("/v1/x"));
    let (mut client, _) =
        Client::connect_tls(world.address, "first.test", authority.client(&[])).await.unwrap();
    assert_eq!(client.ask(secure("", &key)).await.status(), 200);
    drop(client);
    let exposed = world.minted("secure").key;
    let told = world.drain().await;
    assert_eq!(told.exposures.len(), 2, "{:?}", told.exposures);
    for Exposure { key, from, disable, .. } in told.exposures {
        assert_eq!((key, from.to_string(), disable), (exposed, "127.0.0.1".to_owned(), true));
    }
}

#[tokio::test]
async fn a_trusted_proxys_word_counts() {
    let upstream = Upstream::answering(|request| {
        let seen =
            ["x-forwarded-proto", "x-forwarded-for"].map(|name| request.head.get(name).unwrap());
        answer("200 OK", "", &seen.join(" from "))
    })
    .await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.trusted_proxies =
            vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    })
    .await;
    let key = world.key("secure");
    let mut client = world.client().await;
    let https = |forwarded: &str| format!("X-Forwarded-Proto: https\r\n{forwarded}");
    let from = |list: &str| https(&format!("X-Forwarded-For: {list}\r\n"));
    for (headers, expected) in [
        (https(""), Ok("127.0.0.1")),
        ("X-Forwarded-Proto: HTTPS\r\n".to_owned(), Ok("127.0.0.1")),
        (from("203.0.113.7"), Ok("203.0.113.7")),
        // The last that is no proxy of ours is the client: what stands before it, anybody can have sent.
        (from("6.6.6.6, 203.0.113.7, 10.0.0.1"), Ok("203.0.113.7")),
        (from("nonsense, 203.0.113.7"), Ok("203.0.113.7")),
        (https("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.7\r\n"), Ok("203.0.113.7")),
        (from("::ffff:203.0.113.7"), Ok("203.0.113.7")),
        (from("203.0.113.7:4711"), Ok("203.0.113.7")),
        (from("[2001:db8::7]:4711"), Ok("2001:db8::7")),
        (from("[2001:db8::7]"), Ok("2001:db8::7")),
        // Where the client comes from cannot be told.
        (from("203.0.113.7, unknown"), Err(400)),
        (from("203.0.113.7, "), Err(400)),
        (from("203.0.113.7, 10.0.0.1\u{e4}"), Err(400)),
        ("X-Forwarded-Proto: http\r\n".to_owned(), Err(403)),
        ("X-Forwarded-Proto: https, http\r\n".to_owned(), Err(403)),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n".to_owned(), Err(403)),
        ("X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n".to_owned(), Err(403)),
        (String::new(), Err(403)),
    ] {
        let answer = client.ask(secure(&headers, key)).await;
        match expected {
            Ok(client) => {
                let seen = format!("https from {client}");
                assert_eq!((answer.status(), answer.text()), (200, seen.as_str()), "{headers}");
            }
            Err(status) => assert_eq!(answer.status(), status, "{headers}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn a_keys_networks_are_checked_against_the_address_that_counts() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    for (trusted, expected) in [(true, [200, 403, 403]), (false, [403, 403, 403])] {
        let world = World::with(upstream.address, |setup| {
            if trusted {
                setup.settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
            }
        })
        .await;
        let key = world.mint("bearer", |key| {
            key.permissions = vec!["read".to_owned()];
            key.allowed_networks = vec!["203.0.113.0/24".parse().unwrap()];
        });
        let mut client = world.client().await;
        let forwarded = ["203.0.113.7", "203.0.113.7, 198.51.100.1", "198.51.100.1"];
        for (address, status) in forwarded.into_iter().zip(expected) {
            let request = world
                .request("GET /v1/x", &format!("X-Forwarded-For: {address}\r\n"), "")
                .replace(world.key("bearer"), &key.plaintext);
            assert_eq!(client.ask(request).await.status(), status, "{address}, trusted: {trusted}");
        }
        if !trusted {
            continue;
        }
        // What cannot be read is not skipped: that would take the proxy itself for the client.
        for (address, status) in [
            ("203.0.113.7:4444", 200),
            ("198.51.100.1, 203.0.113.7", 200),
            ("unknown", 400),
            ("203.0.113.7,", 400),
            ("\u{ff}, 203.0.113.7", 200),
            ("203.0.113.7, \u{ff}", 400),
        ] {
            let request = world
                .request("GET /v1/x", &format!("X-Forwarded-For: {address}\r\n"), "")
                .replace(world.key("bearer"), &key.plaintext);
            assert_eq!(client.ask(request).await.status(), status, "{address}");
        }
    }
}
