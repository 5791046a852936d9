//! Limits: how much may be used of what, by whom, and in which time.
//!
//! A limit stands somewhere (at an API in the configuration, in a plan, at an organization, at a key) and applies to what reaches it
//! there; every limit that applies to a request must have room for it, so adding a limit only ever narrows. `per` says whose use is
//! counted together: without it, everybody's whom the limit applies to; with it, each organization's, key's, route's … own. `only`
//! confines it to some APIs, routes or models.
//!
//! Counts are kept by what a limit is called and where it stands, not by what it allows, so that an edit resets nothing
//! ([`counters`]).

pub mod applied;
mod balance;
pub mod counters;
pub mod headers;
mod narrowing;
pub mod period;
mod rate;
mod saved;
mod source;
pub mod tables;

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::money::Money;

pub use self::{
    period::{Period, TimeZone},
    rate::{Steady, Width},
    saved::Saved,
    source::{AmountSource, LimitSource, RefillSource, WrongLimit},
};

/// What people call a limit: by it, its counts are found again. 1 to 40 lower-case letters, digits or `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct LimitName(Box<str>);

/// The text does not name a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` does not name a limit: write 1 to 40 lower-case letters, digits or `-`, like requests-per-minute"
)]
pub struct NotALimitName(String);

impl LimitName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LimitName {
    type Err = NotALimitName;

    fn from_str(text: &str) -> Result<Self, NotALimitName> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=40).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(Self(text.into()));
        }
        Err(NotALimitName(text.chars().take(60).collect()))
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for LimitName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Requests that were let pass.
    Requests,
    /// Language-model tokens, read and written.
    Tokens,
    /// Language-model tokens that were read.
    InputTokens,
    /// Language-model tokens that were written.
    OutputTokens,
    /// Money, in billionths of the currency.
    Cost,
}

impl Unit {
    /// The word it is written by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Cost => "cost",
        }
    }
}

/// How much, and in which time. Amounts are in the limit's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// At most so much in any window of this length, whatever its start.
    Rate {
        /// The most, up to [`Limit::MOST_IN_A_WINDOW`].
        amount: u64,
        /// Its length, one second to one day.
        window: Duration,
    },
    /// At most so many requests at once.
    Concurrency {
        /// The most.
        amount: u64,
    },
    /// At most so much in each period of the calendar. Of money, it is a budget; without a period, it never begins anew.
    Quota {
        /// The most.
        amount: u64,
        /// Which periods.
        period: Option<Period>,
        /// Where days begin.
        zone: TimeZone,
    },
    /// A balance that is used up, and may be filled again.
    Credit {
        /// What has been given so far: giving more raises it.
        amount: u64,
        /// What is given by itself.
        refill: Option<Refill>,
    },
}

impl Bound {
    /// Whether what is used of it is saved while a gateway runs. Rates and requests in progress are its own until it stops.
    pub const fn is_saved(&self) -> bool {
        matches!(self, Self::Quota { .. } | Self::Credit { .. })
    }

    /// The most it allows; of a credit, what was given so far.
    pub const fn amount(&self) -> u64 {
        match self {
            Self::Rate { amount, .. }
            | Self::Concurrency { amount }
            | Self::Quota { amount, .. }
            | Self::Credit { amount, .. } => *amount,
        }
    }

    /// What a balance is filled up to by itself.
    const fn fills_up_to(&self) -> u64 {
        match self {
            Self::Credit { refill: Some(refill), .. } => refill.up_to,
            _ => 0,
        }
    }
}

/// What is added to a balance at the beginning of each period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refill {
    /// How much.
    pub amount: u64,
    /// When.
    pub period: Period,
    /// Where days begin.
    pub zone: TimeZone,
    /// A balance above this is not filled further.
    pub up_to: u64,
}

/// By what uses are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Everybody who is on a plan, together; of a plan's limits alone.
    Plan,
    /// Each organization.
    Organization,
    /// Each key.
    Key,
    /// Each API.
    Api,
    /// Each route.
    Route,
    /// Each model that a request names; models that no price names are counted together.
    Model,
}

impl Dimension {
    /// The word it is written by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Organization => "organization",
            Self::Key => "key",
            Self::Api => "api",
            Self::Route => "route",
            Self::Model => "model",
        }
    }
}

/// What a limit is confined to; an empty list confines nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Names of APIs.
    pub apis: Vec<String>,
    /// Patterns of routes, as they stand in the profile or the configuration.
    pub routes: Vec<String>,
    /// Names of models; `gpt-4*` stands for all that begin so.
    pub models: Vec<String>,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LimitSource", into = "LimitSource")]
pub struct Limit {
    /// Its name, which no other limit in the same place has.
    pub name: LimitName,
    /// What is counted.
    pub unit: Unit,
    /// How much.
    pub bound: Bound,
    /// Whose use is counted together, each at most once and in order.
    pub per: Vec<Dimension>,
    /// To what it is confined.
    pub only: Only,
    /// Whether a stream that would pass it is ended, where an estimate was too low; otherwise it goes on to its end, and the limit is
    /// passed by what the estimate lacked.
    pub cut_streams: bool,
}

impl Limit {
    /// A window holds at most so much: some thousand million tokens.
    pub const MOST_IN_A_WINDOW: u64 = u32::MAX as u64;
    /// Windows may be so long at most; what is longer is a quota.
    pub const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 3600);
    /// Limits that stand in one place at most.
    pub const MOST_IN_A_PLACE: usize = 20;

    /// Whether limits can stand in one place: not too many of them, each of a name of its own.
    pub fn check_together(limits: &[Self]) -> Result<(), UnfitTogether> {
        if limits.len() > Self::MOST_IN_A_PLACE {
            return Err(UnfitTogether::TooMany(limits.len()));
        }
        for (at, limit) in limits.iter().enumerate() {
            if limits.iter().take(at).any(|earlier| earlier.name == limit.name) {
                return Err(UnfitTogether::SameName(limit.name.clone()));
            }
        }
        Ok(())
    }
}

/// Limits that cannot stand in one place, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitTogether {
    /// Each is asked at every request.
    #[error("there are {0} limits: at most {most} stand in one place", most = Limit::MOST_IN_A_PLACE)]
    TooMany(usize),
    /// By its name a limit's counts are found again.
    #[error("two limits are called `{0}`: give each a name of its own")]
    SameName(LimitName),
}

/// A named bundle of limits that organizations can be on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// As people choose it; case does not matter. 1 to 40 printable characters.
    pub name: PlanName,
    /// Its limits. Those that say nothing of `per` are each organization's own. Without any, organizations on it have those only
    /// that stand elsewhere.
    #[serde(default)]
    pub limits: Vec<Limit>,
}

/// The name of a plan. 1 to 40 letters, digits, spaces, `_`, `-` or `.`; two that differ in case only are one.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct PlanName(Box<str>);

/// The text does not name a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` does not name a plan: write 1 to 40 letters, digits, spaces, `_`, `-` or `.`, like Premium"
)]
pub struct NotAPlanName(String);

impl PlanName {
    /// The name, as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it is compared.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for PlanName {
    type Err = NotAPlanName;

    fn from_str(text: &str) -> Result<Self, NotAPlanName> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'-' | b'.');
        if (1..=40).contains(&text.len()) && text.bytes().all(fits) && text.trim() == text {
            return Ok(Self(text.into()));
        }
        Err(NotAPlanName(text.chars().take(60).collect()))
    }
}

impl PartialEq for PlanName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for PlanName {}

impl std::hash::Hash for PlanName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for PlanName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a model's use costs. Prices of tokens are for a million of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The model's name as requests write it; with a `*` at its end, all that begin so. The longest that fits counts.
    pub model: ModelPattern,
    /// Tokens read.
    #[serde(default)]
    pub input: Money,
    /// Tokens read from a cache; left out, they cost what others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Money>,
    /// Tokens put into a cache; left out, they cost what others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_written: Option<Money>,
    /// Tokens written.
    #[serde(default)]
    pub output: Money,
    /// Tokens of reasoning; left out, they cost what other written ones do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Money>,
    /// Each request, besides its tokens.
    #[serde(default)]
    pub request: Money,
    /// The most tokens that the model writes for one request: what is set aside where a request does not say less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_output: Option<u64>,
}

/// The name of a model, or with a `*` at its end the beginning of several. 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ModelPattern(Box<str>);

/// The text names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` does not name a model: write 1 to 128 visible ASCII characters, a `*` at the end alone"
)]
pub struct NotAModelPattern(String);

impl ModelPattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means this model. Some upstreams take any case of its letters, so each is meant.
    pub fn matches(&self, model: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => model
                .as_bytes()
                .get(..beginning.len())
                .is_some_and(|own| own.eq_ignore_ascii_case(beginning.as_bytes())),
            None => self.0.eq_ignore_ascii_case(model),
        }
    }
}

impl FromStr for ModelPattern {
    type Err = NotAModelPattern;

    fn from_str(text: &str) -> Result<Self, NotAModelPattern> {
        let name = text.strip_suffix('*').unwrap_or(text);
        let fits = |b: u8| b.is_ascii_graphic() && b != b'*';
        if (1..=128).contains(&text.len()) && name.bytes().all(fits) {
            return Ok(Self(text.into()));
        }
        Err(NotAModelPattern(text.chars().take(60).collect()))
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for ModelPattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
