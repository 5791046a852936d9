//! Programs with management keys: every endpoint asked by one that may too little and by one from elsewhere, and all that a key must
//! not come to by what it makes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{May, OPERATIONS, Things, World, code, ours, text};

/// What a key that may `keys:read` and nothing else may ask for.
const FOR_KEY_READERS: &[(&str, &str)] = &[
    ("GET", "/v1/organizations/{organization}/keys"),
    ("GET", "/v1/keys/{key}"),
    ("GET", "/v1/keys/{key}/receipt"),
    ("GET", "/v1/keys/{key}/limits"),
    ("GET", "/v1/organizations/{organization}/keys/export"),
    // Those of who answers for it.
    ("GET", "/v1/organizations/{organization}/key-requests"),
    ("GET", "/v1/key-requests/{key_request}"),
    // It sees those it may see: none.
    ("GET", "/v1/organizations"),
];

impl World {
    /// A management key of whoever asks; its secret and id.
    async fn management_key(
        &self,
        by: &str,
        organization: &str,
        permissions: &[&str],
    ) -> (String, String) {
        let name = format!("{} {}", permissions.join(" "), by.len() + permissions.len());
        let body = json!({ "api": "keyward", "name": name, "permissions": permissions });
        let path = format!("/v1/organizations/{organization}/keys");
        let made = self.done(Some(by), "POST", &path, &body).await;
        (text(&made, "/secret"), text(&made, "/id"))
    }

    async fn status(&self, token: &str, method: &str, path: &str, body: &Value) -> u16 {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(Some(token), method, path, &body).await.status.as_u16()
    }

    /// Somebody who runs this Keyward.
    pub(super) async fn operator(&self) -> String {
        let token = self.fixture.control().offer_setup(crate::fixture::NOW).await.unwrap().unwrap();
        let body = json!({
            "token": token.expose(), "email": "ops@example.com", "name": "Ops", "password": super::PASSWORD,
        });
        self.done(None, "POST", "/v1/setup", &body).await;
        self.log_in("ops").await
    }
}

#[tokio::test]
async fn a_key_that_may_too_little_is_forbidden() {
    let world = World::new().await;
    let ours = ours(&world).await;
    let organization = ours.things.put_into("{organization}");
    let (secret, _) = world.management_key(&ours.owner, &organization, &["keys:read"]).await;
    assert!(secret.starts_with("kwm_"));
    for (method, path, body, _) in OPERATIONS {
        let answer = world.ask(Some(&secret), method, &ours.things.put_into(path), body).await;
        let told = (answer.status, code(&answer));
        match FOR_KEY_READERS.contains(&(method, path)) {
            true => assert_eq!(answer.status, StatusCode::OK, "{method} {path}: {answer:?}"),
            false => {
                assert_eq!(
                    told,
                    (StatusCode::FORBIDDEN, "forbidden"),
                    "{method} {path}: {answer:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_key_from_elsewhere_gets_the_answer_for_what_is_nowhere() {
    let world = World::new().await;
    let ours = ours(&world).await;
    let (elsewhere, eve) = world.sign_up("eve").await;
    let everything = [
        "organization:write",
        "members:write",
        "keys:write",
        "requests:decide",
        "usage:read",
        "audit:read",
    ];
    let (secret, _) = world.management_key(&eve, &elsewhere, &everything).await;
    let nowhere = Things::nowhere();
    for (method, path, body, may) in OPERATIONS {
        if !matches!(may, May::From(_)) {
            continue;
        }
        let there = world.ask(Some(&secret), method, &ours.things.put_into(path), body).await;
        let none = world.ask(Some(&secret), method, &nowhere.put_into(path), body).await;
        let told = (there.status, code(&there));
        assert_eq!(told, (StatusCode::NOT_FOUND, "not_found"), "{method} {path}");
        assert_eq!(ours.things.blot_out(&there), nowhere.blot_out(&none), "{method} {path}");
    }
}

#[tokio::test]
async fn what_was_told_to_a_webhook_is_shown_to_who_may_read_the_audit_log() {
    let world = World::new().await;
    let ours = ours(&world).await;
    let organization = ours.things.put_into("{organization}");
    let delivery = ours.things.put_into("/v1/webhook-deliveries/{delivery}");
    for (permissions, is_shown) in
        [(&["webhooks:write"][..], false), (&["webhooks:read", "audit:read"][..], true)]
    {
        let (secret, _) = world.management_key(&ours.owner, &organization, permissions).await;
        let shown = world.done(Some(&secret), "GET", &delivery, &Value::Null).await;
        assert!(shown["id"].is_string());
        assert_eq!(shown["payload"]["type"].is_string(), is_shown, "{permissions:?}: {shown}");
    }
}

#[tokio::test]
async fn a_program_makes_and_revokes_keys_until_its_own_is_revoked() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (secret, id) = world.management_key(&ada, &organization, &["keys:write"]).await;
    let (key, _) = world.key(&secret, &organization, "made by a program").await;
    let account = world.done(Some(&ada), "GET", "/v1/account", &Value::Null).await;
    let path =
        format!("/v1/organizations/{organization}/keys?owner={}", text(&account, "/user/id"));
    let hers = world.done(Some(&ada), "GET", &path, &Value::Null).await;
    assert_eq!(hers["items"].as_array().unwrap().len(), 2, "what her key makes is hers");
    let revoke = |key: &str| format!("/v1/keys/{key}/revoke");
    assert_eq!(world.status(&secret, "POST", &revoke(&key), &Value::Null).await, 200);
    let shown = world.done(Some(&ada), "GET", &format!("/v1/keys/{id}"), &Value::Null).await;
    assert!(shown["secrets"][0]["last_used_at"].is_string(), "{shown}");

    world.done(Some(&ada), "POST", &revoke(&id), &Value::Null).await;
    let refused = world.ask(Some(&secret), "GET", &path, "").await;
    assert_eq!((refused.status.as_u16(), code(&refused)), (401, "unauthenticated"));
    let log = world.fixture.control();
    let context = crate::fixture::at(crate::fixture::NOW);
    let entries =
        log.list_audit_entries(&context, &Default::default(), None, 10).await.unwrap().items;
    let by_key = entries.iter().find(|entry| entry.actor.kind == "key").unwrap();
    assert_eq!(by_key.actor.key_id.as_ref(), Some(&id));
    assert!(by_key.actor.name.starts_with("keys:write"), "{by_key:?}");
}

#[tokio::test]
async fn a_key_is_refused_by_its_state_its_time_its_secret_its_network_and_its_organization() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let make = async |more: Value| {
        let mut body = json!({ "api": "keyward", "preset": "Read-only", "name": more.to_string() });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = world.done(Some(&ada), "POST", &keys, &body).await;
        (text(&made, "/secret"), text(&made, "/id"))
    };
    let ask = async |secret: &str| {
        let answer = world.ask(Some(secret), "GET", &keys, "").await;
        (answer.status.as_u16(), code(&answer).to_owned())
    };
    let unknown = (401, "unauthenticated".to_owned());
    let forbidden = (403, "forbidden".to_owned());

    let (secret, id) = make(json!({})).await;
    assert_eq!(ask(&secret).await.0, 200);
    for (verb, status) in [("disable", 401), ("enable", 200)] {
        world.done(Some(&ada), "POST", &format!("/v1/keys/{id}/{verb}"), &Value::Null).await;
        assert_eq!(ask(&secret).await.0, status, "{verb}");
    }
    let overlap = json!({ "overlap_seconds": 60 });
    let rotate = format!("/v1/keys/{id}/rotate");
    let rotated = text(&world.done(Some(&ada), "POST", &rotate, &overlap).await, "/secret");
    assert_eq!((ask(&secret).await.0, ask(&rotated).await.0), (200, 200));

    let end = crate::fixture::NOW.plus(std::time::Duration::from_secs(3600)).to_string();
    let (short, _) = make(json!({ "expires_at": end })).await;
    let (elsewhere, _) = make(json!({ "allowed_networks": ["198.51.100.0/24"] })).await;
    // Requests of these tests come from no address.
    let (here, _) = make(json!({ "allowed_networks": ["0.0.0.0/32"] })).await;
    assert_eq!(ask(&short).await.0, 200);
    assert_eq!(ask(&elsewhere).await, forbidden);
    assert_eq!(ask(&here).await.0, 200);
    world.wait(3600);
    assert_eq!(ask(&short).await, unknown);
    assert_eq!((ask(&secret).await, ask(&rotated).await.0), (unknown.clone(), 200));

    let (_, of_main) = {
        let body = json!({ "api": "main", "name": "main", "permissions": ["admin"] });
        let made = world.done(Some(&ada), "POST", &keys, &body).await;
        (text(&made, "/id"), text(&made, "/secret"))
    };
    assert_eq!(ask(&of_main).await, unknown, "a key of another API opens nothing here");
    for nonsense in ["kwm_", "kwm_0000000000000000000000000000000000000000000000000", "kwm_ü"] {
        assert_eq!(ask(nonsense).await, unknown, "{nonsense}");
    }
    let control = world.fixture.control();
    let context = crate::fixture::at(crate::fixture::NOW);
    control.suspend_organization(&context, &organization.parse().unwrap()).await.unwrap();
    assert_eq!(ask(&rotated).await, forbidden);
    control.resume_organization(&context, &organization.parse().unwrap()).await.unwrap();
    assert_eq!(ask(&rotated).await.0, 200);
}

#[tokio::test]
async fn a_key_is_no_more_than_its_owner_is_now() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (bob_id, bob) = world.join(&ada, &organization, "bob", "administrator").await;
    let (secret, _) =
        world.management_key(&bob, &organization, &["keys:write", "members:write"]).await;
    let members = format!("/v1/organizations/{organization}/members");
    let keys = format!("/v1/organizations/{organization}/keys");
    let member = format!("{members}/{bob_id}");
    let (hers, _) = world.key(&ada, &organization, "hers").await;
    let disable = format!("/v1/keys/{hers}/disable");
    assert_eq!(world.status(&secret, "POST", &disable, &Value::Null).await, 200);
    for (role, may_write, may_read) in [("developer", 403, 200), ("viewer", 401, 401)] {
        world.done(Some(&ada), "PATCH", &member, &json!({ "role": role })).await;
        let enable = format!("/v1/keys/{hers}/enable");
        assert_eq!(world.status(&secret, "POST", &enable, &Value::Null).await, may_write, "{role}");
        assert_eq!(world.status(&secret, "GET", &keys, &Value::Null).await, may_read, "{role}");
    }
    world.done(Some(&ada), "DELETE", &member, &Value::Null).await;
    assert_eq!(world.status(&secret, "GET", &keys, &Value::Null).await, 401);
}

#[tokio::test]
async fn nobody_comes_to_rights_by_a_key_that_they_do_not_have() {
    let world = World::new().await;
    let ops = world.operator().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (bob_id, bob) = world.join(&ada, &organization, "bob", "administrator").await;
    let (_, dev) = world.join(&ada, &organization, "dev", "developer").await;
    let (strong, strong_id) =
        world.management_key(&ada, &organization, &["organization:write", "keys:write"]).await;
    let (weak, weak_id) =
        world.management_key(&ada, &organization, &["keys:write", "members:write"]).await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let make = |permission: &str| json!({ "api": "keyward", "name": permission, "permissions": [permission] });

    // To make one.
    for (who, token) in [("bob", &bob), ("weak", &weak)] {
        for beyond in ["organization:write", "operate"] {
            assert_eq!(
                world.status(token, "POST", &keys, &make(beyond)).await,
                403,
                "{who} {beyond}"
            );
        }
    }
    assert_eq!(world.status(&ada, "POST", &keys, &make("operate")).await, 403);
    assert_eq!(world.status(&dev, "POST", &keys, &make("keys:write")).await, 403);
    assert_eq!(world.status(&dev, "POST", &keys, &make("keys:own")).await, 201);
    assert_eq!(world.status(&weak, "POST", &keys, &make("usage:read")).await, 403);
    assert_eq!(world.status(&weak, "POST", &keys, &make("members:read")).await, 201);

    // To get a secret of one, or to wake one.
    let rotate = |key: &str| format!("/v1/keys/{key}/rotate");
    let overlap = json!({ "overlap_seconds": 0 });
    let verb = |key: &str, verb: &str| format!("/v1/keys/{key}/{verb}");
    world.done(Some(&ada), "POST", &verb(&strong_id, "disable"), &Value::Null).await;
    for (who, token) in [("bob", &bob), ("weak", &weak)] {
        assert_eq!(world.status(token, "POST", &rotate(&strong_id), &overlap).await, 403, "{who}");
        let enable = verb(&strong_id, "enable");
        assert_eq!(world.status(token, "POST", &enable, &Value::Null).await, 403, "{who}");
    }
    world.done(Some(&ada), "POST", &verb(&strong_id, "enable"), &Value::Null).await;
    assert_eq!(world.status(&strong, "GET", &keys, &Value::Null).await, 200);
    assert_eq!(world.status(&bob, "POST", &rotate(&weak_id), &overlap).await, 403, "it is Ada's");
    assert_eq!(world.status(&ada, "POST", &rotate(&weak_id), &overlap).await, 200);

    // By a role that it gives. `weak` was rotated away.
    let (weak, _) = world.management_key(&ada, &organization, &["members:write"]).await;
    let invitations = format!("/v1/organizations/{organization}/invitations");
    for role in ["viewer", "administrator", "owner"] {
        let body = json!({ "email": "mallory@example.com", "role": role });
        assert_eq!(world.status(&weak, "POST", &invitations, &body).await, 403, "{role}");
    }
    let inviting = ["members:write", "organization:read", "keys:read", "usage:read"];
    let (inviting, _) = world.management_key(&ada, &organization, &inviting).await;
    let body = json!({ "email": "vic@example.com", "role": "viewer" });
    assert_eq!(world.status(&inviting, "POST", &invitations, &body).await, 201);
    let member = format!("/v1/organizations/{organization}/members/{bob_id}");
    assert_eq!(world.status(&inviting, "DELETE", &member, &Value::Null).await, 403);

    // Even who runs this Keyward gives `operate` to keys that nobody owns alone.
    let owned =
        json!({ "api": "keyward", "name": "owned", "permissions": ["operate"], "owner": bob_id });
    let owned = text(&world.done(Some(&ops), "POST", &keys, &owned).await, "/secret");
    assert_eq!(world.status(&owned, "POST", "/v1/organizations", &json!({})).await, 403);
    let operating = text(&world.done(Some(&ops), "POST", &keys, &make("operate")).await, "/secret");
    let second = world.done(Some(&operating), "POST", "/v1/organizations", &json!({})).await;
    let elsewhere = format!("/v1/organizations/{}/keys", text(&second, "/id"));
    let nobodys = json!({ "api": "main", "name": "nobody's", "permissions": ["read"] });
    assert_eq!(world.status(&operating, "POST", &elsewhere, &nobodys).await, 201);
}

#[tokio::test]
async fn what_a_bounded_key_makes_is_bounded_like_it() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let at = |secs| crate::fixture::NOW.plus(std::time::Duration::from_secs(secs)).to_string();
    let body = json!({
        "api": "keyward", "name": "bounded", "permissions": ["keys:write"],
        "expires_at": at(3600), "allowed_networks": ["0.0.0.0/24"],
    });
    let bounded = world.done(Some(&ada), "POST", &keys, &body).await;
    let (id, bounded) = (text(&bounded, "/id"), text(&bounded, "/secret"));
    for (end, network, status) in [
        (None, Some("0.0.0.0/32"), 400),
        (Some(at(3601)), Some("0.0.0.0/32"), 400),
        (Some(at(3600)), None, 400),
        (Some(at(3600)), Some("0.0.0.0/16"), 400),
        (Some(at(3600)), Some("0.0.0.0/32"), 201),
    ] {
        let networks: Vec<_> = network.into_iter().collect();
        let body = json!({
            "api": "keyward", "name": "another", "permissions": ["keys:read"],
            "expires_at": end, "allowed_networks": networks,
        });
        assert_eq!(world.status(&bounded, "POST", &keys, &body).await, status, "{body}");
    }
    let body = json!({ "api": "keyward", "name": "lasting", "permissions": ["keys:read"] });
    let lasting = text(&world.done(Some(&ada), "POST", &keys, &body).await, "/id");
    let overlap = json!({ "overlap_seconds": 0 });
    let rotate = |key: &str| format!("/v1/keys/{key}/rotate");
    assert_eq!(world.status(&bounded, "POST", &rotate(&lasting), &overlap).await, 400);
    // Keys of other APIs are no way back in; and itself it may renew.
    let body = json!({ "api": "main", "name": "lasting", "permissions": ["read"] });
    assert_eq!(world.status(&bounded, "POST", &keys, &body).await, 201);
    assert_eq!(world.status(&bounded, "POST", &rotate(&id), &overlap).await, 200);
}
