//! What must open nothing, whoever says it.

use super::{provider::Signature, *};

const REFUSED: &str = "login_refused";

/// A meeting in which a login as bob would succeed.
async fn with_bob() -> Meeting {
    let meeting = Meeting::new().await;
    meeting.invite("ada", "bob@example.com").await;
    meeting
}

fn bob(changed: &Value) -> Value {
    let mut claims = json!({ "sub": "b-1", "email": "bob@example.com", "email_verified": true });
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[tokio::test]
async fn a_token_that_says_something_else_than_it_must_opens_nothing() {
    let meeting = with_bob().await;
    let now = NOW.as_secs();
    let issuer = meeting.provider.issuer.clone();
    for changed in [
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "nonce": "" }),
        json!({ "aud": "another client" }),
        json!({ "aud": ["another client"] }),
        json!({ "aud": null }),
        json!({ "aud": [CLIENT, "another client"] }),
        json!({ "azp": "another client" }),
        json!({ "aud": [CLIENT, "another client"], "azp": "another client" }),
        json!({ "iss": "https://evil.example" }),
        json!({ "iss": format!("{issuer}/") }),
        json!({ "iss": [issuer] }),
        json!({ "exp": now - 61 }),
        json!({ "exp": null }),
        json!({ "exp": "tomorrow" }),
        json!({ "iat": now + 120 }),
        json!({ "nbf": now + 120 }),
        json!({ "email_verified": false }),
        json!({ "email_verified": null }),
        json!({ "email_verified": "false" }),
        json!({ "email_verified": 1 }),
        json!({ "email": null }),
        json!({ "email": "no address" }),
        json!({ "sub": null }),
    ] {
        meeting.provider.says(bob(&changed));
        let refused = meeting.log_in_as_told().await;
        let code = refused.expect_err(&changed.to_string());
        // Without an address in it, one is asked for elsewhere, and there is none.
        let elsewhere = changed == json!({ "email": null }) && code == "unavailable";
        assert!(code == REFUSED || elsewhere, "{changed}: {code}");
        meeting.move_on();
    }
    for signature in [
        Signature::Foreign,
        Signature::Shared(SECRET),
        Signature::Shared(""),
        Signature::PublicKey,
        Signature::None,
        Signature::Tampered,
    ] {
        meeting.provider.says(bob(&json!({})));
        meeting.provider.set(|said| said.signature = signature);
        assert_eq!(meeting.log_in_as_told().await, Err(REFUSED.to_owned()), "{signature:?}");
    }
    meeting.provider.set(|said| said.signature = Signature::Own);
    meeting.provider.says(bob(&json!({ "aud": [CLIENT, "another client"], "azp": CLIENT })));
    meeting.log_in_as_told().await.expect("what was refused was refused for its reason");
}

#[tokio::test]
async fn a_login_ends_once_and_in_the_browser_that_began_it() {
    let meeting = with_bob().await;
    meeting.provider.says(bob(&json!({})));
    let refused = async |cookie: &str, query: &str| {
        let (status, _, body) = meeting.end(cookie, query).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{query}");
        assert_eq!(text(&body, "/code"), REFUSED, "{query}");
    };
    let other = meeting.begin().await;
    let away = meeting.begin().await;
    let good = format!("code=good&state={}", away.state);
    refused("", &good).await;
    refused(&other.cookie, &good).await;
    refused(&away.cookie, &format!("code=good&state={}", other.state)).await;
    for query in ["code=good", "code=good&state=", "state="] {
        refused(&away.cookie, query).await;
    }
    // A cookie's time and provider are its own; what it is good for ends with them.
    let until = (NOW.as_secs() + 600).to_string();
    refused(&away.cookie.replace(&until, "1"), &good).await;
    refused(&away.cookie.replace(".company.", ".other."), &good).await;
    for nonsense in ["x", "a.b.c", "....", "a.1.company.Lw"] {
        refused(&format!("__Host-keyward_login={nonsense}"), &good).await;
    }
    let (status, ..) = meeting.end(&away.cookie, &good).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    refused(&away.cookie, &good).await;
}

#[tokio::test]
async fn a_login_that_took_too_long_is_begun_again() {
    let meeting = with_bob().await;
    meeting.provider.says(bob(&json!({})));
    let away = meeting.begin().await;
    meeting.pass(600);
    let (_, _, body) = meeting.end(&away.cookie, &format!("code=good&state={}", away.state)).await;
    assert_eq!(text(&body, "/code"), REFUSED);
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_none() {
    let meeting = with_bob().await;
    meeting.provider.says(bob(&json!({})));
    for (iss, announced) in [("https%3A%2F%2Fevil.example", false), ("", true)] {
        let field = "authorization_response_iss_parameter_supported";
        meeting.provider.set(|said| said.metadata[field] = json!(announced));
        meeting.pass(3600);
        let away = meeting.begin().await;
        let iss = if iss.is_empty() { String::new() } else { format!("&iss={iss}") };
        let query = format!("code=good&state={}{iss}", away.state);
        let (_, _, body) = meeting.end(&away.cookie, &query).await;
        assert_eq!(text(&body, "/code"), REFUSED);
        assert!(text(&body, "/detail").contains("another issuer") != announced, "{body}");
    }
    // What the provider refuses is told, in its word and without what it could smuggle in.
    let away = meeting.begin().await;
    let iss =
        form_urlencoded::byte_serialize(meeting.provider.issuer.as_bytes()).collect::<String>();
    let query = format!("error=access_denied%0a&state={}&iss={iss}", away.state);
    let (_, _, body) = meeting.end(&away.cookie, &query).await;
    assert!(text(&body, "/detail").contains("(access_denied)"), "{body}");
    let away = meeting.begin().await;
    let query = format!("code=stolen&state={}&iss={iss}", away.state);
    let (_, _, body) = meeting.end(&away.cookie, &query).await;
    assert!(text(&body, "/detail").contains("does not take its code"), "{body}");
}

#[tokio::test]
async fn a_browser_is_sent_back_to_a_path_of_ours_and_nowhere_else() {
    let meeting = Meeting::new().await;
    for foreign in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%5C%5Cevil.example",
        "%2Fa%5Cb",
        "evil.example",
        "",
        "%2Fa%0d%0aSet-Cookie%3Ax",
        "%2F%09%2Fevil.example",
        "javascript%3Aalert(1)",
        &format!("%2F{}", "a".repeat(512)),
    ] {
        let path = format!("/v1/sessions/openid/company/start?return_to={foreign}");
        let (status, headers, body) = meeting.get(&path, "").await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (400, Some("invalid")), "{foreign}");
        assert!(!headers.contains_key("set-cookie"));
    }
    // A cookie's path is looked at again.
    let away = meeting.begin().await;
    let (rest, _) = away.cookie.rsplit_once('.').unwrap();
    let forged = format!("{rest}.{}", "Ly9ldmlsLmV4YW1wbGU"); // //evil.example
    let (_, headers, body) = meeting.end(&forged, &format!("code=good&state={}", away.state)).await;
    assert_eq!(text(&body, "/code"), REFUSED);
    assert!(!headers.contains_key("location"));
    // Where it is not known where we are, nobody is sent away to come back to it.
    let path = "/v1/sessions/openid/company/start";
    let elsewhere = [("host", "evil.example")];
    let (status, ..) = meeting.world.send("127.0.0.1", "GET", path, &elsewhere, "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_provider_that_calls_itself_something_else_is_none() {
    for (field, value) in [
        ("issuer", "https://evil.example"),
        ("token_endpoint", "http://evil.example/token"),
        ("jwks_uri", "file:///etc/passwd"),
    ] {
        let meeting = Meeting::new().await;
        meeting.provider.set(|said| said.metadata[field] = json!(value));
        let (status, headers, body) = meeting.get("/v1/sessions/openid/company/start", "").await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (503, Some("unavailable")), "{field}");
        assert!(!headers.contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn wrong_logins_are_throttled() {
    let meeting = Meeting::new().await;
    for count in 0..22 {
        let (status, ..) = meeting.end("", "code=x&state=y").await;
        assert_eq!(status.as_u16(), if count < 21 { 403 } else { 429 });
    }
}
