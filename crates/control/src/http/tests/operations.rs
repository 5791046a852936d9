//! Every operation of the management API, and who may. Held against the API's own description: an endpoint without a line here
//! fails the tests.

/// Who may, of those who belong to the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
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
pub(super) enum Role {
    Viewer,
    Developer,
    Administrator,
    Owner,
}

use May::{Anybody, From, Hidden, Oneself, Operators};
use Role::{Administrator, Developer, Owner, Viewer};

/// Method, path, a good body, and who may. `{…}` stand for things of the organization `ours`.
pub(super) const OPERATIONS: &[(&str, &str, &str, May)] = &[
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
    ("GET", "/v1/organizations/{organization}/audit-entries/export", "", From(Administrator)),
    ("GET", "/v1/audit-entries/export", "", Operators),
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
    ("GET", "/v1/organizations/{organization}/usage", "", From(Viewer)),
    ("GET", "/v1/organizations/{organization}/usage/export", "", From(Viewer)),
    ("GET", "/v1/keys/{key}/usage", "", From(Viewer)),
    ("GET", "/v1/usage", "", Operators),
    ("GET", "/v1/usage/export", "", Operators),
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
    ("GET", "/v1/plans", "", Operators),
    ("GET", "/v1/plans/{plan}", "", Operators),
    (
        "PUT",
        "/v1/plans/{plan}",
        r#"{"limits":[{"name":"a","kind":"concurrency","amount":4}]}"#,
        Operators,
    ),
    ("DELETE", "/v1/plans/{plan}", "", Operators),
    ("GET", "/v1/organizations/{organization}/plans", "", From(Viewer)),
    ("GET", "/v1/prices", "", Operators),
    ("PUT", "/v1/prices", r#"{"model":"large*","input":"2.50"}"#, Operators),
    ("DELETE", "/v1/prices", "", Operators),
    ("GET", "/v1/organizations/{organization}/webhooks", "", From(Administrator)),
    (
        "POST",
        "/v1/organizations/{organization}/webhooks",
        r#"{"url":"https://a.example/hook"}"#,
        From(Administrator),
    ),
    ("GET", "/v1/webhooks", "", Operators),
    ("POST", "/v1/webhooks", r#"{"url":"https://a.example/hook"}"#, Operators),
    ("GET", "/v1/webhooks/{webhook}", "", From(Administrator)),
    ("PATCH", "/v1/webhooks/{webhook}", r#"{"description":"ours"}"#, From(Administrator)),
    ("DELETE", "/v1/webhooks/{webhook}", "", From(Administrator)),
    ("POST", "/v1/webhooks/{webhook}/rotate", "{}", From(Administrator)),
    ("POST", "/v1/webhooks/{webhook}/retire", "", From(Administrator)),
    ("POST", "/v1/webhooks/{webhook}/test", "", From(Administrator)),
    ("GET", "/v1/webhooks/{webhook}/deliveries", "", From(Administrator)),
    ("GET", "/v1/webhook-deliveries/{delivery}", "", From(Administrator)),
    ("POST", "/v1/webhook-deliveries/{delivery}/resend", "", From(Administrator)),
    ("GET", "/v1/organizations/{organization}/alert-rules", "", From(Administrator)),
    (
        "POST",
        "/v1/organizations/{organization}/alert-rules",
        r#"{"name":"R","condition":{"kind":"key_unused","days":90}}"#,
        From(Administrator),
    ),
    ("GET", "/v1/alert-rules", "", Operators),
    (
        "POST",
        "/v1/alert-rules",
        r#"{"name":"R","condition":{"kind":"key_unused","days":90}}"#,
        Operators,
    ),
    ("GET", "/v1/alert-rules/{alert_rule}", "", From(Administrator)),
    ("PATCH", "/v1/alert-rules/{alert_rule}", r#"{"name":"R"}"#, From(Administrator)),
    ("DELETE", "/v1/alert-rules/{alert_rule}", "", From(Administrator)),
    ("GET", "/v1/organizations/{organization}/alerts", "", From(Administrator)),
    ("GET", "/v1/alerts", "", Operators),
];
