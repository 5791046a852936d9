//! `POST /v1/webhook-deliveries/{delivery}/resend`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::DeliveryView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Send it again, under the same `webhook-id`; what it was told before makes no difference.
#[utoipa::path(
    post,
    path = "/v1/webhook-deliveries/{delivery}/resend",
    tag = "webhooks",
    params(("delivery" = String, Path, description = "The delivery's id")),
    responses((status = 202, description = "The delivery, on its way", body = DeliveryView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn resend_delivery(
    State(management): State<Management>,
    caller: Caller,
    Segments(delivery): Segments<String>,
) -> Result<(StatusCode, Json<DeliveryView>), Refusal> {
    let sent = management.control().resend_delivery(&caller.context, id(&delivery)?).await?;
    Ok((StatusCode::ACCEPTED, Json(sent)))
}
