//! `mindo.md`: a key in `X-API-Key`, and three messages in Spanish.

use keyward_testkit::{Clients, Demo, clients::Program};
use serde_json::json;

use crate::{KEYWARD, document, guide::Guide, refusals::assert_shown, settle};

const URL: &str = "https://api.mindosoftware.com/api/v1/business-accounts/";
const PLACEHOLDER: &str = "mindo_xxxxxxxxxxxxxxxxxxxxxxxx";

fn start() -> (Demo, Clients, String) {
    let demo = Demo::start(KEYWARD);
    let key = demo.system("mindo").key.clone();
    let clients = demo.clients();
    (demo, clients, key)
}

#[test]
fn every_example_runs_unmodified() {
    let guide = Guide::load("mindo.md");
    let (_demo, clients, key) = start();
    let shape = (key.len(), key.starts_with("mindo_"));
    assert_eq!(shape, (PLACEHOLDER.len(), true), "a key looks as the guide shows it");

    let answer = clients.bash(&guide.with_key("cURL", PLACEHOLDER, &key));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json().is_object());

    let header = guide.with_key("authentication header", PLACEHOLDER, &key);
    assert_eq!(clients.curl(&["-H", header.trim_end(), URL]).status, 200);

    let ran = clients.python(&Program {
        example: &guide.with_key("Python", PLACEHOLDER, &key),
        epilogue: "keyward_result = [response.status_code, type(response.json()).__name__]",
        ..Program::default()
    });
    assert_eq!((ran.result, ran.error), (json!([200, "dict"]), None));

    let ran = clients.node(&Program {
        example: &guide.with_key("JavaScript", PLACEHOLDER, &key),
        epilogue: "[response.status, typeof await response.json()]",
        ..Program::default()
    });
    assert_eq!(ran.result, json!([200, "object"]));
    guide.all_examples_ran();
}

#[test]
fn every_documented_refusal_is_answered_word_for_word() {
    let guide = Guide::load("mindo.md");
    let (demo, clients, key) = start();
    let cli = &demo.cli;
    let make = |name: &str, permission: &str| {
        let organization = &demo.system("mindo").organization_id;
        cli.create_key(&format!(
            "--api mindo --organization {organization} --name {name} --permission {permission}"
        ))
    };

    let (revoked_id, revoked) = make("revoked", "business-accounts:read");
    cli.json(&format!("keys revoke {revoked_id}"));
    let (expired_id, expired) = make("expired", "business-accounts:read");
    cli.json(&format!("keys rotate {expired_id} --overlap 0s"));
    let (_, unable) = make("unable", "contacts:read");
    settle(&demo, &clients);

    let mut provoked = 0;
    for row in document::table(guide.text(), &["Code", "Message", "Cause"]) {
        let status: u16 = document::plain(&row[0]).parse().unwrap();
        let message: String = serde_json::from_str(&document::plain(&row[1])).unwrap();
        let sent = match document::plain(&row[2]).as_str() {
            "The X-API-Key header was not sent" => vec![None],
            "The API Key has expired or was revoked" => vec![Some(&expired), Some(&revoked)],
            "The API Key does not have permissions for this endpoint" => vec![Some(&unable)],
            other => panic!("nothing here provokes: {other}"),
        };
        for key in sent {
            let header = format!("X-API-Key: {}", key.map_or("", String::as_str));
            let answer = match key {
                Some(_) => clients.curl(&["-H", &header, URL]),
                None => clients.curl(&[URL]),
            };
            assert_shown(&answer, status, &json!({ "detail": message }), &[]);
            // Byte for byte: unaccented, as printed.
            assert_eq!(answer.body, format!("{{\"detail\":\"{message}\"}}"));
            if status == 401 {
                let challenge = "ApiKey realm=\"keyward\", header=\"X-API-Key\"";
                assert_eq!(answer.header("www-authenticate"), Some(challenge));
            }
            provoked += 1;
        }
    }
    assert_eq!(provoked, 4);

    // On which the guide is silent (PROFILES.md, mindo): unknown, and malformed.
    let turned: String = key.strip_prefix("mindo_").unwrap().chars().rev().collect();
    for wrong in [format!("mindo_{turned}"), "wrong".to_owned()] {
        let answer = clients.curl(&["-H", &format!("X-API-Key: {wrong}"), URL]);
        assert_shown(&answer, 401, &json!({"detail": "API Key invalida"}), &[]);
    }
    guide.all_answers_provoked();
}
