//! Which request paths mean one thing only.
//!
//! The path that is decided on is the path that is forwarded, byte for byte. Whatever another server could read as
//! a different path (dot segments, doubled slashes, backslashes, path parameters, needless percent-encoding) is refused,
//! never cleaned: cleaning is how decisions and upstreams came to disagree (CVE-2021-29492, GHSA-6jwx-7vp4-9847).

/// Why a path is refused. Each says what was wrong and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// `OPTIONS *`, or an authority.
    #[error("The request target is not a path; send one that begins with `/`.")]
    NotAPath,
    /// `//`
    #[error("The path has an empty segment (`//`); send each slash once.")]
    EmptySegment,
    /// `.` or `..`, encoded or not.
    #[error("The path has a dot segment (`.` or `..`); send the path that is meant.")]
    DotSegment,
    /// `%2f`, `%5c`, `%00`, `%3b`, `%25`, …
    #[error(
        "The path has an encoded character that servers read in different ways (a slash, backslash, semicolon, percent or control character); remove it."
    )]
    EncodedReserved,
    /// `%61` for `a`.
    #[error(
        "The path encodes a character that needs no encoding; send it plainly (RFC 3986, section 6.2.2.2)."
    )]
    EncodedNeedlessly,
    /// `%zz`
    #[error("The path has a `%` that is not followed by two hexadecimal digits.")]
    BadEncoding,
    /// `%ff`, `%c0%ae`
    #[error("The path's percent-encoded bytes are not UTF-8.")]
    NotUtf8,
    /// `\`, `;`, space, control characters, non-ASCII, …
    #[error(
        "The path has a character that may not stand in a path (RFC 3986, section 3.3); percent-encode it."
    )]
    Character,
}

/// Whether `path` (the part before any `?`) can only be read one way.
pub fn check(path: &str) -> Result<(), PathFault> {
    let bytes = path.as_bytes();
    let Some((b'/', rest)) = bytes.split_first() else { return Err(PathFault::NotAPath) };
    if !bytes.iter().all(|b| PLAIN.contains(b) || *b == b'%') {
        return Err(PathFault::Character);
    }
    let mut segments = rest.split(|b| *b == b'/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            // The last segment may be empty: a trailing slash is part of some paths.
            b"" if segments.peek().is_some() => return Err(PathFault::EmptySegment),
            b"." | b".." => return Err(PathFault::DotSegment),
            _ if segment.contains(&b'%') => check_encoded(segment)?,
            _ => {}
        }
    }
    Ok(())
}

/// A set of bytes as a table: one look-up a byte.
struct ByteSet([bool; 256]);

impl ByteSet {
    fn contains(&self, byte: &u8) -> bool {
        self.0.get(usize::from(*byte)).is_some_and(|in_set| *in_set)
    }
}

/// RFC 3986's `pchar` without `%` and `;`, and the slash.
static PLAIN: ByteSet = {
    let mut set = [false; 256];
    let allowed =
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@/";
    let mut at = 0;
    #[expect(
        clippy::indexing_slicing,
        reason = "evaluated at compile time, where a wrong index is a build error"
    )]
    while at < allowed.len() {
        set[allowed[at] as usize] = true;
        at += 1;
    }
    ByteSet(set)
};

fn check_encoded(segment: &[u8]) -> Result<(), PathFault> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut dots = true;
    let mut bytes = segment.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            dots &= *byte == b'.';
            decoded.push(*byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(*b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(PathFault::BadEncoding);
        };
        let value = u8::try_from(high * 16 + low).map_err(|_| PathFault::BadEncoding)?;
        match value {
            b'.' if dots => return Err(PathFault::DotSegment),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                return Err(PathFault::EncodedNeedlessly);
            }
            b'/' | b'\\' | b';' | b'%' | 0..=0x1f | 0x7f => return Err(PathFault::EncodedReserved),
            _ => dots = false,
        }
        decoded.push(value);
    }
    std::str::from_utf8(&decoded).map(|_| ()).map_err(|_| PathFault::NotUtf8)
}

/// Whether a query has only characters that RFC 3986, section 3.4 allows in one.
pub fn check_query(query: &str) -> Result<(), PathFault> {
    let allowed = |b: &u8| {
        PLAIN.contains(b)
            || matches!(
                b,
                b'%' | b'?' | b';' | b'[' | b']' | b'{' | b'}' | b'"' | b'|' | b'^' | b'`'
            )
    };
    if query.as_bytes().iter().all(allowed) { Ok(()) } else { Err(PathFault::Character) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_mean_one_thing_pass() {
        for path in [
            "/",
            "/v1/generate",
            "/api/v1/business-accounts/",
            "/v1/models/gpt-4o:generate",
            "/a%20b",
            "/%C3%A4",
            "/a.b/..c/...",
            "/v1/files/a,b;".trim_end_matches(';'),
        ] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_that_another_server_could_read_otherwise_are_refused() {
        use PathFault::*;
        let cases = [
            ("", NotAPath),
            ("*", NotAPath),
            ("admin", NotAPath),
            ("//admin", EmptySegment),
            ("/v1//admin", EmptySegment),
            ("/v1/./admin", DotSegment),
            ("/v1/../admin", DotSegment),
            ("/v1/..", DotSegment),
            ("/v1/%2e%2e/admin", DotSegment),
            ("/v1/.%2e/admin", DotSegment),
            ("/v1/%2E/admin", DotSegment),
            ("/v1%2fadmin", EncodedReserved),
            ("/v1%5cadmin", EncodedReserved),
            ("/v1/a%00", EncodedReserved),
            ("/v1/a%3bx", EncodedReserved),
            ("/v1/%252e%252e/", EncodedReserved),
            ("/v1/%61dmin", EncodedNeedlessly),
            ("/v1/a%2eb", EncodedNeedlessly),
            ("/v1/%zz", BadEncoding),
            ("/v1/%2", BadEncoding),
            ("/v1/%ff", NotUtf8),
            ("/v1/%c0%ae%c0%ae/", NotUtf8),
            ("/v1\\admin", Character),
            ("/v1/admin;x=1", Character),
            ("/v1/..;/admin", Character),
            ("/v1/a b", Character),
            ("/v1/a#b", Character),
            ("/v1/ä", Character),
            ("/v1/\0", Character),
        ];
        for (path, fault) in cases {
            assert_eq!(check(path), Err(fault), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_passed_path_reads_the_same_after_decoding_and_cleaning(path in "(/[a-z.%2ef~A0;\\\\]{0,6}){1,4}") {
            if check(&path).is_ok() {
                prop_assert!(!path.contains("//") && !path.contains('\\') && !path.contains(';'));
                prop_assert!(path.split('/').all(|s| s != "." && s != ".."));
                let lower = path.to_ascii_lowercase();
                prop_assert!(!lower.contains("%2e") && !lower.contains("%2f"));
            }
        }
    }
}
