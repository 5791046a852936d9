//! Plans, prices and limits over the API: states, mistakes, and who sees what.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{PASSWORD, World, code, text};

/// An operator, and the owner of an organization.
async fn people(world: &World) -> (String, String, String) {
    let token = world.fixture.control().offer_setup(crate::fixture::NOW).await.unwrap().unwrap();
    let operator = json!({
        "token": token.expose(), "email": "ops@example.com", "name": "Ops", "password": PASSWORD,
    });
    world.done(None, "POST", "/v1/setup", &operator).await;
    let (organization, ada) = world.sign_up("ada").await;
    (world.log_in("ops").await, organization, ada)
}

fn rate(amount: u64) -> Value {
    json!({ "name": "requests", "kind": "rate", "amount": amount, "window_seconds": 60 })
}

#[tokio::test]
async fn a_plan_is_made_changed_as_it_was_seen_and_put_to_use() {
    let world = World::new().await;
    let (ops, organization, ada) = people(&world).await;
    let path = "/v1/plans/Big%20one";
    let made = world.done(Some(&ops), "PUT", path, &json!({ "limits": [rate(5)] })).await;
    assert_eq!((text(&made, "/name"), made["organizations"].clone()), ("Big one".into(), json!(0)));
    assert_eq!(made["limits"][0]["unit"], "requests");
    let seen = world.tag(&ops, path).await;
    let put = async |seen: &str, limits: Value| {
        let body = json!({ "limits": limits }).to_string();
        world.ask_with(Some(&ops), "PUT", path, &body, &[("if-match", seen)]).await
    };
    assert_eq!(put(&seen, json!([rate(6)])).await.status, StatusCode::OK);
    assert_eq!(code(&put(&seen, json!([rate(7)])).await), "outdated");
    for (limits, told) in [
        (json!([rate(1), rate(2)]), "two limits are called `requests`"),
        (json!([{ "name": "a", "kind": "rate", "amount": 1 }]), "write `window_seconds`"),
        (json!([{ "name": "a", "kind": "budget", "amount": 1 }]), "write its amount as text"),
        (json!([{ "name": "a", "kind": "budget", "amount": "-1" }]), "amount that is none"),
        (
            json!([{ "name": "a", "kind": "concurrency", "amount": 1.5 }]),
            "an amount is a whole number",
        ),
        (
            json!([{ "name": "a", "kind": "concurrency", "amount": -1 }]),
            "an amount is a whole number",
        ),
        (json!([{ "name": "a", "kind": "dream", "amount": 1 }]), "unknown variant `dream`"),
        (json!([{ "name": "a", "kind": "concurrency", "amount": 1, "window": 1 }]), "window"),
        (json!((0..21).map(|_| rate(1)).collect::<Vec<_>>()), "at most 20"),
    ] {
        let answer = put("*", limits).await;
        assert_eq!(code(&answer), "invalid", "{answer:?}");
        assert!(text(&answer.body, "/detail").contains(told), "{told}: {answer:?}");
    }

    let own = format!("/v1/organizations/{organization}");
    let update = json!({ "plan": "BIG ONE", "limits": [rate(3)] });
    let updated = world.done(Some(&ops), "PATCH", &own, &update).await;
    assert_eq!(
        (text(&updated, "/plan"), updated["limits"][0]["amount"].clone()),
        ("BIG ONE".into(), json!(3))
    );
    let seen = world.done(Some(&ada), "GET", &own, &Value::Null).await;
    assert_eq!(seen["plan"], "BIG ONE", "members see it");
    let plans = world.done(Some(&ada), "GET", &format!("{own}/plans"), &Value::Null).await;
    assert_eq!(plans["items"][0]["apis"], json!(["main", "staff", "asked"]));
    let refused = world.ask(Some(&ada), "PATCH", &own, r#"{"plan":null}"#).await;
    assert_eq!(code(&refused), "forbidden");
    let refused = world.ask(Some(&ops), "DELETE", path, "").await;
    assert_eq!(code(&refused), "conflict");
    world.done(Some(&ops), "PATCH", &own, &json!({ "plan": null, "limits": [] })).await;
    world.done(Some(&ops), "DELETE", path, &Value::Null).await;
    assert_eq!(code(&world.ask(Some(&ops), "GET", path, "").await), "not_found");
}

#[tokio::test]
async fn a_price_is_set_and_forgotten_by_a_model_with_a_slash() {
    let world = World::new().await;
    let (ops, ..) = people(&world).await;
    let body = json!({ "model": "org/large*", "input": "2.5", "most_output": 16384 });
    let made = world.done(Some(&ops), "PUT", "/v1/prices", &body).await;
    assert_eq!((text(&made, "/input"), made["cached"].is_null()), ("2.50".into(), true));
    let wrong = json!({ "model": "org/large*", "input": "cheap" }).to_string();
    let refused = world.ask(Some(&ops), "PUT", "/v1/prices", &wrong).await;
    assert!(text(&refused.body, "/detail").contains("`input` is no price"), "{refused:?}");
    let gone = "/v1/prices?model=org%2Flarge*";
    let seen = format!("\"{}\"", made["revision"].as_u64().unwrap() - 1);
    let outdated = world.ask_with(Some(&ops), "DELETE", gone, "", &[("if-match", &seen)]).await;
    assert_eq!(code(&outdated), "outdated");
    world.done(Some(&ops), "DELETE", gone, &Value::Null).await;
    assert_eq!(code(&world.ask(Some(&ops), "DELETE", gone, "").await), "not_found");
    assert_eq!(code(&world.ask(Some(&ops), "DELETE", "/v1/prices", "").await), "invalid");
}

#[tokio::test]
async fn a_keys_limits_are_set_shown_and_told_of_in_the_audit_log() {
    let world = World::new().await;
    let (_, organization, ada) = people(&world).await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let body = json!({ "api": "main", "name": "a", "permissions": ["read"], "limits": [rate(5)] });
    let made = world.done(Some(&ada), "POST", &keys, &body).await;
    assert_eq!(made["limits"][0]["amount"], 5);
    let path = format!("/v1/keys/{}", text(&made, "/id"));
    let changed = world.done(Some(&ada), "PATCH", &path, &json!({ "limits": [rate(6)] })).await;
    assert_eq!(changed["limits"][0]["amount"], 6);
    let kept = world.done(Some(&ada), "PATCH", &path, &json!({ "name": "b" })).await;
    assert_eq!(kept["limits"][0]["amount"], 6, "what is left out stays");
    let log = format!("/v1/organizations/{organization}/audit-entries?action=key.update&limit=2");
    let log = world.done(Some(&ada), "GET", &log, &Value::Null).await;
    assert_eq!(log["items"][1]["before"]["limits"][0]["amount"], 5);
    assert_eq!(log["items"][1]["after"]["limits"][0]["amount"], 6);
}
