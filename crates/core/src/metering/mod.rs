//! Metering: how many language-model tokens a request used, read from its answer by the profile's pointers, and estimated where
//! the answer does not tell.
//!
//! A profile says where counts stand (`[metering]`, compiled to a [`Metering`]); a [`Reader`] is fed an answer's bytes as they pass,
//! cut anywhere, and keeps a few hundred bytes whatever their number; [`estimate`] says from a request's body what it will use at
//! most, so that this much can be set aside before; [`include`] has a stream tell its usage whose client did not ask.
//!
//! What holds: a count that the answer told is taken as it is; every other is an estimate and says so; no bytes make a reader fail.
//! Counts mean what [`Tokens`] says, whatever the answer's own words: a profile adds up what an API tells apart.

pub mod estimate;
mod events;
pub mod include;
mod inline;
mod read;
mod request;
mod scan;
mod source;
#[cfg(test)]
mod tests;
mod tree;

pub use estimate::{Body, Estimate, Unknown};
pub use include::Asks;
pub use read::{EventEnd, Form, Reader, Used};
pub(crate) use source::MeteringSource;

use self::{request::Wants, tree::Tree};
use crate::{
    credential::Headers,
    query::{self, Match},
    route::Route,
    usage::Tokens,
};

/// Where usage stands in answers, and what requests say of it.
#[derive(Clone, Debug, Default)]
pub struct Metering {
    /// Whole answers; what was written in them is looked at in streams only, where an answer may end before it told.
    response: Usage,
    stream: Usage,
    requests: Requests,
    masks: Masks,
    include_usage: Option<IncludeUsage>,
    /// What stands before and behind a refusal's body in the event that ends a stream.
    stream_error: Option<(Box<str>, Box<str>)>,
}

impl Metering {
    /// Whether nothing is known of what answers use: then nothing is metered.
    pub fn is_empty(&self) -> bool {
        self.response.entries.is_empty() && self.stream.entries.is_empty()
    }

    /// Whether a request with this query and these headers says what of its answer is to come: what it used may be left out.
    pub fn is_masked<H: Headers + ?Sized>(&self, query: Option<&str>, headers: &H) -> bool {
        let Masks { queries, headers: own } = &self.masks;
        let pairs = query.unwrap_or_default().split(['&', ';']);
        let mut names = pairs.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        let is_mask = |raw: &str| queries.iter().any(|own| query::names(raw, own) != Match::No);
        names.any(is_mask) || own.iter().any(|name| headers.values(name).next().is_some())
    }

    /// The event that ends a stream midway, around the body of a refusal; `None` where the profile has no form for one.
    pub fn stream_error(&self, body: &str) -> Option<String> {
        let (before, behind) = self.stream_error.as_ref()?;
        // Inside of JSON's texts there are none; a line of data must not end before the event does.
        let body = body.trim().replace(['\r', '\n'], " ");
        Some(format!("{before}{body}{behind}\n\n"))
    }

    /// Whether a route's streams tell their usage only when they are asked to.
    fn may_ask_for_usage(&self, route: &Route) -> bool {
        let pattern = route.pattern.as_str();
        let include = self.include_usage.as_ref();
        include.is_some_and(|include| include.routes.iter().any(|own| own == pattern))
    }
}

/// Where usage stands in one kind of answer.
#[derive(Clone, Debug, Default)]
struct Usage {
    tree: Tree,
    entries: Vec<Entry>,
}

/// One spelling of usage: which counts are made of which slots.
#[derive(Clone, Debug)]
struct Entry {
    /// The event's name, where only one kind of event tells it.
    event: Option<Box<[u8]>>,
    of: Vec<Of>,
}

/// A number that is a part of a count.
#[derive(Clone, Copy, Debug)]
struct Of {
    kind: Kind,
    part: usize,
    slot: u8,
}

impl Of {
    /// Numbers that a count is added up from, at most.
    const MOST_PARTS: usize = 4;
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Input,
    Cached,
    CacheWritten,
    Output,
    Reasoning,
}

/// What requests say, and what is assumed where they do not.
#[derive(Clone, Debug)]
struct Requests {
    wants: Wants,
    bytes_per_token: u64,
    inline_tokens: u64,
    default_output: u64,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            wants: Wants::default(),
            bytes_per_token: 1,
            inline_tokens: 2_000,
            default_output: 4_096,
        }
    }
}

/// Where a request says what of its answer is to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Masks {
    /// Parameters of the query.
    #[serde(default)]
    queries: Vec<String>,
    /// Headers, in lower case.
    #[serde(default)]
    headers: Vec<String>,
}

/// How usage is asked for that a stream would not tell otherwise.
#[derive(Clone, Debug)]
pub struct IncludeUsage {
    /// The member of the request's body, and its own that is set to `true`.
    member: Box<str>,
    inner: Box<str>,
    /// Patterns of the routes that understand it.
    routes: Vec<String>,
    /// The mark of what the event has nothing of that comes for it.
    unless: u8,
}

/// What a route's requests use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metered {
    /// Nothing is counted, whatever the answer tells: it tells of another request, or of none.
    #[default]
    No,
    /// What the answer tells; nothing is estimated.
    Told,
    /// They are read, none are written.
    Input,
    /// They are read and written.
    Both,
    /// Nobody can count it: who has a limit on tokens or money is refused.
    Unknown,
}

/// The most that a part of a count says so far.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    parts: [[u64; Of::MOST_PARTS]; 5],
    told: u8,
}

impl Tally {
    fn put(&mut self, kind: Kind, part: usize, number: u64) {
        if let Some(place) = self.parts.get_mut(kind as usize).and_then(|of| of.get_mut(part)) {
            *place = number;
            self.told |= 1 << kind as u8;
        }
    }

    fn has(&self, kind: Kind) -> bool {
        self.told & 1 << kind as u8 != 0
    }

    fn sum(&self, kind: Kind) -> u64 {
        let parts = self.parts.get(kind as usize).into_iter().flatten();
        parts.fold(0, |sum, part| sum.saturating_add(*part))
    }

    fn tokens(&self) -> Tokens {
        Tokens {
            input: self.sum(Kind::Input),
            cached: self.sum(Kind::Cached),
            cache_written: self.sum(Kind::CacheWritten),
            output: self.sum(Kind::Output),
            reasoning: self.sum(Kind::Reasoning),
        }
    }
}
