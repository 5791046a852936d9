//! Examples in the description: what each field of an answer looks like, and whole bodies of requests.
//!
//! By the field's name, once for all answers: a name means the same wherever it stands. Rejected was an example at each field of each
//! type: the same twenty values, written a hundred times.

use serde_json::{Value, json};
use utoipa::openapi::{OpenApi, RefOr, Schema, schema::AllOf};

/// What a field of an answer looks like; `of` is the schema it stands in.
fn of_field(of: &str, name: &str) -> Option<Value> {
    Some(match (of, name) {
        ("KeyView" | "BulkItem", "id") => json!("key_7j0z2k4m6n8p0q2r4s6t8v0w2x"),
        ("SecretView", "id") | (_, "secret_id") => json!("sec_1b3d5f7h9k1m3n5p7r9t1v3x5z"),
        ("OrganizationView", "id") | (_, "organization_id") => json!("org_acme"),
        ("SessionView", "id") => json!("ses_2c4e6g8j0m2p4r6t8w0y2a4c6e"),
        ("InvitationView", "id") => json!("inv_3d5f7h9k1m3n5p7r9t1v3x5z7b"),
        ("KeyRequestView", "id") => json!("krq_4e6g8j0m2p4r6t8w0y2a4c6e8g"),
        ("NodeView", "id") => json!("nod_5f7h9k1m3n5p7r9t1v3x5z7b9d"),
        ("WebhookView", "id") | (_, "webhook_id") => json!("whk_8j0m2p4r6t8w0y2a4c6e8g0j2m"),
        ("AlertRuleView" | "AlertEventRuleView", "id") | (_, "rule_id") => {
            json!("alr_2q4s6t8v0w2x4z6a8c0e2g4j6m")
        }
        ("AlertView", "id") | (_, "alert_id") => json!("alt_3r5t7v9x1z3b5d7f9h1k3n5q7s"),
        ("AlertView" | "AlertEventData", "subject") => json!("key_7j0z2k4m6n8p0q2r4s6t8v0w2x"),
        ("AlertView" | "AlertEventData", "message") => {
            json!("the key \"ci\" ends at 2026-02-01T00:00:00Z")
        }
        (_, "quiet_seconds") => json!(86_400),
        ("AlertMailView", "members") => json!(["usr_6g8j0m2p4r6t8w0y2a4c6e8g0j"]),
        ("WebhookSecretView", "id") => json!("whs_9k1n3q5s7v9x1z3b5d7f9h1k3n"),
        ("DeliveryView", "id") => json!("dlv_0m2p4r6t8w0y2a4c6e8g0j2m4p"),
        (_, "event_id") => json!("evt_1n3q5s7v9x1z3b5d7f9h1k3n5q"),
        (_, "event") => json!("key.revoked"),
        (_, "events") => json!(["key.revoked", "alert.raised"]),
        (_, "url") => json!("https://hooks.acme.example/keyward"),
        (_, "description") => json!("the on-call channel"),
        (_, "enabled") => json!(true),
        (_, "disabled_because") => json!("it answered 410 Gone"),
        (_, "last_problem") => json!("it answered 500"),
        (_, "last_status") => json!(500),
        (_, "attempts") => json!(2),
        (_, "payload") => json!({
            "type": "key.revoked", "timestamp": "2026-01-31T12:00:00.000Z", "data": {},
        }),
        ("ModelIdView", "id") => json!("123456789x12345678"),
        ("UserView" | "PersonView" | "EventActorView", "id") | (_, "user_id" | "owner_id") => {
            json!("usr_6g8j0m2p4r6t8w0y2a4c6e8g0j")
        }
        (_, "key_id") => json!("key_7j0z2k4m6n8p0q2r4s6t8v0w2x"),
        (_, "id" | "entry" | "newest") => json!(42),
        (_, "allowed_models") => json!(["small-1", "large-2"]),
        (_, "allowed_networks") => json!(["203.0.113.0/24"]),
        (_, "permissions") => json!(["read"]),
        (_, "tags") => json!(["eu", "nightly"]),
        (_, "metadata") => json!({ "team": "billing" }),
        (_, "model_ids") => json!(["123456789x12345678"]),
        (_, "notes" | "problems" | "warnings") => json!([]),
        ("AuditEntryView" | "ChangeEventData", "before") => json!({ "state": "active" }),
        ("AuditEntryView" | "ChangeEventData", "after") => json!({ "state": "revoked" }),
        (_, "action") => json!("key.revoke"),
        (_, "api") => json!("main"),
        (_, "environment") => json!("production"),
        (_, "email") => json!("ada@example.com"),
        (_, "title") => json!("Not Found"),
        (_, "name") => json!("ci"),
        (_, "role") => json!("developer"),
        (_, "kind") => json!("member"),
        (_, "interface") => json!("management_api"),
        (_, "outcome") => json!("done"),
        (_, "state") => json!("open"),
        (_, "device") => json!("curl/8.5.0"),
        (_, "hint") => json!("kw_Qs…U7vL"),
        (_, "route") => json!("/v1/chat/completions"),
        (_, "what") => json!("changed"),
        (_, "message") => json!("entry 42 is not what was written"),
        (_, "detail") => json!("there is no key key_7j0z2k4m6n8p0q2r4s6t8v0w2x"),
        (_, "note") => json!("for the staging cluster only"),
        (_, "next") => json!("key_7j0z2k4m6n8p0q2r4s6t8v0w2x"),
        (_, "head") => json!("1042:3f5a…"),
        (_, "address" | "begun_from" | "last_used_from") => json!("203.0.113.7"),
        ("UsageSumView", "status") => json!(429),
        (_, "status") => json!(200),
        (_, "revision") => json!(1042),
        (_, "required" | "operator" | "dry_run") => json!(false),
        (_, "current" | "everywhere" | "following") => json!(true),
        (_, "requests" | "rows" | "entries" | "imported") => json!(120),
        (_, "requests_since_replaced" | "refused" | "guessable") => json!(3),
        (_, "bytes_in" | "bytes_out" | "mean_latency_micros") => json!(4096),
        (_, "reason") if of == "UsageSumView" => json!("rate_limited"),
        ("UsageSumView", "start") | ("UsagePage", "from" | "until") => {
            json!("2026-01-31T12:00:00Z")
        }
        ("UsageSumView", "model") => json!("small-1"),
        ("UsageSumView", "errors" | "refusals") => json!(3),
        ("UsageSumView", "estimated") => json!(0),
        ("UsageSumView", "cost") => json!("12.50"),
        ("UsagePage", "currency") => json!("USD"),
        ("TokensView", "input") => json!(41_000),
        ("TokensView", "cached") => json!(20_000),
        ("TokensView", "cache_written" | "reasoning") => json!(0),
        ("TokensView", "output") => json!(9_000),
        ("LatencyView", "mean" | "p50" | "p90" | "p99") => json!(412.5),
        (_, name) if is_moment(name) => json!("2026-01-31T12:00:00Z"),
        _ => return None,
    })
}

fn is_moment(name: &str) -> bool {
    name == "at" || name.ends_with("_at") || name.ends_with("_until") || name.ends_with("_since")
}

/// A whole body of a request.
fn of_body(schema: &str) -> Option<Value> {
    Some(match schema {
        "CreateKeyInput" => json!({
            "api": "main", "name": "ci", "permissions": ["read"], "environment": "development",
            "tags": ["eu"], "metadata": { "team": "billing" },
        }),
        "UpdateKeyInput" => json!({ "name": "ci, Frankfurt", "tags": ["eu"], "expires_at": null }),
        "BulkKeysInput" => {
            json!({ "action": "disable", "keys": ["key_7j0z2k4m6n8p0q2r4s6t8v0w2x"] })
        }
        "CreateKeyRequestInput" => json!({
            "api": "main", "name": "ci", "permissions": ["read"],
            "reason": "the nightly build", "lifetime_seconds": 7_776_000,
        }),
        "ApproveKeyRequestInput" => json!({ "permissions": ["read"], "note": "for staging only" }),
        "SetPasswordInput" => {
            json!({ "old": "correct horse battery", "new": "another correct horse" })
        }
        "AlertRuleInput" => json!({
            "name": "Keys that rest", "condition": { "kind": "key_unused", "days": 90 },
        }),
        "UpdateAlertRuleInput" => json!({ "enabled": false }),
        "UpdateWebhookInput" => json!({ "events": ["key.revoked"], "enabled": true }),
        "UpdateOrganizationInput" => json!({ "name": "Acme Europe", "allowed_models": null }),
        _ => return None,
    })
}

/// Writes them in, where nothing stands yet.
pub(super) fn write(document: &mut OpenApi) {
    let Some(components) = &mut document.components else { return };
    for (name, schema) in &mut components.schemas {
        let RefOr::T(schema) = schema else { continue };
        if let (Schema::Object(object), Some(body)) = (&mut *schema, of_body(name)) {
            object.example.get_or_insert(body);
        }
        if !name.ends_with("Input") {
            fields(name, schema);
        }
    }
}

fn fields(of: &str, schema: &mut Schema) {
    match schema {
        Schema::Object(object) => {
            for (name, field) in &mut object.properties {
                let (RefOr::T(field), Some(example)) = (field, of_field(of, name)) else {
                    continue;
                };
                match field {
                    Schema::Object(one) if one.enum_values.is_none() => {
                        one.example.get_or_insert(example);
                    }
                    Schema::Array(one) => {
                        one.example.get_or_insert(example);
                    }
                    _ => {}
                }
            }
        }
        Schema::AllOf(AllOf { items, .. }) => inner(of, items),
        Schema::OneOf(one) => inner(of, &mut one.items),
        _ => {}
    }
}

fn inner(of: &str, parts: &mut [RefOr<Schema>]) {
    for part in parts {
        if let RefOr::T(part) = part {
            fields(of, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    /// Fields of a schema, with those of its parts.
    fn walk<'s>(schema: &'s Value, found: &mut Vec<(&'s String, &'s Value)>) {
        found.extend(schema["properties"].as_object().into_iter().flatten());
        for of in ["allOf", "oneOf"] {
            schema[of].as_array().into_iter().flatten().for_each(|part| walk(part, found));
        }
    }

    #[test]
    fn every_field_of_an_answer_and_every_body_has_an_example() {
        let document = serde_json::to_value(super::super::openapi()).unwrap();
        let mut lacking = vec![];
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let mut found = vec![];
            walk(schema, &mut found);
            for (field, described) in found {
                let is_told = ["example", "$ref", "enum", "oneOf", "anyOf"]
                    .iter()
                    .any(|word| described.get(word).is_some());
                // What a list is of is described where it is described.
                let of_others = described
                    .get("items")
                    .is_some_and(|items| items.get("type").is_none() || items["type"] == "object");
                if !is_told && !of_others && schema.get("example").is_none() {
                    lacking.push(format!("{name}.{field}"));
                }
            }
        }
        assert_eq!(lacking, Vec::<String>::new());
    }
}
