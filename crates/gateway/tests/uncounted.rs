//! Where tokens or money are limited, nothing passes of which nobody can say what it uses; elsewhere all of it does.

use crate::world::{
    Minted, World,
    message::{Message, answer, ok},
    soon,
    upstream::Upstream,
};

const TOKENS: &str =
    r#"{"name":"t","kind":"quota","unit":"tokens","amount":100000,"period":"year"}"#;
const MONEY: &str = r#"{"name":"m","kind":"budget","amount":"100"}"#;
const REQUESTS: &str = r#"{"name":"r","kind":"rate","amount":100,"window_seconds":60}"#;

/// A key of the metered API.
fn mint(world: &World, limit: &str) -> Minted {
    world.mint("metered", |key| {
        key.permissions = vec!["write".to_owned()];
        key.limits = vec![serde_json::from_str(limit).unwrap()];
    })
}

fn request(key: &Minted, line: &str, more: &str, body: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: metered.test\r\nAuthorization: Bearer {}\r\n{more}\r\n{body}",
        key.plaintext
    )
}

async fn ask(world: &World, request: &str) -> Message {
    soon(world.client().await.ask(request)).await
}

/// It is refused with these words, and told how limits stand; what is left of money is told to nobody.
#[track_caller]
fn assert_refused(came: &Message, words: &str) {
    assert_eq!(came.status(), 403, "{}", came.text());
    let text = came.text();
    assert!(text.contains("\"unknown_use\"") && text.contains(words), "{text}");
    assert_eq!(came.head.has("ratelimit"), text.contains("counts tokens."), "{came:?}");
    assert!(!came.head.has("retry-after"), "{came:?}");
}

const WANTS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n";
const SWITCHES: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

#[tokio::test]
async fn a_connection_that_changes_its_protocol_passes_no_limit_on_tokens_or_money() {
    let upstream = Upstream::answering(|_| SWITCHES.as_bytes().to_vec()).await;
    let world = World::start(&upstream).await;
    world.price(&[r#"{"model":"m","input":"2","output":"10"}"#]);
    let lines = ["GET /v1/realtime?model=m", "GET /v1/models/m", "GET /v1/x"];
    for (limit, counted) in [(TOKENS, "tokens"), (MONEY, "money")] {
        let key = mint(&world, limit);
        for line in lines {
            let refused = ask(&world, &request(&key, line, WANTS, "")).await;
            assert_refused(&refused, "changes its protocol");
            assert!(refused.text().contains(&format!("counts {counted}.")), "{}", refused.text());
        }
    }
    assert_eq!(upstream.connections(), 0);
    let key = mint(&world, REQUESTS);
    for line in lines {
        let mut client = world.client().await;
        client.send(request(&key, line, WANTS, "")).await;
        assert_eq!(client.head().await.status(), 101, "requests are counted: {line}");
    }
}

#[tokio::test]
async fn a_route_that_nobody_can_count_is_closed_to_limits_and_what_calls_no_model_is_not() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::start(&upstream).await;
    for limit in [TOKENS, MONEY] {
        let key = mint(&world, limit);
        let refused = ask(&world, &request(&key, "GET /v1/realtime?model=m", "", "")).await;
        assert_refused(&refused, "cannot be counted");
        let described = ask(&world, &request(&key, "GET /v1/models/m", "", "")).await;
        assert_eq!(described.status(), 200, "{}", described.text());
    }
    let key = mint(&world, REQUESTS);
    assert_eq!(ask(&world, &request(&key, "GET /v1/realtime?model=m", "", "")).await.status(), 200);
    // An API that says nothing of its answers.
    let unmetered = world.mint("bearer", |key| {
        key.permissions = vec!["write".to_owned()];
        key.limits = vec![serde_json::from_str(TOKENS).unwrap()];
    });
    let body = r#"{"model":"m"}"#;
    let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let call = request(&unmetered, "POST /v1/chat", &more, body);
    let call = call.replace("metered.test", "bearer.test");
    assert_refused(&ask(&world, &call).await, "cannot be counted");
}

/// A gateway before an upstream that tells this of each request.
async fn telling(told: &'static str) -> (Upstream, World) {
    let json = "content-type: application/json\r\n";
    let upstream = Upstream::answering(move |_| answer("200 OK", json, told)).await;
    let world = World::start(&upstream).await;
    (upstream, world)
}

#[tokio::test]
async fn what_is_only_told_passes_as_long_as_a_limit_has_room() {
    let told = r#"{"usage":{"in":30,"cached":0,"out":10}}"#;
    let (_upstream, world) = telling(told).await;
    let fifty = TOKENS.replace("100000", "50");
    let key = mint(&world, &fifty);
    let post = request(&key, "POST /v1/x", "Content-Length: 0\r\n", "");
    for (left, status) in [(10, 200), (0, 200), (0, 429)] {
        let came = ask(&world, &post).await;
        assert_eq!(came.status(), status, "{}", came.text());
        let known = world.client().await.ask(request(&key, "GET /nothing", "", "")).await;
        let told = known.head.get("ratelimit").unwrap().to_owned();
        assert!(told.starts_with(&format!("\"t\";r={left};")), "{told}");
    }
    let known = request(&key, "GET /v1/x", "", "");
    assert_eq!(ask(&world, &known).await.status(), 200, "whoever only reads calls no model");
}

#[tokio::test]
async fn where_money_is_limited_tokens_that_are_told_of_no_model_are_refused_and_reading_is_free() {
    let told = r#"{"usage":{"in":30000000,"cached":0,"out":10000000}}"#;
    let (_upstream, world) = telling(told).await;
    world.price(&[r#"{"model":"*","input":"2","output":"10"}"#]);
    for amount in ["0", "0.01", "100"] {
        let key = mint(&world, &MONEY.replace("100", amount));
        let refused = ask(&world, &request(&key, "POST /v1/x", "", "")).await;
        assert_eq!(refused.status(), 403, "{}", refused.text());
        let text = refused.text();
        assert!(text.contains("\"unpriced_model\"") && text.contains("names no model"), "{text}");
        for line in ["GET /v1/x", "GET /v1/models/m"] {
            assert_eq!(ask(&world, &request(&key, line, "", "")).await.status(), 200, "{line}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_seen_passes_no_limit_on_tokens_or_money() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::with(upstream.address, |setup| {
        setup.settings.limits.decided_body_bytes = 1000;
    })
    .await;
    world.price(&[r#"{"model":"m","input":"2","output":"10"}"#]);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(1000));
    let bare = |body: &str| format!("Content-Length: {}\r\n", body.len());
    let typed = |kind: &str, body: &str| format!("Content-Type: {kind}\r\n{}", bare(body));
    let length = |body: &str| typed("application/json", body);
    // Who goes by the declaration reads `max` as 90000.
    let form = r#"{"max":1,"x":"&max=90000&prompt=long"}"#;
    let utf7 = r#"{"max":1,"x":"+ACI-,+ACI-max+ACI-:90000,+ACI-y+ACI-:+ACI-"}"#;
    let coded = "Content-Encoding: gzip\r\nContent-Length: 4\r\n";
    let cases = [
        (":run", chunked.to_owned(), "4\r\n{}  \r\n0\r\n\r\n", "send it with `Content-Length`"),
        (":run", coded.to_owned(), "gzip", "send it uncompressed"),
        (":run", length(&large), &*large, "send less"),
        (":run", length("{'max':1}"), "{'max':1}", "send JSON"),
        (":run", length("{} {}"), "{} {}", "send JSON"),
        (":run", typed("application/x-www-form-urlencoded", form), form, "not declared as JSON"),
        (":run", typed("application/json; charset=utf-7", utf7), utf7, "not declared as JSON"),
        (":run", bare("{}"), "{}", "not declared as JSON"),
        (":embed", bare("{}"), "{}", ""),
        (":embed", chunked.to_owned(), "4\r\n{}  \r\n0\r\n\r\n", "send it with `Content-Length`"),
        (":embed", coded.to_owned(), "gzip", "send it uncompressed"),
        // Only what is read counts there: no more than its length.
        (":embed", length(&large), &*large, ""),
        (":embed", length("{'max':1}"), "{'max':1}", ""),
        (":embed", bare(&large), &*large, ""),
        (":run", length("{}"), "{}", ""),
        (":run", "Content-Encoding: identity\r\n".to_owned() + &length("{}"), "{}", ""),
        (":run", String::new(), "", ""),
        (":count", coded.to_owned(), "gzip", ""),
    ];
    for (verb, framing, body, words) in &cases {
        let line = format!("POST /v1/models/m{verb}");
        for limit in [TOKENS, MONEY] {
            let came = ask(&world, &request(&mint(&world, limit), &line, framing, body)).await;
            match words.is_empty() {
                true => assert_eq!(came.status(), 200, "{framing}{body}: {}", came.text()),
                false => assert_refused(&came, words),
            }
        }
        let came = ask(&world, &request(&mint(&world, REQUESTS), &line, framing, body)).await;
        assert_eq!(came.status(), 200, "{framing}{body}: {}", came.text());
    }
}

#[tokio::test]
async fn a_stream_that_may_tell_nothing_passes_no_limit_on_tokens() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::start(&upstream).await;
    for (options, is_clear) in [
        (r#""stream_option\u0073":null"#, true),
        (r#""stream_options":null,"stream_options":{"include_usage":false}"#, false),
        (r#""Stream_Options":{"include_usage":false}"#, false),
    ] {
        let body = format!(r#"{{"model":"m","stream":true,{options}}}"#);
        let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        for (limit, passes) in [(TOKENS, is_clear), (REQUESTS, true)] {
            let call = request(&mint(&world, limit), "POST /v1/chat", &more, &body);
            let came = ask(&world, &call).await;
            match passes {
                true => assert_eq!(came.status(), 200, "{options}"),
                false => assert_refused(&came, "say it once"),
            }
        }
    }
    let asked = String::from_utf8(upstream.each().remove(0)).unwrap();
    assert!(asked.contains(r#""stream_option\u0073":{"include_usage":true}"#), "{asked}");
}

#[tokio::test]
async fn a_request_that_says_what_of_its_answer_comes_passes_no_limit_on_tokens_or_money() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::start(&upstream).await;
    world.price(&[r#"{"model":"m","input":"2","output":"10"}"#]);
    for (line, header) in [
        ("POST /v1/models/m:run?fields=choices", ""),
        ("POST /v1/models/m:run?a=b&%66ields=usage.in", ""),
        ("POST /v1/models/m:embed?a=b;Fields", ""),
        ("POST /v1/models/m:run", "X-Field-Mask: usage.in\r\n"),
    ] {
        let more = format!("{header}Content-Length: 0\r\n");
        for limit in [TOKENS, MONEY] {
            let refused = ask(&world, &request(&mint(&world, limit), line, &more, "")).await;
            assert_refused(&refused, "ask for the whole answer");
        }
        let came = ask(&world, &request(&mint(&world, REQUESTS), line, &more, "")).await;
        assert_eq!(came.status(), 200, "requests are counted: {line}");
    }
    let key = mint(&world, TOKENS);
    for line in ["GET /v1/models/m?fields=name", "POST /v1/models/m:count?fields=total"] {
        let came = ask(&world, &request(&key, line, "Content-Length: 0\r\n", "")).await;
        assert_eq!(came.status(), 200, "{line}");
    }
}
