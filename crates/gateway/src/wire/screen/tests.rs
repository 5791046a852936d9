//! A small harness that does what the reader around the screen does, and what holds of the screen's
//! interface. The rules are in `refused`, what passes in `passing`, the rest in `properties`.

mod passing;
mod properties;
mod refused;

use super::{HeadLimits, Phase, Screen, Step, Violation};

pub(super) const LIMITS: HeadLimits = HeadLimits { request_line: 256, head: 2048, headers: 24 };

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Every byte that passed.
    passed: Vec<u8>,
    /// The messages: each head that passed, and the raw body bytes that passed after it.
    messages: Vec<(Vec<u8>, Vec<u8>)>,
    phase: Phase,
    violation: Option<Violation>,
}

/// Feeds `input` in reads of the given sizes (the last one repeats), and answers upgrades.
fn drive(input: &[u8], reads: &[usize], upgrades: bool) -> Outcome {
    let mut screen = Screen::new(LIMITS);
    let mut outcome =
        Outcome { passed: vec![], messages: vec![], phase: Phase::Idle, violation: None };
    let mut sizes = reads.iter().copied().chain(std::iter::repeat(*reads.last().unwrap()));
    let (mut held, mut rest) = (Vec::new(), input);
    while !rest.is_empty() && outcome.violation.is_none() {
        let (read, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        held.extend_from_slice(read);
        rest = after;
        while !held.is_empty() {
            let before = screen.phase();
            match screen.step(&held) {
                Step::Head(length) | Step::Data(length) | Step::Framing(length) => {
                    assert!((1..=held.len()).contains(&length));
                    let bytes: Vec<u8> = held.drain(..length).collect();
                    outcome.passed.extend_from_slice(&bytes);
                    match before {
                        Phase::Idle | Phase::Head => outcome.messages.push((bytes, vec![])),
                        _ => outcome.messages.last_mut().unwrap().1.extend_from_slice(&bytes),
                    }
                }
                Step::NeedMore => break,
                Step::Hold if upgrades => screen.tunnel(),
                Step::Hold => screen.no_tunnel(),
                Step::Refuse(violation) => {
                    assert_eq!(screen.step(b"GET / HTTP/1.1\r\n"), Step::Refuse(violation));
                    outcome.violation = Some(violation);
                    break;
                }
            }
        }
    }
    outcome.phase = screen.phase();
    outcome
}

fn whole(input: &[u8]) -> Outcome {
    drive(input, &[usize::MAX], true)
}

const GET: &[u8] = b"GET /v1/models HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
const UPGRADE: &[u8] = b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: api.example.com\r\n\
    Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_head_is_held_back_until_its_last_byte() {
    let mut screen = Screen::new(LIMITS);
    for end in 1..GET.len() {
        assert_eq!(screen.step(&GET[..end]), Step::NeedMore);
        assert_eq!(screen.phase(), Phase::Head);
    }
    assert_eq!(screen.step(GET), Step::Head(GET.len()));
    assert_eq!(screen.phase(), Phase::Idle);
}

#[test]
fn one_step_passes_one_head_and_leaves_what_follows() {
    let pair = [GET, GET].concat();
    let mut screen = Screen::new(LIMITS);
    assert_eq!(screen.step(&pair), Step::Head(GET.len()));
    assert_eq!(screen.step(&pair[GET.len()..]), Step::Head(GET.len()));
}

#[test]
fn a_body_passes_as_it_comes_and_ends_where_its_length_says() {
    let mut screen = Screen::new(LIMITS);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(screen.step(head), Step::Head(head.len()));
    assert_eq!(screen.phase(), Phase::Body);
    assert_eq!(screen.body_left(), Some(5));
    assert_eq!(screen.step(b"\n\0"), Step::Data(2));
    assert_eq!(screen.step(b"abcGET"), Step::Data(3));
    assert_eq!(screen.phase(), Phase::Idle);
}

#[test]
fn a_chunk_passes_up_to_the_line_that_is_not_whole() {
    let mut screen = Screen::new(LIMITS);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(screen.step(head), Step::Head(head.len()));
    assert_eq!(screen.body_left(), None);
    assert_eq!(screen.step(b"5\r"), Step::NeedMore);
    assert_eq!(screen.step(b"5\r\nab"), Step::Framing(3));
    assert_eq!(screen.step(b"ab"), Step::Data(2));
    assert_eq!(screen.step(b"cde\r"), Step::Data(3));
    assert_eq!(screen.step(b"\r"), Step::NeedMore);
    assert_eq!(screen.step(b"\r\n0"), Step::Framing(2));
    assert_eq!(screen.step(b"0\r\nDigest: x\r\n\r"), Step::Framing(3));
    assert_eq!(screen.step(b"Digest: x\r\n\r"), Step::Framing(11));
    assert_eq!(screen.step(b"\r"), Step::NeedMore);
    assert_eq!(screen.phase(), Phase::Body);
    assert_eq!(screen.step(b"\r\nGET"), Step::Framing(2));
    assert_eq!((screen.phase(), screen.body_left()), (Phase::Idle, Some(0)));
}

#[test]
fn what_is_good_before_a_bad_chunk_passes_and_the_bad_one_does_not() {
    let mut screen = Screen::new(LIMITS);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(screen.step(head), Step::Head(head.len()));
    assert_eq!(screen.step(b"1\r\na\r\nx\r\n"), Step::Framing(3));
    assert_eq!(screen.step(b"a\r\nx\r\n"), Step::Data(1));
    assert_eq!(screen.step(b"\r\nx\r\n"), Step::Framing(2));
    assert_eq!(screen.step(b"x\r\n"), Step::Refuse(Violation::ChunkSize));
}

#[test]
fn after_an_upgrade_nothing_passes_until_the_gateway_has_answered() {
    let mut screen = Screen::new(LIMITS);
    assert_eq!(screen.step(UPGRADE), Step::Head(UPGRADE.len()));
    assert_eq!(screen.phase(), Phase::AfterUpgrade);
    assert_eq!(screen.step(GET), Step::Hold);
    screen.no_tunnel();
    assert_eq!(screen.phase(), Phase::Idle);
    assert_eq!(screen.step(GET), Step::Head(GET.len()));
    assert_eq!(screen.step(UPGRADE), Step::Head(UPGRADE.len()));
    screen.tunnel();
    assert_eq!(screen.phase(), Phase::Tunnel);
    assert_eq!(screen.step(b"\0\n"), Step::Data(2));
}

#[test]
fn a_tunnel_that_nobody_asked_for_does_not_open() {
    let mut screen = Screen::new(LIMITS);
    screen.tunnel();
    assert_eq!(screen.step(b"\0"), Step::Refuse(Violation::ControlCharacter));
    screen.tunnel();
    screen.no_tunnel();
    assert_eq!(screen.phase(), Phase::Refused);
    assert_eq!(screen.step(b""), Step::Refuse(Violation::ControlCharacter));
}

#[test]
fn no_bytes_change_nothing() {
    let mut screen = Screen::new(LIMITS);
    assert_eq!(screen.step(b""), Step::NeedMore);
    assert_eq!(screen.phase(), Phase::Idle);
    assert_eq!(screen.step(b"\r"), Step::NeedMore);
    assert_eq!(screen.phase(), Phase::Head);
}

#[test]
fn every_rule_answers_with_a_client_status_and_one_sentence() {
    for violation in Violation::ALL {
        let (status, detail) = (violation.status(), violation.detail());
        assert!(matches!(status, 400 | 405 | 413 | 414 | 417 | 431 | 501 | 505), "{violation:?}");
        assert!(detail.ends_with('.') && !detail.contains('\n'), "{violation:?}");
        assert_eq!(detail.matches(". ").count(), 0, "{violation:?}");
        assert_eq!(violation.to_string(), detail);
    }
}

#[test]
fn statuses_tell_a_client_what_kind_of_fault_it_was() {
    for (violation, status) in [
        (Violation::BareLf, 400),
        (Violation::LengthWithCoding, 400),
        (Violation::HostMissing, 400),
        (Violation::VersionMalformed, 400),
        (Violation::MethodRefused, 405),
        (Violation::LengthTooLarge, 413),
        (Violation::UriTooLong, 414),
        (Violation::Expectation, 417),
        (Violation::HeadTooLarge, 431),
        (Violation::TooManyHeaders, 431),
        (Violation::TrailersTooLarge, 431),
        (Violation::CodingUnknown, 501),
        (Violation::VersionUnsupported, 505),
    ] {
        assert_eq!(violation.status(), status, "{violation:?}");
    }
}

/// 256 KiB, a byte at a time. Looked at from the start each time, this takes minutes.
#[test]
fn a_head_that_comes_byte_by_byte_costs_no_more_than_its_length() {
    let limits = HeadLimits { request_line: 64, head: 1 << 20, headers: 8 };
    let start = b"GET / HTTP/1.1\r\nHost: a\r\n";
    for filler in [b'a', b'\t', b':'] {
        let mut head = start.to_vec();
        head.extend_from_slice(b"X: ");
        head.resize(1 << 18, filler);
        let mut screen = Screen::new(limits);
        let began = std::time::Instant::now();
        for end in 1..=head.len() {
            assert_eq!(screen.step(&head[..end]), Step::NeedMore);
        }
        assert!(began.elapsed().as_secs() < 5, "{:?} for {filler}", began.elapsed());
    }
}
