//! `GET /v1/webhooks`.

use axum::{Json, extract::State};
use keyward_api::{Page, WebhookView};

use super::super::{
    Management,
    caller::Caller,
    problem::{Refusal, Refusals},
};

/// List the webhooks that are told what happens in every organization. Only operators do.
#[utoipa::path(
    get,
    path = "/v1/webhooks",
    tag = "webhooks",
    responses((status = 200, description = "All of them", body = Page<WebhookView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_operators_webhooks(
    State(management): State<Management>,
    caller: Caller,
) -> Result<Json<Page<WebhookView>>, Refusal> {
    let all = management.control().list_webhooks(&caller.context, None).await?;
    Ok(Json(Page::whole(all)))
}
