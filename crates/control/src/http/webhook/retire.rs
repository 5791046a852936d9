//! `POST /v1/webhooks/{webhook}/retire`.

use axum::{Json, extract::State};
use keyward_api::WebhookView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// End the old secrets of a webhook now: what is sent is signed with the newest alone.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhook}/retire",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The webhook's id")),
    responses((status = 200, description = "The webhook", body = WebhookView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn retire_webhook_secrets(
    State(management): State<Management>,
    caller: Caller,
    Segments(webhook): Segments<String>,
) -> Result<Json<WebhookView>, Refusal> {
    let webhook = id(&webhook)?;
    Ok(Json(management.control().retire_webhook_secrets(&caller.context, webhook).await?))
}
