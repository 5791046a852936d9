//! What passes between the two sides, and what never does.

use keyward_gateway::Settings;

use crate::world::{
    UPSTREAM_SECRET, World,
    http2::{self, DATA, END_STREAM, Frames, Outcome},
    message::{Message, answer, ok},
    millis, soon,
    upstream::Upstream,
};

/// Sends the request to a gateway, and gives what its upstream saw of it.
async fn seen(world: &World, upstream: &mut Upstream, request: &str) -> Message {
    let mut client = world.client().await;
    client.send(request).await;
    let mut connection = upstream.next().await;
    let seen = connection.request().await;
    // The answer must not be reused by the next request of this test.
    connection.send(answer("200 OK", "Connection: close\r\n", "fine")).await;
    assert_eq!(client.answer().await.status(), 200);
    seen
}

async fn world() -> (World, Upstream) {
    let upstream = Upstream::scripted().await;
    (World::start(&upstream).await, upstream)
}

#[tokio::test]
async fn hop_by_hop_headers_stay_on_their_hop() {
    let (world, mut upstream) = world().await;
    let headers = "Connection: keep-alive, X-Named\r\nConnection: close, x-other\r\nX-Named: 1\r\nX-Other: 1\r\n\
        Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic dTpw\r\n\
        Proxy-Authenticate: Basic\r\nTE: trailers\r\nTrailer: X-T\r\nX-Kept: yes\r\n";
    let seen = seen(&world, &mut upstream, &world.request("GET /v1/x?a=%20b&c", headers, "")).await;
    assert_eq!(seen.head.line, "GET /v1/x?a=%20b&c HTTP/1.1");
    for name in [
        "connection",
        "x-named",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ] {
        assert!(!seen.head.has(name), "{name}: {seen:?}");
    }
    assert_eq!(seen.head.get("x-kept"), Some("yes"));
    assert_eq!(seen.head.get("host"), Some(upstream.address.to_string().as_str()));
}

/// What clients send to pass for somebody else, or to be taken elsewhere behind us.
const FORGED: &str = "X-Keyward-Key-Id: forged\r\nx-keyward-KEY-id: forged\r\nX_Keyward_Key_Id: forged\r\nX-Keyward_Key-Id: forged\r\n\
        X-Keyward-Organization-Id: forged\r\nX-Keyward-Permissions: forged\r\nX-Keyward-Anything: forged\r\n\
        x_keyward_permissions: forged\r\nX-Original-URL: /forged\r\nX-Original-URI: /forged\r\nX-Rewrite-URL: /forged\r\n\
        X-HTTP-Method-Override: forged\r\nX-HTTP-Method: forged\r\nX-Method-Override: forged\r\nX-Original-Method: forged\r\n\
        X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: forged\r\nX-Forwarded-Host: forged\r\nX-Forwarded-Uri: /forged\r\n\
        X-Forwarded-Method: forged\r\nForwarded: for=forged\r\nAny_Name: forged\r\nX-Forwarded-User: forged\r\n\
        X-Real-IP: 6.6.6.6\r\nX-Client-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\n\
        X-Original-Host: forged\r\nX-Host: forged\r\nProxy: forged\r\nX-Api-Key: forged\r\nApi-Key: forged\r\n\
        X-Goog-Api-Key: forged\r\n";

#[tokio::test]
async fn identity_is_ours_whatever_the_client_sends() {
    let (world, mut upstream) = world().await;
    let key = world.mint("bearer", |key| key.permissions = vec!["write".to_owned()]);
    let forged = format!(
        "Connection: X-Keyward-Key-Id, x-keyward-organization-id, authorization, x-forwarded-for, X-Request-Id\r\n{FORGED}"
    );
    let request =
        world.request("GET /v1/x", &forged, "").replace(world.key("bearer"), &key.plaintext);
    let seen = seen(&world, &mut upstream, &request).await;
    assert!(!upstream.saw("forged") && !upstream.saw("6.6.6.6"), "{seen:?}");
    assert!(!seen.head.headers.iter().any(|(name, _)| name.contains('_')), "{seen:?}");
    assert_eq!(seen.head.get("x-keyward-key-id"), Some(key.key.to_string().as_str()));
    assert_eq!(seen.head.get("x-keyward-organization-id"), Some("org_test"));
    let mut permissions: Vec<_> =
        seen.head.get("x-keyward-permissions").unwrap().split(',').collect();
    permissions.sort_unstable();
    assert_eq!(permissions, ["read", "write"]);
    assert_eq!(seen.head.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.head.get("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.head.get("authorization"), Some(UPSTREAM_SECRET));
    assert!(seen.head.get("x-request-id").unwrap().starts_with("req_"));
}

#[tokio::test]
async fn identity_is_ours_over_http2_too_in_heads_and_trailers() {
    let (world, mut upstream) = world().await;
    let bearer = format!("Bearer {}", world.key("bearer"));
    let lines = FORGED.lines().map(|line| line.split_once(": ").unwrap());
    let forged: Vec<_> = lines.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "bearer.test"),
        (":path", "/v1/x"),
        ("authorization", bearer.as_str()),
    ];
    let forged = forged.iter().map(|(name, value)| (name.as_str(), *value));
    fields.extend(forged.clone());
    let trailers: Vec<(&str, &str)> = forged.collect();
    let mut frames = Frames::connect(world.address).await;
    frames.headers(1, &fields, 0).await;
    frames.send(DATA, 0, 1, b"body").await;
    frames.headers(1, &trailers, END_STREAM).await;
    let mut connection = upstream.next().await;
    let seen = connection.request().await;
    connection.send(ok("fine")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    assert_eq!((seen.body.as_slice(), seen.trailers.len()), (&b"body"[..], 0));
    assert!(!upstream.saw("forged") && !upstream.saw("6.6.6.6"), "{seen:?}");
    assert!(!seen.head.headers.iter().any(|(name, _)| name.contains('_')), "{seen:?}");
    let key = world.minted("bearer").key.to_string();
    assert_eq!(seen.head.get("x-keyward-key-id"), Some(key.as_str()));
    assert_eq!(seen.head.get("authorization"), Some(UPSTREAM_SECRET));
}

#[tokio::test]
async fn identity_headers_go_by_their_configured_names() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.identity.key_id = Some("X-Caller".to_owned());
        setup.settings.identity.permissions = None;
    })
    .await;
    let forged = "X-Caller: forged\r\nX_Caller: forged\r\nX-Keyward-Permissions: forged\r\n";
    let seen = seen(&world, &mut upstream, &world.request("GET /v1/x", forged, "")).await;
    let key = world.minted("bearer").key.to_string();
    assert_eq!(seen.head.get("x-caller"), Some(key.as_str()));
    assert!(!seen.head.has("x-keyward-key-id") && !seen.head.has("x-keyward-permissions"));
    assert!(!upstream.saw("forged"));
}

#[tokio::test]
async fn the_clients_key_never_reaches_the_upstream() {
    let (world, mut upstream) = world().await;
    let request = |api: &str, query: &str, headers: &str| {
        format!("GET /v1/x{query} HTTP/1.1\r\nHost: {api}.test\r\n{headers}\r\n")
    };
    let [bearer, header, query, socket, several] =
        ["bearer", "header", "query", "socket", "several"].map(|api| world.key(api).to_owned());
    let cases = [
        (
            &bearer,
            request("bearer", "", &format!("authorization: BEARER   {bearer}\r\n")),
            "/v1/x",
            None,
        ),
        (&header, request("header", "", &format!("x-api-key: {header}\r\n")), "/v1/x", None),
        (&query, request("query", &format!("?key={query}"), ""), "/v1/x", None),
        (&query, request("query", &format!("?a=1&key={query}&b=%41"), ""), "/v1/x?a=1&b=%41", None),
        (
            &socket,
            request("socket", "", &format!("Sec-WebSocket-Protocol: chat, key.{socket}, v2\r\n")),
            "/v1/x",
            Some("chat, v2"),
        ),
        (
            &socket,
            request("socket", "", &format!("Sec-WebSocket-Protocol: key.{socket}\r\n")),
            "/v1/x",
            None,
        ),
        (&several, request("several", "", &format!("X-API-Key: {several}\r\n")), "/v1/x", None),
        (&several, request("several", &format!("?key={several}"), ""), "/v1/x", None),
    ];
    for (key, request, target, protocols) in cases {
        let seen = seen(&world, &mut upstream, &request).await;
        assert_eq!(seen.head.line, format!("GET {target} HTTP/1.1"), "{request}");
        assert_eq!(seen.head.get("sec-websocket-protocol"), protocols, "{request}");
        assert_eq!(seen.head.get("authorization"), Some(UPSTREAM_SECRET), "{request}");
        assert!(!upstream.saw(key), "{request}");
        assert!(!upstream.saw(&key[3..]), "{request}");
    }
}

#[tokio::test]
async fn the_clients_key_never_reaches_an_upstream_without_a_credential_of_its_own() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| setup.target.credential = None).await;
    let seen = seen(&world, &mut upstream, &world.get("/v1/x")).await;
    assert!(!seen.head.has("authorization") && !upstream.saw(world.key("bearer")));
}

#[tokio::test]
async fn the_host_is_the_upstreams_unless_the_clients_is_kept() {
    let mut upstream = Upstream::scripted().await;
    let world = World::with(upstream.address, |setup| setup.target.preserve_host = true).await;
    assert_eq!(
        seen(&world, &mut upstream, &world.get("/v1/x")).await.head.get("host"),
        Some("bearer.test")
    );
    let request = http::Request::get("http://bearer.test/v1/x")
        .header("authorization", format!("Bearer {}", world.key("bearer")))
        .body(http2::full(""))
        .unwrap();
    let mut sender = http2::connect(world.address).await;
    let sent = tokio::spawn(async move { sender.send_request(request).await.unwrap().status() });
    let mut connection = upstream.next().await;
    assert_eq!(connection.request().await.head.get("host"), Some("bearer.test"));
    connection.send(ok("")).await;
    assert_eq!(soon(sent).await.unwrap(), 200);
}

#[tokio::test]
async fn request_trailers_do_not_pass() {
    let (world, mut upstream) = world().await;
    let request = world.request(
        "POST /v1/x",
        "Transfer-Encoding: chunked\r\nTrailer: X-Keyward-Key-Id\r\n",
        "4\r\nbody\r\n0\r\nX-Keyward-Key-Id: forged\r\nX-Trailer: forged\r\n\r\n",
    );
    let seen = seen(&world, &mut upstream, &request).await;
    assert_eq!(seen.body, b"body");
    assert_eq!(seen.trailers, []);
    assert!(!upstream.saw("forged"));
}

#[tokio::test]
async fn bodies_pass_with_every_method_and_framing() {
    let (world, mut upstream) = world().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let line = format!("{method} /v1/x");
        for request in [
            world.request(&line, "Content-Length: 4\r\n", "body"),
            world.request(
                &line,
                "Transfer-Encoding: chunked\r\n",
                "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
            ),
        ] {
            let seen = seen(&world, &mut upstream, &request).await;
            assert_eq!(seen.body, b"body", "{request}");
        }
        let bare = seen(&world, &mut upstream, &world.request(&line, "", "")).await;
        assert!(bare.body.is_empty() && !bare.head.has("transfer-encoding"), "{bare:?}");
        let empty = world.request(&line, "Content-Length: 0\r\n", "");
        assert!(seen(&world, &mut upstream, &empty).await.body.is_empty());
    }
}

#[tokio::test]
async fn an_answers_hop_by_hop_headers_stay_on_their_hop() {
    let upstream = Upstream::answering(|_| {
        answer(
            "200 Fine",
            "Connection: keep-alive, X-Named\r\nKeep-Alive: timeout=5\r\nX-Named: 1\r\nProxy-Authenticate: Basic\r\n\
             Trailer: X-T\r\nUpgrade: h2c\r\nTE: x\r\nX-Kept: yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
             X-Accel-Buffering: yes\r\n",
            "fine",
        )
    })
    .await;
    let world = World::start(&upstream).await;
    let answer = world.client().await.ask(world.get("/v1/x")).await;
    for name in
        ["connection", "keep-alive", "x-named", "proxy-authenticate", "trailer", "upgrade", "te"]
    {
        assert!(!answer.head.has(name), "{name}: {answer:?}");
    }
    assert_eq!(answer.head.get("x-kept"), Some("yes"));
    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"]);
    assert!(answer.head.get("x-request-id").unwrap().starts_with("req_"));
    assert_eq!(answer.text(), "fine");
}

#[tokio::test]
async fn a_request_id_of_the_upstream_passes_and_else_one_is_made() {
    let upstream = Upstream::answering(|request| match request.head.line.contains("own") {
        true => answer("200 OK", "Request-Id: the-upstreams\r\n", ""),
        false => ok(""),
    })
    .await;
    let world = World::start(&upstream).await;
    let request = |path: &str| {
        world
            .get(path)
            .replace("bearer.test", "numbered.test")
            .replace(world.key("bearer"), world.key("numbered"))
    };
    let own = world.client().await.ask(request("/v1/own")).await;
    assert_eq!(own.head.get("request-id"), Some("the-upstreams"));
    let mut client = world.client().await;
    let first = client.ask(request("/v1/x")).await;
    let second = client.ask(request("/v1/x")).await;
    let ids = [&first, &second].map(|answer| answer.head.get("request-id").unwrap());
    assert!(ids.iter().all(|id| id.starts_with("num_")) && ids[0] != ids[1], "{ids:?}");
    let refused = client.ask(request("/v1/x").replace("numbered.test", "bearer.test")).await;
    assert_eq!(refused.status(), 401);
    let id = refused.head.get("x-request-id").unwrap();
    assert!(refused.text().contains(id), "the body and the header number it alike");
}

#[tokio::test]
async fn our_own_answers_say_what_clients_need() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::start(&upstream).await;
    let key = world.key("bearer");
    let revoked = world.mint("bearer", |key| key.state = keyward_core::key::KeyState::Revoked);
    let reader = world.mint("bearer", |key| key.permissions = vec!["read".to_owned()]);
    let get = |path: &str, key: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: bearer.test\r\nAuthorization: Bearer {key}\r\n\r\n")
    };
    let cases = [
        (401, "GET /v1/x HTTP/1.1\r\nHost: bearer.test\r\n\r\n".to_owned()),
        (401, get("/v1/x", "nonsense")),
        (401, get("/v1/x", &key.replace("kw_", "kw_0")[..key.len()])),
        (401, get("/v1/x", &revoked.plaintext)),
        (401, get("/v1/x", world.key("header"))),
        (403, get("/v1/admin", &reader.plaintext)),
        (404, get("/nothing", key)),
        (405, get("/v1/only-get", key).replace("GET", "DELETE")),
        (400, get("/v1//x", key)),
        (404, get("/v1/x", key).replace("bearer.test", "unknown.test")),
    ];
    let mut client = world.client().await;
    for (status, request) in cases {
        let answer = client.ask(&request).await;
        assert_eq!(answer.status(), status, "{request}: {answer:?}");
        assert_eq!(answer.head.get("cache-control"), Some("no-store"), "{request}");
        assert_eq!(answer.head.get("content-type"), Some("application/json"), "{request}");
        assert!(answer.text().contains("\"error\""), "{request}");
        assert!(answer.head.has("x-request-id"), "{request}");
        assert_eq!(
            answer.head.has("www-authenticate"),
            status == 401 || status == 403,
            "{request}: {answer:?}"
        );
        assert_eq!(answer.head.has("allow"), status == 405, "{request}");
    }
    let missing = client.ask("GET /v1/x HTTP/1.1\r\nHost: bearer.test\r\n\r\n").await;
    assert_eq!(missing.head.get("www-authenticate"), Some("Bearer realm=\"keyward\""));
    let not_allowed = client.ask(get("/v1/only-get", key).replace("GET", "DELETE")).await;
    assert_eq!(not_allowed.head.get("allow"), Some("GET, HEAD"));
    // The words are the same over HTTP/2, and their body is never empty there either.
    let mut sender = http2::connect(world.address).await;
    let request = http::Request::get("http://bearer.test/v1/x").body(http2::full("")).unwrap();
    let refused = soon(sender.send_request(request)).await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()["www-authenticate"], "Bearer realm=\"keyward\"");
    assert_eq!(refused.headers()["cache-control"], "no-store");
    let body = http_body_util::BodyExt::collect(refused.into_body()).await.unwrap().to_bytes();
    assert!(String::from_utf8(body.to_vec()).unwrap().contains("missing_key"));
}

#[tokio::test]
async fn a_state_too_old_to_decide_from_is_503_and_never_401() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::with(upstream.address, |setup| setup.stale_after = Some(millis(1000))).await;
    for request in [world.get("/v1/x"), world.get("/v1/x").replace("kw_", "kw-")] {
        let answer = world.client().await.ask(request).await;
        assert_eq!(answer.status(), 503, "{answer:?}");
        assert!(answer.text().contains("unavailable") && answer.head.has("retry-after"));
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn new_settings_hold_for_the_next_request_and_bad_ones_change_nothing() {
    let upstream = Upstream::answering(|request| {
        let names = request.head.headers.iter().map(|(name, _)| name.as_str());
        ok(&names.collect::<Vec<_>>().join(" "))
    })
    .await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    let named = |name: &str| {
        let mut settings = Settings::default();
        settings.identity.key_id = Some(name.to_owned());
        settings
    };
    assert!(client.ask(world.get("/v1/x")).await.text().contains("x-keyward-key-id"));
    world.gateway().reload(named("X-Caller")).unwrap();
    assert!(client.ask(world.get("/v1/x")).await.text().contains("x-caller"));
    let no_ca = Settings { upstream_ca: Some("/no/such/file".into()), ..Settings::default() };
    for bad in [named("X Caller"), named("X_Caller"), named(""), no_ca] {
        let error = world.gateway().reload(bad).err().unwrap().to_string();
        assert!(error.contains("X Caller") || error.contains(": "), "{error}");
        assert!(client.ask(world.get("/v1/x")).await.text().contains("x-caller"));
    }
}

#[tokio::test]
async fn http10_clients_are_served() {
    let upstream = Upstream::answering(|request| match request.head.line.contains("chunked") {
        true => {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n".to_vec()
        }
        false => ok("fine"),
    })
    .await;
    let world = World::start(&upstream).await;
    for path in ["/v1/x", "/v1/chunked"] {
        let mut client = world.client().await;
        let answer = client.ask(world.get(path).replace("HTTP/1.1", "HTTP/1.0")).await;
        assert_eq!((answer.status(), answer.text()), (200, "fine"), "{path}");
        assert!(!answer.head.has("transfer-encoding"), "{answer:?}");
        let end = client.end().await;
        assert!(end.bytes.is_empty() && !end.reset, "{path}: a clean end: {end:?}");
    }
    let keeps = world
        .request("GET /v1/x", "Connection: keep-alive\r\n", "")
        .replace("HTTP/1.1", "HTTP/1.0");
    let mut client = world.client().await;
    for _ in 0..2 {
        assert_eq!(client.ask(&keeps).await.head.get("connection"), Some("keep-alive"));
    }
    assert!(upstream.saw("GET /v1/x HTTP/1.1\r\n"), "towards the upstream it is HTTP/1.1");
}

#[tokio::test]
async fn cookies_that_http2_splits_are_joined_again() {
    let (world, mut upstream) = world().await;
    let mut sender = http2::connect(world.address).await;
    let request = http::Request::get("http://bearer.test/v1/x")
        .header("authorization", format!("Bearer {}", world.key("bearer")))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(http2::full(""))
        .unwrap();
    let sent = tokio::spawn(async move { sender.send_request(request).await.unwrap().status() });
    let mut connection = upstream.next().await;
    // RFC 9113, 8.2.3: one header, before it is passed on in HTTP/1.1.
    assert_eq!(connection.request().await.head.get("cookie"), Some("a=1; b=2"));
    connection.send(ok("")).await;
    assert_eq!(soon(sent).await.unwrap(), 200);
}

#[tokio::test]
async fn a_refusal_is_problem_json_where_the_client_asks_for_it() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::start(&upstream).await;
    let answer = world
        .client()
        .await
        .ask("GET /v1/x HTTP/1.1\r\nHost: bearer.test\r\nAccept: application/problem+json\r\n\r\n")
        .await;
    assert_eq!(answer.head.get("content-type"), Some("application/problem+json"));
    assert!(answer.text().contains("\"status\":401") && answer.text().contains("\"error\""));
}

#[tokio::test]
async fn event_streams_ask_proxies_not_to_gather_them() {
    let upstream = Upstream::answering(|_| {
        answer("200 OK", "Content-Type: text/event-stream; charset=utf-8\r\n", "data: x\n\n")
    })
    .await;
    let world = World::start(&upstream).await;
    let answer = world.client().await.ask(world.get("/v1/x")).await;
    assert_eq!(answer.head.get("x-accel-buffering"), Some("no"));
}
