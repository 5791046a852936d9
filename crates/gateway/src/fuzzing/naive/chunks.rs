//! A chunked body.

use super::{Field, field, is_clean, text};
use crate::wire::chunked::{REFUSED, REFUSED_FAMILIES};

/// Bytes of a line with a size, of all extensions, and of a trailer section.
const MOST: (usize, usize, usize) = (256, 16 * 1024, 4 * 1024);

/// What a chunked body says, as far as it came and is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Body {
    pub(in super::super) content: Vec<u8>,
    pub(in super::super) trailers: Vec<Field>,
    pub(in super::super) end: BodyEnd,
}

/// How the bytes of a body end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum BodyEnd {
    /// After so many bytes.
    Whole(usize),
    /// More is to come.
    Unfinished,
    Refused,
}

/// Reads a body that may have something else behind it.
pub(in super::super) fn chunked(bytes: &[u8], most_trailers: usize) -> Body {
    let mut reading = Reading { rest: bytes, content: Vec::new(), trailers: Vec::new() };
    let end = match reading.body(most_trailers) {
        Ok(()) => BodyEnd::Whole(bytes.len() - reading.rest.len()),
        Err(end) => end,
    };
    Body { content: reading.content, trailers: reading.trailers, end }
}

struct Reading<'b> {
    rest: &'b [u8],
    content: Vec<u8>,
    trailers: Vec<Field>,
}

impl Reading<'_> {
    fn body(&mut self, most_trailers: usize) -> Result<(), BodyEnd> {
        let (most_line, most_extensions, most_section) = MOST;
        let mut extensions = 0;
        loop {
            let line = self.line(most_line)?;
            let (digits, extension) = line.split_at(line.find(';').unwrap_or(line.len()));
            let size = size(digits).ok_or(BodyEnd::Refused)?;
            extensions += extension.len();
            if !is_extension(extension) || extensions > most_extensions {
                return Err(BodyEnd::Refused);
            }
            if size == 0 {
                break;
            }
            self.data(size)?;
        }
        let behind = self.rest.len();
        loop {
            let line = self.line(most_section - (behind - self.rest.len()))?;
            if line.is_empty() {
                return Ok(());
            }
            let trailer = field(&line).ok_or(BodyEnd::Refused)?;
            if self.trailers.len() == most_trailers || is_refused(&trailer.0) {
                return Err(BodyEnd::Refused);
            }
            self.trailers.push(trailer);
        }
    }

    /// The next line, of so many bytes at most, the two at its end included.
    fn line(&mut self, most: usize) -> Result<String, BodyEnd> {
        let Some(end) = self.rest.windows(2).position(|bytes| bytes == b"\r\n") else {
            let begun = self.rest.strip_suffix(b"\r").unwrap_or(self.rest);
            let good = self.rest.is_empty() || self.rest.len() < most && is_clean(&text(begun));
            return Err(if good { BodyEnd::Unfinished } else { BodyEnd::Refused });
        };
        let line = text(&self.rest[..end]);
        if end + 2 > most || !is_clean(&line) {
            return Err(BodyEnd::Refused);
        }
        self.rest = &self.rest[end + 2..];
        Ok(line)
    }

    fn data(&mut self, size: u64) -> Result<(), BodyEnd> {
        let here = usize::try_from(size).unwrap_or(usize::MAX).min(self.rest.len());
        let (data, rest) = self.rest.split_at(here);
        self.content.extend_from_slice(data);
        match rest {
            [b'\r', b'\n', rest @ ..] => self.rest = rest,
            [] | [b'\r'] => return Err(BodyEnd::Unfinished),
            _ => return Err(BodyEnd::Refused),
        }
        Ok(())
    }
}

fn size(digits: &str) -> Option<u64> {
    let plain = digits.len() <= 16 && digits.chars().all(|c| c.is_ascii_hexdigit());
    let size = plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()?;
    i64::try_from(size).is_ok().then_some(size)
}

/// Nothing, or a semicolon and something that begins with a name.
fn is_extension(extension: &str) -> bool {
    let Some(extension) = extension.strip_prefix(';') else { return extension.is_empty() };
    let first = extension.trim_matches([' ', '\t']).get(..1);
    first.is_some_and(super::is_token)
}

/// Whether it is among the names that must not come late: the table is the rule itself, how it is looked up is not.
fn is_refused(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    REFUSED.contains(&name.as_str())
        || REFUSED_FAMILIES.iter().any(|family| name.starts_with(family))
}
