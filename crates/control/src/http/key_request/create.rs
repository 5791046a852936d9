//! `POST /v1/organizations/{organization}/key-requests`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{CreateKeyRequestInput, KeyRequestView};

use super::super::{
    Management,
    input::{Segments, id, read},
    once::Once,
    problem::{Refusal, Refusals},
};
use crate::{app::key_requests::NewKeyRequest, limits};

/// Ask for a key, at an API whose keys are asked for and approved.
///
/// Those who may decide are told by mail. They have 30 days; whoever asked has at most 20 requests that are open or less than a day old.
#[utoipa::path(
    post,
    path = "/v1/organizations/{organization}/key-requests",
    tag = "key requests",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes"),
    ),
    request_body = CreateKeyRequestInput,
    responses((status = 201, description = "The request", body = KeyRequestView), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn create_key_request(
    State(management): State<Management>,
    Segments(organization): Segments<String>,
    Once { caller, input }: Once<CreateKeyRequestInput>,
) -> Result<(StatusCode, Json<KeyRequestView>), Refusal> {
    let networks = input.allowed_networks.iter().map(|one| read("allowed_networks", one));
    let new = NewKeyRequest {
        api: read("api", &input.api)?,
        organization: id(&organization)?,
        name: input.name,
        environment: input.environment.map(|one| read("environment", &one)).transpose()?,
        permissions: input.permissions,
        preset: input.preset,
        reason: input.reason,
        lifetime_seconds: input.lifetime_seconds,
        allowed_networks: networks.collect::<Result<_, _>>()?,
        allowed_models: input.allowed_models,
        limits: limits::read(input.limits)?,
    };
    let asked = management.control().request_key(&caller.context, new).await?;
    Ok((StatusCode::CREATED, Json(asked)))
}
