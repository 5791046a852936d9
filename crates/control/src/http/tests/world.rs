//! A management API on a store of its own, people who ask it, and things to ask for.

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

use super::super::{Access, Bounds, Management, Terms, client::Connected, router};
use crate::{
    Clock,
    fixture::{Fixture, NOW},
};

pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) struct World {
    pub(super) router: Router,
    pub(super) now: Arc<AtomicU64>,
    pub(super) fixture: Fixture,
}

/// An answer, read to its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: String,
    pub(super) body: Value,
}

impl Answer {
    pub(super) async fn of(response: Response) -> Self {
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
pub(super) fn read(kind: &str, bytes: &[u8]) -> Value {
    match kind.contains("json") && !kind.contains("ndjson") {
        true => serde_json::from_slice(bytes).unwrap(),
        false => Value::String(String::from_utf8(bytes.to_vec()).unwrap()),
    }
}

impl World {
    pub(super) async fn new() -> Self {
        let fixture = Fixture::new().await;
        let now = Arc::new(AtomicU64::new(NOW.as_millis()));
        let read = now.clone();
        let clock: Clock = Arc::new(move || Timestamp::from_millis(read.load(Ordering::SeqCst)));
        let management = Management::new(fixture.control(), clock, Terms { sign_up: true });
        Self { router: router(management), now, fixture }
    }

    /// Lets time pass.
    pub(super) fn wait(&self, secs: u64) {
        self.now.fetch_add(secs * 1000, Ordering::SeqCst);
    }

    /// With other terms of access.
    pub(super) async fn with(access: Access) -> Self {
        let fixture = Fixture::new().await;
        let clock: Clock = Arc::new(|| NOW);
        let management = Management::new(fixture.control(), clock, Terms { sign_up: true });
        let management = management.reached_by(access, Bounds::default());
        Self { router: router(management), now: Arc::default(), fixture }
    }

    /// As it comes from a browser at `localhost`, or from wherever else the headers say.
    pub(super) async fn send(
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

    pub(super) async fn ask(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: &str,
    ) -> Answer {
        self.ask_with(token, method, path, body, &[]).await
    }

    /// The same with more headers.
    pub(super) async fn ask_with(
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
    pub(super) async fn done(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask(token, method, path, &body).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
        answer.body
    }

    pub(super) async fn log_in(&self, name: &str) -> String {
        let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        text(&self.done(None, "POST", "/v1/sessions", &body).await, "/token")
    }

    /// Signs up, and gives the organization and a session.
    pub(super) async fn sign_up(&self, name: &str) -> (String, String) {
        let email = format!("{name}@example.com");
        let body =
            json!({ "email": email, "name": name, "password": PASSWORD, "organization": name });
        let made = self.done(None, "POST", "/v1/signup", &body).await;
        (text(&made, "/organization/id"), self.log_in(name).await)
    }

    /// Invites somebody new; gives their id and a session.
    pub(super) async fn join(
        &self,
        by: &str,
        organization: &str,
        name: &str,
        role: &str,
    ) -> (String, String) {
        let path = format!("/v1/organizations/{organization}/invitations");
        let body = json!({ "email": format!("{name}@example.com"), "role": role });
        let invited = self.done(Some(by), "POST", &path, &body).await;
        let body = json!({ "token": text(&invited, "/token"), "name": name, "password": PASSWORD });
        let joined = self.done(None, "POST", "/v1/invitations/accept", &body).await;
        (text(&joined, "/user/id"), self.log_in(name).await)
    }

    /// Where whoever asks belongs.
    pub(super) async fn places(&self, by: &str) -> Value {
        self.done(Some(by), "GET", "/v1/account", &Value::Null).await["places"].clone()
    }

    /// The state that a thing is in.
    pub(super) async fn tag(&self, by: &str, path: &str) -> String {
        let request = Request::builder().uri(path).header("authorization", format!("Bearer {by}"));
        let request = request.body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        response.headers()["etag"].to_str().unwrap().to_owned()
    }

    /// Changes a thing that was seen in a state.
    pub(super) async fn change(&self, by: &str, path: &str, body: &Value, seen: &str) -> Answer {
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
    pub(super) async fn key(&self, by: &str, organization: &str, name: &str) -> (String, String) {
        let path = format!("/v1/organizations/{organization}/keys");
        let body = json!({ "api": "main", "name": name, "permissions": ["read"] });
        let made = self.done(Some(by), "POST", &path, &body).await;
        (text(&made, "/id"), text(&made, "/secret_id"))
    }
}

pub(super) fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {value}")).to_owned()
}

/// Things to ask for, in place of a path's parameters.
pub(super) struct Things(pub(super) Vec<(&'static str, String)>);

impl Things {
    pub(super) fn put_into(&self, path: &str) -> String {
        self.0.iter().fold(path.to_owned(), |path, (name, id)| path.replace(name, id))
    }

    /// An answer without the ids that were asked for.
    pub(super) fn blot_out(&self, answer: &Answer) -> (StatusCode, String, String) {
        let body = self
            .0
            .iter()
            .fold(answer.body.to_string(), |body, (name, id)| body.replace(id.as_str(), name));
        (answer.status, answer.kind.clone(), body)
    }

    /// Such as nothing has.
    pub(super) fn nowhere() -> Self {
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
            ("{plan}", "Nowhere".to_owned()),
            ("{webhook}", format!("whk_{none}")),
            ("{delivery}", format!("dlv_{none}")),
            ("{alert_rule}", format!("alr_{none}")),
        ])
    }
}

/// An organization with somebody of each role, and all that can be asked for in it.
pub(super) struct Ours {
    pub(super) owner: String,
    pub(super) viewer: String,
    pub(super) developer: String,
    pub(super) administrator: String,
    pub(super) things: Things,
}

pub(super) async fn ours(world: &World) -> Ours {
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
    let path = format!("/v1/organizations/{organization}/webhooks");
    let body = json!({ "url": "https://a.example/hook" });
    let hook = text(&world.done(Some(&owner), "POST", &path, &body).await, "/id");
    let path = format!("/v1/webhooks/{hook}/test");
    let delivery = world.done(Some(&owner), "POST", &path, &Value::Null).await;
    let path = format!("/v1/organizations/{organization}/alert-rules");
    let rules = world.done(Some(&owner), "GET", &path, &Value::Null).await;
    let things = Things(vec![
        ("{alert_rule}", text(&rules, "/items/0/id")),
        ("{webhook}", hook),
        ("{delivery}", text(&delivery, "/id")),
        ("{organization}", organization),
        ("{user}", user),
        ("{invitation}", text(&invited, "/id")),
        ("{key}", key),
        ("{secret}", secret),
        ("{session}", text(&sessions, "/items/0/id")),
        ("{model}", "123456789x12345678".to_owned()),
        ("{key_request}", text(&asked, "/id")),
        ("{plan}", "Premium".to_owned()),
    ]);
    Ours { owner, viewer, developer, administrator, things }
}

pub(super) fn code(answer: &Answer) -> &str {
    answer.body.pointer("/code").and_then(Value::as_str).unwrap_or("none")
}
