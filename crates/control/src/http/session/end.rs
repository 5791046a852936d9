//! `DELETE /v1/sessions/{session}`: logging out, here or from afar.

use axum::{extract::State, http::StatusCode};

use super::super::{
    Management,
    caller::Person,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// End one of one's own sessions; `current` is the one that asks. What has ended already stays so.
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
    Segments(session): Segments<String>,
) -> Result<StatusCode, Refusal> {
    let session = match session.as_str() {
        "current" => caller.session,
        other => id(other)?,
    };
    management.control().end_session(&caller.context, Some(session)).await?;
    Ok(StatusCode::NO_CONTENT)
}
