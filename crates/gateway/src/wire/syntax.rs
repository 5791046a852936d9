//! The grammar below heads and trailers: lines, tokens, fields, hosts (RFC 9112 §2.2, RFC 9110 §5).
//!
//! These functions see every byte of every head, so they work on words and tables. They know
//! nothing of what a field means.

use super::{
    fields::{Field, Name},
    violation::Violation,
};

/// A byte of a token (RFC 9110 §5.6.2), and so of a field's name.
pub(super) const TOKEN: u8 = 1;
/// A byte that a method may have here.
pub(super) const METHOD: u8 = 2;
/// A byte that a request target may have: RFC 3986's characters and `%`, without `#`. Brackets are
/// in it, although RFC 3986 wants them encoded in a query: clients send `?filter[name]=` everywhere,
/// and every parser reads it alike.
pub(super) const TARGET: u8 = 4;
/// A byte of a host's name.
pub(super) const NAME: u8 = 8;

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, and in bounds")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let character = byte as u8;
        let letter_or_digit = character.is_ascii_alphanumeric();
        if letter_or_digit || is_one_of(character, b"!#$%&'*+-.^_`|~") {
            table[byte] |= TOKEN;
        }
        if character.is_ascii_uppercase() || is_one_of(character, b"-_") {
            table[byte] |= METHOD;
        }
        if letter_or_digit || is_one_of(character, b"-._~%:/?[]@!$&'()*+,;=") {
            table[byte] |= TARGET;
        }
        if letter_or_digit || is_one_of(character, b"-._") {
            table[byte] |= NAME;
        }
        byte += 1;
    }
    table
}

const fn is_one_of(byte: u8, mut set: &[u8]) -> bool {
    while let [first, rest @ ..] = set {
        if byte == *first {
            return true;
        }
        set = rest;
    }
    false
}

pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// How many bytes at the front are of the class.
pub(super) fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|byte| !is(*byte, class)).unwrap_or(bytes.len())
}

/// Whether it can name a field (RFC 9110 §5.1).
pub(crate) fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty() && run(name, TOKEN) == name.len()
}

/// Whether it can be a field's value (RFC 9110 §5.5).
pub(crate) fn is_field_value(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// What was found of a line.
pub(super) enum Line {
    /// It is whole; its CR stands at this index.
    Whole(usize),
    /// It is not whole, and need not be looked at again before this index.
    Partial(usize),
}

/// Looks for the end of a line, from `from` on, and at every byte on the way.
#[inline]
pub(super) fn find_line(bytes: &[u8], mut from: usize) -> Result<Line, Violation> {
    while let Some((at, byte)) = find_control(bytes, from) {
        match (byte, bytes.get(at + 1)) {
            (b'\t', _) => from = at + 1,
            (b'\r', Some(b'\n')) => return Ok(Line::Whole(at)),
            (b'\r', None) => return Ok(Line::Partial(at)),
            (b'\r', Some(_)) => return Err(Violation::BareCr),
            (b'\n', _) => return Err(Violation::BareLf),
            _ => return Err(Violation::ControlCharacter),
        }
    }
    Ok(Line::Partial(bytes.len()))
}

/// The first byte below 0x20, or 0x7F, and its index. Eight bytes at a time.
fn find_control(bytes: &[u8], from: usize) -> Option<(usize, u8)> {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const TOPS: u64 = ONES << 7;
    const SPACE: u64 = ONES * 0x20;
    const DEL: u64 = ONES * 0x7f;
    let (words, rest) = bytes.get(from..)?.as_chunks::<8>();
    let mut at = from;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // Borrows can mark a byte falsely, but only above one that is marked rightly: the lowest
        // mark, which is the first byte, is always true.
        let below_space = word.wrapping_sub(SPACE) & !word;
        let without_del = word ^ DEL;
        let del = without_del.wrapping_sub(ONES) & !without_del;
        let marks = (below_space | del) & TOPS;
        if marks != 0 {
            let byte = marks.trailing_zeros() / 8;
            return Some((at + byte as usize, (word >> (byte * 8)) as u8));
        }
        at += 8;
    }
    let found = rest.iter().position(u8::is_ascii_control)?;
    Some((at + found, *rest.get(found)?))
}

/// A field line's name and its value, which has its surrounding whitespace still.
///
/// The line is without its CRLF, is not empty, and has been through [`find_line`].
#[inline]
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let (name, rest) = line.split_at_checked(run(line, TOKEN)).unwrap_or_default();
    match rest.split_first() {
        Some((b':', value)) if !name.is_empty() => Ok((name, value)),
        Some((b':', _)) => Err(Violation::NameEmpty),
        Some((b' ' | b'\t', _)) if trim(rest).first() == Some(&b':') => {
            Err(Violation::SpaceBeforeColon)
        }
        Some(_) if rest.contains(&b':') => Err(Violation::NameMalformed),
        _ => Err(Violation::ColonMissing),
    }
}

/// The bytes without spaces and tabs around them (RFC 9110 §5.6.3: OWS, and nothing else).
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trimmed(bytes).1
}

/// The same, and how many came off the front.
#[inline]
pub(super) fn trimmed(bytes: &[u8]) -> (usize, &[u8]) {
    let mut rest = bytes;
    while let [b' ' | b'\t', behind @ ..] = rest {
        rest = behind;
    }
    let front = bytes.len() - rest.len();
    while let [before @ .., b' ' | b'\t'] = rest {
        rest = before;
    }
    (front, rest)
}

/// A field line that begins at `start` in a head: its field, and its value without the space around it.
///
/// The line is without its CRLF, is not empty, and has been through [`find_line`].
#[inline]
pub(super) fn field(line: &[u8], start: usize) -> Result<(Field, &[u8]), Violation> {
    let (name, value) = split_field(line)?;
    let (front, value) = trimmed(value);
    let end = start + name.len();
    let from = end + 1 + front;
    Ok((Field::new(Name::of(name), start..end, from..from + value.len()), value))
}

/// The elements of a comma-separated list, trimmed; empty ones too.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// Whether it is one host and at most one port: a name, an IPv4 address or an IPv6 address in
/// brackets (RFC 3986 §3.2, without user information, zone, percent-encoding or an empty port).
pub(crate) fn is_authority(bytes: &[u8]) -> bool {
    let port = if let [b'[', rest @ ..] = bytes {
        let Some(end) = memchr::memchr(b']', rest) else { return false };
        let (address, port) = rest.split_at_checked(end).unwrap_or_default();
        let address = std::str::from_utf8(address).unwrap_or_default();
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        port.get(1..).unwrap_or_default()
    } else {
        let (name, port) = bytes.split_at_checked(run(bytes, NAME)).unwrap_or_default();
        if !is_name(name) {
            return false;
        }
        port
    };
    match port {
        [] => true,
        [b':', digits @ ..] => is_port(digits),
        _ => false,
    }
}

/// Labels are not empty, but for the one after a name's last dot: `example.com.` is a name.
fn is_name(name: &[u8]) -> bool {
    let mut before = b'.';
    for byte in name {
        if before == b'.' && *byte == b'.' {
            return false;
        }
        before = *byte;
    }
    !name.is_empty()
}

fn is_port(digits: &[u8]) -> bool {
    if !(1..=5).contains(&digits.len()) {
        return false;
    }
    let port = digits.iter().try_fold(0_u32, |port, digit| {
        digit.is_ascii_digit().then(|| port * 10 + u32::from(digit - b'0'))
    });
    port.is_some_and(|port| port <= 0xffff)
}
