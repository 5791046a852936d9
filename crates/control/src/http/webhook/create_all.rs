//! `POST /v1/webhooks`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{CreateWebhookInput, CreatedWebhook};

use super::super::{
    Management,
    once::Once,
    problem::{Refusal, Refusals},
};
use crate::app::webhooks::NewWebhook;

/// Make a webhook that is told what happens in every organization. Only operators do.
#[utoipa::path(
    post,
    path = "/v1/webhooks",
    tag = "webhooks",
    params(("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes")),
    request_body = CreateWebhookInput,
    responses((status = 201, description = "The webhook, and its secret in the clear", body = CreatedWebhook), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn create_operators_webhook(
    State(management): State<Management>,
    Once { caller, input }: Once<CreateWebhookInput>,
) -> Result<(StatusCode, Json<CreatedWebhook>), Refusal> {
    let new = NewWebhook {
        organization: None,
        url: input.url,
        description: input.description,
        events: input.events.map(|events| super::events(&events)).transpose()?,
    };
    let made = management.control().create_webhook(&caller.context, new).await?;
    Ok((StatusCode::CREATED, Json(made.view())))
}
