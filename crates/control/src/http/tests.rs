//! Every endpoint, asked by everybody who may not; and the way of a newcomer through all of them.
//!
//! [`operations`] is held against the API's own description: an endpoint without a line here fails the tests.

mod attacks;
mod audit_export;
mod cookies;
mod guesses;
mod listening;
mod logins;
mod management_keys;
mod once;
mod operations;
mod plans;
mod seams;
mod transfer;
mod world;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use self::{
    operations::{
        May::{self, Anybody, From, Hidden, Oneself, Operators},
        OPERATIONS,
        Role::{Administrator, Developer, Viewer},
    },
    world::{Answer, PASSWORD, Things, World, code, ours, text},
};
use super::{Access, Bounds, Management, Terms, openapi, router};
use crate::{
    Clock,
    fixture::{Fixture, NOW},
};

#[test]
fn the_description_is_the_committed_one() {
    let committed = include_str!("../../../../openapi.json");
    let now = openapi().to_pretty_json().unwrap();
    let how = "cargo run -p keyward-control --example openapi > openapi.json";
    assert!(committed.trim_end() == now, "the API has changed: {how}");
    let document: Value = serde_json::from_str(&now).unwrap();
    let names =
        now.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
    for name in names {
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is described");
    }
}

#[test]
fn every_event_is_described() {
    let document = serde_json::to_value(openapi()).unwrap();
    for kind in keyward_core::event::EventKind::ALL {
        let body = "/post/requestBody/content/application~1json/schema/properties";
        let properties = document["webhooks"][kind.as_str()].pointer(body).unwrap();
        assert_eq!(properties["type"]["enum"], serde_json::json!([kind.as_str()]));
        let data = properties["data"]["$ref"].as_str().unwrap();
        let name = data.strip_prefix("#/components/schemas/").unwrap();
        assert!(document["components"]["schemas"][name]["properties"].is_object(), "{name}");
    }
}

#[test]
fn every_endpoint_is_in_the_table() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut described = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} says what it does");
            described.push(format!("{} {path}", method.to_uppercase()));
            let open = operation.get("security").is_none_or(|security| security[0] == json!({}));
            let row =
                OPERATIONS.iter().find(|row| row.0.eq_ignore_ascii_case(method) && row.1 == path);
            assert_eq!(row.map(|row| row.3 == Anybody), Some(open), "{method} {path}");
        }
    }
    let mut tested: Vec<_> = OPERATIONS.iter().map(|row| format!("{} {}", row.0, row.1)).collect();
    described.sort();
    tested.sort();
    assert_eq!(tested, described);
}

#[tokio::test]
async fn who_shows_nothing_or_nonsense_is_told_to_log_in() {
    let world = World::new().await;
    let things = Things::nowhere();
    for (method, path, body, may) in OPERATIONS {
        let path = things.put_into(path);
        for token in [None, Some("kwses_nonsense"), Some("")] {
            let answer = world.ask(token, method, &path, body).await;
            let refused =
                (answer.status, code(&answer)) == (StatusCode::UNAUTHORIZED, "unauthenticated");
            let open = *may == Anybody
                && token.is_none()
                && (*method, path.as_str()) != ("POST", "/v1/sessions");
            assert_eq!(refused, !open, "{method} {path} {token:?}: {answer:?}");
            assert!(answer.status.is_success() || answer.kind == "application/problem+json");
        }
    }
}

#[tokio::test]
async fn who_belongs_elsewhere_gets_the_answer_for_what_is_nowhere() {
    let world = World::new().await;
    let ours = ours(&world).await;
    let (_, eve) = world.sign_up("eve").await;
    let nowhere = Things::nowhere();
    for (method, path, body, may) in OPERATIONS {
        // Plans are nobody's but who runs this Keyward's.
        if !path.contains('{') || ["/v1/sessions/{session}", "/v1/plans/{plan}"].contains(path) {
            assert!(matches!(may, Anybody | Oneself | Operators), "{method} {path}");
            continue;
        }
        let there = world.ask(Some(&eve), method, &ours.things.put_into(path), body).await;
        let none = world.ask(Some(&eve), method, &nowhere.put_into(path), body).await;
        assert_eq!(
            (there.status, code(&there)),
            (StatusCode::NOT_FOUND, "not_found"),
            "{method} {path}"
        );
        assert_eq!(ours.things.blot_out(&there), nowhere.blot_out(&none), "{method} {path}");
    }
    // One's own sessions are all there are: another's is not ended, and not told of.
    let path = ours.things.put_into("/v1/sessions/{session}");
    assert_eq!(world.ask(Some(&eve), "DELETE", &path, "").await.status, StatusCode::NO_CONTENT);
    let still = world.log_in("ada").await;
    let sessions = world.done(Some(&still), "GET", "/v1/sessions", &Value::Null).await;
    assert_eq!(sessions["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_role_that_is_too_low_is_forbidden() {
    let world = World::new().await;
    let ours = ours(&world).await;
    let askers = [
        (Viewer, &ours.viewer),
        (Developer, &ours.developer),
        (Administrator, &ours.administrator),
    ];
    for (role, token) in askers {
        for (method, path, body, may) in OPERATIONS {
            let path = ours.things.put_into(path);
            let refused = match may {
                From(least) if *least > role => (StatusCode::FORBIDDEN, "forbidden"),
                Operators => (StatusCode::FORBIDDEN, "forbidden"),
                Hidden if role < Administrator => (StatusCode::NOT_FOUND, "not_found"),
                From(_) | Hidden | Anybody | Oneself => continue,
            };
            let answer = world.ask(Some(token), method, &path, body).await;
            let told = (answer.status, code(&answer));
            assert_eq!(told, refused, "{role:?} {method} {path}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_how_it_would_be_right() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    for (method, path, body, status, told) in [
        ("GET", "/v1/nothing", "", 404, "openapi.json"),
        ("PUT", "/v1/account", "", 405, "openapi.json"),
        ("PUT", "/v1/account/password", r#"{"old":"x","new":"PASSWORD"}"#, 400, "old password"),
        ("POST", "/v1/sessions", "", 415, "application/json"),
        ("POST", "/v1/sessions", &"x".repeat(1 << 21), 413, "not read here"),
        ("GET", "/v1/account?verbose=1", "", 400, "no parameter `verbose`: this operation has no"),
        (
            "GET",
            &format!("{keys}?Limit=1"),
            "",
            400,
            "no parameter `Limit`: use some of after, api",
        ),
        ("GET", &format!("{keys}?limit=0"), "", 400, "1 to 1000"),
        ("GET", &format!("{keys}?limit=1001"), "", 400, "1 to 1000"),
        ("GET", &format!("{keys}?limit=1&limit=2"), "", 400, "limit"),
        ("POST", "/v1/sessions", "{", 400, "EOF"),
        ("POST", "/v1/sessions", r#"["a@b.c","x"]"#, 400, "no object"),
        ("POST", "/v1/sessions", r#"{"email":"a@b.c"}"#, 400, "password"),
        ("POST", "/v1/sessions", r#"{"email":"a","password":"x"}"#, 400, "name@example.com"),
        ("POST", "/v1/sessions", r#"{"email":"a@b.c","password":"x","role":"owner"}"#, 400, "role"),
        ("POST", &keys, r#"{"api":"main","name":"a","permissions":["fly"]}"#, 400, "use some of"),
        ("POST", &keys, r#"{"api":"none","name":"a"}"#, 400, "use one of main"),
        ("POST", &keys, r#"{"api":"main","name":"","permissions":["read"]}"#, 400, "1 to 100"),
        ("POST", &keys, r#"{"api":"main","name":"a","organization":"other"}"#, 400, "organization"),
        ("GET", &format!("{keys}?state=odd"), "", 400, "odd"),
        ("GET", &format!("{keys}?limit=a"), "", 400, "limit"),
        ("GET", "/v1/keys/key_odd", "", 404, "key_odd"),
        (
            "POST",
            "/v1/signup",
            r#"{"email":"x@b.c","name":"A","password":"short","organization":"O"}"#,
            400,
            "10 or more",
        ),
        (
            "POST",
            "/v1/signup",
            r#"{"email":"ada@example.com","name":"A","password":"PASSWORD","organization":"O"}"#,
            409,
            "log in",
        ),
    ] {
        let answer = world.ask(Some(&ada), method, path, body).await;
        let answer =
            if path == "/v1/sessions" { world.ask(None, method, path, body).await } else { answer };
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}: {answer:?}");
        assert!(text(&answer.body, "/detail").contains(told), "{method} {path} {body}: {answer:?}");
        assert_eq!(answer.body["status"], status);
        assert_eq!(answer.kind, "application/problem+json");
    }
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_explanation() {
    let world = World::new().await;
    let answer = world.ask(None, "GET", "/v1/account", "").await;
    let kind = text(&answer.body, "/type");
    let (path, place) = kind.split_once('#').unwrap();
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    let page = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains(&format!("\n## {place}\n")), "{page}");
}

#[tokio::test]
async fn a_newcomer_gets_from_the_console_to_a_revoked_key() {
    let world = World::new().await;
    let token = world.fixture.control().offer_setup(NOW).await.unwrap().unwrap();
    let operator = json!({
        "token": token.expose(), "email": "ops@example.com", "name": "Ops", "password": PASSWORD,
    });
    assert_eq!(world.done(None, "POST", "/v1/setup", &operator).await["operator"], true);
    let ops = world.log_in("ops").await;
    let acme = json!({ "id": "org_acme", "name": "Acme" });
    world.done(Some(&ops), "POST", "/v1/organizations", &acme).await;
    let (ada_id, ada) = world.join(&ops, "org_acme", "ada", "owner").await;
    let (_, dev) = world.join(&ada, "org_acme", "dev", "developer").await;
    let account = world.done(Some(&ada), "GET", "/v1/account", &Value::Null).await;
    assert_eq!(
        (text(&account, "/user/id"), text(&account, "/places/0/role")),
        (ada_id, "owner".into())
    );

    let path = "/v1/organizations/org_acme/keys";
    let body = json!({ "api": "main", "name": "ci", "preset": "Read-only" });
    let made = world.done(Some(&dev), "POST", path, &body).await;
    let secret = text(&made, "/secret");
    assert!(secret.starts_with("kw_"));
    let (key, first) = (text(&made, "/id"), text(&made, "/secret_id"));
    let listed =
        world.done(Some(&ada), "GET", &format!("{path}?limit=1&state=active"), &Value::Null).await;
    assert_eq!(
        (text(&listed, "/items/0/id"), listed.to_string().contains(&secret)),
        (key.clone(), false)
    );
    world.key(&ops, "org_acme", "made by who belongs to no organization").await;
    let overlap = json!({ "overlap_seconds": 3600 });
    let rotated = world.done(Some(&dev), "POST", &format!("/v1/keys/{key}/rotate"), &overlap).await;
    assert_ne!(text(&rotated, "/secret"), secret);
    assert_eq!(text(&rotated, "/secrets/0/state"), "retiring");
    let retire = format!("/v1/keys/{key}/secrets/{first}/retire");
    let retired = world.done(Some(&dev), "POST", &retire, &Value::Null).await;
    assert_eq!(text(&retired, "/secrets/0/state"), "expired");
    for (verb, state) in [("disable", "disabled"), ("enable", "active"), ("revoke", "revoked")] {
        let path = format!("/v1/keys/{key}/{verb}");
        assert_eq!(
            text(&world.done(Some(&ada), "POST", &path, &Value::Null).await, "/state"),
            state
        );
    }
    let shown = world.done(Some(&dev), "GET", &format!("/v1/keys/{key}"), &Value::Null).await;
    assert_eq!(text(&shown, "/state"), "revoked");

    let members =
        world.done(Some(&ada), "GET", "/v1/organizations/org_acme/members", &Value::Null).await;
    let member = format!("/v1/organizations/org_acme/members/{}", text(&members, "/items/1/id"));
    let role = json!({ "role": "administrator" });
    assert_eq!(
        text(&world.done(Some(&ada), "PATCH", &member, &role).await, "/role"),
        "administrator"
    );
    world.done(Some(&ada), "DELETE", &member, &Value::Null).await;
    assert_eq!(world.ask(Some(&dev), "GET", path, "").await.status, StatusCode::NOT_FOUND);
    world.done(Some(&dev), "DELETE", "/v1/sessions/current", &Value::Null).await;
    assert_eq!(
        world.ask(Some(&dev), "GET", "/v1/account", "").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_key_is_changed_found_and_told_of_in_the_audit_log() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, eve) = world.sign_up("eve").await;
    let (id, _) = world.key(&ada, &organization, "billing").await;
    let (other, _) = world.key(&ada, &organization, "search").await;
    let (foreign, _) =
        world.key(&eve, &text(&world.places(&eve).await, "/0/organization_id"), "eve's").await;
    let path = format!("/v1/keys/{id}");
    let update = json!({
        "tags": ["eu"], "metadata": { "team": "ledger" }, "expires_at": "2030-01-01T00:00:00Z",
        "rotation": { "after_days": 90 },
    });
    let updated = world.done(Some(&ada), "PATCH", &path, &update).await;
    assert_eq!(updated["metadata"]["team"], "ledger");
    let cleared = json!({ "expires_at": null, "tags": ["eu", "nightly"] });
    let cleared = world.done(Some(&ada), "PATCH", &path, &cleared).await;
    assert!(cleared["expires_at"].is_null() && cleared["metadata"]["team"] == "ledger");
    assert_eq!(cleared["rotation"]["after_days"], 90, "what is left out stays");
    let found = async |query: &str| -> Vec<String> {
        let path = format!("/v1/organizations/{organization}/keys?{query}");
        let page = world.done(Some(&ada), "GET", &path, &Value::Null).await;
        page["items"].as_array().unwrap().iter().map(|key| text(key, "/id")).collect()
    };
    for (query, expected) in [
        ("search=bill", vec![&id]),
        ("search=ledger%20bil", vec![&id]),
        ("tag=NIGHTLY", vec![&id]),
        ("environment=production", vec![&id, &other]),
        ("search=nothing", vec![]),
        ("unused_days=1", vec![]),
        ("ending_days=1", vec![]),
        (&format!("search={other}"), vec![&other]),
        (&format!("search={foreign}"), vec![]),
    ] {
        assert_eq!(found(query).await.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let named = json!({ "action": "disable", "keys": [other, id, foreign, id] });
    let bulk = format!("/v1/organizations/{organization}/keys/bulk");
    let items = world.done(Some(&ada), "POST", &bulk, &named).await;
    let told: Vec<_> = (0..4).map(|at| items["items"][at]["state"].as_str()).collect();
    assert_eq!(told, [Some("disabled"), Some("disabled"), None, Some("disabled")]);
    assert_eq!(items["items"][2]["error"]["code"], "not_found");
    let path = format!("/v1/organizations/{organization}/audit-entries?action=key.&limit=3");
    let page = world.done(Some(&ada), "GET", &path, &Value::Null).await;
    let entries = page["items"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| text(entry, "/action")).collect();
    assert_eq!((actions[0].as_str(), actions[1].as_str()), ("key.disable", "key.disable"));
    assert!(page["next"].is_string() && !page.to_string().contains(&foreign));
    assert_eq!(entries[0]["actor"]["address"], "0.0.0.0", "as far as it is known here");
    let path = format!("/v1/organizations/{organization}/audit-entries?subject={foreign}");
    assert_eq!(world.done(Some(&ada), "GET", &path, &Value::Null).await["items"], json!([]));
}

#[tokio::test]
async fn what_was_changed_since_it_was_seen_is_not_overwritten() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (key, _) = world.key(&ada, &organization, "one").await;
    for path in [format!("/v1/keys/{key}"), format!("/v1/organizations/{organization}")] {
        let tag = world.tag(&ada, &path).await;
        let change = async |name: &str, seen: &str| {
            world.change(&ada, &path, &json!({ "name": name }), seen).await
        };
        let changed = change("first", &tag).await;
        assert_eq!(changed.status, StatusCode::OK);
        let outdated = change("second", &tag).await;
        assert_eq!(
            (outdated.status, code(&outdated)),
            (StatusCode::PRECONDITION_FAILED, "outdated")
        );
        let tag = world.tag(&ada, &path).await;
        assert_eq!(tag, format!("\"{}\"", changed.body["revision"]));
        assert_eq!(change("second", &tag).await.body["name"], "second");
        assert_eq!(change("third", "*").await.body["name"], "third");
    }
}

#[tokio::test]
async fn nobody_makes_or_gets_a_key_that_has_more_than_their_role_may() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (bob_id, bob) = world.join(&ada, &organization, "bob", "developer").await;
    let path = format!("/v1/organizations/{organization}/keys");
    let body = |name: &str, permission: &str, owner: Option<&str>| {
        json!({ "api": "main", "name": name, "permissions": [permission], "owner": owner })
            .to_string()
    };
    let refused = async |who: &str, method: &str, path: &str, body: String| {
        let answer = world.ask(Some(who), method, path, &body).await;
        assert_eq!((answer.status, code(&answer)), (StatusCode::FORBIDDEN, "forbidden"), "{body}");
        assert!(text(&answer.body, "/detail").contains("`admin`"), "{answer:?}");
    };
    refused(&bob, "POST", &path, body("a", "admin", None)).await;
    refused(&ada, "POST", &path, body("a", "admin", Some(&bob_id))).await;
    let (own, _) = world.key(&bob, &organization, "bob's").await;
    let own = format!("/v1/keys/{own}");
    refused(&bob, "PATCH", &own, json!({ "permissions": ["admin"] }).to_string()).await;
    let made = world.ask(Some(&ada), "POST", &path, &body("a", "admin", None)).await;
    let hers = format!("/v1/keys/{}", text(&made.body, "/id"));
    refused(&ada, "PATCH", &hers, json!({ "owner": bob_id }).to_string()).await;
    let widened = json!({ "permissions": ["write"] });
    assert_eq!(
        world.done(Some(&bob), "PATCH", &own, &widened).await["permissions"],
        json!(["write"])
    );
}

#[tokio::test]
async fn a_key_is_asked_for_and_claimed_without_the_approver_seeing_it() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, dev) = world.join(&ada, &organization, "dev", "developer").await;
    let (_, admin) = world.join(&ada, &organization, "adm", "administrator").await;
    let requests = format!("/v1/organizations/{organization}/key-requests");
    let body = json!({
        "api": "asked", "name": "ci", "permissions": ["admin"], "reason": "nightly jobs",
        "lifetime_seconds": 86_400, "allowed_networks": ["10.0.0.0/8"],
    });
    let asked = world.done(Some(&dev), "POST", &requests, &body).await;
    let path = format!("/v1/key-requests/{}", text(&asked, "/id"));
    let approve = json!({ "permissions": ["write"], "note": "writing is enough" });
    let approved = world.done(Some(&admin), "POST", &format!("{path}/approve"), &approve).await;
    let listed =
        world.done(Some(&admin), "GET", &format!("{requests}?state=approved"), &Value::Null).await;
    assert_eq!(listed["items"], json!([approved]));
    for other in [&ada, &admin] {
        let answer = world.ask(Some(other), "POST", &format!("{path}/claim"), "").await;
        assert_eq!((answer.status, code(&answer)), (StatusCode::FORBIDDEN, "forbidden"));
    }
    let claim = world.ask(Some(&dev), "POST", &format!("{path}/claim"), "").await;
    assert_eq!(claim.status, StatusCode::CREATED);
    let secret = text(&claim.body, "/secret");
    assert_eq!(claim.body["permissions"], json!(["write"]));
    let key = text(&claim.body, "/id");
    for path in [path.clone(), requests.clone(), format!("/v1/keys/{key}")] {
        let seen = world.done(Some(&admin), "GET", &path, &Value::Null).await.to_string();
        assert!(seen.contains(&key) && !seen.contains(&secret), "{seen}");
    }
    let again = world.ask(Some(&dev), "POST", &format!("{path}/claim"), "").await;
    assert_eq!((again.status, code(&again)), (StatusCode::CONFLICT, "conflict"));

    let wrong = r#"{"api":"asked","name":"x","permissions":["read"],"reason":"R","owner":"usr"}"#;
    assert_eq!(world.ask(Some(&dev), "POST", &requests, wrong).await.status.as_u16(), 400);
    let none = world
        .ask(
            Some(&dev),
            "POST",
            &requests,
            r#"{"api":"main","name":"x","permissions":["read"],"reason":"R"}"#,
        )
        .await;
    assert!(text(&none.body, "/detail").contains("need no request"), "{none:?}");
    for number in 1..20 {
        let body = json!({ "api": "asked", "name": format!("{number}"), "permissions": ["read"], "reason": "R" });
        world.done(Some(&dev), "POST", &requests, &body).await;
    }
    let full =
        world.ask(Some(&dev), "POST", &requests, &body.to_string().replace("ci", "last")).await;
    assert_eq!((full.status.as_u16(), code(&full)), (409, "limit_reached"));
}

#[tokio::test]
async fn who_may_not_sign_up_is_told_so() {
    let fixture = Fixture::new().await;
    let clock: Clock = Arc::new(|| NOW);
    let management = Management::new(fixture.control(), clock, Terms::default());
    let now = Arc::default();
    let world = World { router: router(management), now, fixture };
    let body = r#"{"email":"a@b.c","name":"A","password":"PASSWORD","organization":"O"}"#;
    let answer = world.ask(None, "POST", "/v1/signup", body).await;
    assert_eq!((answer.status, code(&answer)), (StatusCode::FORBIDDEN, "forbidden"));
}
