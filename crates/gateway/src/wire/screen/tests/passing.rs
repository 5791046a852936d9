//! Requests that real clients send, and corners that are right: all of it passes.

use super::{GET, Phase, UPGRADE, drive, whole};

const CURL: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8080\r\n\
    User-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Type: application/json\r\n\
    Authorization: Bearer kw_live_0123456789abcdefghijklmnop\r\nContent-Length: 15\r\n\r\n\
    {\"model\":\"m\"}\r\n";
const CURL_CHUNKED: &[u8] = b"PUT /v1/files/a%20b HTTP/1.1\r\nHost: localhost:8080\r\n\
    User-Agent: curl/8.5.0\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n\
    Expect: 100-continue\r\n\r\n\
    1a\r\nabcdefghijklmnopqrstuvwxyz\r\n1\r\n\n\r\n0\r\n\r\n";
const PYTHON_REQUESTS: &[u8] = b"GET /v1/usage?filter[key]=a&x=%7B HTTP/1.1\r\n\
    Host: api.example.com\r\nUser-Agent: python-requests/2.32.3\r\n\
    Accept-Encoding: gzip, deflate, br\r\nAccept: */*\r\nConnection: keep-alive\r\n\
    X-API-Key: sk-0123456789\r\n\r\n";
const OPENAI: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.com\r\n\
    Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nAccept: application/json\r\n\
    Content-Type: application/json\r\nUser-Agent: OpenAI/Python 1.51.0\r\n\
    X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.51.0\r\n\
    X-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\n\
    X-Stainless-Runtime-Version: 3.12.3\r\nAuthorization: Bearer sk-0123456789\r\n\
    X-Stainless-Async: false\r\nx-stainless-retry-count: 0\r\nContent-Length: 27\r\n\r\n\
    {\"model\":\"m\",\"messages\":[]}";
const NODE_STREAM: &[u8] = b"POST /v1/responses HTTP/1.1\r\nhost: api.example.com\r\n\
    connection: keep-alive\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n\
    accept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\n\
    transfer-encoding: Chunked \r\n\r\n\
    5;name=value\r\nhello\r\n0005;a;b=\"c d\"\r\nworld\r\n000\r\n\
    Content-Digest: sha-256=:x:\r\nX-Checksum:\r\n\r\n";

/// A request line and Host; `lines` end the head and may have a body behind.
fn with(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: api.example.com\r\n{lines}").into_bytes()
}

fn target(method: &str, target: &str, host: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost:{host}\r\n\r\n").into_bytes()
}

/// Streams of so many whole messages.
pub(super) fn messages() -> Vec<(&'static str, Vec<u8>, usize)> {
    vec![
        ("curl", CURL.to_vec(), 1),
        ("curl, chunked", CURL_CHUNKED.to_vec(), 1),
        ("python-requests", PYTHON_REQUESTS.to_vec(), 1),
        ("openai", OPENAI.to_vec(), 1),
        ("node, streaming, with extensions and trailers", NODE_STREAM.to_vec(), 1),
        ("pipelined gets", [GET, GET, GET].concat(), 3),
        ("pipelined bodies", [OPENAI, CURL_CHUNKED, GET, NODE_STREAM, CURL].concat(), 5),
        ("HTTP/1.0 with Host", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n".to_vec(), 1),
        ("absolute form", target("GET", "http://A.example:80/x?y", " a.EXAMPLE:80 \t"), 1),
        ("absolute form without a path", target("OPTIONS", "HTTPS://a", "a"), 1),
        ("absolute form with a query only", target("GET", "http://a?x", "a"), 1),
        ("asterisk", target("OPTIONS", "*", " a"), 1),
        ("IPv6", target("GET", "/", " [2001:db8::1]:8443"), 1),
        ("IPv6 without a port", target("GET", "/", " [::ffff:192.0.2.1]"), 1),
        ("IPv4", target("GET", "/", " 192.0.2.1:65535"), 1),
        ("a name of a container", target("GET", "/", " model_server-1:80"), 1),
        ("a name with a last dot", target("GET", "/", " example.com."), 1),
        ("every character of a URI", target("GET", "/-._~%:/?[]@!$&'()*+,;=", "a"), 1),
        ("a registered method with a hyphen", target("VERSION-CONTROL", "/", " a"), 1),
        ("the longest target", target("GET", &format!("/{}", "a".repeat(255)), "a"), 1),
        ("bytes beyond ASCII and tabs in a value", with("X-Name:\tM\u{fc}\tb \r\n\r\n"), 1),
        ("an empty value", with("X-Empty:\r\nX-Blank:  \t \r\n\r\n"), 1),
        ("every character of a name", with("!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n"), 1),
        ("length 0", with("Content-Length: 0\r\n\r\n"), 1),
        ("length with spaces around", with("content-LENGTH:\t 2 \t\r\n\r\nab"), 1),
        ("an expectation in capitals", with("Expect: 100-CONTINUE\r\n\r\n"), 1),
        ("connection options", with("Connection: close, , TE\r\nTE: trailers\r\n\r\n"), 1),
        ("what nginx sends without an upgrade", with("Connection: upgrade\r\n\r\n"), 1),
        (
            "the largest size of a line",
            {
                let lines =
                    format!("Transfer-Encoding: chunked\r\n\r\n1;{}\r\na\r\n", "b".repeat(252));
                with(&format!("{lines}0\r\n\r\n"))
            },
            1,
        ),
        (
            "a size of 16 digits",
            { with("Transfer-Encoding: chunked\r\n\r\n0000000000000001\r\na\r\n0\r\n\r\n") },
            1,
        ),
        ("as many headers as may be", with(&format!("{}\r\n", "A: b\r\n".repeat(23))), 1),
        (
            "as large a head as may be",
            {
                let mut head = with("X: ");
                head.resize(2044, b'x');
                head.extend_from_slice(b"\r\n\r\n");
                head
            },
            1,
        ),
    ]
}

#[test]
fn what_real_clients_send_passes_unchanged() {
    for (name, input, count) in messages() {
        let outcome = whole(&input);
        assert_eq!(outcome.violation, None, "{name}");
        assert!(outcome.passed == input, "{name}");
        assert_eq!(outcome.messages.len(), count, "{name}");
        assert_eq!(outcome.phase, Phase::Idle, "{name}");
    }
}

#[test]
fn a_stream_that_stops_early_passes_nothing_of_an_unfinished_head() {
    for (name, input, _) in messages() {
        for end in 0..input.len() {
            let outcome = whole(&input[..end]);
            assert_eq!(outcome.violation, None, "{name} up to {end}");
            assert!(input.starts_with(&outcome.passed), "{name} up to {end}");
            for (head, _) in outcome.messages {
                assert!(head.ends_with(b"\r\n\r\n"), "{name} up to {end}");
            }
        }
    }
}

#[test]
fn a_taken_upgrade_is_a_tunnel_and_a_refused_one_is_not() {
    let input = [UPGRADE, b"\x81\x05hello\n"].concat();
    let taken = whole(&input);
    assert_eq!((taken.passed, taken.phase), (input.clone(), Phase::Tunnel));
    let refused = drive(&input, &[usize::MAX], false);
    assert_eq!((&refused.passed[..], refused.phase), (UPGRADE, Phase::Refused));
    let followed = drive(&[UPGRADE, GET].concat(), &[usize::MAX], false);
    assert_eq!((followed.messages.len(), followed.phase), (2, Phase::Idle));
}

#[test]
fn an_upgrade_may_name_several_protocols_and_an_empty_body() {
    let lines = "Upgrade: websocket, foo/1.2\r\nConnection: close\r\nConnection: upgrade\r\n";
    let outcome = whole(&with(&format!("{lines}Content-Length: 0\r\n\r\n")));
    assert_eq!((outcome.violation, outcome.phase), (None, Phase::AfterUpgrade));
}
