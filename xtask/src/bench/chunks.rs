//! A body in chunks (RFC 9112, section 7.1), read as it comes. Like `message` it trusts what it
//! reads.

use anyhow::{Context as _, Result, bail};
use memchr::memchr;

/// Where in the body we are.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before the line with a chunk's size.
    #[default]
    Size,
    /// So many bytes of data are still to come.
    Data(usize),
    /// Before the line end that follows the data.
    AfterData,
    /// Before the line that follows the last chunk.
    Trailer,
}

impl Chunks {
    /// Appends the data in `bytes` to `data`; how many bytes were read, and whether the body is over.
    pub(super) fn decode(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<(usize, bool)> {
        let mut read = 0;
        while let Some(rest) = bytes.get(read..).filter(|rest| !rest.is_empty()) {
            if let Self::Data(left) = *self {
                let taken = left.min(rest.len());
                data.extend_from_slice(rest.get(..taken).unwrap_or_default());
                read += taken;
                *self = if taken == left { Self::AfterData } else { Self::Data(left - taken) };
                continue;
            }
            let Some(newline) = memchr(b'\n', rest) else { break };
            let line = rest.get(..newline).unwrap_or_default().trim_ascii();
            read += newline + 1;
            *self = match *self {
                Self::Size => match size(line)? {
                    0 => Self::Trailer,
                    size => Self::Data(size),
                },
                Self::Trailer if line.is_empty() => {
                    *self = Self::Size;
                    return Ok((read, true));
                }
                Self::AfterData if line.is_empty() => Self::Size,
                _ => bail!("a line that no chunked body has at this place"),
            };
        }
        Ok((read, false))
    }
}

fn size(line: &[u8]) -> Result<usize> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits).context("a chunk's size is not text")?;
    usize::from_str_radix(digits.trim(), 16).context("a chunk's size is not a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"4\r\nabcd\r\nB;x=y\r\n0123456789\n\r\n0\r\n\r\n";

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        for piece in 1..BODY.len() {
            let (mut chunks, mut data, mut waiting) = (Chunks::default(), Vec::new(), Vec::new());
            let mut is_over = false;
            for bytes in BODY.chunks(piece) {
                assert!(!is_over);
                waiting.extend_from_slice(bytes);
                let (read, over) = chunks.decode(&waiting, &mut data).unwrap();
                waiting.drain(..read);
                is_over = over;
            }
            assert!(is_over && waiting.is_empty());
            assert_eq!(data, b"abcd0123456789\n");
        }
    }

    #[test]
    fn what_follows_the_body_is_left() {
        let bytes = [BODY, b"HTTP/1.1"].concat();
        let read = Chunks::default().decode(&bytes, &mut Vec::new()).unwrap();
        assert_eq!(read, (BODY.len(), true));
    }

    #[test]
    fn what_is_no_chunk_is_an_error() {
        for body in [b"x\r\n".as_slice(), b"1\r\nab\r\n", b"0\r\nA: b\r\n"] {
            assert!(Chunks::default().decode(body, &mut Vec::new()).is_err());
        }
    }
}
