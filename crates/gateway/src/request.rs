//! A request's head as the gateway reads it: the bytes as they came, and where in them things stand.
//!
//! One form for both protocols, so that everything behind it is written once: of HTTP/1.1 these are the received bytes themselves,
//! HTTP/2's fields are written down the same way. Nothing is decoded, joined or put into another case.

use std::ops::Range;

use bytes::Bytes;
use http::{Method, Version, request::Parts};
use keyward_core::credential::Headers;

/// Names and values, each by where it begins and ends.
struct Field {
    name: Range<u32>,
    value: Range<u32>,
}

/// A request's head.
pub(crate) struct RequestHead {
    bytes: Bytes,
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// Of an absolute target, or HTTP/2's.
    authority: Option<Range<u32>>,
    path: Range<u32>,
    query: Option<Range<u32>>,
    fields: Vec<Field>,
}

/// Heads are bounded far below 4 GiB.
fn at(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl RequestHead {
    /// What stands in for a request that could not be read.
    pub(crate) fn unread() -> Self {
        Self {
            bytes: Bytes::new(),
            method: Method::GET,
            version: Version::HTTP_11,
            authority: None,
            path: 0..0,
            query: None,
            fields: Vec::new(),
        }
    }

    /// A head of HTTP/1.1 that the screen let pass: its syntax is not checked again.
    pub(crate) fn of_http1(bytes: Bytes) -> Self {
        let mut head = Self::unread();
        let line = memchr::memchr(b'\r', &bytes).unwrap_or(bytes.len());
        let method = memchr::memchr(b' ', &bytes).unwrap_or(line);
        let end = memchr::memrchr(b' ', bytes.get(..line).unwrap_or_default()).unwrap_or(line);
        head.method =
            Method::from_bytes(bytes.get(..method).unwrap_or_default()).unwrap_or(Method::GET);
        if bytes.get(end + 1..line) == Some(b"HTTP/1.0") {
            head.version = Version::HTTP_10;
        }
        head.place_target(&bytes, method + 1, end);
        head.place_fields(&bytes, line + 2);
        head.bytes = bytes;
        head
    }

    /// Origin form, absolute form, or `*` (RFC 9112, 3.2).
    fn place_target(&mut self, bytes: &[u8], start: usize, end: usize) {
        let target = bytes.get(start..end).unwrap_or_default();
        let mut path = start;
        if !target.starts_with(b"/")
            && let Some(scheme) = memchr::memmem::find(target, b"://")
        {
            let authority = start + scheme + 3;
            let rest = bytes.get(authority..end).unwrap_or_default();
            path = authority + memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
            self.authority = Some(at(authority)..at(path));
        }
        self.place_path(bytes, path, end);
    }

    fn place_path(&mut self, bytes: &[u8], start: usize, end: usize) {
        let rest = bytes.get(start..end).unwrap_or_default();
        let query = memchr::memchr(b'?', rest).map(|query| start + query);
        self.path = at(start)..at(query.unwrap_or(end));
        self.query = query.map(|query| at(query + 1)..at(end));
    }

    fn place_fields(&mut self, bytes: &[u8], start: usize) {
        self.fields.reserve(16);
        let mut start = start;
        while let Some(rest) = bytes.get(start..)
            && let Some(length) = memchr::memchr(b'\r', rest)
            && let Some(line) = rest.get(..length)
            && let Some(colon) = memchr::memchr(b':', line)
        {
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let value = line.get(colon + 1..).unwrap_or_default();
            let before = value.iter().take_while(|byte| blank(byte)).count();
            let after = value.iter().rev().take_while(|byte| blank(byte)).count();
            let from = start + colon + 1 + before;
            let to = (start + length - after).max(from);
            self.fields.push(Field { name: at(start)..at(start + colon), value: at(from)..at(to) });
            start += length + 2;
        }
    }

    /// A head of HTTP/2, whose library has checked its syntax.
    pub(crate) fn of_http2(parts: &Parts) -> Self {
        let mut head = Self::unread();
        head.method = parts.method.clone();
        head.version = parts.version;
        let mut bytes = Vec::with_capacity(1024);
        if let Some(authority) = parts.uri.authority() {
            bytes.extend_from_slice(authority.as_str().as_bytes());
            head.authority = Some(0..at(bytes.len()));
        }
        let start = bytes.len();
        if let Some(target) = parts.uri.path_and_query() {
            bytes.extend_from_slice(target.as_str().as_bytes());
        }
        head.place_path(&bytes, start, bytes.len());
        for (name, value) in &parts.headers {
            let start = bytes.len();
            bytes.extend_from_slice(name.as_str().as_bytes());
            let name = at(start)..at(bytes.len());
            bytes.extend_from_slice(value.as_bytes());
            let value = name.end..at(bytes.len());
            head.fields.push(Field { name, value });
        }
        head.bytes = bytes.into();
        head
    }

    fn bytes(&self, range: &Range<u32>) -> &[u8] {
        let index = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        self.bytes.get(index(range.start)..index(range.end)).unwrap_or_default()
    }

    fn text(&self, range: &Range<u32>) -> &str {
        std::str::from_utf8(self.bytes(range)).unwrap_or_default()
    }

    /// The path, as it came; `/` where an absolute target has none.
    pub(crate) fn path(&self) -> &str {
        if self.path.is_empty() { "/" } else { self.text(&self.path) }
    }

    /// What stands behind the question mark.
    pub(crate) fn query(&self) -> Option<&str> {
        self.query.as_ref().map(|query| self.text(query))
    }

    /// The host that the target itself names.
    pub(crate) fn authority(&self) -> Option<&str> {
        self.authority.as_ref().map(|authority| self.text(authority))
    }

    /// Names as they were written, and values, in the order they came.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.bytes(&field.name), self.bytes(&field.value)))
    }

    /// How many fields there are.
    pub(crate) fn fields_count(&self) -> usize {
        self.fields.len()
    }

    /// The first value of a field.
    pub(crate) fn value(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Whether a comma-separated field names this word, in any case.
    pub(crate) fn names(&self, field: &str, word: &str) -> bool {
        self.values(field)
            .flat_map(|list| list.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }
}

impl Headers for RequestHead {
    fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.fields.iter().filter_map(move |field| {
            let own = self.bytes(&field.name);
            let same = own.len() == name.len() && own.eq_ignore_ascii_case(name.as_bytes());
            same.then(|| self.bytes(&field.value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> RequestHead {
        RequestHead::of_http1(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn targets_are_split_where_their_forms_say() {
        for (target, authority, path, query) in [
            ("/v1/x", None, "/v1/x", None),
            ("/v1/x?a=1?b", None, "/v1/x", Some("a=1?b")),
            ("/v1/x?", None, "/v1/x", Some("")),
            ("/v1/x?u=http://b/c", None, "/v1/x", Some("u=http://b/c")),
            ("*", None, "*", None),
            ("http://a:1/v1?q", Some("a:1"), "/v1", Some("q")),
            ("HTTPS://a", Some("a"), "/", None),
            ("http://a?q", Some("a"), "/", Some("q")),
        ] {
            let head = head(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!((head.authority(), head.path(), head.query()), (authority, path, query));
        }
    }

    #[test]
    fn fields_are_found_in_any_case_and_without_the_space_around_them() {
        let head = head("POST / HTTP/1.0\r\nHost:a\r\nX-A: \t b c \t\r\nx-a:\r\nX-AB: d\r\n\r\n");
        assert_eq!((head.method.as_str(), head.version), ("POST", Version::HTTP_10));
        assert_eq!(head.values("x-a").collect::<Vec<_>>(), [&b"b c"[..], b""]);
        assert_eq!((head.value("host"), head.value("x-abc")), (Some(&b"a"[..]), None));
        let names: Vec<_> = head.fields().map(|(name, _)| name).collect();
        assert_eq!(names, [&b"Host"[..], b"X-A", b"x-a", b"X-AB"]);
    }

    #[test]
    fn both_protocols_are_read_alike() {
        let (parts, ()) = http::Request::get("http://a:1/v1/x?q=%20")
            .header("x-a", "1")
            .header("x-b", "2")
            .header("x-a", "3")
            .body(())
            .unwrap()
            .into_parts();
        let head = RequestHead::of_http2(&parts);
        assert_eq!(
            (head.authority(), head.path(), head.query()),
            (Some("a:1"), "/v1/x", Some("q=%20"))
        );
        assert_eq!(head.values("X-A").collect::<Vec<_>>(), [&b"1"[..], b"3"]);
        assert_eq!(head.fields_count(), 3);
    }
}
