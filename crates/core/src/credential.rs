//! Where a key may stand in a request, and taking exactly one from there.
//!
//! A request that carries two credentials is refused, whichever is valid: two servers on its way could each believe
//! a different one (GHSA-57q6-fvp4-pqmm, CVE-2026-26308). The auth-scheme's case does not matter (RFC 9110, 11.1).

use std::fmt;

use crate::query::{self, Match};

/// A place a key may stand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A header with an auth-scheme before the key: `Authorization: Bearer …`.
    Scheme {
        /// The header, lower case.
        header: Box<str>,
        /// The scheme, as challenges write it.
        scheme: Box<str>,
    },
    /// A header that holds the key alone: `X-API-Key: …`.
    Header {
        /// The header, lower case.
        header: Box<str>,
        /// As messages and challenges write it.
        shown: Box<str>,
    },
    /// A query parameter. It ends up in logs of others: only where clients can do nothing else.
    Query {
        /// The parameter.
        parameter: Box<str>,
    },
    /// An item of `Sec-WebSocket-Protocol` that begins with a prefix: browsers can set no other header.
    Subprotocol {
        /// What stands before the key.
        prefix: Box<str>,
    },
}

impl Slot {
    /// The header or parameter as people write it.
    pub fn shown(&self) -> &str {
        match self {
            Self::Scheme { .. } => "Authorization",
            Self::Header { shown, .. } => shown,
            Self::Query { parameter } => parameter,
            Self::Subprotocol { .. } => "Sec-WebSocket-Protocol",
        }
    }

    /// The challenge a 401 makes for this slot (RFC 9110, 11.6.1), if the slot is a header.
    pub fn challenge(&self, realm: &str) -> Option<String> {
        match self {
            Self::Scheme { scheme, .. } => Some(format!("{scheme} realm=\"{realm}\"")),
            Self::Header { shown, .. } => {
                Some(format!("ApiKey realm=\"{realm}\", header=\"{shown}\""))
            }
            Self::Query { .. } | Self::Subprotocol { .. } => None,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme { scheme, .. } => write!(f, "Authorization: {scheme} …"),
            Self::Header { shown, .. } => write!(f, "{shown}: …"),
            Self::Query { parameter } => write!(f, "?{parameter}=…"),
            Self::Subprotocol { prefix } => write!(f, "Sec-WebSocket-Protocol: {prefix}…"),
        }
    }
}

/// The headers of a request, however the caller keeps them.
pub trait Headers {
    /// Every value of the header with this lower-case name, in order.
    fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]>;
}

/// A list of pairs: for `explain` and tests.
impl Headers for [(String, String)] {
    fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_bytes())
    }
}

/// A credential as it came.
#[derive(Clone, Copy)]
pub struct Presented<'h> {
    /// The key, not yet checked.
    pub key: &'h [u8],
    /// Which of the profile's slots it stood in.
    pub slot: usize,
}

/// Why no single credential could be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialFault {
    /// None came, or an empty one.
    #[error("The request carries no API key.")]
    Missing,
    /// More than one came.
    #[error("The request carries more than one credential; send exactly one.")]
    Several,
    /// `Authorization` with a scheme that is not the API's.
    #[error("The Authorization header has a scheme that this API does not use.")]
    ForeignScheme,
    /// Bytes that stand in no key: spaces inside, quotes, control characters.
    #[error("The API key holds characters that no key has.")]
    Characters,
}

/// Takes the one credential from the request.
pub fn present<'h, H: Headers + ?Sized>(
    slots: &[Slot],
    headers: &'h H,
    query: Option<&'h str>,
) -> Result<Presented<'h>, CredentialFault> {
    let mut found = Found::default();
    let mut authorization_is_ours = false;
    for (at, slot) in slots.iter().enumerate() {
        match slot {
            // All slots with a scheme stand in the same header and are read together, once.
            Slot::Scheme { .. } if authorization_is_ours => {}
            Slot::Scheme { header, .. } => {
                authorization_is_ours = true;
                for value in headers.values(header) {
                    found.in_authorization(slots, value)?;
                }
            }
            Slot::Header { header, .. } => {
                authorization_is_ours |= &**header == "authorization";
                for value in headers.values(header) {
                    found.add(value.trim_ascii(), at)?;
                }
            }
            Slot::Query { parameter } => {
                found.in_query(query.unwrap_or_default(), parameter, at)?;
            }
            Slot::Subprotocol { prefix } => {
                let items = headers.values("sec-websocket-protocol");
                for item in items.flat_map(|value| value.split(|b| *b == b',')) {
                    if let Some(key) = item.trim_ascii().strip_prefix(prefix.as_bytes()) {
                        found.add(key, at)?;
                    }
                }
            }
        }
    }
    let presented = found.one()?;
    // Another server may believe the header we have no use for.
    if !authorization_is_ours && headers.values("authorization").next().is_some() {
        return Err(CredentialFault::Several);
    }
    Ok(presented)
}

/// Whether a key has only characters that are taken from requests.
pub fn can_be_sent(key: &[u8]) -> bool {
    // token68 and what keys elsewhere use: visible ASCII without quotes and delimiters of lists.
    let plain = |b: &u8| b.is_ascii_graphic() & !matches!(b, b'"' | b'\'' | b',' | b';' | b'\\');
    // Every character is looked at, whatever the first ones are: the compiler then takes many at a time.
    key.iter().fold(true, |all, b| all & plain(b))
}

#[derive(Default)]
struct Found<'h> {
    one: Option<Presented<'h>>,
    empty: bool,
    /// An `Authorization` that is not ours: a fault of its own, unless anything stands beside it.
    foreign: bool,
}

impl<'h> Found<'h> {
    fn any(&self) -> bool {
        self.one.is_some() || self.empty || self.foreign
    }

    fn add(&mut self, key: &'h [u8], slot: usize) -> Result<(), CredentialFault> {
        if self.any() || key.contains(&b',') {
            return Err(CredentialFault::Several);
        }
        if key.is_empty() {
            self.empty = true;
            return Ok(());
        }
        self.one = Some(Presented { key, slot });
        Ok(())
    }

    fn in_authorization(&mut self, slots: &[Slot], value: &'h [u8]) -> Result<(), CredentialFault> {
        let value = value.trim_ascii();
        if value.is_empty() {
            return self.add(value, 0);
        }
        if value.contains(&b',') {
            return Err(CredentialFault::Several);
        }
        let end = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
        let (given, key) = value.split_at_checked(end).unwrap_or((value, b""));
        let ours = slots.iter().position(|slot| match slot {
            Slot::Scheme { scheme, .. } => given.eq_ignore_ascii_case(scheme.as_bytes()),
            _ => false,
        });
        match ours {
            Some(slot) => self.add(key.trim_ascii(), slot),
            None if self.any() => Err(CredentialFault::Several),
            None => {
                self.foreign = true;
                Ok(())
            }
        }
    }

    fn in_query(&mut self, query: &'h str, name: &str, slot: usize) -> Result<(), CredentialFault> {
        // Older readers split at `;` too and could find a credential behind it.
        if query.contains(';') {
            return Err(CredentialFault::Several);
        }
        for pair in query.split('&') {
            let (raw, value) = pair.split_once('=').unwrap_or((pair, ""));
            match query::names(raw, name) {
                Match::Exact => self.add(value.as_bytes(), slot)?,
                Match::Near => return Err(CredentialFault::Several),
                Match::No => {}
            }
        }
        Ok(())
    }

    fn one(self) -> Result<Presented<'h>, CredentialFault> {
        if self.foreign {
            return Err(CredentialFault::ForeignScheme);
        }
        let presented = self.one.ok_or(CredentialFault::Missing)?;
        if !can_be_sent(presented.key) {
            return Err(CredentialFault::Characters);
        }
        Ok(presented)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer() -> Slot {
        Slot::Scheme { header: "authorization".into(), scheme: "Bearer".into() }
    }

    fn header(name: &str) -> Slot {
        Slot::Header { header: name.to_ascii_lowercase().into(), shown: name.into() }
    }

    fn take(
        slots: &[Slot],
        headers: &[(&str, &str)],
        query: Option<&str>,
    ) -> Result<String, CredentialFault> {
        let headers: Vec<_> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        present(slots, headers.as_slice(), query)
            .map(|found| String::from_utf8(found.key.to_vec()).unwrap())
    }

    #[test]
    fn one_credential_is_taken_whatever_the_case_of_its_scheme() {
        for value in ["Bearer k", "bearer k", "BEARER k", "Bearer   k", " Bearer k "] {
            assert_eq!(
                take(&[bearer()], &[("Authorization", value)], None),
                Ok("k".into()),
                "{value}"
            );
        }
        assert_eq!(take(&[header("X-API-Key")], &[("x-api-key", "k")], None), Ok("k".into()));
        let query = Slot::Query { parameter: "key".into() };
        assert_eq!(take(&[query], &[], Some("alt=sse&key=k")), Ok("k".into()));
        let socket = Slot::Subprotocol { prefix: "api-key.".into() };
        assert_eq!(
            take(&[socket], &[("Sec-WebSocket-Protocol", "realtime, api-key.k")], None),
            Ok("k".into())
        );
    }

    #[test]
    fn two_credentials_are_refused_in_either_order_and_every_disguise() {
        let both = [bearer(), header("X-API-Key")];
        let swapped = [header("X-API-Key"), bearer()];
        let cases: &[&[(&str, &str)]] = &[
            &[("Authorization", "Bearer a"), ("Authorization", "Bearer a")],
            &[("Authorization", "Bearer a, Bearer b")],
            &[("Authorization", "Bearer a"), ("X-API-Key", "b")],
            &[("X-API-Key", "b"), ("Authorization", "Bearer a")],
            &[("X-API-Key", "a"), ("X-API-Key", "b")],
            &[("X-API-Key", "a,b")],
            &[("X-API-Key", "a"), ("Authorization", "Bearer")],
            &[("X-API-Key", ""), ("X-API-Key", "a")],
        ];
        for case in cases {
            for slots in [&both, &swapped] {
                assert_eq!(take(slots, case, None), Err(CredentialFault::Several), "{case:?}");
            }
        }
    }

    #[test]
    fn a_foreign_scheme_is_refused_not_skipped() {
        let basic = ("Authorization", "Basic dTpw");
        assert_eq!(take(&[bearer()], &[basic], None), Err(CredentialFault::ForeignScheme));
        let key = ("X-API-Key", "k");
        let ours = ("Authorization", "Bearer k");
        let query = Slot::Query { parameter: "key".into() };
        let slots = [bearer(), header("X-API-Key"), query];
        let swapped: Vec<_> = slots.iter().rev().cloned().collect();
        for slots in [&slots[..], &swapped] {
            assert_eq!(take(slots, &[basic], None), Err(CredentialFault::ForeignScheme));
            for beside in [&[basic, key][..], &[key, basic], &[basic, ours], &[ours, basic]] {
                assert_eq!(take(slots, beside, None), Err(CredentialFault::Several), "{beside:?}");
            }
            assert_eq!(take(slots, &[basic], Some("key=k")), Err(CredentialFault::Several));
        }
        // Where Authorization is no slot at all, it may still be believed further on.
        assert_eq!(
            take(&[header("X-API-Key")], &[basic, ("X-API-Key", "k")], None),
            Err(CredentialFault::Several)
        );
    }

    #[test]
    fn a_query_that_another_reader_finds_a_second_key_in_is_refused() {
        let slots = [bearer(), Slot::Query { parameter: "key".into() }];
        for query in [
            "key=a&key=b",
            "KEY=b",
            "key=a&KEY=b",
            "key[]=b&key=a",
            "key=a&+key=b",
            "key=a&key%00=b",
            "k%65y=b",
            "a=1;key=b",
            "key=a&b=1;c=2",
        ] {
            let result = take(&slots, &[], Some(query));
            assert_eq!(result, Err(CredentialFault::Several), "{query}");
            let result = take(&slots, &[("Authorization", "Bearer a")], Some(query));
            assert_eq!(result, Err(CredentialFault::Several), "{query}");
        }
        // Where no key stands in queries, they are nothing to look at.
        let header = [("Authorization", "Bearer a")];
        assert_eq!(take(&[bearer()], &header, Some("KEY=b;c")), Ok("a".into()));
    }

    #[test]
    fn nothing_and_emptiness_are_missing() {
        for headers in [
            &[][..],
            &[("Authorization", "")],
            &[("Authorization", "Bearer")],
            &[("Authorization", "Bearer ")],
        ] {
            let result = take(&[bearer()], headers, None);
            assert_eq!(result, Err(CredentialFault::Missing), "{headers:?}");
        }
        assert_eq!(
            take(&[header("X-API-Key")], &[("X-API-Key", " ")], None),
            Err(CredentialFault::Missing)
        );
        assert_eq!(
            take(&[header("X-API-Key")], &[("Authorization", "Bearer k")], None),
            Err(CredentialFault::Missing)
        );
    }

    #[test]
    fn bytes_that_no_key_has_are_told() {
        for key in ["a b", "a\"b", "a\tb", "ä"] {
            assert_eq!(
                take(&[header("X-API-Key")], &[("X-API-Key", key)], None),
                Err(CredentialFault::Characters),
                "{key}"
            );
        }
    }
}
