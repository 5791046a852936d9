//! Limits on the wire: who is let pass, what is told, and what is given back.

use keyward_core::limit::Limit;

use crate::world::{
    Minted, World,
    client::Client,
    message::{Message, answer, ok},
    soon,
    upstream::Upstream,
};

fn limits(all: &[&str]) -> Vec<Limit> {
    all.iter().map(|json| serde_json::from_str(json).unwrap()).collect()
}

/// A key that may write, with limits of its own.
fn mint(world: &World, all: &[&str]) -> Minted {
    world.mint("limited", |key| {
        key.permissions = vec!["write".to_owned()];
        key.limits = limits(all);
    })
}

const HUNDRED_A_MINUTE: &str =
    r#"{"name":"requests","kind":"rate","amount":100,"window_seconds":60}"#;

/// A GET with this key.
fn get(plaintext: &str) -> String {
    format!("GET /v1/x HTTP/1.1\r\nHost: limited.test\r\nAuthorization: Bearer {plaintext}\r\n\r\n")
}

fn header<'m>(message: &'m Message, name: &str) -> Option<&'m str> {
    message.head.get(name)
}

async fn ask(world: &World, plaintext: &str) -> Message {
    world.client().await.ask(&get(plaintext)).await
}

/// How many pass of what so many clients ask at once, each so often.
async fn passed_of(world: &World, clients: u32, times: u32, request: &str) -> u64 {
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (address, request) = (world.address, request.to_owned());
        asking.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut passed = 0;
            for _ in 0..times {
                passed += u64::from(client.ask(&request).await.status() == 200);
            }
            passed
        });
    }
    asking.join_all().await.into_iter().sum()
}

#[tokio::test]
async fn a_hundred_requests_a_minute_count_down_and_the_next_is_told_how_long_to_wait() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::start(&upstream).await;
    let key = mint(&world, &[HUNDRED_A_MINUTE]);
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
    let reached = upstream.received().windows(4).filter(|bytes| *bytes == b"GET ").count();
    assert_eq!(reached, 100, "what is refused does not reach the upstream");
    let other = ask(&world, &mint(&world, &[]).plaintext).await;
    assert_eq!((other.status(), header(&other, "x-limit")), (200, None), "another key has its own");
}

#[tokio::test]
async fn who_waits_as_told_is_let_pass() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::start(&upstream).await;
    let three_a_second = r#"{"name":"requests","kind":"rate","amount":3,"window_seconds":1}"#;
    let key = mint(&world, &[three_a_second]);
    let mut refused = ask(&world, &key.plaintext).await;
    for _ in 0..100 {
        if refused.status() == 429 {
            break;
        }
        refused = ask(&world, &key.plaintext).await;
    }
    let wait: u64 = header(&refused, "retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    // What is held to here is time itself.
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    assert_eq!(ask(&world, &key.plaintext).await.status(), 200);
}

#[tokio::test]
async fn of_many_requests_at_once_on_two_cores_exactly_as_many_pass_as_the_limit_says() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::with(upstream.address, |setup| setup.workers = 2).await;
    let two = [HUNDRED_A_MINUTE, r#"{"name":"day","kind":"quota","amount":50,"period":"year"}"#];
    let key = mint(&world, &two);
    let passed = passed_of(&world, 20, 20, &get(&key.plaintext)).await;
    assert_eq!(passed, 50);
    let refused = ask(&world, &key.plaintext).await;
    assert!(refused.text().contains("quota_exhausted"), "{}", refused.text());
    assert_eq!(header(&refused, "x-remaining"), Some("0"));
    let told = header(&refused, "ratelimit").unwrap();
    assert!(told.contains("\"requests\";r=50;"), "who was refused took nothing: {told}");
}

#[tokio::test]
async fn a_place_is_held_until_the_answer_has_ended_or_the_client_is_gone() {
    let mut upstream = Upstream::scripted().await;
    let world = World::start(&upstream).await;
    let one = r#"{"name":"slots","kind":"concurrency","amount":1}"#;
    let key = mint(&world, &[one]);
    let mut first = world.client().await;
    first.send(get(&key.plaintext)).await;
    let mut connection = upstream.next().await;
    connection.request().await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfo").await;
    assert_eq!(first.head().await.status(), 200);
    let refused = ask(&world, &key.plaintext).await;
    assert_eq!((refused.status(), header(&refused, "retry-after")), (429, Some("1")));
    assert!(refused.text().contains("concurrency_limited"), "{}", refused.text());
    connection.send("ur").await;

    // The place is free as soon as the answer has been passed on: the next asks until it is.
    let mut second = world.client().await;
    for _ in 0..1000 {
        second.send(get(&key.plaintext)).await;
        tokio::select! {
            _ = connection.request() => break,
            answer = second.answer() => assert_eq!(answer.status(), 429),
        }
    }
    second.reset();
    let mut third = world.client().await;
    let mut connections = vec![connection];
    for attempt in 0..1000 {
        assert!(attempt < 999, "the place of a client that is gone is not free");
        third.send(get(&key.plaintext)).await;
        tokio::select! {
            connection = upstream.next() => {
                connections.push(connection);
                break;
            }
            answer = third.answer() => assert_eq!(answer.status(), 429),
        }
    }
}

#[tokio::test]
async fn a_refused_upload_is_read_out_and_the_connection_goes_on() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::start(&upstream).await;
    let none = r#"{"name":"none","kind":"rate","amount":0,"window_seconds":60}"#;
    let key = mint(&world, &[none]);
    let mut client = world.client().await;
    let body = "x".repeat(100_000);
    for framing in [
        format!("Content-Length: {}\r\n\r\n{body}", body.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n186a0\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let head = get(&key.plaintext).replace("GET", "POST");
        let request = format!("{}{framing}", head.strip_suffix("\r\n").unwrap());
        let answer = soon(client.ask(&request)).await;
        assert_eq!(answer.status(), 429, "{}", answer.text());
        assert!(answer.text().contains("exceeds_limit"), "{}", answer.text());
        assert!(header(&answer, "retry-after").is_none(), "waiting does not help");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn who_is_known_is_told_of_limits_in_every_answer_and_who_is_not_in_none() {
    let upstream = Upstream::answering(|_| {
        answer("200 OK", "X-Remaining: 7\r\nX-Other: 1\r\nRateLimit: \"theirs\";r=1\r\n", "four")
    })
    .await;
    let world = World::start(&upstream).await;
    let key = mint(&world, &[HUNDRED_A_MINUTE]);
    let passed = ask(&world, &key.plaintext).await;
    assert_eq!(passed.head.all("x-remaining"), ["99"], "ours in the place of the upstream's");
    assert_eq!((passed.head.all("x-other"), passed.head.all("ratelimit").len()), (vec!["1"], 1));
    for (from, to, status) in [
        ("/v1/x", "/nothing", 404),
        ("GET /v1/x", "GET /v1/admin", 403),
        ("GET /v1/x", "PUT /v1/only-get", 405),
    ] {
        let answer = world.client().await.ask(&get(&key.plaintext).replace(from, to)).await;
        assert_eq!((answer.status(), header(&answer, "x-remaining")), (status, Some("99")), "{to}");
    }
    let unknown = ask(&world, &key.plaintext.replace("kw_", "kw-")).await;
    assert_eq!((unknown.status(), header(&unknown, "x-remaining")), (401, None));
    let unlimited = mint(&world, &[]);
    let theirs = ask(&world, &unlimited.plaintext).await;
    assert_eq!(theirs.head.all("x-remaining"), ["7"], "without limits of ours the upstream's pass");
}

#[tokio::test]
async fn of_limits_either_ours_or_the_upstream_s_are_told_never_a_half_of_each() {
    let theirs = "x-limit: 7\r\nX-REMAINING: 6\r\nX-Reset: 5\r\nx-reset: 4\r\nRateLimit-Policy: \"theirs\";q=7\r\n\
                  RateLimit: \"theirs\";r=6\r\nRetry-After: 3\r\n";
    let upstream = Upstream::answering(move |_| answer("200 OK", theirs, "four")).await;
    let world = World::start(&upstream).await;
    // One that never is whole again: there is no reset to tell.
    let once = r#"{"name":"once","kind":"credit","amount":2}"#;
    let key = mint(&world, &[once]);
    let all = |came: &Message| {
        ["x-limit", "x-remaining", "x-reset", "ratelimit-policy", "ratelimit", "retry-after"]
            .map(|name| came.head.all(name).join(" and "))
    };
    let ours = ask(&world, &key.plaintext).await;
    assert_eq!(all(&ours), ["2", "1", "", "\"once\";q=2", "\"once\";r=1", "3"]);
    let request = get(&key.plaintext).replace("/v1/x", "/v1/theirs");
    let passed = world.client().await.ask(&request).await;
    let expected = ["7", "6", "5 and 4", "\"theirs\";q=7", "\"theirs\";r=6", "3"];
    assert_eq!(all(&passed), expected, "as the route says");
    let refused = world.client().await.ask(&request).await;
    assert_eq!((refused.status(), header(&refused, "x-limit")), (429, Some("2")));
}

/// A call of a model, at the API whose answers tell what they used.
fn call(plaintext: &str, body: &str) -> String {
    format!(
        "POST /v1/chat HTTP/1.1\r\nHost: metered.test\r\nAuthorization: Bearer {plaintext}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A key of that API, with limits of its own.
fn mint_metered(world: &World, all: &[&str]) -> Minted {
    world.mint("metered", |key| {
        key.permissions = vec!["write".to_owned()];
        key.limits = limits(all);
    })
}

const USED: &str = r#"{"usage":{"in":30,"cached":20,"out":7},"choices":[]}"#;
const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn a_budget_is_never_passed_by_one_unit_and_what_was_not_used_of_an_estimate_is_there_again()
{
    let upstream = Upstream::answering(|_| answer("200 OK", JSON, USED)).await;
    let world = World::with(upstream.address, |setup| setup.workers = 2).await;
    // 10 × 2 + 20 × 1 + 7 × 10 = 110 millionths a call.
    world.price(&[r#"{"model":"m","input":"2","cached":"1","output":"10"}"#]);
    let budget = r#"{"name":"spend","kind":"budget","amount":"0.01"}"#;
    let key = mint_metered(&world, &[budget]);
    let body = r#"{"model":"m","max":40}"#;
    let passed = passed_of(&world, 10, 20, &call(&key.plaintext, body)).await;
    // Set aside are 22 × 2 + 40 × 10 = 444 millionths and a little.
    assert!(passed * 110 <= 10_000 && passed * 110 > 10_000 - 10 * 445, "{passed}");
    let mut alone = 0;
    while world.client().await.ask(call(&key.plaintext, body)).await.status() == 200 {
        alone += 1;
        assert!((passed + alone) * 110 <= 10_000, "{passed} and {alone}");
    }
    let left = 10_000 - (passed + alone) * 110;
    assert!(left < 445, "{left} millionths were left, and one more fits in");
    let refused = world.client().await.ask(call(&key.plaintext, body)).await;
    assert!(refused.text().contains("budget_exhausted"), "{}", refused.text());
    assert_eq!(header(&refused, "retry-after"), None, "waiting does not help");
}

#[tokio::test]
async fn where_money_is_limited_a_model_without_a_price_is_refused_and_what_calls_none_is_not() {
    let upstream = Upstream::answering(|_| answer("200 OK", JSON, USED)).await;
    let world = World::start(&upstream).await;
    let budget = r#"{"name":"spend","kind":"budget","amount":"1"}"#;
    let key = mint_metered(&world, &[budget]);
    let unpriced = world.client().await.ask(call(&key.plaintext, r#"{"model":"m"}"#)).await;
    assert_eq!(unpriced.status(), 403, "{}", unpriced.text());
    assert!(unpriced.text().contains("unpriced_model"), "{}", unpriced.text());
    let list = get(&key.plaintext).replace("limited.test", "metered.test");
    let listed = world.client().await.ask(list).await;
    assert_eq!(listed.status(), 200, "{}", listed.text());
    world.price(&[r#"{"model":"m*","input":"1"}"#]);
    let priced = world.client().await.ask(call(&key.plaintext, r#"{"model":"m"}"#)).await;
    assert_eq!(priced.status(), 200, "a price holds at once");
}

#[tokio::test]
async fn a_limit_on_models_counts_every_spelling_and_whatever_names_no_model_but_what_only_reads() {
    let upstream = Upstream::answering(|_| answer("200 OK", JSON, USED)).await;
    let world = World::start(&upstream).await;
    let one = r#"{"name":"one","kind":"quota","amount":1,"period":"year","models":["gpt-4*"]}"#;
    for (line, body, counts) in [
        ("POST /v1/chat", r#"{"model":"gpt-4o"}"#, true),
        ("POST /v1/chat", r#"{"model":"GPT-4o"}"#, true),
        ("POST /v1/chat", r#"{"model":"gpt-3"}"#, false),
        ("POST /v1/models/Gpt-4:run", "{}", true),
        ("POST /v1/else", "{}", true),
        ("GET /v1/else", "", false),
        ("GET /v1/models/small", "", false),
        ("GET /v1/else HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX:", "", true),
        ("POST /v1/models/small:count", "{}", false),
    ] {
        let key = mint_metered(&world, &[one]);
        let request = call(&key.plaintext, body).replace("POST /v1/chat", line);
        let mut passed = 0;
        for _ in 0..2 {
            passed += usize::from(world.client().await.ask(&request).await.status() == 200);
        }
        assert_eq!(passed, if counts { 1 } else { 2 }, "{line} {body}");
    }
}

#[tokio::test]
async fn tokens_are_set_aside_from_above_and_settled_by_what_the_answer_tells() {
    let upstream = Upstream::answering(|_| answer("200 OK", JSON, USED)).await;
    let world = World::start(&upstream).await;
    let tokens =
        r#"{"name":"tokens","kind":"rate","unit":"tokens","amount":100,"window_seconds":60}"#;
    let key = mint_metered(&world, &[tokens]);
    let body = r#"{"model":"m","max":40}"#;
    let first = world.client().await.ask(call(&key.plaintext, body)).await;
    let told = header(&first, "ratelimit").unwrap();
    assert!(told.starts_with("\"tokens\";r=38;"), "22 bytes and 40 are set aside: {told}");
    // 37 were used: 63 are left, and one more that may use 62 fits.
    let second = world.client().await.ask(call(&key.plaintext, body)).await;
    assert_eq!(second.status(), 200, "{}", second.text());
    let third = world.client().await.ask(call(&key.plaintext, body)).await;
    assert_eq!(third.status(), 429);
    let huge = world.client().await.ask(call(&key.plaintext, r#"{"model":"m","max":400}"#)).await;
    assert!(huge.text().contains("exceeds_limit"), "{}", huge.text());
}

#[tokio::test]
async fn requests_whose_bodies_come_slowly_count_when_they_are_let_pass() {
    let upstream = Upstream::answering(|_| ok("four")).await;
    let world = World::start(&upstream).await;
    let two_a_second = r#"{"name":"requests","kind":"rate","amount":2,"window_seconds":1}"#;
    let key = mint(&world, &[two_a_second]);
    let head = get(&key.plaintext)
        .replace("GET", "POST")
        .replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n");
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut client = world.client().await;
        client.send(format!("{head}a")).await;
        slow.push(client);
    }
    // What is held to here is time itself: longer than the window.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let mut passed = 0;
    for client in &mut slow {
        client.send("b").await;
        passed += u64::from(client.answer().await.status() == 200);
    }
    let next = ask(&world, &key.plaintext).await;
    assert_eq!((passed, next.status()), (2, 429));
}
