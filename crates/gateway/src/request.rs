//! A request's head as the gateway reads it: the bytes as they came, and where in them things stand.
//!
//! One form for both protocols, so that everything behind it is written once: of HTTP/1.1 these are the received bytes themselves,
//! HTTP/2's fields are written down the same way. Nothing is decoded, joined or put into another case.

use http::{Method, Version, request::Parts};
use keyward_core::credential::Headers;

use crate::wire::{
    fields::{COLON, CRLF, Field, Fields, Name, at, bytes},
    screen::{Places, Screen},
};

/// A request's head.
pub(crate) struct RequestHead {
    bytes: Vec<u8>,
    pub(crate) method: Method,
    pub(crate) version: Version,
    places: Places,
    /// The path and the query: looked at so often that it is known to be text once.
    target: String,
    /// Where the path ends.
    path: usize,
    /// Where the query begins.
    query: Option<usize>,
}

/// What stands in for a request that could not be read.
impl Default for RequestHead {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            method: Method::GET,
            version: Version::HTTP_11,
            places: Places::default(),
            target: String::new(),
            path: 0,
            query: None,
        }
    }
}

impl RequestHead {
    /// Takes over a head of HTTP/1.1 that has just passed the screen.
    pub(crate) fn read_http1(&mut self, head: &[u8], screen: &mut Screen) {
        self.bytes.extend_from_slice(head);
        screen.swap_places(&mut self.places);
        let method = Method::from_bytes(bytes(head, &self.places.method));
        self.method = method.unwrap_or(Method::GET);
        self.version = if self.places.http10 { Version::HTTP_10 } else { Version::HTTP_11 };
        let Places { target, authority, .. } = &self.places;
        let start = authority.as_ref().map_or(target.start, |authority| authority.end);
        self.take_target(
            std::str::from_utf8(bytes(head, &(start..target.end))).unwrap_or_default(),
        );
    }

    fn take_target(&mut self, target: &str) {
        let query = memchr::memchr(b'?', target.as_bytes());
        self.target.push_str(target);
        self.path = query.unwrap_or(target.len());
        self.query = query.map(|query| query + 1);
    }

    /// A head of HTTP/2, whose library has checked its syntax.
    pub(crate) fn read_http2(&mut self, parts: &Parts) {
        self.method = parts.method.clone();
        self.version = parts.version;
        let bytes = &mut self.bytes;
        if let Some(authority) = parts.uri.authority() {
            bytes.extend_from_slice(authority.as_str().as_bytes());
            self.places.authority = Some(0..at(bytes.len()));
        }
        for (name, value) in &parts.headers {
            let start = bytes.len();
            bytes.extend_from_slice(name.as_str().as_bytes());
            let end = bytes.len();
            bytes.extend_from_slice(COLON);
            let from = bytes.len();
            bytes.extend_from_slice(value.as_bytes());
            let is = Name::of(name.as_str().as_bytes());
            self.places.fields.push(Field::new(is, start..end, from..bytes.len()));
            bytes.extend_from_slice(CRLF);
        }
        self.take_target(parts.uri.path_and_query().map_or("", |target| target.as_str()));
    }

    /// Empties it for another request, and says how many bytes and fields it has room for.
    pub(crate) fn clear(&mut self) -> (usize, usize) {
        self.bytes.clear();
        self.target.clear();
        self.places.fields.clear();
        self.places.authority = None;
        (self.bytes.capacity() + self.target.capacity(), self.places.fields.room())
    }

    /// The path, as it came; `/` where an absolute target has none.
    pub(crate) fn path(&self) -> &str {
        if self.path == 0 { "/" } else { self.target.get(..self.path).unwrap_or_default() }
    }

    /// What stands behind the question mark.
    pub(crate) fn query(&self) -> Option<&str> {
        self.query.map(|query| self.target.get(query..).unwrap_or_default())
    }

    /// The host that the target itself names.
    pub(crate) fn authority(&self) -> Option<&str> {
        let authority = self.places.authority.as_ref()?;
        Some(std::str::from_utf8(bytes(&self.bytes, authority)).unwrap_or_default())
    }

    /// The head's bytes, and the fields in them, in the order they came.
    pub(crate) fn fields(&self) -> (&[u8], &Fields) {
        (&self.bytes, &self.places.fields)
    }

    /// The values of a field.
    pub(crate) fn all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.places.fields.of(name).map(|field| field.value(&self.bytes))
    }

    /// The first value of a field.
    pub(crate) fn value(&self, name: Name) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: Name) -> bool {
        self.places.fields.has(name)
    }

    /// Whether a comma-separated field names this word, in any case.
    pub(crate) fn names(&self, field: Name, word: &str) -> bool {
        self.all(field)
            .flat_map(|list| list.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }
}

impl Headers for RequestHead {
    fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.places.fields.values(&self.bytes, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::screen::{HeadLimits, Step};

    fn head(text: &str) -> RequestHead {
        let limits = HeadLimits { request_line: 1000, head: 1000, headers: 100 };
        let mut screen = Screen::new(limits);
        assert_eq!(screen.step(text.as_bytes()), Step::Head(text.len()), "{text}");
        let mut head = RequestHead::default();
        head.read_http1(text.as_bytes(), &mut screen);
        head
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
            let host = authority.unwrap_or("a");
            let method = if target == "*" { "OPTIONS" } else { "GET" };
            let head = head(&format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!((head.authority(), head.path(), head.query()), (authority, path, query));
        }
    }

    #[test]
    fn fields_are_found_in_any_case_and_without_the_space_around_them() {
        let head = head("POST / HTTP/1.0\r\nHost:a\r\nX-A: \t b c \t\r\nx-a:\r\nX-AB: d\r\n\r\n");
        assert_eq!((head.method.as_str(), head.version), ("POST", Version::HTTP_10));
        assert_eq!(head.values("x-a").collect::<Vec<_>>(), [&b"b c"[..], b""]);
        assert_eq!((head.value(Name::Host), head.has(Name::Cookie)), (Some(&b"a"[..]), false));
        let (bytes, fields) = head.fields();
        let names: Vec<_> = fields.iter().map(|field| field.name(bytes)).collect();
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
        let mut head = RequestHead::default();
        head.read_http2(&parts);
        assert_eq!(
            (head.authority(), head.path(), head.query()),
            (Some("a:1"), "/v1/x", Some("q=%20"))
        );
        assert_eq!(head.values("X-A").collect::<Vec<_>>(), [&b"1"[..], b"3"]);
        assert_eq!(head.fields().1.len(), 3);
    }
}
