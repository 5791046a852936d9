//! What a request will use at most, from its body: set aside before it is forwarded, settled after by what the answer tells.
//!
//! What is read is bounded by the body's length: no tokenizer makes more tokens than there are bytes. Images and files inside of it
//! are an exception that goes the other way, a flat number each. What is written is bounded by what the request says itself
//! ([`super::request`]), or its model's price, or the profile. Tokenizers of our own were rejected: there is one a model, and an estimate need not be exact.

use super::{Metered, Metering, request::MOST};
use crate::usage::Tokens;

/// So many characters of Base64 without a break are no text.
const LONG_RUN: usize = 512;

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
}

impl Estimate {
    /// The counts.
    pub fn tokens(&self) -> Tokens {
        Tokens { input: self.read, output: self.written, ..Tokens::default() }
    }
}

/// An estimate from a whole body; `most_output` is what the model writes at most, where a price says so.
pub fn estimate(
    metering: &Metering,
    metered: Metered,
    body: &[u8],
    most_output: Option<u64>,
) -> Estimate {
    let requests = &metering.requests;
    let said = requests.wants.read(body);
    let answers = said.choices.at_most(1).saturating_mul(said.prompts.at_most(1));
    let each = said.most_output.at_most(most_output.unwrap_or(requests.default_output));
    Estimate {
        read: match metered {
            Metered::No | Metered::Told => 0,
            _ => read(body, requests.bytes_per_token, requests.inline_tokens),
        },
        written: match metered {
            Metered::Both => each.saturating_mul(answers).min(MOST),
            _ => 0,
        },
        streams: said.stream.surely(),
        may_stream: said.stream.perhaps,
        metered,
    }
}

/// An estimate for a body that is not read before it is forwarded; `length` is what its sender declared of it.
pub fn unread(
    metering: &Metering,
    metered: Metered,
    length: Option<u64>,
    most_output: Option<u64>,
) -> Estimate {
    let requests = &metering.requests;
    let read = length.unwrap_or(0).div_ceil(requests.bytes_per_token);
    Estimate {
        read: if matches!(metered, Metered::No | Metered::Told) { 0 } else { read },
        written: match metered {
            Metered::Both => most_output.unwrap_or(requests.default_output),
            _ => 0,
        },
        metered,
        ..Estimate::default()
    }
}

/// Tokens of a body: by its bytes, but for long runs of Base64. A long run covers one of the places that are looked at.
fn read(body: &[u8], bytes_per_token: u64, inline_tokens: u64) -> u64 {
    let mut text = body.len();
    let mut inline = 0_u64;
    let mut at = 0;
    while let Some(rest) = body.get(at + LONG_RUN / 2..) {
        let (before, _) = body.split_at_checked(at + LONG_RUN / 2).unwrap_or((body, &[]));
        let open = body.len() - rest.len() - at;
        let behind = rest.iter().position(|byte| !is_base64(*byte)).unwrap_or(rest.len());
        let ahead = before.iter().rev().take(open).position(|byte| !is_base64(*byte));
        let run = ahead.unwrap_or(open) + behind;
        if behind > 0 && run >= LONG_RUN {
            text -= run;
            let bytes = u64::try_from(run).unwrap_or(u64::MAX);
            inline = inline.saturating_add(inline_tokens.min(bytes.div_ceil(bytes_per_token)));
        }
        at = body.len() - rest.len() + behind;
    }
    let text = u64::try_from(text).unwrap_or(u64::MAX);
    inline.saturating_add(text.div_ceil(bytes_per_token))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}
