//! Makes keys in a data folder until it is ended, and says each one's id and revision once it is acknowledged:
//! `cargo run -p keyward-store --example key_maker -- /tmp/folder`. Made to be killed: `tests/crash.rs` does so.

use std::{error::Error, io::Write, path::Path, sync::Arc, time::Duration};

use keyward_core::{
    id::{KeyId, OrganizationId, SecretId},
    key::{Digest, Key, KeyState, Labels, Peppers, Secret},
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use keyward_store::{
    Actor, Change, DataFolder, Interface, Once, RequestKey, SealedBytes, Store, StoreError,
};
use tokio::task::JoinSet;

/// What stands before each line, to be found among what others print.
pub(crate) const MADE: &str = "made ";
/// How many are on the way at once, so that a kill finds groups of several.
const AT_ONCE: usize = 8;
/// When the keys are made: the store asks no clock, so neither must this.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// For as long a request is known: longer than a trial takes.
const HOUR: Duration = Duration::from_secs(3600);

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let folder = std::env::args_os().nth(1).ok_or("name a data folder")?;
    make_keys(Path::new(&folder))
}

/// Makes keys until the process ends.
pub(crate) fn make_keys(folder: &Path) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let folder = DataFolder::open(folder).await?;
        let organization: OrganizationId = "org_made".parse()?;
        make_organization(&*folder.store(), &organization).await?;
        let peppers = Arc::new(folder.peppers().clone());
        let mut making = JoinSet::new();
        loop {
            while making.len() < AT_ONCE {
                let change = creation(&organization, &peppers)?;
                let store = folder.store();
                making.spawn(async move { make(&*store, change).await });
            }
            if let Some(made) = making.join_next().await {
                let (key, revision) = made??;
                writeln!(std::io::stdout(), "{MADE}{key} {revision}")?;
            }
        }
    })
}

async fn make_organization(store: &dyn Store, id: &OrganizationId) -> Result<(), StoreError> {
    let organization = Organization {
        id: id.clone(),
        name: "Made to be killed".to_owned(),
        state: OrganizationState::Active,
        model_ids: vec![],
        allowed_models: None,
        created_at: NOW,
    };
    match store.commit(&actor(), NOW, Change::CreateOrganization(organization)).await {
        Ok(_) | Err(StoreError::OrganizationExists(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn actor() -> Actor {
    Actor::operator("key_maker", Interface::CommandLine)
}

async fn make(
    store: &dyn Store,
    (key, change): (KeyId, Change),
) -> Result<(KeyId, u64), StoreError> {
    let revision = store.commit_once(&actor(), NOW, change, once(key)).await?;
    Ok((key, revision.get()))
}

/// By what a repeat of the request for a key would be known.
pub(crate) fn request(key: KeyId) -> RequestKey {
    let mut chosen = [0; 32];
    chosen.iter_mut().zip(key.bits()).for_each(|(to, from)| *to = from);
    RequestKey { caller: "key_maker".to_owned(), key: chosen }
}

fn once(key: KeyId) -> Once {
    Once {
        request: request(key),
        asked: Digest::from_bytes([0; 32]),
        made: key.to_string(),
        answer: Box::new(move |_| Ok(SealedBytes::from_bytes(key.bits().to_vec()))),
        answered_until: NOW.plus(HOUR),
        kept_until: NOW.plus(HOUR),
    }
}

fn creation(organization: &OrganizationId, peppers: &Peppers) -> Result<(KeyId, Change), Failed> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let bits = u128::from_be_bytes(*random.first_chunk().ok_or("32 bytes hold 16")?);
    let id = KeyId::from_bits(bits.to_be_bytes());
    let pepper = peppers.current();
    let key = Key {
        id,
        organization: organization.clone(),
        api: "api".parse()?,
        name: id.to_string(),
        environment: "production".parse()?,
        permissions: vec!["models.read".to_owned(), "models.write".to_owned()],
        allowed_networks: vec!["10.0.0.0/8".parse()?],
        allowed_models: None,
        state: KeyState::Active,
        created_at: NOW,
        expires_at: None,
        owner: None,
        labels: Labels::default(),
        rotation: None,
    };
    let secret = Secret {
        id: SecretId::from_bits((!bits).to_be_bytes()),
        key: id,
        digest: pepper.digest(&random),
        pepper: pepper.version(),
        hint: "kw_mad…ade".to_owned(),
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
        form: Default::default(),
    };
    Ok((id, Change::CreateKey { key, secret, most_active: None }))
}
