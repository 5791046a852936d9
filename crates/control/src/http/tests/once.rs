//! `Idempotency-Key`: what is sent again is done once.

use serde_json::{Value, json};

use super::{Answer, OPERATIONS, World, code, text};

impl World {
    async fn once(&self, token: &str, key: &str, path: &str, body: &Value) -> Answer {
        self.once_by(token, "POST", key, path, body).await
    }

    async fn once_by(
        &self,
        token: &str,
        method: &str,
        key: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let headers = [("idempotency-key", key)];
        self.ask_with(Some(token), method, path, &body.to_string(), &headers).await
    }

    async fn count(&self, token: &str, path: &str) -> usize {
        let listed = self.done(Some(token), "GET", path, &Value::Null).await;
        listed["items"].as_array().unwrap().len()
    }
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), code(answer))
}

#[tokio::test]
async fn a_repeat_gets_the_same_answer_and_makes_nothing() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (key, _) = world.key(&ada, &organization, "rotated").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let invitations = format!("/v1/organizations/{organization}/invitations");
    let new = json!({ "api": "main", "name": "ci", "permissions": ["read"] });
    let bob = json!({ "email": "bob@example.com", "role": "developer" });
    let rotate = json!({ "overlap_seconds": 60 });
    for (path, body, status) in [
        (&keys, new, 201),
        (&invitations, bob, 201),
        (&format!("/v1/keys/{key}/rotate"), rotate, 200),
    ] {
        let first = world.once(&ada, path, path, &body).await;
        assert_eq!(first.status.as_u16(), status, "{first:?}");
        world.wait(1);
        let revision = world.fixture.folder.store().revision().await.unwrap();
        let again = world.once(&ada, path, path, &body).await;
        assert_eq!(first, again);
        assert_eq!(world.fixture.folder.store().revision().await.unwrap(), revision);
    }
    assert_eq!(world.count(&ada, &keys).await, 2);
    assert_eq!(world.count(&ada, &invitations).await, 1);
}

#[tokio::test]
async fn an_operators_organization_is_made_once() {
    let world = World::new().await;
    let token = world.fixture.control().offer_setup(crate::fixture::NOW).await.unwrap().unwrap();
    let body = json!({
        "token": token.expose(), "email": "ops@example.com", "name": "Ops", "password": super::PASSWORD,
    });
    world.done(None, "POST", "/v1/setup", &body).await;
    let ops = world.log_in("ops").await;
    let body = json!({ "name": "Acme" });
    let first = world.once(&ops, "acme", "/v1/organizations", &body).await;
    assert_eq!(first, world.once(&ops, "acme", "/v1/organizations", &body).await);
    assert_eq!(world.count(&ops, "/v1/organizations").await, 1);
}

#[tokio::test]
async fn after_its_time_the_answer_is_gone_and_later_the_request_is_forgotten() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let body = json!({ "api": "main", "name": "ci", "permissions": ["read"] });
    let first = world.once(&ada, "a", &keys, &body).await;
    world.wait(15 * 60 - 1);
    assert_eq!(first, world.once(&ada, "a", &keys, &body).await);
    world.wait(1);
    let gone = world.once(&ada, "a", &keys, &body).await;
    assert_eq!(told(&gone), (409, "answer_gone"));
    assert!(text(&gone.body, "/detail").contains(&text(&first.body, "/id")), "{gone:?}");
    // Twelve hours end the session, not what is known of the request.
    world.wait(23 * 3600);
    let ada = world.log_in("ada").await;
    assert_eq!(told(&world.once(&ada, "a", &keys, &body).await), (409, "answer_gone"));
    world.wait(3600);
    let anew = world.once(&ada, "a", &keys, &body).await;
    assert_eq!(told(&anew), (409, "conflict"), "the name is taken: {anew:?}");
}

#[tokio::test]
async fn a_key_stands_for_one_request_of_one_caller() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, bob) = world.join(&ada, &organization, "bob", "developer").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let body = |name: &str| json!({ "api": "main", "name": name, "permissions": ["read"] });
    let made = world.once(&ada, "a", &keys, &body("one")).await;
    assert_eq!(made.status.as_u16(), 201);
    let another = (422, "idempotency_key_reused");
    assert_eq!(told(&world.once(&ada, "a", &keys, &body("two")).await), another);
    let rotate = format!("/v1/keys/{}/rotate", text(&made.body, "/id"));
    let other_path = world.once(&ada, "a", &rotate, &json!({ "overlap_seconds": 1 })).await;
    assert_eq!(told(&other_path), another);
    // Somebody else's is theirs; the same person's in another session is the same.
    assert_eq!(world.once(&bob, "a", &keys, &body("two")).await.status.as_u16(), 201);
    let elsewhere = world.log_in("ada").await;
    assert_eq!(world.once(&elsewhere, "a", &keys, &body("one")).await, made);
}

#[tokio::test]
async fn what_was_refused_may_be_mended_under_the_same_key() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    for body in [
        json!({ "api": "main", "name": "ci", "permissions": ["fly"] }),
        json!({ "api": "main", "name": "", "permissions": ["read"] }),
        json!({ "nonsense": true }),
    ] {
        assert_eq!(told(&world.once(&ada, "a", &keys, &body).await), (400, "invalid"), "{body}");
    }
    let body = json!({ "api": "main", "name": "ci", "permissions": ["read"] });
    assert_eq!(world.once(&ada, "a", &keys, &body).await.status.as_u16(), 201);
}

#[tokio::test]
async fn repeats_at_once_make_one_key() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let body = json!({ "api": "main", "name": "ci", "permissions": ["read"] });
    let ask = || world.once(&ada, "a", &keys, &body);
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    let done: Vec<_> =
        [&one, &two, &three].into_iter().filter(|answer| answer.status.as_u16() == 201).collect();
    let first = *done.first().unwrap();
    for answer in [&one, &two, &three] {
        assert!(answer == first || told(answer) == (409, "still_running"), "{answer:?}");
    }
    assert_eq!(&ask().await, first);
    assert_eq!(world.count(&ada, &keys).await, 1);

    // Nor do two servers on one store, which do not know of each other's requests.
    let other = super::World {
        router: super::router(super::Management::new(
            world.fixture.control(),
            std::sync::Arc::new(|| crate::fixture::NOW),
            super::Terms::default(),
        )),
        now: std::sync::Arc::default(),
        fixture: crate::fixture::Fixture::new().await,
    };
    let body = json!({ "api": "main", "name": "another", "permissions": ["read"] });
    let (here, there) =
        tokio::join!(world.once(&ada, "b", &keys, &body), other.once(&ada, "b", &keys, &body));
    assert_eq!((here.status.as_u16(), &here), (201, &there));
    assert_eq!(world.count(&ada, &keys).await, 2);
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_refused_and_none_is_needed() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let body = json!({ "api": "main", "name": "ci", "permissions": ["read"] });
    let text = body.to_string();
    for wrong in ["", " ", "a b", "a\tb", &"x".repeat(256)] {
        assert_eq!(told(&world.once(&ada, wrong, &keys, &body).await), (400, "invalid"), "{wrong}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
    let answer = world.ask_with(Some(&ada), "POST", &keys, &text, &twice).await;
    assert_eq!(told(&answer), (400, "invalid"));
    assert_eq!(world.once(&ada, &"x".repeat(255), &keys, &body).await.status.as_u16(), 201);
    let again = world.ask(Some(&ada), "POST", &keys, &text).await;
    assert_eq!(told(&again), (409, "conflict"));
}

/// A request of `dev`'s for a key, approved; its path.
async fn approved(world: &World, ada: &str, dev: &str, requests: &str) -> String {
    let body = json!({ "api": "asked", "name": "ci", "permissions": ["read"], "reason": "jobs" });
    let asked = world.once(dev, "ask", requests, &body).await;
    assert_eq!(asked.status.as_u16(), 201, "{asked:?}");
    assert_eq!(world.once(dev, "ask", requests, &body).await, asked);
    assert_eq!(world.count(ada, requests).await, 1);
    let path = format!("/v1/key-requests/{}", text(&asked.body, "/id"));
    assert_eq!(world.done(Some(dev), "GET", &path, &Value::Null).await, asked.body);
    world.done(Some(ada), "POST", &format!("{path}/approve"), &json!({})).await;
    path
}

#[tokio::test]
async fn a_claim_that_is_repeated_gets_the_same_secret_and_nobody_else_gets_it() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, dev) = world.join(&ada, &organization, "dev", "developer").await;
    let (_, admin) = world.join(&ada, &organization, "adm", "administrator").await;
    let (_, eve) = world.sign_up("eve").await;
    let requests = format!("/v1/organizations/{organization}/key-requests");
    let request = approved(&world, &ada, &dev, &requests).await;
    let path = format!("{request}/claim");
    let claim = async |token: &str, key: &str| {
        world.ask_with(Some(token), "POST", &path, "", &[("idempotency-key", key)]).await
    };
    let early = claim(&admin, "a").await;
    assert_eq!(told(&early), (403, "forbidden"), "who may not is not in the way of who may");
    let first = claim(&dev, "a").await;
    assert_eq!(first.status.as_u16(), 201, "{first:?}");
    let secret = text(&first.body, "/secret");
    world.wait(15 * 60 - 1);
    assert_eq!(claim(&dev, "a").await, first);
    let elsewhere = world.log_in("dev").await;
    assert_eq!(claim(&elsewhere, "a").await, first, "the same person in another session");
    assert_eq!(world.count(&ada, &format!("/v1/organizations/{organization}/keys")).await, 1);
    // Under the same key or another: nobody else, and nothing but a repeat.
    for (token, key, refused) in [
        (&ada, "a", (403, "forbidden")),
        (&admin, "a", (403, "forbidden")),
        (&eve, "a", (404, "not_found")),
        (&dev, "b", (409, "conflict")),
    ] {
        let answer = claim(token, key).await;
        assert_eq!(told(&answer), refused);
        assert!(!answer.body.to_string().contains(&secret));
    }
    let plain = world.ask(Some(&dev), "POST", &path, "").await;
    assert_eq!(told(&plain), (409, "conflict"));
    let headers = [("idempotency-key", "a")];
    let more = world.ask_with(Some(&dev), "POST", &path, "{}", &headers).await;
    assert_eq!(told(&more), (422, "idempotency_key_reused"), "with a body it is another request");
    world.wait(1);
    let gone = claim(&dev, "a").await;
    assert_eq!(told(&gone), (409, "answer_gone"));
    assert!(text(&gone.body, "/detail").contains(&text(&first.body, "/id")), "{gone:?}");
    assert!(!gone.body.to_string().contains(&secret));
}

#[tokio::test]
async fn a_claim_gives_what_is_kept_of_the_key() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, dev) = world.join(&ada, &organization, "dev", "developer").await;
    let requests = format!("/v1/organizations/{organization}/key-requests");
    let path = approved(&world, &ada, &dev, &requests).await;
    let mut claimed = world.done(Some(&dev), "POST", &format!("{path}/claim"), &Value::Null).await;
    let key = format!("/v1/keys/{}", text(&claimed, "/id"));
    let shown = world.done(Some(&dev), "GET", &key, &Value::Null).await;
    for name in ["secret", "secret_id", "secrets"] {
        claimed.as_object_mut().unwrap().shift_remove(name);
    }
    for (name, value) in claimed.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
}

#[tokio::test]
async fn no_database_file_holds_the_answer_in_the_clear() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let body = json!({ "api": "main", "name": "ci", "permissions": ["read"] });
    let made = world.once(&ada, "a", &keys, &body).await;
    let secret = text(&made.body, "/secret");
    let mut read = 0;
    for file in std::fs::read_dir(world.fixture.folder.path()).unwrap() {
        let Ok(bytes) = std::fs::read(file.unwrap().path()) else { continue };
        read += bytes.len();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the secret is in a file");
    }
    assert!(read > 10_000, "{read} bytes were read");
}

#[test]
fn every_answer_that_is_given_once_can_be_asked_for_again() {
    let document = serde_json::to_value(super::openapi()).unwrap();
    let taken: Vec<_> = OPERATIONS
        .iter()
        .filter(|row| {
            let operation = &document["paths"][row.1][row.0.to_lowercase()];
            let parameters = operation["parameters"].as_array();
            parameters.is_some_and(|all| all.iter().any(|one| one["name"] == "Idempotency-Key"))
        })
        .map(|row| row.1)
        .collect();
    for path in [
        "/v1/organizations",
        "/v1/organizations/{organization}/keys",
        "/v1/organizations/{organization}/invitations",
        "/v1/keys/{key}/rotate",
        "/v1/organizations/{organization}/key-requests",
        "/v1/key-requests/{key_request}/claim",
    ] {
        assert!(taken.contains(&path), "{path}");
    }
}
