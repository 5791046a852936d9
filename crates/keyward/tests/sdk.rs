//! The two vendors' own Python SDKs, unmodified, against `keyward demo` at the vendors' own hosts: what they ask is answered,
//! and what is refused becomes the typed error their users catch.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands"
)]

use keyward_testkit::{Clients, Demo, clients::Program, wait};
use serde_json::{Value, json};

const KEYWARD: &str = env!("CARGO_BIN_EXE_keyward");

/// Defines `attempt`, which gives what a call gives, or what of its error a program can use.
const ATTEMPT: &str = "
def attempt(call):
    try:
        return call()
    except Exception as error:
        return [type(error).__name__, error.status_code, error.message, error.body, error.request_id]
";

struct Sdk {
    demo: Demo,
    clients: Clients,
    api: &'static str,
    /// Makes `client` for a key and the API's host.
    prelude: fn(&str, &str) -> String,
}

impl Sdk {
    fn start(api: &'static str, prelude: fn(&str, &str) -> String) -> Self {
        let demo = Demo::start(KEYWARD);
        let clients = demo.clients();
        Self { demo, clients, api, prelude }
    }

    fn key(&self) -> String {
        self.demo.system(self.api).key.clone()
    }

    fn make_key(&self, name: &str, permission: &str) -> (String, String) {
        let organization = &self.demo.system(self.api).organization_id;
        let api = self.api;
        self.demo.cli.create_key(&format!(
            "--api {api} --organization {organization} --name {name} --permission {permission}"
        ))
    }

    /// Waits until the running gateway knows every change that was made before: it takes them in order.
    fn settle(&self, permission: &str) {
        let (_, marker) = self.make_key("marker", permission);
        let authorization = format!("Authorization: Bearer {marker}");
        let models = format!("https://{}/v1/models", self.demo.system(self.api).host);
        wait::until("the gateway follows", wait::LONG, || {
            let answer = self.clients.curl(&["-H", &authorization, &models]);
            (answer.status == 200).then_some(())
        });
    }

    /// The value of a Python expression in which `client` is the SDK's, with this key.
    fn value(&self, key: &str, expression: &str) -> Value {
        let host = &self.demo.system(self.api).host;
        let prelude = format!("{ATTEMPT}\n{}", (self.prelude)(key, host));
        let epilogue = format!("keyward_result = {expression}");
        let program = Program { prelude: &prelude, epilogue: &epilogue, ..Program::default() };
        self.clients.python(&program).result
    }

    /// How many requests the gateway has counted for a key, once it has ended and told everything.
    fn requests_in_the_end(mut self, key_id: &str) -> u64 {
        assert!(self.demo.process.terminate().success());
        let shown = self.demo.cli.json(&format!("keys show {key_id}"));
        let usage = shown["usage"].as_array().expect("usage").clone();
        usage.iter().map(|one| one["requests"].as_u64().unwrap()).sum()
    }
}

fn openai() -> Sdk {
    Sdk::start("openai", |key, host| {
        format!(
            "import openai\nclient = openai.OpenAI(api_key={key:?}, base_url='https://{host}/v1')"
        )
    })
}

fn anthropic() -> Sdk {
    Sdk::start("anthropic", |key, host| {
        format!(
            "import anthropic\nclient = anthropic.Anthropic(api_key={key:?}, base_url='https://{host}')"
        )
    })
}

const CHAT: &str = "model='gpt-4o', messages=[{'role': 'user', 'content': 'Hello!'}]";
const MESSAGE: &str =
    "model='claude-sonnet-4-5', max_tokens=64, messages=[{'role': 'user', 'content': 'Hello!'}]";

#[test]
fn openai_is_answered_whole_and_as_a_stream() {
    let sdk = openai();
    let key = sdk.key();
    let whole = sdk.value(
        &key,
        &format!("(lambda c: [c.choices[0].message.content, c.model, bool(c._request_id)])(client.chat.completions.create({CHAT}))"),
    );
    let said = whole[0].as_str().expect("a text").to_owned();
    assert_eq!(whole, json!([said, "gpt-4o", true]));

    let pieces = sdk.value(
        &key,
        &format!(
            "[c.choices[0].delta.content or '' for c in client.chat.completions.create({CHAT}, stream=True) if c.choices]"
        ),
    );
    let pieces: Vec<String> = serde_json::from_value(pieces).unwrap();
    assert!(pieces.iter().filter(|piece| !piece.is_empty()).count() > 1, "{pieces:?}");
    assert_eq!(pieces.concat(), said);

    let response =
        sdk.value(&key, "client.responses.create(model='gpt-4o', input='Hello!').output_text");
    assert!(response.as_str().is_some_and(|text| text.starts_with("Hello!")), "{response}");
    let streamed = sdk.value(
        &key,
        "''.join(e.delta for e in client.responses.create(model='gpt-4o', input='Hello!', stream=True) if e.type == 'response.output_text.delta')",
    );
    assert_eq!(streamed, response);
    let models = sdk.value(&key, "len([model.id for model in client.models.list()])");
    assert!(models.as_u64().is_some_and(|count| count > 0), "{models}");
}

#[test]
fn openai_raises_typed_errors_with_our_words_and_does_not_try_again() {
    let sdk = openai();
    let chat = format!("attempt(lambda: client.chat.completions.create({CHAT}))");

    let error = sdk.value("wrong", &chat);
    assert_eq!((&error[0], &error[1]), (&json!("AuthenticationError"), &json!(401)));
    assert!(error[2].as_str().unwrap().contains("Incorrect API key provided."), "{error}");
    assert_eq!(error[3]["code"], "invalid_api_key", "{error}");
    assert!(error[4].as_str().is_some_and(|id| id.starts_with("req_")), "{error}");

    let (_, lister) = sdk.make_key("lister", "api.model.read");
    let (revoked_id, revoked) = sdk.make_key("revoked", "api.all");
    sdk.demo.cli.json(&format!("keys revoke {revoked_id}"));
    sdk.settle("api.model.read");
    let error = sdk.value(&lister, &chat);
    assert_eq!((&error[0], &error[1]), (&json!("PermissionDeniedError"), &json!(403)));
    assert!(error[2].as_str().unwrap().contains("Missing scopes: model.request"), "{error}");

    // A revoked key is still known, so its refused requests are counted to it.
    let error = sdk.value(&revoked, &chat);
    assert_eq!((&error[0], &error[1]), (&json!("AuthenticationError"), &json!(401)));
    assert_eq!(sdk.requests_in_the_end(&revoked_id), 1);
}

#[test]
fn anthropic_is_answered_whole_and_as_a_stream() {
    let sdk = anthropic();
    let key = sdk.key();
    let whole = sdk.value(
        &key,
        &format!("(lambda m: [m.content[0].text, m.usage.output_tokens > 0, bool(m._request_id)])(client.messages.create({MESSAGE}))"),
    );
    let said = whole[0].as_str().expect("a text").to_owned();
    assert_eq!(whole, json!([said, true, true]));

    let deltas = sdk.value(
        &key,
        &format!(
            "[e.delta.text for e in client.messages.create({MESSAGE}, stream=True) if e.type == 'content_block_delta']"
        ),
    );
    let deltas: Vec<String> = serde_json::from_value(deltas).unwrap();
    assert!(deltas.len() > 1, "{deltas:?}");
    assert_eq!(deltas.concat(), said);

    // Older versions send the key in a header of its own. It is live too, but not beside the newer way.
    let headers = format!("{{'X-Api-Key': {key:?}, 'Authorization': anthropic.omit}}");
    let create = |headers: &str| {
        let call = format!("client.messages.create({MESSAGE}, extra_headers={headers})");
        sdk.value(&key, &format!("attempt(lambda: {call}.content[0].text)"))
    };
    assert_eq!(create(&headers), json!(said));
    let both = create(&format!("{{'X-Api-Key': {key:?}}}"));
    assert_eq!((&both[0], &both[1]), (&json!("BadRequestError"), &json!(400)));
}

#[test]
fn anthropic_raises_typed_errors_with_our_words_and_does_not_try_again() {
    let sdk = anthropic();
    let message = format!("attempt(lambda: client.messages.create({MESSAGE}))");

    let error = sdk.value("wrong", &message);
    assert_eq!((&error[0], &error[1]), (&json!("AuthenticationError"), &json!(401)));
    assert_eq!(
        error[3]["error"],
        json!({"type": "authentication_error", "message": "invalid x-api-key"})
    );
    assert!(error[4].as_str().is_some_and(|id| id.starts_with("req_")), "{error}");

    let (_, lister) = sdk.make_key("lister", "models:read");
    let (revoked_id, revoked) = sdk.make_key("revoked", "messages:write");
    sdk.demo.cli.json(&format!("keys revoke {revoked_id}"));
    sdk.settle("models:read");
    let error = sdk.value(&lister, &message);
    assert_eq!((&error[0], &error[1]), (&json!("PermissionDeniedError"), &json!(403)));
    assert_eq!(error[3]["error"]["type"], "permission_error", "{error}");

    // A revoked key is still known, so its refused requests are counted to it.
    let error = sdk.value(&revoked, &message);
    assert_eq!((&error[0], &error[1]), (&json!("AuthenticationError"), &json!(401)));
    assert_eq!(sdk.requests_in_the_end(&revoked_id), 1);
}
