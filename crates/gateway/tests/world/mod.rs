//! A running gateway in a builder: policy from inline profiles, keys, a sink that remembers, an upstream that records.
//!
//! Nothing here sleeps. What a test waits for is a read, a channel or a record; [`soon`] only keeps a broken test from hanging.

pub mod client;
pub mod http2;
pub mod message;
pub mod tls;
pub mod upstream;

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt::Write as _,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use client::Client;
use keyward_core::{
    directory::Directory,
    id::{KeyId, SecretId},
    key::{Environment, Key, KeyState, Labels, Pepper, PepperVersion, Peppers, Plaintext, Secret},
    organization::{Organization, OrganizationState},
    policy::{Api, Policy, Upstream as Target, UpstreamCredential},
    profile::{self, File, Profile},
    route::Routes,
    snapshot::{Freshness, Revision, Snapshot},
    time::Timestamp,
    usage::{Exposure, LastUse, UsageBatch, UsageScope, UsageSink, UsageSums},
    verdict::Reason,
};
use keyward_gateway::{
    Gateway, GatewayConfig, Handed, ListenerConfig, Ports, Settings, StartError, TlsFiles,
};
use tokio::{sync::Notify, task::JoinHandle};
use upstream::Upstream;

/// Longer than anything a test waits for takes; shorter than anybody would wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits, but not for ever.
#[track_caller]
pub fn soon<T>(what: impl Future<Output = T>) -> impl Future<Output = T> {
    let waits = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, what).await {
            Ok(came) => came,
            Err(_) => panic!("what {waits} waits for never came"),
        }
    }
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What the upstream is shown instead of the client's key.
pub const UPSTREAM_SECRET: &str = "Bearer what-the-upstream-knows";

/// The APIs of the world: name, which is its host's first label, and what its profile says beside the default's words.
const APIS: [(&str, &str); 12] = [
    ("bearer", ""),
    ("header", "[credential]\nslots = [{ header = \"X-API-Key\" }]"),
    ("query", "[credential]\nslots = [{ query = \"key\" }]"),
    ("socket", "[credential]\nslots = [{ subprotocol = \"key.\" }]"),
    (
        "several",
        "[credential]\nslots = [{ header = \"Authorization\", scheme = \"Bearer\" }, { header = \"X-API-Key\" }, \
         { query = \"key\" }, { subprotocol = \"key.\" }]",
    ),
    (
        "secure",
        "[transport]\nhttps = \"required\"\nexposed = \"disable\"\n\
         [refusals.reason.insecure_transport]\nbody = '{\"sorry\":\"Only by HTTPS, {{request_id}}.\"}'",
    ),
    ("cookie", "[credential]\nslots = [{ header = \"Cookie\" }]"),
    ("protocol", "[credential]\nslots = [{ header = \"Sec-WebSocket-Protocol\" }]"),
    (
        "limited",
        "[limits]\nrequests = { limit = \"X-Limit\", remaining = \"X-Remaining\", reset = \"X-Reset\" }",
    ),
    ("numbered", "[request_id]\nheader = \"request-id\"\nprefix = \"num_\""),
    ("metered", METERED),
    // Its configuration leaves streams as they are.
    ("unasked", METERED),
];

/// A chat's usage, told at its end, in a stream only when it is asked for.
const METERED: &str = r#"
routes = [
  { methods = ["GET", "POST"], path = "/v1/{rest...}", permission = "read" },
  { methods = ["POST"], path = "/v1/chat", permission = "write", bindings = [{ kind = "model", body = "/model", required = true }] },
  { methods = ["POST"], path = "/v1/models/{model}:run", permission = "write", bindings = [{ kind = "model", path = "model" }] },
  { methods = ["POST"], path = "/v1/models/{model}:embed", permission = "write", bindings = [{ kind = "model", path = "model" }], metered = "input" },
  { methods = ["GET"], path = "/v1/models/{model}", permission = "read", bindings = [{ kind = "model", path = "model" }] },
  { methods = ["GET"], path = "/v1/realtime", permission = "write", bindings = [{ kind = "model", query = "model" }], metered = "unknown" },
  { methods = ["POST"], path = "/v1/models/{model}:count", permission = "write", bindings = [{ kind = "model", path = "model" }], metered = "no" },
]
[metering]
response = [{ input = "/usage/in", output = "/usage/out", cached = "/usage/cached" }]
stream = [{ input = "/usage/in", output = "/usage/out", cached = "/usage/cached" }]
text = ["/choices/*/text"]
masks = { queries = ["fields"], headers = ["x-field-mask"] }
stream_error = "data: {{body}}"
[metering.include_usage]
member = "/stream_options/include_usage"
unless = "/choices/*"
routes = ["/v1/chat"]
[metering.request]
stream = "/stream"
most_output = ["/max"]
inline = [{ data = "/image" }]
default_output = 50
"#;

const ROUTES: &str = r#"
permissions = [
  { name = "read", description = "Read" },
  { name = "write", description = "Write", implies = ["read"] },
  { name = "admin", description = "Everything", implies = ["*"] },
]
routes = [
  { methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], path = "/v1/{rest...}", permission = "read" },
  { methods = ["GET"], path = "/v1/admin", permission = "admin" },
  { methods = ["GET"], path = "/v1/only-get" },
  { methods = ["GET"], path = "/v1/theirs", limit_headers = "upstream" },
  { methods = ["POST"], path = "/v1/small", body_limit = 1000 },
  { methods = ["POST"], path = "/v1/chat", permission = "write", bindings = [{ kind = "model", body = "/model", required = true }] },
]
[key]
prefix = "kw_"
length = 52
[transport]
https = "optional"
[refusals]
envelope = '{"error":{"code":"{{reason}}","message":"{{detail}}","request_id":"{{request_id}}"}}'
"#;

/// The words everything inherits: one sentence a reason, with the status it is answered with.
fn default_profile() -> String {
    let mut text = ROUTES.to_owned();
    for reason in Reason::ALL {
        let _ = write!(text, "[refusals.reason.{}]\nstatus = {}\n", reason.name(), status(*reason));
    }
    text
}

fn status(reason: Reason) -> u16 {
    use Reason::*;
    match reason {
        BadRequest | SeveralCredentials | InvalidBody | MissingField => 400,
        MissingKey | MalformedKey | UnknownKey | RevokedKey | DisabledKey | ExpiredKey => 401,
        InsecureTransport | SuspendedOrganization | ForeignNetwork | InsufficientPermission => 403,
        ForeignOrganization | ForeignModelId | ModelNotAllowed => 403,
        UnpricedModel | UnknownUse => 403,
        UnknownApi | UnknownRoute => 404,
        MethodNotAllowed => 405,
        RequestTimeout => 408,
        BodyTooLarge => 413,
        UriTooLong => 414,
        RateLimited | ConcurrencyLimited | QuotaExhausted => 429,
        BudgetExhausted | CreditExhausted | ExceedsLimit => 429,
        HeadTooLarge => 431,
        Internal => 500,
        BadGateway => 502,
        Unavailable => 503,
        GatewayTimeout => 504,
    }
}

fn profiles() -> HashMap<&'static str, Arc<Profile>> {
    let mut files = BTreeMap::new();
    files.insert("default".to_owned(), File::new("default.toml", &default_profile()));
    for (name, text) in APIS {
        files.insert(name.to_owned(), File::new(name, text));
    }
    let compile = |name| match profile::compile(name, &files) {
        Ok(profile) => (name, Arc::new(profile)),
        Err(error) => panic!("{error}"),
    };
    APIS.iter().map(|(name, _)| *name).chain(["default"]).map(compile).collect()
}

/// What a test may choose.
pub struct Setup {
    pub settings: Settings,
    pub workers: usize,
    /// Where all listeners are.
    pub address: SocketAddr,
    /// A listener for each entry, in the clear for `None`.
    pub listeners: Vec<Option<TlsFiles>>,
    pub target: Target,
    /// How old the state may be: it was confirmed in 1970.
    pub stale_after: Option<Duration>,
}

/// A running gateway and everything around it.
pub struct World {
    /// The first listener's.
    pub address: SocketAddr,
    pub addresses: Vec<SocketAddr>,
    gateway: Option<Gateway>,
    policy: Arc<Policy>,
    directory: Arc<Directory>,
    peppers: Arc<Peppers>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    pub ledger: Arc<Ledger>,
    keys: HashMap<&'static str, Minted>,
}

/// A key, and what a client sends of it.
#[derive(Clone)]
pub struct Minted {
    pub plaintext: String,
    pub key: KeyId,
    pub secret: SecretId,
}

impl World {
    pub async fn start(upstream: &Upstream) -> Self {
        Self::with(upstream.address, |_| {}).await
    }

    /// With an upstream at this address, and choices.
    pub async fn with(upstream: SocketAddr, choose: impl FnOnce(&mut Setup)) -> Self {
        Self::try_with(upstream, choose).await.unwrap()
    }

    /// The same where it may fail.
    pub async fn try_with(
        upstream: SocketAddr,
        choose: impl FnOnce(&mut Setup),
    ) -> Result<Self, StartError> {
        let mut setup = Setup {
            settings: Settings::default(),
            workers: 1,
            address: "127.0.0.1:0".parse().unwrap(),
            listeners: vec![None],
            target: Target {
                name: "upstream".into(),
                tls: false,
                host: upstream.ip().to_string().into(),
                port: upstream.port(),
                base_path: "".into(),
                preserve_host: false,
                credential_missing: false,
                credential: Some(UpstreamCredential {
                    header: "authorization".into(),
                    value: Plaintext::new(UPSTREAM_SECRET.to_owned()),
                }),
            },
            stale_after: None,
        };
        choose(&mut setup);
        let Setup { settings, workers, address, listeners, target, stale_after } = setup;
        let policy = Arc::new(policy(target, stale_after));
        let peppers = Pepper::new(PepperVersion(1), &[7; 32]).unwrap();
        let peppers = Arc::new(Peppers::new(vec![peppers]).unwrap());
        let mut directory = Directory::builder(policy.clone(), 16);
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
        let freshness = Arc::new(Freshness::default());
        freshness.confirm(Revision::new(1), Timestamp::default());
        let snapshot = Snapshot::new(policy.clone(), directory.clone(), peppers.clone(), freshness);
        let ledger = Arc::<Ledger>::default();
        let listeners = listeners.into_iter().map(|tls| ListenerConfig { address, tls });
        let config = GatewayConfig { listeners: listeners.collect(), workers, settings };
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let ports = Ports {
            snapshot: snapshot.clone(),
            counters: Arc::default(),
            began: std::time::Instant::now(),
            usage: ledger.clone(),
            slow: Arc::new(keyward_core::slow::Nothing),
        };
        let gateway = Gateway::start(config, ports, &mut Handed::default())?;
        let addresses = gateway.addresses().to_vec();
        let mut world = Self {
            address: addresses[0],
            addresses,
            gateway: Some(gateway),
            policy,
            directory,
            peppers,
            snapshot,
            ledger,
            keys: HashMap::new(),
        };
        for (name, _) in APIS {
            let minted = world.mint(name, |key| key.permissions = vec!["admin".to_owned()]);
            world.keys.insert(name, minted);
        }
        Ok(world)
    }

    /// A key of the API that may do everything.
    pub fn key(&self, api: &str) -> &str {
        &self.minted(api).plaintext
    }

    pub fn minted(&self, api: &str) -> &Minted {
        &self.keys[api]
    }

    /// A new key, known at once.
    pub fn mint(&self, api: &str, change: impl FnOnce(&mut Key)) -> Minted {
        let format = &self.policy.api(api).unwrap().profile.key_format;
        let Ok(plaintext) = format.mint(|bytes| {
            bytes
                .iter_mut()
                .zip(random::<64>().into_iter().cycle())
                .for_each(|(byte, new)| *byte = new);
            Ok::<_, Infallible>(())
        });
        let mut key = Key {
            id: KeyId::from_bits(random()),
            organization: "org_test".parse().unwrap(),
            api: api.parse().unwrap(),
            name: "test".to_owned(),
            environment: Environment::DEFAULT.parse().unwrap(),
            permissions: vec![],
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
        change(&mut key);
        let plaintext = plaintext.expose().to_owned();
        let minted = Minted { plaintext, key: key.id, secret: SecretId::from_bits(random()) };
        self.put(&minted, &key);
        minted
    }

    /// Puts the same state in place as a new snapshot, as a reload does.
    pub fn replace_snapshot(&self) {
        let now = self.snapshot.load();
        let (policy, freshness) = (now.policy().clone(), now.freshness().clone());
        let (directory, peppers) = (self.directory.clone(), self.peppers.clone());
        self.snapshot.store(Arc::new(Snapshot::new(policy, directory, peppers, freshness)));
    }

    /// Says what models cost, a million tokens each.
    pub fn price(&self, prices: &[&str]) {
        let prices = prices.iter().map(|json| serde_json::from_str(json).unwrap());
        self.directory.put_prices(prices.collect());
    }

    /// Changes a key's state under the gateway.
    pub fn change(&self, minted: &Minted, key: Key, state: KeyState) {
        self.put(minted, &Key { state, ..key });
    }

    fn put(&self, minted: &Minted, key: &Key) {
        let pepper = self.peppers.current();
        let secret = Secret {
            id: minted.secret,
            key: key.id,
            digest: pepper.digest(minted.plaintext.as_bytes()),
            pepper: pepper.version(),
            hint: String::new(),
            created_at: Timestamp::default(),
            expires_at: None,
            last_used_at: None,
            form: Default::default(),
        };
        self.directory.put_key(&self.policy, key, std::slice::from_ref(&secret)).unwrap();
    }

    /// A request of the `bearer` API with its key; `more` are further header lines, `body` what follows the head.
    pub fn request(&self, line: &str, more: &str, body: &str) -> String {
        let key = self.key("bearer");
        format!(
            "{line} HTTP/1.1\r\nHost: bearer.test\r\nAuthorization: Bearer {key}\r\n{more}\r\n{body}"
        )
    }

    pub fn get(&self, path: &str) -> String {
        self.request(&format!("GET {path}"), "", "")
    }

    pub fn post(&self, path: &str, body: &str) -> String {
        let length =
            format!("Content-Length: {}\r\nContent-Type: application/json\r\n", body.len());
        self.request(&format!("POST {path}"), &length, body)
    }

    /// A raw connection to the first listener.
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    pub fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }

    /// Begins to drain; the task ends when the gateway has.
    pub fn begin_drain(&mut self) -> JoinHandle<()> {
        let gateway = self.gateway.take().unwrap();
        tokio::task::spawn_blocking(move || gateway.drain())
    }

    /// Drains to the end and gives everything that was recorded.
    pub async fn drain(mut self) -> Told {
        let draining = self.begin_drain();
        soon(draining).await.unwrap();
        self.ledger.told()
    }
}

fn random<const N: usize>() -> [u8; N] {
    use std::hash::{BuildHasher, RandomState};
    let mut bytes = [0; N];
    for piece in bytes.chunks_mut(8) {
        piece.copy_from_slice(&RandomState::new().hash_one(0).to_le_bytes()[..piece.len()]);
    }
    bytes
}

fn policy(target: Target, stale_after: Option<Duration>) -> Policy {
    let profiles = profiles();
    let api = |(name, _): &(&'static str, &str)| {
        let profile = profiles[name].clone();
        let api = name.parse::<keyward_core::id::ApiName>().unwrap();
        Api {
            number: api.number(),
            name: api,
            routes: Routes::new(profile.routes.clone()),
            hosts: vec![format!("{name}.test").into()],
            prefixes: vec!["/".into()],
            upstream: 0,
            https: profile.https,
            ask_for_usage: *name != "unasked",
            profile,
            limits: vec![],
        }
    };
    let fallback = profiles["default"].clone();
    Policy::new(APIS.iter().map(api).collect(), vec![target], fallback, stale_after).unwrap()
}

/// A sink that remembers.
#[derive(Default)]
pub struct Ledger {
    batches: Mutex<Vec<UsageBatch>>,
    more: Notify,
}

impl UsageSink for Ledger {
    fn submit(&self, batch: UsageBatch) {
        self.batches.lock().unwrap().push(batch);
        self.more.notify_waiters();
    }
}

/// Everything that was told, added up.
#[derive(Default, Debug)]
pub struct Told {
    pub rows: Vec<(UsageScope, UsageSums)>,
    pub last_uses: Vec<LastUse>,
    pub exposures: Vec<Exposure>,
}

impl Ledger {
    pub fn told(&self) -> Told {
        let mut told = Told::default();
        for batch in self.batches.lock().unwrap().iter().cloned() {
            told.rows.extend(batch.rows.into_iter().map(|row| (row.scope, row.sums)));
            told.last_uses.extend(batch.last_uses);
            told.exposures.extend(batch.exposures);
        }
        told
    }

    /// Waits until what was told is enough.
    pub async fn until(&self, enough: impl Fn(&Told) -> bool) -> Told {
        soon(async {
            loop {
                let more = self.more.notified();
                let told = self.told();
                if enough(&told) {
                    return told;
                }
                more.await;
            }
        })
        .await
    }
}

impl Told {
    /// Status and number of all requests, lowest status first.
    pub fn statuses(&self) -> Vec<(u16, u64)> {
        let mut counts = BTreeMap::new();
        for (scope, sums) in &self.rows {
            *counts.entry(scope.status).or_default() += sums.requests;
        }
        counts.into_iter().collect()
    }

    pub fn requests(&self) -> u64 {
        self.rows.iter().map(|(_, sums)| sums.requests).sum()
    }

    /// The one row there is.
    pub fn only(&self) -> &(UsageScope, UsageSums) {
        assert_eq!(self.requests(), 1, "{:?}", self.rows);
        &self.rows[0]
    }
}
