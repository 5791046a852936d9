//! The guides' own requests are permitted, and refused requests are answered in the guides' words: from the request to
//! the bytes, with nothing between them but the decision.

use keyward_core::{
    key::KeyState,
    profile::{RefusalContext, RenderedRefusal},
};

use crate::world::{self, Ask, World, moment};

/// How the request is refused.
fn answer(ask: &Ask<'_>) -> RenderedRefusal {
    let profile = &ask.api().profile;
    let context = RefusalContext {
        request_id: "abc-123-def",
        now: moment("2025-12-22T15:30:00Z"),
        method: &ask.method,
        path: &ask.path,
        header: profile.key_header(),
        problem: false,
    };
    profile.refusals.render(&ask.denied(), &context)
}

#[test]
fn every_demo_s_own_example_is_permitted_to_its_own_key() {
    let world = World::new();
    for name in ["aiaas", "anthropic", "anunzi", "freddy", "generic", "mindo", "openai"] {
        let demo = world.api(name).profile.demo.clone().unwrap();
        let permissions: Vec<_> = demo.permissions.iter().map(String::as_str).collect();
        let made = world.key(name, &permissions);
        for host in &demo.hosts {
            let url = format!("https://{host}{}", demo.example.path);
            let mut ask = world.request(&demo.example.method, &url).with(&made);
            ask.body = demo.example.body.clone().map(String::into_bytes);
            assert_eq!(ask.permitted(), made.key.id, "{name}");
        }
    }
}

#[test]
fn the_guides_requests_are_permitted() {
    let world = World::new();
    for (api, permissions, method, url, body) in [
        ("anunzi", "assistants:read", "GET", "https://api.anunzi.net/v2/assistants", None),
        (
            "anunzi",
            "assistants:write",
            "POST",
            "https://api.anunzi.net/v2/assistants",
            Some("{\n  \"model_id\": \"151531531x15361351\",\n  \"name\": \"Test Assistant\"\n}"),
        ),
        (
            "generic",
            "read",
            "POST",
            "https://api.example.com/v1/generate",
            Some(
                "{\n        \"prompt\": \"Hello, world!\",\n        \"model\": \"gpt-4\"\n      }",
            ),
        ),
        (
            "freddy",
            "responses:write",
            "POST",
            "https://api.aitronos.com/v1/model/response",
            Some(
                "{\n    \"organization_id\": \"org_your_org_id\",\n    \"model\": \"gpt-4o\",\n    \"inputs\": [{\"role\": \"user\", \"content\": \"Hello!\"}]\n  }",
            ),
        ),
        (
            "mindo",
            "business-accounts:read",
            "GET",
            "https://api.mindosoftware.com/api/v1/business-accounts/",
            None,
        ),
        (
            "aiaas",
            "inference:write",
            "POST",
            "https://api.example.com/v1/inference",
            Some(r#"{"model": "gpt-4", "prompt": "Hello"}"#),
        ),
    ] {
        let made = world.key(api, &[permissions]);
        let mut ask = world.request(method, url).with(&made);
        ask.body = body.map(|body| body.as_bytes().to_vec());
        assert_eq!(ask.permitted(), made.key.id, "{api}");
        // And with no permission at all they are not.
        let powerless = world.key(api, &[]);
        ask.headers.clear();
        assert_eq!(answer(&ask.with(&powerless)).status, 403, "{api}");
    }
}

#[test]
fn anunzi_is_refused_in_the_words_of_its_table() {
    let world = World::new();
    let ask = || world.request("GET", "https://api.anunzi.net/v2/assistants");
    let unauthorized = r#"{"status":401,"error":"Unauthorized","message":"Missing or incorrect API Key.","action":"Ensure the Authorization: Bearer API_KEY header is included correctly."}"#;
    let forbidden = r#"{"status":403,"error":"Forbidden","message":"You do not have permission to access this resource.","action":"Contact the Anunzi team."}"#;
    let bad_request = r#"{"status":400,"error":"Bad Request","message":"The request contains errors or invalid parameters.","action":"Check and correct the data sent."}"#;
    let not_found = r#"{"status":404,"error":"Not Found","message":"The requested resource does not exist.","action":"Verify that the endpoint and IDs are correct."}"#;
    let revoked = world.key_with("anunzi", &[], |key, _| key.state = KeyState::Revoked);
    assert_eq!(answer(&ask()).body, unauthorized);
    assert_eq!(answer(&ask().with_text("YOUR_API_KEY")).body, unauthorized);
    assert_eq!(answer(&ask().with(&revoked)).body, unauthorized);
    assert_eq!(answer(&ask().with(&world.key("anunzi", &["calls:read"]))).body, forbidden);
    let made = world.key("anunzi", &["assistants:write"]);
    let nowhere = world.request("GET", "https://api.anunzi.net/v2/nowhere").with(&made);
    assert_eq!(answer(&nowhere).body, not_found);
    let create = || world.request("POST", "https://api.anunzi.net/v2/assistants").with(&made);
    assert_eq!(answer(&create().body(r#"{"name":"Test Assistant"}"#)).body, bad_request);
    let foreign = create().body(r#"{"model_id":"999999999x99999999"}"#);
    assert_eq!(answer(&foreign).body, forbidden);
}

#[test]
fn generic_names_the_key_by_its_id_or_a_fingerprint_in_the_same_shape() {
    let world = World::new();
    let ask = || world.request("POST", "https://api.example.com/v1/generate");
    let invalid = |id: &str| {
        format!(
            r#"{{"success":false,"error":{{"code":"INVALID_API_KEY","message":"The provided API key is invalid","details":{{"key_id":"{id}"}}}}}}"#
        )
    };
    let revoked = world.key_with("generic", &[], |key, _| key.state = KeyState::Revoked);
    assert_eq!(answer(&ask().with(&revoked)).body, invalid(&revoked.key.id.to_string()));
    let unknown = world.well_formed("generic");
    let fingerprint = world.snapshot.peppers().current().fingerprint(unknown.as_bytes());
    assert_eq!(answer(&ask().with_text(&unknown)).body, invalid(&fingerprint.to_string()));

    let expired = world.key_with("generic", &[], |key, _| {
        key.expires_at = Some(moment("2024-01-01T00:00:00Z"));
    });
    assert_eq!(
        answer(&ask().with(&expired)).body,
        r#"{"success":false,"error":{"code":"EXPIRED_API_KEY","message":"The API key has expired","details":{"expired_at":"2024-01-01T00:00:00Z"}}}"#
    );
    assert_eq!(
        answer(&ask()).body,
        r#"{"success":false,"error":{"code":"MISSING_API_KEY","message":"API key is required","details":{"header":"Authorization"}}}"#
    );
    assert_eq!(
        answer(&ask().with(&world.key("generic", &["webhook"]))).body,
        r#"{"success":false,"error":{"code":"INSUFFICIENT_PERMISSIONS","message":"The API key does not have the required permission","details":{"required":"read"}}}"#
    );
}

#[test]
fn freddy_answers_every_bad_key_alike() {
    let world = World::new();
    let ask = || world.request("GET", "https://api.aitronos.com/v1/models");
    let expected = r#"{"success":false,"error":{"code":"INVALID_API_KEY","message":"The API key provided is invalid or has expired.","system_message":"API key validation failed","type":"client_error","status":401,"details":{},"trace_id":"abc-123-def","timestamp":"2025-12-22T15:30:00Z"}}"#;
    let revoked = world.key_with("freddy", &[], |key, _| key.state = KeyState::Revoked);
    let expired = world.key_with("freddy", &[], |key, _| key.expires_at = Some(moment(world::NOW)));
    for bad in [
        ask(),
        ask().with_text("ak_your_api_key_here"),
        // The guide's own example, a character longer than its text says.
        ask().with_text("ak_1234567890abcdef1234567890abcdef12345678"),
        ask().with_text(&world.well_formed("freddy")),
        ask().with(&revoked),
        ask().with(&expired),
    ] {
        let answer = answer(&bad);
        assert_eq!((answer.status, &*answer.body), (401, expected));
    }
    let foreign = world
        .request("POST", "https://api.aitronos.com/v1/model/response")
        .with(&world.key("freddy", &["responses:write"]))
        .body(r#"{"organization_id":"org_other"}"#);
    assert_eq!(
        answer(&foreign).body,
        r#"{"success":false,"error":{"code":"INSUFFICIENT_PERMISSIONS","message":"You don't have permission to access this resource.","system_message":"Insufficient permissions for this operation","type":"client_error","status":403,"details":{},"trace_id":"abc-123-def","timestamp":"2025-12-22T15:30:00Z"}}"#
    );
}

#[test]
fn mindo_answers_in_spanish() {
    let world = World::new();
    let ask = || world.request("GET", "https://api.mindosoftware.com/api/v1/business-accounts/");
    let revoked = world.key_with("mindo", &[], |key, _| key.state = KeyState::Revoked);
    let expired = world.key_with("mindo", &[], |key, _| key.expires_at = Some(moment(world::NOW)));
    for (ask, status, detail) in [
        (ask(), 401, "Este endpoint requiere autenticacion con API Key (header X-API-Key)"),
        (ask().with(&expired), 401, "API Key expirada"),
        (ask().with(&revoked), 401, "API Key expirada"),
        (ask().with(&world.key("mindo", &[])), 403, "API Key no tiene acceso a este recurso"),
        (ask().with_text("mindo_xxxxxxxxxxxxxxxxxxxxxxxx"), 401, "API Key invalida"),
        (ask().with_text("mindo_x"), 401, "API Key invalida"),
    ] {
        let answer = answer(&ask);
        assert_eq!((answer.status, answer.body), (status, format!(r#"{{"detail":"{detail}"}}"#)));
    }
}

#[test]
fn aiaas_names_the_scope_that_is_missing() {
    let world = World::new();
    let made = world.key("aiaas", &["inference:read"]);
    let ask = world
        .request("POST", "https://api.example.com/v1/inference")
        .with(&made)
        .body(r#"{"model": "gpt-4", "prompt": "Hello"}"#);
    let answer = answer(&ask);
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.body,
        r#"{"error":{"code":"insufficient_scope","message":"Insufficient permissions: the API key lacks the scope inference:write"}}"#
    );
    let challenge = answer.headers.iter().find(|(name, _)| name == "www-authenticate").unwrap();
    assert!(challenge.1.ends_with(r#"error="insufficient_scope", scope="inference:write""#));
}
