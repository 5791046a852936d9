//! `POST /v1/webhooks/{webhook}/rotate`.

use std::time::Duration;

use axum::{Json, extract::State};
use keyward_api::{CreatedWebhook, RotateWebhookInput};

use super::super::{
    Management,
    input::{Segments, id},
    once::Once,
    problem::{Refusal, Refusals},
};
/// The old secrets stay good for so long where nobody says how long.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// Give a webhook a new secret. For a while, what is sent carries signatures of the old ones too.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhook}/rotate",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "The webhook's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes"),
    ),
    request_body = RotateWebhookInput,
    responses((status = 200, description = "The webhook, and its new secret in the clear", body = CreatedWebhook), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn rotate_webhook(
    State(management): State<Management>,
    Segments(webhook): Segments<String>,
    Once { caller, input }: Once<RotateWebhookInput, 200>,
) -> Result<Json<CreatedWebhook>, Refusal> {
    let overlap = input.overlap_seconds.map_or(OVERLAP, Duration::from_secs);
    let made = management.control().rotate_webhook(&caller.context, id(&webhook)?, overlap).await?;
    Ok(Json(made.view()))
}
