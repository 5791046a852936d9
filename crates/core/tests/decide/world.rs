//! A small world to decide in: every shipped profile at its documented host, a few organizations, and keys made as tests
//! need them. Time stands still at [`NOW`]; randomness is a counter.

use std::{
    cell::Cell, collections::BTreeMap, convert::Infallible, net::IpAddr, path::Path, sync::Arc,
    time::Duration,
};

use keyward_core::{
    decide::{self, Body, Request},
    directory::Directory,
    explain::{self, Explanation},
    id::{ApiName, KeyId, SecretId},
    key::{Environment, Key, KeyState, Labels, Pepper, PepperVersion, Peppers, Secret},
    organization::{Organization, OrganizationState},
    policy::{Api, Policy},
    profile::{self, File, Https, Profile, RouteSource},
    route::Routes,
    snapshot::{Freshness, Revision, Snapshot},
    time::Timestamp,
    verdict::{Denial, Reason, Verdict},
};
use toml::Spanned;

pub(crate) const NOW: &str = "2026-03-01T12:00:00Z";

/// The organization that keys belong to unless a test says otherwise, and the model id that is its own.
pub(crate) const HOME: &str = "org_your_org_id";
pub(crate) const HOME_MODEL_ID: &str = "151531531x15361351";
/// Another customer, and its model id.
pub(crate) const OTHER: &str = "org_other";
pub(crate) const OTHER_MODEL_ID: &str = "999999999x99999999";
/// May not be served.
pub(crate) const SUSPENDED: &str = "org_suspended";
/// May ask for `gpt-4o-mini` and `gpt-4` only.
pub(crate) const NARROW: &str = "org_narrow";

/// How old the last confirmed state may be here.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(60);

const SHIPPED: [&str; 8] =
    ["aiaas", "anthropic", "anunzi", "freddy", "gemini", "generic", "mindo", "openai"];

/// An API of its own on the default profile, reached in the clear too: for what no shipped profile has.
const OWN: &str = r#"
routes = [
  { methods = ["GET"], path = "/open" },
  { methods = ["GET"], path = "/items/{item}", permission = "read" },
  { methods = ["GET", "DELETE"], path = "/items/special", permission = "admin" },
  { methods = ["POST"], path = "/items", permission = "write" },
  { methods = ["POST"], path = "/deep", permission = "read", bindings = [{ kind = "model", body = "/options/model", required = true }] },
  { methods = ["GET"], path = "/orgs/{org}", permission = "read", bindings = [{ kind = "organization", path = "org", required = true }] },
]
"#;

pub(crate) fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn files() -> BTreeMap<String, File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        (name.to_owned(), File::new(name, &text))
    };
    SHIPPED.into_iter().chain(["default"]).map(read).collect()
}

fn api(name: &str, profile: Arc<Profile>, hosts: &[&str], prefixes: &[&str]) -> Api {
    let name: ApiName = name.parse().unwrap();
    Api {
        number: name.number(),
        name,
        routes: Routes::new(profile.routes.clone()),
        hosts: hosts.iter().map(|host| (*host).into()).collect(),
        prefixes: prefixes.iter().map(|prefix| (*prefix).into()).collect(),
        upstream: 0,
        https: profile.https,
        ask_for_usage: true,
        profile,
        limits: vec![],
    }
}

fn policy() -> Policy {
    let files = files();
    let compiled = |name| Arc::new(profile::compile(name, &files).unwrap());
    let mut apis = vec![];
    for name in SHIPPED {
        let profile = compiled(name);
        let demo = profile.demo.clone().unwrap();
        let hosts: Vec<_> = demo.hosts.iter().map(String::as_str).collect();
        let prefixes: Vec<_> = demo.prefixes.iter().map(String::as_str).collect();
        apis.push(api(name, profile, &hosts, &prefixes));
    }
    // The generic API a second time: its keys look the same and are others.
    apis.push(api("twin", compiled("generic"), &["twin.test"], &["/v1"]));
    let default = compiled("default");
    let mut own = api("own", default.clone(), &["own.test"], &["/"]);
    own.https = Https::Optional;
    own.routes = Routes::new(routes(OWN, &own.profile));
    apis.push(own);
    Policy::new(apis, vec![], default, Some(STALE_AFTER)).unwrap()
}

fn routes(text: &str, profile: &Profile) -> Vec<keyward_core::route::Route> {
    #[derive(serde::Deserialize)]
    struct Configured {
        routes: Vec<Spanned<RouteSource>>,
    }
    let file = File::new("own.toml", text);
    let configured: Configured = file.parse().unwrap();
    profile::compile_routes(&file, &configured.routes, &profile.vocabulary).unwrap()
}

fn organization(id: &str) -> Organization {
    Organization {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        state: OrganizationState::Active,
        model_ids: vec![],
        allowed_models: None,
        created_at: Timestamp::default(),
        limits: vec![],
        plan: None,
    }
}

pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    next: Cell<u64>,
}

impl World {
    pub(crate) fn new() -> Self {
        let policy = Arc::new(policy());
        let directory = Directory::builder(policy.clone(), 0).build();
        let model_id = |text: &str| vec![text.parse().unwrap()];
        directory.put_organization(Organization {
            model_ids: model_id(HOME_MODEL_ID),
            ..organization(HOME)
        });
        directory.put_organization(Organization {
            model_ids: model_id(OTHER_MODEL_ID),
            ..organization(OTHER)
        });
        directory.put_organization(Organization {
            state: OrganizationState::Suspended,
            ..organization(SUSPENDED)
        });
        let narrow = Some(vec!["gpt-4o-mini".to_owned(), "gpt-4".to_owned()]);
        directory.put_organization(Organization { allowed_models: narrow, ..organization(NARROW) });
        let pepper = |version, byte| Pepper::new(PepperVersion(version), &[byte; 32]).unwrap();
        let peppers = Peppers::new(vec![pepper(1, 1), pepper(2, 2)]).unwrap();
        let freshness = Arc::new(Freshness::default());
        freshness.confirm(Revision::new(7), moment(NOW));
        let snapshot = Snapshot::new(policy, Arc::new(directory), Arc::new(peppers), freshness);
        Self { snapshot, next: Cell::new(1) }
    }

    fn random(&self) -> u64 {
        let next = self.next.get();
        self.next.set(next + 1);
        // SplitMix64.
        let mut z = next.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn bits(&self) -> [u8; 16] {
        let mut bits = [0; 16];
        bits[..8].copy_from_slice(&self.random().to_le_bytes());
        bits[8..].copy_from_slice(&self.random().to_le_bytes());
        bits
    }

    /// A text that has the format of the API's keys, and is nobody's.
    pub(crate) fn well_formed(&self, api: &str) -> String {
        let format = self.api(api).profile.key_format.clone();
        let fill = |bytes: &mut [u8]| {
            bytes.chunks_mut(8).for_each(|chunk| {
                chunk.copy_from_slice(&self.random().to_le_bytes()[..chunk.len()]);
            });
            Ok::<(), Infallible>(())
        };
        format.mint(fill).unwrap().expose().to_owned()
    }

    pub(crate) fn api(&self, name: &str) -> &Api {
        self.snapshot.policy().api(name).unwrap()
    }

    /// An active key of the organization [`HOME`] for the API, with these permissions.
    pub(crate) fn key(&self, api: &str, permissions: &[&str]) -> Made {
        self.key_with(api, permissions, |_, _| {})
    }

    /// The same, changed before it is put in.
    pub(crate) fn key_with(
        &self,
        api: &str,
        permissions: &[&str],
        change: impl FnOnce(&mut Key, &mut Secret),
    ) -> Made {
        let text = self.well_formed(api);
        let mut key = Key {
            id: KeyId::from_bits(self.bits()),
            organization: HOME.parse().unwrap(),
            api: api.parse().unwrap(),
            name: "test".to_owned(),
            environment: Environment::DEFAULT.parse().unwrap(),
            permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
            allowed_networks: vec![],
            allowed_models: None,
            state: KeyState::Active,
            created_at: moment("2026-01-01T00:00:00Z"),
            expires_at: None,
            owner: None,
            labels: Labels::default(),
            rotation: None,
            limits: vec![],
        };
        let mut secret = self.secret(&key, &text, self.snapshot.peppers().current());
        change(&mut key, &mut secret);
        self.put(&key, std::slice::from_ref(&secret));
        Made { text, key, secret }
    }

    /// What is kept of a secret of the key, its digest made under this pepper.
    pub(crate) fn secret(&self, key: &Key, text: &str, pepper: &Pepper) -> Secret {
        Secret {
            id: SecretId::from_bits(self.bits()),
            key: key.id,
            digest: pepper.digest(text.as_bytes()),
            pepper: pepper.version(),
            hint: String::new(),
            created_at: key.created_at,
            expires_at: None,
            last_used_at: None,
            form: Default::default(),
        }
    }

    pub(crate) fn put(&self, key: &Key, secrets: &[Secret]) {
        self.snapshot.directory().put_key(self.snapshot.policy(), key, secrets).unwrap();
    }

    /// A request by TLS from 203.0.113.9, without credential and body.
    pub(crate) fn request(&self, method: &str, url: &str) -> Ask<'_> {
        let rest = url.strip_prefix("https://").unwrap();
        let (host, target) = rest.split_at(rest.find('/').unwrap());
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Ask {
            world: self,
            method: method.to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            query,
            headers: vec![],
            body: None,
            client: "203.0.113.9".parse().unwrap(),
            secure: true,
            now: moment(NOW),
        }
    }
}

/// A key that was put in, and its text.
pub(crate) struct Made {
    pub(crate) text: String,
    pub(crate) key: Key,
    pub(crate) secret: Secret,
}

/// A request to decide on.
#[derive(Clone)]
pub(crate) struct Ask<'w> {
    pub(crate) world: &'w World,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) client: IpAddr,
    pub secure: bool,
    pub(crate) now: Timestamp,
}

impl Ask<'_> {
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The key, where the API expects it.
    #[must_use]
    pub(crate) fn with(self, made: &Made) -> Self {
        self.with_text(&made.text)
    }

    #[must_use]
    pub(crate) fn with_text(self, key: &str) -> Self {
        let header = self.api().profile.key_header().to_owned();
        match &*header {
            "Authorization" => self.header("Authorization", &format!("Bearer {key}")),
            name => self.header(name, key),
        }
    }

    #[must_use]
    pub(crate) fn body(mut self, json: &str) -> Self {
        self.body = Some(json.as_bytes().to_vec());
        self
    }

    #[must_use]
    pub(crate) fn from(mut self, client: &str) -> Self {
        self.client = client.parse().unwrap();
        self
    }

    #[must_use]
    pub(crate) fn in_the_clear(mut self) -> Self {
        self.secure = false;
        self
    }

    #[must_use]
    pub(crate) fn at(mut self, now: &str) -> Self {
        self.now = moment(now);
        self
    }

    pub(crate) fn api(&self) -> &Api {
        let found = self.world.snapshot.policy().find(&self.host, &self.path);
        found.unwrap_or_else(|| panic!("no API at {}{}", self.host, self.path))
    }

    pub(crate) fn facts(&self) -> Request<'_, [(String, String)]> {
        Request {
            api: self.api(),
            method: self.method.parse().ok(),
            path: &self.path,
            query: self.query.as_deref(),
            headers: self.headers.as_slice(),
            client: self.client,
            secure: self.secure,
        }
    }

    pub(crate) fn body_facts(&self) -> Body<'_> {
        self.body.as_deref().map_or(Body::NotRead, Body::Json)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        decide::decide(&self.world.snapshot, &self.facts(), self.body_facts(), self.now)
    }

    pub(crate) fn explanation(&self) -> Explanation {
        explain::explain(&self.world.snapshot, &self.facts(), self.body_facts(), self.now)
    }

    /// The key that it is permitted for.
    #[track_caller]
    pub(crate) fn permitted(&self) -> KeyId {
        match self.verdict() {
            Verdict::Permit(permit) => permit.key(),
            other => panic!("{} {}: {other:?}", self.method, self.path),
        }
    }

    #[track_caller]
    pub(crate) fn denied(&self) -> Denial {
        match self.verdict() {
            Verdict::Denial(denial) => *denial,
            other => panic!("{} {}: {other:?}", self.method, self.path),
        }
    }

    /// `None` where it is permitted.
    #[track_caller]
    pub(crate) fn refused_for(&self) -> Option<Reason> {
        match self.verdict() {
            Verdict::Permit(_) => None,
            Verdict::Denial(denial) => Some(denial.reason),
            Verdict::Outage(outage) => panic!("{} {}: {outage:?}", self.method, self.path),
        }
    }
}
