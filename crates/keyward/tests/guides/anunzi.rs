//! `anunzi.md`: bearer keys issued by staff, one for each client, and model ids that belong to clients.

use std::collections::BTreeMap;

use keyward_testkit::{Answer, Clients, Demo};
use serde_json::{Value, json};

use crate::{
    KEYWARD, document,
    guide::Guide,
    refusals::{assert_shown, unknown_key},
    settle,
};

const URL: &str = "https://api.anunzi.net/v2/assistants";

fn start() -> (Demo, Clients, String) {
    let demo = Demo::start(KEYWARD);
    let key = demo.system("anunzi").key.clone();
    let clients = demo.clients();
    (demo, clients, key)
}

fn post(clients: &Clients, key: &str, body: &str) -> Answer {
    let authorization = format!("Authorization: Bearer {key}");
    let json = "Content-Type: application/json";
    clients.curl(&["-H", &authorization, "-H", json, "-d", body, URL])
}

#[test]
fn every_example_runs_unmodified() {
    let guide = Guide::load("anunzi.md");
    let (_demo, clients, key) = start();

    let example = guide.with_key("authentication in a request", "YOUR_API_KEY", &key);
    let answer = clients.bash(&example);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json().is_object());

    let answer = post(&clients, &key, guide.block("model id in a request"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    guide.all_examples_ran();
}

#[test]
fn every_documented_refusal_is_answered_word_for_word() {
    let guide = Guide::load("anunzi.md");
    let (demo, clients, key) = start();
    let shown = shown(&guide);
    let codes: Vec<_> = shown.keys().copied().collect();
    assert_eq!(codes, [200, 400, 401, 403, 404, 429, 500], "the rows of the guide's table");

    // 400: the model id is missing, is not text, or there is no JSON.
    for body in [r#"{"name": "Test Assistant"}"#, r#"{"model_id": 151531531}"#, "{", ""] {
        assert_shown(&post(&clients, &key, body), 400, &shown[&400], &[]);
    }

    // 401: missing, incorrect, or no longer good.
    let (revoked_id, revoked) = key_of_another_client(&demo, "revoked");
    demo.cli.json(&format!("keys revoke {revoked_id}"));
    let (_, reader) = key_of_another_client(&demo, "reader");
    settle(&demo, &clients);
    let missing = clients.curl(&[URL]);
    assert_shown(&missing, 401, &shown[&401], &[]);
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"keyward\""));
    for wrong in ["YOUR_API_KEY", &unknown_key("kw_", 52), &revoked] {
        let answer = clients.curl(&["-H", &format!("Authorization: Bearer {wrong}"), URL]);
        assert_shown(&answer, 401, &shown[&401], &[]);
    }

    // 403: another client's model id, and a key without the permission.
    let model = guide.block("model id in a request");
    assert_shown(&post(&clients, &reader, model), 403, &shown[&403], &[]);
    let foreign = model.replace("151531531x15361351", "151531531x15361352");
    assert_shown(&post(&clients, &key, &foreign), 403, &shown[&403], &[]);

    // 404: no such endpoint, for a caller with a good key.
    let authorization = format!("Authorization: Bearer {key}");
    let nowhere = "https://api.anunzi.net/v2/nothing";
    let answer = clients.curl(&["-H", &authorization, nowhere]);
    assert_shown(&answer, 404, &shown[&404], &[]);

    // 429 and 500 cannot be provoked here: nothing enforces limits yet, and no request makes the gateway fail. Their words
    // are locked by the core's snapshots.
    guide.all_answers_provoked();
}

/// The clients have one key each, so another key is another client's.
fn key_of_another_client(demo: &Demo, name: &str) -> (String, String) {
    demo.cli.json(&format!("orgs create --id org_{name} --name {name}"));
    demo.cli.create_key(&format!(
        "--api anunzi --organization org_{name} --name {name} --permission assistants:read"
    ))
}

/// By status code, the body that says what the guide's table says in its row.
fn shown(guide: &Guide) -> BTreeMap<u16, Value> {
    let rows = document::table(guide.text(), &["Code", "Meaning", "Recommended Action"]);
    let body = |row: Vec<String>| {
        let code = document::plain(&row[0]);
        let (status, title) = code.split_once(' ').unwrap();
        let status: u16 = status.parse().unwrap();
        let (message, action) = (document::plain(&row[1]), document::plain(&row[2]));
        let body = json!({"status": status, "error": title, "message": message, "action": action});
        (status, body)
    };
    rows.into_iter().map(body).collect()
}
