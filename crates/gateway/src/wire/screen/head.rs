//! One request head: lines are looked at as they become whole, the rules between lines at the end.
//!
//! The head is held back until its last byte is there, so what must be remembered of a line is where
//! it stood, never a copy of it.

use std::ops::Range;

use super::{
    super::{
        fields::{Fields, Name, at, bytes},
        syntax::{Line, METHOD, TARGET, TOKEN, field, find_line, is, is_authority, list, run},
    },
    HeadLimits, Violation,
};

/// The longest registered method has 17 bytes (UPDATEREDIRECTREF).
const METHOD_BYTES: usize = 32;
/// Options of Connection: clients send one or two.
const OPTIONS: usize = 64;
/// What a request line has besides method and target: two spaces, the version, CRLF.
const AROUND_TARGET: usize = 1 + 1 + b"HTTP/1.1".len() + 2;

/// What follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// The next head (RFC 9112 §6.3: without a framing field there is no body).
    Nothing,
    /// So many bytes, at least one.
    Length(u64),
    Chunked,
    /// What the gateway answers decides it.
    Upgrade,
}

/// How far a head was read, and what it has said so far.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the line begins that is not whole yet.
    line: usize,
    /// Up to where that line was looked at.
    scanned: usize,
    /// Whether a byte was seen: a lone CR leaves `scanned` at 0.
    begun: bool,
    /// Header lines read; the request line is not one.
    headers: usize,
    facts: Facts,
}

/// Where what a head says stands in it.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) http10: bool,
    pub(crate) method: Range<u32>,
    pub(crate) target: Range<u32>,
    /// The authority of an absolute-form target.
    pub(crate) authority: Option<Range<u32>>,
    pub(crate) fields: Fields,
}

/// What the lines said that counts at the end.
#[derive(Debug, Default)]
struct Facts {
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    connection_upgrade: bool,
    /// Options of Connection, which name fields that every other field is held against.
    options: usize,
}

impl Head {
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Reads on; the head begins at `bytes`' front. `None` until it is whole, then its length.
    pub(super) fn read(
        &mut self,
        limits: &HeadLimits,
        bytes: &[u8],
        places: &mut Places,
    ) -> Result<Option<(usize, Framing)>, Violation> {
        if !std::mem::replace(&mut self.begun, true) {
            places.fields.clear();
        }
        loop {
            let (most, excess) = self.bound(limits);
            let window = bytes.get(..most).unwrap_or(bytes);
            let end = match find_line(window, self.scanned)? {
                Line::Whole(end) => end,
                Line::Partial(_) if window.len() == most => return Err(excess),
                Line::Partial(scanned) => {
                    self.scanned = scanned;
                    return Ok(None);
                }
            };
            let (start, next) = (self.line, end + 2);
            let line = window.get(start..end).unwrap_or_default();
            if start == 0 {
                places.request_line(line, limits.request_line)?;
            } else if line.is_empty() {
                return Ok(Some((next, self.facts.conclude(window, places)?)));
            } else {
                if self.headers == limits.headers {
                    return Err(Violation::TooManyHeaders);
                }
                match line.first() {
                    Some(b' ' | b'\t') if self.headers == 0 => {
                        return Err(Violation::LeadingWhitespace);
                    }
                    Some(b' ' | b'\t') => return Err(Violation::LineFolding),
                    _ => {}
                }
                self.headers += 1;
                let (field, value) = field(line, start)?;
                self.facts.field(field.is, value, places)?;
                places.fields.push(field);
            }
            (self.line, self.scanned) = (next, next);
        }
    }

    /// How many bytes the line that is being read may end at, and what it is if it does not.
    fn bound(&self, limits: &HeadLimits) -> (usize, Violation) {
        let request_line = limits.request_line.saturating_add(METHOD_BYTES + AROUND_TARGET);
        if self.line == 0 && request_line < limits.head {
            (request_line, Violation::UriTooLong)
        } else {
            (limits.head, Violation::HeadTooLarge)
        }
    }
}

impl Places {
    /// `METHOD SP target SP version` (RFC 9112 §3).
    fn request_line(&mut self, line: &[u8], longest: usize) -> Result<(), Violation> {
        if line.is_empty() {
            return Err(Violation::EmptyFirstLine);
        }
        let (method, rest) = line.split_at_checked(run(line, METHOD)).unwrap_or_default();
        let rest = match rest.split_first() {
            _ if method.len() > METHOD_BYTES => return Err(Violation::Method),
            Some((b' ', rest)) if !method.is_empty() => rest,
            Some((0x80.., _)) => return Err(Violation::NotAscii),
            Some((b' ' | b'\t', _)) | None => return Err(Violation::RequestLine),
            Some(_) => return Err(Violation::Method),
        };
        let (target, rest) = rest.split_at_checked(run(rest, TARGET)).unwrap_or_default();
        if target.len() > longest {
            return Err(Violation::UriTooLong);
        }
        let version = match rest.split_first() {
            Some((b' ', version)) if !target.is_empty() => version,
            Some((b'#', _)) => return Err(Violation::Fragment),
            Some((0x80.., _)) => return Err(Violation::NotAscii),
            Some((b' ' | b'\t', _)) | None => return Err(Violation::RequestLine),
            Some(_) => return Err(Violation::TargetCharacter),
        };
        self.http10 = is_http10(version)?;
        if matches!(method, b"CONNECT" | b"TRACE") {
            return Err(Violation::MethodRefused);
        }
        let start = method.len() + 1;
        self.method = 0..at(method.len());
        self.target = at(start)..at(start + target.len());
        let authority = authority(method, target)?;
        self.authority = authority.map(|place| at(start + place.start)..at(start + place.end));
        Ok(())
    }
}

fn is_http10(version: &[u8]) -> Result<bool, Violation> {
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Violation::VersionUnsupported)
        }
        _ if version.iter().any(|byte| *byte >= 0x80) => Err(Violation::NotAscii),
        _ if version.contains(&b' ') || version.contains(&b'\t') => Err(Violation::RequestLine),
        _ => Err(Violation::VersionMalformed),
    }
}

/// Where the authority stands in a target of absolute form; none in origin form, or in `*` (RFC 9112 §3.2).
fn authority(method: &[u8], target: &[u8]) -> Result<Option<Range<usize>>, Violation> {
    match target {
        [b'/', ..] => return Ok(None),
        b"*" if method == b"OPTIONS" => return Ok(None),
        b"*" => return Err(Violation::Asterisk),
        _ => {}
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let scheme = scheme.ok_or(Violation::TargetForm)?.len();
    let rest = target.get(scheme..).unwrap_or_default();
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if !is_authority(rest.get(..length).unwrap_or_default()) {
        return Err(Violation::TargetForm);
    }
    Ok(Some(scheme..scheme + length))
}

impl Facts {
    /// One field.
    fn field(&mut self, is: Name, value: &[u8], before: &Places) -> Result<(), Violation> {
        match is {
            Name::Host if before.fields.has(Name::Host) => Err(Violation::HostRepeated),
            Name::Host if !is_authority(value) => Err(Violation::HostMalformed),
            Name::Expect if !value.eq_ignore_ascii_case(b"100-continue") => {
                Err(Violation::Expectation)
            }
            Name::Upgrade => self.upgrade(value),
            Name::Connection => self.connection(value),
            Name::ContentLength => self.content_length(value),
            Name::Http2Settings => Err(Violation::UpgradeH2c),
            Name::TransferEncoding => self.transfer_encoding(value, before.http10),
            _ => Ok(()),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.length.is_some() {
            return Err(Violation::LengthRepeated);
        }
        if self.chunked {
            return Err(Violation::LengthWithCoding);
        }
        let zero_led = value.len() > 1 && value.first() == Some(&b'0');
        if value.is_empty() || zero_led || !value.iter().all(u8::is_ascii_digit) {
            return Err(Violation::LengthMalformed);
        }
        let length = value.iter().try_fold(0_i64, |length, digit| {
            length.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
        });
        let length = length.ok_or(Violation::LengthTooLarge)?;
        self.length = Some(length.unsigned_abs());
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8], http10: bool) -> Result<(), Violation> {
        if http10 {
            return Err(Violation::CodingOnHttp10);
        }
        if self.chunked {
            return Err(Violation::CodingRepeated);
        }
        if self.length.is_some() {
            return Err(Violation::LengthWithCoding);
        }
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        if is_chunked(value) {
            self.chunked = true;
            return Ok(());
        }
        let unknown = list(value).any(|coding| {
            !coding.is_empty() && run(coding, TOKEN) == coding.len() && !is_chunked(coding)
        });
        Err(if unknown { Violation::CodingUnknown } else { Violation::CodingMalformed })
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Violation> {
        for option in list(value) {
            self.options += 1;
            if self.options > OPTIONS {
                return Err(Violation::TooManyHeaders);
            }
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            match option.len() {
                7 if is(b"upgrade") => self.connection_upgrade = true,
                4 if is(b"host") => return Err(Violation::ConnectionNames),
                14 if is(b"content-length") => return Err(Violation::ConnectionNames),
                17 if is(b"transfer-encoding") => return Err(Violation::ConnectionNames),
                _ => {}
            }
        }
        Ok(())
    }

    fn upgrade(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.upgrade {
            return Err(Violation::UpgradeMalformed);
        }
        for protocol in list(value) {
            let (name, rest) = protocol.split_at_checked(run(protocol, TOKEN)).unwrap_or_default();
            match rest {
                [] if !name.is_empty() => {}
                [b'/', first, more @ ..]
                    if !name.is_empty() && is(*first, TOKEN) && run(more, TOKEN) == more.len() => {}
                _ => return Err(Violation::UpgradeMalformed),
            }
            let http2 = [&b"h2c"[..], b"h2", b"http"];
            if http2.iter().any(|http2| name.eq_ignore_ascii_case(http2)) {
                return Err(Violation::UpgradeH2c);
            }
        }
        self.upgrade = true;
        Ok(())
    }

    /// The rules that no single line can break. `head` begins where the head does.
    fn conclude(&self, head: &[u8], places: &Places) -> Result<Framing, Violation> {
        let host = places.fields.of(Name::Host).next().ok_or(Violation::HostMissing)?.value(head);
        if let Some(authority) = &places.authority
            && !host.eq_ignore_ascii_case(bytes(head, authority))
        {
            return Err(Violation::HostDiffers);
        }
        let framing = match self.length {
            None if self.chunked => Framing::Chunked,
            None | Some(0) => Framing::Nothing,
            Some(length) => Framing::Length(length),
        };
        match framing {
            _ if !self.upgrade => Ok(framing),
            _ if places.http10 => Err(Violation::UpgradeOnHttp10),
            _ if !self.connection_upgrade => Err(Violation::UpgradeNotNamed),
            Framing::Nothing => Ok(Framing::Upgrade),
            _ => Err(Violation::UpgradeWithBody),
        }
    }
}
