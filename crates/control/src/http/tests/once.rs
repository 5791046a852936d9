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
    ] {
        assert!(taken.contains(&path), "{path}");
    }
}
