//! For tests: a store in a temporary folder, and APIs on small profiles.

mod faults;
pub(crate) mod receiver;
mod webhooks;

pub(crate) use faults::Faulty;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keyward_core::{
    id::{ApiName, OrganizationId},
    key::Labels,
    network::Network,
    policy::{Api, Upstream},
    profile::{File, Https, Profile},
    route::Routes,
    time::Timestamp,
};
use keyward_store::{DataFolder, Interface, Store};

use crate::{
    Context, Control,
    app::keys::NewKey,
    plan::{Credentials, Plan, StoredCredential},
    propagation::Source,
};

/// The moment at which most tests happen.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(crate) const DEFAULT: &str = include_str!("../../../profiles/default.toml");

const KEYWARD: &str = include_str!("../../../profiles/keyward.toml");

/// One key per organization, and words of its own.
const STAFF: &str = r#"
permissions = [{ name = "speak", description = "Speak" }]
presets = []
[key]
prefix = "staff_"
[issuance]
mode = "staff"
keys_per_organization = 1
rotate_after_days = 90
[limits]
default_plan = "Standard"
plans = [
  { name = "Standard", limits = [{ name = "requests", kind = "rate", amount = 100, window_seconds = 60 }] },
  { name = "Premium", limits = [{ name = "requests", kind = "rate", amount = 1000, window_seconds = 60 }] },
]
[[routes]]
methods = ["POST"]
path = "/v1/speak"
permission = "speak"
"#;

/// Keys are asked for and approved; `admin` implies the rest.
const ASKED: &str = r#"
permissions = [
  { name = "read", description = "Read" },
  { name = "write", description = "Write" },
  { name = "admin", description = "All", implies = ["*"] },
]
presets = [{ name = "Writer", description = "Write", permissions = ["write"], environment = "staging" }]
[key]
prefix = "asked_"
[issuance]
mode = "request"
keys_per_organization = 2
"#;

pub(crate) fn profile(name: &str, own: &str) -> Arc<Profile> {
    let file = |name: &str, text: &str| (name.to_owned(), File::new(&format!("{name}.toml"), text));
    let files = BTreeMap::from([file("default", DEFAULT), file(name, own)]);
    Arc::new(keyward_core::profile::compile(name, &files).unwrap())
}

pub(crate) fn api(name: &str, profile: &Arc<Profile>) -> Api {
    let name: ApiName = name.parse().unwrap();
    Api {
        number: name.number(),
        hosts: vec![format!("{name}.test").into()],
        name,
        profile: profile.clone(),
        routes: Routes::new(profile.routes.clone()),
        prefixes: vec!["/".into()],
        upstream: 0,
        https: Https::Optional,
        limits: vec![],
        ask_for_usage: true,
    }
}

/// API `main` on the default profile, API `staff`, API `asked`, and one upstream that wants its credential from the store.
pub(crate) fn plan() -> Plan {
    let main = profile("main", "");
    Plan {
        apis: vec![
            api("main", &main),
            api("staff", &profile("staff", STAFF)),
            api("asked", &profile("asked", ASKED)),
            crate::management::api(profile("keyward", KEYWARD)).unwrap(),
        ],
        upstreams: vec![Upstream {
            name: "models".into(),
            tls: false,
            host: "127.0.0.1".into(),
            port: 9,
            base_path: "".into(),
            preserve_host: false,
            credential: None,
            credential_missing: false,
        }],
        stored: BTreeMap::from([(
            "models".to_owned(),
            StoredCredential { header: "authorization".into(), prefix: "Bearer ".into() },
        )]),
        fallback: main,
        stale_after: Some(Duration::from_secs(60)),
    }
}

pub(crate) struct Fixture {
    pub(crate) folder: DataFolder,
    _directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&directory.path().join("data")).await.unwrap();
        Self { folder, _directory: directory }
    }

    /// With the organizations `acme` and `other`.
    pub(crate) async fn with_organizations() -> Self {
        let fixture = Self::new().await;
        for id in ["acme", "other"] {
            let id = Some(organization(id));
            fixture.control().create_organization(&at(NOW), id, None).await.unwrap();
        }
        fixture
    }

    pub(crate) fn control(&self) -> Control {
        self.control_of(self.folder.store())
    }

    /// The same on a store of its own.
    pub(crate) fn control_of(&self, store: Arc<dyn Store>) -> Control {
        Control::new(
            store,
            Arc::new(plan().policy(&Credentials::new()).unwrap()),
            Arc::new(self.folder.peppers().clone()),
            self.folder.sealer(),
        )
    }

    pub(crate) fn source(&self) -> Source {
        Source {
            store: self.folder.store(),
            peppers: Arc::new(self.folder.peppers().clone()),
            sealer: self.folder.sealer(),
            clock: Arc::new(|| NOW),
            node: "test".to_owned(),
        }
    }
}

pub(crate) fn at(now: Timestamp) -> Context {
    Context::machine("tester", Interface::CommandLine, now)
}

pub(crate) fn organization(id: &str) -> OrganizationId {
    id.parse().unwrap()
}

/// A key of `acme` at `main` that may read.
pub(crate) fn new_key(name: &str) -> NewKey {
    NewKey {
        api: "main".parse().unwrap(),
        organization: organization("acme"),
        name: name.to_owned(),
        environment: None,
        permissions: vec!["read".to_owned()],
        preset: None,
        expires_at: None,
        allowed_networks: Vec::<Network>::new(),
        allowed_models: None,
        labels: Labels::default(),
        rotation: None,
        owner: None,
        limits: vec![],
    }
}
