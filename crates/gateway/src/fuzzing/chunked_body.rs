//! A chunked body, of a request.

use super::{
    LIMITS,
    cuts::Cuts,
    naive::{self, BodyEnd},
    requests::{Upgrades, at_once, cut},
};
use crate::wire::screen::Phase;

/// What stands before it.
const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Four bytes say how it comes, the rest is the body, and what stands behind it.
///
/// Its content is the naive reader's, also where it breaks off, and it ends where that one's ends.
pub fn chunked_body(input: &[u8]) {
    let Some((cuts, body)) = Cuts::split(input) else { return };
    let stream = [HEAD, body].concat();
    let outcome = at_once(&stream, Upgrades(0));
    assert_eq!(cut(&stream, cuts, Upgrades(0)), outcome, "by how it is cut");
    let expected = naive::chunked(body, LIMITS.headers);
    let message = &outcome.messages[0];
    assert_eq!(message.content, expected.content);
    match expected.end {
        BodyEnd::Whole(length) => assert_eq!(message.end, Some(HEAD.len() + length)),
        BodyEnd::Unfinished => assert_eq!((message.end, outcome.phase), (None, Phase::Body)),
        BodyEnd::Refused => assert_eq!((message.end, outcome.phase), (None, Phase::Refused)),
    }
}
