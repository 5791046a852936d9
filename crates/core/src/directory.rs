//! The directory: every key and organization the data plane decides from, in memory.
//!
//! Keys are found by the whole digest of a secret, in many small shards. A shard is never changed but replaced, so readers take no
//! lock, and one revocation among ten million keys copies some hundred entries, not ten million. Rejected: one
//! map behind one pointer (a copy of everything per change), a concurrent map (twice the bytes per key, and a write
//! to shared memory on every read), a cache over the store (a revoked key would live in it).

mod imported;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use crate::{
    id::{ApiNumber, KeyId, OrganizationId, SecretId},
    key::{Digest, Key, KeyState, Secret},
    limit::{
        Plan, Price,
        applied::{self, Applied, Place},
        tables::{Plans, Prices},
    },
    network::Network,
    organization::{Organization, OrganizationState},
    permission::PermissionSet,
    policy::Policy,
    time::Timestamp,
};

use self::imported::{AllImported, Placed};
pub use self::imported::{Candidate, Imported};

/// Entries a shard should hold: few enough to copy in microseconds, many enough that shards cost little.
const ENTRIES_PER_SHARD: usize = 512;
/// Entries looked at for one that is not there.
const ENTRIES_PER_BUCKET: usize = 2;
/// So many that a directory which began empty and grew to a million keys still copies little per change; they cost 64 kB.
const FEWEST_SHARDS: usize = 1024;

/// An organization's place in the directory. Places are never given to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OrganizationSlot(u32);

/// What narrows a key beyond its permissions; few keys have any.
#[derive(Clone, Debug)]
pub struct Restrictions {
    /// Networks it may be used from; empty means everywhere.
    pub networks: Box<[Network]>,
    /// Models it may ask for.
    pub models: Option<Box<[Box<str>]>>,
    /// Its own limits.
    pub limits: Box<[Applied]>,
}

/// One secret with all that is decided about its key.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    digest: Digest,
    /// The key.
    pub key: KeyId,
    /// The secret.
    pub secret: SecretId,
    /// What the key may do, implied permissions included.
    pub permissions: PermissionSet,
    /// The earlier of the key's and the secret's expiry.
    pub expires_at: Timestamp,
    /// Networks and models.
    pub restrictions: Option<Arc<Restrictions>>,
    /// Whose it is.
    pub organization: OrganizationSlot,
    /// Which API it opens.
    pub api: ApiNumber,
    /// What was decided about it.
    pub state: KeyState,
}

impl KeyEntry {
    /// The digest it is found by.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// An immutable table of entries, in buckets of a few. The entries of a bucket lie side by side, so that finding one costs
/// two misses of the cache: where its bucket begins, mostly still in the cache, and the entry.
#[derive(Debug, Default)]
struct Shard {
    /// Where the entries of each bucket begin, and after the last bucket where they end. A power of two of buckets.
    starts: Box<[u32]>,
    /// Sorted by bucket.
    entries: Box<[KeyEntry]>,
}

impl Shard {
    fn new(mut entries: Vec<KeyEntry>) -> Self {
        if entries.is_empty() {
            return Self::default();
        }
        let buckets = (entries.len() / ENTRIES_PER_BUCKET).next_power_of_two();
        // Stable and quick on what is sorted already: a change of one entry leaves the others in place.
        entries.sort_by_key(|entry| bucket_of(&entry.digest, buckets));
        let mut starts = vec![0; buckets + 1].into_boxed_slice();
        for entry in &entries {
            let next = bucket_of(&entry.digest, buckets) + 1;
            if let Some(count) = starts.get_mut(next) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        Self { starts, entries: entries.into_boxed_slice() }
    }

    fn find(&self, digest: &Digest) -> Option<&KeyEntry> {
        let bucket = bucket_of(digest, self.starts.len().checked_sub(1)?);
        let start = usize::try_from(*self.starts.get(bucket)?).ok()?;
        let end = usize::try_from(*self.starts.get(bucket + 1)?).ok()?;
        // Not constant in time, and need not be: the digest is keyed by a pepper the caller does not have.
        self.entries.get(start..end)?.iter().find(|entry| entry.digest == *digest)
    }
}

/// The bucket by the digest's lower bits; the shard comes from the upper ones.
fn bucket_of(digest: &Digest, buckets: usize) -> usize {
    usize::try_from(digest.spread() & 0xffff_ffff).unwrap_or_default() & (buckets - 1)
}

/// An organization, and beside it what every decision asks: looking into it would be one more miss of the cache.
#[derive(Clone, Debug)]
struct InSlot {
    state: OrganizationState,
    /// Whether it may use certain models only.
    confined: bool,
    /// By which its own counts are told from others'.
    tag: u128,
    /// The plan it is on, as plans are compared.
    plan: Option<Box<str>>,
    /// Its own limits.
    limits: Arc<[Applied]>,
    organization: Arc<Organization>,
}

impl InSlot {
    fn new(organization: Organization) -> Self {
        Self {
            state: organization.state,
            confined: organization.allowed_models.is_some(),
            tag: applied::tag(organization.id.as_str().as_bytes()),
            plan: organization.plan.as_ref().map(|plan| plan.folded().into()),
            limits: Applied::all(&organization.limits, Place::Organization(&organization.id))
                .into(),
            organization: Arc::new(organization),
        }
    }
}

/// What an organization's limits are looked up in.
pub(crate) struct OrganizationLimits<'d> {
    /// By which its own counts are told from others'.
    pub(crate) tag: u128,
    /// The plan it is on, as plans are compared.
    pub(crate) plan: Option<&'d str>,
    /// Its own limits.
    pub(crate) own: &'d [Applied],
    /// Plans that were made here, where it can be on one.
    pub(crate) plans: Option<&'d Plans>,
    /// What the model costs, where that is said.
    pub(crate) price: Option<&'d Price>,
}

#[derive(Debug, Default)]
struct Organizations {
    in_slots: Vec<InSlot>,
    slot_of: HashMap<OrganizationId, OrganizationSlot>,
}

/// Every key and organization, readable without locks while one writer changes it.
pub struct Directory {
    shards: Box<[ArcSwap<Shard>]>,
    organizations: ArcSwap<Organizations>,
    imported: AllImported,
    plans: ArcSwap<Plans>,
    prices: ArcSwap<Prices>,
    /// Changes read, copy and replace; two at once would lose one. Inside, where secrets of other systems stand.
    writing: Mutex<Placed>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directory({} secrets)", self.secrets())
    }
}

/// A key names an organization that is not there: the source of the state is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {key} belongs to organization `{organization}`, which does not exist")]
pub struct Orphan {
    /// The key.
    pub key: KeyId,
    /// The organization that is missing.
    pub organization: OrganizationId,
}

impl Directory {
    /// A directory of all organizations and keys, built at once.
    pub fn builder(policy: Arc<Policy>, secrets_expected: usize) -> DirectoryBuilder {
        let shards = (secrets_expected / ENTRIES_PER_SHARD).max(FEWEST_SHARDS).next_power_of_two();
        // An eighth more than the mean fits nearly every shard: tables that grow by doubling leave holes behind.
        let room = secrets_expected / shards * 9 / 8;
        DirectoryBuilder {
            policy,
            organizations: Organizations::default(),
            imported: AllImported::default(),
            placed: Placed::default(),
            plans: Vec::new(),
            prices: Vec::new(),
            shards: std::iter::repeat_with(|| Vec::with_capacity(room)).take(shards).collect(),
            secrets: 0,
        }
    }

    /// The entry of a secret's digest.
    pub fn find(&self, digest: &Digest) -> Option<KeyEntry> {
        self.shard(digest)?.load().find(digest).cloned()
    }

    fn shard(&self, digest: &Digest) -> Option<&ArcSwap<Shard>> {
        self.shards.get(shard_of(digest, self.shards.len()))
    }

    /// The organization in a slot.
    pub fn organization(&self, slot: OrganizationSlot) -> Option<Arc<Organization>> {
        let organizations = self.organizations.load();
        Some(organizations.in_slots.get(usize::try_from(slot.0).ok()?)?.organization.clone())
    }

    /// What `read` makes of the id of the organization in a slot. It is lent: no count of references is written to.
    pub fn organization_id<T>(
        &self,
        slot: OrganizationSlot,
        read: impl FnOnce(&OrganizationId) -> T,
    ) -> Option<T> {
        let organizations = self.organizations.load();
        let at = usize::try_from(slot.0).ok();
        at.and_then(|at| organizations.in_slots.get(at)).map(|one| read(&one.organization.id))
    }

    /// The state of the organization in a slot.
    pub fn organization_state(&self, slot: OrganizationSlot) -> Option<OrganizationState> {
        let organizations = self.organizations.load();
        organizations.in_slots.get(usize::try_from(slot.0).ok()?).map(|one| one.state)
    }

    /// Whether the organization in a slot may use certain models only.
    pub fn organization_is_confined(&self, slot: OrganizationSlot) -> bool {
        let organizations = self.organizations.load();
        let at = usize::try_from(slot.0).ok();
        at.and_then(|at| organizations.in_slots.get(at)).is_some_and(|one| one.confined)
    }

    /// Does something with the limits that an organization meets besides those of APIs and keys. Who is on no plan is on the default
    /// one, where there is one.
    pub(crate) fn with_limits<R>(
        &self,
        slot: OrganizationSlot,
        has_default_plan: bool,
        model: Option<&str>,
        then: impl FnOnce(OrganizationLimits<'_>) -> R,
    ) -> Option<R> {
        let organizations = self.organizations.load();
        let one = organizations.in_slots.get(usize::try_from(slot.0).ok()?)?;
        let plans = (has_default_plan || one.plan.is_some()).then(|| self.plans.load());
        let prices = model.map(|model| (model, self.prices.load()));
        Some(then(OrganizationLimits {
            tag: one.tag,
            plan: one.plan.as_deref(),
            own: &one.limits,
            plans: plans.as_ref().map(|plans| &***plans),
            price: prices.as_ref().and_then(|(model, all)| Some(&**all.find(model)?)),
        }))
    }

    /// What is known of an API's secrets that came from another system; `None` where there are none, as with most. Asked only of
    /// requests that would be refused otherwise.
    pub fn imported(&self, api: ApiNumber) -> Option<Arc<Imported>> {
        self.imported.of(api)
    }

    /// The entry that is found today of a secret that was found by `digest` once: it may be kept by another digest since.
    pub fn find_again(&self, digest: &Digest) -> Option<KeyEntry> {
        self.find(digest).or_else(|| self.find(&self.imported.moved(digest)?))
    }

    /// How many secrets it holds.
    pub fn secrets(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().entries.len()).sum()
    }

    /// The plans that were made here; a profile's own are in the policy, and one of these takes the place of a profile's of its name.
    pub fn plans(&self) -> Arc<Plans> {
        self.plans.load_full()
    }

    /// What models cost.
    pub fn prices(&self) -> Arc<Prices> {
        self.prices.load_full()
    }

    /// What a model costs, where that is said.
    pub(crate) fn price(&self, model: &str) -> Option<Arc<Price>> {
        self.prices.load().find(model).cloned()
    }

    /// Replaces all plans.
    pub fn put_plans(&self, plans: Vec<Plan>) {
        self.plans.store(Arc::new(Plans::new(plans)));
    }

    /// Replaces all prices.
    pub fn put_prices(&self, prices: Vec<Price>) {
        self.prices.store(Arc::new(Prices::new(prices)));
    }

    /// Adds an organization or replaces what is known of it; it keeps its slot.
    pub fn put_organization(&self, organization: Organization) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.organizations.load();
        let mut next =
            Organizations { in_slots: now.in_slots.clone(), slot_of: now.slot_of.clone() };
        next.put(organization);
        self.organizations.store(Arc::new(next));
    }

    /// Replaces everything known of a key and its secrets. All its secrets must be given.
    pub fn put_key(&self, policy: &Policy, key: &Key, secrets: &[Secret]) -> Result<(), Orphan> {
        let mut placed = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = self.organizations.load().slot_of.get(&key.organization).copied();
        let slot = slot.ok_or_else(|| orphan(key))?;
        let restrictions = restrictions_of(key);
        for secret in secrets {
            let entry = entry_of(policy, key, secret, slot, restrictions.clone());
            let digest = entry.digest;
            self.replace(&digest, Some(entry));
            // By its new digest it is found already: between the two there is no moment at which it is unknown.
            if let Some(left) = self.imported.place(&mut placed, key, secret) {
                self.replace(&left, None);
            }
        }
        Ok(())
    }

    /// Puts an entry in the place of the one with this digest.
    fn replace(&self, digest: &Digest, entry: Option<KeyEntry>) {
        let Some(shard) = self.shard(digest) else { return };
        let now = shard.load();
        let others = now.entries.iter().filter(|other| other.digest != *digest).cloned();
        shard.store(Arc::new(Shard::new(others.chain(entry).collect())));
    }

    /// Bytes on the heap, allocator's overhead aside.
    pub fn heap_bytes(&self) -> usize {
        let shard = |shard: &ArcSwap<Shard>| {
            let shard = shard.load();
            size_of::<ArcSwap<Shard>>()
                + size_of::<Shard>()
                + shard.starts.len() * size_of::<u32>()
                + shard.entries.len() * size_of::<KeyEntry>()
        };
        self.shards.iter().map(shard).sum()
    }
}

impl Organizations {
    fn put(&mut self, organization: Organization) -> OrganizationSlot {
        if let Some(slot) = self.slot_of.get(&organization.id).copied() {
            let at = usize::try_from(slot.0).ok();
            if let Some(place) = at.and_then(|at| self.in_slots.get_mut(at)) {
                *place = InSlot::new(organization);
            }
            return slot;
        }
        let slot = OrganizationSlot(u32::try_from(self.in_slots.len()).unwrap_or(u32::MAX));
        self.slot_of.insert(organization.id.clone(), slot);
        self.in_slots.push(InSlot::new(organization));
        slot
    }
}

/// See [`Directory::builder`]. Organizations come before their keys.
pub struct DirectoryBuilder {
    policy: Arc<Policy>,
    organizations: Organizations,
    imported: AllImported,
    placed: Placed,
    plans: Vec<Plan>,
    prices: Vec<Price>,
    /// A power of two of them.
    shards: Vec<Vec<KeyEntry>>,
    secrets: usize,
}

impl DirectoryBuilder {
    /// Puts all plans in the place of those so far.
    pub fn plans(&mut self, plans: Vec<Plan>) {
        self.plans = plans;
    }

    /// Puts all prices in the place of those so far.
    pub fn prices(&mut self, prices: Vec<Price>) {
        self.prices = prices;
    }

    /// Adds an organization.
    pub fn organization(&mut self, organization: Organization) {
        self.organizations.put(organization);
    }

    /// Adds a key with all its secrets.
    pub fn key(&mut self, key: &Key, secrets: &[Secret]) -> Result<(), Orphan> {
        let slot = self.organizations.slot_of.get(&key.organization).copied();
        let slot = slot.ok_or_else(|| orphan(key))?;
        let restrictions = restrictions_of(key);
        for secret in secrets {
            let entry = entry_of(&self.policy, key, secret, slot, restrictions.clone());
            self.imported.place(&mut self.placed, key, secret);
            self.secrets += 1;
            if self.secrets > self.shards.len() * ENTRIES_PER_SHARD * 2 {
                self.double_shards();
            }
            let count = self.shards.len();
            if let Some(shard) = self.shards.get_mut(shard_of(&secret.digest, count)) {
                shard.push(entry);
            }
        }
        Ok(())
    }

    /// More came than expected: the upper half of each shard goes to a new one, one more bit of the digest deciding.
    fn double_shards(&mut self) {
        let count = self.shards.len();
        let upper: Vec<Vec<KeyEntry>> = self
            .shards
            .iter_mut()
            .map(|shard| {
                let goes = |entry: &mut KeyEntry| shard_of(&entry.digest, count * 2) >= count;
                shard.extract_if(.., goes).collect()
            })
            .collect();
        self.shards.extend(upper);
    }

    /// The directory.
    pub fn build(self) -> Directory {
        let shards =
            self.shards.into_iter().map(|entries| ArcSwap::from_pointee(Shard::new(entries)));
        Directory {
            shards: shards.collect(),
            organizations: ArcSwap::from_pointee(self.organizations),
            imported: self.imported,
            plans: ArcSwap::from_pointee(Plans::new(self.plans)),
            prices: ArcSwap::from_pointee(Prices::new(self.prices)),
            writing: Mutex::new(self.placed),
        }
    }
}

/// The shard by the digest's upper bits; the bucket in it comes from the lower ones.
fn shard_of(digest: &Digest, shards: usize) -> usize {
    usize::try_from(digest.spread() >> 32).unwrap_or_default() & (shards - 1)
}

fn orphan(key: &Key) -> Orphan {
    Orphan { key: key.id, organization: key.organization.clone() }
}

fn restrictions_of(key: &Key) -> Option<Arc<Restrictions>> {
    if key.allowed_networks.is_empty() && key.allowed_models.is_none() && key.limits.is_empty() {
        return None;
    }
    let models = key.allowed_models.as_ref();
    Some(Arc::new(Restrictions {
        networks: key.allowed_networks.as_slice().into(),
        models: models.map(|models| models.iter().map(|model| model.as_str().into()).collect()),
        limits: Applied::all(&key.limits, Place::Key(key.id)),
    }))
}

fn entry_of(
    policy: &Policy,
    key: &Key,
    secret: &Secret,
    organization: OrganizationSlot,
    restrictions: Option<Arc<Restrictions>>,
) -> KeyEntry {
    let api = policy.api(key.api.as_str());
    // A key of an API that is no longer configured stays known, and may do nothing.
    let permissions = api.map_or(PermissionSet::EMPTY, |api| {
        api.profile.vocabulary.grant(key.permissions.iter().map(String::as_str))
    });
    let expiries = [key.expires_at, secret.expires_at];
    KeyEntry {
        digest: secret.digest,
        key: key.id,
        secret: secret.id,
        permissions,
        expires_at: expiries.into_iter().flatten().min().unwrap_or(Timestamp::NEVER),
        restrictions,
        organization,
        api: key.api.number(),
        state: key.state,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        key::{Environment, PepperVersion},
        profile::{self, File},
    };

    fn policy() -> Policy {
        let text = r#"
            [key]
            [refusals]
            envelope = '{"a":1}'
        "#;
        let statuses = crate::verdict::Reason::ALL
            .iter()
            .map(|reason| format!("[refusals.reason.{}]\nstatus = 400\n", reason.name()));
        let text = format!("{text}\n{}", statuses.collect::<String>());
        let files = BTreeMap::from([("default".to_owned(), File::new("default.toml", &text))]);
        let profile = Arc::new(profile::compile("default", &files).unwrap());
        Policy::new(vec![], vec![], profile, None).unwrap()
    }

    fn key(number: u64) -> (Key, Secret) {
        let mut bits = [0; 16];
        bits[..8].copy_from_slice(&number.to_be_bytes());
        let pepper = crate::key::Pepper::new(PepperVersion(1), &[1; 32]).unwrap();
        let key = Key {
            id: KeyId::from_bits(bits),
            organization: "org".parse().unwrap(),
            api: "api".parse().unwrap(),
            name: String::new(),
            environment: Environment::DEFAULT.parse().unwrap(),
            permissions: vec![],
            allowed_networks: vec![],
            allowed_models: None,
            state: KeyState::Active,
            created_at: Timestamp::default(),
            expires_at: None,
            owner: None,
            labels: crate::key::Labels::default(),
            rotation: None,
            limits: vec![],
        };
        let secret = Secret {
            id: SecretId::from_bits(bits),
            key: key.id,
            digest: pepper.digest(&bits),
            pepper: pepper.version(),
            hint: String::new(),
            created_at: Timestamp::default(),
            expires_at: None,
            last_used_at: None,
            form: Default::default(),
        };
        (key, secret)
    }

    #[test]
    fn more_keys_than_expected_are_spread_over_more_shards_and_all_found() {
        let mut builder = Directory::builder(Arc::new(policy()), 0);
        builder.shards.truncate(2);
        builder.organization(Organization {
            id: "org".parse().unwrap(),
            name: String::new(),
            state: OrganizationState::Active,
            model_ids: vec![],
            allowed_models: None,
            created_at: Timestamp::default(),
            limits: vec![],
            plan: None,
        });
        let all: Vec<_> = (0..10_000).map(key).collect();
        for (key, secret) in &all {
            builder.key(key, std::slice::from_ref(secret)).unwrap();
        }
        let directory = builder.build();
        assert_eq!(directory.shards.len(), 16);
        for (key, secret) in &all {
            assert_eq!(directory.find(&secret.digest).map(|entry| entry.key), Some(key.id));
        }
    }
}
