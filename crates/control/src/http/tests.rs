//! Every endpoint, asked by everybody who may not; and the way of a newcomer through all of them.
//!
//! [`OPERATIONS`] is held against the API's own description: an endpoint without a line here fails the tests.

mod attacks;
mod cookies;
mod guesses;
mod listening;
mod logins;
mod management_keys;
mod once;
mod seams;
mod transfer;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
    response::Response,
};
use keyward_core::time::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Access, Bounds, Management, Terms, client::Connected, openapi, router};
use crate::{
    Clock,
    fixture::{Fixture, NOW},
};

const PASSWORD: &str = "correct horse battery";

/// Who may, of those who belong to the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    /// Everybody, known or not.
    Anybody,
    /// Whoever logged in.
    Oneself,
    /// Those whose role is at least this.
    From(Role),
    /// Those who run this Keyward.
    Operators,
    /// Those who see it; below administrator that is who made it, here somebody else. To others it is not there.
    Hidden,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Viewer,
    Developer,
    Administrator,
    Owner,
}

use May::{Anybody, From, Hidden, Oneself, Operators};
use Role::{Administrator, Developer, Owner, Viewer};

/// Method, path, a good body, and who may. `{…}` stand for things of the organization `ours`.
const OPERATIONS: &[(&str, &str, &str, May)] = &[
    (
        "POST",
        "/v1/setup",
        r#"{"token":"x","email":"a@b.c","name":"A","password":"PASSWORD"}"#,
        Anybody,
    ),
    (
        "POST",
        "/v1/signup",
        r#"{"email":"new@b.c","name":"A","password":"PASSWORD","organization":"O"}"#,
        Anybody,
    ),
    ("POST", "/v1/sessions", r#"{"email":"a@b.c","password":"x"}"#, Anybody),
    ("POST", "/v1/invitations/accept", r#"{"token":"x"}"#, Anybody),
    ("GET", "/v1/sessions/openid", "", Anybody),
    ("GET", "/v1/sessions/openid/{provider}/start", "", Anybody),
    ("GET", "/v1/sessions/openid/{provider}/callback", "", Anybody),
    ("GET", "/v1/account", "", Oneself),
    ("PUT", "/v1/account/password", r#"{"old":"PASSWORD","new":"PASSWORD"}"#, Oneself),
    ("GET", "/v1/sessions", "", Oneself),
    ("DELETE", "/v1/sessions/{session}", "", Oneself),
    ("GET", "/v1/organizations", "", Oneself),
    ("POST", "/v1/organizations", r#"{"name":"O"}"#, Operators),
    ("GET", "/v1/organizations/{organization}", "", From(Viewer)),
    ("PATCH", "/v1/organizations/{organization}", r#"{"name":"O"}"#, From(Owner)),
    ("POST", "/v1/organizations/{organization}/suspend", "", Operators),
    ("POST", "/v1/organizations/{organization}/resume", "", Operators),
    ("GET", "/v1/organizations/{organization}/model-ids", "", From(Viewer)),
    ("POST", "/v1/organizations/{organization}/model-ids", "{}", Operators),
    ("DELETE", "/v1/organizations/{organization}/model-ids/{model}", "", Operators),
    ("GET", "/v1/organizations/{organization}/audit-entries", "", From(Administrator)),
    ("GET", "/v1/audit-entries", "", Operators),
    ("GET", "/v1/audit-proof", "", Operators),
    ("GET", "/v1/organizations/{organization}/members", "", From(Viewer)),
    (
        "PATCH",
        "/v1/organizations/{organization}/members/{user}",
        r#"{"role":"viewer"}"#,
        From(Administrator),
    ),
    ("DELETE", "/v1/organizations/{organization}/members/{user}", "", From(Administrator)),
    ("GET", "/v1/organizations/{organization}/invitations", "", From(Administrator)),
    (
        "POST",
        "/v1/organizations/{organization}/invitations",
        r#"{"email":"n@b.c","role":"viewer"}"#,
        From(Administrator),
    ),
    ("DELETE", "/v1/invitations/{invitation}", "", From(Administrator)),
    ("GET", "/v1/organizations/{organization}/keys", "", From(Viewer)),
    (
        "POST",
        "/v1/organizations/{organization}/keys",
        r#"{"api":"main","name":"another","permissions":["read"]}"#,
        From(Developer),
    ),
    ("POST", "/v1/organizations/{organization}/keys/import", "name\n", From(Administrator)),
    ("GET", "/v1/organizations/{organization}/keys/export", "", From(Viewer)),
    (
        "POST",
        "/v1/organizations/{organization}/keys/bulk",
        r#"{"action":"disable","keys":["key_00000000000000000000000000"]}"#,
        From(Developer),
    ),
    ("GET", "/v1/keys/{key}", "", From(Viewer)),
    ("PATCH", "/v1/keys/{key}", r#"{"tags":["eu"]}"#, From(Administrator)),
    ("GET", "/v1/keys/{key}/receipt", "", From(Viewer)),
    ("POST", "/v1/keys/{key}/disable", "", From(Administrator)),
    ("POST", "/v1/keys/{key}/enable", "", From(Administrator)),
    ("POST", "/v1/keys/{key}/rotate", r#"{"overlap_seconds":60}"#, From(Administrator)),
    ("POST", "/v1/keys/{key}/secrets/{secret}/retire", "", From(Administrator)),
    ("POST", "/v1/keys/{key}/revoke", "", From(Administrator)),
    ("GET", "/v1/organizations/{organization}/key-requests", "", From(Viewer)),
    (
        "POST",
        "/v1/organizations/{organization}/key-requests",
        r#"{"api":"asked","name":"another","permissions":["read"],"reason":"R"}"#,
        From(Developer),
    ),
    ("GET", "/v1/key-requests/{key_request}", "", Hidden),
    ("POST", "/v1/key-requests/{key_request}/approve", "{}", Hidden),
    ("POST", "/v1/key-requests/{key_request}/deny", r#"{"reason":"R"}"#, Hidden),
    ("POST", "/v1/key-requests/{key_request}/withdraw", "", Hidden),
    ("POST", "/v1/key-requests/{key_request}/claim", "", Hidden),
];

struct World {
    router: Router,
    now: Arc<AtomicU64>,
    fixture: Fixture,
}

/// An answer, read to its end.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    kind: String,
    body: Value,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let status = response.status();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let kind = response.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap());
        let kind = kind.to_owned();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let mut body = if bytes.is_empty() { Value::Null } else { read(&kind, &bytes) };
        if kind == "application/problem+json" {
            let told = body.as_object_mut().unwrap().shift_remove("request_id");
            assert_eq!(told, Some(id.into()));
        }
        Self { status, kind, body }
    }
}

/// What is no JSON is text.
fn read(kind: &str, bytes: &[u8]) -> Value {
    match kind.contains("json") && !kind.contains("ndjson") {
        true => serde_json::from_slice(bytes).unwrap(),
        false => Value::String(String::from_utf8(bytes.to_vec()).unwrap()),
    }
}

impl World {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let now = Arc::new(AtomicU64::new(NOW.as_millis()));
        let read = now.clone();
        let clock: Clock = Arc::new(move || Timestamp::from_millis(read.load(Ordering::SeqCst)));
        let management = Management::new(fixture.control(), clock, Terms { sign_up: true });
        Self { router: router(management), now, fixture }
    }

    /// Lets time pass.
    fn wait(&self, secs: u64) {
        self.now.fetch_add(secs * 1000, Ordering::SeqCst);
    }

    /// With other terms of access.
    async fn with(access: Access) -> Self {
        let fixture = Fixture::new().await;
        let clock: Clock = Arc::new(|| NOW);
        let management = Management::new(fixture.control(), clock, Terms { sign_up: true });
        let management = management.reached_by(access, Bounds::default());
        Self { router: router(management), now: Arc::default(), fixture }
    }

    /// As it comes from a browser at `localhost`, or from wherever else the headers say.
    async fn send(
        &self,
        from: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, HeaderMap, Value) {
        let mut request = Request::builder().method(method).uri(path);
        let peer = from.parse().unwrap();
        request = request.extension(Connected { peer, tls: false });
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Body::from(body.replace("PASSWORD", PASSWORD))).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (head.status, head.headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn ask(&self, token: Option<&str>, method: &str, path: &str, body: &str) -> Answer {
        self.ask_with(token, method, path, body, &[]).await
    }

    /// The same with more headers.
    async fn ask_with(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Body::from(body.replace("PASSWORD", PASSWORD))).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store", "{method} {path}");
        Answer::of(response).await
    }

    /// Does what must succeed.
    async fn done(&self, token: Option<&str>, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask(token, method, path, &body).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
        answer.body
    }

    async fn log_in(&self, name: &str) -> String {
        let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        text(&self.done(None, "POST", "/v1/sessions", &body).await, "/token")
    }

    /// Signs up, and gives the organization and a session.
    async fn sign_up(&self, name: &str) -> (String, String) {
        let email = format!("{name}@example.com");
        let body =
            json!({ "email": email, "name": name, "password": PASSWORD, "organization": name });
        let made = self.done(None, "POST", "/v1/signup", &body).await;
        (text(&made, "/organization/id"), self.log_in(name).await)
    }

    /// Invites somebody new; gives their id and a session.
    async fn join(&self, by: &str, organization: &str, name: &str, role: &str) -> (String, String) {
        let path = format!("/v1/organizations/{organization}/invitations");
        let body = json!({ "email": format!("{name}@example.com"), "role": role });
        let invited = self.done(Some(by), "POST", &path, &body).await;
        let body = json!({ "token": text(&invited, "/token"), "name": name, "password": PASSWORD });
        let joined = self.done(None, "POST", "/v1/invitations/accept", &body).await;
        (text(&joined, "/user/id"), self.log_in(name).await)
    }

    /// Where whoever asks belongs.
    async fn places(&self, by: &str) -> Value {
        self.done(Some(by), "GET", "/v1/account", &Value::Null).await["places"].clone()
    }

    /// The state that a thing is in.
    async fn tag(&self, by: &str, path: &str) -> String {
        let request = Request::builder().uri(path).header("authorization", format!("Bearer {by}"));
        let request = request.body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        response.headers()["etag"].to_str().unwrap().to_owned()
    }

    /// Changes a thing that was seen in a state.
    async fn change(&self, by: &str, path: &str, body: &Value, seen: &str) -> Answer {
        let request = Request::builder()
            .method("PATCH")
            .uri(path)
            .header("authorization", format!("Bearer {by}"))
            .header("content-type", "application/json")
            .header("if-match", seen);
        let request = request.body(Body::from(body.to_string())).unwrap();
        Answer::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// A key of whoever asks, and its secret.
    async fn key(&self, by: &str, organization: &str, name: &str) -> (String, String) {
        let path = format!("/v1/organizations/{organization}/keys");
        let body = json!({ "api": "main", "name": name, "permissions": ["read"] });
        let made = self.done(Some(by), "POST", &path, &body).await;
        (text(&made, "/id"), text(&made, "/secret_id"))
    }
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {value}")).to_owned()
}

/// Things to ask for, in place of a path's parameters.
struct Things(Vec<(&'static str, String)>);

impl Things {
    fn put_into(&self, path: &str) -> String {
        self.0.iter().fold(path.to_owned(), |path, (name, id)| path.replace(name, id))
    }

    /// An answer without the ids that were asked for.
    fn blot_out(&self, answer: &Answer) -> (StatusCode, String, String) {
        let body = self
            .0
            .iter()
            .fold(answer.body.to_string(), |body, (name, id)| body.replace(id.as_str(), name));
        (answer.status, answer.kind.clone(), body)
    }

    /// Such as nothing has.
    fn nowhere() -> Self {
        let none = "0".repeat(26);
        Self(vec![
            ("{organization}", "org_nowhere".to_owned()),
            ("{user}", format!("usr_{none}")),
            ("{invitation}", format!("inv_{none}")),
            ("{key}", format!("key_{none}")),
            ("{secret}", format!("sec_{none}")),
            ("{session}", format!("ses_{none}")),
            ("{model}", "000000000x00000000".to_owned()),
            ("{key_request}", format!("krq_{none}")),
        ])
    }
}

/// An organization with somebody of each role, and all that can be asked for in it.
struct Ours {
    owner: String,
    viewer: String,
    developer: String,
    administrator: String,
    things: Things,
}

async fn ours(world: &World) -> Ours {
    let (organization, owner) = world.sign_up("ada").await;
    let (_, viewer) = world.join(&owner, &organization, "vic", "viewer").await;
    let (_, developer) = world.join(&owner, &organization, "dev", "developer").await;
    let (_, administrator) = world.join(&owner, &organization, "ann", "administrator").await;
    let (user, _) = world.join(&owner, &organization, "bob", "developer").await;
    let path = format!("/v1/organizations/{organization}/invitations");
    let body = json!({ "email": "open@example.com", "role": "viewer" });
    let invited = world.done(Some(&owner), "POST", &path, &body).await;
    let (key, secret) = world.key(&owner, &organization, "ada's").await;
    let sessions = world.done(Some(&owner), "GET", "/v1/sessions", &Value::Null).await;
    let path = format!("/v1/organizations/{organization}/key-requests");
    let body =
        json!({ "api": "asked", "name": "ada's", "permissions": ["read"], "reason": "jobs" });
    let asked = world.done(Some(&owner), "POST", &path, &body).await;
    let things = Things(vec![
        ("{organization}", organization),
        ("{user}", user),
        ("{invitation}", text(&invited, "/id")),
        ("{key}", key),
        ("{secret}", secret),
        ("{session}", text(&sessions, "/items/0/id")),
        ("{model}", "123456789x12345678".to_owned()),
        ("{key_request}", text(&asked, "/id")),
    ]);
    Ours { owner, viewer, developer, administrator, things }
}

fn code(answer: &Answer) -> &str {
    answer.body.pointer("/code").and_then(Value::as_str).unwrap_or("none")
}

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
        if !path.contains('{') || *path == "/v1/sessions/{session}" {
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
