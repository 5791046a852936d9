//! `GET /v1/webhooks/{webhook}`.

use axum::extract::State;
use keyward_api::WebhookView;

use super::super::{
    Management,
    caller::Caller,
    input::{Segments, id},
    problem::{Refusal, Refusals},
    state::InState,
};

/// Show a webhook, without its secrets.
#[utoipa::path(
    get,
    path = "/v1/webhooks/{webhook}",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The webhook's id")),
    responses((status = 200, description = "The webhook", body = WebhookView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn show_webhook(
    State(management): State<Management>,
    caller: Caller,
    Segments(webhook): Segments<String>,
) -> Result<InState<WebhookView>, Refusal> {
    let view = management.control().show_webhook(&caller.context, id(&webhook)?).await?;
    Ok(InState(view.revision, view))
}
