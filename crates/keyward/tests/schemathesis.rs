//! The management API held against its own description, by requests that are made from it: none ends in a 5xx or in an answer
//! that is not described, and what the description forbids is refused.
//!
//! The description is the one that is served, so that a new endpoint is asked as soon as it is there. Requests are the same
//! every time (a fixed seed), and so is how many. They reach deep because paths name things that exist; what an operation
//! ends is its own thing, so that the others find theirs alive. The operations that could take the caller's own rights away are
//! asked by somebody who is there for nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands"
)]

use std::{process::Command, time::Duration};

use keyward_testkit::{
    Keyward, Managed, Management, Upstream, management::PASSWORD, places, process::Process,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");

/// Some ten times what it takes.
const LIMIT: Duration = Duration::from_secs(400);

/// A caller who does these may be nobody afterwards.
const DANGEROUS: [&str; 4] = ["set_password", "end_session", "remove_member", "change_member"];

/// Which operations are asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Harmless,
    Dangerous,
}

/// What has to be done at least once, or else the requests do not reach behind the reading of them.
const DEEP: [&str; 16] = [
    "POST /v1/organizations/{organization}/webhooks",
    "PATCH /v1/webhooks/{webhook}",
    "POST /v1/organizations/{organization}/alert-rules",
    "PATCH /v1/alert-rules/{alert_rule}",
    "POST /v1/organizations/{organization}/keys",
    "PATCH /v1/keys/{key}",
    "POST /v1/organizations/{organization}/keys/bulk",
    "GET /v1/organizations/{organization}/audit-entries",
    "PATCH /v1/organizations/{organization}",
    "POST /v1/organizations/{organization}/key-requests",
    "POST /v1/key-requests/{key_request}/approve",
    "POST /v1/key-requests/{key_request}/deny",
    "POST /v1/key-requests/{key_request}/claim",
    "POST /v1/organizations/{organization}/invitations",
    "POST /v1/keys/{key}/rotate",
    "POST /v1/signup",
];

/// Rules that no schema can say, like that an expiry lies ahead, make good-looking requests be refused.
const NOT_CHECKED: &str = "positive_data_acceptance";

struct World {
    keyward: Keyward,
    management: Management,
    /// Its owner, and what its paths name.
    organization: String,
    owner: String,
    _upstream: Upstream,
}

impl World {
    fn new() -> Self {
        let Managed { keyward, management, upstream } = Managed::start(KEYWARD, "aiaas");
        let organization = management.sign_up("owner");
        let owner = management.log_in("owner");
        Self { keyward, management, organization, owner, _upstream: upstream }
    }

    fn in_organization(&self, resource: &str) -> String {
        format!("/v1/organizations/{}/{resource}", self.organization)
    }

    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        self.management.done(&self.owner, method, path, body)
    }

    /// A key with two secrets, of which the older one may be retired.
    fn key(&self, name: &str) -> (String, String) {
        let body = json!({ "api": "main", "name": name, "permissions": ["read"] });
        let made = self.done("POST", &self.in_organization("keys"), &body);
        let (key, secret) = (text(&made["id"]), text(&made["secret_id"]));
        let overlap = json!({ "overlap_seconds": 86_400 });
        self.done("POST", &format!("/v1/keys/{key}/rotate"), &overlap);
        (key, secret)
    }

    fn invitation(&self, name: &str) -> (String, String) {
        let body = json!({ "email": format!("{name}@example.com"), "role": "developer" });
        let made = self.done("POST", &self.in_organization("invitations"), &body);
        (text(&made["id"]), text(&made["token"]))
    }

    fn member(&self, name: &str) -> String {
        let (_, token) = self.invitation(name);
        let body = json!({ "token": token, "name": name, "password": PASSWORD });
        let joined = self.management.done("", "POST", "/v1/invitations/accept", &body);
        text(&joined["user"]["id"])
    }

    /// A request of the owner's, who decides on their own as well.
    fn request(&self, name: &str) -> String {
        let body = json!({
            "api": "inference", "name": name, "permissions": ["inference:write"], "reason": "nightly",
        });
        text(&self.done("POST", &self.in_organization("key-requests"), &body)["id"])
    }

    /// At a name that nobody can have (RFC 6761): nothing is called.
    fn webhook(&self) -> (String, String) {
        let body = json!({ "url": "https://hooks.acme.example/keyward" });
        let made = self.done("POST", &self.in_organization("webhooks"), &body);
        let id = text(&made["id"]);
        let sent = self.done("POST", &format!("/v1/webhooks/{id}/test"), &Value::Null);
        (id, text(&sent["id"]))
    }

    fn alert_rule(&self) -> String {
        let body = json!({ "name": "R", "condition": { "kind": "key_unused", "days": 90 } });
        text(&self.done("POST", &self.in_organization("alert-rules"), &body)["id"])
    }

    fn approved(&self, name: &str) -> String {
        let request = self.request(name);
        self.done("POST", &format!("/v1/key-requests/{request}/approve"), &json!({}));
        request
    }

    /// What paths name: things that live, and for what ends them a thing of its own. And what most bodies name.
    fn parameters(&self) -> String {
        let (key, secret) = self.key("lives");
        let (revoked, _) = self.key("is revoked");
        let (retired, its_secret) = self.key("has a secret that is retired");
        let (withdrawn, _) = self.invitation("withdrawn");
        let (changed, _) = self.key("is changed");
        let (asked, denied) = (self.request("asked"), self.request("denied"));
        let (taken_back, claimed) = (self.request("taken back"), self.approved("claimed"));
        let ((webhook, delivery), (deleted, _)) = (self.webhook(), self.webhook());
        let (alert_rule, forgotten) = (self.alert_rule(), self.alert_rule());
        let user = self.member("bob");
        let organization = &self.organization;
        format!(
            r#"
[dictionaries]
api = {{ values = ["main"] }}
permission = {{ values = ["read"] }}
preset = {{ values = ["Read-only"] }}
user = {{ values = ["{user}"] }}
moment = {{ values = ["2100-01-01T00:00:00Z"] }}
network = {{ values = ["10.0.0.0/8", "2001:db8::/32"] }}
model = {{ values = ["small", "large"] }}
tag = {{ values = ["billing", "nightly"] }}
key = {{ values = ["{changed}"] }}
asked_for = {{ values = ["inference"] }}
reason = {{ values = ["nightly"] }}
lifetime = {{ values = [604800] }}
inference = {{ values = ["inference:write"] }}
url = {{ values = ["https://hooks.acme.example/keyward"] }}
event = {{ values = ["key.created", "alert.raised"] }}
action = {{ values = ["key.", "key.create"] }}

[parameters]
"body.api" = {{ dictionary = "api", probability = 0.9 }}
"body.permissions[*]" = {{ dictionary = "permission", probability = 0.9 }}
"body.preset" = {{ dictionary = "preset", probability = 0.9 }}
"body.owner" = {{ dictionary = "user", probability = 0.9 }}
"body.expires_at" = {{ dictionary = "moment", probability = 0.9 }}
"body.allowed_networks[*]" = {{ dictionary = "network", probability = 0.9 }}
"body.allowed_models[*]" = {{ dictionary = "model", probability = 0.9 }}
"body.tags[*]" = {{ dictionary = "tag", probability = 0.9 }}
"body.keys[*]" = {{ dictionary = "key", probability = 0.9 }}
"query.action" = {{ dictionary = "action", probability = 0.9 }}
"query.user" = {{ dictionary = "user", probability = 0.9 }}
"query.from" = {{ dictionary = "moment", probability = 0.9 }}
"query.until" = {{ dictionary = "moment", probability = 0.9 }}
"path.organization" = "{organization}"
"path.key" = "{key}"
"path.secret" = "{secret}"
"path.user" = "{user}"
"path.key_request" = "{asked}"
"path.webhook" = "{webhook}"
"path.delivery" = "{delivery}"
"path.alert_rule" = "{alert_rule}"
"body.url" = {{ dictionary = "url", probability = 0.9 }}
"body.events[*]" = {{ dictionary = "event", probability = 0.9 }}

[[operations]]
include-operation-id = "delete_webhook"
parameters = {{ "path.webhook" = "{deleted}" }}

[[operations]]
include-operation-id = "delete_alert_rule"
parameters = {{ "path.alert_rule" = "{forgotten}" }}

[[operations]]
include-operation-id = ["update_webhook", "update_alert_rule"]
generation.max-examples = 50
parameters = {{ "header.If-Match" = "*" }}

[[operations]]
include-operation-id = "update_key"
parameters = {{ "path.key" = "{changed}", "header.If-Match" = "*" }}

[[operations]]
include-operation-id = "update_organization"
parameters = {{ "header.If-Match" = "*" }}

[[operations]]
include-operation-id = ["create_key_request", "approve_key_request"]
generation.max-examples = 50
[operations.parameters]
"body.reason" = {{ dictionary = "reason", probability = 0.9 }}
"body.note" = {{ dictionary = "reason", probability = 0.9 }}
"body.lifetime_seconds" = {{ dictionary = "lifetime", probability = 0.9 }}
"body.api" = {{ dictionary = "asked_for", probability = 0.9 }}
"body.permissions[*]" = {{ dictionary = "inference", probability = 0.9 }}

[[operations]]
include-operation-id = "deny_key_request"
parameters = {{ "path.key_request" = "{denied}" }}

[[operations]]
include-operation-id = "withdraw_key_request"
parameters = {{ "path.key_request" = "{taken_back}" }}

[[operations]]
include-operation-id = "claim_key"
parameters = {{ "path.key_request" = "{claimed}" }}

[[operations]]
include-operation-id = "create_key"
generation.max-examples = 50

[[operations]]
include-operation-id = "revoke_key"
parameters = {{ "path.key" = "{revoked}" }}

[[operations]]
include-operation-id = "retire_secret"
parameters = {{ "path.key" = "{retired}", "path.secret" = "{its_secret}" }}

[[operations]]
include-operation-id = "withdraw_invitation"
parameters = {{ "path.invitation" = "{withdrawn}" }}
"#
        )
    }

    /// Asks as whoever holds this token.
    fn hold(&self, token: &str, asked: Asked, parameters: &str) -> Value {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("schemathesis.toml");
        let text = format!(
            "seed = 20261122\nrequest-timeout = 20.0\n\
             headers = {{ Authorization = \"Bearer {token}\" }}\n\
             [generation]\nmax-examples = 20\ndatabase = \"none\"\n\
             [checks.negative_data_rejection]\n\
             expected-statuses = [400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429]\n\
             [phases.stateful]\nmax-steps = 6\n{parameters}"
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(places::python().with_file_name("schemathesis"));
        command.env_clear().env("HOME", folder.path()).current_dir(folder.path());
        command.args(["--no-color", "--config-file"]).arg(&config).arg("run");
        command.arg(format!("{}/v1/openapi.json", self.management.url()));
        command.args(["--exclude-checks", NOT_CHECKED, "--warnings", "off"]);
        // Neither says anything of the API; the second is about how busy the machine is.
        command.args(["--suppress-health-check", "filter_too_much,too_slow"]);
        let which = match asked {
            Asked::Harmless => "--exclude-operation-id",
            Asked::Dangerous => "--include-operation-id",
        };
        for operation in DANGEROUS {
            command.args([which, operation]);
        }
        let report = folder.path().join("run.json");
        command.args(["--report", "json", "--report-json-path"]).arg(&report);
        let mut run = Process::start("schemathesis", &mut command);
        let status = run.wait_at_most(LIMIT);
        let said = run.output();
        assert!(status.success(), "{said}");
        let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        let operations = &report["operations"];
        assert_eq!(report["complete"], true, "{said}");
        assert_eq!(operations["tested"], operations["selected"], "{said}");
        assert_eq!(operations["errored"], 0, "{said}");
        if asked == Asked::Harmless {
            let (status, account) = self.management.ask(token, "GET", "/v1/account", &Value::Null);
            assert_eq!(status, 200, "the caller was somebody to the end: {account}");
        }
        let output = self.keyward.process.output();
        assert!(!output.contains("panicked"), "{output}");
        report
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[test]
fn what_an_owner_asks_is_answered_as_described() {
    let world = World::new();
    let report = world.hold(&world.owner, Asked::Harmless, &world.parameters());
    for deep in DEEP {
        let phases = report["valid_rates"][deep].as_object();
        let phases = phases.unwrap_or_else(|| panic!("{deep} is not reported: {report:#}"));
        let accepted = phases.values().map(|phase| phase["accepted"].as_u64().unwrap());
        assert!(accepted.sum::<u64>() > 0, "{deep} was done: {phases:?}");
    }
}

/// Paths name what is made up, so that what is nowhere is asked for too.
#[test]
fn what_an_operator_asks_of_anything_is_answered_as_described() {
    let world = World::new();
    world.hold(&world.management.log_in("ops"), Asked::Harmless, "");
}

#[test]
fn what_could_end_a_callers_own_rights_is_answered_as_described() {
    let world = World::new();
    let (user, organization) = (world.member("bob"), &world.organization);
    let afar = world.management.log_in("owner");
    let sessions = world.management.done(&afar, "GET", "/v1/sessions", &Value::Null);
    let session = text(
        &sessions["items"].as_array().unwrap().iter().find(|one| one["current"] == true).unwrap()["id"],
    );
    let parameters = format!(
        "[parameters]\n\"path.organization\" = \"{organization}\"\n\"path.user\" = \"{user}\"\n\"path.session\" = \"{session}\"\n"
    );
    world.hold(&world.owner, Asked::Dangerous, &parameters);
    assert_eq!(world.management.ask(&afar, "GET", "/v1/account", &Value::Null).0, 401);
    let members = world.done("GET", &world.in_organization("members"), &Value::Null);
    assert_eq!(members["items"].as_array().unwrap().len(), 1, "the member was removed");
}
