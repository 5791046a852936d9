//! A connection: requests behind each other, with bodies, and with upgrades that are taken or not.

use super::{
    LIMITS,
    cuts::Cuts,
    naive::{self, BodyEnd, Framing},
    requests::{Message, Outcome, Upgrades, at_once, cut},
};
use crate::wire::screen::Phase;

/// Four bytes say how it comes, one which upgrades are taken, the rest is the stream.
///
/// What was read as a body, or passed in a tunnel, is never read as a head, nor the other way round; nothing passes while it is open
/// what a connection becomes.
pub fn connection(input: &[u8]) {
    let Some((cuts, rest)) = Cuts::split(input) else { return };
    let Some((upgrades, stream)) = rest.split_first() else { return };
    let upgrades = Upgrades(*upgrades);
    let outcome = at_once(stream, upgrades);
    assert_eq!(cut(stream, cuts, upgrades), outcome, "by how it is cut");
    let expected = read(stream, upgrades);
    assert_eq!(outcome.messages, expected.messages);
    match (expected.phase, outcome.phase) {
        // Half a head can be refused already; what is wrong with it is for the tables to say.
        (Phase::Head, Phase::Refused | Phase::Head) => {}
        (expected, phase) => assert_eq!(phase, expected),
    }
    if outcome.phase != Phase::Refused {
        assert!(expected.passed <= outcome.passed && outcome.passed <= stream.len());
    }
}

/// The same, the naive way.
fn read(stream: &[u8], upgrades: Upgrades) -> Outcome {
    let mut outcome = Outcome { messages: vec![], passed: 0, phase: Phase::Idle, violation: None };
    let mut asked = 0;
    while outcome.passed < stream.len() {
        let rest = &stream[outcome.passed..];
        let Some(end) = naive::head_end(rest) else {
            outcome.phase = Phase::Head;
            break;
        };
        let Some(head) = naive::request(&rest[..end], &LIMITS) else {
            outcome.phase = Phase::Refused;
            break;
        };
        let body = &rest[end..];
        let (content, used, phase) = match head.framing {
            Framing::Nothing => (vec![], Some(0), Phase::Idle),
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= body.len() => {
                    (body[..length].to_vec(), Some(length), Phase::Idle)
                }
                _ => (body.to_vec(), None, Phase::Body),
            },
            Framing::Chunked => {
                let body = naive::chunked(body, LIMITS.headers);
                match body.end {
                    BodyEnd::Whole(length) => (body.content, Some(length), Phase::Idle),
                    BodyEnd::Unfinished => (body.content, None, Phase::Body),
                    BodyEnd::Refused => (body.content, None, Phase::Refused),
                }
            }
            Framing::Upgrade => {
                asked += 1;
                match upgrades.takes(asked - 1) {
                    true => (body.to_vec(), None, Phase::Tunnel),
                    false => (vec![], Some(0), Phase::Idle),
                }
            }
        };
        outcome.passed += end + used.unwrap_or(0);
        let end = used.map(|_| outcome.passed);
        outcome.messages.push(Message { head, content, end });
        outcome.phase = phase;
        if used.is_none() {
            break;
        }
    }
    outcome
}
