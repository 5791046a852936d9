//! The same over HTTP/2: what its own framing settles is refused by the library, what it leaves open is refused by us.

use crate::{
    ambiguity::{AMBIGUOUS_PATHS, several_credentials, world},
    world::{
        World,
        http2::{self, DATA, END_STREAM, Frames, Outcome},
        message, soon,
        upstream::Upstream,
    },
};

#[tokio::test]
async fn http2_requests_that_two_servers_could_read_differently_are_refused() {
    let (world, upstream) = world().await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let several = format!("Bearer {}", world.key("several"));
    let fields = |method: &'static str, path: &'static str| {
        vec![
            (":method", method),
            (":scheme", "http"),
            (":authority", "bearer.test"),
            (":path", path),
            ("authorization", bearer.as_str()),
        ]
    };
    let with = |extra: &[(&'static str, &'static str)]| {
        let mut fields = fields("GET", "/v1/marked");
        fields.extend_from_slice(extra);
        fields
    };
    let status = Outcome::Status;
    let mut two_keys = with(&[("x-api-key", "kw_1")]);
    two_keys[2].1 = "several.test";
    two_keys[4].1 = several.as_str();
    let cases = vec![
        ("another host", with(&[("host", "other.test")]), status(400)),
        ("two credentials", two_keys, status(400)),
        ("the credential twice", with(&[("authorization", "Bearer x")]), status(400)),
        ("a backslash", fields("GET", "/v1\\admin"), status(400)),
        ("a quote", fields("GET", "/v1/\"admin\""), status(400)),
        ("an absolute target", fields("GET", "http://bearer.test/v1/marked"), Outcome::Reset(1)),
        (
            "an absolute target elsewhere",
            fields("GET", "http://other.test/v1/marked"),
            Outcome::Reset(1),
        ),
        ("no slash", fields("GET", "v1/marked"), Outcome::Reset(1)),
        ("NUL in the path", fields("GET", "/v1/marked\0"), Outcome::Reset(1)),
        ("a space in the path", fields("GET", "/v1/marked x"), Outcome::Reset(1)),
        (
            "a second line in the path",
            fields("GET", "/v1/marked HTTP/1.1\r\nX: y"),
            Outcome::Reset(1),
        ),
        ("a space in the method", fields("GE T", "/v1/marked"), Outcome::Reset(1)),
        (
            "a second line in the method",
            fields("GET / HTTP/1.1\r\nX: y", "/v1/marked"),
            Outcome::Reset(1),
        ),
        ("a mixed-case method", fields("GeT", "/v1/marked"), status(400)),
        ("two hosts", with(&[("host", "bearer.test"), ("host", "bearer.test")]), status(400)),
        ("no path", fields("GET", ""), Outcome::Reset(1)),
        ("an asterisk", fields("OPTIONS", "*"), status(400)),
        ("TRACE", fields("TRACE", "/v1/marked"), status(405)),
        ("a lower-case method", fields("get", "/v1/marked"), status(400)),
        ("connection", with(&[("connection", "x-a")]), Outcome::Reset(1)),
        ("keep-alive", with(&[("keep-alive", "1")]), Outcome::Reset(1)),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")]), Outcome::Reset(1)),
        ("upgrade", with(&[("upgrade", "websocket")]), Outcome::Reset(1)),
        ("te", with(&[("te", "gzip")]), Outcome::Reset(1)),
        ("an upper-case name", with(&[("X-A", "1")]), Outcome::Reset(1)),
        ("a name with a space", with(&[("x a", "1")]), Outcome::Reset(1)),
        ("no name", with(&[("", "1")]), Outcome::Reset(1)),
        ("a name that begins with a space", with(&[(" x-a", "1")]), Outcome::Reset(1)),
        ("a name with a colon", with(&[("x-a:", "1")]), Outcome::Reset(1)),
        ("a name with a line's end", with(&[("x-a\r\nhost", "1")]), Outcome::Reset(1)),
        ("LF in a value", with(&[("x-a", "1\nx-b: 2")]), Outcome::Reset(1)),
        ("CR in a value", with(&[("x-a", "1\rx-b: 2")]), Outcome::Reset(1)),
        ("CR LF in a value", with(&[("x-a", "1\r\nx-b: 2")]), Outcome::Reset(1)),
        ("NUL in a value", with(&[("x-a", "1\0")]), Outcome::Reset(1)),
        ("a late pseudo-header", with(&[(":path", "/v1/admin")]), Outcome::Reset(1)),
        ("an unknown pseudo-header", with(&[(":marked", "1")]), Outcome::Reset(1)),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "0")]), status(400)),
        ("a list of lengths", with(&[("content-length", "0, 0")]), Outcome::Reset(1)),
        ("a signed length", with(&[("content-length", "+0")]), Outcome::Reset(1)),
        ("a negative length", with(&[("content-length", "-0")]), Outcome::Reset(1)),
        ("a length with a zero before", with(&[("content-length", "00")]), status(400)),
        ("a length of letters", with(&[("content-length", "0x0")]), Outcome::Reset(1)),
        ("an empty length", with(&[("content-length", "")]), status(400)),
        ("a length that lies", with(&[("content-length", "5")]), Outcome::Reset(1)),
        ("a long target", fields("GET", LONG_PATH), status(414)),
    ];
    for (what, fields, expected) in cases {
        let mut frames = Frames::connect(world.address).await;
        frames.headers(1, &fields, END_STREAM).await;
        let outcome = match frames.outcome(1).await {
            // Which of the two is the library's choice.
            Outcome::GoAway(code) => Outcome::Reset(code),
            outcome => outcome,
        };
        assert_eq!(outcome, expected, "{what}");
        assert!(!upstream.saw("/admin") && !upstream.saw("marked"), "{what} reached the upstream");
    }
    for authority in [
        "",
        "bearer.test:x",
        "bearer.test/x",
        "u@bearer.test",
        "bearer.test,other.test",
        "bearer..test",
    ] {
        let mut named = fields("GET", "/v1/marked");
        named[2].1 = authority;
        let mut frames = Frames::connect(world.address).await;
        frames.headers(1, &named, END_STREAM).await;
        let outcome = frames.outcome(1).await;
        assert!(
            matches!(outcome, Outcome::Status(400) | Outcome::Reset(1)),
            "{authority}: {outcome:?}"
        );
    }
    let mut frames = Frames::connect(world.address).await;
    let many: Vec<(&str, &str)> = with(&[]).into_iter().chain([("x-a", "1"); 120]).collect();
    frames.headers(1, &many, END_STREAM).await;
    assert_eq!(frames.outcome(1).await, status(431), "many headers");
    assert_eq!(upstream.connections(), 0);
    // And what is right passes, with the authority as the host or a Host that says the same.
    for fields in [fields("GET", "/v1/fine"), {
        let mut fields = fields("GET", "/v1/fine");
        fields.push(("host", "bearer.test"));
        fields
    }] {
        let mut frames = Frames::connect(world.address).await;
        frames.headers(1, &fields, END_STREAM).await;
        assert_eq!(frames.outcome(1).await, status(200));
    }
}

/// A request of an API with its key: the fields that every other is added to.
fn fields<'f>(authority: &'f str, path: &'f str) -> Vec<(&'f str, &'f str)> {
    vec![(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)]
}

#[tokio::test]
async fn paths_that_are_ambiguous_are_so_over_http2_too() {
    let (world, upstream) = world().await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let mut frames = Frames::connect(world.address).await;
    // All on one connection: what is refused ends its stream alone.
    for (stream, path) in (1..).step_by(2).zip(AMBIGUOUS_PATHS) {
        let mut fields = fields("bearer.test", path);
        fields.push(("authorization", &bearer));
        frames.headers(stream, &fields, END_STREAM).await;
        assert_eq!(frames.outcome(stream).await, Outcome::Status(400), "{path}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn two_credentials_are_refused_over_http2_too() {
    let (world, upstream) = world().await;
    let key = world.key("several");
    let mut frames = Frames::connect(world.address).await;
    for (stream, (what, query, headers)) in (1..).step_by(2).zip(several_credentials(key)) {
        let path = format!("/v1/marked{query}");
        let lines = headers.lines().map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        let lines: Vec<(String, String)> = lines.collect();
        let mut fields = fields("several.test", &path);
        fields.extend(lines.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        frames.headers(stream, &fields, END_STREAM).await;
        assert_eq!(frames.outcome(stream).await, Outcome::Status(400), "{what}");
    }
    assert_eq!(upstream.connections(), 0);
    let shouted = format!("bEARER {key}");
    let mut alone = fields("several.test", "/v1/alone");
    alone.push(("authorization", &shouted));
    frames.headers(99, &alone, END_STREAM).await;
    assert_eq!(frames.outcome(99).await, Outcome::Status(200));
}

#[tokio::test]
async fn our_own_answers_over_http2_are_kept_by_nobody() {
    let (world, upstream) = world().await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    for (method, path, authorization, status) in [
        ("GET", "/v1/marked", "", 401),
        ("GET", "/admin", "", 401),
        ("GET", "/admin", bearer.as_str(), 404),
        ("POST", "/v1/only-get", bearer.as_str(), 405),
        ("GET", "/v1//marked", bearer.as_str(), 400),
    ] {
        let mut sender = http2::connect(world.address).await;
        let mut request =
            http::Request::builder().method(method).uri(format!("http://bearer.test{path}"));
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let answer = sender.send_request(request.body(http2::full("")).unwrap());
        let answer = soon(answer).await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        let cache = answer.headers().get("cache-control").map(http::HeaderValue::as_bytes);
        assert_eq!(cache, Some(&b"no-store"[..]), "{method} {path}");
    }
    assert_eq!(upstream.connections(), 0);
}

const LONG_PATH: &str = {
    const BYTES: [u8; 9000] = {
        let mut bytes = [b'a'; 9000];
        bytes[0] = b'/';
        bytes[1] = b'v';
        bytes[2] = b'1';
        bytes[3] = b'/';
        bytes
    };
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

#[tokio::test]
async fn an_http2_body_that_is_not_as_long_as_it_says_never_reaches_the_upstream_as_whole() {
    let upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    for (declared, sent) in [("60000", 59_000), ("60000", 61_000), ("10", 5), ("10", 15)] {
        let mut frames = Frames::connect(world.address).await;
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "bearer.test"),
            (":path", "/v1/x"),
            ("authorization", bearer.as_str()),
            ("content-length", declared),
        ];
        frames.headers(1, &fields, 0).await;
        let body = vec![b'a'; sent];
        let pieces = body.chunks(15_000).count();
        for (n, piece) in body.chunks(15_000).enumerate() {
            let flags = if n + 1 == pieces { END_STREAM } else { 0 };
            // The gateway may have had enough before the end.
            if !frames.try_send(DATA, flags, 1, piece).await {
                break;
            }
        }
        let outcome = frames.outcome(1).await;
        let refused =
            matches!(outcome, Outcome::Status(400) | Outcome::Reset(1) | Outcome::GoAway(1));
        assert!(refused, "{declared}, {sent}: {outcome:?}");
    }
    world.drain().await;
    for received in upstream.each() {
        let body = message::find(&received, b"\r\n\r\n").map_or(0, |end| received.len() - end - 4);
        assert!(body < 60_000, "it took {body} bytes for whole");
    }
    assert!(upstream.connections() <= 2, "the short ones are not even begun");
}

#[tokio::test]
async fn a_fragment_over_http2_is_gone_before_anything_is_decided() {
    // The library cuts it off, where we would refuse it: what is decided on is then what is forwarded.
    let (world, upstream) = world().await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    for path in ["/v1/ok#/../marked", "/v1/ok#marked", "/v1/only-get#/marked"] {
        let mut frames = Frames::connect(world.address).await;
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "bearer.test"),
            (":path", path),
            ("authorization", bearer.as_str()),
        ];
        frames.headers(1, &fields, END_STREAM).await;
        let outcome = frames.outcome(1).await;
        assert!(matches!(outcome, Outcome::Status(200 | 400) | Outcome::Reset(1)), "{outcome:?}");
        assert!(!upstream.saw("marked") && !upstream.saw("#"), "{path}");
    }
}

#[tokio::test]
async fn http2_connect_is_refused() {
    let (world, upstream) = world().await;
    let mut frames = Frames::connect(world.address).await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let fields =
        [(":method", "CONNECT"), (":authority", "bearer.test:443"), ("authorization", &bearer)];
    frames.headers(1, &fields, END_STREAM).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(405));
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn what_only_begins_like_the_preface_is_http11() {
    let (world, upstream) = world().await;
    for (line, status) in
        [("PRI /v1/marked", 405), ("PRINT /v1/marked", 405), ("PR /v1/marked", 405)]
    {
        let mut client = world.client().await;
        assert_eq!(client.ask(world.request(line, "", "")).await.status(), status, "{line}");
    }
    let mut client = world.client().await;
    client.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 505);
    client.closed().await;
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn hyper_speaks_http2_with_us() {
    let (world, _upstream) = world().await;
    let mut sender = http2::connect(world.address).await;
    let request = http::Request::get("http://bearer.test/v1/fine")
        .header("authorization", format!("Bearer {}", world.key("bearer")))
        .body(http2::full(""))
        .unwrap();
    let answer = soon(sender.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 200);
}
