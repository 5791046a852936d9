//! What is metered is what the client was told, call by call: the two vendors' own Python clients, and plain requests for a third's form,
//! through a real gateway, in front of the built-in upstream, whose counts differ with each request and whose answers are compressed for who takes that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands"
)]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use keyward::{demo, profiles::Profiles};
use keyward_core::{
    directory::Directory,
    id::{ApiName, KeyId, SecretId},
    key::{Environment, Key, KeyState, Labels, Pepper, PepperVersion, Peppers, Secret},
    organization::{Organization, OrganizationState},
    policy::{Api, Policy, Upstream},
    profile::Https,
    route::Routes,
    snapshot::{Freshness, Revision, Snapshot},
    time::Timestamp,
    usage::{Tokens, UsageBatch, UsageSink, UsageSums},
};
use keyward_gateway::{Gateway, GatewayConfig, Handed, ListenerConfig, Ports, Settings};
use keyward_testkit::{Clients, certificates::Certificates, clients::Program};
use serde_json::Value;

/// Calls of the program; some make another one beside.
const CALLS: usize = 900;
const KEYS: usize = 3_600;
const APIS: [&str; 3] = ["openai", "anthropic", "gemini"];
const PROGRAM: &str = include_str!("metering.py");

/// Keeps what is told.
#[derive(Default)]
struct Ledger(Mutex<HashMap<KeyId, UsageSums>>);

impl UsageSink for Ledger {
    fn submit(&self, batch: UsageBatch) {
        let mut all = self.0.lock().unwrap();
        for row in &batch.rows {
            all.entry(row.scope.key.unwrap()).or_default().add(&row.sums);
        }
    }
}

fn policy(upstream: SocketAddr) -> Policy {
    let profiles = Profiles::built_in();
    let api = |name: &str| {
        let profile = Arc::new(profiles.compile(name).unwrap());
        let name: ApiName = name.parse().unwrap();
        Api {
            number: name.number(),
            hosts: vec![format!("{}.localhost", name.as_str()).into()],
            name,
            routes: Routes::new(profile.routes.clone()),
            prefixes: vec!["/".into()],
            upstream: 0,
            https: Https::Optional,
            ask_for_usage: true,
            profile,
            limits: vec![],
        }
    };
    let target = Upstream {
        name: "upstream".into(),
        tls: false,
        host: upstream.ip().to_string().into(),
        port: upstream.port(),
        base_path: "".into(),
        preserve_host: true,
        credential_missing: false,
        credential: None,
    };
    let fallback = Arc::new(profiles.compile("default").unwrap());
    Policy::new(APIS.map(api).into(), vec![target], fallback, None).unwrap()
}

/// A key of the API that may do everything, and what a client sends of it.
fn key(api: &Api, peppers: &Peppers) -> (String, Key, Secret) {
    let plaintext = api.profile.key_format.mint(getrandom::fill).unwrap();
    let mut id = [0; 16];
    getrandom::fill(&mut id).unwrap();
    let permissions = api.profile.vocabulary.iter().map(|permission| permission.name.to_string());
    let key = Key {
        id: KeyId::from_bits(id),
        organization: "org_test".parse().unwrap(),
        api: api.name.clone(),
        name: "test".to_owned(),
        environment: Environment::DEFAULT.parse().unwrap(),
        permissions: permissions.collect(),
        allowed_networks: vec![],
        allowed_models: None,
        state: KeyState::Active,
        created_at: Timestamp::default(),
        expires_at: None,
        owner: None,
        labels: Labels::default(),
        rotation: None,
        limits: vec![],
    };
    let pepper = peppers.current();
    let secret = Secret {
        id: SecretId::from_bits(id),
        key: key.id,
        digest: pepper.digest(plaintext.expose().as_bytes()),
        pepper: pepper.version(),
        hint: String::new(),
        created_at: Timestamp::default(),
        expires_at: None,
        last_used_at: None,
        form: Default::default(),
    };
    (plaintext.expose().to_owned(), key, secret)
}

#[test]
fn the_clients_count_what_the_gateway_counts_call_by_call() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let upstream = runtime.block_on(demo::start_upstream()).unwrap();
    let policy = Arc::new(policy(upstream));
    let peppers =
        Arc::new(Peppers::new(vec![Pepper::new(PepperVersion(1), &[7; 32]).unwrap()]).unwrap());
    let mut directory = Directory::builder(policy.clone(), KEYS);
    directory.organization(Organization {
        id: "org_test".parse().unwrap(),
        name: "Test".to_owned(),
        state: OrganizationState::Active,
        model_ids: vec![],
        allowed_models: None,
        created_at: Timestamp::default(),
        limits: vec![],
        plan: None,
    });
    let directory = Arc::new(directory.build());
    let mut ids = HashMap::new();
    let mut keys = HashMap::<&str, Vec<String>>::new();
    for name in APIS {
        for _ in 0..KEYS / APIS.len() {
            let (plaintext, key, secret) = key(policy.api(name).unwrap(), &peppers);
            directory.put_key(&policy, &key, &[secret]).unwrap();
            ids.insert(plaintext.clone(), key.id);
            keys.entry(name).or_default().push(plaintext);
        }
    }
    let freshness = Arc::new(Freshness::default());
    freshness.confirm(Revision::new(1), Timestamp::default());
    let snapshot = Snapshot::new(policy, directory, peppers, freshness);
    let ledger = Arc::<Ledger>::default();
    let listener = ListenerConfig { address: "127.0.0.1:0".parse().unwrap(), tls: None };
    let gateway = Gateway::start(
        GatewayConfig { listeners: vec![listener], workers: 2, settings: Settings::default() },
        Ports {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            counters: Arc::default(),
            began: std::time::Instant::now(),
            usage: ledger.clone(),
            slow: Arc::new(keyward_core::slow::Nothing),
        },
        &mut Handed::default(),
    )
    .unwrap();

    let calls = run(gateway.addresses()[0], &keys);
    gateway.drain();
    let metered = ledger.0.lock().unwrap();
    assert!(calls.len() >= 1_000, "{}", calls.len());
    assert_eq!(metered.len(), calls.len(), "every call has a key of its own");
    let mut estimated = 0;
    let mut different = std::collections::HashSet::new();
    for call in &calls {
        let sums = metered[&ids[call["key"].as_str().unwrap()]];
        assert_eq!(sums.requests, 1, "{call}");
        estimated += check(call, &sums);
        different.insert((sums.tokens.input, sums.tokens.output));
    }
    let broken = calls.iter().filter(|call| call.get("received").is_some()).count() as u64;
    assert!(broken > 200 && estimated > broken / 2, "{estimated} of {broken} were broken off");
    assert!(different.len() > 100, "the counts differ: {}", different.len());
}

fn run(gateway: SocketAddr, keys: &HashMap<&str, Vec<String>>) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let hosts = APIS.map(|api| format!("{api}.localhost"));
    let certificates = Certificates::make(folder.path(), &[]);
    let clients = Clients::new(hosts, gateway, &certificates.ca);
    let prelude = format!(
        "OPENAI = 'http://openai.localhost:443/v1'\nANTHROPIC = 'http://anthropic.localhost:443'\nCALLS = {CALLS}\n\
         GEMINI = 'http://gemini.localhost:443'\nOPENAI_KEYS = {}\nANTHROPIC_KEYS = {}\nGEMINI_KEYS = {}\n{PROGRAM}",
        Value::from(keys["openai"].clone()),
        Value::from(keys["anthropic"].clone()),
        Value::from(keys["gemini"].clone()),
    );
    let epilogue = "keyward_result = calls";
    let ran = clients.python(&Program { prelude: &prelude, epilogue, ..Program::default() });
    serde_json::from_value(ran.result).unwrap()
}

fn counts(of: &Value) -> Tokens {
    let count = |name: &str| of[name].as_u64().unwrap_or_else(|| panic!("{name} in {of}"));
    Tokens {
        input: count("input"),
        cached: count("cached"),
        cache_written: count("cache_written"),
        output: count("output"),
        reasoning: count("reasoning"),
    }
}

/// Holds what was metered against what the client knows; says whether it was an estimate.
fn check(call: &Value, sums: &UsageSums) -> u64 {
    if let Some(exact) = call.get("exact") {
        assert_eq!((sums.tokens, sums.estimated), (counts(exact), 0), "{call}");
        return 0;
    }
    let full = counts(&call["full"]);
    if sums.estimated == 0 {
        // All of it had passed before it was seen that the client had gone.
        assert_eq!(sums.tokens, full, "{call}");
        return 0;
    }
    // What was read is what was told by then, or else the most that it can be. What was written is at least what the client
    // received, and no more than the upstream wrote: some may have been on its way to a client that was gone.
    let Tokens { output, .. } = sums.tokens;
    let known = &call["known"];
    let expected = Tokens {
        input: known["input"].as_u64().unwrap(),
        cached: known["cached"].as_u64().unwrap(),
        cache_written: known["cache_written"].as_u64().unwrap(),
        output,
        reasoning: 0,
    };
    assert_eq!(sums.tokens, expected, "{call}");
    let received = call["received"].as_u64().unwrap();
    let mut passed = received..=full.output - full.reasoning;
    assert!(passed.any(|words| output == written(words)), "{output} for {call}");
    1
}

/// What is estimated of so many words of the built-in upstream: a token an event, and one for each four bytes.
fn written(words: u64) -> u64 {
    let lengths = ["Hello!", " How", " can", " I", " help", " you", " today?"].map(str::len);
    let count = usize::try_from(words).unwrap();
    let bytes: usize = lengths.into_iter().cycle().take(count).sum();
    words.max((bytes as u64).div_ceil(4))
}
