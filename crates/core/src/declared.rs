//! Whether a body is declared as plain UTF-8 JSON: only then is what we read in it what its next reader reads.
//!
//! The gateway asks before it reads a field a decision depends on, and `explain` asks the same.

use crate::credential::Headers;

const SEVERAL: &str = "The request has more than one Content-Type header; send one.";

/// How a body is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As plain UTF-8 JSON.
    Json,
    /// It is compressed, or otherwise coded.
    Coded,
    /// As something else, or as nothing: its reader may find in it what we do not.
    Other,
}

/// How these headers declare the body.
pub fn form<H: Headers + ?Sized>(headers: &H) -> Form {
    match unreadable(headers) {
        None => Form::Json,
        Some(_) if is_coded(headers) => Form::Coded,
        Some(_) => Form::Other,
    }
}

/// Whether the body is compressed, or otherwise coded.
fn is_coded<H: Headers + ?Sized>(headers: &H) -> bool {
    let mut codings = headers.values("content-encoding");
    codings.any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Why the body that these headers declare is not read, or `None` if it is plain JSON in UTF-8.
pub fn unreadable<H: Headers + ?Sized>(headers: &H) -> Option<&'static str> {
    if is_coded(headers) {
        return Some("The body is compressed; this endpoint takes it uncompressed.");
    }
    let mut kinds = headers.values("content-type");
    let kind = kinds.next().and_then(visible).unwrap_or_default();
    // Some readers of a list take its first item, some its last (WHATWG MIME Sniffing, 5.1).
    if kinds.next().is_some() || kind.contains(',') {
        return Some(SEVERAL);
    }
    let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    if !is_json(essence.trim()) {
        return Some("The body is not declared as JSON; send `Content-Type: application/json`.");
    }
    if !parameters.split(';').all(leaves_utf8) {
        return Some("The body is declared in another charset; send JSON in UTF-8.");
    }
    None
}

fn is_json(essence: &str) -> bool {
    let is = |text: &str, other: &str| text.eq_ignore_ascii_case(other);
    let of_application = essence.split_once('/').filter(|(kind, _)| is(kind, "application"));
    of_application.is_some_and(|(_, name)| {
        let suffix = name.rsplit_once('+').map(|(_, suffix)| suffix);
        is(suffix.unwrap_or(name), "json")
    })
}

/// A header's value, if it has visible ASCII, spaces and tabs alone.
fn visible(value: &[u8]) -> Option<&str> {
    let plain = value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| plain)
}

/// Whether a parameter of a media type says nothing against UTF-8. `charset*=` and `charset*0=` (RFC 8187, RFC 2231)
/// are read by few and refused whatever they say.
fn leaves_utf8(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let (name, extended) = name.split_once('*').map_or((name, false), |(name, _)| (name, true));
    if !name.trim().eq_ignore_ascii_case("charset") {
        return true;
    }
    let value = value.trim();
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    !extended && bare.eq_ignore_ascii_case("utf-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(headers: &[(&str, &str)]) -> Option<&'static str> {
        let headers: Vec<_> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        unreadable(headers.as_slice())
    }

    #[test]
    fn plain_json_is_read() {
        for kind in [
            "application/json",
            "Application/JSON",
            " application/json ;charset=utf-8",
            "application/json; charset=\"UTF-8\"",
            "application/json; charset = Utf-8 ; v=1",
            "application/json;",
            "application/vnd.api+json; profile=\"a\"",
        ] {
            assert_eq!(why(&[("Content-Type", kind)]), None, "{kind}");
        }
        let identity = [("content-type", "application/json"), ("Content-Encoding", "Identity")];
        assert_eq!(why(&identity), None);
    }

    #[test]
    fn another_declaration_says_what_is_wrong() {
        let kinds = [
            ("", "not declared as JSON"),
            ("text/json", "not declared as JSON"),
            ("application/x-www-form-urlencoded", "not declared as JSON"),
            ("application/json\u{a0}", "not declared as JSON"),
            ("application/json; x=\u{e9}", "not declared as JSON"),
            ("application/json, text/plain", "more than one Content-Type"),
            ("application/json; v=1, application/xml", "more than one Content-Type"),
            ("application/json; charset=utf-16", "another charset"),
            ("application/json;charset=utf-8;CHARSET=utf-7", "another charset"),
            ("application/json; charset", "another charset"),
            ("application/json; charset=\"utf-8", "another charset"),
            ("application/json; charset*=utf-16", "another charset"),
            ("application/json; charset*=utf-8''utf-16", "another charset"),
            ("application/json; charset *=utf-8''utf-8", "another charset"),
            ("application/json; Charset*0=utf-16", "another charset"),
            ("application/json; charset=utf-8; charset*=utf-16", "another charset"),
        ];
        for (kind, part) in kinds {
            let told = why(&[("Content-Type", kind)]).unwrap_or("nothing");
            assert!(told.contains(part), "{kind}: {told}");
        }
        let json = ("Content-Type", "application/json");
        for encoding in ["gzip", "identity, gzip", "br", ""] {
            let told = why(&[json, ("content-encoding", encoding)]).unwrap_or("nothing");
            assert!(told.contains("compressed"), "{encoding}: {told}");
        }
        assert_eq!(why(&[json, json]), Some(SEVERAL));
        assert!(why(&[]).is_some_and(|told| told.contains("not declared as JSON")));
    }
}
