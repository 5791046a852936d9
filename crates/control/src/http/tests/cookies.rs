//! Browsers: sessions in cookies, and pages of others.

use super::*;

const HOME: &str = "http://localhost:8081";
const HERE: &str = "127.0.0.1";

/// A browser on a page of ours.
fn own(cookie: &str) -> Vec<(&str, &str)> {
    let mut headers = vec![("host", "localhost:8081"), ("origin", HOME)];
    if !cookie.is_empty() {
        headers.push(("cookie", cookie));
    }
    headers
}

/// What a browser keeps of an answer's cookies, and how it was told to keep them.
fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let lines = headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    let split = lines.map(|line| line.split_once("; ").unwrap());
    split.map(|(pair, how)| (pair.to_owned(), how.to_owned())).collect()
}

const LOGIN: &str = r#"{"email":"ada@example.com","password":"PASSWORD","cookie":true}"#;

/// Logs in by cookie.
async fn log_in(world: &World, with: &str) -> String {
    let (status, headers, body) = world.send(HERE, "POST", "/v1/sessions", &own(with), LOGIN).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert!(body.get("token").is_none() && !body.to_string().contains("kwses_"), "{body}");
    let kept = cookies(&headers);
    assert_eq!(
        kept[0].1, "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=43200",
        "no script reads it, and no other host gets it"
    );
    assert!(kept[0].0.starts_with("__Host-keyward_session=kwses_"));
    assert!(kept[1].0.starts_with("__Host-keyward_known="));
    kept[0].0.clone()
}

async fn status(world: &World, cookie: &str) -> StatusCode {
    world.send(HERE, "GET", "/v1/account", &[("cookie", cookie)], "").await.0
}

#[tokio::test]
async fn a_cookie_opens_what_its_session_opens_until_it_ends() {
    let world = World::new().await;
    world.sign_up("ada").await;
    let cookie = log_in(&world, "").await;
    assert_eq!(status(&world, &cookie).await, StatusCode::OK);
    let also = format!("theme=dark; {cookie}; __Host-keyward_session2=x");
    assert_eq!(status(&world, &also).await, StatusCode::OK);
    let path = "/v1/sessions/current";
    let (ended, headers, _) = world.send(HERE, "DELETE", path, &own(&cookie), "").await;
    assert_eq!(ended, StatusCode::NO_CONTENT);
    let forgotten = cookies(&headers);
    assert_eq!(forgotten[0].0, "__Host-keyward_session=");
    assert!(forgotten[0].1.ends_with("Max-Age=0"));
    assert_eq!(status(&world, &cookie).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_login_makes_a_new_session_and_ends_the_one_of_the_cookie_before() {
    let world = World::new().await;
    world.sign_up("ada").await;
    world.sign_up("eve").await;
    let first = log_in(&world, "").await;
    let second = log_in(&world, &first).await;
    assert_ne!(first, second);
    assert_eq!(status(&world, &first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&world, &second).await, StatusCode::OK);
    // What somebody else put into the browser before is worth nothing after.
    let eve = world.log_in("eve").await;
    let planted = format!("__Host-keyward_session={eve}");
    let third = log_in(&world, &planted).await;
    assert_eq!(status(&world, &planted).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&world, &third).await, StatusCode::OK);
    // One that has ended is no hindrance, and a wrong password ends nothing.
    log_in(&world, &first).await;
    let wrong = LOGIN.replace("PASSWORD", "wrong horse battery");
    let refused = world.send(HERE, "POST", "/v1/sessions", &own(&third), &wrong).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&world, &third).await, StatusCode::OK);
}

#[tokio::test]
async fn what_changes_something_by_a_cookie_comes_from_a_page_of_ours() {
    let world = World::new().await;
    let ours = ours(&world).await;
    let cookie = log_in(&world, "").await;
    let host = ("host", "localhost:8081");
    let foreign: &[&[(&str, &str)]] = &[
        &[host],
        &[host, ("origin", "null")],
        &[host, ("origin", "https://evil.example")],
        &[host, ("origin", "http://localhost:8082")],
        &[host, ("origin", "https://localhost:8081")],
        &[host, ("origin", "http://localhost:8081.evil.example")],
        &[host, ("origin", HOME), ("origin", "https://evil.example")],
        &[host, ("origin", HOME), ("sec-fetch-site", "cross-site")],
        &[host, ("origin", HOME), ("sec-fetch-site", "same-site")],
        // A name server can make any page's host be this machine.
        &[("host", "evil.example:8081"), ("origin", "http://evil.example:8081")],
        &[("host", "localhost.evil.example"), ("origin", "http://localhost.evil.example")],
        &[("origin", HOME)],
    ];
    for (method, path, body, _) in OPERATIONS.iter().filter(|row| row.0 != "GET") {
        let path = ours.things.put_into(path);
        for headers in foreign {
            let headers = [headers, [("cookie", cookie.as_str())].as_slice()].concat();
            let (status, _, answer) = world.send(HERE, method, &path, &headers, body).await;
            let told = (status, answer["code"].as_str());
            let refused = (StatusCode::FORBIDDEN, Some("foreign_origin"));
            assert_eq!(told, refused, "{method} {path} {headers:?}");
        }
    }
    // Nor does a page of others log anybody in.
    for headers in foreign {
        let refused = world.send(HERE, "POST", "/v1/sessions", headers, LOGIN).await;
        assert_eq!(refused.2["code"], "foreign_origin", "{headers:?}");
        assert!(!refused.1.contains_key("set-cookie"));
    }
    let organization = ours.things.put_into("{organization}");
    let path = format!("/v1/organizations/{organization}/invitations");
    let invite = r#"{"email":"x@example.com","role":"viewer"}"#;
    let mut headers = own(&cookie);
    headers.push(("sec-fetch-site", "same-origin"));
    let done = world.send(HERE, "POST", &path, &headers, invite).await;
    assert_eq!(done.0, StatusCode::CREATED, "{}", done.2);
}

#[tokio::test]
async fn the_configured_origins_are_the_ones_that_count() {
    let origins = vec!["https://keys.example.com".parse().unwrap()];
    let world = World::with(Access { origins, ..Access::default() }).await;
    world.sign_up("ada").await;
    for (host, origin, expected) in [
        ("keys.example.com", "https://keys.example.com", 201),
        ("10.0.0.7:8081", "https://keys.example.com", 201),
        ("keys.example.com", "http://keys.example.com", 403),
        ("keys.example.com", "https://keys.example.com.evil.example", 403),
        ("localhost:8081", HOME, 403),
    ] {
        let headers = [("host", host), ("origin", origin)];
        let (status, _, body) = world.send(HERE, "POST", "/v1/sessions", &headers, LOGIN).await;
        assert_eq!(status.as_u16(), expected, "{host} {origin} {body}");
    }
}

#[tokio::test]
async fn one_credential_is_shown_and_once() {
    let world = World::new().await;
    world.sign_up("ada").await;
    let token = world.log_in("ada").await;
    let (bearer, cookie) = (format!("Bearer {token}"), format!("__Host-keyward_session={token}"));
    let twice = format!("{cookie}; {cookie}");
    for headers in [
        vec![("authorization", bearer.as_str()), ("cookie", cookie.as_str())],
        vec![("cookie", cookie.as_str()), ("authorization", "Basic eA==")],
        vec![("cookie", twice.as_str())],
        vec![("cookie", cookie.as_str()), ("cookie", cookie.as_str())],
    ] {
        let (status, _, body) = world.send(HERE, "GET", "/v1/account", &headers, "").await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (400, Some("invalid")), "{headers:?}");
    }
    let two = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    assert_eq!(world.send(HERE, "GET", "/v1/account", &two, "").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_answer_says_how_browsers_shall_treat_it_and_allows_no_other_origin() {
    let proxy = vec!["10.0.0.1".parse().unwrap()];
    let world = World::with(Access { trusted_proxies: proxy, ..Access::default() }).await;
    let mut ids = std::collections::BTreeSet::new();
    for (method, path) in [
        ("GET", "/v1/openapi.json"),
        ("GET", "/v1/account"),
        ("GET", "/v1/nothing"),
        ("PATCH", "/v1/account"),
        ("OPTIONS", "/v1/account"),
        ("POST", "/v1/sessions"),
        ("GET", "/v1/sessions/openid"),
    ] {
        let headers = [("origin", "https://evil.example"), ("x-request-id", "mine")];
        let (_, answered, _) = world.send(HERE, method, path, &headers, "").await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answered[name], value, "{method} {path}");
        }
        let foreign = answered.keys().find(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(foreign, None);
        assert!(!answered.contains_key("strict-transport-security"));
        assert!(ids.insert(answered["x-request-id"].to_str().unwrap().to_owned()), "an id each");
        assert!(!ids.contains("mine"));
        let forwarded = [("x-forwarded-proto", "https")];
        let (_, by_proxy, _) = world.send("10.0.0.1", method, path, &forwarded, "").await;
        assert_eq!(by_proxy["strict-transport-security"], "max-age=31536000");
        let (_, claimed, _) = world.send(HERE, method, path, &forwarded, "").await;
        assert!(!claimed.contains_key("strict-transport-security"), "anybody can claim it");
    }
}
