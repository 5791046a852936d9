//! `POST /v1/organizations/{organization}/webhooks`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{CreateWebhookInput, CreatedWebhook};

use super::super::{
    Management,
    input::{Segments, id},
    once::Once,
    problem::{Refusal, Refusals},
};
use crate::app::webhooks::NewWebhook;

/// Make a webhook: an address that is told what happens in the organization.
///
/// What is sent is signed after Standard Webhooks, with the secret that this answer alone shows: `webhook-id`, `webhook-timestamp`, and
/// `webhook-signature`. What is not taken with a 2xx is sent again for some 27 hours, under the same `webhook-id`.
#[utoipa::path(
    post,
    path = "/v1/organizations/{organization}/webhooks",
    tag = "webhooks",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes"),
    ),
    request_body = CreateWebhookInput,
    responses((status = 201, description = "The webhook, and its secret in the clear", body = CreatedWebhook), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn create_webhook(
    State(management): State<Management>,
    Segments(organization): Segments<String>,
    Once { caller, input }: Once<CreateWebhookInput>,
) -> Result<(StatusCode, Json<CreatedWebhook>), Refusal> {
    let new = NewWebhook {
        organization: Some(id(&organization)?),
        url: input.url,
        description: input.description,
        events: input.events.map(|events| super::events(&events)).transpose()?,
    };
    let made = management.control().create_webhook(&caller.context, new).await?;
    Ok((StatusCode::CREATED, Json(made.view())))
}
