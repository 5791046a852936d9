//! What limits on tokens and money promise and do not keep: each test fails, and says what it shows.

use crate::world::{
    Minted, World,
    message::{Message, answer},
    millis, soon,
    upstream::Upstream,
};

const JSON: &str = "content-type: application/json\r\n";
const EVENTS: &str = "content-type: text/event-stream\r\n";

fn mint(world: &World, limits: &[&str]) -> Minted {
    world.mint("metered", |key| {
        key.permissions = vec!["write".to_owned()];
        key.limits = limits.iter().map(|one| serde_json::from_str(one).unwrap()).collect();
    })
}

fn post(key: &Minted, path: &str, kind: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: metered.test\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        key.plaintext,
        body.len()
    )
}

async fn ask(world: &World, request: &str) -> Message {
    soon(world.client().await.ask(request)).await
}

fn left(came: &Message, name: &str) -> u64 {
    let told = came.head.get("ratelimit").unwrap_or_else(|| panic!("{came:?}"));
    let own = told.split(", ").find_map(|one| one.strip_prefix(&format!("\"{name}\";r=")));
    own.and_then(|own| own.split(';').next()?.parse().ok()).unwrap_or_else(|| panic!("{told}"))
}

/// Shows: on routes whose model stands in the path nothing asks how the body is declared, so a reader that goes by the declaration
/// (`application/x-www-form-urlencoded`, UTF-7) reads another bound than we do.
#[tokio::test]
async fn a_body_that_is_declared_as_something_else_than_json_is_not_estimated_as_json() {
    let upstream = Upstream::answering(|_| answer("200 OK", JSON, "{}")).await;
    let world = World::start(&upstream).await;
    let limit = r#"{"name":"t","kind":"quota","unit":"tokens","amount":100000,"period":"year"}"#;
    for (kind, body) in [
        ("application/x-www-form-urlencoded", r#"{"max":1,"x":"&max=90000&prompt=long"}"#),
        (
            "application/json; charset=utf-7",
            r#"{"max":1,"x":"+ACI-,+ACI-max+ACI-:90000,+ACI-y+ACI-:+ACI-"}"#,
        ),
    ] {
        let key = mint(&world, &[limit]);
        let came = ask(&world, &post(&key, "/v1/models/m:run", kind, body)).await;
        assert_eq!(came.status(), 403, "{kind}: {} set aside", 100_000 - left(&came, "t"));
    }
}

/// Shows: who leaves a stream before its usage comes has used what was shown. Reasoning is not shown, and was written before.
#[tokio::test]
async fn who_leaves_a_stream_before_its_usage_comes_has_not_used_next_to_nothing() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let limit =
        r#"{"name":"t","kind":"quota","unit":"output_tokens","amount":100000,"period":"year"}"#;
    let key = mint(&world, &[limit]);
    let body = r#"{"model":"m","stream":true,"max":50000}"#;
    let mut client = world.client().await;
    client.send(post(&key, "/v1/chat", "application/json", body)).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    let event =
        "data: {\"choices\":[{\"text\":\"the whole answer\",\"finish_reason\":\"stop\"}]}\n\n";
    let head = format!("HTTP/1.1 200 OK\r\n{EVENTS}transfer-encoding: chunked\r\n\r\n");
    connection.send(format!("{head}{:x}\r\n{event}\r\n", event.len())).await;
    client.head().await;
    tokio::time::sleep(millis(100)).await;
    client.reset();
    tokio::time::sleep(millis(300)).await;
    let known = world.client().await;
    let mut known = known;
    let request = format!(
        "GET /nothing HTTP/1.1\r\nHost: metered.test\r\nAuthorization: Bearer {}\r\n\r\n",
        key.plaintext
    );
    let came = soon(known.ask(request)).await;
    let used = 100_000 - left(&came, "t");
    assert!(used > 1000, "of 50000 that were set aside, {used} were counted");
}
