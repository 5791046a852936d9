//! `freddy.md`: a key in `X-API-Key`, one 401 for every cause, and the vendor's own SDK.

use keyward_testkit::{
    Answer, Clients, Demo, Ran,
    clients::{Program, Raised},
    keyward::text,
};
use serde_json::{Value, json};

use crate::{
    KEYWARD,
    guide::Guide,
    refusals::{assert_shown, is_moment, unknown_key, varying},
    settle,
};

const URL: &str = "https://api.aitronos.com/v1/model/response";
const PLACEHOLDER: &str = "ak_your_api_key_here";
const BODY: &str = r#"{"organization_id": "org_your_org_id", "model": "gpt-4o", "inputs": []}"#;

fn start() -> (Demo, Clients, String) {
    let demo = Demo::start(KEYWARD);
    let key = demo.system("freddy").key.clone();
    let clients = demo.clients();
    (demo, clients, key)
}

fn post(clients: &Clients, headers: &[&str], body: &str) -> Answer {
    let mut arguments = vec!["-H", "Content-Type: application/json", "-d", body, URL];
    headers.iter().for_each(|header| arguments.extend(["-H", header]));
    clients.curl(&arguments)
}

#[test]
fn every_example_runs_unmodified() {
    let guide = Guide::load("freddy.md");
    let (_demo, clients, key) = start();

    let answer = clients.bash(&guide.with_key("cURL", PLACEHOLDER, &key));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said = text(&answer.json()["response"][0], "text");

    // The examples print what was answered, and take the key from the variable of the guide's own file.
    let shell = environment(&guide, &key);
    let ran = clients.python(&Program {
        shell: &shell,
        example: guide.block("Python"),
        epilogue: "keyward_result = response.status_code",
        ..Program::default()
    });
    assert_eq!((ran.result, ran.error, ran.stdout), (json!(200), None, format!("{said}\n")));
    let ran = clients.node(&Program {
        shell: &shell,
        example: guide.block("JavaScript"),
        epilogue: "response.status",
        ..Program::default()
    });
    assert_eq!((ran.result, ran.stdout), (json!(200), format!("{said}\n")));

    let get = "https://api.aitronos.com/v1/models";
    let ran = clients.python(&Program {
        shell: &shell,
        example: guide.block("environment variable in Python"),
        epilogue: &format!(
            "import requests\nkeyward_result = requests.get({get:?}, headers={{'X-API-Key': api_key}}).status_code"
        ),
        ..Program::default()
    });
    assert_eq!((ran.result, ran.error), (json!(200), None));
    let ran = clients.node(&Program {
        shell: &shell,
        example: guide.block("environment variable in Node.js"),
        epilogue: &format!(
            "(await fetch({get:?}, {{ headers: {{ 'X-API-Key': apiKey }} }})).status"
        ),
        ..Program::default()
    });
    assert_eq!(ran.result, json!(200));

    keys_look_as_the_guide_says(&guide, &clients, &key);
    the_sdk_is_answered(&guide, &clients, &key, &said);
    let ran = call(&guide, &clients, &key, "models");
    assert_eq!((ran.result["models"].is_array(), ran.stdout.as_str()), (true, ""));
    guide.all_examples_ran();
}

/// The guide's `.env` file, read as programs read such files.
fn environment(guide: &Guide, key: &str) -> String {
    format!("set -a\n{}set +a", guide.with_key(".env file", PLACEHOLDER, key))
}

/// "`ak_`, 42 characters, alphanumeric". The guide's example has 43, and is answered like any key that nobody has.
fn keys_look_as_the_guide_says(guide: &Guide, clients: &Clients, key: &str) {
    let rest = key.strip_prefix("ak_").expect("the guide's prefix");
    assert!(rest.bytes().all(|b| b.is_ascii_alphanumeric()), "only letters and digits");
    assert_eq!(key.len(), 42);
    let example = format!("X-API-Key: {}", guide.block("key format").trim());
    let unknown = format!("X-API-Key: {}", unknown_key("ak_", 42));
    let code = |header: &str| {
        let answer = post(clients, &[header], BODY);
        (answer.status, text(&answer.json()["error"], "code"))
    };
    assert_eq!(code(&example), code(&unknown));
}

/// The example's last line does not fit the published SDK, which returns the parsed JSON as a dict: the call is answered, and
/// then the example fails by itself (PROFILES.md, freddy).
fn the_sdk_is_answered(guide: &Guide, clients: &Clients, key: &str, said: &str) {
    let ran = clients.python(&Program {
        example: &guide.with_key("Python SDK", PLACEHOLDER, key),
        epilogue: "keyward_result = result",
        ..Program::default()
    });
    assert_eq!(ran.result["response"][0]["text"], said, "{}", ran.result);
    let error = Raised {
        kind: "AttributeError".to_owned(),
        message: "'dict' object has no attribute 'response'".to_owned(),
    };
    assert_eq!(ran.error, Some(error));
}

/// Calls the guide's `make_authenticated_request`.
fn call(guide: &Guide, clients: &Clients, key: &str, endpoint: &str) -> Ran {
    clients.python(&Program {
        shell: &environment(guide, key),
        example: guide.block("error handling code"),
        epilogue: &format!("keyward_result = make_authenticated_request({endpoint:?})"),
        ..Program::default()
    })
}

#[test]
fn the_guides_error_handling_takes_each_of_its_branches() {
    let guide = Guide::load("freddy.md");
    let (demo, clients, key) = start();
    let organization = &demo.system("freddy").organization_id;
    let (_, unable) = demo.cli.create_key(&format!(
        "--api freddy --organization {organization} --name unable --permission threads:read"
    ));
    settle(&demo, &clients);
    for (sent, endpoint, said) in [
        ("ak_wrong", "models", "Authentication failed. Check your API key.\n"),
        (&unable, "models", "Permission denied. Check your account permissions.\n"),
        (&key, "nothing", "Unexpected error: 404\n"),
    ] {
        let ran = call(&guide, &clients, sent, endpoint);
        assert_eq!((ran.result, ran.stdout.as_str()), (Value::Null, said));
    }
}

#[test]
fn every_documented_refusal_is_answered_word_for_word() {
    let guide = Guide::load("freddy.md");
    let (demo, clients, key) = start();
    let cli = &demo.cli;
    let make = |name: &str, organization: &str, more: &str| {
        cli.create_key(&format!("--api freddy --organization {organization} --name {name} {more}"))
    };
    let varies = || {
        let trace = varying("/error/trace_id", |id| !id.is_empty());
        [trace, varying("/error/timestamp", is_moment)]
    };

    // 401: missing, invalid, expired, malformed; and revoked and disabled, which the guide does not tell apart.
    let unauthorized: Value = serde_json::from_str(guide.block("401 Unauthorized")).unwrap();
    let own = demo.system("freddy").organization_id.as_str();
    let (revoked_id, revoked) = make("revoked", own, "--permission responses:write");
    cli.json(&format!("keys revoke {revoked_id}"));
    let (disabled_id, disabled) = make("disabled", own, "--permission responses:write");
    cli.json(&format!("keys disable {disabled_id}"));
    let (expired_id, expired) = make("expired", own, "--permission responses:write");
    cli.json(&format!("keys rotate {expired_id} --overlap 0s"));
    settle(&demo, &clients);
    assert_shown(&post(&clients, &[], BODY), 401, &unauthorized, &varies());
    let unknown = unknown_key("ak_", 42);
    for wrong in [PLACEHOLDER, "wrong", &unknown, &expired, &revoked, &disabled] {
        let answer = post(&clients, &[&format!("X-API-Key: {wrong}")], BODY);
        assert_shown(&answer, 401, &unauthorized, &varies());
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert_eq!(challenge, "ApiKey realm=\"keyward\", header=\"X-API-Key\"");
    }

    // 403: the key's permissions, the account's restrictions (here: its organization is suspended), another's resource.
    let forbidden: Value = serde_json::from_str(guide.block("403 Forbidden")).unwrap();
    let (_, unable) = make("unable", own, "--permission threads:read");
    cli.json("orgs create --id org_suspended --name suspended");
    let (_, suspended) = make("any", "org_suspended", "--permission responses:write");
    cli.json("orgs suspend org_suspended");
    settle(&demo, &clients);
    let foreign = BODY.replace("org_your_org_id", "org_suspended");
    for (sent, body) in [(&unable, BODY), (&suspended, BODY), (&key, foreign.as_str())] {
        let answer = post(&clients, &[&format!("X-API-Key: {sent}")], body);
        assert_shown(&answer, 403, &forbidden, &varies());
    }

    the_sdk_raises(&clients);
    guide.all_answers_provoked();
}

/// The SDK takes an empty error body for success: ours is never empty, so that it raises.
fn the_sdk_raises(clients: &Clients) {
    let ran = clients.python(&Program {
        example: "from aitronos import Aitronos\n\
                  client = Aitronos(api_key='ak_wrong')\n\
                  client.responses.create_response(model='gpt-4o', inputs=[])\n",
        prelude: "import sys",
        ..Program::default()
    });
    let error = ran.error.expect("the SDK raises");
    assert_eq!(error.kind, "ApiError");
    assert!(error.message.contains("'code': 'INVALID_API_KEY'"), "{}", error.message);
}
