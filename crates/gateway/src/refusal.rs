//! The one place where a refusal is written.

use keyward_core::{
    profile::{Profile, RefusalContext},
    time::Timestamp,
    verdict::Denial,
};

use crate::{body::Answer, headers, record::Ticket, reply::Reply};

/// What of a request its refusal may show.
pub(crate) struct Refused<'r> {
    pub(crate) request_id: &'r str,
    pub(crate) method: &'r str,
    pub(crate) path: &'r str,
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
) -> Reply {
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
    ticket.refused(status, denial.reason);
    let mut lines = ticket.worker().buffers.write();
    lines.extend_from_slice(&ticket.limits);
    let mut numbered = false;
    for (name, value) in &rendered.headers {
        numbered |= name.eq_ignore_ascii_case(&profile.request_id.header);
        headers::checked_line(&mut lines, name, value.as_bytes());
    }
    if !numbered {
        let id = refused.request_id.as_bytes();
        headers::checked_line(&mut lines, &profile.request_id.header, id);
    }
    let body = rendered.body.into_bytes().into_boxed_slice();
    Reply {
        status,
        lines,
        dated: false,
        declared: u64::try_from(body.len()).ok(),
        close: refused.close,
        body: Answer::own(body, ticket),
        tunnel: None,
    }
}
