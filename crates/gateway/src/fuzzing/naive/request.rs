//! A request's head.

use super::{Field, elements, head_lines, is_authority, is_token, length, values};
use crate::wire::screen::HeadLimits;

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Request {
    pub(in super::super) method: String,
    pub(in super::super) path: String,
    pub(in super::super) query: Option<String>,
    /// Of a target in absolute form.
    pub(in super::super) authority: Option<String>,
    pub(in super::super) http10: bool,
    pub(in super::super) fields: Vec<Field>,
    pub(in super::super) framing: Framing,
}

/// What follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    Upgrade,
}

/// The one meaning of a head, if it has one that the gateway takes.
pub(in super::super) fn request(head: &[u8], limits: &HeadLimits) -> Option<Request> {
    let (first, fields) = head_lines(head)?;
    if head.len() > limits.head || fields.len() > limits.headers {
        return None;
    }
    let parts: Vec<&str> = first.split(' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let http10 = version == "HTTP/1.0";
    if !http10 && version != "HTTP/1.1" || target.len() > limits.request_line {
        return None;
    }
    let known = |c: char| c.is_ascii_uppercase() || c == '-' || c == '_';
    if !(1..=32).contains(&method.len()) || !method.chars().all(known) {
        return None;
    }
    if method == "CONNECT" || method == "TRACE" {
        return None;
    }
    let (authority, path, query) = split_target(method, target)?;
    if !is_host(&fields, authority.as_deref()) {
        return None;
    }
    if values(&fields, "expect").iter().any(|value| !value.eq_ignore_ascii_case("100-continue")) {
        return None;
    }
    let framing = framing(&fields, http10)?;
    let method = method.to_owned();
    Some(Request { method, path, query, authority, http10, fields, framing })
}

/// The authority, the path and the query.
fn split_target(method: &str, target: &str) -> Option<(Option<String>, String, Option<String>)> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-._~%:/?[]@!$&'()*+,;=".contains(c);
    if !target.chars().all(known) {
        return None;
    }
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| target.to_ascii_lowercase().starts_with(scheme));
    let (authority, rest) = match scheme {
        _ if target == "*" && method == "OPTIONS" => (None, target),
        _ if target.starts_with('/') => (None, target),
        None => return None,
        Some(scheme) => {
            let rest = &target[scheme.len()..];
            let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (Some(authority.to_owned()), rest)
        }
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (rest, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    Some((authority, path.to_owned(), query))
}

fn is_host(fields: &[Field], authority: Option<&str>) -> bool {
    let [host] = values(fields, "host")[..] else { return false };
    let same = |authority: &str| authority.eq_ignore_ascii_case(host);
    is_authority(host) && authority.is_none_or(same)
}

fn framing(fields: &[Field], http10: bool) -> Option<Framing> {
    let options = elements(fields, "connection");
    let frames = ["host", "content-length", "transfer-encoding"];
    if options.len() > 64 || options.iter().any(|option| frames.contains(&option.as_str())) {
        return None;
    }
    let (lengths, codings) =
        (values(fields, "content-length"), values(fields, "transfer-encoding"));
    let body = match (&lengths[..], &codings[..]) {
        ([], []) => Framing::Nothing,
        ([text], []) => match length(text)? {
            0 => Framing::Nothing,
            length => Framing::Length(length),
        },
        ([], [coding]) if !http10 && coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        _ => return None,
    };
    if !values(fields, "http2-settings").is_empty() {
        return None;
    }
    match values(fields, "upgrade")[..] {
        [] => Some(body),
        [_] => {
            let protocols = elements(fields, "upgrade");
            let named = options.iter().any(|option| option == "upgrade");
            let good = protocols.iter().all(|protocol| is_protocol(protocol));
            (!http10 && named && good && body == Framing::Nothing).then_some(Framing::Upgrade)
        }
        _ => None,
    }
}

/// A name, and perhaps a version. Not of HTTP/2, which would not be screened.
fn is_protocol(protocol: &str) -> bool {
    let (name, version) = protocol.split_once('/').unwrap_or((protocol, "1"));
    is_token(name) && is_token(version) && !["h2c", "h2", "http"].contains(&name)
}
