//! Who guesses, and who goes too fast.

use std::{num::NonZeroU32, time::Instant};

use super::*;

const HOST: (&str, &str) = ("host", "localhost");
const ORIGIN: (&str, &str) = ("origin", "http://localhost");

fn login(name: &str, password: &str) -> String {
    json!({ "email": format!("{name}@example.com"), "password": password, "cookie": true })
        .to_string()
}

/// The answer without its request's id.
async fn guess(world: &World, from: &str, name: &str, password: &str) -> (u16, HeaderMap, Value) {
    let body = login(name, password);
    let headers = [HOST, ORIGIN];
    let (status, headers, mut body) =
        world.send(from, "POST", "/v1/sessions", &headers, &body).await;
    body.as_object_mut().unwrap().shift_remove("request_id");
    (status.as_u16(), headers, body)
}

#[tokio::test]
async fn who_guesses_on_waits_and_nothing_tells_which_accounts_there_are() {
    let world = World::new().await;
    world.sign_up("ada").await;
    let (attacker, other) = ("203.0.113.7", "203.0.113.8");
    for count in 0..13 {
        let wrong = guess(&world, attacker, "ada", "wrong horse battery").await;
        let unknown = guess(&world, other, "nobody", "wrong horse battery").await;
        assert_eq!((wrong.0, &wrong.2), (unknown.0, &unknown.2), "{count}");
        assert_eq!(wrong.1.get("retry-after"), unknown.1.get("retry-after"));
        assert_eq!(wrong.0, if count < 11 { 401 } else { 429 }, "{count}");
    }
    let (status, headers, body) = guess(&world, attacker, "ada", PASSWORD).await;
    assert_eq!((status, body["code"].as_str()), (429, Some("rate_limited")));
    assert_eq!(headers["retry-after"], "1");
    // From elsewhere nobody waits.
    assert_eq!(guess(&world, "198.51.100.1", "ada", PASSWORD).await.0, 201);
}

#[tokio::test]
async fn a_browser_that_logged_in_before_does_not_wait_for_strangers() {
    let world = World::new().await;
    world.sign_up("ada").await;
    world.sign_up("eve").await;
    let known = |headers: &HeaderMap| {
        let mut lines = headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
        let line = lines.find(|line| line.starts_with("__Host-keyward_known=")).unwrap();
        line.split_once(';').unwrap().0.to_owned()
    };
    let adas = known(&guess(&world, "198.51.100.1", "ada", PASSWORD).await.1);
    let eves = known(&guess(&world, "198.51.100.2", "eve", PASSWORD).await.1);
    for number in 0..40 {
        guess(&world, &format!("203.0.113.{number}"), "ada", "wrong horse battery").await;
    }
    let from = "192.0.2.1";
    assert_eq!(
        guess(&world, from, "ada", PASSWORD).await.0,
        429,
        "a stranger waits with strangers"
    );
    let body = login("ada", PASSWORD);
    let forged = adas.replace('.', ".0");
    for (cookie, expected) in [(&adas, 201), (&eves, 429), (&forged, 429)] {
        let headers = [HOST, ORIGIN, ("cookie", cookie.as_str())];
        let (status, _, body) = world.send(from, "POST", "/v1/sessions", &headers, &body).await;
        assert_eq!(status.as_u16(), expected, "{cookie} {body}");
    }
    assert_eq!(guess(&world, "198.51.100.1", "ada", PASSWORD).await.0, 201, "nor does its network");
}

#[tokio::test]
async fn tokens_are_not_guessed_either() {
    for (path, body, code) in [
        ("/v1/setup", OPERATIONS[0].2, "not_found"),
        ("/v1/invitations/accept", r#"{"token":"kwinv_x"}"#, "not_found"),
    ] {
        let world = World::new().await;
        for count in 0..22 {
            let (status, headers, answer) =
                world.send("2001:db8::1", "POST", path, &[], body).await;
            let expected = if count < 21 { (404, code) } else { (429, "rate_limited") };
            assert_eq!(
                (status.as_u16(), answer["code"].as_str().unwrap()),
                expected,
                "{path} {count}"
            );
            assert_eq!(headers.contains_key("retry-after"), count == 21);
        }
        let neighbour = world.send("2001:db8::2", "POST", path, &[], body).await;
        assert_eq!(neighbour.0.as_u16(), 429, "a /64 is one client");
        assert_eq!(world.send("2001:db8:0:1::1", "POST", path, &[], body).await.0.as_u16(), 404);
    }
}

#[tokio::test]
async fn who_asks_by_signing_up_which_addresses_are_known_waits() {
    let world = World::new().await;
    world.sign_up("ada").await;
    let body = r#"{"email":"ada@example.com","name":"A","password":"PASSWORD","organization":"O"}"#;
    for count in 0..22 {
        let (status, ..) = world.send("203.0.113.7", "POST", "/v1/signup", &[], body).await;
        assert_eq!(status.as_u16(), if count < 21 { 409 } else { 429 }, "{count}");
    }
}

#[tokio::test]
async fn a_session_that_was_found_open_does_not_tell_its_password() {
    let world = World::new().await;
    world.sign_up("ada").await;
    let token = world.log_in("ada").await;
    let wrong = r#"{"old":"wrong horse battery","new":"another one"}"#;
    for count in 0..12 {
        let answer = world.ask(Some(&token), "PUT", "/v1/account/password", wrong).await;
        assert_eq!(answer.status.as_u16(), if count < 11 { 400 } else { 429 }, "{count}");
    }
}

#[tokio::test]
async fn who_goes_too_fast_is_told_to_wait_and_others_are_not() {
    let requests_per_minute = NonZeroU32::new(10).unwrap();
    let world = World::with(Access { requests_per_minute, ..Access::default() }).await;
    let from = "203.0.113.7";
    let body =
        r#"{"email":"ada@example.com","name":"Ada","password":"PASSWORD","organization":"A"}"#;
    assert_eq!(world.send("198.51.100.1", "POST", "/v1/signup", &[], body).await.0.as_u16(), 201);
    let body = r#"{"email":"ada@example.com","password":"PASSWORD"}"#;
    let (_, _, started) = world.send(from, "POST", "/v1/sessions", &[], body).await;
    let bearer = format!("Bearer {}", text(&started, "/token"));
    let asks = async |from: &str, path: &str, authorization: Option<&str>| {
        let headers: Vec<_> =
            authorization.map(|value| ("authorization", value)).into_iter().collect();
        let (status, headers, body) = world.send(from, "GET", path, &headers, "").await;
        if status.as_u16() == 429 {
            assert_eq!(
                (&headers["retry-after"], &body["code"]),
                (&"6".parse().unwrap(), &json!("rate_limited"))
            );
        }
        status.as_u16()
    };
    for _ in 0..9 {
        assert_eq!(asks(from, "/v1/nothing", None).await, 404);
    }
    for path in ["/v1/nothing", "/v1/openapi.json", "/v1/account", "/v1/sessions/openid"] {
        assert_eq!(asks(from, path, None).await, 429, "{path}");
    }
    assert_eq!(asks(from, "/v1/account", Some("Bearer kwses_nonsense")).await, 429);
    assert_eq!(asks("203.0.113.8", "/v1/account", Some("Bearer kwses_nonsense")).await, 401);
    // A session goes at a pace of its own, wherever it is used.
    for _ in 0..10 {
        assert_eq!(asks(from, "/v1/account", Some(&bearer)).await, 200);
    }
    assert_eq!(asks("203.0.113.8", "/v1/account", Some(&bearer)).await, 429);
}

#[tokio::test]
async fn an_unknown_account_takes_as_long_as_a_wrong_password() {
    let world = World::new().await;
    world.sign_up("ada").await;
    crate::password::prepare();
    let mut times: [Vec<_>; 2] = [vec![], vec![]];
    for round in 0..9 {
        for (name, times) in ["ada", "nobody"].into_iter().zip(&mut times) {
            let started = Instant::now();
            let from = format!("203.0.113.{round}");
            assert_eq!(guess(&world, &from, name, "wrong horse battery").await.0, 401);
            times.push(started.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort());
    let [wrong, unknown] = times.map(|times| times[4]);
    // Without a hash it would be a hundredth.
    assert!(unknown * 3 > wrong && wrong * 3 > unknown, "{wrong:?} {unknown:?}");
}
