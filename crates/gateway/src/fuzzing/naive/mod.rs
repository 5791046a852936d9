//! HTTP/1.1, and JSON, read the slow and simple way: whole messages, as text, a rule a line.
//!
//! It shares no code with what it is held against, nor its way of working: it looks at a head once all of it is there, and
//! copies whatever it likes. That both make the same mistake is unlikely; that this one makes it alone shows at once.

mod answer;
mod chunks;
mod json;
mod request;

use std::net::Ipv6Addr;

pub(super) use answer::{Answer, Framing as AnswerFraming, answer};
pub(super) use chunks::{Body, BodyEnd, chunked};
pub(super) use json::{Json, Name};
pub(super) use request::{Framing, Request, request};

use super::text;

/// A name and a value.
pub(super) type Field = (String, String);

/// Where the head ends that a stream begins with.
pub(super) fn head_end(stream: &[u8]) -> Option<usize> {
    stream.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4)
}

/// The first line of a head, and its fields; nothing where a line is none, or holds a byte that no line may.
fn head_lines(head: &[u8]) -> Option<(String, Vec<Field>)> {
    let head = text(head);
    let lines = head.strip_suffix("\r\n\r\n")?;
    let mut lines = lines.split("\r\n");
    let first = lines.next()?.to_owned();
    let fields = lines.map(field).collect::<Option<Vec<_>>>()?;
    is_clean(&first).then_some((first, fields))
}

fn field(line: &str) -> Option<Field> {
    let (name, value) = line.split_once(':')?;
    let good = is_token(name) && is_clean(value);
    good.then(|| (name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn is_clean(text: &str) -> bool {
    text.chars().all(|c| c == '\t' || !c.is_ascii_control())
}

fn is_token(text: &str) -> bool {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_token)
}

/// The values of the fields with this name, in any case.
pub(super) fn values<'f>(fields: &'f [Field], name: &str) -> Vec<&'f str> {
    let named = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}

/// The elements of the lists in all fields with this name, in lower case, empty ones too.
pub(super) fn elements(fields: &[Field], name: &str) -> Vec<String> {
    let values = values(fields, name).into_iter();
    let elements = values.flat_map(|value| value.split(','));
    elements.map(|element| element.trim_matches([' ', '\t']).to_ascii_lowercase()).collect()
}

/// A length that everybody reads alike: decimal, without zeros before it, no larger than a signed number of 64 bits holds.
fn length(text: &str) -> Option<u64> {
    let plain = text.chars().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse::<i64>().ok()).flatten().map(i64::unsigned_abs)
}

/// One host, and at most one port.
fn is_authority(text: &str) -> bool {
    let (good, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return false,
        Some(Some((address, port))) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let name = name.strip_suffix('.').unwrap_or(name);
            let is_label = |label: &str| {
                let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                !label.is_empty() && label.chars().all(known)
            };
            (name.split('.').all(is_label), port)
        }
    };
    let is_port = |port: &str| {
        let digits = port.len() <= 5 && port.chars().all(|c| c.is_ascii_digit());
        digits && port.parse::<u32>().is_ok_and(|port| port < 65536)
    };
    good && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}
