//! `POST /v1/webhooks/{webhook}/test`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::DeliveryView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Send a webhook a test (`webhook.test`), whatever it wants to hear of.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhook}/test",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The webhook's id")),
    responses((status = 202, description = "The test, on its way", body = DeliveryView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn test_webhook(
    State(management): State<Management>,
    caller: Caller,
    Segments(webhook): Segments<String>,
) -> Result<(StatusCode, Json<DeliveryView>), Refusal> {
    let sent = management.control().test_webhook(&caller.context, id(&webhook)?).await?;
    Ok((StatusCode::ACCEPTED, Json(sent)))
}
