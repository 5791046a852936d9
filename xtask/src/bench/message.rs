//! Just enough HTTP/1.1 for both ends of the bench: where a head ends, its status, and its
//! Content-Length. It trusts what it reads, because it only ever reads what the proxies under test
//! write, and it costs little, because the time spent here is time in which the proxy is not kept
//! busy.

use anyhow::{Context as _, Result, bail};
use memchr::{memchr_iter, memmem};

/// The head of a request or an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes up to and with the empty line.
    pub(super) length: usize,
    pub(super) content_length: Option<usize>,
    pub(super) is_chunked: bool,
}

/// Reads the head at the start of `bytes`; `None` when it is not complete yet.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let mut head = Head { length: end + 4, content_length: None, is_chunked: false };
    let mut start = 0;
    let lines = bytes.get(..end + 2).unwrap_or_default();
    for newline in memchr_iter(b'\n', lines) {
        let line = lines.get(start..newline).unwrap_or_default();
        start = newline + 1;
        if let Some(value) = value(line, b"content-length:") {
            let number = value.trim().parse().context("a Content-Length is not a number")?;
            head.content_length = Some(number);
        } else if value(line, b"transfer-encoding:").is_some() {
            head.is_chunked = true;
        }
    }
    Ok(Some(head))
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let (found, value) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    std::str::from_utf8(value).ok()
}

/// The status of an answer whose head is complete.
pub(super) fn status(answer: &[u8]) -> Result<u16> {
    let digits = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(status) if answer.starts_with(b"HTTP/1.1 ") => Ok(status),
        _ => bail!("the answer does not begin with `HTTP/1.1` and a status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let answer = b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-LENGTH: 12\r\n\r\nbody";
        let complete = answer.len() - "body".len();
        assert_eq!(head(&answer[..complete - 1]).unwrap(), None);
        let read = head(answer).unwrap().unwrap();
        let expected = Head { length: complete, content_length: Some(12), is_chunked: false };
        assert_eq!(read, expected);
        assert_eq!(status(answer).unwrap(), 200);
    }

    #[test]
    fn a_body_without_length_is_told_apart() {
        let read = head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().unwrap();
        assert_eq!((read.content_length, read.is_chunked), (None, false));
        let read = head(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().unwrap();
        assert!(read.is_chunked);
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        assert!(status(b"SSH-2.0-x\r\n\r\n").is_err());
        assert!(head(b"A\r\nContent-Length: x\r\n\r\n").is_err());
    }
}
