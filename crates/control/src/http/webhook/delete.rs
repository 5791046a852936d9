//! `DELETE /v1/webhooks/{webhook}`.

use axum::{extract::State, http::StatusCode};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Remove a webhook, with all that is on its way to it.
#[utoipa::path(
    delete,
    path = "/v1/webhooks/{webhook}",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The webhook's id")),
    responses((status = 204, description = "It is no more"), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn delete_webhook(
    State(management): State<Management>,
    caller: Caller,
    Segments(webhook): Segments<String>,
) -> Result<StatusCode, Refusal> {
    management.control().delete_webhook(&caller.context, id(&webhook)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
