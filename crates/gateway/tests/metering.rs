//! What is metered is what the answer told, however it came; and no answer is changed by it.

use std::io::Write;

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use http_body_util::BodyExt;
use keyward_core::usage::{Tokens, UsageSums};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use crate::world::{
    Minted, World,
    client::Client,
    http2,
    message::{Message, answer, find},
    soon,
    upstream::{Upstream, UpstreamConnection},
};

const BODY: &str = r#"{"model":"m","max":40}"#;
const STREAM: &str = r#"{"model":"m","stream":true}"#;
const ASKING: &str = r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#;

/// A request of the metered API.
fn post(world: &World, path: &str, more: &str, body: &str) -> String {
    let (key, length) = (world.key("metered"), body.len());
    format!(
        "POST {path} HTTP/1.1\r\nHost: metered.test\r\nAuthorization: Bearer {key}\r\n{more}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn tokens(input: u64, cached: u64, output: u64) -> Tokens {
    Tokens { input, cached, output, ..Tokens::default() }
}

/// What was metered in all.
async fn metered(world: World) -> (Tokens, u64) {
    let told = world.drain().await;
    let mut all = UsageSums::default();
    told.rows.iter().for_each(|(_, sums)| all.add(sums));
    (all.tokens, all.estimated)
}

fn usage(input: u64, cached: u64, output: u64) -> String {
    format!(r#"{{"usage":{{"in":{input},"cached":{cached},"out":{output}}},"choices":[]}}"#)
}

/// One request whose answer is these bytes; gives the answer as it came, and what was metered.
async fn one(path: &str, body: &str, raw: Vec<u8>) -> (Message, Tokens, u64) {
    let upstream = Upstream::answering(move |_| raw.clone()).await;
    let world = World::start(&upstream).await;
    let came = world.client().await.ask(post(&world, path, "", body)).await;
    let (tokens, estimated) = metered(world).await;
    (came, tokens, estimated)
}

const JSON: &str = "content-type: application/json; charset=utf-8\r\n";
const EVENTS: &str = "content-type: text/event-stream\r\n";

fn coded(codings: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\n{JSON}content-encoding: {codings}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn bare_deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::encode_all(body, 3).unwrap()
}

/// A stored block of Brotli (RFC 7932, 9.2), and the empty last one.
fn brotli(body: &[u8]) -> Vec<u8> {
    // WBITS 16 (`0`), not last (`0`), four nibbles (`00`), the length less one in 16 bits, stored (`1`).
    let header = (u32::try_from(body.len()).unwrap() - 1) << 4 | 1 << 20;
    [&header.to_le_bytes()[..3], body, &[3]].concat()
}

#[tokio::test]
async fn what_an_answer_tells_is_counted_however_it_is_coded() {
    let plain = usage(30, 20, 7).into_bytes();
    let answers = [
        ("identity", plain.clone()),
        ("gzip", gzip(&plain)),
        ("X-GZIP", gzip(&plain)),
        ("deflate", zlib(&plain)),
        ("deflate", bare_deflate(&plain)),
        ("br", brotli(&plain)),
        ("zstd", zstd(&plain)),
        ("gzip, br", brotli(&gzip(&plain))),
        ("zstd, identity,, deflate", zlib(&zstd(&plain))),
    ];
    for (codings, body) in answers {
        let (came, used, estimated) = one("/v1/chat", BODY, coded(codings, &body)).await;
        assert_eq!(came.body, body, "{codings}: the client gets the bytes as they came");
        assert_eq!(came.head.get("content-encoding"), Some(codings));
        assert_eq!((used, estimated), (tokens(30, 20, 7), 0), "{codings}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_estimated_and_passes_unchanged() {
    let plain = usage(30, 20, 7).into_bytes();
    let input = BODY.len() as u64;
    let broken = [&gzip(&plain)[1..], b"this is no gzip, and says so at once"].concat();
    // What grows out of all proportion is not read on.
    let bomb = zstd(&vec![b' '; 64 << 20]);
    let answers = [
        coded("compress", &plain),
        coded("gzip, gzip, gzip, gzip", &plain),
        coded("gzip", &broken),
        coded("zstd", &bomb),
        answer("200 OK", "content-type: audio/mpeg\r\n", "12345678"),
        answer("200 OK", "", "12345678"),
        // It can be read, and tells nothing.
        answer("200 OK", JSON, r#"{"choices":[{"text":"123"}]}"#),
        answer("200 OK", JSON, "not JSON {\"usage\""),
        answer("200 OK", JSON, ""),
    ];
    for raw in answers {
        let end = find(&raw, b"\r\n\r\n").unwrap() + 4;
        let (came, used, estimated) = one("/v1/chat", BODY, raw.clone()).await;
        assert_eq!(came.body, &raw[end..]);
        // All that the request lets be written may have been, whatever is shown of it.
        assert_eq!((used, estimated), (tokens(input, 0, 40), 1), "{came:?}");
    }
}

#[tokio::test]
async fn what_is_no_model_call_or_was_refused_uses_nothing() {
    let told = usage(30, 20, 7);
    // A route that binds no model counts what is told, and estimates nothing.
    let (_, used, estimated) = one("/v1/x", BODY, answer("200 OK", JSON, &told)).await;
    assert_eq!((used, estimated), (tokens(30, 20, 7), 0));
    let none = (Tokens::default(), 0);
    let (_, used, estimated) = one("/v1/x", BODY, answer("200 OK", JSON, "{}")).await;
    assert_eq!((used, estimated), none);
    for status in ["400 Bad Request", "429 Too Many Requests", "500 Oh", "302 Found"] {
        let (_, used, estimated) = one("/v1/chat", BODY, answer(status, JSON, &told)).await;
        assert_eq!((used, estimated), none, "{status}");
    }
    // One that never reached the upstream.
    let world = World::with(Upstream::nobody(), |_| {}).await;
    assert_eq!(world.client().await.ask(post(&world, "/v1/chat", "", BODY)).await.status(), 502);
    assert_eq!(metered(world).await, none);
}

#[tokio::test]
async fn who_leaves_before_the_answer_has_used_what_the_upstream_may_have_read_and_written() {
    let mut upstream = Upstream::scripted().await;
    // A whole answer is written when its head comes; of a stream, nothing has come.
    for (body, written) in [(BODY, 40), (ASKING, 0)] {
        let world = World::start(&upstream).await;
        let mut client = world.client().await;
        client.send(post(&world, "/v1/chat", "", body)).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        drop(client);
        connection.closed().await;
        assert_eq!(metered(world).await, (tokens(body.len() as u64, 0, written), 1), "{body}");
    }
}

#[tokio::test]
async fn where_the_model_stands_in_the_path_the_body_is_estimated_all_the_same() {
    let unread = answer("200 OK", "", "");
    let image = format!(r#"{{"image":"data:image/png;base64,{}"}}"#, "iVBORw0KGg".repeat(50_000));
    let (_, used, estimated) = one("/v1/models/m:run", &image, unread.clone()).await;
    // The image counts flat, its frame by its bytes.
    assert_eq!((used, estimated), (tokens(2_000 + 12, 0, 50), 1));
    let (_, used, estimated) = one("/v1/models/m:embed", BODY, unread.clone()).await;
    assert_eq!((used, estimated), (tokens(BODY.len() as u64, 0, 0), 1));
    let (_, used, estimated) = one("/v1/models/m:count", BODY, unread.clone()).await;
    assert_eq!((used, estimated), (Tokens::default(), 0));
    let counted = answer("200 OK", JSON, &usage(5, 0, 5));
    let (_, used, estimated) = one("/v1/models/m:count", BODY, counted).await;
    assert_eq!((used, estimated), (Tokens::default(), 0));

    // A body of unknown length passes as it comes, and is counted as it came.
    let upstream = Upstream::answering(move |_| unread.clone()).await;
    let world = World::start(&upstream).await;
    let head = post(&world, "/v1/models/m:run", "Transfer-Encoding: chunked\r\n", "");
    let head = head.replace("Content-Length: 0\r\n", "");
    let came = world.client().await.ask(format!("{head}{}0\r\n\r\n", chunk(BODY))).await;
    assert_eq!(came.status(), 200);
    assert_eq!(metered(world).await, (tokens(BODY.len() as u64, 0, 50), 1));
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

fn piece(text: &str) -> String {
    event(&format!(r#"{{"choices":[{{"text":"{text}"}}],"usage":null}}"#))
}

fn chunk(bytes: &str) -> String {
    format!("{:x}\r\n{bytes}\r\n", bytes.len())
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A client that asked for a stream and got `came` of it, and its upstream, which sent `sent` and has not ended.
async fn streaming(
    world: &World,
    upstream: &mut Upstream,
    sent: impl AsRef<[u8]>,
    came: &str,
) -> (Client, UpstreamConnection) {
    let mut client = world.client().await;
    client.send(post(world, "/v1/chat", "", ASKING)).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send(sent).await;
    client.head().await;
    assert_eq!(soon(client.wire.chunk()).await.unwrap(), came.as_bytes());
    (client, connection)
}

#[tokio::test]
async fn a_stream_tells_at_its_end_and_a_broken_one_is_estimated_by_what_has_passed() {
    let whole = [piece("a"), piece("b"), event(&usage(9, 4, 2)), event("[DONE]")].concat();
    let (came, used, estimated) = one("/v1/chat", ASKING, answer("200 OK", EVENTS, &whole)).await;
    assert_eq!(came.text(), whole);
    assert_eq!((used, estimated), (tokens(9, 4, 2), 0));

    // The upstream breaks off.
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let two = format!("{CHUNKED}{}{}", chunk(&piece("a")), chunk(&piece("b")));
    let (mut client, connection) = streaming(&world, &mut upstream, two, &piece("a")).await;
    drop(connection);
    client.end().await;
    assert_eq!(metered(world).await, (tokens(ASKING.len() as u64, 0, 2), 1));

    // The client leaves midway.
    let world = World::start(&upstream).await;
    let one = format!("{CHUNKED}{}", chunk(&piece("a")));
    let (client, mut connection) = streaming(&world, &mut upstream, one, &piece("a")).await;
    drop(client);
    connection.closed().await;
    assert_eq!(metered(world).await, (tokens(ASKING.len() as u64, 0, 1), 1));
}

#[tokio::test]
async fn a_count_that_comes_with_text_is_the_last_word_only_of_a_stream_that_came_to_its_end() {
    let told = r#"{"choices":[{"text":"word"}],"usage":{"in":9,"cached":0,"out":1}}"#;
    let events = event(told).repeat(16);
    let whole = answer("200 OK", EVENTS, &events);
    let chunked = |end: &str| format!("{CHUNKED}{}{end}", chunk(&events)).into_bytes();
    let (_, used, estimated) = one("/v1/chat", ASKING, whole).await;
    assert_eq!((used, estimated), (tokens(9, 0, 1), 0));
    let (_, used, estimated) = one("/v1/chat", ASKING, chunked("0\r\n\r\n")).await;
    assert_eq!((used, estimated), (tokens(9, 0, 1), 0));

    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let (client, mut connection) = streaming(&world, &mut upstream, chunked(""), &events).await;
    drop(client);
    connection.closed().await;
    assert_eq!(
        metered(world).await,
        (tokens(9, 0, 16), 1),
        "each of several choices tells its own"
    );
}

#[tokio::test]
async fn usage_is_asked_for_and_kept_from_a_client_that_did_not_ask() {
    let shown = [piece("a"), piece("b"), event("[DONE]")].concat();
    let whole = [piece("a"), piece("b"), event(&usage(9, 4, 2)), event("[DONE]")].concat();
    for chunked in [true, false] {
        let raw = match chunked {
            true => format!("{CHUNKED}{}0\r\n\r\n", chunk(&whole)).into_bytes(),
            false => answer("200 OK", EVENTS, &whole),
        };
        let upstream = Upstream::answering(move |_| raw.clone()).await;
        let world = World::start(&upstream).await;
        let request = post(&world, "/v1/chat", "Accept-Encoding: gzip\r\n", STREAM);
        let came = world.client().await.ask(request).await;
        assert_eq!(came.text(), shown);
        assert!(!came.head.has("content-length"), "{came:?}");
        let seen = String::from_utf8(upstream.received()).unwrap();
        assert!(seen.ends_with(&format!("\r\n\r\n{ASKING}")), "{seen}");
        assert!(seen.contains(&format!("\r\ncontent-length: {}\r\n", ASKING.len())), "{seen}");
        // What is coded could not be taken apart.
        assert!(seen.contains("\r\naccept-encoding: identity\r\n"), "{seen}");
        assert!(!seen.to_ascii_lowercase().contains("gzip"), "{seen}");
        let told = world.drain().await;
        let (_, sums) = told.only();
        assert_eq!((sums.tokens, sums.estimated), (tokens(9, 4, 2), 0));
        let lengths = (STREAM.len() as u64, shown.len() as u64);
        assert_eq!((sums.bytes_in, sums.bytes_out), lengths, "what the client sent and got");
    }
}

#[tokio::test]
async fn over_http2_too_usage_is_kept_from_a_client_that_did_not_ask() {
    let whole = [piece("a"), event(&usage(9, 4, 2)), event("[DONE]"), "data: unfini".to_owned()];
    let raw = answer("200 OK", EVENTS, &whole.concat());
    let upstream = Upstream::answering(move |_| raw.clone()).await;
    let world = World::start(&upstream).await;
    let mut sender = http2::connect(world.address).await;
    let request = http::Request::post("http://metered.test/v1/chat")
        .header("authorization", format!("Bearer {}", world.key("metered")))
        .header("content-type", "application/json")
        .body(http2::full(STREAM))
        .unwrap();
    let came = soon(sender.send_request(request)).await.unwrap();
    assert!(!came.headers().contains_key("content-length"), "{came:?}");
    let body = soon(came.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(body, [piece("a"), event("[DONE]"), "data: unfini".to_owned()].concat());
    drop(sender);
    assert_eq!(metered(world).await, (tokens(9, 4, 2), 0));
}

#[tokio::test]
async fn whoever_asks_or_asks_for_no_stream_is_left_alone() {
    let told = event(&usage(9, 4, 2));
    let raw = answer("200 OK", EVENTS, &told);
    let upstream = Upstream::answering(move |_| raw.clone()).await;
    let world = World::start(&upstream).await;
    for (path, body) in [("/v1/chat", ASKING), ("/v1/chat", BODY), ("/v1/x", STREAM)] {
        let request = post(&world, path, "Accept-Encoding: gzip\r\n", body);
        assert_eq!(world.client().await.ask(request).await.text(), told, "{path} {body}");
        let seen = String::from_utf8(upstream.each().pop().unwrap()).unwrap();
        assert!(seen.ends_with(&format!("\r\n\r\n{body}")) && seen.contains("gzip"), "{seen}");
    }
}

#[tokio::test]
async fn an_api_whose_configuration_says_so_asks_nobody() {
    let shown = [piece("a"), event("[DONE]")].concat();
    let raw = answer("200 OK", EVENTS, &shown);
    let upstream = Upstream::answering(move |_| raw.clone()).await;
    let world = World::start(&upstream).await;
    let request = post(&world, "/v1/chat", "", STREAM)
        .replace("metered.test", "unasked.test")
        .replace(world.key("metered"), world.key("unasked"));
    assert_eq!(world.client().await.ask(request).await.text(), shown);
    let seen = String::from_utf8(upstream.received()).unwrap();
    assert!(seen.ends_with(&format!("\r\n\r\n{STREAM}")), "{seen}");
    assert_eq!(metered(world).await, (tokens(STREAM.len() as u64, 0, 1), 1));
}

#[tokio::test]
async fn events_are_not_held_back_for_the_meter() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    for (body, taken_out) in [(ASKING, false), (STREAM, true)] {
        let mut client = world.client().await;
        client.send(post(&world, "/v1/chat", "", body)).await;
        let mut connection = upstream.next().await;
        connection.request().await;
        connection.send(CHUNKED).await;
        client.head().await;
        for text in ["a", "b", "c"] {
            connection.send(chunk(&piece(text))).await;
            assert_eq!(soon(client.wire.chunk()).await.unwrap(), piece(text).as_bytes());
        }
        let (last, done) = (event(&usage(1, 0, 3)), event("[DONE]"));
        connection.send(chunk(&last)).await;
        if !taken_out {
            assert_eq!(soon(client.wire.chunk()).await.unwrap(), last.as_bytes());
        }
        connection.send(format!("{}0\r\n\r\n", chunk(&done))).await;
        assert_eq!(soon(client.wire.chunk()).await.unwrap(), done.as_bytes());
        assert!(soon(client.wire.chunk()).await.unwrap().is_empty());
    }
    assert_eq!(metered(world).await, (tokens(2, 0, 6), 0));
}

/// The pieces a stream is cut into, what of it is shown, and what it tells.
fn streams() -> impl Strategy<Value = (Vec<String>, String, u64)> {
    let text = || "[a-z]{0,9}".prop_map(|text| piece(&text));
    let ending = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    (prop::collection::vec(text(), 0..5), 0..90_u64, ending, any::<u64>()).prop_map(
        |(pieces, output, ending, seed)| {
            let shown = (pieces.concat() + &event("[DONE]")).replace('\n', ending);
            let all = pieces.concat() + &event(&usage(5, 0, output)) + &event("[DONE]");
            let mut rest = &all.replace('\n', ending)[..];
            let (mut cut, mut seed) = (Vec::new(), seed);
            while !rest.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (piece, more) = rest.split_at((seed >> 58) as usize % rest.len() + 1);
                cut.push(piece.to_owned());
                rest = more;
            }
            (cut, shown, output)
        },
    )
}

#[tokio::test]
async fn however_a_stream_is_cut_its_events_pass_and_its_usage_counts() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    let mut connection = None;
    let mut output = 0;
    let mut runner = TestRunner::deterministic();
    for _ in 0..40 {
        let (pieces, shown, written) = streams().new_tree(&mut runner).unwrap().current();
        client.send(post(&world, "/v1/chat", "", STREAM)).await;
        if connection.is_none() {
            connection = Some(upstream.next().await);
        }
        let connection = connection.as_mut().unwrap();
        connection.request().await;
        connection.send(CHUNKED).await;
        for piece in pieces {
            connection.send(chunk(&piece)).await;
        }
        connection.send("0\r\n\r\n").await;
        let came = client.answer().await;
        assert_eq!(came.text(), shown);
        output += written;
    }
    drop(client);
    assert_eq!(metered(world).await, (tokens(200, 0, output), 0));
}

/// A key of the metered API with a limit on tokens written.
fn limited(world: &World, amount: u64, more: &str) -> Minted {
    let limit = format!(
        r#"{{"name":"written","kind":"quota","unit":"output_tokens","amount":{amount},"period":"year"{more}}}"#
    );
    world.mint("metered", |key| {
        key.permissions = vec!["write".to_owned()];
        key.limits = vec![serde_json::from_str(&limit).unwrap()];
    })
}

fn stream_for(world: &World, key: &Minted) -> String {
    post(world, "/v1/chat", "", STREAM).replace(world.key("metered"), &key.plaintext)
}

#[tokio::test]
async fn a_stream_that_would_pass_a_limit_is_ended_with_an_event_where_the_limit_says_so() {
    // Many more tokens than the 50 that a request which says nothing is taken to write.
    let events: String = (0..400).map(|_| piece("word")).collect();
    let body = format!("{}{}", events, event(&usage(10, 0, 400)));
    let upstream = Upstream::answering(move |_| {
        let head = format!("HTTP/1.1 200 OK\r\n{EVENTS}transfer-encoding: chunked\r\n\r\n");
        let chunks: String = body.split_inclusive("\n\n").map(chunk).collect();
        format!("{head}{chunks}0\r\n\r\n").into_bytes()
    })
    .await;
    let world = World::start(&upstream).await;
    for (amount, more, ends) in [
        (200, r#","cut_streams":true"#, true),
        (200, "", false),
        (5000, r#","cut_streams":true"#, false),
    ] {
        let key = limited(&world, amount, more);
        let came = soon(world.client().await.ask(stream_for(&world, &key))).await;
        let (text, is_cut) = (came.text(), came.text().contains("quota_exhausted"));
        assert_eq!((came.status(), is_cut), (200, ends), "{amount} {more}");
        let pieces = u64::try_from(text.matches("word").count()).unwrap();
        if ends {
            assert!(text.ends_with("}\n\n"), "{text}");
            assert_eq!(pieces, 201, "it is ended by the piece for which there is no room");
        } else {
            assert_eq!(pieces, 400);
        }
        let next = soon(world.client().await.ask(stream_for(&world, &key))).await;
        assert_eq!(next.status(), if amount == 5000 { 200 } else { 429 }, "{amount} {more}");
    }
}

#[tokio::test]
async fn a_stream_of_a_length_that_is_told_ends_early_without_breaking_what_follows() {
    let events: String = (0..400).map(|_| piece("word")).collect();
    let upstream = Upstream::answering(move |_| answer("200 OK", EVENTS, &events)).await;
    let world = World::start(&upstream).await;
    let key = limited(&world, 200, r#","cut_streams":true"#);
    let mut client = world.client().await;
    let came = soon(client.ask(stream_for(&world, &key))).await;
    let tail = &came.text()[came.text().len() - 300..];
    assert!(tail.contains("quota_exhausted"), "{} bytes, {tail}", came.text().len());
    assert!(!came.head.has("content-length"));
    let next = soon(client.ask(stream_for(&world, &key))).await;
    assert_eq!(next.status(), 429, "the connection goes on with the next answer");
}

/// A stream of so many words, in chunks of which each ends so many bytes before its event does.
fn words(number: usize, before_its_end: usize, coding: &str) -> Vec<u8> {
    let events = piece("word").repeat(number);
    let head = EVENTS.to_owned() + "transfer-encoding: chunked\r\n" + coding;
    let mut raw = format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes();
    let mut add = |bytes: &[u8]| {
        raw.extend([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    };
    match coding {
        "" => {
            let (front, rest) = events.split_at(piece("word").len() - before_its_end);
            add(front.as_bytes());
            rest.as_bytes().chunks(piece("word").len()).for_each(add);
        }
        _ => gzip(events.as_bytes()).chunks(100).for_each(add),
    }
    [&raw, &b"0\r\n\r\n"[..]].concat()
}

#[tokio::test]
async fn a_stream_is_ended_however_its_upstream_cuts_it() {
    for before_its_end in [0, 1, 2, 20] {
        let raw = words(2000, before_its_end, "");
        let upstream = Upstream::answering(move |_| raw.clone()).await;
        let world = World::start(&upstream).await;
        for (body, path) in [(STREAM, "/v1/chat"), (ASKING, "/v1/chat")] {
            let key = limited(&world, 200, r#","cut_streams":true"#);
            let call = post(&world, path, "", body).replace(world.key("metered"), &key.plaintext);
            let came = soon(world.client().await.ask(call)).await;
            let text = came.text();
            let pieces = text.matches("word").count();
            assert_eq!(pieces, 201, "{body} cut {before_its_end} before: {text}");
            let (before, ending) = text.rsplit_once("data: ").unwrap();
            assert_eq!(before, piece("word").repeat(201));
            assert!(ending.contains("quota_exhausted") && ending.ends_with("}\n\n"), "{ending}");
        }
    }
}

#[tokio::test]
async fn a_stream_in_which_nothing_can_be_put_is_broken_off_where_its_limit_ends() {
    let raw = words(2000, 0, "content-encoding: gzip\r\n");
    let upstream = Upstream::answering(move |_| raw.clone()).await;
    let world = World::start(&upstream).await;
    let cut = limited(&world, 200, r#","cut_streams":true"#);
    let mut client = world.client().await;
    client.send(stream_for(&world, &cut)).await;
    assert_eq!(client.head().await.status(), 200);
    while let Ok(chunk) = soon(client.wire.chunk()).await {
        assert!(!chunk.is_empty(), "it must not be taken for whole");
    }
    let left_alone = limited(&world, 200, "");
    let came = soon(world.client().await.ask(stream_for(&world, &left_alone))).await;
    assert_eq!(came.body, gzip(piece("word").repeat(2000).as_bytes()));
}
