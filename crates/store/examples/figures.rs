//! What the embedded store does on this machine: `cargo run --release -p keyward-store --example figures -- 1000000`
//! (how many keys to load). Prints commits per second, the time to wake another process, loading, and checking the audit log.

use std::{
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use keyward_core::{
    id::{KeyId, OrganizationId, SecretId},
    key::{Digest, Key, KeyState, Labels, PepperVersion, Secret},
    organization::{Organization, OrganizationState},
    time::Timestamp,
};
use keyward_store::{
    Actor, AuditProof, Change, DataFolder, Interface, KeyFilter, Loaded, Page, Store, StoreError,
};
use tokio::task::JoinSet;

type Failed = Box<dyn Error + Send + Sync>;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ORGANIZATION: &str = "org_figures";

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    match arguments.as_slice() {
        [wait, folder] if wait == "wait" => runtime.block_on(say_each_wake_up(Path::new(folder))),
        [keys] => runtime.block_on(measure(keys.parse()?)),
        _ => Err("say how many keys to load".into()),
    }
}

fn say(line: &str) -> Result<(), Failed> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn actor() -> Actor {
    Actor::operator("figures", Interface::CommandLine)
}

fn creation(organization: &OrganizationId) -> Result<Change, Failed> {
    let mut digest = [0; 32];
    getrandom::fill(&mut digest)?;
    let bits = *digest.first_chunk().ok_or("32 bytes hold 16")?;
    let id = KeyId::from_bits(bits);
    let key = Key {
        id,
        organization: organization.clone(),
        api: "api".parse()?,
        name: id.to_string(),
        environment: "production".parse()?,
        permissions: vec!["models.read".to_owned(), "models.write".to_owned()],
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
        id: SecretId::from_bits(bits),
        key: id,
        digest: Digest::from_bytes(digest),
        pepper: PepperVersion(1),
        hint: "kw_abc…xyz".to_owned(),
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
        form: Default::default(),
    };
    Ok(Change::CreateKey { key, secret, most_active: None })
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len().saturating_sub(1) * share / 1000);
    format!("p50 {:?}, p99 {:?}, worst {:?}", at(500), at(990), times.last()).replace("Some", "")
}

async fn measure(keys: u64) -> Result<(), Failed> {
    let place = tempfile_beside_target()?;
    let folder = DataFolder::open(&place).await?;
    let store = folder.store();
    let id: OrganizationId = ORGANIZATION.parse()?;
    let organization = Organization {
        id: id.clone(),
        name: "Figures".to_owned(),
        state: OrganizationState::Active,
        model_ids: vec![],
        allowed_models: None,
        created_at: NOW,
        limits: vec![],
        plan: None,
    };
    store.commit(&actor(), NOW, Change::CreateOrganization(organization)).await?;
    one_after_another(&store, &id).await?;
    at_once(&store, &id, 64, 20_000).await?;
    waking(&store, &id, &place).await?;
    at_once(&store, &id, 512, keys).await?;
    loading(&store).await?;
    asking(&store, &id).await?;
    verifying(&store).await?;
    drop((store, folder));
    Ok(std::fs::remove_dir_all(place)?)
}

/// A folder on the disk that the build is on: `/tmp` may be memory.
fn tempfile_beside_target() -> Result<std::path::PathBuf, Failed> {
    let program = std::env::current_exe()?;
    let beside = program.parent().ok_or("the program is in a folder")?;
    Ok(beside.join(format!("figures-{}", std::process::id())))
}

async fn one_after_another(store: &Arc<dyn Store>, id: &OrganizationId) -> Result<(), Failed> {
    let mut times = Vec::new();
    let start = Instant::now();
    for _ in 0..3000 {
        let begun = Instant::now();
        store.commit(&actor(), NOW, creation(id)?).await?;
        times.push(begun.elapsed());
    }
    let rate = 3000.0 / start.elapsed().as_secs_f64();
    say(&format!("one committer: {rate:.0} commits/s, {}", quantiles(times)))
}

async fn at_once(
    store: &Arc<dyn Store>,
    id: &OrganizationId,
    committers: u64,
    commits: u64,
) -> Result<(), Failed> {
    let start = Instant::now();
    let mut tasks = JoinSet::<Result<Vec<Duration>, Failed>>::new();
    for _ in 0..committers {
        let (store, id) = (Arc::clone(store), id.clone());
        tasks.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..commits / committers {
                let begun = Instant::now();
                store.commit(&actor(), NOW, creation(&id)?).await?;
                times.push(begun.elapsed());
            }
            Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    say(&format!(
        "{committers} committers, {} commits: {rate:.0} commits/s, {}",
        times.len(),
        quantiles(times)
    ))
}

/// The other process: says a byte for each wake-up that brought something new.
async fn say_each_wake_up(folder: &Path) -> Result<(), Failed> {
    let folder = DataFolder::open(folder).await?;
    let store = folder.store();
    let mut known = store.revision().await?;
    loop {
        say("waiting")?;
        loop {
            store.wait_for_change(known).await;
            let newest = store.revision().await?;
            if newest != known {
                known = newest;
                break;
            }
        }
        say("woken")?;
    }
}

async fn waking(store: &Arc<dyn Store>, id: &OrganizationId, place: &Path) -> Result<(), Failed> {
    let mut other = Command::new(std::env::current_exe()?)
        .arg("wait")
        .arg(place)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(other.stdout.take().ok_or("it has an output")?);
    let (mut after, mut whole, mut line) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..1000 {
        said.read_line(&mut line)?;
        let begun = Instant::now();
        store.commit(&actor(), NOW, creation(id)?).await?;
        let acknowledged = Instant::now();
        said.by_ref().read_exact(&mut [0; 6])?;
        after.push(acknowledged.elapsed());
        whole.push(begun.elapsed());
    }
    other.kill()?;
    other.wait()?;
    say(&format!("another process knows, after the acknowledgement: {}", quantiles(after)))?;
    say(&format!("another process knows, after the commit was asked for: {}", quantiles(whole)))
}

async fn loading(store: &Arc<dyn Store>) -> Result<(), Failed> {
    for _ in 0..3 {
        let start = Instant::now();
        let mut keys = 0_u64;
        store.load(&mut |item| keys += u64::from(matches!(item, Loaded::Key(_)))).await?;
        let (took, rate) = (start.elapsed(), keys as f64 / start.elapsed().as_secs_f64());
        say(&format!("load: {keys} keys in {took:?}, {rate:.0} keys/s"))?;
    }
    let status = BufReader::new(std::fs::File::open("/proc/self/status")?);
    let peak = status.lines().map_while(Result::ok).find(|line| line.starts_with("VmHWM"));
    say(&peak.unwrap_or_default())
}

async fn asking(store: &Arc<dyn Store>, id: &OrganizationId) -> Result<(), Failed> {
    let of_organization = KeyFilter { organization: Some(id.clone()), ..KeyFilter::default() };
    let nothing = KeyFilter { state: Some(KeyState::Revoked), ..of_organization.clone() };
    for (what, filter) in [("100 keys", &of_organization), ("100 of no revoked", &nothing)] {
        let start = Instant::now();
        let found = store.keys(filter, Page::first(100)).await?;
        say(&format!("list {what} of an organization: {:?} ({})", start.elapsed(), found.len()))?;
    }
    let found = store.keys(&of_organization, Page::first(1000)).await?;
    let mut times = Vec::new();
    for record in &found {
        let begun = Instant::now();
        store.key(record.key.id).await?;
        times.push(begun.elapsed());
    }
    let missing: Result<_, StoreError> = store.key(KeyId::from_bits([0; 16])).await;
    say(&format!("one key by id: {} (missing: {:?})", quantiles(times), missing?.is_none()))
}

async fn verifying(store: &Arc<dyn Store>) -> Result<(), Failed> {
    let start = Instant::now();
    let AuditProof::Whole { head, .. } = store.verify_audit(None).await? else {
        return Err("the audit log is broken".into());
    };
    say(&format!("check the audit log: {} entries in {:?}", head.entries, start.elapsed()))
}
