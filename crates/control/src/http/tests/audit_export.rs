//! The audit log as a whole: everything that may be seen, once, in one order.

use serde_json::{Value, json};

use super::{Answer, World, code, text};

async fn exported(world: &World, token: &str, path: &str) -> Vec<Value> {
    let Answer { status, kind, body } = world.ask(Some(token), "GET", path, "").await;
    assert_eq!((status.as_u16(), kind.as_str()), (200, "application/x-ndjson"), "{path}: {body}");
    let lines = body.as_str().unwrap_or_default();
    assert!(lines.is_empty() || lines.ends_with('\n'), "a last line is whole");
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn id(entry: &Value) -> u64 {
    entry["id"].as_u64().unwrap()
}

#[tokio::test]
async fn every_entry_of_an_organization_is_exported_once_newest_first_and_none_of_another() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, eve) = world.sign_up("eve").await;
    let (key, _) = world.key(&ada, &organization, "one").await;
    // More than a piece holds.
    let path = format!("/v1/keys/{key}");
    for number in 0..505 {
        world.done(Some(&ada), "PATCH", &path, &json!({ "name": format!("{number}") })).await;
    }
    let theirs = world.places(&eve).await;
    world.key(&eve, &text(&theirs, "/0/organization_id"), "eve's").await;
    let path = format!("/v1/organizations/{organization}/audit-entries/export");
    let entries = exported(&world, &ada, &path).await;
    assert!(entries.is_sorted_by(|newer, older| id(newer) > id(older)), "newest first, each once");
    let of = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((of("key.update"), of("key.create"), of("organization.sign_up")), (505, 1, 1));
    assert_eq!(entries.len(), 507);
    assert!(entries.iter().all(|entry| entry["organization_id"] == organization.as_str()));
    // Each line is what the list tells.
    let list = format!("/v1/organizations/{organization}/audit-entries?limit=1000");
    let listed = world.done(Some(&ada), "GET", &list, &Value::Null).await;
    assert_eq!(listed["items"], json!(entries));
}

#[tokio::test]
async fn an_export_is_narrowed_like_the_list_and_wrong_queries_are_told_of() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (key, _) = world.key(&ada, &organization, "one").await;
    world.key(&ada, &organization, "two").await;
    world.wait(10);
    world.done(Some(&ada), "POST", &format!("/v1/keys/{key}/revoke"), &Value::Null).await;
    let account = world.done(Some(&ada), "GET", "/v1/account", &Value::Null).await;
    let user = text(&account, "/user/id");
    let path = format!("/v1/organizations/{organization}/audit-entries/export");
    for (query, actions) in [
        ("action=key.", vec!["key.revoke", "key.create", "key.create"]),
        ("action=key.create", vec!["key.create", "key.create"]),
        (&format!("subject={key}"), vec!["key.revoke", "key.create"]),
        ("from=2027-01-15T08:00:05Z", vec!["key.revoke"]),
        ("until=2027-01-15T08:00:05Z&action=key.", vec!["key.create", "key.create"]),
        (&format!("user={user}&action=key.revoke"), vec!["key.revoke"]),
        ("action=nothing", vec![]),
    ] {
        let entries = exported(&world, &ada, &format!("{path}?{query}")).await;
        let told: Vec<_> = entries.iter().map(|entry| text(entry, "/action")).collect();
        assert_eq!(told, actions, "{query}");
    }
    for query in ["limit=1", "after=1", "from=yesterday", "subject=a%20b", "user=odd"] {
        let answer = world.ask(Some(&ada), "GET", &format!("{path}?{query}"), "").await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (400, "invalid"), "{query}");
    }
}

#[tokio::test]
async fn who_runs_this_keyward_exports_everything_and_no_line_holds_a_secret() {
    let world = World::new().await;
    let token = world.fixture.control().offer_setup(crate::fixture::NOW).await.unwrap().unwrap();
    let body = json!({
        "token": token.expose(), "email": "ops@example.com", "name": "Ops", "password": super::PASSWORD,
    });
    world.done(None, "POST", "/v1/setup", &body).await;
    let ops = world.log_in("ops").await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let new = json!({ "api": "main", "name": "ci", "permissions": ["read"] });
    let made = world.done(Some(&ada), "POST", &keys, &new).await;
    let entries = exported(&world, &ops, "/v1/audit-entries/export").await;
    let actions: Vec<_> = entries.iter().rev().map(|entry| text(entry, "/action")).collect();
    for action in ["setup.complete", "organization.sign_up", "session.start", "key.create"] {
        assert!(actions.iter().any(|one| one == action), "{action} in {actions:?}");
    }
    let all = json!(entries).to_string();
    for secret in [&text(&made, "/secret"), &ada, &ops, token.expose(), super::PASSWORD] {
        assert!(!all.contains(secret), "a secret is in {all}");
    }
}
