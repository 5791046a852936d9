//! `generic.md`: bearer keys with permissions, and an envelope with details.

use keyward_testkit::{
    Api, Clients, Demo, Ran, Serve, Upstream, clients::Program, keyward::text, wait,
};
use serde_json::{Value, json};

use crate::{
    KEYWARD,
    guide::Guide,
    refusals::{assert_shown, is_key_id, is_moment, unknown_key, varying},
    settle,
};

const HOST: &str = "api.example.com";
const URL: &str = "https://api.example.com/v1/generate";
const BODY: &str = r#"{"prompt": "Hello, world!", "model": "gpt-4"}"#;

fn start() -> (Demo, Clients, String) {
    let demo = Demo::start(KEYWARD);
    let key = demo.system("generic").key.clone();
    let clients = demo.clients();
    (demo, clients, key)
}

#[test]
fn every_example_runs_unmodified() {
    let guide = Guide::load("generic.md");
    let (_demo, clients, key) = start();
    let placeholder = "YOUR_API_KEY";

    let answer = clients.bash(&guide.with_key("cURL", placeholder, &key));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["success"], true);

    let header = guide.with_key("authorization header", placeholder, &key);
    let json = "Content-Type: application/json";
    assert_eq!(clients.curl(&["-H", header.trim_end(), "-H", json, "-d", BODY, URL]).status, 200);

    // The variable is set as the guide sets it.
    let export = guide.with_key("environment variable in Unix", "your-api-key-here", &key);
    let python = guide.with_key("Python", placeholder, &key);
    let javascript = guide.with_key("JavaScript", placeholder, &key);
    for (shell, example) in
        [("", python.as_str()), (&export, guide.block("Python with the variable"))]
    {
        let epilogue = "keyward_result = [response.status_code, response.json()['success']]";
        let ran = clients.python(&Program { shell, example, epilogue, ..Program::default() });
        assert_eq!((ran.result, ran.error), (json!([200, true]), None));
    }
    let with_variable = guide.block("JavaScript with the variable");
    for (shell, example) in [("", javascript.as_str()), (&export, with_variable)] {
        let epilogue = "[response.status, (await response.json()).success]";
        let ran = clients.node(&Program { shell, example, epilogue, ..Program::default() });
        assert_eq!(ran.result, json!([200, true]));
    }

    let ran = call(&guide, &clients, &key, "generate");
    assert_eq!(ran.result["value"]["success"], true, "{}", ran.result);
    guide.all_examples_ran();
}

/// Calls the guide's `makeAPIRequest`, with the key in the variable as the guide sets it.
fn call(guide: &Guide, clients: &Clients, key: &str, endpoint: &str) -> Ran {
    let shell = guide.with_key("environment variable in Unix", "your-api-key-here", key);
    let epilogue = format!(
        "await makeAPIRequest({endpoint:?}, {BODY}).then((value) => ({{ value }}), (error) => ({{ thrown: error.message }}))"
    );
    let example = guide.block("error handling");
    clients.node(&Program { shell: &shell, example, epilogue: &epilogue, ..Program::default() })
}

#[test]
fn the_guides_error_handling_takes_each_of_its_branches() {
    let guide = Guide::load("generic.md");
    let (demo, clients, key) = start();
    let (_, reader) = demo
        .cli
        .create_key("--api generic --organization org_generic --name reader --permission read");
    settle(&demo, &clients);
    for (sent, endpoint, message) in [
        ("wrong", "generate", "Invalid API key. Please check your credentials."),
        (&reader, "prompts", "Access denied. Check your API key permissions."),
        // Its default branch shows the message of the envelope.
        (&key, "nothing", "API Error: The requested resource was not found"),
    ] {
        let ran = call(&guide, &clients, sent, endpoint);
        assert_eq!(ran.result, json!({ "thrown": message }));
        assert_eq!(ran.stderr.trim_end(), format!("API request failed: {message}"));
    }

    // Nothing enforces limits yet, so the 429 is the upstream's own, and passes as it is.
    let upstream = Upstream::start(|exchange| exchange.json(429, r#"{"success":false}"#));
    let api = Api::new("generic", upstream.address()).profile("generic").host(HOST).prefix("/v1");
    let keyward = Serve::new(KEYWARD).tls(HOST).api(api).start();
    keyward.cli.json("orgs create --id customer --name customer");
    let (_, key) = keyward
        .cli
        .create_key("--api generic --organization customer --name one --permission read");
    let clients = keyward.clients();
    wait::until("the gateway knows the key", wait::LONG, || {
        let nowhere = format!("https://{HOST}/v1/nothing");
        let answer = clients.curl(&["-H", &format!("Authorization: Bearer {key}"), &nowhere]);
        (answer.status == 404).then_some(())
    });
    let ran = call(&guide, &clients, &key, "generate");
    assert_eq!(ran.result, json!({"thrown": "Rate limit exceeded. Please try again later."}));
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn every_documented_refusal_is_answered_word_for_word() {
    let guide = Guide::load("generic.md");
    let (demo, clients, _) = start();
    let shown = |name: &str| serde_json::from_str::<Value>(guide.block(name)).unwrap();
    let send = |key: &str| {
        let authorization = format!("Authorization: Bearer {key}");
        clients.curl(&[
            "-H",
            &authorization,
            "-H",
            "Content-Type: application/json",
            "-d",
            BODY,
            URL,
        ])
    };
    let cli = &demo.cli;
    let make = |name: &str, more: &str| {
        let made = "--api generic --organization org_generic";
        cli.create_key(&format!("{made} --name {name} {more}"))
    };

    let missing = clients.curl(&["-H", "Content-Type: application/json", "-d", BODY, URL]);
    assert_shown(&missing, 401, &shown("missing API key"), &[]);
    assert_eq!(missing.header("www-authenticate"), Some("Bearer realm=\"keyward\""));

    // Invalid: malformed, unknown, revoked, disabled. A known key is told by its id, an unknown one by a fingerprint in the
    // same shape, the same each time.
    let invalid = shown("invalid API key");
    let mut fingerprints = Vec::new();
    for wrong in ["wrong", &unknown_key("kw_", 52), &demo.system("aiaas").key, "wrong"] {
        let answer = send(wrong);
        assert_shown(&answer, 401, &invalid, &[varying("/error/details/key_id", is_key_id)]);
        let challenge = "Bearer realm=\"keyward\", error=\"invalid_token\"";
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
        fingerprints.push(answer.json()["error"]["details"]["key_id"].clone());
    }
    assert_eq!(fingerprints[0], fingerprints[3]);
    assert_ne!(fingerprints[0], fingerprints[1]);
    assert_ne!(fingerprints[2], Value::from(demo.system("aiaas").key_id.clone()));
    for verb in ["revoke", "disable"] {
        let (id, secret) = make(verb, "--permission read");
        cli.json(&format!("keys {verb} {id}"));
        settle(&demo, &clients);
        let own = varying("/error/details/key_id", move |shown| shown == id);
        assert_shown(&send(&secret), 401, &invalid, &[own]);
    }

    // Expired: a secret that was rotated away, and a key at its end.
    let expired = shown("expired API key");
    let (id, secret) = make("rotated", "--permission read");
    let rotated = cli.json(&format!("keys rotate {id} --overlap 0s"));
    settle(&demo, &clients);
    let ended = text(&rotated["secrets"][0], "expires_at");
    let at = varying("/error/details/expired_at", move |shown| is_moment(shown) && shown == ended);
    assert_shown(&send(&secret), 401, &expired, &[at]);

    let (_, secret) = make("short", "--permission read --expires 1s");
    settle(&demo, &clients);
    let answer = wait::until("a key at its end is refused", wait::LONG, || {
        Some(send(&secret)).filter(|answer| answer.status != 200)
    });
    assert_shown(&answer, 401, &expired, &[varying("/error/details/expired_at", is_moment)]);

    // Not shown by the guide, but handled by its code (PROFILES.md, generic).
    let (_, secret) = make("webhooks", "--permission webhook");
    settle(&demo, &clients);
    let lacking = json!({"success": false, "error": {
        "code": "INSUFFICIENT_PERMISSIONS",
        "message": "The API key does not have the required permission",
        "details": {"required": "read"},
    }});
    assert_shown(&send(&secret), 403, &lacking, &[]);
    guide.all_answers_provoked();
}
