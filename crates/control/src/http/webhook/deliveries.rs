//! `GET /v1/webhooks/{webhook}/deliveries`.

use axum::{Json, extract::State};
use keyward_api::{DeliveryStateView, DeliveryView, ListDeliveriesQuery, Page};
use keyward_store::DeliveryState;

use super::super::{
    Management,
    caller::Caller,
    input::{Asked, Segments, id, limit, read},
    problem::{Refusal, Refusals},
};
use crate::app::webhooks::DeliveryQuery;

/// List what was sent to a webhook, newest first. What is over is forgotten after a while.
#[utoipa::path(
    get,
    path = "/v1/webhooks/{webhook}/deliveries",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "The webhook's id"),
        ListDeliveriesQuery,
    ),
    responses((status = 200, description = "A page of deliveries", body = Page<DeliveryView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_deliveries(
    State(management): State<Management>,
    caller: Caller,
    Segments(webhook): Segments<String>,
    Asked(asked): Asked<ListDeliveriesQuery>,
) -> Result<Json<Page<DeliveryView>>, Refusal> {
    let query = DeliveryQuery {
        state: asked.state.map(|state| match state {
            DeliveryStateView::Waiting => DeliveryState::Waiting,
            DeliveryStateView::Delivered => DeliveryState::Delivered,
            DeliveryStateView::Failed => DeliveryState::Failed,
        }),
        after: asked.after.map(|after| read("after", &after)).transpose()?,
    };
    let (webhook, limit) = (id(&webhook)?, limit(asked.limit)?);
    let control = management.control();
    Ok(Json(control.list_deliveries(&caller.context, webhook, &query, limit).await?))
}
