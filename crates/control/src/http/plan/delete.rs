//! `DELETE /v1/plans/{plan}`.

use axum::{extract::State, http::StatusCode};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
    state::Seen,
};

/// Forget a plan that no organization is on.
#[utoipa::path(
    delete,
    path = "/v1/plans/{plan}",
    tag = "plans",
    params(
        ("plan" = String, Path, description = "The plan's name, in any case"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the state that was seen: another one is refused"),
    ),
    responses((status = 204, description = "It is gone"), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn delete_plan(
    State(management): State<Management>,
    caller: Caller,
    Segments(plan): Segments<String>,
    Seen(seen): Seen,
) -> Result<StatusCode, Refusal> {
    management.control().delete_plan(&caller.context, id(&plan)?, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}
