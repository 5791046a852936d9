//! An answer on its way out, in one form for both protocols.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::{body::Answer, headers, tunnel::Tunnel, wire::answer};

/// An answer, its head whole and its content still to come.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Header lines, each with its CRLF, without those that frame the content or are for one hop.
    pub(crate) lines: Vec<u8>,
    /// Whether a Date is among them.
    pub(crate) dated: bool,
    /// The length that the answer would have: told where the content itself is left out (HEAD, 304).
    pub(crate) declared: Option<u64>,
    /// Whether nothing after the request can be trusted.
    pub(crate) close: bool,
    pub(crate) body: Answer,
    /// What the connection becomes after this head.
    pub(crate) tunnel: Option<Box<Tunnel>>,
}

impl Reply {
    /// The head as HTTP/2 sends it, and the content.
    pub(crate) fn into_http2(self) -> (Response<()>, Answer) {
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let lines = Bytes::from(self.lines);
        add_lines(response.headers_mut(), &lines);
        if let Some(length) = self.declared {
            response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        (response, self.body)
    }
}

/// Puts header lines into a map.
pub(crate) fn add_lines(headers: &mut HeaderMap, lines: &Bytes) {
    for (name, value) in answer::fields(lines) {
        let value = HeaderValue::from_maybe_shared(lines.slice_ref(value));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
}

/// Writes `content-length`.
pub(crate) fn length_line(out: &mut Vec<u8>, length: u64) {
    headers::line(out, "content-length", itoa::Buffer::new().format(length).as_bytes());
}
