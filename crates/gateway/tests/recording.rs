//! One usage record a request, whatever becomes of it.

use std::{collections::HashMap, sync::Arc};

use http_body_util::BodyExt;
use keyward_core::{key::KeyState, verdict::Reason};

use crate::world::{
    World, http2,
    message::{answer, ok},
    soon,
    upstream::Upstream,
};

#[tokio::test]
async fn each_outcome_is_one_record_with_its_figures() {
    let upstream =
        Upstream::answering(|request| match request.head.line.split(' ').nth(1).unwrap() {
            "/v1/missing" => answer("404 Not Found", "", "none"),
            "/v1/broken" => b"garbage\r\n\r\n".to_vec(),
            _ => ok("four"),
        })
        .await;
    let world = World::start(&upstream).await;
    let key = world.minted("bearer").key;
    let revoked = world.mint("bearer", |key| key.state = KeyState::Revoked);
    let refused_body = "{\"model\":1}";
    // The request, and what is recorded of it: status, key, route, bytes in.
    let cases = [
        (world.get("/v1/x"), 200, Some(key), "/v1/{rest...}", 0),
        (world.post("/v1/x", "123"), 200, Some(key), "/v1/{rest...}", 3),
        (world.post("/v1/chat", "{\"model\":\"any\"}"), 200, Some(key), "/v1/chat", 15),
        (world.get("/v1/missing"), 404, Some(key), "/v1/{rest...}", 0),
        (world.get("/v1/broken"), 502, Some(key), "/v1/{rest...}", 0),
        (world.get("/nothing"), 404, Some(key), "", 0),
        (world.get("/v1/only-get").replace("GET", "PUT"), 405, Some(key), "", 0),
        (world.post("/v1/chat", refused_body), 400, Some(key), "/v1/chat", 11),
        (world.get("/v1/x").replace("kw_", "kw-"), 401, None, "/v1/{rest...}", 0),
        (
            world.get("/v1/x").replace(world.key("bearer"), &revoked.plaintext),
            401,
            Some(revoked.key),
            "/v1/{rest...}",
            0,
        ),
        (world.get("/v1/x").replace("Host", "Other"), 400, None, "", 0),
        (world.get("/v1//x"), 400, None, "", 0),
    ];
    let unknown_api = "GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n";
    let mut expected = HashMap::new();
    for (request, status, key, route, bytes_in) in cases {
        let answer = world.client().await.ask(&request).await;
        assert_eq!(answer.status(), status, "{request}: {answer:?}");
        let api = if status == 400 && key.is_none() { "" } else { "bearer" };
        let sums = expected.entry((api, route.to_owned(), key, status)).or_insert((0, 0, 0));
        *sums = (sums.0 + 1, sums.1 + bytes_in, sums.2 + answer.body.len() as u64);
    }
    let answer = world.client().await.ask(unknown_api).await;
    assert_eq!(answer.status(), 404);
    expected.insert(("", String::new(), None, 404), (1, 0, answer.body.len() as u64));
    let secret = world.minted("bearer").secret;
    let told = world.drain().await;
    let mut counted = HashMap::new();
    for (scope, sums) in &told.rows {
        let api = if scope.api.is_empty() { "" } else { "bearer" };
        let entry = counted
            .entry((api, scope.route.to_string(), scope.key, scope.status))
            .or_insert((0, 0, 0));
        *entry = (entry.0 + sums.requests, entry.1 + sums.bytes_in, entry.2 + sums.bytes_out);
        assert!(sums.latency_micros > 0, "{scope:?}");
    }
    for (scope, sums) in &expected {
        assert_eq!(counted.get(scope), Some(sums), "{scope:?} in {counted:#?}");
    }
    assert_eq!(counted.len(), expected.len(), "{counted:#?}");
    // Only what was accepted counts as a use; a revoked key's attempt does not.
    assert!(told.last_uses.iter().all(|used| used.secret == secret), "{:?}", told.last_uses);
    assert!(!told.last_uses.is_empty());
}

#[tokio::test]
async fn a_record_says_whose_it_is_and_why_it_was_refused() {
    let upstream = Upstream::answering(|request| {
        if request.head.line.contains("broken") { b"garbage\r\n\r\n".to_vec() } else { ok("four") }
    })
    .await;
    let world = World::start(&upstream).await;
    let revoked = world.mint("bearer", |key| key.state = KeyState::Revoked);
    let good = world.get("/v1/x");
    let cases = [
        (good.clone(), true, None),
        (world.get("/v1/broken"), true, Some(Reason::BadGateway)),
        (world.get("/nothing"), true, Some(Reason::UnknownRoute)),
        (good.replace(world.key("bearer"), &revoked.plaintext), true, Some(Reason::RevokedKey)),
        (good.replace("kw_", "kw-"), false, Some(Reason::MalformedKey)),
        (good.replace("Host", "Other"), false, Some(Reason::BadRequest)),
    ];
    for (request, known, reason) in cases {
        let mut client = world.client().await;
        client.ask(&request).await;
        let told = world
            .ledger
            .until(|told| told.rows.iter().any(|(scope, _)| scope.reason == reason))
            .await;
        let (scope, _) = told.rows.iter().find(|(scope, _)| scope.reason == reason).unwrap();
        let expected = if known { "org_test" } else { "" };
        assert_eq!((&*scope.organization, &*scope.model), (expected, ""), "{request}");
    }
}

#[tokio::test]
async fn a_client_that_left_before_the_answer_is_499() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let mut client = world.client().await;
    client.send(world.post("/v1/x", "123")).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    drop(client);
    connection.closed().await;
    let told = world.drain().await;
    let (scope, sums) = told.only();
    assert_eq!((scope.status, sums.bytes_in, sums.bytes_out), (499, 3, 0));
    assert_eq!(&*scope.route, "/v1/{rest...}");
}

#[tokio::test]
async fn records_arrive_while_the_gateway_runs() {
    let upstream = Upstream::answering(|_| ok("fine")).await;
    let world = World::start(&upstream).await;
    let second = world.mint("bearer", |key| key.permissions = vec!["read".to_owned()]);
    let mut client = world.client().await;
    client.ask(world.get("/v1/x")).await;
    client.ask(world.get("/v1/x").replace(world.key("bearer"), &second.plaintext)).await;
    let told = world.ledger.until(|told| told.requests() == 2 && told.last_uses.len() == 2).await;
    let mut used: Vec<_> =
        told.last_uses.iter().map(|used| (used.secret, used.from.to_string())).collect();
    let mut expected = [world.minted("bearer").secret, second.secret]
        .map(|secret| (secret, "127.0.0.1".to_owned()));
    used.sort();
    expected.sort();
    assert_eq!(used, expected);
}

#[tokio::test]
async fn two_thousand_mixed_requests_are_two_thousand_records() {
    const CLIENTS: usize = 40;
    const EACH: usize = 50;
    let upstream =
        Upstream::answering(|request| ok(std::str::from_utf8(&request.body).unwrap())).await;
    let world = World::with(upstream.address, |setup| setup.workers = 2).await;
    let world = Arc::new(world);
    let mut tasks = Vec::new();
    for n in 0..CLIENTS {
        let world = world.clone();
        tasks.push(tokio::spawn(async move {
            if n % 2 == 0 {
                let mut client = world.client().await;
                for m in 0..EACH {
                    let (request, status) = mixed(&world, n, m);
                    let answer = client.ask(request).await;
                    assert_eq!(answer.status(), status);
                    if status == 200 {
                        assert_eq!(answer.text(), format!("body {n} {m}"));
                    }
                }
            } else {
                let sender = http2::connect(world.address).await;
                for m in 0..EACH {
                    let mut sender = sender.clone();
                    let request = http::Request::post("http://bearer.test/v1/x")
                        .header("authorization", format!("Bearer {}", world.key("bearer")))
                        .body(http2::full(format!("body {n} {m}")))
                        .unwrap();
                    let answer = soon(sender.send_request(request)).await.unwrap();
                    assert_eq!(answer.status(), 200);
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(body, format!("body {n} {m}"));
                }
            }
        }));
    }
    for task in tasks {
        soon(task).await.unwrap();
    }
    let world = Arc::into_inner(world).unwrap();
    let told = world.drain().await;
    assert_eq!(told.requests(), (CLIENTS * EACH) as u64);
    let every_fifth = (CLIENTS / 2 * EACH / 5) as u64;
    let all = (CLIENTS * EACH) as u64;
    assert_eq!(
        told.statuses(),
        [(200, all - 2 * every_fifth), (401, every_fifth), (404, every_fifth)]
    );
    assert!(upstream.connections() <= CLIENTS, "{}", upstream.connections());
}

fn mixed(world: &World, n: usize, m: usize) -> (String, u16) {
    match m % 5 {
        0 => (world.get("/v1/x").replace("kw_", "kw-"), 401),
        1 => (world.get("/nothing"), 404),
        _ => (world.post("/v1/x", &format!("body {n} {m}")), 200),
    }
}
