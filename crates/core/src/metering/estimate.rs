//! What a request will use at most, from its body: set aside before it is forwarded, settled after by what the answer tells.
//!
//! What is read is bounded by the body's length: no tokenizer makes more tokens than there are bytes. Images inside of it, and what it
//! refers to, are a flat number each ([`super::inline`]). What is written is bounded by what the request says itself
//! ([`super::request`]), or its model's price, or the profile. Tokenizers of our own were rejected: there is one a model, and an estimate need not be exact.

use super::{Asks, Metered, Metering, request::MOST};
use crate::{declared::Form, policy::Api, route::Route, usage::Tokens};

/// A request's body, as far as it is seen before it is forwarded.
#[derive(Clone, Copy, Debug)]
pub enum Body<'b> {
    /// All of it.
    Whole(&'b [u8]),
    /// It is compressed.
    Coded,
    /// Of this length, and not declared as plain JSON.
    Foreign(u64),
    /// Its length alone, which its sender declared.
    Unread(u64),
    /// Not even its length.
    Endless,
}

impl<'b> Body<'b> {
    /// A body that is declared so, as far as it was read and its length is known.
    pub fn new(declared: Form, read: Option<&'b [u8]>, length: Option<u64>) -> Self {
        match (declared, read, length) {
            (_, _, Some(0)) => Self::Whole(b""),
            (Form::Coded, ..) => Self::Coded,
            (Form::Other, _, Some(length)) => Self::Foreign(length),
            (_, Some(body), _) => Self::Whole(body),
            (_, None, Some(length)) => Self::Unread(length),
            (_, None, None) => Self::Endless,
        }
    }
}

/// Why nobody can say beforehand what a request uses at most. Where tokens or money are limited, it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// What a short body holds may be long.
    #[error(
        "The body is compressed, so what the request uses cannot be estimated; send it uncompressed."
    )]
    Coded,
    /// It may go on for ever.
    #[error(
        "The length of the body is not declared, so what the request uses cannot be estimated; send it with `Content-Length`."
    )]
    NoLength,
    /// What it says of its answer is not seen.
    #[error(
        "The body is too large to be read, so what the request uses cannot be estimated; send less."
    )]
    TooLarge,
    /// A reader that takes it all the same reads more than we do.
    #[error(
        "The body is not one JSON text, so what the request uses cannot be estimated; send JSON."
    )]
    NotJson,
    /// So is one that takes it for what it is declared as.
    #[error(
        "The body is not declared as JSON in UTF-8, so what the request uses cannot be estimated; send it with `Content-Type: application/json`."
    )]
    NotDeclared,
    /// It may be that nobody tells it.
    #[error(
        "The body says in more than one way whether its stream tells what it used, so it cannot be counted; say it once, or not at all."
    )]
    UnclearStream,
    /// Its answer comes before anything is used.
    #[error(
        "What is used in the background cannot be counted; send the request without asking for that."
    )]
    Background,
    /// What is told of its use may be left out of its answer.
    #[error(
        "What is used by a request that asks for some fields of its answer alone cannot be counted; ask for the whole answer."
    )]
    Masked,
    /// Whatever passes after the upgrade is no request any more.
    #[error("What is used on a connection that changes its protocol cannot be counted.")]
    Upgrade,
    /// The profile says so of the route, or nothing of the API.
    #[error("What requests use here cannot be counted.")]
    Uncounted,
}

/// What a request uses at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens that are read.
    pub read: u64,
    /// Tokens that are written.
    pub written: u64,
    /// Whether a stream is asked for, as every reader of the body takes it.
    pub streams: bool,
    /// Whether some reader could take it so.
    pub may_stream: bool,
    /// What requests of the route use.
    pub metered: Metered,
    /// Why the counts are no more than a guess.
    pub unknown: Option<Unknown>,
}

impl Estimate {
    /// The counts.
    pub fn tokens(&self) -> Tokens {
        Tokens { input: self.read, output: self.written, ..Tokens::default() }
    }
}

/// What is known of a request before it is forwarded, where its route's are counted; `most_output` is what the model writes at most,
/// where a price says so. With it goes another body, where a stream is to tell its usage that would not by itself.
pub fn beforehand(
    api: &Api,
    route: Option<&Route>,
    body: Body<'_>,
    most_output: Option<u64>,
) -> Option<(Estimate, Option<Vec<u8>>)> {
    let counted = |metered| !matches!(metered, Metered::No | Metered::Unknown);
    let route = route.filter(|route| counted(route.metered))?;
    let metering = &api.profile.metering;
    if metering.is_empty() {
        return None;
    }
    let metered = route.metered;
    let mut estimate = match metered {
        Metered::Told => Estimate { metered, ..Estimate::default() },
        _ => estimate(metering, route.pattern.as_str(), metered, body, most_output),
    };
    let asks = api.ask_for_usage && route.reads_body() && metering.may_ask_for_usage(route);
    let mut asking = None;
    if let (true, true, Body::Whole(body)) = (asks, estimate.may_stream, body) {
        match metering.ask_for_usage(body) {
            Asks::Already => {}
            Asks::Now(edited) => asking = Some(edited),
            Asks::Unclear => estimate.unknown = Some(Unknown::UnclearStream),
        }
    }
    Some((estimate, asking))
}

/// An estimate for the route with this pattern; `most_output` is what the model writes at most, where a price says so.
pub fn estimate(
    metering: &Metering,
    route: &str,
    metered: Metered,
    body: Body<'_>,
    most_output: Option<u64>,
) -> Estimate {
    let requests = &metering.requests;
    let unsaid = most_output.unwrap_or(requests.default_output);
    let mut estimate = Estimate { metered, written: unsaid, ..Estimate::default() };
    match body {
        Body::Whole(body) => {
            let said = requests.wants.read(body, route);
            let answers = said.choices.at_most(1).saturating_mul(said.prompts.at_most(1));
            estimate.written = said.most_output.at_most(unsaid).saturating_mul(answers).min(MOST);
            estimate.streams = said.stream.surely();
            estimate.may_stream = said.stream.perhaps;
            let text = body.len().saturating_sub(said.inline.bytes);
            let inline = said.inline.count.saturating_mul(requests.inline_tokens);
            estimate.read =
                by_length(metering, u64::try_from(text).unwrap_or(u64::MAX)).saturating_add(inline);
            let is_silent = body.is_empty() || !requests.wants.most_output();
            estimate.unknown = match said.is_json {
                _ if said.background.perhaps => Some(Unknown::Background),
                false if !is_silent => Some(Unknown::NotJson),
                _ => None,
            };
        }
        Body::Coded => estimate.unknown = Some(Unknown::Coded),
        Body::Foreign(length) => {
            estimate.read = by_length(metering, length);
            estimate.unknown = requests.wants.most_output().then_some(Unknown::NotDeclared);
        }
        Body::Endless => estimate.unknown = Some(Unknown::NoLength),
        Body::Unread(length) => {
            estimate.read = by_length(metering, length);
            estimate.unknown = Some(Unknown::TooLarge);
        }
    }
    match metered {
        Metered::Both => return estimate,
        // Its length says all.
        Metered::Input if matches!(body, Body::Whole(_) | Body::Foreign(_) | Body::Unread(_)) => {
            estimate.unknown = None;
        }
        Metered::Input => {}
        Metered::No | Metered::Told | Metered::Unknown => {
            (estimate.read, estimate.unknown) = (0, None);
        }
    }
    estimate.written = 0;
    estimate
}

/// What is read at most of a body of this length.
pub fn by_length(metering: &Metering, length: u64) -> u64 {
    length.div_ceil(metering.requests.bytes_per_token)
}
