//! The shapes of traffic that `bench proxy` measures.

use clap::ValueEnum;
use serde::Serialize;

use super::events::EVENTS;
use super::upstream::LARGE;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Traffic {
    /// Small requests and answers on keep-alive connections
    Plain,
    /// Requests with a body of 1 MiB
    LargeRequest,
    /// Answers with a body of 1 MiB
    LargeAnswer,
    /// Answers that are streams of 100 events (`text/event-stream`), each a write of its own
    Events,
    /// One request per connection
    Fresh,
}

impl Traffic {
    /// What a figure is for one of.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Events => "event",
            _ => "request",
        }
    }

    /// What is sent and how, as a headline.
    pub(super) fn title(self) -> String {
        match self {
            Self::Plain => "small requests and answers, keep-alive".to_owned(),
            Self::LargeRequest => "requests of 1 MiB, keep-alive".to_owned(),
            Self::LargeAnswer => "answers of 1 MiB, keep-alive".to_owned(),
            Self::Events => format!("streams of {EVENTS} events, keep-alive"),
            Self::Fresh => "one request per connection".to_owned(),
        }
    }

    /// Where the upstream has such answers.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::LargeAnswer => "/v1/large",
            Self::Events => "/v1/events",
            Self::Plain | Self::LargeRequest | Self::Fresh => "/v1/generate",
        }
    }

    /// Bytes of body that each request moves, where that is much.
    pub(super) const fn bytes(self) -> Option<usize> {
        match self {
            Self::LargeRequest | Self::LargeAnswer => Some(LARGE),
            _ => None,
        }
    }
}
