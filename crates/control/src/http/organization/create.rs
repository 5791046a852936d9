//! `POST /v1/organizations`: a tenant, made by an operator.

use axum::{Json, extract::State, http::StatusCode};
use keyward_api::{CreateOrganizationInput, OrganizationView};

use super::super::{
    Management,
    caller::Caller,
    input::{Body, read},
    problem::{Refusal, Refusals},
};

/// Make an organization. Only operators do; its people come by invitation.
#[utoipa::path(
    post,
    path = "/v1/organizations",
    tag = "organizations",
    request_body = CreateOrganizationInput,
    responses((status = 201, description = "The organization", body = OrganizationView), Refusals),
    security(("session" = [])),
)]
pub(in crate::http) async fn create_organization(
    State(management): State<Management>,
    caller: Caller,
    Body(input): Body<CreateOrganizationInput>,
) -> Result<(StatusCode, Json<OrganizationView>), Refusal> {
    let id = input.id.as_deref().map(|id| read("id", id)).transpose()?;
    let control = management.control();
    let made = control.create_organization(&caller.context, id, input.name).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
