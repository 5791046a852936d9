//! An upstream's answers, read as strictly as requests are.
//!
//! What an upstream sends decides where its answer ends, and so what the next client on its connection gets. So there is one way
//! to read an answer or it is none: CR LF ends lines, one length of plain digits, `chunked` alone as coding, never both, no
//! folding, no control characters. Whoever needs more leniency has an upstream that no client can rely on either.
//!
//! Pure: bytes in, heads and pieces out. [`crate::upstream`] brings the bytes.

use super::{
    chunked::{Chunks, Piece},
    fields::{Fields, Name},
    syntax::{Line, field, find_line, list, split_field, trim},
    violation::Violation,
};

/// Bytes of a head, from the version to the empty line.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;
/// Lines of a head behind the status line, and of trailers.
const FIELDS: usize = 128;
/// Options of one Connection line, which name fields that every other field is held against.
const OPTIONS: usize = 64;

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadAnswer {
    #[error("its first line is no status line of HTTP/1")]
    StatusLine,
    #[error("its head is too large")]
    HeadTooLarge,
    #[error("it has too many header lines")]
    TooManyHeaders,
    #[error("its interim answers have no end")]
    Interim,
    #[error("its length is told twice, or is no plain number")]
    Length,
    #[error("it is framed in two ways, or in one that is not ours")]
    Coding,
    #[error("a rule of the syntax is broken ({0:?})")]
    Syntax(Violation),
}

impl From<Violation> for BadAnswer {
    fn from(violation: Violation) -> Self {
        Self::Syntax(violation)
    }
}

/// The head of an answer that is being read.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    /// Where the line begins that is not whole yet.
    line: usize,
    /// Up to where that line was looked at.
    scanned: usize,
    head: Head,
    fields: Fields,
}

/// What a head says that counts for the connection. Its fields stay where they are: see [`HeadReader::fields`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// 100 to 999.
    pub(crate) status: u16,
    /// Whether it is HTTP/1.1, not 1.0.
    pub(crate) http11: bool,
    /// Content-Length.
    pub(crate) length: Option<u64>,
    chunked: bool,
    close: bool,
    /// Whether its content is a stream of events.
    pub(crate) streams: bool,
    /// What its content is, as far as it can be metered.
    pub(crate) media: Media,
    /// Whether its content is coded, by which `content-encoding` says.
    pub(crate) coded: bool,
}

/// What a content is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    /// Server-sent events.
    Events,
    /// A JSON text a line.
    Lines,
    #[default]
    Other,
}

impl Media {
    /// By `content-type`, whatever its parameters.
    fn of(value: &[u8]) -> Self {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let name = trim(value.get(..end).unwrap_or_default());
        let is = |media: &str| name.eq_ignore_ascii_case(media.as_bytes());
        let ends = name.len().checked_sub(5).and_then(|at| name.get(at..));
        match name {
            _ if is("application/json") => Self::Json,
            _ if is("text/event-stream") => Self::Events,
            _ if is("application/x-ndjson") || is("application/jsonl") => Self::Lines,
            _ if ends.is_some_and(|end| end.eq_ignore_ascii_case(b"+json")) => Self::Json,
            _ => Self::Other,
        }
    }
}

impl HeadReader {
    /// Begins with the next head.
    pub(crate) fn begin(&mut self) {
        self.fields.clear();
        let fields = std::mem::take(&mut self.fields);
        *self = Self { fields, ..Self::default() };
    }

    /// Where the fields stand of the head that was read last.
    pub(crate) const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Reads on; the head begins at `bytes`' front. `None` until it is whole, then its length.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Option<(usize, Head)>, BadAnswer> {
        let window = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
        loop {
            let end = match find_line(window, self.scanned)? {
                Line::Whole(end) => end,
                Line::Partial(_) if window.len() == HEAD_BYTES => {
                    return Err(BadAnswer::HeadTooLarge);
                }
                Line::Partial(scanned) => {
                    self.scanned = scanned;
                    return Ok(None);
                }
            };
            let (start, next) = (self.line, end + 2);
            let line = window.get(start..end).unwrap_or_default();
            if start == 0 {
                (self.head.status, self.head.http11) = status_line(line)?;
            } else if line.is_empty() {
                return Ok(Some((next, self.head)));
            } else {
                if self.fields.len() == FIELDS {
                    return Err(BadAnswer::TooManyHeaders);
                }
                if matches!(line.first(), Some(b' ' | b'\t')) {
                    return Err(Violation::LineFolding.into());
                }
                let (field, value) = field(line, start)?;
                self.head.field(field.is, value)?;
                self.fields.push(field);
            }
            (self.line, self.scanned) = (next, next);
        }
    }
}

/// `HTTP/1.x SP status SP reason`; the reason, and the space before it, may be missing.
fn status_line(line: &[u8]) -> Result<(u16, bool), BadAnswer> {
    let (version, rest) = line.split_at_checked(b"HTTP/1.1".len()).ok_or(BadAnswer::StatusLine)?;
    let http11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(BadAnswer::StatusLine),
    };
    match rest {
        [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']
        | [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Ok((digit(a) * 100 + digit(b) * 10 + digit(c), http11))
        }
        _ => Err(BadAnswer::StatusLine),
    }
}

impl Head {
    /// One field.
    fn field(&mut self, is: Name, value: &[u8]) -> Result<(), BadAnswer> {
        match is {
            Name::Connection => {
                if list(value).count() > OPTIONS {
                    return Err(BadAnswer::TooManyHeaders);
                }
                self.close |= list(value).any(|option| option.eq_ignore_ascii_case(b"close"));
            }
            Name::ContentType => {
                self.media = Media::of(value);
                self.streams = self.media == Media::Events;
            }
            Name::ContentLength if self.chunked => return Err(BadAnswer::Coding),
            Name::ContentLength if self.length.is_some() => return Err(BadAnswer::Length),
            Name::ContentLength => self.length = Some(length(value).ok_or(BadAnswer::Length)?),
            Name::ContentEncoding => {
                // Codings may stand in several lines: each adds to what was done before.
                self.coded |= list(value).any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
            }
            Name::TransferEncoding => {
                let alone = value.eq_ignore_ascii_case(b"chunked");
                if !alone || self.chunked || self.length.is_some() || !self.http11 {
                    return Err(BadAnswer::Coding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a final answer is still to come (RFC 9110, 15.2).
    pub(crate) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Whether the connection may serve another request after this answer. HTTP/1.0's ways to say so are not trusted.
    pub(crate) fn keeps_connection(&self) -> bool {
        self.http11 && !self.close && self.status != 101
    }

    /// What follows the head (RFC 9112, 6.3).
    pub(crate) fn content(&self, of_head_request: bool) -> Content {
        if of_head_request || matches!(self.status, 100..=199 | 204 | 304) {
            return Content::Length(0);
        }
        match self.length {
            Some(length) => Content::Length(length),
            None if self.chunked => Content::Chunked(Chunks::default()),
            None => Content::UntilClose,
        }
    }
}

/// Digits alone, without leading zeros, below 2^63.
fn length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    let length = digits.iter().try_fold(0_i64, |length, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    });
    length.map(i64::unsigned_abs)
}

/// The fields in some lines, in their order: names as they were sent, values without the space around them.
pub(crate) fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\r', rest)?;
        let line = rest.get(..end)?;
        rest = rest.get(end + 2..)?;
        split_field(line).ok().map(|(name, value)| (name, trim(value)))
    })
}

/// The content of an answer, as far as it was not read yet.
#[derive(Debug)]
pub(crate) enum Content {
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

/// What stands at the front of the bytes of a content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many bytes of framing, to be skipped.
    Skip(usize),
    /// So many bytes of content.
    Data(usize),
    /// So many bytes that are a trailer's line, to be read by [`fields`].
    Trailer(usize),
    /// Nothing until more was read.
    More,
    /// The content has ended before these bytes.
    End,
}

impl Content {
    /// What stands at the front of `bytes`, which are all that was read and not taken yet.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Next, BadAnswer> {
        match self {
            Self::Length(0) => Ok(Next::End),
            _ if bytes.is_empty() && !self.has_ended() => Ok(Next::More),
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= u64::try_from(here).unwrap_or(*left);
                Ok(Next::Data(here))
            }
            Self::Chunked(chunks) if chunks.is_done() => Ok(Next::End),
            Self::Chunked(chunks) => Ok(match chunks.piece(FIELDS, bytes)? {
                Some(Piece::Framing(length)) => Next::Skip(length),
                Some(Piece::Data(length)) => Next::Data(length),
                Some(Piece::Trailer(length)) => Next::Trailer(length),
                None => Next::More,
            }),
            Self::UntilClose => Ok(Next::Data(bytes.len())),
        }
    }

    /// Whether no more of it is to come.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Whether the end of the connection is its end; of any other, it breaks it off.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// How much is left, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            _ if self.has_ended() => Some(0),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> Head {
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        HeadReader::default().read(text.as_bytes()).unwrap().unwrap().1
    }

    #[test]
    fn codings_of_several_lines_are_one_list() {
        for (lines, coded) in [
            ("", false),
            ("Content-Encoding: identity\r\n", false),
            ("Content-Encoding: identity, Identity\r\n", false),
            ("Content-Encoding: gzip\r\n", true),
            ("Content-Encoding: identity, br\r\n", true),
            ("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", true),
            ("Content-Encoding: gzip\r\nContent-Encoding: identity\r\n", true),
        ] {
            assert_eq!(head(lines).coded, coded, "{lines:?}");
        }
    }

    #[test]
    fn a_stream_of_events_is_one_in_any_case_and_nothing_else_is() {
        for (value, streams) in [
            ("text/event-stream", true),
            ("Text/Event-Stream ; charset=utf-8", true),
            ("text/event-stream-of-others", false),
            ("application/json", false),
        ] {
            let head = head(&format!("Content-Type: {value}\r\n"));
            assert_eq!((head.streams, head.media == Media::Events), (streams, streams), "{value}");
        }
    }
}
