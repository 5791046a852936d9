//! `GET /v1/webhook-deliveries/{delivery}`.

use axum::{Json, extract::State};
use keyward_api::DeliveryDetailsView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// Show a delivery, with what is told.
#[utoipa::path(
    get,
    path = "/v1/webhook-deliveries/{delivery}",
    tag = "webhooks",
    params(("delivery" = String, Path, description = "The delivery's id")),
    responses((status = 200, description = "The delivery", body = DeliveryDetailsView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn show_delivery(
    State(management): State<Management>,
    caller: Caller,
    Segments(delivery): Segments<String>,
) -> Result<Json<DeliveryDetailsView>, Refusal> {
    let delivery = id(&delivery)?;
    Ok(Json(management.control().show_delivery(&caller.context, delivery).await?))
}
