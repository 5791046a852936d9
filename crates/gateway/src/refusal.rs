//! The one place where a refusal is written.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version, header};
use keyward_core::{
    profile::{Profile, RefusalContext},
    time::Timestamp,
    verdict::Denial,
};

use crate::{body::Answer, record::Ticket};

/// What of a request its refusal may show.
pub(crate) struct Refused<'r> {
    pub(crate) request_id: &'r str,
    pub(crate) method: &'r str,
    pub(crate) path: &'r str,
    pub(crate) version: Version,
    /// Whether the client asked for `application/problem+json`.
    pub(crate) problem: bool,
    /// A status of the wire that profiles do not word (417, 501, 505).
    pub(crate) exact_status: Option<u16>,
    /// Whether nothing after this request can be trusted.
    pub(crate) close: bool,
}

/// Words a denial by the profile.
pub(crate) fn answer(
    profile: &Profile,
    denial: &Denial,
    refused: &Refused<'_>,
    now: Timestamp,
    mut ticket: Ticket,
) -> Response<Answer> {
    let context = RefusalContext {
        request_id: refused.request_id,
        now,
        method: refused.method,
        path: refused.path,
        header: profile.key_header(),
        problem: refused.problem,
    };
    let rendered = profile.refusals.render(denial, &context);
    let status = refused.exact_status.unwrap_or(rendered.status);
    ticket.answered(status);
    if let Some(key) = denial.known_key {
        ticket.caller(key);
    }
    let mut response = Response::new(Answer::own(Bytes::from(rendered.body), ticket));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in &rendered.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    set_request_id(headers, profile, refused.request_id);
    if refused.close && refused.version < Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Numbers an answer by the header the profile's clients look for, where the upstream has not.
pub(crate) fn set_request_id(headers: &mut http::HeaderMap, profile: &Profile, id: &str) {
    let name = HeaderName::from_bytes(profile.request_id.header.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(id)) {
        headers.entry(name).or_insert(value);
    }
}
