//! Where two parts meet: what one of them forbids is not to be had by the other.

use serde_json::{Value, json};

use super::{Answer, World, code, ours, text};

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), code(answer))
}

const FORBIDDEN: (u16, &str) = (403, "forbidden");

impl World {
    /// A key at the API where keys are asked for: of `by`, approved by `approver` as it was asked. Its path.
    async fn approved(
        &self,
        by: &str,
        approver: &str,
        organization: &str,
        terms: &Value,
    ) -> String {
        let mut body = json!({ "api": "asked", "name": "ci", "reason": "jobs" });
        body.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
        let requests = format!("/v1/organizations/{organization}/key-requests");
        let asked = self.done(Some(by), "POST", &requests, &body).await;
        let path = format!("/v1/key-requests/{}", text(&asked, "/id"));
        self.done(Some(approver), "POST", &format!("{path}/approve"), &json!({})).await;
        let claimed = self.done(Some(by), "POST", &format!("{path}/claim"), &Value::Null).await;
        format!("/v1/keys/{}", text(&claimed, "/id"))
    }

    async fn patch(&self, by: &str, path: &str, body: &Value) -> Answer {
        self.ask(Some(by), "PATCH", path, &body.to_string()).await
    }

    async fn user_id(&self, token: &str) -> String {
        text(&self.done(Some(token), "GET", "/v1/account", &Value::Null).await, "/user/id")
    }
}

#[tokio::test]
async fn what_was_approved_is_narrowed_after_and_never_widened() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, dev) = world.join(&ada, &organization, "dev", "developer").await;
    let terms = json!({
        "permissions": ["write"], "lifetime_seconds": 86_400, "allowed_networks": ["10.0.0.0/8"],
        "allowed_models": ["small", "large"],
    });
    let key = world.approved(&dev, &ada, &organization, &terms).await;
    for wider in [
        json!({ "permissions": ["write", "read"] }),
        json!({ "permissions": ["read"] }),
        json!({ "expires_at": null }),
        json!({ "expires_at": "2030-01-01T00:00:00Z" }),
        json!({ "allowed_networks": [] }),
        json!({ "allowed_networks": ["10.1.0.0/16", "192.0.2.0/24"] }),
        json!({ "allowed_models": null }),
        json!({ "allowed_models": ["small", "huge"] }),
    ] {
        // Nor does whoever approves by a mere change: approving leaves a decision behind.
        for who in [&dev, &ada] {
            let answer = world.patch(who, &key, &wider).await;
            assert_eq!(told(&answer), FORBIDDEN, "{wider}: {answer:?}");
        }
    }
    let narrower = json!({
        "name": "renamed", "allowed_networks": ["10.1.0.0/16"], "allowed_models": ["small"],
        "permissions": ["write"], "expires_at": "2027-01-15T12:00:00Z", "tags": ["eu"],
    });
    assert_eq!(world.patch(&dev, &key, &narrower).await.status.as_u16(), 200);
    let back = world.patch(&dev, &key, &json!({ "allowed_networks": ["10.0.0.0/8"] })).await;
    assert_eq!(told(&back), FORBIDDEN);
    let ops = world.operator().await;
    assert_eq!(world.patch(&ops, &key, &json!({ "expires_at": null })).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_key_that_was_asked_for_is_seen_by_nobody_but_who_asked() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, dev) = world.join(&ada, &organization, "dev", "developer").await;
    let (_, adm) = world.join(&ada, &organization, "adm", "administrator").await;
    let key = world.approved(&dev, &adm, &organization, &json!({ "permissions": ["read"] })).await;
    let rotate = format!("{key}/rotate");
    let overlap = json!({ "overlap_seconds": 60 }).to_string();
    for who in [&adm, &ada] {
        let answer = world.ask(Some(who), "POST", &rotate, &overlap).await;
        assert_eq!(told(&answer), FORBIDDEN, "{answer:?}");
        let taken = json!({ "owner": world.user_id(who).await });
        assert_eq!(told(&world.patch(who, &key, &taken).await), FORBIDDEN);
        assert_eq!(told(&world.patch(who, &key, &json!({ "owner": null })).await), FORBIDDEN);
    }
    assert_eq!(world.ask(Some(&dev), "POST", &rotate, &overlap).await.status.as_u16(), 200);
    for end in ["disable", "revoke"] {
        world.done(Some(&adm), "POST", &format!("{key}/{end}"), &Value::Null).await;
    }
}

#[tokio::test]
async fn nobody_but_who_runs_this_keyward_makes_a_key_nobodys() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (adm_id, adm) = world.join(&ada, &organization, "adm", "administrator").await;
    let (key, _) = world.key(&adm, &organization, "adm's").await;
    let key = format!("/v1/keys/{key}");
    for who in [&adm, &ada] {
        assert_eq!(told(&world.patch(who, &key, &json!({ "owner": null })).await), FORBIDDEN);
    }
    let given = json!({ "owner": world.user_id(&ada).await });
    assert_eq!(world.patch(&adm, &key, &given).await.status.as_u16(), 200);
    let ops = world.operator().await;
    let let_go = world.patch(&ops, &key, &json!({ "owner": null })).await;
    assert_eq!((let_go.status.as_u16(), &let_go.body["owner_id"]), (200, &Value::Null));
    let taken = world.patch(&adm, &key, &json!({ "owner": adm_id })).await;
    assert_eq!(taken.status.as_u16(), 200, "what is nobody's may become somebody's");
}

#[tokio::test]
async fn nobody_acts_by_a_management_key_that_another_answers_for() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (_, ann) = world.join(&ada, &organization, "ann", "administrator").await;
    let (bob_id, bob) = world.join(&ada, &organization, "bob", "administrator").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let body = |name: &str, owner: Option<&str>| json!({ "api": "keyward", "name": name, "permissions": ["requests:decide"], "owner": owner });
    // Ann may not approve what she asked for herself: nor by a key in Bob's name.
    let made = world.ask(Some(&ann), "POST", &keys, &body("a", Some(&bob_id)).to_string()).await;
    assert_eq!(told(&made), FORBIDDEN, "{made:?}");
    let bobs = world.done(Some(&bob), "POST", &keys, &body("bob's", None)).await;
    let bobs = format!("/v1/keys/{}", text(&bobs, "/id"));
    let overlap = json!({ "overlap_seconds": 0 }).to_string();
    let rotated = world.ask(Some(&ann), "POST", &format!("{bobs}/rotate"), &overlap).await;
    assert_eq!(told(&rotated), FORBIDDEN, "{rotated:?}");
    let anns = world.done(Some(&ann), "POST", &keys, &body("ann's", None)).await;
    let anns = format!("/v1/keys/{}", text(&anns, "/id"));
    assert_eq!(told(&world.patch(&ann, &anns, &json!({ "owner": bob_id })).await), FORBIDDEN);
    let import = format!("{keys}/import?api=keyward");
    let row = format!(
        "name,plaintext,permissions,owner\nb,kwm_0123456789012345678901234567890123456789,requests:decide,{bob_id}\n"
    );
    let imported = world.router.clone();
    let request = axum::http::Request::builder()
        .method("POST")
        .uri(&import)
        .header("authorization", format!("Bearer {ann}"))
        .header("content-type", "text/csv")
        .body(axum::body::Body::from(row))
        .unwrap();
    let report = Answer::of(tower::ServiceExt::oneshot(imported, request).await.unwrap()).await;
    assert_eq!(report.body["imported"], 0, "{report:?}");
    // She may let them rest, and wake them: that shows nothing.
    for what in ["disable", "enable", "revoke"] {
        world.done(Some(&ann), "POST", &format!("{bobs}/{what}"), &Value::Null).await;
    }
    // Owners answer to nobody.
    world.done(Some(&ada), "POST", &keys, &body("for bob", Some(&bob_id))).await;
    // And one that is nobody's, which who runs this Keyward made.
    let ops = world.operator().await;
    let nobodys = world.done(Some(&ops), "POST", &keys, &body("nobody's", None)).await;
    let rotate = format!("/v1/keys/{}/rotate", text(&nobodys, "/id"));
    assert_eq!(told(&world.ask(Some(&ann), "POST", &rotate, &overlap).await), FORBIDDEN);
}

#[tokio::test]
async fn a_repeat_shows_no_secret_to_who_may_no_longer() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let (bob_id, bob) = world.join(&ada, &organization, "bob", "administrator").await;
    let (key, _) = world.key(&ada, &organization, "ada's").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let invitations = format!("/v1/organizations/{organization}/invitations");
    let asked = [
        (keys.clone(), json!({ "api": "main", "name": "ci", "permissions": ["read"] })),
        (format!("/v1/keys/{key}/rotate"), json!({ "overlap_seconds": 60 })),
        (invitations, json!({ "email": "new@example.com", "role": "viewer" })),
    ];
    let ask = async |path: &str, body: &Value| {
        let headers = [("idempotency-key", path)];
        world.ask_with(Some(&bob), "POST", path, &body.to_string(), &headers).await
    };
    for (path, body) in &asked {
        let first = ask(path, body).await;
        assert!(first.status.is_success(), "{first:?}");
        assert_eq!(ask(path, body).await, first);
    }
    let member = format!("/v1/organizations/{organization}/members/{bob_id}");
    assert_eq!(world.patch(&ada, &member, &json!({ "role": "viewer" })).await.status.as_u16(), 200);
    for (path, body) in &asked {
        assert_eq!(told(&ask(path, body).await), FORBIDDEN, "{path}");
    }
    world.done(Some(&ada), "DELETE", &member, &Value::Null).await;
    for (path, body) in &asked {
        assert_eq!(told(&ask(path, body).await), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn models_that_were_narrowed_are_widened_by_who_runs_this_keyward_alone() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let ops = world.operator().await;
    let path = format!("/v1/organizations/{organization}");
    let models = |models: Value| json!({ "allowed_models": models });
    let narrowed = world.patch(&ops, &path, &models(json!(["small", "large"]))).await;
    assert_eq!(narrowed.status.as_u16(), 200, "{narrowed:?}");
    for wider in [json!(null), json!(["small", "huge"])] {
        let answer = world.patch(&ada, &path, &models(wider)).await;
        assert_eq!(told(&answer), FORBIDDEN, "{answer:?}");
    }
    assert_eq!(world.patch(&ada, &path, &models(json!(["small"]))).await.status.as_u16(), 200);
    assert_eq!(world.patch(&ada, &path, &json!({ "name": "Renamed" })).await.status.as_u16(), 200);
    let back = world.patch(&ada, &path, &models(json!(["small", "large"]))).await;
    assert_eq!(told(&back), FORBIDDEN);
    assert_eq!(world.patch(&ops, &path, &models(json!(null))).await.status.as_u16(), 200);
}

#[tokio::test]
async fn an_organizations_log_tells_no_address_or_name_from_elsewhere() {
    let world = World::new().await;
    let ours = ours(&world).await;
    let organization = ours.things.put_into("{organization}");
    let ops = world.operator().await;
    let (elsewhere, _) = world.sign_up("eve").await;
    let body = json!({ "api": "keyward", "name": "the staff's robot", "permissions": ["operate"] });
    let keys = format!("/v1/organizations/{elsewhere}/keys");
    let robot = text(&world.done(Some(&ops), "POST", &keys, &body).await, "/secret");
    let path = format!("/v1/organizations/{organization}");
    for (who, state) in [(&ops, "suspend"), (&robot, "resume")] {
        world.done(Some(who), "POST", &format!("{path}/{state}"), &Value::Null).await;
    }
    let log = format!("{path}/audit-entries");
    let seen = world.done(Some(&ours.administrator), "GET", &log, &Value::Null).await;
    assert_eq!(seen["items"][0]["action"], "organization.resume");
    let seen = seen.to_string();
    assert!(seen.contains("ada@example.com"), "{seen}");
    assert!(!seen.contains("ops@example.com") && !seen.contains("robot"), "{seen}");
    let all = world.done(Some(&ops), "GET", &log, &Value::Null).await.to_string();
    assert!(all.contains("ops@example.com") && all.contains("the staff's robot"));
}

/// As it stands in a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn odd_texts_and_numbers_are_taken_or_refused_and_break_nothing() {
    let world = World::new().await;
    let (organization, ada) = world.sign_up("ada").await;
    let keys = format!("/v1/organizations/{organization}/keys");
    let odd = [
        "İstanbul",
        "ﬁle",
        "e\u{301}",
        "ΟΔΟΣ",
        "ẞ",
        "\u{10fffe}",
        "\u{10ffff}",
        "\u{0}",
        "\u{feff}",
        "👩‍💻",
        "%",
        "_",
        "'; DROP TABLE keys; --",
        "\"",
        "#",
        "#eu",
        "-",
        " ",
        "\u{202e}",
        "𝔘𝔫𝔦",
        "ǅ",
    ];
    let long: Vec<String> =
        vec!["a".repeat(10_000), "a ".repeat(5_000), "İ".repeat(3_000), "\u{301}".repeat(3_000)];
    for text in odd.into_iter().chain(long.iter().map(String::as_str)) {
        let name: String = text.chars().take(40).collect();
        let body = json!({
            "api": "main", "name": format!("n {name}"), "permissions": ["read"],
            "tags": [text], "metadata": { "note": text },
        });
        let made = world.ask(Some(&ada), "POST", &keys, &body.to_string()).await;
        assert!([201, 400].contains(&made.status.as_u16()), "{text:?}: {made:?}");
        for field in ["search", "tag", "environment", "owner", "after", "api", "state"] {
            let path = format!("{keys}?{field}={}", encoded(text));
            let found = world.ask(Some(&ada), "GET", &path, "").await;
            let status = found.status.as_u16();
            assert!([200, 400, 404].contains(&status), "{field} {text:?}: {found:?}");
            // What was taken is found by the same text.
            let searched = field == "search" && text.chars().any(char::is_alphanumeric);
            if made.status.as_u16() == 201 && searched && !text.contains('\u{301}') {
                let items = found.body["items"].as_array().unwrap();
                assert!(items.iter().any(|one| one["id"] == made.body["id"]), "{text:?}");
            }
        }
        for field in ["subject", "user", "action", "from", "until"] {
            let path =
                format!("/v1/organizations/{organization}/audit-entries?{field}={}", encoded(text));
            let found = world.ask(Some(&ada), "GET", &path, "").await;
            assert!([200, 400].contains(&found.status.as_u16()), "{field} {text:?}: {found:?}");
        }
    }
    let (key, secret) = world.key(&ada, &organization, "numbers").await;
    let most = u64::MAX;
    for query in ["limit", "unused_days", "ending_days"] {
        for number in
            ["0", "1", "-1", "1.5", "1e3", "4294967295", "4294967296", "18446744073709551616"]
        {
            let found = world.ask(Some(&ada), "GET", &format!("{keys}?{query}={number}"), "").await;
            assert!([200, 400].contains(&found.status.as_u16()), "{query} {number}: {found:?}");
        }
    }
    let moments = [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "-009999-01-01T00:00:00Z",
        "+010000-01-01T00:00:00Z",
        "2027-02-30T00:00:00Z",
        "2030-01-01T00:00:00+25:00",
        "1969-12-31T23:59:59Z",
    ];
    let moments = moments.map(|moment| json!({ "expires_at": moment }));
    let others = [
        json!({ "rotation": { "after_days": u32::MAX, "required": true } }),
        json!({ "rotation": { "after_days": 0, "required": false } }),
        json!({ "rotation": { "after_days": most, "required": true } }),
        json!({ "allowed_networks": ["::/0", "0.0.0.0/0", "::ffff:10.0.0.0/104"] }),
        json!({ "allowed_networks": ["10.0.0.1/33"] }),
        json!({ "permissions": [] }),
        json!({ "name": null, "tags": null }),
    ];
    for body in moments.into_iter().chain(others) {
        let answer = world.patch(&ada, &format!("/v1/keys/{key}"), &body).await;
        assert!([200, 400].contains(&answer.status.as_u16()), "{body}: {answer:?}");
    }
    for seconds in [json!(0), json!(31_622_400), json!(most), json!(-1), json!(1.5), json!("1")] {
        let body = json!({ "overlap_seconds": seconds }).to_string();
        let answer = world.ask(Some(&ada), "POST", &format!("/v1/keys/{key}/rotate"), &body).await;
        assert!([200, 400].contains(&answer.status.as_u16()), "{body}: {answer:?}");
        let asked = json!({
            "api": "asked", "name": seconds.to_string(), "permissions": ["read"], "reason": "R",
            "lifetime_seconds": seconds,
        });
        let path = format!("/v1/organizations/{organization}/key-requests");
        let answer = world.ask(Some(&ada), "POST", &path, &asked.to_string()).await;
        assert!([201, 400].contains(&answer.status.as_u16()), "{asked}: {answer:?}");
    }
    for path in [
        format!("/v1/keys/{key}/"),
        format!("/v1//keys/{key}"),
        format!("/v1/keys/{key}%00"),
        format!("/v1/keys/{}", "k".repeat(20_000)),
        format!("/v1/keys/{key}/secrets/{secret}%2fretire"),
        "/v1/keys/%ff".to_owned(),
    ] {
        let answer = world.ask(Some(&ada), "GET", &path, "").await;
        assert!([400, 404, 405].contains(&answer.status.as_u16()), "{path}: {answer:?}");
    }
    for method in ["OPTIONS", "PUT", "TRACE", "get"] {
        let answer = world.ask(Some(&ada), method, &format!("/v1/keys/{key}"), "").await;
        assert_eq!(answer.status.as_u16(), 405, "{method}");
    }
}
