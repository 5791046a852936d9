//! The rules, as bytes that break each.

use super::{GET, Violation, whole};

/// A head with one more header line, good but for it.
fn line(line: &[u8]) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: api.example.com\r\n", line, b"\r\n\r\n"].concat()
}

/// A head with these header lines, Host not among them.
fn lines(lines: &[&str]) -> Vec<u8> {
    ["POST / HTTP/1.1\r\n", &lines.join("\r\n"), "\r\n\r\n"].concat().into_bytes()
}

/// A head with this request line.
fn first(request_line: &[u8]) -> Vec<u8> {
    [request_line, b"\r\nHost: a\r\n\r\n"].concat()
}

fn host(value: &str) -> Vec<u8> {
    lines(&[&format!("Host: {value}")])
}

/// A chunked request with this body, behind a good head.
fn chunks(body: &[u8]) -> Vec<u8> {
    [&line(b"Transfer-Encoding: chunked"), body].concat()
}

/// A chunked request with this trailer section after an empty body.
fn trailers(section: &str) -> Vec<u8> {
    chunks(format!("0\r\n{section}\r\n\r\n").as_bytes())
}

type Rows = Vec<(Vec<u8>, Violation)>;

fn bytes_and_lines() -> Rows {
    use Violation::{
        BareCr, BareLf, ColonMissing, ControlCharacter, HeadTooLarge, LeadingWhitespace,
        LineFolding, NameEmpty, NameMalformed, SpaceBeforeColon, TooManyHeaders,
    };
    vec![
        (b"GET / HTTP/1.1\nHost: a\n\n".to_vec(), BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_vec(), BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n".to_vec(), BareLf),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), BareLf),
        (line(b"X: a\rb"), BareCr),
        (line(b"X: a\r"), BareCr),
        (b"GET /\rHTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), BareCr),
        (line(b"X: a\0b"), ControlCharacter),
        (line(b"X: a\x0bb"), ControlCharacter),
        (line(b"X: a\x7fb"), ControlCharacter),
        (line(b"X\x1b: a"), ControlCharacter),
        (line(b"Transfer-Encoding: \x0bchunked"), ControlCharacter),
        (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), ControlCharacter),
        (b"\x16\x03\x01\x02\x00\x01".to_vec(), ControlCharacter),
        (lines(&[" Host: a"]), LeadingWhitespace),
        (lines(&["\tHost: a"]), LeadingWhitespace),
        (line(b"X: a\r\n b"), LineFolding),
        (line(b"X: a\r\n\tTransfer-Encoding: chunked"), LineFolding),
        (line(b"X: a\r\n "), LineFolding),
        (line(b"X"), ColonMissing),
        (line(b"Content-Length 5"), ColonMissing),
        (line(b": a"), NameEmpty),
        (line(b"X : a"), SpaceBeforeColon),
        (line(b"Transfer-Encoding \t: chunked"), SpaceBeforeColon),
        (line(b"X Y: a"), NameMalformed),
        (line(b"X(Y): a"), NameMalformed),
        (line(b"\"Host\": a"), NameMalformed),
        (line("N\u{e4}me: a".as_bytes()), NameMalformed),
        (line("A: b\r\n".repeat(24).trim().as_bytes()), TooManyHeaders),
        (line(format!("Connection: {}", ",".repeat(64)).as_bytes()), TooManyHeaders),
        (line(&[b"X: ", &[b'a'; 2048][..]].concat()), HeadTooLarge),
        (line(&[b'a'; 2048]), HeadTooLarge),
        ([&b"GET / HTTP/1.1\r\nHost: a\r\nX: "[..], &[b'a'; 2048]].concat(), HeadTooLarge),
    ]
}

fn request_lines() -> Rows {
    use Violation::{
        Asterisk, EmptyFirstLine, Fragment, Method, MethodRefused, NotAscii, RequestLine,
        TargetCharacter, TargetForm, UriTooLong, VersionMalformed, VersionUnsupported,
    };
    let long = format!("GET /{} HTTP/1.1", "a".repeat(256));
    let mut rows = vec![
        (first(b"\r\nGET / HTTP/1.1"), EmptyFirstLine),
        (first(b"GET"), RequestLine),
        (first(b"GET /"), RequestLine),
        (first(b"GET  / HTTP/1.1"), RequestLine),
        (first(b"GET /  HTTP/1.1"), RequestLine),
        (first(b"GET\t/ HTTP/1.1"), RequestLine),
        (first(b"GET /\tHTTP/1.1"), RequestLine),
        (first(b"GET / HTTP/1.1 "), RequestLine),
        (first(b"GET / x HTTP/1.1"), RequestLine),
        (first(b" GET / HTTP/1.1"), RequestLine),
        (first(b"GET HTTP/1.1"), RequestLine),
        (first(b"get / HTTP/1.1"), Method),
        (first(b"GeT / HTTP/1.1"), Method),
        (first(b"GET: / HTTP/1.1"), Method),
        (first(b"\"GET\" / HTTP/1.1"), Method),
        (first(&[&[b'A'; 33][..], b" / HTTP/1.1"].concat()), Method),
        (first(b"CONNECT a:443 HTTP/1.1"), MethodRefused),
        (first(b"CONNECT / HTTP/1.1"), MethodRefused),
        (first(b"TRACE / HTTP/1.1"), MethodRefused),
        (first(long.as_bytes()), UriTooLong),
        (first(&[b'A'; 512]), UriTooLong),
        (first("GET /\u{e9} HTTP/1.1".as_bytes()), NotAscii),
        (first("G\u{c9}T / HTTP/1.1".as_bytes()), NotAscii),
        (first("GET / HTTP/1.1\u{a0}".as_bytes()), NotAscii),
        (first(b"GET /#a HTTP/1.1"), Fragment),
        (first(b"GET v1/models HTTP/1.1"), TargetForm),
        (first(b"GET ?x HTTP/1.1"), TargetForm),
        (first(b"GET a:443 HTTP/1.1"), TargetForm),
        (first(b"GET ftp://a/ HTTP/1.1"), TargetForm),
        (first(b"GET http:/a/ HTTP/1.1"), TargetForm),
        (first(b"GET http:///x HTTP/1.1"), TargetForm),
        (first(b"GET http://me@a/ HTTP/1.1"), TargetForm),
        (first(b"OPTIONS *x HTTP/1.1"), TargetForm),
        (first(b"GET * HTTP/1.1"), Asterisk),
        (first(b"GET / HTTP/11"), VersionMalformed),
        (first(b"GET / HTTP/1.1x"), VersionMalformed),
        (first(b"GET / http/1.1"), VersionMalformed),
        (first(b"GET / ICY/1.1"), VersionMalformed),
        (first(b"GET / "), VersionMalformed),
        (first(b"GET / HTTP/0.9"), VersionUnsupported),
        (first(b"GET / HTTP/1.2"), VersionUnsupported),
        (first(b"GET / HTTP/2.0"), VersionUnsupported),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), VersionUnsupported),
    ];
    for character in b"\"<>\\^`{|}" {
        let request_line = [b"GET /a", &[*character][..], b"b HTTP/1.1"].concat();
        rows.push((first(&request_line), TargetCharacter));
    }
    rows
}

fn hosts() -> Rows {
    use Violation::{HostDiffers, HostMalformed, HostMissing, HostRepeated};
    let mut rows = vec![
        (lines(&["X: y"]), HostMissing),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), HostMissing),
        (b"GET / HTTP/1.0\r\nX: y\r\n\r\n".to_vec(), HostMissing),
        (b"GET http://a/ HTTP/1.1\r\nX: y\r\n\r\n".to_vec(), HostMissing),
        (lines(&["Host: a", "X: y", "HOST: a"]), HostRepeated),
        (b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n".to_vec(), HostDiffers),
        (b"GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), HostDiffers),
        (b"GET http://a/ HTTP/1.1\r\nHost: ab\r\n\r\n".to_vec(), HostDiffers),
    ];
    for value in [
        "",
        " \t",
        "a, b",
        "a b",
        "me@a",
        "a/b",
        "a?b",
        "a%2e",
        "a:",
        "a:b",
        "a:65536",
        "a:000080",
        "a:80:80",
        "a:-1",
        "a:+1",
        ":80",
        ".",
        ".a",
        "a..b",
        "[::1",
        "::1",
        "[]",
        "[a]",
        "[::1]a",
        "[::1%25eth0]",
        "[v1.a]",
        "[1.2.3.4]",
        "http://a",
        "\u{e4}",
        "a;b",
        "'a'",
    ] {
        rows.push((host(value), HostMalformed));
    }
    rows
}

fn framing() -> Rows {
    use Violation::{
        CodingMalformed, CodingOnHttp10, CodingRepeated, CodingUnknown, ConnectionNames,
        Expectation, LengthMalformed, LengthRepeated, LengthTooLarge, LengthWithCoding,
    };
    let (length, coding) = ("Content-Length: 5", "Transfer-Encoding: chunked");
    let mut rows = vec![
        (lines(&["Host: a", length, length]), LengthRepeated),
        (lines(&["Host: a", length, "content-length: 6"]), LengthRepeated),
        (lines(&["Host: a", length, coding]), LengthWithCoding),
        (lines(&["Host: a", coding, length]), LengthWithCoding),
        (lines(&["Host: a", coding, "Content-Length: 0"]), LengthWithCoding),
        (lines(&["Host: a", coding, coding]), CodingRepeated),
        (lines(&["Host: a", coding, "Transfer-Encoding: identity"]), CodingRepeated),
        (line(b"Content-Length: 9223372036854775808"), LengthTooLarge),
        (line(b"Content-Length: 18446744073709551621"), LengthTooLarge),
        (line(b"Expect: 200-ok"), Expectation),
        (line(b"Expect:"), Expectation),
        (line(b"Expect: 100-continue, x"), Expectation),
        (
            b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            CodingOnHttp10,
        ),
    ];
    for value in ["", "5, 5", "5,", "+5", "-5", "5 5", "0x5", "5a", "05", "00", "5.0", "\u{665}"] {
        rows.push((line(format!("Content-Length: {value}").as_bytes()), LengthMalformed));
    }
    for value in ["gzip", "gzip, chunked", "chunked, gzip", "identity", "xchunked"] {
        rows.push((line(format!("Transfer-Encoding: {value}").as_bytes()), CodingUnknown));
    }
    for value in [
        "",
        ",",
        "chunked,",
        ", chunked",
        "chunked, chunked",
        "chunked;a",
        "\"chunked\"",
        "chun ked",
    ] {
        rows.push((line(format!("Transfer-Encoding: {value}").as_bytes()), CodingMalformed));
    }
    for name in ["host", "Content-Length", "close, TRANSFER-encoding"] {
        rows.push((line(format!("Connection: {name}").as_bytes()), ConnectionNames));
    }
    rows
}

fn upgrades() -> Rows {
    use Violation::{
        UpgradeH2c, UpgradeMalformed, UpgradeNotNamed, UpgradeOnHttp10, UpgradeWithBody,
    };
    let (upgrade, connection) = ("Upgrade: websocket", "Connection: upgrade");
    let http10 = ["GET / HTTP/1.0\r\nHost: a", upgrade, connection, "\r\n"].join("\r\n");
    vec![
        (lines(&["Host: a", upgrade]), UpgradeNotNamed),
        (lines(&["Host: a", upgrade, "Connection: upgrades"]), UpgradeNotNamed),
        (lines(&["Host: a", upgrade, connection, upgrade]), UpgradeMalformed),
        (lines(&["Host: a", "Upgrade:", connection]), UpgradeMalformed),
        (lines(&["Host: a", "Upgrade: websocket,", connection]), UpgradeMalformed),
        (lines(&["Host: a", "Upgrade: a/", connection]), UpgradeMalformed),
        (lines(&["Host: a", "Upgrade: a/1/2", connection]), UpgradeMalformed),
        (lines(&["Host: a", "Upgrade: a b", connection]), UpgradeMalformed),
        (lines(&["Host: a", "Upgrade: h2c", connection]), UpgradeH2c),
        (lines(&["Host: a", "Upgrade: websocket, H2C", connection]), UpgradeH2c),
        (lines(&["Host: a", "Upgrade: HTTP/2.0", connection]), UpgradeH2c),
        (lines(&["Host: a", "Upgrade: h2", connection]), UpgradeH2c),
        (line(b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), UpgradeH2c),
        (lines(&["Host: a", upgrade, connection, "Content-Length: 1"]), UpgradeWithBody),
        (lines(&["Transfer-Encoding: chunked", "Host: a", upgrade, connection]), UpgradeWithBody),
        (http10.into_bytes(), UpgradeOnHttp10),
    ]
}

fn chunked() -> Rows {
    use Violation::{
        BareCr, BareLf, ChunkEnd, ChunkExtension, ChunkLineTooLong, ChunkSize, ChunkTooLarge,
        ControlCharacter,
    };
    let long = format!("1;{}\r\na\r\n", "b".repeat(253));
    let many = format!("1;{}\r\na\r\n", "b".repeat(252)).repeat(65);
    vec![
        (chunks(b"\r\n"), ChunkSize),
        (chunks(b"x\r\n"), ChunkSize),
        (chunks(b"0x5\r\nhello\r\n"), ChunkSize),
        (chunks(b"-5\r\nhello\r\n"), ChunkSize),
        (chunks(b"+5\r\nhello\r\n"), ChunkSize),
        (chunks(b" 5\r\nhello\r\n"), ChunkSize),
        (chunks(b"5 \r\nhello\r\n"), ChunkSize),
        (chunks(b"5\t;a\r\nhello\r\n"), ChunkSize),
        (chunks(b";a\r\n"), ChunkSize),
        (chunks(b"1\r\na\r\n\r\n0\r\n\r\n"), ChunkSize),
        (chunks(b"8000000000000000\r\n"), ChunkTooLarge),
        (chunks(b"ffffffffffffffff\r\n"), ChunkTooLarge),
        (chunks(b"00000000000000001\r\na\r\n"), ChunkTooLarge),
        (chunks(b"5;\r\nhello\r\n"), ChunkExtension),
        (chunks(b"5;=a\r\nhello\r\n"), ChunkExtension),
        (chunks(b"5; ;\r\nhello\r\n"), ChunkExtension),
        (chunks(b"5\nhello\r\n"), BareLf),
        (chunks(b"5;a\nhello\r\n"), BareLf),
        (chunks(b"5\rhello\r\n"), BareCr),
        (chunks(b"5;a\rb\r\nhello\r\n"), BareCr),
        (chunks(b"5;a=\0\r\nhello\r\n"), ControlCharacter),
        (chunks(long.as_bytes()), ChunkLineTooLong),
        (chunks(many.as_bytes()), ChunkLineTooLong),
        (chunks(&[b'0'; 256]), ChunkLineTooLong),
        (chunks(b"5\r\nhello!\r\n"), ChunkEnd),
        (chunks(b"5\r\nhello\n0\r\n\r\n"), ChunkEnd),
        (chunks(b"5\r\nhello\rX"), ChunkEnd),
        (chunks(b"5\r\nhello0\r\n\r\n"), ChunkEnd),
    ]
}

fn trailer_sections() -> Rows {
    use Violation::{BareCr, BareLf, ControlCharacter};
    vec![
        (chunks(b"0\r\n\n"), BareLf),
        (chunks(b"0\r\n\rX"), BareCr),
        (trailers("A: b\nC: d"), BareLf),
        (trailers("A: b\0"), ControlCharacter),
        (trailers("A: b\r\n c"), Violation::LineFolding),
        (trailers(" A: b"), Violation::LineFolding),
        (trailers("A : b"), Violation::SpaceBeforeColon),
        (trailers("A b"), Violation::ColonMissing),
        (trailers(": b"), Violation::NameEmpty),
        (trailers("A@b: c"), Violation::NameMalformed),
        (trailers(&format!("A: {}", "b".repeat(4096))), Violation::TrailersTooLarge),
        (trailers(&["A: b"; 25].join("\r\n")), Violation::TrailersTooLarge),
        (
            trailers(&[&format!("A: {}", "b".repeat(500))[..]; 9].join("\r\n")),
            Violation::TrailersTooLarge,
        ),
    ]
}

/// Good messages with something between them that no length declares.
fn out_of_step() -> Rows {
    let length = line(b"Content-Length: 5");
    vec![
        ([GET, b"\r\n", GET].concat(), Violation::EmptyFirstLine),
        ([&length[..], b"hello\r\n", GET].concat(), Violation::EmptyFirstLine),
        ([&length[..], b"hello\n", GET].concat(), Violation::BareLf),
        ([&length[..], b"hello!", GET].concat(), Violation::Method),
        ([&chunks(b"0\r\n\r\n\r\n")[..], GET].concat(), Violation::EmptyFirstLine),
    ]
}

fn refused_trailers() -> Rows {
    let names = [
        "Content-Length",
        "TRANSFER-ENCODING",
        "Transfer_Encoding",
        "host",
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "X-Api-Key",
        "x_api_key",
        "X-Forwarded-For",
        "X_FORWARDED_HOST",
        "X-HTTP-Method-Override",
        "Content-Type",
        "Upgrade",
        "Connection",
        "Expect",
        "Trailer",
        "TE",
        "X-Original-URL",
    ];
    let row = |name| (trailers(&format!("A: b\r\n{name}: c")), Violation::TrailerRefused);
    names.into_iter().map(row).collect()
}

/// Streams whose first head breaks a rule.
fn heads() -> Rows {
    [bytes_and_lines(), request_lines(), hosts(), framing(), upgrades()].concat()
}

/// Streams, and the rule that each breaks.
pub(super) fn table() -> Rows {
    [heads(), chunked(), trailer_sections(), refused_trailers(), out_of_step()].concat()
}

#[test]
fn every_broken_rule_is_named() {
    for (input, violation) in table() {
        let outcome = whole(&input);
        let shown = String::from_utf8_lossy(&input);
        assert_eq!(outcome.violation, Some(violation), "{shown:?}");
    }
}

#[test]
fn the_table_breaks_every_rule() {
    let table = table();
    for violation in Violation::ALL {
        assert!(table.iter().any(|(_, broken)| broken == violation), "{violation:?} is untested");
    }
}

#[test]
fn nothing_of_a_refused_head_passes() {
    for (input, violation) in heads() {
        let shown = String::from_utf8_lossy(&input);
        assert!(whole(&input).passed.is_empty(), "{violation:?} {shown:?}");
    }
}

#[test]
fn a_good_request_before_a_bad_one_passes() {
    for (input, violation) in table() {
        let outcome = whole(&[GET, &input].concat());
        assert!(outcome.passed.starts_with(GET), "{violation:?}");
        assert_eq!(outcome.violation, Some(violation));
    }
}

#[test]
fn bad_framing_in_a_head_is_seen_before_the_head_is_whole() {
    for (input, violation) in [
        (&b"GET / HTTP/1.1\r\nHost: a\n"[..], Violation::BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\0", Violation::ControlCharacter),
        (b"GET / HTTP/1.1\r\nHost : a\r\n", Violation::SpaceBeforeColon),
        (b"GET / HTTP/2.0\r\n", Violation::VersionUnsupported),
    ] {
        assert_eq!(whole(input).violation, Some(violation));
    }
}
