//! Secrets that came from another system, beside the directory's entries.
//!
//! Each has its entry like any other, by the digest that is kept of it. Here stands by which ways such a digest is come by from what
//! a request presents: through SHA-256, through SHA-512, or by checking candidates one by one, slowly. It is asked only for what the
//! ordinary look-up did not find, so requests with keys of ours pay nothing, and APIs without imported secrets answer unknown keys
//! as fast as ever. Hence plain locks: what they cost is nothing beside a hash.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256, Sha512};

use super::{Directory, KeyEntry};
use crate::{
    id::{ApiNumber, OrganizationId, SecretId},
    key::{Digest, ForeignDigest, Key, Peppers, Secret, SecretForm},
};

/// A secret that may be the one that was presented: only its bcrypt hash can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The secret.
    pub secret: SecretId,
    /// Whose it is: the sealed hash opens for this organization alone.
    pub organization: OrganizationId,
    /// The hash, sealed.
    pub sealed: Arc<[u8]>,
    /// By what its entry is found.
    pub digest: Digest,
}

type Candidates = Arc<[Candidate]>;

/// An API's secrets from other systems.
#[derive(Debug, Default)]
pub struct Imported {
    sha256: AtomicUsize,
    sha512: AtomicUsize,
    by_prefix: RwLock<HashMap<Box<str>, Candidates>>,
    /// Secrets that were checked, by their digest as ours: the digest of their entry.
    proven: RwLock<HashMap<Digest, Digest>>,
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Imported {
    /// The entry of a presented secret that is kept by a digest of another system, or was proven.
    pub fn find(&self, directory: &Directory, peppers: &Peppers, key: &[u8]) -> Option<KeyEntry> {
        let by = |digest: &dyn Fn(&crate::key::Pepper) -> Digest| {
            peppers.newest_first().find_map(|pepper| directory.find(&digest(pepper)))
        };
        if self.sha256.load(Ordering::Relaxed) > 0 {
            let hash: [u8; 32] = Sha256::digest(key).into();
            let found = by(&|pepper| pepper.digest_of(ForeignDigest::Sha256(&hash)));
            if found.is_some() {
                return found;
            }
        }
        if self.sha512.load(Ordering::Relaxed) > 0 {
            let hash: [u8; 64] = Sha512::digest(key).into();
            let found = by(&|pepper| pepper.digest_of(ForeignDigest::Sha512(&hash)));
            if found.is_some() {
                return found;
            }
        }
        let proven = read(&self.proven);
        if proven.is_empty() {
            return None;
        }
        directory.find(proven.get(&peppers.current().digest(key))?)
    }

    /// The sets of candidates that a presented secret may be among, those of the longest prefix first. A set is replaced when it
    /// changes: what was found out about a set holds as long as it is the same.
    pub fn candidates(&self, key: &[u8]) -> Vec<Candidates> {
        let by_prefix = read(&self.by_prefix);
        let Ok(key) = std::str::from_utf8(key) else { return Vec::new() };
        let ends = (1..=key.len()).rev();
        ends.filter_map(|end| by_prefix.get(key.get(..end)?).cloned()).collect()
    }

    /// A presented secret was found to be this candidate: from now on it is found at once.
    pub fn prove(&self, peppers: &Peppers, key: &[u8], candidate: &Candidate) {
        // Not what was replaced while it was checked: nobody would take it out again.
        if self.candidates(key).iter().flat_map(|set| set.iter()).any(|one| one == candidate) {
            write(&self.proven).insert(peppers.current().digest(key), candidate.digest);
        }
    }

    fn count(&self, form: &SecretForm) -> Option<&AtomicUsize> {
        match form {
            SecretForm::Sha256 => Some(&self.sha256),
            SecretForm::Sha512 => Some(&self.sha512),
            SecretForm::Minted | SecretForm::Imported | SecretForm::Bcrypt(_) => None,
        }
    }

    fn add(&self, key: &Key, secret: &Secret) {
        if let Some(count) = self.count(&secret.form) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let SecretForm::Bcrypt(bcrypt) = &secret.form {
            let candidate = Candidate {
                secret: secret.id,
                organization: key.organization.clone(),
                sealed: bcrypt.sealed.clone(),
                digest: secret.digest,
            };
            let mut by_prefix = write(&self.by_prefix);
            let set = by_prefix.entry(bcrypt.prefix.clone()).or_insert_with(|| Arc::new([]));
            *set = set.iter().cloned().chain([candidate]).collect();
        }
    }

    fn remove(&self, place: &Place) {
        if let Some(count) = self.count(&place.form) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        if let SecretForm::Bcrypt(bcrypt) = &place.form {
            let mut by_prefix = write(&self.by_prefix);
            if let Some(set) = by_prefix.get_mut(&bcrypt.prefix) {
                *set = set.iter().filter(|one| one.digest != place.digest).cloned().collect();
                if set.is_empty() {
                    by_prefix.remove(&bcrypt.prefix);
                }
            }
            drop(by_prefix);
            write(&self.proven).retain(|_, digest| *digest != place.digest);
        }
    }
}

/// Where a secret stands that another system's digest is kept of, to be found when it is kept by another.
#[derive(Debug)]
pub(super) struct Place {
    digest: Digest,
    form: SecretForm,
}

/// Where those secrets stand.
pub(super) type Placed = HashMap<SecretId, Place>;

/// All APIs' secrets from other systems.
#[derive(Debug, Default)]
pub(super) struct AllImported {
    apis: ArcSwap<HashMap<ApiNumber, Arc<Imported>>>,
    /// Where secrets went that are kept by another digest since this directory was made: for requests that last.
    moved: RwLock<HashMap<Digest, Digest>>,
}

impl AllImported {
    pub(super) fn of(&self, api: ApiNumber) -> Option<Arc<Imported>> {
        self.apis.load().get(&api).cloned()
    }

    pub(super) fn moved(&self, digest: &Digest) -> Option<Digest> {
        read(&self.moved).get(digest).copied()
    }

    /// Takes in a secret as it is now. Gives the digest by which it must no longer be found.
    pub(super) fn place(&self, placed: &mut Placed, key: &Key, secret: &Secret) -> Option<Digest> {
        if secret.form == SecretForm::Minted {
            return None;
        }
        let before = placed.get(&secret.id);
        if before.is_some_and(|before| before.digest == secret.digest) {
            return None;
        }
        let api = self.ensure(key.api.number());
        let before = match secret.form.is_foreign() {
            true => {
                api.add(key, secret);
                placed.insert(secret.id, Place { digest: secret.digest, form: secret.form.clone() })
            }
            // It stays as it is for good.
            false => placed.remove(&secret.id),
        }?;
        write(&self.moved).insert(before.digest, secret.digest);
        api.remove(&before);
        Some(before.digest)
    }

    fn ensure(&self, api: ApiNumber) -> Arc<Imported> {
        if let Some(known) = self.apis.load().get(&api) {
            return known.clone();
        }
        let mut next = HashMap::clone(&self.apis.load());
        let made = Arc::<Imported>::default();
        next.insert(api, made.clone());
        self.apis.store(Arc::new(next));
        made
    }
}
