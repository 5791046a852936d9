//! `DELETE /v1/sessions/{session}`: logging out, here or from afar.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
};

use super::super::{
    Management,
    browser::{self, Browser},
    caller::Person,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// End one of one's own sessions; `current` is the one that asks. What has ended already stays so. A browser forgets its cookie.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{session}",
    tag = "sessions",
    params(("session" = String, Path, description = "A session's id, or `current`")),
    responses((status = 204, description = "It has ended"), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn end_session(
    State(management): State<Management>,
    caller: Person,
    browser: Browser,
    Segments(session): Segments<String>,
) -> Result<(StatusCode, HeaderMap), Refusal> {
    let session = match session.as_str() {
        "current" => caller.session,
        other => id(other)?,
    };
    management.control().end_session(&caller.context, Some(session)).await?;
    let mut headers = HeaderMap::new();
    if browser.has_session && session == caller.session {
        headers.append(header::SET_COOKIE, browser::forget(browser::SESSION)?);
    }
    Ok((StatusCode::NO_CONTENT, headers))
}
