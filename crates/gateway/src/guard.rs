//! The guard: what a request means must be beyond doubt before it is decided on.
//!
//! Framing was screened in [`crate::wire`]; here are the rules on meaning that hold for HTTP/1.1 and HTTP/2 alike: one host, one way
//! to read the path, a method that can be forwarded.

use std::net::IpAddr;

use http::Version;
use keyward_core::{
    network::{self, Network},
    path,
    verdict::{Denial, Reason},
};

use crate::{
    Limits,
    connection::Connection,
    request::RequestHead,
    wire::{
        client::WireFault,
        fields::{Field, Name},
        screen::{Violation, is_authority},
    },
};

/// Refuses what another server could read otherwise; gives the host.
pub(crate) fn check<'h>(
    connection: &Connection,
    limits: &Limits,
    head: &'h RequestHead,
    fault: Option<WireFault>,
) -> Result<&'h str, Box<Denial>> {
    if let Some(fault) = fault {
        return Err(Box::new(wire_denial(fault)));
    }
    if connection.http2 {
        check_size(limits, head)?;
    }
    match head.method.as_str() {
        "CONNECT" | "TRACE" => {
            let mut denial =
                Denial::new(Reason::MethodNotAllowed, "CONNECT and TRACE are not forwarded.");
            denial.allowed = Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".into());
            return Err(Box::new(denial));
        }
        method if method.bytes().any(|b| b.is_ascii_lowercase()) => {
            return Err(bad_request(
                "The method is not in upper case; methods are case-sensitive.",
            ));
        }
        _ => {}
    }
    path::check(head.path()).map_err(|fault| bad_request(fault.to_string()))?;
    if let Some(query) = head.query() {
        path::check_query(query).map_err(|fault| bad_request(fault.to_string()))?;
    }
    if connection.http2 {
        check_length_header(head)?;
    }
    host(head)
}

/// HTTP/1.1's was screened; HTTP/2 frames by itself, but what it passes on must not be read in two ways behind us.
fn check_length_header(head: &RequestHead) -> Result<(), Box<Denial>> {
    let mut lengths = head.all(Name::ContentLength);
    let Some(digits) = lengths.next() else { return Ok(()) };
    let strict =
        digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || !digits.starts_with(b"0"));
    if lengths.next().is_some() || digits.is_empty() || !strict {
        return Err(bad_request("Content-Length is not one plain number; send one."));
    }
    Ok(())
}

/// What the screen bounds in HTTP/1.1. HTTP/2's library bounds the head as well, but only by twice as much, because it
/// refuses without a word.
fn check_size(limits: &Limits, head: &RequestHead) -> Result<(), Box<Denial>> {
    let deny = |reason, detail| Err(Box::new(Denial::new(reason, detail)));
    let target = head.path().len() + head.query().map_or(0, |query| query.len() + 1);
    if target > limits.uri_bytes {
        return deny(Reason::UriTooLong, "The request target is too long; shorten it.");
    }
    let (bytes, fields) = head.fields();
    let length = |field: &Field| field.name(bytes).len() + field.value(bytes).len();
    let total: usize = fields.iter().map(length).sum();
    if fields.len() > limits.headers || target + total > limits.head_bytes {
        return deny(Reason::HeadTooLarge, "The request head is too large; send fewer headers.");
    }
    Ok(())
}

/// The one host: HTTP/1.1's Host header (an absolute target must agree), HTTP/2's authority (a Host header must agree).
fn host(head: &RequestHead) -> Result<&str, Box<Denial>> {
    let mut headers = head.all(Name::Host);
    let header = headers.next().map(|value| std::str::from_utf8(value).unwrap_or_default());
    if headers.next().is_some() {
        return Err(bad_request("The request has more than one Host header; send one."));
    }
    let authority = head.authority();
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err(bad_request("The request's authority carries user information; leave it out."));
    }
    match (authority, header) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(bad_request("The Host header and the request's authority differ; send one host."))
        }
        (Some(_), None) if head.version < Version::HTTP_2 => {
            Err(bad_request("The request has no Host header; send one."))
        }
        // HTTP/1.1's was screened.
        (_, Some(host)) if head.version < Version::HTTP_2 => Ok(host),
        (_, Some(host)) | (Some(host), None) if is_authority(host.as_bytes()) => Ok(host),
        (_, Some(host)) | (Some(host), None) if !host.is_empty() => {
            Err(bad_request("The host is no host name or address with at most a port; send one."))
        }
        _ => Err(bad_request("The request names no host; send a Host header.")),
    }
}

fn bad_request(detail: impl Into<std::borrow::Cow<'static, str>>) -> Box<Denial> {
    Box::new(Denial::new(Reason::BadRequest, detail))
}

/// What a client is told of what the wire refused.
pub(crate) fn wire_denial(fault: WireFault) -> Denial {
    let violation = match fault {
        WireFault::HeadTimeout => {
            return Denial::new(Reason::RequestTimeout, "The request head did not arrive in time.");
        }
        WireFault::BodyTimeout => {
            return Denial::new(Reason::RequestTimeout, "The request body did not arrive in time.");
        }
        WireFault::Violation(violation) => violation,
    };
    let reason = match violation.status() {
        405 => Reason::MethodNotAllowed,
        413 => Reason::BodyTooLarge,
        414 => Reason::UriTooLong,
        431 => Reason::HeadTooLarge,
        _ => Reason::BadRequest,
    };
    let mut denial = Denial::new(reason, violation.detail());
    if reason == Reason::MethodNotAllowed {
        denial.allowed = Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".into());
    }
    denial
}

/// Whether a fault of the wire asks for a status no profile words.
pub(crate) fn exact_status(fault: WireFault) -> Option<u16> {
    match fault {
        WireFault::Violation(violation) => exact(violation),
        WireFault::HeadTimeout | WireFault::BodyTimeout => None,
    }
}

fn exact(violation: Violation) -> Option<u16> {
    matches!(violation.status(), 417 | 501 | 505).then(|| violation.status())
}

/// Where a request comes from, and whether by TLS: the connection's word, or a trusted proxy's.
pub(crate) fn origin(
    connection: &Connection,
    head: &RequestHead,
    trusted: &[Network],
) -> Result<(IpAddr, bool), Box<Denial>> {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    if trusted.is_empty() || !is_trusted(connection.peer) {
        return Ok((connection.peer, connection.secure));
    }
    let mut protos = head.all(Name::ForwardedProto).peekable();
    let secure = match protos.peek() {
        // Of several, a client could have sent the first.
        Some(_) => protos.all(|proto| proto.eq_ignore_ascii_case(b"https")),
        None => connection.secure,
    };
    // From the right: each proxy appended its own peer; the first that is no proxy of ours is the client.
    let mut client = connection.peer;
    let lists: Vec<&[u8]> = head.all(Name::ForwardedFor).collect();
    for entry in lists.iter().rev().flat_map(|list| list.rsplit(|byte| *byte == b',')) {
        // To stop at what cannot be read would take the proxy for the client, and open what its own network is allowed.
        client = forwarded_address(entry).ok_or_else(|| {
            bad_request("X-Forwarded-For holds something that is no address; send addresses.")
        })?;
        if !is_trusted(client) {
            break;
        }
    }
    Ok((client, secure))
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn forwarded_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(network::canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_address_is_read_in_every_form_proxies_write_and_in_no_other() {
        for (entry, address) in [
            ("6.6.6.6", Some("6.6.6.6")),
            (" 6.6.6.6 ", Some("6.6.6.6")),
            ("6.6.6.6:4444", Some("6.6.6.6")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:4444", Some("2001:db8::1")),
            ("::ffff:6.6.6.6", Some("6.6.6.6")),
            ("unknown", None),
            ("", None),
            ("6.6.6.6, ", None),
        ] {
            let expected = address.map(|text| text.parse().unwrap());
            assert_eq!(forwarded_address(entry.as_bytes()), expected, "{entry}");
        }
        assert_eq!(forwarded_address(b"\xff"), None);
    }
}
