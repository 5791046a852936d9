//! What one decision costs, and what a key costs in memory: `decide_bench [keys …]`, by default 1,000, 1 million and
//! 10 million. `cargo xtask bench decide` runs it.
//!
//! Each count builds a directory from records as a store would give them, then decides on requests that carry keys
//! drawn from all of it, other ones each round, so that entries come from memory and not from a warm cache. A whole
//! decision is everything between the request's head and the permit: credential from the headers, format, checksum,
//! digest, look-up, state, organization, network, route, permission. Keys are made again from their numbers when they are
//! needed: no list of them is in the figures.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use keyward_core::{
    credential::Headers,
    decide::{self, Body, Request},
    directory::Directory,
    id::{ApiName, KeyId, OrganizationId, SecretId},
    key::{
        Digest, Environment, Key, KeyState, Labels, Pepper, PepperVersion, Peppers, Plaintext,
        Secret,
    },
    organization::{Organization, OrganizationState},
    policy::{Api, Policy},
    profile::{self, File, RouteSource},
    route::{Method, Routes},
    snapshot::{Freshness, Revision, Snapshot},
    time::Timestamp,
    verdict::Verdict,
};
use toml::Spanned;

const PROFILE: &str = include_str!("../../../profiles/default.toml");
const ROUTES: &str = r#"
routes = [
  { methods = ["GET"], path = "/v1/models", permission = "read" },
  { methods = ["GET"], path = "/v1/models/{model}", permission = "read" },
  { methods = ["POST"], path = "/v1/generate", permission = "read" },
  { methods = ["GET", "POST"], path = "/v1/files", permission = "write" },
  { methods = ["GET", "DELETE"], path = "/v1/files/{file}", permission = "write" },
  { methods = ["GET", "POST"], path = "/v1/{rest...}", permission = "admin" },
]
"#;
/// One organization has this many keys.
const KEYS_PER_ORGANIZATION: u64 = 100;
const ROUNDS: u64 = 15;
const REQUESTS_PER_ROUND: u64 = 40_000;
/// What is timed at once: less than a millisecond, so that most are not interrupted by whatever else runs here.
const REQUESTS_TIMED_AT_ONCE: usize = 400;
/// Records are made in portions, so that the time of loading them can be taken without that of making them.
const PORTION: u64 = 4096;
const NOW: Timestamp = Timestamp::from_secs(1_772_366_400);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Result<Vec<u64>, _> =
        std::env::args().skip(1).map(|text| text.replace('_', "").parse()).collect();
    let counts = match arguments? {
        none if none.is_empty() => vec![1_000, 1_000_000, 10_000_000],
        some => some,
    };
    println!(
        "{:>12} {:>16} {:>16} {:>11} {:>11} {:>14} {:>14}",
        "keys", "decision", "(undisturbed)", "look-up", "loaded in", "resident", "on the heap"
    );
    for keys in counts {
        let row = measure(keys)?;
        println!(
            "{:>12} {:>13.0} ns {:>13.0} ns {:>8.0} ns {:>9.2} s {:>8.0} B/key {:>8.0} B/key",
            keys,
            row.decision.median,
            row.decision.undisturbed,
            row.look_up.median,
            row.load.as_secs_f64(),
            row.resident as f64 / keys as f64,
            row.heap as f64 / keys as f64,
        );
    }
    Ok(())
}

struct Row {
    decision: Nanoseconds,
    look_up: Nanoseconds,
    load: Duration,
    resident: usize,
    heap: usize,
}

/// Per request, over everything that was timed.
struct Nanoseconds {
    median: f64,
    /// The fastest tenth took at most this: what it costs while nothing else wants the memory.
    undisturbed: f64,
}

fn measure(keys: u64) -> Result<Row, Box<dyn Error>> {
    let world = World::new()?;
    let before = resident_bytes()?;
    let (directory, load) = world.load(keys)?;
    let resident = resident_bytes()?.saturating_sub(before);
    let heap = directory.heap_bytes();
    let freshness = Arc::new(Freshness::default());
    freshness.confirm(Revision::new(1), NOW);
    let snapshot =
        Snapshot::new(world.policy.clone(), Arc::new(directory), world.peppers.clone(), freshness);
    let mut decisions = Vec::new();
    let mut look_ups = Vec::new();
    for round in 0..ROUNDS {
        let numbers = (0..REQUESTS_PER_ROUND).map(|at| scatter(round << 32 | at) % keys);
        let sent: Vec<Plaintext> = numbers.map(|number| world.key(number)).collect();
        decisions.extend(time_decisions(&snapshot, &sent)?);
        look_ups.extend(time_look_ups(&snapshot, &sent)?);
    }
    let (decision, look_up) = (summary(decisions)?, summary(look_ups)?);
    Ok(Row { decision, look_up, load, resident, heap })
}

/// A request's headers as an HTTP library keeps them.
struct Head<'k>([(&'static str, &'k [u8]); 6]);

impl Headers for Head<'_> {
    fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.0.iter().filter(move |(own, _)| *own == name).map(|(_, value)| *value)
    }
}

fn time_decisions(snapshot: &Snapshot, sent: &[Plaintext]) -> Result<Vec<f64>, Box<dyn Error>> {
    let headers: Vec<String> = sent.iter().map(|key| format!("Bearer {}", key.expose())).collect();
    let api = snapshot.policy().find("api.test", "/v1/generate").ok_or("no API")?;
    let client = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let mut permitted = 0;
    let times = time(&headers, |authorization| {
        let head = Head([
            ("host", b"api.test"),
            ("user-agent", b"bench/1"),
            ("accept", b"*/*"),
            ("content-type", b"application/json"),
            ("authorization", authorization.as_bytes()),
            ("content-length", b"43"),
        ]);
        let request = Request {
            api,
            method: Some(Method::Post),
            path: "/v1/generate",
            query: None,
            headers: &head,
            client,
            secure: true,
        };
        let verdict = decide::decide(snapshot, black_box(&request), Body::NotRead, NOW);
        permitted += usize::from(matches!(black_box(verdict), Verdict::Permit(_)));
    });
    if permitted == sent.len() { Ok(times) } else { Err("a request was refused".into()) }
}

fn time_look_ups(snapshot: &Snapshot, sent: &[Plaintext]) -> Result<Vec<f64>, Box<dyn Error>> {
    let pepper = snapshot.peppers().current();
    let digests: Vec<Digest> =
        sent.iter().map(|key| pepper.digest(key.expose().as_bytes())).collect();
    let mut found = 0;
    let times = time(&digests, |digest| {
        found += usize::from(black_box(snapshot.directory().find(black_box(digest))).is_some());
    });
    if found == digests.len() { Ok(times) } else { Err("a key was not found".into()) }
}

/// Nanoseconds for each item, of each portion timed at once.
fn time<T>(items: &[T], mut run: impl FnMut(&T)) -> Vec<f64> {
    let portion = |portion: &[T]| {
        let start = Instant::now();
        portion.iter().for_each(&mut run);
        start.elapsed().as_nanos() as f64 / portion.len() as f64
    };
    items.chunks(REQUESTS_TIMED_AT_ONCE).map(portion).collect()
}

fn summary(mut times: Vec<f64>) -> Result<Nanoseconds, Box<dyn Error>> {
    times.sort_by(f64::total_cmp);
    let median = *times.get(times.len() / 2).ok_or("nothing was timed")?;
    let undisturbed = *times.get(times.len() / 10).ok_or("nothing was timed")?;
    Ok(Nanoseconds { median, undisturbed })
}

/// Everything but the keys.
struct World {
    policy: Arc<Policy>,
    peppers: Arc<Peppers>,
    api: ApiName,
}

impl World {
    fn new() -> Result<Self, Box<dyn Error>> {
        #[derive(serde::Deserialize)]
        struct Configured {
            routes: Vec<Spanned<RouteSource>>,
        }
        let files = BTreeMap::from([("default".to_owned(), File::new("default.toml", PROFILE))]);
        let profile = Arc::new(profile::compile("default", &files)?);
        let configuration = File::new("routes.toml", ROUTES);
        let configured: Configured = configuration.parse()?;
        let routes =
            profile::compile_routes(&configuration, &configured.routes, &profile.vocabulary)?;
        let name: ApiName = "bench".parse()?;
        let api = Api {
            number: name.number(),
            name: name.clone(),
            routes: Routes::new(routes),
            hosts: vec!["api.test".into()],
            prefixes: vec!["/".into()],
            upstream: 0,
            https: profile.https,
            ask_for_usage: true,
            profile: profile.clone(),
            limits: vec![],
        };
        let policy = Policy::new(vec![api], vec![], profile, Some(Duration::from_secs(60)))?;
        let pepper = Pepper::new(PepperVersion(1), &[7; 32])?;
        let peppers = Peppers::new(vec![pepper])?;
        Ok(Self { policy: Arc::new(policy), peppers: Arc::new(peppers), api: name })
    }

    /// The key of this number, the same each time. Its randomness is no secret, its format is a key's.
    fn key(&self, number: u64) -> Plaintext {
        let mut state = scatter(number ^ 0xA5A5_A5A5);
        let fill = |bytes: &mut [u8]| {
            for chunk in bytes.chunks_mut(8) {
                state = scatter(state);
                chunk.iter_mut().zip(state.to_le_bytes()).for_each(|(byte, new)| *byte = new);
            }
            Ok::<(), Infallible>(())
        };
        let format = self.policy.fallback().key_format.clone();
        match format.mint(fill) {
            Ok(key) => key,
            Err(never) => match never {},
        }
    }

    /// A directory of `keys` keys, and how long it took to load the records.
    fn load(&self, keys: u64) -> Result<(Directory, Duration), Box<dyn Error>> {
        let pepper = self.peppers.current();
        let mut builder = Directory::builder(self.policy.clone(), usize::try_from(keys)?);
        let mut spent = Duration::ZERO;
        let mut record = self.record()?;
        for first in (0..keys).step_by(usize::try_from(PORTION)?) {
            let numbers = first..keys.min(first + PORTION);
            let digests: Vec<Digest> = numbers
                .clone()
                .map(|number| pepper.digest(self.key(number).expose().as_bytes()))
                .collect();
            let start = Instant::now();
            for (number, digest) in numbers.zip(digests) {
                if number % KEYS_PER_ORGANIZATION == 0 {
                    record.0.organization = organization_id(number)?;
                    builder.organization(organization(record.0.organization.clone()));
                }
                let (key, secret) = &mut record;
                key.id = KeyId::from_bits(bits(number, 1));
                (secret.key, secret.id) = (key.id, SecretId::from_bits(bits(number, 2)));
                secret.digest = digest;
                builder.key(key, std::slice::from_ref(secret))?;
            }
            spent += start.elapsed();
        }
        let start = Instant::now();
        let directory = builder.build();
        Ok((directory, spent + start.elapsed()))
    }

    /// A key and its secret, to be filled in.
    fn record(&self) -> Result<(Key, Secret), Box<dyn Error>> {
        let key = Key {
            id: KeyId::from_bits([0; 16]),
            organization: organization_id(0)?,
            api: self.api.clone(),
            name: "bench".to_owned(),
            environment: Environment::DEFAULT.parse()?,
            permissions: vec!["write".to_owned()],
            allowed_networks: vec![],
            allowed_models: None,
            state: KeyState::Active,
            created_at: NOW,
            expires_at: None,
            owner: None,
            labels: Labels::default(),
            rotation: None,
            limits: vec![],
        };
        let secret = Secret {
            id: SecretId::from_bits([0; 16]),
            key: key.id,
            digest: Digest::from_bytes([0; 32]),
            pepper: PepperVersion(1),
            hint: String::new(),
            created_at: NOW,
            expires_at: None,
            last_used_at: None,
            form: Default::default(),
        };
        Ok((key, secret))
    }
}

fn organization_id(number: u64) -> Result<OrganizationId, Box<dyn Error>> {
    Ok(format!("org_{}", number / KEYS_PER_ORGANIZATION).parse()?)
}

fn organization(id: OrganizationId) -> Organization {
    Organization {
        id,
        name: String::new(),
        state: OrganizationState::Active,
        model_ids: vec![],
        allowed_models: None,
        created_at: NOW,
        limits: vec![],
        plan: None,
    }
}

/// SplitMix64: numbers that look random and are the same each time.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn bits(number: u64, kind: u64) -> [u8; 16] {
    let wide = u128::from(scatter(number)) << 64 | u128::from(scatter(number ^ kind << 60));
    wide.to_be_bytes()
}

/// What the process holds in memory now, by the kernel's count of pages of 4 KiB.
fn resident_bytes() -> Result<usize, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize =
        text.split_whitespace().nth(1).ok_or("statm has no second figure")?.parse()?;
    Ok(pages * 4096)
}
