//! The screen: which bytes of a client's HTTP/1.1 stream form one message.
//!
//! **Why it exists.** Two programs that read one stream must agree on where a message ends; where
//! they do not, a client smuggles a request past the one that checks. Parsers resolve what they should
//! refuse: they drop a Content-Length beside a Transfer-Encoding, merge equal lengths, take bare LF
//! and lower-case methods, skip empty lines. After they have parsed, nobody can tell any more.
//!
//! **What it promises.**
//! - A head passes whole or not at all, and only when there is exactly one way to read it
//!   (RFC 9112 §2 to §7, without any of the leniencies it allows; [`Violation`] lists the rules).
//! - Body bytes stream through as they come, and a byte of chunk framing counts only after it was
//!   checked.
//! - What passes and what is refused does not depend on how the bytes were split into reads.
//! - Nothing passes after a violation, and nothing after a request for an upgrade until the gateway
//!   has said what follows: see [`Screen::tunnel`].
//! - The work is linear in the bytes, also when they come one by one; it allocates nothing but room for where fields stand, once.
//!
//! It is pure: no sockets, no clock. Deadlines are kept by the caller, who asks [`Screen::phase`].
//! Which paths, credentials and header names are acceptable is decided elsewhere.
//!
//! **What was rejected.** hyper and httparse: they are lenient in the places above, and their head has to be read once more for
//! what stands where. Repairing
//! (dropping one of two lengths): the client and we would disagree on what it sent.

mod head;
#[cfg(test)]
mod tests;

pub(crate) use head::Places;
use head::{Framing, Head};

use super::chunked::{Chunks, Piece};
pub(crate) use super::syntax::is_authority;
pub use super::violation::Violation;

/// What the bytes at the front of the stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The first `n` bytes (`n` > 0) are one whole head.
    Head(usize),
    /// The first `n` bytes (`n` > 0) are content: of a body, or of the tunnel.
    Data(usize),
    /// The first `n` bytes (`n` > 0) frame the content, and are good.
    Framing(usize),
    /// What stands at the front is not whole: keep it, and come again with more behind it.
    NeedMore,
    /// The head that passed last asks for an upgrade, and nobody has said yet whether it is taken:
    /// keep the bytes until [`Screen::tunnel`] or [`Screen::no_tunnel`] was called.
    Hold,
    /// What stands at the front breaks a rule. Nothing of it may pass, nor anything after it: the
    /// screen repeats this answer for ever. Answer, and close the connection.
    Refuse(Violation),
}

/// Where in the stream the screen stands, for the caller's deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between messages; nothing of the next one was seen.
    Idle,
    /// A head has begun and is not whole.
    Head,
    /// A head has passed, its body not yet to the end.
    Body,
    /// A request for an upgrade has passed, and its answer is open.
    AfterUpgrade,
    /// The connection is no longer HTTP.
    Tunnel,
    /// A rule was broken.
    Refused,
}

/// How large a head may be. What stands behind the screen must accept at least as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request target; more is a 414.
    pub request_line: usize,
    /// Bytes of a head, from the method to the empty line's CRLF; more is a 431.
    pub head: usize,
    /// Header lines in a head, and trailer lines after a body; more is a 431.
    pub headers: usize,
}

/// The screen of one connection.
#[derive(Debug)]
pub struct Screen {
    limits: HeadLimits,
    state: State,
    /// Of the head that passed last, or is being read.
    places: Places,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Body { remaining: u64 },
    Chunked(Chunks),
    AfterUpgrade,
    Tunnel,
    Refused(Violation),
}

impl State {
    fn next_head() -> State {
        State::Head(Head::default())
    }
}

impl Screen {
    /// A screen for a connection on which nothing was read yet.
    pub fn new(limits: HeadLimits) -> Screen {
        Screen { limits, state: State::next_head(), places: Places::default() }
    }

    /// Looks at `bytes`: all that was read and has not passed yet, so that after
    /// [`Step::NeedMore`] the same bytes must stand at the front again, with more behind them.
    ///
    /// One call passes at most one head, or one piece of a body; call again for the rest.
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        if let State::Refused(violation) = self.state {
            return Step::Refuse(violation);
        }
        if bytes.is_empty() {
            return Step::NeedMore;
        }
        match self.advance(bytes) {
            Ok(step) => step,
            Err(violation) => {
                self.state = State::Refused(violation);
                Step::Refuse(violation)
            }
        }
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        match &mut self.state {
            State::Head(head) => {
                let Some((length, framing)) = head.read(&self.limits, bytes, &mut self.places)?
                else {
                    return Ok(Step::NeedMore);
                };
                self.state = match framing {
                    Framing::Nothing => State::next_head(),
                    Framing::Length(remaining) => State::Body { remaining },
                    Framing::Chunked => State::Chunked(Chunks::default()),
                    Framing::Upgrade => State::AfterUpgrade,
                };
                Ok(Step::Head(length))
            }
            State::Body { remaining } => {
                let here = usize::try_from(*remaining).unwrap_or(usize::MAX).min(bytes.len());
                *remaining -= here as u64;
                if *remaining == 0 {
                    self.state = State::next_head();
                }
                Ok(Step::Data(here))
            }
            State::Chunked(chunks) => {
                let piece = chunks.piece(self.limits.headers, bytes)?;
                if chunks.is_done() {
                    self.state = State::next_head();
                }
                Ok(match piece {
                    // What trailers say was never decided on.
                    Some(Piece::Framing(length) | Piece::Trailer(length)) => Step::Framing(length),
                    Some(Piece::Data(length)) => Step::Data(length),
                    None => Step::NeedMore,
                })
            }
            State::AfterUpgrade => Ok(Step::Hold),
            State::Tunnel => Ok(Step::Data(bytes.len())),
            State::Refused(violation) => Err(*violation),
        }
    }

    /// The gateway has answered 101: from now on everything passes unseen.
    ///
    /// Without a pending request for an upgrade this does nothing, so that a mistake above the
    /// screen cannot switch it off.
    pub fn tunnel(&mut self) {
        if matches!(self.state, State::AfterUpgrade) {
            self.state = State::Tunnel;
        }
    }

    /// The gateway has answered the request for an upgrade otherwise: what follows is a head again.
    ///
    /// Without a pending request for an upgrade this does nothing.
    pub fn no_tunnel(&mut self) {
        if matches!(self.state, State::AfterUpgrade) {
            self.state = State::next_head();
        }
    }

    /// Where things stand in the head that passed last, for others that are done with.
    pub(crate) fn swap_places(&mut self, with: &mut Places) {
        std::mem::swap(&mut self.places, with);
    }

    /// How much of the body is to come, where that is known: all of it, right behind the head.
    pub fn body_left(&self) -> Option<u64> {
        match &self.state {
            State::Body { remaining } => Some(*remaining),
            State::Chunked(_) => None,
            _ => Some(0),
        }
    }

    /// Where the stream stands, as of the last [`Screen::step`].
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Head(head) if head.has_begun() => Phase::Head,
            State::Head(_) => Phase::Idle,
            State::Body { .. } | State::Chunked(_) => Phase::Body,
            State::AfterUpgrade => Phase::AfterUpgrade,
            State::Tunnel => Phase::Tunnel,
            State::Refused(_) => Phase::Refused,
        }
    }
}
