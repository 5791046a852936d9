//! `DELETE /v1/alert-rules/{alert_rule}`.

use axum::{extract::State, http::StatusCode};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Remove an alert rule; what it raised is over.
#[utoipa::path(
    delete,
    path = "/v1/alert-rules/{alert_rule}",
    tag = "alerts",
    params(("alert_rule" = String, Path, description = "The alert rule's id")),
    responses((status = 204, description = "It is no more"), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn delete_alert_rule(
    State(management): State<Management>,
    caller: Caller,
    Segments(rule): Segments<String>,
) -> Result<StatusCode, Refusal> {
    management.control().delete_alert_rule(&caller.context, id(&rule)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
