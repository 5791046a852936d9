//! A chunked body (RFC 9112 §7.1): sizes, data and trailers, checked piece by piece.
//!
//! A piece (a size line, some data, the CRLF after it, a trailer line) passes when all of it was
//! found good, so the body streams and yet no byte of framing passes unchecked. The pieces are
//! small: what is held back is at most one line.

use super::syntax::{Line, TOKEN, find_line, is, split_field, trim};
use super::violation::Violation;

/// Bytes of a line with a chunk's size, CRLF included.
const SIZE_LINE: usize = 256;
/// Bytes of all chunk extensions of one body. A client that sends a byte per chunk with a long
/// extension each makes us read far more than any body limit counts (compare CVE-2023-39326);
/// hyper stops at the same figure.
const EXTENSIONS: usize = 16 * 1024;
/// Bytes of a trailer section, its empty line included.
const TRAILERS: usize = 4 * 1024;

/// Fields that must not come after the body: by then framing, routing, authentication and request
/// control were decided without them (RFC 9110 §6.5.1). Underscores count as hyphens, as they do for
/// upstreams that make variables of names.
pub(crate) const REFUSED: [&str; 32] = [
    "api-key",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-api-key",
    "x-original-url",
    "x-rewrite-url",
];
/// The same, by how the name begins.
pub(crate) const REFUSED_FAMILIES: [&str; 5] =
    ["proxy-", "x-forwarded-", "x-http-method", "x-method-override", "x-real-"];

/// Where in a chunked body the stream stands.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    part: Part,
    /// Up to where the line that is held back was looked at.
    scanned: usize,
    /// Bytes of chunk extensions so far.
    extensions: usize,
    /// Bytes and lines of trailers so far.
    trailers: (usize, usize),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// So many bytes at the front of a chunked body, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A size line, the end of a chunk's data, or the line that ends the body.
    Framing(usize),
    /// Data of a chunk.
    Data(usize),
    /// A trailer's line, with its CRLF.
    Trailer(usize),
}

impl Chunks {
    /// The whole body has passed, its trailers too.
    pub(super) fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// What stands at the front of `bytes`; nothing when more is needed, or the body has ended.
    pub(super) fn piece(
        &mut self,
        trailers: usize,
        bytes: &[u8],
    ) -> Result<Option<Piece>, Violation> {
        let framing = |length| Some(length).filter(|length| *length > 0).map(Piece::Framing);
        match self.part {
            Part::Done => Ok(None),
            _ if bytes.is_empty() => Ok(None),
            Part::Size => self.size(bytes).map(framing),
            Part::Data(remaining) => Ok(Some(Piece::Data(self.data(remaining, bytes)))),
            Part::DataEnd => self.data_end(bytes).map(framing),
            Part::Trailers => {
                let length = self.trailer(trailers, bytes)?;
                Ok(if self.is_done() {
                    framing(length)
                } else {
                    framing(length).map(|_| Piece::Trailer(length))
                })
            }
        }
    }

    /// The end of the line at the front, which has at most `most` bytes with its CRLF.
    fn line_end(
        &mut self,
        bytes: &[u8],
        most: usize,
        excess: Violation,
    ) -> Result<Option<usize>, Violation> {
        let window = bytes.get(..most).unwrap_or(bytes);
        match find_line(window, self.scanned)? {
            Line::Whole(end) => Ok(Some(end)),
            Line::Partial(_) if window.len() == most => Err(excess),
            Line::Partial(scanned) => {
                self.scanned = scanned;
                Ok(None)
            }
        }
    }

    /// `size [ ; extension ] CRLF`.
    fn size(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let Some(end) = self.line_end(bytes, SIZE_LINE, Violation::ChunkLineTooLong)? else {
            return Ok(0);
        };
        let line = bytes.get(..end).unwrap_or_default();
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extension) = line.split_at_checked(digits).unwrap_or_default();
        let size = size(digits)?;
        if !extension.is_empty() {
            check_extension(extension)?;
        }
        let extensions = self.extensions + extension.len();
        if extensions > EXTENSIONS {
            return Err(Violation::ChunkLineTooLong);
        }
        self.extensions = extensions;
        self.scanned = 0;
        self.part = if size == 0 { Part::Trailers } else { Part::Data(size) };
        Ok(end + 2)
    }

    fn data(&mut self, remaining: u64, bytes: &[u8]) -> usize {
        let here = usize::try_from(remaining).unwrap_or(usize::MAX).min(bytes.len());
        let remaining = remaining - here as u64;
        self.part = if remaining == 0 { Part::DataEnd } else { Part::Data(remaining) };
        here
    }

    fn data_end(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        match bytes {
            [b'\r', b'\n', ..] => {
                self.part = Part::Size;
                Ok(2)
            }
            [b'\r'] => Ok(0),
            _ => Err(Violation::ChunkEnd),
        }
    }

    /// One trailer line, or the empty line that ends the body (RFC 9112 §7.1.2).
    fn trailer(&mut self, most: usize, bytes: &[u8]) -> Result<usize, Violation> {
        let (used, lines) = self.trailers;
        let excess = Violation::TrailersTooLarge;
        let Some(end) = self.line_end(bytes, TRAILERS.saturating_sub(used), excess)? else {
            return Ok(0);
        };
        let line = bytes.get(..end).unwrap_or_default();
        match line.first() {
            None => self.part = Part::Done,
            Some(b' ' | b'\t') => return Err(Violation::LineFolding),
            Some(_) if lines == most => return Err(excess),
            Some(_) => {
                let (name, _) = split_field(line)?;
                if is_refused(name) {
                    return Err(Violation::TrailerRefused);
                }
            }
        }
        self.scanned = 0;
        self.trailers = (used + end + 2, lines + 1);
        Ok(end + 2)
    }
}

/// One to 16 hex digits below 2^63.
fn size(digits: &[u8]) -> Result<u64, Violation> {
    match digits.len() {
        0 => return Err(Violation::ChunkSize),
        1..=16 => {}
        _ => return Err(Violation::ChunkTooLarge),
    }
    let size = digits.iter().fold(0, |size, digit| {
        let value = char::from(*digit).to_digit(16).unwrap_or_default();
        (size << 4) | u64::from(value)
    });
    if size > i64::MAX.unsigned_abs() { Err(Violation::ChunkTooLarge) } else { Ok(size) }
}

/// `;`, spaces, a name, and anything without control characters; whitespace before the `;` is
/// refused, since some take it for part of the size (RFC 9112 §7.1.1 allows it as bad whitespace).
fn check_extension(extension: &[u8]) -> Result<(), Violation> {
    let [b';', extension @ ..] = extension else { return Err(Violation::ChunkSize) };
    match trim(extension).first() {
        Some(byte) if is(*byte, TOKEN) => Ok(()),
        _ => Err(Violation::ChunkExtension),
    }
}

fn is_refused(name: &[u8]) -> bool {
    let spelled = |bytes: &[u8], refused: &str| {
        let same = |(byte, letter): (&u8, u8)| match byte {
            b'_' => letter == b'-',
            byte => byte.to_ascii_lowercase() == letter,
        };
        bytes.len() == refused.len() && bytes.iter().zip(refused.bytes()).all(same)
    };
    let begins = |family: &str| name.get(..family.len()).is_some_and(|name| spelled(name, family));
    REFUSED.iter().any(|refused| spelled(name, refused))
        || REFUSED_FAMILIES.iter().any(|family| begins(family))
}
