//! `POST /v1/organizations/{organization}/keys`.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{CreateKeyInput, CreatedKey};
use keyward_core::key::Labels;

use super::super::{
    Management,
    input::{Segments, id, invalid, read},
    once::Once,
    problem::{Refusal, Refusals},
};
use crate::{app::keys::NewKey, limits};

/// Make a key. Its secret stands in this answer, and nowhere else ever again.
#[utoipa::path(
    post,
    path = "/v1/organizations/{organization}/keys",
    tag = "keys",
    params(
        ("organization" = String, Path, description = "The organization's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Chosen for this request alone: a repeat under it is done once, and gets the same answer for 15 minutes"),
    ),
    request_body = CreateKeyInput,
    responses((status = 201, description = "The key, and its secret in the clear", body = CreatedKey), Refusals),
    security(("session" = []), ("management_key" = [])),
)]
pub(in crate::http) async fn create_key(
    State(management): State<Management>,
    Segments(organization): Segments<String>,
    Once { caller, input }: Once<CreateKeyInput>,
) -> Result<(StatusCode, Json<CreatedKey>), Refusal> {
    let networks = input.allowed_networks.iter().map(|one| read("allowed_networks", one));
    let new = NewKey {
        api: read("api", &input.api)?,
        organization: id(&organization)?,
        name: input.name,
        environment: input.environment.map(|one| read("environment", &one)).transpose()?,
        permissions: input.permissions,
        preset: input.preset,
        expires_at: input.expires_at.map(|at| read("expires_at", &at)).transpose()?,
        allowed_networks: networks.collect::<Result<_, _>>()?,
        allowed_models: input.allowed_models,
        labels: Labels::new(input.tags, input.metadata).map_err(invalid)?,
        rotation: input.rotation.map(super::update::rule),
        limits: limits::read(input.limits)?,
        owner: input.owner.map(|owner| read("owner", &owner)).transpose()?,
    };
    let issued = management.control().create_key(&caller.context, new).await?;
    Ok((StatusCode::CREATED, Json(issued.view(caller.context.now))))
}
