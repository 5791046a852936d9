//! What reading a request's head costs, without any network: `wire_bench` prints nanoseconds a head beside httparse, which reads less
//! strictly; `wire_bench CASE COUNT` reads one of them so often and nothing else, for whoever counts instructions. `cargo xtask bench wire`
//! does both.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use keyward_gateway::wire::screen::{HeadLimits, Screen, Step};

/// Heads that clients send: name, and lines behind the first two.
const CASES: [(&str, &str); 3] = [
    ("curl", "User-Agent: curl/8.5.0\r\nAccept: */*\r\n"),
    (
        "sdk",
        "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.66.3\r\n\
         X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.66.3\r\nX-Stainless-OS: Linux\r\n\
         X-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.12.3\r\n\
         X-Stainless-Async: false\r\nx-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n\
         Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n",
    ),
    (
        "browser",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
         Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\n\
         sec-ch-ua-platform: \"Linux\"\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Site: same-origin\r\nOrigin: https://app.example.com\r\nReferer: https://app.example.com/chat/4711\r\n\
         Cookie: theme=dark; session=0f1e2d3c4b5a69788796a5b4c3d2e1f0; consent=1\r\nConnection: keep-alive\r\n",
    ),
];
const LIMITS: HeadLimits = HeadLimits { request_line: 8 * 1024, head: 32 * 1024, headers: 100 };
const ROUNDS: usize = 15;
const HEADS_A_ROUND: u32 = 20_000;

fn head(lines: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.com\r\n\
         Authorization: Bearer kw_live_0123456789abcdefghijklmnopqrstuvwxyzABCDEF\r\n{lines}\r\n"
    )
}

fn screened(head: &[u8], count: u32) -> bool {
    let mut screen = Screen::new(LIMITS);
    (0..count).all(|_| screen.step(black_box(head)) == Step::Head(head.len()))
}

fn parsed(head: &[u8], count: u32) -> bool {
    (0..count).all(|_| {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(black_box(head)).is_ok_and(|status| status.is_complete())
    })
}

/// The median time of one head.
fn measured(read: impl Fn(u32) -> bool) -> Result<Duration, &'static str> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        if !read(HEADS_A_ROUND) {
            return Err("a sound head was refused");
        }
        rounds.push(began.elapsed() / HEADS_A_ROUND);
    }
    rounds.sort_unstable();
    rounds.get(ROUNDS / 2).copied().ok_or("nothing was measured")
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [case, count] = arguments.as_slice() {
        let (_, lines) = CASES.iter().find(|(name, _)| name == case).ok_or("no such case")?;
        let read = screened(head(lines).as_bytes(), count.parse()?);
        return if read { Ok(()) } else { Err("a sound head was refused".into()) };
    }
    println!("{:<8} {:>6} {:>7} {:>11} {:>13}", "head", "bytes", "fields", "ns", "httparse ns");
    for (name, lines) in CASES {
        let head = head(lines);
        let bytes = head.as_bytes();
        let ours = measured(|count| screened(bytes, count))?;
        let theirs = measured(|count| parsed(bytes, count))?;
        let fields = lines.lines().count() + 2;
        println!(
            "{name:<8} {:>6} {fields:>7} {:>11} {:>13}",
            head.len(),
            ours.as_nanos(),
            theirs.as_nanos()
        );
    }
    Ok(())
}
