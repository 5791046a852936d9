//! What somebody tried who meant no good.

use serde_json::{Value, json};

use super::{World, code};

#[tokio::test]
async fn lists_that_a_gateway_looks_through_are_bounded() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let networks = |count: usize| (0..count).map(|n| format!("10.0.{n}.0/24")).collect::<Vec<_>>();
    let models = |count: usize| (0..count).map(|n| format!("model-{n}")).collect::<Vec<_>>();
    for (networks, models, status) in [
        (networks(101), models(1), 400),
        (networks(1), models(501), 400),
        (networks(100), models(500), 201),
    ] {
        let body = json!({
            "api": "main", "name": "many", "permissions": ["read"],
            "allowed_networks": networks, "allowed_models": models,
        });
        let answer = world.ask(Some(&ada), "POST", &keys, &body.to_string()).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    }
}

#[tokio::test]
async fn nobody_comes_under_an_address_that_cannot_be_read_again() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let body = json!({ "email": "\u{130}@example.com", "role": "viewer" });
    let path = format!("/v1/organizations/{organization}/invitations");
    let answer = world.ask(Some(&ada), "POST", &path, &body.to_string()).await;
    assert_eq!((answer.status.as_u16(), code(&answer)), (400, "invalid"));
    world.done(Some(&ada), "GET", &path, &Value::Null).await;
}

#[tokio::test]
async fn names_that_read_like_others_are_refused() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    for name in ["ci\u{200b}", "\u{202e}ic", "ci ", " "] {
        let body = json!({ "api": "main", "name": name, "permissions": ["read"] });
        let answer = world.ask(Some(&ada), "POST", &keys, &body.to_string()).await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (400, "invalid"), "{name:?}");
    }
    for name in ["ключ", "鍵 1", "clé d’Ada", "👩\u{200d}💻"] {
        let body = json!({ "api": "main", "name": name, "permissions": ["read"] });
        world.done(Some(&ada), "POST", &keys, &body).await;
    }
}

#[tokio::test]
async fn a_cursor_from_elsewhere_is_answered_like_one_from_nowhere() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (elsewhere, eve) = world.sign_up("eve").await;
    let (hers, _) = world.key(&ada, &organization, "hers").await;
    let nowhere = format!("key_{}", "0".repeat(26));
    let mut told = Vec::new();
    for after in [&hers, &nowhere] {
        let path = format!("/v1/organizations/{elsewhere}/keys?after={after}");
        let answer = world.ask(Some(&eve), "GET", &path, "").await;
        assert_eq!(answer.status.as_u16(), 404);
        told.push(answer.body.to_string().replace(after.as_str(), ""));
    }
    assert_eq!(told.first(), told.last());
}

#[tokio::test]
async fn an_authorization_that_is_not_ours_is_refused_and_not_overlooked() {
    let world = World::new().await;
    let (_, ada) = world.sign_up("ada").await;
    let good = format!("Bearer {ada}");
    let body = json!({ "email": "ada@example.com", "password": super::PASSWORD }).to_string();
    let basic = ("authorization", "Basic YTpi");
    for headers in [
        vec![basic],
        vec![("authorization", good.as_str()), basic],
        vec![basic, ("authorization", good.as_str())],
        vec![("authorization", good.as_str()), ("authorization", good.as_str())],
        vec![("authorization", "")],
        vec![("authorization", ada.as_str())],
    ] {
        for (method, path, body) in
            [("GET", "/v1/account", ""), ("POST", "/v1/sessions", body.as_str())]
        {
            let answer = world.ask_with(None, method, path, body, &headers).await;
            assert_eq!(answer.status.as_u16(), 401, "{method} {path} {headers:?}");
        }
    }
    let twice = [("authorization", "bEaReR x"), ("authorization", good.as_str())];
    assert_eq!(world.ask_with(None, "GET", "/v1/account", "", &twice).await.status.as_u16(), 401);
    let any_case = format!("bEaReR {ada}");
    let once = [("authorization", any_case.as_str())];
    assert_eq!(world.ask_with(None, "GET", "/v1/account", "", &once).await.status.as_u16(), 200);
}

#[tokio::test]
async fn numbers_at_their_ends_are_refused_in_words() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (key, _) = world.key(&ada, &organization, "ci").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let rotate = format!("/v1/keys/{key}/rotate");
    for overlap in ["18446744073709551615", "31622401", "-1", "1e30", "0.5", "null", "\"1\""] {
        let body = format!("{{\"overlap_seconds\":{overlap}}}");
        let answer = world.ask(Some(&ada), "POST", &rotate, &body).await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (400, "invalid"), "{overlap}");
    }
    for end in [
        "9999-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "-009999-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "+99999999-01-01T00:00:00Z",
        "2027-02-30T00:00:00Z",
        "never",
        "",
    ] {
        let body =
            json!({ "api": "main", "name": "x", "permissions": ["read"], "expires_at": end });
        let answer = world.ask(Some(&ada), "POST", &keys, &body.to_string()).await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (400, "invalid"), "{end}: {answer:?}");
    }
    for limit in ["0", "4294967295", "4294967296", "-1", "1.0"] {
        let answer = world.ask(Some(&ada), "GET", &format!("{keys}?limit={limit}"), "").await;
        assert_eq!(answer.status.as_u16(), 400, "{limit}");
    }
}
