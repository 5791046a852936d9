//! What requests are decided from: policy and directory, swapped together.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{directory::Directory, key::Peppers, policy::Policy, time::Timestamp};

/// The number of a state of the store: 0 is empty, every change that alters something makes the next.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Revision(u64);

impl Revision {
    /// The empty store.
    pub const ZERO: Self = Self(0);

    /// From the stored number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The compiled state the data plane decides from.
///
/// A change of policy makes a new snapshot; a change of a key is made inside its directory, and shows at once.
#[derive(Debug)]
pub struct Snapshot {
    policy: Arc<Policy>,
    directory: Arc<Directory>,
    peppers: Arc<Peppers>,
    freshness: Arc<Freshness>,
}

/// How far and how lately the directory was known to follow the store.
#[derive(Debug, Default)]
pub struct Freshness {
    revision: AtomicU64,
    confirmed_at_millis: AtomicU64,
}

impl Freshness {
    /// The directory holds everything up to `revision`, and the store said at `at` that there is no more.
    pub fn confirm(&self, revision: Revision, at: Timestamp) {
        self.revision.store(revision.0, Ordering::Release);
        self.confirmed_at_millis.store(at.as_millis(), Ordering::Release);
    }

    /// The newest change applied.
    pub fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    /// When the store last confirmed it.
    pub fn confirmed_at(&self) -> Timestamp {
        Timestamp::from_millis(self.confirmed_at_millis.load(Ordering::Relaxed))
    }
}

impl Snapshot {
    /// Puts a snapshot together.
    pub const fn new(
        policy: Arc<Policy>,
        directory: Arc<Directory>,
        peppers: Arc<Peppers>,
        freshness: Arc<Freshness>,
    ) -> Self {
        Self { policy, directory, peppers, freshness }
    }

    /// APIs, routes, profiles, upstreams.
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Keys and organizations.
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// What digests are made under.
    pub const fn peppers(&self) -> &Arc<Peppers> {
        &self.peppers
    }

    /// How fresh the directory is.
    pub const fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }
}
