//! What makes a request slightly wrong: targeted edits of what servers are known to disagree on, and random ones.

use crate::case::{Chance, head};

/// One change.
pub fn edit(bytes: &mut Vec<u8>, chance: &mut Chance, key: &str) {
    match chance.below(16) {
        0 | 1 => length(bytes, chance),
        2 | 3 => coding(bytes, chance),
        4 => line_end(bytes, chance),
        5 => host(bytes, chance),
        6 => method(bytes, chance),
        7 => version(bytes, chance),
        8 | 9 => target(bytes, chance),
        10 | 11 => chunk(bytes, chance),
        12 => field(bytes, chance),
        13 => second_request(bytes, chance, key),
        _ => random(bytes, chance),
    }
}

/// Where something stands.
pub fn occurrences(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    (0..bytes.len().saturating_sub(wanted.len() - 1))
        .filter(|at| bytes[*at..].starts_with(wanted))
        .collect()
}

fn replace(bytes: &mut Vec<u8>, from: usize, to: usize, with: impl AsRef<[u8]>) {
    bytes.splice(from..to, with.as_ref().iter().copied());
}

/// Where a header's value stands, the first of its name.
fn value(bytes: &[u8], name: &str) -> Option<(usize, usize)> {
    let line = format!("\r\n{name}:");
    let at = (0..bytes.len()).find(|at| {
        bytes[*at..]
            .get(..line.len())
            .is_some_and(|here| here.eq_ignore_ascii_case(line.as_bytes()))
    })?;
    let from = at + line.len();
    let to = occurrences(&bytes[from..], b"\r\n").first().map(|end| from + end)?;
    Some((from, to))
}

/// Puts a header line into a head, at its begin, its end or in between.
fn insert(bytes: &mut Vec<u8>, chance: &mut Chance, line: impl AsRef<[u8]>) {
    let head = occurrences(bytes, b"\r\n\r\n").first().map_or(bytes.len(), |end| end + 2);
    let ends: Vec<usize> = occurrences(&bytes[..head], b"\r\n").iter().map(|at| at + 2).collect();
    let at = if ends.is_empty() { bytes.len() } else { chance.one_of(&ends) };
    replace(bytes, at, at, line);
}

/// Contents whose length is told in ways that programs read differently.
fn length(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let place = value(bytes, "Content-Length");
    let told = place
        .and_then(|(from, to)| std::str::from_utf8(&bytes[from..to]).ok()?.trim().parse().ok());
    // An earlier edit may have made it a large one.
    let told: u64 = told.filter(|told| *told < 1 << 20).unwrap_or(3);
    let other =
        chance.one_of(&[told.saturating_sub(1), told + 1, 0, told * 10, 20_000, told + 100]);
    let odd = match chance.below(28) {
        0 => format!("+{told}"),
        1 => format!("-{told}"),
        2 => format!("{told}, {told}"),
        3 => format!("{told},{other}"),
        4 => format!("0{told}"),
        5 => format!("0x{told:x}"),
        6 => format!("{told}\t"),
        7 => format!("\t {told} "),
        8 => format!("{told}\x0b"),
        9 => format!("\x0c{told}"),
        10 => String::new(),
        11 => format!("{told}.0"),
        12 => format!("{told}e0"),
        13 => format!("{told};"),
        14 => format!("{told} {told}"),
        15 => format!("{}", u128::from(u64::MAX) + 1 + u128::from(told)),
        16 => format!("{}", (1_u64 << 32) + told),
        17 => "9223372036854775808".to_owned(),
        18 => format!("{told}\0"),
        19 => format!("\"{told}\""),
        20 => format!("{told}\r\n "),
        21 => format!("\r\n {told}"),
        22 => format!("{told},"),
        23 => format!("٣{told}"),
        24 => format!("{told}_0"),
        _ => other.to_string(),
    };
    match (place, chance.below(3)) {
        (Some((from, to)), 0 | 1) => replace(bytes, from, to, format!(" {odd}")),
        _ => {
            let name = chance.one_of(&[
                "Content-Length",
                "Content-Length",
                "content-length",
                "CONTENT-LENGTH",
                "Content_Length",
                "Content-Length ",
                "Content-Length\t",
                "Content-Length\x0b",
                " Content-Length",
                "Content-Length\0",
                "Content-Length:",
                "X-Content-Length",
            ]);
            let told = if chance.below(2) == 0 { odd } else { other.to_string() };
            insert(bytes, chance, format!("{name}: {told}\r\n"));
        }
    }
}

fn coding(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let odd = chance.one_of(&[
        "chunked",
        "Chunked",
        "CHUNKED",
        "chunKed",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "chunked; ",
        "chunked, identity",
        "identity, chunked",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        ", ,chunked",
        "\"chunked\"",
        "'chunked'",
        "\tchunked",
        "chunked\t",
        "chunked \t ",
        "\x0bchunked",
        "chunked\x0b",
        "\x0cchunked",
        "chunked\r",
        "\rchunked",
        "\nchunked",
        "\r\n chunked",
        "\r\n\tchunked",
        "chun\0ked",
        "chunked\0",
        "\u{a0}chunked",
        "\u{130}chunked",
        "chun ked",
        "",
        "x",
        "none",
    ]);
    match (value(bytes, "Transfer-Encoding"), chance.below(3)) {
        (Some((from, to)), 0 | 1) => replace(bytes, from, to, format!(" {odd}")),
        _ => {
            let name = chance.one_of(&[
                "Transfer-Encoding",
                "Transfer-Encoding",
                "transfer-encoding",
                "TRANSFER-ENCODING",
                "Transfer_Encoding",
                "Transfer-Encoding ",
                "Transfer-Encoding\t",
                "Transfer-Encoding\x0b",
                " Transfer-Encoding",
                "\tTransfer-Encoding",
                "Transfer-Encoding:",
                "Transfer\u{2010}Encoding",
                "Transfer-Encodin\u{212a}",
                "TE",
                "X: y\rTransfer-Encoding",
                "X: y\nTransfer-Encoding",
            ]);
            insert(bytes, chance, format!("{name}: {odd}\r\n"));
        }
    }
}

fn line_end(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let ends = occurrences(bytes, b"\r\n");
    if ends.is_empty() {
        return;
    }
    let at = chance.one_of(&ends);
    let odd = chance.one_of(&[
        "\n", "\r", "\r\r\n", "\n\r", "\r\n\r\n", "", "\0\r\n", "\r\n ", "\r\n\t", "\r \n",
        "\x0b\r\n", " \r\n", "\t\r\n", "\r\n\r", "\n\n", "\u{85}", "\r\0\n",
    ]);
    replace(bytes, at, at + 2, odd);
}

fn host(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let odd = chance.one_of(&[
        "bearer.test",
        "BEARER.test",
        "bearer.test:80",
        "bearer.test:",
        "bearer.test:0x50",
        "bearer.test:99999",
        "bearer.test.",
        "bearer..test",
        ".bearer.test",
        "bearer.test, other.test",
        "bearer.test other.test",
        "bearer.test,bearer.test",
        "user@bearer.test",
        "bearer.test@other.test",
        "bearer.test/",
        "bearer.test/v1",
        "bearer.test#",
        "bearer.test?x",
        "bearer.test\\",
        "http://bearer.test",
        "other.test",
        "[::1]",
        "[bearer.test]",
        "bearer.test\0",
        "bearer.test\t",
        "\tbearer.test",
        "bearer%2etest",
        "b\u{e9}arer.test",
        "",
    ]);
    let line = format!("Host: {odd}\r\n");
    match (value(bytes, "Host"), chance.below(4)) {
        (Some((from, to)), 0) => {
            // Gone, with its line.
            replace(bytes, from - "Host:".len(), to + 2, "");
        }
        (Some((from, to)), 1 | 2) => replace(bytes, from, to, format!(" {odd}")),
        _ if chance.below(3) == 0 => {
            let name = chance.one_of(&[
                "Host ",
                "HOST",
                " Host",
                "Host\t",
                "H\u{f6}st",
                "Host\0",
                "X-Host",
                "X-Forwarded-Host",
            ]);
            insert(bytes, chance, format!("{name}: {odd}\r\n"));
        }
        _ => insert(bytes, chance, line),
    }
}

fn method(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let end = occurrences(bytes, b" ").first().copied().unwrap_or_default();
    let odd = chance.one_of(&[
        "get",
        "Get",
        "GET\t",
        "GET ",
        " GET",
        "",
        "CONNECT",
        "TRACE",
        "PRI",
        "HEAD",
        "PURGE",
        "M-SEARCH",
        "GE\0T",
        "GET\r\n",
        "\r\nGET",
        "\nGET",
        "G\u{2010}T",
        "GET/",
        "GET,",
        "POST",
        "GET",
        "OPTIONS",
        "DELETE",
        "QUERY",
        "\u{feff}GET",
        "{GET}",
        "1",
    ]);
    replace(bytes, 0, end, odd);
}

fn version(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let Some(at) = occurrences(bytes, b" HTTP/1.").first().copied() else { return };
    let end = (at + " HTTP/1.1".len()).min(bytes.len());
    let odd = chance.one_of(&[
        " HTTP/1.0",
        " HTTP/1.1",
        " HTTP/1.2",
        " HTTP/1.9",
        " HTTP/0.9",
        " HTTP/2.0",
        " HTTP/3.0",
        " HTTP/1.1 ",
        "  HTTP/1.1",
        "\tHTTP/1.1",
        " HTTP/01.1",
        " HTTP/1.01",
        " HTTP/1.10",
        " HTTP/11",
        " http/1.1",
        " HTTP/1,1",
        " HTTP 1.1",
        " HTTPS/1.1",
        "",
        " ",
        " HTTP/",
        " HTTP/1",
        " HTTP/1.",
        " HTTP/+1.1",
        " HTTP/1.1\0",
        " HTTP/1.1\t",
        " x HTTP/1.1",
        "\x0bHTTP/1.1",
        " ICY/1.1",
        " HTTP/1.1 HTTP/1.1",
        "?\u{20} HTTP/1.1",
    ]);
    replace(bytes, at, end, odd);
}

fn target(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let odd = chance.one_of(&[
        "/v1/../admin",
        "/v1/./things",
        "/v1/%2e%2e/admin",
        "/v1/%2E/things",
        "/v1/..%2fadmin",
        "/v1/..%5cadmin",
        "/v1\\things",
        "/v1/..\\admin",
        "/v1//things",
        "//v1/things",
        "//bearer.test/v1/things",
        "/v1/things;a=b",
        "/v1/..;/admin",
        "/v1/things#a",
        "/v1/things?a#b",
        "/v1/%00",
        "/v1/things%00",
        "/v1/%0d%0aX:%20y",
        "/v1/%zz",
        "/v1/%2",
        "/v1/%",
        "/v1/%61",
        "/v1/%2561",
        "/v1/%c0%ae",
        "/v1/%ff",
        "/v1/%c3%a4",
        "/v1/a%20b",
        "/v1/a+b",
        "/v1/a:b",
        "/v1/a@b",
        "/v1/~a",
        "/v1/'a'",
        "/v1/(a)",
        "/v1/a,b",
        "/v1/[a]",
        "/v1/{a}",
        "/v1/|",
        "/v1/\"a\"",
        "/v1/<a>",
        "/v1/^",
        "/v1/`",
        "/v1/\u{e4}",
        "/v1/\u{1}",
        "/v1/\t",
        "/v1/\x7f",
        "/v1/things?",
        "/v1/things??",
        "/v1/things?a=//../x",
        "/v1/things?a=%00",
        "/v1/things?a=[b]",
        "/v1/things?a={b}",
        "/v1/things?a|b",
        "/v1/things?a=\u{e4}",
        "/v1/things?%",
        "/v1/",
        "/v1",
        "/",
        "*",
        "",
        "v1/things",
        "?a",
        "http://bearer.test",
        "http://bearer.test/",
        "http://bearer.test?a",
        "http://bearer.test:80/v1/things",
        "HTTP://BEARER.TEST/v1/things",
        "http://other.test/v1/things",
        "http://user@bearer.test/v1/things",
        "http:///v1/things",
        "http:/v1/things",
        "https://bearer.test/v1/things",
        "ftp://bearer.test/v1/things",
        "bearer.test:80",
        "http://bearer.test/v1/../admin",
        "http://bearer.test//v1/things",
        "http://bearer.test#/v1/things",
        "http://bearer.test\\@other.test/v1/things",
        "/v1/things/..",
        "/v1/things/.",
        "/v1/...",
        "/v1/.a",
        "/v1/a/../b",
        "/v1/things HTTP/1.1\r\nX: y",
    ]);
    let spaces = occurrences(bytes, b" ");
    let (Some(from), Some(to)) = (spaces.first(), spaces.get(1)) else { return };
    replace(bytes, from + 1, *to, odd);
}

/// The framing of chunks: their sizes, extensions, ends and trailers.
fn chunk(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let Some(body) = occurrences(bytes, b"\r\n\r\n").first().map(|end| end + 4) else { return };
    if value(bytes, "Transfer-Encoding").is_none() {
        return random(bytes, chance);
    }
    // Lines of the body that begin with a hexadecimal digit: sizes, most of them.
    let starts = occurrences(&bytes[body..], b"\r\n").into_iter().map(|at| body + at + 2);
    let starts: Vec<usize> = std::iter::once(body).chain(starts).collect();
    let is_size = |at: &usize| bytes.get(*at).is_some_and(u8::is_ascii_hexdigit);
    let sizes: Vec<usize> = starts.into_iter().filter(is_size).collect();
    if sizes.is_empty() {
        return;
    }
    let at = chance.one_of(&sizes);
    let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = String::from_utf8_lossy(&bytes[at..at + digits]).into_owned();
    let end = at + digits;
    match chance.below(30) {
        0 => replace(bytes, at, end, format!("0{size}")),
        1 => replace(bytes, at, end, format!("{}{size}", "0".repeat(20))),
        2 => replace(bytes, at, end, format!("0x{size}")),
        3 => replace(bytes, at, end, format!("+{size}")),
        4 => replace(bytes, at, end, format!("-{size}")),
        5 => replace(bytes, at, end, format!(" {size}")),
        6 => replace(bytes, at, end, format!("{size} ")),
        7 => replace(bytes, at, end, format!("{size}\t")),
        8 => replace(bytes, at, end, format!("{size}\x0b")),
        9 => replace(bytes, at, end, format!("{size}_")),
        10 => replace(bytes, at, end, format!("{size}\0")),
        11 => replace(bytes, at, end, format!("1{}{size}", "0".repeat(16 - digits.min(16)))),
        12 => replace(bytes, at, end, "ffffffffffffffff"),
        13 => replace(bytes, at, end, "7fffffffffffffff"),
        14 => replace(bytes, at, end, ""),
        15 => replace(bytes, at, end, format!("{size};")),
        16 => replace(bytes, at, end, format!("{size}; ")),
        17 => replace(bytes, at, end, format!("{size};a=\"b\\\"c\"")),
        18 => replace(bytes, at, end, format!("{size};a=\"\r\n\"")),
        19 => replace(bytes, at, end, format!("{size};a\n")),
        20 => replace(bytes, at, end, format!("{size};a\r")),
        21 => replace(bytes, at, end, format!("{size};{}", "a".repeat(300))),
        22 => replace(bytes, at, end, format!("{size} ;a=b")),
        23 => replace(bytes, at, end, "10"),
        24 => replace(bytes, at, end, "fff0"),
        25 => replace(bytes, at, end, "0"),
        26 => replace(bytes, at, end, "2"),
        27 => {
            let ends = occurrences(&bytes[end..], b"\r\n");
            if let Some(line) = ends.first().map(|at| end + at) {
                let odd = chance.one_of(&["", "\n", "\r", "\r\n\r\n", "\n\r\n", "X\r\n", "\r\r\n"]);
                replace(bytes, line, line + 2, odd);
            }
        }
        _ => {
            let last = occurrences(bytes, b"\r\n\r\n").last().copied().unwrap_or_default() + 2;
            let trailer = chance.one_of(&[
                "X-T: 1\r\n",
                "Content-Length: 5\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Host: other.test\r\n",
                "Authorization: Bearer x\r\n",
                "X_T: 1\r\n",
                "X-T : 1\r\n",
                "X-T: 1\n",
                " X-T: 1\r\n",
                ": 1\r\n",
                "X-T\r\n",
                "X-T: \0\r\n",
                "GET /v1/inner HTTP/1.1\r\n",
            ]);
            replace(bytes, last, last, trailer);
        }
    }
}

/// Lines that some read, some drop and some stumble over.
fn field(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let line = chance.one_of(&[
        "X_A: 1\r\n",
        "Authorization_: 1\r\n",
        "X-Keyward-Key-Id: 1\r\n",
        "X_Keyward_Key_Id: 1\r\n",
        "X-Forwarded-For: 1.2.3.4\r\n",
        "X-Original-URL: /admin\r\n",
        "X-HTTP-Method-Override: DELETE\r\n",
        ": 1\r\n",
        "X-A\r\n",
        "X-A : 1\r\n",
        "X-A:\r\n",
        "X A: 1\r\n",
        "X-A: \u{e4}\r\n",
        "X-\u{e4}: 1\r\n",
        "X-A: a\r\n b\r\n",
        "X-A: a\r\n\tb\r\n",
        " X-A: 1\r\n",
        "X-A: a\0b\r\n",
        "X-A: a\x0bb\r\n",
        "X-A: a\x7fb\r\n",
        "X-A: a\rb\r\n",
        "X-A: a\nX-B: c\r\n",
        "X(A): 1\r\n",
        "X-A:: 1\r\n",
        "\0: 1\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Connection: close, keep-alive\r\n",
        "Connection: CLOSE\r\n",
        "Connection: x-a\r\nX-A: 1\r\n",
        "Connection: host\r\n",
        "Connection: content-length\r\n",
        "Connection: Transfer-Encoding\r\n",
        "Connection: authorization\r\n",
        "Connection: ,,\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Keep-Alive: timeout=5\r\n",
        "TE: trailers\r\n",
        "Trailer: X-T\r\n",
        "Expect: 100-continue\r\n",
        "Expect: 100-Continue\r\n",
        "Expect: 100-continue, x\r\n",
        "Expect: 200-ok\r\n",
        "Expect:\r\n",
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
        "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Range: bytes=0-1\r\n",
        "Content-Encoding: gzip\r\n",
        "Authorization: Bearer x\r\n",
        "authorization: Basic dTpw\r\n",
        "Max-Forwards: 0\r\n",
    ]);
    insert(bytes, chance, line);
}

/// A request where a body is told to end, or none is told.
fn second_request(bytes: &mut Vec<u8>, chance: &mut Chance, key: &str) {
    let target = chance.one_of(&["/v1/inner", "/v1/admin", "/admin"]);
    let whole = head("GET", target, "HTTP/1.1", key, "");
    let more = chance.one_of(&["", "X-Rest: ", "Content-Length: 5\r\n", "X-Rest: "]);
    let open = whole.trim_end_matches("\r\n").to_owned() + "\r\n" + more;
    let inner = chance.one_of(&[0, 1]);
    let inner = if inner == 0 { whole } else { open };
    let at = match (occurrences(bytes, b"0\r\n\r\n").last(), chance.below(3)) {
        (Some(last), 0) => last + "0\r\n\r\n".len(),
        (Some(last), 1) => *last,
        _ => bytes.len(),
    };
    replace(bytes, at, at, &inner);
    if chance.below(2) == 0
        && let Some((from, to)) = value(bytes, "Content-Length")
    {
        let other = chance.one_of(&[0, 1, inner.len(), inner.len() + 3, inner.len() + 10]);
        replace(bytes, from, to, format!(" {other}"));
    }
}

/// Bytes that change, go, come again or move.
fn random(bytes: &mut Vec<u8>, chance: &mut Chance) {
    if bytes.is_empty() {
        return;
    }
    let at = chance.below(bytes.len());
    let end = (at + 1 + chance.below(40)).min(bytes.len());
    match chance.below(8) {
        0 => bytes[at] = chance.below(256) as u8,
        1 => bytes[at] ^= 1 << chance.below(8),
        2 => replace(bytes, at, at + 1, ""),
        3 => replace(bytes, at, end, ""),
        4 => {
            let again = bytes[at..end].to_vec();
            replace(bytes, end, end, again);
        }
        5 => {
            let moved = bytes[at..end].to_vec();
            replace(bytes, at, end, "");
            let to = chance.below(bytes.len() + 1);
            replace(bytes, to, to, moved);
        }
        6 => {
            let piece = chance.one_of(&[
                "\r", "\n", "\r\n", "\r\n\r\n", "\0", " ", "\t", ":", ",", ";", "0", "\x0b",
                "\x7f", "\u{e4}", "\\", "/", "#", "\"",
            ]);
            replace(bytes, at, at, piece);
        }
        _ => bytes.truncate(at),
    }
}
