//! An upstream's answer.

use super::{Field, elements, head_lines, length, values};
use crate::wire::answer::{HEAD_BYTES, Media};

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Answer {
    pub(in super::super) status: u16,
    pub(in super::super) http11: bool,
    pub(in super::super) length: Option<u64>,
    pub(in super::super) media: Media,
    pub(in super::super) coded: bool,
    /// Whether the connection may serve another request.
    pub(in super::super) keeps: bool,
    pub(in super::super) framing: Framing,
    pub(in super::super) fields: Vec<Field>,
}

/// What follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The one meaning of a head, if it has one. Whether it has content depends on the request.
pub(in super::super) fn answer(head: &[u8], of_head_request: bool) -> Option<Answer> {
    let (first, fields) = head_lines(head)?;
    if head.len() > HEAD_BYTES || fields.len() > 128 {
        return None;
    }
    let (version, rest) = first.split_once(' ')?;
    let http11 = version == "HTTP/1.1";
    if !http11 && version != "HTTP/1.0" {
        return None;
    }
    let code = rest.split(' ').next().unwrap_or_default();
    let plain = code.len() == 3 && code.chars().all(|c| c.is_ascii_digit());
    let status = plain.then(|| code.parse::<u16>().ok()).flatten().filter(|code| *code >= 100)?;
    let lines = values(&fields, "connection");
    if lines.iter().any(|line| line.split(',').count() > 64) {
        return None;
    }
    let close = elements(&fields, "connection").iter().any(|option| option == "close");
    let (lengths, codings) =
        (values(&fields, "content-length"), values(&fields, "transfer-encoding"));
    let (length, framing) = match (&lengths[..], &codings[..]) {
        ([], []) => (None, Framing::UntilClose),
        ([text], []) => {
            let length = length(text)?;
            (Some(length), Framing::Length(length))
        }
        ([], [coding]) if http11 && coding.eq_ignore_ascii_case("chunked") => {
            (None, Framing::Chunked)
        }
        _ => return None,
    };
    let empty = of_head_request || status < 200 || status == 204 || status == 304;
    let framing = if empty { Framing::Length(0) } else { framing };
    let coded = elements(&fields, "content-encoding").iter().any(|coding| coding != "identity");
    let media = values(&fields, "content-type").last().map_or(Media::Other, |value| media(value));
    let keeps = http11 && !close && status != 101;
    Some(Answer { status, http11, length, media, coded, keeps, framing, fields })
}

fn media(value: &str) -> Media {
    let name = value.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
    match name.to_ascii_lowercase().as_str() {
        "application/json" => Media::Json,
        "text/event-stream" => Media::Events,
        "application/x-ndjson" | "application/jsonl" => Media::Lines,
        name if name.ends_with("+json") => Media::Json,
        _ => Media::Other,
    }
}
