//! What happened, as the data plane tells it: coalesced per key, route, model, status, reason and minute.
//!
//! One request is one usage record; records that share all but their figures are added up before they leave the
//! core's thread, so that a store sees some rows a minute instead of thousands a second.

mod latencies;

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    id::{KeyId, SecretId},
    key::{Digest, PepperVersion},
    money::Money,
    time::Timestamp,
    verdict::Reason,
};

pub use latencies::Latencies;

/// What stands for a model, route or API where there were too many to tell apart: the requests are counted all the same.
pub const OTHER: &str = "other";

/// What requests must share to be counted together.
///
/// Its texts are shared: of ten thousand scopes, most name one API and one route. Its order is the one in which a store keeps usage.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageScope {
    /// The key's organization; empty where no key was recognized.
    pub organization: Arc<str>,
    /// Whole minutes since the Unix epoch in which the requests ended.
    pub minute: u64,
    /// The key, where one was recognized.
    pub key: Option<KeyId>,
    /// The API's name; empty where no API was at the address.
    pub api: Arc<str>,
    /// The route's pattern; empty where none matched.
    pub route: Arc<str>,
    /// The model that was asked for; empty where none is named.
    pub model: Arc<str>,
    /// The status that was answered (499 where the client left before an answer).
    pub status: u16,
    /// Why Keyward answered itself; `None` where the upstream's answer was passed on.
    pub reason: Option<Reason>,
}

/// Language-model tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tokens {
    /// Read by the model, those from a cache and those put into one included.
    pub input: u64,
    /// Of those read, how many came from a cache.
    pub cached: u64,
    /// Of those read, how many were put into a cache.
    pub cache_written: u64,
    /// Written by the model, those of reasoning included.
    pub output: u64,
    /// Of those written, how many were reasoning.
    pub reasoning: u64,
}

impl Tokens {
    /// Read and written together.
    pub const fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Adds another's counts; they stay at their maximum rather than wrap.
    pub fn add(&mut self, other: &Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.cache_written = self.cache_written.saturating_add(other.cache_written);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
    }
}

/// The sums over the requests of one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSums {
    /// How many.
    pub requests: u64,
    /// From the whole head to the last byte of the answer, in microseconds.
    pub latency_micros: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of answer bodies.
    pub bytes_out: u64,
    /// Language-model tokens.
    pub tokens: Tokens,
    /// How many of the requests have tokens that are estimated, because their answer did not tell them.
    pub estimated: u64,
    /// What they cost, in billionths of the currency.
    pub cost: Money,
}

impl UsageSums {
    /// Adds another's figures; they stay at their maximum rather than wrap.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.latency_micros = self.latency_micros.saturating_add(other.latency_micros);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        self.tokens.add(&other.tokens);
        self.estimated = self.estimated.saturating_add(other.estimated);
        self.cost = self.cost.plus(other.cost);
    }
}

/// The requests of one scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// What they share.
    pub scope: UsageScope,
    /// Their sums.
    pub sums: UsageSums,
    /// How long each took.
    pub latencies: Latencies,
}

/// When a secret was last accepted, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// Which secret of the key.
    pub secret: SecretId,
    /// When.
    pub at: Timestamp,
    /// The client's address.
    pub from: IpAddr,
    /// For how many requests it was accepted since this was last told.
    pub requests: u64,
}

/// A key that was sent in the clear where HTTPS is demanded: it must be taken for known to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The key.
    pub key: KeyId,
    /// When.
    pub at: Timestamp,
    /// The client's address.
    pub from: IpAddr,
    /// Whether the operator chose that such a key is disabled.
    pub disable: bool,
}

/// A secret that is kept by another system's digest was accepted: what would be kept of it had it been made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The secret.
    pub secret: SecretId,
    /// Its digest.
    pub digest: Digest,
    /// The pepper the digest was made under.
    pub pepper: PepperVersion,
}

/// What one core has gathered since it last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageBatch {
    /// Coalesced requests.
    pub rows: Vec<UsageRow>,
    /// The newest use of each secret.
    pub last_uses: Vec<LastUse>,
    /// Keys seen in the clear.
    pub exposures: Vec<Exposure>,
    /// Imported secrets that were used and are not yet kept as ours.
    pub upgrades: Vec<Upgrade>,
}

impl UsageBatch {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.last_uses.is_empty()
            && self.exposures.is_empty()
            && self.upgrades.is_empty()
    }
}

/// Where the data plane tells what happened. It never waits: what cannot be written now is kept by the receiver.
pub trait UsageSink: Send + Sync {
    /// Takes a batch.
    fn submit(&self, batch: UsageBatch);
}
