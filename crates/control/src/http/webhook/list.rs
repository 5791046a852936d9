//! `GET /v1/organizations/{organization}/webhooks`.

use axum::{Json, extract::State};
use keyward_api::{Page, WebhookView};

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
};

/// List an organization's webhooks, in the order they were made.
#[utoipa::path(
    get,
    path = "/v1/organizations/{organization}/webhooks",
    tag = "webhooks",
    params(("organization" = String, Path, description = "The organization's id")),
    responses((status = 200, description = "All of them", body = Page<WebhookView>), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn list_webhooks(
    State(management): State<Management>,
    caller: Caller,
    Segments(organization): Segments<String>,
) -> Result<Json<Page<WebhookView>>, Refusal> {
    let organization = id(&organization)?;
    let all = management.control().list_webhooks(&caller.context, Some(&organization)).await?;
    Ok(Json(Page::whole(all)))
}
