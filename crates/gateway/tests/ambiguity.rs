//! What two servers could read differently is refused, and the upstream sees no byte of it.

use crate::world::{
    World,
    http2::{END_STREAM, Frames, Outcome},
    message::ok,
    millis, soon,
    upstream::Upstream,
};

/// The end of a chunked body.
const END: &str = "0\r\n\r\n";

/// A request that must be refused with this status, the connection closed, the upstream spared.
struct Case {
    what: &'static str,
    bytes: Vec<u8>,
    status: u16,
}

fn case(what: &'static str, status: u16, bytes: impl AsRef<[u8]>) -> Case {
    Case { what, bytes: bytes.as_ref().to_vec(), status }
}

/// Sends each on a connection of its own. `closes` says whether the gateway must hang up after the answer.
async fn all_refused(world: &World, upstream: &Upstream, closes: bool, cases: Vec<Case>) {
    for Case { what, bytes, status } in cases {
        let mut client = world.client().await;
        client.send(&bytes).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{what}: {answer:?}");
        assert!(!answer.body.is_empty(), "{what}: an error body is never empty");
        assert_eq!(answer.head.get("cache-control"), Some("no-store"), "{what}");
        if closes {
            assert_eq!(answer.head.get("connection"), Some("close"), "{what}: {answer:?}");
            client.closed().await;
        } else {
            let next = client.ask(world.get("/v1/next")).await;
            assert_eq!(next.status(), 200, "{what}: the connection stays usable");
        }
        assert!(!upstream.saw("/admin") && !upstream.saw("marked"), "{what} reached the upstream");
    }
}

pub async fn world() -> (World, Upstream) {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    (World::start(&upstream).await, upstream)
}

#[tokio::test]
async fn ambiguous_framing_is_refused_and_the_connection_closed() {
    let (world, upstream) = world().await;
    let key = world.key("bearer");
    let head = |line: &str, more: &str| {
        format!("{line}\r\nHost: bearer.test\r\nAuthorization: Bearer {key}\r\n{more}\r\n")
    };
    let post = |more: &str| head("POST /v1/marked HTTP/1.1", more);
    let get = |line: &str| head(line, "");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let cases = vec![
        case(
            "length, then coding",
            400,
            post(&format!("Content-Length: 5\r\n{chunked}")) + "0\r\n\r\n",
        ),
        case(
            "coding, then length",
            400,
            post(&format!("{chunked}Content-Length: 5\r\n")) + "0\r\n\r\n",
        ),
        case("two equal lengths", 400, post("Content-Length: 2\r\nContent-Length: 2\r\n") + "ab"),
        case("two lengths", 400, post("Content-Length: 2\r\nContent-Length: 3\r\n") + "abc"),
        case("a list of lengths", 400, post("Content-Length: 2, 2\r\n") + "ab"),
        case("a signed length", 400, post("Content-Length: +2\r\n") + "ab"),
        case("a length of letters", 400, post("Content-Length: 0x2\r\n") + "ab"),
        case("an empty length", 400, post("Content-Length:\r\n")),
        case("a negative length", 400, post("Content-Length: -2\r\n") + "ab"),
        case("a length with a zero before", 400, post("Content-Length: 02\r\n") + "ab"),
        case("a length twice in a line", 400, post("Content-Length: 2 2\r\n") + "ab"),
        case("a length in quotes", 400, post("Content-Length: \"2\"\r\n") + "ab"),
        case("a length and a comma", 400, post("Content-Length: 2,\r\n") + "ab"),
        case("a fraction of a length", 400, post("Content-Length: 2.0\r\n") + "ab"),
        case("a length with a vertical tab", 400, post("Content-Length: 2\x0b\r\n") + "ab"),
        case("a folded length", 400, post("Content-Length:\r\n 2\r\n") + "ab"),
        case("a length with a space in its name", 400, post("Content-Length : 2\r\n") + "ab"),
        case("a length with a tab in its name", 400, post("Content-Length\t: 2\r\n") + "ab"),
        case(
            "a length that is negative to some",
            413,
            post("Content-Length: 9223372036854775808\r\n"),
        ),
        case("a length that wraps", 413, post("Content-Length: 18446744073709551618\r\n") + "ab"),
        case("a length beyond any", 413, post("Content-Length: 99999999999999999999\r\n")),
        case("chunked twice", 400, post("Transfer-Encoding: chunked, chunked\r\n") + "0\r\n\r\n"),
        case("two codings", 400, post(&format!("{chunked}{chunked}")) + "0\r\n\r\n"),
        case("an unknown coding", 501, post("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n"),
        case("a misspelt coding", 501, post("Transfer-Encoding: xchunked\r\n") + "0\r\n\r\n"),
        case("identity", 501, post("Transfer-Encoding: identity\r\n")),
        case("chunked, then identity", 501, post("Transfer-Encoding: chunked, identity\r\n") + END),
        case("identity, then chunked", 501, post("Transfer-Encoding: identity, chunked\r\n") + END),
        case("a coding's parameter", 400, post("Transfer-Encoding: chunked;q=1\r\n") + END),
        case("a coding and a comma", 400, post("Transfer-Encoding: chunked,\r\n") + END),
        case("a coding in quotes", 400, post("Transfer-Encoding: \"chunked\"\r\n") + END),
        case("an empty coding", 400, post("Transfer-Encoding:\r\n") + END),
        case(
            "a coding behind a vertical tab",
            400,
            post("Transfer-Encoding: \x0bchunked\r\n") + END,
        ),
        case("a coding before a form feed", 400, post("Transfer-Encoding: chunked\x0c\r\n") + END),
        case("a coding before a CR", 400, post("Transfer-Encoding: chunked\r\r\n") + END),
        case("a coding before NUL", 400, post("Transfer-Encoding: chunked\0\r\n") + END),
        case("a folded coding", 400, post("Transfer-Encoding:\r\n chunked\r\n") + END),
        case(
            "a coding with a space in its name",
            400,
            post("Transfer-Encoding : chunked\r\n") + END,
        ),
        case(
            "a coding behind a bare CR",
            400,
            post("X-A: 1\rTransfer-Encoding: chunked\r\n") + END,
        ),
        case(
            "a coding behind a bare LF",
            400,
            post("X-A: 1\nTransfer-Encoding: chunked\r\n") + END,
        ),
        case(
            "HTTP/1.0 with a coding",
            400,
            head("POST /v1/marked HTTP/1.0", chunked) + "0\r\n\r\n",
        ),
        case(
            "no Host",
            400,
            format!("GET /v1/marked HTTP/1.1\r\nAuthorization: Bearer {key}\r\n\r\n"),
        ),
        case(
            "no Host in HTTP/1.0",
            400,
            format!("GET /v1/marked HTTP/1.0\r\nAuthorization: Bearer {key}\r\n\r\n"),
        ),
        case("two Hosts", 400, head("GET /v1/marked HTTP/1.1", "Host: bearer.test\r\n")),
        case("two different Hosts", 400, head("GET /v1/marked HTTP/1.1", "Host: other.test\r\n")),
        case(
            "an empty Host",
            400,
            format!("GET /v1/marked HTTP/1.1\r\nHost:\r\nAuthorization: Bearer {key}\r\n\r\n"),
        ),
        case(
            "two Hosts in a line",
            400,
            "GET /v1/marked HTTP/1.1\r\nHost: bearer.test, other.test\r\n\r\n",
        ),
        case(
            "a Host with a space in its name",
            400,
            "GET /v1/marked HTTP/1.1\r\nHost : bearer.test\r\n\r\n",
        ),
        case(
            "a Host with a port and none",
            400,
            "GET /v1/marked HTTP/1.1\r\nHost: bearer.test:\r\n\r\n",
        ),
        case("a Host with a path", 400, "GET /v1/marked HTTP/1.1\r\nHost: bearer.test/x\r\n\r\n"),
        case("a Host with a user", 400, "GET /v1/marked HTTP/1.1\r\nHost: u@bearer.test\r\n\r\n"),
        case("CONNECT", 405, get("CONNECT bearer.test:443 HTTP/1.1")),
        case("CONNECT with a path", 405, get("CONNECT /v1/marked HTTP/1.1")),
        case("TRACE", 405, get("TRACE /v1/marked HTTP/1.1")),
        case("a lower-case method", 400, get("get /v1/marked HTTP/1.1")),
        case("a mixed-case method", 400, get("GeT /v1/marked HTTP/1.1")),
        case("bare LF", 400, get("GET /v1/marked HTTP/1.1").replace("\r\n", "\n")),
        case("one bare LF", 400, head("GET /v1/marked HTTP/1.1", "X-A: 1\nX-B: 2\r\n")),
        case("bare CR", 400, head("GET /v1/marked HTTP/1.1", "X-A: 1\rX-B: 2\r\n")),
        case("bare CR in the first line", 400, get("GET /v1/marked\r HTTP/1.1")),
        case("bare LF in the first line", 400, get("GET /v1/marked\n HTTP/1.1")),
        case("NUL in a name", 400, head("GET /v1/marked HTTP/1.1", "X-\0A: 1\r\n")),
        case("a tab before the colon", 400, head("GET /v1/marked HTTP/1.1", "X-A\t: 1\r\n")),
        case(
            "a value folded by a tab",
            400,
            head("GET /v1/marked HTTP/1.1", "X-A: 1\r\n\tfolded\r\n"),
        ),
        case("NUL in a value", 400, head("GET /v1/marked HTTP/1.1", "X-A: 1\x002\r\n")),
        case("NUL in the target", 400, get("GET /v1/marked\0 HTTP/1.1")),
        case("a folded value", 400, head("GET /v1/marked HTTP/1.1", "X-A: 1\r\n folded\r\n")),
        case("space before the colon", 400, head("GET /v1/marked HTTP/1.1", "X-A : 1\r\n")),
        case(
            "space before the first header",
            400,
            "GET /v1/marked HTTP/1.1\r\n Host: bearer.test\r\n\r\n",
        ),
        case("no colon", 400, head("GET /v1/marked HTTP/1.1", "X-A\r\n")),
        case("no name", 400, head("GET /v1/marked HTTP/1.1", ": 1\r\n")),
        case("a space in a name", 400, head("GET /v1/marked HTTP/1.1", "X A: 1\r\n")),
        case("an empty first line", 400, format!("\r\n{}", get("GET /v1/marked HTTP/1.1"))),
        case("two spaces", 400, get("GET  /v1/marked HTTP/1.1")),
        case("a tab", 400, get("GET\t/v1/marked HTTP/1.1")),
        case("no version", 400, get("GET /v1/marked")),
        case("HTTP/2.0", 505, get("GET /v1/marked HTTP/2.0")),
        case("HTTP/0.9", 505, get("GET /v1/marked HTTP/0.9")),
        case("HTTP/1.10", 400, get("GET /v1/marked HTTP/1.10")),
        case("http/1.1", 400, get("GET /v1/marked http/1.1")),
        case("another host in the target", 400, get("GET http://other.test/v1/marked HTTP/1.1")),
        case("a user in the target", 400, get("GET http://u@bearer.test/v1/marked HTTP/1.1")),
        case("another scheme", 400, get("GET ftp://bearer.test/v1/marked HTTP/1.1")),
        case("an authority as target", 400, get("GET bearer.test:80 HTTP/1.1")),
        case(
            "another port in the target",
            400,
            get("GET http://bearer.test:81/v1/marked HTTP/1.1"),
        ),
        case(
            "a backslash in the authority",
            400,
            get("GET http://bearer.test\\@other.test/v1/marked HTTP/1.1"),
        ),
        case("a fragment", 400, get("GET /v1/ok#/../marked HTTP/1.1")),
        case("a fragment in the query", 400, get("GET /v1/marked?a#b HTTP/1.1")),
        case("bytes beyond ASCII", 400, get("GET /v1/märked HTTP/1.1")),
        case("an asterisk", 400, get("GET * HTTP/1.1")),
        case("a long target", 414, get(&format!("GET /v1/{} HTTP/1.1", "a".repeat(8 * 1024)))),
        case(
            "a large head",
            431,
            head("GET /v1/marked HTTP/1.1", &format!("X-A: {}\r\n", "a".repeat(40_000))),
        ),
        case("many headers", 431, head("GET /v1/marked HTTP/1.1", &"X-A: 1\r\n".repeat(120))),
        case("another expectation", 417, head("GET /v1/marked HTTP/1.1", "Expect: x\r\n")),
        case(
            "a named length",
            400,
            post("Connection: content-length\r\nContent-Length: 2\r\n") + "ab",
        ),
        case("a named Host", 400, head("GET /v1/marked HTTP/1.1", "Connection: host\r\n")),
        case(
            "h2c",
            400,
            head(
                "GET /v1/marked HTTP/1.1",
                "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            ),
        ),
        case(
            "an upgrade with a body",
            400,
            post("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n") + "ab",
        ),
        case("TLS on a plain port", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ];
    all_refused(&world, &upstream, true, cases).await;
    assert_eq!(upstream.connections(), 0, "no connection was made for any of them");
}

/// What some server reads as another path.
pub const AMBIGUOUS_PATHS: [&str; 35] = [
    "//admin",
    "//bearer.test/admin",
    "/v1//admin",
    "/v1/admin//",
    "/v1/%2e%2e/admin",
    "/v1/%2E%2E/admin",
    "/v1/..%2fadmin",
    "/v1/..%5cadmin",
    "/v1/../admin",
    "/v1/./admin",
    "/v1/admin/.",
    "/v1/admin/..",
    "/v1/admin/%2e",
    "/v1/.%2E/admin",
    "/v1%2fadmin",
    "/v1/%2Fadmin",
    "/v1/%5cadmin",
    "/v1/%5Cadmin",
    "/v1/..;/admin",
    "/v1/;a=b/admin",
    "/v1/admin;a=b",
    "/v1/admin;",
    "/v1/%3badmin",
    "/v1/%00/admin",
    "/v1/admin%00",
    "/v1/admin%0d%0a",
    "/v1/%61dmin",
    "/v1/%2561dmin/admin",
    "/v1/%252e%252e/admin",
    "/v1/%zz/admin",
    "/v1/admin%",
    "/v1/admin%2",
    "/v1/%c0%ae%c0%ae/admin",
    "/v1/admin%ff",
    "/v1/[admin]",
];

#[tokio::test]
async fn ambiguous_paths_are_refused_and_never_cleaned() {
    let (world, upstream) = world().await;
    let cases = AMBIGUOUS_PATHS.map(|path| case(path, 400, world.get(path)));
    all_refused(&world, &upstream, false, cases.into()).await;
    let absolute = |path| world.get(&format!("http://bearer.test{path}"));
    let cases = AMBIGUOUS_PATHS.map(|path| case(path, 400, absolute(path)));
    all_refused(&world, &upstream, false, cases.into()).await;
    let cases = vec![
        case("a backslash", 400, world.get("/v1\\admin")),
        case("a quote", 400, world.get("/v1/\"admin\"")),
        case("a bar", 400, world.get("/v1/|admin")),
        case("a brace", 400, world.get("/v1/{admin}")),
    ];
    all_refused(&world, &upstream, true, cases).await;
    let cases = vec![
        case("OPTIONS *", 400, world.request("OPTIONS *", "", "")),
        case("a path no route names", 404, world.get("/admin")),
    ];
    all_refused(&world, &upstream, false, cases).await;
}

#[tokio::test]
async fn what_no_route_names_is_told_to_who_has_a_key_and_reaches_nobody() {
    let (world, upstream) = world().await;
    let anonymous = |line: &str| format!("{line} HTTP/1.1\r\nHost: bearer.test\r\n\r\n");
    let cases = vec![
        case("no key, no route", 401, anonymous("GET /admin")),
        case("no key, a route", 401, anonymous("GET /v1/marked")),
        case("no key, another method", 401, anonymous("POST /v1/only-get")),
        case("a key, no route", 404, world.get("/admin")),
        case("the bare root", 404, world.get("/")),
        case("a query in place of a path", 404, world.get("http://bearer.test?/admin")),
        case("a route's beginning", 404, world.get("/v1marked")),
        case("another case", 404, world.get("/V1/marked")),
        case("another method", 405, world.post("/v1/only-get", "marked")),
        case("a method nobody knows", 405, world.request("MARK /v1/marked", "", "")),
    ];
    all_refused(&world, &upstream, false, cases).await;
}

/// Two credentials or an ambiguous one, as query and header lines, for the API `several`.
pub fn several_credentials(key: &str) -> Vec<(&'static str, String, String)> {
    let bearer = format!("Authorization: Bearer {key}\r\n");
    let plain = format!("X-API-Key: {key}\r\n");
    let socket = format!("Sec-WebSocket-Protocol: key.{key}\r\n");
    let query = format!("?key={key}");
    let case = |what, query: &str, headers: &str| (what, query.to_owned(), headers.to_owned());
    let other = "Authorization: Basic dTpw\r\n";
    vec![
        case("the same header twice", "", &format!("{bearer}{bearer}")),
        case("a list", "", &format!("Authorization: Bearer {key}, Bearer {key}\r\n")),
        case("a list of one scheme", "", &format!("Authorization: Bearer {key},{key}\r\n")),
        case("a list of two schemes", "", &format!("Authorization: Basic dTpw, Bearer {key}\r\n")),
        case("bearer and plain", "", &format!("{bearer}{plain}")),
        case("plain and bearer", "", &format!("{plain}{bearer}")),
        case("plain twice", "", &format!("{plain}{plain}")),
        case("a plain list", "", &format!("X-API-Key: {key},{key}\r\n")),
        case("query and bearer", &query, &bearer),
        case("query and plain", &query, &plain),
        case("query and subprotocol", &query, &socket),
        case("query twice", &format!("{query}&key={key}"), ""),
        case("an encoded second", &format!("{query}&%6bey={key}"), ""),
        case("subprotocol and bearer", "", &format!("{socket}{bearer}")),
        case("bearer and subprotocol", "", &format!("{bearer}{socket}")),
        case("subprotocol twice", "", &format!("Sec-WebSocket-Protocol: key.{key}, key.{key}\r\n")),
        case("good, then foreign scheme", "", &format!("{bearer}{other}")),
        case("an empty first", "", &format!("X-API-Key:\r\n{plain}")),
        case("foreign scheme, then good", "", &format!("{other}{bearer}")),
        case("foreign scheme and plain", "", &format!("{other}{plain}")),
        case("plain and foreign scheme", "", &format!("{plain}{other}")),
    ]
}

#[tokio::test]
async fn two_credentials_are_refused_in_every_form_and_order() {
    let (world, upstream) = world().await;
    let key = world.key("several");
    let bearer = format!("Authorization: Bearer {key}\r\n");
    let plain = format!("X-API-Key: {key}\r\n");
    let socket = format!("Sec-WebSocket-Protocol: key.{key}\r\n");
    let query = format!("?key={key}");
    let request = |query: &str, headers: &str| {
        format!("GET /v1/marked{query} HTTP/1.1\r\nHost: several.test\r\n{headers}\r\n")
    };
    let shouted = bearer.replace("Authorization: Bearer", "authorization: bEARER");
    for alone in [
        request("", &bearer),
        request("", &shouted),
        request("", &plain),
        request("", &socket),
        request(&query, ""),
    ] {
        let answer = world.client().await.ask(alone.replace("marked", "alone")).await;
        assert_eq!(answer.status(), 200, "{alone}");
    }
    for (what, query, headers) in several_credentials(key) {
        let mut client = world.client().await;
        let answer = client.ask(request(&query, &headers)).await;
        assert_eq!(answer.status(), 400, "{what}: {answer:?}");
        assert!(!upstream.saw("marked"), "{what}");
        let next = client.ask(request("", &plain).replace("marked", "alone")).await;
        assert_eq!(next.status(), 200, "{what}: the connection stays usable");
    }
    let foreign = request("", "Authorization: Basic dTpw\r\n");
    assert_eq!(world.client().await.ask(foreign).await.status(), 401);
    assert!(!upstream.saw("marked"));
}

#[tokio::test]
async fn a_chunked_body_that_breaks_a_rule_never_reaches_the_upstream_as_whole() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    for (what, garbage) in [
        ("letters", "zz\r\nabc\r\n0\r\n\r\n"),
        ("a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("a prefix", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("a space", "3 \r\nabc\r\n0\r\n\r\n"),
        ("an underscore", "1_0\r\nabc\r\n0\r\n\r\n"),
        ("a bare LF", "3\nabc\r\n0\r\n\r\n"),
        ("more than said", "3\r\nabcd\r\n0\r\n\r\n"),
        ("an endless size", "11111111111111111\r\nabc\r\n0\r\n\r\n"),
        ("an extension of control characters", "3;a=\x01\r\nabc\r\n0\r\n\r\n"),
        ("a trailer that authenticates", "0\r\nAuthorization: Bearer x\r\n\r\n"),
        ("a folded trailer", "0\r\nX-A: b\r\n c\r\n\r\n"),
        ("a smuggled request", "0\r\nGET /v1/admin HTTP/1.1\r\n\r\n"),
        ("no size", "\r\nabc\r\n0\r\n\r\n"),
        ("a negative size", "-3\r\nabc\r\n0\r\n\r\n"),
        ("a space before", " 3\r\nabc\r\n0\r\n\r\n"),
        ("a tab", "3\t\r\nabc\r\n0\r\n\r\n"),
        ("a vertical tab", "3\x0b\r\nabc\r\n0\r\n\r\n"),
        ("NUL", "3\0\r\nabc\r\n0\r\n\r\n"),
        ("a bare CR", "3\rabc\r\n0\r\n\r\n"),
        ("two CRs", "3\r\r\nabc\r\n0\r\n\r\n"),
        ("less than said", "4\r\nabc\r\n0\r\n\r\n"),
        ("no end of data", "3\r\nabc0\r\n\r\n"),
        ("data that ends with LF", "3\r\nabc\n0\r\n\r\n"),
        ("a size that is negative to some", "8000000000000000\r\nabc\r\n0\r\n\r\n"),
        ("a size that wraps", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ("a size of zeros without end", "00000000000000003\r\nabc\r\n0\r\n\r\n"),
        ("an extension without a name", "3;\r\nabc\r\n0\r\n\r\n"),
        ("a space before an extension", "3 ;a=b\r\nabc\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "3;a\n\r\nabc\r\n0\r\n\r\n"),
        ("a bare CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
        ("a line's end in quotes", "3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n"),
        ("a last chunk that ends with LF", "0\n\r\n"),
        ("a body that ends with LF", "0\r\n\n"),
        ("a trailer that tells a length", "0\r\nContent-Length: 5\r\n\r\n"),
        ("a trailer that tells a coding", "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("a trailer that routes", "0\r\nHost: other.test\r\n\r\n"),
        ("a trailer that routes elsewhere", "0\r\nX_Original_URL: /admin\r\n\r\n"),
        ("a trailer with a space", "0\r\nX-A : b\r\n\r\n"),
        ("a trailer without a name", "0\r\n: b\r\n\r\n"),
        ("a trailer with NUL", "0\r\nX-A: \0\r\n\r\n"),
        ("a trailer with a bare CR", "0\r\nX-A: b\rX-B: c\r\n\r\n"),
    ] {
        let mut client = world.client().await;
        client
            .send(world.request(
                "POST /v1/upload",
                "Transfer-Encoding: chunked\r\n",
                "5\r\nfirst\r\n",
            ))
            .await;
        let mut connection = upstream.next().await;
        let head = connection.wire.head().await;
        assert_eq!(head.get("transfer-encoding"), Some("chunked"), "{what}");
        assert_eq!(connection.wire.chunk().await.unwrap(), b"first", "{what}");
        client.send(garbage).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 400, "{what}: {answer:?}");
        assert_eq!(answer.head.get("connection"), Some("close"), "{what}");
        client.closed().await;
        connection.closed().await;
        let received = String::from_utf8(connection.received()).unwrap();
        assert!(
            !received.ends_with("0\r\n\r\n"),
            "{what}: the upstream took {received:?} for whole"
        );
    }
}

#[tokio::test]
async fn a_good_request_before_a_bad_one_is_answered_first() {
    let (world, upstream) = world().await;
    let bad = world.get("/v1/marked").replace("Host:", "Host :");
    for split in [true, false] {
        let mut client = world.client().await;
        if split {
            client.send(world.get("/v1/good")).await;
            client.send(&bad).await;
        } else {
            client.send(world.get("/v1/good") + &bad).await;
        }
        assert_eq!(client.answer().await.status(), 200);
        let refused = client.answer().await;
        assert_eq!(refused.status(), 400, "{refused:?}");
        assert_eq!(refused.head.get("connection"), Some("close"));
        client.closed().await;
        assert!(upstream.saw("/v1/good") && !upstream.saw("marked"));
    }
}

#[tokio::test]
async fn a_bad_request_behind_one_in_flight_does_not_touch_it() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    client.send(world.get("/v1/first")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    client.send("nonsense\r\n\r\n").await;
    // A second exchange of bytes with the gateway: by now it has read the nonsense.
    assert_eq!(world.client().await.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status(), 404);
    connection.send(ok("first")).await;
    let first = client.answer().await;
    assert_eq!((first.status(), first.text()), (200, "first"));
    assert_eq!(client.answer().await.status(), 400);
    client.closed().await;
}

#[tokio::test]
async fn requests_in_one_piece_are_answered_in_order() {
    let upstream = Upstream::answering(|request| ok(&request.head.line)).await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    let all: String = (0..20)
        .map(|n| match n % 2 {
            0 => world.get(&format!("/v1/{n}")),
            _ => world.post(&format!("/v1/{n}"), "body"),
        })
        .collect();
    client.send(all).await;
    for n in 0..20 {
        assert!(client.answer().await.text().contains(&format!(" /v1/{n} ")), "{n}");
    }
}

#[tokio::test]
async fn heads_up_to_the_bounds_pass_and_larger_ones_do_not() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    for (head_bytes, headers) in [(4_096, 20), (32 * 1024, 100), (200 * 1024, 500)] {
        let world = World::with(upstream.address, |setup| {
            let limits = &mut setup.settings.limits;
            (limits.head_bytes, limits.headers, limits.uri_bytes) = (head_bytes, headers, 1_000);
        })
        .await;
        // Host and Authorization are two of them.
        let most = "X-A: 1\r\n".repeat(headers - 2);
        let room = head_bytes - world.request("GET /v1/x", "X-A: \r\n", "").len();
        let large = |size: usize| format!("X-A: {}\r\n", "a".repeat(size));
        let target = format!("GET /v1/{}", "a".repeat(996));
        for (request, status) in [
            (world.request("GET /v1/x", &most, ""), 200),
            (world.request("GET /v1/x", &(most.clone() + "X-A: 1\r\n"), ""), 431),
            (world.request("GET /v1/x", &large(room), ""), 200),
            (world.request("GET /v1/x", &large(room + 1), ""), 431),
            (world.request(&target, "", ""), 200),
            (world.request(&(target.clone() + "a"), "", ""), 414),
        ] {
            let mut client = world.client().await;
            for piece in request.as_bytes().chunks(1_000) {
                // A refusal may come before everything is sent.
                if client.wire.try_send(piece).await.is_err() {
                    break;
                }
            }
            assert_eq!(
                client.answer().await.status(),
                status,
                "{head_bytes}: {} bytes",
                request.len()
            );
        }
        // HTTP/2 counts a little otherwise; what is clearly within or beyond is treated alike.
        for (size, status) in [(head_bytes / 2, 200), (head_bytes + 100, 431)] {
            let mut frames = Frames::connect(world.address).await;
            let bearer = format!("Bearer {}", world.key("bearer"));
            let value = "a".repeat(size);
            let fields = [
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "bearer.test"),
                (":path", "/v1/x"),
                ("authorization", bearer.as_str()),
                ("x-a", value.as_str()),
            ];
            frames.long_headers(1, &fields, END_STREAM).await;
            assert_eq!(frames.outcome(1).await, Outcome::Status(status), "{head_bytes}: {size}");
        }
    }
}

/// The same mutations every time: a linear congruential generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn mutate(&mut self, base: &str) -> Vec<u8> {
        const PIECES: [&str; 16] = [
            "\r",
            "\n",
            "\r\n",
            "\r\n\r\n",
            "\0",
            " ",
            "\t",
            ":",
            ",",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Host: bearer.test\r\n",
            "HTTP/1.0",
            "%2e%2e/",
            "\u{e4}",
            "0",
        ];
        let mut bytes = base.as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] = self.below(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => {
                    let end = (at + 1 + self.below(40)).min(bytes.len());
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
                3 => bytes.truncate(at.max(1)),
                _ => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].bytes())),
            }
        }
        bytes
    }
}

#[tokio::test]
async fn whatever_is_sent_is_answered_by_us_and_recorded_once() {
    const CASES: usize = 600;
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::with(upstream.address, |setup| {
        let deadlines = &mut setup.settings.deadlines;
        for deadline in [&mut deadlines.head, &mut deadlines.idle, &mut deadlines.stall] {
            *deadline = millis(300);
        }
    })
    .await;
    let json = "Content-Type: application/json\r\n";
    let chunked = format!("Transfer-Encoding: chunked\r\n{json}");
    let bases = [
        world.request("GET /v1/x?a=b", "X-A: 1\r\nAccept: */*\r\n", ""),
        world.post("/v1/chat", "{\"model\":\"any\"}"),
        world.request(
            "POST /v1/chat",
            &chunked,
            "8\r\n{\"model\"\r\n7;a=b\r\n:\"any\"}\r\n0\r\nX-T: 1\r\n\r\n",
        ),
        world.request("POST /v1/x", "Transfer-Encoding: chunked\r\n", "5\r\n12345\r\n0\r\n\r\n"),
        world.request("GET http://bearer.test/v1/x", "Connection: keep-alive, x-a\r\n", ""),
        world.get("/v1/first") + &world.get("/v1/second"),
    ];
    let mut chance = Chance(1);
    let mut clients = Vec::new();
    let mut answers = 0;
    for n in 0..CASES {
        let bytes = chance.mutate(&bases[n % bases.len()]);
        let mut client = world.client().await;
        client.send(&bytes).await;
        clients.push((client, bytes));
        if clients.len() < 100 && n + 1 < CASES {
            continue;
        }
        for (mut client, bytes) in clients.drain(..) {
            // Up to the end: the deadlines see to it that it comes.
            while let Ok(answer) = soon(client.try_answer(false)).await {
                let shown = String::from_utf8_lossy(&bytes);
                assert!(answer.head.has("x-request-id"), "{shown:?}: not our answer: {answer:?}");
                assert!(!answer.body.is_empty(), "{shown:?}: {answer:?}");
                answers += 1;
            }
        }
    }
    assert_eq!(world.drain().await.requests(), answers);
}
