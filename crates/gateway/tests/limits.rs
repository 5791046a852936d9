//! Limits on the wire: who is let pass, what is told, and what is given back.

use keyward_core::limit::Limit;

use crate::world::{
    World,
    client::Client,
    message::{Message, answer, ok},
    soon,
    upstream::Upstream,
};

fn limits(all: &[&str]) -> Vec<Limit> {
    all.iter().map(|json| serde_json::from_str(json).unwrap()).collect()
}

const HUNDRED_A_MINUTE: &str = r#"{"name":"requests","kind":"rate","amount":100,"window_seconds":60}"#;

/// A GET with this key.
fn get(plaintext: &str) -> String {
    format!("GET /v1/x HTTP/1.1\r\nHost: limited.test\r\nAuthorization: Bearer {plaintext}\r\n\r\n")
}

fn header<'m>(message: &'m Message, name: &str) -> Option<&'m str> {
    message.headers(name).into_iter().next()
}

async fn ask(world: &World, plaintext: &str) -> Message {
    world.client().await.ask(&get(plaintext)).await
}

#[tokio::test]
async fn a_hundred_requests_a_minute_count_down_and_the_next_is_told_how_long_to_wait() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::start(&upstream).await;
    let key = world.mint("limited", |key| key.limits = limits(&[HUNDRED_A_MINUTE]));
    let mut client: Client = world.client().await;
    for left in (0..100).rev() {
        let answer = client.ask(&get(&key.plaintext)).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-limit"), Some("100"));
        assert_eq!(header(&answer, "x-remaining"), Some(&*left.to_string()));
        assert_eq!(header(&answer, "ratelimit-policy"), Some("\"requests\";q=100;w=60"));
        let told = header(&answer, "ratelimit").unwrap().to_owned();
        assert!(told.starts_with(&format!("\"requests\";r={left};t=")), "{told}");
    }
    let refused = client.ask(&get(&key.plaintext)).await;
    assert_eq!((refused.status(), header(&refused, "x-remaining")), (429, Some("0")));
    let wait: u64 = header(&refused, "retry-after").unwrap().parse().unwrap();
    assert!((59..=61).contains(&wait), "{wait}");
    assert_eq!(upstream.requests().len(), 100, "what is refused does not reach the upstream");
    let other = ask(&world, &world.mint("limited", |_| ()).plaintext).await;
    assert_eq!((other.status(), header(&other, "x-limit")), (200, None), "another key has its own");
}
