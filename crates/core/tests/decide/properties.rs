//! For requests nobody thought of: `explain` and `decide` agree, nothing panics, and a permit is never given to what
//! carries no good key.

use std::collections::BTreeSet;

use keyward_core::{
    key::KeyState,
    verdict::{Reason, Verdict},
};
use proptest::{
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use crate::world::{self, Ask, World, moment};

/// What a random request is put together from.
#[derive(Clone, Debug)]
struct Parts {
    method: &'static str,
    host: &'static str,
    path: String,
    query: Option<String>,
    credentials: Vec<(&'static str, Credential)>,
    body: Option<Vec<u8>>,
    client: [u8; 4],
    secure: bool,
    seconds: u64,
}

#[derive(Clone, Debug)]
enum Credential {
    /// One of the world's keys, with something before and after it.
    Key(usize, &'static str, &'static str),
    Text(String),
}

/// A whole request, with the key of this place in [`populated`]; most of them are permitted.
struct Whole(&'static str, &'static str, &'static str, &'static str, usize, &'static str);

const WHOLE: [Whole; 7] = [
    Whole("POST", "api.example.com", "/v1/generate", "Authorization", 0, r#"{"model":"gpt-4"}"#),
    Whole("POST", "api.example.com", "/v1/generate", "Authorization", 1, r#"{"model":"gpt-4"}"#),
    Whole("GET", "api.example.com", "/v1/models", "Authorization", 2, ""),
    Whole(
        "POST",
        "api.aitronos.com",
        "/v1/model/response",
        "X-API-Key",
        3,
        r#"{"organization_id":"org_your_org_id","model":"gpt-4"}"#,
    ),
    Whole(
        "POST",
        "api.anunzi.net",
        "/v2/assistants",
        "Authorization",
        4,
        r#"{"model_id":"151531531x15361351"}"#,
    ),
    Whole("GET", "own.test", "/items/a", "Authorization", 5, ""),
    Whole("GET", "own.test", "/items/special", "Authorization", 5, ""),
];

const HOSTS: [&str; 7] = [
    "api.anunzi.net",
    "api.example.com",
    "api.aitronos.com",
    "api.mindosoftware.com",
    "api.openai.com",
    "twin.test",
    "own.test",
];

fn paths() -> impl Strategy<Value = String> {
    let known = select(vec![
        "/v1/generate",
        "/v1/models/gpt-4",
        "/v1/webhooks/w",
        "/v1/inference",
        "/v1/chat/completions",
        "/v1/model/response",
        "/v2/assistants/151531531x15361351",
        "/items/special",
        "/deep",
        "/orgs/org_other",
    ]);
    prop_oneof![known.prop_map(str::to_owned), "/v1(/[a-z%.{}0-9]{0,8}){0,3}/?"]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        r#"{"model":"gpt-4","model":"other"}"#,
        r#"{"mod\u0065l":"gpt-4"}"#,
        r#"{"model":"other","organization_id":"org_other","model_id":"999999999x99999999"}"#,
        r#"{"model":"other"}"#,
        r#"{"options":{"model":"gpt-4"}}"#,
        "{}",
    ]);
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    let nearly_json = "[{}\\[\\]\":,a-z0-9 \\\\]{0,40}".prop_map(String::into_bytes);
    prop_oneof![4 => known.prop_map(|body| body.as_bytes().to_vec()), 1 => bytes, 1 => nearly_json]
}

fn credential() -> impl Strategy<Value = (&'static str, Credential)> {
    let name = select(vec!["Authorization", "authorization", "X-API-Key", "x-api-key", "Cookie"]);
    let before = select(vec!["Bearer ", "bearer  ", "Basic ", "", "Bearer", ","]);
    let after = select(vec!["", " ", "x", ", Bearer a"]);
    let key = (0..6_usize, before, after).prop_map(|(at, b, a)| Credential::Key(at, b, a));
    (name, prop_oneof![key, "[ -~]{0,20}".prop_map(Credential::Text)])
}

/// Now and then something else.
fn rarely<S: Strategy>(other: S) -> impl Strategy<Value = Option<S::Value>> {
    proptest::option::weighted(0.15, other)
}

prop_compose! {
    /// A whole request, some parts of which are exchanged.
    fn parts()(
        whole in 0..WHOLE.len(),
        method in rarely(select(vec!["GET", "POST", "DELETE", "HEAD", "OPTIONS", "BREW", ""])),
        host in rarely(select(HOSTS.to_vec())),
        path in rarely(paths()),
        query in rarely("[a-z_=&;%0-9+]{0,20}|model_id=151531531x15361351"),
        credential in rarely(credential()),
        second in rarely(credential()),
        body in rarely(bodies()),
        client: [u8; 4],
        secure in prop::bool::weighted(0.9),
        seconds in 0..66_u64,
    ) -> Parts {
        let Whole(own_method, own_host, own_path, header, key, own_body) = WHOLE[whole];
        let scheme = if header == "Authorization" { "Bearer " } else { "" };
        let first = credential.unwrap_or((header, Credential::Key(key, scheme, "")));
        let own_body = (!own_body.is_empty()).then(|| own_body.as_bytes().to_vec());
        Parts {
            method: method.unwrap_or(own_method),
            host: host.unwrap_or(own_host),
            path: path.unwrap_or_else(|| own_path.to_owned()),
            query,
            credentials: std::iter::once(first).chain(second).collect(),
            body: body.or(own_body),
            client,
            secure,
            seconds,
        }
    }
}

/// A world with keys for several APIs in several states, and their texts.
fn populated() -> (World, Vec<String>) {
    let world = World::new();
    let keys = [
        world.key("generic", &["admin"]),
        world.key_with("generic", &["read"], |key, _| {
            key.allowed_models = Some(vec!["gpt-4".to_owned()]);
            key.allowed_networks = vec!["0.0.0.0/1".parse().unwrap()];
        }),
        world.key_with("generic", &["read"], |key, _| key.state = KeyState::Revoked),
        world.key("freddy", &["admin"]),
        world.key("anunzi", &["assistants:write", "calls:write"]),
        world.key("own", &["read"]),
    ];
    let texts = keys.map(|made| made.text).to_vec();
    (world, texts)
}

fn ask<'w>(world: &'w World, keys: &[String], parts: &Parts) -> Option<Ask<'w>> {
    let headers = parts.credentials.iter().map(|(name, credential)| {
        let value = match credential {
            Credential::Key(at, before, after) => format!("{before}{}{after}", keys[*at]),
            Credential::Text(text) => text.clone(),
        };
        ((*name).to_owned(), value)
    });
    let ask = Ask {
        world,
        method: parts.method.to_owned(),
        host: parts.host.to_owned(),
        path: parts.path.clone(),
        query: parts.query.clone(),
        headers: headers.collect(),
        body: parts.body.clone(),
        client: parts.client.into(),
        secure: parts.secure,
        now: moment(world::NOW).plus(std::time::Duration::from_secs(parts.seconds)),
    };
    let policy = world.snapshot.policy();
    policy.find(parts.host, &parts.path).is_some().then_some(ask)
}

/// The same requests on every run: what fails once fails again.
fn runner() -> TestRunner {
    let config = ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn explain_and_decide_agree_on_every_request() {
    let (world, keys) = populated();
    let agree = |parts: Parts| {
        let Some(ask) = ask(&world, &keys, &parts) else { return Ok(()) };
        let verdict = ask.verdict();
        let explanation = ask.explanation();
        prop_assert_eq!(format!("{:?}", &verdict), format!("{:?}", explanation.verdict));
        let permitted = matches!(verdict, Verdict::Permit(_));
        prop_assert_eq!(explanation.steps.last().map(|step| step.passed), Some(permitted));
        if permitted {
            let sent = |text: &String| ask.headers.iter().any(|(_, value)| value.contains(text));
            prop_assert!(keys.iter().any(sent), "a request without a key is permitted");
            prop_assert!(
                ask.secure || ask.host == "own.test",
                "a request in the clear is permitted"
            );
        }
        Ok(())
    };
    runner().run(&parts(), agree).unwrap();
}

/// The property above would be worth nothing if its requests never got far.
#[test]
fn the_random_requests_reach_most_verdicts() {
    let (world, keys) = populated();
    let (mut permits, mut outages, mut reasons) = (0, 0, BTreeSet::new());
    let mut runner = runner();
    for _ in 0..4000 {
        let parts = parts().new_tree(&mut runner).unwrap().current();
        match ask(&world, &keys, &parts).map(|ask| ask.verdict()) {
            Some(Verdict::Permit(_)) => permits += 1,
            Some(Verdict::Denial(denial)) => drop(reasons.insert(denial.reason)),
            Some(Verdict::Outage(_)) => outages += 1,
            None => {}
        }
    }
    assert!(permits > 400, "{permits} permits");
    use Reason as R;
    let expected = [
        R::InsecureTransport,
        R::MissingKey,
        R::SeveralCredentials,
        R::MalformedKey,
        R::UnknownKey,
        R::RevokedKey,
        R::ForeignNetwork,
        R::UnknownRoute,
        R::MethodNotAllowed,
        R::InsufficientPermission,
        R::InvalidBody,
        R::MissingField,
        R::ForeignOrganization,
        R::ForeignModelId,
        R::ModelNotAllowed,
    ];
    let unreached: Vec<_> = expected.iter().filter(|reason| !reasons.contains(reason)).collect();
    assert!(unreached.is_empty(), "{unreached:?}");
    assert!(outages > 100, "{outages} outages");
}
