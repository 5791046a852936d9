//! `PATCH /v1/webhooks/{webhook}`.

use axum::extract::State;
use keyward_api::{UpdateWebhookInput, WebhookView};
use keyward_store::WebhookUpdate;

use super::super::{
    Management,
    caller::Caller,
    input::{Body, Segments, id},
    problem::{Refusal, Refusals},
    state::{InState, Seen},
};

/// Change a webhook. What is left out stays; what was on its way to one that is disabled is given up.
#[utoipa::path(
    patch,
    path = "/v1/webhooks/{webhook}",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "The webhook's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the state that was seen: another one is refused"),
    ),
    request_body = UpdateWebhookInput,
    responses((status = 200, description = "The webhook", body = WebhookView), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn update_webhook(
    State(management): State<Management>,
    caller: Caller,
    Segments(webhook): Segments<String>,
    Seen(seen): Seen,
    Body(input): Body<UpdateWebhookInput>,
) -> Result<InState<WebhookView>, Refusal> {
    let (control, webhook) = (management.control(), id(&webhook)?);
    let events = input.events.map(|events| events.map(|all| super::events(&all)).transpose());
    let update = WebhookUpdate {
        url: input.url,
        description: input.description,
        events: events.transpose()?,
        enabled: input.enabled,
    };
    let view = control.update_webhook(&caller.context, webhook, update, seen).await?;
    Ok(InState(view.revision, view))
}
