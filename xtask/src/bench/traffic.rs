//! The shapes of traffic that `bench proxy` measures.

use clap::ValueEnum;
use serde::Serialize;

use super::events::EVENTS;
use super::generator::STREAMS;
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
    /// Small ones under TLS 1.3
    Tls,
    /// Small ones by HTTP/2 under TLS 1.3, several at once on each connection
    Http2,
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
            Self::Tls => "small requests and answers under TLS, keep-alive".to_owned(),
            Self::Http2 => {
                format!("small requests and answers by HTTP/2, {STREAMS} at once on each")
            }
        }
    }

    /// Where the upstream has such answers.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::LargeAnswer => "/v1/large",
            Self::Events => "/v1/events",
            _ => "/v1/generate",
        }
    }

    /// What clients and proxies agree on under TLS; `None` in the clear.
    pub(super) const fn protocol(self) -> Option<&'static str> {
        match self {
            Self::Tls => Some("http/1.1"),
            Self::Http2 => Some("h2"),
            _ => None,
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
